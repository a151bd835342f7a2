//! The profile file: what an agent may do, as a person reviews it.
//!
//! Turns canonical TOML into a [`Profile`] and back; keeps comments that a person wrote; knows the digest over meaning. It
//! does not know how profiles are made or used. The format is specified in `docs/profile.md`.

pub mod asked;
mod comments;
pub mod digest;
pub mod emit;
pub mod evidence;
pub mod lines;
pub mod parse;
pub mod secret;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::event::GapKind;
use crate::vocab::access::Access;
use crate::vocab::bundle::Bundle;
use crate::vocab::endpoint::NetTarget;
pub use crate::vocab::limits::Limits;
use crate::vocab::location::Location;
use crate::vocab::sensitivity::Sensitivity;
use crate::vocab::syscall::Syscall;

pub use secret::{Delivery, Secret, SecretSource};

/// The schema that this build writes; older ones are read, newer ones are refused.
pub const SCHEMA: u32 = 1;

/// What an agent may do. Equality is equality of meaning; comments are not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// A name for people; also the file's stem.
    pub name: String,
    /// The words that a command must begin with to fall under this profile, escaped as in files: see
    /// [`Header::command`](crate::trace::Header::command).
    pub command: Vec<String>,
    /// Set when not all that the command did was observed: then a person must say yes before anything runs under it.
    pub incomplete: Option<Incomplete>,
    /// What a run may do without.
    pub tolerate: BTreeSet<Lack>,
    /// Whether the command may confine what it runs by namespaces and mounts of its own.
    pub nested_sandbox: bool,
    /// How names that the host executes are protected in what may be written.
    pub protect: Protect,
    /// Places.
    pub filesystem: BTreeMap<Location, PathGrant>,
    /// What each bundle opens that `filesystem` names, by name: part of what the profile means, and not of its text.
    pub bundles: BTreeMap<String, Bundle>,
    /// Peers. Empty: no network.
    pub network: BTreeMap<NetTarget, NetGrant>,
    /// System calls.
    pub syscalls: Syscalls,
    /// Variables that are passed on, by name; everything else is dropped.
    pub environment: BTreeSet<String>,
    /// Secrets by the name of the variable that the agent finds them in.
    pub secrets: BTreeMap<String, Secret>,
    /// Limits; absent ones are not set.
    pub limits: Limits,
}

/// What the evidence of a profile lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incomplete {
    /// Why; never empty.
    pub gaps: BTreeSet<GapKind>,
    /// A person said that it will do.
    pub approved: bool,
}

/// A protection that a machine may lack and that a person said the run may do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Lack {
    /// Landlock, the second wall behind the mounts.
    Landlock,
    /// Namespaces, and with them mounts: Landlock and the filter then stand alone.
    Namespaces,
}

impl Lack {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Landlock, Self::Namespaces];

    /// The words in files.
    pub const WORDS: [&'static str; 2] = [Self::Landlock.as_str(), Self::Namespaces.as_str()];

    /// Its word in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Landlock => "no-landlock",
            Self::Namespaces => "no-namespaces",
        }
    }
}

/// How names that the host executes are protected in what may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Protect {
    /// `"strict"`: what exists is read-only, and the supervisor lets no new one be made.
    Strict,
    /// `"scan"`: what exists is read-only, and new ones are told after the run.
    #[default]
    Scan,
}

impl Protect {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Strict, Self::Scan];

    /// Its word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Scan => "scan",
        }
    }
}

/// An allowance on a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathGrant {
    /// How far it goes.
    pub access: Access,
    /// Set when the place is in the sensitivity table: then it needs `approved`.
    pub sensitive: Option<Sensitivity>,
    /// A person said yes. Always true for what is not sensitive.
    pub approved: bool,
    /// Why, in a person's words.
    pub reason: Option<String>,
}

/// An allowance on a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetGrant {
    /// How.
    pub access: NetAccess,
    /// A person said yes.
    pub approved: bool,
    /// Why, in a person's words.
    pub reason: Option<String>,
}

/// What may be done with a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetAccess {
    /// `"relay"`: for `name:port`; what the program says first is read, and must be for that name.
    Relay,
    /// `"connect"`: for `name:port`.
    Connect,
    /// `"publish"`: for `@inside:port` alone.
    Publish,
    /// `"unconfined"`: for `@host` alone.
    Unconfined,
}

impl NetAccess {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Relay, Self::Connect, Self::Publish, Self::Unconfined];

    /// Its word in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Connect => "connect",
            Self::Publish => "publish",
            Self::Unconfined => "unconfined",
        }
    }

    /// The words in files.
    pub const WORDS: [&'static str; 4] =
        [Self::Relay.as_str(), Self::Connect.as_str(), Self::Publish.as_str(), Self::Unconfined.as_str()];

    /// The usual one for a target.
    pub fn usual(target: &NetTarget) -> Self {
        match target {
            NetTarget::Host => Self::Unconfined,
            NetTarget::Name(_) | NetTarget::Ports(_) => Self::Connect,
            NetTarget::Inside(_) => Self::Publish,
        }
    }

    /// Whether a line for `target` may have it.
    pub fn is_for(self, target: &NetTarget) -> bool {
        self == Self::usual(target) || self == Self::Relay && matches!(target, NetTarget::Name(_))
    }
}

/// The allow-list of system calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Syscalls {
    /// Version of the set that every program needs.
    pub base: u32,
    /// Calls beyond it.
    pub allow: BTreeSet<Syscall>,
    /// For calls whose arguments are ruled: the values that are allowed, in the words of `docs/profile.md`.
    pub arguments: BTreeMap<Syscall, BTreeSet<String>>,
    /// Calls of risk 4 that a person allowed: a subset of `allow`.
    pub approved: BTreeSet<Syscall>,
}
