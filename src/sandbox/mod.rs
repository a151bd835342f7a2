//! The sandbox: a [`Plan`] → a confined process tree and its denials.
//!
//! ```text
//!  pinfold (supervisor, outside) ── clone, seven namespaces ──▶ init (pid 1 inside: mounts, then reaps)
//!        ▲ messages: pid, listener, stop, end                      └── fork ──▶ payload (waits, filter, exec)
//! ```
//!
//! Invariant: nothing of the tree outlives the supervisor, however that ends: init dies with it, and with init the kernel
//! kills everything in the pid namespace. The payload waits, fully confined but for the filter, until it is
//! [released](Sandbox::release), so that a tracer can attach before the first instruction of the agent.
//!
//! It knows plans and denials; it does not know profiles or traces.

mod chest;
mod child;
mod copies;
mod denial;
pub mod desk;
mod error;
#[cfg(feature = "fixtures")]
pub mod fuzz;
mod ground;
mod insisted;
mod landlock;
mod layer;
pub mod limits;
pub mod network;
pub mod paths;
mod root;
pub mod secrets;
mod signals;
mod supervisor;
mod terminal;
mod together;
pub mod tripwire;
mod unowned;
mod who;

use std::os::fd::{AsRawFd, OwnedFd};

use crate::event::ExitStatus;
use crate::plan::walls::Wall;
use crate::plan::{Desk, Plan, compile};
use crate::sys::{process, socket};
use crate::vocab::path::AbsPath;

use child::Launch;
pub use denial::Live;
pub use error::{StartError, Step};
pub use ground::Ground;
use limits::{Held, Hold, Reached};
pub use signals::Deadline;
use signals::{Ender, Signals};
use terminal::Terminal;
use together::Together;

/// What init and the payload tell the supervisor: one byte each, some with a number behind it.
mod word {
    pub(super) const PAYLOAD: u8 = b'p';
    pub(super) const LISTENER: u8 = b'l';
    pub(super) const DIRECTORY: u8 = b'd';
    pub(super) const RESOLVER: u8 = b'r';
    pub(super) const CLOSED: u8 = b'c';
    pub(super) const FAILED: u8 = b'f';
    pub(super) const STOPPED: u8 = b's';
    pub(super) const ENDED: u8 = b'e';
    pub(super) const GO: u8 = b'g';
}

/// A started sandbox. Dropping it ends everything inside.
#[derive(Debug)]
pub struct Sandbox {
    init: i32,
    payload: i32,
    ender: Ender,
    payload_fd: OwnedFd,
    control: OwnedFd,
    listener: Option<OwnedFd>,
    desks: desk::Desks,
    serving: Option<std::thread::JoinHandle<Option<socket::Message>>>,
    copies: copies::Copies,
    signals: Signals,
    terminal: Terminal,
    limits: Hold,
    tripwire: Option<tripwire::Tripwire>,
    untold: Option<nix::errno::Errno>,
    live: Live,
    plan: Plan,
    reaped: bool,
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// The payload's end.
    pub status: ExitStatus,
    /// The signal from outside that ended the run, if one did.
    pub interrupted: Option<i32>,
    /// Copied files that changed inside and could not be written back.
    pub lost: Vec<(AbsPath, std::io::Error)>,
    /// Limits that the run came up against.
    pub reached: Vec<Reached>,
    /// Whether what was looked for in vain is not known, since the server of the root ended before the run.
    pub unseen: bool,
}

/// Starts the sandbox up to the point where the payload waits to be released: on `ground`, if it was laid before and fits. The
/// caller must have no other threads yet. Where no FUSE file system can be mounted it is started
/// [without](Plan::without_tripwire), and [says](Sandbox::untold) so.
pub fn start(
    plan: &Plan,
    environment: &[Vec<u8>],
    secrets: &secrets::Values,
    live: &Live,
    ground: Option<Ground>,
) -> Result<Sandbox, StartError> {
    match start_as(plan, environment, secrets, live, ground) {
        Err(StartError::Tripwire(errno)) => {
            let mut started = start_as(&plan.without_tripwire(), environment, secrets, live, None)?;
            started.untold = Some(errno);
            Ok(started)
        }
        other => other,
    }
}

fn start_as(
    plan: &Plan,
    environment: &[Vec<u8>],
    secrets: &secrets::Values,
    live: &Live,
    ground: Option<Ground>,
) -> Result<Sandbox, StartError> {
    // Begun first, if it was not before: the rest of what is made here takes as long.
    let ground = plan.has_namespaces().then(|| Ground::of(plan, ground)).transpose()?;
    let (control, theirs) = socket::pair().map_err(|errno| StartError::kernel(Step::Channel, errno))?;
    let (copied, terminal) = (copies::read(&plan.copies)?, Terminal::find());
    let mut launch = Launch::new(plan, environment, compile::compile(&plan.filter), copied.contents(), secrets)?;
    // Blocked before there is a child, so that none is lost; the child resets its own.
    let signals = Signals::block();
    let together = Together::begin();
    launch.usual = together.as_ref().map(Together::usual);
    let (init, mounted) = ground::enter(plan, ground, together.as_ref(), |mount| {
        // This is the child: its copy of the supervisor's end is closed, so that it hears when that is gone.
        nix::unistd::close(control.as_raw_fd()).ok();
        child::init(&launch, &theirs, mount)
    })?;
    drop(theirs);
    let guard = Unfinished(init);
    let init_fd = process::pidfd(init).map_err(|errno| StartError::kernel(Step::Pidfd, errno))?;
    let ender = Ender::new(init_fd, plan);
    let mut limits = Hold::take(plan, init)?;
    let sent = socket::send(&control, &[word::GO], None);
    sent.map_err(|errno| StartError::kernel(Step::Channel, errno))?;
    let tripwire = match mounted {
        // Init opens what it will mount meanwhile. What it asks of a server that has not begun waits.
        Some(device) => {
            let prepared =
                tripwire::prepare(plan, device.map_err(StartError::Tripwire)?, secrets, live.clone(), launch.usual);
            let prepared = prepared.map_err(StartError::Tripwire)?;
            Some(prepared.serve(plan, init).map_err(|errno| StartError::kernel(Step::RootDirectory, errno))?)
        }
        None => None,
    };
    let (mut directories, mut resolver) = (Vec::new(), Vec::new());
    // Without namespaces there is no proc to be closed.
    let (mut payload, mut closed) = (None, !plan.has_namespaces());
    let payload = loop {
        if let Some(payload) = payload.filter(|_| closed) {
            break payload;
        }
        match socket::receive(&control).map_err(|errno| StartError::kernel(Step::Channel, errno))? {
            None => return Err(StartError::InitDied),
            Some(message) => match message.bytes.split_first() {
                Some((&word::PAYLOAD, _)) => payload = Some(message.sender),
                Some((&word::CLOSED, _)) => closed = true,
                Some((&word::DIRECTORY, _)) => directories.extend(message.descriptor),
                Some((&word::RESOLVER, _)) => resolver.extend(message.descriptor),
                Some((&word::FAILED, rest)) => return Err(StartError::from_child(rest, &launch)),
                Some(_) | None => {}
            },
        }
    };
    drop(together);
    let payload_fd = match process::pidfd(payload) {
        Ok(payload_fd) => payload_fd,
        // It failed at once: then the next message says of what.
        Err(errno) => {
            let last = socket::receive(&control).ok().flatten();
            return Err(match last.as_ref().and_then(|message| message.bytes.split_first()) {
                Some((&word::FAILED, rest)) => StartError::from_child(rest, &launch),
                Some(_) | None => StartError::kernel(Step::Pidfd, errno),
            });
        }
    };
    limits.bind(plan, payload, ender.init())?;
    let mut desks = desk::Desks::default();
    if let Some(policy) = plan.policy.clone().filter(|_| plan.has(Wall::Network)) {
        let broker = network::Broker::new(policy, init, resolver)?;
        desks.seat(Desk::Network, Box::new(broker));
    }
    std::mem::forget(guard);
    Ok(Sandbox {
        init,
        payload,
        ender,
        payload_fd,
        control,
        listener: None,
        desks,
        serving: None,
        copies: copied.with_directories(directories),
        signals,
        terminal,
        limits,
        tripwire,
        untold: None,
        live: live.clone(),
        plan: plan.clone(),
        reaped: false,
    })
}

/// Ends a half-started init when starting fails.
struct Unfinished(i32);

impl Drop for Unfinished {
    fn drop(&mut self) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0), nix::sys::signal::Signal::SIGKILL).ok();
        process::reap(self.0);
    }
}

impl Sandbox {
    /// The payload's pid on the host.
    pub fn payload(&self) -> i32 {
        self.payload
    }

    /// The pid of the sandbox's init on the host.
    pub fn init(&self) -> i32 {
        self.init
    }

    /// What holds the limits of the plan.
    pub fn limits(&self) -> &[Held] {
        self.limits.held()
    }

    /// Why what is looked for in vain is not told, where the plan wanted that.
    pub fn untold(&self) -> Option<std::io::Error> {
        self.untold.map(std::io::Error::from)
    }

    /// Where it is to be said for whom the supervisor walks through the sandbox's root; `None` where that is not served by us.
    pub fn behalf(&self) -> Result<Option<tripwire::Behalf>, StartError> {
        let behalf = self.tripwire.as_ref().map_or(Ok(None), tripwire::Tripwire::behalf);
        behalf.map_err(|errno| StartError::kernel(Step::RootDirectory, errno))
    }

    /// The desks that answer the calls which this run does not make itself. Before the release.
    pub fn desks(&mut self) -> &mut desk::Desks {
        &mut self.desks
    }

    /// Lets the payload load its filter and exec, and does not wait: for a tracer, which must handle its stops meanwhile.
    pub fn let_go(&mut self) -> Result<(), StartError> {
        if let Some(tripwire) = &self.tripwire {
            tripwire.serve_all().map_err(|errno| StartError::kernel(Step::RootDirectory, errno))?;
            tripwire.arm();
        }
        self.terminal.give_to(self.payload);
        let sent = socket::send(&self.control, &[word::GO], None);
        sent.map_err(|errno| StartError::kernel(Step::Channel, errno))
    }

    /// Lets the payload go, and waits until its exec succeeded or failed.
    pub fn release(&mut self) -> Result<(), StartError> {
        self.let_go()?;
        self.signals.forward(&self.payload_fd, &self.ender);
        Ok(())
    }

    /// Asks the payload to end after `limit`, and ends it a little later.
    pub fn end_after(&self, limit: std::time::Duration) -> Deadline {
        Deadline::start(limit, &self.payload_fd, &self.ender)
    }

    /// Ends everything inside at once.
    pub fn kill(&self) {
        self.ender.end();
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            process::reap(self.init);
        }
        // Nobody has the filter any more, so it ends by itself.
        self.serving.take().map(std::thread::JoinHandle::join);
        self.terminal.take_back();
    }
}
