//! Which calls need not be waited for: what they ask for is there and open to the task, so they succeed.
//!
//! A stop at the end of a call costs as much as the one at its beginning. Invariant: only successes are foreseen, never an
//! answer that keeps something out of a profile, and nothing that changes a file. What may still refuse such a call (too
//! many descriptors, a filter of the program's own, somebody who is quicker) is told as a success: the name was there, and
//! it was asked for. With `--exact` nothing is foreseen.

use crate::event::{Intent, Outcome};
use crate::vocab::host::FileKind;
use crate::vocab::syscall::Syscall;

use super::follow::Tracer;
use super::observe::{O_DIRECTORY, O_PATH};
use super::resolve::{Allowed, Reached};
use super::task::Pending;

/// Of so many calls one is waited for all the same: what it answers is the number of a descriptor, and the highest counts.
const AWAITED: u32 = 16;

/// The mode of access(2) that asks whether a file may be read.
const R_OK: u64 = 4;

impl Tracer<'_> {
    /// Whether `call`, which wants `intents` of what was reached, is sure to succeed.
    pub(super) fn foresees(
        &mut self,
        call: Syscall,
        register: &impl Fn(u8) -> u64,
        intents: &[Intent],
        reached: &Reached,
    ) -> bool {
        if self.settings.exact || !succeeds(call, register, intents, reached) {
            return false;
        }
        self.foreseen = self.foreseen.wrapping_add(1);
        !self.foreseen.is_multiple_of(AWAITED)
    }

    /// Records what is not waited for.
    pub(super) fn foresee(&mut self, tid: i32, pending: Option<Pending>) {
        let (Some(pending), image) = (pending, self.image_of(tid)) else { return };
        if let Some(key) = pending.key {
            self.known.settle(key, true, pending.asked);
        }
        self.record(image, pending.facts, Outcome::Ok);
    }
}

fn succeeds(call: Syscall, register: &impl Fn(u8) -> u64, intents: &[Intent], reached: &Reached) -> bool {
    let Some(kind @ (FileKind::File | FileKind::Dir | FileKind::Symlink)) = reached.kind else { return false };
    let at_least = |allowed| reached.allowed >= allowed;
    let open = |flags: u64| {
        let alike = flags & O_DIRECTORY == 0 || kind == FileKind::Dir;
        let reads = matches!(intents, [Intent::Read | Intent::List]) && at_least(Allowed::Read);
        let looks = flags & O_PATH != 0 && at_least(Allowed::Search);
        kind != FileKind::Symlink && alike && (reads || looks)
    };
    let access = |mode: u64| match mode {
        0 => at_least(Allowed::Search),
        R_OK => kind != FileKind::Symlink && at_least(Allowed::Read),
        _ => false,
    };
    match call.name() {
        "stat" | "lstat" | "newfstatat" | "statx" => at_least(Allowed::Search),
        "readlink" | "readlinkat" => kind == FileKind::Symlink && at_least(Allowed::Search),
        "open" => open(register(1)),
        "openat" => open(register(2)),
        "access" => access(register(1) & 0xffff_ffff),
        "faccessat" | "faccessat2" => access(register(2) & 0xffff_ffff),
        _ => false,
    }
}
