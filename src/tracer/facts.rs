//! Facts on their way out: each once per image, counted, capped, and the directories noted for the census.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hash, RandomState};

use crate::event::{Event, Fact, Gap, ImageId, Intent, Tally};
use crate::vocab::endpoint::Endpoint;
use crate::vocab::host::FileKind;
use crate::vocab::path::AbsPath;
use crate::vocab::syscall::Syscall;

use super::mentions::Mentions;

/// Where events go. An error (a full disk) ends the run.
pub type Sink<'a> = &'a mut dyn FnMut(Event) -> std::io::Result<()>;

/// Files of which the size is looked at.
const MOST_WRITTEN: usize = 20_000;

/// Bytes of names in a fact, on average: what ordinary programs have is a third of it.
const MEAN_WEIGHT: u64 = 256;
/// However few facts are wanted, the names of one large environment are no flood.
const LEAST_ROOM: u64 = 16 << 20;

/// Deduplicates, counts and hands on.
pub(super) struct Recorder<'a> {
    sink: Sink<'a>,
    // Random keys: a tracee cannot choose names that collide with each other.
    keys: RandomState,
    seen: BTreeSet<u64>,
    called: BTreeSet<(ImageId, u32)>,
    files: BTreeSet<u64>,
    /// What the variables of the caller are looked for in.
    pub(super) mentions: Mentions,
    /// Files that were written, for their sizes.
    pub(super) written: BTreeSet<AbsPath>,
    /// Directories of paths that were reached.
    pub(super) used: BTreeSet<AbsPath>,
    /// The last of them.
    here: Option<AbsPath>,
    pub(super) tally: Tally,
    cap: u64,
    /// Bytes of names that may still be recorded.
    room: u64,
    flooded: bool,
    ended: bool,
    broken: Option<std::io::Error>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(sink: Sink<'a>, cap: u64) -> Self {
        Self {
            sink,
            keys: RandomState::new(),
            seen: BTreeSet::new(),
            called: BTreeSet::new(),
            files: BTreeSet::new(),
            mentions: Mentions::default(),
            written: BTreeSet::new(),
            used: BTreeSet::new(),
            here: None,
            tally: Tally { events: 0, files: 0, calls: BTreeMap::new(), images: 0 },
            cap,
            room: cap.saturating_mul(MEAN_WEIGHT).max(LEAST_ROOM),
            flooded: false,
            ended: false,
            broken: None,
        }
    }

    /// A number for `value` that is the same throughout this run.
    pub(super) fn digest(&self, value: impl Hash) -> u64 {
        self.keys.hash_one(value)
    }

    pub(super) fn emit(&mut self, image: ImageId, fact: Fact) {
        if self.flooded || self.ended || self.broken.is_some() {
            return;
        }
        let event = Event { image, fact };
        if !self.seen.insert(self.digest(&event)) {
            return;
        }
        self.room = self.room.saturating_sub(weight(&event.fact));
        if self.tally.events >= self.cap || self.room == 0 {
            self.flooded = true;
            return self.write(Event { image, fact: Fact::Gap { gap: Gap::Flood { cap: self.cap } } });
        }
        self.count(&event.fact);
        self.write(event);
    }

    /// As [`Self::emit`], and past the cap: what a run ends with is never left out.
    pub(super) fn conclude(&mut self, image: ImageId, fact: Fact) {
        let event = Event { image, fact };
        if !self.ended && self.broken.is_none() && self.seen.insert(self.digest(&event)) {
            self.write(event);
        }
    }

    /// That `image` made a call at all.
    pub(super) fn call(&mut self, image: ImageId, call: Syscall) {
        if self.called.insert((image, call.number())) {
            self.emit(image, Fact::Call { call });
        }
    }

    pub(super) fn is_flooded(&self) -> bool {
        self.flooded || self.ended
    }

    /// The error of the sink, once.
    pub(super) fn take_error(&mut self) -> Option<std::io::Error> {
        let error = self.broken.take();
        // Nothing is written behind a failure: the trace would have a hole that no reader sees.
        self.ended |= error.is_some();
        error
    }

    fn count(&mut self, fact: &Fact) {
        match fact {
            Fact::Path(path) => {
                *self.tally.calls.entry(path.call).or_default() += 1;
                self.mentions.note(path);
                let writes = matches!(path.intent, Intent::Write | Intent::Create);
                if writes && path.kind == Some(FileKind::File) && self.written.len() < MOST_WRITTEN {
                    self.written.insert(path.path.clone());
                }
                if self.files.insert(self.digest(&path.path)) {
                    self.tally.files += 1;
                }
                if path.result.may_have_succeeded() {
                    self.use_directory(&path.path);
                    path.hops.iter().for_each(|hop| self.use_directory(&hop.link));
                }
            }
            Fact::Pair(pair) => {
                *self.tally.calls.entry(pair.call).or_default() += 1;
                if pair.result.may_have_succeeded() {
                    self.use_directory(&pair.from);
                    self.use_directory(&pair.to);
                }
            }
            Fact::Call { call } => *self.tally.calls.entry(*call).or_default() += 1,
            Fact::Image(_) => self.tally.images += 1,
            _ => {}
        }
    }

    fn use_directory(&mut self, path: &AbsPath) {
        let is_here = |dir: &AbsPath| path.relative_to(dir).is_some_and(|name| !name.contains(&b'/'));
        // A program mostly goes on where it was.
        if self.here.as_ref().is_none_or(|here| path == here || !is_here(here))
            && let Some(dir) = path.parent()
        {
            self.used.insert(dir.clone());
            self.here = Some(dir);
        }
    }

    fn write(&mut self, event: Event) {
        self.tally.events += 1;
        if let Err(error) = (self.sink)(event) {
            self.broken = Some(error);
        }
    }
}

/// Bytes that a fact holds of what a program chose.
fn weight(fact: &Fact) -> u64 {
    let text = |text: &String| text.len();
    let bytes = match fact {
        Fact::Path(path) => {
            let hops = path.hops.iter().map(|hop| hop.link.as_bytes().len() + hop.text.len());
            path.path.as_bytes().len() + hops.sum::<usize>()
        }
        Fact::Pair(pair) => pair.from.as_bytes().len() + pair.to.as_bytes().len(),
        Fact::Environment { names, credentials } => names.iter().chain(credentials).map(text).sum(),
        Fact::Image(image) => image.exe.as_bytes().len() + image.argv.iter().map(text).sum::<usize>(),
        Fact::Connect { endpoint, .. } | Fact::Listen { endpoint } => match endpoint {
            Endpoint::Unix(path) => path.as_bytes().len(),
            Endpoint::Abstract(name) => name.len(),
            Endpoint::Name(peer) => peer.host.len(),
            _ => 0,
        },
        Fact::Gap { gap: Gap::Unresolved { path, .. } } => path.len(),
        _ => 0,
    };
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
