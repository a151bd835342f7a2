//! Grants, traces and denials → one tree of places: what is granted, what was used of it, what lies open unused, what was
//! refused.
//!
//! Places are named as in profiles, so runs of other users and projects fall together. A place below two variables belongs
//! to the deeper one; a grant on `~` does not show below `$PROJECT`.

use std::cmp::{Ordering, Reverse};
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

/// A tree of places: each stands behind its directory and before all that lies beside that, so what lies beneath a place is
/// a range. Made by sorting: of a million paths that is done before a search for each would be.
#[derive(Debug)]
pub(super) struct Files<'a> {
    /// The first is the root of all, with the variables beneath it.
    nodes: Vec<Node<'a>>,
    /// The numbers of the variables.
    tops: BTreeMap<&'static str, usize>,
}

#[derive(Debug, Default)]
struct Node<'a> {
    /// Below its variable, as bytes without a leading slash.
    path: &'a [u8],
    /// Where its last component begins.
    name: usize,
    parent: usize,
    /// The first that does not lie beneath it.
    end: usize,
    children: usize,
    granted: bool,
    used: bool,
    refused: bool,
    /// Entries of the directory, as counted while learning; not every directory is.
    entries: Option<u32>,
}

/// What is said of a place.
#[derive(Debug, Clone, Copy)]
enum Mark {
    Granted,
    Used,
    Refused,
    Entries(u32),
}

/// Something said of a place below a variable: its beginning as a number, which mostly decides the order.
type Said<'a> = (u64, &'a [u8], Mark);

/// What a grant was good for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Places beneath it that a run used.
    pub(super) used: usize,
    /// Entries of the directories used beneath it that no run used; `None` where no directory was counted.
    pub(super) unused: Option<usize>,
}

/// The places that refusals name.
pub(super) fn places(refused: &[Refused]) -> Vec<AbsPath> {
    let words = refused.iter().flat_map(|refusal| refusal.what.split(' ')).filter(|word| word.starts_with('/'));
    words.filter_map(|word| AbsPath::new(escape::unfile(word).ok()?).ok()).collect()
}

impl<'a> Files<'a> {
    pub(super) fn of(profile: &'a Profile, traces: &'a [Trace], refused: &'a [AbsPath]) -> Self {
        let mut said = Sayings::default();
        for (location, grant) in &profile.filesystem {
            if let (Location::Path { base, rest }, true) = (location, grant.approved) {
                said.add(*base, rest, Mark::Granted);
            }
        }
        for trace in traces {
            let names = Names::of(&trace.header.roots);
            for step in trace.events.steps().filter(|step| step.result == Outcome::Ok) {
                said.add_path(&names, trace.events.paths().bytes(step.path), Mark::Used);
            }
            for event in trace.events.others() {
                said.note(&names, &event.fact);
            }
        }
        let names = traces.last().map(|trace| Names::of(&trace.header.roots)).unwrap_or_default();
        for path in refused {
            said.add_path(&names, path.as_bytes(), Mark::Refused);
        }
        let mut files = Self::tree(said);
        let granted = profile.filesystem.iter().filter(|(_, grant)| grant.approved);
        for at in granted.flat_map(|(location, _)| files.opened(location, profile)).collect::<Vec<_>>() {
            if let Some(node) = files.nodes.get_mut(at) {
                node.granted = true;
            }
        }
        files
    }

    /// What the bundle at `location` opens, as far as anything is said of it, without what lies beneath another.
    fn opened(&self, location: &Location, profile: &Profile) -> Vec<usize> {
        let Location::Bundle(name) = location else { return Vec::new() };
        let opens = profile.bundles.get(name).into_iter().flat_map(|bundle| &bundle.opens);
        let places = opens.filter_map(|opening| match &opening.place {
            Location::Path { base, rest } => self.find(*base, rest),
            Location::Bundle(_) => None,
        });
        let mut end = 0;
        let beneath_none = |at: &usize| {
            let is_new = *at >= end;
            if is_new {
                end = self.nodes.get(*at).map_or(end, |node| node.end);
            }
            is_new
        };
        places.collect::<std::collections::BTreeSet<usize>>().into_iter().filter(beneath_none).collect()
    }

    fn tree(said: Sayings<'a>) -> Self {
        let mut files = Self { nodes: vec![Node::default()], tops: BTreeMap::new() };
        for (base, mut said) in said.0 {
            said.sort_unstable_by(|(a, one, _), (b, other, _)| a.cmp(b).then_with(|| order(one, other)));
            let top = files.push(Node::default());
            files.tops.insert(base, top);
            // The directories that are open, and how long their paths are.
            let mut open = vec![(top, 0)];
            for (_, path, mark) in said {
                let is_beneath = |files: &Self, (at, length): (usize, usize)| {
                    let own = files.nodes.get(at).map_or(&[][..], |node| node.path);
                    length == 0 || (path.get(..length) == Some(own) && matches!(path.get(length), None | Some(b'/')))
                };
                while open.last().is_some_and(|last| !is_beneath(&files, *last)) {
                    files.close(open.pop());
                }
                while let Some(&(parent, length)) = open.last().filter(|(_, length)| *length < path.len()) {
                    let name = if length == 0 { 0 } else { length + 1 };
                    let rest = path.get(name..).unwrap_or_default();
                    let end = rest.iter().position(|&byte| byte == b'/').map_or(path.len(), |slash| name + slash);
                    let at =
                        files.push(Node { path: path.get(..end).unwrap_or_default(), name, parent, ..Node::default() });
                    open.push((at, end));
                }
                if let Some(node) = open.last().and_then(|(at, _)| files.nodes.get_mut(*at)) {
                    node.mark(mark);
                }
            }
            while let Some(last) = open.pop() {
                files.close(Some(last));
            }
        }
        files.close(Some((0, 0)));
        files
    }

    fn push(&mut self, node: Node<'a>) -> usize {
        if let Some(parent) = self.nodes.get_mut(node.parent) {
            parent.children += 1;
        }
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// All that lies beneath it is there.
    fn close(&mut self, node: Option<(usize, usize)>) {
        let end = self.nodes.len();
        if let Some(node) = node.and_then(|(at, _)| self.nodes.get_mut(at)) {
            node.end = end;
        }
    }

    /// What the grant on `location` was good for.
    pub(super) fn usage(&self, location: &Location, profile: &Profile) -> Usage {
        let mut usage = Usage::default();
        let Location::Path { base, rest } = location else {
            // Of a bundle's directories nobody wants to know what else lies in them: it is the system's.
            let places = self.opened(location, profile).into_iter();
            usage.used = places.flat_map(|at| self.with_all_beneath(at)).filter(|node| node.used).count();
            return usage;
        };
        for node in self.find(*base, rest).map_or(&[][..], |at| self.with_all_beneath(at)) {
            usage.used += usize::from(node.used);
            if node.entries.is_some() {
                usage.unused = Some(usage.unused.unwrap_or(0) + node.unused());
            }
        }
        usage
    }

    fn find(&self, base: Base, rest: &[u8]) -> Option<usize> {
        let top = *self.tops.get(base.as_str())?;
        let at = self.with_all_beneath(top).binary_search_by(|node| order(node.path, rest)).ok()?;
        Some(top + at)
    }

    fn with_all_beneath(&self, at: usize) -> &[Node<'a>] {
        self.nodes.get(at).and_then(|node| self.nodes.get(at..node.end)).unwrap_or_default()
    }

    /// The tree as `[name, state, weight, children]`, the heaviest places only.
    pub(super) fn data(&self) -> serde_json::Value {
        let weights = self.weights();
        let mut kept = vec![true; self.nodes.len()];
        if self.nodes.len() > SHOWN {
            let mut order: Vec<usize> = (0..self.nodes.len()).collect();
            order.select_nth_unstable_by_key(SHOWN, |at| (Reverse(weights.get(*at).copied().unwrap_or(0)), *at));
            for at in order.into_iter().skip(SHOWN) {
                if let Some(kept) = kept.get_mut(at) {
                    *kept = false;
                }
            }
        }
        self.value(0, "all", false, &weights, &kept, 0)
    }

    /// Weight of each node: what it stands for and all beneath. Children come after their parents.
    fn weights(&self) -> Vec<usize> {
        let own = |node: &Node<'_>| usize::from(node.used || node.granted || node.refused) + node.unused().min(10_000);
        let mut weights: Vec<usize> = self.nodes.iter().map(own).collect();
        for (at, node) in self.nodes.iter().enumerate().skip(1).rev() {
            let weight = weights.get(at).copied().unwrap_or(0);
            if let Some(parent) = weights.get_mut(node.parent) {
                *parent += weight;
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
        let mut next = at + 1;
        while let Some((child, below)) = self.nodes.get(next).filter(|_| next < node.end).map(|below| (next, below)) {
            next = below.end.max(child + 1);
            // A trace may claim paths of two thousand components; a person looks no deeper than this.
            if depth < 40 && kept.get(child).copied().unwrap_or(false) {
                let variable = self.tops.iter().find(|(_, top)| at == 0 && **top == child).map(|(name, _)| *name);
                let name = variable.map_or_else(|| escape::terminal(below.name()), str::to_owned);
                children.push(self.value(child, &name, granted, weights, kept, depth + 1));
            } else {
                left_out += weights.get(child).copied().unwrap_or(0);
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

impl Node<'_> {
    fn name(&self) -> &[u8] {
        self.path.get(self.name..).unwrap_or_default()
    }

    fn mark(&mut self, mark: Mark) {
        match mark {
            Mark::Granted => self.granted = true,
            Mark::Used => self.used = true,
            Mark::Refused => self.refused = true,
            Mark::Entries(entries) => self.entries = self.entries.max(Some(entries)),
        }
    }

    fn unused(&self) -> usize {
        let entries = self.entries.and_then(|entries| usize::try_from(entries).ok()).unwrap_or(0);
        entries.saturating_sub(self.children)
    }
}

/// All that is said, by variable.
#[derive(Default)]
struct Sayings<'a>(BTreeMap<&'static str, Vec<Said<'a>>>);

impl<'a> Sayings<'a> {
    fn note(&mut self, names: &Names, fact: &'a Fact) {
        match fact {
            Fact::Pair(pair) if pair.result == Outcome::Ok => {
                self.add_path(names, pair.from.as_bytes(), Mark::Used);
                self.add_path(names, pair.to.as_bytes(), Mark::Used);
            }
            Fact::Census(census) => self.add_path(names, census.dir.as_bytes(), Mark::Entries(census.entries)),
            _ => {}
        }
    }

    fn add_path(&mut self, names: &Names, path: &'a [u8], mark: Mark) {
        let (base, rest) = names.split(path);
        self.add(base, rest, mark);
    }

    fn add(&mut self, base: Base, rest: &'a [u8], mark: Mark) {
        let rest = rest.strip_prefix(b"/").unwrap_or(rest);
        let mut bytes = rest.iter().copied().map(ordinal);
        let head = u64::from_be_bytes(std::array::from_fn(|_| bytes.next().unwrap_or(0)));
        self.0.entry(base.as_str()).or_default().push((head, rest, mark));
    }
}

/// A slash comes before all that a name may have, so that bytes compare as components do.
fn ordinal(byte: u8) -> u8 {
    if byte == b'/' { 0 } else { byte }
}

fn order(one: &[u8], other: &[u8]) -> Ordering {
    one.iter().copied().map(ordinal).cmp(other.iter().copied().map(ordinal))
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
        names.sort_by_key(|(base, top)| (Reverse(top.components().count()), *base));
        Self(names)
    }

    fn split<'p>(&self, path: &'p [u8]) -> (Base, &'p [u8]) {
        let found = self.0.iter().find_map(|(base, top)| Some((*base, top.rest_of(path)?)));
        found.unwrap_or((Base::Root, path))
    }
}
