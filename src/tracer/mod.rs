//! The tracer: follows a process tree by ptrace stops that a filter asks for, and turns them into events.
//!
//! ```text
//!  stop ──▶ entry: known question? ──yes──▶ goes on
//!                  └─no─▶ read arguments, resolve paths ──▶ exit stop: result ──▶ facts ──▶ recorder ──▶ sink
//! ```
//!
//! It runs outside the sandbox, as the parent and the owner of its user namespace, so that a program which made itself
//! non-dumpable is still seen. Invariant: what could not be read or followed is a [`Gap`](crate::event::Gap), never
//! silence. It refuses what the filter of the plan refuses, as the registers say, and decides nothing else; it knows no
//! profile.

mod arguments;
mod beside;
mod census;
mod conclude;
mod facts;
mod follow;
mod foresight;
#[cfg(feature = "fixtures")]
#[doc(hidden)]
pub mod fuzz;
mod image;
mod imported;
mod known;
mod mentions;
mod network;
mod observe;
mod probes;
mod resolve;
mod resources;
mod strace_words;
mod task;

use std::collections::BTreeSet;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use nix::errno::Errno;

use crate::event::{ExitStatus, Peaks, Report, Tally};
use crate::plan::FilterSpec;
use crate::sys;
use crate::vocab::location::Roots;
use crate::vocab::syscall::Syscall;

pub use facts::Sink;
pub use imported::{First, Imported, first_command, import};

/// Called while a run goes on. Its failure ends the run as that of the sink does.
pub type Progress<'a> = dyn FnMut(&Tally) -> std::io::Result<()> + 'a;

/// Events after which nothing more is recorded.
pub const DEFAULT_CAP: u64 = 1_000_000;

/// Between two looks at the clock and the memory of the tree.
const BEAT: Duration = Duration::from_millis(100);

/// How a run is traced.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The pid of the sandbox's init: a child of the caller that is not traced, and whose end ends the run.
    pub init: Option<i32>,
    /// Record calls of the base set as well: for a run under the exact filter.
    pub exact: bool,
    /// Most events to record.
    pub cap: u64,
    /// Between two notes of what a trace ends with, so that one that breaks off has it too.
    pub checkpoint: Duration,
    /// Where the variables lead: for the names in the census.
    pub roots: Roots,
    /// The calls that somebody else carries out, once they were looked at.
    pub hand_over: HandOver,
    /// The filter that the program runs under. What it hands to the tracer to be refused is decided anew from registers.
    pub filter: FilterSpec,
}

/// Calls that the filter hands to the supervisor when their sixth argument register holds the token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandOver {
    /// Chosen anew for each run: a program that guessed it would be carried out unseen.
    pub token: u64,
    /// Which.
    pub calls: BTreeSet<Syscall>,
}

/// How a traced run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The first program; `None` if its end was not seen.
    pub status: Option<ExitStatus>,
    /// The sandbox's init.
    pub init: Option<ExitStatus>,
    /// What was recorded.
    pub tally: Tally,
    /// Highest use of resources; also recorded.
    pub peaks: Peaks,
}

/// Why a run could not be traced to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The kernel refused to attach.
    #[error("the program could not be attached to")]
    Attach(#[source] Errno),
    /// Waiting for stops failed.
    #[error("waiting for the program failed")]
    Wait(#[source] Errno),
    /// The events could not be written; the run was ended.
    #[error("what was observed could not be written, so the run was ended")]
    Sink(#[source] std::io::Error),
}

/// A process that was attached to.
#[derive(Debug)]
pub struct Attached {
    payload: i32,
}

/// Attaches to `payload`, which waits to be released. From here on it and all that it starts die with the calling thread.
pub fn attach(payload: i32) -> Result<Attached, TraceError> {
    sys::ptrace::seize(payload).map_err(TraceError::Attach)?;
    Ok(Attached { payload })
}

/// Follows the tree until the first program, everything that it started and the sandbox's init have ended. Must be called
/// on the thread that attached; `progress` is called at most every 100 ms, and also while nothing happens. `reports` are
/// facts of tasks of the tree that others learn; each must be sent before its task goes on.
///
/// # Errors
///
/// When the sink fails, the tree is killed before this returns.
pub fn run(
    attached: Attached,
    settings: &Settings,
    reports: &Receiver<Report>,
    sink: Sink<'_>,
    progress: &mut Progress<'_>,
) -> Result<Ended, TraceError> {
    let _beat = sys::tick::Tick::start(BEAT).map_err(TraceError::Wait)?;
    follow::Tracer::new(attached.payload, settings, reports, sink).run(progress)
}
