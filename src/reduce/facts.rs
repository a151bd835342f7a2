//! What runs needed → each thing once, with a number and its witness, run after run.
//!
//! A run brings hundreds of thousands of places, each of which it knows by the number of its path: so a thing is looked for by
//! name only among what earlier runs brought, once a run. Invariant: equal things of all runs have one number, and no more
//! than [`MOST`] are kept, the first ones.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::evidence::{Outcome, Runs, Subject, Witness};
use crate::vocab::access::Access;
use crate::vocab::location::Location;

/// Things that are kept: a hostile program can make any number.
const MOST: usize = 200_000;

/// Things and their witnesses, by number.
#[derive(Debug, Default)]
pub(super) struct Facts {
    all: Vec<(Subject, Witness)>,
    /// What earlier runs brought, in the order of the things.
    before: Vec<u32>,
    /// What this run brought and is no place.
    others: BTreeMap<Subject, u32>,
    /// There was more than is kept.
    pub(super) capped: bool,
}

/// What one program or several came to with a thing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) run: u32,
    pub(super) outcome: Outcome,
    pub(super) access: Option<Access>,
    pub(super) grant: Option<u32>,
}

impl Facts {
    /// What comes now is of another run.
    pub(super) fn next_run(&mut self) {
        self.others.clear();
        let news = self.before.len()..self.all.len();
        self.before.extend(news.filter_map(|number| u32::try_from(number).ok()));
        let subject = |number: &u32| self.all.get(position(*number)).map(|(subject, _)| subject);
        self.before.sort_by(|a, b| subject(a).cmp(&subject(b)));
    }

    /// The number of a place that this run has not brought yet, if there is room for it.
    pub(super) fn place(&mut self, place: impl FnOnce() -> Location) -> Option<u32> {
        if self.before.is_empty() && self.is_full() {
            self.capped = true;
            return None;
        }
        let subject = Subject::Place(place());
        self.find(&subject).or_else(|| self.add(subject))
    }

    /// The number of whatever else, if there is room for it.
    pub(super) fn other(&mut self, subject: Subject) -> Option<u32> {
        let known = self.others.get(&subject).copied().or_else(|| self.find(&subject));
        known.or_else(|| {
            let number = self.add(subject.clone())?;
            self.others.insert(subject, number);
            Some(number)
        })
    }

    /// The number of what an earlier run brought.
    pub(super) fn find(&self, wanted: &Subject) -> Option<u32> {
        let compare = |number: &u32| self.all.get(position(*number)).map(|(subject, _)| subject).cmp(&Some(wanted));
        let at = self.before.binary_search_by(compare).ok()?;
        self.before.get(at).copied()
    }

    /// Notes that `programs` came to that with a thing.
    pub(super) fn witness(&mut self, number: u32, seen: Seen, programs: impl IntoIterator<Item = u32>) {
        let Some((_, known)) = self.all.get_mut(position(number)) else { return };
        known.outcome = known.outcome.max(seen.outcome);
        known.access = known.access.max(seen.access);
        // The same place lies in two lines where variables lead elsewhere in another run: then in the first.
        known.grant = [known.grant, seen.grant].into_iter().flatten().min();
        known.programs.extend(programs);
        known.runs.0.insert(seen.run);
    }

    /// Each with its number.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &Subject, &mut Witness)> {
        (0..).zip(&mut self.all).map(|(number, (subject, witness))| (number, &*subject, witness))
    }

    /// All, by what they are.
    pub(super) fn finish(self) -> BTreeMap<Subject, Witness> {
        self.all.into_iter().collect()
    }

    fn is_full(&self) -> bool {
        self.all.len() >= MOST
    }

    fn add(&mut self, subject: Subject) -> Option<u32> {
        if self.is_full() {
            self.capped = true;
            return None;
        }
        let (programs, runs) = (BTreeSet::new(), Runs::default());
        let witness = Witness { outcome: Outcome::Probed, access: None, grant: None, programs, because: None, runs };
        self.all.push((subject, witness));
        u32::try_from(self.all.len() - 1).ok()
    }
}

fn position(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: usize) -> Location {
        format!("/p/{number}").parse().unwrap()
    }

    #[test]
    fn a_thing_keeps_its_number_over_runs_and_has_the_most_that_came_of_it() {
        let mut facts = Facts::default();
        let seen = |run, outcome, access, grant| Seen { run, outcome, access, grant };
        let first = facts.place(|| place(1)).unwrap();
        facts.witness(first, seen(0, Outcome::Refused, None, Some(7)), [3]);
        let peer = || Subject::Peer("a:1".to_owned());
        assert_eq!(facts.other(peer()), facts.other(peer()));
        facts.next_run();
        assert_ne!(facts.place(|| place(0)), Some(first));
        assert_eq!(facts.place(|| place(1)), Some(first));
        assert_eq!(facts.other(peer()), facts.find(&peer()));
        facts.witness(first, seen(1, Outcome::Used, Some(Access::Read), Some(2)), [1, 3]);
        facts.witness(first, seen(1, Outcome::Probed, Some(Access::Exist), None), []);
        let all = facts.finish();
        let witness = all.get(&Subject::Place(place(1))).unwrap();
        assert_eq!((witness.outcome, witness.access, witness.grant), (Outcome::Used, Some(Access::Read), Some(2)));
        assert_eq!((&witness.programs, &witness.runs.0), (&BTreeSet::from([1, 3]), &BTreeSet::from([0, 1])));
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn what_has_no_room_is_told_and_what_is_there_is_still_found() {
        let mut facts = Facts::default();
        assert!((0..MOST).all(|number| facts.place(|| place(number)).is_some()));
        assert!(!facts.capped);
        assert_eq!(facts.place(|| place(MOST)), None);
        assert!(std::mem::take(&mut facts.capped));
        facts.next_run();
        assert_eq!((facts.place(|| place(5)), facts.capped), (Some(5), false));
        assert_eq!((facts.place(|| place(MOST)), facts.capped), (None, true));
        assert_eq!(facts.finish().len(), MOST);
    }
}
