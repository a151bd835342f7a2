//! Who makes a call: working directory, umask and descriptors of each process, followed and not read anew.
//!
//! The calls that change them come to the desk as well, and go on: what they set is in a register, or is asked for when it
//! is next needed. A number that the kernel gave to another process is noticed by the descriptor of the old one. What is
//! stale for a moment (a thread beside one that changes the directory) makes a call act where the kernel might have acted
//! just before; every rule is applied to the place where it acts.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

use crate::sys::{paths, process};

/// Processes that are remembered; beyond them all are forgotten, and read again.
const KEPT: usize = 2048;

/// One process.
#[derive(Debug)]
pub(super) struct Process {
    pidfd: OwnedFd,
    tgid: i32,
    /// Its number inside.
    pub(super) inside: i32,
    pub(super) umask: u32,
    directory: Option<OwnedFd>,
    /// A thread of it that was last seen changing the directory: until its next call nobody knows whether it has.
    moving: Option<i32>,
}

/// Whether it is told when a process goes to another directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moves {
    /// By the calls themselves.
    Told,
    /// Where a process is has to be asked each time.
    Untold,
}

/// Stands for a thread that never asks for anything: the process may be on its way for ever.
const NOBODY: i32 = 0;

/// The processes of a run.
#[derive(Debug)]
pub(super) struct Callers {
    moves: Moves,
    threads: BTreeMap<i32, i32>,
    processes: BTreeMap<i32, Process>,
}

impl Callers {
    pub(super) fn new(moves: Moves) -> Self {
        Self { moves, threads: BTreeMap::new(), processes: BTreeMap::new() }
    }

    /// The process of thread `tid`.
    pub(super) fn of(&mut self, tid: i32) -> Result<&mut Process, Errno> {
        let is_of = |tgid: &i32| self.processes.get(tgid).is_some_and(Process::lives) && process::is_thread(*tgid, tid);
        let known = self.threads.get(&tid).copied().filter(is_of);
        let tgid = match known {
            Some(tgid) => tgid,
            None => self.read(tid)?,
        };
        self.processes.get_mut(&tgid).ok_or(Errno::ESRCH)
    }

    fn read(&mut self, tid: i32) -> Result<i32, Errno> {
        if self.threads.len() >= KEPT {
            *self = Self::new(self.moves);
        }
        let status = process::proc_file(&format!("/proc/{tid}/status")).map_err(|_| Errno::ESRCH)?;
        let status = String::from_utf8_lossy(&status);
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let tgid: i32 = field("Tgid:").and_then(|text| text.parse().ok()).ok_or(Errno::ESRCH)?;
        self.threads.insert(tid, tgid);
        if self.processes.get(&tgid).is_some_and(Process::lives) {
            return Ok(tgid);
        }
        let pidfd = process::pidfd(tgid)?;
        let umask = field("Umask:").and_then(|text| u32::from_str_radix(text, 8).ok()).ok_or(Errno::ESRCH)?;
        let inside = field("NStgid:").and_then(|text| text.rsplit('\t').next()?.parse().ok()).unwrap_or(0);
        let moving = (self.moves == Moves::Untold).then_some(NOBODY);
        self.processes.insert(tgid, Process { pidfd, tgid, inside, umask, directory: None, moving });
        Ok(tgid)
    }
}

impl Process {
    fn lives(&self) -> bool {
        let mut ended = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut ended, PollTimeout::ZERO) == Ok(0)
    }

    /// Thread `tid` goes to another directory.
    pub(super) fn moves(&mut self, tid: i32) {
        self.directory = None;
        self.moving = Some(tid);
    }

    /// A copy of the working directory.
    pub(super) fn directory(&mut self, tid: i32) -> Result<OwnedFd, Errno> {
        if self.moving == Some(tid) {
            self.moving = None;
        }
        if let (Some(directory), None) = (&self.directory, self.moving) {
            return directory.try_clone().map_err(|_| Errno::EMFILE);
        }
        let directory = self.place(tid, "cwd")?;
        if self.moving.is_none() {
            self.directory = Some(directory.try_clone().map_err(|_| Errno::EMFILE)?);
        }
        Ok(directory)
    }

    /// Where the kernel's link `name` of a thread leads.
    pub(super) fn place(&self, tid: i32, name: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let task = format!("/proc/{}/task/{tid}/{name}", self.tgid);
        let place = nix::fcntl::open(task.as_str(), flags, Mode::empty())?;
        // Only now it is known to be of this process: its number may be another's by then.
        if self.lives() { Ok(place) } else { Err(Errno::ESRCH) }
    }

    /// A copy of one of its descriptors.
    pub(super) fn descriptor(&self, number: RawFd) -> Result<OwnedFd, Errno> {
        paths::descriptor_of(&self.pidfd, number)
    }
}
