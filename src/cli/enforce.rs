//! `pinfold enforce`: what is in force, then the command, then what was refused.

use crate::plan::protect::RefusedWrites;
use crate::plan::{Action, MountStep, Nesting, Network, Plan, RootStyle, explain};
use crate::probe::changes::{Change, Changes, What};
use crate::run::enforce::{
    EnforceError, EnforceRequest, Enforced, Prepared, Started, Writes, enforce, ground, prepare,
};
use crate::run::refusals;
use crate::run::surroundings::Surroundings;
use crate::sandbox::Live;
use crate::store::{Store, StoreError};

use super::arguments::{EnforceArguments, Telling};
use super::denials::Log;
use super::exit::Exit;
use super::learn::{bytes, surroundings};
use super::screen::{self, Colour, paint};
use super::{changes, denials, dry_run, hints, report, review};

pub(super) fn run(arguments: &EnforceArguments) -> Exit {
    match surroundings(&arguments.places) {
        Ok(surroundings) => within(&surroundings, arguments),
        Err(exit) => exit,
    }
}

pub(super) fn within(surroundings: &Surroundings, arguments: &EnforceArguments) -> Exit {
    let request = EnforceRequest {
        command: bytes(&arguments.command),
        profile: arguments.places.profile.clone(),
        accept_digest: arguments.accept_digest.clone(),
        refused_writes: if arguments.telling.report_writes { RefusedWrites::Told } else { RefusedWrites::Untold },
        writes: if arguments.overlay { Writes::Layered } else { Writes::Through },
    };
    let ground = if arguments.dry_run { None } else { ground(surroundings) };
    let prepared = match prepare(surroundings, &request) {
        Ok(prepared) => prepared,
        Err(error) => return fail(&error),
    };
    if arguments.dry_run {
        let why = |step: &MountStep| explain::why(step, &prepared.file.profile, &surroundings.roots);
        let reasons: Option<&dyn Fn(&MountStep) -> String> = if arguments.explain { Some(&why) } else { None };
        let limits = match prepared.limits() {
            Ok(limits) => limits,
            Err(unheld) => return fail(&EnforceError::Start(unheld.into())),
        };
        return match screen::data(&dry_run::text(&prepared.plan, &limits, reasons)) {
            Ok(()) => Exit::Success,
            Err(_) => Exit::Trouble,
        };
    }
    announce(&prepared, arguments.places.quiet);
    let quiet = arguments.places.quiet;
    let (log, live) = match logged(&prepared, &arguments.telling) {
        Ok(logged) => logged,
        Err(error) => return fail(&error.into()),
    };
    let enforced = match enforce(surroundings, &prepared, ground, |started| begun(started, quiet), &live) {
        Ok(enforced) => enforced,
        Err(error) => return fail(&error),
    };
    for path in &enforced.planted {
        screen::warn(format!("`{path}` is new, and your machine runs or obeys it outside the sandbox: look at it"));
        if screen::can_ask()
            && screen::ask("  Remove it?")
            && let Err(error) = crate::run::changes::remove(path)
        {
            screen::error(&error, None);
        }
    }
    let told = |change: &Change| !enforced.planted.contains(&change.path);
    let changes =
        Changes { found: enforced.changes.found.iter().filter(|c| told(c)).cloned().collect(), ..enforced.changes };
    let said = changes::short(&changes);
    let matters = |change: &Change| !matches!(change.what, What::Executable | What::LeadsToRead { .. });
    if !said.is_empty() && (!quiet || changes.found.iter().any(matters)) {
        screen::say(format!("{} before you use what it wrote, look at:", paint("changed:", Colour::Yellow)));
        said.iter().for_each(|line| screen::say(format!("  {line}")));
        let name = prepared.file.path.display();
        screen::say(format!("{} `pinfold report --changes {name}` says all of it", paint("hint:", Colour::Cyan)));
    }
    hold(&enforced, arguments.hold_commands);
    for (path, error) in &enforced.lost {
        screen::warn(format!("`{path}` was changed inside and could not be written back: {error}"));
    }
    if enforced.unseen {
        screen::warn("files that were refused are not known: what served the root ended before the run did");
    }
    tell(&prepared, &enforced, surroundings, &arguments.telling, log.as_ref());
    if let Err(error) = &enforced.recorded {
        screen::warn(format!("this run counts for nothing: {}", screen::chain(error)));
    }
    if let Some(path) = &arguments.places.report
        && let Err(error) = report::enforced(path, &prepared, &enforced)
    {
        screen::error(&error, None);
        return Exit::Ours;
    }
    if let Some(held) = enforced.waiting {
        review::after(held, surroundings, &prepared.file.path);
    }
    Exit::Command(enforced.status.shell_code())
}

/// Changed commands are held back: all where that was asked for, else those that a person at the terminal does not want.
fn hold(enforced: &Enforced, all: bool) {
    for (path, before) in &enforced.before {
        let asked = || screen::can_ask() && screen::ask(&format!("  Put `{path}` back as it was before the run?"));
        if !all && !asked() {
            continue;
        }
        match crate::run::changes::hold(path, before) {
            Ok(held) => screen::say(format!(
                "pinfold: `{path}` is as it was before the run; what the run made of it is in `{}`",
                held.display()
            )),
            Err(error) => screen::warn(format!("`{path}` could not be put back: {error}")),
        }
    }
}

/// What was refused: said, kept, and logged where that was asked for. The run is over, so what fails here is no more than said.
fn tell(prepared: &Prepared, enforced: &Enforced, surroundings: &Surroundings, telling: &Telling, log: Option<&Log>) {
    let refusals = refusals::of(prepared, enforced);
    denials::say(&refusals, telling.denials, &prepared.file.path);
    let kept = refusals::record(prepared, enforced, refusals);
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid);
    if let Err(error) = store.and_then(|store| refusals::keep(&store, &prepared.file.path, &kept)) {
        screen::error(&error, None);
    }
    if let Some(log) = log
        && let Err(error) = log.finish(&kept.refusals)
    {
        screen::error(&error, None);
    }
}

/// The log that was asked for, and who writes to it while the run goes on. A log that cannot be written stops the start.
fn logged(prepared: &Prepared, telling: &Telling) -> Result<(Option<Log>, Live), StoreError> {
    let Some(path) = &telling.log else { return Ok((None, Live::default())) };
    let log = Log::open(path, &prepared.file.path, refusals::command(prepared))?;
    let live = log.live(&prepared.plan.roots)?;
    Ok((Some(log), live))
}

fn fail(error: &EnforceError) -> Exit {
    if let EnforceError::NotApproved { changes: Some(changes), .. } = error {
        screen::say("against what was approved last, the profile");
        screen::say(super::diff::text(changes, screen::Stream::Error).trim_end());
    }
    screen::error(error, hints::enforce(error).as_deref());
    hints::enforce_exit(error)
}

/// What is in force, in one line; what is unconfined or withheld always, each in a line of its own.
fn announce(prepared: &Prepared, quiet: bool) {
    let Plan { mounts, network, filter, landlock, .. } = &prepared.plan;
    if !quiet {
        screen::say(format!(
            "pinfold: enforcing {} ({} mounts, {} system calls, {}, {})",
            prepared.file.path.display(),
            mounts.len(),
            filter.calls.values().filter(|action| matches!(action, Action::Allow | Action::Mediate(_))).count(),
            match network {
                Network::None => "no network".to_owned(),
                Network::Named => format!("network by name{}", by_proxy(&prepared.plan)),
                Network::Host => "network unconfined".to_owned(),
            },
            landlock.as_ref().map_or_else(|| "no Landlock".to_owned(), |rules| format!("Landlock {}", rules.abi)),
        ));
    }
    if prepared.plan.nesting == Nesting::Allowed {
        screen::warn(
            "nested_sandbox: the command may make namespaces and mounts of its own; no Landlock stands behind the mounts",
        );
    }
    if let Some(why) = &prepared.plan.without_namespaces {
        screen::warn(format!(
            "no namespaces: {why}; the profile tolerates that, and Landlock and the filter stand alone:"
        ));
        for lost in prepared.plan.lost() {
            screen::say(format!("{} {lost}", paint("lost:", Colour::Yellow)));
        }
    } else if prepared.plan.root == RootStyle::Empty {
        untold("there is no /dev/fuse for this user");
    }
    if landlock.is_none() {
        screen::warn("the second wall is missing: this kernel has no Landlock, and the profile tolerates that");
    }
    if *network == Network::Host {
        screen::warn("the network is the host's, unconfined: any host, local services, abstract sockets");
    }
    for withheld in &prepared.plan.withheld {
        screen::say(format!("{} {}: {}", paint("withheld:", Colour::Yellow), withheld.line, withheld.why));
    }
}

/// The proxy by which a run reaches the outside, in words.
pub(super) fn by_proxy(plan: &Plan) -> String {
    let proxies = plan.policy.as_ref().and_then(|policy| policy.proxies.as_ref().ok());
    proxies.and_then(|proxies| proxies.proxy()).map_or_else(String::new, |proxy| format!(", through the proxy {proxy}"))
}

/// The root is as strict without its tripwire, and less telling.
fn untold(why: &str) {
    screen::warn(format!("files that are refused will not be named, and replaced files are copied in and back: {why}"));
}

/// What holds the limits, in one line; nothing where there are none. What is missing always.
fn begun(started: &Started<'_>, quiet: bool) {
    if let Some(error) = &started.untold {
        untold(&format!("no FUSE file system can be mounted here ({error})"));
    }
    if !quiet && !started.limits.is_empty() {
        let held: Vec<String> = started.limits.iter().map(ToString::to_string).collect();
        screen::say(format!("pinfold: limits: {}", held.join("; ")));
    }
}
