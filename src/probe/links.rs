//! Where names of the host really lie: symlinks on the way and within, and repositories that a file points to.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;

use crate::vocab::host::FileKind;
use crate::vocab::location::{Base, Roots};
use crate::vocab::path::{AbsPath, follow, goes_up_behind_a_name};

use super::places::look_at;

/// As many symlinks on one way as the kernel follows (path_resolution(7)).
const HOPS: usize = 40;
/// How deep symlinks in one place of the table are looked for, and among how many entries.
const LINK_DEPTH: usize = 3;
const LINK_ENTRIES: usize = 4_000;

/// Where a place of the vault really lies: itself, or what symlinks at its name and within it lead to.
pub fn aliases(place: &AbsPath, roots: &Roots) -> BTreeSet<AbsPath> {
    let mut looks = Looks::default();
    let Some(end) = looks.resolve(place).1 else { return BTreeSet::new() };
    // A file that everybody may read, outside of the home directory, is no secret, and others may need it.
    let secret = |target: &AbsPath| {
        let meta = target.to_path_buf().symlink_metadata();
        let at_home = roots.get(Base::Home).is_some_and(|home| target.is_beneath(&home));
        at_home || meta.is_ok_and(|meta| meta.is_file() && meta.mode() & 0o004 == 0)
    };
    let inner: Vec<AbsPath> = links_within(&end).into_iter().filter_map(|link| looks.resolve(&link).1).collect();
    inner.into_iter().filter(secret).chain([end.clone()]).filter(|target| !holds_a_root(target, roots)).collect()
}

/// Whether the home directory or the project lies in `place`: nothing could run without.
pub(super) fn holds_a_root(place: &AbsPath, roots: &Roots) -> bool {
    [Base::Home, Base::Project].into_iter().filter_map(|base| roots.get(base)).any(|root| root.is_beneath(place))
}

/// What lies at each place that was looked at, asked once: a hundred names of the table share the directories above them.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// `None`: nothing. Else the text of the symlink, if it is one.
    seen: BTreeMap<AbsPath, Option<Option<Vec<u8>>>>,
}

impl Looks {
    fn link(&mut self, place: &AbsPath) -> Option<Option<Vec<u8>>> {
        if let Some(known) = self.seen.get(place) {
            return known.clone();
        }
        let link = look_at(place).map(|seen| seen.link);
        self.seen.insert(place.clone(), link.clone());
        link
    }

    /// The symlinks on the way to `path`, each by its own resolved path, and the end of the way if something is there.
    pub(super) fn resolve(&mut self, path: &AbsPath) -> (Vec<AbsPath>, Option<AbsPath>) {
        let mut links = Vec::new();
        let mut here = AbsPath::root();
        let mut ahead: Vec<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        ahead.reverse();
        while let Some(part) = ahead.pop() {
            match part.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    here = here.parent().unwrap_or(here);
                    continue;
                }
                _ => {}
            }
            let Ok(next) = here.join(&part) else { return (links, None) };
            let Some(link) = self.link(&next) else { return (links, None) };
            let Some(text) = link else {
                here = next;
                continue;
            };
            if links.len() == HOPS {
                return (links, None);
            }
            links.push(next);
            if text.first() == Some(&b'/') {
                here = AbsPath::root();
            }
            ahead.extend(text.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
        }
        (links, Some(here))
    }
}

/// Where a symlink with this text in `dir` leads, by its text alone; `None` where that does not tell.
pub(super) fn by_text(dir: &AbsPath, text: &[u8]) -> Option<AbsPath> {
    if goes_up_behind_a_name(text) { None } else { follow(dir, text) }
}

/// Symlinks in a directory of the table, which are often all that lies there (`~/.local/bin`, a home made of dotfiles).
pub(super) fn links_within(top: &AbsPath) -> Vec<AbsPath> {
    let mut links = Vec::new();
    let mut left = LINK_ENTRIES;
    let mut ahead = vec![(top.clone(), LINK_DEPTH)];
    while let Some((dir, depth)) = ahead.pop() {
        let Ok(entries) = std::fs::read_dir(dir.to_path_buf()) else { continue };
        for entry in entries.flatten() {
            left -= 1;
            if left == 0 {
                return links;
            }
            let (Ok(kind), Ok(path)) = (entry.file_type(), dir.join(entry.file_name().as_bytes())) else { continue };
            if kind.is_symlink() {
                links.push(path);
            } else if kind.is_dir() && depth > 0 {
                ahead.push((path, depth - 1));
            }
        }
    }
    links
}

/// Whether a symlink's text names a place of the system itself. Who may write there has the machine anyway, and systemd alone
/// has dozens of such links.
pub(super) fn leads_to_the_system(link: &AbsPath) -> bool {
    const SYSTEM: [&[u8]; 4] = [b"/usr/", b"/lib/", b"/lib64/", b"/etc/"];
    std::fs::read_link(link.to_path_buf()).is_ok_and(|text| {
        let text = text.as_os_str().as_bytes();
        let straight = !text.split(|byte| *byte == b'/').any(|part| part == b"..");
        straight && SYSTEM.iter().any(|top| text.starts_with(top)) && !text.starts_with(b"/usr/local/")
    })
}

/// What git executes or obeys where `.git` is a file: a worktree's or a submodule's, whose repository lies elsewhere.
pub(super) fn git_elsewhere(dir: &AbsPath) -> Vec<AbsPath> {
    let Ok(pointer) = dir.join(".git") else { return Vec::new() };
    let Some(repository) = pointed_to(&pointer, b"gitdir:") else { return Vec::new() };
    let common = repository.join("commondir").ok();
    let mut found: Vec<AbsPath> = [Some(pointer), common.clone()].into_iter().flatten().collect();
    let main = common.and_then(|file| pointed_to(&file, b""));
    for top in [Some(repository), main].into_iter().flatten() {
        found.extend(
            ["hooks", "config", "config.worktree", "info/attributes"].iter().filter_map(|name| top.join(name).ok()),
        );
    }
    found
}

/// The path that a small file holds after `key`, relative to the directory of the file.
fn pointed_to(file: &AbsPath, key: &[u8]) -> Option<AbsPath> {
    let seen = look_at(file).filter(|seen| seen.kind == FileKind::File && seen.size < 8192)?;
    let bytes = std::fs::read(file.to_path_buf()).ok().filter(|bytes| bytes.len() as u64 == seen.size)?;
    let path = bytes.strip_prefix(key)?.trim_ascii();
    let above = file.parent()?.to_path_buf();
    let resolved = std::fs::canonicalize(above.join(std::ffi::OsStr::from_bytes(path))).ok()?;
    AbsPath::try_from(resolved.as_path()).ok()
}
