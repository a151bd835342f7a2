//! The threads that are followed, and what is known of each between two stops.

use std::collections::BTreeSet;

use crate::event::{Fact, ImageId};
use crate::sys::process::proc_file;

use super::image::Chain;
use super::known::Stamp;
use super::resolve::Eyes;

/// One thread.
#[derive(Debug, Default)]
pub(super) struct Task {
    /// Its process.
    pub(super) pid: i32,
    /// `None` before the first exec: what runs then is the launcher.
    pub(super) image: Option<ImageId>,
    /// Whether the image came to be in this process, by exec, and not by fork.
    pub(super) executed: bool,
    /// Whether its first stop came and the event of its parent has not.
    pub(super) unannounced: bool,
    /// Working directory, and the count of directory changes at which it was looked up.
    pub(super) cwd: Option<(u64, Vec<u8>)>,
    /// The number of its process inside the pid namespace, once it was asked for.
    pub(super) inside: Option<i32>,
    /// The call that it is in, when its result is waited for.
    pub(super) pending: Option<Pending>,
    /// A call that a signal interrupted: made again by the kernel, or given up.
    pub(super) interrupted: Option<Box<Interrupted>>,
    /// The sixth argument register of a call that was handed over: what it held before.
    pub(super) handed: Option<u64>,
    /// Datagram sockets that it connected, and of which it is not yet known whether anything is sent.
    pub(super) probes: Vec<Probe>,
}

impl Task {
    pub(super) fn eyes(&mut self, tid: i32, needs_inside: bool) -> Eyes {
        let inside = if needs_inside { *self.inside.get_or_insert_with(|| number_inside(self.pid)) } else { 0 };
        Eyes { tid, pid: self.pid, inside }
    }
}

/// A call that was seen to begin.
#[derive(Debug)]
pub(super) struct Pending {
    /// What is to be recorded, with the result still open.
    pub(super) facts: Vec<Fact>,
    /// Under which the answer is remembered; `None` for what is never the same twice.
    pub(super) key: Option<u64>,
    /// What a remembered answer rests on.
    pub(super) asked: Stamp,
    /// Number and arguments, by which a call that is made again is known; `None` where that is not asked.
    pub(super) call: Option<(u64, [u64; 6])>,
    /// Directories in which a success makes or takes names.
    pub(super) touches: Vec<u64>,
    pub(super) then: Then,
    pub(super) end: End,
}

/// Whether the end of a call is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Awaited,
    /// It succeeds: see [`foresight`](super::foresight).
    Foreseen,
}

/// What else a result means.
#[derive(Debug)]
pub(super) enum Then {
    Nothing,
    /// The working directory has changed.
    Moved,
    /// A name is another object now: no remembered directory can be trusted.
    Renamed {
        /// A directory was moved: what was absent beneath it may be there.
        arrived: bool,
        /// A directory was moved or removed: who works in it is elsewhere.
        left: bool,
        /// A symlink went, came in the place of something, or moved within a directory: paths lead elsewhere.
        links: bool,
    },
    Exec(Box<Chain>),
    /// A socket that had no port is listened on: the kernel chose one.
    Listens {
        fd: i32,
    },
    /// A datagram socket has this peer now, or (`None`) has no more any.
    Connected {
        fd: u64,
        probe: Option<Probe>,
    },
}

/// A call whose end is not known, and the calls after which it counts as given up.
#[derive(Debug)]
pub(super) struct Interrupted {
    pub(super) pending: Pending,
    pub(super) left: u8,
}

/// A connected datagram socket: an endpoint only if something is sent.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    pub(super) fd: u64,
    pub(super) endpoint: crate::vocab::endpoint::Endpoint,
    /// Calls that are still looked at.
    pub(super) left: u8,
}

/// What /proc knows of a thread that was not announced yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) pid: i32,
    pub(super) parent: i32,
}

/// Process and parent of a thread.
pub(super) fn origin(tid: i32) -> Option<Origin> {
    let status = status(tid)?;
    Some(Origin { pid: field(&status, "Tgid:")?, parent: field(&status, "PPid:")? })
}

fn status(tid: i32) -> Option<String> {
    let bytes = proc_file(&format!("/proc/{tid}/status")).ok()?;
    // The name of the program may be any bytes.
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn number_inside(pid: i32) -> i32 {
    let status = status(pid).unwrap_or_default();
    // From the outermost namespace to the innermost.
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    line.and_then(|numbers| numbers.split_whitespace().next_back()?.parse().ok()).unwrap_or(pid)
}

fn field(status: &str, name: &str) -> Option<i32> {
    status.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
}

/// The processes of `tasks`.
pub(super) fn processes<'a>(tasks: impl Iterator<Item = &'a Task>) -> BTreeSet<i32> {
    tasks.map(|task| task.pid).collect()
}
