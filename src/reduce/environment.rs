//! Names of variables → what is passed on, and what is a secret.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Fact, ImageId};
use crate::profile::Secret;
use crate::trace::Trace;
use crate::vocab::variables::is_powerful;

use super::Note;

type Passed = (BTreeSet<String>, BTreeMap<String, Secret>);

pub(super) fn reduce(traces: &[&Trace], notes: &mut BTreeSet<Note>) -> Passed {
    let (mut pass, mut secrets, mut withheld) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
    for trace in traces {
        // What a program sets for its children is its own affair: only what the caller gave counts.
        let first: BTreeSet<ImageId> = trace
            .events
            .others()
            .filter(|event| matches!(&event.fact, Fact::Image(image) if image.parent.is_none()))
            .map(|event| event.image)
            .collect();
        for event in trace.events.others().filter(|event| first.contains(&event.image)) {
            let Fact::Environment { names, credentials } = &event.fact else { continue };
            for name in names.union(credentials).filter(|name| !name.is_empty() && !name.contains(['=', '\0'])) {
                if is_powerful(name) {
                    withheld.insert(name.clone());
                } else if credentials.contains(name) {
                    secrets.insert(name.clone(), Secret::variable());
                } else {
                    pass.insert(name.clone());
                }
            }
        }
    }
    pass.retain(|name| !secrets.contains_key(name));
    if !withheld.is_empty() {
        notes.insert(Note::Withheld { names: withheld.into_iter().collect::<Vec<_>>().join(", ") });
    }
    (pass, secrets)
}
