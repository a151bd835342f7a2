//! `pinfold amend`: lines for what earlier runs were refused, each with a question.

use crate::run::amend::{Proposal, proposals};
use crate::run::approve::{self, Word};
use crate::run::profile_file::{self, ProfileFile};
use crate::run::refusals::kept;
use crate::run::surroundings::Surroundings;
use crate::store::Store;
use crate::vocab::escape;

use super::arguments::AmendArguments;
use super::exit::Exit;
use super::screen::{self, Colour, paint};
use super::{denials, hints, show};

pub(super) fn run(arguments: &AmendArguments) -> Exit {
    let (file, surroundings) = match show::open_here(&arguments.profile) {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let opened = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid);
    let read = opened.and_then(|store| {
        let runs = kept(&store, &file.path)?;
        let approved = file.is_approved(&store)?;
        Ok((store, runs, approved))
    });
    let (store, runs, was_approved) = match read {
        Ok(read) => read,
        Err(error) => return trouble(&error),
    };
    let runs = runs.get(runs.len().saturating_sub(arguments.runs)..).unwrap_or_default();
    let all = proposals(&file.profile, runs);
    if all.is_empty() {
        screen::say("pinfold: the last runs were refused nothing that a line would allow");
        return Exit::Success;
    }
    let wanted = match choose(&all, arguments) {
        Ok(wanted) => wanted,
        Err(exit) => return exit,
    };
    if wanted.is_empty() {
        screen::say("pinfold: nothing was added");
        return Exit::Differs;
    }
    let amended = wanted.iter().fold(file.profile.clone(), |profile, proposal| proposal.add_to(&profile));
    let saved = match profile_file::save(&file.path, &amended, Some(&file)) {
        Ok(saved) => saved,
        Err(error) => return trouble(&error),
    };
    conclude(&store, &surroundings, &saved, was_approved, wanted.len())
}

fn trouble(error: &dyn std::error::Error) -> Exit {
    screen::error(error, None);
    Exit::Trouble
}

/// Those that a person wants: by number, or asked one by one.
fn choose<'a>(all: &'a [Proposal], arguments: &AmendArguments) -> Result<Vec<&'a Proposal>, Exit> {
    if !arguments.add.is_empty() {
        let chosen: Option<Vec<&Proposal>> =
            arguments.add.iter().map(|number| all.get(number.checked_sub(1)?)).collect();
        return chosen.ok_or_else(|| {
            screen::say(format!("{} there are {} lines, from 1 on", paint("error:", Colour::Red), all.len()));
            Exit::Trouble
        });
    }
    if !screen::can_ask() {
        let lines: String = all.iter().enumerate().map(|(index, proposal)| text(index + 1, proposal)).collect();
        if screen::data(&lines).is_err() {
            return Err(Exit::Trouble);
        }
        hints::say("there is no terminal to ask on: `--add NUMBER` adds one of them, `--add 1,3` two");
        return Err(Exit::Differs);
    }
    let mut wanted = Vec::new();
    for (index, proposal) in all.iter().enumerate() {
        screen::say(text(index + 1, proposal).trim_end());
        if screen::ask("  Add it?") {
            wanted.push(proposal);
        }
    }
    Ok(wanted)
}

/// The line, what it would have allowed, and what it opens.
fn text(number: usize, proposal: &Proposal) -> String {
    let mut out = format!("{number}. {}\n", escape::terminal(proposal.line.as_bytes()));
    for asked in &proposal.asked {
        let (what, by, times) = denials::row(asked);
        let often = match times.as_str() {
            "-" => "at the start".to_owned(),
            "1" => "once".to_owned(),
            _ => format!("{times} times"),
        };
        out += &format!("     {what}, by {by}, {often}\n");
    }
    if let Some(risk) = proposal.risk() {
        out += &format!("     that opens: {}\n", escape::terminal(risk.as_bytes()));
    }
    out
}

/// A profile that was approved as it stood is approved with the lines that a person said yes to; another one is not.
fn conclude(store: &Store, surroundings: &Surroundings, file: &ProfileFile, was_approved: bool, count: usize) -> Exit {
    let path = file.path.display();
    let lines = if count == 1 { "1 line".to_owned() } else { format!("{count} lines") };
    if !was_approved {
        screen::say(format!("pinfold: added {lines} to {path}, which is not approved"));
        hints::say(&format!("`pinfold approve {path}` looks at it and approves it"));
        return Exit::Success;
    }
    match approve::record(store, surroundings, file, &Word { how: "amended", ..Word::default() }) {
        Ok(()) => {
            screen::say(format!("pinfold: added {lines} to {path}, and approved it ({})", file.digest));
            Exit::Success
        }
        Err(error) => trouble(&error),
    }
}
