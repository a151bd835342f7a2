//! Where a command was typed: who, which project, which home, which variables. Read once; everything later is told.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::plan::protect::Further;
use crate::probe::features;
use crate::probe::places::{self, HostExecuted};
use crate::vocab::host::{Host, Identity, Remembered};
use crate::vocab::location::{Base, Roots};
use crate::vocab::path::{AbsPath, PathError};
use crate::vocab::proxy::Proxies;

/// What a run is told of its surroundings.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The caller.
    pub identity: Identity,
    /// Where the variables of locations lead; every path resolved.
    pub roots: Roots,
    /// Working directory, resolved.
    pub workdir: AbsPath,
    /// pinfold's own state directory; it may not exist yet.
    pub state_dir: AbsPath,
    /// The caller's environment. A name that is not UTF-8 cannot stand in a profile and is dropped.
    pub environment: BTreeMap<String, Vec<u8>>,
}

/// Why the surroundings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurroundingsError {
    /// There is no working directory.
    #[error("cannot tell the working directory")]
    Workdir(#[source] std::io::Error),
    /// A directory cannot be resolved.
    #[error("cannot resolve {what} `{}`", .path.display())]
    Resolve {
        /// Which role it has.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No home directory is known.
    #[error("no home directory is known: `HOME` is not set to an absolute path")]
    NoHome,
    /// One sandbox within another.
    #[error("this is already inside a sandbox of pinfold, and one within another is not supported")]
    Nested,
    /// The project would be too much.
    #[error("the project would be `{0}`, which holds more than a project")]
    ProjectTooWide(AbsPath),
    /// The working directory is not within the project.
    #[error("the working directory `{workdir}` is not within the project `{project}`")]
    OutsideProject {
        /// Where the caller stands.
        workdir: AbsPath,
        /// What was asked for.
        project: AbsPath,
    },
    /// The project is somebody else's, and only root becomes another.
    #[error("the project `{project}` belongs to the user {owner}, and only root can run a command as another")]
    NotOwner {
        /// The project.
        project: AbsPath,
        /// Its owner.
        owner: u32,
    },
    /// The owner of the project has no account.
    #[error("the project `{project}` belongs to the user {owner}, who has no account here")]
    NoAccount {
        /// The project.
        project: AbsPath,
        /// Its owner.
        owner: u32,
    },
    /// The kernel refused the change of the user.
    #[error("cannot become the owner of the project")]
    Become(#[source] nix::errno::Errno),
    /// A path is not usable.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl Surroundings {
    /// [`read`](Self::read) for a command that is to start a sandbox.
    pub fn to_start(project: Option<&Path>) -> Result<Self, SurroundingsError> {
        if features::is_nested() { Err(SurroundingsError::Nested) } else { Self::read(project) }
    }

    /// [`to_start`](Self::to_start) as the owner of the project, who this process becomes for good.
    pub fn to_start_as_owner(project: Option<&Path>) -> Result<Self, SurroundingsError> {
        let seen = Self::to_start(project)?;
        let project = seen.project();
        let owner = std::fs::metadata(project.to_path_buf()).map_err(|source| SurroundingsError::Resolve {
            what: "the project",
            path: project.to_path_buf(),
            source,
        })?;
        let owner = std::os::unix::fs::MetadataExt::uid(&owner);
        if owner == seen.identity.uid {
            return Ok(seen);
        }
        if seen.identity.uid != 0 {
            return Err(SurroundingsError::NotOwner { project, owner });
        }
        let account = nix::unistd::User::from_uid(owner.into()).ok().flatten();
        let account = account.ok_or_else(|| SurroundingsError::NoAccount { project: project.clone(), owner })?;
        become_user(&account).map_err(SurroundingsError::Become)?;
        // Places of root's own are none of the owner's.
        let mut environment = seen.environment;
        environment.retain(|name, _| !name.starts_with("XDG_"));
        for (name, value) in [("USER", &account.name), ("LOGNAME", &account.name)] {
            environment.insert(name.to_owned(), value.clone().into_bytes());
        }
        environment.insert("HOME".to_owned(), account.dir.into_os_string().into_vec());
        Self::of(environment, Some(&project.to_path_buf()))
    }

    /// Reads the process's own surroundings. `project` overrides the search for the project's root.
    pub fn read(project: Option<&Path>) -> Result<Self, SurroundingsError> {
        let environment: BTreeMap<String, Vec<u8>> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_vec())))
            .collect();
        Self::of(environment, project)
    }

    fn of(environment: BTreeMap<String, Vec<u8>>, project: Option<&Path>) -> Result<Self, SurroundingsError> {
        let absolute = |name: &str| {
            let value = environment.get(name)?;
            let path = PathBuf::from(OsString::from_vec(value.clone()));
            path.is_absolute().then_some(path)
        };
        let home = absolute("HOME").or_else(home_of_caller).ok_or(SurroundingsError::NoHome)?;
        let home = resolve("the home directory", &home)?;
        let here = std::env::current_dir().map_err(SurroundingsError::Workdir)?;
        let workdir = resolve("the working directory", &here)?;
        let project = match project {
            Some(given) => resolve("the project", given)?,
            None => project_of(&workdir, &home),
        };
        if project.is_root() || home.is_beneath(&project) {
            return Err(SurroundingsError::ProjectTooWide(project));
        }
        if !workdir.is_beneath(&project) {
            return Err(SurroundingsError::OutsideProject { workdir, project });
        }
        let state_home = absolute("XDG_STATE_HOME").unwrap_or_else(|| home.to_path_buf().join(".local/state"));
        let state_dir = AbsPath::try_from(resolve_deepest(&state_home).join("pinfold").as_path())?;
        let mut roots = BTreeMap::from([(Base::Project, project), (Base::Home, home)]);
        for (base, name) in [
            (Base::XdgConfig, "XDG_CONFIG_HOME"),
            (Base::XdgCache, "XDG_CACHE_HOME"),
            (Base::XdgData, "XDG_DATA_HOME"),
            (Base::XdgState, "XDG_STATE_HOME"),
            (Base::XdgRuntime, "XDG_RUNTIME_DIR"),
        ] {
            if let Some(path) = absolute(name) {
                roots.insert(base, AbsPath::try_from(resolve_deepest(&path).as_path())?);
            }
        }
        // Where a login has it although the variable is not passed on: its sockets are there all the same.
        let runtime = PathBuf::from(format!("/run/user/{}", nix::unistd::geteuid()));
        if let Ok(runtime) = AbsPath::try_from(runtime.as_path())
            && runtime.to_path_buf().is_dir()
        {
            roots.entry(Base::XdgRuntime).or_insert(runtime);
        }
        let tmpdir = absolute("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp"));
        roots.insert(Base::Tmpdir, AbsPath::try_from(resolve_deepest(&tmpdir).as_path())?);
        let identity = Identity { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() };
        Ok(Self { identity, roots: Roots(roots), workdir, state_dir, environment })
    }

    /// The project's root.
    pub fn project(&self) -> AbsPath {
        self.roots.get(Base::Project).unwrap_or_else(AbsPath::root)
    }

    /// Whether `path` lies in a temporary directory of which every run has one of its own.
    pub fn is_private(&self, path: &AbsPath) -> bool {
        let kept = [Base::Project, Base::Home].into_iter().filter_map(|base| self.roots.get(base));
        let private = crate::plan::private_tmp(&self.roots);
        private.iter().any(|top| path.is_beneath(top)) && !kept.into_iter().any(|top| path.is_beneath(&top))
    }

    /// The host as a plan needs it, with a look at each `wanted` place.
    pub fn host(&self, wanted: &[AbsPath]) -> Host {
        Host {
            identity: self.identity,
            roots: self.roots.clone(),
            workdir: self.workdir.clone(),
            seen: places::look(wanted),
            environment: self.environment.keys().cloned().collect(),
            state_dir: self.state_dir.clone(),
            remembered: BTreeMap::new(),
            landlock: features::landlock_abi(),
            no_namespaces: None,
            proxies: Proxies::of(|name| String::from_utf8(self.environment.get(name)?.clone()).ok()),
            fuse: features::has_fuse(),
        }
    }

    /// What the places of `profile` are now.
    pub fn remember(&self, profile: &crate::profile::Profile) -> BTreeMap<AbsPath, Remembered> {
        let granted: Vec<AbsPath> = profile.filesystem.keys().filter_map(|place| self.roots.resolve(place)).collect();
        let seen = places::look(&granted).into_iter();
        seen.filter_map(|(place, seen)| Some((place, Remembered::of(&seen?)))).collect()
    }

    /// Names that the host executes and that exist now, in the home directory and (to a bounded depth) in the project and
    /// in `further` directories.
    pub fn host_executed(&self, further: &[Further]) -> HostExecuted {
        HostExecuted::read(&self.roots, further)
    }

    /// Those that exist now and were not among `before`.
    pub fn planted_since(&self, before: &HostExecuted) -> Vec<AbsPath> {
        before.since(&self.roots)
    }

    /// Where `word` leads as an existing file, from the working directory.
    pub fn existing(&self, word: &[u8]) -> Option<AbsPath> {
        let path = self.workdir.to_path_buf().join(std::ffi::OsStr::from_bytes(word));
        let path = std::fs::canonicalize(path).ok()?;
        AbsPath::try_from(path.as_path()).ok().filter(|path| path.to_path_buf().is_file())
    }

    /// The program file that `name` means, as execvp(3) finds it: absolute, clean, symlinks not resolved.
    pub fn find_program(&self, name: &[u8]) -> Option<AbsPath> {
        let executable =
            |path: &Path| path.is_file() && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok();
        let clean = |path: &Path| AbsPath::try_from(normal(&self.workdir.to_path_buf().join(path)).as_path()).ok();
        if name.contains(&b'/') {
            let path = self.workdir.to_path_buf().join(std::ffi::OsStr::from_bytes(name));
            return path.exists().then(|| clean(&path)).flatten();
        }
        let default = b"/usr/local/bin:/usr/bin:/bin".to_vec();
        let search = self.environment.get("PATH").unwrap_or(&default);
        search.split(|&b| b == b':').find_map(|dir| {
            let path = self.workdir.to_path_buf().join(std::ffi::OsStr::from_bytes(dir));
            let path = path.join(std::ffi::OsStr::from_bytes(name));
            executable(&path).then(|| clean(&path)).flatten()
        })
    }
}

/// Every id of this process becomes `account`'s, and it may be looked at by that user like one that was started so.
fn become_user(account: &nix::unistd::User) -> Result<(), nix::errno::Errno> {
    let name = std::ffi::CString::new(account.name.as_bytes()).map_err(|_| nix::errno::Errno::EINVAL)?;
    nix::unistd::initgroups(&name, account.gid)?;
    nix::unistd::setresgid(account.gid, account.gid, account.gid)?;
    nix::unistd::setresuid(account.uid, account.uid, account.uid)?;
    // The id maps of the sandbox are files of this process's child, which belong to root until then (proc(5)).
    crate::sys::process::set_dumpable(crate::sys::process::Dumpable::Yes)
}

/// The nearest directory above (or at) `workdir` with a `.git`, not above the home directory; else `workdir` itself.
fn project_of(workdir: &AbsPath, home: &AbsPath) -> AbsPath {
    std::iter::once(workdir.clone())
        .chain(workdir.ancestors())
        .take_while(|dir| !dir.is_root() && !home.is_beneath(dir))
        .find(|dir| dir.to_path_buf().join(".git").exists())
        .unwrap_or_else(|| workdir.clone())
}

fn home_of_caller() -> Option<PathBuf> {
    nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.dir)
}

fn resolve(what: &'static str, path: &Path) -> Result<AbsPath, SurroundingsError> {
    let wrong = |source| SurroundingsError::Resolve { what, path: path.to_path_buf(), source };
    let resolved = std::fs::canonicalize(path).map_err(wrong)?;
    Ok(AbsPath::try_from(resolved.as_path())?)
}

/// Resolves the part of `path` that exists and appends the rest.
pub(super) fn resolve_deepest(path: &Path) -> PathBuf {
    for dir in path.ancestors() {
        if let (Ok(resolved), Ok(rest)) = (std::fs::canonicalize(dir), path.strip_prefix(dir)) {
            return normal(&resolved.join(rest));
        }
    }
    normal(path)
}

/// Without `.` and `..`, by text: used only where nothing exists to ask the kernel about, or where the directory part was
/// just searched and found.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                out.pop();
            }
            std::path::Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}
