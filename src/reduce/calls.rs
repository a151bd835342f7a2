//! Calls that were made → the allow-list beyond the base set, and the sockets.
//!
//! A call brings its family: what a newer C library or kernel, or another branch of the same program, calls in its place
//! for the same effect. Invariant: no family holds a call of risk 4, and none a call that can do more than its others.
//! Most such calls (`open` and `openat`, `stat` and `statx`, `poll` and `epoll`) are in the base set already.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Fact;
use crate::profile::Syscalls;
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::{BASE_VERSION, Class, row};

use super::Note;

/// Calls of one effect, beyond the base set. Names that an architecture does not have are passed over.
const FAMILIES: [&[&str]; 13] = [
    &["accept", "accept4"],
    &["adjtimex", "clock_adjtime"],
    &["chown", "fchown", "fchownat", "lchown"],
    &["fremovexattr", "lremovexattr", "removexattr", "removexattrat"],
    &["fsetxattr", "lsetxattr", "setxattr", "setxattrat"],
    &["io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit"],
    &["mbind", "set_mempolicy", "set_mempolicy_home_node"],
    &["mknod", "mknodat"],
    &["mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink"],
    &["msgctl", "msgget", "msgrcv", "msgsnd"],
    &["sched_setattr", "sched_setparam", "sched_setscheduler"],
    &["semctl", "semget", "semop", "semtimedop"],
    &["shmat", "shmctl", "shmdt", "shmget"],
];

/// The call and those of its family that this build knows.
fn family(call: Syscall) -> impl Iterator<Item = Syscall> {
    let others = FAMILIES.iter().find(|family| family.contains(&call.name())).copied().unwrap_or_default();
    std::iter::once(call).chain(others.iter().filter_map(|name| Syscall::from_name(name)))
}

pub(super) fn reduce(facts: &[&Fact], notes: &mut BTreeSet<Note>) -> Syscalls {
    let mut allow = BTreeSet::new();
    let mut arguments: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    let mut unknown = BTreeSet::new();
    for fact in facts {
        match fact {
            Fact::Call { call } => match row(*call).class {
                Class::Learned => allow.extend(family(*call)),
                Class::Floor => drop(notes.insert(Note::Refused { call: call.name().to_owned() })),
                Class::Base | Class::Absent => {}
            },
            // Device commands are not ruled: which ones a program uses depends on the terminal it happens to have.
            Fact::Argument { call, value } if call.name() == "socket" => {
                arguments.entry(*call).or_default().insert(value.clone());
            }
            Fact::Argument { call, value } if is_filter(call.name(), value) => drop(notes.insert(Note::OwnFilter)),
            Fact::Denied(denial) => match denial.call.as_str() {
                "clone" | "unshare" => drop(notes.insert(Note::OwnSandbox)),
                call => drop(notes.insert(Note::Refused { call: call.to_owned() })),
            },
            Fact::UnknownCall { arch, number } => drop(unknown.insert((*arch, *number))),
            _ => {}
        }
    }
    if !unknown.is_empty() {
        notes.insert(Note::Unknown { count: unknown.len() });
    }
    Syscalls { base: BASE_VERSION, allow, arguments, approved: BTreeSet::new() }
}

fn is_filter(call: &str, value: &str) -> bool {
    matches!((call, value), ("seccomp", "filter" | "strict") | ("prctl", "PR_SET_SECCOMP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_of_learned_calls_of_one_risk_and_none_leaves_the_sandbox() {
        let mut seen = BTreeSet::new();
        for names in FAMILIES {
            let calls: Vec<Syscall> = names.iter().filter_map(|name| Syscall::from_name(name)).collect();
            assert!(names.is_sorted() && !calls.is_empty(), "{names:?}");
            let risk = calls.first().map(|call| row(*call).risk);
            for call in calls {
                assert_eq!(row(call).class, Class::Learned, "{call}");
                assert!(row(call).risk < 4 && Some(row(call).risk) == risk, "{call}");
                assert!(seen.insert(call), "{call} is in two families");
            }
        }
    }

    #[test]
    fn what_a_newer_library_calls_in_its_place_is_allowed_too() {
        let call = |name: &str| Syscall::from_name(name).unwrap();
        let fact = Fact::Call { call: call("fchown") };
        let allow = reduce(&[&fact], &mut BTreeSet::new()).allow;
        assert!(allow.contains(&call("fchownat")) && allow.contains(&call("fchown")));
        assert!(!allow.contains(&call("fsetxattr")));
        let alone = Fact::Call { call: call("connect") };
        assert_eq!(reduce(&[&alone], &mut BTreeSet::new()).allow.len(), 1);
    }
}
