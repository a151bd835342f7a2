//! Resource limits with the units that people write: `"2 GiB"`, `200`, `"200 %"`.
//!
//! What a limit is, by name and value. How it is held is the sandbox's matter.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An amount of bytes; in files `"512 MiB"`, exact: the largest binary unit that divides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (unit, size) =
            UNITS.into_iter().find(|(_, size)| self.0 != 0 && self.0.is_multiple_of(*size)).unwrap_or(("B", 1));
        write!(f, "{} {unit}", self.0 / size)
    }
}

/// Why a string is not a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// Not a number and a unit, or too large.
    #[error("`{0}` is not an amount such as `512 MiB`")]
    Bytes(String),
    /// Not an amount in a second.
    #[error("`{0}` is not a rate such as `50 MiB/s`")]
    Rate(String),
    /// Not a percentage.
    #[error("`{0}` is not a share such as `200 %`")]
    Percent(String),
}

impl std::str::FromStr for Bytes {
    type Err = LimitError;
    fn from_str(text: &str) -> Result<Self, LimitError> {
        let wrong = || LimitError::Bytes(text.to_owned());
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = trimmed.split_at(split);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let (_, size) = UNITS.into_iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?;
        number.checked_mul(size).map(Self).ok_or_else(wrong)
    }
}

/// A share of processor time in percent of one core; in files `"150 %"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(pub u32);

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} %", self.0)
    }
}

impl std::str::FromStr for Percent {
    type Err = LimitError;
    fn from_str(text: &str) -> Result<Self, LimitError> {
        let number = text.trim().strip_suffix('%').map(str::trim).and_then(|n| n.parse().ok());
        number.filter(|&n| n > 0).map(Self).ok_or_else(|| LimitError::Percent(text.to_owned()))
    }
}

/// Bytes in a second; in files `"50 MiB/s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(pub Bytes);

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

impl std::str::FromStr for Rate {
    type Err = LimitError;
    fn from_str(text: &str) -> Result<Self, LimitError> {
        let amount = text.trim().strip_suffix("/s").and_then(|amount| amount.parse().ok());
        amount.filter(|amount| *amount > Bytes(0)).map(Self).ok_or_else(|| LimitError::Rate(text.to_owned()))
    }
}

/// One kind of limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Memory of the whole tree.
    Memory,
    /// Processes and threads at one time.
    Processes,
    /// Processor share.
    Cpu,
    /// The largest file that is written.
    FileSize,
    /// What all private directories together hold.
    Disk,
    /// What is read from, and what is written to, each disk in a second.
    Io,
}

impl Limit {
    /// All, in the order of files.
    pub const ALL: [Self; 6] = [Self::Memory, Self::Processes, Self::Cpu, Self::FileSize, Self::Disk, Self::Io];

    /// Its key in files.
    pub fn key(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "processes",
            Self::Cpu => "cpu",
            Self::FileSize => "file-size",
            Self::Disk => "disk",
            Self::Io => "io",
        }
    }
}

/// Limits of a run. Absent: not limited.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Memory of the whole tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Processes and threads at one time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// Processor share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Percent>,
    /// The largest file that is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_size: Option<Bytes>,
    /// What all private directories together hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<Bytes>,
    /// What is read from, and what is written to, each disk in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io: Option<Rate>,
    /// Those that a machine may leave out which cannot hold them; the start says so.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub soft: BTreeSet<Limit>,
}

impl Limits {
    /// Those that are set, each with its value in words, in the order of files.
    pub fn set(&self) -> Vec<(Limit, String)> {
        [
            (Limit::Memory, self.memory.map(|value| value.to_string())),
            (Limit::Processes, self.processes.map(|value| value.to_string())),
            (Limit::Cpu, self.cpu.map(|value| value.to_string())),
            (Limit::FileSize, self.file_size.map(|value| value.to_string())),
            (Limit::Disk, self.disk.map(|value| value.to_string())),
            (Limit::Io, self.io.map(|value| value.to_string())),
        ]
        .into_iter()
        .filter_map(|(limit, value)| Some((limit, value?)))
        .collect()
    }

    /// The lines that are set, as in files: key and value.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let written = |limit, value: String| if limit == Limit::Processes { value } else { format!("\"{value}\"") };
        self.set().into_iter().map(|(limit, value)| (limit.key(), written(limit, value))).collect()
    }

    /// Those of `these` that are set.
    #[must_use]
    pub fn only(&self, these: &BTreeSet<Limit>) -> Self {
        let has = |limit| these.contains(&limit);
        Self {
            memory: self.memory.filter(|_| has(Limit::Memory)),
            processes: self.processes.filter(|_| has(Limit::Processes)),
            cpu: self.cpu.filter(|_| has(Limit::Cpu)),
            file_size: self.file_size.filter(|_| has(Limit::FileSize)),
            disk: self.disk.filter(|_| has(Limit::Disk)),
            io: self.io.filter(|_| has(Limit::Io)),
            soft: self.soft.intersection(these).copied().collect(),
        }
    }

    /// Whether a control group could hold one of them.
    pub fn want_control_group(&self) -> bool {
        self.memory.is_some() || self.processes.is_some() || self.cpu.is_some() || self.io.is_some()
    }

    /// How much may lie in the private directories, which are memory: no more than that where nothing else is said.
    pub fn private_bytes(&self) -> Option<Bytes> {
        self.disk.or(self.memory)
    }
}

macro_rules! as_string {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}
as_string!(Bytes, Percent, Rate);
