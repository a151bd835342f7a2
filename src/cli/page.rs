//! `pinfold report`: one page about a profile, for a browser.

use crate::run::surroundings::Surroundings;
use crate::run::{evidence, page};
use crate::store::{Store, replace};
use crate::vocab::escape;

use super::arguments::ReportArguments;
use super::exit::Exit;
use super::{confidence, screen, show};

pub(super) fn run(arguments: &ReportArguments) -> Exit {
    let (file, other) = match (show::open(&arguments.profile), arguments.against.as_deref().map(show::open)) {
        (Ok(file), None) => (file, None),
        (Ok(file), Some(Ok(other))) => (file, Some(other)),
        (Err(exit), _) | (_, Some(Err(exit))) => return exit,
    };
    let surroundings = Surroundings::read(None).ok();
    let store = surroundings
        .as_ref()
        .and_then(|surroundings| Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid).ok());
    let confidence = match surroundings.as_ref().map(|surroundings| evidence::load(surroundings, &file.path)) {
        Some(Ok(Some(evidence))) => confidence::learned(&evidence).lines().map(str::to_owned).collect(),
        Some(Err(error)) => {
            screen::warn(format!("how much its runs are worth is not told: {}", screen::chain(&error)));
            Vec::new()
        }
        Some(Ok(None)) | None => Vec::new(),
    };
    let report = match page::report(&file, other.as_ref(), &arguments.trace, store.as_ref(), confidence) {
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
