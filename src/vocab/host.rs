//! What a machine offers and how the named places look on it, as plain data: `probe` fills it, `plan` reads it.

use std::collections::BTreeMap;

use super::location::Roots;
use super::path::AbsPath;
use super::proxy::{Proxies, ProxyError};

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
    /// How many names it has.
    pub names: u64,
}

/// What a granted place was when a person said yes to the grant: if it became something else since, the yes was not to that.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembered {
    /// Its type.
    pub kind: FileKind,
    /// Its owner.
    pub uid: u32,
    /// How many names it had; for a regular file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<u64>,
    /// Where a symlink led, escaped as in files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

impl Remembered {
    /// What `seen` is.
    pub fn of(seen: &Seen) -> Self {
        Self {
            kind: seen.kind,
            uid: seen.uid,
            names: (seen.kind == FileKind::File).then_some(seen.names),
            link: seen.link.as_ref().map(|text| super::escape::file(text)),
        }
    }

    /// In which way `now` is something else; `None` when it is not. A second name counts where `names` do: what is written
    /// by one name is changed under all.
    pub fn differs(&self, now: &Seen, names: Names) -> Option<String> {
        let now = Self::of(now);
        if self.kind != now.kind {
            return Some(format!(
                "it was a {} when this was approved, and is a {} now",
                self.kind.word(),
                now.kind.word()
            ));
        }
        if self.uid != now.uid {
            return Some(format!(
                "it belonged to the user {} when this was approved, and to {} now",
                self.uid, now.uid
            ));
        }
        if self.link != now.link {
            return Some("it is a symlink that led elsewhere when this was approved".to_owned());
        }
        let second = self.names == Some(1) && now.names.is_some_and(|names| names > 1);
        (names == Names::Count && second)
            .then(|| "it has a second name, which it had not when this was approved: a hard link".to_owned())
    }
}

/// Whether it matters that a file has several names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// It does.
    Count,
    /// It does not.
    AreFree,
}

impl FileKind {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "directory",
            Self::Symlink => "symlink",
            Self::Device => "device",
            Self::Socket => "socket",
            Self::Fifo => "pipe",
        }
    }
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
    /// What places were when the profile was approved on this machine.
    pub remembered: BTreeMap<AbsPath, Remembered>,
    /// The newest ABI of Landlock; `None` where the kernel has none.
    pub landlock: Option<u32>,
    /// Why this machine refuses namespaces; `None` where it does not, or where nobody asked because the profile needs them.
    pub no_namespaces: Option<String>,
    /// How it reaches the outside, if that can be told.
    pub proxies: Result<Proxies, ProxyError>,
    /// Whether there is a FUSE device that may be opened.
    pub fuse: bool,
}

impl Host {
    /// How `path` looks here; `None` when absent or not looked at.
    pub fn look(&self, path: &AbsPath) -> Option<&Seen> {
        self.seen.get(path).and_then(Option::as_ref)
    }
}
