//! Profile → [`FilterSpec`] of an enforced run.
//!
//! Allowed are the base set and what the profile lists; calls of risk 4 only if they are marked approved. Everything else is
//! handed to the supervisor, which names it and answers the errno of the table. What learning refuses by argument is refused
//! here by the same rules, so that the two plans give a program the same answers.

use std::collections::BTreeMap;

use crate::profile::Profile;
use crate::vocab::argument_words::{NESTING, NESTING_SOCKETS, PAIR_KINDS, ioctl_command, socket_kinds};
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::{Class, IOCTLS, rows};

use super::error::PlanError;
use super::observe::refusals;
use super::{Action, Condition, FilterSpec, Rule, Test, Width};

/// The bits of a socket's type that are its type; the others are flags (SOCK_CLOEXEC, SOCK_NONBLOCK).
const SOCKET_TYPE_MASK: u64 = 0xf;

/// The filter of `profile`.
///
/// # Errors
///
/// When a value among the arguments is no value that this version knows: it would otherwise be silently withheld.
pub fn filter(profile: &Profile) -> Result<FilterSpec, PlanError> {
    if profile.nested_sandbox {
        return nested(profile);
    }
    allowed(profile)
}

/// The filter of a profile that allows a sandbox within: as if it listed these calls with a person's word for each, with a
/// few sockets, and without the rule on new namespaces.
fn nested(profile: &Profile) -> Result<FilterSpec, PlanError> {
    let mut profile = profile.clone();
    let calls: Vec<Syscall> = NESTING.iter().filter_map(|name| Syscall::from_name(name)).collect();
    profile.syscalls.allow.extend(calls.iter().copied());
    profile.syscalls.approved.extend(calls);
    if let Some(socket) = Syscall::from_name("socket") {
        let kinds = NESTING_SOCKETS.map(str::to_owned);
        profile.syscalls.arguments.entry(socket).or_default().extend(kinds);
    }
    let mut spec = allowed(&profile)?;
    if let Some(clone) = Syscall::from_name("clone") {
        spec.rules.remove(&clone);
    }
    Ok(spec)
}

fn allowed(profile: &Profile) -> Result<FilterSpec, PlanError> {
    let calls = rows().map(|(call, row)| {
        let listed = profile.syscalls.allow.contains(&call);
        let approved = row.risk < 4 || profile.syscalls.approved.contains(&call);
        let action = match row.class {
            Class::Base if profile.syscalls.base > 0 => Action::Allow,
            _ if listed && approved => Action::Allow,
            Class::Absent => Action::Refuse(row.refused),
            Class::Base | Class::Learned | Class::Floor => Action::Report(row.refused),
        };
        (call, action)
    });
    // The map is ordered by name, which is no field of a call: sorted by names that are looked up once, it is made in one go.
    let mut calls: Vec<_> = calls.map(|(call, action)| (call.name(), call, action)).collect();
    calls.sort_unstable_by_key(|(name, ..)| *name);
    let mut spec = FilterSpec {
        calls: calls.into_iter().map(|(_, call, action)| (call, action)).collect(),
        default: Action::Report(libc_enosys()),
        unknown: Action::Refuse(libc_enosys()),
        rules: refusals(Action::Report),
    };
    let values = |name: &str| {
        let call = Syscall::from_name(name)?;
        Some((call, profile.syscalls.arguments.get(&call)))
    };
    let known = ["ioctl", "socket", "socketpair"];
    if let Some(call) = profile.syscalls.arguments.keys().find(|call| !known.contains(&call.name())) {
        return Err(PlanError::Arguments { call: *call });
    }
    // Without a list of its own a profile allows every device command but those that are refused by name: which ones a
    // program uses depends on the terminal and the files that it happens to have.
    if let Some((call, Some(values))) = values("ioctl") {
        let mut commands: Vec<u32> = IOCTLS.iter().map(|(command, _)| *command).collect();
        for value in values {
            commands.push(ioctl_command(value).ok_or_else(|| PlanError::Value { call, value: value.clone() })?);
        }
        // The rules narrow a call that is allowed; they do not allow it.
        if spec.calls.get(&call) == Some(&Action::Allow) {
            let commands = commands.into_iter().map(|command| vec![equal(1, u64::from(u32::MAX), command)]);
            allow_only(&mut spec.rules, call, commands);
            // What a device does not know it refuses with ENOTTY: programs expect no other answer.
            spec.calls.insert(call, Action::Report(ENOTTY));
        }
    }
    for name in ["socket", "socketpair"] {
        let Some((call, own)) = values(name) else { continue };
        if spec.calls.get(&call) != Some(&Action::Allow) {
            continue;
        }
        // A pair is of the same kinds as a single socket.
        let shared = if name == "socketpair" { values("socket").and_then(|(_, values)| values) } else { None };
        let mut allowed = Vec::new();
        let pair = (name == "socketpair").then(|| PAIR_KINDS.map(str::to_owned));
        let listed = own.into_iter().flatten().chain(shared.into_iter().flatten()).cloned();
        for value in pair.into_iter().flatten().chain(listed) {
            allowed.extend(socket(&value).ok_or_else(|| PlanError::Value { call, value: value.clone() })?);
        }
        allow_only(&mut spec.rules, call, allowed);
        spec.calls.insert(call, Action::Report(EAFNOSUPPORT));
    }
    Ok(spec)
}

const ENOTTY: i32 = 25;
const EAFNOSUPPORT: i32 = 97;

const fn libc_enosys() -> i32 {
    38
}

fn allow_only(
    rules: &mut BTreeMap<Syscall, Vec<Rule>>,
    call: Syscall,
    allowed: impl IntoIterator<Item = Vec<Condition>>,
) {
    let rules = rules.entry(call).or_default();
    rules.extend(allowed.into_iter().map(|conditions| Rule { conditions, action: Action::Allow }));
}

fn equal(argument: u8, mask: u64, value: u32) -> Condition {
    Condition { argument, width: Width::Word, mask, value: u64::from(value), test: Test::Equal }
}

/// A kind of socket as conditions on its arguments.
fn socket(value: &str) -> Option<Vec<Vec<Condition>>> {
    let all = u64::from(u32::MAX);
    let conditions = |[domain, kind, protocol]: [u32; 3]| {
        vec![equal(0, all, domain), equal(1, SOCKET_TYPE_MASK, kind), equal(2, all, protocol)]
    };
    Some(socket_kinds(value)?.into_iter().map(conditions).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::mounts::tests::empty;
    use crate::vocab::syscall_table::row;

    fn call(name: &str) -> Syscall {
        Syscall::from_name(name).unwrap()
    }

    #[test]
    fn an_empty_profile_allows_the_base_set_and_nothing_else() {
        let spec = filter(&empty()).unwrap();
        for call in Syscall::all() {
            let ruled = ["socket", "socketpair"].contains(&call.name());
            let allowed = spec.calls[&call] == Action::Allow;
            assert_eq!(allowed, row(call).class == Class::Base && !ruled, "{call}");
        }
    }

    #[test]
    fn base_0_allows_nothing_that_is_not_listed() {
        let mut profile = empty();
        profile.syscalls.base = 0;
        profile.syscalls.allow.insert(call("read"));
        profile.syscalls.arguments.insert(call("ioctl"), ["TCGETS".to_owned()].into());
        let spec = filter(&profile).unwrap();
        let allowed: Vec<_> = spec.calls.iter().filter(|(_, action)| **action == Action::Allow).collect();
        assert_eq!(allowed, [(&call("read"), &Action::Allow)]);
        let allows = |rule: &Rule| rule.action == Action::Allow;
        assert!(!spec.rules.values().flatten().any(allows), "a list of arguments allows no call");
    }

    #[test]
    fn a_call_of_risk_4_needs_its_approval() {
        let mut profile = empty();
        profile.syscalls.allow.insert(call("ptrace"));
        assert_eq!(filter(&profile).unwrap().calls[&call("ptrace")], Action::Report(1));
        profile.syscalls.approved.insert(call("ptrace"));
        assert_eq!(filter(&profile).unwrap().calls[&call("ptrace")], Action::Allow);
    }

    #[test]
    fn a_value_that_is_not_understood_stops_the_plan() {
        let mut profile = empty();
        profile.syscalls.arguments.insert(call("socket"), ["inet5 stream".to_owned()].into());
        assert!(matches!(filter(&profile), Err(PlanError::Value { .. })));
    }

    #[test]
    fn words_of_sockets_are_read_as_they_are_written() {
        for (domain, kind, protocol) in [(1, 1, 0), (2, 2, 17), (16, 3, 0), (10, 1, 6)] {
            let word = crate::vocab::syscall_table::socket_word(domain, kind, protocol);
            assert!(socket(&word).is_some(), "{word}");
        }
    }
}
