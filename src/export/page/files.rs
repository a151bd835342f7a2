//! Grants, traces and denials → one tree of places: what is granted, what was used of it, what lies open unused, what was
//! refused.
//!
//! Places are named as in profiles, so runs of other users and projects fall together. A place below two variables belongs
//! to the deeper one; a grant on `~` does not show below `$PROJECT`.

use std::collections::BTreeMap;

use crate::event::{Fact, Outcome};
use crate::profile::Profile;
use crate::trace::Trace;
use crate::vocab::escape;
use crate::vocab::location::{Base, Location, Roots};
use crate::vocab::path::AbsPath;

use super::Refused;

/// Places that a page shows at most: the heaviest. The rest is counted.
const SHOWN: usize = 3000;

/// What is known of one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// Nothing is known of it but that other places lie beneath.
    Way,
    /// A run used it, and the profile has no line for it (private directories, what every program gets).
    Used,
    /// The profile opens it, and no run used it.
    Exposed,
    /// The profile opens it, and a run used it.
    Granted,
    /// It was refused.
    Refused,
}

impl State {
    /// One letter for the data of the page.
    fn letter(self) -> &'static str {
        match self {
            Self::Way => "w",
            Self::Used => "u",
            Self::Exposed => "x",
            Self::Granted => "g",
            Self::Refused => "r",
        }
    }
}

/// A tree of places.
#[derive(Debug)]
pub(super) struct Files {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    children: BTreeMap<Vec<u8>, usize>,
    granted: bool,
    used: bool,
    refused: bool,
    /// Entries of the directory, as counted while learning; not every directory is.
    entries: Option<u32>,
}

/// What a grant was good for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Places beneath it that a run used.
    pub(super) used: usize,
    /// Entries of the directories used beneath it that no run used; `None` where no directory was counted.
    pub(super) unused: Option<usize>,
}

impl Files {
    pub(super) fn of(profile: &Profile, traces: &[Trace], refused: &[Refused]) -> Self {
        let mut files = Self { nodes: vec![Node::default()] };
        for (location, grant) in &profile.filesystem {
            if let (Location::Path { base, rest }, true) = (location, grant.approved) {
                files.at(*base, rest).granted = true;
            }
        }
        for trace in traces {
            let names = Names::of(&trace.header.roots);
            for event in &trace.events {
                files.note(&names, &event.fact);
            }
        }
        for refusal in refused {
            let words = refusal.what.split(' ').filter(|word| word.starts_with('/'));
            let paths = words.filter_map(|word| AbsPath::new(escape::unfile(word).ok()?).ok());
            let names = traces.last().map(|trace| Names::of(&trace.header.roots)).unwrap_or_default();
            for path in paths {
                let (base, rest) = names.split(&path);
                files.at(base, rest).refused = true;
            }
        }
        files
    }

    fn note(&mut self, names: &Names, fact: &Fact) {
        match fact {
            Fact::Path(path) if path.result == Outcome::Ok => {
                let (base, rest) = names.split(&path.path);
                self.at(base, rest).used = true;
            }
            Fact::Pair(pair) if pair.result == Outcome::Ok => {
                for end in [&pair.from, &pair.to] {
                    let (base, rest) = names.split(end);
                    self.at(base, rest).used = true;
                }
            }
            Fact::Census(census) => {
                let (base, rest) = names.split(&census.dir);
                let node = self.at(base, rest);
                node.entries = node.entries.max(Some(census.entries));
            }
            _ => {}
        }
    }

    fn at(&mut self, base: Base, rest: &[u8]) -> &mut Node {
        let first = std::iter::once(base.as_str().as_bytes());
        let mut here = 0;
        for part in first.chain(rest.split(|byte| *byte == b'/').filter(|part| !part.is_empty())) {
            let known = self.nodes.get(here).and_then(|node| node.children.get(part)).copied();
            here = known.unwrap_or_else(|| {
                let new = self.nodes.len();
                self.nodes.push(Node::default());
                if let Some(node) = self.nodes.get_mut(here) {
                    node.children.insert(part.to_vec(), new);
                }
                new
            });
        }
        // The tree always has its root, and `here` is a node of it.
        #[expect(clippy::indexing_slicing, reason = "`here` was just found or made")]
        &mut self.nodes[here]
    }

    /// What the grant on `location` was good for.
    pub(super) fn usage(&self, location: &Location) -> Usage {
        let Location::Path { base, rest } = location else { return Usage::default() };
        let mut here = Some(0);
        let first = std::iter::once(base.as_str().as_bytes());
        for part in first.chain(rest.split(|byte| *byte == b'/').filter(|part| !part.is_empty())) {
            here = here.and_then(|at| self.nodes.get(at)?.children.get(part).copied());
        }
        let mut usage = Usage::default();
        let mut waiting: Vec<usize> = here.into_iter().collect();
        while let Some(node) = waiting.pop().and_then(|at| self.nodes.get(at)) {
            usage.used += usize::from(node.used);
            if node.entries.is_some() {
                usage.unused = Some(usage.unused.unwrap_or(0) + node.unused());
            }
            waiting.extend(node.children.values());
        }
        usage
    }

    /// The tree as `[name, state, weight, children]`, the heaviest places only.
    pub(super) fn data(&self) -> serde_json::Value {
        let weights = self.weights();
        let mut order: Vec<usize> = (0..self.nodes.len()).collect();
        order.sort_by_key(|at| (std::cmp::Reverse(weights.get(*at).copied().unwrap_or(0)), *at));
        let mut kept = vec![false; self.nodes.len()];
        order.iter().take(SHOWN).for_each(|at| {
            if let Some(kept) = kept.get_mut(*at) {
                *kept = true;
            }
        });
        self.value(0, "all", false, &weights, &kept, 0)
    }

    /// Weight of each node: what it stands for and all beneath. Children come after their parents in the arena.
    fn weights(&self) -> Vec<usize> {
        let mut weights: Vec<usize> = self
            .nodes
            .iter()
            .map(|node| usize::from(node.used || node.granted || node.refused) + node.unused().min(10_000))
            .collect();
        for (at, node) in self.nodes.iter().enumerate().rev() {
            let beneath: usize = node.children.values().filter_map(|child| weights.get(*child)).sum();
            if let Some(weight) = weights.get_mut(at) {
                *weight += beneath;
            }
        }
        weights
    }

    fn value(
        &self,
        at: usize,
        name: &str,
        above: bool,
        weights: &[usize],
        kept: &[bool],
        depth: usize,
    ) -> serde_json::Value {
        use serde_json::json;
        let Some(node) = self.nodes.get(at) else { return serde_json::Value::Null };
        let granted = above || node.granted;
        let state = match (node.refused, granted, node.used) {
            (true, ..) => State::Refused,
            (_, true, true) => State::Granted,
            (_, true, false) => State::Exposed,
            (_, false, true) => State::Used,
            (_, false, false) => State::Way,
        };
        let mut children = Vec::new();
        let mut left_out = 0;
        for (part, child) in &node.children {
            // A trace may claim paths of two thousand components; a person looks no deeper than this.
            if depth < 40 && kept.get(*child).copied().unwrap_or(false) {
                let name = escape::terminal(part);
                children.push(self.value(*child, &name, granted, weights, kept, depth + 1));
            } else {
                left_out += weights.get(*child).copied().unwrap_or(0);
            }
        }
        if left_out > 0 {
            children.push(json!([format!("{left_out} more"), state.letter(), left_out, []]));
        }
        if granted && node.unused() > 0 {
            let count = node.unused();
            children.push(json!([format!("{count} not used"), State::Exposed.letter(), count.min(10_000), []]));
        }
        json!([name, state.letter(), weights.get(at).copied().unwrap_or(0).max(1), children])
    }
}

impl Node {
    fn unused(&self) -> usize {
        let entries = self.entries.and_then(|entries| usize::try_from(entries).ok()).unwrap_or(0);
        entries.saturating_sub(self.children.len())
    }
}

/// The variables of one run by where they lead, the deepest first.
#[derive(Debug, Default)]
struct Names(Vec<(Base, AbsPath)>);

impl Names {
    fn of(roots: &Roots) -> Self {
        let named = |base: &Base| {
            let top = roots.get(*base)?;
            // A variable that lies where it does by default is not the name of its place.
            matches!(roots.locate(&top), Location::Path { base: named, .. } if named == *base).then_some((*base, top))
        };
        let mut names: Vec<_> = Base::ALL.iter().filter_map(named).collect();
        names.sort_by_key(|(base, top)| (std::cmp::Reverse(top.components().count()), *base));
        Self(names)
    }

    fn split<'p>(&self, path: &'p AbsPath) -> (Base, &'p [u8]) {
        let found = self.0.iter().find_map(|(base, top)| Some((*base, path.relative_to(top)?)));
        found.unwrap_or((Base::Root, path.as_bytes()))
    }
}
