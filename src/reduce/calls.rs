//! Calls that were made → the allow-list beyond the base set, and the sockets.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Fact;
use crate::profile::Syscalls;
use crate::vocab::syscall_table::{BASE_VERSION, Class, row};

use super::Note;

pub(super) fn reduce(facts: &[&Fact], notes: &mut BTreeSet<Note>) -> Syscalls {
    let mut allow = BTreeSet::new();
    let mut arguments: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    let mut unknown = BTreeSet::new();
    for fact in facts {
        match fact {
            Fact::Call { call } => match row(*call).class {
                Class::Learned => drop(allow.insert(*call)),
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
