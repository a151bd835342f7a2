//! `pinfold review`, and the same at the end of a run: changes that were put aside, listed, shown, taken or thrown away.

use std::path::Path;

use crate::run::layers::{Held, LayerError, Waiting, Way, path_of};
use crate::run::surroundings::Surroundings;
use crate::store::Store;
use crate::vocab::escape;

use super::arguments::ReviewArguments;
use super::exit::Exit;
use super::screen::{self, Colour, paint};
use super::{hints, show};

/// Changes that are listed before a question.
const LISTED: usize = 40;
/// A file that is longer than this is not shown.
const LONGEST: u64 = 1 << 20;

pub(super) fn run(arguments: &ReviewArguments) -> Exit {
    let (file, surroundings) = match show::open_here(&arguments.profile) {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid);
    let held = match store.map_err(LayerError::from).and_then(|store| Held::open(&store, &file.path)) {
        Ok(Some(held)) => held,
        Ok(None) => {
            screen::say("pinfold: nothing waits");
            return Exit::Success;
        }
        Err(error) => return fail(&error),
    };
    match answer(held, &surroundings, arguments) {
        Ok(exit) => exit,
        Err(error) => fail(&error),
    }
}

fn fail(error: &LayerError) -> Exit {
    screen::error(error, hints::layer(error).as_deref());
    Exit::Trouble
}

fn answer(held: Held, surroundings: &Surroundings, arguments: &ReviewArguments) -> Result<Exit, LayerError> {
    if arguments.discard {
        held.discard()?;
        screen::say("pinfold: thrown away");
        return Ok(Exit::Success);
    }
    let mut all = held.waiting(&surroundings.roots)?;
    let wanted: Vec<_> = arguments.paths.iter().map(|path| path_of(path.as_os_str())).collect();
    all.retain(|waiting| wanted.is_empty() || wanted.iter().any(|top| waiting.path.starts_with(top)));
    if arguments.take {
        let (harmless, rest) = parted(&all);
        take(&held, &harmless)?;
        if arguments.even_with_warnings {
            take(&held, &rest)?;
        } else {
            rest.iter().for_each(|waiting| screen::warn(format!("not taken: {}", line(waiting).trim_end())));
        }
        return settle(held, surroundings);
    }
    if arguments.diff || !screen::can_ask() {
        let text: String = all
            .iter()
            .map(|waiting| line(waiting) + &if arguments.diff { difference(&held, waiting) } else { String::new() })
            .collect();
        return Ok(match screen::data(&text) {
            Ok(()) if all.is_empty() => Exit::Success,
            Ok(()) => Exit::Differs,
            Err(_) => Exit::Trouble,
        });
    }
    ask(&held, &all)?;
    settle(held, surroundings)
}

/// At the end of a run: asks, or says how to come back.
pub(super) fn after(held: Held, surroundings: &Surroundings, profile: &Path) {
    let outcome = held.waiting(&surroundings.roots).and_then(|all| {
        if all.is_empty() {
            return held.discard();
        }
        if screen::can_ask() {
            ask(&held, &all)?;
            return settle(held, surroundings).map(drop);
        }
        screen::say(format!("pinfold: {}; it is as it was", counted(all.len())));
        hints::say(&format!("`pinfold review {}` lists them, and takes them or throws them away", profile.display()));
        Ok(())
    });
    if let Err(error) = outcome {
        fail(&error);
    }
}

/// Those without a warning, and the others.
fn parted(all: &[Waiting]) -> (Vec<&Waiting>, Vec<&Waiting>) {
    all.iter().partition(|waiting| waiting.warnings.is_empty())
}

fn take(held: &Held, all: &[&Waiting]) -> Result<(), LayerError> {
    // What was removed makes room first; then directories come before what is in them.
    let (removed, rest): (Vec<&&Waiting>, Vec<_>) = all.iter().partition(|waiting| waiting.way == Way::Removed);
    removed.into_iter().chain(rest).try_for_each(|waiting| held.take(waiting))
}

fn ask(held: &Held, all: &[Waiting]) -> Result<(), LayerError> {
    let (harmless, rest) = parted(all);
    if !harmless.is_empty() {
        screen::say(format!("pinfold: {}:", counted(harmless.len())));
        harmless.iter().take(LISTED).for_each(|waiting| screen::say(line(waiting).trim_end()));
        if harmless.len() > LISTED {
            screen::say(format!("  and {} more", harmless.len() - LISTED));
        }
        if screen::ask("Take all of them?") {
            take(held, &harmless)?;
        } else if screen::ask("Look at each?") {
            harmless.iter().try_for_each(|waiting| one(held, waiting))?;
        }
    }
    rest.iter().try_for_each(|waiting| one(held, waiting))
}

fn one(held: &Held, waiting: &Waiting) -> Result<(), LayerError> {
    screen::say((line(waiting) + &difference(held, waiting)).trim_end());
    if screen::ask("Take it?") { held.take(waiting) } else { Ok(()) }
}

/// What is left waits, or is thrown away; where nothing is, so is the layer.
fn settle(held: Held, surroundings: &Surroundings) -> Result<Exit, LayerError> {
    let left = held.waiting(&surroundings.roots)?.len();
    if left == 0 {
        held.discard()?;
        screen::say("pinfold: nothing waits any more");
        return Ok(Exit::Success);
    }
    if screen::can_ask() && screen::ask(&format!("Throw the {left} that are left away?")) {
        held.discard()?;
        return Ok(Exit::Success);
    }
    screen::say(format!("pinfold: {}", counted(left)));
    Ok(Exit::Differs)
}

fn counted(count: usize) -> String {
    if count == 1 { "1 change of the project waits".to_owned() } else { format!("{count} changes of the project wait") }
}

fn line(waiting: &Waiting) -> String {
    let mark = match waiting.way {
        Way::Made => paint("new    ", Colour::Green),
        Way::Changed => paint("changed", Colour::Yellow),
        Way::Removed => paint("removed", Colour::Red),
    };
    let mut out = format!("  {mark}  {}\n", escape::terminal(waiting.path.as_os_str().as_encoded_bytes()));
    for warning in &waiting.warnings {
        out += &format!("           {}\n", paint(&escape::terminal(warning.as_bytes()), Colour::Red));
    }
    out
}

/// As diff(1) says it, and what it does not say.
fn difference(held: &Held, waiting: &Waiting) -> String {
    let (below, above) = (held.below(&waiting.path), held.above(&waiting.path));
    if waiting.way != Way::Removed
        && let Ok(meta) = std::fs::symlink_metadata(&above)
    {
        if let Ok(text) = std::fs::read_link(&above) {
            return format!("    a symlink to `{}`\n", escape::terminal(text.as_os_str().as_encoded_bytes()));
        }
        if meta.is_file() && meta.len() > LONGEST {
            return format!("    {} bytes, too many to be shown\n", meta.len());
        }
    }
    let file = |path: &Path| {
        let meta = std::fs::symlink_metadata(path).ok();
        meta.filter(|meta| meta.is_file() && meta.len() <= LONGEST).map(|_| path.to_path_buf())
    };
    let none = || Path::new("/dev/null").to_path_buf();
    let (before, after) = (file(&below), file(&above));
    if before.is_none() && after.is_none() {
        return String::new();
    }
    let mut diff = std::process::Command::new("diff");
    diff.args(["-u", "--label", "before", "--label", "after", "--"]);
    diff.arg(before.unwrap_or_else(none)).arg(after.unwrap_or_else(none)).stdin(std::process::Stdio::null());
    match diff.output() {
        Ok(output) => {
            let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.map(|line| format!("    {}\n", escape::terminal(line))).collect()
        }
        Err(_) => "    (there is no `diff` to show it with)\n".to_owned(),
    }
}
