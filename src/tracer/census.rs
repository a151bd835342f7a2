//! What lies in the directories that a run used: counted, never read.
//!
//! Taken from outside, and of the object itself: a directory that is a symlink now is left out. Names are kept only where
//! they mark a unit or match the sensitivity table.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;

use crate::event::{Census, Owner};
use crate::vocab::escape;
use crate::vocab::location::Roots;
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity;

/// Entries that are counted of one directory.
const MOST_ENTRIES: u32 = 4096;
/// Directories in one census.
const MOST_DIRECTORIES: usize = 20_000;

/// Below these only the directories on top are counted: nobody reviews the insides of a distribution.
const SYSTEM: &[&str] = &["/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc", "/opt", "/var/lib", "/nix"];
/// Here there is nothing to count: the kernel makes it up.
const KERNEL: &[&str] = &["/proc", "/sys", "/dev"];

const MARKERS: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    "CACHEDIR.TAG",
    "Cargo.toml",
    "Makefile",
    "go.mod",
    "node_modules",
    "package.json",
    "pom.xml",
    "pyproject.toml",
    "pyvenv.cfg",
];

/// A census of every ancestor of what was used.
pub(super) fn take(used: &BTreeSet<AbsPath>, roots: &Roots) -> Vec<Census> {
    let caller = nix::unistd::getuid().as_raw();
    let wanted: BTreeSet<AbsPath> =
        used.iter().flat_map(|dir| std::iter::once(dir.clone()).chain(dir.ancestors())).filter(is_counted).collect();
    wanted.iter().take(MOST_DIRECTORIES).filter_map(|dir| count(dir, roots, caller)).collect()
}

fn is_counted(dir: &AbsPath) -> bool {
    let top = |text: &&str| AbsPath::new(text).ok();
    !KERNEL.iter().filter_map(top).any(|top| dir.is_beneath(&top))
        && !SYSTEM.iter().filter_map(top).any(|top| dir.is_beneath(&top) && *dir != top)
}

fn count(dir: &AbsPath, roots: &Roots, caller: u32) -> Option<Census> {
    let place = dir.to_path_buf();
    let meta = std::fs::symlink_metadata(&place).ok().filter(std::fs::Metadata::is_dir)?;
    let owner = match meta.uid() {
        uid if uid == caller => Owner::Caller,
        0 => Owner::Root,
        _ => Owner::Other,
    };
    let mut census = Census {
        dir: dir.clone(),
        entries: 0,
        capped: false,
        owner,
        world_readable: meta.mode() & 0o005 == 0o005,
        markers: BTreeSet::new(),
        sensitive: BTreeSet::new(),
    };
    for entry in std::fs::read_dir(&place).ok()?.flatten() {
        let name = entry.file_name();
        let name = name.as_bytes();
        if MARKERS.iter().any(|marker| marker.as_bytes() == name) {
            census.markers.insert(escape::file(name));
        }
        if dir.join(name).is_ok_and(|path| sensitivity::classify(&path, roots).is_some()) {
            census.sensitive.insert(escape::file(name));
        }
        if census.entries >= MOST_ENTRIES {
            census.capped = true;
            break;
        }
        census.entries += 1;
    }
    Some(census)
}
