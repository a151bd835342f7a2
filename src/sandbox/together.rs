//! One processor for all who take part in a start. They wait for each other all the time: where each has a processor of its
//! own, that one falls asleep between two words, and waking it takes longer than what it is woken for.
//!
//! Invariant: the agent may run where its caller may, and so may all of pinfold once the agent runs.

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

/// The calling thread.
const MYSELF: Pid = Pid::from_raw(0);

/// While it lives, the thread that made it runs on one processor, and what it starts begins there.
#[derive(Debug)]
pub(super) struct Together {
    usual: Usual,
    here: CpuSet,
}

/// Where somebody who began under [`Together`] may run by right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usual(CpuSet);

impl Together {
    /// Binds the calling thread to where it is. `None`: the kernel does not tell, or forbids it; it takes longer then.
    pub(super) fn begin() -> Option<Self> {
        let usual = Usual(sched_getaffinity(MYSELF).ok()?);
        let mut here = CpuSet::new();
        here.set(sched_getcpu().ok()?).ok()?;
        sched_setaffinity(MYSELF, &here).ok()?;
        Some(Self { usual, here })
    }

    /// Has another thread run there.
    pub(super) fn bind(&self, thread: Pid) {
        // ESRCH: it is gone; whoever waits for it hears of that.
        sched_setaffinity(thread, &self.here).ok();
    }

    /// For those who begin under it.
    pub(super) fn usual(&self) -> Usual {
        self.usual
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        self.usual.resume();
    }
}

impl Usual {
    /// The calling thread may run where it may by right.
    pub(super) fn resume(&self) {
        // It can fail only where all of these processors were taken away meanwhile, and then the kernel has chosen others.
        sched_setaffinity(MYSELF, &self.0).ok();
    }
}
