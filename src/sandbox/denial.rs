//! A call that the filter did not allow → a denial in words, with the profile line that would allow it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::{Denial, Intent};
use crate::plan::{Action, Condition, FilterSpec, Test, Width};
use crate::sys::seccomp::Notification;
use crate::vocab::access::Access;
use crate::vocab::argument_words::asked_for;
use crate::vocab::escape;
use crate::vocab::location::Roots;
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::{Sensitivity, sensitive};
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::row;

use super::who;

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

/// Who is told of each denial when it is the first of its kind, while the run goes on.
#[derive(Clone, Default)]
pub struct Live(Option<Arc<Listener>>);

type Listener = dyn Fn(&Denial) + Send + Sync;

impl Live {
    /// Tells `listener`, which must not wait: the refused program may be waiting for it.
    pub fn to(listener: impl Fn(&Denial) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    fn tell(&self, denial: &Denial) {
        if let Some(listener) = &self.0 {
            listener(denial);
        }
    }
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Live").field(&self.0.is_some()).finish()
    }
}

/// Denials of a run, one for each program, call and thing.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    live: Live,
    /// The sandbox's init: what is above it is outside.
    top: i32,
    seen: BTreeMap<(String, String, String), Denial>,
}

impl Ledger {
    /// Of the run whose init that is.
    pub(super) fn of(top: i32, live: Live) -> Self {
        Self { top, live, ..Self::default() }
    }

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
            let tid = i32::try_from(call.pid).unwrap_or(0);
            let chain = who::chain(who::parent(tid), self.top);
            let risk = risk(call);
            let denial = Denial { program, call: name, thing, errno, remedy, count: 1, chain, risk, intent: None };
            self.live.tell(&denial);
            self.seen.insert(key, denial);
        }
    }

    /// Counts a denial that a desk says of a task, whose programs above are not told yet.
    pub(super) fn note_of(&mut self, tid: i32, denial: Denial) {
        let chain = if self.seen.len() < CAP { who::chain(who::parent(tid), self.top) } else { Vec::new() };
        self.note(Denial { chain, ..denial });
    }

    /// Counts one more of a file that was told already; whether it was.
    pub(super) fn counts_again(&mut self, program: &str, call: &str, path: &AbsPath) -> bool {
        let key = (program.to_owned(), call.to_owned(), escape::file(path.as_bytes()));
        let known = self.seen.get_mut(&key);
        known.map(|known| known.count += 1).is_some()
    }

    /// Counts a denial that is told whole.
    pub(super) fn note(&mut self, denial: Denial) {
        let key = (denial.program.clone(), denial.call.clone(), denial.thing.clone());
        if let Some(known) = self.seen.get_mut(&key) {
            known.count += denial.count;
        } else if self.seen.len() < CAP {
            self.live.tell(&denial);
            self.seen.insert(key, denial);
        }
    }

    /// Takes over what was told elsewhere already.
    pub(super) fn take_over(&mut self, denials: Vec<Denial>) {
        let live = std::mem::take(&mut self.live);
        denials.into_iter().for_each(|denial| self.note(denial));
        self.live = live;
    }

    /// Those so far.
    pub(super) fn denials(&self) -> Vec<Denial> {
        self.seen.values().cloned().collect()
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
        "ioctl" => thing.strip_prefix("command ").map(|name| format!("[syscalls.arguments] ioctl = [\"{name}\"]")),
        "socket" | "socketpair" => {
            let mut line = format!("[syscalls] allow = [\"{text}\"]; [syscalls.arguments] {text} = [\"{thing}\"]");
            if thing.starts_with("inet") {
                // By name goes TCP alone.
                line.push_str(if thing.contains("stream") {
                    "; to reach somebody with it a line of [network] for each, as \"api.example.com:443\" = \"connect\""
                } else {
                    "; to reach anybody with it [network] \"@host\" = { access = \"unconfined\", approved = true }"
                });
            }
            Some(line)
        }
        "clone" | "unshare" | "setns" => Some("nested_sandbox = true, above the first section".to_owned()),
        // Of the base set: refused are messages that open a connection (TCP fast open) and options by which one leads elsewhere,
        // and no line allows them.
        "sendto" | "sendmsg" | "sendmmsg" | "setsockopt" => None,
        "chmod" | "fchmod" | "fchmodat" | "fchmodat2" | "creat" | "open" | "openat" | "mknod" | "mknodat" => None,
        _ => {
            let mut line = format!("[syscalls] allow = [\"{text}\"]");
            if row(name).risk >= 4 {
                line.push_str(&format!("; [syscalls] approved = [\"{text}\"]"));
            }
            Some(line)
        }
    };
    (text, thing, line)
}

/// The program that a task runs, escaped as in files. Read while its call waits.
pub(super) fn program(pid: u32) -> String {
    who::program(i32::try_from(pid).unwrap_or(0))
}

/// What allowing a call would open.
fn risk(call: &Notification) -> Option<String> {
    let words = match name(call).map(|name| row(name).risk)? {
        0 | 1 => return None,
        2 => "more of the kernel can be reached",
        3 => "it weakens the sandbox",
        _ => "it leads out of the sandbox",
    };
    Some(words.to_owned())
}

/// A file that was refused, with the line that would grant it.
pub(super) fn file(program: String, call: String, path: &AbsPath, intent: Intent, errno: i32, roots: &Roots) -> Denial {
    let access = match intent {
        Intent::Look | Intent::Enter => Access::Exist,
        Intent::List | Intent::Read | Intent::Execute | Intent::Map | Intent::Connect => Access::Read,
        Intent::Create if !call.starts_with("mkdir") => Access::Replace,
        Intent::Create | Intent::Write | Intent::Truncate | Intent::Remove | Intent::Attributes => Access::Write,
    };
    let location = roots.locate(path);
    let row = sensitive(path, roots, access);
    let remedy = match row.map(|row| row.sensitivity) {
        Some(Sensitivity::Pinfold) => None,
        Some(kind) => Some(format!(
            "[filesystem] \"{location}\" = {{ access = \"{access}\", sensitive = \"{}\", approved = true }}",
            kind.as_str()
        )),
        None => Some(format!("[filesystem] \"{location}\" = \"{access}\"")),
    };
    let thing = escape::file(path.as_bytes());
    let risk = row.map(|row| row.why.to_owned());
    Denial { program, call, thing, errno, remedy, count: 1, intent: Some(intent), chain: Vec::new(), risk }
}
