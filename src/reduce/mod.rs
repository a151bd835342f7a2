//! Traces → a [`Profile`]: the least that the runs needed, written so that a person can review it.
//!
//! Pure: the same traces give the same bytes on any machine, any day, in whatever order events and runs stand. Invariants:
//! more evidence never narrows a profile (but a name that a run is seen to take away again needs no line); a failed probe is
//! never a grant; `/`, the home directory and the directories that many programs share are never granted; what is sensitive is granted by its own name and not approved.

pub mod calls;
pub mod confidence;
pub mod environment;
pub mod evidence;
pub mod needs;
pub mod network;
pub mod path_graph;
pub mod places;

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Fact, GapKind};
use crate::profile::{Incomplete, Limits, PathGrant, Profile};
use crate::trace::Trace;
use crate::vocab::access::Access;
use crate::vocab::location::Location;
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::Sensitivity;

use needs::Needs;

/// How reduction is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Programs kept for each thing that was needed.
    pub witnesses: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { witnesses: 16 }
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
pub fn reduce(traces: &[Trace], _settings: &Settings) -> Reduction {
    let mut notes = BTreeSet::new();
    let mut grants: BTreeMap<Location, Grant> = BTreeMap::new();
    for trace in traces {
        let needs = Needs::of(trace);
        let places = places::Places::of(trace);
        let mut found: BTreeMap<AbsPath, Grant> = BTreeMap::new();
        for (path, need) in &needs.needs {
            for (place, grant) in places.grants(path, need, &needs, &mut notes) {
                join(found.entry(place).or_insert(grant), grant);
            }
        }
        places.withhold(&mut found);
        prune(&mut found);
        across(trace, &needs, &found, &mut notes);
        for (path, grant) in found {
            let location = trace.header.roots.locate(&path);
            join(grants.entry(location).or_insert(grant), grant);
        }
    }
    many(&grants, &mut notes);
    for trace in traces {
        for event in &trace.events {
            if let Fact::Image(image) = &event.fact
                && image.set_id
            {
                notes.insert(Note::SetId { program: trace.header.roots.locate(&image.exe) });
            }
        }
    }
    let facts: Vec<&Fact> = traces.iter().flat_map(|trace| &trace.events).map(|event| &event.fact).collect();
    let command = command(traces, &mut notes);
    let (environment, secrets) = environment::reduce(traces, &mut notes);
    let filesystem = grants.into_iter().map(|(location, grant)| {
        let Grant { access, sensitive } = grant;
        (location, PathGrant { access, sensitive, approved: sensitive.is_none(), reason: None })
    });
    let profile = Profile {
        name: name(&command),
        command,
        incomplete: incomplete(traces),
        tolerate: BTreeSet::new(),
        nested_sandbox: false,
        filesystem: filesystem.collect(),
        network: network::reduce(traces, &mut notes),
        syscalls: calls::reduce(&facts, &mut notes),
        environment,
        secrets,
        // This version enforces none, so it writes none.
        limits: Limits::default(),
    };
    Reduction { profile, notes: notes.into_iter().collect() }
}

fn incomplete(traces: &[Trace]) -> Option<Incomplete> {
    let gaps: BTreeSet<GapKind> = traces.iter().flat_map(Trace::gaps).collect();
    (!gaps.is_empty()).then_some(Incomplete { gaps, approved: false })
}

fn join(into: &mut Grant, other: Grant) {
    into.access = into.access.max(other.access);
    into.sensitive = into.sensitive.max(other.sensitive);
}

/// Drops what a wider grant above gives, and bare directories that exist anyway since something beneath them is granted.
fn prune(grants: &mut BTreeMap<AbsPath, Grant>) {
    let all = grants.clone();
    let needless = |path: &AbsPath, grant: &Grant| {
        let given = path.ancestors().any(|above| {
            all.get(&above).is_some_and(|wide| {
                let enough = wide.access >= grant.access && wide.access != Access::Exist;
                let replaces = wide.access == Access::Write && grant.access == Access::Replace;
                wide.sensitive.is_none() && (enough || replaces)
            })
        });
        let beneath = || all.range(path..).skip(1).take_while(|(below, _)| below.is_beneath(path));
        let implied = grant.access == Access::Exist && beneath().any(|(_, grant)| grant.sensitive.is_none());
        grant.sensitive.is_none() && (given || implied)
    };
    grants.retain(|path, grant| !needless(path, grant));
}

fn across(trace: &Trace, needs: &Needs, grants: &BTreeMap<AbsPath, Grant>, notes: &mut BTreeSet<Note>) {
    let over = |path: &AbsPath| {
        let writable = |place: &AbsPath| grants.get(place).is_some_and(|grant| grant.access.writes());
        std::iter::once(path.clone()).chain(path.ancestors()).find(writable)
    };
    for (from, to) in &needs.pairs {
        if let (Some(from), Some(to)) = (over(from), over(to))
            && from != to
        {
            let [from, to] = [from, to].map(|path| trace.header.roots.locate(&path));
            notes.insert(Note::Across { from, to });
        }
    }
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

fn command(traces: &[Trace], notes: &mut BTreeSet<Note>) -> Vec<String> {
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
