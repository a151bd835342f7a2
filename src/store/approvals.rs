//! Which profiles a person approved on this machine: digests, and the text that was approved last for each profile file.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::vocab::host::Remembered;
use crate::vocab::location::Location;
use crate::vocab::path::AbsPath;

use super::{Store, StoreError, replace};

/// One approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// `sha256:…` over the profile's meaning.
    pub digest: String,
    /// The profile file it was read from.
    #[serde(with = "as_text")]
    pub profile: PathBuf,
    /// Seconds since the epoch.
    pub when: u64,
    /// How: `"asked"`, `"--accept-learned=own"`, ...
    pub how: String,
    /// Who: the name of the user.
    #[serde(default)]
    pub who: String,
    /// Why, in that person's words.
    #[serde(default)]
    pub why: Option<String>,
    /// Seconds since the epoch from which on it does not count any more.
    #[serde(default)]
    pub expires: Option<u64>,
    /// The text of the profile as approved.
    pub text: String,
    /// What the bundles opened that it names.
    #[serde(default)]
    pub bundles: BTreeMap<String, BTreeSet<Location>>,
    /// What the granted places were.
    #[serde(default)]
    pub places: BTreeMap<AbsPath, Remembered>,
}

/// A path, of whatever bytes, as text.
mod as_text {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::vocab::escape;

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&escape::file(path.as_os_str().as_bytes()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Earlier versions wrote it as it is, if they could.
        let bytes = escape::unfile(&text).unwrap_or_else(|_| text.into_bytes());
        Ok(PathBuf::from(OsString::from_vec(bytes)))
    }
}

impl Approval {
    /// Whether its time is over; `now` in seconds since the epoch.
    pub fn is_over(&self, now: u64) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }
}

/// Seconds since the epoch.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

impl Store {
    /// Whether a profile of this meaning was approved for this file, for a time that is not over.
    pub fn is_approved(&self, profile: &Path, digest: &str) -> Result<bool, StoreError> {
        Ok(self.approval(profile, digest)?.is_some_and(|approval| !approval.is_over(now())))
    }

    /// The approval of a profile of this meaning for this file.
    pub fn approval(&self, profile: &Path, digest: &str) -> Result<Option<Approval>, StoreError> {
        Ok(self.approvals(profile)?.into_iter().find(|approval| approval.digest == digest))
    }

    /// The approval that was given last for this file.
    pub fn last_approval(&self, profile: &Path) -> Result<Option<Approval>, StoreError> {
        Ok(self.approvals(profile)?.pop())
    }

    /// Records an approval; the newest stands last.
    pub fn approve(&self, approval: &Approval) -> Result<(), StoreError> {
        let path = self.approval_file(&approval.profile)?;
        let wrong = |source| StoreError::Write { path: path.clone(), source };
        let _lock = self.lock()?;
        let mut all = self.approvals(&approval.profile)?;
        all.retain(|old| old.digest != approval.digest);
        all.push(approval.clone());
        let mut bytes = Vec::new();
        for approval in &all {
            serde_json::to_writer(&mut bytes, approval).map_err(|error| wrong(error.into()))?;
            bytes.push(b'\n');
        }
        replace(&path, &bytes).map_err(wrong)
    }

    /// Every approval for this file, oldest first.
    pub fn approvals(&self, profile: &Path) -> Result<Vec<Approval>, StoreError> {
        let path = self.approval_file(profile)?;
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(StoreError::Read { path, source }),
            Ok(text) => text,
        };
        let damaged = |(line, source)| StoreError::Damaged { path: path.clone(), line, source };
        let parse = |(index, line)| serde_json::from_str(line).map_err(|error| (index + 1, error));
        text.lines().enumerate().map(parse).collect::<Result<_, _>>().map_err(damaged)
    }

    fn approval_file(&self, profile: &Path) -> Result<PathBuf, StoreError> {
        Ok(self.dir("approvals")?.join(format!("{}.jsonl", key(profile))))
    }

    pub(super) fn lock(&self) -> Result<nix::fcntl::Flock<std::fs::File>, StoreError> {
        let path = self.root().join("lock");
        let wrong = |source| StoreError::Write { path: path.clone(), source };
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(wrong)?;
        nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).map_err(|(_, errno)| wrong(errno.into()))
    }
}

/// A file name for a profile: its stem for people, and a digest of its whole path, so that the same name in two projects
/// does not share an approval.
pub(super) fn key(profile: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let stem = profile.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let readable: String = stem.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    let digest = Sha256::digest(profile.as_os_str().as_bytes());
    let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{readable}-{short}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_holds_for_one_file_and_one_digest_and_survives_reopening() {
        let root = std::env::temp_dir().join(format!("pinfold-approvals-{}", std::process::id()));
        let uid = nix::unistd::getuid().as_raw();
        let store = Store::open(&root, uid).unwrap();
        let file = PathBuf::from("/p/generated-profiles/a.toml");
        let approval = Approval {
            digest: "sha256:1".into(),
            profile: file.clone(),
            when: 1,
            how: "asked".into(),
            who: "a".into(),
            why: Some("reviewed".into()),
            expires: None,
            bundles: BTreeMap::new(),
            text: "x\n".into(),
            places: BTreeMap::new(),
        };
        store.approve(&approval).unwrap();
        let store = Store::open(&root, uid).unwrap();
        assert!(store.is_approved(&file, "sha256:1").unwrap());
        assert!(!store.is_approved(&file, "sha256:2").unwrap());
        assert!(!store.is_approved(Path::new("/q/generated-profiles/a.toml"), "sha256:1").unwrap());
        assert_eq!(store.last_approval(&file).unwrap(), Some(approval.clone()));
        store.approve(&Approval { expires: Some(2), ..approval }).unwrap();
        assert!(!store.is_approved(&file, "sha256:1").unwrap(), "its time is over");
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_state_directory_that_others_may_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let root = std::env::temp_dir().join(format!("pinfold-open-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Store::open(&root, nix::unistd::getuid().as_raw()).is_err());
        std::fs::remove_dir_all(&root).unwrap();
    }
}
