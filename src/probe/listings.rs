//! Listings of directories, kept for a second search of the same tree: a directory whose inode was not changed holds what it
//! held.
//!
//! Told by the time of the last change (ctime), which no program can set. Invariant: where that does not tell (a file system
//! that need not keep it, a change so young that a second one could have the same time), nothing is kept, and the directory
//! is listed again.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::vocab::path::AbsPath;

/// Directories that are kept.
const MOST: usize = 10_000;
/// Between a change and the listing: more than the coarsest times of files are apart.
const SETTLED: Duration = Duration::from_secs(3);
/// File systems of this machine's own, which set the time of a directory with each name (linux/magic.h): ext4, XFS, Btrfs,
/// tmpfs, overlayfs.
const EXACT: [i64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630];

/// By what an unchanged directory is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

/// What a directory held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) stamp: Stamp,
    /// The names in it that count, in lower case.
    pub(super) names: BTreeSet<Vec<u8>>,
    /// Directories in it that are searched.
    pub(super) below: Vec<AbsPath>,
    /// How many entries there were.
    pub(super) entries: usize,
}

/// Listings, by directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listings {
    all: BTreeMap<AbsPath, Listing>,
    /// File systems, and whether their times are exact.
    devices: BTreeMap<u64, bool>,
    /// What was changed later is not kept, in seconds since 1970.
    until: i64,
}

impl Listings {
    /// Before the first search.
    pub(super) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(SETTLED);
        Self { until: i64::try_from(now.as_secs()).unwrap_or(0), ..Self::default() }
    }

    /// Of `dir` before it is listed; `None` where its listing is not to be kept.
    pub(super) fn stamp(&mut self, dir: &AbsPath) -> Option<Stamp> {
        let stamp = stamp(dir).filter(|stamp| stamp.changed.0 < self.until && self.all.len() < MOST)?;
        let is_exact = || {
            let system = nix::sys::statfs::statfs(&dir.to_path_buf());
            system.is_ok_and(|system| EXACT.contains(&system.filesystem_type().0))
        };
        self.devices.entry(stamp.device).or_insert_with(is_exact).then_some(stamp)
    }

    /// Keeps what `dir` holds.
    pub(super) fn keep(&mut self, dir: AbsPath, listing: Listing) {
        self.all.insert(dir, listing);
    }

    /// What `dir` held, if it was not changed since.
    pub(super) fn unchanged(&self, dir: &AbsPath) -> Option<&Listing> {
        self.all.get(dir).filter(|known| stamp(dir) == Some(known.stamp))
    }
}

fn stamp(dir: &AbsPath) -> Option<Stamp> {
    let meta = std::fs::symlink_metadata(dir.to_path_buf()).ok().filter(std::fs::Metadata::is_dir)?;
    Some(Stamp { device: meta.dev(), inode: meta.ino(), changed: (meta.ctime(), meta.ctime_nsec()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_got_a_name_is_listed_again_and_a_young_one_is_not_kept() {
        let dir = std::env::temp_dir().join(format!("pinfold-listings-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = AbsPath::try_from(dir.canonicalize().unwrap().as_path()).unwrap();
        let mut young = Listings::new();
        assert_eq!(young.stamp(&path), None);
        let mut later = Listings { until: i64::MAX, ..Listings::default() };
        // Wherever temporary files lie: the test is of the times.
        later.devices.insert(stamp(&path).unwrap().device, true);
        let stamp = later.stamp(&path).unwrap();
        let listing = Listing { stamp, names: BTreeSet::new(), below: Vec::new(), entries: 0 };
        later.keep(path.clone(), listing);
        assert!(later.unchanged(&path).is_some());
        // In the same tick of the kernel's clock a change shows by nothing: which is why a young one is not kept.
        let changed = || std::fs::write(dir.join(".envrc"), "").and_then(|()| std::fs::remove_file(dir.join(".envrc")));
        while later.unchanged(&path).is_some() {
            changed().unwrap();
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_file_system_that_need_not_keep_times_is_listed_again() {
        let mut listings = Listings { until: i64::MAX, ..Listings::default() };
        assert_eq!(listings.stamp(&AbsPath::new("/proc/self").unwrap()), None);
        assert_eq!(listings.stamp(&AbsPath::new("/proc").unwrap()), None);
    }
}
