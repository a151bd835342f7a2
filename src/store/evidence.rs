//! What stands behind each profile, one file a profile, replaced as a whole.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::approvals::key;
use super::{Store, StoreError, replace};

impl Store {
    /// Keeps the evidence of `profile` in place of what was kept before.
    pub fn keep_evidence(&self, profile: &Path, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let path = self.dir("evidence")?.join(format!("{}.jsonl", key(profile)));
        let _lock = self.lock()?;
        replace(&path, bytes).map_err(|source| StoreError::Write { path: path.clone(), source })?;
        Ok(path)
    }

    /// The evidence of `profile` and where it lies, if any is kept.
    pub fn evidence(&self, profile: &Path) -> Result<Option<(File, PathBuf)>, StoreError> {
        let path = self.root().join("evidence").join(format!("{}.jsonl", key(profile)));
        match File::open(&path) {
            Ok(file) => Ok(Some((file, path))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Read { path, source }),
        }
    }
}
