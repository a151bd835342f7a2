//! A call that the filter hands to the supervisor to carry out → the desk that does it, and its answer.
//!
//! A desk gets each call as a value that it may keep: it answers at once or later, and does not block the others meanwhile.
//! Invariant: a call is answered once; one that is dropped unanswered is refused. What is read of a caller is of that caller
//! only if it [still waits](Call::waits) afterwards: its number may be another's by then.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Instant;

use nix::errno::Errno;

use crate::event::{Denial, Fact, Report};
use crate::plan::Desk;
use crate::sys::memory;
use crate::sys::seccomp::{self, Notification, Place};

/// A call that waits for a desk.
#[derive(Debug)]
pub struct Call {
    listener: Arc<OwnedFd>,
    notification: Notification,
    answered: bool,
}

impl Call {
    pub(super) fn new(listener: Arc<OwnedFd>, notification: Notification) -> Self {
        Self { listener, notification, answered: false }
    }

    /// Number and arguments as the filter saw them, and the calling thread.
    pub fn notification(&self) -> &Notification {
        &self.notification
    }

    /// The calling thread, as the host counts.
    pub fn tid(&self) -> i32 {
        i32::try_from(self.notification.pid).unwrap_or(0)
    }

    /// An argument register.
    pub fn argument(&self, index: usize) -> u64 {
        self.notification.arguments.get(index).copied().unwrap_or(0)
    }

    /// An argument that is an `int`: the kernel ignores the rest of its register.
    pub fn int(&self, index: usize) -> i32 {
        u32::try_from(self.argument(index) & 0xffff_ffff).unwrap_or(0).cast_signed()
    }

    /// Whether the caller is still in this call.
    pub fn waits(&self) -> bool {
        seccomp::waits(&*self.listener, self.notification.id)
    }

    /// Bytes of the caller's memory: what was there at one moment, and may be other by the next.
    ///
    /// # Errors
    ///
    /// EFAULT when not all could be read; ENOENT when the caller is gone, so that they may be another's.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let got = memory::read(self.tid(), address, buffer)?;
        match (got == buffer.len(), self.waits()) {
            (_, false) => Err(Errno::ENOENT),
            (false, true) => Err(Errno::EFAULT),
            (true, true) => Ok(()),
        }
    }

    /// The call fails with this errno.
    pub fn refuse(mut self, errno: i32) {
        self.answered = true;
        // ENOENT, here and below: the caller died; there is nobody to answer.
        seccomp::refuse(&*self.listener, self.notification.id, errno).ok();
    }

    /// The call returns this value.
    pub fn answer(mut self, value: i64) {
        self.answered = true;
        seccomp::answer(&*self.listener, self.notification.id, value).ok();
    }

    /// The kernel makes the call, reading registers, memory and descriptors anew: only where no check rests on them.
    pub fn go_on(mut self) {
        self.answered = true;
        seccomp::go_on(&*self.listener, self.notification.id).ok();
    }

    /// Puts a descriptor into the caller's table; the call waits on, unless `place` says that its number is the answer.
    pub fn put(&mut self, descriptor: BorrowedFd<'_>, place: Place) -> Result<RawFd, Errno> {
        let put = seccomp::put(&*self.listener, self.notification.id, descriptor, place)?;
        self.answered |= place.answers;
        Ok(put)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.answered {
            seccomp::refuse(&*self.listener, self.notification.id, libc::EPERM).ok();
        }
    }
}

/// What a desk tells.
#[derive(Debug)]
pub enum Note {
    /// It refused something.
    Denied(i32, Denial),
    /// It learned something; told before the call is answered, while the caller is who it was.
    Fact(Report),
}

impl Note {
    /// The note as a fact of a run that is learned.
    pub(super) fn into_report(self) -> Report {
        match self {
            Self::Denied(tid, denial) => Report { tid, fact: Fact::Denied(denial) },
            Self::Fact(report) => report,
        }
    }
}

/// Who carries out the calls of one desk. All of its work is done between two waits of one loop: it must not block.
pub trait Handler: Send + fmt::Debug {
    /// A call. One that turns out to be another desk's is given back.
    fn take(&mut self, call: Call, tell: &mut dyn FnMut(Note)) -> Option<(Call, Desk)>;
    /// What becomes readable when [`turn`](Self::turn) has something to do.
    fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// When it wants its turn at the latest.
    fn deadline(&self) -> Option<Instant> {
        None
    }
    /// Goes on with what it has begun.
    fn turn(&mut self, _tell: &mut dyn FnMut(Note)) {}
}

/// The desks of a run. A call for a desk that is not there is refused.
#[derive(Debug, Default)]
pub struct Desks {
    pub(super) handlers: BTreeMap<Desk, Box<dyn Handler>>,
}

impl Desks {
    /// Puts somebody at a desk.
    pub fn seat(&mut self, desk: Desk, handler: Box<dyn Handler>) {
        self.handlers.insert(desk, handler);
    }
}
