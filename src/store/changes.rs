//! What the last run under each profile changed, as its report says it.

use std::io;
use std::path::{Path, PathBuf};

use super::approvals::key;
use super::atomic::refresh;
use super::{Store, StoreError};

impl Store {
    /// Keeps the report of a run of `profile` in the place of the one before.
    pub fn keep_changes(&self, profile: &Path, report: &[u8]) -> Result<(), StoreError> {
        let path = self.dir("changes")?.join(format!("{}.json", key(profile)));
        // A run mostly changes what the one before changed: nothing.
        if std::fs::read(&path).is_ok_and(|last| last == report) {
            return Ok(());
        }
        refresh(&path, report).map_err(|source| StoreError::Write { path, source })
    }

    /// The report of the last run of `profile`, and the file that holds it.
    pub fn changes(&self, profile: &Path) -> Result<Option<(PathBuf, Vec<u8>)>, StoreError> {
        let path = self.root().join("changes").join(format!("{}.json", key(profile)));
        match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Read { path, source }),
            Ok(text) => Ok(Some((path, text))),
        }
    }
}
