//! Work that blocks → done on threads of its own, and told by a descriptor that becomes readable: one that hangs delays no other.
//!
//! A thread is made when all others are busy, up to a number; what waits is bounded too. Threads end with the pool, after what
//! they are at.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

/// How large a pool may become.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// Of each thread.
    pub(super) name: &'static str,
    /// Of each thread, in bytes.
    pub(super) stack: usize,
    /// Threads at most.
    pub(super) threads: usize,
    /// Orders that wait for one at most.
    pub(super) waiting: usize,
}

#[derive(Debug)]
struct State<Order, Done> {
    waiting: VecDeque<Order>,
    done: Vec<Done>,
    threads: usize,
    idle: usize,
    closed: bool,
}

#[derive(Debug)]
struct Shared<Order, Done> {
    state: Mutex<State<Order, Done>>,
    more: Condvar,
    wake: EventFd,
    work: fn(Order) -> Done,
}

impl<Order, Done> Shared<Order, Done> {
    fn state(&self) -> MutexGuard<'_, State<Order, Done>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        let mut state = self.state();
        while !state.closed {
            let Some(order) = state.waiting.pop_front() else {
                state.idle += 1;
                state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            drop(state);
            let done = (self.work)(order);
            state = self.state();
            state.done.push(done);
            // EAGAIN: it is readable already.
            self.wake.write(1).ok();
        }
    }
}

/// The threads, and what they have done.
#[derive(Debug)]
pub(super) struct Pool<Order, Done> {
    shared: Arc<Shared<Order, Done>>,
    size: Size,
}

impl<Order: Send + 'static, Done: Send + 'static> Pool<Order, Done> {
    pub(super) fn new(size: Size, work: fn(Order) -> Done) -> Result<Self, Errno> {
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let state = State { waiting: VecDeque::new(), done: Vec::new(), threads: 0, idle: 0, closed: false };
        Ok(Self { shared: Arc::new(Shared { state: Mutex::new(state), more: Condvar::new(), wake, work }), size })
    }

    /// Readable when something is done.
    pub(super) fn ready(&self) -> impl AsFd + '_ {
        self.shared.wake.as_fd()
    }

    /// Takes an order; `false` where too many wait, or nobody is there to work.
    pub(super) fn begin(&self, order: Order) -> bool {
        let mut state = self.shared.state();
        if state.waiting.len() >= self.size.waiting {
            return false;
        }
        state.waiting.push_back(order);
        if state.idle >= state.waiting.len() || state.threads >= self.size.threads {
            self.shared.more.notify_one();
            return true;
        }
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name(self.size.name.to_owned()).stack_size(self.size.stack);
        if thread.spawn(move || shared.serve()).is_ok() {
            state.threads += 1;
        }
        state.threads > 0
    }

    /// What was done since this was asked last.
    pub(super) fn done(&self) -> Vec<Done> {
        // EAGAIN: there is nothing.
        self.shared.wake.read().ok();
        std::mem::take(&mut self.shared.state().done)
    }
}

impl<Order, Done> Drop for Pool<Order, Done> {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.more.notify_all();
    }
}
