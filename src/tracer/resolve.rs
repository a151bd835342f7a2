//! A path as a task passed it → the object that the kernel reaches, hop by hop, in the task's own root.
//!
//! `/proc/self` stays symbolic: what a program reads of itself is the same in every run, its number is not. Directories
//! that were seen to be no symlinks are remembered until something is renamed, removed or linked, or gets another mode;
//! what stands in them is looked at each time anew. All tasks have one root: no filter of a learning run lets one change
//! its own, or the mounts.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::Mode;

use crate::event::Hop;
use crate::vocab::escape;
use crate::vocab::host::FileKind;
use crate::vocab::path::AbsPath;

/// Symlinks in one path (MAXSYMLINKS in the kernel).
const MOST_LINKS: usize = 40;
/// Bytes of a path with its NUL (PATH_MAX in the kernel).
const LONGEST: usize = 4096;
/// Bytes of the names of remembered directories; beyond it the memory starts anew.
const MOST_PLAIN: usize = 32 << 20;

/// Whose eyes a path is seen with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Eyes {
    /// The thread.
    pub(super) tid: i32,
    /// Its process.
    pub(super) pid: i32,
    /// The number that the process has inside its pid namespace.
    pub(super) inside: i32,
}

/// Where a path leads.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    pub(super) path: AbsPath,
    pub(super) hops: Vec<Hop>,
    /// `None`: not there, or not to be seen.
    pub(super) kind: Option<FileKind>,
    /// The deepest directory of the path that exists.
    pub(super) deepest: AbsPath,
    /// What the modes on the way allow the task.
    pub(super) allowed: Allowed,
}

/// What modes and owners allow a task that has the uid of the tracer and no privilege.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Allowed {
    /// Nothing for certain: a directory on the way may not be searched, or was not looked at.
    Unknown,
    /// To reach it.
    Search,
    /// To reach it, and to read it.
    Read,
}

/// A directory that is no symlink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plain {
    Searchable,
    Closed,
}

#[derive(Debug, Default)]
pub(super) struct Resolver {
    plain: BTreeMap<Vec<u8>, Plain>,
    plain_bytes: usize,
    ways: Ways,
    own: Option<u32>,
    root: Root,
}

/// Directories to which no symlink leads, with whether all on the way may be searched: first by how long the path is that
/// the way begins at, which need not be searched itself.
type Ways = BTreeMap<usize, BTreeMap<Vec<u8>, Plain>>;

/// The root of the tasks.
#[derive(Debug, Default)]
enum Root {
    #[default]
    Unopened,
    /// By it a name is found in half the time that the way over the task's directory in /proc takes.
    Open(OwnedFd),
    /// It cannot be opened.
    Closed,
}

/// What lstat(2) says of a name.
#[derive(Debug, Clone, Copy)]
struct Meta {
    mode: u32,
    uid: u32,
}

impl Meta {
    fn is(self, kind: u32) -> bool {
        self.mode & libc::S_IFMT == kind
    }

    fn kind(self) -> FileKind {
        match self.mode & libc::S_IFMT {
            libc::S_IFDIR => FileKind::Dir,
            libc::S_IFLNK => FileKind::Symlink,
            libc::S_IFSOCK => FileKind::Socket,
            libc::S_IFIFO => FileKind::Fifo,
            libc::S_IFCHR | libc::S_IFBLK => FileKind::Device,
            _ => FileKind::File,
        }
    }
}

struct Walk {
    at: Vec<u8>,
    rest: VecDeque<Vec<u8>>,
    hops: Vec<Hop>,
    links: usize,
    /// Set from the first component that is not there.
    missing: Option<Vec<u8>>,
    /// Whether every directory up to here may be searched.
    way: Plain,
    /// What stands at the end, if it was looked at.
    last: Option<Meta>,
}

impl Resolver {
    /// Something was renamed, removed or linked: what was a directory may be a symlink now. Or a mode was changed.
    pub(super) fn forget(&mut self) {
        self.plain.clear();
        self.ways.clear();
        self.plain_bytes = 0;
    }

    /// What stands at `at`; of a symlink, itself.
    fn look(&mut self, eyes: Eyes, at: &[u8]) -> Result<Meta, Errno> {
        let of_itself = at.starts_with(b"/proc/self") || at.starts_with(b"/proc/thread-self");
        if !of_itself && at.len() < LONGEST {
            if matches!(self.root, Root::Unopened) {
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                let root = nix::fcntl::open(format!("/proc/{}/root", eyes.tid).as_str(), flags, Mode::empty());
                self.root = root.map_or(Root::Closed, Root::Open);
            }
            if let Root::Open(root) = &self.root {
                let name = at.get(1..).filter(|name| !name.is_empty()).unwrap_or(b".");
                let seen = nix::sys::stat::fstatat(root, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
                return Ok(Meta { mode: seen.st_mode, uid: seen.st_uid });
            }
        }
        let seen = nix::sys::stat::lstat(outside(eyes, at).as_ref())?;
        Ok(Meta { mode: seen.st_mode, uid: seen.st_uid })
    }

    /// Follows `raw` from `base` (absolute, resolved). `None` when it leads to nothing that has a path.
    pub(super) fn resolve(&mut self, eyes: Eyes, base: &[u8], raw: &[u8], follow: bool) -> Option<Reached> {
        let follow = follow || raw.ends_with(b"/") || raw.ends_with(b"/.");
        let at = if raw.first() == Some(&b'/') { Vec::new() } else { base.strip_suffix(b"/").unwrap_or(base).to_vec() };
        let start = at.len();
        let straight = straight(&at, raw);
        if let Some(reached) = straight.as_deref().and_then(|path| self.resolve_straight(eyes, start, path, follow)) {
            return Some(reached);
        }
        let mut walk = Walk {
            at,
            rest: split(raw).collect(),
            hops: Vec::new(),
            links: 0,
            missing: None,
            way: Plain::Searchable,
            last: None,
        };
        self.enter(eyes, &mut walk);
        while let Some(part) = walk.rest.pop_front() {
            walk.last = None;
            match part.as_slice() {
                b"" | b"." => {}
                b".." => {
                    up(&mut walk.at);
                    if walk.missing.is_none() {
                        self.enter(eyes, &mut walk);
                    }
                }
                _ if walk.missing.is_some() => push(&mut walk.at, &part),
                _ => self.step(eyes, &mut walk, &part, follow)?,
            }
        }
        let path = absolute(&walk.at)?;
        let meta = match walk.missing {
            Some(_) => None,
            None => walk.last.or_else(|| self.look(eyes, &walk.at).ok()),
        };
        let deepest = match &walk.missing {
            Some(dir) => absolute(dir)?,
            None => path.parent().unwrap_or_else(AbsPath::root),
        };
        if straight.is_some() && walk.hops.is_empty() && deepest.as_bytes() == parent(&walk.at) {
            self.remember_way(start, parent(&walk.at), walk.way);
        }
        let allowed = self.allowed(meta, walk.way);
        Some(Reached { path, hops: walk.hops, kind: meta.map(Meta::kind), deepest, allowed })
    }

    /// As [`Self::resolve`], for a name in a directory to which a [`straight`] way was gone before.
    fn resolve_straight(&mut self, eyes: Eyes, start: usize, path: &[u8], follow: bool) -> Option<Reached> {
        let dir = parent(path);
        let way = *self.ways.get(&start)?.get(dir)?;
        let meta = self.look(eyes, path).ok();
        if follow && meta.is_some_and(|meta| meta.is(libc::S_IFLNK)) {
            return None;
        }
        let (path, deepest) = (absolute(path)?, absolute(dir)?);
        let allowed = self.allowed(meta, way);
        Some(Reached { path, hops: Vec::new(), kind: meta.map(Meta::kind), deepest, allowed })
    }

    fn allowed(&mut self, meta: Option<Meta>, way: Plain) -> Allowed {
        match meta {
            Some(meta) if way == Plain::Searchable && self.may(meta, 4) => Allowed::Read,
            Some(_) if way == Plain::Searchable => Allowed::Search,
            _ => Allowed::Unknown,
        }
    }

    fn remember_way(&mut self, start: usize, dir: &[u8], way: Plain) {
        self.plain_bytes += dir.len();
        if self.plain_bytes > MOST_PLAIN {
            self.forget();
        }
        self.ways.entry(start).or_default().insert(dir.to_vec(), way);
    }

    fn step(&mut self, eyes: Eyes, walk: &mut Walk, part: &[u8], follow: bool) -> Option<()> {
        let last = walk.rest.iter().all(|part| part.is_empty());
        if walk.at == b"/proc" && is_self(eyes, part) {
            push(&mut walk.at, b"self");
            return Some(());
        }
        let before = walk.at.len();
        push(&mut walk.at, part);
        if last && !follow {
            return Some(());
        }
        if let Some(plain) = self.plain.get(&walk.at) {
            walk.way = if last { walk.way } else { both(walk.way, *plain) };
            return Some(());
        }
        if walk.at == b"/proc/thread-self" {
            walk.way = Plain::Closed;
            return Some(());
        }
        match self.look(eyes, &walk.at) {
            Ok(meta) if meta.is(libc::S_IFLNK) => {
                if let Ok(text) = nix::fcntl::readlink(outside(eyes, &walk.at).as_ref()) {
                    return self.link(eyes, walk, before, &text.into_vec());
                }
                walk.missing = Some(walk.at.get(..before)?.to_vec());
            }
            Ok(meta) if last => walk.last = Some(meta),
            Ok(meta) => walk.way = both(walk.way, self.remember(&walk.at, meta)),
            // Not there, or the task may not look: then neither may it reach what lies beneath.
            Err(_) => walk.missing = Some(walk.at.get(..before)?.to_vec()),
        }
        Some(())
    }

    /// The directory that is reached now is on the way.
    fn enter(&mut self, eyes: Eyes, walk: &mut Walk) {
        let plain = match self.plain.get(&walk.at) {
            Some(plain) => *plain,
            None => match self.look(eyes, &walk.at) {
                Ok(meta) if !meta.is(libc::S_IFLNK) => self.remember(&walk.at, meta),
                _ => Plain::Closed,
            },
        };
        walk.way = both(walk.way, plain);
    }

    fn remember(&mut self, at: &[u8], meta: Meta) -> Plain {
        self.plain_bytes += at.len();
        if self.plain_bytes > MOST_PLAIN {
            self.forget();
        }
        let plain = if meta.is(libc::S_IFDIR) && self.may(meta, 1) { Plain::Searchable } else { Plain::Closed };
        self.plain.insert(at.to_vec(), plain);
        plain
    }

    /// Whether the mode allows `bit` (4 reads, 1 searches) by itself. Whose group it is does not matter then.
    fn may(&mut self, meta: Meta, bit: u32) -> bool {
        let own = *self.own.get_or_insert_with(|| nix::unistd::geteuid().as_raw());
        let bits = if meta.uid == own { bit << 6 } else { bit << 3 | bit };
        meta.mode & bits == bits
    }

    fn link(&mut self, eyes: Eyes, walk: &mut Walk, before: usize, text: &[u8]) -> Option<()> {
        walk.links += 1;
        if walk.links > MOST_LINKS {
            walk.missing = Some(walk.at.get(..before)?.to_vec());
            return Some(());
        }
        if is_magic(&walk.at) {
            walk.way = Plain::Closed;
            // The kernel jumps to the object: the text is only its name, if it has one.
            if text.first() != Some(&b'/') || !exists(eyes, text) {
                return if walk.rest.is_empty() { Some(()) } else { None };
            }
            walk.at = if text == b"/" { Vec::new() } else { text.to_vec() };
            return Some(());
        }
        walk.hops.push(Hop { link: absolute(&walk.at)?, text: escape::file(text) });
        if text.first() == Some(&b'/') {
            walk.at.clear();
            self.enter(eyes, walk);
        } else {
            walk.at.truncate(before);
        }
        split(text).collect::<Vec<_>>().into_iter().rev().for_each(|part| walk.rest.push_front(part));
        Some(())
    }
}

/// A name that can be opened from here, as long as this lives.
#[derive(Debug)]
pub(super) struct Outside {
    name: PathBuf,
    _start: Option<OwnedFd>,
}

impl AsRef<Path> for Outside {
    fn as_ref(&self) -> &Path {
        &self.name
    }
}

/// How `path`, seen with `eyes`, is opened from here.
pub(super) fn outside(eyes: Eyes, path: &[u8]) -> Outside {
    let beneath = |own: &[u8]| path.strip_prefix(own).filter(|rest| rest.is_empty() || rest.starts_with(b"/"));
    let (top, rest) = if let Some(rest) = beneath(b"/proc/self") {
        (format!("/proc/{}", eyes.pid), rest)
    } else if let Some(rest) = beneath(b"/proc/thread-self") {
        (format!("/proc/{}/task/{}", eyes.pid, eyes.tid), rest)
    } else {
        (format!("/proc/{}/root", eyes.tid), if path.is_empty() { b"/".as_slice() } else { path })
    };
    let mut name = top.into_bytes();
    name.extend_from_slice(rest);
    let mut start = None;
    // What is short enough for the task may be too long from here.
    while name.len() >= LONGEST
        && let Some(nearer) = nearer(&name)
    {
        (name, start) = (nearer.0, Some(nearer.1));
    }
    Outside { name: OsString::from_vec(name).into(), _start: start }
}

/// The same name from a directory on its way.
fn nearer(name: &[u8]) -> Option<(Vec<u8>, OwnedFd)> {
    let cut = name.get(..LONGEST - 1)?.iter().rposition(|&b| b == b'/').filter(|cut| *cut > 32)?;
    let (way, rest) = name.split_at_checked(cut)?;
    let start = nix::fcntl::open(way, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
    let mut name = format!("/proc/self/fd/{}", start.as_raw_fd()).into_bytes();
    name.extend_from_slice(rest);
    Some((name, start))
}

/// The directory that a descriptor of a task stands for; `None` when it is none.
pub(super) fn descriptor(eyes: Eyes, fd: i32) -> Option<Vec<u8>> {
    named(eyes, &format!("/proc/{}/fd/{fd}", eyes.pid)).unwrap_or_else(|_| {
        // The list of descriptors of a non-dumpable process belongs to root; the descriptor itself can be fetched.
        let own = crate::sys::peer::descriptor(eyes.pid, fd).ok()?;
        named(eyes, &format!("/proc/self/fd/{}", own.as_raw_fd())).ok()?
    })
}

/// Whether a process has a descriptor of that number; where it cannot be told, it has.
pub(super) fn is_open(pid: i32, fd: i32) -> bool {
    let absent = |error: std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    !std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).is_err_and(absent)
}

/// The working directory of a task.
pub(super) fn working_directory(eyes: Eyes) -> Option<Vec<u8>> {
    named(eyes, &format!("/proc/{}/cwd", eyes.tid)).ok()?
}

/// The path behind a door of /proc; `None` when what lies behind has none.
fn named(eyes: Eyes, door: &str) -> std::io::Result<Option<Vec<u8>>> {
    let path = std::fs::read_link(door)?.into_os_string().into_vec();
    // The kernel's word for "removed" may also be part of a name.
    if path.ends_with(b" (deleted)") && !is_same(Path::new(door), outside(eyes, &path).as_ref()) {
        return Ok(None);
    }
    Ok((path.first() == Some(&b'/')).then_some(path))
}

fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path| std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

/// Size in bytes of a regular file; of anything else 0.
pub(super) fn size_of(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).map_or(0, |meta| if meta.is_file() { meta.len() } else { 0 })
}

/// Whether the file has a set-user-id or set-group-id bit.
pub(super) fn is_set_id(eyes: Eyes, path: &AbsPath) -> bool {
    std::fs::metadata(outside(eyes, path.as_bytes())).is_ok_and(|meta| meta.mode() & 0o6000 != 0)
}

fn exists(eyes: Eyes, path: &[u8]) -> bool {
    std::fs::symlink_metadata(outside(eyes, path)).is_ok()
}

fn is_self(eyes: Eyes, part: &[u8]) -> bool {
    part == b"self" || part == eyes.inside.to_string().as_bytes()
}

/// Links of a process directory that are no text but doors: cwd, root, exe, fd/N.
fn is_magic(path: &[u8]) -> bool {
    let own = path.strip_prefix(b"/proc/self").or_else(|| path.strip_prefix(b"/proc/thread-self"));
    let Some(rest) = own else { return false };
    let rest = match rest.strip_prefix(b"/task/") {
        Some(task) => task.iter().position(|&b| b == b'/').and_then(|slash| task.get(slash..)).unwrap_or_default(),
        None => rest,
    };
    matches!(rest, b"/cwd" | b"/root" | b"/exe") || rest.starts_with(b"/fd/") || rest.starts_with(b"/map_files/")
}

/// Where `raw` leads from `at` if nothing on the way is a symlink; `None` where its text needs a closer look.
fn straight(at: &[u8], raw: &[u8]) -> Option<Vec<u8>> {
    let raw = raw.strip_prefix(b"/").unwrap_or(raw);
    if raw.split(|&b| b == b'/').any(|part| matches!(part, b"" | b"." | b"..")) {
        return None;
    }
    let mut path = Vec::with_capacity(at.len() + 1 + raw.len());
    path.extend_from_slice(at);
    push(&mut path, raw);
    // There a name may stand for whoever asks.
    (!path.starts_with(b"/proc")).then_some(path)
}

/// The directory that `path` is in; empty for that on top.
fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&b| b == b'/').and_then(|cut| path.get(..cut)).unwrap_or_default()
}

fn both(one: Plain, other: Plain) -> Plain {
    if one == Plain::Closed { one } else { other }
}

fn split(path: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    path.split(|&b| b == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec)
}

fn push(at: &mut Vec<u8>, part: &[u8]) {
    at.push(b'/');
    at.extend_from_slice(part);
}

fn up(at: &mut Vec<u8>) {
    let cut = at.iter().rposition(|&b| b == b'/').unwrap_or(0);
    at.truncate(cut);
}

fn absolute(at: &[u8]) -> Option<AbsPath> {
    if at.is_empty() { Some(AbsPath::root()) } else { AbsPath::new(at).ok() }
}
