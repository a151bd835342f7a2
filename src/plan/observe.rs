//! The filter of a learning run: what is stopped, what passes unseen, what even learning refuses.
//!
//! Derived from the table of calls alone. Invariant: whatever is not of the base set is stopped, so a call that a run did
//! not record was not made; whatever is on the floor is refused with the errno that enforcement answers.

use std::collections::BTreeMap;

use crate::vocab::argument_words::{FCNTL, WRITE_EXECUTE};
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::{CLONE_NAMESPACES, Class, IOCTLS, IOCTLS_REFUSED, rows};

use super::{Action, Condition, Desk, FilterSpec, Rule, Test, Width};

/// S_ISUID and S_ISGID.
const SET_ID: u64 = 0o6000;
/// O_CREAT and __O_TMPFILE (asm-generic/fcntl.h): with either the mode counts.
const MAKES: u64 = 0o100 | 0o20_000_000;
/// CLONE_UNTRACED (linux/sched.h): the child would be nobody's to see.
const UNTRACED: u64 = 0x0080_0000;
/// SECCOMP_SET_MODE_FILTER and SECCOMP_FILTER_FLAG_NEW_LISTENER (linux/seccomp.h).
const SET_MODE_FILTER: u64 = 1;
const NEW_LISTENER: u64 = 8;

/// The filter under which a program is learned. `exact` stops at every call; otherwise the harmless hot ones pass.
pub fn filter(exact: bool) -> FilterSpec {
    let calls = rows()
        .map(|(call, row)| {
            let action = match row.class {
                Class::Floor | Class::Absent => Action::TraceRefuse(row.refused),
                // Nothing is to be learned of an end, and a return from a signal must not be touched.
                Class::Base if matches!(row.name, "rt_sigreturn" | "exit" | "exit_group") => Action::Allow,
                Class::Base if !row.watched && !exact => Action::Allow,
                Class::Base | Class::Learned => Action::Trace,
            };
            (call, action)
        })
        .collect();
    FilterSpec {
        calls,
        default: Action::TraceRefuse(libc::ENOSYS),
        unknown: Action::TraceRefuse(libc::ENOSYS),
        rules: rules(exact),
    }
}

/// Hands `calls` to `desk` in a learning run. One call gets one action of a filter, and these need two: the tracer's look,
/// and the desk. So each is stopped for the tracer first, which puts `token` into the sixth argument register; the kernel
/// asks the filter again with the changed registers (seccomp(2), Linux 4.8), and then the call is the desk's. None of them
/// has a sixth argument; the tracer restores the register at the end of the call.
pub fn hand_over(spec: &mut FilterSpec, calls: &[Syscall], desk: Desk, token: u64) {
    for call in calls {
        let conditions = vec![Condition { value: token, ..double(TOKEN_ARGUMENT, Test::Equal, 0) }];
        let rules = spec.rules.entry(*call).or_default();
        // What is refused is refused whatever the register holds: a program may guess.
        let behind = rules.iter().take_while(|rule| matches!(rule.action, Action::TraceRefuse(_))).count();
        rules.insert(behind, Rule { conditions, action: Action::Mediate(desk) });
    }
}

/// The argument register, from 0, that says that the tracer has looked at a call.
const TOKEN_ARGUMENT: u8 = 5;

/// Rules on arguments that hold in every plan: [`refusals`], and what is too hot and too harmless to stop at.
fn rules(exact: bool) -> BTreeMap<Syscall, Vec<Rule>> {
    let mut rules = refusals(Action::TraceRefuse);
    if !exact {
        for (name, condition) in worth_a_stop() {
            if let Some(call) = Syscall::from_name(name) {
                rules.entry(call).or_default().push(Rule { conditions: vec![condition], action: Action::Trace });
            }
        }
        let mut allow = |name: &str, conditions: Vec<Condition>| {
            if let Some(call) = Syscall::from_name(name) {
                rules.entry(call).or_default().push(Rule { conditions, action: Action::Allow });
            }
        };
        for (command, _) in IOCTLS {
            allow("ioctl", vec![word(1, u64::from(u32::MAX), Test::Equal, u64::from(*command))]);
        }
        // Without an address it goes where the socket is connected to, and that was seen.
        allow("sendto", vec![double(4, Test::Equal, 0)]);
    }
    rules
}

/// Values of arguments at which a call that passes unseen is stopped.
fn worth_a_stop() -> impl Iterator<Item = (&'static str, Condition)> {
    let memory = ["mmap", "mprotect", "pkey_mprotect"];
    let memory = memory.map(|name| (name, word(2, WRITE_EXECUTE, Test::Equal, WRITE_EXECUTE)));
    let commands =
        FCNTL.iter().map(|(command, _)| ("fcntl", word(1, u64::from(u32::MAX), Test::Equal, u64::from(*command))));
    memory.into_iter().chain(commands)
}

/// What is refused by its arguments, in learning and enforcement alike; `refuse` makes the action of an errno.
pub fn refusals(refuse: impl Fn(i32) -> Action) -> BTreeMap<Syscall, Vec<Rule>> {
    let mut rules: BTreeMap<Syscall, Vec<Rule>> = BTreeMap::new();
    let mut add = |name: &str, conditions: Vec<Condition>, errno: i32| {
        if let Some(call) = Syscall::from_name(name) {
            rules.entry(call).or_default().push(Rule { conditions, action: refuse(errno) });
        }
    };
    // One bit after the other: an allow-list of flags would break with every new harmless one.
    let bits = (0..64).map(|bit| 1u64 << bit).filter(|bit| CLONE_NAMESPACES & bit != 0);
    for bit in bits.chain([UNTRACED]) {
        add("clone", vec![word(0, bit, Test::Equal, bit)], libc::EPERM);
    }
    for (command, _) in IOCTLS_REFUSED {
        add("ioctl", vec![word(1, u64::from(u32::MAX), Test::Equal, u64::from(*command))], libc::EPERM);
    }
    for (name, mode) in [("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("fchmodat2", 2), ("creat", 1), ("mknod", 1)] {
        add(name, vec![word(mode, SET_ID, Test::NotEqual, 0)], libc::EPERM);
    }
    add("mknodat", vec![word(2, SET_ID, Test::NotEqual, 0)], libc::EPERM);
    // Where nothing is made the register of the mode is junk.
    for (name, flags) in [("open", 1), ("openat", 2)] {
        let conditions = vec![word(flags, MAKES, Test::NotEqual, 0), word(flags + 1, SET_ID, Test::NotEqual, 0)];
        add(name, conditions, libc::EPERM);
    }
    // One listener in a chain of filters: enforcement has it.
    let listener = vec![
        word(0, u64::from(u32::MAX), Test::Equal, SET_MODE_FILTER),
        word(1, NEW_LISTENER, Test::Equal, NEW_LISTENER),
    ];
    add("seccomp", listener, libc::EBUSY);
    rules
}

fn word(argument: u8, mask: u64, test: Test, value: u64) -> Condition {
    Condition { argument, width: Width::Word, mask, value, test }
}

fn double(argument: u8, test: Test, value: u64) -> Condition {
    Condition { argument, width: Width::Double, mask: u64::MAX, value, test }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::syscall_table::row;

    #[test]
    fn a_call_passes_unseen_only_if_it_is_of_the_base_set() {
        let spec = filter(false);
        for call in Syscall::all() {
            let action = spec.calls.get(&call).copied().unwrap_or(spec.default);
            assert!(action != Action::Allow || row(call).class == Class::Base, "{call}");
        }
        assert_eq!(spec.unknown, Action::TraceRefuse(libc::ENOSYS));
    }

    #[test]
    fn exact_learning_stops_at_everything_but_the_ends() {
        let spec = filter(true);
        let unseen: Vec<_> = spec.calls.iter().filter(|(_, action)| **action == Action::Allow).collect();
        assert_eq!(unseen.len(), 3);
        assert!(spec.rules.values().flatten().all(|rule| rule.action != Action::Allow));
    }

    #[test]
    fn what_is_handed_over_is_seen_by_the_tracer_first_and_refusals_come_before() {
        let mut spec = filter(false);
        let calls = ["ioctl", "connect"].map(|name| Syscall::from_name(name).unwrap());
        hand_over(&mut spec, &calls, Desk::Network, 7);
        let ioctl = &spec.rules[&calls[0]];
        let place = ioctl.iter().position(|rule| rule.action == Action::Mediate(Desk::Network)).unwrap();
        assert!(place > 0 && ioctl[..place].iter().all(|rule| matches!(rule.action, Action::TraceRefuse(_))));
        assert!(ioctl[place + 1..].iter().all(|rule| !matches!(rule.action, Action::TraceRefuse(_))));
        assert_eq!(spec.calls[&calls[1]], Action::Trace);
    }

    #[test]
    fn refusals_by_argument_come_before_what_passes() {
        let spec = filter(false);
        let ioctl = spec.rules.get(&Syscall::from_name("ioctl").unwrap()).unwrap();
        let last_refusal = ioctl.iter().rposition(|rule| rule.action != Action::Allow).unwrap();
        let first_pass = ioctl.iter().position(|rule| rule.action == Action::Allow).unwrap();
        assert!(last_refusal < first_pass);
    }
}
