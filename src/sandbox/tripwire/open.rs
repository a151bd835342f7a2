//! Open files of filtered directories: what is read, written, changed and locked through them.
//!
//! An opening inside is an opening outside, so that locks hold against the rest of the host: flock(2) belongs to the opening;
//! a lock of fcntl(2) belongs to a process, and is taken as one of an open file description (OFD) of that process's own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FallocateFlags, FcntlArg, fallocate, fcntl};
use nix::sys::stat::{FchmodatFlags, FileStat, UtimensatFlags, fchmodat, fstat, utimensat};
use nix::sys::time::TimeSpec;

use super::filtered::{harmless, is_directory, reopen};
use super::wire::{self, Attributes, Change, Lock, Time, Validity};

/// Numbers of nodes that are none of the tree.
pub(super) const FIRST: u64 = 1 << 32;

/// Something that the kernel knows by number.
#[derive(Debug)]
struct Held {
    place: Arc<OwnedFd>,
    key: (u64, u64),
    lookups: u64,
    directory: bool,
}

/// One opening.
#[derive(Debug)]
pub(super) struct Opening {
    file: File,
    /// For O_APPEND: writes of a program go to the end, those of the kernel's pages to their place.
    appending: Option<File>,
    node: u64,
}

#[derive(Debug, Default)]
struct State {
    nodes: BTreeMap<u64, Held>,
    by_inode: BTreeMap<(u64, u64), u64>,
    openings: BTreeMap<u64, Arc<Opening>>,
    listings: BTreeMap<u64, Arc<Vec<Name>>>,
    /// Descriptions that hold the locks of a process on a node.
    locks: BTreeMap<(u64, u64), Arc<File>>,
    next: u64,
}

/// A name with its inode number and mode.
pub(super) type Name = (Vec<u8>, u64, u32);

/// All that is held and open.
#[derive(Debug)]
pub(super) struct Open {
    state: Mutex<State>,
    ids: (u32, u32),
}

fn number(errno: Errno) -> i32 {
    errno as i32
}

fn of_io(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// The link of /proc that leads to what is behind a descriptor.
pub(super) fn path_of(descriptor: impl AsFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd())
}

impl Open {
    pub(super) fn new(ids: (u32, u32)) -> Self {
        Self { state: Mutex::new(State { next: FIRST, ..State::default() }), ids }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As the kernel is told: with the ids of the caller, or it would refuse every write of an owner that it cannot map.
    pub(super) fn attributes(&self, stat: &FileStat) -> Attributes {
        let time = |seconds: i64, nanoseconds: i64| (seconds, u32::try_from(nanoseconds).unwrap_or(0));
        Attributes {
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
            accessed: time(stat.st_atime, stat.st_atime_nsec),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
            mode: stat.st_mode & !0o7000,
            // 64 bits on x86_64, 32 on aarch64.
            links: u32::try_from(u128::from(stat.st_nlink)).unwrap_or(1),
            uid: self.ids.0,
            gid: self.ids.1,
        }
    }

    /// Takes an object into the table, or counts one more way to it.
    pub(super) fn hold(&self, place: OwnedFd, stat: &FileStat) -> Vec<u8> {
        let key = (stat.st_dev, stat.st_ino);
        let mut state = self.state();
        let node = match state.by_inode.get(&key).copied() {
            Some(node) => node,
            None => {
                state.next += 1;
                let node = state.next;
                let held = Held { place: Arc::new(place), key, lookups: 0, directory: is_directory(stat) };
                state.nodes.insert(node, held);
                state.by_inode.insert(key, node);
                node
            }
        };
        if let Some(held) = state.nodes.get_mut(&node) {
            held.lookups += 1;
        }
        drop(state);
        wire::entry(node, Validity::None, &self.attributes(stat))
    }

    pub(super) fn forget(&self, node: u64, count: u64) {
        let mut state = self.state();
        let Some(held) = state.nodes.get_mut(&node) else { return };
        held.lookups = held.lookups.saturating_sub(count);
        if held.lookups == 0 {
            let key = held.key;
            state.nodes.remove(&node);
            state.by_inode.remove(&key);
        }
    }

    fn place(&self, node: u64) -> Result<Arc<OwnedFd>, i32> {
        self.state().nodes.get(&node).map(|held| Arc::clone(&held.place)).ok_or(libc::ENOENT)
    }

    pub(super) fn is_directory(&self, node: u64) -> bool {
        self.state().nodes.get(&node).is_some_and(|held| held.directory)
    }

    fn opening(&self, handle: u64) -> Result<Arc<Opening>, i32> {
        self.state().openings.get(&handle).map(Arc::clone).ok_or(libc::EBADF)
    }

    pub(super) fn stat(&self, node: u64) -> Result<FileStat, i32> {
        fstat(&*self.place(node)?).map_err(number)
    }

    /// Opens a node.
    pub(super) fn open(&self, node: u64, flags: i32) -> Result<Vec<u8>, i32> {
        let file = reopen(&*self.place(node)?, flags)?;
        self.opened(node, file, flags).map(|handle| wire::opened(handle, wire::Keep::Nothing))
    }

    /// Takes an opening into the table.
    pub(super) fn opened(&self, node: u64, file: File, flags: i32) -> Result<u64, i32> {
        let appending = match flags & libc::O_APPEND {
            0 => None,
            _ => Some(appending(&file, flags)?),
        };
        let mut state = self.state();
        state.next += 1;
        let handle = state.next;
        state.openings.insert(handle, Arc::new(Opening { file, appending, node }));
        Ok(handle)
    }

    pub(super) fn release(&self, handle: u64) {
        self.state().openings.remove(&handle);
    }

    pub(super) fn read(&self, handle: u64, offset: u64, size: u32) -> Result<Vec<u8>, i32> {
        let opening = self.opening(handle)?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match opening.file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(of_io(&error)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    pub(super) fn write(&self, handle: u64, offset: u64, data: &[u8], from_cache: bool) -> Result<Vec<u8>, i32> {
        let opening = self.opening(handle)?;
        match &opening.appending {
            Some(file) if !from_cache => (&*file).write_all(data),
            _ => opening.file.write_all_at(data, offset),
        }
        .map_err(|error| of_io(&error))?;
        Ok(wire::written(u32::try_from(data.len()).unwrap_or(0)))
    }

    pub(super) fn sync(&self, handle: u64, data_only: bool) -> Result<(), i32> {
        let opening = self.opening(handle)?;
        let done = if data_only { opening.file.sync_data() } else { opening.file.sync_all() };
        done.map_err(|error| of_io(&error))
    }

    pub(super) fn allocate(&self, handle: u64, offset: u64, length: u64, mode: u32) -> Result<(), i32> {
        let opening = self.opening(handle)?;
        let flags = FallocateFlags::from_bits(mode.cast_signed()).ok_or(libc::EOPNOTSUPP)?;
        let (offset, length) = (i64::try_from(offset), i64::try_from(length));
        let (Ok(offset), Ok(length)) = (offset, length) else { return Err(libc::EFBIG) };
        fallocate(&opening.file, flags, offset, length).map_err(number)
    }

    pub(super) fn change(&self, node: u64, change: &Change) -> Result<FileStat, i32> {
        let place = self.place(node)?;
        let directory = self.is_directory(node);
        if change.uid.is_some_and(|uid| uid != self.ids.0) || change.gid.is_some_and(|gid| gid != self.ids.1) {
            return Err(libc::EPERM);
        }
        if directory && (change.mode.is_some() || change.size.is_some()) {
            return Err(libc::EPERM);
        }
        let path = path_of(&*place);
        if let Some(mode) = change.mode {
            fchmodat(AT_FDCWD, path.as_str(), harmless(mode), FchmodatFlags::FollowSymlink).map_err(number)?;
        }
        if let Some(size) = change.size {
            match change.handle.map(|handle| self.opening(handle)).transpose()? {
                Some(opening) => opening.file.set_len(size),
                None => reopen(&place, libc::O_WRONLY)?.set_len(size),
            }
            .map_err(|error| of_io(&error))?;
        }
        if change.accessed.is_some() || change.modified.is_some() {
            let (accessed, modified) = (time(change.accessed), time(change.modified));
            utimensat(AT_FDCWD, path.as_str(), &accessed, &modified, UtimensatFlags::FollowSymlink).map_err(number)?;
        }
        fstat(&*place).map_err(number)
    }

    /// The path by which the extended attributes of a node are reached; only those of users are.
    pub(super) fn xattrs(&self, node: u64) -> Result<(Arc<OwnedFd>, String), i32> {
        let place = self.place(node)?;
        let path = path_of(&*place);
        Ok((place, path))
    }

    pub(super) fn list(&self, names: Vec<Name>) -> u64 {
        let mut state = self.state();
        state.next += 1;
        let handle = state.next;
        state.listings.insert(handle, Arc::new(names));
        handle
    }

    pub(super) fn listing(&self, handle: u64) -> Option<Arc<Vec<Name>>> {
        self.state().listings.get(&handle).map(Arc::clone)
    }

    pub(super) fn release_listing(&self, handle: u64) {
        self.state().listings.remove(&handle);
    }

    /// A process closed one of its descriptors of a file: its locks on it are gone (fcntl(2)).
    pub(super) fn flush(&self, handle: u64, owner: u64) {
        if let Ok(opening) = self.opening(handle) {
            self.state().locks.remove(&(opening.node, owner));
        }
    }

    /// Who holds a lock that stands against `lock`.
    pub(super) fn lock_against(&self, handle: u64, owner: u64, lock: Lock) -> Result<Lock, i32> {
        let opening = self.opening(handle)?;
        let file = self.locks_of(opening.node, owner)?;
        let mut asked = record(lock)?;
        fcntl(&*file, FcntlArg::F_OFD_GETLK(&mut asked)).map_err(number)?;
        if i32::from(asked.l_type) == libc::F_UNLCK {
            return Ok(Lock { kind: libc::F_UNLCK.cast_unsigned(), pid: 0, ..lock });
        }
        let start = u64::try_from(asked.l_start).unwrap_or(0);
        let end = match asked.l_len {
            0 => i64::MAX.cast_unsigned(),
            length => start + u64::try_from(length).unwrap_or(1) - 1,
        };
        Ok(Lock { start, end, kind: i32::from(asked.l_type).cast_unsigned(), pid: 0 })
    }

    /// Tries to take or leave a lock; EAGAIN when another holds it.
    pub(super) fn lock(&self, handle: u64, owner: u64, lock: Lock, whole_file: bool) -> Result<(), i32> {
        let opening = self.opening(handle)?;
        if whole_file {
            return flock(&opening.file, lock.kind.cast_signed());
        }
        let file = self.locks_of(opening.node, owner)?;
        let asked = record(lock)?;
        fcntl(&*file, FcntlArg::F_OFD_SETLK(&asked)).map(drop).map_err(number)
    }

    fn locks_of(&self, node: u64, owner: u64) -> Result<Arc<File>, i32> {
        let known = self.state().locks.get(&(node, owner)).map(Arc::clone);
        if let Some(file) = known {
            return Ok(file);
        }
        let place = self.place(node)?;
        // A lock to write needs a description that may write; a file that may only be read has locks to read.
        let file = reopen(&place, libc::O_RDWR).or_else(|_| reopen(&place, libc::O_RDONLY))?;
        let file = Arc::new(file);
        Ok(Arc::clone(self.state().locks.entry((node, owner)).or_insert(file)))
    }
}

/// A description of the same file that appends.
fn appending(file: &File, flags: i32) -> Result<File, i32> {
    use nix::fcntl::OFlag;
    let flags = OFlag::from_bits_truncate(flags & libc::O_ACCMODE) | OFlag::O_APPEND | OFlag::O_CLOEXEC;
    let opened = nix::fcntl::open(path_of(file).as_str(), flags, nix::sys::stat::Mode::empty());
    opened.map(File::from).map_err(number)
}

fn time(time: Option<Time>) -> TimeSpec {
    match time {
        None => TimeSpec::UTIME_OMIT,
        Some(Time::Now) => TimeSpec::UTIME_NOW,
        Some(Time::At(seconds, nanoseconds)) => TimeSpec::new(seconds, i64::from(nanoseconds)),
    }
}

fn flock(file: &File, kind: i32) -> Result<(), i32> {
    use std::fs::TryLockError;
    let done = match kind {
        libc::F_RDLCK => file.try_lock_shared(),
        libc::F_WRLCK => file.try_lock(),
        _ => return file.unlock().map_err(|error| of_io(&error)),
    };
    done.map_err(|error| match error {
        TryLockError::WouldBlock => libc::EAGAIN,
        TryLockError::Error(error) => of_io(&error),
    })
}

/// A lock as fcntl(2) takes it; those of descriptions have no owner.
fn record(lock: Lock) -> Result<libc::flock, i32> {
    let start = i64::try_from(lock.start).map_err(|_| libc::EOVERFLOW)?;
    let length = match i64::try_from(lock.end) {
        Ok(i64::MAX) | Err(_) => 0,
        Ok(end) => end.checked_sub(start).and_then(|length| length.checked_add(1)).ok_or(libc::EINVAL)?,
    };
    let kind = i16::try_from(lock.kind).map_err(|_| libc::EINVAL)?;
    let whence = i16::try_from(libc::SEEK_SET).map_err(|_| libc::EINVAL)?;
    Ok(libc::flock { l_type: kind, l_whence: whence, l_start: start, l_len: length, l_pid: 0 })
}
