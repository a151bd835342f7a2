//! `pinfold diff`: the grants that differ.

use crate::diff;

use super::arguments::DiffArguments;
use super::exit::Exit;
use super::{report, screen, show};

pub(super) fn run(arguments: &DiffArguments) -> Exit {
    let (old, new) = match (show::open(&arguments.old), show::open(&arguments.new)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(exit), _) | (_, Err(exit)) => return exit,
    };
    let changes = diff::diff(&old.profile, &new.profile);
    let text = if arguments.json {
        report::changes(&changes)
    } else {
        changes.iter().map(|change| format!("{change}\n")).collect()
    };
    match screen::data(&text) {
        Ok(()) if changes.is_empty() => Exit::Success,
        Ok(()) => Exit::Differs,
        Err(_) => Exit::Trouble,
    }
}
