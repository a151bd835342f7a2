//! A place as a profile names it: relative to a variable where there is one, so that a profile holds on another machine.
//!
//! On disk: `"$PROJECT/src"`, `"~/.claude"`, `"$TMPDIR"`, `"/usr"`, `"@git"`. Bytes that are no text, `%`, and a literal
//! `$`, `~`, `@` at the start or `*` anywhere are written `%HH`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::escape;
use super::path::AbsPath;

/// What a location starts from. The order is the order in profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// `$PROJECT`: the project's root.
    Project,
    /// `~`: the home directory.
    Home,
    /// `$XDG_CONFIG_HOME`
    XdgConfig,
    /// `$XDG_CACHE_HOME`
    XdgCache,
    /// `$XDG_DATA_HOME`
    XdgData,
    /// `$XDG_STATE_HOME`
    XdgState,
    /// `$XDG_RUNTIME_DIR`
    XdgRuntime,
    /// `$TMPDIR`
    Tmpdir,
    /// `/`
    Root,
}

impl Base {
    /// All of them; the narrowest comes first when two lead to the same place.
    pub const ALL: [Self; 9] = [
        Self::Project,
        Self::XdgConfig,
        Self::XdgCache,
        Self::XdgData,
        Self::XdgState,
        Self::XdgRuntime,
        Self::Tmpdir,
        Self::Home,
        Self::Root,
    ];

    /// How it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Project => "$PROJECT",
            Self::Home => "~",
            Self::XdgConfig => "$XDG_CONFIG_HOME",
            Self::XdgCache => "$XDG_CACHE_HOME",
            Self::XdgData => "$XDG_DATA_HOME",
            Self::XdgState => "$XDG_STATE_HOME",
            Self::XdgRuntime => "$XDG_RUNTIME_DIR",
            Self::Tmpdir => "$TMPDIR",
            Self::Root => "/",
        }
    }
}

/// Where the variables lead on one machine for one run. `Base::Root` needs no entry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Roots(pub BTreeMap<Base, AbsPath>);

impl Roots {
    /// Where `base` leads, if it is set.
    pub fn get(&self, base: Base) -> Option<AbsPath> {
        if base == Base::Root { Some(AbsPath::root()) } else { self.0.get(&base).cloned() }
    }

    /// The location of `path` from its nearest variable. XDG variables that lie where they do by default stay `~/...`,
    /// so that a profile does not depend on whether the variable happened to be set.
    pub fn locate(&self, path: &AbsPath) -> Location {
        self.locator().locate(path)
    }

    /// For whoever asks [`Self::locate`] for many paths.
    pub fn locator(&self) -> Locator {
        let tops = Base::ALL.into_iter().filter_map(|base| Some((base, self.get(base)?)));
        let mut tops: Vec<_> = tops.filter(|(base, top)| !self.is_default(*base, top)).collect();
        // The deepest first; of two that lead to the same place the narrowest, which stands first already.
        tops.sort_by_key(|(_, top)| std::cmp::Reverse(top.components().count()));
        Locator(tops)
    }

    fn is_default(&self, base: Base, top: &AbsPath) -> bool {
        let usual = match base {
            Base::XdgConfig => ".config",
            Base::XdgCache => ".cache",
            Base::XdgData => ".local/share",
            Base::XdgState => ".local/state",
            _ => return false,
        };
        self.get(Base::Home).and_then(|home| home.join(usual).ok()).is_some_and(|usual| usual == *top)
    }

    /// The path of `location` here; `None` for a bundle or a variable that is not set.
    pub fn resolve(&self, location: &Location) -> Option<AbsPath> {
        match location {
            Location::Bundle(_) => None,
            Location::Path { base, rest } => self.get(*base)?.join(rest).ok(),
        }
    }
}

/// The variables of one run that name places, the deepest first.
#[derive(Debug, Clone)]
pub struct Locator(Vec<(Base, AbsPath)>);

impl Locator {
    /// See [`Roots::locate`].
    pub fn locate(&self, path: &AbsPath) -> Location {
        let (base, rest) = self.part(path);
        Location::Path { base, rest: rest.to_vec() }
    }

    /// What the location of `path` starts from, and where in its bytes the rest begins: the same for all that is beneath
    /// `path` and beneath no other variable there. It lies behind the end where nothing is left.
    pub fn start(&self, path: &AbsPath) -> (Base, u32) {
        let (base, rest) = self.part(path);
        let len = path.as_bytes().len();
        let start = if rest.is_empty() && !path.is_root() { len + 1 } else { len - rest.len() };
        (base, u32::try_from(start).unwrap_or(u32::MAX))
    }

    fn part<'p>(&self, path: &'p AbsPath) -> (Base, &'p [u8]) {
        let found = self.0.iter().find_map(|(base, top)| Some((*base, path.relative_to(top)?)));
        found.unwrap_or((Base::Root, &[]))
    }
}

impl Serialize for Base {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Base {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::ALL
            .into_iter()
            .find(|base| base.as_str() == text)
            .ok_or_else(|| de::Error::custom(format!("unknown variable `{text}`")))
    }
}

/// The key of a file system grant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// `"@git"`: a role whose contents this program knows.
    Bundle(String),
    /// A place below a variable.
    Path {
        /// What it starts from.
        base: Base,
        /// Clean bytes below the base without a leading slash; empty for the base itself.
        rest: Vec<u8>,
    },
}

/// Why a string is no location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// Does not begin with `/`, `~`, `@` or a known variable.
    #[error("`{0}` begins with neither `/`, `~/`, `@` nor a known variable such as `$PROJECT`")]
    Start(String),
    /// Empty, `.`, `..` or a doubled or trailing slash: two spellings of one place would hide one of them.
    #[error("`{0}` is not written in its one canonical form (no empty, `.` or `..` component, no trailing slash)")]
    NotClean(String),
    /// A bare special character that must be escaped.
    #[error("`{0}` has a bare `*`: write `%2A` for the character; patterns are not part of schema 1")]
    Special(String),
    /// A `%` without two hexadecimal digits.
    #[error(transparent)]
    Escape(#[from] escape::UnescapeError),
}

impl std::str::FromStr for Location {
    type Err = LocationError;
    fn from_str(text: &str) -> Result<Self, LocationError> {
        if let Some(bundle) = text.strip_prefix('@') {
            if !super::bundle::is_name(bundle) {
                return Err(LocationError::Start(text.to_owned()));
            }
            return Ok(Self::Bundle(bundle.to_owned()));
        }
        if text.contains('*') {
            return Err(LocationError::Special(text.to_owned()));
        }
        let (base, rest) = split_base(text).ok_or_else(|| LocationError::Start(text.to_owned()))?;
        let rest = escape::unfile(rest)?;
        let clean = |part: &[u8]| !part.is_empty() && part != b"." && part != b".." && !part.contains(&0);
        if !rest.is_empty() && !rest.split(|&b| b == b'/').all(clean) {
            return Err(LocationError::NotClean(text.to_owned()));
        }
        Ok(Self::Path { base, rest })
    }
}

fn split_base(text: &str) -> Option<(Base, &str)> {
    for base in Base::ALL.into_iter().filter(|&base| base != Base::Root) {
        match text.strip_prefix(base.as_str()) {
            Some("") => return Some((base, "")),
            Some(rest) if rest.starts_with('/') && rest.len() > 1 => return Some((base, rest.get(1..)?)),
            Some(_) | None => {}
        }
    }
    text.strip_prefix('/').map(|rest| (Base::Root, rest))
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bundle(name) => write!(f, "@{name}"),
            Self::Path { base, rest } => Part { base: *base, rest }.fmt(f),
        }
    }
}

/// As [`Location::Path`], of bytes that stand elsewhere: shown as that is.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// What it starts from.
    pub base: Base,
    /// What lies below the base.
    pub rest: &'a [u8],
}

impl std::fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.base.as_str())?;
        if !self.rest.is_empty() && self.base != Base::Root {
            f.write_str("/")?;
        }
        escape::write_file_with(f, self.rest, |c| c == '*')
    }
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn roots() -> Roots {
        let path = |p: &str| AbsPath::new(p).unwrap();
        Roots(BTreeMap::from([
            (Base::Project, path("/home/a/src/calc")),
            (Base::Home, path("/home/a")),
            (Base::XdgConfig, path("/home/a/.config")),
            (Base::XdgCache, path("/var/cache/a")),
        ]))
    }

    #[test]
    fn the_nearest_variable_names_a_place_and_default_xdg_stays_below_home() {
        let show = |p: &str| roots().locate(&AbsPath::new(p).unwrap()).to_string();
        assert_eq!(show("/home/a/src/calc/src/x*"), "$PROJECT/src/x%2A");
        assert_eq!(show("/home/a/.config/gh"), "~/.config/gh");
        assert_eq!(show("/var/cache/a/pip"), "$XDG_CACHE_HOME/pip");
        assert_eq!(show("/home/abc"), "/home/abc");
        assert_eq!(show("/"), "/");
    }

    #[test]
    fn two_spellings_of_one_place_are_refused() {
        for text in ["/usr/", "/usr//lib", "~/a/../b", "$PROJECT/", "~root/x", "$HOME/x", "usr", "/a*"] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn writing_and_reading_a_location_gives_it_back(parts in prop::collection::vec("[^/\u{0}]{1,6}", 0..4)) {
            let parts: Vec<_> = parts.into_iter().filter(|p| p != "." && p != "..").collect();
            let location = Location::Path { base: Base::Project, rest: parts.join("/").into_bytes() };
            prop_assert_eq!(location.to_string().parse::<Location>().unwrap(), location);
        }
    }
}
