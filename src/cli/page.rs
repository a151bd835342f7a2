//! `pinfold report`: one page about a profile, for a browser.

use crate::run::page;
use crate::run::surroundings::Surroundings;
use crate::store::{Store, replace};
use crate::vocab::escape;

use super::arguments::ReportArguments;
use super::exit::Exit;
use super::{screen, show};

pub(super) fn run(arguments: &ReportArguments) -> Exit {
    let (file, other) = match (show::open(&arguments.profile), arguments.against.as_deref().map(show::open)) {
        (Ok(file), None) => (file, None),
        (Ok(file), Some(Ok(other))) => (file, Some(other)),
        (Err(exit), _) | (_, Some(Err(exit))) => return exit,
    };
    let store = Surroundings::read(None)
        .ok()
        .and_then(|surroundings| Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid).ok());
    let report = match page::report(&file, other.as_ref(), &arguments.trace, store.as_ref()) {
        Ok(report) => report,
        Err(error) => {
            screen::error(&error, None);
            return Exit::Trouble;
        }
    };
    for (path, error) in &report.unread {
        let name = escape::terminal(path.as_os_str().as_encoded_bytes());
        screen::warn(format!("{name} is left out: {}", screen::chain(error)));
    }
    let written = match &arguments.output {
        None => screen::data(&report.html),
        Some(path) => replace(path, report.html.as_bytes()),
    };
    match written {
        Ok(()) => Exit::Success,
        Err(error) => {
            screen::error(&error, Some("name another file with --output FILE"));
            Exit::Trouble
        }
    }
}
