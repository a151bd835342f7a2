//! What one run read of the system → the bundles that cover it.
//!
//! A need goes to the bundle with the longest place above it. A bundle is named when a need went to it that is more than a
//! look at one of its places from outside; no other evidence makes it stay away again, so more evidence never opens less.

use std::collections::{BTreeMap, BTreeSet};

use crate::trace::Trace;
use crate::vocab::access::Access;
use crate::vocab::bundle::{Bundle, Layout, Shape};
use crate::vocab::location::{Location, Roots};
use crate::vocab::path::AbsPath;

use super::places::Places;
use crate::trace::paths::{Id, Paths};

/// The layout of the system of a run, by where its C library was.
pub(super) fn layout(trace: &Trace) -> Option<Layout> {
    let marks: Vec<AbsPath> =
        Layout::ALL.iter().flat_map(|layout| layout.marks()).filter_map(|mark| AbsPath::new(mark).ok()).collect();
    let paths = trace.events.paths();
    // Which marks lie at or above each path, a bit for each.
    let own: BTreeMap<Id, u32> =
        (0..u32::BITS).zip(&marks).filter_map(|(bit, mark)| Some((paths.find(mark.as_bytes())?, 1 << bit))).collect();
    let mut over: Vec<u32> = Vec::with_capacity(paths.len());
    for id in paths.ids() {
        let above = paths.parent(id).and_then(|parent| over.get(parent.at())).copied().unwrap_or(0);
        over.push(above | own.get(&id).copied().unwrap_or(0));
    }
    let reached = trace.events.steps().filter(|step| step.result.may_have_succeeded());
    let seen = reached.fold(0, |seen, step| seen | over.get(step.path.at()).copied().unwrap_or(0));
    Layout::of(&|mark| {
        (0..u32::BITS).zip(&marks).any(|(bit, known)| seen >> bit & 1 == 1 && known.as_bytes() == mark.as_bytes())
    })
}

/// The bundles that a run can be covered with, on the layout of its system.
#[derive(Debug)]
pub(super) struct Roles<'a> {
    places: BTreeMap<&'a Location, (&'a str, Shape)>,
    /// The same by the number of the path, where the run has that place.
    openings: BTreeMap<Id, Opened<'a>>,
    /// The nearest directory at or above each path that a bundle opens.
    over: Vec<Option<Id>>,
}

/// A place that a bundle opens.
#[derive(Debug, Clone, Copy)]
struct Opened<'a> {
    name: &'a str,
    shape: Shape,
    /// The nearest directory above it that a bundle opens.
    outside: Option<Id>,
}

/// What becomes of a need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Covered<'a> {
    /// The bundle is needed that opens this.
    By(Id),
    /// That bundle would do, and is not needed for this alone.
    AlsoBy(&'a str),
    /// No bundle knows the place.
    Not,
}

impl<'a> Roles<'a> {
    /// Of `bundles` on that layout. Their places are added to `paths`.
    pub(super) fn of(
        bundles: impl Iterator<Item = (&'a String, &'a Bundle)>,
        layout: Option<Layout>,
        roots: &Roots,
        paths: &mut Paths,
    ) -> Self {
        let mut places = BTreeMap::new();
        for (name, bundle) in bundles {
            for opening in bundle.on(layout) {
                places.entry(&opening.place).or_insert((name.as_str(), opening.shape));
            }
        }
        let locator = roots.locator();
        let mut openings = BTreeMap::new();
        for (place, opening) in &places {
            // What a nearer variable leads to has that name.
            if let Some(path) = roots.resolve(place).filter(|path| locator.locate(path) == **place) {
                let (name, shape) = *opening;
                openings.insert(paths.add(&path), Opened { name, shape, outside: None });
            }
        }
        Self { places, openings, over: Vec::new() }
    }

    /// Goes once over all paths, of which `places` know the locations.
    pub(super) fn settle(&mut self, paths: &Paths, places: &Places<'_>) {
        self.over = Vec::with_capacity(paths.len());
        for id in paths.ids() {
            let (base, _) = places.named(paths, id);
            let same = |parent: &Id| {
                let (above, rest) = places.named(paths, *parent);
                above == base && !rest.is_empty()
            };
            let outside = paths.parent(id).filter(same).and_then(|parent| self.over(parent));
            let over = match self.openings.get_mut(&id) {
                Some(opening) if opening.shape == Shape::Directory => {
                    opening.outside = outside;
                    Some(id)
                }
                _ => outside,
            };
            self.over.push(over);
        }
    }

    fn over(&self, id: Id) -> Option<Id> {
        self.over.get(id.at()).copied().flatten()
    }

    /// Who covers a need of that much of a path. `is_dir`: it is a directory, or a link on the way.
    pub(super) fn cover(&self, id: Id, access: Access, is_dir: bool) -> Covered<'a> {
        if access > Access::Read {
            return Covered::Not;
        }
        // The first that is found is the longest.
        let Some(at) = self.above(id, is_dir).next() else { return Covered::Not };
        match self.openings.get(&at) {
            // That a directory or a link is there says nothing of what is in it.
            Some(opening) if opening.shape == Shape::Directory && at == id && access == Access::Exist => {
                Covered::AlsoBy(opening.name)
            }
            _ => Covered::By(at),
        }
    }

    /// What opens a path, the nearest first.
    fn above(&self, id: Id, is_dir: bool) -> impl Iterator<Item = Id> + '_ {
        let itself = !is_dir && self.openings.get(&id).is_some_and(|opening| opening.shape == Shape::File);
        let outside = |at: &Id| self.openings.get(at).and_then(|opening| opening.outside);
        itself.then_some(id).into_iter().chain(std::iter::successors(self.over(id), outside))
    }

    fn name(&self, opening: Id) -> Option<&'a str> {
        self.openings.get(&opening).map(|opening| opening.name)
    }

    /// Those of the bundles that are needed for something that no other of them opens: `needs` has what opens each need
    /// nearest. Where two would do the first in order of names goes.
    pub(super) fn fewest(&self, needs: &BTreeSet<Id>) -> BTreeSet<String> {
        let mut named: BTreeSet<&str> = needs.iter().filter_map(|at| self.name(*at)).collect();
        for name in named.clone() {
            let mut own = needs.iter().filter(|at| self.name(**at) == Some(name));
            let is_spare = own.all(|at| {
                let mut others = self.above(*at, false).filter_map(|at| self.name(at));
                others.any(|other| other != name && named.contains(other))
            });
            if is_spare {
                named.remove(name);
            }
        }
        named.into_iter().map(str::to_owned).collect()
    }

    /// The paths that these bundles open.
    pub(super) fn ids<'b>(&'b self, names: &'b BTreeSet<String>) -> impl Iterator<Item = Id> + 'b {
        self.openings.iter().filter(|(_, opening)| names.contains(opening.name)).map(|(id, _)| *id)
    }

    /// The places that these bundles open.
    pub(super) fn opened<'b>(&'b self, names: &'b BTreeSet<String>) -> impl Iterator<Item = &'a Location> + 'b {
        self.places.iter().filter(|(_, (name, _))| names.contains(*name)).map(|(place, _)| *place)
    }

    /// What only the walk over the needs wants.
    pub(super) fn forget(&mut self) {
        self.openings = BTreeMap::new();
        self.over = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reduce::needs::Needs;
    use crate::trace::tests::empty;
    use crate::vocab::bundle;

    #[test]
    fn a_need_goes_to_the_narrowest_role_and_a_look_at_a_directory_to_none() {
        let trace = empty();
        let roots = &trace.header.roots;
        let mut needs = Needs::default();
        let path = |place: &str| roots.resolve(&place.parse().unwrap()).unwrap();
        let mut cover = |place: &str, access, is_dir| {
            let id = needs.paths.add(&path(place));
            let mut roles = Roles::of(bundle::all().iter(), Some(Layout::Debian), roots, &mut needs.paths);
            let places = Places::of(&trace, &mut needs);
            roles.settle(&needs.paths, &places);
            match roles.cover(id, access, is_dir) {
                Covered::By(at) => format!("by {}", roles.name(at).unwrap()),
                Covered::AlsoBy(name) => format!("also by {name}"),
                Covered::Not => "not".to_owned(),
            }
        };
        assert_eq!(cover("/usr/bin/git", Access::Read, false), "by git");
        assert_eq!(cover("/usr/bin/ls", Access::Read, false), "by programs");
        assert_eq!(cover("/usr/lib/git-core/git-x", Access::Exist, false), "by git");
        assert_eq!(cover("/usr/include", Access::Exist, true), "also by cc");
        assert_eq!(cover("/etc/localtime", Access::Exist, false), "by tz");
        assert_eq!(cover("/usr/share/x", Access::Read, false), "not");
        assert_eq!(cover("/usr/lib/locale/x", Access::Write, false), "not");
        assert_eq!(cover("~/usr/bin/git", Access::Read, false), "not");
    }
}
