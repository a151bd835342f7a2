//! `pinfold enforce`: what is in force, then the command, then what was refused.

use crate::plan::{MountStep, Nesting, Network, Plan, explain};
use crate::run::enforce::{EnforceError, EnforceRequest, Prepared, enforce, prepare};
use crate::run::surroundings::Surroundings;
use crate::sandbox::limits::Held;

use super::arguments::EnforceArguments;
use super::exit::Exit;
use super::learn::{bytes, surroundings};
use super::screen::{self, Colour, paint};
use super::{dry_run, hints, report};

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
    };
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
    let enforced = match enforce(surroundings, &prepared, |held| limits(held, quiet), |_| {}) {
        Ok(enforced) => enforced,
        Err(error) => return fail(&error),
    };
    for denial in &enforced.denials {
        screen::say(format!("{} {}", paint("refused:", Colour::Red), hints::denial(denial)));
    }
    for path in &enforced.planted {
        screen::warn(format!("`{path}` is new, and your machine runs or obeys it outside the sandbox: look at it"));
    }
    for (path, error) in &enforced.lost {
        screen::warn(format!("`{path}` was changed inside and could not be written back: {error}"));
    }
    for reached in &enforced.reached {
        screen::say(format!("{} {}", paint("limit:", Colour::Red), hints::reached(reached)));
    }
    if let Err(error) = &enforced.recorded {
        screen::warn(format!("this run counts for nothing: {}", screen::chain(error)));
    }
    if let Some(path) = &arguments.places.report
        && let Err(error) = report::enforced(path, &prepared, &enforced)
    {
        screen::error(&error, None);
        return Exit::Ours;
    }
    Exit::Command(enforced.status.shell_code())
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
            filter.calls.values().filter(|action| **action == crate::plan::Action::Allow).count(),
            match network {
                Network::None => "no network",
                Network::Host => "network unconfined",
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

/// What holds the limits, in one line; nothing where there are none.
fn limits(held: &[Held], quiet: bool) {
    if !quiet && !held.is_empty() {
        let held: Vec<String> = held.iter().map(ToString::to_string).collect();
        screen::say(format!("pinfold: limits: {}", held.join("; ")));
    }
}
