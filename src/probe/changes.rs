//! What a run left in the directories that it could write: what a person should look at before the host runs it.
//!
//! Told by the time of the last change of an inode (ctime), which no program can set: what is younger than the start of the
//! run was changed while it ran, by the run or by somebody else. A file that moved with its directory keeps its time, so
//! what lies in a directory that is new at its place counts as changed, too.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;

use serde::{Deserialize, Serialize};

use crate::plan::protect::{LEADS_THERE, Rules, SHAPE, as_in_git};
use crate::vocab::commands::{self, Commands};
use crate::vocab::location::{Base, Roots};
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::{Sensitivity, covering};

use super::links;

/// Entries that are looked at, in all: beyond them the report says that it is not whole.
const ENTRIES: usize = 200_000;
/// Findings that are kept.
const FINDINGS: usize = 10_000;
/// A file with commands that is longer than this is not read.
const LONGEST: u64 = 16 << 20;
/// And one that is longer than this is not kept to be put back.
const KEPT: u64 = 4 << 20;

/// One thing that changed, and why it matters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where.
    pub path: AbsPath,
    /// Whether it was made in that time, as far as the file system tells.
    pub new: bool,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
}

/// Why a change matters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// A name that the host executes or obeys.
    HostExecutes {
        /// In words.
        why: String,
    },
    /// A set-user-id or set-group-id bit.
    SetId {
        /// The permission bits.
        mode: u32,
    },
    /// A symlink to somewhere outside of what could be written.
    LeadsOut {
        /// Its text, escaped as in files.
        to: String,
    },
    /// A symlink of an agent's own, to what the profile lets it read: codex makes three to itself in each run.
    LeadsToRead {
        /// Its text, escaped as in files.
        to: String,
    },
    /// Keys that name commands, in a file that carries some.
    Commands {
        /// In words.
        why: String,
        /// Keys with their values before and after; before is unknown for a file that was not looked at before the run.
        keys: Vec<Key>,
        /// Whether the file was looked at before the run.
        compared: bool,
        /// Where its commands are not known: a value that is not known stands as none in the keys.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unread: Option<Unread>,
    },
    /// A file that can be executed.
    Executable,
}

/// One key that names a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Dotted.
    pub key: String,
    /// Its value before the run.
    pub before: Option<String>,
    /// Its value now.
    pub after: Option<String>,
}

/// Why the commands of a file are not known, in words: before the run, now, or both times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// Before the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
}

/// The commands of a file, or why they are not known.
type Named = Result<Commands, String>;

/// What changed in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Each, in order of importance and path.
    pub found: Vec<Change>,
    /// Whether everything was looked at.
    pub whole: bool,
}

/// What is looked at before a run, to compare with.
#[derive(Debug)]
pub struct Before {
    roots: Vec<AbsPath>,
    /// What else the run may read.
    readable: Vec<AbsPath>,
    since: (i64, i64),
    carriers: BTreeMap<AbsPath, Named>,
    /// The same files as they were, to be put back.
    texts: BTreeMap<AbsPath, Vec<u8>>,
}

impl Before {
    /// Before a run that can write `roots` and read what is `readable`, which are files or directories.
    pub fn look(roots: Vec<AbsPath>, readable: Vec<AbsPath>) -> Self {
        let (mut carriers, mut texts) = (BTreeMap::new(), BTreeMap::new());
        let mut keep = |path: AbsPath| {
            if let Some(commands) = read(&path, &path) {
                texts.extend(text(&path).map(|text| (path.clone(), text)));
                carriers.insert(path, commands);
            }
        };
        for root in &roots {
            keep(root.clone());
            commands::table().iter().filter_map(|row| root.join(row.path).ok()).for_each(&mut keep);
        }
        // The clock that file times are taken from: it may be some milliseconds behind the precise one.
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_REALTIME_COARSE);
        Self { roots, readable, since: now.map_or((0, 0), |now| (now.tv_sec(), now.tv_nsec())), carriers, texts }
    }

    /// A file with commands as it was before the run.
    pub fn text(&self, path: &AbsPath) -> Option<&[u8]> {
        self.texts.get(path).map(Vec::as_slice)
    }

    /// Whether something was changed since, and whether it was made.
    fn ages(&self, meta: &std::fs::Metadata) -> (bool, bool) {
        let younger = |time: (i64, i64)| time >= self.since;
        let born = meta.created().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let born = born
            .is_some_and(|born| younger((i64::try_from(born.as_secs()).unwrap_or(0), i64::from(born.subsec_nanos()))));
        (younger((meta.ctime(), meta.ctime_nsec())), born)
    }

    /// What changed since.
    pub fn changes(&self, variables: &Roots) -> Changes {
        let mut walk = Walk {
            before: self,
            variables,
            rules: OnceCell::new(),
            left: ENTRIES,
            changes: Changes { found: Vec::new(), whole: true },
        };
        // First, and whatever their times say: no number of other files hides them, and what one leads to may have changed.
        for path in self.carriers.keys() {
            if let Some(after) = read(path, path) {
                let born = std::fs::symlink_metadata(path.to_path_buf()).is_ok_and(|meta| self.ages(&meta).1);
                walk.commands(path, path, born, after);
            }
        }
        for root in &self.roots {
            let inside_another = self.roots.iter().any(|other| other != root && root.is_beneath(other));
            if !inside_another {
                walk.visit(root, false);
            }
        }
        let order = |change: &Change| match change.what {
            What::SetId { .. } => 0_u8,
            What::HostExecutes { .. } => 1,
            What::Commands { .. } => 2,
            What::LeadsOut { .. } => 3,
            What::LeadsToRead { .. } => 4,
            What::Executable => 5,
        };
        walk.changes.found.sort_by(|a, b| (order(a), &a.path).cmp(&(order(b), &b.path)));
        walk.changes
    }
}

/// The commands of a file that carries some by the name `called`, or why they are not known; `None`: no such file. A symlink
/// carries what it leads to: so it is read.
fn read(path: &AbsPath, called: &AbsPath) -> Option<Named> {
    let row = commands::carrier(called)?;
    let is_link = std::fs::symlink_metadata(path.to_path_buf()).ok()?.is_symlink();
    let Some(meta) = std::fs::metadata(path.to_path_buf()).ok().filter(std::fs::Metadata::is_file) else {
        return is_link.then(|| Err("it is a symlink that leads to no file".to_owned()));
    };
    if meta.len() > LONGEST {
        return Some(Err(format!("it is longer than {} MiB", LONGEST >> 20)));
    }
    let bytes = std::fs::read(path.to_path_buf()).map_err(|error| format!("it cannot be opened ({})", error.kind()));
    Some(bytes.and_then(|bytes| row.commands(&bytes).map_err(|error| error.to_string())))
}

/// What a file with commands holds, where it is small enough to be kept.
fn text(path: &AbsPath) -> Option<Vec<u8>> {
    let meta = std::fs::symlink_metadata(path.to_path_buf()).ok().filter(std::fs::Metadata::is_file)?;
    (meta.len() <= KEPT).then(|| std::fs::read(path.to_path_buf()).ok()).flatten()
}

/// Whether git takes a directory for a repository by its shape.
fn is_repository(dir: &AbsPath) -> bool {
    let there = |name: &&str| dir.join(name).is_ok_and(|path| path.to_path_buf().symlink_metadata().is_ok());
    SHAPE.iter().all(there)
}

struct Walk<'a> {
    before: &'a Before,
    variables: &'a Roots,
    /// Made for the first symlink: most runs make none.
    rules: OnceCell<Rules>,
    left: usize,
    changes: Changes,
}

impl Walk<'_> {
    fn visit(&mut self, place: &AbsPath, moved: bool) {
        let Ok(meta) = std::fs::symlink_metadata(place.to_path_buf()) else { return };
        if self.left == 0 {
            self.changes.whole = false;
            return;
        }
        self.left -= 1;
        let (younger, born) = self.before.ages(&meta);
        let changed = moved || younger;
        if meta.is_dir() {
            // A directory that an entry was added to has a new time as well, but not a new place: its parent tells.
            self.list(place, moved || born);
        } else if changed {
            self.judge(place, &meta, born);
        }
        if changed && meta.is_dir() && meta.mode() & 0o6000 != 0 && born {
            self.add(place, born, What::SetId { mode: meta.mode() & 0o7777 });
        }
    }

    fn list(&mut self, dir: &AbsPath, moved: bool) {
        let Ok(entries) = std::fs::read_dir(dir.to_path_buf()) else {
            self.changes.whole = false;
            return;
        };
        // Thousands of files of which git reads none as a program.
        if dir.as_bytes().ends_with(b"/.git/objects") {
            return;
        }
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        let becomes = SHAPE.iter().all(|name| names.iter().any(|known| known == name)) && self.becomes_repository(dir);
        for name in names {
            if let Ok(path) = dir.join(name.as_bytes()) {
                self.visit(&path, moved || becomes && as_in_git(&path, |above| above == dir).is_some());
            }
        }
    }

    /// Whether git takes a directory for a repository, by its shape, since one of the two came to it that make it one.
    fn becomes_repository(&self, dir: &AbsPath) -> bool {
        let times = SHAPE.map(|name| {
            let meta = std::fs::symlink_metadata(dir.join(name).ok()?.to_path_buf()).ok()?;
            Some((meta.ctime(), meta.ctime_nsec()))
        });
        times.iter().all(Option::is_some) && times.into_iter().flatten().any(|time| time >= self.before.since)
    }

    fn judge(&mut self, place: &AbsPath, meta: &std::fs::Metadata, born: bool) {
        if meta.is_file() && meta.mode() & 0o6000 != 0 {
            self.add(place, born, What::SetId { mode: meta.mode() & 0o7777 });
        }
        let called = as_in_git(place, is_repository);
        let called = called.as_ref().unwrap_or(place);
        let row = covering(called, self.variables).into_iter().find(|row| row.sensitivity == Sensitivity::HostExecutes);
        if let Some(row) = row {
            self.add(place, born, What::HostExecutes { why: row.why.to_owned() });
        }
        if meta.is_symlink() {
            self.symlink(place, born);
        }
        if !self.before.carriers.contains_key(place)
            && let Some(after) = read(place, called)
        {
            self.commands(place, called, born, after);
        }
        if meta.is_file() && meta.mode() & 0o111 != 0 && row.is_none() {
            self.add(place, born, What::Executable);
        }
    }

    fn symlink(&mut self, place: &AbsPath, born: bool) {
        let Ok(text) = std::fs::read_link(place.to_path_buf()) else { return };
        let rules = self.rules.get_or_init(|| Rules::of_the_table(self.variables));
        if rules.leads_to_protected(place.as_bytes()) {
            self.add(place, born, What::HostExecutes { why: LEADS_THERE.to_owned() });
        }
        let target = links::Looks::default().resolve(place).1;
        // One that leads nowhere may lead somewhere tomorrow: its text counts.
        let target =
            target.or_else(|| place.parent().and_then(|dir| links::by_text(&dir, text.as_os_str().as_bytes())));
        let within = |places: &[AbsPath]| {
            let beneath = |target: &AbsPath| places.iter().any(|top| target.is_beneath(top));
            target.as_ref().is_some_and(beneath)
        };
        if within(&self.before.roots) {
            return;
        }
        let to = crate::vocab::escape::file(text.as_os_str().as_bytes());
        // What works in a project follows its links, and may write or remove what lies behind them.
        let projects = self.variables.get(Base::Project).is_none_or(|project| place.is_beneath(&project));
        let known = !projects && within(&self.before.readable);
        self.add(place, born, if known { What::LeadsToRead { to } } else { What::LeadsOut { to } });
    }

    fn commands(&mut self, place: &AbsPath, called: &AbsPath, born: bool, after: Named) {
        let Some(row) = commands::carrier(called) else { return };
        let known = self.before.carriers.get(place);
        let compared = known.is_some() || born;
        let before = known.cloned().unwrap_or_else(|| Ok(Commands::new()));
        if before.is_err() && after.is_err() && self.is_as_it_was(place) {
            return;
        }
        let unread = Unread { before: before.as_ref().err().cloned(), now: after.as_ref().err().cloned() };
        let unread = Some(unread).filter(|unread| unread.before.is_some() || unread.now.is_some());
        let keys: Vec<Key> = commands::changes(&before.unwrap_or_default(), &after.unwrap_or_default())
            .into_iter()
            .map(|(key, before, after)| Key { key, before, after })
            .collect();
        if !keys.is_empty() || unread.is_some() {
            self.add(place, born, What::Commands { why: row.why.to_owned(), keys, compared, unread });
        }
    }

    /// Whether a file that cannot be read as what it is has the bytes that it had; where they were not kept, the time.
    fn is_as_it_was(&self, place: &AbsPath) -> bool {
        match self.before.text(place) {
            Some(old) => text(place).as_deref() == Some(old),
            None => {
                let meta = std::fs::symlink_metadata(place.to_path_buf());
                meta.is_ok_and(|meta| !self.before.ages(&meta).0)
            }
        }
    }

    fn add(&mut self, path: &AbsPath, new: bool, what: What) {
        if self.changes.found.len() < FINDINGS {
            self.changes.found.push(Change { path: path.clone(), new, what });
        } else {
            self.changes.whole = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::location::Base;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn tree(name: &str) -> AbsPath {
        let dir = std::env::temp_dir().join(format!("pinfold-changes-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        AbsPath::try_from(std::fs::canonicalize(dir).unwrap().as_path()).unwrap()
    }

    fn kinds(changes: &Changes, root: &AbsPath) -> Vec<(String, String)> {
        let word = |change: &Change| serde_json::to_value(change).unwrap()["kind"].as_str().unwrap().to_owned();
        let name = |change: &Change| String::from_utf8(change.path.relative_to(root).unwrap().to_vec()).unwrap();
        changes.found.iter().map(|change| (word(change), name(change))).collect()
    }

    /// What is told of the commands of a file that held `before` and holds `after`.
    fn of_commands(name: &str, before: &str, after: &str) -> Option<(Vec<Key>, Option<Unread>)> {
        let root = tree(name);
        let file = root.join("package.json").unwrap().to_path_buf();
        std::fs::write(&file, before).unwrap();
        let look = Before::look(vec![root.clone()], Vec::new());
        std::fs::write(&file, after).unwrap();
        let changes = look.changes(&Roots(BTreeMap::from([(Base::Project, root.clone())])));
        std::fs::remove_dir_all(root.to_path_buf()).unwrap();
        changes.found.into_iter().find_map(|change| match change.what {
            What::Commands { keys, unread, compared: true, .. } => Some((keys, unread)),
            _ => None,
        })
    }

    #[test]
    fn of_a_file_that_cannot_be_read_it_is_told_when_and_what_it_names_at_the_other_time() {
        let scripts = r#"{"scripts": {"test": "a"}}"#;
        let key = |before: Option<&str>, after: Option<&str>| Key {
            key: "scripts.test".to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        let format = || Some("it cannot be read in its format".to_owned());
        let now = Unread { before: None, now: format() };
        assert_eq!(of_commands("now", scripts, "{"), Some((vec![key(Some("\"a\""), None)], Some(now))));
        let then = Unread { before: format(), now: None };
        assert_eq!(of_commands("then", "{", scripts), Some((vec![key(None, Some("\"a\""))], Some(then))));
        let both = Unread { before: format(), now: format() };
        assert_eq!(of_commands("both", "{", "{{"), Some((Vec::new(), Some(both))));
        assert_eq!(of_commands("same", "{", "{"), None);
        assert_eq!(of_commands("none", "{}", "{ }"), None);
    }

    #[test]
    fn what_a_run_left_is_told_and_what_lay_there_before_is_not() {
        let root = tree("left");
        let at = |name: &str| root.join(name).unwrap().to_path_buf();
        std::fs::write(at("old.sh"), "x").unwrap();
        std::fs::set_permissions(at("old.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(at("package.json"), r#"{"scripts": {"test": "a"}}"#).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let before = Before::look(vec![root.clone()], Vec::new());
        let roots = Roots(BTreeMap::from([(Base::Project, root.clone())]));
        assert_eq!(before.changes(&roots).found, []);
        std::fs::write(at("tool"), "x").unwrap();
        std::fs::set_permissions(at("tool"), std::fs::Permissions::from_mode(0o4755)).unwrap();
        std::fs::write(at(".envrc"), "x").unwrap();
        symlink("/etc/passwd", at("out")).unwrap();
        symlink("nowhere", at("in")).unwrap();
        std::fs::write(at("package.json"), r#"{"scripts": {"test": "b"}}"#).unwrap();
        let changes = before.changes(&roots);
        let wanted = [
            ("set-id", "tool"),
            ("host-executes", ".envrc"),
            ("commands", "package.json"),
            ("leads-out", "out"),
            ("executable", "tool"),
        ];
        assert_eq!(kinds(&changes, &root), wanted.map(|(kind, name)| (kind.to_owned(), name.to_owned())));
        assert!(changes.whole);
        let text = serde_json::to_string(&changes).unwrap();
        assert_eq!(serde_json::from_str::<Changes>(&text).unwrap(), changes);
        std::fs::remove_dir_all(root.to_path_buf()).unwrap();
    }

    #[test]
    fn a_file_with_commands_that_became_a_symlink_is_told_by_what_it_leads_to() {
        let root = tree("led");
        let at = |name: &str| root.join(name).unwrap().to_path_buf();
        std::fs::write(at("package.json"), r#"{"scripts": {"test": "mine"}}"#).unwrap();
        std::fs::write(at("held.json"), r#"{"scripts": {"test": "mine"}}"#).unwrap();
        symlink("held.json", at("composer.json")).unwrap();
        let before = Before::look(vec![root.clone()], Vec::new());
        let roots = Roots(BTreeMap::from([(Base::Project, root.clone())]));
        assert_eq!(before.changes(&roots).found, []);
        std::fs::write(at("evil"), r#"{"scripts": {"test": "evil"}}"#).unwrap();
        std::fs::remove_file(at("package.json")).unwrap();
        symlink("evil", at("package.json")).unwrap();
        std::fs::write(at("held.json"), r#"{"scripts": {"test": "evil"}}"#).unwrap();
        let wanted = [("commands", "composer.json"), ("commands", "package.json")];
        let wanted = wanted.map(|(kind, name)| (kind.to_owned(), name.to_owned()));
        assert_eq!(kinds(&before.changes(&roots), &root), wanted);
        std::fs::remove_dir_all(root.to_path_buf()).unwrap();
    }

    #[test]
    fn no_crowd_of_files_hides_changed_commands() {
        let root = tree("crowd");
        let at = |name: &str| root.join(name).unwrap().to_path_buf();
        std::fs::write(at("package.json"), r#"{"scripts": {"test": "mine"}}"#).unwrap();
        let before = Before::look(vec![root.clone()], Vec::new());
        for number in 0..=FINDINGS {
            std::fs::write(at(&format!("a{number}")), "").unwrap();
            std::fs::set_permissions(at(&format!("a{number}")), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        std::fs::write(at("package.json"), r#"{"scripts": {"test": "evil"}}"#).unwrap();
        let changes = before.changes(&Roots(BTreeMap::from([(Base::Project, root.clone())])));
        assert!(!changes.whole, "the control: there are too many to be told");
        assert_eq!(kinds(&changes, &root)[0], ("commands".to_owned(), "package.json".to_owned()));
        std::fs::remove_dir_all(root.to_path_buf()).unwrap();
    }

    #[test]
    fn what_git_would_obey_in_a_directory_that_looks_like_a_repository_is_told() {
        let root = tree("shape");
        let at = |name: &str| root.join(name).unwrap().to_path_buf();
        for name in ["a/hooks", "a/refs", "b/hooks", "b/refs", "c/objects", "c/refs", "plain/hooks"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        for name in ["b/hooks/post-commit", "b/hooks/x.sample", "b/config", "c/config"] {
            std::fs::write(at(name), "[core]\nfsmonitor = evil\n").unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        let before = Before::look(vec![root.clone()], Vec::new());
        let roots = Roots(BTreeMap::from([(Base::Project, root.clone())]));
        for name in ["a/hooks/post-commit", "a/config", "plain/hooks/x", "plain/config"] {
            std::fs::write(at(name), "[core]\nfsmonitor = evil\n").unwrap();
        }
        assert_eq!(kinds(&before.changes(&roots), &root), [], "no repository yet");
        for name in ["a/objects", "b/objects"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        let told: std::collections::BTreeSet<(String, String)> =
            kinds(&before.changes(&roots), &root).into_iter().collect();
        let hook = |name: &str| ("host-executes".to_owned(), name.to_owned());
        let config = |name: &str| ("commands".to_owned(), name.to_owned());
        let wanted = [hook("a/config"), hook("a/hooks/post-commit"), hook("b/config"), hook("b/hooks/post-commit")];
        assert_eq!(told, wanted.into_iter().chain([config("a/config"), config("b/config")]).collect());
        std::fs::remove_dir_all(root.to_path_buf()).unwrap();
    }
}
