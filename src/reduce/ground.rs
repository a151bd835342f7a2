//! The directories of a run that mean something → what is true of each of its paths: handed down from the top, for a path
//! differs from the directory that it stands in only where something begins.
//!
//! One walk over the table of paths; what stands above comes first there. Invariant: of each path it says what a look at
//! the whole path would say; `tests` hold it to that.

use std::collections::BTreeSet;

use crate::vocab::access::Access;
use crate::vocab::location::Base;
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::{Sensitivity, ending, table};

use super::places::Tops;
use super::units;
use crate::trace::paths::{Id, Paths};

/// Behind the last row of the table.
const NO_ROW: u16 = u16::MAX;

/// What is true of one path.
#[derive(Debug, Clone, Copy)]
struct At {
    /// Where its location starts from, and where in the path the rest begins.
    base: Base,
    start: u32,
    private: bool,
    shared: bool,
    /// Directories in it may be a program's own.
    holds_own: bool,
    /// The first row of the table that covers it, and the first that covers it for reading.
    row: u16,
    row_read: u16,
    /// The program's own directory that it lies in.
    own: Option<Id>,
    /// The outermost unit at or above it.
    unit: Option<Id>,
    /// The package of the system at or above it.
    package: Option<Id>,
}

/// What is true of each path of a run, by its number.
#[derive(Debug, Default)]
pub(super) struct Ground {
    at: Vec<At>,
    project: Option<Id>,
}

impl Ground {
    /// Of `paths`, to which the directories that mean something are added. `closed` are names that must not be opened by
    /// granting what is above them; `marks` are the names in a directory that mark a unit.
    pub(super) fn of<'m>(
        paths: &mut Paths,
        tops: &Tops<'_>,
        closed: &BTreeSet<AbsPath>,
        marks: &dyn Fn(Id) -> Option<&'m BTreeSet<String>>,
    ) -> Self {
        let begins: BTreeSet<Id> = tops.all().iter().map(|top| paths.add(top)).collect();
        // Strictly above: the names themselves are in the table of what is sensitive.
        let closed: Vec<Id> = closed.iter().map(|path| paths.add(path)).collect();
        let holds: BTreeSet<Id> = closed.iter().flat_map(|id| paths.ancestors(*id)).collect();
        let ends = |top: &Option<AbsPath>| top.as_ref().and_then(|top| paths.find(top.as_bytes()));
        let (home, project) = (ends(&tops.home), ends(&tops.project));
        let above: BTreeSet<Id> = [home, project].into_iter().flatten().flat_map(|id| paths.ancestors(id)).collect();
        let of_a_user: BTreeSet<Id> = tops.of_a_user.iter().filter_map(|top| paths.find(top.as_bytes())).collect();
        let mut has_children = vec![false; paths.len()];
        for id in paths.ids() {
            if let Some(has) = paths.parent(id).and_then(|parent| has_children.get_mut(parent.at())) {
                *has = true;
            }
        }
        let locator = tops.roots.locator();
        let mut ground = Self { at: Vec::with_capacity(paths.len()), project };
        for id in paths.ids() {
            let (path, name) = (paths.bytes(id), paths.name(id));
            let parent = paths.parent(id);
            let up = parent.and_then(|parent| ground.at.get(parent.at())).copied();
            let mut at = up.unwrap_or(START);
            at.shared = above.contains(&id);
            at.holds_own = false;
            if up.is_none() || begins.contains(&id) {
                let path = paths.path(id);
                (at.base, at.start) = locator.start(&path);
                at.private = tops.is_private(&path);
                at.shared = tops.is_shared(&path);
                at.holds_own = of_a_user.contains(&id);
            }
            for row in ending(path, name, tops.roots) {
                let number = u16::try_from(row).unwrap_or(NO_ROW);
                at.row = at.row.min(number);
                if table().get(row).is_some_and(|row| row.sensitivity != Sensitivity::HostExecutes) {
                    at.row_read = at.row_read.min(number);
                }
            }
            if project == Some(id) {
                at.own = project;
            }
            let is_in_project = project.is_some() && at.own == project;
            if !is_in_project && up.is_some_and(|up| up.holds_own) {
                // `~/work` is a person's, `~/.agent` and `~/.config/agent` are a program's. Not across what is sensitive
                // as a whole.
                let is_hidden = name.starts_with(b".") || parent != home;
                at.own = (is_hidden && !at.shared && at.row == NO_ROW).then_some(id);
            }
            if has_children.get(id.at()) == Some(&true) {
                let may = !at.shared && !holds.contains(&id) && !at.is_secret();
                let is_unit = || units::is_unit(path, name) || marks(id).is_some_and(units::is_marked);
                at.unit = at.unit.or_else(|| (may && is_unit()).then_some(id));
                if units::holds_packages(path) {
                    at.package = None;
                } else if parent.is_some_and(|parent| units::holds_packages(paths.bytes(parent))) {
                    at.package = may.then_some(id);
                }
            }
            ground.at.push(at);
        }
        ground
    }

    /// What each sandbox has of its own.
    pub(super) fn is_private(&self, id: Id) -> bool {
        self.at(id).private
    }

    /// What is never granted for more than existing.
    pub(super) fn is_shared(&self, id: Id) -> bool {
        self.at(id).shared
    }

    /// The project, if the path is in it.
    pub(super) fn project(&self, id: Id) -> Option<Id> {
        self.project.filter(|project| self.at(id).own == Some(*project))
    }

    /// The program's own directory that it lies in: the project, or the first directory in the home that is no shared one.
    pub(super) fn own(&self, id: Id) -> Option<Id> {
        self.at(id).own
    }

    /// The directory at or above `id` whose contents belong together: dependencies, a tool chain, a package.
    pub(super) fn unit(&self, id: Id) -> Option<Id> {
        let at = self.at(id);
        at.unit.or(at.package)
    }

    /// The row of the table that makes that much of it sensitive.
    pub(super) fn row(&self, id: Id, access: Access) -> Option<usize> {
        let at = self.at(id);
        let row = if access.writes() { at.row } else { at.row_read };
        (row != NO_ROW).then_some(usize::from(row))
    }

    /// Where its location starts from, and where in the path the rest begins.
    pub(super) fn base(&self, id: Id) -> (Base, usize) {
        let at = self.at(id);
        (at.base, usize::try_from(at.start).unwrap_or(0))
    }

    fn at(&self, id: Id) -> At {
        self.at.get(id.at()).copied().unwrap_or(START)
    }
}

/// What is true of a path of which nothing is known.
const START: At = At {
    base: Base::Root,
    start: 1,
    private: false,
    shared: false,
    holds_own: false,
    row: NO_ROW,
    row_read: NO_ROW,
    own: None,
    unit: None,
    package: None,
};

impl At {
    /// The vault, or a credential.
    fn is_secret(&self) -> bool {
        let row = table().get(usize::from(self.row));
        row.is_some_and(|row| row.sensitivity <= Sensitivity::Credential)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::trace::tests::empty;
    use crate::vocab::location::Roots;
    use crate::vocab::sensitivity::{classify, sensitive};

    /// The unit that holds `path`, by a look at everything above it.
    fn unit(path: &AbsPath, marked: &AbsPath, may: &dyn Fn(&AbsPath) -> bool) -> Option<AbsPath> {
        let mut above: Vec<AbsPath> = path.ancestors().collect();
        above.reverse();
        let is_unit =
            |dir: &&AbsPath| units::is_unit(dir.as_bytes(), dir.file_name().unwrap_or_default()) || *dir == marked;
        let is_package = |dir: &&AbsPath| dir.parent().is_some_and(|above| units::holds_packages(above.as_bytes()));
        let holds = |dir: &AbsPath| units::holds_packages(dir.as_bytes());
        let package = above.iter().rfind(is_package).filter(|dir| !holds(dir) && !holds(path));
        above.iter().filter(is_unit).find(|dir| may(dir)).or(package.filter(|dir| may(dir))).cloned()
    }

    /// The program's own directory, by a look at every top.
    fn own(path: &AbsPath, tops: &Tops<'_>, roots: &Roots) -> Option<AbsPath> {
        if let Some(project) = tops.project.as_ref().filter(|project| path.is_beneath(project)) {
            return Some(project.clone());
        }
        let above = tops.of_a_user.iter().filter(|top| path.is_beneath(top) && path != *top);
        let top = above.max_by_key(|top| top.components().count())?;
        let first = path.relative_to(top)?.split(|&byte| byte == b'/').next()?;
        let own = top.join(first).ok()?;
        let is_hidden = first.starts_with(b".") || Some(top) != tops.home.as_ref();
        (is_hidden && !tops.is_shared(&own) && classify(&own, roots).is_none()).then_some(own)
    }

    fn any_path() -> impl Strategy<Value = AbsPath> {
        let names = [
            "home",
            "u",
            "p",
            ".config",
            ".cache",
            ".local",
            "share",
            ".ssh",
            ".agent",
            "node_modules",
            "env",
            "lib",
            "usr",
            "x86_64-linux-gnu",
            "x",
            "c",
            "tmp",
            "etc",
            "hosts",
            ".git",
            "hooks",
            ".rustup",
            "toolchains",
            "proc",
            ".env",
        ];
        let name = prop::sample::select(names.to_vec());
        let starts = prop::sample::select(vec!["", "/home/u", "/home/u/p", "/usr/lib", "/c", "/home/u/.config"]);
        let rest = prop::collection::vec(name, 0..5);
        (starts, rest).prop_map(|(start, rest)| AbsPath::new(format!("{start}/{}", rest.join("/"))).unwrap())
    }

    proptest! {
        #[test]
        fn what_is_handed_down_is_what_a_look_at_the_whole_path_says(
            all in prop::collection::vec(any_path(), 1..20), closed in any_path(), marked in any_path(),
        ) {
            let trace = empty();
            let (roots, tops, mut paths) = (&trace.header.roots, Tops::of(&trace), Paths::default());
            for path in &all {
                paths.add(path);
            }
            let mark = paths.add(&marked);
            let marks = BTreeSet::from(["pyvenv.cfg".to_owned()]);
            let closed = BTreeSet::from([closed]);
            let ground = Ground::of(&mut paths, &tops, &closed, &|id| (id == mark).then_some(&marks));
            let opens = |dir: &AbsPath| closed.iter().any(|path| path != dir && path.is_beneath(dir));
            let may = |dir: &AbsPath| {
                let secret = classify(dir, roots).is_some_and(|row| row.sensitivity <= Sensitivity::Credential);
                !tops.is_shared(dir) && !opens(dir) && !secret
            };
            for id in paths.ids() {
                let path = paths.path(id);
                let (base, start) = ground.base(id);
                let rest = paths.bytes(id).get(start..).unwrap_or_default().to_vec();
                prop_assert_eq!(crate::vocab::location::Location::Path { base, rest }, roots.locate(&path));
                prop_assert_eq!(ground.is_private(id), tops.is_private(&path), "{} is private", path);
                prop_assert_eq!(ground.is_shared(id), tops.is_shared(&path), "{} is shared", path);
                for access in [Access::Exist, Access::Read, Access::Write, Access::Replace] {
                    let row = ground.row(id, access).and_then(|row| table().get(row));
                    prop_assert_eq!(row, sensitive(&path, roots, access), "{} {}", path, access);
                }
                let found = ground.own(id).map(|own| paths.path(own));
                prop_assert_eq!(found, own(&path, &tops, roots), "the own directory of {}", path);
                if let Some(above) = paths.parent(id) {
                    let found = ground.unit(above).map(|unit| paths.path(unit));
                    prop_assert_eq!(found, unit(&path, &marked, &may), "the unit of {}", path);
                }
            }
        }
    }
}
