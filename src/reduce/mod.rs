//! Traces → a [`Profile`]: the least that the runs needed, written so that a person can review it.
//!
//! Pure: the same traces give the same bytes on any machine, any day, in whatever order events and runs stand. What is done,
//! in this order, each step in a file of its own:
//!
//! | step | turns | into |
//! |---|---|---|
//! | [`needs`] | facts, resolved as the kernel did | what each path is needed for: exist < read < write < replace |
//! | `ground`, `places`, `run` | needs | none of what each sandbox has of its own; what is sensitive by its own name |
//! | `bundles` | reading of the system | roles such as `@git` |
//! | `units` | single files of what belongs together | its directory |
//! | `ephemeral` | names that are made anew each time where many programs have theirs | notes |
//! | `tree` | the rest, of all runs | the cheapest lines that cover it, by an exact dynamic program |
//! | [`calls`] | calls and their arguments | the allow-list beyond the base set |
//! | [`network`], [`environment`] | peers, variables | endpoints, names that are passed on, secrets |
//! | `limits` | peaks | limits with headroom |
//!
//! Cost: a line costs [`Settings::rule`], and what it opens that no run used costs by its weight times
//! [`Settings::exposure`]. `docs/reduction.md` has the model, its literature and what it was measured to give.
//!
//! Invariants: whatever a run was seen to need is granted, named as withheld, or noted; a failed probe is never a grant;
//! `/`, the home directory and the directories that many programs share are never granted, and nothing across what is
//! sensitive: that is granted by its own name and not approved.

mod bundles;
pub mod calls;
pub mod confidence;
mod cover;
pub mod environment;
mod ephemeral;
pub mod evidence;
mod exposure;
mod facts;
mod ground;
mod limits;
pub mod needs;
pub mod network;
pub mod path_graph;
mod places;
mod run;
mod tree;
mod units;

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Fact, GapKind};
use crate::profile::{Incomplete, PathGrant, Profile};
use crate::trace::Trace;
use crate::vocab::access::Access;
use crate::vocab::bundle::{self, Bundle};
use crate::vocab::location::Location;
use crate::vocab::sensitivity::Sensitivity;

use run::Run;

/// How reduction is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Programs kept for each thing that was needed.
    pub witnesses: usize,
    /// What a line costs, in thousandths.
    pub rule: u64,
    /// What is taken of the weights of what nobody used, in thousandths: more of it means narrower profiles of more lines.
    pub exposure: u64,
    /// Bundles of the person, beside those of this program.
    pub bundles: BTreeMap<String, Bundle>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { witnesses: 16, rule: 1000, exposure: 1000, bundles: BTreeMap::new() }
    }
}

/// What reduction gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reduction {
    /// The profile; nothing sensitive in it is approved.
    pub profile: Profile,
    /// What a person should know, in words.
    pub notes: Vec<Note>,
}

/// Something that was seen and not granted, or granted with a doubt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Note {
    /// A write into a directory that is never granted.
    #[error(
        "it made or removed names directly in {dir}, which is never granted; only names listed in the profile work there"
    )]
    SharedDirectory {
        /// The directory.
        dir: Location,
    },
    /// Names that are made anew each time where many programs have theirs.
    #[error(
        "it makes names like {form} in {dir} that are new each time: no line can be for the next one; names of that kind work \
         in /tmp, in the project, and in a directory of its own"
    )]
    Ephemeral {
        /// The directory.
        dir: Location,
        /// What they have in common.
        form: String,
    },
    /// A call that even learning refuses.
    #[error("it tried the system call `{call}`, which is never allowed")]
    Refused {
        /// Which.
        call: String,
    },
    /// A program that makes namespaces: mostly to confine what it runs.
    #[error(
        "it tried to make namespaces of its own, which is refused inside: if it brings a sandbox of its own \
         (bwrap, Chromium, codex), turn that off (`--no-sandbox`, `--sandbox danger-full-access`), or let it work with \
         `nested_sandbox = true` in the profile"
    )]
    OwnSandbox,
    /// A program with a bit that has no effect.
    #[error("{program} has a set-user-id or set-group-id bit, which has no effect inside")]
    SetId {
        /// Which.
        program: Location,
    },
    /// A program that installs a filter.
    #[error("it confines itself with a filter of its own: what that refuses was not seen, and is refused again")]
    OwnFilter,
    /// A call without a name.
    #[error("it made {count} system calls of another machine type, or too new to have a name; they are never allowed")]
    Unknown {
        /// How many different ones.
        count: usize,
    },
    /// Peers that make the run need the host's network.
    #[error("it reached {peers}: that needs the host's whole network")]
    Network {
        /// The first few.
        peers: String,
    },
    /// Hosts that look like some of many.
    #[error(
        "{hosts} looks like one of many that are chosen anew: if other runs meet others, a person may write \"{pattern}\""
    )]
    Generated {
        /// The first few.
        hosts: String,
        /// The line for all of them.
        pattern: String,
    },
    /// Variables that give power over the session.
    #[error("not passed on, since they lead out of the sandbox or change every program: {names}")]
    Withheld {
        /// Their names.
        names: String,
    },
    /// Many lines for single files.
    #[error("{count} single places in {dir} are listed")]
    Many {
        /// How many.
        count: usize,
        /// Where.
        dir: Location,
    },
    /// A rename or link succeeded between two grants, which are two mounts when enforced.
    #[error(
        "a rename or link from {from} to {to} crosses two grants; enforced it fails with EXDEV, and a program has to copy"
    )]
    Across {
        /// The grant that it came from.
        from: Location,
        /// The grant that it went to.
        to: Location,
    },
    /// Traces of different commands.
    #[error("the runs are of different commands; the profile is for the first in order")]
    Commands,
}

/// A path grant before approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grant {
    access: Access,
    sensitive: Option<Sensitivity>,
}

/// Reduces runs of one command to one profile, which says so where they are not complete.
pub fn reduce(traces: &[Trace], settings: &Settings) -> Reduction {
    let runs: Vec<Run<'_>> = traces.iter().map(|trace| Run::of(trace, known(settings))).collect();
    assemble(&runs.iter().collect::<Vec<_>>(), settings)
}

/// Every bundle that is known.
fn known(settings: &Settings) -> impl Iterator<Item = (&String, &Bundle)> {
    bundle::all().iter().chain(&settings.bundles)
}

/// The profile of runs that were looked at.
fn assemble(runs: &[&Run<'_>], settings: &Settings) -> Reduction {
    let mut notes: BTreeSet<Note> = runs.iter().flat_map(|run| run.notes.iter().cloned()).collect();
    let traces: Vec<&Trace> = runs.iter().map(|run| run.trace).collect();
    let named: BTreeSet<String> = runs.iter().flat_map(|run| run.named.iter().cloned()).collect();
    let grants = run::join(runs, &named, settings, &mut notes);
    many(&grants, &mut notes);
    for trace in &traces {
        for event in trace.events.others() {
            if let Fact::Image(image) = &event.fact
                && image.set_id
            {
                notes.insert(Note::SetId { program: trace.header.roots.locate(&image.exe) });
            }
        }
    }
    let facts: Vec<&Fact> = traces.iter().flat_map(|trace| trace.events.others()).map(|event| &event.fact).collect();
    let command = command(&traces, &mut notes);
    let (environment, secrets) = environment::reduce(&traces, &mut notes);
    let granted = |access, sensitive: Option<Sensitivity>| PathGrant {
        access,
        sensitive,
        approved: sensitive.is_none(),
        reason: None,
    };
    let mut filesystem: BTreeMap<Location, PathGrant> =
        grants.into_iter().map(|(place, grant)| (place, granted(grant.access, grant.sensitive))).collect();
    filesystem.extend(named.iter().map(|name| (Location::Bundle(name.clone()), granted(Access::Read, None))));
    let bundles =
        known(settings).filter(|(name, _)| named.contains(*name)).map(|(name, bundle)| (name.clone(), bundle.clone()));
    let profile = Profile {
        name: name(&command),
        command,
        incomplete: incomplete(&traces),
        tolerate: BTreeSet::new(),
        nested_sandbox: false,
        protect: crate::profile::Protect::default(),
        filesystem,
        bundles: bundles.collect(),
        network: network::reduce(&traces, &mut notes),
        syscalls: calls::reduce(&facts, &mut notes),
        environment,
        secrets,
        limits: limits::reduce(&traces),
    };
    Reduction { profile, notes: notes.into_iter().collect() }
}

fn incomplete(traces: &[&Trace]) -> Option<Incomplete> {
    let gaps: BTreeSet<GapKind> = traces.iter().flat_map(|trace| trace.gaps()).collect();
    (!gaps.is_empty()).then_some(Incomplete { gaps, approved: false })
}

fn many(grants: &BTreeMap<Location, Grant>, notes: &mut BTreeSet<Note>) {
    const WORTH_A_WORD: usize = 50;
    let mut counts: BTreeMap<Location, usize> = BTreeMap::new();
    for location in grants.keys() {
        if let Location::Path { base, rest } = location
            && let Some(cut) = rest.iter().rposition(|&b| b == b'/')
        {
            let rest = rest.get(..cut).unwrap_or_default().to_vec();
            *counts.entry(Location::Path { base: *base, rest }).or_default() += 1;
        }
    }
    let worth = counts.into_iter().filter(|(_, count)| *count >= WORTH_A_WORD);
    notes.extend(worth.map(|(dir, count)| Note::Many { count, dir }));
}

fn command(traces: &[&Trace], notes: &mut BTreeSet<Note>) -> Vec<String> {
    let commands: BTreeSet<&Vec<String>> = traces.iter().map(|trace| &trace.header.command).collect();
    if commands.len() > 1 {
        notes.insert(Note::Commands);
    }
    commands.into_iter().next().cloned().unwrap_or_default()
}

/// The last path component of the program, as far as it can name a file.
fn name(command: &[String]) -> String {
    let program = command.first().map_or("", String::as_str);
    let last = program.rsplit('/').next().unwrap_or_default();
    let fine = |c: &char| c.is_ascii_alphanumeric() || "-_.+@".contains(*c);
    let name: String = last.chars().filter(fine).skip_while(|c| "-.".contains(*c)).take(100).collect();
    if name.is_empty() { "program".to_owned() } else { name }
}
