//! A stored trace → the profile that it gives (not yet written, not yet approved), or why it gives none.
//!
//! Invariant: a profile from complete runs is not replaced by one from an incomplete run. What a person approved is carried
//! over from the text that was *approved*: what stands in the file now may have been written by anybody.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::event::{ExitStatus, Gap};
use crate::profile::Profile;
use crate::profile::evidence::Evidence;
use crate::reduce::{self, Note};
use crate::store::{Store, StoreError};
use crate::trace::Trace;
use crate::trace::reader::{ReadError, read, read_header};

use super::profile_file::{self, ProfileFile, ProfileFileError};
use super::surroundings::Surroundings;
use super::{approve, identity};

/// What is made of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Which runs the profile is made from.
    pub evidence: EvidenceScope,
    /// Whether a run that ended with an error still gives a profile.
    pub failures: Failures,
    /// Whether a run that was not observed completely still gives one.
    pub gaps: Gaps,
}

/// Which runs a profile is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvidenceScope {
    /// This one.
    ThisRun,
    /// This one and every complete run that is kept for this profile.
    AllRuns,
}

/// What a non-zero exit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failures {
    /// The run failed: no profile.
    Refuse,
    /// The program just ends so: learn from it.
    Accept,
}

/// What an incomplete run means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaps {
    /// No profile.
    Refuse,
    /// A profile that says so, where there is none from a complete run.
    Accept,
}

/// What a trace came to.
#[derive(Debug)]
pub struct Derived {
    /// The trace.
    pub trace: PathBuf,
    /// Where the profile belongs.
    pub path: PathBuf,
    /// What stands there now.
    pub previous: Option<ProfileFile>,
    /// The profile, or why there is none.
    pub result: Result<Reduced, NoProfile>,
}

/// What reduction gave.
#[derive(Debug)]
pub struct Reduced {
    /// The profile; approvals of the last approved one are carried over.
    pub profile: Profile,
    /// What a person should know about it.
    pub notes: Vec<Note>,
    /// Runs that it was made from.
    pub runs: usize,
    /// Kept runs that were asked for and are no evidence: they are incomplete or cannot be read.
    pub left_out: usize,
    /// Who needed what.
    pub evidence: Evidence,
}

/// Why a run gave no profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoProfile {
    /// The command failed.
    Failed(ExitStatus),
    /// Not everything was observed.
    Incomplete(Vec<Gap>),
    /// Not everything was observed, and what stands there was made from complete runs.
    Worse,
}

/// Why it cannot be told what a trace gives.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeriveError {
    /// The trace cannot be read.
    #[error("cannot read the trace {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ReadError,
    },
    /// A bundle that the person wrote is not as it should be.
    #[error(transparent)]
    Bundle(#[from] super::bundles::BundleFileError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The profile file failed.
    #[error(transparent)]
    Profile(#[from] ProfileFileError),
}

/// A profile from a trace that was kept. `profile`: where it belongs; by default the profile of the trace's command in the
/// project.
pub fn from_trace(
    surroundings: &Surroundings,
    trace: &Path,
    profile: Option<&Path>,
    terms: Terms,
) -> Result<Derived, DeriveError> {
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid)?;
    let header = read_from(trace, read_header)?;
    let path =
        profile.map_or_else(|| identity::profile_of(&surroundings.project(), &header.command), Path::to_path_buf);
    let path = profile_file::absolute(&path);
    let previous = profile_file::load(&path)?;
    derive(&store, terms, trace.to_path_buf(), path, previous, None)
}

/// What the trace at `trace` gives. `status`: how the command ended, where the caller saw it.
pub(super) fn derive(
    store: &Store,
    terms: Terms,
    trace: PathBuf,
    path: PathBuf,
    previous: Option<ProfileFile>,
    status: Option<ExitStatus>,
) -> Result<Derived, DeriveError> {
    let read = read_trace(&trace)?;
    let status = status.or(read.footer.as_ref().map(|footer| footer.status));
    let result = match no_profile(&read, status, terms, previous.as_ref()) {
        Some(why) => Err(why),
        None => Ok(reduce_runs(store, terms.evidence, &path, read, previous.as_ref())?),
    };
    Ok(Derived { trace, path, previous, result })
}

fn read_trace(path: &Path) -> Result<Trace, DeriveError> {
    read_from(path, read)
}

fn read_from<T>(path: &Path, read: fn(BufReader<File>) -> Result<T, ReadError>) -> Result<T, DeriveError> {
    let wrong = |source| DeriveError::Read { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(|error| wrong(error.into()))?;
    read(BufReader::with_capacity(1 << 18, file)).map_err(wrong)
}

/// Why `trace` gives no profile, if it does not.
fn no_profile(
    trace: &Trace,
    status: Option<ExitStatus>,
    terms: Terms,
    previous: Option<&ProfileFile>,
) -> Option<NoProfile> {
    let failed = status.filter(|status| *status != ExitStatus::Code(0) && terms.failures == Failures::Refuse);
    if trace.is_complete() {
        return failed.map(NoProfile::Failed);
    }
    match terms.gaps {
        Gaps::Refuse => {
            Some(NoProfile::Incomplete(trace.events.others().filter_map(|e| e.fact.gap()).cloned().collect()))
        }
        Gaps::Accept if previous.is_some_and(|file| file.profile.incomplete.is_none()) => Some(NoProfile::Worse),
        // Who ends a run by a time limit or a signal does not expect it to succeed.
        Gaps::Accept => None,
    }
}

/// Reduces this run, or all complete runs of the profile, and carries approvals over from the last *approved* text: what
/// stands in the profile file now may have been written by anybody.
fn reduce_runs(
    store: &Store,
    evidence: EvidenceScope,
    path: &Path,
    trace: Trace,
    previous: Option<&ProfileFile>,
) -> Result<Reduced, DeriveError> {
    let mut traces = vec![trace];
    let mut left_out = 0;
    if evidence == EvidenceScope::AllRuns {
        for kept in store.traces(path)? {
            // A kept trace that cannot be read or is incomplete is no evidence; the run itself was read already.
            match read_trace(&kept) {
                Ok(old) if traces.iter().any(|known| known.header.run == old.header.run) => {}
                Ok(old) if old.is_complete() => traces.push(old),
                Ok(_) | Err(_) => left_out += 1,
            }
        }
    }
    let settings = reduce::Settings { bundles: super::bundles::own()?, ..reduce::Settings::default() };
    let mut reduction = reduce::reduce(&traces, &settings);
    if let Some(file) = previous {
        reduction.profile.name.clone_from(&file.profile.name);
    } else if let Some(stem) = path.file_stem().and_then(std::ffi::OsStr::to_str) {
        stem.clone_into(&mut reduction.profile.name);
    }
    if let Some(approved) = store.last_approval(path)?
        && let Some(before) = profile_file::remembered(&approved.text)
    {
        approve::carry_over(&before, &mut reduction.profile);
    }
    let mut evidence = reduce::evidence::gather(&traces, &reduction.profile, &settings);
    reduce::confidence::leave_one_out(&traces, &reduction.profile, &settings, &mut evidence);
    Ok(Reduced { profile: reduction.profile, notes: reduction.notes, runs: traces.len(), left_out, evidence })
}
