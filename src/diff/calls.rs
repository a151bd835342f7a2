//! System calls and the arguments that are ruled, as the filter of a plan understands them.

use std::collections::BTreeSet;

use crate::profile::Profile;
use crate::profile::emit::quote;
use crate::vocab::argument_words::{NESTING, NESTING_SOCKETS, PAIR_KINDS, ioctl_command, socket_kinds};
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::{Class, IOCTLS, IOCTLS_REFUSED, row};

use super::codes::{Code, Fill};
use super::{Found, Piece, Said, Subject};

pub(super) fn compare(old: &Profile, new: &Profile, found: &mut Found) {
    base(old, new, found);
    let listed: BTreeSet<Syscall> = old.syscalls.allow.union(&new.syscalls.allow).copied().collect();
    for call in listed {
        // One change of the base set says it for all its calls.
        if row(call).class == Class::Base && old.syscalls.base != new.syscalls.base {
            continue;
        }
        let risk = row(call).risk;
        let said = || Said {
            fill: Fill { name: call.name(), ..Fill::default() },
            risk: Some(risk),
            subject: Some(Subject::Call(call)),
            line: quote(call.name()),
            ..Said::default()
        };
        // What a sandbox within needs is told by the change that allows that.
        match (does_anything(old, call), does_anything(new, call)) {
            (false, true) if !by_itself(new, call) => {}
            (true, false) if !by_itself(old, call) => {}
            (false, true) if risk >= 4 => found.add(Code::DangerousCallAllowed, said()),
            (false, true) => found.add(Code::CallAllowed, said()),
            (true, false) => found.add(Code::CallWithdrawn, said()),
            (false, false) if new.syscalls.allow.contains(&call) && !old.syscalls.allow.contains(&call) => {
                found.add(Code::CallWaits, said());
            }
            _ => {}
        }
    }
    device_commands(old, new, found);
    sockets(old, new, found);
}

fn base(old: &Profile, new: &Profile, found: &mut Found) {
    let code = match new.syscalls.base.cmp(&old.syscalls.base) {
        std::cmp::Ordering::Equal => return,
        std::cmp::Ordering::Greater => Code::BaseRaised,
        std::cmp::Ordering::Less => Code::BaseLowered,
    };
    let number = |number: u32| vec![Piece::Words(number.to_string())];
    let fill = Fill { old: number(old.syscalls.base), new: number(new.syscalls.base), ..Fill::default() };
    found.add(code, Said { fill, line: "base".to_owned(), ..Said::default() });
}

fn nests(profile: &Profile, call: Syscall) -> bool {
    profile.nested_sandbox && NESTING.contains(&call.name())
}

/// Whether the lists allow it, whatever a sandbox within needs.
fn by_itself(profile: &Profile, call: Syscall) -> bool {
    let row = row(call);
    let listed = profile.syscalls.allow.contains(&call);
    (row.class == Class::Base && profile.syscalls.base > 0)
        || (listed && (row.risk < 4 || profile.syscalls.approved.contains(&call)))
}

fn allowed(profile: &Profile, call: Syscall) -> bool {
    by_itself(profile, call) || nests(profile, call)
}

/// Whether it is allowed with any arguments at all: socket(2) without a kind is not.
fn does_anything(profile: &Profile, call: Syscall) -> bool {
    allowed(profile, call) && (call.name() != "socket" || !sockets_of(profile).single.is_empty())
}

/// The numbers that ioctl(2) may have; `None`: all but the refused ones.
fn commands(profile: &Profile, call: Syscall) -> Option<BTreeSet<Value>> {
    let listed = profile.syscalls.arguments.get(&call)?;
    let base = IOCTLS.iter().map(|(number, _)| Value::Command(*number));
    Some(base.chain(listed.iter().filter_map(|word| command(word))).collect())
}

/// A value of an argument. A word that the plan does not understand stops the start, and is compared as it is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Command(u32),
    /// Domain, type, protocol.
    Socket([u32; 3]),
    Unknown(String),
}

fn command(word: &str) -> Option<Value> {
    match ioctl_command(word) {
        Some(number) if IOCTLS_REFUSED.iter().any(|(refused, _)| *refused == number) => None,
        Some(number) => Some(Value::Command(number)),
        None => Some(Value::Unknown(word.to_owned())),
    }
}

fn device_commands(old: &Profile, new: &Profile, found: &mut Found) {
    let Some(call) = Syscall::from_name("ioctl") else { return };
    // Where the call itself comes or goes, that says it.
    if !allowed(old, call) || !allowed(new, call) {
        return;
    }
    let subject = || Some(Subject::Call(call));
    match (commands(old, call), commands(new, call)) {
        (None, None) => {}
        (Some(_), None) => {
            found.add(Code::DeviceCommandsUnruled, Said { subject: subject(), ..Said::default() });
        }
        (None, Some(_)) => {
            let line = "ioctl".to_owned();
            found.add(Code::DeviceCommandsRuled, Said { subject: subject(), line, ..Said::default() });
        }
        (Some(before), Some(after)) => {
            for (code, from, to, profile) in [
                (Code::DeviceCommandAllowed, &before, &after, new),
                (Code::DeviceCommandWithdrawn, &after, &before, old),
            ] {
                let gained =
                    |word: &&String| command(word).is_some_and(|value| to.contains(&value) && !from.contains(&value));
                for word in profile.syscalls.arguments.get(&call).into_iter().flatten().filter(gained) {
                    let fill = Fill { name: word, ..Fill::default() };
                    found.add(code, Said { fill, subject: subject(), line: quote(word), ..Said::default() });
                }
            }
        }
    }
}

fn kinds(word: &str) -> Vec<Value> {
    socket_kinds(word)
        .map_or_else(|| vec![Value::Unknown(word.to_owned())], |kinds| kinds.into_iter().map(Value::Socket).collect())
}

/// The kinds that socket(2) and socketpair(2) may have.
#[derive(Default)]
struct Kinds {
    single: BTreeSet<Value>,
    pair: BTreeSet<Value>,
}

fn sockets_of(profile: &Profile) -> Kinds {
    let mut all = Kinds::default();
    let [Some(socket), Some(pair)] = ["socket", "socketpair"].map(Syscall::from_name) else { return all };

    let words = |call: Syscall| profile.syscalls.arguments.get(&call).into_iter().flatten().map(String::as_str);
    let shared: Vec<&str> =
        words(socket).chain(NESTING_SOCKETS.iter().copied().filter(|_| profile.nested_sandbox)).collect();
    if allowed(profile, socket) {
        all.single.extend(shared.iter().flat_map(|word| kinds(word)));
    }
    if allowed(profile, pair) {
        all.pair.extend(shared.into_iter().chain(words(pair)).chain(PAIR_KINDS).flat_map(kinds));
    }
    all
}

fn sockets(old: &Profile, new: &Profile, found: &mut Found) {
    let [Some(socket), Some(pair)] = ["socket", "socketpair"].map(Syscall::from_name) else { return };
    for (code, profile, other) in [(Code::SocketAllowed, new, old), (Code::SocketWithdrawn, old, new)] {
        let (own, others) = (sockets_of(profile), sockets_of(other));
        let mut told = BTreeSet::new();
        for call in [socket, pair] {
            for word in profile.syscalls.arguments.get(&call).into_iter().flatten() {
                let gained = kinds(word).into_iter().any(|kind| {
                    (own.single.contains(&kind) && !others.single.contains(&kind))
                        || (own.pair.contains(&kind) && !others.pair.contains(&kind))
                });
                if gained && told.insert(word) {
                    let fill = Fill { name: word, ..Fill::default() };
                    let said = Said { fill, risk: Some(risk(word)), line: quote(word), ..Said::default() };
                    found.add(code, Said { subject: Some(Subject::Call(call)), ..said });
                }
            }
        }
    }
}

/// By the parts of the kernel that such a socket reaches.
fn risk(word: &str) -> u8 {
    let mut words = word.split(' ');
    match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
        ("unix", _) | ("inet" | "inet6", "stream" | "datagram") => 2,
        // Packets of one's own making; or the addresses and routes of a network that is empty.
        ("netlink", _) | ("inet" | "inet6", _) => 3,
        _ => 4,
    }
}
