//! What the agent is given: variables, secrets, and how much of the machine.

use std::collections::BTreeMap;

use crate::profile::emit::quote;
use crate::profile::{Delivery, Limits, Profile, Secret, SecretSource};
use crate::vocab::variables;

use super::codes::{Code, Fill};
use super::lines::quoted_command;
use super::{Found, Piece, Said, Subject};

pub(super) fn compare(old: &Profile, new: &Profile, found: &mut Found) {
    let (before, after) = (channels(old), channels(new));
    for (name, channel) in &after {
        match before.get(name) {
            Some(old) if old.from == channel.from => handed(name, old, channel, found),
            _ => gained(name, channel, found),
        }
    }
    for (name, channel) in &before {
        if after.get(name).is_none_or(|after| after.from != channel.from) {
            lost(name, channel, found);
        }
    }
    for (name, secret) in new.secrets.iter().filter(|(_, secret)| !secret.approved) {
        let waited = old.secrets.get(name).is_some_and(|before| before.from == secret.from && before.to == secret.to);
        let given = before.get(name.as_str()).is_some_and(|before| *before.from == secret.from);
        if !waited && !given {
            let risk = if matches!(secret.from, SecretSource::Command(_)) { 4 } else { 3 };
            let mut said = said(name);
            said.fill.new = source(&secret.from);
            found.add(Code::SecretWaits, Said { risk: Some(risk), ..said });
        }
    }
    limits(&old.limits, &new.limits, found);
}

/// How a value comes to be in a variable.
struct Channel<'a> {
    from: &'a SecretSource,
    to: &'a Delivery,
    /// Named under `pass`.
    passed: bool,
}

fn channels(profile: &Profile) -> BTreeMap<&str, Channel<'_>> {
    let pass = |name| (name, Channel { from: &SecretSource::Env, to: &Delivery::Variable, passed: true });
    let mut channels: BTreeMap<_, _> = profile.environment.iter().map(String::as_str).map(pass).collect();
    // A secret that is not approved hides no variable of its name.
    for (name, Secret { from, to, .. }) in profile.secrets.iter().filter(|(_, secret)| secret.approved) {
        channels.insert(name, Channel { from, to, passed: false });
    }
    channels
}

fn said(name: &str) -> Said<'_> {
    Said {
        fill: Fill { name, ..Fill::default() },
        subject: Some(Subject::Variable(name.to_owned())),
        line: quote(name),
        ..Said::default()
    }
}

/// A name as in files.
fn named(name: &str, found: impl FnOnce(Said<'_>)) {
    let quoted = quote(name);
    let bare = quoted.trim_matches('"');
    found(Said { fill: Fill { name: bare, ..Fill::default() }, ..said(name) });
}

fn gained(name: &str, channel: &Channel<'_>, found: &mut Found) {
    let code = match channel.from {
        SecretSource::Command(_) => Code::SecretFromCommand,
        _ if variables::is_powerful(name) => Code::PowerfulVariablePassed,
        _ if !channel.passed => Code::SecretGiven,
        _ if variables::names_a_secret(name.as_bytes()) => Code::SecretVariablePassed,
        _ => Code::VariablePassed,
    };
    named(name, |mut said| {
        said.fill.new = source(channel.from);
        found.add(code, said);
    });
}

fn lost(name: &str, channel: &Channel<'_>, found: &mut Found) {
    let code = if channel.passed { Code::VariableWithdrawn } else { Code::SecretWithdrawn };
    named(name, |mut said| {
        said.fill.old = source(channel.from);
        said.line.clear();
        found.add(code, said);
    });
}

fn handed(name: &str, old: &Channel<'_>, new: &Channel<'_>, found: &mut Found) {
    let code = match reach(new.to).cmp(&reach(old.to)) {
        std::cmp::Ordering::Equal => return,
        std::cmp::Ordering::Greater => Code::SecretHandedWider,
        std::cmp::Ordering::Less => Code::SecretHandedNarrower,
    };
    named(name, |mut said| {
        (said.fill.old, said.fill.new) = (way(old.to), way(new.to));
        found.add(code, said);
    });
}

/// How many see it.
fn reach(to: &Delivery) -> u8 {
    match to {
        Delivery::Descriptor => 0,
        Delivery::File(_) => 1,
        Delivery::Variable => 2,
    }
}

fn way(to: &Delivery) -> Vec<Piece> {
    let words = match to {
        Delivery::Descriptor => "a descriptor",
        Delivery::File(_) => "a file in memory",
        Delivery::Variable => "the value of a variable",
    };
    vec![Piece::Words(words.to_owned())]
}

fn source(from: &SecretSource) -> Vec<Piece> {
    let words = |words: &str| Piece::Words(words.to_owned());
    match from {
        SecretSource::Env => vec![words("your environment")],
        SecretSource::File(place) => vec![words("the file "), Piece::Name(place.to_string())],
        SecretSource::Descriptor(number) => vec![words(&format!("the descriptor {number}"))],
        SecretSource::Command(command) => vec![words("the command "), Piece::Name(quoted_command(command))],
    }
}

fn limits(old: &Limits, new: &Limits, found: &mut Found) {
    let bytes = |limits: &Limits| {
        [
            ("memory", limits.memory.map(|value| (value.0, value.to_string()))),
            ("processes", limits.processes.map(|value| (value.into(), value.to_string()))),
            ("cpu", limits.cpu.map(|value| (value.0.into(), value.to_string()))),
            ("file-size", limits.file_size.map(|value| (value.0, value.to_string()))),
            // Without one of their own, private directories hold as much as there is memory.
            ("disk", limits.private_bytes().map(|value| (value.0, value.to_string()))),
            ("io", limits.io.map(|value| (value.0.0, value.to_string()))),
        ]
    };
    let is_soft = |limits: &Limits, name: &str| limits.soft.iter().any(|limit| limit.key() == name);
    let soft = |name| (is_soft(old, name), is_soft(new, name));
    for ((name, old), (_, new)) in bytes(old).into_iter().zip(bytes(new)) {
        let code = match (&old, &new) {
            // What may be left out is more than any number.
            (Some(_), Some(_)) if soft(name) == (false, true) => Code::LimitRaised,
            (None, None) => continue,
            (Some(_), None) => Code::LimitRemoved,
            (None, Some(_)) => Code::LimitSet,
            (Some((old, _)), Some((new, _))) => match new.cmp(old) {
                std::cmp::Ordering::Equal if soft(name) == (true, false) => Code::LimitLowered,
                std::cmp::Ordering::Equal => continue,
                std::cmp::Ordering::Greater => Code::LimitRaised,
                std::cmp::Ordering::Less => Code::LimitLowered,
            },
        };
        let words = |value: Option<(u64, String)>, soft: bool| {
            let or = if soft { " (or none, where nothing holds it)" } else { "" };
            value.map(|(_, text)| Piece::Words(text + or)).into_iter().collect()
        };
        let fill = Fill { name, old: words(old, soft(name).0), new: words(new, soft(name).1), ..Fill::default() };
        found.add(code, Said { fill, line: name.to_owned(), ..Said::default() });
    }
}
