//! Lines → a [`Trace`], without trust in the bytes: a trace may have been cut off anywhere, or be no trace at all.
//!
//! Invariant: what is returned was written; a line that is cut off at the end of the file is left out and there is no
//! footer then. Everything else that is not as specified in `docs/trace.md` is an error that names the line. It does not
//! judge whether the events fit together.

use std::io::{self, BufRead, Read};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::event::Event;
use crate::vocab::escape;

use super::events::Events;
use super::{FORMAT, Footer, Header, MAX_LINE, Trace, VERSION, step};

/// Why bytes are no trace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The source failed.
    #[error("cannot read the trace")]
    Io(#[from] io::Error),
    /// The first line is not a header.
    #[error("line 1, column {column}: not the header of a trace: {what}")]
    NotATrace {
        /// Column in bytes, from 1.
        column: usize,
        /// What was found.
        what: String,
    },
    /// The file ends within its first line.
    #[error("line 1: the file ends before its header is complete")]
    NoHeader,
    /// Made by a later pinfold.
    #[error("line 1: the trace has version {0}; this pinfold reads versions up to {VERSION}")]
    Newer(u64),
    /// A whole line that is neither an event nor a footer.
    #[error("line {line}, column {column}: {what}")]
    Corrupt {
        /// Line, from 1.
        line: u64,
        /// Column in bytes, from 1.
        column: usize,
        /// What is wrong with it, harmless on a terminal.
        what: String,
    },
    /// A line that no writer made.
    #[error("line {line}, column {MAX_LINE}: the line is longer than {MAX_LINE} bytes")]
    TooLong {
        /// Line, from 1.
        line: u64,
    },
    /// The footer is not the last line.
    #[error("line {line}, column 1: something follows the footer")]
    AfterFooter {
        /// Line, from 1.
        line: u64,
    },
    /// Lines are missing or were added.
    #[error("line {line}, column 1: the footer counts {said} events, the file has {seen}")]
    Count {
        /// Line of the footer, from 1.
        line: u64,
        /// Events as the footer has it.
        said: u64,
        /// Events before it.
        seen: u64,
    },
}

#[derive(Deserialize)]
struct Preamble {
    format: String,
    version: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FooterLine {
    footer: Footer,
}

/// How the footer begins, and no event.
const FOOTER: &[u8] = b"{\"footer\":";

/// Reads the first line alone: of which run it is.
pub fn read_header(source: impl BufRead) -> Result<Header, ReadError> {
    first(&mut Lines { source, line: Vec::new(), number: 0 })
}

/// Reads a trace to its end, or to where it was cut off.
pub fn read(source: impl BufRead) -> Result<Trace, ReadError> {
    let mut lines = Lines { source, line: Vec::new(), number: 0 };
    let header = first(&mut lines)?;
    let mut trace = Trace { header, events: Events::default(), footer: None };
    let mut last = None;
    while let Some(line) = lines.next()? {
        if let Some(event) = step::read(line, &mut last) {
            trace.events.push(event);
            continue;
        }
        let is_footer = line.starts_with(FOOTER);
        let parsed = if is_footer {
            json::<FooterLine>(line).map(|line| trace.footer = Some(line.footer))
        } else {
            json::<Event>(line).map(|event| trace.events.push(event))
        };
        let line = lines.number;
        parsed.map_err(|Wrong { column, what }| ReadError::Corrupt { line, column, what })?;
        if is_footer {
            break;
        }
    }
    if let Some(footer) = &trace.footer {
        let seen = u64::try_from(trace.events.len()).unwrap_or(u64::MAX);
        if footer.events != seen {
            return Err(ReadError::Count { line: lines.number, said: footer.events, seen });
        }
        if lines.has_more()? {
            return Err(ReadError::AfterFooter { line: lines.number + 1 });
        }
    }
    Ok(trace)
}

fn first(lines: &mut Lines<impl BufRead>) -> Result<Header, ReadError> {
    match lines.next()? {
        Some(line) => header(line),
        None => Err(lines.without_header()),
    }
}

/// The version is looked at before anything else: a later header may have any other shape.
fn header(line: &[u8]) -> Result<Header, ReadError> {
    let not_a_trace = |Wrong { column, what }| ReadError::NotATrace { column, what };
    let preamble: Preamble = json(line).map_err(not_a_trace)?;
    if preamble.format != FORMAT {
        let what = format!("its format is `{}`", escape::terminal(preamble.format.as_bytes()));
        return Err(ReadError::NotATrace { column: 1, what });
    }
    match preamble.version {
        0 => Err(ReadError::NotATrace { column: 1, what: "there is no version 0".to_owned() }),
        version if version > u64::from(VERSION) => Err(ReadError::Newer(version)),
        _ => json(line).map_err(not_a_trace),
    }
}

struct Wrong {
    column: usize,
    what: String,
}

fn json<T: DeserializeOwned>(line: &[u8]) -> Result<T, Wrong> {
    serde_json::from_slice(line).map_err(|error| {
        // serde_json counts lines of its own input, which is one line here.
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = error.to_string();
        let what = text.strip_suffix(&place).unwrap_or(&text);
        Wrong { column: error.column().max(1), what: escape::terminal(what.as_bytes()) }
    })
}

struct Lines<R> {
    source: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// The next whole line without its end; `None` at the end of the file or at a line that is cut off there.
    fn next(&mut self) -> Result<Option<&[u8]>, ReadError> {
        self.line.clear();
        let cap = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        self.source.by_ref().take(cap).read_until(b'\n', &mut self.line)?;
        match self.line.split_last() {
            Some((b'\n', line)) => {
                self.number += 1;
                Ok(Some(line))
            }
            Some(_) if self.line.len() >= MAX_LINE => Err(ReadError::TooLong { line: self.number + 1 }),
            _ => Ok(None),
        }
    }

    fn has_more(&mut self) -> Result<bool, ReadError> {
        Ok(!self.source.fill_buf()?.is_empty())
    }

    /// The file ends within its first line: cut off, or something else altogether.
    fn without_header(&self) -> ReadError {
        let begins = b"{\"format\":\"pinfold-trace\"";
        let common = self.line.iter().zip(begins).take_while(|(a, b)| a == b).count();
        if common == self.line.len().min(begins.len()) {
            return ReadError::NoHeader;
        }
        ReadError::NotATrace { column: common + 1, what: "it does not begin as one".to_owned() }
    }
}
