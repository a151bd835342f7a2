//! A line of `[secrets]`: where a value comes from, and how the agent gets it. The value itself is never here.

use std::collections::BTreeMap;

use crate::vocab::location::Location;

/// A secret that the agent is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Where its value comes from when the agent starts.
    pub from: SecretSource,
    /// How the agent gets it.
    pub to: Delivery,
    /// A person said yes.
    pub approved: bool,
}

impl Secret {
    /// A variable of the caller's that is passed on, as learning finds them.
    pub fn variable() -> Self {
        Self { from: SecretSource::Env, to: Delivery::Variable, approved: false }
    }

    /// Whether no run can show it: a person wrote it.
    pub fn is_written_by_hand(&self) -> bool {
        self.from != SecretSource::Env || self.to != Delivery::Variable
    }
}

/// The sources of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// `"env"`: the variable of the same name in the caller's environment.
    Env,
    /// `"file"`: the contents of a file outside, read when the agent starts.
    File(Location),
    /// `"fd"`: what can be read from a descriptor that the caller left open.
    Descriptor(u32),
    /// `"command"`: what a command prints, run outside of the sandbox as the caller; its words escaped as in files.
    Command(Vec<String>),
}

impl SecretSource {
    /// Its word in files.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::File(_) => "file",
            Self::Descriptor(_) => "fd",
            Self::Command(_) => "command",
        }
    }
}

/// The ways of a secret into the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// `"env"`: as the variable's value, without a newline at its end.
    Variable,
    /// `"file"`: a read-only file in memory, whose path is the variable's value; at this place, or below /run/secrets.
    File(Option<Location>),
    /// `"fd"`: a sealed descriptor in memory, whose number is the variable's value.
    Descriptor,
}

impl Delivery {
    /// Its word in files.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Variable => "env",
            Self::File(_) => "file",
            Self::Descriptor => "fd",
        }
    }
}

/// Secrets by the name of the variable that tells the agent of them.
pub type Secrets = BTreeMap<String, Secret>;
