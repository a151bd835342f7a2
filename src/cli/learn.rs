//! `pinfold learn`: one observed run, one screen, one question.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use crate::event::{Gap, Tally};
use crate::plan::{Network, Plan};
use crate::run::approve::{self, Pending, Scope};
use crate::run::learn::{
    Attempt, Detail, EvidenceScope, Failures, LearnRequest, Learned, NoProfile, Observer, Reduced, learn,
};
use crate::run::profile_file::{self, ProfileFile};
use crate::run::surroundings::Surroundings;
use crate::store::Store;
use crate::vocab::escape;
use crate::vocab::path::AbsPath;

use super::arguments::{Accept, LearnArguments, Places};
use super::exit::Exit;
use super::screen::{self, Colour, paint};
use super::{hints, report, show};

pub(super) fn run(arguments: &LearnArguments) -> Exit {
    let surroundings = match surroundings(&arguments.places) {
        Ok(surroundings) => surroundings,
        Err(exit) => return exit,
    };
    let request = match request(arguments, &surroundings) {
        Ok(request) => request,
        Err(exit) => return exit,
    };
    let mut watcher = Watcher::new(arguments.places.quiet);
    let learned = match learn(&surroundings, &request, &mut watcher) {
        Ok(learned) => learned,
        Err(error) => {
            watcher.done();
            screen::error(&error, hints::learn(&error).as_deref());
            return hints::learn_exit(&error);
        }
    };
    watcher.done();
    let file = conclude(&surroundings, arguments, &learned);
    if let Some(path) = &arguments.places.report
        && let Err(error) = report::learned(path, &learned)
    {
        screen::error(&error, None);
        return Exit::Ours;
    }
    match file {
        Ok(()) => Exit::Command(learned.status.shell_code()),
        Err(exit) => exit,
    }
}

/// What was typed, or an error already said.
pub(super) fn surroundings(places: &Places) -> Result<Surroundings, Exit> {
    Surroundings::to_start(places.project.as_deref()).map_err(|error| {
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
        network: if options.no_network { Network::None } else { Network::Host },
        detail: if options.exact { Detail::Exact } else { Detail::BeyondBase },
        evidence: if options.append { EvidenceScope::AllRuns } else { EvidenceScope::ThisRun },
        failures: if options.even_if_failed { Failures::Accept } else { Failures::Refuse },
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
            Network::Host => "your network is open to it, unconfined",
            Network::None => "no network",
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
        screen::warn(attempt_text(attempt));
    }
}

fn attempt_text(attempt: &Attempt) -> String {
    match attempt {
        Attempt::Vault { path, row } => {
            format!("hidden from the agent: `{path}` ({}); to allow it: --open-vault {path}", row.why)
        }
        Attempt::Call(denial) => format!("refused to {}", hints::denial(denial)),
    }
}

/// The screen at the end, the question, and what follows from the answer.
fn conclude(surroundings: &Surroundings, arguments: &LearnArguments, learned: &Learned) -> Result<(), Exit> {
    for attempt in &learned.attempts {
        screen::say(format!("{} {}", paint("attempt:", Colour::Yellow), attempt_text(attempt)));
    }
    for path in &learned.planted {
        screen::warn(format!("`{path}` is new, and your machine runs or obeys it outside the sandbox: look at it"));
    }
    let reduced = match &learned.result {
        Ok(reduced) => reduced,
        Err(why) => {
            say_no_profile(why, learned);
            return if matches!(why, NoProfile::Failed(_)) { Ok(()) } else { Err(incomplete_exit(learned)) };
        }
    };
    let mut profile = reduced.profile.clone();
    if !arguments.places.quiet {
        summary(learned, reduced);
    }
    let how = settle(&mut profile, arguments.learn.accept_learned);
    let file = save(learned, &profile)?;
    let Some(how) = how else {
        screen::say(format!(
            "pinfold: wrote {}; nothing is approved\n{} `pinfold approve {}` looks at it and approves it; until then enforcing stops",
            file.path.display(),
            paint("hint:", Colour::Cyan),
            file.path.display()
        ));
        return Ok(());
    };
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid);
    match store.and_then(|store| approve::record(&store, &file, how)) {
        Ok(()) => {
            let waiting = approve::pending(&profile).len();
            screen::say(format!(
                "pinfold: wrote and approved {} ({}){}",
                file.path.display(),
                file.digest,
                if waiting == 0 { String::new() } else { format!("; {waiting} grants stay withheld") }
            ));
            Ok(())
        }
        Err(error) => {
            screen::error(&error, None);
            Err(Exit::Ours)
        }
    }
}

fn incomplete_exit(learned: &Learned) -> Exit {
    match learned.status.shell_code() {
        0 => Exit::Ours,
        code => Exit::Command(code),
    }
}

fn save(learned: &Learned, profile: &crate::profile::Profile) -> Result<ProfileFile, Exit> {
    profile_file::save(&learned.path, profile, learned.previous.as_ref()).map_err(|error| {
        screen::error(&error, hints::profile_file(&error).as_deref());
        Exit::Ours
    })
}

/// Asks, or takes what the flag says. `None`: not approved; else how it was.
fn settle(profile: &mut crate::profile::Profile, accept: Option<Accept>) -> Option<&'static str> {
    let waiting = approve::pending(profile);
    match accept {
        Some(Accept::All) => {
            waiting.iter().for_each(|item| item.grant(profile));
            Some("--accept-learned=all")
        }
        Some(Accept::Own) => {
            let own: Vec<&Pending> = waiting.iter().filter(|item| item.scope(profile) == Scope::Own).collect();
            own.into_iter().for_each(|item| item.grant(profile));
            Some("--accept-learned=own")
        }
        None if screen::can_ask() => ask(profile, &waiting).then_some("asked"),
        None => None,
    }
}

/// One question for the whole, and one for each grant that the whole does not cover.
pub(super) fn ask(profile: &mut crate::profile::Profile, waiting: &[Pending]) -> bool {
    let (own, asked): (Vec<_>, Vec<_>) = waiting.iter().partition(|item| item.scope(profile) == Scope::Own);
    for item in &own {
        screen::say(format!("  with it: {}: {}", item.line(), item.meaning()));
    }
    if !screen::ask("Approve this profile on this machine?") {
        return false;
    }
    own.into_iter().for_each(|item| item.grant(profile));
    for item in asked {
        screen::say(format!("  {}: {}", paint(&item.line(), Colour::Yellow), item.meaning()));
        if screen::ask("  Grant this too?") {
            item.grant(profile);
        }
    }
    true
}

fn summary(learned: &Learned, reduced: &Reduced) {
    screen::say(format!(
        "\n{} {} events, {} files, {} programs in {:.1} s; exit {}",
        paint("learned:", Colour::Bold),
        learned.tally.events,
        learned.tally.files,
        learned.tally.images,
        learned.elapsed.as_secs_f64(),
        learned.status.shell_code()
    ));
    screen::say(show::text(&reduced.profile));
    for note in &reduced.notes {
        screen::say(format!("{} {note}", paint("note:", Colour::Cyan)));
    }
    screen::say(format!(
        "Made from {} run{}. How likely the next run needs more is not known.\n",
        reduced.runs,
        if reduced.runs == 1 { "" } else { "s" }
    ));
}

fn say_no_profile(why: &NoProfile, learned: &Learned) {
    let trace = learned.trace.display();
    match why {
        NoProfile::Failed(status) => screen::say(format!(
            "pinfold: no profile was written: the command ended with {}; its trace is {trace}\n{} mend the command and run it again, or learn from the failure with `pinfold learn --even-if-failed`",
            status.shell_code(),
            paint("hint:", Colour::Cyan)
        )),
        NoProfile::Incomplete(gaps) => {
            screen::say(format!("pinfold: no profile was written: the run is incomplete; its trace is {trace}"));
            for gap in gaps.iter().take(8) {
                screen::say(format!("  {}", gap_text(gap)));
            }
        }
    }
}

pub(super) fn gap_text(gap: &Gap) -> String {
    match gap {
        Gap::UnreadablePath { call } => format!("a path that was passed to {call} could not be read"),
        Gap::Unresolved { call, path } => {
            format!("where {call} went with `{}` could not be told", escape::terminal(path.as_bytes()))
        }
        Gap::Flood { cap } => format!("more than {cap} facts: what came after was not recorded"),
        Gap::LostTask => "a process could not be followed".to_owned(),
        Gap::Environment => "the names of the variables of a program could not be read".to_owned(),
        Gap::Interrupted { signal } => format!("it was interrupted by signal {signal}"),
        Gap::Timeout => "it was ended at its time limit".to_owned(),
    }
}
