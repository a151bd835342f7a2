//! A thread that waits in a system call → what it asked for, in words.
//!
//! Read from /proc and from the thread's memory while it waits. The thread, or another that shares its memory, can change what
//! is read: it is for the report and decides nothing.

use std::sync::Arc;

use crate::event::Intent;
use crate::sys::memory;
use crate::vocab::path::AbsPath;
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::{Want, row};

use super::tasks::{self, Task, Tasks};

/// How often a thread is looked at again that is on its way to sleep.
const TRIES: usize = 16;

/// What a thread asked for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The program that it runs, escaped as in files.
    pub(super) program: String,
    /// Itself, if it was there to be looked at.
    task: Option<Arc<Task>>,
    /// The call, where it could be read.
    pub(super) call: Option<Syscall>,
    /// The paths that were passed, each with what is to be done there.
    paths: Vec<(Vec<u8>, Intent)>,
}

/// Looks at a waiting thread; at its call and its memory, where `reads` says that it may be done now.
pub(super) fn asked(tasks: &Tasks, thread: i32, reads: impl FnOnce() -> bool) -> Asked {
    let Ok((task, program)) = tasks.of(thread) else {
        return Asked { program: "?".to_owned(), task: None, call: None, paths: Vec::new() };
    };
    let (call, arguments) = reads()
        .then(|| waiting_in(&task))
        .flatten()
        .map_or((None, [0; 6]), |(number, arguments)| (Syscall::from_number(number), arguments));
    let paths = call.map(|call| paths(thread, call, &arguments)).unwrap_or_default();
    Asked { program, task: Some(task), call, paths }
}

impl Asked {
    /// The whole path that was asked for when `name` was not found in `dir`, and what for.
    pub(super) fn path(&self, dir: &AbsPath, name: &[u8]) -> (AbsPath, Intent) {
        let first = dir.join(name).unwrap_or_else(|_| dir.clone());
        for (path, intent) in &self.paths {
            let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).collect();
            let Some(at) = place_of(&parts, name, dir) else { continue };
            // Where the rest leads back up it leads nowhere: the first part does not exist.
            let rest = parts.iter().skip(at + 1).filter(|part| **part != b".").take_while(|part| **part != b"..");
            let whole = rest.fold(first.clone(), |path, part| path.join(part).unwrap_or(path));
            return (whole, *intent);
        }
        (first, if self.executes() { Intent::Execute } else { Intent::Look })
    }

    fn executes(&self) -> bool {
        self.call.is_some_and(|call| call.name().starts_with("execve"))
    }

    /// The programs above, nearest first; `top` is the sandbox's own init.
    pub(super) fn chain(&self, top: i32) -> Vec<String> {
        self.task.as_ref().map(|task| task.above(top).to_vec()).unwrap_or_default()
    }

    /// Whether it is known by now what is above: later it may be gone.
    pub(super) fn is_known(&self) -> bool {
        self.task.as_ref().is_none_or(|task| task.is_known())
    }
}

/// Which of the parts of a path is the `name` that was looked for in `dir`: of several, the one that stands behind most of what
/// `dir` ends with.
fn place_of(parts: &[&[u8]], name: &[u8], dir: &AbsPath) -> Option<usize> {
    let above: Vec<&[u8]> = dir.as_bytes().split(|&byte| byte == b'/').collect();
    let alike = |at: &usize| {
        let before = parts.get(..*at).unwrap_or_default();
        before.iter().rev().zip(above.iter().rev()).take_while(|(a, b)| a == b).count()
    };
    let places = parts.iter().enumerate().filter(|(_, part)| **part == name).map(|(at, _)| at);
    places.rev().max_by_key(alike)
}

/// The call that a task sleeps in, with its arguments: see proc_pid_syscall(5).
fn waiting_in(task: &Task) -> Option<(u64, [u64; 6])> {
    let mut buffer = tasks::line();
    for _ in 0..TRIES {
        let text = task.waits_in(&mut buffer)?;
        // It is answered sooner than it falls asleep.
        if text.starts_with(b"running") {
            std::thread::yield_now();
            continue;
        }
        let text = std::str::from_utf8(text).ok()?;
        let mut words = text.split_ascii_whitespace();
        let number = words.next()?.parse().ok()?;
        let mut arguments = [0; 6];
        for argument in &mut arguments {
            *argument = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
        }
        return Some((number, arguments));
    }
    None
}

fn paths(thread: i32, call: Syscall, arguments: &[u64; 6]) -> Vec<(Vec<u8>, Intent)> {
    let argument = |index: u8| arguments.get(usize::from(index)).copied().unwrap_or(0);
    if matches!(call.name(), "connect" | "bind") {
        let intent = if call.name() == "bind" { Intent::Create } else { Intent::Connect };
        return socket_path(thread, argument(1), argument(2)).map(|path| (path, intent)).into_iter().collect();
    }
    let wanted = row(call).paths.iter().enumerate();
    let read = wanted.filter_map(|(index, wanted)| {
        let mut path = Vec::new();
        memory::string(thread, argument(wanted.path), &mut path).ok()?;
        Some((path, intent(wanted.want, index, &argument)))
    });
    read.collect()
}

/// What a call wants with its path number `index`, by the table of calls.
pub(in crate::sandbox) fn intent(want: Want, index: usize, argument: &dyn Fn(u8) -> u64) -> Intent {
    match want {
        Want::Look => Intent::Look,
        Want::Enter => Intent::Enter,
        Want::Execute => Intent::Execute,
        Want::Create => Intent::Create,
        Want::Truncate => Intent::Truncate,
        Want::Remove => Intent::Remove,
        Want::Attributes => Intent::Attributes,
        Want::Open(flags) => opening(argument(flags)),
        Want::Creat => Intent::Create,
        Want::End if index == 0 => Intent::Remove,
        Want::End => Intent::Create,
    }
}

fn opening(flags: u64) -> Intent {
    let has = |bits: libc::c_int| flags & u64::from(bits.cast_unsigned()) == u64::from(bits.cast_unsigned());
    if has(libc::O_PATH) {
        Intent::Enter
    } else if has(libc::O_CREAT) {
        Intent::Create
    } else if has(libc::O_WRONLY) || has(libc::O_RDWR) {
        Intent::Write
    } else if has(libc::O_DIRECTORY) {
        Intent::List
    } else {
        Intent::Read
    }
}

/// The path of a local socket's address.
fn socket_path(thread: i32, address: u64, length: u64) -> Option<Vec<u8>> {
    let mut bytes = [0; 110];
    let length = usize::try_from(length).ok()?.min(bytes.len());
    let got = memory::read(thread, address, bytes.get_mut(..length)?).ok()?;
    let (family, path) = bytes.get(..got)?.split_at_checked(2)?;
    (family == u16::try_from(libc::AF_UNIX).ok()?.to_ne_bytes())
        .then(|| path.split(|&byte| byte == 0).next())?
        .map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(path: &str) -> Asked {
        Asked { program: "x".into(), task: None, call: None, paths: vec![(path.into(), Intent::Read)] }
    }

    #[test]
    fn the_rest_of_the_path_is_told_beyond_the_name_that_was_not_found() {
        let home = AbsPath::new("/home/a").unwrap();
        for (path, whole) in [
            ("/home/a/.ssh/id_rsa", "/home/a/.ssh/id_rsa"),
            ("../.ssh//./id_rsa", "/home/a/.ssh/id_rsa"),
            (".ssh/../../etc/shadow", "/home/a/.ssh"),
            ("other", "/home/a/.ssh"),
            ("/srv/.ssh/home/a/.ssh/id_rsa", "/home/a/.ssh/id_rsa"),
            (".ssh/.ssh/id_rsa", "/home/a/.ssh/.ssh/id_rsa"),
        ] {
            assert_eq!(asking(path).path(&home, b".ssh").0.as_bytes(), whole.as_bytes(), "{path}");
        }
    }

    #[test]
    fn flags_of_an_opening_are_told_apart() {
        let of = |flags: libc::c_int| opening(u64::from(flags.cast_unsigned()));
        assert_eq!(of(libc::O_RDONLY | libc::O_CLOEXEC), Intent::Read);
        assert_eq!(of(libc::O_WRONLY | libc::O_CREAT), Intent::Create);
        assert_eq!(of(libc::O_RDWR), Intent::Write);
        assert_eq!(of(libc::O_DIRECTORY), Intent::List);
        assert_eq!(of(libc::O_PATH | libc::O_DIRECTORY), Intent::Enter);
    }

    #[test]
    fn a_thread_that_runs_or_is_gone_is_asked_in_vain_and_not_for_ever() {
        let tasks = Tasks::default();
        let gone = asked(&tasks, i32::MAX, || true);
        assert_eq!((gone.program.as_str(), gone.call), ("?", None));
        let me = asked(&tasks, nix::unistd::gettid().as_raw(), || true);
        assert!(me.program.contains("pinfold"), "{me:?}");
    }
}
