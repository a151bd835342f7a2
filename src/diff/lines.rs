//! Profile × Profile → the lines that differ, in the notation of the file.
//!
//! Invariant: there is no change if and only if both have the same digest; reasons and the name are not compared. Changes
//! are in the order of the file. It does not judge them.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::profile::digest::meaning;
use crate::profile::emit::{command, incomplete, net_grant, path_grant, quote, secret};
use crate::profile::{Profile, Protect};

/// One grant that differs. Its texts are escaped as in files, so they are harmless on a terminal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// Where in the file.
    #[serde(serialize_with = "section_name")]
    pub section: Section,
    /// The line without its value: `"/usr"` with its quotes, `allow "ptrace"`, `base`.
    pub key: String,
    /// What the second profile has that the first has not.
    #[serde(flatten)]
    pub kind: Kind,
}

/// How a grant differs. An element of a list has an empty value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// Only the second has it.
    Added {
        /// Its value.
        new: String,
    },
    /// Only the first has it.
    Removed {
        /// Its value.
        old: String,
    },
    /// Both have it, differently.
    Changed {
        /// Value in the first.
        old: String,
        /// Value in the second.
        new: String,
    },
}

/// A section of the file, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Section {
    /// What stands above the sections.
    Top,
    /// `[filesystem]`
    Filesystem,
    /// `[network]`
    Network,
    /// `[syscalls]`
    Syscalls,
    /// `[syscalls.arguments]`
    Arguments,
    /// `[environment]`
    Environment,
    /// `[secrets]`
    Secrets,
    /// `[limits]`
    Limits,
}

impl Section {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Top,
        Self::Filesystem,
        Self::Network,
        Self::Syscalls,
        Self::Arguments,
        Self::Environment,
        Self::Secrets,
        Self::Limits,
    ];

    /// Its name in files; empty for the top.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::Filesystem => "filesystem",
            Self::Network => "network",
            Self::Syscalls => "syscalls",
            Self::Arguments => "syscalls.arguments",
            Self::Environment => "environment",
            Self::Secrets => "secrets",
            Self::Limits => "limits",
        }
    }
}

fn section_name<S: Serializer>(section: &Section, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(section.as_str())
}

/// The words of a command, each quoted only where it must be: as one reads it.
pub(super) fn quoted_command(words: &[String]) -> String {
    let plain = |word: &String| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./=:@%+,".contains(&b))
    };
    let words: Vec<_> = words.iter().map(|word| if plain(word) { word.clone() } else { quote(word) }).collect();
    words.join(" ")
}

/// The grants in which `new` differs from `old`.
pub fn diff(old: &Profile, new: &Profile) -> Vec<Change> {
    let (old, mut new) = (lines(old), lines(new));
    let mut changes = Vec::new();
    for (place, old) in old {
        let kind = match new.remove(&place) {
            Some(new) if new == old => continue,
            Some(new) => Kind::Changed { old, new },
            None => Kind::Removed { old },
        };
        changes.push(Change { section: place.0, key: place.1, kind });
    }
    changes.extend(new.into_iter().map(|((section, key), new)| Change { section, key, kind: Kind::Added { new } }));
    changes.sort();
    changes
}

/// A profile as lines: key and value of each.
fn lines(profile: &Profile) -> BTreeMap<(Section, String), String> {
    let profile = meaning(profile);
    let mut lines = BTreeMap::new();
    let mut line = |section, key: String, value: String| drop(lines.insert((section, key), value));
    line(Section::Top, "command".to_owned(), command(&profile.command));
    if let Some(lack) = &profile.incomplete {
        line(Section::Top, "incomplete".to_owned(), incomplete(lack));
    }
    for lack in &profile.tolerate {
        line(Section::Top, format!("tolerate {}", quote(lack.as_str())), String::new());
    }
    if profile.nested_sandbox {
        line(Section::Top, "nested_sandbox".to_owned(), "true".to_owned());
    }
    if profile.protect != Protect::default() {
        line(Section::Top, "protect".to_owned(), quote(profile.protect.as_str()));
    }
    for (location, grant) in &profile.filesystem {
        line(Section::Filesystem, quote(&location.to_string()), path_grant(grant));
    }
    for (target, grant) in &profile.network {
        line(Section::Network, quote(&target.to_string()), net_grant(target, grant));
    }
    let syscalls = &profile.syscalls;
    line(Section::Syscalls, "base".to_owned(), syscalls.base.to_string());
    for (list, calls) in [("allow", &syscalls.allow), ("approved", &syscalls.approved)] {
        for call in calls {
            line(Section::Syscalls, format!("{list} {}", quote(call.name())), String::new());
        }
    }
    for (call, words) in &syscalls.arguments {
        if words.is_empty() {
            line(Section::Arguments, call.name().to_owned(), "[]".to_owned());
        }
        for word in words {
            line(Section::Arguments, format!("{call} {}", quote(word)), String::new());
        }
    }
    for name in &profile.environment {
        line(Section::Environment, format!("pass {}", quote(name)), String::new());
    }
    for (name, from) in &profile.secrets {
        line(Section::Secrets, quote(name), secret(from));
    }
    for (key, value) in profile.limits.lines() {
        line(Section::Limits, key.to_owned(), value);
    }
    for limit in &profile.limits.soft {
        line(Section::Limits, format!("soft {}", quote(limit.key())), String::new());
    }
    lines
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = match &self.kind {
            Kind::Added { .. } => '+',
            Kind::Removed { .. } => '-',
            Kind::Changed { .. } => '~',
        };
        write!(f, "{sign} ")?;
        if self.section != Section::Top {
            write!(f, "[{}] ", self.section.as_str())?;
        }
        f.write_str(&self.key)?;
        match &self.kind {
            Kind::Added { new: value } | Kind::Removed { old: value } if value.is_empty() => Ok(()),
            Kind::Added { new: value } | Kind::Removed { old: value } => write!(f, " = {value}"),
            Kind::Changed { old, new } => write!(f, " = {old} -> {new}"),
        }
    }
}
