//! What a run with `--overlay` changed and what waits for a person → a list, and the project with those changes that a person
//! takes.
//!
//! A change is whatever the layer has otherwise than the project. So a review that is interrupted goes on where it was: what was
//! taken is no change any more. Invariant: a change is written below the project and nowhere else, whatever symlinks lie there
//! or in the layer; a file comes to its name whole; bits that give rights are left out.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::plan::layer::Layer;
use crate::plan::protect::{LEADS_THERE, Rules, SHAPE, as_in_git};
use crate::store::layers::Room;
use crate::store::{Store, StoreError};
use crate::vocab::commands;
use crate::vocab::escape;
use crate::vocab::location::Roots;
use crate::vocab::path::{AbsPath, goes_up_behind_a_name};
use crate::vocab::sensitivity::{Sensitivity, covering};

use super::take;

/// A file with commands that is longer than this is not read.
const LONGEST: u64 = 16 << 20;

/// Why changes cannot be looked at or taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// A run or a review has them.
    #[error("the changes of this profile are in use by another run or review")]
    InUse,
    /// They belong to another directory.
    #[error("changes of `{0}` wait under this profile")]
    Elsewhere(AbsPath),
    /// The run may not write there.
    #[error("the profile lets `{0}` not be written by a line of its own: there is nothing to put a layer over")]
    Nothing(AbsPath),
    /// A file failed.
    #[error("cannot {what} `{path}`")]
    File {
        /// What was to be done.
        what: &'static str,
        /// With which, escaped as in files.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the layer does to a name of the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// It was not there.
    Made,
    /// It was there, with other contents or another mode.
    Changed,
    /// It is there no more.
    Removed,
}

/// One change that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Below the project.
    pub path: PathBuf,
    /// What happened to it.
    pub way: Way,
    /// Why a person should look at just this one; each in words, escaped.
    pub warnings: Vec<String>,
}

/// The changes of a profile's runs, held by this process alone.
#[derive(Debug)]
pub struct Held {
    room: Room,
    layer: Layer,
    /// When the first of these runs began.
    since: (i64, i64),
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LayerError {
    let path = escape::file(path.as_os_str().as_bytes());
    move |source| LayerError::File { what, path, source }
}

impl Held {
    /// Those that wait; `None` where there are none.
    pub fn open(store: &Store, profile: &Path) -> Result<Option<Self>, LayerError> {
        let room = store.room(profile)?.ok_or(LayerError::InUse)?;
        match fs::read(room.path.join("place")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &room.path.join("place"))(error)),
            Ok(place) => {
                let place = AbsPath::new(place)
                    .map_err(|_| failed("read", &room.path.join("place"))(io::Error::other("it holds no path")))?;
                Self::of(room, place).map(Some)
            }
        }
    }

    /// Room for the changes of a run in `place`; those that wait already are seen by the run.
    pub fn make(store: &Store, profile: &Path, place: &AbsPath) -> Result<Self, LayerError> {
        if let Some(held) = Self::open(store, profile)? {
            return if held.layer.place == *place { Ok(held) } else { Err(LayerError::Elsewhere(held.layer.place)) };
        }
        let room = store.room(profile)?.ok_or(LayerError::InUse)?;
        for name in ["upper", "work"] {
            let path = room.path.join(name);
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("make", &path)(error)),
                Ok(()) | Err(_) => {}
            }
        }
        // The top of the layer is what is seen as the project.
        let upper = room.path.join("upper");
        let mode = fs::metadata(place.to_path_buf()).map_err(failed("read", &place.to_path_buf()))?.mode() & 0o777;
        fs::set_permissions(&upper, fs::Permissions::from_mode(mode)).map_err(failed("change", &upper))?;
        let begun = room.path.join("place");
        fs::write(&begun, place.as_bytes()).map_err(failed("write", &begun))?;
        Self::of(room, place.clone())
    }

    fn of(room: Room, place: AbsPath) -> Result<Self, LayerError> {
        let begun = room.path.join("place");
        let meta = fs::metadata(&begun).map_err(failed("read", &begun))?;
        let within = |name: &str| {
            let path = room.path.join(name);
            AbsPath::new(path.as_os_str().as_bytes()).map_err(|_| failed("use", &path)(io::Error::other("no path")))
        };
        let layer = Layer { place, upper: within("upper")?, work: within("work")? };
        Ok(Self { since: (meta.mtime(), meta.mtime_nsec()), layer, room })
    }

    /// As it is put over the project.
    pub fn layer(&self) -> &Layer {
        &self.layer
    }

    /// A path of the project, as it is.
    pub fn below(&self, path: &Path) -> PathBuf {
        self.layer.place.to_path_buf().join(path)
    }

    /// The same in the layer.
    pub fn above(&self, path: &Path) -> PathBuf {
        self.layer.upper.to_path_buf().join(path)
    }

    /// Every change that waits, in order of paths.
    pub fn waiting(&self, roots: &Roots) -> Result<Vec<Waiting>, LayerError> {
        let mut found = BTreeMap::new();
        self.list(Path::new(""), false, &mut found)?;
        let rules = Rules::of_the_table(roots);
        let told = found.into_iter().map(|(path, way)| {
            let warnings = self.warnings(&path, way, roots, &rules);
            Waiting { path, way, warnings }
        });
        Ok(told.collect())
    }

    /// `hides`: whether what the project has here does not shine through.
    fn list(&self, dir: &Path, hides: bool, found: &mut BTreeMap<PathBuf, Way>) -> Result<(), LayerError> {
        let upper = self.above(dir);
        let_in(&upper, 0o700);
        let names = names(&upper)?;
        let hides = hides || is_opaque(&upper);
        if hides {
            for name in or_none(self::names(&self.below(dir)))? {
                if !names.contains(&name) {
                    found.insert(dir.join(name), Way::Removed);
                }
            }
        }
        for name in names {
            let path = dir.join(&name);
            let above = self.above(&path);
            let meta = fs::symlink_metadata(&above).map_err(failed("read", &above))?;
            let before = fs::symlink_metadata(self.below(&path)).ok();
            if is_whiteout(&meta) {
                before.map(|_| found.insert(path, Way::Removed));
            } else if meta.is_dir() {
                let merges = before.as_ref().is_some_and(Metadata::is_dir);
                if !merges {
                    found.insert(path.clone(), if before.is_some() { Way::Changed } else { Way::Made });
                }
                self.list(&path, hides && merges, found)?;
            } else {
                if meta.is_file() {
                    let_in(&above, 0o400);
                }
                match before {
                    None => drop(found.insert(path, Way::Made)),
                    Some(before) if !same(&above, &meta, &self.below(&path), &before) => {
                        found.insert(path, Way::Changed);
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    fn warnings(&self, path: &Path, way: Way, roots: &Roots, rules: &Rules) -> Vec<String> {
        let mut said = Vec::new();
        let (above, below) = (self.above(path), self.below(path));
        let Ok(place) = AbsPath::new(below.as_os_str().as_bytes()) else {
            return vec!["its name is no path".to_owned()];
        };
        let called = as_in_git(&place, |dir| self.is_repository(dir));
        let called = called.as_ref().unwrap_or(&place);
        let row = covering(called, roots).into_iter().find(|row| row.sensitivity == Sensitivity::HostExecutes);
        // The table as it is written, and as a file system that ignores case reads it.
        let why = row.map(|row| row.why).or_else(|| Some(rules.protects(place.as_bytes())?.why));
        said.extend(why.map(str::to_owned));
        if SHAPE.iter().any(|name| place.file_name() == Some(name.as_bytes()))
            && way != Way::Removed
            && place.parent().is_some_and(|dir| as_in_git(&place, |_| false).is_none() && self.is_repository(&dir))
        {
            said.push("with it git takes the directory for a repository, and obeys what it holds".to_owned());
        }
        if let Ok(meta) = fs::symlink_metadata(&below)
            && !meta.is_dir()
            && (meta.ctime(), meta.ctime_nsec()) >= self.since
        {
            said.push("the project's own was changed since the run began: that change would be lost".to_owned());
        }
        let Some(meta) = fs::symlink_metadata(&above).ok().filter(|meta| way != Way::Removed && !is_whiteout(meta))
        else {
            return said;
        };
        if !meta.is_dir() && fs::symlink_metadata(&below).is_ok_and(|before| before.is_dir()) {
            said.push(
                "it is no directory any more, and was a directory: all that it holds would be removed".to_owned(),
            );
        }
        if meta.is_symlink() {
            let text = fs::read_link(&above).unwrap_or_default();
            let up = text.components().filter(|part| *part == std::path::Component::ParentDir).count();
            let unclear = goes_up_behind_a_name(text.as_os_str().as_bytes());
            said.extend(rules.leads_to_protected(place.as_bytes()).then(|| LEADS_THERE.to_owned()));
            let to = || escape::file(text.as_os_str().as_bytes());
            said.extend(commands::carrier(called).map(|row| format!("{}, and is a symlink to `{}`", row.why, to())));
            if text.is_absolute() || unclear || up >= path.components().count() {
                said.push(format!("a symlink that leads out, to `{}`", to()));
            }
        } else if meta.is_file() {
            if meta.mode() & 0o6000 != 0 {
                said.push("it asks for the rights of its owner: those bits are left out".to_owned());
            }
            said.extend(commands_in(called, &below, &above));
        } else if !meta.is_dir() {
            said.push("it is no file, directory or symlink: it cannot be taken".to_owned());
        }
        said
    }

    /// Whether git takes a directory for a repository, with the changes, by its shape.
    fn is_repository(&self, dir: &AbsPath) -> bool {
        let Some(below) = dir.relative_to(&self.layer.place) else { return false };
        let there = |name: &&str| {
            let path = Path::new(std::ffi::OsStr::from_bytes(below)).join(name);
            match fs::symlink_metadata(self.above(&path)) {
                Ok(meta) => !is_whiteout(&meta),
                Err(_) => fs::symlink_metadata(self.below(&path)).is_ok(),
            }
        };
        SHAPE.iter().all(there)
    }

    /// Makes one change in the project.
    pub fn take(&self, waiting: &Waiting) -> Result<(), LayerError> {
        let path = &waiting.path;
        take::take(&self.layer, path, waiting.way == Way::Removed).map_err(failed("take", path))
    }

    /// Throws away what waits.
    pub fn discard(self) -> Result<(), LayerError> {
        // Directories of the kernel's own have no mode at all.
        let work = self.room.path.join("work/work");
        fs::set_permissions(&work, fs::Permissions::from_mode(0o700)).ok();
        for name in ["upper", "work"] {
            let path = self.room.path.join(name);
            take::open_up(&path);
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &path)(error)),
                Ok(()) | Err(_) => {}
            }
        }
        // Last: as long as it is there, something waits.
        let begun = self.room.path.join("place");
        fs::remove_file(&begun).map_err(failed("remove", &begun))
    }
}

/// Gives the owner of the layer these rights to something in it that is no symlink: a program may have taken them away.
fn let_in(place: &Path, rights: u32) {
    if let Ok(meta) = fs::symlink_metadata(place)
        && meta.mode() & rights != rights
    {
        // Where it fails, so does what follows.
        fs::set_permissions(place, fs::Permissions::from_mode(meta.mode() & 0o777 | rights)).ok();
    }
}

fn names(dir: &Path) -> Result<Vec<OsString>, LayerError> {
    let entries = fs::read_dir(dir).map_err(failed("list", dir))?;
    let names: io::Result<Vec<OsString>> = entries.map(|entry| entry.map(|entry| entry.file_name())).collect();
    names.map_err(failed("list", dir))
}

/// No names where there is no such directory; one that cannot be listed hides what would be removed.
fn or_none(names: Result<Vec<OsString>, LayerError>) -> Result<Vec<OsString>, LayerError> {
    match names {
        Err(LayerError::File { source, .. })
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(Vec::new())
        }
        other => other,
    }
}

/// What stands for a name that was removed (overlayfs): a character device 0, 0.
fn is_whiteout(meta: &Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == 0
}

fn is_opaque(dir: &Path) -> bool {
    let path = std::ffi::CString::new(dir.as_os_str().as_bytes());
    path.is_ok_and(|path| crate::sys::xattr::get(&path, c"user.overlay.opaque").is_ok_and(|value| value == b"y"))
}

/// Whether two names have the same contents and the same mode; times do not count.
fn same(a: &Path, of_a: &Metadata, b: &Path, of_b: &Metadata) -> bool {
    if of_a.is_symlink() && of_b.is_symlink() {
        return matches!((fs::read_link(a), fs::read_link(b)), (Ok(a), Ok(b)) if a == b);
    }
    let alike = of_a.is_file() && of_b.is_file() && of_a.len() == of_b.len();
    alike && of_a.mode() & 0o777 == of_b.mode() & 0o777 && take::same_bytes(a, b).unwrap_or(false)
}

/// Keys that name commands and that the change would set, in words.
fn commands_in(place: &AbsPath, before: &Path, after: &Path) -> Vec<String> {
    let Some(row) = commands::carrier(place) else { return Vec::new() };
    let read = |path: &Path| {
        let meta = fs::symlink_metadata(path).ok()?;
        (meta.is_file() && meta.len() <= LONGEST).then(|| row.commands(&fs::read(path).ok()?).ok()).flatten()
    };
    let Some(new) = read(after) else { return vec![format!("{}, and cannot be read as such", row.why)] };
    let old = read(before);
    // What could not be read was not nothing.
    let was = if old.is_some() || fs::symlink_metadata(before).is_err() { "nothing" } else { "what is not known" };
    let shown = |value: Option<String>, none: &str| escape::file(value.as_deref().unwrap_or(none).as_bytes());
    commands::changes(&old.unwrap_or_default(), &new)
        .into_iter()
        .map(|(key, before, after)| {
            let (before, after) = (shown(before, was), shown(after, "nothing"));
            format!("{}: {} from {before} to {after}", row.why, escape::file(key.as_bytes()))
        })
        .collect()
}

/// The path of a change as a person types it.
pub fn path_of(text: &std::ffi::OsStr) -> PathBuf {
    let text = text.as_bytes();
    PathBuf::from(OsString::from_vec(text.strip_prefix(b"./").unwrap_or(text).to_vec()))
}
