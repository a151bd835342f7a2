//! Requests of the kernel → answers.
//!
//! Served from outside of the sandbox, in the host's mounts, by descriptors that are held: nothing here resolves a path of the
//! sandbox, so nothing here can wait for itself. Answered first, told after. Invariant: whatever a request is, the tree does
//! not change, and in a filtered directory happens what [`Directory`] lets happen.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::sandbox::together::Usual;
use crate::sys::xattr;

use super::READERS;
use super::apart::Behalf;
use super::asked::{Asked, asked};
use super::filtered::{Directory, Found};
use super::looks::{Guard, Look, Looks};
use super::open::{FIRST, Name, Open};
use super::tasks::Tasks;
use super::tree::{Kind, Node, Tree};
use super::wire::{self, Attributes, Keep, Listing, Lock, Operation, Request, Sizes, Validity};

/// How long a lock is waited for; a caller that wants more is interrupted, as by a signal, and asks again. Less than the
/// time after which the kernel takes us for dead.
const LOCK_WAIT: Duration = Duration::from_secs(wire::REQUEST_TIMEOUT as u64 * 4 / 5);

/// How long, and how often, a look waits for those whose askers are read: so long it may not be answered, and after that it is
/// told without what it was for.
const TURN: Duration = Duration::from_millis(1);
const TURNS: usize = 100;
/// Interrupted requests that are remembered.
const MOST_INTERRUPTED: usize = 4096;

pub(super) struct Server {
    pub(super) device: OwnedFd,
    pub(super) tree: Tree,
    pub(super) directories: Vec<Directory>,
    pub(super) open: Open,
    pub(super) ids: (u32, u32),
    pub(super) started: i64,
    /// Names that every program looks for and that nobody has here.
    pub(super) absent: BTreeSet<(u64, Vec<u8>)>,
    pub(super) guard: Guard,
    pub(super) looks: Looks,
    /// Whether it is the agent that asks, and no longer the launcher.
    pub(super) armed: AtomicBool,
    /// Where its threads may run once the agent asks.
    pub(super) usual: Option<Usual>,
    /// Requests whose caller was interrupted.
    pub(super) interrupted: Mutex<BTreeSet<u64>>,
    /// The thread that walks here for others, and for whom it does.
    pub(super) supervisor: Option<(i32, Behalf)>,
    /// Requests that are not answered yet, by when they came.
    pub(super) busy: Mutex<BTreeMap<u64, Instant>>,
    /// Who asked lately.
    pub(super) tasks: Tasks,
    /// Threads of ours that read the memory of who asks.
    pub(super) reading: AtomicUsize,
}

type Answer = Result<Vec<u8>, i32>;

/// What is done after a request was answered.
struct Then {
    answer: Option<Answer>,
    look: Option<Look>,
}

impl From<Answer> for Then {
    fn from(answer: Answer) -> Self {
        Self { answer: Some(answer), look: None }
    }
}

const SILENCE: Then = Then { answer: None, look: None };

impl Server {
    /// Serves until the file system is gone.
    pub(super) fn serve(self: &Arc<Self>) {
        let mut buffer = vec![0; wire::MESSAGE];
        let mut bound = self.usual;
        loop {
            let length = match nix::unistd::read(&self.device, &mut buffer) {
                Ok(length) => length,
                // ENOENT: the request was interrupted before it was read.
                Err(Errno::EINTR | Errno::EAGAIN | Errno::ENOENT) => continue,
                Err(_) => return,
            };
            if let Some(usual) = bound.take_if(|_| self.armed.load(Ordering::Relaxed)) {
                usual.resume();
            }
            let message = buffer.get(..length).unwrap_or_default();
            let (unique, then) = match wire::parse(message) {
                Ok(request) => (request.unique, self.attend(&request)),
                Err(wire::Malformed { unique: Some(unique) }) => (unique, Err(libc::EIO).into()),
                Err(wire::Malformed { unique: None }) => continue,
            };
            if then.look.is_some() {
                self.looks.announce();
            }
            if let Some(answer) = then.answer {
                self.answer(unique, answer);
            }
            if let Some(look) = then.look {
                self.looks.tell(look);
            }
        }
    }

    /// Deals with a request, and lets it be seen that it does.
    fn attend(self: &Arc<Self>, request: &Request<'_>) -> Then {
        // Seen by the watch of a server that is a process of its own alone.
        if self.supervisor.is_none() {
            return self.handle(request);
        }
        let busy = || self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy().insert(request.unique, Instant::now());
        let then = self.handle(request);
        busy().remove(&request.unique);
        then
    }

    fn asked(&self, thread: i32) -> Asked {
        let reading = Cell::new(false);
        let asked = asked(&self.tasks, thread, || {
            let begins = |count: usize| (count < READERS).then_some(count + 1);
            let free = || self.reading.fetch_update(Ordering::Relaxed, Ordering::Relaxed, begins).is_ok();
            // Mostly it is free again at once; where it is not, somebody waits for a page that we may have to serve.
            let waited = || {
                std::thread::sleep(TURN);
                free()
            };
            reading.set(free() || (0..TURNS).any(|_| waited()));
            reading.get()
        });
        if reading.get() {
            self.reading.fetch_sub(1, Ordering::Relaxed);
        }
        asked
    }

    /// When the oldest request came that is not dealt with yet.
    pub(super) fn busy_since(&self) -> Option<Instant> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).values().min().copied()
    }

    fn answer(&self, unique: u64, answer: Answer) {
        let bytes = wire::reply(unique, answer.as_deref().map_err(|errno| *errno));
        // ENOENT: nobody waits any more.
        nix::unistd::write(&self.device, &bytes).ok();
    }

    fn handle(self: &Arc<Self>, request: &Request<'_>) -> Then {
        use Operation as O;
        let node = request.node;
        match &request.operation {
            O::Init { major, minor, readahead, flags } => {
                wire::init_reply(*major, *minor, *readahead, *flags).ok_or(libc::EPROTO).into()
            }
            O::Lookup { name } => self.lookup(request, name),
            O::Forget { count } => {
                self.forget(node, *count);
                SILENCE
            }
            O::ForgetMany { nodes } => {
                nodes.iter().for_each(|(node, count)| self.forget(*node, *count));
                SILENCE
            }
            O::Destroy => SILENCE,
            O::Interrupt { unique } => {
                let mut interrupted = self.interrupted.lock().unwrap_or_else(PoisonError::into_inner);
                // Most are of requests that never wait. Who does, and is forgotten, waits to its end.
                if interrupted.len() >= MOST_INTERRUPTED {
                    interrupted.clear();
                }
                interrupted.insert(*unique);
                SILENCE
            }
            O::SetLock { handle, owner, lock, whole_file, wait } => {
                let (lock, whole_file) = (*lock, *whole_file);
                match self.open.lock(*handle, *owner, lock, whole_file) {
                    Err(libc::EAGAIN) if *wait => {
                        self.wait_for_lock(request.unique, *handle, *owner, lock, whole_file);
                        SILENCE
                    }
                    other => other.map(|()| Vec::new()).into(),
                }
            }
            O::ReadDirectory { handle, offset, size, plus } => self.list(node, *handle, *offset, *size, *plus).into(),
            O::OpenDirectory => self.open_directory(node).into(),
            O::ReleaseDirectory { handle } => {
                self.open.release_listing(*handle);
                Ok(Vec::new()).into()
            }
            O::StatFs => self.sizes(node).into(),
            O::GetAttributes { .. } => self.attributes(node).into(),
            O::ReadLink => match self.tree.node(node) {
                Some(Node { kind: Kind::Link(text), .. }) => Ok(text.clone()),
                _ => Err(libc::EINVAL),
            }
            .into(),
            other if node < FIRST => self.in_directory(node, other).into(),
            other => self.of_file(node, other).into(),
        }
    }

    fn forget(&self, node: u64, count: u64) {
        if node >= FIRST {
            self.open.forget(node, count);
        }
    }

    fn filter(&self, node: u64) -> Option<&Directory> {
        match self.tree.node(node)?.kind {
            Kind::Directory { filter: Some(index), .. } => self.directories.get(index),
            _ => None,
        }
    }

    fn lookup(&self, request: &Request<'_>, name: &[u8]) -> Then {
        let node = request.node;
        if let Some(child) = self.tree.child(node, name)
            && let Some(found) = self.tree.node(child)
        {
            return Ok(wire::entry(child, Validity::Ever, &self.of_tree(child, found))).into();
        }
        if let Some(directory) = self.filter(node) {
            match directory.find(name) {
                Ok(Found::Object(place, stat)) => return Ok(self.open.hold(place, &stat)).into(),
                Ok(Found::Absent) => return Err(libc::ENOENT).into(),
                Ok(Found::Foreign) => {}
                Err(errno) => return Err(errno).into(),
            }
        }
        if self.absent.contains(&(node, name.to_vec())) {
            return Ok(wire::no_entry(Validity::Ever)).into();
        }
        let Some(dir) = self.tree.node(node) else { return Err(libc::ENOENT).into() };
        if !self.armed.load(Ordering::Relaxed) {
            return Err(libc::ENOENT).into();
        }
        let validity = self.guard.count(node, name);
        let thread = i32::try_from(request.thread).ok().filter(|thread| *thread > 0);
        let whom = thread.and_then(|thread| match &self.supervisor {
            Some((supervisor, behalf)) if *supervisor == thread => behalf.whom(),
            _ => Some(thread),
        });
        let look = whom.map(|thread| Look {
            dir: dir.path.clone(),
            name: name.to_vec(),
            // While it waits: it may be gone when it was answered.
            asked: self.asked(thread),
        });
        let answer = if validity == Validity::None { Err(libc::ENOENT) } else { Ok(wire::no_entry(validity)) };
        Then { answer: Some(answer), look }
    }

    fn of_tree(&self, number: u64, node: &Node) -> Attributes {
        let (kind, size, modified) = match &node.kind {
            Kind::Directory { .. } => (libc::S_IFDIR, 4096, self.started),
            Kind::File { size, modified } => (libc::S_IFREG, *size, *modified),
            Kind::Link(text) => (libc::S_IFLNK, text.len() as u64, self.started),
        };
        let links = if kind == libc::S_IFDIR { 2 } else { 1 };
        let times = (modified, 0);
        let (uid, gid) = self.ids;
        Attributes {
            inode: number,
            size,
            blocks: 0,
            accessed: times,
            modified: times,
            changed: times,
            mode: kind | node.mode,
            links,
            uid,
            gid,
        }
    }

    fn attributes(&self, node: u64) -> Answer {
        if let Some(directory) = self.filter(node) {
            let stat = nix::sys::stat::fstat(directory.place()).map_err(|errno| errno as i32)?;
            // Its number is the tree's, as in its name; the rest is as outside.
            let of = Attributes { inode: node, ..self.open.attributes(&stat) };
            // Of a walk through it nobody asks us; what changes it from inside, the kernel knows.
            return Ok(wire::attributes_reply(Validity::Ever, &of));
        }
        match self.tree.node(node) {
            Some(found) => Ok(wire::attributes_reply(Validity::Ever, &self.of_tree(node, found))),
            None => {
                let stat = self.open.stat(node)?;
                Ok(wire::attributes_reply(Validity::None, &self.open.attributes(&stat)))
            }
        }
    }

    fn sizes(&self, node: u64) -> Answer {
        let Some(directory) = self.filter(node) else {
            let sizes = Sizes { blocks: 0, free: 0, available: 0, files: 0, files_free: 0, block: 4096 };
            return Ok(wire::sizes(&sizes));
        };
        let real = nix::sys::statvfs::fstatvfs(directory.place()).map_err(|errno| errno as i32)?;
        Ok(wire::sizes(&Sizes {
            blocks: real.blocks(),
            free: real.blocks_free(),
            available: real.blocks_available(),
            files: real.files(),
            files_free: real.files_free(),
            block: u32::try_from(real.fragment_size()).unwrap_or(4096),
        }))
    }

    /// What changes the names of a directory.
    fn in_directory(&self, node: u64, operation: &Operation<'_>) -> Answer {
        use Operation as O;
        let filter = self.filter(node).ok_or(libc::EROFS);
        // What is mounted there, and what leads there, stays.
        let of_plan = |name: &[u8]| if self.tree.child(node, name).is_some() { Err(libc::EBUSY) } else { Ok(()) };
        let done = |result: Result<(), i32>| result.map(|()| Vec::new());
        match operation {
            O::Create { name, flags, mode } => {
                let flags = flags.cast_signed();
                let (file, place, stat) = filter?.create(name, flags, *mode)?;
                let mut entry = self.open.hold(place, &stat);
                let number = entry.get(..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_ne_bytes);
                let handle = self.open.opened(number, file, flags)?;
                entry.extend(wire::opened(handle, Keep::Nothing));
                Ok(entry)
            }
            O::MakeNode { name, mode } => {
                if mode & libc::S_IFMT != libc::S_IFREG {
                    return Err(libc::EPERM);
                }
                let (_, place, stat) = filter?.create(name, libc::O_WRONLY | libc::O_EXCL, *mode)?;
                Ok(self.open.hold(place, &stat))
            }
            O::MakeDirectory { name, mode } => {
                let directory = filter?;
                directory.make_directory(name, *mode)?;
                match directory.find(name)? {
                    Found::Object(place, stat) => Ok(self.open.hold(place, &stat)),
                    Found::Absent | Found::Foreign => Err(libc::ENOENT),
                }
            }
            O::Unlink { name } => of_plan(name).and_then(|()| done(filter?.unlink(name))),
            O::RemoveDirectory { name } => of_plan(name).and_then(|()| done(filter?.remove_directory(name))),
            O::Rename { name, to, new_name, flags } => {
                let directory = filter?;
                if *to != node {
                    return Err(libc::EXDEV);
                }
                of_plan(name).and_then(|()| of_plan(new_name))?;
                done(directory.rename(name, new_name, *flags))
            }
            O::SymLink { .. } | O::Link { .. } => filter.and(Err(libc::EPERM)),
            O::SetAttributes(_) => filter.and(Err(libc::EPERM)),
            O::SyncDirectory => Ok(Vec::new()),
            O::Open { .. } => Err(libc::EACCES),
            O::GetXattr { .. } | O::SetXattr { .. } | O::ListXattr { .. } | O::RemoveXattr { .. } => {
                Err(libc::EOPNOTSUPP)
            }
            _ => Err(libc::ENOSYS),
        }
    }

    /// What concerns one file of a filtered directory, or a directory that is a lock.
    fn of_file(&self, node: u64, operation: &Operation<'_>) -> Answer {
        use Operation as O;
        let done = |result: Result<(), i32>| result.map(|()| Vec::new());
        match operation {
            O::Open { flags } => self.open.open(node, flags.cast_signed()),
            O::Read { handle, offset, size } => self.open.read(*handle, *offset, *size),
            O::Write { handle, offset, data, from_cache } => self.open.write(*handle, *offset, data, *from_cache),
            O::Release { handle } => {
                self.open.release(*handle);
                Ok(Vec::new())
            }
            O::Flush { handle, owner } => {
                self.open.flush(*handle, *owner);
                Ok(Vec::new())
            }
            O::Sync { handle, data_only } => done(self.open.sync(*handle, *data_only)),
            O::SyncDirectory => Ok(Vec::new()),
            O::Allocate { handle, offset, length, mode } => done(self.open.allocate(*handle, *offset, *length, *mode)),
            O::SetAttributes(change) => {
                let stat = self.open.change(node, change)?;
                Ok(wire::attributes_reply(Validity::None, &self.open.attributes(&stat)))
            }
            O::GetLock { handle, owner, lock } => self.open.lock_against(*handle, *owner, *lock).map(wire::lock),
            O::GetXattr { name, size } => self.xattr(node, Some(name), |path, name| {
                let value = xattr::get(path, name).map_err(|errno| errno as i32)?;
                wire::xattr(&value, *size)
            }),
            O::ListXattr { size } => self.xattr(node, None, |path, _| {
                let names = xattr::list(path).map_err(|errno| errno as i32)?;
                let users = names.split_inclusive(|&byte| byte == 0).filter(|name| name.starts_with(USER));
                wire::xattr(&users.collect::<Vec<_>>().concat(), *size)
            }),
            O::SetXattr { name, value, flags } => self.xattr(node, Some(name), |path, name| {
                xattr::set(path, name, value, flags.cast_signed()).map_err(|errno| errno as i32)?;
                Ok(Vec::new())
            }),
            O::RemoveXattr { name } => self.xattr(node, Some(name), |path, name| {
                xattr::remove(path, name).map_err(|errno| errno as i32)?;
                Ok(Vec::new())
            }),
            // In a directory that is a lock.
            O::Create { .. }
            | O::MakeNode { .. }
            | O::MakeDirectory { .. }
            | O::SymLink { .. }
            | O::Link { .. }
            | O::Rename { .. } => Err(libc::EPERM),
            O::Unlink { .. } | O::RemoveDirectory { .. } => Err(libc::ENOENT),
            _ => Err(libc::ENOSYS),
        }
    }

    /// Attributes of users alone: those of the system and of security modules are not passed on.
    fn xattr(
        &self,
        node: u64,
        name: Option<&[u8]>,
        then: impl Fn(&std::ffi::CStr, &std::ffi::CStr) -> Answer,
    ) -> Answer {
        if name.is_some_and(|name| !name.starts_with(USER)) {
            return Err(libc::EOPNOTSUPP);
        }
        let (held, path) = self.open.xattrs(node)?;
        let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| libc::EINVAL);
        let answer = then(&text(path.as_bytes())?, &text(name.unwrap_or_default())?);
        drop(held);
        answer
    }

    fn open_directory(&self, node: u64) -> Answer {
        if let Some(directory) = self.filter(node) {
            return Ok(wire::opened(self.open.list(directory.names()?), Keep::Nothing));
        }
        match self.tree.node(node) {
            // The names of the plan are the same for ever.
            Some(_) => Ok(wire::opened(0, Keep::Names)),
            None if self.open.is_directory(node) => Ok(wire::opened(0, Keep::Nothing)),
            None => Err(libc::ENOTDIR),
        }
    }

    fn list(&self, node: u64, handle: u64, offset: u64, size: u32, plus: bool) -> Answer {
        let mut listing = Listing::new(size, plus);
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        let plain = |inode: u64, mode: u32| Attributes { inode, mode, ..Attributes::default() };
        let dots = [b".".as_slice(), b".."].map(|name| (name.to_vec(), 0, plain(node, libc::S_IFDIR)));
        let of_plan: Vec<_> = match self.tree.node(node).map(|node| &node.kind) {
            Some(Kind::Directory { names, .. }) => {
                let known = names.iter().filter_map(|(name, child)| {
                    Some((name.clone(), *child, self.of_tree(*child, self.tree.node(*child)?)))
                });
                known.collect()
            }
            _ => Vec::new(),
        };
        let real = self.open.listing(handle).unwrap_or_default();
        // Without a node: it is looked up when it is wanted.
        let real = real.iter().map(|(name, inode, mode): &Name| (name.clone(), 0, plain(*inode, *mode)));
        for (index, (name, child, of)) in dots.into_iter().chain(of_plan).chain(real).enumerate().skip(skip) {
            if !listing.add(&name, index as u64 + 1, child, Validity::Ever, &of) {
                break;
            }
        }
        Ok(listing.into_bytes())
    }

    /// In a thread of its own: a lock may be held for long, and those who serve are few.
    fn wait_for_lock(self: &Arc<Self>, unique: u64, handle: u64, owner: u64, lock: Lock, whole_file: bool) {
        let server = Arc::clone(self);
        let spawned = std::thread::Builder::new().spawn(move || {
            let end = Instant::now() + LOCK_WAIT;
            let mut pause = Duration::from_millis(1);
            let answer = loop {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(50));
                if server.interrupted.lock().unwrap_or_else(PoisonError::into_inner).remove(&unique) {
                    break Err(libc::EINTR);
                }
                match server.open.lock(handle, owner, lock, whole_file) {
                    Err(libc::EAGAIN) if Instant::now() < end => {}
                    Err(libc::EAGAIN) => break Err(libc::EINTR),
                    other => break other.map(|()| Vec::new()),
                }
            };
            server.answer(unique, answer);
        });
        if spawned.is_err() {
            self.answer(unique, Err(libc::ENOLCK));
        }
    }
}

/// What the names of attributes of users begin with.
const USER: &[u8] = b"user.";
