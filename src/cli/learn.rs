//! `pinfold learn`: one observed run, one screen, one question.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::event::Tally;
use crate::import::strace::Place;
use crate::plan::{Network, Plan};
use crate::run::derive::{EvidenceScope, Failures, Gaps, Terms, from_trace};
use crate::run::from_strace::{ImportRequest, import};
use crate::run::learn::{Attempt, Detail, LearnRequest, Learned, Observer, learn};
use crate::run::surroundings::Surroundings;
use crate::vocab::escape;
use crate::vocab::path::AbsPath;

use super::arguments::{LearnArguments, LearnOptions, Places};
use super::conclude::{Manner, NotWritten, Run, conclude};
use super::exit::Exit;
use super::screen::{self, Colour, paint};
use super::{hints, report, trace};

pub(super) fn run(arguments: &LearnArguments) -> Exit {
    match surroundings(&arguments.places) {
        Ok(surroundings) => within(&surroundings, arguments),
        Err(exit) => exit,
    }
}

pub(super) fn within(surroundings: &Surroundings, arguments: &LearnArguments) -> Exit {
    if let Some(given) = &arguments.from_trace {
        return from_kept(surroundings, arguments, given);
    }
    if !arguments.from_strace.is_empty() {
        return from_logs(surroundings, arguments);
    }
    let request = match request(arguments, surroundings) {
        Ok(request) => request,
        Err(exit) => return exit,
    };
    let mut watcher = Watcher::new(arguments.places.quiet);
    let learned = match learn(surroundings, &request, &mut watcher) {
        Ok(learned) => learned,
        Err(error) => {
            watcher.done();
            screen::error(&error, hints::learn(&error).as_deref());
            return hints::learn_exit(&error);
        }
    };
    watcher.done();
    let mut told = BTreeSet::new();
    for attempt in &learned.attempts {
        let (text, hint) = attempt_text(attempt);
        screen::say(format!("{} {text}", paint("attempt:", Colour::Yellow)));
        // Said once: a program tries one thing in several ways.
        hint.filter(|hint| told.insert(*hint)).into_iter().for_each(hints::say);
    }
    for path in &learned.planted {
        screen::warn(format!("`{path}` is new, and your machine runs or obeys it outside the sandbox: look at it"));
    }
    let run = Run { tally: &learned.tally, elapsed: learned.elapsed, status: learned.status };
    let written = conclude(surroundings, manner(arguments), &learned.derived, Some(&run));
    if let Some(path) = &arguments.places.report
        && let Err(error) = report::learned(path, &learned)
    {
        screen::error(&error, None);
        return Exit::Ours;
    }
    exit(&learned, written)
}

/// The command's own code, unless it says that all is well and it is not.
fn exit(learned: &Learned, written: Result<(), NotWritten>) -> Exit {
    match (written, learned.status.shell_code()) {
        (Err(NotWritten::Trouble), 0) => Exit::Ours,
        (_, code) => Exit::Command(code),
    }
}

fn manner(arguments: &LearnArguments) -> Manner {
    Manner { quiet: arguments.places.quiet, accept: arguments.learn.accept_learned }
}

/// A profile from a trace that was kept: nothing runs.
fn from_kept(surroundings: &Surroundings, arguments: &LearnArguments, given: &Path) -> Exit {
    let Some(path) = trace::find(given) else { return Exit::Ours };
    let terms = terms(&arguments.learn);
    match from_trace(surroundings, &path, arguments.places.profile.as_deref(), terms) {
        Ok(derived) => match conclude(surroundings, manner(arguments), &derived, None) {
            Ok(()) => Exit::Success,
            Err(_) => Exit::Ours,
        },
        Err(error) => {
            screen::error(&error, hints::derive(&error).as_deref());
            Exit::Ours
        }
    }
}

/// A profile from logs of strace: nothing runs.
fn from_logs(surroundings: &Surroundings, arguments: &LearnArguments) -> Exit {
    let request = ImportRequest {
        logs: arguments.from_strace.clone(),
        command: bytes(&arguments.command),
        profile: arguments.places.profile.clone(),
        terms: terms(&arguments.learn),
    };
    let imported = match import(surroundings, &request) {
        Ok(imported) => imported,
        Err(error) => {
            screen::error(&error, hints::import(&error).as_deref());
            return Exit::Ours;
        }
    };
    let place = |place: &Place| {
        let file = imported.files.get(place.file).map(|path| path.display().to_string()).unwrap_or_default();
        format!("{}:{}", escape::terminal(file.as_bytes()), place.line)
    };
    if imported.unread > 0 {
        let first = imported.first_unread.as_ref().map(|at| format!("; the first line: {}", place(at)));
        let first = first.unwrap_or_default();
        screen::warn(format!("{} lines, calls or paths of the log were not understood{first}", imported.unread));
    }
    if let Some(at) = &imported.cut {
        screen::warn(format!("{}: strace cut a text here; `-s 4096` keeps it", place(at)));
    }
    if !imported.has_paths {
        screen::warn("the log does not say where descriptors lead; `strace -y` does");
    }
    match conclude(surroundings, manner(arguments), &imported.derived, None) {
        Ok(()) => Exit::Success,
        Err(_) => Exit::Ours,
    }
}

fn terms(options: &LearnOptions) -> Terms {
    Terms {
        evidence: if options.append { EvidenceScope::AllRuns } else { EvidenceScope::ThisRun },
        failures: if options.even_if_failed { Failures::Accept } else { Failures::Refuse },
        gaps: if options.even_if_incomplete { Gaps::Accept } else { Gaps::Refuse },
    }
}

/// What was typed, or an error already said.
pub(super) fn surroundings(places: &Places) -> Result<Surroundings, Exit> {
    let project = places.project.as_deref();
    let read = if places.as_owner { Surroundings::to_start_as_owner(project) } else { Surroundings::to_start(project) };
    read.map_err(|error| {
        screen::error(&error, hints::surroundings(&error).as_deref());
        Exit::Ours
    })
}

pub(super) fn bytes(words: &[OsString]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn request(arguments: &LearnArguments, surroundings: &Surroundings) -> Result<LearnRequest, Exit> {
    let options = &arguments.learn;
    let mut opened = Vec::new();
    for path in &options.open_vault {
        let resolved = std::fs::canonicalize(path).ok();
        let Some(place) = resolved.and_then(|path| AbsPath::try_from(path.as_path()).ok()) else {
            screen::say(format!("{} --open-vault: `{}` does not exist", paint("error:", Colour::Red), path.display()));
            return Err(Exit::Ours);
        };
        if place.is_beneath(&surroundings.state_dir) || surroundings.state_dir.is_beneath(&place) {
            screen::say(format!("{} --open-vault: `{place}` holds pinfold's own state", paint("error:", Colour::Red)));
            return Err(Exit::Ours);
        }
        opened.push(place);
    }
    Ok(LearnRequest {
        command: bytes(&arguments.command),
        profile: arguments.places.profile.clone(),
        opened,
        network: match (options.no_network, options.host_network) {
            (true, _) => Network::None,
            (false, true) => Network::Host,
            (false, false) => Network::Named,
        },
        detail: if options.exact { Detail::Exact } else { Detail::BeyondBase },
        terms: terms(options),
        most_facts: options.most_facts,
        checkpoint: Duration::from_secs(options.checkpoint),
        timeout: options.timeout.map(Duration::from_secs),
    })
}

/// Shows a run while it goes on: a live line, unless the agent owns the terminal.
struct Watcher {
    quiet: bool,
    live: bool,
    shown: bool,
}

impl Watcher {
    fn new(quiet: bool) -> Self {
        // A program that reads from and writes to the terminal may paint it: then a line of ours would tear its picture.
        let agent_owns_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        Self { quiet, live: !quiet && std::io::stderr().is_terminal() && !agent_owns_terminal, shown: false }
    }

    fn done(&mut self) {
        if std::mem::take(&mut self.shown) {
            screen::live("");
        }
    }
}

impl Observer for Watcher {
    fn starting(&mut self, plan: &Plan, _trace: &Path) {
        if self.quiet && plan.network == Network::None {
            return;
        }
        let network = match plan.network {
            Network::Host => "your network is open to it, unconfined".to_owned(),
            Network::Named => {
                let proxy = super::enforce::by_proxy(plan);
                format!("every name of the network is open to it, and written down{proxy}")
            }
            Network::None => "no network".to_owned(),
        };
        screen::say(format!(
            "pinfold: learning; key stores are hidden, what lies outside the project and your home is read-only, {network}"
        ));
    }

    fn progress(&mut self, tally: &Tally, elapsed: Duration) {
        if self.live {
            self.shown = true;
            screen::live(&format!(
                "pinfold: {} s  {} events  {} files  {} system calls  {} programs",
                elapsed.as_secs(),
                tally.events,
                tally.files,
                tally.calls.len(),
                tally.images
            ));
        }
    }

    fn attempt(&mut self, attempt: &Attempt) {
        self.done();
        if !std::io::stderr().is_terminal() || !self.live {
            return;
        }
        let (text, hint) = attempt_text(attempt);
        screen::warn(text);
        hint.into_iter().for_each(hints::say);
    }
}

/// What was tried, and what to do about it where that is known.
fn attempt_text(attempt: &Attempt) -> (String, Option<&'static str>) {
    match attempt {
        Attempt::Vault { path, row } => {
            (format!("hidden from the agent: `{path}` ({}); to allow it: --open-vault {path}", row.why), None)
        }
        Attempt::Call(denial) => (format!("refused to {}", hints::denial(denial)), hints::instead(denial)),
        Attempt::Unknown { arch, number } => hints::unknown(*arch, *number),
    }
}
