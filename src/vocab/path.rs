//! Absolute paths as the kernel sees them: bytes, clean, compared by component.
//!
//! Invariant: an [`AbsPath`] begins with `/`, has no empty, `.` or `..` component, no NUL and no trailing slash. It says
//! nothing about symlinks: whoever makes one decides whether they are resolved.

use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::escape;

/// An absolute, clean path of arbitrary bytes.
///
/// ```
/// # use pinfold::vocab::path::AbsPath;
/// let usr = AbsPath::new("/usr").unwrap();
/// assert!(AbsPath::new("/usr/lib").unwrap().is_beneath(&usr));
/// assert!(!AbsPath::new("/usrlocal").unwrap().is_beneath(&usr));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AbsPath(Vec<u8>);

/// Why bytes are not an [`AbsPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The path does not begin with a slash.
    #[error("`{0}` is not an absolute path")]
    Relative(String),
    /// The path has a `..` component: only the kernel can say where that leads.
    #[error("`{0}` has a `..` component")]
    DotDot(String),
    /// The path has a NUL byte.
    #[error("`{0}` has a NUL byte")]
    Nul(String),
}

impl AbsPath {
    /// Cleans `bytes`: doubled and trailing slashes and `.` components go, `..` is an error.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let bytes = bytes.as_ref();
        if is_clean(bytes) {
            return Ok(Self(bytes.to_vec()));
        }
        let shown = || escape::terminal(bytes);
        if bytes.first() != Some(&b'/') {
            return Err(PathError::Relative(shown()));
        }
        if bytes.contains(&0) {
            return Err(PathError::Nul(shown()));
        }
        let mut clean = Vec::with_capacity(bytes.len());
        for part in bytes.split(|&b| b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(PathError::DotDot(shown())),
                part => {
                    clean.push(b'/');
                    clean.extend_from_slice(part);
                }
            }
        }
        if clean.is_empty() {
            clean.push(b'/');
        }
        Ok(Self(clean))
    }

    /// The root directory.
    pub fn root() -> Self {
        Self(vec![b'/'])
    }

    /// The bytes, without a trailing slash (but for the root itself).
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path for use with `std::fs` and friends.
    pub fn to_path_buf(&self) -> std::path::PathBuf {
        std::ffi::OsString::from_vec(self.0.clone()).into()
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        self.0 == b"/"
    }

    /// The components from the root down; none for `/`.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|part| !part.is_empty())
    }

    /// The last component; `None` for `/`.
    pub fn file_name(&self) -> Option<&[u8]> {
        self.components().next_back()
    }

    /// The directory above; `None` for `/`.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let cut = self.0.iter().rposition(|&b| b == b'/').unwrap_or(0);
        Some(Self(self.0.get(..cut.max(1)).unwrap_or(b"/").to_vec()))
    }

    /// Every directory above, nearest first, `/` last; the path itself is not among them.
    pub fn ancestors(&self) -> impl Iterator<Item = AbsPath> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// Whether `self` is `top` or lies somewhere beneath it, by component.
    pub fn is_beneath(&self, top: &Self) -> bool {
        self.relative_to(top).is_some()
    }

    /// What remains of `self` below `top`, without a leading slash (empty when equal); `None` when it lies elsewhere.
    pub fn relative_to(&self, top: &Self) -> Option<&[u8]> {
        top.rest_of(&self.0)
    }

    /// As [`Self::relative_to`], the other way about and of the bytes of a clean path.
    pub fn rest_of<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        if self.is_root() {
            return path.get(1..);
        }
        let rest = path.strip_prefix(self.as_bytes())?;
        match rest.first() {
            None => Some(rest),
            Some(b'/') => rest.get(1..),
            Some(_) => None,
        }
    }

    /// `self` with `relative` appended; `.` and empty components go, `..` is an error.
    pub fn join(&self, relative: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let mut bytes = self.0.clone();
        bytes.push(b'/');
        bytes.extend_from_slice(relative.as_ref());
        Self::new(bytes)
    }
}

/// Whether the bytes are a path as they stand; `false` where that takes a closer look.
fn is_clean(bytes: &[u8]) -> bool {
    let mut before = b'x';
    let ends_or_dotted = |&byte: &u8| {
        // A component that begins with a dot may be `.` or `..`.
        let is_odd = byte == 0 || (before == b'/' && matches!(byte, b'/' | b'.'));
        before = byte;
        is_odd
    };
    bytes.first() == Some(&b'/') && !bytes.iter().any(ends_or_dotted) && before != b'/'
}

impl TryFrom<&std::path::Path> for AbsPath {
    type Error = PathError;
    fn try_from(path: &std::path::Path) -> Result<Self, PathError> {
        Self::new(path.as_os_str().as_bytes())
    }
}

// By component, so that a directory and what lies beneath it stand together in files: `/a`, `/a/b`, `/a.b`.
impl Ord for AbsPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        by_component(&self.0, &other.0)
    }
}

/// The directory that `text` leads to from `dir`, by text alone.
pub fn follow(dir: &AbsPath, text: &[u8]) -> Option<AbsPath> {
    let mut here = if text.first() == Some(&b'/') { AbsPath::root() } else { dir.clone() };
    for part in text.split(|&b| b == b'/') {
        here = match part {
            b"" | b"." => here,
            b".." => here.parent().unwrap_or_else(AbsPath::root),
            part => here.join(part).ok()?,
        };
    }
    Some(here)
}

/// Whether the text of a symlink goes up (`..`) behind a name: where that leads does not stand in the text, since the name may
/// be a symlink itself.
pub fn goes_up_behind_a_name(text: &[u8]) -> bool {
    let parts = text.split(|&byte| byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
    parts.skip_while(|part| *part == b"..").any(|part| part == b"..")
}

/// The order of clean paths by their components: as that of their bytes, if `/` were less than any other byte.
pub fn by_component(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    // Neighbours have long beginnings in common, which a machine compares sixteen bytes at a time.
    let common = a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0).take_while(|(a, b)| a == b).count() * 16;
    let [a, b] = [a, b].map(|path| path.get(common..).unwrap_or_default());
    match a.iter().zip(b).find(|(a, b)| a != b) {
        Some((b'/', _)) => std::cmp::Ordering::Less,
        Some((_, b'/')) => std::cmp::Ordering::Greater,
        Some((a, b)) => a.cmp(b),
        None => a.len().cmp(&b.len()),
    }
}

impl PartialOrd for AbsPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for AbsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// Escaped for a terminal: see [`escape::terminal`].
impl fmt::Display for AbsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape::terminal(&self.0))
    }
}

/// In files a path is a string with the escape of [`escape::file`].
impl Serialize for AbsPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&escape::file(&self.0))
    }
}

impl<'de> Deserialize<'de> for AbsPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = AbsPath;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<AbsPath, E> {
                if is_clean(text.as_bytes()) && !text.contains('%') {
                    return Ok(AbsPath(text.as_bytes().to_vec()));
                }
                let bytes = escape::unfile(text).map_err(E::custom)?;
                AbsPath::new(bytes).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_goes_up_behind_a_name_only_where_a_name_comes_first() {
        for text in ["a/..", "../a/../b", "/a/../b", "a/./../b"] {
            assert!(goes_up_behind_a_name(text.as_bytes()), "{text}");
        }
        for text in ["..", "../../a", "a/b", "./../a", "", "..a/b"] {
            assert!(!goes_up_behind_a_name(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn parents_lead_to_the_root_and_end_there() {
        let path = AbsPath::new("/a//b/./c/").unwrap();
        assert_eq!(path.as_bytes(), b"/a/b/c");
        let up: Vec<_> = path.ancestors().map(|p| p.to_string()).collect();
        assert_eq!(up, ["/a/b", "/a", "/"]);
    }

    #[test]
    fn order_keeps_a_directory_beside_its_contents() {
        let mut paths: Vec<_> = ["/a.b", "/a/z", "/a"].map(|p| AbsPath::new(p).unwrap()).to_vec();
        paths.sort();
        assert_eq!(paths.iter().map(ToString::to_string).collect::<Vec<_>>(), ["/a", "/a/z", "/a.b"]);
    }

    proptest::proptest! {
        #[test]
        fn order_is_that_of_components(
            top in "(/[a-z]{7}){0,4}", a in "(/[!-~]{1,2}){0,3}", b in "(/[!-~]{1,2}){0,3}"
        ) {
            let [a, b] = [a, b].map(|text| AbsPath::new(format!("/{top}{}", text.replace("..", "-"))).unwrap());
            proptest::prop_assert_eq!(a.cmp(&b), a.components().cmp(b.components()));
        }
    }

    #[test]
    fn every_spelling_of_a_path_is_cleaned_as_by_its_components() {
        let parts = ["", "/", "a", ".", "..", ".a", "a.", "\0", "//", "%2F"];
        let all = parts.iter().flat_map(|a| parts.iter().map(move |b| [*a, *b]));
        let all = all.flat_map(|[a, b]| parts.iter().map(move |c| format!("/{a}{b}{c}")));
        for text in all {
            let mut clean: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
            clean.insert(0, "");
            let wanted = if clean.len() == 1 { "/".to_owned() } else { clean.join("/") };
            match AbsPath::new(&text) {
                Ok(path) => assert_eq!(path.as_bytes(), wanted.as_bytes(), "{text:?}"),
                Err(_) => assert!(text.contains('\0') || clean.contains(&".."), "{text:?}"),
            }
        }
    }

    #[test]
    fn dotdot_and_relative_paths_are_refused() {
        assert!(matches!(AbsPath::new("/a/../b"), Err(PathError::DotDot(_))));
        assert!(matches!(AbsPath::new("a"), Err(PathError::Relative(_))));
    }
}
