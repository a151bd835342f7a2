//! The tripwire: the root of an enforced run as a file system of our own, served from outside of the sandbox.
//!
//! ```text
//!  plan ──tree──▶ directories, links, empty files ◀── mounts on top: what is granted costs what a mount costs
//!                        │ every other name is asked of us
//!  denials ◀──looks── server ──filtered──▶ the real directory: granted names and their siblings alone
//! ```
//!
//! Invariant: the kernel is told of nothing that the plan does not hold. When the server is gone, what is mounted goes on, and
//! everything else fails (ENOTCONN).
//!
//! It is served by threads of the supervisor; by a process (`apart`) beside it where the supervisor walks through the file
//! system itself, or where the kernel does not notice that a server no longer answers.

mod apart;
mod asked;
mod filtered;
mod looks;
mod open;
mod server;
mod siblings;
mod tasks;
mod tree;
pub mod wire;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;

use crate::event::Denial;
use crate::plan::Plan;
use crate::sys::fuse;
use crate::vocab::location::Roots;
use crate::vocab::path::AbsPath;

use super::denial::Live;
use super::secrets::Values;
use super::together::Usual;
use apart::Apart;
pub use apart::Behalf;
pub(super) use asked::intent;
use filtered::Directory;
use looks::{Guard, Seen, channel};
use open::Open;
use server::Server;
use tasks::Tasks;
use tree::Tree;

/// Threads that serve: one may be held up by a slow disk.
const SERVERS: usize = 2;
/// Threads that may read the memory of who asks at a time. It may be a file that we serve, and then another has to serve it.
const READERS: usize = 2;

/// What every program that is started looks for (ld.so(8)), and hardly a machine has, or has with anything in it: the kernel
/// may keep that for ever.
const ABSENT: [&str; 1] = ["/etc/ld.so.preload"];

/// A file system that is served.
#[derive(Debug)]
pub(super) enum Tripwire {
    /// By threads of this process.
    Here(Here),
    /// By another process.
    Apart(Apart),
}

/// What serves, in the process that does.
pub(super) struct Here {
    server: Arc<Server>,
    seen: Arc<Seen>,
    /// What is not at work yet.
    waiting: Mutex<Option<Waiting>>,
}

/// Who takes what was looked for in vain.
struct Waiting {
    looks: std::sync::mpsc::Receiver<looks::Look>,
    roots: Roots,
    /// The sandbox's.
    init: i32,
}

impl std::fmt::Debug for Here {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Here").field("tree", &self.server.tree).finish_non_exhaustive()
    }
}

/// A file system whose server has not begun: no thread yet.
pub(super) struct Prepared {
    server: Server,
    seen: Seen,
    looks: std::sync::mpsc::Receiver<looks::Look>,
}

/// The root of `plan`, to be served at `device`.
pub(super) fn prepare(
    plan: &Plan,
    device: OwnedFd,
    secrets: &Values,
    live: Live,
    usual: Option<Usual>,
) -> Result<Prepared, Errno> {
    let ids = (plan.identity.uid, plan.identity.gid);
    let is_dir = |path: &AbsPath| std::fs::symlink_metadata(path.to_path_buf()).is_ok_and(|meta| meta.is_dir());
    let tree = Tree::new(&plan.mounts, is_dir, |name| secrets.get(name).is_some());
    let directories =
        tree.filters.iter().map(|filter| Directory::open(filter, &plan.roots)).collect::<Result<_, _>>()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (sender, looks) = channel();
    let seen = sender.seen(live);
    let absent = ABSENT.iter().filter_map(|text| {
        let nothing = |path: &AbsPath| std::fs::metadata(path.to_path_buf()).map_or(true, |meta| meta.len() == 0);
        let path = AbsPath::new(text).ok().filter(nothing)?;
        Some((tree.find(&path.parent()?)?, path.file_name()?.to_vec()))
    });
    let absent = absent.collect();
    let server = Server {
        device,
        absent,
        tree,
        directories,
        open: Open::new(ids),
        ids,
        started: i64::try_from(now.as_secs()).unwrap_or(0),
        guard: Guard::default(),
        looks: sender,
        armed: AtomicBool::new(false),
        usual,
        interrupted: Mutex::default(),
        supervisor: None,
        busy: Mutex::default(),
        tasks: Tasks::default(),
        reading: AtomicUsize::new(0),
    };
    Ok(Prepared { server, seen, looks })
}

impl Prepared {
    /// Begins to serve. `init`: the sandbox's.
    pub(super) fn serve(self, plan: &Plan, init: i32) -> Result<Tripwire, Errno> {
        if plan.is_walked_through() || !fuse::requests_time_out() {
            return Apart::start(self, plan, init).map(Tripwire::Apart);
        }
        Here::serve(self, plan, init).map(Tripwire::Here)
    }
}

impl Here {
    /// One thread serves who builds the sandbox.
    fn serve(prepared: Prepared, plan: &Plan, init: i32) -> Result<Self, Errno> {
        let (server, seen) = (Arc::new(prepared.server), Arc::new(prepared.seen));
        let waiting = Waiting { looks: prepared.looks, roots: plan.roots.clone(), init };
        let first = Arc::clone(&server);
        spawn(move || first.serve())?;
        Ok(Self { server, seen, waiting: Mutex::new(Some(waiting)) })
    }

    /// The others serve the agent, too.
    fn serve_all(&self) -> Result<(), Errno> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Waiting { looks, roots, init }) = waiting else { return Ok(()) };
        let of_files = usize::from(!self.server.directories.is_empty());
        for _ in 1..SERVERS + of_files {
            let server = Arc::clone(&self.server);
            spawn(move || server.serve())?;
        }
        let taker = Arc::clone(&self.seen);
        spawn(move || taker.take(&looks, &roots, init))
    }

    fn arm(&self) {
        self.server.armed.store(true, Ordering::Relaxed);
    }

    fn denials(&self) -> Vec<Denial> {
        self.seen.denials()
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
    let spawned = std::thread::Builder::new().spawn(work);
    spawned.map(drop).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN)))
}

impl Tripwire {
    /// All who serve are at work: before the agent is let go, and not sooner. The sandbox is made in less time without them.
    pub(super) fn serve_all(&self) -> Result<(), Errno> {
        match self {
            Self::Here(here) => here.serve_all(),
            Self::Apart(_) => Ok(()),
        }
    }

    /// From now on it is the agent that asks.
    pub(super) fn arm(&self) {
        match self {
            Self::Here(here) => here.arm(),
            Self::Apart(apart) => apart.arm(),
        }
    }

    /// What was looked for in vain so far; `None` when that is not known any more.
    pub(super) fn denials(&self) -> Option<Vec<Denial>> {
        match self {
            Self::Here(here) => Some(here.denials()),
            Self::Apart(apart) => apart.denials(),
        }
    }

    /// Where the supervisor says for whom it walks through the file system; `None` where it must not.
    pub(super) fn behalf(&self) -> Result<Option<Behalf>, Errno> {
        match self {
            Self::Here(_) => Ok(None),
            Self::Apart(apart) => apart.behalf().map(Some),
        }
    }
}
