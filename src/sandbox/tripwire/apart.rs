//! The server of a file system in a process of its own, and what the rest of pinfold says to it.
//!
//! ```text
//!  desk of paths ──walks──▶ file system ──asks──▶ server's process ──looks──▶ denials
//!        └── who it walks for (a file in memory) ───────▶┘      ◀── are you there? what was refused? ── supervisor
//! ```
//!
//! Where the supervisor itself walks through the file system, threads of its own must not serve it: a kill that catches one of
//! them waiting for the answer of another would never be over, and nothing inside would end. Invariant: the server ends with
//! the supervisor. One that does not answer is ended, after which whatever is not mounted fails.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::event::Denial;
use crate::plan::Plan;
use crate::sandbox::together::Usual;
use crate::sys::namespace::{Side, clone_into};
use crate::sys::process;

use super::{Here, Prepared};

/// How often the server is asked whether it is there.
const PAUSE: Duration = Duration::from_secs(3);
/// How long it may take to say so.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long one request may take it: a disk can be slow. As long as the kernel waits where it minds (Linux 6.14).
const SLOWEST: Duration = Duration::from_secs(super::wire::REQUEST_TIMEOUT as u64);

/// What is said to the server, a byte each.
mod word {
    pub(super) const ARM: u8 = b'a';
    pub(super) const THERE: u8 = b't';
    pub(super) const DENIALS: u8 = b'd';
}

/// For whom the supervisor walks through the file system.
#[derive(Debug)]
pub struct Behalf(File);

impl Behalf {
    fn new() -> Result<Self, Errno> {
        Ok(Self(File::from(memfd_create("behalf", MFdFlags::MFD_CLOEXEC)?)))
    }

    fn copy(&self) -> Result<Self, Errno> {
        self.0.try_clone().map(Self).map_err(|error| errno(&error))
    }

    /// From now on it is for `thread`.
    pub fn is_for(&self, thread: i32) {
        self.0.write_all_at(&thread.to_ne_bytes(), 0).ok();
    }

    /// For whom it is.
    pub(super) fn whom(&self) -> Option<i32> {
        let mut bytes = [0; 4];
        self.0.read_exact_at(&mut bytes, 0).ok()?;
        Some(i32::from_ne_bytes(bytes)).filter(|thread| *thread > 0)
    }
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// The supervisor's end.
#[derive(Debug)]
pub(in crate::sandbox) struct Apart {
    number: i32,
    process: Arc<OwnedFd>,
    channel: Arc<Mutex<UnixStream>>,
    behalf: Behalf,
}

impl Apart {
    /// Starts the process. The caller has no threads yet but that of a maker, which sleeps.
    pub(super) fn start(mut prepared: Prepared, plan: &Plan, init: i32) -> Result<Self, Errno> {
        let (ours, theirs) = UnixStream::pair().map_err(|error| errno(&error))?;
        let behalf = Behalf::new()?;
        prepared.server.supervisor = Some((nix::unistd::gettid().as_raw(), behalf.copy()?));
        let (supervisor, usual) = (nix::unistd::getpid(), prepared.server.usual);
        let number = match clone_into(nix::sched::CloneFlags::empty())? {
            Side::Parent(pid) => pid.as_raw(),
            Side::Child => {
                process::die_with_parent().ok();
                drop(ours);
                // It may have ended before it could be told to.
                if nix::unistd::getppid() == supervisor
                    && let Ok(here) = Here::serve(prepared, plan, init)
                    && here.serve_all().is_ok()
                {
                    usual.iter().for_each(Usual::resume);
                    listen(theirs, &here);
                }
                process::exit_now(0)
            }
        };
        // The file system ends with its server: nobody else may hold the device.
        drop(prepared);
        let started = || -> Result<Self, Errno> {
            let process = Arc::new(process::pidfd(number)?);
            ours.set_read_timeout(Some(PATIENCE)).map_err(|error| errno(&error))?;
            let channel = Arc::new(Mutex::new(ours));
            watch(Arc::clone(&process), Arc::clone(&channel), usual)?;
            Ok(Self { number, process, channel, behalf })
        };
        started().inspect_err(|_| end(number))
    }

    pub(super) fn behalf(&self) -> Result<Behalf, Errno> {
        self.behalf.copy()
    }

    /// Returns when it is: what the command looks for first must not be taken for the launcher's.
    pub(super) fn arm(&self) {
        let mut channel = lock(&self.channel);
        // EPIPE: it is gone, and whatever is not mounted fails.
        channel.write_all(&[word::ARM]).and_then(|()| channel.read_exact(&mut [0])).ok();
    }

    /// What was looked for in vain so far; `None` when the server is gone.
    pub(super) fn denials(&self) -> Option<Vec<Denial>> {
        let mut channel = lock(&self.channel);
        let mut length = [0; 4];
        channel.write_all(&[word::DENIALS]).ok()?;
        channel.read_exact(&mut length).ok()?;
        let mut text = vec![0; usize::try_from(u32::from_ne_bytes(length)).ok()?];
        channel.read_exact(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        process::signal(&*self.process, libc::SIGKILL).ok();
        process::reap(self.number);
    }
}

fn end(number: i32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(number), nix::sys::signal::Signal::SIGKILL).ok();
    process::reap(number);
}

fn lock(channel: &Mutex<UnixStream>) -> MutexGuard<'_, UnixStream> {
    channel.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks the server now and then whether it is there and serves; ends it when not. The thread ends with the server.
fn watch(process: Arc<OwnedFd>, channel: Arc<Mutex<UnixStream>>, usual: Option<Usual>) -> Result<(), Errno> {
    let watching = move || {
        usual.iter().for_each(Usual::resume);
        loop {
            std::thread::sleep(PAUSE);
            let mut answer = [0];
            let mut channel = lock(&channel);
            let there = channel.write_all(&[word::THERE]).and_then(|()| channel.read_exact(&mut answer));
            if there.is_err() || answer != [word::THERE] {
                process::signal(&*process, libc::SIGKILL).ok();
                return;
            }
        }
    };
    std::thread::Builder::new().name("watch".to_owned()).spawn(watching).map(drop).map_err(|error| errno(&error))
}

/// The server's end: until the supervisor is gone.
fn listen(mut channel: UnixStream, here: &Here) {
    let mut asked = [0];
    while channel.read_exact(&mut asked).is_ok() {
        let said = match asked {
            [word::ARM] => {
                here.arm();
                channel.write_all(&[word::ARM])
            }
            [word::DENIALS] => {
                let text = serde_json::to_vec(&here.denials()).unwrap_or_default();
                let length = u32::try_from(text.len()).unwrap_or(0);
                channel.write_all(&length.to_ne_bytes()).and_then(|()| channel.write_all(&text))
            }
            _ => {
                let serves = here.server.busy_since().is_none_or(|since| Instant::now() < since + SLOWEST);
                channel.write_all(&[if serves { word::THERE } else { 0 }])
            }
        };
        if said.is_err() {
            return;
        }
    }
}
