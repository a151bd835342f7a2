//! A needed path → the directory whose contents belong together with it: dependencies, a virtual environment, the versions
//! of a tool chain, a package of the system.
//!
//! Which directories those are is data, `src/data/units.toml`. Only for reading, and never across what is sensitive.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::vocab::path::AbsPath;

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

/// The outermost unit above (or at) `path`, if it may be one: `marked` says whether a directory holds a file of that name.
pub(super) fn unit(
    path: &AbsPath,
    marked: &dyn Fn(&AbsPath, &str) -> bool,
    may: &dyn Fn(&AbsPath) -> bool,
) -> Option<AbsPath> {
    let mut ancestors: Vec<AbsPath> = path.ancestors().collect();
    ancestors.reverse();
    let is_unit = |dir: &AbsPath| {
        let parts: Vec<&[u8]> = dir.components().collect();
        let name = parts.last().copied().unwrap_or_default();
        UNITS.named.iter().any(|unit| unit.as_bytes() == name)
            || UNITS.marked.iter().any(|mark| marked(dir, mark))
            || UNITS.versions.iter().any(|top| ends_with(&parts, top))
    };
    ancestors.into_iter().find(|dir| is_unit(dir) && may(dir)).or_else(|| package(path).filter(|dir| may(dir)))
}

/// The package's own directory that `path` lies in.
fn package(path: &AbsPath) -> Option<AbsPath> {
    let tops = UNITS.packages.iter().filter_map(|top| AbsPath::new(top).ok());
    // `/usr/lib/x86_64-linux-gnu` stands in `/usr/lib`, and holds packages itself.
    let top = tops.filter(|top| path.is_beneath(top)).max_by_key(|top| top.components().count())?;
    let rest = path.relative_to(&top)?;
    let first = rest.split(|&byte| byte == b'/').next().filter(|first| first.len() < rest.len())?;
    top.join(first).ok()
}

fn ends_with(parts: &[&[u8]], top: &str) -> bool {
    let wanted: Vec<&[u8]> = top.split('/').map(str::as_bytes).collect();
    parts.ends_with(&wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<String> {
        let marked = |dir: &AbsPath, mark: &str| dir.to_string() == "/home/u/env" && mark == "pyvenv.cfg";
        let may = |dir: &AbsPath| dir.to_string() != "/usr/lib/closed";
        unit(&AbsPath::new(path).unwrap(), &marked, &may).map(|unit| unit.to_string())
    }

    #[test]
    fn what_belongs_together_is_one() {
        for (path, expected) in [
            ("/home/u/a/node_modules/x/node_modules/y.js", Some("/home/u/a/node_modules")),
            ("/home/u/env/lib/x.so", Some("/home/u/env")),
            ("/root/.rustup/toolchains/stable/bin/rustc", Some("/root/.rustup/toolchains")),
            ("/home/u/.local/share/claude/versions/2.1.3/claude", Some("/home/u/.local/share/claude/versions")),
            ("/usr/share/ripgrep/a/b", Some("/usr/share/ripgrep")),
            ("/usr/share/file", None),
            ("/usr/share", None),
            ("/usr/lib/closed/x", None),
            ("/opt/rust/bin/cargo", Some("/opt/rust")),
            ("/home/u/x/y", None),
        ] {
            assert_eq!(of(path).as_deref(), expected, "{path}");
        }
    }
}
