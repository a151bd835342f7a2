//! The events of one run, in order, small enough that a million of them fit into some tens of megabytes.
//!
//! Nearly all events are calls on one path, and nearly all paths come again: those are kept as numbers, each path once; what
//! else there is stays as it is. Invariant: what was put in comes out, equal and in the same order.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::{Event, Fact, Hop, ImageId, Intent, Outcome, PathFact};
use crate::vocab::host::FileKind;
use crate::vocab::syscall::Syscall;

use super::paths::{Id, Paths};

/// The events of a run.
#[derive(Clone, Default)]
pub struct Events {
    /// The objects that calls on paths reach, and the links on the way.
    paths: Arc<Paths>,
    all: Vec<Short>,
    /// What is no call on a path.
    others: Vec<Event>,
    /// The links on the way, each row of them once.
    ways: Vec<Way>,
    known_ways: BTreeMap<Vec<Hop>, u32>,
}

/// One event.
#[derive(Debug, Clone, Copy)]
enum Short {
    /// A call on a path.
    Step {
        image: ImageId,
        path: Id,
        /// Of [`DIRECT`] there are no links.
        way: u32,
        result: Outcome,
        call: Syscall,
        intent: Intent,
        kind: Option<FileKind>,
    },
    /// Where it stands among the others.
    Other(u32),
}

/// No links on the way.
const DIRECT: u32 = u32::MAX;

/// Links that were gone through one after the other.
#[derive(Debug, Clone)]
struct Way {
    hops: Vec<Hop>,
    links: Vec<Id>,
}

/// A call on a path, with the numbers of [`Events::paths`] for names.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Who.
    pub image: ImageId,
    /// What the program wanted with it.
    pub intent: Intent,
    /// The call.
    pub call: Syscall,
    /// The object reached.
    pub path: Id,
    /// Symlinks on the way, in order.
    pub links: &'a [Id],
    /// The type of the object, where there is one.
    pub kind: Option<FileKind>,
    /// What came of it.
    pub result: Outcome,
}

impl Events {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Puts one behind the others.
    pub fn push(&mut self, event: Event) {
        let Event { image, fact } = event;
        let short = match fact {
            Fact::Path(PathFact { intent, call, path, hops, kind, result }) => {
                let path = Arc::make_mut(&mut self.paths).add(&path);
                Short::Step { image, path, way: self.way(hops), result, call, intent, kind }
            }
            fact => {
                self.others.push(Event { image, fact });
                Short::Other(u32::try_from(self.others.len() - 1).unwrap_or(u32::MAX))
            }
        };
        self.all.push(short);
    }

    fn way(&mut self, hops: Vec<Hop>) -> u32 {
        if hops.is_empty() {
            return DIRECT;
        }
        if let Some(known) = self.known_ways.get(&hops) {
            return *known;
        }
        let number = u32::try_from(self.ways.len()).unwrap_or(DIRECT);
        let paths = Arc::make_mut(&mut self.paths);
        let links = hops.iter().map(|hop| paths.add(&hop.link)).collect();
        self.ways.push(Way { hops: hops.clone(), links });
        self.known_ways.insert(hops, number);
        number
    }

    /// All, in order, each made anew: for whoever does not mind what that takes.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.all.iter().filter_map(|short| match *short {
            Short::Step { image, path, way, result, call, intent, kind } => {
                let hops = self.way_of(way).map(|way| way.hops.clone()).unwrap_or_default();
                let path = self.paths.path(path);
                Some(Event { image, fact: Fact::Path(PathFact { intent, call, path, hops, kind, result }) })
            }
            Short::Other(at) => self.others.get(usize::try_from(at).ok()?).cloned(),
        })
    }

    /// The calls on one path, in order.
    pub fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        self.all.iter().filter_map(|short| match *short {
            Short::Step { image, path, way, result, call, intent, kind } => {
                let links = self.way_of(way).map_or(&[][..], |way| &way.links);
                Some(Step { image, intent, call, path, links, kind, result })
            }
            Short::Other(_) => None,
        })
    }

    /// All other events, in order.
    pub fn others(&self) -> std::slice::Iter<'_, Event> {
        self.others.iter()
    }

    /// The names of [`Self::steps`].
    pub fn paths(&self) -> &Arc<Paths> {
        &self.paths
    }

    fn way_of(&self, way: u32) -> Option<&Way> {
        self.ways.get(usize::try_from(way).ok()?)
    }
}

impl Extend<Event> for Events {
    fn extend<I: IntoIterator<Item = Event>>(&mut self, events: I) {
        events.into_iter().for_each(|event| self.push(event));
    }
}

impl FromIterator<Event> for Events {
    fn from_iter<I: IntoIterator<Item = Event>>(events: I) -> Self {
        let mut all = Self::default();
        all.extend(events);
        all
    }
}

/// Numbers do not count: what they stand for does.
impl PartialEq for Events {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Events {}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::path::AbsPath;

    #[test]
    fn an_event_is_small_and_comes_out_as_it_was() {
        assert!(size_of::<Short>() <= 28, "{}", size_of::<Short>());
        let path = |text: &str| AbsPath::new(text).unwrap();
        let call = Syscall::from_name("openat").unwrap();
        let step = |at: &str, links: &[&str], result| {
            let hops = links.iter().map(|link| Hop { link: path(link), text: "x".into() }).collect();
            Fact::Path(PathFact { intent: Intent::Read, call, path: path(at), hops, kind: None, result })
        };
        let facts = [
            step("/usr/lib/x", &["/lib", "/usr/a"], Outcome::Ok),
            Fact::Call { call },
            step("/usr/lib/x", &[], Outcome::Errno(i32::MIN)),
            step("/usr/lib/y", &["/lib", "/usr/a"], Outcome::Unseen),
        ];
        let events: Vec<Event> =
            facts.into_iter().zip(1..).map(|(fact, image)| Event { image: ImageId(image), fact }).collect();
        let kept: Events = events.iter().cloned().collect();
        assert!(kept.iter().eq(events.iter().cloned()));
        let links = |step: Step<'_>| step.links.iter().map(|link| kept.paths().path(*link).to_string()).collect();
        let ways: Vec<Vec<String>> = kept.steps().map(links).collect();
        assert_eq!(ways, [vec!["/lib", "/usr/a"], vec![], vec!["/lib", "/usr/a"]]);
        assert_eq!((kept.len(), kept.others().count(), kept.ways.len()), (4, 1, 1));
    }
}
