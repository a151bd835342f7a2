//! A call that the filter did not allow → a denial in words, with the profile line that would allow it.

use std::collections::BTreeMap;

use crate::event::Denial;
use crate::plan::{Action, Condition, FilterSpec, Test, Width};
use crate::sys::seccomp::Notification;
use crate::vocab::argument_words::asked_for;
use crate::vocab::escape;
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::row;

/// Distinct denials that are kept: a hostile program could make any number.
const CAP: usize = 4096;

/// What `spec` does with a call that was handed to the supervisor: the answer of the filter once more, since a notification
/// does not tell it.
pub(super) fn action(spec: &FilterSpec, call: &Notification) -> Action {
    let Some(name) = name(call) else { return spec.unknown };
    let mut rules = spec.rules.get(&name).into_iter().flatten();
    match rules.find(|rule| rule.conditions.iter().all(|condition| holds(condition, call))) {
        Some(rule) => rule.action,
        None => spec.calls.get(&name).copied().unwrap_or(spec.default),
    }
}

/// The errno of a call that nobody carries out.
pub(super) fn errno(action: Action) -> i32 {
    match action {
        Action::Report(errno) | Action::Refuse(errno) => errno,
        _ => libc::EPERM,
    }
}

fn name(call: &Notification) -> Option<Syscall> {
    u64::try_from(call.number).ok().and_then(Syscall::from_number)
}

fn holds(condition: &Condition, call: &Notification) -> bool {
    let register = call.arguments.get(usize::from(condition.argument)).copied().unwrap_or(0);
    let cut = |value: u64| if condition.width == Width::Word { value & 0xffff_ffff } else { value };
    (cut(register & condition.mask) == cut(condition.value)) == (condition.test == Test::Equal)
}

/// Denials of a run, one for each program, call and thing.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    seen: BTreeMap<(String, String, String), Denial>,
}

impl Ledger {
    /// Counts one more; the first of its kind is remembered with everything about it.
    pub(super) fn add(&mut self, call: &Notification, errno: i32) {
        let program = program(call.pid);
        let (name, thing, remedy) = describe(call);
        if quiet(&name, errno) {
            return;
        }
        let key = (program.clone(), name.clone(), thing.clone());
        if let Some(denial) = self.seen.get_mut(&key) {
            denial.count += 1;
        } else if self.seen.len() < CAP {
            self.seen.insert(key, Denial { program, call: name, thing, errno, remedy, count: 1 });
        }
    }

    /// Counts a denial that a desk says.
    pub(super) fn note(&mut self, denial: Denial) {
        let key = (denial.program.clone(), denial.call.clone(), denial.thing.clone());
        if let Some(known) = self.seen.get_mut(&key) {
            known.count += denial.count;
        } else if self.seen.len() < CAP {
            self.seen.insert(key, denial);
        }
    }

    pub(super) fn into_denials(self) -> Vec<Denial> {
        self.seen.into_values().collect()
    }
}

/// Calls that libraries try and do without when the kernel is older than they: no loss, no news.
fn quiet(name: &str, errno: i32) -> bool {
    errno == libc::ENOSYS && matches!(name, "clone3" | "openat2" | "rseq" | "fchmodat2" | "statmount" | "listmount")
}

fn describe(call: &Notification) -> (String, String, Option<String>) {
    let Some(name) = name(call) else {
        return (format!("system call {}", call.number), "newer than this pinfold".to_owned(), None);
    };
    let (text, thing) = (name.name().to_owned(), asked_for(name.name(), &call.arguments));
    let line = match name.name() {
        "ioctl" => thing.strip_prefix("command ").map(|name| format!("[syscalls.arguments] ioctl += \"{name}\"")),
        "socket" | "socketpair" => {
            let mut line = format!("[syscalls] allow += \"{text}\"; [syscalls.arguments] {text} += \"{thing}\"");
            if thing.starts_with("inet") {
                line.push_str(
                    "; to reach anybody with it [network] \"@host\" = { access = \"unconfined\", approved = true }",
                );
            }
            Some(line)
        }
        "clone" | "unshare" | "setns" => Some("nested_sandbox = true, above the first section".to_owned()),
        "chmod" | "fchmod" | "fchmodat" | "fchmodat2" | "creat" | "open" | "openat" | "mknod" | "mknodat" => None,
        _ => {
            let mut line = format!("[syscalls] allow += \"{text}\"");
            if row(name).risk >= 4 {
                line.push_str(&format!("; approved += \"{text}\""));
            }
            Some(line)
        }
    };
    (text, thing, line)
}

/// The program that a task runs, escaped as in files. Read while its call waits.
pub(super) fn program(pid: u32) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let exe = std::fs::read_link(format!("/proc/{pid}/exe"));
    exe.map_or_else(|_| "?".to_owned(), |path| escape::file(path.as_os_str().as_bytes()))
}
