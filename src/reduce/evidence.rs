//! Traces × the profile that they gave → [`Evidence`]: who needed what, in which runs, covered by which line.
//!
//! Pure: whatever the order of the traces, the same evidence; the same run twice counts once. It reads the finished profile,
//! not the reducer's thoughts: a line that a person wrote, or a bundle, is accounted for as any other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::event::{self, Fact, ImageId, Transport};
use crate::profile::Profile;
use crate::profile::evidence::{Evidence, Grant, MOST_RUNS, Outcome, Program, Run, Subject};
use crate::profile::lines::Lines;
use crate::trace::Trace;
use crate::vocab::endpoint::Endpoint;
use crate::vocab::location::{Location, Part};
use crate::vocab::reach::is_stand_in;
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::{Class, row};

use super::Settings;
use super::cover::Cover;
use super::facts::{Facts, Seen};
use super::needs::Needs;
use super::path_graph::PathGraph;
use super::places::Places;
use crate::trace::paths::{Id, Paths};

/// Programs that are kept.
const MOST_PROGRAMS: u32 = 20_000;
/// Programs in one chain.
const DEEPEST: u32 = 64;

/// What `traces` show for the lines of `profile`.
pub fn gather(traces: &[Trace], profile: &Profile, settings: &Settings) -> Evidence {
    let name = |trace: &Trace| (trace.header.started, trace.header.run.clone());
    let mut names: BTreeMap<(u64, String), usize> = BTreeMap::new();
    for trace in traces {
        *names.entry(name(trace)).or_default() += 1;
    }
    // Only runs of one name have to be told apart by what they did before they have their places in the order.
    let is_named_alone = |trace: &&Trace| names.get(&name(trace)) == Some(&1);
    let known = |trace: &Trace| if is_named_alone(&trace) { String::new() } else { shape(trace) };
    let mut runs: Vec<(Run, &Trace)> = traces.iter().map(|trace| (run(trace, known(trace)), trace)).collect();
    runs.sort_by(|(a, _), (b, _)| (a.started, &a.id, &a.shape).cmp(&(b.started, &b.id, &b.shape)));
    runs.dedup_by(|(a, _), (b, _)| a == b);
    let mut gathering = Gathering::new(profile, settings);
    for (number, (mut run, trace)) in (0..MOST_RUNS).zip(runs) {
        run.shape = gathering.add(number, trace);
        gathering.evidence.runs.push(run);
    }
    gathering.finish()
}

fn run(trace: &Trace, shape: String) -> Run {
    Run {
        id: trace.header.run.clone(),
        started: trace.header.started,
        complete: trace.is_complete(),
        status: trace.footer.as_ref().map(|footer| footer.status),
        shape,
        left_out: None,
    }
}

/// A digest over what a run did. What it changed counts as the directory: names that it made may be random, and the first
/// run makes what the second finds.
pub(super) fn shape(trace: &Trace) -> String {
    let mut needs = Needs::of(trace);
    let places = Places::of(trace, &mut needs);
    shape_of(trace, &needs, &places)
}

fn shape_of(trace: &Trace, needs: &Needs, places: &Places<'_>) -> String {
    let locator = trace.header.roots.locator();
    // A digest of each line: of many paths they take little room, and their order is that of what they stand for.
    let mut lines: Vec<[u8; 32]> = Vec::new();
    let mut text = String::new();
    let mut add = |line: std::fmt::Arguments<'_>| {
        text.clear();
        // Writing to a string does not fail.
        let _ = text.write_fmt(line);
        lines.push(Sha256::digest(&text).into());
    };
    // The outermost name above each path, or itself, that the run made.
    let mut made: Vec<Option<Id>> = Vec::with_capacity(needs.paths.len());
    for id in needs.paths.ids() {
        let above = needs.paths.parent(id).and_then(|parent| made.get(parent.at()).copied()).flatten();
        made.push(above.or_else(|| needs.is_made(id).then_some(id)));
    }
    let name = |id: Id| {
        let (base, rest) = places.named(&needs.paths, id);
        Part { base, rest }
    };
    let mut changed_before = None;
    for (id, need) in needs.iter().filter(|(id, _)| !places.is_private(*id)) {
        let made = made.get(id.at()).copied().flatten();
        let changed = made.or_else(|| need.access.writes().then_some(id));
        match changed.and_then(|changed| needs.paths.parent(changed)) {
            // Each line counts once.
            Some(above) if changed_before.replace(above) == Some(above) => {}
            Some(above) => add(format_args!("changes in {}", name(above))),
            None => add(format_args!("{} {}", need.access, name(id))),
        }
    }
    for event in trace.events.others() {
        match &event.fact {
            Fact::Call { call } => add(format_args!("call {call}")),
            Fact::Argument { call, value } => add(format_args!("argument {call} {value}")),
            Fact::Connect { endpoint, transport, .. } => {
                peer(endpoint, *transport).into_iter().for_each(|peer| add(format_args!("peer {peer}")));
            }
            Fact::Image(image) => add(format_args!("runs {} {:?}", locator.locate(&image.exe), image.argv)),
            _ => {}
        }
    }
    lines.sort_unstable();
    lines.dedup();
    let digest = lines.iter().fold(Sha256::new(), |digest, line| digest.chain_update(line));
    digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The text of a peer outside of the file system, if it is one.
fn peer(endpoint: &Endpoint, transport: Transport) -> Option<String> {
    match endpoint {
        Endpoint::Inet(_) if transport == Transport::UdpProbe => None,
        // The resolver inside, or what stands for a name.
        Endpoint::Inet(address) if is_stand_in(address.ip()) => None,
        Endpoint::Inet(address) => Some(address.to_string()),
        Endpoint::Name(peer) => Some(peer.to_string()),
        Endpoint::Abstract(name) => Some(format!("abstract {name}")),
        Endpoint::Unix(_) | Endpoint::Netlink(_) => None,
    }
}

struct Gathering<'a> {
    profile: &'a Profile,
    witnesses: usize,
    evidence: Evidence,
    known: BTreeMap<Program, u32>,
    depths: Vec<u32>,
    facts: Facts,
    graph: PathGraph,
    /// Names counted in a directory that a grant opens, the most of all runs.
    census: BTreeMap<(u32, Location), (u32, bool)>,
}

/// What one run needs besides.
struct Here<'t> {
    run: u32,
    trace: &'t Trace,
    programs: BTreeMap<ImageId, u32>,
    lines: Lines,
}

impl<'a> Gathering<'a> {
    fn new(profile: &'a Profile, settings: &Settings) -> Self {
        let lines = profile.filesystem.iter();
        let grants =
            lines.map(|(place, grant)| Grant { place: place.clone(), access: grant.access, exposed: 0, capped: false });
        let evidence = Evidence { grants: grants.collect(), ..Evidence::default() };
        let (known, depths, census) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        let (facts, graph) = (Facts::default(), PathGraph::default());
        Self { profile, witnesses: settings.witnesses, evidence, known, depths, facts, graph, census }
    }

    /// The shape of the run.
    fn add(&mut self, run: u32, trace: &Trace) -> String {
        self.facts.next_run();
        let (roots, programs) = (&trace.header.roots, self.programs(trace));
        let here = Here { run, trace, programs, lines: Lines::of(self.profile, roots, super::bundles::layout(trace)) };
        let shape = self.paths(&here);
        self.rest(&here);
        self.variables(&here);
        shape
    }

    /// The numbers of the images of one run. One whose parent is not known, or stands in a circle, is a first program.
    fn programs(&mut self, trace: &Trace) -> BTreeMap<ImageId, u32> {
        let locator = trace.header.roots.locator();
        let mut images: BTreeMap<ImageId, &event::Image> = BTreeMap::new();
        for event in trace.events.others() {
            if let Fact::Image(image) = &event.fact {
                images.entry(event.image).or_insert(image);
            }
        }
        let mut numbers = BTreeMap::new();
        for &first in images.keys() {
            let mut chain = Vec::new();
            let mut next = Some(first);
            while let Some(id) = next.filter(|id| !numbers.contains_key(id) && !chain.contains(id)) {
                let Some(image) = images.get(&id) else { break };
                chain.push(id);
                next = image.parent;
            }
            for id in chain.into_iter().rev() {
                let Some(image) = images.get(&id) else { continue };
                let parent = image.parent.and_then(|parent| numbers.get(&parent).copied());
                let (exe, script) =
                    (locator.locate(&image.exe), image.script.as_ref().map(|path| locator.locate(path)));
                numbers.insert(id, self.intern(Program { parent, exe, script, argv: image.argv.clone() }));
            }
        }
        numbers
    }

    fn intern(&mut self, mut program: Program) -> u32 {
        let depth = |number: Option<u32>, depths: &[u32]| {
            number.and_then(|number| depths.get(usize::try_from(number).ok()?)).map_or(0, |depth| depth + 1)
        };
        let mut own = depth(program.parent, &self.depths);
        if own >= DEEPEST {
            (program.parent, own) = (None, 0);
            self.evidence.capped = true;
        }
        if let Some(known) = self.known.get(&program) {
            return *known;
        }
        let number = u32::try_from(self.evidence.programs.len()).unwrap_or(u32::MAX);
        if number >= MOST_PROGRAMS {
            self.evidence.capped = true;
            return program.parent.unwrap_or(0);
        }
        for place in std::iter::once(&program.exe).chain(&program.script) {
            if let Some(known) = self.facts.find(&Subject::Place(place.clone())) {
                self.graph.name(known, place);
            }
        }
        self.graph.image(number, program.parent, &program.exe, program.script.as_ref());
        self.known.insert(program.clone(), number);
        self.depths.push(own);
        self.evidence.programs.push(program);
        number
    }

    fn paths(&mut self, here: &Here<'_>) -> String {
        let mut who: Vec<(Id, ImageId)> = Vec::new();
        let mut needs = Needs::told(here.trace, &mut |id, image| who.push((id, image)));
        who.sort_unstable();
        who.dedup();
        let places = Places::of(here.trace, &mut needs);
        let cover = Cover::of(&here.lines, &needs.paths);
        let numbers = self.needed(here, &needs, &places, &cover, who);
        self.seen(here, (&needs.paths, &places, &cover), &numbers);
        shape_of(here.trace, &needs, &places)
    }

    /// What was needed, and by whom. Of each path the number of its place, where there was room for it.
    fn needed(
        &mut self,
        here: &Here<'_>,
        needs: &Needs,
        places: &Places<'_>,
        cover: &Cover,
        who: Vec<(Id, ImageId)>,
    ) -> Vec<Option<u32>> {
        let mut numbers = vec![None; needs.paths.len()];
        // Both go by the number of the path.
        let mut who = who.into_iter().peekable();
        for (id, need) in needs.iter() {
            let mut programs = Vec::new();
            while let Some((_, image)) = who.next_if(|(other, _)| *other <= id) {
                programs.extend(here.programs.get(&image));
            }
            if places.is_private(id) {
                continue;
            }
            let Some(number) = self.facts.place(|| places.location(&needs.paths, id)) else { continue };
            let grant = cover.over(id).map(|line| line.number);
            let seen = Seen { run: here.run, outcome: Outcome::Used, access: Some(need.access), grant };
            self.facts.witness(number, seen, programs);
            numbers.get_mut(id.at()).into_iter().for_each(|slot| *slot = Some(number));
        }
        numbers
    }

    /// What was looked for or tried in vain, who came to each place that is kept by which way, and what directories hold.
    fn seen(
        &mut self,
        here: &Here<'_>,
        (paths, places, cover): (&Paths, &Places<'_>, &Cover),
        numbers: &[Option<u32>],
    ) {
        let grant = |id: Id| cover.over(id).map(|line| line.number);
        let name = |id: Id| places.location(paths, id);
        let mut met = self.graph.meet(&|place| {
            let path = here.trace.header.roots.resolve(place)?;
            paths.find(path.as_bytes()).filter(|id| name(*id) == *place)
        });
        let number_of = |id: Id| numbers.get(id.at()).copied().flatten();
        // What is no place of the graph: nobody used it.
        let mut tried: BTreeMap<Id, u32> = BTreeMap::new();
        for step in here.trace.events.steps().filter(|step| !places.is_private(step.path)) {
            let program = here.programs.get(&step.image).copied();
            let outcome = match step.result {
                event::Outcome::Ok | event::Outcome::Unseen => {
                    if let Some(program) = program {
                        let way = (program, step.links, step.path);
                        self.graph.step(way, number_of(step.path), &mut met, &name);
                    }
                    continue;
                }
                event::Outcome::Errno(libc::ENOENT) => Outcome::Probed,
                event::Outcome::Errno(_) => Outcome::Refused,
            };
            let known = number_of(step.path).or_else(|| tried.get(&step.path).copied());
            let Some(number) = known.or_else(|| self.facts.place(|| name(step.path))) else { continue };
            tried.insert(step.path, number);
            let seen = Seen { run: here.run, outcome, access: None, grant: grant(step.path) };
            self.facts.witness(number, seen, program);
        }
        for event in here.trace.events.others() {
            let program = here.programs.get(&event.image).copied();
            match &event.fact {
                Fact::Pair(fact) if fact.result.may_have_succeeded() => {
                    let ends = [&fact.from, &fact.to].into_iter().filter_map(|end| paths.find(end.as_bytes()));
                    for end in ends.filter(|end| !places.is_private(*end)) {
                        if let Some(program) = program {
                            self.graph.step((program, &[], end), number_of(end), &mut met, &name);
                        }
                    }
                }
                Fact::Census(census) => {
                    let Some(id) = paths.find(census.dir.as_bytes()) else { continue };
                    let Some(grant) = grant(id) else { continue };
                    let (entries, capped) = self.census.entry((grant, name(id))).or_default();
                    *entries = (*entries).max(census.entries);
                    *capped |= census.capped;
                }
                _ => {}
            }
        }
    }

    /// Calls, their arguments, and peers.
    fn rest(&mut self, here: &Here<'_>) {
        for event in here.trace.events.others() {
            let programs: BTreeSet<u32> = here.programs.get(&event.image).copied().into_iter().collect();
            let (subject, outcome) = match &event.fact {
                Fact::Call { call } => match row(*call).class {
                    Class::Learned => (Subject::Call(*call), Outcome::Used),
                    Class::Floor => (Subject::Call(*call), Outcome::Refused),
                    Class::Base | Class::Absent => continue,
                },
                Fact::Argument { call, value } => (Subject::Argument(*call, value.clone()), Outcome::Used),
                Fact::Denied(denial) => match Syscall::from_name(&denial.call) {
                    Some(call) => (Subject::Call(call), Outcome::Refused),
                    None => continue,
                },
                Fact::Connect { endpoint, transport, result } => {
                    let Some(peer) = peer(endpoint, *transport) else { continue };
                    for &program in &programs {
                        self.graph.connect(program, peer.clone());
                    }
                    let reached = result.may_have_succeeded() || *result == event::Outcome::Errno(libc::EINPROGRESS);
                    (Subject::Peer(peer), if reached { Outcome::Used } else { Outcome::Refused })
                }
                _ => continue,
            };
            self.other(subject, here.run, outcome, programs);
        }
    }

    /// Variables that the caller gave to the first program.
    fn variables(&mut self, here: &Here<'_>) {
        let mut mentioned = None;
        let mut present: BTreeMap<&String, BTreeSet<u32>> = BTreeMap::new();
        for event in here.trace.events.others() {
            match &event.fact {
                Fact::Mentioned { names, .. } => mentioned = Some(names),
                Fact::Environment { names, credentials } => {
                    let Some(&program) = here.programs.get(&event.image) else { continue };
                    if self.evidence.program(program).is_some_and(|program| program.parent.is_none()) {
                        for name in names.union(credentials) {
                            present.entry(name).or_default().insert(program);
                        }
                    }
                }
                _ => {}
            }
        }
        for (name, programs) in present {
            let matters = mentioned.is_some_and(|names| names.contains(name));
            let outcome = if matters { Outcome::Used } else { Outcome::Probed };
            self.other(Subject::Variable(name.clone()), here.run, outcome, programs);
        }
    }

    /// Notes what came of something that is no place.
    fn other(&mut self, subject: Subject, run: u32, outcome: Outcome, programs: BTreeSet<u32>) {
        if let Some(number) = self.facts.other(subject) {
            self.facts.witness(number, Seen { run, outcome, access: None, grant: None }, programs);
        }
    }

    fn finish(mut self) -> Evidence {
        let causes = self.graph.causes();
        for (number, subject, witness) in self.facts.iter_mut() {
            witness.because = match subject {
                Subject::Place(place) => causes.of_place(number, place),
                Subject::Peer(peer) => causes.of_peer(peer),
                Subject::Variable(_) => None,
                Subject::Call(_) | Subject::Argument(..) => common(&self.evidence.programs, &witness.programs),
            };
            if witness.programs.len() > self.witnesses {
                witness.programs = std::mem::take(&mut witness.programs).into_iter().take(self.witnesses).collect();
            }
        }
        drop(causes);
        self.evidence.capped |= self.facts.capped;
        self.evidence.facts = self.facts.finish();
        for ((grant, _), (entries, capped)) in self.census {
            if let Some(grant) = usize::try_from(grant).ok().and_then(|grant| self.evidence.grants.get_mut(grant)) {
                grant.exposed = grant.exposed.saturating_add(u64::from(entries));
                grant.capped |= capped;
            }
        }
        self.evidence
    }
}

/// The last program that stands in the chain of each of `images`.
fn common(programs: &[Program], images: &BTreeSet<u32>) -> Option<u32> {
    let chain = |image: u32| -> Vec<u32> {
        let parent = |number: &u32| programs.get(usize::try_from(*number).ok()?)?.parent;
        let mut chain: Vec<u32> = std::iter::successors(Some(image), parent).collect();
        chain.reverse();
        chain
    };
    let mut chains = images.iter().map(|image| chain(*image));
    let first = chains.next()?;
    let shared = |mut shared: Vec<u32>, other: Vec<u32>| {
        shared.truncate(shared.iter().zip(&other).take_while(|(a, b)| a == b).count());
        shared
    };
    chains.fold(first, shared).last().copied()
}
