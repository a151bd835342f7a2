//! The graph of runs: who started whom, who needed what, and by which symlink.
//!
//! Nodes are process images, files, symlinks and peers; edges are fork, exec, interpreter, access, resolve and connect. A
//! process that executes another program is a new node. Equal nodes of several runs are one, so the graph is that of all
//! runs. Indices of the graph do not leave this file: images go by their number in the evidence, everything else by name.
//!
//! The dominator of a thing is the program without which nobody would have needed it: every way from the start leads
//! through it (Lengauer and Tarjan 1979; computed as in Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm").

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::dominators;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use crate::trace::paths::Id;
use crate::vocab::location::Location;

/// Something in a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// Who starts the first programs.
    Start,
    /// A process image, by its number.
    Image(u32),
    /// A file, directory, or whatever else a path leads to.
    File(Location),
    /// A symlink that was gone through.
    Link(Location),
    /// A peer.
    Peer(String),
}

/// How one leads to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edge {
    /// The image started this one.
    Fork,
    /// The image runs this file.
    Exec,
    /// The script names this file to run it.
    Interpreter,
    /// The image used this place.
    Access,
    /// The symlink leads there.
    Resolve,
    /// The image connected to this peer.
    Connect,
}

impl Edge {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Exec => "exec",
            Self::Interpreter => "interpreter",
            Self::Access => "access",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
        }
    }
}

/// All runs of a profile.
#[derive(Debug)]
pub struct PathGraph {
    /// A node that is an image has its number.
    graph: DiGraph<Option<u32>, Edge>,
    nodes: BTreeMap<Node, NodeIndex>,
    edges: BTreeSet<(NodeIndex, NodeIndex, Edge)>,
    start: NodeIndex,
}

/// The nodes of one run's paths, so that a path that comes again is not named again.
#[derive(Debug, Default)]
pub struct Met {
    files: Vec<Option<NodeIndex>>,
    links: Vec<Option<NodeIndex>>,
}

impl Default for PathGraph {
    fn default() -> Self {
        let mut graph = DiGraph::new();
        let start = graph.add_node(None);
        Self { graph, nodes: BTreeMap::from([(Node::Start, start)]), edges: BTreeSet::new(), start }
    }
}

impl PathGraph {
    /// An image, which runs `exe`, or `script` by way of it.
    pub fn image(&mut self, number: u32, parent: Option<u32>, exe: &Location, script: Option<&Location>) {
        let parent = parent.map_or(Node::Start, Node::Image);
        self.edge(parent, Node::Image(number), Edge::Fork);
        match script {
            None => self.edge(Node::Image(number), Node::File(exe.clone()), Edge::Exec),
            Some(script) => {
                self.edge(Node::Image(number), Node::File(script.clone()), Edge::Exec);
                self.edge(Node::File(script.clone()), Node::File(exe.clone()), Edge::Interpreter);
            }
        }
    }

    /// An image used `place`, through these symlinks in this order.
    pub fn access(&mut self, image: u32, hops: impl IntoIterator<Item = Location>, place: Location) {
        let (mut from, mut edge) = (Node::Image(image), Edge::Access);
        for hop in hops {
            let link = Node::Link(hop);
            self.edge(from, link.clone(), edge);
            (from, edge) = (link, Edge::Resolve);
        }
        self.edge(from, Node::File(place), edge);
    }

    /// As [`Self::access`], by the numbers of paths in one run, whose names `name` knows. `is_kept`: whether the place is there
    /// even if nothing else led to it so far.
    pub fn step(
        &mut self,
        (image, links, place): (u32, &[Id], Id),
        is_kept: bool,
        met: &mut Met,
        name: &dyn Fn(Id) -> Location,
    ) {
        let end = match known(&met.files, place) {
            Some(end) => end,
            None => {
                let file = Node::File(name(place));
                if !is_kept && !self.nodes.contains_key(&file) {
                    return;
                }
                keep(&mut met.files, place, self.node(file))
            }
        };
        let (mut from, mut edge) = (self.node(Node::Image(image)), Edge::Access);
        for link in links {
            let to = known(&met.links, *link);
            let to = to.unwrap_or_else(|| keep(&mut met.links, *link, self.node(Node::Link(name(*link)))));
            self.join(from, to, edge);
            (from, edge) = (to, Edge::Resolve);
        }
        self.join(from, end, edge);
    }

    /// An image connected to `peer`.
    pub fn connect(&mut self, image: u32, peer: String) {
        self.edge(Node::Image(image), Node::Peer(peer), Edge::Connect);
    }

    fn edge(&mut self, from: Node, to: Node, edge: Edge) {
        let [from, to] = [from, to].map(|node| self.node(node));
        self.join(from, to, edge);
    }

    fn node(&mut self, node: Node) -> NodeIndex {
        let image = if let Node::Image(number) = node { Some(number) } else { None };
        *self.nodes.entry(node).or_insert_with(|| self.graph.add_node(image))
    }

    fn join(&mut self, from: NodeIndex, to: NodeIndex, edge: Edge) {
        if from != to && self.edges.insert((from, to, edge)) {
            self.graph.add_edge(from, to, edge);
        }
    }

    /// For each file, symlink and peer the nearest image that dominates it; none where images that have nothing but the
    /// start in common needed it.
    pub fn causes(&self) -> BTreeMap<&Node, u32> {
        let dominators = dominators::simple_fast(&self.graph, self.start);
        let image = |index: NodeIndex| self.graph.node_weight(index).copied().flatten();
        let things = self.nodes.iter().filter(|(node, _)| !matches!(node, Node::Start | Node::Image(_)));
        let cause = |index: NodeIndex| dominators.strict_dominators(index)?.find_map(image);
        things.filter_map(|(node, index)| Some((node, cause(*index)?))).collect()
    }

    /// Every edge once, in the order of its ends.
    pub fn edges(&self) -> BTreeSet<(&Node, Edge, &Node)> {
        let names: BTreeMap<NodeIndex, &Node> = self.nodes.iter().map(|(node, index)| (*index, node)).collect();
        let ends = |edge: petgraph::graph::EdgeReference<'_, Edge>| {
            Some((*names.get(&edge.source())?, *edge.weight(), *names.get(&edge.target())?))
        };
        self.graph.edge_references().filter_map(ends).collect()
    }
}

fn known(met: &[Option<NodeIndex>], id: Id) -> Option<NodeIndex> {
    met.get(id.at()).copied().flatten()
}

fn keep(met: &mut Vec<Option<NodeIndex>>, id: Id, node: NodeIndex) -> NodeIndex {
    if met.len() <= id.at() {
        met.resize(id.at() + 1, None);
    }
    if let Some(slot) = met.get_mut(id.at()) {
        *slot = Some(node);
    }
    node
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start => f.write_str("start"),
            Self::Image(number) => write!(f, "image {number}"),
            Self::File(place) => write!(f, "{place}"),
            Self::Link(place) => write!(f, "link {place}"),
            Self::Peer(peer) => write!(f, "peer {peer}"),
        }
    }
}

/// One edge a line, `image 0 --exec--> /usr/bin/sh`, sorted by its ends.
impl std::fmt::Display for PathGraph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.edges().into_iter().try_for_each(|(from, edge, to)| writeln!(f, "{from} --{}--> {to}", edge.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::paths::Paths;
    use crate::vocab::path::AbsPath;

    fn place(text: &str) -> Location {
        text.parse().unwrap()
    }

    /// sh runs git and a script of python; both read the C library, by a link; python alone a module and a peer.
    fn graph() -> PathGraph {
        let mut graph = PathGraph::default();
        graph.image(0, None, &place("/usr/bin/sh"), None);
        graph.image(1, Some(0), &place("/usr/bin/git"), None);
        graph.image(2, Some(0), &place("/usr/bin/python3"), Some(&place("$PROJECT/x.py")));
        for image in [1, 2] {
            graph.access(image, [place("/lib")], place("/usr/lib/libc.so.6"));
        }
        graph.access(2, [], place("/usr/lib/python3/re.py"));
        graph.access(2, [], place("/usr/lib/python3/re.py"));
        graph.connect(2, "example.com:443".to_owned());
        graph
    }

    #[test]
    fn the_graph_of_a_script_has_each_kind_of_edge_once() {
        let expected = "\
start --fork--> image 0
image 0 --fork--> image 1
image 0 --fork--> image 2
image 0 --exec--> /usr/bin/sh
image 1 --exec--> /usr/bin/git
image 1 --access--> link /lib
image 2 --exec--> $PROJECT/x.py
image 2 --access--> /usr/lib/python3/re.py
image 2 --access--> link /lib
image 2 --connect--> peer example.com:443
$PROJECT/x.py --interpreter--> /usr/bin/python3
link /lib --resolve--> /usr/lib/libc.so.6
";
        assert_eq!(graph().to_string(), expected);
    }

    #[test]
    fn a_thing_is_there_because_of_the_last_program_that_all_ways_to_it_share() {
        let graph = graph();
        let causes: Vec<String> = graph.causes().into_iter().map(|(node, image)| format!("{node}: {image}")).collect();
        let expected = [
            "$PROJECT/x.py: 2",
            "/usr/bin/git: 1",
            "/usr/bin/python3: 2",
            "/usr/bin/sh: 0",
            "/usr/lib/libc.so.6: 0",
            "/usr/lib/python3/re.py: 2",
            "link /lib: 0",
            "peer example.com:443: 2",
        ];
        assert_eq!(causes, expected);
    }

    #[test]
    fn a_step_by_numbers_is_an_access_by_names_and_makes_no_place_that_is_not_kept() {
        let mut paths = Paths::default();
        let ids = ["/lib", "/usr/lib/libc.so.6", "/etc/x"].map(|path| paths.add(&AbsPath::new(path).unwrap()));
        let name = |id: Id| place(&paths.path(id).to_string());
        let [link, libc, other] = ids;
        let (mut by_name, mut by_number, mut met) = (graph(), graph(), Met::default());
        by_name.access(1, [place("/lib")], place("/usr/lib/libc.so.6"));
        for _ in 0..2 {
            by_number.step((1, &[link], libc), false, &mut met, &name);
            by_number.step((1, &[], other), false, &mut met, &name);
        }
        assert_eq!(by_number.to_string(), by_name.to_string());
        by_name.access(1, [], place("/etc/x"));
        by_number.step((1, &[], other), true, &mut met, &name);
        assert_eq!(by_number.to_string(), by_name.to_string());
    }

    #[test]
    fn two_first_programs_have_nothing_in_common() {
        let mut graph = PathGraph::default();
        for image in [0, 1] {
            graph.image(image, None, &place("/usr/bin/x"), None);
            graph.access(image, [], place("/etc/hosts"));
        }
        assert_eq!(graph.causes().get(&Node::File(place("/etc/hosts"))), None);
    }
}
