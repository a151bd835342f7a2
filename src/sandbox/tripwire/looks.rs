//! Looks at what is not there → denials, counted.
//!
//! A program looks for dozens of files that no machine has; that is no news. What exists outside, or would have been made, is.
//! Outside is looked at after the answer, by metadata alone, so that the answer, and the time it takes, are the same for both.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use crate::event::{Denial, Intent};
use crate::sandbox::denial::{Ledger, Live, file};
use crate::vocab::location::Roots;
use crate::vocab::path::AbsPath;

use super::asked::Asked;
use super::wire::Validity;

/// How often a name in a directory is asked of us before the kernel may answer by itself for a while.
const UNCACHED: u32 = 16;
/// How long it may then.
const FOR: Validity = Validity::Seconds(1);
/// Names that are counted; with more, the counting begins anew.
const COUNTED: usize = 1 << 16;
/// Looks that wait to be told; what comes on top of them is counted alone.
const WAITING: usize = 4096;
/// How long looks are gathered before they are told: to wake who tells them costs as much as a look.
const GATHERED: Duration = Duration::from_millis(2);

/// One look.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) dir: AbsPath,
    pub(super) name: Vec<u8>,
    pub(super) asked: Asked,
}

/// Counts looks, so that a flood of one name does not reach us, and one of many names is not kept.
#[derive(Debug, Default)]
pub(super) struct Guard(Mutex<BTreeMap<(u64, Vec<u8>), u32>>);

impl Guard {
    /// How long the kernel may believe that `name` is not in the directory `node`.
    pub(super) fn count(&self, node: u64, name: &[u8]) -> Validity {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= COUNTED {
            seen.clear();
        }
        let count = seen.entry((node, name.to_vec())).or_default();
        *count = count.saturating_add(1);
        if *count > UNCACHED { FOR } else { Validity::None }
    }
}

/// Where looks are sent to.
#[derive(Debug)]
pub(super) struct Looks {
    to: Sender<Look>,
    /// How many are on their way.
    waiting: Arc<AtomicUsize>,
    teller: Arc<OnceLock<Thread>>,
}

/// What came of them.
#[derive(Debug)]
pub(super) struct Seen {
    ledger: Mutex<Ledger>,
    waiting: Arc<AtomicUsize>,
    /// The thread that tells, once it does.
    teller: Arc<OnceLock<Thread>>,
}

pub(super) fn channel() -> (Looks, Receiver<Look>) {
    // Bounded by our own count: room for all of them at once is half a megabyte that hardly a run needs.
    let (sender, receiver) = mpsc::channel();
    (Looks { to: sender, waiting: Arc::default(), teller: Arc::default() }, receiver)
}

impl Looks {
    /// Counts a look before it is answered: with the answer the run may be over, and whoever asks then must wait for it.
    pub(super) fn announce(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
    }

    /// Tells a look that was announced. Never waits.
    pub(super) fn tell(&self, look: Look) {
        let at_once = !look.asked.is_known();
        if self.waiting.load(Ordering::SeqCst) > WAITING || self.to.send(look).is_err() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        } else if at_once {
            self.teller.get().into_iter().for_each(Thread::unpark);
        }
    }

    /// What will come of them.
    pub(super) fn seen(&self, live: Live) -> Seen {
        let (waiting, teller) = (Arc::clone(&self.waiting), Arc::clone(&self.teller));
        Seen { ledger: Mutex::new(Ledger::of(0, live)), waiting, teller }
    }
}

impl Seen {
    /// Takes looks until there are no more to come. `top`: the sandbox's init.
    pub(super) fn take(&self, looks: &Receiver<Look>, roots: &Roots, top: i32) {
        self.teller.set(std::thread::current()).ok();
        while let Ok(first) = looks.recv() {
            for look in std::iter::once(first).chain(looks.try_iter()) {
                self.note(&look, roots, top);
                self.waiting.fetch_sub(1, Ordering::SeqCst);
            }
            std::thread::park_timeout(GATHERED);
        }
    }

    fn note(&self, look: &Look, roots: &Roots, top: i32) {
        // Of each task, be it refused anything or not: when it is, who started it may be gone.
        let chain = look.asked.chain(top);
        let (path, intent) = look.asked.path(&look.dir, &look.name);
        let Some(intent) = lost(&path, intent) else { return };
        let program = look.asked.program.clone();
        let call = look.asked.call.map_or_else(|| "look".to_owned(), |call| call.name().to_owned());
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        if ledger.counts_again(&program, &call, &path) {
            return;
        }
        let errno = if intent == Intent::Create { libc::EROFS } else { libc::ENOENT };
        ledger.note(Denial { chain, ..file(program, call, &path, intent, errno, roots) });
    }

    /// What was refused so far, as soon as all of it was looked at, or after a while.
    pub(super) fn denials(&self) -> Vec<Denial> {
        for _ in 0..500 {
            if self.waiting.load(Ordering::SeqCst) == 0 {
                break;
            }
            self.teller.get().into_iter().for_each(Thread::unpark);
            std::thread::sleep(Duration::from_millis(1));
        }
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner).denials()
    }
}

/// What was to be done at `path`; `None` when that it was refused is nobody's loss.
fn lost(path: &AbsPath, intent: Intent) -> Option<Intent> {
    let exists = exists(path);
    let made = intent == Intent::Create && !exists && path.parent().is_some_and(|above| self::exists(&above));
    // Nothing was to be made anew where something is: it was to be written.
    let intent = if intent == Intent::Create && exists { Intent::Write } else { intent };
    (exists || made).then_some(intent)
}

/// Whether something is at `path` outside. A link is followed on the way as it would be there.
fn exists(path: &AbsPath) -> bool {
    std::fs::symlink_metadata(path.to_path_buf()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_asked_for_again_and_again_no_longer_reaches_us() {
        let guard = Guard::default();
        let answers: Vec<Validity> = (0..20).map(|_| guard.count(1, b"x")).collect();
        assert!(answers[..16].iter().all(|answer| *answer == Validity::None));
        assert!(answers[16..].iter().all(|answer| *answer == FOR));
        assert_eq!(guard.count(1, b"y"), Validity::None);
    }

    #[test]
    fn a_hundred_thousand_names_are_counted_in_a_bounded_room() {
        let guard = Guard::default();
        for number in 0..100_000u32 {
            guard.count(1, &number.to_ne_bytes());
        }
        assert!(guard.0.lock().unwrap().len() <= COUNTED);
    }
}
