//! The lines of `[filesystem]` where they lie for some roots, and which of them covers a path.

use std::collections::BTreeMap;

use crate::vocab::access::Access;
use crate::vocab::location::Roots;
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
    /// Those of `profile`; what names a variable that is not set lies nowhere.
    pub fn of(profile: &Profile, roots: &Roots) -> Self {
        let lines = (0..).zip(&profile.filesystem);
        let places = lines.filter_map(|(number, (place, grant))| {
            Some((roots.resolve(place)?, Line { number, access: grant.access }))
        });
        Self(places.collect())
    }

    /// The line that covers `path`: the nearest at or above it. One that only lets a name exist covers nothing beneath.
    pub fn over(&self, path: &AbsPath) -> Option<Line> {
        self.at(path)
            .or_else(|| path.ancestors().filter_map(|above| self.at(&above)).find(|line| line.access != Access::Exist))
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
