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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Image};
    use crate::profile::emit;
    use crate::trace::tests::empty;
    use crate::vocab::path::AbsPath;

    /// A run of a first program and one that it started, each with names and, behind the bar, credentials of its variables.
    fn run(first: &str, second: &str) -> Trace {
        let exe = AbsPath::new("/usr/bin/x").unwrap();
        let image = |parent| Fact::Image(Image { parent, exe: exe.clone(), script: None, argv: vec![], set_id: false });
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
        let given = |text: &str| {
            let (names, credentials) = text.split_once('|').unwrap_or((text, ""));
            Fact::Environment { names: words(names), credentials: words(credentials) }
        };
        let facts = [(1, image(None)), (1, given(first)), (2, image(Some(ImageId(1)))), (2, given(second))];
        let mut trace = empty();
        trace.events = facts.into_iter().map(|(image, fact)| Event { image: ImageId(image), fact }).collect();
        trace
    }

    /// What is passed on, the secrets and the notes of runs.
    #[track_caller]
    fn give(runs: &[Trace], expected: &[&str]) {
        let mut notes = BTreeSet::new();
        let (pass, secrets) = reduce(&runs.iter().collect::<Vec<_>>(), &mut notes);
        let pass = pass.iter().map(|name| format!("pass {name}"));
        let secrets = secrets.iter().map(|(name, secret)| format!("{name} = {}", emit::secret(secret)));
        let said: Vec<String> = pass.chain(secrets).chain(notes.iter().map(|note| format!("note: {note}"))).collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn what_the_caller_gave_is_passed_on_and_what_a_program_gives_its_children_is_its_own_affair() {
        give(&[run("LANG HOME", "HOME INNER | INNER_TOKEN")], &["pass HOME", "pass LANG"]);
    }

    #[test]
    fn a_credential_is_a_secret_that_waits_for_a_person_and_is_not_passed_on_beside() {
        let secret = "OPENAI_API_KEY = { from = \"env\", approved = false }";
        give(&[run("HOME OPENAI_API_KEY | OPENAI_API_KEY", "")], &["pass HOME", secret]);
        // One run alone saw that it is one.
        give(&[run("OPENAI_API_KEY", ""), run("HOME | OPENAI_API_KEY", "")], &["pass HOME", secret]);
    }

    #[test]
    fn what_leads_out_of_the_sandbox_is_told_and_not_passed_on_be_it_a_credential_or_not() {
        give(
            &[run("HOME LD_PRELOAD SSH_AUTH_SOCK", ""), run("| SSH_TOKEN", "")],
            &[
                "pass HOME",
                "note: not passed on, since they lead out of the sandbox or change every program: LD_PRELOAD, SSH_AUTH_SOCK, \
                 SSH_TOKEN",
            ],
        );
    }

    #[test]
    fn a_name_that_no_file_can_hold_is_none() {
        let mut trace = empty();
        let exe = AbsPath::new("/usr/bin/x").unwrap();
        let names = ["", "A=B", "A\0B", "FINE"].map(str::to_owned).into();
        let facts = [
            Fact::Image(Image { parent: None, exe, script: None, argv: vec![], set_id: false }),
            Fact::Environment { names, credentials: BTreeSet::new() },
        ];
        trace.events = facts.into_iter().map(|fact| Event { image: ImageId(0), fact }).collect();
        give(&[trace], &["pass FINE"]);
    }
}
