//! What the tables know of a place: whether it is sensitive, what it is, how dangerous an access to it is.
//!
//! Variables are taken to lead to where they lead by default; a home directory is known by its usual place, too.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::vocab::location::{Base, Location, Roots};
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::{Place, Row, Sensitivity, covering, table};

use super::places::Level;

/// Stands for the user's name: no file name can be it, for it has no text.
const USER: &[u8] = b"\xff";

/// Where things are on a usual machine, the project below the home directory.
static USUAL: LazyLock<Roots> = LazyLock::new(|| {
    let home = AbsPath::new("/home").and_then(|dir| dir.join(USER)).unwrap_or_else(|_| AbsPath::root());
    let below = |dir: &AbsPath, name: &[u8]| dir.join(name).unwrap_or_else(|_| AbsPath::root());
    let root = AbsPath::root();
    Roots(BTreeMap::from([
        (Base::Project, below(&home, b"\xff")),
        (Base::XdgConfig, below(&home, b".config")),
        (Base::XdgCache, below(&home, b".cache")),
        (Base::XdgData, below(&home, b".local/share")),
        (Base::XdgState, below(&home, b".local/state")),
        (Base::XdgRuntime, below(&root, b"run/user/\xff")),
        (Base::Tmpdir, below(&root, b"tmp")),
        (Base::Home, home),
    ]))
});

/// Where it lies on a usual machine.
fn usual(location: &Location) -> Option<AbsPath> {
    let Location::Path { base: Base::Root, rest } = location else { return USUAL.resolve(location) };
    // `/home/joe/.ssh` and `/root/.ssh` are somebody's keys.
    let in_home = match rest.strip_prefix(b"home/") {
        Some(below) => Some(below.splitn(2, |&b| b == b'/').nth(1).unwrap_or_default()),
        None if rest == b"root" => Some(&[][..]),
        None => rest.strip_prefix(b"root/"),
    };
    let home = USUAL.get(Base::Home)?;
    in_home.map_or_else(|| USUAL.resolve(location), |below| home.join(below).ok())
}

/// The rows of the table that cover it, the most powerful first.
pub(super) fn rows(location: &Location) -> Vec<&'static Row> {
    usual(location).map(|path| covering(&path, &USUAL)).unwrap_or_default()
}

/// Whether a plan keeps it read-only in a directory that may be written.
pub(super) fn is_guarded(location: &Location) -> bool {
    rows(location).iter().any(|row| matches!(row.sensitivity, Sensitivity::HostExecutes | Sensitivity::Pinfold))
}

/// Places that are sensitive to read, by path.
static TO_READ: LazyLock<Vec<(AbsPath, &'static Row)>> = LazyLock::new(|| {
    let place = |row: &'static Row| match row.place {
        Place::At(base, rest) if row.sensitivity != Sensitivity::HostExecutes => {
            let location = Location::Path { base, rest: rest.as_bytes().to_vec() };
            Some((USUAL.resolve(&location)?, row))
        }
        Place::At(..) | Place::Anywhere(..) => None,
    };
    let mut places: Vec<_> = table().iter().filter_map(place).collect();
    places.sort_by(|(a, _), (b, _)| a.cmp(b));
    places
});

/// The places beneath it that are sensitive to read: each from there, and as a location.
pub(super) fn sensitive_beneath(location: &Location) -> Vec<(Vec<u8>, Location, &'static Row)> {
    let Some(top) = usual(location) else { return Vec::new() };
    let from = TO_READ.partition_point(|(path, _)| *path < top);
    let beneath = TO_READ.iter().skip(from).map_while(|(path, row)| Some((path, path.relative_to(&top)?, *row)));
    beneath
        .filter(|(_, below, _)| !below.is_empty())
        .map(|(path, below, row)| (below.to_vec(), USUAL.locate(path), row))
        .collect()
}

/// Whether it is a home directory or holds one.
pub(super) fn holds_a_home(location: &Location) -> bool {
    let home = USUAL.get(Base::Home).unwrap_or_else(AbsPath::root);
    usual(location).is_some_and(|path| home.is_beneath(&path))
}

/// The risk of an access to a place that no table knows.
pub(super) fn risk(location: &Location, level: Level) -> u8 {
    let Location::Path { base, rest } = location else { return if level >= Level::Write { 3 } else { 1 } };
    let top = rest.split(|&b| b == b'/').next().unwrap_or_default();
    let distribution = matches!(top, b"usr" | b"bin" | b"sbin" | b"lib" | b"lib32" | b"lib64" | b"libx32" | b"opt");
    match (base, level) {
        (_, Level::None) => 0,
        (Base::Root, Level::See) if distribution => 0,
        (Base::Tmpdir, Level::See | Level::Read) => 0,
        (_, Level::See) | (Base::Project | Base::XdgCache, Level::Read) => 1,
        (Base::Root, Level::Read) if distribution => 1,
        (_, Level::Read) => 2,
        (Base::Tmpdir, _) => 1,
        (Base::Project | Base::XdgCache, _) => 2,
        (Base::Root, _) => 4,
        (_, _) => 3,
    }
}
