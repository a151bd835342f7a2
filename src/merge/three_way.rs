//! Two profiles that come from a third → one with the changes of both: what a merge of two branches means.
//!
//! A change of one side is taken. Where both changed one line differently the greater is taken, as by [`join`](super::join);
//! where one took out what the other changed, that is a conflict, which a person settles. An approval is there only where a
//! side says exactly that line with it, and not where one side took it back.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::emit::quote;
use crate::profile::{Limits, NetGrant, PathGrant, Profile, Secret, Syscalls};
use crate::vocab::location::Location;
use crate::vocab::syscall::Syscall;

use super::{Lines, inherited, softened};

/// A line that one side took out and the other changed, or two values of which neither is greater.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conflict {
    /// Where: `[filesystem] "/usr"`.
    pub line: String,
}

/// `base` with the changes of `ours` and `theirs`.
pub fn three_way(base: &Profile, ours: &Profile, theirs: &Profile) -> Result<Profile, Vec<Conflict>> {
    let mut merge = Merge { conflicts: Vec::new() };
    let command = merge.one("command", &base.command, &ours.command, &theirs.command, |_, _| None);
    let name = merge.one("name", &base.name, &ours.name, &theirs.name, |ours, _| Some(ours.clone()));
    let lack = |a: &Option<_>, b: &Option<_>| Some(super::incomplete(a.as_ref(), b.as_ref()));
    let incomplete = merge.one("incomplete", &base.incomplete, &ours.incomplete, &theirs.incomplete, lack);
    let limits = limits(&mut merge, &base.limits, &ours.limits, &theirs.limits);
    let place = |place: &Location| format!("[filesystem] {}", quote(&place.to_string()));
    let mut filesystem = merge.map(&base.filesystem, &ours.filesystem, &theirs.filesystem, place, path);
    raise(&mut filesystem, &base.filesystem, &ours.filesystem, &theirs.filesystem);
    let peer = |target: &crate::vocab::endpoint::NetTarget| format!("[network] {}", quote(&target.to_string()));
    let network = merge.map(&base.network, &ours.network, &theirs.network, peer, network);
    let secrets =
        merge.map(&base.secrets, &ours.secrets, &theirs.secrets, |name| format!("[secrets] {}", quote(name)), secret);
    let mut bundles = super::by_key(&ours.bundles, &theirs.bundles, super::bundle);
    bundles.retain(|name, _| filesystem.contains_key(&Location::Bundle(name.clone())));
    let profile = Profile {
        name,
        command,
        incomplete,
        tolerate: set(&base.tolerate, &ours.tolerate, &theirs.tolerate),
        nested_sandbox: flag(base.nested_sandbox, ours.nested_sandbox, theirs.nested_sandbox),
        protect: if ours.protect == base.protect { theirs.protect } else { ours.protect },
        filesystem,
        bundles,
        network,
        syscalls: syscalls(&base.syscalls, &ours.syscalls, &theirs.syscalls),
        environment: set(&base.environment, &ours.environment, &theirs.environment),
        secrets,
        limits,
    };
    if merge.conflicts.is_empty() { Ok(profile) } else { Err(merge.conflicts) }
}

struct Merge {
    conflicts: Vec<Conflict>,
}

impl Merge {
    /// One value. `both`: what two different changes come to, if anything.
    fn one<T: PartialEq + Clone>(
        &mut self,
        line: &str,
        base: &T,
        ours: &T,
        theirs: &T,
        both: impl Fn(&T, &T) -> Option<T>,
    ) -> T {
        if ours == theirs || theirs == base {
            return ours.clone();
        }
        if ours == base {
            return theirs.clone();
        }
        both(ours, theirs).unwrap_or_else(|| {
            self.conflicts.push(Conflict { line: line.to_owned() });
            ours.clone()
        })
    }

    fn map<K: Ord + Clone, V: PartialEq + Clone>(
        &mut self,
        base: &BTreeMap<K, V>,
        ours: &BTreeMap<K, V>,
        theirs: &BTreeMap<K, V>,
        line: impl Fn(&K) -> String,
        both: impl Fn(Option<&V>, &V, &V) -> V,
    ) -> BTreeMap<K, V> {
        let keys: BTreeSet<&K> = base.keys().chain(ours.keys()).chain(theirs.keys()).collect();
        let mut merged = BTreeMap::new();
        for key in keys {
            let before = base.get(key);
            let join = |a: &Option<&V>, b: &Option<&V>| match (a, b) {
                (Some(a), Some(b)) => Some(Some(both(before, a, b))),
                _ => None,
            };
            let (ours, theirs) = (ours.get(key), theirs.get(key));
            // Values are compared where they are and copied once.
            let value = if ours == theirs || theirs == before {
                ours.cloned()
            } else if ours == before {
                theirs.cloned()
            } else {
                join(&ours, &theirs).unwrap_or_else(|| {
                    self.conflicts.push(Conflict { line: line(key) });
                    ours.cloned()
                })
            };
            if let Some(value) = value {
                merged.insert(key.clone(), value);
            }
        }
        merged
    }
}

/// Each limit for itself: one that a side set, raised, lowered or took out is so, and of two changes the greater.
fn limits(merge: &mut Merge, base: &Limits, ours: &Limits, theirs: &Limits) -> Limits {
    fn one<T: Ord + Copy>(merge: &mut Merge, key: &str, [base, ours, theirs]: [Option<T>; 3]) -> Option<T> {
        let both =
            |ours: &Option<T>, theirs: &Option<T>| ours.zip(*theirs).map(|(ours, theirs)| Some(ours.max(theirs)));
        merge.one(&format!("[limits] {key}"), &base, &ours, &theirs, both)
    }
    let all = [base, ours, theirs];
    softened(Limits {
        memory: one(merge, "memory", all.map(|side| side.memory)),
        processes: one(merge, "processes", all.map(|side| side.processes)),
        cpu: one(merge, "cpu", all.map(|side| side.cpu)),
        file_size: one(merge, "file-size", all.map(|side| side.file_size)),
        disk: one(merge, "disk", all.map(|side| side.disk)),
        io: one(merge, "io", all.map(|side| side.io)),
        soft: set(&base.soft, &ours.soft, &theirs.soft),
    })
}

/// Whether an approval that was there was taken back by either.
fn revoked(before: Option<bool>, ours: bool, theirs: bool) -> bool {
    before == Some(true) && !(ours && theirs)
}

fn path(before: Option<&PathGrant>, ours: &PathGrant, theirs: &PathGrant) -> PathGrant {
    let mut line = super::path(ours, theirs);
    line.approved &= !revoked(before.map(|line| line.approved), ours.approved, theirs.approved);
    line
}

fn network(before: Option<&NetGrant>, ours: &NetGrant, theirs: &NetGrant) -> NetGrant {
    let mut line = super::network(ours, theirs);
    line.approved &= !revoked(before.map(|line| line.approved), ours.approved, theirs.approved);
    line
}

fn secret(before: Option<&Secret>, ours: &Secret, theirs: &Secret) -> Secret {
    let mut line = super::secret(ours, theirs);
    line.approved &= !revoked(before.map(|line| line.approved), ours.approved, theirs.approved);
    line
}

/// Raises a new line of one side beneath a wider one of the other: what that side may do there, it may do still. One that
/// narrows a line of its own side was meant so, and stays.
fn raise(merged: &mut Lines, base: &Lines, ours: &Lines, theirs: &Lines) {
    let lines = merged.clone();
    let new = |place: &Location, line: &PathGrant| line.sensitive.is_none() && !base.contains_key(place);
    for (place, line) in merged.iter_mut().filter(|(place, line)| new(place, line)) {
        let own = match (ours.contains_key(place), theirs.contains_key(place)) {
            (true, false) => ours,
            (false, true) => theirs,
            _ => continue,
        };
        let narrows = inherited(own, place).is_some_and(|wider| wider > (line.access, line.approved));
        let wider = inherited(&lines, place).filter(|wider| *wider > (line.access, line.approved));
        if let Some(wider) = wider.filter(|_| !narrows) {
            (line.access, line.approved) = wider;
        }
    }
}

fn syscalls(base: &Syscalls, ours: &Syscalls, theirs: &Syscalls) -> Syscalls {
    let calls: BTreeSet<_> = ours.arguments.keys().chain(theirs.arguments.keys()).copied().collect();
    let none = BTreeSet::new();
    let words = |side: &Syscalls, call: Syscall| side.arguments.get(&call).unwrap_or(&none).clone();
    let arguments = calls.into_iter().filter_map(|call| {
        let values = set(&words(base, call), &words(ours, call), &words(theirs, call));
        let kept = flag(
            base.arguments.contains_key(&call),
            ours.arguments.contains_key(&call),
            theirs.arguments.contains_key(&call),
        );
        (kept || !values.is_empty()).then_some((call, values))
    });
    let allow = set(&base.allow, &ours.allow, &theirs.allow);
    let approved = set(&base.approved, &ours.approved, &theirs.approved);
    Syscalls {
        base: if ours.base == base.base { theirs.base } else { ours.base.max(theirs.base) },
        approved: approved.intersection(&allow).copied().collect(),
        arguments: arguments.collect(),
        allow,
    }
}

fn flag(base: bool, ours: bool, theirs: bool) -> bool {
    if ours == base { theirs } else { ours }
}

/// Element by element, what one side added or took out.
fn set<T: Ord + Clone>(base: &BTreeSet<T>, ours: &BTreeSet<T>, theirs: &BTreeSet<T>) -> BTreeSet<T> {
    let in_one = |element: &&T| flag(base.contains(element), ours.contains(element), theirs.contains(element));
    ours.union(theirs).filter(in_one).cloned().collect()
}

/// The line of a conflict, for people.
impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.line)
    }
}
