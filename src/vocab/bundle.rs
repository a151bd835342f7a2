//! Bundles: roles such as `@git` or `@locale`, each of which opens a few places of the system for reading.
//!
//! A bundle is data: what it opens, why, and on which layout of a system. The text `src/data/bundles/NAME.toml` becomes a
//! [`Bundle`]; a person may write more of them in the same form. Invariant: what is in this program opens places of the
//! system alone, nothing below a variable and nothing that the sensitivity table knows (a test holds it), and no bundle
//! opens more than reading. It does not look at a machine: where a layout comes from, and which places exist, is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;

use super::location::{Base, Location};

/// A role and what it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// What it is for, in words for a reviewer.
    pub why: String,
    /// What it opens, in order of places.
    pub opens: BTreeSet<Opening>,
}

/// One place that a bundle opens for reading, where it exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opening {
    /// Where.
    pub place: Location,
    /// What it must be.
    pub shape: Shape,
    /// On which layouts; empty: on all.
    pub layouts: BTreeSet<Layout>,
    /// Why, in words for a reviewer.
    pub why: String,
}

/// What is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// A directory with everything beneath it.
    Directory,
    /// One file, or a symlink to one: a directory in its place is not opened.
    File,
}

impl Shape {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::File => "file",
        }
    }
}

/// Where a system keeps its files. Debian and what is built like it is tested, with `/bin` and `/lib` merged into `/usr`
/// and without; the others are written down from their documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Everything in `/nix/store`.
    Nixos,
    /// musl in `/lib`.
    Alpine,
    /// Libraries in `/usr/lib/MACHINE-linux-gnu`: Debian, Ubuntu and kin.
    Debian,
    /// Libraries in `/usr/lib64`: Fedora, RHEL, openSUSE and kin.
    Fedora,
    /// Libraries in `/usr/lib` itself.
    Arch,
}

impl Layout {
    /// All, those whose marks are the plainest first.
    pub const ALL: [Self; 5] = [Self::Nixos, Self::Alpine, Self::Debian, Self::Fedora, Self::Arch];

    /// Its word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nixos => "nixos",
            Self::Alpine => "alpine",
            Self::Debian => "debian",
            Self::Fedora => "fedora",
            Self::Arch => "arch",
        }
    }

    /// Places that no other layout has: where its C library lies.
    pub fn marks(self) -> &'static [&'static str] {
        match self {
            Self::Nixos => &["/run/current-system/sw", "/nix/store"],
            Self::Alpine => &["/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1"],
            Self::Debian => &[
                "/usr/lib/x86_64-linux-gnu/libc.so.6",
                "/lib/x86_64-linux-gnu/libc.so.6",
                "/usr/lib/aarch64-linux-gnu/libc.so.6",
                "/lib/aarch64-linux-gnu/libc.so.6",
            ],
            Self::Fedora => &["/usr/lib64/libc.so.6", "/lib64/libc.so.6"],
            Self::Arch => &["/usr/lib/libc.so.6"],
        }
    }

    /// The layout whose mark is there; `None` where no mark is. A system may have a second package manager beside its own
    /// (`/nix/store` on Debian), so that mark alone counts last.
    pub fn of(is_there: &dyn Fn(&str) -> bool) -> Option<Self> {
        let marked = |layout: &Self| match layout {
            Self::Nixos => is_there("/run/current-system/sw"),
            layout => layout.marks().iter().any(|mark| is_there(mark)),
        };
        let found = Self::ALL.into_iter().find(marked);
        found.or_else(|| is_there("/nix/store").then_some(Self::Nixos))
    }
}

/// Why a text is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// Not TOML, or not of that form.
    #[error("{0}")]
    Form(String),
    /// A place that cannot be one.
    #[error("`{text}` is no place: {why}")]
    Place {
        /// As it is written.
        text: String,
        /// Why not.
        why: String,
    },
    /// It opens nothing.
    #[error("it opens nothing")]
    Empty,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    why: String,
    opens: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    why: String,
    #[serde(default)]
    layouts: BTreeSet<Layout>,
    #[serde(default)]
    directories: Vec<String>,
    #[serde(default)]
    files: Vec<String>,
}

/// Every bundle of this program: name and text.
const KNOWN: [(&str, &str); 17] = [
    ("cc", include_str!("../data/bundles/cc.toml")),
    ("git", include_str!("../data/bundles/git.toml")),
    ("identity", include_str!("../data/bundles/identity.toml")),
    ("libc", include_str!("../data/bundles/libc.toml")),
    ("loader", include_str!("../data/bundles/loader.toml")),
    ("locale", include_str!("../data/bundles/locale.toml")),
    ("node", include_str!("../data/bundles/node.toml")),
    ("perl", include_str!("../data/bundles/perl.toml")),
    ("programs", include_str!("../data/bundles/programs.toml")),
    ("python", include_str!("../data/bundles/python.toml")),
    ("resolver", include_str!("../data/bundles/resolver.toml")),
    ("rust", include_str!("../data/bundles/rust.toml")),
    ("shell", include_str!("../data/bundles/shell.toml")),
    ("sysinfo", include_str!("../data/bundles/sysinfo.toml")),
    ("terminfo", include_str!("../data/bundles/terminfo.toml")),
    ("tls-ca", include_str!("../data/bundles/tls-ca.toml")),
    ("tz", include_str!("../data/bundles/tz.toml")),
];

/// The names of the bundles of this program, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|(name, _)| *name)
}

/// Every bundle of this program, by name.
pub fn all() -> &'static BTreeMap<String, Bundle> {
    static ALL: LazyLock<BTreeMap<String, Bundle>> =
        LazyLock::new(|| names().filter_map(|name| Some((name.to_owned(), known(name)?))).collect());
    &ALL
}

/// The bundle of this program by that name. For whoever wants few of them: it is read each time.
pub fn known(name: &str) -> Option<Bundle> {
    let (_, text) = KNOWN.iter().find(|(known, _)| *known == name)?;
    Bundle::read(text).ok()
}

/// Whether `name` can stand behind the `@` of a profile line.
pub fn is_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(fine)
}

impl Bundle {
    /// Reads the text of a bundle.
    pub fn read(text: &str) -> Result<Self, BundleError> {
        let file: File = toml::from_str(text).map_err(|error| BundleError::Form(error.to_string()))?;
        let mut opens = BTreeSet::new();
        for group in file.opens {
            let directories = group.directories.iter().map(|text| (text, Shape::Directory));
            for (text, shape) in directories.chain(group.files.iter().map(|text| (text, Shape::File))) {
                let (layouts, why) = (group.layouts.clone(), group.why.clone());
                opens.insert(Opening { place: place(text)?, shape, layouts, why });
            }
        }
        if opens.is_empty() { Err(BundleError::Empty) } else { Ok(Self { why: file.why, opens }) }
    }

    /// What it opens on a system of that layout; where that is not known, what it opens on all.
    pub fn on(&self, layout: Option<Layout>) -> impl Iterator<Item = &Opening> {
        let here = move |opening: &&Opening| {
            opening.layouts.is_empty() || layout.is_some_and(|layout| opening.layouts.contains(&layout))
        };
        self.opens.iter().filter(here)
    }

    /// What it opens as lines of text, one form for one meaning: part of the digest of each profile that names it.
    pub fn meaning(&self) -> String {
        let line = |opening: &Opening| {
            let layouts: Vec<&str> = opening.layouts.iter().map(|layout| layout.as_str()).collect();
            format!("{} {} {}\n", opening.shape.as_str(), opening.place, layouts.join(","))
        };
        self.opens.iter().map(line).collect::<BTreeSet<String>>().into_iter().collect()
    }
}

/// A place of its own: not a variable as a whole, nothing that holds everything.
fn place(text: &str) -> Result<Location, BundleError> {
    let wrong = |why: &str| BundleError::Place { text: super::escape::terminal(text.as_bytes()), why: why.to_owned() };
    match text.parse() {
        Ok(Location::Path { base: Base::Root | Base::Home, rest }) if rest.is_empty() => {
            Err(wrong("it holds everything"))
        }
        Ok(Location::Bundle(_)) => Err(wrong("a bundle opens places, and no other bundle")),
        Ok(place) => Ok(place),
        Err(error) => Err(wrong(&error.to_string())),
    }
}

impl Location {
    /// Whether it is `top` or lies somewhere beneath it, from the same variable.
    pub fn is_beneath(&self, top: &Self) -> bool {
        let (Self::Path { base, rest }, Self::Path { base: other, rest: above }) = (self, top) else { return false };
        let tail = rest.strip_prefix(above.as_slice()).filter(|_| base == other);
        tail.is_some_and(|tail| above.is_empty() || matches!(tail.first(), None | Some(b'/')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::location::Roots;
    use crate::vocab::sensitivity::{Place, Sensitivity, classify, table};

    fn every() -> Vec<(&'static str, Bundle)> {
        KNOWN.iter().map(|(name, text)| (*name, Bundle::read(text).unwrap())).collect()
    }

    #[test]
    fn every_bundle_is_a_small_file_of_system_places_with_reasons() {
        assert!(KNOWN.is_sorted_by_key(|(name, _)| *name));
        for (name, bundle) in every() {
            assert!(is_name(name) && !bundle.why.is_empty());
            assert!(bundle.opens.len() < 80, "{name}: directories, not hundreds of files");
            for opening in &bundle.opens {
                assert!(matches!(&opening.place, Location::Path { base: Base::Root, .. }), "{name}: {}", opening.place);
                assert!(opening.why.len() > 4, "{name}: {}", opening.place);
            }
        }
    }

    #[test]
    fn no_bundle_opens_what_is_sensitive_to_read() {
        let roots = Roots::default();
        for (name, bundle) in every() {
            for opening in &bundle.opens {
                let path = roots.resolve(&opening.place).unwrap();
                let row = classify(&path, &roots).filter(|row| row.sensitivity <= Sensitivity::Credential);
                assert!(row.is_none(), "@{name} opens {path}");
                for row in table().iter().filter(|row| row.sensitivity <= Sensitivity::Credential) {
                    let Place::At(Base::Root, rest) = row.place else { continue };
                    let secret = roots.resolve(&Location::Path { base: Base::Root, rest: rest.into() }).unwrap();
                    assert!(!secret.is_beneath(&path), "@{name} opens {path}, which holds {secret}");
                }
            }
        }
    }

    #[test]
    fn no_place_is_opened_by_two_bundles() {
        let mut seen = BTreeMap::new();
        for (name, bundle) in every() {
            for opening in bundle.opens {
                let other = seen.insert(opening.place.clone(), name);
                assert!(other.is_none_or(|other| other == name), "{} in @{name} and another", opening.place);
            }
        }
    }

    #[test]
    fn a_layout_is_told_by_its_c_library() {
        let of = |there: &[&str]| Layout::of(&|place| there.contains(&place));
        assert_eq!(of(&["/lib/x86_64-linux-gnu/libc.so.6"]), Some(Layout::Debian));
        assert_eq!(of(&["/usr/lib/x86_64-linux-gnu/libc.so.6", "/nix/store"]), Some(Layout::Debian));
        assert_eq!(of(&["/usr/lib64/libc.so.6"]), Some(Layout::Fedora));
        assert_eq!(of(&["/nix/store"]), Some(Layout::Nixos));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn what_a_bundle_opens_depends_on_the_layout() {
        let loader = known("loader").unwrap();
        let opens = |layout| loader.on(layout).any(|opening| opening.place.to_string() == "/usr/lib");
        assert!(opens(Some(Layout::Arch)) && !opens(Some(Layout::Debian)) && !opens(None));
    }

    #[test]
    fn an_odd_bundle_is_refused() {
        for (text, why) in [
            ("why = \"\"\nopens = []", "opens nothing"),
            ("why = \"\"\n[[opens]]\nwhy = \"\"\nfiles = [\"~\"]", "everything"),
            ("why = \"\"\n[[opens]]\nwhy = \"\"\nfiles = [\"@git\"]", "no other bundle"),
            ("why = \"\"\n[[opens]]\nwhy = \"\"\nfiles = [\"/a/*\"]", "pattern"),
            ("why = \"\"\n[[opens]]\nwhy = \"\"\nlayouts = [\"beos\"]\nfiles = [\"/a\"]", "beos"),
            ("why = \"\"\n[[opens]]\nwhy = \"\"\nwrite = [\"/a\"]", "write"),
        ] {
            let refused = Bundle::read(text).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
