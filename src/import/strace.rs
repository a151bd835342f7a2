//! Logs of strace → the calls of each task, in order.
//!
//! Read are `strace -f` (one file, a task's number before each line, calls of others in between: `<unfinished ...>` and
//! `<... resumed>`) and `strace -ff` (a file for each task), with or without times. Invariant: a line that is not
//! understood is counted and its place kept, never guessed at; a file whose first line is none of strace's is refused.
//! It does not know what a call means.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use super::strace_values::{Argument, split};

/// Longest line in bytes: an execve with all its arguments (`-s` and `-v`) may be some MiB.
const MAX_LINE: usize = 16 << 20;

/// One call of one task.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Call {
    /// Its name, as strace writes it.
    pub name: String,
    /// Its arguments, as text.
    pub arguments: Vec<Argument>,
    /// What came of it.
    pub answer: Answer,
}

/// What a call returned.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The value, and of a descriptor the path behind it (`-y`).
    Value(i64, Option<Vec<u8>>),
    /// The name of an error.
    Error(String),
    /// The log does not say.
    Unseen,
}

/// One thread or process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Task {
    /// What it called.
    pub calls: Vec<Call>,
    /// How it ended, where the log says so.
    pub end: Option<End>,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// exit(2) with this code.
    Exited(i32),
    /// By the signal of this name.
    Killed(String),
}

/// Everything in the logs of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// By the number of the task, 0 where the log has none.
    pub tasks: BTreeMap<u32, Task>,
    /// Lines that were not understood.
    pub unread: u64,
    /// The first of them.
    pub first_unread: Option<Place>,
    /// A string was cut by strace (`-s`).
    pub cut: Option<Place>,
    /// Relative paths begin at descriptors of which the path is not given (`-y`).
    pub has_paths: bool,
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which of the files, from 0.
    pub file: usize,
    /// From 1.
    pub line: u64,
}

/// Why a file is no log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
    /// It is something else.
    #[error("line {line}, column {column}: this is no line of strace's")]
    Foreign {
        /// From 1.
        line: u64,
        /// From 1, in bytes.
        column: usize,
    },
    /// There is nothing in it.
    #[error("there is no system call in it")]
    Empty,
}

impl Log {
    /// Adds the log in `file`, the `index`th. `task`: whose it is where its lines do not say so (`-ff`).
    pub fn add(&mut self, mut file: impl BufRead, index: usize, task: u32) -> Result<(), LogError> {
        let mut open: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        let mut bytes = Vec::new();
        let (mut line, mut understood) = (0, 0);
        loop {
            bytes.clear();
            let mut limited = io::Read::take(&mut file, MAX_LINE as u64);
            if limited.read_until(b'\n', &mut bytes).map_err(LogError::Read)? == 0 {
                break;
            }
            line += 1;
            let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let place = Place { file: index, line };
            let (number, rest) = head(text);
            let number = number.unwrap_or(task);
            match self.line(number, rest, &mut open, &place) {
                Some(()) => understood += 1,
                None if rest.is_empty() => {}
                None if understood == 0 => {
                    return Err(LogError::Foreign { line, column: text.len() - rest.len() + 1 });
                }
                None => {
                    self.unread += 1;
                    self.first_unread.get_or_insert(place);
                }
            }
        }
        // What was not finished at the end of the log was made, perhaps.
        for (number, text) in open {
            if let Some(call) = call(&text, Answer::Unseen) {
                self.tasks.entry(number).or_default().calls.push(call);
            }
        }
        if understood == 0 { Err(LogError::Empty) } else { Ok(()) }
    }

    /// `None`: not understood.
    fn line(&mut self, number: u32, text: &[u8], open: &mut BTreeMap<u32, Vec<u8>>, place: &Place) -> Option<()> {
        if text.starts_with(b"--- ") {
            return Some(());
        }
        if let Some(rest) = text.strip_prefix(b"+++ ") {
            self.tasks.entry(number).or_default().end = end(rest);
            return Some(());
        }
        let whole;
        let text = if let Some(rest) = text.strip_prefix(b"<... ") {
            let at = find(rest, b" resumed>")?;
            let mut begin = open.remove(&number)?;
            begin.extend_from_slice(rest.get(at + b" resumed>".len()..)?);
            whole = begin;
            &whole
        } else {
            text
        };
        if let Some(begin) = text.strip_suffix(b"<unfinished ...>") {
            name(begin)?;
            open.insert(number, begin.to_vec());
            return Some(());
        }
        let (arguments_end, answer) = answer(text)?;
        let call = call(text.get(..arguments_end)?, answer)?;
        if self.cut.is_none() && call.arguments.iter().any(Argument::is_cut) {
            self.cut = Some(place.clone());
        }
        self.has_paths |= call.arguments.iter().any(|argument| argument.descriptor().is_some_and(|(_, p)| p.is_some()));
        self.made(number, call, place.clone());
        Some(())
    }

    fn made(&mut self, number: u32, call: Call, place: Place) {
        let task = self.tasks.entry(number).or_default();
        // The number came again: another process, of which only its calls are known, not where it began.
        if task.end.take().is_some() {
            self.unread += 1;
            self.first_unread.get_or_insert(place);
        }
        task.calls.push(call);
    }
}

/// The number of the task, and what stands behind it and the times.
fn head(line: &[u8]) -> (Option<u32>, &[u8]) {
    let mut rest = trim(line);
    let mut number = None;
    if let Some(behind) = rest.strip_prefix(b"[pid ") {
        let end = behind.iter().position(|&b| b == b']').unwrap_or(0);
        number = digits(trim(behind.get(..end).unwrap_or_default()));
        rest = trim(behind.get(end + 1..).unwrap_or_default());
    }
    loop {
        let end = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
        let word = rest.get(..end).unwrap_or_default();
        if word.is_empty() || !word.iter().all(|&b| b.is_ascii_digit() || b == b':' || b == b'.') {
            return (number, rest);
        }
        if number.is_none() {
            number = digits(word);
        }
        rest = trim(rest.get(end..).unwrap_or_default());
    }
}

fn digits(word: &[u8]) -> Option<u32> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

/// `exited with 0 +++`, `killed by SIGKILL (core dumped) +++`.
fn end(text: &[u8]) -> Option<End> {
    let text = std::str::from_utf8(text).ok()?;
    if let Some(code) = text.strip_prefix("exited with ") {
        return code.split(' ').next()?.parse().ok().map(End::Exited);
    }
    text.strip_prefix("killed by ")?.split(' ').next().map(|signal| End::Killed(signal.to_owned()))
}

/// The name before the first parenthesis.
fn name(text: &[u8]) -> Option<&str> {
    let end = text.iter().position(|&b| b == b'(')?;
    let name = text.get(..end)?;
    let plain = name.iter().all(|&b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    (plain && !name.is_empty()).then(|| std::str::from_utf8(name).ok()).flatten()
}

/// `text` is a call up to its last parenthesis.
fn call(text: &[u8], answer: Answer) -> Option<Call> {
    let name = name(text)?;
    let arguments = text.get(name.len() + 1..)?;
    Some(Call { name: name.to_owned(), arguments: split(arguments), answer })
}

/// Where the arguments end, and what the call returned: the last `) = ` of the line, behind which no quote stands.
fn answer(text: &[u8]) -> Option<(usize, Answer)> {
    let at = (0..text.len()).rev().find(|&at| {
        text.get(at..).is_some_and(|rest| rest.strip_prefix(b")").is_some_and(|rest| trim(rest).starts_with(b"= ")))
    })?;
    let rest = trim(text.get(at + 1..)?).strip_prefix(b"= ")?;
    let end = rest.iter().position(|&b| b == b' ' || b == b'<').unwrap_or(rest.len());
    let word = std::str::from_utf8(rest.get(..end)?).ok()?;
    let behind = rest.get(end..).unwrap_or_default();
    let answer = match word {
        "?" => Answer::Unseen,
        "-1" if behind.starts_with(b" E") => {
            let name = trim(behind).split(|&b| b == b' ').next()?;
            Answer::Error(std::str::from_utf8(name).ok()?.to_owned())
        }
        _ => {
            let value = match word.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).ok()?.cast_signed(),
                None => word.parse().ok()?,
            };
            let path = Argument::new(rest).descriptor().and_then(|(_, path)| path);
            Answer::Value(value, path)
        }
    };
    Some((at, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> Result<Log, LogError> {
        let mut log = Log::default();
        log.add(text.as_bytes(), 0, 7).map(|()| log)
    }

    #[test]
    fn a_call_in_two_parts_is_one_and_belongs_to_its_task() {
        let text = "7 openat(AT_FDCWD</p>, \"a) = 0\", O_RDONLY <unfinished ...>\n8 +++ exited with 3 +++\n\
                    7 <... openat resumed>) = 3</p/a>\n9 close(3) = 0\n";
        let log = log(text).unwrap();
        assert_eq!(log.tasks[&7].calls[0].answer, Answer::Value(3, Some(b"/p/a".to_vec())));
        assert_eq!(log.tasks[&7].calls[0].arguments[1].string().unwrap().0, b"a) = 0");
        assert_eq!(log.tasks[&8].end, Some(End::Exited(3)));
        assert_eq!(log.unread, 0);
    }

    #[test]
    fn times_and_the_form_for_the_terminal_are_read_over() {
        for line in [
            "12 10:11:12 close(3) = 0",
            "12 10:11:12.123456 close(3) = 0 <0.000003>",
            "12 1795458780.123456 close(3) = 0",
            "12      0.000012 close(3)                 = 0",
            "[pid 12] close(3) = 0",
        ] {
            assert_eq!(log(line).unwrap().tasks[&12].calls[0].name, "close", "{line}");
        }
        assert_eq!(log("10:11:12 close(3) = 0").unwrap().tasks[&7].calls.len(), 1);
    }

    #[test]
    fn what_is_no_log_is_refused_with_its_place_and_odd_lines_in_one_are_counted() {
        assert!(matches!(log("\n[section]\n"), Err(LogError::Foreign { line: 2, column: 1 })));
        assert!(matches!(log("7  hello\n"), Err(LogError::Foreign { line: 1, column: 4 })));
        assert!(matches!(log(""), Err(LogError::Empty)));
        let odd = log("7 close(3) = 0\nhello\n7 open(\"a\n").unwrap();
        assert_eq!((odd.unread, odd.first_unread), (2, Some(Place { file: 0, line: 2 })));
    }

    #[test]
    fn a_number_that_comes_again_after_its_end_is_counted_as_not_understood() {
        let text = "7 getpid() = 7\n7 +++ exited with 0 +++\n7 getpid() = 7\n";
        let log = log(text).unwrap();
        assert_eq!((log.unread, log.tasks[&7].calls.len()), (1, 2));
    }

    #[test]
    fn a_call_without_an_end_was_made_perhaps() {
        let log = log("7 read(3, <unfinished ...>\n7 +++ killed by SIGKILL +++\n").unwrap();
        assert_eq!(log.tasks[&7].calls[0].answer, Answer::Unseen);
        assert_eq!(log.tasks[&7].end, Some(End::Killed("SIGKILL".to_owned())));
    }
}
