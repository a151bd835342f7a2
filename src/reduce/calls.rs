//! System calls and their arguments, as they were seen.

use std::collections::BTreeSet;

use crate::event::Fact;
use crate::profile::Profile;
use crate::trace::Trace;
use crate::vocab::syscall_table::{Class, IOCTLS, row};

use super::Note;

pub(super) fn add(profile: &mut Profile, trace: &Trace, notes: &mut BTreeSet<Note>) {
    for event in &trace.events {
        match &event.fact {
            Fact::Call { call } if !matches!(row(*call).class, Class::Base | Class::Absent) => {
                profile.syscalls.allow.insert(*call);
            }
            Fact::Argument { call, value } => {
                let always = call.name() == "ioctl" && IOCTLS.iter().any(|(_, name)| name == value);
                if matches!(call.name(), "socket" | "socketpair" | "ioctl") && !always {
                    profile.syscalls.arguments.entry(*call).or_default().insert(value.clone());
                }
            }
            Fact::Denied(denial) => {
                notes.insert(Note::Refused(format!("{} {}", denial.call, denial.thing).trim_end().to_owned()));
            }
            _ => {}
        }
    }
}
