//! Resource limits with the units that people write: `"2 GiB"`, `200`, `"200 %"`.

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
as_string!(Bytes, Percent);
