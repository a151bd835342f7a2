//! Traces, one file a run, kept by profile.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::approvals::key;
use super::{Store, StoreError};

impl Store {
    /// A new trace file for a run of `profile`, and its path. Runs sort by start time.
    pub fn new_trace(&self, profile: &Path, started: u64, run: &str) -> Result<(File, PathBuf), StoreError> {
        let path = self.dir("traces")?.join(key(profile));
        std::fs::create_dir_all(&path).map_err(|source| StoreError::Directory { path: path.clone(), source })?;
        let path = path.join(format!("{started:012}-{run}.trace"));
        let open = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        match open {
            Ok(file) => Ok((file, path)),
            Err(source) => Err(StoreError::Write { path, source }),
        }
    }

    /// The traces of `profile`, oldest first.
    pub fn traces(&self, profile: &Path) -> Result<Vec<PathBuf>, StoreError> {
        let path = self.root().join("traces").join(key(profile));
        let wrong = |source| StoreError::Read { path: path.clone(), source };
        let entries = match std::fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(wrong)?,
        };
        let mut traces = Vec::new();
        for entry in entries {
            let path = entry.map_err(wrong)?.path();
            if path.extension().is_some_and(|extension| extension == "trace") {
                traces.push(path);
            }
        }
        traces.sort();
        Ok(traces)
    }
}
