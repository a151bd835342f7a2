//! The graph of executions: which chain of programs stands behind a need.
//!
//! Indices of the graph do not leave this file; a chain is words, so it does not depend on how images are numbered.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction;
use petgraph::graphmap::DiGraphMap;

use crate::event::{Fact, ImageId};
use crate::trace::Trace;
use crate::vocab::escape;

/// Longest chain that is written out.
const LONGEST: usize = 8;

/// The images of one run, by who executed whom.
#[derive(Debug)]
pub struct Chains {
    graph: DiGraphMap<ImageId, ()>,
    names: BTreeMap<ImageId, String>,
}

impl Chains {
    /// Of `trace`.
    pub fn of(trace: &Trace) -> Self {
        let (mut graph, mut names) = (DiGraphMap::new(), BTreeMap::new());
        for event in &trace.events {
            let Fact::Image(image) = &event.fact else { continue };
            let program = image.script.as_ref().unwrap_or(&image.exe);
            names.insert(event.image, escape::file(program.file_name().unwrap_or_default()));
            if let Some(parent) = image.parent {
                graph.add_edge(parent, event.image, ());
            }
        }
        Self { graph, names }
    }

    /// `sh → git`: the programs from the first to `image`. A trace may claim a circle; it is cut.
    pub fn of_image(&self, image: ImageId) -> String {
        let mut seen = BTreeSet::new();
        let mut names = Vec::new();
        let mut next = Some(image);
        while let Some(image) = next.filter(|image| names.len() < LONGEST && seen.insert(*image)) {
            names.push(self.names.get(&image).map_or("?", String::as_str));
            next = self.graph.neighbors_directed(image, Direction::Incoming).min();
        }
        names.reverse();
        names.join(" → ")
    }
}
