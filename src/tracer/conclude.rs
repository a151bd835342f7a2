//! The end of a call, however it comes: its result, an interruption, the end of the task, an exec.

use crate::event::{Fact, ImageId, Intent, Outcome, PairFact, PathFact, Transport};
use crate::sys::peer;
use crate::sys::ptrace::{self, Entry, Resume};
use crate::vocab::endpoint::Endpoint;

use super::follow::Tracer;
use super::task::{Interrupted, Pending, Task, Then};

/// Calls after which an interrupted one counts as given up: a handler of the signal makes some before it is made again.
const HANDLED_CALLS: u8 = 16;

impl Tracer<'_> {
    /// The end of a call that was waited for; or a stop on the way of a [`Probe`](super::task::Probe).
    pub(super) fn leave(&mut self, tid: i32) -> Resume {
        // A program may count on every register that no call changes.
        if let Some(before) = self.tasks.get_mut(&tid).and_then(|task| task.handed.take()) {
            ptrace::set_sixth_argument(tid, before).ok();
        }
        match ptrace::result(tid) {
            Ok(Some(result)) => self.conclude(tid, result),
            Ok(None) => self.look_at_probes(tid),
            // Killed meanwhile: its end follows.
            Err(_) => {}
        }
        self.usual(tid)
    }

    fn conclude(&mut self, tid: i32, result: i64) {
        let Some(task) = self.tasks.get_mut(&tid) else { return };
        let (image, Some(pending)) = (task.image, task.pending.take()) else { return };
        let outcome = match i32::try_from(-result) {
            // ERESTARTSYS and kin: a signal came first. Whether the call is made again is decided behind this stop.
            Ok(512..=516) => {
                let former = task.interrupted.replace(Box::new(Interrupted { pending, left: HANDLED_CALLS }));
                return former.into_iter().for_each(|former| self.give_up(image, *former));
            }
            Ok(errno @ 1..=4095) => Outcome::Errno(errno),
            Ok(_) | Err(_) => Outcome::Ok,
        };
        if outcome == Outcome::Ok && pending.facts.first().is_some_and(opens) {
            self.meter.descriptor(u32::try_from(result).unwrap_or(0));
        }
        if let Some(key) = pending.key.filter(|_| is_lasting(outcome)) {
            self.known.settle(key, outcome == Outcome::Ok, pending.asked);
        }
        let Pending { facts, touches, then, .. } = pending;
        match then {
            Then::Connected { fd, probe } if outcome == Outcome::Ok => self.connected(tid, fd, probe),
            Then::Listens { fd } if outcome == Outcome::Ok => {
                let pid = self.tasks.get(&tid).map_or(tid, |task| task.pid);
                let address = peer::bound_to(pid, fd).ok().flatten();
                let fact = address.map(|address| Fact::Listen { endpoint: Endpoint::Inet(address) });
                self.record(image, fact.into_iter().collect(), outcome);
            }
            then => self.take_effect(&then, &touches, outcome),
        }
        self.record(image, facts, outcome);
    }

    /// What a call changed for the questions that are remembered.
    fn take_effect(&mut self, then: &Then, touches: &[u64], outcome: Outcome) {
        if matches!(then, Then::Moved) {
            self.moves += 1;
        }
        if !outcome.may_have_succeeded() {
            return;
        }
        if let Then::Renamed { arrived, left, links } = then {
            if *arrived || *left || *links {
                self.resolver.forget();
            }
            if *arrived {
                self.known.reopen_all();
            }
            self.moves += u64::from(*left);
            if *links {
                self.known.relinked();
            }
        }
        touches.iter().for_each(|directory| self.known.touch(*directory));
    }

    pub(super) fn record(&mut self, image: Option<ImageId>, facts: Vec<Fact>, outcome: Outcome) {
        let Some(image) = image else { return };
        for fact in facts {
            if let Some(fact) = with_result(fact, outcome) {
                self.recorder.emit(image, fact);
            }
        }
    }

    /// A call begins: an interrupted one is it, or may have been given up.
    pub(super) fn settle_interrupted(&mut self, tid: i32, entry: &Entry) {
        let Some(task) = self.tasks.get_mut(&tid) else { return };
        let image = task.image;
        // A stop without an end before it: that end was not reported.
        if let Some(pending) = task.pending.take() {
            return self.drop_pending(image, pending);
        }
        let Some(interrupted) = &mut task.interrupted else { return };
        if interrupted.pending.call == Some((entry.number, entry.arguments)) {
            task.interrupted = None;
        } else if interrupted.left > 0 {
            interrupted.left -= 1;
        } else if let Some(interrupted) = task.interrupted.take() {
            self.give_up(image, *interrupted);
        }
    }

    /// The program saw EINTR.
    fn give_up(&mut self, image: Option<ImageId>, interrupted: Interrupted) {
        self.record(image, interrupted.pending.facts, Outcome::Errno(libc::EINTR));
    }

    fn drop_pending(&mut self, image: Option<ImageId>, pending: Pending) {
        self.take_effect(&pending.then, &pending.touches, Outcome::Unseen);
        if !matches!(pending.then, Then::Exec(_)) {
            self.record(image, pending.facts, Outcome::Unseen);
        }
    }

    /// The task is gone: what it was in the middle of was made, perhaps.
    pub(super) fn abandon(&mut self, task: &mut Task) {
        if let Some(pending) = task.pending.take() {
            self.drop_pending(task.image, pending);
        }
        if let Some(interrupted) = task.interrupted.take() {
            self.give_up(task.image, *interrupted);
        }
        self.abandon_probes(task);
    }
}

/// Whether the same question has the same answer until names, links or modes change. Any other refusal (too many
/// descriptors, nobody at the other end of a pipe) is of that moment.
fn is_lasting(outcome: Outcome) -> bool {
    const BY_NAME_OR_MODE: [i32; 8] =
        [libc::ENOENT, libc::EACCES, libc::EPERM, libc::ENOTDIR, libc::EISDIR, libc::EINVAL, libc::ELOOP, libc::EROFS];
    match outcome {
        Outcome::Ok => true,
        Outcome::Errno(errno) => BY_NAME_OR_MODE.contains(&errno),
        Outcome::Unseen => false,
    }
}

/// Whether the call of `fact` answers with a descriptor.
fn opens(fact: &Fact) -> bool {
    matches!(fact, Fact::Path(path) if matches!(path.call.name(), "open" | "openat" | "creat"))
}

/// The fact, now that the result is known; `None` if there is nothing to it.
pub(super) fn with_result(fact: Fact, outcome: Outcome) -> Option<Fact> {
    const EEXIST: Outcome = Outcome::Errno(libc::EEXIST);
    Some(match fact {
        // What the program learned is that the name is there: so it must be there again, and need not be made.
        Fact::Path(path) if path.intent == Intent::Create && outcome == EEXIST => {
            Fact::Path(PathFact { intent: Intent::Look, result: Outcome::Ok, ..path })
        }
        // It is not there after all, so it has no type.
        Fact::Path(path) if path.intent == Intent::Create && outcome != Outcome::Ok => {
            Fact::Path(PathFact { kind: None, result: outcome, ..path })
        }
        Fact::Path(path) => Fact::Path(PathFact { result: outcome, ..path }),
        Fact::Pair(pair) => Fact::Pair(PairFact { result: outcome, ..pair }),
        Fact::Connect { endpoint, transport, .. } => {
            // A connection that is still being made, or was tried before, is one.
            let result = match outcome {
                Outcome::Errno(libc::EINPROGRESS | libc::EALREADY | libc::EISCONN) => Outcome::Ok,
                // Given up by the program, but not by the kernel.
                Outcome::Errno(libc::EINTR) if transport == Transport::Tcp => Outcome::Ok,
                other => other,
            };
            Fact::Connect { endpoint, transport, result }
        }
        // The kernel could not read it either.
        Fact::Gap { .. } | Fact::Listen { .. } if outcome != Outcome::Ok => return None,
        other => other,
    })
}
