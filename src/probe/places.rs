//! How the places that a plan names look on this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::LazyLock;

use crate::plan::protect::{Further, Use};
use crate::vocab::host::{FileKind, Seen};
use crate::vocab::location::{Base, Roots};
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::{Place, Sensitivity, table};

use super::links;
use super::listings::{Listing, Listings};

/// Directories below a project in which repositories and their settings are looked for, and entries that are looked at.
const DEPTH: usize = 6;
const ENTRIES: usize = 50_000;
/// Entries up to which a directory is listed rather than asked name by name.
const LISTED: usize = 2_000;
/// Where a repository is.
const GIT: &str = ".git";

/// lstat(2) of each place. What cannot be looked at is as good as absent: it could not be granted either.
pub fn look(places: &[AbsPath]) -> BTreeMap<AbsPath, Option<Seen>> {
    places.iter().map(|place| (place.clone(), look_at(place))).collect()
}

pub(super) fn look_at(place: &AbsPath) -> Option<Seen> {
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
    let (mode, size, modified) = (meta.mode() & 0o7777, meta.size(), meta.mtime());
    Some(Seen { kind, mode, size, modified, uid: meta.uid(), link, names: meta.nlink() })
}

/// Names that the host executes or obeys, as they were at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostExecuted {
    /// By the table, as they are written there: for comparing two moments.
    pub names: BTreeSet<AbsPath>,
    /// Where they really lie, and the symlinks on the way: what is to be guarded.
    pub places: BTreeSet<AbsPath>,
    listings: Listings,
}

impl HostExecuted {
    /// As they are now. Where symlinks are on the way to a name, they are places too, and so is where they lead.
    /// `further` are directories that are searched as the project is.
    pub fn read(roots: &Roots, further: &[Further]) -> Self {
        let mut listings = Listings::new();
        let names = host_executed(roots, further, &mut Memory::Fill(&mut listings));
        let mut looks = links::Looks::default();
        let mut places = BTreeSet::new();
        for name in &names {
            let (hops, end) = looks.resolve(name);
            let Some(end) = end else { continue };
            places.extend(hops);
            for link in links::links_within(&end).into_iter().filter(|link| !links::leads_to_the_system(link)) {
                let (hops, target) = looks.resolve(&link);
                places.extend(hops.into_iter().chain(target));
            }
            places.insert(end);
        }
        places.retain(|place| !links::holds_a_root(place, roots));
        Self { names, places, listings }
    }

    /// Names that exist now and did not then.
    pub fn since(&self, roots: &Roots) -> Vec<AbsPath> {
        let now = host_executed(roots, &[], &mut Memory::Use(&self.listings));
        now.difference(&self.names).cloned().collect()
    }
}

/// Names that exist and that the host executes or obeys: in the home directory, and anywhere in the project down to a depth
/// at which a search is still quick; what counts in any project, in `further` as well. A symlink that leads nowhere is no
/// name yet.
fn host_executed(roots: &Roots, further: &[Further], memory: &mut Memory<'_>) -> BTreeSet<AbsPath> {
    let mut found: BTreeSet<AbsPath> = BTreeSet::new();
    let mut anywhere: BTreeMap<Base, Vec<&'static str>> = BTreeMap::new();
    let mut tops: BTreeMap<Base, Option<(AbsPath, Names)>> = BTreeMap::new();
    for row in table().iter().filter(|row| row.sensitivity == Sensitivity::HostExecutes) {
        match row.place {
            Place::At(base, rest) => {
                let list = || roots.get(base).map(|top| (top.clone(), Names::of(&top)));
                let top = tops.entry(base).or_insert_with(list).as_ref().filter(|(_, names)| names.may_hold(rest));
                found.extend(top.and_then(|(top, _)| top.join(rest).ok()));
            }
            Place::Anywhere(base, sequence) => anywhere.entry(base).or_default().push(sequence),
        }
    }
    for (base, sequences) in anywhere {
        if let Some(top) = roots.get(base) {
            let mut left = ENTRIES;
            search(&top, &sequences, DEPTH, &mut left, memory, &mut found);
        }
        let further = if base == Base::Project { further } else { &[] };
        for Further { place, kind } in further {
            let (depth, mut left) = match kind {
                Use::Project => (DEPTH, ENTRIES),
                Use::State => (0, LISTED),
            };
            search(place, &sequences, depth, &mut left, memory, &mut found);
        }
    }
    found.retain(leads_somewhere);
    found
}

/// What a directory holds of what [may](may_begin) begin a name of the table, so that one reading answers for the hundred
/// names that it mostly does not hold.
#[derive(Debug, Default)]
struct Names {
    /// In lower case: a directory may ignore case.
    lower: BTreeSet<Vec<u8>>,
    /// Whether a name that is not in `lower` may exist none the less: the directory cannot be listed, is long, or has names
    /// beyond ASCII, of which only its file system knows what they equal.
    open: bool,
}

impl Names {
    fn of(dir: &AbsPath) -> Self {
        let mut names = Self::default();
        match std::fs::read_dir(dir.to_path_buf()) {
            Ok(entries) => {
                for (index, entry) in entries.enumerate() {
                    match entry {
                        Ok(entry) if index < LISTED => names.add(entry.file_name().as_bytes()),
                        Ok(_) | Err(_) => return Self { open: true, ..names },
                    }
                }
            }
            // Nothing lies in a directory that does not exist.
            Err(error) => names.open = error.kind() != std::io::ErrorKind::NotFound,
        }
        names
    }

    fn add(&mut self, name: &[u8]) {
        self.open |= !name.is_ascii();
        if may_begin(name) {
            self.lower.insert(name.to_ascii_lowercase());
        }
    }

    /// Whether `path` may exist below the directory.
    fn may_hold(&self, path: &str) -> bool {
        let first = path.split('/').next().unwrap_or(path);
        self.open || (!self.lower.is_empty() && self.lower.contains(first.to_ascii_lowercase().as_bytes()))
    }
}

/// Whether a name of the table that the host executes may begin with `name`, as far as its first byte and its length tell:
/// nearly nothing in a project does.
fn may_begin(name: &[u8]) -> bool {
    name.first().is_some_and(|first| LENGTHS.get(slot(*first)).is_some_and(|lengths| lengths & length(name) != 0))
}

/// By the first byte of such names, whatever its case: of what lengths their first components are.
static LENGTHS: LazyLock<[u64; 256]> = LazyLock::new(|| {
    let mut lengths = [0; 256];
    let rows = table().iter().filter(|row| row.sensitivity == Sensitivity::HostExecutes);
    let names = rows.map(|row| match row.place {
        Place::At(_, rest) | Place::Anywhere(_, rest) => rest,
    });
    for name in names.chain([GIT]) {
        let name = name.split('/').next().unwrap_or(name).as_bytes();
        if let Some(lengths) = name.first().and_then(|first| lengths.get_mut(slot(*first))) {
            *lengths |= length(name);
        }
    }
    lengths
});

fn slot(first: u8) -> usize {
    usize::from(first.to_ascii_lowercase())
}

/// Stands for the length of a name; the longest share one.
fn length(name: &[u8]) -> u64 {
    1 << name.len().min(63)
}

/// What is done with the listings of a search.
enum Memory<'a> {
    /// Kept for a second one.
    Fill(&'a mut Listings),
    /// It is the second one.
    Use(&'a Listings),
}

impl Memory<'_> {
    /// [`list`], without a look where nothing can have changed.
    fn list(&mut self, dir: &AbsPath, left: &mut usize) -> (Names, Vec<AbsPath>) {
        if let Self::Use(listings) = self
            && let Some(known) = listings.unchanged(dir).filter(|known| known.entries < *left)
        {
            *left -= known.entries;
            return (Names { lower: known.names.clone(), open: false }, known.below.clone());
        }
        let before = *left;
        let Self::Fill(listings) = self else { return list(dir, left) };
        let stamp = listings.stamp(dir);
        let (names, below) = list(dir, left);
        if let Some(stamp) = stamp.filter(|_| !names.open) {
            let (names, below) = (names.lower.clone(), below.clone());
            listings.keep(dir.clone(), Listing { stamp, names, below, entries: before - *left });
        }
        (names, below)
    }
}

fn leads_somewhere(place: &AbsPath) -> bool {
    place.to_path_buf().metadata().is_ok()
}

fn search(
    dir: &AbsPath,
    sequences: &[&str],
    depth: usize,
    left: &mut usize,
    memory: &mut Memory<'_>,
    found: &mut BTreeSet<AbsPath>,
) {
    let (names, below) = memory.list(dir, left);
    let here = sequences.iter().filter(|sequence| names.may_hold(sequence));
    found.extend(here.filter_map(|sequence| dir.join(sequence).ok()).filter(leads_somewhere));
    if names.may_hold(GIT) {
        found.extend(links::git_elsewhere(dir));
    }
    if depth > 0 {
        for dir in below {
            search(&dir, sequences, depth - 1, left, memory, found);
        }
    }
}

/// What `dir` holds, and the directories in it that are worth a search.
fn list(dir: &AbsPath, left: &mut usize) -> (Names, Vec<AbsPath>) {
    let (mut names, mut below) = (Names::default(), Vec::new());
    let entries = Some(dir.to_path_buf()).filter(|_| *left > 0).and_then(|dir| std::fs::read_dir(dir).ok());
    let Some(entries) = entries else { return (Names { open: true, ..names }, below) };
    for entry in entries {
        *left = left.saturating_sub(1);
        let Some(entry) = entry.ok().filter(|_| *left > 0) else {
            names.open = true;
            break;
        };
        let name = entry.file_name();
        names.add(name.as_bytes());
        // Dependencies hold thousands of directories and no repository that the host works in.
        let skipped = matches!(name.as_bytes(), b"node_modules" | b"target" | b".git" | b".venv" | b"venv");
        if !skipped && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below.extend(dir.join(name.as_bytes()));
        }
    }
    (names, below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_table_holds_is_kept_of_a_listing() {
        for row in table().iter().filter(|row| row.sensitivity == Sensitivity::HostExecutes) {
            let (Place::At(_, rest) | Place::Anywhere(_, rest)) = row.place;
            let mut names = Names::default();
            names.add(rest.split('/').next().unwrap().to_ascii_uppercase().as_bytes());
            assert!(names.may_hold(rest), "{rest}");
        }
    }

    #[test]
    fn a_listing_rules_a_name_out_only_where_the_directory_cannot_hide_it() {
        let mut names = Names::default();
        names.add(b".GIT");
        names.add(b"src");
        assert!(names.may_hold(".git/hooks"), "a directory may ignore case");
        assert!(!names.may_hold(".envrc"));
        names.add(b".Envrc");
        assert!(names.may_hold(".envrc"));
        let mut names = Names::default();
        names.add("\u{17f}rc".as_bytes());
        assert!(names.may_hold(".envrc"), "what a name beyond ASCII equals is the file system's to say");
        let missing = AbsPath::new("/nonexistent-directory").unwrap();
        assert!(!Names::of(&missing).may_hold(".envrc"));
        let file = AbsPath::new("/proc/self/exe").unwrap();
        assert!(Names::of(&file).may_hold(".envrc"), "cannot be listed");
    }
}
