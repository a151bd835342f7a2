//! The graph of runs: who started whom, who needed what, and by which symlink.
//!
//! Nodes are process images, files, symlinks and peers; edges are fork, exec, interpreter, access, resolve and connect. A
//! process that executes another program is a new node. Equal nodes of several runs are one, so the graph is that of all
//! runs. Indices of the graph do not leave this file: images go by their number in the evidence, places that are kept there by
//! theirs, everything else by name.
//!
//! The dominator of a thing is the program without which nobody would have needed it: every way from the start leads
//! through it (Lengauer and Tarjan 1979; computed as in Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm").

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::dominators;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef as _;

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
    /// The number of the image that each node is, if it is one. The first node is the start.
    nodes: Vec<Option<u32>>,
    images: BTreeMap<u32, u32>,
    /// Files that go by their names.
    files: BTreeMap<Location, u32>,
    /// Files that go by a number of the caller's: of hundreds of thousands of names another table would be too much.
    places: Vec<Option<u32>>,
    links: BTreeMap<Location, u32>,
    peers: BTreeMap<String, u32>,
    edges: Vec<(u32, u32, Edge)>,
    /// So many of them, the first ones, stand once each.
    distinct: usize,
}

/// The nodes of one run's paths, so that a path that comes again is not named again.
#[derive(Debug, Default)]
pub struct Met {
    files: BTreeMap<Id, u32>,
    links: Vec<Option<u32>>,
}

/// The start.
const START: u32 = 0;
/// Edges that may stand twice before they are looked through.
const SLACK: usize = 1 << 18;

impl Default for PathGraph {
    fn default() -> Self {
        Self {
            nodes: vec![None],
            images: BTreeMap::new(),
            files: BTreeMap::new(),
            places: Vec::new(),
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            edges: Vec::new(),
            distinct: 0,
        }
    }
}

impl PathGraph {
    /// An image, which runs `exe`, or `script` by way of it.
    pub fn image(&mut self, number: u32, parent: Option<u32>, exe: &Location, script: Option<&Location>) {
        let parent = parent.map_or(START, |parent| self.image_node(parent));
        let image = self.image_node(number);
        self.join(parent, image, Edge::Fork);
        let exe = self.file(exe);
        match script {
            None => self.join(image, exe, Edge::Exec),
            Some(script) => {
                let script = self.file(script);
                self.join(image, script, Edge::Exec);
                self.join(script, exe, Edge::Interpreter);
            }
        }
    }

    /// From now on the place that has this number goes by its name, too.
    pub fn name(&mut self, number: u32, place: &Location) {
        if let Some(node) = self.place(number) {
            self.files.entry(place.clone()).or_insert(node);
        }
    }

    /// What is known of the paths of one run before its steps: which of them go by name. `find` says which path is called so
    /// in that run.
    pub fn meet(&self, find: &dyn Fn(&Location) -> Option<Id>) -> Met {
        let named = self.files.iter().filter_map(|(place, node)| Some((find(place)?, *node)));
        Met { files: named.collect(), links: Vec::new() }
    }

    /// An image used a place, through these symlinks in this order; all by the numbers of paths in one run, whose names `name`
    /// knows. `number`: that of the place among all that are kept; one that has none is there only if it goes by name.
    pub fn step(
        &mut self,
        (image, links, place): (u32, &[Id], Id),
        number: Option<u32>,
        met: &mut Met,
        name: &dyn Fn(Id) -> Location,
    ) {
        let Some(end) = self.end(place, number, met) else { return };
        let (mut from, mut edge) = (self.image_node(image), Edge::Access);
        for link in links {
            let to = match met.links.get(link.at()).copied().flatten() {
                Some(known) => known,
                None => keep(&mut met.links, link.at(), self.link(name(*link))),
            };
            self.join(from, to, edge);
            (from, edge) = (to, Edge::Resolve);
        }
        self.join(from, end, edge);
    }

    fn end(&mut self, place: Id, number: Option<u32>, met: &Met) -> Option<u32> {
        let known = number.and_then(|number| self.place(number));
        if known.is_some() {
            return known;
        }
        let named = met.files.get(&place).copied();
        let Some(number) = number else { return named };
        let node = named.unwrap_or_else(|| self.add(None));
        Some(keep(&mut self.places, position(number), node))
    }

    /// An image connected to `peer`.
    pub fn connect(&mut self, image: u32, peer: String) {
        let image = self.image_node(image);
        let known = self.peers.get(&peer).copied();
        let peer = known.unwrap_or_else(|| {
            let node = self.add(None);
            self.peers.insert(peer, node);
            node
        });
        self.join(image, peer, Edge::Connect);
    }

    fn image_node(&mut self, number: u32) -> u32 {
        if let Some(known) = self.images.get(&number) {
            return *known;
        }
        let node = self.add(Some(number));
        self.images.insert(number, node);
        node
    }

    fn file(&mut self, place: &Location) -> u32 {
        if let Some(known) = self.files.get(place) {
            return *known;
        }
        let node = self.add(None);
        self.files.insert(place.clone(), node);
        node
    }

    fn link(&mut self, place: Location) -> u32 {
        if let Some(known) = self.links.get(&place) {
            return *known;
        }
        let node = self.add(None);
        self.links.insert(place, node);
        node
    }

    fn add(&mut self, image: Option<u32>) -> u32 {
        self.nodes.push(image);
        u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
    }

    fn place(&self, number: u32) -> Option<u32> {
        self.places.get(position(number)).copied().flatten()
    }

    fn join(&mut self, from: u32, to: u32, edge: Edge) {
        if from == to {
            return;
        }
        self.edges.push((from, to, edge));
        if self.edges.len() > 2 * self.distinct + SLACK {
            self.edges.sort_unstable();
            self.edges.dedup();
            self.distinct = self.edges.len();
        }
    }

    fn graph(&self) -> DiGraph<Option<u32>, Edge> {
        let mut edges = self.edges.clone();
        edges.sort_unstable();
        edges.dedup();
        let mut graph = DiGraph::with_capacity(self.nodes.len(), edges.len());
        for image in &self.nodes {
            graph.add_node(*image);
        }
        for (from, to, edge) in edges {
            graph.add_edge(node(from), node(to), edge);
        }
        graph
    }

    /// For each node the nearest image that dominates it; none where images that have nothing but the start in common needed
    /// it.
    pub fn causes(&self) -> Causes<'_> {
        Causes { graph: self, of: nearest(&self.graph()) }
    }

    /// Every edge once, in the order of its ends. `place` knows the names of places that go by numbers.
    pub fn edges(&self, place: &dyn Fn(u32) -> Location) -> BTreeSet<(Node, Edge, Node)> {
        let mut names = BTreeMap::from([(START, Node::Start)]);
        names.extend(self.images.iter().map(|(number, node)| (*node, Node::Image(*number))));
        names.extend(self.files.iter().map(|(place, node)| (*node, Node::File(place.clone()))));
        names.extend(self.links.iter().map(|(place, node)| (*node, Node::Link(place.clone()))));
        names.extend(self.peers.iter().map(|(peer, node)| (*node, Node::Peer(peer.clone()))));
        let numbered = (0..).zip(&self.places).filter_map(|(number, node)| Some(((*node)?, Node::File(place(number)))));
        names.extend(numbered);
        let name = |node: NodeIndex| names.get(&u32::try_from(node.index()).ok()?).cloned();
        let graph = self.graph();
        let ends = |edge: petgraph::graph::EdgeReference<'_, Edge>| {
            Some((name(edge.source())?, *edge.weight(), name(edge.target())?))
        };
        graph.edge_references().filter_map(ends).collect()
    }
}

/// Of the images that dominate a node the nearest, for each node; `None` as well where no way leads to it from the start.
fn nearest<E>(graph: &DiGraph<Option<u32>, E>) -> Vec<Option<u32>> {
    let dominators = dominators::simple_fast(graph, node(START));
    let image = |index: NodeIndex| graph.node_weight(index).copied().flatten();
    graph.node_indices().map(|index| dominators.strict_dominators(index)?.find_map(image)).collect()
}

/// What [`PathGraph::causes`] found.
#[derive(Debug)]
pub struct Causes<'a> {
    graph: &'a PathGraph,
    of: Vec<Option<u32>>,
}

impl Causes<'_> {
    /// Of the place with that number and name: as a file, or else as a symlink.
    pub fn of_place(&self, number: u32, place: &Location) -> Option<u32> {
        let file = self.graph.place(number).or_else(|| self.graph.files.get(place).copied());
        self.of(file).or_else(|| self.of(self.graph.links.get(place).copied()))
    }

    /// Of a peer.
    pub fn of_peer(&self, peer: &str) -> Option<u32> {
        self.of(self.graph.peers.get(peer).copied())
    }

    fn of(&self, node: Option<u32>) -> Option<u32> {
        self.of.get(position(node?)).copied().flatten()
    }
}

fn node(number: u32) -> NodeIndex {
    NodeIndex::new(position(number))
}

fn position(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn keep(nodes: &mut Vec<Option<u32>>, at: usize, node: u32) -> u32 {
    if nodes.len() <= at {
        nodes.resize(at + 1, None);
    }
    if let Some(slot) = nodes.get_mut(at) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::paths::Paths;
    use crate::vocab::path::AbsPath;

    fn place(text: &str) -> Location {
        text.parse().unwrap()
    }

    /// A graph, and the paths of the one run that it is of. The number of a path is that of the place.
    #[derive(Default)]
    struct Made {
        graph: PathGraph,
        paths: Paths,
        met: Met,
    }

    impl Made {
        fn images(images: &[(u32, Option<u32>, &str, Option<&str>)]) -> Self {
            let mut made = Self::default();
            for (number, parent, exe, script) in images {
                made.graph.image(*number, *parent, &place(exe), script.map(place).as_ref());
            }
            made
        }

        /// As the runs of programs have it: what goes by name is known before the first step.
        fn meet(mut self, paths: &[&str]) -> Self {
            for path in paths {
                self.paths.add(&AbsPath::new(path).unwrap());
            }
            let find = |place: &Location| self.paths.find(place.to_string().as_bytes());
            self.met = self.graph.meet(&find);
            self
        }

        fn step(&mut self, image: u32, links: &[&str], at: &str, is_kept: bool) {
            let find = |path: &&str| self.paths.find(path.as_bytes()).unwrap();
            let (links, end): (Vec<Id>, Id) = (links.iter().map(find).collect(), find(&at));
            let number = is_kept.then(|| u32::try_from(end.at()).unwrap());
            let paths = &self.paths;
            let name = |id: Id| place(&paths.path(id).to_string());
            self.graph.step((image, &links, end), number, &mut self.met, &name);
        }

        fn name(&self, number: u32) -> Location {
            let id = self.paths.ids().nth(position(number)).unwrap();
            place(&self.paths.path(id).to_string())
        }

        /// One edge a line, `image 0 --exec--> /usr/bin/sh`, sorted by its ends.
        fn text(&self) -> String {
            let edges = self.graph.edges(&|number| self.name(number));
            edges.iter().map(|(from, edge, to)| format!("{from} --{}--> {to}\n", edge.as_str())).collect()
        }

        fn cause(&self, at: &str) -> Option<u32> {
            let number = self.paths.find(at.as_bytes()).map_or(u32::MAX, |id| u32::try_from(id.at()).unwrap());
            self.graph.causes().of_place(number, &place(at))
        }
    }

    const PATHS: [&str; 5] = ["/lib", "/usr/lib/libc.so.6", "/usr/lib/python3/re.py", "/usr/bin/git", "/etc/x"];

    /// sh runs git and a script of python; both read the C library, by a link; python alone a module and a peer.
    fn graph() -> Made {
        let script = Some("$PROJECT/x.py");
        let mut made = Made::images(&[
            (0, None, "/usr/bin/sh", None),
            (1, Some(0), "/usr/bin/git", None),
            (2, Some(0), "/usr/bin/python3", script),
        ])
        .meet(&PATHS);
        for image in [1, 2] {
            made.step(image, &["/lib"], "/usr/lib/libc.so.6", true);
        }
        made.step(2, &[], "/usr/lib/python3/re.py", true);
        made.step(2, &[], "/usr/lib/python3/re.py", true);
        made.graph.connect(2, "example.com:443".to_owned());
        made
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
        assert_eq!(graph().text(), expected);
    }

    #[test]
    fn a_thing_is_there_because_of_the_last_program_that_all_ways_to_it_share() {
        let made = graph();
        for (at, cause) in [
            ("$PROJECT/x.py", 2),
            ("/usr/bin/git", 1),
            ("/usr/bin/python3", 2),
            ("/usr/bin/sh", 0),
            ("/usr/lib/libc.so.6", 0),
            ("/usr/lib/python3/re.py", 2),
            ("/lib", 0),
        ] {
            assert_eq!(made.cause(at), Some(cause), "{at}");
        }
        assert_eq!(made.cause("/etc/x"), None);
        let causes = made.graph.causes();
        assert_eq!((causes.of_peer("example.com:443"), causes.of_peer("other:1")), (Some(2), None));
    }

    #[test]
    fn a_program_that_is_used_as_a_file_is_one_node_and_a_place_that_is_not_kept_is_none() {
        let (mut made, mut other) = (graph(), graph());
        for is_kept in [false, true, true] {
            made.step(2, &[], "/usr/bin/git", is_kept);
        }
        let line = "image 2 --access--> /usr/bin/git\n";
        assert_eq!(made.text().replace(line, ""), graph().text());
        assert_eq!((made.text().matches(line).count(), made.cause("/usr/bin/git")), (1, Some(0)));
        other.step(1, &["/lib"], "/etc/x", false);
        assert_eq!(other.text(), graph().text());
        other.step(1, &[], "/etc/x", true);
        assert_eq!(other.cause("/etc/x"), Some(1));
    }

    #[test]
    fn a_file_of_one_run_is_the_same_node_where_a_later_run_executes_it() {
        let mut made = graph();
        made.step(1, &[], "/etc/x", true);
        let number = u32::try_from(made.paths.find(b"/etc/x").unwrap().at()).unwrap();
        made.graph.name(number, &place("/etc/x"));
        made.graph.image(3, Some(2), &place("/etc/x"), None);
        assert_eq!(made.cause("/etc/x"), Some(0), "git and a program below python need it");
    }

    #[test]
    fn two_first_programs_have_nothing_in_common() {
        let first = ["/usr/bin/x"; 2];
        let mut made = Made::images(&[(0, None, first[0], None), (1, None, first[1], None)]).meet(&["/etc/hosts"]);
        for image in [0, 1] {
            made.step(image, &[], "/etc/hosts", true);
        }
        assert_eq!(made.cause("/etc/hosts"), None);
    }

    proptest::proptest! {
        /// Links may lead in circles, and images may have been started by whatever number.
        #[test]
        fn the_nearest_image_is_that_of_a_walk_without_each_node(
            edges in proptest::collection::vec((0..8_u32, 0..8_u32), 0..24),
        ) {
            // Each third node is a file.
            let mut graph = DiGraph::<Option<u32>, ()>::new();
            let nodes: Vec<NodeIndex> = (0..8).map(|at| graph.add_node((at % 3 != 0).then_some(at))).collect();
            graph.extend_with_edges(edges);
            let reach = |without: Option<NodeIndex>| {
                let mut found = BTreeSet::new();
                let mut next = vec![nodes[0]];
                while let Some(at) = next.pop() {
                    if without != Some(at) && found.insert(at) {
                        next.extend(graph.neighbors(at));
                    }
                }
                found
            };
            let all = reach(None);
            let above = |at: NodeIndex| -> Vec<NodeIndex> {
                let dominates = |other: &NodeIndex| *other != at && !reach(Some(*other)).contains(&at);
                all.iter().copied().filter(dominates).collect()
            };
            for (at, found) in nodes.iter().zip(nearest(&graph)) {
                // The nearest is itself dominated by all the others.
                let images = above(*at).into_iter().filter(|other| graph[*other].is_some());
                let expected = images.max_by_key(|other| above(*other).len()).and_then(|other| graph[other]);
                proptest::prop_assert_eq!(found, expected.filter(|_| all.contains(at)));
            }
        }
    }
}
