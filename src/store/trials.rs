//! Enforced runs of each profile: a line a run, with what was refused. They keep the figure of confidence alive.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::profile::evidence::Novelty;

use super::approvals::key;
use super::{Store, StoreError};

/// One enforced run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// The digest of the profile that was enforced.
    pub digest: String,
    /// Seconds since the epoch at its end.
    pub when: u64,
    /// Kinds of refusals that a line of a profile could have allowed. Empty: it needed nothing new.
    pub refused: BTreeSet<Novelty>,
    /// Whether refused files would have been seen.
    pub sees_files: bool,
}

impl Store {
    /// Adds a trial of `profile`.
    pub fn add_trial(&self, profile: &Path, trial: &Trial) -> Result<(), StoreError> {
        let path = self.dir("trials")?.join(format!("{}.jsonl", key(profile)));
        let wrong = |source| StoreError::Write { path: path.clone(), source };
        let mut line = serde_json::to_vec(trial).map_err(|error| wrong(error.into()))?;
        // A line that broke off is ended first, so that it spoils no other.
        line.insert(0, b'\n');
        line.push(b'\n');
        let _lock = self.lock()?;
        let open = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        open.and_then(|mut file| file.write_all(&line)).map_err(wrong)
    }

    /// The trials of `profile` under this digest, oldest first. A line that broke off is none.
    pub fn trials(&self, profile: &Path, digest: &str) -> Result<Vec<Trial>, StoreError> {
        let path: PathBuf = self.root().join("trials").join(format!("{}.jsonl", key(profile)));
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(StoreError::Read { path, source }),
            Ok(text) => text,
        };
        let trials = text.lines().filter_map(|line| serde_json::from_str::<Trial>(line).ok());
        Ok(trials.filter(|trial| trial.digest == digest).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_are_counted_by_digest_and_a_line_that_broke_off_spoils_no_other() {
        let root = std::env::temp_dir().join(format!("pinfold-trials-{}", std::process::id()));
        let store = Store::open(&root, nix::unistd::getuid().as_raw()).unwrap();
        let profile = Path::new("/p/generated-profiles/a.toml");
        let trial = |digest: &str| Trial {
            digest: digest.to_owned(),
            when: 1,
            refused: [Novelty::Syscall].into(),
            sees_files: false,
        };
        store.add_trial(profile, &trial("sha256:1")).unwrap();
        let file = root.join("trials").join(format!("{}.jsonl", key(profile)));
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str("{\"digest\":\"sha2");
        std::fs::write(&file, text).unwrap();
        store.add_trial(profile, &trial("sha256:1")).unwrap();
        store.add_trial(profile, &trial("sha256:2")).unwrap();
        assert_eq!(store.trials(profile, "sha256:1").unwrap(), [trial("sha256:1"), trial("sha256:1")]);
        assert_eq!(store.trials(profile, "sha256:3").unwrap(), []);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
