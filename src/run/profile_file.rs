//! The profile file of a command: where it lies, what it says, and whether that was approved.

use std::path::{Path, PathBuf};

use crate::profile::{self, Profile, parse::ParseError};
use crate::store::{Store, StoreError};

use super::surroundings::resolve_deepest;

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
    /// It does not say what a profile says.
    #[error("{}:{problem}", .path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Where and why; its message begins with line and column.
        problem: ParseError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads a profile; `None` when there is no such file.
pub fn load(path: &Path) -> Result<Option<ProfileFile>, ProfileFileError> {
    let path = &absolute(path);
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ProfileFileError::Read { path: path.clone(), source }),
        Ok(text) => text,
    };
    let profile =
        profile::parse::parse(&text).map_err(|problem| ProfileFileError::Parse { path: path.clone(), problem })?;
    let digest = profile::digest::digest(&profile).to_string();
    Ok(Some(ProfileFile { path: path.clone(), text, profile, digest }))
}

/// Writes `profile` to `path`, keeping the comments that a person wrote into what stands there.
pub fn save(path: &Path, profile: &Profile) -> Result<ProfileFile, ProfileFileError> {
    let path = &absolute(path);
    let previous = load(path)?.map(|file| file.text);
    let text = profile::emit::emit(profile, previous.as_deref());
    crate::store::replace(path, text.as_bytes())
        .map_err(|source| ProfileFileError::Write { path: path.clone(), source })?;
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
