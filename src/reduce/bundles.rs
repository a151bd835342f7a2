//! What one run read of the system → the bundles that cover it.
//!
//! A need goes to the bundle with the longest place above it. A bundle is named when a need went to it that is more than a
//! look at one of its places from outside; no other evidence makes it stay away again, so more evidence never opens less.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Fact, Outcome, PathFact};
use crate::trace::Trace;
use crate::vocab::access::Access;
use crate::vocab::bundle::{Bundle, Layout, Shape};
use crate::vocab::location::{Base, Location};
use crate::vocab::path::AbsPath;

/// The layout of the system of a run, by where its C library was.
pub(super) fn layout(trace: &Trace) -> Option<Layout> {
    let marks: Vec<AbsPath> =
        Layout::ALL.iter().flat_map(|layout| layout.marks()).filter_map(|mark| AbsPath::new(mark).ok()).collect();
    let mut seen: BTreeSet<&AbsPath> = BTreeSet::new();
    for event in &trace.events {
        if let Fact::Path(PathFact { path, result: Outcome::Ok | Outcome::Unseen, .. }) = &event.fact {
            seen.extend(marks.iter().filter(|mark| path.is_beneath(mark)));
        }
    }
    Layout::of(&|mark| seen.iter().any(|path| path.as_bytes() == mark.as_bytes()))
}

/// The bundles that a run can be covered with, on the layout of its system.
#[derive(Debug)]
pub(super) struct Roles<'a> {
    places: BTreeMap<&'a Location, (&'a str, Shape)>,
}

/// What becomes of a need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Covered<'a> {
    /// That bundle is needed.
    By(&'a str),
    /// That bundle would do, and is not needed for this alone.
    AlsoBy(&'a str),
    /// No bundle knows the place.
    Not,
}

impl<'a> Roles<'a> {
    /// Of `bundles` on that layout.
    pub(super) fn of(bundles: impl Iterator<Item = (&'a String, &'a Bundle)>, layout: Option<Layout>) -> Self {
        let mut places = BTreeMap::new();
        for (name, bundle) in bundles {
            for opening in bundle.on(layout) {
                places.entry(&opening.place).or_insert((name.as_str(), opening.shape));
            }
        }
        Self { places }
    }

    /// Who covers a need of that much of `place`. `is_dir`: it is a directory, or a link on the way.
    pub(super) fn cover(&self, place: &Location, access: Access, is_dir: bool) -> Covered<'a> {
        if access > Access::Read {
            return Covered::Not;
        }
        // The first that is found is the longest.
        match self.above(place, is_dir).next() {
            // That a directory or a link is there says nothing of what is in it.
            Some((name, Shape::Directory, true)) if access == Access::Exist => Covered::AlsoBy(name),
            Some((name, ..)) => Covered::By(name),
            None => Covered::Not,
        }
    }

    /// Who opens `place`, the nearest first, with what it opens, and whether that is the place itself.
    fn above<'p>(&'p self, place: &'p Location, is_dir: bool) -> impl Iterator<Item = (&'a str, Shape, bool)> + 'p {
        let (base, rest) = match place {
            Location::Path { base, rest } => (*base, rest.as_slice()),
            Location::Bundle(_) => (Base::Root, &[][..]),
        };
        let cuts = rest.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        std::iter::once(rest.len()).chain(cuts).filter_map(move |end| {
            let here = Location::Path { base, rest: rest.get(..end).unwrap_or_default().to_vec() };
            let (name, shape) = *self.places.get(&here)?;
            let itself = end == rest.len();
            (shape == Shape::Directory || (itself && !is_dir)).then_some((name, shape, itself))
        })
    }

    /// Those of the bundles that are needed for something that no other of them opens: `needs` has each place that one of
    /// them is needed for. Where two would do the first in order of names goes.
    pub(super) fn fewest(&self, needs: &BTreeMap<Location, (&'a str, bool)>) -> BTreeSet<String> {
        let mut named: BTreeSet<&str> = needs.values().map(|(name, _)| *name).collect();
        for name in named.clone() {
            let mut own = needs.iter().filter(|(_, (other, _))| *other == name);
            let is_spare = own.all(|(place, (_, is_dir))| {
                self.above(place, *is_dir).any(|(other, ..)| other != name && named.contains(other))
            });
            if is_spare {
                named.remove(name);
            }
        }
        named.into_iter().map(str::to_owned).collect()
    }

    /// The places that these bundles open.
    pub(super) fn opened<'b>(&'b self, names: &'b BTreeSet<String>) -> impl Iterator<Item = &'a Location> + 'b {
        self.places.iter().filter(|(_, (name, _))| names.contains(*name)).map(|(place, _)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::bundle;

    #[test]
    fn a_need_goes_to_the_narrowest_role_and_a_look_at_a_directory_to_none() {
        let roles = Roles::of(bundle::all().iter(), Some(Layout::Debian));
        let cover = |place: &str, access, is_dir| roles.cover(&place.parse().unwrap(), access, is_dir);
        assert_eq!(cover("/usr/bin/git", Access::Read, false), Covered::By("git"));
        assert_eq!(cover("/usr/bin/ls", Access::Read, false), Covered::By("programs"));
        assert_eq!(cover("/usr/lib/git-core/git-x", Access::Exist, false), Covered::By("git"));
        assert_eq!(cover("/usr/include", Access::Exist, true), Covered::AlsoBy("cc"));
        assert_eq!(cover("/etc/localtime", Access::Exist, false), Covered::By("tz"));
        assert_eq!(cover("/usr/share/x", Access::Read, false), Covered::Not);
        assert_eq!(cover("/usr/lib/locale/x", Access::Write, false), Covered::Not);
        assert_eq!(cover("~/usr/bin/git", Access::Read, false), Covered::Not);
    }
}
