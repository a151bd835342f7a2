//! The report on what the last run changed: kept beside the approvals, out of every sandbox's reach.

use std::io;

use crate::probe::changes::Changes;
use crate::store::{Store, StoreError};
use crate::vocab::path::AbsPath;

use super::profile_file::ProfileFile;
use super::surroundings::Surroundings;

/// Keeps the report of a run under `file` in the place of the one before.
pub fn keep(surroundings: &Surroundings, file: &ProfileFile, changes: &Changes) -> Result<(), StoreError> {
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid)?;
    let text = serde_json::to_vec(changes).unwrap_or_default();
    store.keep_changes(&file.path, &text)
}

/// Removes what a run made at `path`; a symlink itself, a directory with all that it holds.
pub fn remove(path: &AbsPath) -> io::Result<()> {
    let place = path.to_path_buf();
    if std::fs::symlink_metadata(&place)?.is_dir() {
        std::fs::remove_dir_all(place)
    } else {
        std::fs::remove_file(place)
    }
}

/// The report of the last run under `file`; `None` when there was none.
pub fn last(surroundings: &Surroundings, file: &ProfileFile) -> Result<Option<Changes>, StoreError> {
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid)?;
    let Some((path, text)) = store.changes(&file.path)? else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|source| StoreError::Damaged { path, line: 1, source })
}
