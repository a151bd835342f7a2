//! Which places are more than files: keys, credentials, names that the host executes, sockets of power.
//!
//! The table is data, in plain words that a reviewer reads. A name that is not in it is not thereby harmless.

use serde::{Deserialize, Serialize};

use super::location::{Base, Roots};
use super::path::AbsPath;

/// Why a place needs a person's word before it is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sensitivity {
    /// `"vault"`: private keys, cloud credentials, browser profiles, password stores, the Docker socket. Hidden even
    /// while learning.
    Vault,
    /// `"credential"`: a token or password of a program.
    Credential,
    /// `"host-executes"`: a name that the host runs or obeys later: start-up files, git hooks and configuration, editor
    /// tasks, units, `~/.local/bin`.
    HostExecutes,
    /// `"pinfold"`: pinfold's own state and profiles. Never granted.
    Pinfold,
}

impl Sensitivity {
    /// The word in profiles.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Credential => "credential",
            Self::HostExecutes => "host-executes",
            Self::Pinfold => "pinfold",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Where.
    pub place: Place,
    /// What it is.
    pub sensitivity: Sensitivity,
    /// Why, in words for a reviewer: "your SSH private keys".
    pub why: &'static str,
}

/// A pattern of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// This path below a variable, and everything beneath it.
    At(Base, &'static str),
    /// A component sequence anywhere below a variable (`.git/hooks` in any repository), and everything beneath it.
    Anywhere(Base, &'static str),
}

/// The row that covers `path`, the most powerful first; `None` for what the table does not know.
pub fn classify(path: &AbsPath, roots: &Roots) -> Option<&'static Row> {
    table().iter().find(|row| row.place.covers(path, roots))
}

impl Place {
    /// Whether `path` is the place or lies beneath it.
    pub fn covers(self, path: &AbsPath, roots: &Roots) -> bool {
        match self {
            Self::At(base, rest) => {
                roots.get(base).and_then(|top| top.join(rest).ok()).is_some_and(|place| path.is_beneath(&place))
            }
            Self::Anywhere(base, sequence) => {
                let Some(rest) = roots.get(base).and_then(|top| path.relative_to(&top).map(<[u8]>::to_vec)) else {
                    return false;
                };
                let parts: Vec<&[u8]> = rest.split(|&b| b == b'/').collect();
                let wanted: Vec<&[u8]> = sequence.as_bytes().split(|&b| b == b'/').collect();
                parts.windows(wanted.len()).any(|window| window == wanted)
            }
        }
    }
}

/// The whole table, in order of [`Sensitivity`].
pub fn table() -> &'static [Row] {
    use Place::{Anywhere, At};
    use Sensitivity::{Credential, HostExecutes, Vault};
    const fn row(place: Place, sensitivity: Sensitivity, why: &'static str) -> Row {
        Row { place, sensitivity, why }
    }
    const TABLE: &[Row] = &[
        row(At(Base::Home, ".ssh"), Vault, "your SSH keys"),
        row(At(Base::Home, ".gnupg"), Vault, "your GnuPG keys"),
        row(At(Base::Home, ".aws"), Vault, "your AWS credentials"),
        row(At(Base::Root, "run/docker.sock"), Vault, "the Docker socket: root on this machine"),
        row(At(Base::Home, ".netrc"), Credential, "passwords for hosts"),
        row(At(Base::Home, ".bashrc"), HostExecutes, "your shell runs it at every start"),
        row(Anywhere(Base::Project, ".git/hooks"), HostExecutes, "git runs it outside the sandbox"),
    ];
    TABLE
}
