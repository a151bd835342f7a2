//! `pinfold merge`: several traces or profiles become one profile; and the merge driver that git calls.

use std::path::Path;
use std::process::Command;

use crate::run::evidence;
use crate::run::merge::{Driven, MergeFilesError, Merged, files, texts};
use crate::run::profile_file::{self, ProfileFileError};
use crate::run::surroundings::Surroundings;

use super::arguments::{MergeArguments, MergeDriverArguments};
use super::exit::Exit;
use super::screen::{self, Colour, paint};
use super::{confidence, hints, show};

pub(super) fn run(arguments: &MergeArguments) -> Exit {
    let name = arguments.output.as_deref().and_then(Path::file_stem).and_then(|stem| stem.to_str());
    let paths: Vec<_> = arguments.files.iter().map(|given| show::find(given)).collect();
    let merged = match files(&paths, name) {
        Ok(Some(merged)) => merged,
        Ok(None) => return Exit::Trouble,
        Err(error) => return fail(&error),
    };
    let Some(output) = &arguments.output else {
        return match screen::data(&merged.text) {
            Ok(()) => Exit::Success,
            Err(_) => Exit::Trouble,
        };
    };
    match write(output, &merged, &paths) {
        Ok(()) => Exit::Success,
        Err(exit) => exit,
    }
}

fn write(output: &Path, merged: &Merged, inputs: &[std::path::PathBuf]) -> Result<(), Exit> {
    let path = profile_file::absolute(output);
    let known = profile_file::load(&path).map_err(|error| fail(&error.into()))?;
    // Over a profile that is not among those that were merged nothing is written: it would be lost.
    if known.is_some() && !inputs.iter().any(|input| profile_file::absolute(input) == path) {
        screen::say(format!(
            "{} {} is there already, and is not among those that are merged\n{} name it among them, or write elsewhere",
            paint("error:", Colour::Red),
            path.display(),
            paint("hint:", Colour::Cyan)
        ));
        return Err(Exit::Trouble);
    }
    crate::store::replace(&path, merged.text.as_bytes())
        .map_err(|source| fail(&ProfileFileError::Write { path: path.clone(), source }.into()))?;
    if !merged.evidence.runs.is_empty() {
        let surroundings = Surroundings::read(None).map_err(|error| {
            screen::error(&error, hints::surroundings(&error).as_deref());
            Exit::Trouble
        })?;
        evidence::keep(&surroundings, &path, &merged.evidence).map_err(|error| {
            screen::error(&error, None);
            Exit::Trouble
        })?;
        screen::say(confidence::learned(&merged.evidence));
    }
    for note in &merged.notes {
        screen::say(format!("{} {note}", paint("note:", Colour::Cyan)));
    }
    for limit in &merged.unlimited {
        let key = limit.key();
        screen::say(format!("{} [limits] {key} is gone: not each of the files has it", paint("note:", Colour::Cyan)));
    }
    screen::say(format!(
        "pinfold: wrote {}; that approves nothing on this machine\n{} `pinfold approve {}` looks at it and approves it",
        path.display(),
        paint("hint:", Colour::Cyan),
        path.display()
    ));
    Ok(())
}

fn fail(error: &MergeFilesError) -> Exit {
    let hint = match error {
        MergeFilesError::Profile(error) => hints::profile_file(error),
        MergeFilesError::Merge(_) => Some("a profile is for one command; keep one for each".to_owned()),
        _ => None,
    };
    screen::error(error, hint.as_deref());
    Exit::Trouble
}

/// Called by git: ours is replaced by the merged text. Where there is none, git's own merge of texts takes over, with marks
/// for a person to settle; such a file is no profile, and nothing runs under it.
pub(super) fn driver(arguments: &MergeDriverArguments) -> Exit {
    let name = arguments.path.as_deref().unwrap_or(&arguments.ours).display().to_string();
    let read = |path: &Path| std::fs::read_to_string(path);
    let all = (read(&arguments.base), read(&arguments.ours), read(&arguments.theirs));
    let driven = match &all {
        (Ok(base), Ok(ours), Ok(theirs)) => texts(base, ours, theirs),
        _ => {
            screen::say(format!("{} {name}: a side of the merge cannot be read as text", paint("error:", Colour::Red)));
            return by_text(arguments);
        }
    };
    let why = match driven {
        Driven::Clean(text) => {
            return match crate::store::replace(&arguments.ours, text.as_bytes()) {
                Ok(()) => Exit::Success,
                Err(error) => {
                    screen::error(&error, None);
                    by_text(arguments)
                }
            };
        }
        Driven::Conflicts(conflicts) => {
            let lines: Vec<String> = conflicts.iter().map(ToString::to_string).collect();
            format!("one side took out what the other changed: {}", lines.join(", "))
        }
        Driven::Unreadable(error) => format!("a side of the merge is no profile: {error}"),
        Driven::Different(error) => error.to_string(),
    };
    screen::say(format!("{} {name}: {why}; merged as text", paint("conflict:", Colour::Yellow)));
    by_text(arguments)
}

/// git's merge of texts, in place of ours. Its exit code is the number of conflicts.
fn by_text(arguments: &MergeDriverArguments) -> Exit {
    let files = [&arguments.ours, &arguments.base, &arguments.theirs];
    let labels = ["-L", "ours", "-L", "base", "-L", "theirs"];
    match Command::new("git").arg("merge-file").args(labels).args(files).status() {
        // Even where the lines go together: what they mean together, nobody looked at.
        Ok(_) => Exit::Differs,
        Err(error) => {
            screen::error(&error, None);
            Exit::Differs
        }
    }
}
