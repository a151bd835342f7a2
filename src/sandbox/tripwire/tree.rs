//! The mounts of a plan → the directories, links and empty files that they hang on.
//!
//! Pure: what of the host's is a file and what a directory comes in. Invariant: the tree holds the places of the plan, the
//! directories above them, and nothing of the host's. A node's number is its index, plus one: the root is [`wire::ROOT`].

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{MountStep, SECRETS};
use crate::vocab::path::AbsPath;

use super::wire;

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A directory: its names, and, for a filtered one, the index of the filter.
    Directory { names: BTreeMap<Vec<u8>, u64>, filter: Option<usize> },
    /// An empty file to mount on, or one that exists and cannot be read.
    File { size: u64, modified: i64 },
    /// A symlink.
    Link(Vec<u8>),
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Where it is.
    pub(super) path: AbsPath,
    /// What it is.
    pub(super) kind: Kind,
    /// Permission bits.
    pub(super) mode: u32,
}

/// A filtered directory: its place, and the names in it that are granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    /// Where.
    pub(super) path: AbsPath,
    /// Which names.
    pub(super) names: BTreeSet<Vec<u8>>,
}

/// The nodes by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// The filtered directories.
    pub(super) filters: Vec<Filter>,
}

impl Tree {
    /// Of `steps`; `is_dir` says of a source whether it is a directory, `given` of a secret whether it has a value.
    pub(super) fn new(steps: &[MountStep], is_dir: impl Fn(&AbsPath) -> bool, given: impl Fn(&str) -> bool) -> Self {
        let root = Node { path: AbsPath::root(), kind: directory(), mode: 0o755 };
        let mut tree = Self { nodes: vec![root], filters: Vec::new() };
        let file = Kind::File { size: 0, modified: 0 };
        let fixed = |text: &str| AbsPath::new(text).unwrap_or_else(|_| AbsPath::root());
        // What is mounted hides what lies beneath.
        let mut mounted: BTreeSet<AbsPath> = BTreeSet::new();
        for step in steps {
            let hidden = step.target().is_some_and(|target| target.ancestors().any(|above| mounted.contains(&above)));
            if hidden {
                continue;
            }
            match step {
                MountStep::Bind { source, target, .. } => {
                    tree.put(target, if is_dir(source) { directory() } else { file.clone() }, 0o755);
                    mounted.insert(target.clone());
                }
                MountStep::Tmpfs { target, .. } => {
                    tree.put(target, directory(), 0o755);
                    mounted.insert(target.clone());
                }
                MountStep::Filtered { target, names } => {
                    let node = tree.put(target, directory(), 0o700);
                    let index = tree.filters.len();
                    if let Some(Node { kind: Kind::Directory { filter, .. }, .. }) = tree.node_mut(node) {
                        *filter = Some(index);
                        tree.filters.push(Filter { path: target.clone(), names: names.clone() });
                    }
                }
                MountStep::Directory { target, mode } => {
                    tree.put(target, directory(), *mode);
                }
                MountStep::Symlink { target, text } => {
                    tree.put(target, Kind::Link(text.clone()), 0o777);
                }
                MountStep::Placeholder { target, size, modified } => {
                    tree.put(target, Kind::File { size: *size, modified: *modified }, 0);
                }
                MountStep::Text { target, .. } => {
                    tree.put(target, file.clone(), 0o444);
                }
                MountStep::Secret { target, name } if given(name) => {
                    tree.put(target, file.clone(), 0o400);
                }
                MountStep::Proc => {
                    tree.put(&fixed("/proc"), directory(), 0o755);
                }
                MountStep::Dev => {
                    tree.put(&fixed("/dev"), directory(), 0o755);
                }
                MountStep::Secrets => {
                    tree.put(&fixed(SECRETS), directory(), 0o755);
                }
                // In mounts, where they are needed.
                MountStep::Guard { .. }
                | MountStep::Pin { .. }
                | MountStep::Cover { .. }
                | MountStep::Seal { .. }
                | MountStep::Copy { .. }
                | MountStep::AsOwn { .. }
                | MountStep::Secret { .. }
                | MountStep::Queues => {}
            }
        }
        tree
    }

    /// Puts a node at `path`, and directories above it. What is there already stays; a directory gets the mode.
    fn put(&mut self, path: &AbsPath, kind: Kind, mode: u32) -> u64 {
        let Some(name) = path.file_name().map(<[u8]>::to_vec) else { return wire::ROOT };
        let parent = path.parent().unwrap_or_else(AbsPath::root);
        let above = match self.find(&parent) {
            Some(node) => node,
            None => self.put(&parent, directory(), 0o755),
        };
        if let Some(node) = self.child(above, &name) {
            if let Some(node) = self.node_mut(node).filter(|node| matches!(node.kind, Kind::Directory { .. })) {
                node.mode = mode;
            }
            return node;
        }
        self.nodes.push(Node { path: path.clone(), kind, mode });
        let number = self.nodes.len() as u64;
        if let Some(Node { kind: Kind::Directory { names, .. }, .. }) = self.node_mut(above) {
            names.insert(name, number);
        }
        number
    }

    /// The node at a path.
    pub(super) fn find(&self, path: &AbsPath) -> Option<u64> {
        path.components().try_fold(wire::ROOT, |node, name| self.child(node, name))
    }

    /// The node that `name` in directory `node` leads to.
    pub(super) fn child(&self, node: u64, name: &[u8]) -> Option<u64> {
        match &self.node(node)?.kind {
            Kind::Directory { names, .. } => names.get(name).copied(),
            Kind::File { .. } | Kind::Link(_) => None,
        }
    }

    /// A node by its number.
    pub(super) fn node(&self, number: u64) -> Option<&Node> {
        self.nodes.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    fn node_mut(&mut self, number: u64) -> Option<&mut Node> {
        self.nodes.get_mut(usize::try_from(number.checked_sub(1)?).ok()?)
    }
}

fn directory() -> Kind {
    Kind::Directory { names: BTreeMap::new(), filter: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> AbsPath {
        AbsPath::new(text).unwrap()
    }

    fn bind(place: &str) -> MountStep {
        MountStep::Bind { source: path(place), target: path(place), writable: false }
    }

    fn tree(steps: &[MountStep]) -> Tree {
        Tree::new(steps, |path| path.as_bytes() != b"/etc/hosts", |_| true)
    }

    #[test]
    fn each_place_hangs_on_something_of_its_kind_and_nothing_else_is_there() {
        let steps =
            [bind("/usr"), MountStep::Symlink { target: path("/bin"), text: b"usr/bin".to_vec() }, bind("/etc/hosts")];
        let tree = tree(&steps);
        let of = |text: &str| tree.find(&path(text)).and_then(|node| tree.node(node)).map(|node| node.kind.clone());
        assert!(matches!(of("/usr"), Some(Kind::Directory { .. })));
        assert_eq!(of("/bin"), Some(Kind::Link(b"usr/bin".to_vec())));
        assert_eq!(of("/etc/hosts"), Some(Kind::File { size: 0, modified: 0 }));
        assert_eq!(of("/etc/passwd"), None);
        assert_eq!(tree.nodes.len(), 5);
    }

    #[test]
    fn what_lies_in_a_mount_is_not_in_the_tree() {
        let tree = tree(&[bind("/usr"), bind("/usr/lib/x"), MountStep::Guard { target: path("/usr/y") }]);
        assert_eq!(tree.nodes.len(), 2);
    }

    #[test]
    fn a_filtered_directory_keeps_the_mounts_in_it() {
        let names = BTreeSet::from([b".gitconfig".to_vec()]);
        let steps = [MountStep::Filtered { target: path("/home/a"), names: names.clone() }, bind("/home/a/.claude")];
        let tree = tree(&steps);
        assert_eq!(tree.filters, [Filter { path: path("/home/a"), names }]);
        let home = tree.find(&path("/home/a")).unwrap();
        assert!(tree.child(home, b".claude").is_some() && tree.child(home, b".gitconfig").is_none());
    }
}
