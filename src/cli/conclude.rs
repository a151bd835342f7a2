//! The end of learning on the screen: what was learned, one question, and what follows from the answer.

use std::time::Duration;

use crate::event::{ExitStatus, Gap, Tally};
use crate::profile::Profile;
use crate::profile::evidence::Evidence;
use crate::run::approve::{self, Pending, Scope, Word};
use crate::run::derive::{Derived, NoProfile, Reduced};
use crate::run::evidence;
use crate::run::profile_file::{self, ProfileFile};
use crate::run::surroundings::Surroundings;
use crate::store::Store;
use crate::vocab::escape;

use super::arguments::Accept;
use super::exit::Exit;
use super::screen::{self, Colour, paint};
use super::{confidence, hints, show};

/// A run as it was, for the first line.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) tally: &'a Tally,
    pub(super) elapsed: Duration,
    pub(super) status: ExitStatus,
}

/// How talkative the end is, and who says yes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub(super) quiet: bool,
    pub(super) accept: Option<Accept>,
}

/// Shows what came of a trace, asks, and writes what is to be written. `run`: where there was one just now.
pub(super) fn conclude(
    surroundings: &Surroundings,
    manner: Manner,
    derived: &Derived,
    run: Option<&Run<'_>>,
) -> Result<(), NotWritten> {
    let reduced = match &derived.result {
        Ok(reduced) => reduced,
        Err(why) => {
            say_no_profile(why, derived);
            return Err(if matches!(why, NoProfile::Failed(_)) { NotWritten::Failed } else { NotWritten::Trouble });
        }
    };
    let mut profile = reduced.profile.clone();
    if !manner.quiet {
        summary(run, reduced);
    }
    let how = settle(&mut profile, manner.accept);
    let file = save(derived, &profile).map_err(|_| NotWritten::Trouble)?;
    if let Err(error) = evidence::keep(surroundings, &file.path, &reduced.evidence) {
        screen::error(&error, None);
        return Err(NotWritten::Trouble);
    }
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
    match store.and_then(|store| approve::record(&store, surroundings, &file, &Word { how, ..Word::default() })) {
        Ok(()) => {
            let waiting = approve::pending(&profile).len();
            screen::say(format!(
                "pinfold: wrote and approved {} ({}){}",
                file.path.display(),
                file.digest,
                match waiting {
                    0 => String::new(),
                    1 => "; one grant stays withheld".to_owned(),
                    count => format!("; {count} grants stay withheld"),
                }
            ));
            Ok(())
        }
        Err(error) => {
            screen::error(&error, None);
            Err(NotWritten::Trouble)
        }
    }
}

/// Why there is no profile now, or none that is approved; said already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotWritten {
    /// The command failed: nothing else is wrong.
    Failed,
    /// Anything else.
    Trouble,
}

fn save(derived: &Derived, profile: &Profile) -> Result<ProfileFile, Exit> {
    profile_file::save(&derived.path, profile, derived.previous.as_ref()).map_err(|error| {
        screen::error(&error, hints::profile_file(&error).as_deref());
        Exit::Ours
    })
}

/// Asks, or takes what the flag says. `None`: not approved; else how it was.
fn settle(profile: &mut Profile, accept: Option<Accept>) -> Option<&'static str> {
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
        None if screen::can_ask() => ask(profile, &waiting, None).then_some("asked"),
        None => None,
    }
}

/// One question for the whole, and one for each grant that the whole does not cover.
pub(super) fn ask(profile: &mut Profile, waiting: &[Pending], evidence: Option<&Evidence>) -> bool {
    let asked = |item: &Pending| evidence.and_then(|evidence| item.asked(evidence));
    let say_asked = |item: &Pending| {
        if let Some(asked) = asked(item) {
            screen::say(format!("    {asked}"));
        }
    };
    let (own, others): (Vec<_>, Vec<_>) = waiting.iter().partition(|item| item.scope(profile) == Scope::Own);
    for item in &own {
        screen::say(format!("  with it: {}: {}", item.line(), item.meaning()));
        say_asked(item);
    }
    if !screen::ask("Approve this profile on this machine?") {
        return false;
    }
    own.into_iter().for_each(|item| item.grant(profile));
    for item in others {
        let risk = paint(&format!("risk {}", item.risk()), if item.risk() >= 4 { Colour::Red } else { Colour::Yellow });
        screen::say(format!("  {risk}  {}: {}", paint(&item.line(), Colour::Yellow), item.meaning()));
        say_asked(item);
        if screen::ask("  Grant this too?") {
            item.grant(profile);
        }
    }
    true
}

fn summary(run: Option<&Run<'_>>, reduced: &Reduced) {
    if let Some(Run { tally, elapsed, status }) = run {
        screen::say(format!(
            "\n{} {} events, {} files, {} programs in {:.1} s; exit {}",
            paint("learned:", Colour::Bold),
            tally.events,
            tally.files,
            tally.images,
            elapsed.as_secs_f64(),
            status.shell_code()
        ));
    }
    screen::say(show::text(&reduced.profile));
    for note in &reduced.notes {
        screen::say(format!("{} {note}", paint("note:", Colour::Cyan)));
    }
    if reduced.left_out > 0 {
        let count = reduced.left_out;
        screen::warn(format!("earlier runs that are incomplete or cannot be read do not count; there are {count}"));
    }
    screen::say(confidence::learned(&reduced.evidence) + "\n");
}

fn say_no_profile(why: &NoProfile, derived: &Derived) {
    let trace = derived.trace.display();
    let hint = paint("hint:", Colour::Cyan);
    match why {
        NoProfile::Failed(status) => screen::say(format!(
            "pinfold: no profile was written: the command ended with {}; its trace is {trace}\n{} mend the command and run it again, or learn from the failure with `pinfold learn --even-if-failed`",
            status.shell_code(),
            hint
        )),
        NoProfile::Worse => screen::say(format!(
            "pinfold: the profile {} stays: it was made from complete runs, and this one is incomplete; its trace is {trace}\n{hint} `-p FILE` writes a profile of this run elsewhere",
            derived.path.display()
        )),
        NoProfile::Incomplete(gaps) => {
            screen::say(format!("pinfold: no profile was written: the run is incomplete; its trace is {trace}"));
            for gap in gaps.iter().take(8) {
                screen::say(format!("  {}", gap_text(gap)));
            }
            screen::say(format!(
                "{hint} run it again; or make a profile of what was seen: `pinfold learn --from-trace {trace} --even-if-incomplete`"
            ));
        }
    }
}

pub(super) fn gap_text(gap: &Gap) -> String {
    match gap {
        Gap::UnreadablePath { call } => format!("a path that was passed to {call} could not be read"),
        Gap::Unresolved { call, path } => {
            format!("where {call} went with `{}` could not be told", escape::terminal(path.as_bytes()))
        }
        Gap::Flood { cap } => {
            format!("more than {cap} facts, or longer names than they may have: what came after was not recorded")
        }
        Gap::LostTask => "a process could not be followed".to_owned(),
        Gap::Environment => "the names of the variables of a program could not be read".to_owned(),
        Gap::Interrupted { signal } => format!("it was interrupted by signal {signal}"),
        Gap::Imported { unread: 0 } => "it is from the log of another tool, which does not tell everything".to_owned(),
        Gap::Imported { unread } => {
            format!("it is from the log of another tool, of which {unread} lines or calls were not understood")
        }
        Gap::Timeout => "it was ended at its time limit".to_owned(),
    }
}
