//! Names → addresses outside, asked on threads of their own: the host's resolver blocks, and a slow zone delays no other.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::sys::inet::{self, Unresolved};

/// Threads at most.
const MOST_THREADS: usize = 16;
/// Names that wait at most: a program that asks for more at once is told that nobody answered.
const MOST_WAITING: usize = 1024;
/// The host's resolver keeps whole packets on the stack.
const STACK: usize = 512 << 10;

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<String>,
    done: Vec<(String, Result<Vec<IpAddr>, Unresolved>)>,
    threads: usize,
    idle: usize,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    more: Condvar,
    wake: EventFd,
}

/// The lookups of a run.
#[derive(Debug)]
pub(super) struct Lookups {
    shared: Arc<Shared>,
}

impl Lookups {
    pub(super) fn new() -> Result<Self, nix::errno::Errno> {
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { shared: Arc::new(Shared { state: Mutex::default(), more: Condvar::new(), wake }) })
    }

    /// Readable when an answer is there.
    pub(super) fn ready(&self) -> impl AsFd + '_ {
        self.shared.wake.as_fd()
    }

    /// Asks for `name`; `false` where too many wait.
    pub(super) fn ask(&self, name: &str) -> bool {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.waiting.len() >= MOST_WAITING {
            return false;
        }
        state.waiting.push_back(name.to_owned());
        if state.idle >= state.waiting.len() || state.threads >= MOST_THREADS {
            self.shared.more.notify_one();
            return true;
        }
        let shared = Arc::clone(&self.shared);
        let made = std::thread::Builder::new().name("lookup".to_owned()).stack_size(STACK).spawn(move || work(&shared));
        if made.is_ok() {
            state.threads += 1;
        }
        state.threads > 0
    }

    /// The answers that came.
    pub(super) fn answers(&self) -> Vec<(String, Result<Vec<IpAddr>, Unresolved>)> {
        // EAGAIN: there is none.
        self.shared.wake.read().ok();
        std::mem::take(&mut self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).done)
    }
}

impl Drop for Lookups {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.more.notify_all();
    }
}

fn work(shared: &Shared) {
    let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    while !state.closed {
        let Some(name) = state.waiting.pop_front() else {
            state.idle += 1;
            state = shared.more.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
            continue;
        };
        drop(state);
        let found = inet::resolve(&name);
        state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done.push((name, found));
        shared.wake.write(1).ok();
    }
}
