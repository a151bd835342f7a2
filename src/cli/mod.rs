//! The command line: as typed → resolved → call → render. The only room that prints, and it holds no logic.

mod amend;
mod approve;
pub mod arguments;
mod changes;
mod check;
mod conclude;
mod confidence;
pub mod demo;
mod denials;
mod diff;
pub mod doctor;
mod dry_run;
mod enforce;
pub mod exit;
mod explain;
mod fmt;
mod git;
mod hints;
mod learn;
mod man;
mod merge;
mod page;
mod report;
mod review;
mod run;
pub mod screen;
mod selftest;
mod show;
mod trace;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::{Arguments, Command};
use exit::Exit;

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let command = match parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => {
            let code = error.exit_code();
            error.print().ok();
            return Exit::Command(code).into();
        }
    };
    let exit = match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Learn(arguments) => learn::run(&arguments),
        Command::Enforce(arguments) => enforce::run(&arguments),
        Command::Show(arguments) => show::run(&arguments),
        Command::Approve(arguments) => approve::run(&arguments),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::GitSetup(arguments) => git::setup(&arguments),
        Command::GitDiff(arguments) => git::driver(&arguments),
        Command::GitTextconv(arguments) => git::textconv(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Fmt(arguments) => fmt::run(&arguments),
        Command::Report(arguments) if arguments.changes => changes::run(&arguments),
        Command::Report(arguments) => page::run(&arguments),
        Command::Man { dir } => man::run(&dir),
        Command::Amend(arguments) => amend::run(&arguments),
        Command::Review(arguments) => review::run(&arguments),
        Command::Denials(arguments) => denials::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Merge(arguments) => merge::run(&arguments),
        Command::MergeDriver(arguments) => merge::driver(&arguments),
        Command::Trace(command) => trace::run(&command),
        Command::Doctor(arguments) => match doctor::run(&arguments) {
            Ok(code) => return code,
            Err(error) => trouble(&error),
        },
        Command::Demo(arguments) => match demo::run(&arguments) {
            Ok(code) => return code,
            Err(error) => trouble(&error),
        },
        Command::Selftest(arguments) => selftest::run(&arguments),
        Command::DemoTool(arguments) => match demo::tool::run(&arguments) {
            Ok(()) => Exit::Success,
            Err(error) => trouble(&error),
        },
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "pinfold", &mut script);
            match screen::data(&String::from_utf8_lossy(&script)) {
                Ok(()) => Exit::Success,
                Err(_) => Exit::Trouble,
            }
        }
    };
    exit.into()
}

/// The command that was typed. The parser of all commands takes longer than some of them run: the two that start an agent are
/// tried by their own first, and whatever is not a start is left to it, help and errors included.
fn parse(words: impl Iterator<Item = OsString>) -> Result<Command, clap::Error> {
    let words: Vec<OsString> = words.collect();
    let started = match words.get(1).and_then(|word| word.to_str()) {
        Some("run") => alone(&words).map(Command::Run),
        Some("enforce") => alone(&words).map(Command::Enforce),
        Some(_) | None => None,
    };
    started.map_or_else(|| Arguments::try_parse_from(&words).map(|arguments| arguments.command), Ok)
}

/// The arguments of one command, if they are in order.
fn alone<A: clap::Args>(words: &[OsString]) -> Option<A> {
    let command = A::augment_args(clap::Command::new("pinfold").no_binary_name(true));
    let matches = command.try_get_matches_from(words.get(2..)?).ok()?;
    A::from_arg_matches(&matches).ok()
}

fn trouble(error: &dyn std::error::Error) -> Exit {
    screen::error(error, None);
    Exit::Trouble
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A start is read alone as it is among all commands; what is no start is left to all.
    #[test]
    fn a_command_that_is_read_alone_is_read_as_among_all() {
        let lines: [&[&str]; 12] = [
            &["run", "--", "claude"],
            &["run", "-p", "x.toml", "--", "python3", "x.py", "-p", "y"],
            &["run", "--append", "-q", "--", "a", "--help"],
            &["enforce", "--", "./true"],
            &["enforce", "-q", "-p", "x.toml", "--dry-run", "--explain", "--", "a", "-b"],
            &["enforce", "--log", "l", "--overlay", "--", "a"],
            &["enforce"],
            &["enforce", "--help"],
            &["enforce", "--version"],
            &["run", "--no-such-option", "a"],
            &["enforce", "--overlay", "--overlay", "a"],
            &["show", "claude"],
        ];
        for line in lines {
            let words = || std::iter::once("pinfold").chain(line.iter().copied()).map(OsString::from);
            let said = |result: Result<Command, clap::Error>| match result {
                Ok(command) => format!("{command:?}"),
                Err(error) => error.to_string(),
            };
            let all = Arguments::try_parse_from(words()).map(|arguments| arguments.command);
            assert_eq!(said(parse(words())), said(all), "{line:?}");
        }
        assert!(matches!(parse(["pinfold", "run", "--", "a"].into_iter().map(OsString::from)), Ok(Command::Run(_))));
    }
}
