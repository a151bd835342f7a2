//! Variables: which are passed on, which are secrets, which lead out of the sandbox.

use std::collections::BTreeSet;

use crate::event::Fact;
use crate::profile::{Profile, Secret, SecretSource};
use crate::trace::Trace;

use super::Note;

/// Variables that lead to something with power over the session, or into every program's start.
const LEAD_OUT: &[&str] = &[
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "DOCKER_HOST",
    "GPG_AGENT_INFO",
    "GNOME_KEYRING_CONTROL",
    "SSH_AGENT_PID",
    "SSH_AUTH_SOCK",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
];

/// What a shell sets for itself; a program that needs it is started by one inside.
const OF_THE_SHELL: &[&str] = &["OLDPWD", "SHLVL", "_"];

pub(super) fn add(profile: &mut Profile, trace: &Trace, notes: &mut BTreeSet<Note>) {
    // What the first program was started with: what others see was made by programs inside.
    let first: BTreeSet<_> = trace
        .events
        .iter()
        .filter(|event| matches!(&event.fact, Fact::Image(image) if image.parent.is_none()))
        .map(|event| event.image)
        .collect();
    for event in trace.events.iter().filter(|event| first.contains(&event.image)) {
        let Fact::Environment { names, credentials } = &event.fact else { continue };
        for name in names {
            if LEAD_OUT.contains(&name.as_str()) || name.starts_with("LD_") || name.starts_with("SUDO_") {
                notes.insert(Note::Variable(name.clone()));
            } else if OF_THE_SHELL.contains(&name.as_str()) {
                continue;
            } else if credentials.contains(name) {
                let secret = Secret { from: SecretSource::Env, approved: false };
                profile.secrets.insert(name.clone(), secret);
            } else {
                profile.environment.insert(name.clone());
            }
        }
    }
}
