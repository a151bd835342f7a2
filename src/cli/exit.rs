//! Every exit code of the program, in one place.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well; for `diff`: nothing more is allowed.
    Success,
    /// `diff`: more is allowed; `doctor`: something that is needed is missing; `demo`: a row did not hold.
    Differs,
    /// `diff`, `show`, `approve`, `doctor`, and wrong usage: it could not be told.
    Trouble,
    /// `run`, `learn`, `enforce`: pinfold itself failed or refused, and the command did not run or was not observed.
    Ours,
    /// The command was found and could not be executed.
    CannotExecute,
    /// The command was not found.
    NotFound,
    /// The command's own: its code, or 128 + signal.
    Command(i32),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Differs => 1,
            Exit::Trouble => 2,
            Exit::Ours => 125,
            Exit::CannotExecute => 126,
            Exit::NotFound => 127,
            Exit::Command(code) => u8::try_from(code & 0xff).unwrap_or(255),
        })
    }
}
