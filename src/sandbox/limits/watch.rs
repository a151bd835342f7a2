//! The processes of a sandbox → its memory, looked at ten times a second; a run that has more than its limit is ended.
//!
//! It counts what is resident: of each process its part of what several share, and what lies in the private directories.
//! It does not see files without a name that nobody maps, nor a burst that ends within a tenth of a second.

use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::unistd::{SysconfVar, sysconf};

use crate::sys::process;
use crate::vocab::path::AbsPath;

const PERIOD: Duration = Duration::from_millis(100);

/// While it lives, it looks.
#[derive(Debug)]
pub(super) struct Watch {
    reached: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

impl Watch {
    /// `payload` waits in the finished root: by way of it the sandbox's own proc and a private directory are opened.
    pub(super) fn start(limit: u64, payload: i32, private: Option<&AbsPath>, init: &OwnedFd) -> Result<Self, Errno> {
        let directory = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = open(format!("/proc/{payload}/root").as_str(), directory | OFlag::O_PATH, Mode::empty())?;
        let inside = |path: &[u8]| std::ffi::OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path)).to_owned();
        let view = View {
            proc: openat(&root, "proc", directory, Mode::empty())?,
            private: private
                .map(|path| {
                    openat(&root, inside(path.as_bytes()).as_os_str(), directory | OFlag::O_PATH, Mode::empty())
                })
                .transpose()?,
            page: sysconf(SysconfVar::PAGE_SIZE)?.and_then(|size| u64::try_from(size).ok()).ok_or(Errno::EINVAL)?,
        };
        let init = init.try_clone().map_err(|_| Errno::EMFILE)?;
        let (reached, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (said, stop) = (Arc::clone(&reached), Arc::clone(&over));
        let look = move || {
            while !stop.load(Ordering::Acquire) {
                let begun = Instant::now();
                if view.exceeds(limit) {
                    said.store(true, Ordering::Release);
                    // ESRCH: it ended by itself.
                    process::signal(&init, libc::SIGKILL).ok();
                    return;
                }
                // Where looking takes long it is done less often, so that it never costs more than a tenth of a processor.
                std::thread::sleep(PERIOD.max(begun.elapsed() * 10));
            }
        };
        std::thread::Builder::new().name("watch".to_owned()).spawn(look).map_err(|_| Errno::EAGAIN)?;
        Ok(Self { reached, over })
    }

    /// Whether it ended the run.
    pub(super) fn is_reached(&self) -> bool {
        self.reached.load(Ordering::Acquire)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

/// What is looked at.
struct View {
    /// The proc of the sandbox, in which there are its processes and no others.
    proc: OwnedFd,
    /// A private directory; all are in one file system.
    private: Option<OwnedFd>,
    page: u64,
}

impl View {
    fn exceeds(&self, limit: u64) -> bool {
        let processes = self.processes();
        let private = self.private.as_ref().map_or(0, used);
        let resident = processes.iter().map(|pid| self.resident(pid));
        if resident.fold(private, u64::saturating_add) <= limit {
            return false;
        }
        // What several share was counted for each of them. To divide it takes the kernel long, so that is asked only now.
        let mut sum = Parts::default();
        for pid in &processes {
            sum.add(self.parts(pid).unwrap_or_else(|| Parts { own: self.resident(pid), shared: 0 }));
        }
        // A file in a private directory that is mapped is in both.
        sum.own.saturating_add(sum.shared.max(private)) > limit
    }

    fn processes(&self) -> Vec<String> {
        // A descriptor of its own, so that each look begins at the first.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let Ok(mut dir) = Dir::openat(self.proc.as_fd(), ".", flags, Mode::empty()) else { return Vec::new() };
        let names = dir.iter().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect()
    }

    /// Of a process that ended: nothing.
    fn resident(&self, pid: &str) -> u64 {
        let text = self.file(pid, "statm").unwrap_or_default();
        let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
        pages.unwrap_or(0).saturating_mul(self.page)
    }

    fn parts(&self, pid: &str) -> Option<Parts> {
        let text = self.file(pid, "smaps_rollup")?;
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes.saturating_mul(1024))
        };
        let (all, shared) = (value("Pss:")?, value("Pss_Shmem:").unwrap_or(0));
        Some(Parts { own: all.saturating_sub(shared), shared })
    }

    fn file(&self, pid: &str, name: &str) -> Option<String> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = openat(&self.proc, format!("{pid}/{name}").as_str(), flags, Mode::empty()).ok()?;
        let mut text = String::new();
        std::fs::File::from(file).read_to_string(&mut text).ok()?;
        Some(text)
    }
}

/// Memory of one process, or of several.
#[derive(Debug, Default, Clone, Copy)]
struct Parts {
    /// Anonymous, and of files.
    own: u64,
    /// Of shared memory and files in memory.
    shared: u64,
}

impl Parts {
    fn add(&mut self, other: Self) {
        self.own = self.own.saturating_add(other.own);
        self.shared = self.shared.saturating_add(other.shared);
    }
}

/// Bytes that are taken in the file system of `place`.
fn used(place: &OwnedFd) -> u64 {
    let Ok(state) = nix::sys::statvfs::fstatvfs(place) else { return 0 };
    state.blocks().saturating_sub(state.blocks_free()).saturating_mul(state.fragment_size())
}
