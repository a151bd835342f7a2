//! Talking to a person: messages on standard error, data on standard output, colour only where it is wanted and never as
//! the only carrier of meaning.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::vocab::escape;

/// Writes data to standard output. A reader that went away ends the program quietly, as for every filter.
pub fn data(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Writes one message to standard error. What cannot be written there cannot be reported anywhere. Names in it, such as that
/// of the project, have no power over the terminal.
pub fn say(text: impl AsRef<str>) {
    let mut err = io::stderr().lock();
    writeln!(err, "{}", escape::message(text.as_ref())).ok();
}

/// Writes a message that the next one overwrites; only on a terminal.
pub fn live(text: &str) {
    let mut err = io::stderr().lock();
    write!(err, "\r\x1b[K{}", escape::message(text)).and_then(|()| err.flush()).ok();
}

/// An error with what stood in the way, and the remedy on a line of its own.
pub fn error(error: &dyn std::error::Error, hint: Option<&str>) {
    say(format!("{} {}", paint("error:", Colour::Red), chain(error)));
    if let Some(hint) = hint {
        say(format!("{} {hint}", paint("hint:", Colour::Cyan)));
    }
}

/// A warning.
pub fn warn(text: impl AsRef<str>) {
    say(format!("{} {}", paint("warning:", Colour::Yellow), text.as_ref()));
}

/// The message of an error and of each of its causes, once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

/// The colours in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Refused, failed.
    Red,
    /// Worth a look.
    Yellow,
    /// Held, granted.
    Green,
    /// Remedies.
    Cyan,
    /// Headings.
    Bold,
    /// Beside the matter.
    Faint,
}

/// Where something is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Data.
    Output,
    /// Talk.
    Error,
}

impl Stream {
    fn is_terminal(self) -> bool {
        match self {
            Self::Output => io::stdout().is_terminal(),
            Self::Error => io::stderr().is_terminal(),
        }
    }

    /// Columns of the terminal; 100 where there is none.
    pub fn width(self) -> usize {
        let size = match self {
            Self::Output => terminal_size::terminal_size_of(io::stdout()),
            Self::Error => terminal_size::terminal_size_of(io::stderr()),
        };
        size.map_or(100, |(width, _)| width.0.into())
    }
}

/// `text` in a colour, if standard error is a terminal and `NO_COLOR` is not set (no-color.org).
pub fn paint(text: &str, colour: Colour) -> String {
    paint_for(Stream::Error, text, colour)
}

/// `text` in a colour, if `stream` is a terminal and `NO_COLOR` is not set.
pub fn paint_for(stream: Stream, text: &str, colour: Colour) -> String {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        && stream.is_terminal();
    if !wanted {
        return text.to_owned();
    }
    let code = match colour {
        Colour::Red => 31,
        Colour::Yellow => 33,
        Colour::Green => 32,
        Colour::Cyan => 36,
        Colour::Bold => 1,
        Colour::Faint => 2,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// Whether a person can be asked: both ends of the conversation are a terminal.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a yes-or-no question; anything but yes is no.
pub fn ask(question: &str) -> bool {
    let mut err = io::stderr().lock();
    write!(err, "{} [y/N] ", escape::message(question)).and_then(|()| err.flush()).ok();
    drop(err);
    let mut answer = String::new();
    match io::stdin().lock().read_line(&mut answer) {
        Ok(_) => matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"),
        Err(_) => false,
    }
}
