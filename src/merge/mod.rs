//! Profiles × profiles → one that allows what each of them allows; and the three-way merge of two that come from one.
//!
//! [`join`] is commutative, associative and idempotent, and what was learned only grows (property tests hold it): a line is the
//! greater of its two, the order being that of access, then approval. So a merged line is always the line of one side, and no
//! approval is invented. A line beneath a wider one of the other side is raised to it: the longest path wins when it is
//! enforced, and would take from the other what it had.
//!
//! What no run shows to be needed is kept carefully: `tolerate` and `nested_sandbox` hold only where all say so. A limit holds
//! only where both have one, and is the greater of the two: a side without it allows more, and what it was seen to do works on.

mod three_way;

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::emit;
use crate::profile::{Incomplete, Limits, NetGrant, PathGrant, Profile, Secret, Syscalls};
use crate::vocab::access::Access;
use crate::vocab::bundle::Bundle;
use crate::vocab::limits::Limit;
use crate::vocab::location::Location;

pub use three_way::{Conflict, three_way};

/// Why profiles cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// They are for different commands.
    #[error("they are for different commands: {0} and {1}")]
    Commands(String, String),
}

/// The least profile that allows what `a` and `b` allow.
pub fn join(a: &Profile, b: &Profile) -> Result<Profile, MergeError> {
    if a.command != b.command {
        return Err(MergeError::Commands(emit::command(&a.command), emit::command(&b.command)));
    }
    Ok(Profile {
        name: a.name.clone().min(b.name.clone()),
        command: a.command.clone(),
        incomplete: incomplete(a.incomplete.as_ref(), b.incomplete.as_ref()),
        tolerate: a.tolerate.intersection(&b.tolerate).copied().collect(),
        nested_sandbox: a.nested_sandbox && b.nested_sandbox,
        // The stricter: no run shows that the looser is needed.
        protect: a.protect.min(b.protect),
        filesystem: filesystem(&a.filesystem, &b.filesystem),
        bundles: by_key(&a.bundles, &b.bundles, bundle),
        network: by_key(&a.network, &b.network, network),
        syscalls: syscalls(&a.syscalls, &b.syscalls),
        environment: a.environment.union(&b.environment).cloned().collect(),
        secrets: by_key(&a.secrets, &b.secrets, secret),
        limits: limits(&a.limits, &b.limits),
    })
}

fn by_key<K: Ord + Clone, V: Clone>(
    a: &BTreeMap<K, V>,
    b: &BTreeMap<K, V>,
    both: impl Fn(&V, &V) -> V,
) -> BTreeMap<K, V> {
    let mut joined = a.clone();
    for (key, value) in b {
        joined.entry(key.clone()).and_modify(|known| *known = both(known, value)).or_insert_with(|| value.clone());
    }
    joined
}

type Lines = BTreeMap<Location, PathGrant>;

fn filesystem(a: &Lines, b: &Lines) -> Lines {
    let mut joined = by_key(a, b, path);
    for (place, line) in &mut joined {
        if line.sensitive.is_none() {
            let wider = [a, b].into_iter().filter_map(|side| effective(side, place));
            if let Some((access, approved)) = wider.max() {
                (line.access, line.approved) = (access, approved);
            }
        }
    }
    joined
}

/// The greater of two lines for one place. What is sensitive on one side is so; the words of both stay.
fn path(a: &PathGrant, b: &PathGrant) -> PathGrant {
    let order = |line: &PathGrant| (line.sensitive.is_some(), line.access, line.sensitive, line.approved);
    let greater = if order(a) >= order(b) { a } else { b };
    PathGrant { reason: a.reason.clone().max(b.reason.clone()), ..greater.clone() }
}

/// What the lines of one side that are not sensitive allow at `place`: its own, or the nearest above it.
fn effective(side: &Lines, place: &Location) -> Option<(Access, bool)> {
    let plain = |place: &Location| side.get(place).filter(|line| line.sensitive.is_none());
    plain(place).map(|line| (line.access, line.approved)).or_else(|| inherited(side, place))
}

/// What the nearest line above `place` lets it have: as far as it goes itself, and nothing where it lets only a name exist.
fn inherited(side: &Lines, place: &Location) -> Option<(Access, bool)> {
    let mut above = std::iter::successors(parent(place), parent).filter_map(|above| side.get(&above));
    let line = above.find(|line| line.sensitive.is_none())?;
    // The greater of two lines must let have the greater of what they let have: a replaced file is written.
    (line.access != Access::Exist).then(|| (line.access.min(Access::Write), line.approved))
}

/// The place above, below the same variable.
fn parent(place: &Location) -> Option<Location> {
    let Location::Path { base, rest } = place else { return None };
    let cut = rest.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    (!rest.is_empty()).then(|| Location::Path { base: *base, rest: rest.get(..cut).unwrap_or_default().to_vec() })
}

/// What both open: on one machine they are the same, since a name has one meaning there.
fn bundle(a: &Bundle, b: &Bundle) -> Bundle {
    Bundle { why: a.why.clone().max(b.why.clone()), opens: a.opens.union(&b.opens).cloned().collect() }
}

fn network(a: &NetGrant, b: &NetGrant) -> NetGrant {
    let order = |line: &NetGrant| (line.access, line.approved);
    let greater = if order(a) >= order(b) { a } else { b };
    NetGrant { reason: a.reason.clone().max(b.reason.clone()), ..greater.clone() }
}

/// Of two ways to one secret the one that a person wrote; of two of those the later in order.
fn secret(a: &Secret, b: &Secret) -> Secret {
    let text = |secret: &Secret| emit::secret(&Secret { approved: false, ..secret.clone() });
    let order = |secret: &Secret| (secret.is_written_by_hand(), text(secret), secret.approved);
    if order(a) >= order(b) { a.clone() } else { b.clone() }
}

fn syscalls(a: &Syscalls, b: &Syscalls) -> Syscalls {
    Syscalls {
        base: a.base.max(b.base),
        allow: a.allow.union(&b.allow).copied().collect(),
        arguments: by_key(&a.arguments, &b.arguments, |a, b| a.union(b).cloned().collect()),
        approved: a.approved.union(&b.approved).copied().collect(),
    }
}

fn incomplete(a: Option<&Incomplete>, b: Option<&Incomplete>) -> Option<Incomplete> {
    let gaps: BTreeSet<_> = [a, b].into_iter().flatten().flat_map(|lack| lack.gaps.iter().copied()).collect();
    let approved = [a, b].into_iter().flatten().any(|lack| lack.approved && lack.gaps == gaps);
    (!gaps.is_empty()).then_some(Incomplete { gaps, approved })
}

/// What is not limited on one side is not limited. Private directories hold no more than memory where nothing is said of them,
/// so of them the greater of what is meant counts, not of what is written.
fn limits(a: &Limits, b: &Limits) -> Limits {
    let private = greater(a.private_bytes(), b.private_bytes());
    let joined = Limits {
        memory: greater(a.memory, b.memory),
        processes: greater(a.processes, b.processes),
        cpu: greater(a.cpu, b.cpu),
        file_size: greater(a.file_size, b.file_size),
        disk: private.filter(|_| a.disk.is_some() || b.disk.is_some()),
        io: greater(a.io, b.io),
        soft: a.soft.union(&b.soft).copied().collect(),
    };
    softened(joined)
}

/// The greater of two limits; none is greater than any.
fn greater<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    a.zip(b).map(|(a, b)| a.max(b))
}

/// What is soft is set.
fn softened(mut limits: Limits) -> Limits {
    let set: BTreeSet<Limit> = limits.set().into_iter().map(|(limit, _)| limit).collect();
    limits.soft.retain(|limit| set.contains(limit));
    limits
}
