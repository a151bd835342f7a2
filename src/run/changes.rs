//! The report on what the last run changed: kept beside the approvals, out of every sandbox's reach.

use std::io;
use std::path::{Path, PathBuf};

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

/// Puts a file whose commands changed back as it was, and what the run made of it beside it, where nobody obeys it.
pub fn hold(path: &AbsPath, before: &[u8]) -> io::Result<PathBuf> {
    let place = path.to_path_buf();
    let meta = std::fs::symlink_metadata(&place)?;
    let above = place.parent().ok_or(io::ErrorKind::InvalidInput)?;
    // The run may have made a symlink of a directory above: nothing is put elsewhere.
    if meta.is_dir() || std::fs::canonicalize(above)? != above {
        return Err(io::Error::other("it is no file any more, or lies elsewhere"));
    }
    let held = beside(&place);
    std::fs::rename(&place, &held)?;
    crate::store::replace(&place, before)?;
    let mode = if meta.is_file() { std::os::unix::fs::MetadataExt::mode(&meta) & 0o777 } else { 0o644 };
    std::fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    Ok(held)
}

/// `NAME.held`, or with a number where the run, or a person, has that name taken.
fn beside(place: &Path) -> PathBuf {
    let named = |end: String| {
        let mut name = place.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let free =
        |path: &PathBuf| std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let mut names =
        std::iter::once(".held".to_owned()).chain((2..1000).map(|number| format!(".held-{number}"))).map(named);
    // Thousands are there on purpose: then it is put where no program can guess.
    names.find(free).unwrap_or_else(|| named(format!(".held-{}", crate::sys::process::random_name())))
}

/// The report of the last run under `file`; `None` when there was none.
pub fn last(surroundings: &Surroundings, file: &ProfileFile) -> Result<Option<Changes>, StoreError> {
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid)?;
    let Some((path, text)) = store.changes(&file.path)? else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|source| StoreError::Damaged { path, line: 1, source })
}
