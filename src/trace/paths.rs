//! Paths → small numbers: each path of a run, and each directory above it, is kept once, so that later steps walk a table
//! from the top down instead of comparing names.
//!
//! Invariant: what stands above a path has a smaller number than the path, and numbers depend on nothing but the order in
//! which paths were given. The table of hashes is only looked up in, never walked; its key is random, so that a program
//! cannot choose names that meet there.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::vocab::path::AbsPath;

/// The number of a path. One more of it is kept, so that no number takes no room of its own in the tables of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(NonZeroU32);

/// What has no number stands for nothing.
const FREE: u32 = u32::MAX;

impl Id {
    /// `/`.
    pub const ROOT: Self = Self(NonZeroU32::MIN);

    /// As a position in a table with an entry for each path.
    pub fn at(self) -> usize {
        usize::try_from(self.number()).unwrap_or(usize::MAX)
    }

    fn of(number: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(number))
    }

    fn number(self) -> u32 {
        self.0.get() - 1
    }
}

/// One path: where its bytes are, and the directory that it stands in.
#[derive(Debug, Clone, Copy)]
struct Node {
    start: u32,
    len: u32,
    parent: u32,
    /// So that growing looks at no bytes.
    hash: u32,
}

/// All paths of a run, or some more than those.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Those that have the first numbers.
    base: Option<Arc<Paths>>,
    /// How many those are.
    first: u32,
    /// A path and those above it that were new with it share their bytes.
    bytes: Vec<u8>,
    nodes: Vec<Node>,
    /// Numbers by hash, [`FREE`] where there is none; a power of two long, and at most half full.
    slots: Vec<u32>,
    keys: RandomState,
}

impl Default for Paths {
    fn default() -> Self {
        let mut paths = Self {
            base: None,
            first: 0,
            bytes: Vec::new(),
            nodes: Vec::new(),
            slots: vec![FREE; 64],
            keys: RandomState::new(),
        };
        paths.bytes.push(b'/');
        let hash = paths.hash(b"/");
        paths.insert(Node { start: 0, len: 1, parent: FREE, hash });
        paths
    }
}

impl Paths {
    /// Those of `base` with their numbers, and room for more.
    pub fn over(base: &Arc<Self>) -> Self {
        Self {
            base: Some(Arc::clone(base)),
            first: u32::try_from(base.len()).unwrap_or(FREE),
            bytes: Vec::new(),
            nodes: Vec::new(),
            slots: vec![FREE; 64],
            keys: base.keys.clone(),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.nodes.len() + usize::try_from(self.first).unwrap_or(0)
    }

    /// Never: `/` is always there.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All, what stands above before what stands beneath.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = Id> + use<> {
        (0..u32::try_from(self.len()).unwrap_or(FREE)).map(Id::of)
    }

    /// The number of a path, a new one if need be.
    pub fn add(&mut self, path: &AbsPath) -> Id {
        let path = path.as_bytes();
        let hash = self.hash(path);
        if let Some(known) = self.look(path, hash) {
            return known;
        }
        // Up to the nearest directory that is known; what is between is new.
        let mut news = vec![(path.len(), hash)];
        let mut above = path;
        let mut parent = loop {
            above = parent(above);
            let hash = self.hash(above);
            match self.look(above, hash) {
                Some(known) => break known,
                None => news.push((above.len(), hash)),
            }
        };
        let start = u32::try_from(self.bytes.len()).unwrap_or(FREE);
        self.bytes.extend_from_slice(path);
        for (len, hash) in news.into_iter().rev() {
            let len = u32::try_from(len).unwrap_or(FREE);
            parent = self.insert(Node { start, len, parent: parent.number(), hash });
        }
        parent
    }

    /// The number of a path that is known.
    pub fn find(&self, path: &[u8]) -> Option<Id> {
        self.look(path, self.hash(path))
    }

    fn look(&self, path: &[u8], hash: u32) -> Option<Id> {
        if let Some(known) = self.base.as_ref().and_then(|base| base.look(path, hash)) {
            return Some(known);
        }
        let is_it = |at: u32| self.own(at).is_some_and(|node| node.hash == hash && self.text(*node) == path);
        let found = *self.slots.get(self.slot(hash, is_it))?;
        (found != FREE).then(|| Id::of(found + self.first))
    }

    /// The bytes of a path.
    pub fn bytes(&self, id: Id) -> &[u8] {
        let (table, node) = self.node(id);
        node.map_or(b"/", |node| table.text(*node))
    }

    /// The last component; nothing for `/`.
    pub fn name(&self, id: Id) -> &[u8] {
        let path = self.bytes(id);
        path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
    }

    /// As a path of its own.
    pub fn path(&self, id: Id) -> AbsPath {
        AbsPath::new(self.bytes(id)).unwrap_or_else(|_| AbsPath::root())
    }

    /// The directory above; `None` for `/`.
    pub fn parent(&self, id: Id) -> Option<Id> {
        self.node(id).1.map(|node| node.parent).filter(|parent| *parent != FREE).map(Id::of)
    }

    /// Every directory above, nearest first, `/` last.
    pub fn ancestors(&self, id: Id) -> impl Iterator<Item = Id> + '_ {
        std::iter::successors(self.parent(id), |id| self.parent(*id))
    }

    /// Where a number stands for something, and for what.
    fn node(&self, id: Id) -> (&Self, Option<&Node>) {
        match (id.number().checked_sub(self.first), &self.base) {
            (None, Some(base)) => base.node(id),
            (own, _) => (self, own.and_then(|at| self.own(at))),
        }
    }

    fn own(&self, at: u32) -> Option<&Node> {
        self.nodes.get(usize::try_from(at).ok()?)
    }

    fn text(&self, node: Node) -> &[u8] {
        let [start, len] = [node.start, node.len].map(|number| usize::try_from(number).unwrap_or(0));
        self.bytes.get(start..start + len).unwrap_or(b"/")
    }

    fn hash(&self, path: &[u8]) -> u32 {
        // The lower half of it is as good as the whole.
        u32::try_from(self.keys.hash_one(path) & u64::from(u32::MAX)).unwrap_or(0)
    }

    /// Where in `slots` whatever is looked for is, or would be.
    fn slot(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = usize::try_from(hash).unwrap_or(0) & mask;
        loop {
            match self.slots.get(slot) {
                Some(&at) if at != FREE && !is_it(at) => slot = (slot + 1) & mask,
                _ => return slot,
            }
        }
    }

    fn insert(&mut self, node: Node) -> Id {
        if (self.nodes.len() + 1) * 2 > self.slots.len() {
            self.slots = vec![FREE; self.slots.len() * 2];
            for at in 0..self.nodes.len() {
                self.put(at);
            }
        }
        let at = self.nodes.len();
        self.nodes.push(node);
        self.put(at);
        Id::of(u32::try_from(at).unwrap_or(FREE).saturating_add(self.first))
    }

    /// What is put there is there for the first time.
    fn put(&mut self, at: usize) {
        let hash = self.nodes.get(at).map_or(0, |node| node.hash);
        let slot = self.slot(hash, |_| false);
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = u32::try_from(at).unwrap_or(FREE);
        }
    }
}

/// The directory above, of a clean absolute path that is not `/`.
fn parent(path: &[u8]) -> &[u8] {
    let cut = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    path.get(..cut.max(1)).unwrap_or(b"/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_brings_what_is_above_it_and_each_is_there_once() {
        let mut paths = Paths::default();
        let [file, again, other] = ["/a/b/c", "/a/b/c", "/a/d"].map(|path| paths.add(&AbsPath::new(path).unwrap()));
        assert_eq!((file, paths.len()), (again, 5));
        let above: Vec<&[u8]> = paths.ancestors(file).map(|id| paths.bytes(id)).collect();
        assert_eq!(above, [&b"/a/b"[..], b"/a", b"/"]);
        assert_eq!((paths.name(other), paths.name(Id::ROOT)), (&b"d"[..], &b""[..]));
        assert_eq!((paths.find(b"/a/b"), paths.find(b"/b")), (paths.parent(file), None));
    }

    proptest! {
        #[test]
        fn many_paths_are_told_apart_and_stand_behind_what_is_above_them(all in prop::collection::vec("(/[abc]{1,2}){1,4}", 1..200)) {
            let mut paths = Paths::default();
            for text in &all {
                let path = AbsPath::new(text).unwrap();
                let id = paths.add(&path);
                prop_assert_eq!(paths.path(id), path.clone());
                let above: Vec<AbsPath> = paths.ancestors(id).map(|id| paths.path(id)).collect();
                prop_assert_eq!(above, path.ancestors().collect::<Vec<_>>());
                prop_assert!(paths.ancestors(id).all(|above| above < id));
            }
        }

        #[test]
        fn more_paths_over_others_are_numbered_as_if_they_stood_in_one_table(
            all in prop::collection::vec("(/[abc]{1,2}){1,4}", 1..200), cut in 0..200_usize,
        ) {
            let all: Vec<AbsPath> = all.iter().map(|text| AbsPath::new(text).unwrap()).collect();
            let (mut one, mut base) = (Paths::default(), Paths::default());
            for path in all.iter().take(cut) {
                base.add(path);
            }
            let mut over = Paths::over(&Arc::new(base));
            for path in &all {
                let id = one.add(path);
                prop_assert_eq!(over.add(path), id);
                prop_assert_eq!((over.path(id), over.find(path.as_bytes())), (path.clone(), Some(id)));
                prop_assert!(over.ancestors(id).eq(one.ancestors(id)));
            }
            prop_assert_eq!(over.len(), one.len());
        }
    }
}
