//! Tasks that ask, each by descriptors of its own files in /proc.
//!
//! What a look costs is mostly what is read of its asker: here files are opened, and what does not change is read, once a
//! task and not once a look. Invariant: a number that another task got is not taken for the one before, for a descriptor of a
//! task's directory answers nothing more (ESRCH, ENOENT) when that task is gone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode;

use crate::sandbox::who;
use crate::vocab::escape;

/// Tasks that are known at a time; with more, it begins anew.
const KNOWN: usize = 64;
/// Room for proc_pid_syscall(5): a number and eight addresses.
const LINE: usize = 256;

/// One task.
#[derive(Debug)]
pub(super) struct Task {
    directory: OwnedFd,
    /// What it waits in; `None` where that must not be read.
    call: Option<File>,
    parent: Option<i32>,
    above: OnceLock<Vec<String>>,
}

impl Task {
    fn open(number: i32) -> Option<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_PATH | OFlag::O_CLOEXEC;
        let directory = nix::fcntl::open(format!("/proc/{number}").as_str(), flags, Mode::empty()).ok()?;
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let open = |name: &str| openat(&directory, name, flags, Mode::empty()).ok().map(File::from);
        let mut text = [0; LINE];
        let length = open("stat").and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        let parent = who::parent_in(text.get(..length).unwrap_or_default());
        let call = open("syscall");
        Some(Self { directory, call, parent, above: OnceLock::new() })
    }

    /// The program that it runs, escaped as in files; `None` when it is gone.
    fn program(&self) -> Option<String> {
        let exe = readlinkat(&self.directory, "exe").ok()?;
        Some(escape::file(exe.as_bytes()))
    }

    /// The line on the call that it waits in (proc_pid_syscall(5)), in `buffer`.
    pub(super) fn waits_in<'a>(&self, buffer: &'a mut [u8; LINE]) -> Option<&'a [u8]> {
        let length = self.call.as_ref()?.read_at(buffer, 0).ok()?;
        buffer.get(..length)
    }

    /// The programs above it, nearest first, as they were when they were first asked for; `top` is the sandbox's own init.
    pub(super) fn above(&self, top: i32) -> &[String] {
        self.above.get_or_init(|| who::chain(self.parent, top))
    }

    /// Whether the programs above it are known.
    pub(super) fn is_known(&self) -> bool {
        self.above.get().is_some()
    }
}

pub(super) const fn line() -> [u8; LINE] {
    [0; LINE]
}

/// Those that asked lately.
#[derive(Debug, Default)]
pub(super) struct Tasks(Mutex<BTreeMap<i32, Arc<Task>>>);

impl Tasks {
    /// A waiting task and the program that it runs.
    pub(super) fn of(&self, number: i32) -> io::Result<(Arc<Task>, String)> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known().get(&number).map(Arc::clone);
        if let Some(task) = before
            && let Some(program) = task.program()
        {
            return Ok((task, program));
        }
        let task = Arc::new(Task::open(number).ok_or(io::ErrorKind::NotFound)?);
        let program = task.program().unwrap_or_else(|| "?".to_owned());
        let mut known = known();
        // Its descriptors are closed by whoever holds it last, and not under the lock.
        let gone = if known.len() >= KNOWN { std::mem::take(&mut *known) } else { BTreeMap::new() };
        let replaced = known.insert(number, Arc::clone(&task));
        drop(known);
        drop((gone, replaced));
        Ok((task, program))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_opened_once_and_one_that_is_gone_is_not_taken_for_another() {
        let tasks = Tasks::default();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let number = i32::try_from(child.id()).unwrap();
        let (first, program) = tasks.of(number).unwrap();
        let (second, _) = tasks.of(number).unwrap();
        assert!(Arc::ptr_eq(&first, &second) && !program.is_empty());
        assert_eq!(first.parent, Some(nix::unistd::getpid().as_raw()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(first.program(), None);
        assert_eq!(first.waits_in(&mut line()), None);
        assert!(tasks.of(number).map_or(true, |(third, _)| !Arc::ptr_eq(&first, &third)));
    }

    #[test]
    fn any_number_of_tasks_is_known_in_a_bounded_room() {
        let tasks = Tasks::default();
        let children: Vec<_> =
            (0..2 * KNOWN).map(|_| std::process::Command::new("sleep").arg("60").spawn().unwrap()).collect();
        for mut child in children {
            tasks.of(i32::try_from(child.id()).unwrap()).unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(tasks.0.lock().unwrap().len() <= KNOWN);
    }
}
