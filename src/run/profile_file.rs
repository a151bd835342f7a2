//! The profile file of a command: where it lies, what it says, and whether that was approved.

use std::path::{Path, PathBuf};

use crate::profile::{self, Profile, parse::ParseError};
use crate::store::{Store, StoreError};

use super::bundles::{self, BundleFileError};
use super::surroundings::resolve_deepest;

/// More than this is no profile.
const CAP: u64 = 16 << 20;

/// A profile as read from its file.
#[derive(Debug, Clone)]
pub struct ProfileFile {
    /// Absolute path, resolved.
    pub path: PathBuf,
    /// The text.
    pub text: String,
    /// Its meaning.
    pub profile: Profile,
    /// `sha256:…` over the meaning.
    pub digest: String,
}

/// Why a profile file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileFileError {
    /// It cannot be read.
    #[error("cannot read the profile {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be written; what was there is unchanged.
    #[error("cannot write the profile {}; what was there is unchanged", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something else stands there than what the caller knew.
    #[error("{} was changed, or a directory above it replaced, since it was read: nothing was written", .path.display())]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// It does not say what a profile says.
    #[error("{}:{problem}", .path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Where and why; its message begins with line and column.
        problem: ParseError,
    },
    /// A bundle that it names is not as it should be.
    #[error(transparent)]
    Bundle(#[from] BundleFileError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads a profile; `None` when there is no such file.
pub fn load(path: &Path) -> Result<Option<ProfileFile>, ProfileFileError> {
    let path = &absolute(path);
    read_text(path)?.map(|text| from_text(path, text)).transpose()
}

/// The profile that `text` is, as if it had been read from `path`.
pub fn from_text(path: &Path, text: String) -> Result<ProfileFile, ProfileFileError> {
    let path = path.to_path_buf();
    let profile = parse(&text, &path)?;
    let digest = profile::digest::digest(&profile).to_string();
    Ok(ProfileFile { path, text, profile, digest })
}

fn parse(text: &str, path: &Path) -> Result<Profile, ProfileFileError> {
    let trouble = std::cell::RefCell::new(None);
    let named = |name: &str| bundles::named(name).unwrap_or_else(|error| trouble.replace(Some(error)).and(None));
    let parsed = profile::parse::parse_with(text, &named);
    match trouble.into_inner() {
        Some(error) => Err(error.into()),
        None => parsed.map_err(|problem| ProfileFileError::Parse { path: path.to_path_buf(), problem }),
    }
}

/// What a text of a profile meant that this program wrote itself; `None` where it is no profile any more.
pub fn remembered(text: &str) -> Option<Profile> {
    profile::parse::parse_with(text, &|name| bundles::named(name).ok().flatten()).ok()
}

fn read_text(path: &Path) -> Result<Option<String>, ProfileFileError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // A pipe in its place would be waited for, and a device read for ever.
    let open = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let read = open.and_then(|file| {
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("it is not a regular file"));
        }
        // A part of it would be another profile.
        if file.metadata()?.len() > CAP {
            return Err(std::io::Error::other("it is larger than 16 MiB"));
        }
        std::io::read_to_string(std::io::Read::take(file, CAP))
    });
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ProfileFileError::Read { path: path.to_path_buf(), source }),
        Ok(text) => Ok(Some(text)),
    }
}

/// Writes `profile` in the place of `previous`, as it was read before the agent ran or a person was asked, keeping the
/// comments that a person wrote into it. Whatever stands there instead by now is not touched: an agent may have put it
/// there, to be taken for the person's words or to lead the writer elsewhere.
pub fn save(path: &Path, profile: &Profile, previous: Option<&ProfileFile>) -> Result<ProfileFile, ProfileFileError> {
    let path = &path.to_path_buf();
    let known = previous.map(|file| file.text.as_str());
    if absolute(path) != *path || !read_text(path).is_ok_and(|now| now.as_deref() == known) {
        return Err(ProfileFileError::Changed { path: path.clone() });
    }
    let text = profile::emit::emit(profile, known);
    let written = if text.len() as u64 > CAP {
        Err(std::io::Error::other("it would be larger than 16 MiB, and such a one is not read"))
    } else {
        crate::store::replace(path, text.as_bytes())
    };
    written.map_err(|source| ProfileFileError::Write { path: path.clone(), source })?;
    let digest = profile::digest::digest(profile).to_string();
    Ok(ProfileFile { path: path.clone(), text, profile: profile.clone(), digest })
}

impl ProfileFile {
    /// Whether this meaning was approved for this file on this machine.
    pub fn is_approved(&self, store: &Store) -> Result<bool, StoreError> {
        store.is_approved(&self.path, &self.digest)
    }
}

/// The file's path with its directory resolved, so that an approval does not depend on how the file was named.
pub fn absolute(path: &Path) -> PathBuf {
    let joined = std::env::current_dir().map(|here| here.join(path)).unwrap_or_else(|_| path.to_path_buf());
    match (joined.parent(), joined.file_name()) {
        (Some(dir), Some(name)) => resolve_deepest(dir).join(name),
        _ => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::PathGrant;
    use crate::vocab::access::Access;

    #[test]
    fn a_profile_that_would_not_be_read_is_not_written_and_what_was_there_stays() {
        let dir = std::env::temp_dir().join(format!("pinfold-profile-file-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = absolute(&dir.join("x.toml"));
        let text = "schema = 1\nname = \"x\"\ncommand = [\"x\"]\n\n[syscalls]\nbase = 1\n";
        let mut profile = from_text(&path, text.to_owned()).unwrap().profile;
        let small = save(&path, &profile, None).unwrap();
        let grant = PathGrant { access: Access::Read, sensitive: None, approved: true, reason: None };
        let long = "x".repeat(4_000);
        for number in 0..4_500 {
            profile.filesystem.insert(format!("/srv/{number:05}/{long}").parse().unwrap(), grant.clone());
        }
        let error = save(&path, &profile, Some(&small)).unwrap_err();
        assert!(matches!(error, ProfileFileError::Write { .. }), "{error:?}");
        assert_eq!(load(&path).unwrap().unwrap().text, small.text);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
