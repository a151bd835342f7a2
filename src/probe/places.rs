//! How the places that a plan names look on this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;

use crate::vocab::host::{FileKind, Seen};
use crate::vocab::location::{Base, Roots};
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::{Place, Sensitivity, table};

/// Directories below a project in which repositories and their settings are looked for, and entries that are looked at.
const DEPTH: usize = 6;
const ENTRIES: usize = 50_000;

/// lstat(2) of each place. What cannot be looked at is as good as absent: it could not be granted either.
pub fn look(places: &[AbsPath]) -> BTreeMap<AbsPath, Option<Seen>> {
    places.iter().map(|place| (place.clone(), look_at(place))).collect()
}

fn look_at(place: &AbsPath) -> Option<Seen> {
    let path = place.to_path_buf();
    let meta = std::fs::symlink_metadata(&path).ok()?;
    let kind = match meta.mode() & libc::S_IFMT {
        libc::S_IFREG => FileKind::File,
        libc::S_IFDIR => FileKind::Dir,
        libc::S_IFLNK => FileKind::Symlink,
        libc::S_IFSOCK => FileKind::Socket,
        libc::S_IFIFO => FileKind::Fifo,
        _ => FileKind::Device,
    };
    let link = match kind {
        FileKind::Symlink => Some(std::fs::read_link(&path).ok()?.into_os_string().into_vec()),
        _ => None,
    };
    Some(Seen { kind, mode: meta.mode() & 0o7777, size: meta.size(), modified: meta.mtime(), uid: meta.uid(), link })
}

/// Names that exist and that the host executes or obeys: in the home directory, and anywhere in the project down to a depth
/// at which a search is still quick. Symlinks are not followed.
pub fn host_executed(roots: &Roots) -> BTreeSet<AbsPath> {
    let mut found = BTreeSet::new();
    let mut anywhere: BTreeMap<Base, Vec<&'static str>> = BTreeMap::new();
    for row in table().iter().filter(|row| row.sensitivity == Sensitivity::HostExecutes) {
        match row.place {
            Place::At(base, rest) => {
                let place = roots.get(base).and_then(|top| top.join(rest).ok());
                found.extend(place.filter(is_plain));
            }
            Place::Anywhere(base, sequence) => anywhere.entry(base).or_default().push(sequence),
        }
    }
    for (base, sequences) in anywhere {
        if let Some(top) = roots.get(base) {
            let mut left = ENTRIES;
            search(&top, &sequences, DEPTH, &mut left, &mut found);
        }
    }
    found
}

/// Exists, and is no symlink: a link is guarded where it leads, or not at all.
fn is_plain(place: &AbsPath) -> bool {
    place.to_path_buf().symlink_metadata().is_ok_and(|meta| !meta.is_symlink())
}

fn search(dir: &AbsPath, sequences: &[&str], depth: usize, left: &mut usize, found: &mut BTreeSet<AbsPath>) {
    for sequence in sequences {
        found.extend(dir.join(sequence).ok().filter(is_plain));
    }
    if depth == 0 {
        return;
    }
    let Ok(entries) = std::fs::read_dir(dir.to_path_buf()) else { return };
    for entry in entries.flatten() {
        *left = left.saturating_sub(1);
        if *left == 0 {
            return;
        }
        // Dependencies hold thousands of directories and no repository that the host works in.
        let name = entry.file_name();
        let skipped = matches!(name.as_bytes(), b"node_modules" | b"target" | b".git" | b".venv" | b"venv");
        if !skipped
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(below) = dir.join(name.as_bytes())
        {
            search(&below, sequences, depth - 1, left, found);
        }
    }
}
