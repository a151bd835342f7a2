//! `pinfold git-setup`, and what git runs from then on: the drivers for differences.
//!
//! A driver that ends with an error ends git's command with it. So what cannot be read as a profile is said and shown as it is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::diff::{self, Context, Direction};
use crate::profile::Profile;
use crate::profile::parse::parse;
use crate::run::git_setup::{self, SetupError, Step};
use crate::vocab::escape;

use super::diff::text;
use super::exit::Exit;
use super::screen::{self, Colour, Stream};

/// `pinfold git-setup`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pinfold git-setup             git diff and git log -p tell what profiles allow; merges join what both sides learned
  pinfold git-setup --hook      and a commit that brings something of risk 4 stops
  pinfold git-setup --remove    takes all of it away again")]
pub struct SetupArguments {
    /// Install a pre-commit hook, too
    #[arg(long)]
    pub hook: bool,
    /// Take away what was set up
    #[arg(long, conflicts_with = "hook")]
    pub remove: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// What git gives to a driver of differences: path, file, object and mode before, the same after.
#[derive(Debug, Args)]
pub struct DriverArguments {
    /// As gitattributes(5) has it
    pub words: Vec<OsString>,
}

/// What git gives to a converter.
#[derive(Debug, Args)]
pub struct TextconvArguments {
    /// A profile
    pub file: PathBuf,
}

pub(super) fn setup(arguments: &SetupArguments) -> Exit {
    let here = Path::new(".");
    let planned = std::env::current_exe()
        .map_err(|_| SetupError::Program)
        .and_then(|program| git_setup::steps(here, &program, arguments.hook, arguments.remove));
    let steps = match planned {
        Ok(steps) => steps,
        Err(error) => {
            let hint = matches!(error, SetupError::OtherHook { .. }).then_some(
                "add this to it: pinfold diff --staged --fail-on risk=4 FILE, for each profile that changed",
            );
            screen::error(&error, hint);
            return Exit::Trouble;
        }
    };
    if steps.is_empty() {
        screen::say("pinfold: nothing is to be done");
        return Exit::Success;
    }
    screen::say("pinfold: in this repository");
    steps.iter().for_each(|step| screen::say(format!("  {}", told(step))));
    if !arguments.yes {
        if !screen::can_ask() {
            screen::say(format!(
                "{} there is no terminal to ask on\n{} `--yes` does it without asking",
                screen::paint("error:", Colour::Red),
                screen::paint("hint:", Colour::Cyan)
            ));
            return Exit::Trouble;
        }
        if !screen::ask("Do this?") {
            return Exit::Differs;
        }
    }
    match git_setup::apply(here, &steps) {
        Ok(()) => Exit::Success,
        Err(error) => {
            screen::error(&error, None);
            Exit::Trouble
        }
    }
}

fn told(step: &Step) -> String {
    let shown = |text: &str| escape::terminal(text.as_bytes());
    match step {
        Step::Set { key, value: Some(value) } => format!("set {key} = {}", shown(value)),
        Step::Set { key, value: None } => format!("unset {key}"),
        Step::Write { path, text: Some(_), .. } => format!("write {}", shown(&path.to_string_lossy())),
        Step::Write { path, text: None, .. } => format!("remove {}", shown(&path.to_string_lossy())),
    }
}

/// `git diff` asks for the difference of one file.
pub(super) fn driver(arguments: &DriverArguments) -> Exit {
    let [path, old, _, _, new, ..] = arguments.words.as_slice() else {
        screen::say("pinfold: git calls this, with seven arguments");
        return Exit::Trouble;
    };
    let shown = escape::terminal(path.as_encoded_bytes());
    let mut out = format!("{}\n", screen::paint_for(Stream::Output, &format!("profile {shown}"), Colour::Bold));
    match (side(Path::new(old)), side(Path::new(new))) {
        (Ok(None), Ok(None)) => {}
        (Ok(old), Ok(new)) => {
            let like = new.as_ref().or(old.as_ref()).map(diff::nothing);
            let side = |profile: &Option<Profile>| profile.clone().or_else(|| like.clone());
            if let (Some(old), Some(new)) = (side(&old), side(&new)) {
                out.push_str(&text(&diff::compare(&old, &new, &Context::default()), Stream::Output));
            }
        }
        (old, new) => {
            for (side, result) in [("before", old), ("after", new)] {
                if let Err(why) = result {
                    out.push_str(&format!("{side}, it is no profile: {why}\n"));
                }
            }
            out.push_str("`git diff --no-ext-diff --no-textconv` shows the texts\n");
        }
    }
    finish(&out)
}

/// `None`: there is no such file on that side.
fn side(path: &Path) -> Result<Option<Profile>, String> {
    if path == Path::new("/dev/null") {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    parse(&text).map(Some).map_err(|error| error.to_string())
}

/// `git log -p` compares what this makes of a profile: a line for each thing that it allows, in an order of its own.
pub(super) fn textconv(arguments: &TextconvArguments) -> Exit {
    let text = match std::fs::read(&arguments.file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            screen::error(&error, None);
            return Exit::Trouble;
        }
    };
    finish(&match parse(&text) {
        Ok(profile) => allowed(&profile),
        Err(error) => {
            let lines: String = text.lines().map(|line| format!("{}\n", escape::terminal(line.as_bytes()))).collect();
            format!("no profile: {error}\n{lines}")
        }
    })
}

fn allowed(profile: &Profile) -> String {
    let difference = diff::compare(&diff::nothing(profile), profile, &Context::default());
    let mut lines: Vec<String> = difference
        .changes
        .iter()
        .map(|change| {
            let risk =
                if change.direction() == Direction::Narrows { String::new() } else { format!("risk {} ", change.risk) };
            let section = diff::section(change.code).as_str();
            format!("[{section}] {risk}{}\n", escape::terminal(change.text().as_bytes()).replace("\\\\", "\\"))
        })
        .collect();
    lines.sort();
    format!("for {}\n{}", escape::terminal(profile.command.join(" ").as_bytes()), lines.concat())
}

fn finish(text: &str) -> Exit {
    match screen::data(text) {
        Ok(()) => Exit::Success,
        Err(_) => Exit::Trouble,
    }
}
