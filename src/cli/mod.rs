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

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::{Arguments, Command};
use exit::Exit;

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = error.exit_code();
            error.print().ok();
            return Exit::Command(code).into();
        }
    };
    let exit = match arguments.command {
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

fn trouble(error: &dyn std::error::Error) -> Exit {
    screen::error(error, None);
    Exit::Trouble
}
