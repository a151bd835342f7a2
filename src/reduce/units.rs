//! A needed path → the directory whose contents belong together with it: dependencies, a virtual environment, the versions
//! of a tool chain, a package of the system.
//!
//! Which directories those are is data, `src/data/units.toml`. Only for reading, and never across what is sensitive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Units {
    named: Vec<String>,
    marked: Vec<String>,
    versions: Vec<String>,
    packages: Vec<String>,
}

static UNITS: LazyLock<Units> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the text is part of the program, and a test reads it")]
    toml::from_str(include_str!("../data/units.toml")).expect("src/data/units.toml is not as it should be")
});

/// Endings of paths by their last component.
static ENDINGS: LazyLock<BTreeMap<&'static [u8], Vec<&'static [u8]>>> = LazyLock::new(|| {
    let mut endings: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
    for ending in UNITS.named.iter().chain(&UNITS.versions) {
        let last = ending.as_bytes().rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        endings.entry(last).or_default().push(ending.as_bytes());
    }
    endings
});

static PACKAGES: LazyLock<BTreeSet<&'static [u8]>> =
    LazyLock::new(|| UNITS.packages.iter().map(String::as_bytes).collect());

/// Whether what lies in the directory `path` belongs together, by what it is called. `name` is its last component.
pub(super) fn is_unit(path: &[u8], name: &[u8]) -> bool {
    let ends = |ending: &&[u8]| path.strip_suffix(*ending).is_some_and(|above| above.ends_with(b"/"));
    ENDINGS.get(name).is_some_and(|endings| endings.iter().any(ends))
}

/// Whether a directory that holds these names is one.
pub(super) fn is_marked(names: &BTreeSet<String>) -> bool {
    UNITS.marked.iter().any(|mark| names.contains(mark))
}

/// Whether each directory in `path` is a package of the system. One such may stand in another.
pub(super) fn holds_packages(path: &[u8]) -> bool {
    PACKAGES.contains(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_together_is_told_by_its_name_or_by_what_lies_in_it() {
        for (path, expected) in [
            ("/home/u/a/node_modules", true),
            ("/home/u/a/node_modules/x", false),
            ("/root/.rustup/toolchains", true),
            ("/home/u/.local/share/claude/versions", true),
            ("/home/u/share/claude/versions", false),
            ("/home/u/x.rustup/toolchains", false),
        ] {
            let name = path.rsplit('/').next().unwrap();
            assert_eq!(is_unit(path.as_bytes(), name.as_bytes()), expected, "{path}");
        }
        assert!(is_marked(&BTreeSet::from(["pyvenv.cfg".to_owned()])) && !is_marked(&BTreeSet::from(["x".to_owned()])));
        assert!(holds_packages(b"/usr/share") && !holds_packages(b"/usr/share/x"));
    }
}
