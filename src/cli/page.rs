//! `pinfold report`: one page about a profile, for a browser.

use crate::profile::evidence::Evidence;
use crate::run::profile_file::ProfileFile;
use crate::run::surroundings::Surroundings;
use crate::run::{evidence, page};
use crate::store::{Store, replace};
use crate::vocab::escape;

use super::arguments::ReportArguments;
use super::exit::Exit;
use super::{confidence, screen, show};

pub(super) fn run(arguments: &ReportArguments) -> Exit {
    let opened = match &arguments.against {
        None => show::open(&arguments.profile).map(|file| (file, None)),
        Some(other) => show::open_both(&arguments.profile, other).map(|[file, other]| (file, Some(other))),
    };
    let (file, other) = match opened {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let surroundings = Surroundings::read(None).ok();
    let store = surroundings
        .as_ref()
        .and_then(|surroundings| Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid).ok());
    let kept = |file: &ProfileFile| match surroundings.as_ref().map(|here| evidence::load(here, &file.path)) {
        Some(Ok(evidence)) => evidence,
        Some(Err(error)) => {
            screen::warn(format!("who asked for its lines is not told: {}", screen::chain(&error)));
            None
        }
        None => None,
    };
    let of = |file: ProfileFile| page::Subject { evidence: kept(&file), file };
    let (subject, other) = (of(file), other.map(of));
    let told = |evidence: &Evidence| confidence::learned(evidence).lines().map(str::to_owned).collect();
    let confidence = subject.evidence.as_ref().map(told).unwrap_or_default();
    let report = match page::report(&subject, other.as_ref(), &arguments.trace, store.as_ref(), confidence) {
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
