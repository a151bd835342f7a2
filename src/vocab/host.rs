//! What a machine offers and how the named places look on it, as plain data: `probe` fills it, `plan` reads it.

use std::collections::BTreeMap;

use super::location::Roots;
use super::path::AbsPath;

/// The host name inside of a sandbox: by it, and by the filter, another pinfold knows that it is in one.
pub const SANDBOX_NAME: &str = "pinfold";

/// The type of a file system object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link itself.
    Symlink,
    /// A character or block device.
    Device,
    /// A socket file.
    Socket,
    /// A named pipe.
    Fifo,
}

/// How one path looks on this machine (lstat(2): a symlink is not followed).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its type.
    pub kind: FileKind,
    /// Permission bits, without the type.
    pub mode: u32,
    /// Size in bytes.
    pub size: u64,
    /// Last modification, seconds since the epoch.
    pub modified: i64,
    /// Owner.
    pub uid: u32,
    /// For a symlink its text.
    pub link: Option<Vec<u8>>,
}

/// Who the agent runs as: always the caller, mapped to the same number inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// User id outside and inside.
    pub uid: u32,
    /// Group id outside and inside.
    pub gid: u32,
}

/// Everything that a plan needs to know of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The caller.
    pub identity: Identity,
    /// Where the variables lead.
    pub roots: Roots,
    /// The working directory of the run, resolved.
    pub workdir: AbsPath,
    /// The places that were looked at; a place that was looked at and is absent maps to `None`.
    pub seen: BTreeMap<AbsPath, Option<Seen>>,
    /// Names of the variables in the caller's environment.
    pub environment: std::collections::BTreeSet<String>,
    /// pinfold's own state directory: in no sandbox, whatever a profile says.
    pub state_dir: AbsPath,
    /// The newest ABI of Landlock; `None` where the kernel has none.
    pub landlock: Option<u32>,
}

impl Host {
    /// How `path` looks here; `None` when absent or not looked at.
    pub fn look(&self, path: &AbsPath) -> Option<&Seen> {
        self.seen.get(path).and_then(Option::as_ref)
    }
}
