//! Traces, one file a run, kept by profile.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::approvals::key;
use super::{Store, StoreError};

impl Store {
    /// A new trace file for a run of `profile`, and its path.
    pub fn new_trace(&self, profile: &Path, run: &str) -> Result<(File, PathBuf), StoreError> {
        let path = self.dir("traces")?.join(key(profile));
        std::fs::create_dir_all(&path).map_err(|source| StoreError::Directory { path: path.clone(), source })?;
        // Names sort by the time of their making. Two runs may begin within a second.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let path = path.join(format!("{:012}.{:09}-{run}.trace", now.as_secs(), now.subsec_nanos()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_within_one_second_are_kept_in_the_order_of_their_making() {
        let root = std::env::temp_dir().join(format!("pinfold-traces-{}", std::process::id()));
        let store = Store::open(&root, nix::unistd::getuid().as_raw()).unwrap();
        let profile = Path::new("/p/generated-profiles/a.toml");
        let made: Vec<PathBuf> =
            ["ff", "aa", "cc", "00"].iter().map(|run| store.new_trace(profile, run).unwrap().1).collect();
        assert_eq!(store.traces(profile).unwrap(), made);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
