//! Evidence → the tree of programs as text, with what each needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::profile::evidence::{Evidence, Grant, Outcome, Program, Subject, Witness};
use crate::vocab::escape;
use crate::vocab::location::Location;

/// Lines of one program that are shown.
const MOST: usize = 8;

/// `git status <path>`: a program with its arguments in shape.
pub(super) fn label(program: &Program) -> String {
    let mut words = vec![program.name()];
    words.extend(program.argv.iter().skip(1).map(|word| escape::terminal(word.as_bytes())));
    words.join(" ")
}

/// The tree of all programs; with `only`, of those that needed this thing or something beneath this place, and what stands
/// above them. Of the whole, places may just have been counted: see [`Evidence::counted`].
pub fn draw(evidence: &Evidence, only: Option<&Subject>) -> String {
    let wanted = |subject: &Subject| only.is_none_or(|only| is_within(subject, only));
    let mut needs: BTreeMap<u32, BTreeMap<String, u64>> = BTreeMap::new();
    let mut because: BTreeMap<u32, u64> = BTreeMap::new();
    if only.is_none() {
        because.clone_from(&evidence.counted.because);
        for ((program, number), count) in &evidence.counted.needs {
            let Some(grant) = grant(evidence, *number) else { continue };
            *needs.entry(*program).or_default().entry(covered(grant)).or_default() += count;
        }
    }
    for (subject, witness) in evidence.facts.iter().filter(|(subject, _)| wanted(subject)) {
        let Some(line) = line(evidence, subject, witness, only) else { continue };
        for program in &witness.programs {
            *needs.entry(*program).or_default().entry(line.clone()).or_default() += 1;
        }
        if let (Some(cause), Outcome::Used) = (witness.because, witness.outcome) {
            *because.entry(cause).or_default() += 1;
        }
    }
    let parent = |number: &u32| evidence.program(*number)?.parent;
    let shown: BTreeSet<u32> = needs.keys().flat_map(|program| std::iter::successors(Some(*program), parent)).collect();
    let mut children: BTreeMap<Option<u32>, Vec<u32>> = BTreeMap::new();
    for number in shown {
        children.entry(evidence.program(number).and_then(|program| program.parent)).or_default().push(number);
    }
    let mut tree = Tree { evidence, needs, because, children, out: String::new() };
    let firsts = tree.children.get(&None).cloned().unwrap_or_default();
    firsts.into_iter().for_each(|first| tree.program(first, "", ""));
    tree.out
}

/// Whether `subject` is `wanted`, or lies beneath it.
fn is_within(subject: &Subject, wanted: &Subject) -> bool {
    match (subject, wanted) {
        (Subject::Place(Location::Path { base, rest }), Subject::Place(Location::Path { base: top, rest: above })) => {
            base == top
                && (above.is_empty()
                    || rest.strip_prefix(above.as_slice()).is_some_and(|rest| rest.first().is_none_or(|&b| b == b'/')))
        }
        (Subject::Argument(call, _), Subject::Call(wanted)) => call == wanted,
        (Subject::Peer(peer), Subject::Peer(wanted)) => {
            peer == wanted || peer.strip_prefix(wanted.as_str()).is_some_and(|port| port.starts_with(':'))
        }
        (subject, wanted) => subject == wanted,
    }
}

/// The line under which a thing is counted: the grant that covers it, or itself.
fn line(evidence: &Evidence, subject: &Subject, witness: &Witness, only: Option<&Subject>) -> Option<String> {
    let grant = witness.grant.and_then(|number| grant(evidence, number));
    Some(match subject {
        // Hundreds of failed looks say little of a program.
        Subject::Place(_) if witness.outcome != Outcome::Used && only.is_none() => return None,
        Subject::Place(place) => match (grant, only) {
            (Some(grant), None) => covered(grant),
            _ => format!("{place} ({})", witness.access.map_or(witness.outcome.as_str(), |access| access.as_str())),
        },
        Subject::Call(call) => format!("call {call}"),
        Subject::Argument(call, value) => format!("call {call} {}", escape::terminal(value.as_bytes())),
        Subject::Peer(peer) => format!("peer {}", escape::terminal(peer.as_bytes())),
        Subject::Variable(_) if only.is_none() => return None,
        Subject::Variable(name) => format!("variable {}", escape::file(name.as_bytes())),
    })
}

fn grant(evidence: &Evidence, number: u32) -> Option<&Grant> {
    evidence.grants.get(usize::try_from(number).ok()?)
}

fn covered(grant: &Grant) -> String {
    format!("{} ({})", grant.place, grant.access)
}

struct Tree<'a> {
    evidence: &'a Evidence,
    needs: BTreeMap<u32, BTreeMap<String, u64>>,
    because: BTreeMap<u32, u64>,
    children: BTreeMap<Option<u32>, Vec<u32>>,
    out: String,
}

impl Tree<'_> {
    fn program(&mut self, number: u32, first: &str, rest: &str) {
        let Some(program) = self.evidence.program(number) else { return };
        let _ = write!(self.out, "{first}{}", label(program));
        if let Some(count) = self.because.get(&number) {
            let _ = write!(self.out, "  [{count} only because of it]");
        }
        self.out.push('\n');
        let children = self.children.remove(&Some(number)).unwrap_or_default();
        let bar = if children.is_empty() { "    " } else { "│   " };
        let needs = self.needs.remove(&number).unwrap_or_default();
        for (line, count) in needs.iter().take(MOST) {
            let times = if *count == 1 { String::new() } else { format!(" × {count}") };
            let _ = writeln!(self.out, "{rest}{bar}{line}{times}");
        }
        if needs.len() > MOST {
            let _ = writeln!(self.out, "{rest}{bar}… and {} more", needs.len() - MOST);
        }
        let last = children.len().saturating_sub(1);
        for (index, child) in children.into_iter().enumerate() {
            let (branch, below) = if index == last { ("└── ", "    ") } else { ("├── ", "│   ") };
            self.program(child, &format!("{rest}{branch}"), &format!("{rest}{below}"));
        }
    }
}
