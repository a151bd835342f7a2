//! Traces → Profile. Pure: same traces, same bytes, on any machine, any day.
//!
//! Phases, each of which only adds to what a person can check afterwards:
//!
//! 1. **needs** ([`needs`]): each fact that succeeded becomes a need of a place: exist < read < write < replace. A look that
//!    found nothing is knowledge, never a need. Creating, removing and renaming need the *directory*.
//! 2. **places** ([`places`]): needs become grants. Reads are gathered into directories only where a distribution or a
//!    package manager filled them; writes into the project and into the agent's own state directories; everything else stays
//!    exact. Never `/`, the home directory, or a directory that everybody shares; never over a sensitive name.
//! 3. **sensitive**: what the table of sensitive places knows is granted by name alone and waits for a person. A sensitive
//!    name that lies in a granted directory and was not used is withheld by name.
//! 4. **calls, network, environment, secrets**: as they were seen.
//!
//! Several traces are reduced one by one and joined: the order does not matter, and more evidence never takes a grant away.

mod calls;
mod environment;
mod needs;
mod network;
mod places;

use std::collections::BTreeSet;

use crate::profile::{Limits, Profile, SCHEMA, Syscalls};
use crate::trace::Trace;
use crate::vocab::syscall_table::BASE_VERSION;

/// How wide a reduction may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Distinct entries used in one system directory from which on the directory is granted.
    pub gather: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { gather: 8 }
    }
}

/// What a person should know about a reduction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// A name in a directory that cannot be granted was made and removed again (a lock): inside, it will fail.
    Transient(String),
    /// A rename or link succeeded between two grants; inside they are two mounts, and it will fail with EXDEV.
    AcrossGrants {
        /// From.
        from: String,
        /// To.
        to: String,
    },
    /// A directory was listed that is not granted: inside, it shows granted names only.
    Listed(String),
    /// Something was refused while learning; the profile does not allow it either.
    Refused(String),
    /// A variable was not passed on: it leads out of the sandbox.
    Variable(String),
    /// Places that were looked for and are absent.
    Probes(usize),
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Transient(place) => write!(f, "`{place}` was made and removed again; inside, that will be refused"),
            Self::AcrossGrants { from, to } => {
                write!(
                    f,
                    "a rename or link from `{from}` to `{to}` crosses two grants; inside, it will have to be a copy"
                )
            }
            Self::Listed(place) => write!(f, "`{place}` was listed; inside, it shows granted names only"),
            Self::Refused(what) => write!(f, "refused while learning: {what}"),
            Self::Variable(name) => write!(f, "the variable {name} is not passed on: it leads out of the sandbox"),
            Self::Probes(count) => write!(f, "{count} places were looked for and are absent; they are not granted"),
        }
    }
}

/// A profile, and what to know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reduction {
    /// The profile; nothing sensitive in it is approved.
    pub profile: Profile,
    /// In order, without repetition.
    pub notes: BTreeSet<Note>,
}

/// Reduces `traces`, which are of one agent, to a profile.
pub fn reduce(traces: &[Trace], settings: &Settings) -> Reduction {
    let mut notes = BTreeSet::new();
    let mut profile = Profile {
        name: String::new(),
        command: traces.first().map(|trace| trace.header.command.clone()).unwrap_or_default(),
        filesystem: std::collections::BTreeMap::new(),
        network: std::collections::BTreeMap::new(),
        syscalls: Syscalls { base: BASE_VERSION, ..Syscalls::default() },
        environment: BTreeSet::new(),
        secrets: std::collections::BTreeMap::new(),
        // This version enforces none, so it writes none.
        limits: Limits::default(),
    };
    debug_assert_eq!(SCHEMA, 1);
    let mut probes = BTreeSet::new();
    for trace in traces {
        let needs = needs::of(trace);
        probes.extend(needs.probes.iter().map(|path| trace.header.roots.locate(path)));
        places::add(&mut profile, trace, &needs, settings, &mut notes);
        calls::add(&mut profile, trace, &mut notes);
        network::add(&mut profile, trace);
        environment::add(&mut profile, trace, &mut notes);
    }
    places::drop_covered(&mut profile);
    if !probes.is_empty() {
        notes.insert(Note::Probes(probes.len()));
    }
    Reduction { profile, notes }
}
