//! What may be done with a place in the file system, as a chain: each access holds those before it.

use serde::{Deserialize, Serialize};

/// An access to a path. The order is the order of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// `"exist"`: the name is there with its type, size and times; a symlink with its text; contents are not readable.
    Exist,
    /// `"read"`: contents may be read, listed, mapped and executed; for a directory, of everything beneath.
    Read,
    /// `"write"`: for a directory, anything beneath may be created, changed, renamed and removed.
    Write,
    /// `"replace"`: a file that is rewritten by renaming a temporary file over it, in a directory that is not granted.
    Replace,
}

impl Access {
    /// The word in profiles.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exist => "exist",
            Self::Read => "read",
            Self::Write => "write",
            Self::Replace => "replace",
        }
    }

    /// Whether this access lets contents be changed.
    pub fn writes(self) -> bool {
        self >= Self::Write
    }
}

impl std::fmt::Display for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
