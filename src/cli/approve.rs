//! `pinfold approve`: look at what waits, say yes or no.

use crate::diff::{self, Context};
use crate::run::approve::{self, Scope, Word};
use crate::run::profile_file;
use crate::store::Store;

use super::arguments::{Accept, ApproveArguments};
use super::exit::Exit;
use super::{conclude, screen, show};

pub(super) fn run(arguments: &ApproveArguments) -> Exit {
    let (file, surroundings) = match show::open_here(&arguments.profile) {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let mut profile = file.profile.clone();
    screen::say(show::text(&profile));
    let evidence = super::diff::kept(&file);
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid);
    if let Some(before) = store.as_ref().ok().and_then(|store| store.last_approval(&file.path).ok().flatten())
        && let Some(before) = approve::remembered(&before)
    {
        let context = Context { here: Some(&surroundings.roots), evidence: evidence.as_ref() };
        let difference = diff::compare(&before, &profile, &context);
        if !difference.changes.is_empty() {
            screen::say("\nagainst what was approved last, the profile");
            screen::say(super::diff::text(&difference, screen::Stream::Error));
        }
    }
    let waiting = approve::pending(&profile);
    let how = match arguments.accept {
        Some(Accept::All) => {
            waiting.iter().for_each(|item| item.grant(&mut profile));
            "--accept=all"
        }
        Some(Accept::Own) => {
            let own: Vec<_> = waiting.iter().filter(|item| item.scope(&profile) == Scope::Own).collect();
            own.into_iter().for_each(|item| item.grant(&mut profile));
            "--accept=own"
        }
        None if screen::can_ask() => {
            if !conclude::ask(&mut profile, &waiting, evidence.as_ref()) {
                screen::say("pinfold: nothing was approved");
                return Exit::Differs;
            }
            "asked"
        }
        None => {
            screen::say(format!(
                "{} there is no terminal to ask on\n{} `--accept=own` or `--accept=all` approves without asking",
                screen::paint("error:", screen::Colour::Red),
                screen::paint("hint:", screen::Colour::Cyan)
            ));
            return Exit::Trouble;
        }
    };
    let word = Word { how, why: arguments.why.as_deref(), lasts: arguments.expires };
    let recorded =
        profile_file::save(&file.path, &profile, Some(&file)).map_err(|error| screen::chain(&error)).and_then(|file| {
            let approved = store.and_then(|store| approve::record(&store, &surroundings, &file, &word));
            approved.map(|()| file).map_err(|error| screen::chain(&error))
        });
    match recorded {
        Ok(file) => {
            screen::say(format!("pinfold: approved {} ({})", file.path.display(), file.digest));
            Exit::Success
        }
        Err(message) => {
            screen::say(format!("{} {message}", screen::paint("error:", screen::Colour::Red)));
            Exit::Trouble
        }
    }
}
