//! Namespaces that are made beside the caller: a process makes them, and what is to be in them, while the caller still thinks
//! about the run, and is then told to start an init there.
//!
//! ```text
//!  caller ──thread──▶ clone(CLONE_VM | CLONE_VFORK | CLONE_FILES, namespaces) ──▶ maker: prepares, waits
//!     └──── order ──────────────────────────────────────────────────────────────────▶ clone(CLONE_PARENT) ──▶ init
//! ```
//!
//! The maker has the caller's memory and descriptors, and runs as the thread that vfork(2) suspends for it: what it allocates
//! and opens is the caller's, as if that thread did it, only in other namespaces. Invariants: the maker ends with the caller;
//! the thread lives as long as the program, since the kernel kills an init that is bound to its parent when the *thread* ends
//! that made it.
#![expect(unsafe_code, reason = "clone(2) with a stack, for a child that shares our memory")]

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

use super::namespace::{Side, clone_into};
use super::process;

/// Why there is no init.
#[derive(Debug)]
pub enum Unmade<E> {
    /// The thread could not be started, or the kernel refused the namespaces.
    Namespaces(Errno),
    /// What was to be prepared failed.
    Prepare(E),
    /// The kernel refused the init.
    Init(Errno),
    /// The maker was killed.
    Killed,
}

/// A maker that is at work, or waits for its order. Dropping it sends it home, and waits until it is gone: it allocates while it is
/// at work, and whoever forks after that must not find it doing so.
#[derive(Debug)]
pub struct Maker<P, E>(Arc<Shared<P, E>>);

#[derive(Debug)]
struct Shared<P, E> {
    state: Mutex<State<P, E>>,
    changed: Condvar,
    /// The maker's pid; 0 before it runs.
    maker: AtomicI32,
}

#[derive(Debug)]
enum State<P, E> {
    /// No order yet.
    Waiting,
    Ordered(Order<P>),
    /// No init is wanted.
    Dismissed,
    Done(Result<(Pid, P), Unmade<E>>),
}

/// Namespaces for the init alone, and what it does.
struct Order<P> {
    namespaces: CloneFlags,
    enter: *mut (dyn FnMut(P) + 'static),
}

impl<P> std::fmt::Debug for Order<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order").field("namespaces", &self.namespaces).finish_non_exhaustive()
    }
}

// SAFETY: the pointer is followed by the init alone, in its own copy of the memory in which whoever gave the order waits.
unsafe impl<P> Send for Order<P> {}

impl<P, E> Shared<P, E> {
    fn lock(&self) -> MutexGuard<'_, State<P, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<P, E>>) -> MutexGuard<'a, State<P, E>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Said by whoever knows first; later words change nothing.
    fn end(&self, result: Result<(Pid, P), Unmade<E>>) {
        let mut state = self.lock();
        if !matches!(*state, State::Done(_)) {
            *state = State::Done(result);
            self.changed.notify_all();
        }
    }

    fn order(&self) -> Option<Order<P>> {
        let mut state = self.lock();
        loop {
            match std::mem::replace(&mut *state, State::Waiting) {
                State::Waiting => state = self.wait(state),
                State::Ordered(order) => return Some(order),
                State::Dismissed | State::Done(_) => return None,
            }
        }
    }
}

impl<P: Send + 'static, E: Send + 'static> Maker<P, E> {
    /// Makes `namespaces`, a user namespace among them, and calls `prepare` in them.
    ///
    /// # Errors
    ///
    /// EAGAIN: there can be no thread. What else fails is told by [`init`](Self::init).
    pub fn start(
        namespaces: CloneFlags,
        prepare: impl FnOnce() -> Result<P, E> + Send + 'static,
    ) -> Result<Self, Errno> {
        let shared =
            Arc::new(Shared { state: Mutex::new(State::Waiting), changed: Condvar::new(), maker: AtomicI32::new(0) });
        let theirs = Arc::clone(&shared);
        // A signal that comes for the program is the business of its other threads.
        let mask = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK);
        let run = move || {
            make(namespaces, Box::new(prepare), &theirs);
            // Nothing is dropped: whoever forks now must not find an allocation under way.
            loop {
                std::thread::park();
            }
        };
        let started = std::thread::Builder::new().name("maker".to_owned()).spawn(run);
        mask.and_then(|mask| mask.thread_set_mask()).ok();
        started.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EAGAIN)))?;
        Ok(Self(shared))
    }

    /// The maker's pid, if it runs already.
    pub fn pid(&self) -> Option<Pid> {
        Some(self.0.maker.load(Ordering::Relaxed)).filter(|pid| *pid != 0).map(Pid::from_raw)
    }

    /// Starts an init in the namespaces, and in `further` ones of its own, which is a child of the caller and calls `enter`
    /// with what was prepared, and ends; the caller gets the same. The rule of fork(2) holds for `enter`: it may allocate where the
    /// caller has no threads beside those of makers.
    ///
    /// # Errors
    ///
    /// See [`Unmade`].
    pub fn init(self, further: CloneFlags, enter: &mut dyn FnMut(P)) -> Result<(Pid, P), Unmade<E>> {
        // SAFETY: only the lifetime changes. This call returns when the state is `Done`, which is said after the last use: by
        // the maker when it has cloned, by its thread when the maker is gone.
        let enter: *mut (dyn FnMut(P) + 'static) = unsafe { std::mem::transmute(enter) };
        let mut state = self.0.lock();
        if matches!(*state, State::Waiting) {
            *state = State::Ordered(Order { namespaces: further, enter });
            self.0.changed.notify_all();
        }
        loop {
            match std::mem::replace(&mut *state, State::Waiting) {
                State::Done(result) => {
                    *state = State::Dismissed;
                    return result;
                }
                other => {
                    *state = other;
                    state = self.0.wait(state);
                }
            }
        }
    }
}

impl<P, E> Drop for Maker<P, E> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if !matches!(*state, State::Waiting) {
            return;
        }
        *state = State::Dismissed;
        self.0.changed.notify_all();
        // Its thread says so in any case.
        while !matches!(*state, State::Done(_)) {
            state = self.0.wait(state);
        }
    }
}

/// What the maker is told.
struct Task<'a, P, E> {
    prepare: Option<Box<dyn FnOnce() -> Result<P, E>>>,
    shared: &'a Shared<P, E>,
    caller: Pid,
}

/// Runs the maker to its end, in the thread that is suspended for it.
fn make<P, E>(namespaces: CloneFlags, prepare: Box<dyn FnOnce() -> Result<P, E>>, shared: &Shared<P, E>) {
    // Of an init too: its copy goes on where the maker is. As large as that of a thread; no page of it costs until it is used.
    const STACK: usize = 2 << 20;
    let mut stack = vec![0_u128; STACK / 16];
    let mut task = Task { prepare: Some(prepare), shared, caller: nix::unistd::getpid() };
    let flags = namespaces.bits() | libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: the end of a vector of `u128` is within its allocation and aligned for a stack.
    let top = unsafe { stack.as_mut_ptr().add(STACK / 16) };
    // SAFETY: CLONE_VFORK suspends this thread until the child has ended, so neither the stack nor `task` is touched or freed
    // meanwhile, and what belongs to the thread (errno, its part of the allocator) is used by one of the two at a time.
    let maker = unsafe { libc::clone(work::<P, E>, top.cast(), flags, (&raw mut task).cast()) };
    match Errno::result(maker) {
        Err(errno) => shared.end(Err(Unmade::Namespaces(errno))),
        Ok(maker) => {
            process::reap(maker);
            shared.end(Err(Unmade::Killed));
        }
    }
    // Freeing it would be an allocator at work while the caller forks.
    std::mem::forget(stack);
}

extern "C" fn work<P, E>(task: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `make` passes a `Task` that outlives this process, and does not touch it until then.
    let task = unsafe { &mut *task.cast::<Task<'_, P, E>>() };
    process::die_with_parent().ok();
    // It may have ended before this could be said.
    if nix::unistd::getppid() != task.caller {
        return 0;
    }
    task.shared.maker.store(nix::unistd::getpid().as_raw(), Ordering::Relaxed);
    let Some(prepare) = task.prepare.take() else { return 0 };
    let prepared = match prepare() {
        Ok(prepared) => prepared,
        Err(error) => {
            task.shared.end(Err(Unmade::Prepare(error)));
            return 0;
        }
    };
    let Some(order) = task.shared.order() else { return 0 };
    match clone_into(order.namespaces | CloneFlags::CLONE_PARENT) {
        Ok(Side::Parent(pid)) => task.shared.end(Ok((pid, prepared))),
        Err(errno) => task.shared.end(Err(Unmade::Init(errno))),
        Ok(Side::Child) => {
            // SAFETY: this is a copy of the memory as it was when the order was given; whoever gave it waits, on a frame that
            // the copy has too.
            let enter = unsafe { &mut *order.enter };
            enter(prepared);
            process::exit_now(125)
        }
    }
    0
}
