//! Profiles, approvals, evidence and traces on disk.
//!
//! Everything that decides what may run lives in one state directory, which no sandbox ever shows; a profile lives in the
//! project, where people review it, and counts only with an approval from here. Files are replaced atomically and only by
//! complete ones; writers take a lock. The store moves text and bytes: it parses no profile and no trace.

pub mod approvals;
mod atomic;
pub mod changes;
pub mod evidence;
pub mod layers;
pub mod refusals;
pub mod traces;
pub mod trials;

use std::io;
use std::path::{Path, PathBuf};

pub use atomic::replace;

/// The state directory.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A directory of the store cannot be made, or others may write to it.
    #[error("cannot use the state directory {}", .path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written; what was there before still is.
    #[error("cannot write {}; what was there is unchanged", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing can be added to a file.
    #[error("cannot add to {}", .path.display())]
    Append {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record of the store is not what this program wrote.
    #[error("{} is damaged at line {line}", .path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Where.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

impl Store {
    /// Opens the store at `root`, making it with mode 0700. A directory that belongs to somebody else is refused: whoever
    /// can write here decides what runs.
    pub fn open(root: &Path, uid: u32) -> Result<Self, StoreError> {
        use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
        let wrong = |source| StoreError::Directory { path: root.to_path_buf(), source };
        if let Some(above) = root.parent() {
            std::fs::create_dir_all(above).map_err(wrong)?;
        }
        match std::fs::DirBuilder::new().mode(0o700).create(root) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(wrong(error)),
            Ok(()) | Err(_) => {}
        }
        let meta = std::fs::symlink_metadata(root).map_err(wrong)?;
        if !meta.is_dir() {
            return Err(wrong(io::Error::other("it is not a directory")));
        }
        if meta.uid() != uid {
            return Err(wrong(io::Error::other(format!("it belongs to user {}, not to user {uid}", meta.uid()))));
        }
        if meta.permissions().mode() & 0o022 != 0 {
            return Err(wrong(io::Error::other("others may write to it; `chmod go-w` it first")));
        }
        Ok(Self { root: root.to_path_buf() })
    }

    /// Where the store is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn dir(&self, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.root.join(name);
        std::fs::create_dir_all(&path).map_err(|source| StoreError::Directory { path: path.clone(), source })?;
        Ok(path)
    }
}
