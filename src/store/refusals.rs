//! What runs were refused, a line a run, kept by profile and bounded.

use std::io;
use std::path::{Path, PathBuf};

use super::approvals::key;
use super::{Store, StoreError, replace};

/// Runs that are kept of one profile.
const RUNS: usize = 50;
/// Bytes that are kept of one profile, but for the last run.
const BYTES: usize = 1 << 20;

impl Store {
    /// Keeps a line for a run of `profile`; the oldest go when there are too many.
    pub fn keep_refusals(&self, profile: &Path, line: &str) -> Result<(), StoreError> {
        let path = self.refusals_file(profile)?;
        let _lock = self.lock()?;
        let mut lines = self.refusals(profile)?;
        lines.push(line.to_owned());
        let mut size = 0;
        let fits = |line: &&String| {
            size += line.len() + 1;
            size <= BYTES || size == line.len() + 1
        };
        let kept = lines.iter().rev().take(RUNS).take_while(fits).count();
        let kept = lines.split_off(lines.len() - kept);
        replace(&path, (kept.join("\n") + "\n").as_bytes()).map_err(|source| StoreError::Write { path, source })
    }

    /// The lines of `profile`, oldest first.
    pub fn refusals(&self, profile: &Path) -> Result<Vec<String>, StoreError> {
        let path = self.refusals_file(profile)?;
        match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(StoreError::Read { path, source }),
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        }
    }

    fn refusals_file(&self, profile: &Path) -> Result<PathBuf, StoreError> {
        Ok(self.dir("refusals")?.join(format!("{}.jsonl", key(profile))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_runs_are_kept_and_a_flood_of_them_is_not() {
        let root = std::env::temp_dir().join(format!("pinfold-refusals-{}", std::process::id()));
        let store = Store::open(&root, nix::unistd::getuid().as_raw()).unwrap();
        let profile = Path::new("/p/a.toml");
        for run in 0..60 {
            store.keep_refusals(profile, &run.to_string()).unwrap();
        }
        let lines = store.refusals(profile).unwrap();
        assert_eq!((lines.len(), lines[0].as_str(), lines[49].as_str()), (50, "10", "59"));
        store.keep_refusals(profile, &"x".repeat(BYTES + 1)).unwrap();
        assert_eq!(store.refusals(profile).unwrap().len(), 1);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
