//! Events of a learning run → the trace on disk, as they happen; and what a person is told meanwhile.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufWriter;
use std::time::Instant;

use crate::event::{Event, Fact, Intent, Outcome, PathFact, Tally};
use crate::plan::permissive::vault_row;
use crate::plan::{MountStep, Plan};
use crate::trace::Header;
use crate::trace::writer::{WriteError, Writer};
use crate::vocab::location::Roots;
use crate::vocab::path::AbsPath;

use super::learn::{Attempt, Observer};

/// Attempts that are told: a hostile program could make any number of different ones. The trace has more.
const MOST_ATTEMPTS: usize = 64;

/// Where the events of one run go.
pub(super) struct Recorder<'a> {
    writer: Writer<BufWriter<File>>,
    roots: Roots,
    opened: BTreeSet<AbsPath>,
    /// Places of the vault that exist, and that the plan covers.
    hidden: BTreeSet<AbsPath>,
    observer: &'a mut dyn Observer,
    attempts: Vec<Attempt>,
    started: Instant,
}

impl<'a> Recorder<'a> {
    /// Writes the header.
    pub(super) fn new(
        file: File,
        header: &Header,
        plan: &Plan,
        observer: &'a mut dyn Observer,
    ) -> Result<Self, WriteError> {
        let hidden = plan.mounts.iter().filter_map(|step| match step {
            MountStep::Cover { target } | MountStep::Seal { target } => Some(target.clone()),
            _ => None,
        });
        Ok(Self {
            writer: Writer::new(BufWriter::with_capacity(1 << 16, file), header)?,
            roots: header.roots.clone(),
            opened: header.opened.iter().cloned().collect(),
            hidden: hidden.collect(),
            observer,
            attempts: Vec::new(),
            started: Instant::now(),
        })
    }

    /// Records one event.
    pub(super) fn record(&mut self, event: &Event) -> Result<(), WriteError> {
        self.writer.event(event)?;
        self.notice(event);
        Ok(())
    }

    /// Flushes, and tells the observer how far the run is. Called when time has passed without an event, too.
    pub(super) fn tick(&mut self, tally: &Tally) -> Result<(), WriteError> {
        self.writer.flush()?;
        self.observer.progress(tally, self.started.elapsed());
        Ok(())
    }

    /// Ends the trace: with a footer if the run ended, without one if it was cut short. Returns the tries at the floor.
    pub(super) fn finish(mut self, status: Option<crate::event::ExitStatus>) -> Result<Vec<Attempt>, WriteError> {
        match status {
            Some(status) => self.writer.finish(status)?,
            None => self.writer.flush()?,
        }
        Ok(self.attempts)
    }

    fn is_opened(&self, path: &AbsPath) -> bool {
        self.opened.iter().any(|open| path.is_beneath(open))
    }

    /// A look for what this machine does not have: many programs try the credentials of every cloud, and nothing was
    /// hidden from them.
    fn is_idle_look(&self, fact: &PathFact) -> bool {
        let looks = matches!(fact.intent, Intent::Look | Intent::Enter | Intent::List | Intent::Read | Intent::Execute);
        looks
            && fact.result == Outcome::Errno(libc::ENOENT)
            && !self.hidden.iter().any(|place| fact.path.is_beneath(place) || place.is_beneath(&fact.path))
    }

    fn notice(&mut self, event: &Event) {
        let attempt = match &event.fact {
            Fact::Denied(denial) => Attempt::Call(denial.clone()),
            Fact::UnknownCall { arch, number } => Attempt::Unknown { arch: *arch, number: *number },
            Fact::Path(fact) => match vault_row(&fact.path, &self.roots) {
                Some(row) if !self.is_opened(&fact.path) && !self.is_idle_look(fact) => {
                    Attempt::Vault { path: fact.path.clone(), row }
                }
                _ => return,
            },
            _ => return,
        };
        let known = self.attempts.iter().any(|seen| match (seen, &attempt) {
            (Attempt::Vault { row: a, .. }, Attempt::Vault { row: b, .. }) => a == b,
            (Attempt::Call(a), Attempt::Call(b)) => a.call == b.call && a.thing == b.thing,
            // One program makes many of them.
            (Attempt::Unknown { arch: a, .. }, Attempt::Unknown { arch: b, .. }) => a == b,
            _ => false,
        });
        if !known && self.attempts.len() < MOST_ATTEMPTS {
            self.observer.attempt(&attempt);
            self.attempts.push(attempt);
        }
    }
}
