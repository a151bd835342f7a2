//! Who a task is, in words: read from /proc while it waits, for the report alone.

use crate::sys::process;
use crate::vocab::escape;

/// Programs above a refused one that are told.
const CHAIN: usize = 8;

/// The program that a task runs, escaped as in files.
pub(super) fn program(task: i32) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let exe = std::fs::read_link(format!("/proc/{task}/exe"));
    exe.map_or_else(|_| "?".to_owned(), |path| escape::file(path.as_os_str().as_bytes()))
}

/// The parent of a task's process: see proc_pid_stat(5); the name stands in parentheses and may hold some of its own.
pub(super) fn parent(task: i32) -> Option<i32> {
    parent_in(&process::proc_file(&format!("/proc/{task}/stat")).ok()?)
}

/// The parent that the first part of such a file tells.
pub(super) fn parent_in(stat: &[u8]) -> Option<i32> {
    let behind = stat.iter().rposition(|&byte| byte == b')')?;
    let text = std::str::from_utf8(stat.get(behind + 1..)?).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Processes between the sandbox's init and one that it started, at most: whoever hides deeper stays unknown.
const GENERATIONS: usize = 256;

/// Whether process `below` was started by `top`, or by one that was.
pub(super) fn descends(below: i32, top: i32) -> bool {
    let above = std::iter::successors(parent(below), |process| parent(*process).filter(|process| *process > 1));
    above.take(GENERATIONS).any(|process| process == top)
}

/// The programs from process `first` upwards, up to and without `top`, the sandbox's init; a program that started itself
/// anew once.
pub(super) fn chain(first: Option<i32>, top: i32) -> Vec<String> {
    let mut chain: Vec<String> = Vec::new();
    let mut next = first;
    // Processes that end meanwhile make it short, never endless.
    for _ in 0..4 * CHAIN {
        let Some(process) = next.filter(|process| *process > 1 && *process != top && chain.len() < CHAIN) else {
            break;
        };
        let program = program(process);
        if program != "?" && chain.last() != Some(&program) {
            chain.push(program);
        }
        next = parent(process);
    }
    chain
}
