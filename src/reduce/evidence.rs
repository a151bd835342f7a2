//! Traces × the profile that they gave → [`Evidence`]: who needed what, in which runs, covered by which line.
//!
//! Pure: whatever the order of the traces, the same evidence; the same run twice counts once. It reads the finished profile,
//! not the reducer's thoughts: a line that a person wrote, or a bundle, is accounted for as any other.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::event::{self, Fact, ImageId, Transport};
use crate::profile::Profile;
use crate::profile::evidence::{Evidence, Grant, MOST_RUNS, Outcome, Program, Run, Runs, Subject, Witness};
use crate::profile::lines::Lines;
use crate::trace::Trace;
use crate::vocab::access::Access;
use crate::vocab::endpoint::Endpoint;
use crate::vocab::location::Location;
use crate::vocab::reach::is_stand_in;
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::{Class, row};

use super::Settings;
use super::cover::Cover;
use super::needs::Needs;
use super::path_graph::{Met, Node, PathGraph};
use super::places::Places;
use crate::trace::paths::{Id, Paths};

/// Things that are kept: a hostile program can make any number.
const MOST_FACTS: usize = 200_000;
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
    let mut add = |line: String| lines.push(Sha256::digest(line).into());
    // The outermost name above each path, or itself, that the run made.
    let mut made: Vec<Option<Id>> = Vec::with_capacity(needs.paths.len());
    for id in needs.paths.ids() {
        let above = needs.paths.parent(id).and_then(|parent| made.get(parent.at()).copied()).flatten();
        made.push(above.or_else(|| needs.is_made(id).then_some(id)));
    }
    for (id, need) in needs.iter().filter(|(id, _)| !places.is_private(*id)) {
        let made = made.get(id.at()).copied().flatten();
        let changed = made.or_else(|| need.access.writes().then_some(id));
        add(match changed.and_then(|changed| needs.paths.parent(changed)) {
            Some(above) => format!("changes in {}", places.location(&needs.paths, above)),
            None => format!("{} {}", need.access, places.location(&needs.paths, id)),
        });
    }
    for event in trace.events.others() {
        let line = match &event.fact {
            Fact::Call { call } => Some(format!("call {call}")),
            Fact::Argument { call, value } => Some(format!("argument {call} {value}")),
            Fact::Connect { endpoint, transport, .. } => peer(endpoint, *transport).map(|peer| format!("peer {peer}")),
            Fact::Image(image) => Some(format!("runs {} {:?}", locator.locate(&image.exe), image.argv)),
            _ => None,
        };
        line.into_iter().for_each(&mut add);
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
        let (known, depths, graph, census) = (BTreeMap::new(), Vec::new(), PathGraph::default(), BTreeMap::new());
        Self { profile, witnesses: settings.witnesses, evidence, known, depths, graph, census }
    }

    /// The shape of the run.
    fn add(&mut self, run: u32, trace: &Trace) -> String {
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
        let kept = self.needed(here, &needs, &places, &cover, who);
        self.seen(here, (&needs.paths, &places, &cover), &kept);
        shape_of(here.trace, &needs, &places)
    }

    /// What was needed, and by whom. Of each path, whether there was room for it.
    fn needed(
        &mut self,
        here: &Here<'_>,
        needs: &Needs,
        places: &Places<'_>,
        cover: &Cover,
        who: Vec<(Id, ImageId)>,
    ) -> Vec<bool> {
        let mut kept = vec![false; needs.paths.len()];
        // Both go by the number of the path.
        let mut who = who.into_iter().peekable();
        for (id, need) in needs.iter() {
            let mut programs = BTreeSet::new();
            while let Some((_, image)) = who.next_if(|(other, _)| *other <= id) {
                programs.extend(here.programs.get(&image));
            }
            if !places.is_private(id) {
                let subject = Subject::Place(places.location(&needs.paths, id));
                let grant = cover.over(id).map(|line| line.number);
                let is_kept = self.witness(subject, here.run, Outcome::Used, Some(need.access), grant, programs);
                kept.get_mut(id.at()).into_iter().for_each(|slot| *slot = is_kept);
            }
        }
        kept
    }

    /// What was looked for or tried in vain, who came to each place that is kept by which way, and what directories hold.
    fn seen(&mut self, here: &Here<'_>, (paths, places, cover): (&Paths, &Places<'_>, &Cover), kept: &[bool]) {
        let grant = |id: Id| cover.over(id).map(|line| line.number);
        let name = |id: Id| places.location(paths, id);
        let is_kept = |id: Id| kept.get(id.at()) == Some(&true);
        let mut met = Met::default();
        for step in here.trace.events.steps().filter(|step| !places.is_private(step.path)) {
            let program = here.programs.get(&step.image).copied();
            let outcome = match step.result {
                event::Outcome::Ok | event::Outcome::Unseen => {
                    if let Some(program) = program {
                        let way = (program, step.links, step.path);
                        self.graph.step(way, is_kept(step.path), &mut met, &name);
                    }
                    continue;
                }
                event::Outcome::Errno(libc::ENOENT) => Outcome::Probed,
                event::Outcome::Errno(_) => Outcome::Refused,
            };
            let programs = program.into_iter().collect();
            self.witness(Subject::Place(name(step.path)), here.run, outcome, None, grant(step.path), programs);
        }
        for event in here.trace.events.others() {
            let program = here.programs.get(&event.image).copied();
            match &event.fact {
                Fact::Pair(fact) if fact.result.may_have_succeeded() => {
                    let ends = [&fact.from, &fact.to].into_iter().filter_map(|end| paths.find(end.as_bytes()));
                    for end in ends.filter(|end| !places.is_private(*end)) {
                        if let Some(program) = program {
                            self.graph.step((program, &[], end), is_kept(end), &mut met, &name);
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
            self.witness(subject, here.run, outcome, None, None, programs);
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
            self.witness(Subject::Variable(name.clone()), here.run, outcome, None, None, programs);
        }
    }

    /// Whether there was room for it.
    fn witness(
        &mut self,
        subject: Subject,
        run: u32,
        outcome: Outcome,
        access: Option<Access>,
        grant: Option<u32>,
        programs: BTreeSet<u32>,
    ) -> bool {
        if self.evidence.facts.len() >= MOST_FACTS && !self.evidence.facts.contains_key(&subject) {
            self.evidence.capped = true;
            return false;
        }
        let fresh =
            || Witness { outcome, access, grant, programs: BTreeSet::new(), because: None, runs: Runs::default() };
        let known = self.evidence.facts.entry(subject).or_insert_with(fresh);
        known.outcome = known.outcome.max(outcome);
        known.access = known.access.max(access);
        // The same place lies in two lines where variables lead elsewhere in another run: then in the first.
        known.grant = [known.grant, grant].into_iter().flatten().min();
        known.programs.extend(programs);
        known.runs.0.insert(run);
        true
    }

    fn finish(mut self) -> Evidence {
        let causes = self.graph.causes();
        for (subject, witness) in &mut self.evidence.facts {
            let node = match subject {
                Subject::Place(place) => {
                    let file = Node::File(place.clone());
                    if causes.contains_key(&file) { file } else { Node::Link(place.clone()) }
                }
                Subject::Peer(peer) => Node::Peer(peer.clone()),
                Subject::Variable(_) => continue,
                Subject::Call(_) | Subject::Argument(..) => {
                    witness.because = common(&self.evidence.programs, &witness.programs);
                    continue;
                }
            };
            witness.because = causes.get(&node).copied();
        }
        for ((grant, _), (entries, capped)) in self.census {
            if let Some(grant) = usize::try_from(grant).ok().and_then(|grant| self.evidence.grants.get_mut(grant)) {
                grant.exposed = grant.exposed.saturating_add(u64::from(entries));
                grant.capped |= capped;
            }
        }
        for witness in self.evidence.facts.values_mut() {
            witness.programs = std::mem::take(&mut witness.programs).into_iter().take(self.witnesses).collect();
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
