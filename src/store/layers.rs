//! Where the changes of runs lie that wait for a person, a directory for each profile.

use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::approvals::key;
use super::{Store, StoreError};

/// The directory of one profile, held by this process alone.
#[derive(Debug)]
pub struct Room {
    /// The directory.
    pub path: PathBuf,
    _held: Flock<std::fs::File>,
}

impl Store {
    /// The room of `profile`; `None` while a run or a review holds it.
    pub fn room(&self, profile: &Path) -> Result<Option<Room>, StoreError> {
        let path = self.dir("layers")?.join(key(profile));
        let wrong = |source| StoreError::Directory { path: path.clone(), source };
        std::fs::create_dir_all(&path).map_err(wrong)?;
        let held = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(path.join("lock"));
        match Flock::lock(held.map_err(wrong)?, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Ok(Some(Room { path, _held: held })),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(wrong(errno.into())),
        }
    }
}
