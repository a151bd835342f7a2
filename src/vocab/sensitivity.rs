//! Which places are more than files: keys, credentials, names that the host executes, sockets of power.
//!
//! The table is data, `src/data/sensitivity.toml`, in plain words that a reviewer reads. A name that is not in it is not
//! thereby harmless.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::access::Access;
use super::location::{Base, Roots};
use super::path::AbsPath;

/// Why a place needs a person's word before it is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sensitivity {
    /// `"vault"`: private keys, cloud credentials, browser profiles, password stores, the Docker socket. Hidden even
    /// while learning.
    Vault,
    /// `"credential"`: a token or password of a program.
    Credential,
    /// `"host-executes"`: a name that the host runs or obeys later: start-up files, git hooks and configuration, editor
    /// tasks, units, `~/.local/bin`.
    HostExecutes,
    /// `"pinfold"`: pinfold's own state and profiles. Never granted.
    Pinfold,
}

impl Sensitivity {
    /// All of them, the most powerful first.
    pub const ALL: [Self; 4] = [Self::Vault, Self::Credential, Self::HostExecutes, Self::Pinfold];

    /// The word in profiles.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Credential => "credential",
            Self::HostExecutes => "host-executes",
            Self::Pinfold => "pinfold",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Where.
    pub place: Place,
    /// What it is.
    pub sensitivity: Sensitivity,
    /// Why, in words for a reviewer: "your SSH private keys".
    pub why: &'static str,
}

/// A pattern of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// This path below a variable, and everything beneath it.
    At(Base, &'static str),
    /// A component sequence anywhere below a variable (`.git/hooks` in any repository), and everything beneath it.
    Anywhere(Base, &'static str),
}

/// The row that covers `path` whatever is done with it, the most powerful first; see [`sensitive`] for what matters to a
/// grant; `None` for what the table does not know.
pub fn classify(path: &AbsPath, roots: &Roots) -> Option<&'static Row> {
    covering(path, roots).into_iter().next()
}

/// The row that makes `access` to `path` sensitive. Reading what the host executes is harmless; writing it is not.
pub fn sensitive(path: &AbsPath, roots: &Roots, access: Access) -> Option<&'static Row> {
    let counts = |row: &&Row| row.sensitivity != Sensitivity::HostExecutes || access.writes();
    covering(path, roots).into_iter().find(counts)
}

/// Every row that covers `path`, in the order of the table.
pub fn covering(path: &AbsPath, roots: &Roots) -> Vec<&'static Row> {
    // A row covers what ends as its place does, or what lies beneath such a name: most paths have none on their way.
    if !path.components().any(may_end) {
        return Vec::new();
    }
    let path = Relative::of(path.as_bytes(), roots);
    let mut candidates: Vec<usize> = Vec::new();
    for (base, rest) in path.parts() {
        let mut parts = rest.split(|&b| b == b'/');
        let first = parts.next().unwrap_or_default();
        candidates.extend(INDEX.at.get(&(base, first)).into_iter().flatten());
        if INDEX.anywhere_in.contains(&base) {
            let rows = std::iter::once(first).chain(parts).filter_map(|part| INDEX.anywhere.get(&(base, part)));
            candidates.extend(rows.flatten());
        }
    }
    candidates.sort_unstable();
    candidates.dedup();
    candidates.into_iter().filter_map(|at| table().get(at)).filter(|row| path.is_in(row.place)).collect()
}

/// The numbers of the rows that cover `path` and nothing above it; with those of all that is above it they are all that cover
/// it. For whoever asks for many paths from the top down. `path` is absolute and clean, `name` its last component.
pub fn ending(path: &[u8], name: &[u8], roots: &Roots) -> Vec<usize> {
    if !may_end(name) {
        return Vec::new();
    }
    let Some(rows) = ENDS.get(name) else { return Vec::new() };
    let path = Relative::of(path, roots);
    rows.iter().copied().filter(|at| table().get(*at).is_some_and(|row| path.ends(row.place))).collect()
}

/// Whether a place of the table may end with `name`: most names begin as none of those does, or are of another length.
fn may_end(name: &[u8]) -> bool {
    name.first().and_then(|first| LENGTHS.get(usize::from(*first))).is_some_and(|lengths| lengths & bit(name) != 0)
}

/// By the first byte of the last components of places: of what lengths they are.
static LENGTHS: LazyLock<[u64; 256]> = LazyLock::new(|| {
    let mut lengths = [0; 256];
    for name in ENDS.keys() {
        if let Some(slot) = name.first().and_then(|first| lengths.get_mut(usize::from(*first))) {
            *slot |= bit(name);
        }
    }
    lengths
});

/// Stands for the length of a name; the longest share one.
fn bit(name: &[u8]) -> u64 {
    1 << name.len().min(63)
}

/// Rows of the table by the last component of their place.
static ENDS: LazyLock<BTreeMap<&'static [u8], Vec<usize>>> = LazyLock::new(|| {
    let mut ends: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
    for (number, row) in table().iter().enumerate() {
        let (Place::At(_, rest) | Place::Anywhere(_, rest)) = row.place;
        let last = rest.as_bytes().rsplit(|&b| b == b'/').next().unwrap_or_default();
        ends.entry(last).or_default().push(number);
    }
    ends
});

/// Rows of the table by the first component of their place.
#[derive(Default)]
struct Index {
    at: BTreeMap<(Base, &'static [u8]), Vec<usize>>,
    anywhere: BTreeMap<(Base, &'static [u8]), Vec<usize>>,
    anywhere_in: BTreeSet<Base>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index::default();
    for (number, row) in table().iter().enumerate() {
        let (Place::At(base, rest) | Place::Anywhere(base, rest)) = row.place;
        let first = rest.as_bytes().split(|&b| b == b'/').next().unwrap_or_default();
        let rows = match row.place {
            Place::At(..) => &mut index.at,
            Place::Anywhere(..) => {
                index.anywhere_in.insert(base);
                &mut index.anywhere
            }
        };
        rows.entry((base, first)).or_default().push(number);
    }
    index
});

/// What remains of one path below each variable: worked out once, for the table has hundreds of rows.
struct Relative<'p>([Option<&'p [u8]>; Base::ALL.len()]);

impl<'p> Relative<'p> {
    fn of(path: &'p [u8], roots: &Roots) -> Self {
        Self(Base::ALL.map(|base| match base {
            Base::Root => path.get(1..),
            // What is closed in the caller's home is no more open in that of another.
            Base::Home => roots.0.get(&base).and_then(|top| below(path, top)).or_else(|| in_some_home(path)),
            base => roots.0.get(&base).and_then(|top| below(path, top)),
        }))
    }

    fn rest(&self, base: Base) -> Option<&'p [u8]> {
        let index = Base::ALL.iter().position(|known| *known == base)?;
        self.0.get(index).copied().flatten()
    }

    /// Whether the place is the path itself, and not something above it.
    fn ends(&self, place: Place) -> bool {
        let (Place::At(base, rest) | Place::Anywhere(base, rest)) = place;
        let tail = self.rest(base).and_then(|path| path.strip_suffix(rest.as_bytes()));
        match place {
            Place::At(..) => tail.is_some_and(<[u8]>::is_empty),
            Place::Anywhere(..) => tail.is_some_and(|tail| matches!(tail.last(), None | Some(b'/'))),
        }
    }

    fn parts(&self) -> impl Iterator<Item = (Base, &'p [u8])> {
        Base::ALL.into_iter().zip(self.0).filter_map(|(base, rest)| Some((base, rest?)))
    }

    fn is_in(&self, place: Place) -> bool {
        let (Place::At(base, rest) | Place::Anywhere(base, rest)) = place;
        let Some(path) = self.rest(base) else { return false };
        let begins = |path: &[u8]| {
            path.strip_prefix(rest.as_bytes()).is_some_and(|tail| matches!(tail.first(), None | Some(b'/')))
        };
        match place {
            Place::At(..) => begins(path),
            Place::Anywhere(..) => {
                let after_slash = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at + 1);
                std::iter::once(0).chain(after_slash).any(|at| path.get(at..).is_some_and(begins))
            }
        }
    }
}

/// What remains of `path` below a home directory where such are: `/root` and those in `/home`.
fn in_some_home(path: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = path.strip_prefix(b"/root/") {
        return Some(rest);
    }
    let rest = path.strip_prefix(b"/home/")?;
    let end = rest.iter().position(|&byte| byte == b'/')?;
    rest.get(end + 1..)
}

/// What remains of `path` below `top`.
fn below<'p>(path: &'p [u8], top: &AbsPath) -> Option<&'p [u8]> {
    if top.is_root() {
        return path.get(1..);
    }
    match path.strip_prefix(top.as_bytes())? {
        [] => Some(&[]),
        [b'/', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// The whole table: the vault, then credentials, then what the host executes.
pub fn table() -> &'static [Row] {
    &TABLE
}

/// One group of `src/data/sensitivity.toml`, as the build script writes it.
struct Group {
    kind: Sensitivity,
    why: &'static str,
    at: &'static [&'static str],
    anywhere: &'static [&'static str],
}

const GROUPS: &[Group] = include!(concat!(env!("OUT_DIR"), "/sensitivity.rs"));

static TABLE: LazyLock<Vec<Row>> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "the table is part of the program, and with an empty one nothing would be closed"
    )]
    rows(GROUPS).expect("src/data/sensitivity.toml is not as it should be")
});

fn rows(groups: &[Group]) -> Result<Vec<Row>, String> {
    let mut rows = Vec::with_capacity(groups.iter().map(|group| group.at.len() + group.anywhere.len()).sum());
    for group in groups {
        let at = group.at.iter().map(|text| (*text, Place::At as fn(Base, &'static str) -> Place));
        for (text, place) in at.chain(group.anywhere.iter().map(|text| (*text, Place::Anywhere as _))) {
            let (base, rest) = split(text).ok_or_else(|| format!("`{text}` is no place below a variable"))?;
            rows.push(Row { place: place(base, rest), sensitivity: group.kind, why: group.why });
        }
    }
    Ok(rows)
}

fn split(text: &str) -> Option<(Base, &str)> {
    let of = |base: Base| text.strip_prefix(base.as_str())?.strip_prefix('/').map(|rest| (base, rest));
    let variables = Base::ALL.into_iter().filter(|base| *base != Base::Root).find_map(of);
    variables.or_else(|| Some((Base::Root, text.strip_prefix('/')?))).filter(|(_, rest)| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots() -> Roots {
        let path = |p: &str| AbsPath::new(p).unwrap();
        Roots([(Base::Home, path("/home/u")), (Base::Project, path("/home/u/p"))].into())
    }

    fn at(path: &str, access: Access) -> Option<Sensitivity> {
        sensitive(&AbsPath::new(path).unwrap(), &roots(), access).map(|row| row.sensitivity)
    }

    #[test]
    fn reading_what_the_host_executes_is_harmless_and_writing_it_is_not() {
        for path in ["/home/u/.bashrc", "/home/u/.gitconfig", "/home/u/p/.git/config", "/home/u/p/sub/.git/hooks/x"] {
            assert_eq!(at(path, Access::Read), None, "{path}");
            assert_eq!(at(path, Access::Write), Some(Sensitivity::HostExecutes), "{path}");
        }
    }

    #[test]
    fn keys_and_tokens_are_sensitive_even_to_see() {
        assert_eq!(at("/home/u/.ssh/id_ed25519", Access::Exist), Some(Sensitivity::Vault));
        assert_eq!(at("/home/u/.config/gh/hosts.yml", Access::Read), Some(Sensitivity::Credential));
        assert_eq!(at("/home/u/p/deep/.env", Access::Read), Some(Sensitivity::Credential));
        assert_eq!(at("/home/u/.sshd", Access::Write), None);
        assert_eq!(at("/srv/home/.ssh/id", Access::Read), None);
    }

    #[test]
    fn what_is_closed_in_the_callers_home_is_closed_in_that_of_another() {
        for home in ["/root", "/home/other"] {
            assert_eq!(at(&format!("{home}/.ssh/id"), Access::Read), Some(Sensitivity::Vault), "{home}");
            assert_eq!(at(&format!("{home}/.netrc"), Access::Exist), at("/home/u/.netrc", Access::Exist), "{home}");
            assert_eq!(at(&format!("{home}/.bashrc"), Access::Write), Some(Sensitivity::HostExecutes), "{home}");
            assert_eq!(at(home, Access::Read), None, "{home}");
        }
        assert_eq!(at("/home/.ssh", Access::Read), None, "nobody's");
        let none = Roots::default();
        let key = AbsPath::new("/home/u/.ssh/id").unwrap();
        assert!(sensitive(&key, &none, Access::Read).is_some(), "nor does it need to be known whose home is whose");
    }

    #[test]
    fn the_index_finds_what_a_look_at_every_row_finds() {
        for row in table() {
            let (Place::At(base, rest) | Place::Anywhere(base, rest)) = row.place;
            let top = roots().get(base).unwrap_or_else(AbsPath::root);
            for way in ["", "a/", "a/.git/"] {
                for tail in ["", "/b", "x"] {
                    let path = top.join(format!("{way}{rest}{tail}")).unwrap();
                    let relative = Relative::of(path.as_bytes(), &roots());
                    let every: Vec<&Row> = table().iter().filter(|row| relative.is_in(row.place)).collect();
                    assert_eq!(covering(&path, &roots()), every, "{path:?}");
                    // And so does a walk down to it.
                    let down = std::iter::once(path.clone()).chain(path.ancestors());
                    let ends = |at: AbsPath| ending(at.as_bytes(), at.file_name().unwrap_or_default(), &roots());
                    let found: BTreeSet<usize> = down.flat_map(ends).collect();
                    let found: Vec<&Row> = found.into_iter().filter_map(|row| table().get(row)).collect();
                    assert_eq!(found, every, "{path:?}");
                }
            }
        }
    }

    #[test]
    fn a_place_below_no_variable_is_refused() {
        for at in [&["ssh"], &["~/"]] {
            let refused = rows(&[Group { kind: Sensitivity::Vault, why: "", at, anywhere: &[] }]).unwrap_err();
            assert!(refused.contains("no place"), "{refused}");
        }
    }

    #[test]
    fn sockets_of_power_and_what_the_host_executes_are_in_it() {
        let at = |text: &str| {
            let place = AbsPath::new(text).unwrap();
            let roots = Roots(
                [(Base::Home, "/h"), (Base::Project, "/p"), (Base::XdgRuntime, "/run/user/7")]
                    .map(|(base, top)| (base, AbsPath::new(top).unwrap()))
                    .into(),
            );
            classify(&place, &roots).map(|row| row.sensitivity)
        };
        let powers =
            ["docker.sock", "podman/podman.sock", "bus", "systemd/private", "gnupg/S.gpg-agent", "keyring/ssh"];
        for socket in powers.into_iter().chain(["ssh-agent.socket", "wayland-0", "pipewire-0", "pulse/native"]) {
            assert_eq!(at(&format!("/run/user/7/{socket}")), Some(Sensitivity::Vault), "{socket}");
        }
        for name in ["/run/docker.sock", "/run/dbus/system_bus_socket", "/h/.Xauthority"] {
            assert_eq!(at(name), Some(Sensitivity::Vault), "{name}");
        }
        let home =
            [".bashrc", ".config/systemd/user/x", ".local/bin/x", ".config/autostart/x", ".config/nvim/init.lua"];
        let project =
            ["a/.git/hooks/x", ".git/config", ".envrc", ".vscode/tasks.json", ".yarn/releases/y", ".pnpmfile.cjs"];
        for name in home.map(|name| format!("/h/{name}")).into_iter().chain(project.map(|name| format!("/p/{name}"))) {
            assert_eq!(at(&name), Some(Sensitivity::HostExecutes), "{name}");
        }
        assert_eq!(at("/var/spool/cron/x"), Some(Sensitivity::HostExecutes));
    }

    #[test]
    fn the_table_is_ordered_by_power_and_names_no_place_twice() {
        assert!(table().is_sorted_by_key(|row| row.sensitivity));
        for (index, row) in table().iter().enumerate() {
            let again = table().iter().skip(index + 1).find(|other| other.place == row.place);
            assert!(again.is_none(), "{:?}", row.place);
            let (Place::At(_, name) | Place::Anywhere(_, name)) = row.place;
            assert!(AbsPath::root().join(name).unwrap().relative_to(&AbsPath::root()) == Some(name.as_bytes()));
        }
    }
}
