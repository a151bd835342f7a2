//! System calls by name. Files hold names; numbers appear only where a filter is compiled and where a stop is decoded.

use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use syscalls::Sysno;

/// A system call of the native ABI that the table of this build knows. Ordered by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Syscall(Sysno);

impl Syscall {
    /// By name, as in the manual pages: `openat`.
    pub fn from_name(name: &str) -> Option<Self> {
        // A trace names a million of them, and what the table itself offers goes through its names one by one.
        static BY_NAME: LazyLock<Vec<Syscall>> = LazyLock::new(|| {
            let mut all: Vec<Syscall> = Syscall::all().collect();
            all.sort_unstable();
            all
        });
        let at = BY_NAME.binary_search_by(|call| call.name().cmp(name)).ok()?;
        BY_NAME.get(at).copied()
    }

    /// By number of the native ABI.
    pub fn from_number(number: u64) -> Option<Self> {
        usize::try_from(number).ok().and_then(Sysno::new).map(Self)
    }

    /// The name, as in the manual pages.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The number in the native ABI.
    pub fn number(self) -> u32 {
        self.0.id().unsigned_abs()
    }

    /// Every call that this build knows, by number.
    pub fn all() -> impl Iterator<Item = Self> {
        // Not `Sysno::iter`: in syscalls 0.8 it ends one before the last.
        let last = usize::try_from(Sysno::last().id()).unwrap_or(0);
        (0..=last).filter_map(Sysno::new).map(Self)
    }
}

impl Ord for Syscall {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.name().cmp(other.name())
    }
}

impl PartialOrd for Syscall {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl std::fmt::Debug for Syscall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::fmt::Display for Syscall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Syscall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Syscall {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| de::Error::custom(format!("unknown system call `{name}`")))
    }
}
