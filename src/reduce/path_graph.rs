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
    graph: DiGraph<Node, Edge>,
    nodes: BTreeMap<Node, NodeIndex>,
    edges: BTreeSet<(NodeIndex, NodeIndex, Edge)>,
    start: NodeIndex,
}

impl Default for PathGraph {
    fn default() -> Self {
        let mut graph = DiGraph::new();
        let start = graph.add_node(Node::Start);
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

    /// An image connected to `peer`.
    pub fn connect(&mut self, image: u32, peer: String) {
        self.edge(Node::Image(image), Node::Peer(peer), Edge::Connect);
    }

    fn edge(&mut self, from: Node, to: Node, edge: Edge) {
        let [from, to] = [from, to].map(|node| match self.nodes.get(&node) {
            Some(index) => *index,
            None => {
                let index = self.graph.add_node(node.clone());
                self.nodes.insert(node, index);
                index
            }
        });
        if from != to && self.edges.insert((from, to, edge)) {
            self.graph.add_edge(from, to, edge);
        }
    }

    /// For each file, symlink and peer the nearest image that dominates it; none where images that have nothing but the
    /// start in common needed it.
    pub fn causes(&self) -> BTreeMap<&Node, u32> {
        let dominators = dominators::simple_fast(&self.graph, self.start);
        let image = |index: NodeIndex| match self.graph.node_weight(index) {
            Some(Node::Image(number)) => Some(*number),
            _ => None,
        };
        let things = self.nodes.iter().filter(|(node, _)| !matches!(node, Node::Start | Node::Image(_)));
        let cause = |index: NodeIndex| dominators.strict_dominators(index)?.find_map(image);
        things.filter_map(|(node, index)| Some((node, cause(*index)?))).collect()
    }

    /// Every edge once, in the order of its ends.
    pub fn edges(&self) -> BTreeSet<(&Node, Edge, &Node)> {
        let ends = |edge: petgraph::graph::EdgeReference<'_, Edge>| {
            Some((edge.source(), edge.target(), *edge.weight()))
                .and_then(|(from, to, edge)| Some((self.graph.node_weight(from)?, edge, self.graph.node_weight(to)?)))
        };
        self.graph.edge_references().filter_map(ends).collect()
    }
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
    fn two_first_programs_have_nothing_in_common() {
        let mut graph = PathGraph::default();
        for image in [0, 1] {
            graph.image(image, None, &place("/usr/bin/x"), None);
            graph.access(image, [], place("/etc/hosts"));
        }
        assert_eq!(graph.causes().get(&Node::File(place("/etc/hosts"))), None);
    }
}
