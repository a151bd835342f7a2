//! Signals that reach pinfold from outside are the agent's: forwarded by a thread. The second request to end is final.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::signal::{SigSet, Signal};

use crate::plan::Plan;
use crate::sys::process;

const FORWARDED: [Signal; 8] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGALRM,
];

/// Ends everything inside, at once.
#[derive(Debug)]
pub(super) struct Ender {
    init: OwnedFd,
    signal: libc::c_int,
}

/// The signal upon which an init without a pid namespace ends everything that it started.
pub(super) const END: libc::c_int = libc::SIGUSR1;

impl Ender {
    pub(super) fn new(init: OwnedFd, plan: &Plan) -> Self {
        // With the init of a pid namespace goes all that is in it.
        Self { init, signal: if plan.has_namespaces() { libc::SIGKILL } else { END } }
    }

    pub(super) fn end(&self) {
        // ESRCH: it ended by itself.
        process::signal(&self.init, self.signal).ok();
    }

    pub(super) fn init(&self) -> &OwnedFd {
        &self.init
    }

    fn try_clone(&self) -> std::io::Result<Self> {
        Ok(Self { init: self.init.try_clone()?, signal: self.signal })
    }
}

/// Time that the agent has to end by itself after it was asked to.
const GRACE: std::time::Duration = std::time::Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Signals {
    set: SigSet,
    interrupted: Arc<AtomicI32>,
}

impl Signals {
    /// Blocks them in this thread and those that it starts, so that none acts before it can be forwarded.
    pub(super) fn block() -> Self {
        let mut set = SigSet::empty();
        for signal in FORWARDED {
            set.add(signal);
        }
        set.thread_block().ok();
        Self { set, interrupted: Arc::new(AtomicI32::new(0)) }
    }

    /// Starts forwarding to `payload`. The thread ends with the program.
    pub(super) fn forward(&self, payload: &OwnedFd, init: &Ender) {
        let (Ok(payload), Ok(init)) = (payload.try_clone(), init.try_clone()) else { return };
        let (set, interrupted) = (self.set, Arc::clone(&self.interrupted));
        std::thread::spawn(move || {
            loop {
                let Ok(signal) = set.wait() else { return };
                let ends = matches!(signal, Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT);
                if ends && interrupted.swap(signal as i32, Ordering::Relaxed) != 0 {
                    init.end();
                    continue;
                }
                // ESRCH: it has ended; then so does the run.
                process::signal(&payload, signal as i32).ok();
                if ends && signal != Signal::SIGINT {
                    let init = init.try_clone();
                    std::thread::spawn(move || {
                        std::thread::sleep(GRACE);
                        init.map(|init| init.end()).ok();
                    });
                }
            }
        });
    }

    /// The signal by which somebody asked the run to end.
    pub(super) fn interrupted(&self) -> Option<i32> {
        Some(self.interrupted.load(Ordering::Relaxed)).filter(|signal| *signal != 0)
    }
}

/// Ends a run at its time limit.
#[derive(Debug)]
pub struct Deadline(Arc<std::sync::atomic::AtomicBool>);

impl Deadline {
    pub(super) fn start(limit: std::time::Duration, payload: &OwnedFd, init: &Ender) -> Self {
        let passed = Arc::new(std::sync::atomic::AtomicBool::new(false));
        if let (Ok(payload), Ok(init)) = (payload.try_clone(), init.try_clone()) {
            let passed = Arc::clone(&passed);
            std::thread::spawn(move || {
                std::thread::sleep(limit);
                passed.store(true, Ordering::Relaxed);
                process::signal(&payload, libc::SIGTERM).ok();
                std::thread::sleep(GRACE);
                init.end();
            });
        }
        Self(passed)
    }

    /// Whether it was this that ended the run.
    pub fn has_passed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
