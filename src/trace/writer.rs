//! Events → lines of a trace, each whole or not at all as far as the destination allows.
//!
//! Invariant: nothing is written that [`reader`](super::reader) would refuse, and a trace that lost a line to an error
//! gets no footer. It does not flush by itself: who writes a file says when its events must survive.

use std::io::{self, Write};

use serde::Serialize;

use crate::event::{Event, ExitStatus};

use super::{Footer, Header, MAX_LINE};

/// Why a line could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The destination refused.
    #[error("cannot write the trace")]
    Io(#[from] io::Error),
    /// The value has no JSON form.
    #[error("cannot serialise a line of the trace")]
    Serialise(#[from] serde_json::Error),
    /// A program made one event larger than a reader accepts.
    #[error("a line of the trace has {0} bytes, more than the {MAX_LINE} that a reader accepts")]
    TooLong(usize),
    /// An earlier error left a line out, so what follows cannot count as a whole trace.
    #[error("the trace lost an event to an earlier error and gets no footer")]
    Broken,
}

/// Writes one trace.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    line: Vec<u8>,
    events: u64,
    broken: bool,
}

#[derive(Serialize)]
struct FooterLine {
    footer: Footer,
}

impl<W: Write> Writer<W> {
    /// Writes the header line and flushes it: a trace that was begun says of which run it is.
    pub fn new(out: W, header: &Header) -> Result<Self, WriteError> {
        let mut writer = Self { out, line: Vec::new(), events: 0, broken: false };
        writer.line(header)?;
        writer.flush()?;
        Ok(writer)
    }

    /// Writes one event.
    pub fn event(&mut self, event: &Event) -> Result<(), WriteError> {
        self.line(event)?;
        self.events += 1;
        Ok(())
    }

    /// Hands everything so far to the destination.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        Ok(self.out.flush()?)
    }

    /// Writes the footer, which says that the run ended and that every event of it is in the file.
    pub fn finish(mut self, status: ExitStatus) -> Result<(), WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        self.line(&FooterLine { footer: Footer { events: self.events, status } })?;
        self.flush()
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), WriteError> {
        let written = self.try_line(value);
        self.broken |= written.is_err();
        written
    }

    fn try_line(&mut self, value: &impl Serialize) -> Result<(), WriteError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value)?;
        self.line.push(b'\n');
        if self.line.len() > MAX_LINE {
            return Err(WriteError::TooLong(self.line.len()));
        }
        Ok(self.out.write_all(&self.line)?)
    }
}
