//! The evidence of a profile: kept in the store when the profile is written, found again for whoever asks.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::profile::evidence::{self, Evidence, ReadError};
use crate::store::{Store, StoreError};
use crate::vocab::location::Location;

use super::surroundings::Surroundings;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// It cannot be read.
    #[error("cannot read the evidence {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ReadError,
    },
    /// It cannot be written.
    #[error("cannot write the evidence {}; what was there is unchanged", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps `evidence` for the profile at `path`, as [`profile_file::absolute`](super::profile_file::absolute) gives it.
pub fn keep(surroundings: &Surroundings, path: &Path, evidence: &Evidence) -> Result<(), EvidenceError> {
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid)?;
    store.keep_evidence(path, &bytes(evidence, path)?)?;
    Ok(())
}

/// The evidence that is kept for the profile at `path`; `None` where nobody learned it on this machine.
pub fn load(surroundings: &Surroundings, path: &Path) -> Result<Option<Evidence>, EvidenceError> {
    load_by(surroundings, path, evidence::read)
}

/// As [`load`], of places only `place`: see [`evidence::read_about`].
pub fn load_about(
    surroundings: &Surroundings,
    path: &Path,
    place: Option<&Location>,
) -> Result<Option<Evidence>, EvidenceError> {
    load_by(surroundings, path, |source| evidence::read_about(source, place))
}

/// As [`load`], of places only their counts: see [`evidence::read_counting`].
pub fn load_counting(surroundings: &Surroundings, path: &Path) -> Result<Option<Evidence>, EvidenceError> {
    load_by(surroundings, path, evidence::read_counting)
}

fn load_by(
    surroundings: &Surroundings,
    path: &Path,
    read: impl FnOnce(BufReader<File>) -> Result<Evidence, ReadError>,
) -> Result<Option<Evidence>, EvidenceError> {
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid)?;
    let Some((file, path)) = store.evidence(path)? else { return Ok(None) };
    read(BufReader::with_capacity(1 << 18, file)).map(Some).map_err(|source| EvidenceError::Read { path, source })
}

/// Reads evidence that [`export`] wrote.
pub fn import(path: &Path) -> Result<Evidence, EvidenceError> {
    import_by(path, evidence::read)
}

/// As [`import`], of places only `place`: see [`evidence::read_about`].
pub fn import_about(path: &Path, place: Option<&Location>) -> Result<Evidence, EvidenceError> {
    import_by(path, |source| evidence::read_about(source, place))
}

/// As [`import`], of places only their counts: see [`evidence::read_counting`].
pub fn import_counting(path: &Path) -> Result<Evidence, EvidenceError> {
    import_by(path, evidence::read_counting)
}

fn import_by(
    path: &Path,
    read: impl FnOnce(BufReader<File>) -> Result<Evidence, ReadError>,
) -> Result<Evidence, EvidenceError> {
    let wrong = |source| EvidenceError::Read { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(|error| wrong(error.into()))?;
    read(BufReader::with_capacity(1 << 18, file)).map_err(wrong)
}

/// Writes `evidence` to a file of its own, for a machine that learned nothing.
pub fn export(path: &Path, evidence: &Evidence) -> Result<(), EvidenceError> {
    let bytes = bytes(evidence, path)?;
    crate::store::replace(path, &bytes).map_err(|source| EvidenceError::Write { path: path.to_path_buf(), source })
}

fn bytes(evidence: &Evidence, path: &Path) -> Result<Vec<u8>, EvidenceError> {
    let mut bytes = Vec::new();
    evidence::write(evidence, super::VERSION, &mut bytes)
        .map_err(|source| EvidenceError::Write { path: path.to_path_buf(), source })?;
    Ok(bytes)
}
