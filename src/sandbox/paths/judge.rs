//! What may be made at a place: the rules on names, what git obeys by the shape of a directory, and the second wall.
//!
//! A directory is a repository to git wherever it lies and whatever it is called, if it holds `objects` and `refs`; git runs
//! its `hooks` and obeys its `config`. So these are judged by where they come to lie: hooks are refused, but for the samples
//! that git never runs; a configuration comes to its name only as a copy of which the supervisor has read every key, and is
//! not written again. What was complete before it became a repository is looked at when the last of the two is made.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;

use crate::plan::landlock::Ruleset;
use crate::plan::protect::{LEADS_THERE, Rules, fold};
use crate::sys::paths::{self, Look, Resolve};
use crate::vocab::commands::{self, Commands};
use crate::vocab::landlock::Rights;
use crate::vocab::path::AbsPath;

use super::place::{Place, canonical, text};

/// Entries of a moved directory that are looked at: beyond them the kernel's answer for another file system is given, upon
/// which programs copy.
const ENTRIES: usize = 20_000;
const HOOK: &str = "git runs it outside the sandbox";
const CONFIG: &str = "git obeys it outside the sandbox, and it names programs or cannot be read";
/// A configuration of a repository that is longer than this is none.
const LONGEST: u64 = 1 << 20;

/// Why a call is not made.
#[derive(Debug)]
pub(super) enum Refused {
    /// As the kernel answers.
    Kernel(Errno),
    /// By a rule on names.
    Name { path: Vec<u8>, why: &'static str },
}

impl From<Errno> for Refused {
    fn from(errno: Errno) -> Self {
        Self::Kernel(errno)
    }
}

/// What is to be at a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Making {
    /// A regular file, new or opened to be written.
    File,
    Directory,
    Symlink,
    /// A pipe or a socket.
    Node,
    /// A directory with all that it holds.
    Tree,
}

impl Making {
    pub(super) fn of(look: Look) -> Self {
        match look.mode & libc::S_IFMT {
            libc::S_IFDIR => Self::Tree,
            libc::S_IFLNK => Self::Symlink,
            libc::S_IFREG => Self::File,
            _ => Self::Node,
        }
    }

    pub(super) fn right(self) -> Rights {
        match self {
            Self::File => Rights::MAKE_REG,
            Self::Directory | Self::Tree => Rights::MAKE_DIR,
            Self::Symlink => Rights::MAKE_SYM,
            Self::Node => Rights::MAKE_FIFO.and(Rights::MAKE_SOCK),
        }
    }
}

#[derive(Debug)]
pub(super) struct Judge {
    root: OwnedFd,
    rules: Rules,
    /// Rights of the second wall by place; nothing where it holds no place back.
    rights: Option<(Rights, BTreeMap<Vec<u8>, Rights>)>,
}

impl Judge {
    pub(super) fn new(root: OwnedFd, rules: Rules, wall: Option<&Ruleset>) -> Self {
        let rights = wall.filter(|wall| wall.handled != Rights::NONE).map(|wall| {
            let rules = wall.rules.iter().map(|(place, rights)| (place.as_bytes().to_vec(), *rights));
            (wall.handled, rules.collect())
        });
        Self { root, rules, rights }
    }

    pub(super) fn locate(&self, path: &AbsPath) -> String {
        self.rules.locate(path)
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Whether the second wall gives these rights at `path`; it knows nothing of what made the call.
    pub(super) fn has(&self, path: &[u8], wanted: Rights) -> bool {
        let Some((handled, rules)) = &self.rights else { return true };
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at.max(1));
        let here = ends.chain([path.len()]).filter_map(|end| rules.get(path.get(..end)?));
        here.fold(Rights::NONE, |sum, rights| sum.and(*rights)).hold(wanted.common(*handled))
    }

    /// Whether `making` may come to be at `place`.
    pub(super) fn judge(&self, place: &Place, making: Making) -> Result<(), Refused> {
        let path = place.path();
        if !self.rules.stays(&path) || self.rules.is_granted(&path) {
            return Ok(());
        }
        let refuse = |why| Err(Refused::Name { path: path.clone(), why });
        if let Some(found) = self.rules.protects(&path)
            && !(found.itself && making == Making::Directory)
        {
            return refuse(found.why);
        }
        if making == Making::Symlink && self.rules.leads_to_protected(&path) {
            return refuse(LEADS_THERE);
        }
        self.git(place, making).map_or(Ok(()), refuse)
    }

    /// What git would obey of it.
    fn git(&self, place: &Place, making: Making) -> Option<&'static str> {
        let name = fold(place.name.as_bytes());
        if let Some((repository, below)) = in_last(&place.above, b"hooks") {
            let sample = below.is_empty() && name.ends_with(b".sample") && making == Making::File;
            if !sample && self.is_repository(repository) {
                return Some(HOOK);
            }
        }
        match name.as_slice() {
            b"hooks" if making != Making::Directory && self.is_repository(&place.above) => Some(HOOK),
            b"config" if self.is_repository(&place.above) => Some(CONFIG),
            // Git makes one in what belongs to a working tree alone.
            b"commondir" if !is_by_name(&place.above) && self.is_repository(&place.above) => Some(CONFIG),
            // That of a working tree beside the repository, which need not look like one.
            b"config.worktree" => Some(CONFIG),
            b"objects" | b"refs" if !is_by_name(&place.above) => {
                let other = if name == b"refs" { c"objects" } else { c"refs" };
                let completes = paths::look(&place.parent, other).is_ok();
                (completes && self.verify_repository(&place.parent, &place.above).is_err()).then_some(CONFIG)
            }
            _ => None,
        }
    }

    /// Whether git would take the directory at `path` for a repository.
    fn is_repository(&self, path: &[u8]) -> bool {
        if is_by_name(path) {
            return true;
        }
        let Ok(path) = text(path.get(1..).filter(|rest| !rest.is_empty()).unwrap_or(b".")) else { return true };
        match paths::open(&self.root, &path, libc::O_PATH | libc::O_CLOEXEC, 0, Resolve::IN_ROOT) {
            Ok(dir) => [c"objects", c"refs"].iter().all(|name| paths::look(&dir, name).is_ok()),
            Err(_) => false,
        }
    }

    /// Looks at what a directory holds that becomes a repository, and makes it what nobody has open.
    fn verify_repository(&self, dir: &OwnedFd, above: &[u8]) -> Result<(), Errno> {
        if paths::look(dir, c"commondir").is_ok() {
            return Err(Errno::EPERM);
        }
        for name in [c"config", c"config.worktree"] {
            match paths::look(dir, name) {
                Err(_) => {}
                Ok(look) if look.is(libc::S_IFREG) => {
                    let bytes = read(dir, name)?;
                    self.harmless(&bytes, &Commands::new(), dir, above)?;
                    renew(dir, name, &bytes, look.mode)?;
                }
                Ok(_) => return Err(Errno::EPERM),
            }
        }
        match paths::look(dir, c"hooks") {
            Err(_) => Ok(()),
            Ok(look) if look.is(libc::S_IFDIR) => {
                let hooks = open_directory(dir, c"hooks")?;
                let samples = list(&hooks)?
                    .iter()
                    .all(|(name, kind)| kind.is_file() && name.as_bytes().to_ascii_lowercase().ends_with(b".sample"));
                if samples { Ok(()) } else { Err(Errno::EPERM) }
            }
            Ok(_) => Err(Errno::EPERM),
        }
    }

    /// Whether git may obey this text as the configuration of the repository `dir`, which lies or comes to lie at `above`.
    fn harmless(&self, bytes: &[u8], before: &Commands, dir: &OwnedFd, above: &[u8]) -> Result<(), Errno> {
        let known = AbsPath::new("/.git/config").ok().as_ref().and_then(commands::carrier).ok_or(Errno::EPERM)?;
        let after = known.commands(bytes).map_err(|_| Errno::EPERM)?;
        let trees = commands::work_trees(bytes).map_err(|_| Errno::EPERM)?;
        let known = after.iter().all(|(key, value)| before.get(key) == Some(value));
        if known && trees.iter().all(|tree| stays_within(tree, dir, above)) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Whether a rename to `to` brings a configuration to a repository: then [`configure`](Self::configure) does it.
    pub(super) fn is_configuration(&self, to: &Place) -> bool {
        let path = to.path();
        let named = match fold(to.name.as_bytes()).as_slice() {
            b"config" => self.is_repository(&to.above),
            b"config.worktree" => true,
            _ => false,
        };
        named && self.rules.stays(&path) && !self.rules.is_granted(&path)
    }

    /// In the place of a rename: what lies at `from` comes to `to` as a new file, if it brings no command that was not there.
    pub(super) fn configure(&self, from: &Place, to: &Place) -> Result<(), Refused> {
        let refuse = || Refused::Name { path: to.path(), why: CONFIG };
        let look = paths::look(&from.parent, &from.name)?;
        let there = paths::look(&to.parent, &to.name);
        // As rename(2) says of one file by its own name.
        if from.path() == to.path() {
            return Ok(());
        }
        if look.is_mounted || there.is_ok_and(|there| there.is_mounted) {
            return Err(Errno::EBUSY.into());
        }
        let known = AbsPath::new("/.git/config").ok().as_ref().and_then(commands::carrier);
        let before = match (there, known) {
            (Ok(there), Some(known)) if there.is(libc::S_IFREG) => {
                read(&to.parent, &to.name).ok().and_then(|bytes| known.commands(&bytes).ok()).unwrap_or_default()
            }
            (Ok(_), _) => return Err(refuse()),
            (Err(_), _) => Commands::new(),
        };
        if !look.is(libc::S_IFREG) {
            return Err(refuse());
        }
        let bytes = read(&from.parent, &from.name)?;
        self.harmless(&bytes, &before, &to.parent, &to.above).map_err(|_| refuse())?;
        renew(&to.parent, &to.name, &bytes, look.mode)?;
        nix::unistd::unlinkat(&from.parent, from.name.as_c_str(), nix::unistd::UnlinkatFlags::NoRemoveDir)?;
        Ok(())
    }

    /// Whether the directory at `from` may come to `to` with all that it holds.
    pub(super) fn move_tree(&self, from: &Place, to: &Place) -> Result<(), Refused> {
        let (old, new) = (from.path(), to.path());
        if !self.rules.stays(&new) {
            return Ok(());
        }
        let mut left = ENTRIES;
        let mut ahead = vec![(open_directory(&from.parent, &from.name)?, old, new)];
        while let Some((dir, old, new)) = ahead.pop() {
            // It is one by its name from now on, as may be some that it holds.
            if is_by_name(&new) && !self.is_repository(&old) && self.verify_repository(&dir, &new).is_err() {
                return Err(Refused::Name { path: new, why: CONFIG });
            }
            for (name, kind) in list(&dir)? {
                left = left.checked_sub(1).ok_or(Errno::EXDEV)?;
                let at = |above: &[u8]| [above, name.as_bytes()].join(&b'/');
                let (old, new) = (at(&old), at(&new));
                if let Some(why) = self.brings_about(&old, &new, kind) {
                    return Err(Refused::Name { path: new, why });
                }
                if kind.is_dir() {
                    ahead.push((open_directory(&dir, &text(name.as_bytes())?)?, old, new));
                }
            }
        }
        Ok(())
    }

    /// Why something that is moved from `old` to `new` may not be there, if it was not that before.
    fn brings_about(&self, old: &[u8], new: &[u8], kind: std::fs::FileType) -> Option<&'static str> {
        if self.rules.is_granted(new) {
            return None;
        }
        let found = self.rules.protects(new).filter(|_| self.rules.protects(old).is_none());
        let leads = || kind.is_symlink() && self.rules.leads_to_protected(new) && !self.rules.leads_to_protected(old);
        found.map(|found| found.why).or_else(|| leads().then_some(LEADS_THERE))
    }
}

/// Whether a working tree by this text (`core.worktree`) lies within the directory that holds the repository `dir`: as many steps
/// up as lead there and no further, and behind them, in a submodule alone, names of which none is a symlink by now. Git follows
/// symlinks on this way, unlike on others, and writes where they lead.
fn stays_within(tree: &str, dir: &OwnedFd, above: &[u8]) -> bool {
    let folded: Vec<Vec<u8>> = above.split(|byte| *byte == b'/').map(fold).collect();
    let git = folded.iter().rposition(|part| part == b".git");
    let up = git.map_or(0, |at| folded.len() - at);
    let is_submodule = git.is_some_and(|at| folded.get(at + 1).is_some_and(|part| part == b"modules"));
    let parts: Vec<&str> = tree.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let steps = parts.iter().take_while(|part| **part == "..").count();
    let names = parts.get(steps..).unwrap_or_default();
    if tree.starts_with('/') || steps > up {
        return false;
    }
    if names.is_empty() {
        return true;
    }
    // Of a directory that is still to come to its place the way cannot be looked at.
    let is_there = canonical(dir).is_ok_and(|now| now == above);
    let way = text(tree.as_bytes());
    let symlinks = |way: CString| {
        !matches!(
            paths::open(dir, &way, libc::O_PATH | libc::O_CLOEXEC, 0, Resolve::NO_SYMLINKS),
            Ok(_) | Err(Errno::ENOENT)
        )
    };
    is_submodule && steps == up && !names.contains(&"..") && is_there && way.is_ok_and(|way| !symlinks(way))
}

/// Repositories that git makes by these names.
fn is_by_name(path: &[u8]) -> bool {
    let folded = fold(path);
    let parts: Vec<&[u8]> = folded.split(|byte| *byte == b'/').collect();
    parts.iter().enumerate().filter(|(_, part)| **part == b".git").any(|(at, _)| match parts.get(at + 1..) {
        None | Some([]) => true,
        // Of its submodules and working trees each is one.
        Some([b"modules" | b"worktrees", rest @ ..]) => !rest.is_empty(),
        Some(_) => false,
    })
}

/// What of the path is before its last component that folds to `part`, and what is behind it. A folded name may be shorter or
/// longer than the name.
fn in_last<'p>(path: &'p [u8], part: &[u8]) -> Option<(&'p [u8], &'p [u8])> {
    let mut end = path.len();
    loop {
        let slash = path.get(..end)?.iter().rposition(|byte| *byte == b'/')?;
        if fold(path.get(slash + 1..end)?) == part {
            return Some((path.get(..slash)?, path.get(end..)?));
        }
        end = slash;
    }
}

fn open_directory(dir: &OwnedFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    paths::open(dir, name, flags, 0, Resolve::NO_SYMLINKS)
}

fn list(dir: &OwnedFd) -> Result<Vec<(std::ffi::OsString, std::fs::FileType)>, Errno> {
    let wrong = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    let entries = std::fs::read_dir(format!("/proc/self/fd/{}", dir.as_raw_fd())).map_err(wrong)?;
    entries.map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))).map_err(wrong)).collect()
}

fn read(dir: &OwnedFd, name: &CStr) -> Result<Vec<u8>, Errno> {
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = paths::open(dir, name, flags, 0, Resolve::NO_SYMLINKS)?;
    let mut bytes = Vec::new();
    let read = std::fs::File::from(file).take(LONGEST + 1).read_to_end(&mut bytes);
    match read {
        Ok(_) if bytes.len() as u64 <= LONGEST => Ok(bytes),
        Ok(_) => Err(Errno::EFBIG),
        Err(error) => Err(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))),
    }
}

/// Puts `bytes` to the name as a file that nobody has open: nobody can open one to be written while this runs.
fn renew(dir: &OwnedFd, name: &CStr, bytes: &[u8], mode: u32) -> Result<(), Errno> {
    let temporary = text(format!(".{}.pinfold-{}", name.to_string_lossy(), std::process::id()).as_bytes())?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    let file = paths::open(dir, &temporary, flags, mode & 0o777, Resolve::NO_SYMLINKS)?;
    let written = std::fs::File::from(file).write_all(bytes);
    let written = written.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)));
    written.and_then(|()| paths::rename(dir, &temporary, dir, name, 0)).inspect_err(|_| {
        nix::unistd::unlinkat(dir, temporary.as_c_str(), nix::unistd::UnlinkatFlags::NoRemoveDir).ok();
    })
}

/// The canonical path of an open file; `None` for what has no name.
pub(super) fn name_of(file: &OwnedFd) -> Option<Vec<u8>> {
    canonical(file).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_known_by_the_names_that_git_gives_them() {
        for path in [
            "/p/.git",
            "/p/a/.GIT",
            "/p/.git/modules/sub",
            "/p/.git/modules/a/b",
            "/p/.git/worktrees/w",
            "/p/.git/x/.git",
        ] {
            assert!(is_by_name(path.as_bytes()), "{path}");
        }
        for path in ["/p", "/p/.git/objects", "/p/.git/modules", "/p/.gitx", "/p/git"] {
            assert!(!is_by_name(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn the_last_directory_of_hooks_is_found_as_a_whole_component_in_any_disguise() {
        let before = |path: &'static str| {
            in_last(path.as_bytes(), b"hooks")
                .map(|(before, below)| (std::str::from_utf8(before).unwrap(), std::str::from_utf8(below).unwrap()))
        };
        assert_eq!(before("/p/.git/hooks"), Some(("/p/.git", "")));
        assert_eq!(before("/p/hooks/.git/hooks/x"), Some(("/p/hooks/.git", "/x")));
        assert_eq!(before("/p/hooksx"), None);
        assert_eq!(before("/p/\u{212a}/.git/hoo\u{212a}s"), Some(("/p/\u{212a}/.git", "")));
        assert_eq!(before("/p/a\u{200b}b/.git/HOOKS/x"), Some(("/p/a\u{200b}b/.git", "/x")));
    }
}
