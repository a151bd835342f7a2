//! A beat that interrupts a thread which waits in the kernel, so that it can look up now and then.
#![expect(unsafe_code, reason = "installing a handler that does nothing, and a signal for one thread")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// While it lives, blocking calls of the thread that made it return EINTR about every period.
#[derive(Debug)]
pub struct Tick {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// SIGURG: ignored by default, and sent by nobody to a program without urgent sockets.
const SIGNAL: Signal = Signal::SIGURG;

extern "C" fn nothing(_: libc::c_int) {}

impl Tick {
    /// Starts to beat for the calling thread.
    pub fn start(period: Duration) -> Result<Self, Errno> {
        // Without SA_RESTART: to interrupt is what it is for.
        let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing, which is safe at any instant.
        unsafe { sigaction(SIGNAL, &action) }?;
        let over = Arc::new(AtomicBool::new(false));
        let (seen, target) = (Arc::clone(&over), nix::unistd::gettid().as_raw());
        let thread = std::thread::Builder::new()
            .name("tick".to_owned())
            .spawn(move || {
                while !seen.load(Ordering::Acquire) {
                    std::thread::park_timeout(period);
                    if !seen.load(Ordering::Acquire) {
                        beat(target);
                    }
                }
            })
            .map_err(|_| Errno::EAGAIN)?;
        Ok(Self { over, thread: Some(thread) })
    }
}

fn beat(tid: i32) {
    let pid = std::process::id();
    // SAFETY: three plain numbers; a thread that is gone gives ESRCH.
    let _ = unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, SIGNAL as i32) };
}

impl Drop for Tick {
    // Joined, so that no beat reaches a thread id that is another's by then.
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
        }
    }
}
