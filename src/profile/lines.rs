//! The lines of `[filesystem]` where they lie for some roots, and which of them covers a path.

use std::collections::BTreeMap;

use crate::vocab::access::Access;
use crate::vocab::bundle::Layout;
use crate::vocab::location::{Location, Roots};
use crate::vocab::path::AbsPath;

use super::Profile;

/// The lines of a profile by the places that they are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines(BTreeMap<AbsPath, Line>);

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Its position in `[filesystem]`, from 0.
    pub number: u32,
    /// How far it goes.
    pub access: Access,
}

impl Lines {
    /// Those of `profile`; what names a variable that is not set lies nowhere. A bundle lies where it opens something on a
    /// system of that layout.
    pub fn of(profile: &Profile, roots: &Roots, layout: Option<Layout>) -> Self {
        let mut places = BTreeMap::new();
        for (number, (place, grant)) in (0..).zip(&profile.filesystem) {
            let line = Line { number, access: grant.access };
            match place {
                Location::Bundle(name) => {
                    let opened = profile.bundles.get(name).into_iter().flat_map(|bundle| bundle.on(layout));
                    for path in opened.filter_map(|opening| roots.resolve(&opening.place)) {
                        places.entry(path).or_insert(line);
                    }
                }
                // A line for a place itself outranks a bundle, which stands before it.
                Location::Path { .. } => places.extend(roots.resolve(place).map(|path| (path, line))),
            }
        }
        Self(places)
    }

    /// The line that covers `path`: the nearest at or above it. One that only lets a name exist covers nothing beneath.
    pub fn over(&self, path: &AbsPath) -> Option<Line> {
        self.at(path)
            .or_else(|| path.ancestors().filter_map(|above| self.at(&above)).find(|line| line.access != Access::Exist))
    }

    /// Each with where it lies.
    pub fn iter(&self) -> impl Iterator<Item = (&AbsPath, Line)> {
        self.0.iter().map(|(path, line)| (path, *line))
    }

    /// The line for `path` itself.
    pub fn at(&self, path: &AbsPath) -> Option<Line> {
        self.0.get(path).copied()
    }

    /// Whether a line is for something beneath `path`, which is there then, too.
    pub fn is_beneath(&self, path: &AbsPath) -> bool {
        self.0.range(path..).take(2).any(|(place, _)| place != path && place.is_beneath(path))
    }
}
