//! `pinfold run`: learn on the first run, enforce from then on.

use std::path::Path;

use crate::run::enforce::locate;
use crate::run::profile_file;
use crate::store::Store;
use crate::trace::reader;

use super::arguments::{EnforceArguments, LearnArguments, RunArguments};
use super::exit::Exit;
use super::learn::surroundings;
use super::{enforce, learn, screen};

pub(super) fn run(arguments: &RunArguments) -> Exit {
    let surroundings = match surroundings(&arguments.places) {
        Ok(surroundings) => surroundings,
        Err(exit) => return exit,
    };
    let command = learn::bytes(&arguments.command);
    let (_, path) = locate(&surroundings, &command, arguments.places.profile.as_deref());
    match profile_file::load(&path) {
        Err(error) => {
            screen::error(&error, super::hints::profile_file(&error).as_deref());
            Exit::Ours
        }
        Ok(Some(_)) => enforce::within(
            &surroundings,
            &EnforceArguments {
                overlay: false,
                hold_commands: false,
                places: arguments.places.clone(),
                telling: arguments.telling.clone(),
                dry_run: false,
                explain: false,
                accept_digest: None,
                command: arguments.command.clone(),
            },
        ),
        Ok(None) => {
            if let Ok(store) = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid) {
                say_why_again(&store, &path);
            }
            learn::within(
                &surroundings,
                &LearnArguments {
                    places: arguments.places.clone(),
                    learn: arguments.learn.clone(),
                    from_trace: None,
                    from_strace: Vec::new(),
                    command: arguments.command.clone(),
                },
            )
        }
    }
}

/// An earlier run that left a trace and no profile: say so, since the person expects the second run to enforce.
fn say_why_again(store: &Store, path: &Path) {
    let Ok(traces) = store.traces(path) else { return };
    let Some(last) = traces.last() else { return };
    let why = match std::fs::File::open(last)
        .map_err(reader::ReadError::from)
        .and_then(|file| reader::read(std::io::BufReader::new(file)))
    {
        Ok(trace) if trace.footer.is_none() => "was cut short",
        Ok(trace) if !trace.is_complete() => "was not observed completely",
        Ok(_) => "ended with an error, or its profile was removed",
        Err(_) => "left a trace that cannot be read",
    };
    screen::say(format!("pinfold: learning again: the last learning run of this command {why}"));
}
