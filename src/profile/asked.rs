//! Evidence → who asked for each line of a profile, looked up beforehand for whoever asks about many.
//!
//! Invariant: what it says is what [`Evidence`] says. It does not judge whether the asking was worth granting.

use std::collections::BTreeMap;

use serde::Serialize;

use super::evidence::{Account, Evidence, Witness};
use crate::vocab::location::Location;

/// Who asked for something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Asked {
    /// Chains of programs, by name, from the command down; escaped as in files.
    pub programs: Vec<String>,
    /// In how many runs.
    pub runs: u32,
    /// Of how many.
    pub of: u32,
}

impl From<Account<'_>> for Asked {
    fn from(account: Account<'_>) -> Self {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self { programs: account.chains.into_iter().collect(), runs: count(account.count), of: count(account.of) }
    }
}

/// Evidence with what stands behind each line of `[filesystem]`.
#[derive(Debug)]
pub struct Index<'a> {
    /// Of what.
    pub evidence: &'a Evidence,
    grants: BTreeMap<&'a Location, u32>,
    witnesses: BTreeMap<u32, Vec<&'a Witness>>,
}

impl<'a> Index<'a> {
    /// Of `evidence`.
    pub fn of(evidence: &'a Evidence) -> Self {
        let mut witnesses: BTreeMap<u32, Vec<&Witness>> = BTreeMap::new();
        for witness in evidence.facts.values() {
            if let Some(number) = witness.grant {
                witnesses.entry(number).or_default().push(witness);
            }
        }
        let grants = (0..).zip(&evidence.grants).map(|(number, grant)| (&grant.place, number)).collect();
        Self { evidence, grants, witnesses }
    }

    /// What is known of a line of `[filesystem]`, but for what it opens unused: as [`Evidence::of`].
    pub fn place(&self, place: &Location) -> Option<Account<'a>> {
        match self.grants.get(place) {
            Some(number) => self.evidence.account(self.witnesses.get(number)?.iter().copied()),
            None => self.evidence.of(place),
        }
    }
}
