//! The lines of a profile × the paths of a run → which line covers each path: found in one walk from the top down.

use std::collections::BTreeMap;

use crate::profile::lines::{Line, Lines};
use crate::vocab::access::Access;

use crate::trace::paths::{Id, Paths};

/// Which line covers each path of a run.
#[derive(Debug)]
pub(super) struct Cover {
    at: BTreeMap<Id, Line>,
    /// The nearest line at or above each path that covers what is beneath it.
    wide: Vec<Option<Line>>,
}

impl Cover {
    pub(super) fn of(lines: &Lines, paths: &Paths) -> Self {
        let here = lines.iter().filter_map(|(path, line)| Some((paths.find(path.as_bytes())?, line)));
        let at: BTreeMap<Id, Line> = here.collect();
        let mut wide: Vec<Option<Line>> = Vec::with_capacity(paths.len());
        for id in paths.ids() {
            let own = at.get(&id).filter(|line| line.access != Access::Exist).copied();
            let above = || paths.parent(id).and_then(|parent| wide.get(parent.at()).copied()).flatten();
            wide.push(own.or_else(above));
        }
        Self { at, wide }
    }

    /// As [`Lines::at`].
    pub(super) fn at(&self, id: Id) -> Option<Line> {
        self.at.get(&id).copied()
    }

    /// As [`Lines::over`].
    pub(super) fn over(&self, id: Id) -> Option<Line> {
        self.at(id).or_else(|| self.wide.get(id.at()).copied().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::parse;
    use crate::vocab::location::Roots;
    use crate::vocab::path::AbsPath;

    #[test]
    fn the_walk_finds_what_a_look_at_each_path_finds() {
        let lines = ["\"/a\" = \"read\"", "\"/a/b\" = \"exist\"", "\"/a/b/c\" = \"write\"", "\"/d\" = \"exist\""];
        let text = format!(
            "schema = 1\nname = \"x\"\ncommand = [\"x\"]\n[filesystem]\n{}\n[syscalls]\nbase = 1\n",
            lines.join("\n")
        );
        let lines = Lines::of(&parse::parse(&text).unwrap(), &Roots::default(), None);
        let mut paths = Paths::default();
        for place in ["/a/x", "/a/b/x", "/a/b/c/x/y", "/d/x", "/e"] {
            paths.add(&AbsPath::new(place).unwrap());
        }
        let cover = Cover::of(&lines, &paths);
        for id in paths.ids() {
            let path = paths.path(id);
            assert_eq!((cover.at(id), cover.over(id)), (lines.at(&path), lines.over(&path)), "{path}");
        }
    }
}
