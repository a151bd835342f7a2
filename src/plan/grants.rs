//! Profile × Host → grants by path, with what bundles open here; and which lines have no effect.
//!
//! Of two lines for one place the wider counts, and a line for a place outranks a bundle. Nothing is mounted here.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::emit;
use crate::profile::{PathGrant, Profile};
use crate::vocab::access::Access;
use crate::vocab::bundle::{Layout, Shape};
use crate::vocab::endpoint::NetTarget;
use crate::vocab::host::{FileKind, Host, Seen};
use crate::vocab::location::{Base, Location, Roots};
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::sensitive;

use super::error::PlanError;
use super::{Action, FilterSpec, Withheld};

pub(super) type Grants<'a> = BTreeMap<AbsPath, (&'a Location, &'a PathGrant)>;

/// Grants by path; of two lines for one place (`~/x` and `$PROJECT` may meet) the wider one.
pub(super) fn resolve<'a>(profile: &'a Profile, roots: &Roots) -> Result<Grants<'a>, PlanError> {
    let mut grants: Grants<'a> = BTreeMap::new();
    for (location, grant) in &profile.filesystem {
        if let Location::Bundle(name) = location {
            match profile.bundles.get(name) {
                Some(_) => continue,
                None => return Err(PlanError::Bundle(name.clone())),
            }
        }
        let path = roots.resolve(location).ok_or_else(|| PlanError::Variable(location.clone()))?;
        let holds_home = roots.get(Base::Home).is_some_and(|home| home.is_beneath(&path));
        if grant.access > Access::Exist && (path.is_root() || holds_home) {
            return Err(PlanError::TooWide(location.clone()));
        }
        let wider =
            |(_, before): &(&Location, &PathGrant)| (before.approved, before.access) >= (grant.approved, grant.access);
        if !grants.get(&path).is_some_and(wider) {
            grants.insert(path, (location, grant));
        }
    }
    Ok(grants)
}

/// The layout of this machine, by where its C library lies.
fn layout(host: &Host) -> Option<Layout> {
    Layout::of(&|mark| AbsPath::new(mark).is_ok_and(|mark| host.look(&mark).is_some()))
}

/// What an approved bundle opens on this machine, each with its place and what is seen there: what exists and is of the
/// right type, but for what is sensitive, which only a line of its own opens.
pub fn opened_by<'a>(name: &str, profile: &'a Profile, host: &'a Host) -> Vec<(AbsPath, &'a Seen)> {
    let Some(bundle) = profile.bundles.get(name) else { return Vec::new() };
    let openings = bundle.on(layout(host)).filter_map(|opening| {
        let path = host.roots.resolve(&opening.place)?;
        let seen = host.look(&path)?;
        let fits = match (seen.kind, opening.shape) {
            (FileKind::Symlink, _) => true,
            (FileKind::Dir, shape) => shape == Shape::Directory,
            (_, shape) => shape == Shape::File,
        };
        let holds_home = host.roots.get(Base::Home).is_some_and(|home| home.is_beneath(&path));
        let closed = holds_home || sensitive(&path, &host.roots, Access::Read).is_some();
        (fits && !closed).then_some((path, seen))
    });
    openings.collect()
}

/// The places that approved lines and bundles are for and that do not exist on this machine.
pub(super) fn absent(profile: &Profile, host: &Host) -> BTreeSet<AbsPath> {
    let approved = profile.filesystem.iter().filter(|(_, grant)| grant.approved);
    let places = approved.flat_map(|(location, _)| match location {
        Location::Bundle(name) => {
            let openings = profile.bundles.get(name).into_iter().flat_map(|bundle| bundle.on(layout(host)));
            openings.filter_map(|opening| host.roots.resolve(&opening.place)).collect()
        }
        Location::Path { .. } => Vec::from_iter(host.roots.resolve(location)),
    });
    places.filter(|path| host.look(path).is_none()).collect()
}

/// Adds what bundles open here. A line for a place itself outranks a bundle.
pub(super) fn open_bundles<'a>(
    profile: &'a Profile,
    host: &Host,
    grants: &mut Grants<'a>,
    withheld: &mut Vec<Withheld>,
) {
    let mut opened: Grants<'a> = BTreeMap::new();
    let mut directories = BTreeSet::new();
    for (location, grant) in &profile.filesystem {
        let Location::Bundle(name) = location else { continue };
        let mut why = "not approved";
        if grant.approved {
            let places = opened_by(name, profile, host);
            if !places.is_empty() {
                let real = places.iter().filter(|(_, seen)| seen.kind == FileKind::Dir);
                directories.extend(real.map(|(path, _)| path.clone()));
                opened.extend(places.into_iter().map(|(path, _)| (path, (location, grant))));
                continue;
            }
            why = "nothing that it opens is here";
        }
        withheld.push(Withheld { line: format!("\"{location}\" = \"{}\"", grant.access), why: why.to_owned() });
    }
    // One mount a directory: what lies beneath it is there already.
    let held: BTreeSet<AbsPath> = grants
        .iter()
        .filter(|(_, (_, grant))| grant.approved && grant.access >= Access::Read)
        .map(|(path, _)| path.clone())
        .filter(|path| host.look(path).is_some_and(|seen| seen.kind == FileKind::Dir))
        .chain(directories)
        .collect();
    opened.retain(|path, _| !grants.contains_key(path) && !path.ancestors().any(|above| held.contains(&above)));
    grants.extend(opened);
}

/// Every place that must be looked at before [`plan`](super::mounts::plan): the grants, and all that lies above them.
pub fn wanted_paths(profile: &Profile, roots: &Roots) -> Vec<AbsPath> {
    let mut wanted = BTreeSet::new();
    for path in profile.filesystem.keys().filter_map(|location| roots.resolve(location)) {
        wanted.extend(path.ancestors());
        wanted.insert(path);
    }
    for bundle in profile.bundles.values() {
        for path in bundle.opens.iter().filter_map(|opening| roots.resolve(&opening.place)) {
            wanted.extend(path.ancestors());
            wanted.insert(path);
        }
    }
    if !profile.bundles.is_empty() {
        wanted.extend(Layout::ALL.iter().flat_map(|layout| layout.marks()).filter_map(|mark| AbsPath::new(mark).ok()));
    }
    for base in [Base::Project, Base::Home, Base::Tmpdir] {
        wanted.extend(roots.get(base));
    }
    if !profile.network.is_empty() {
        wanted.extend(super::network::wanted_paths());
    }
    wanted.into_iter().collect()
}

/// The directory that may be written and lies at or above `path`; `None` also where `path` itself is granted for writing by
/// name: then a person approved just that.
pub(super) fn writable_above(path: &AbsPath, grants: &Grants<'_>) -> Option<AbsPath> {
    let by_name =
        grants.get(path).is_some_and(|(_, grant)| grant.sensitive.is_some() && grant.approved && grant.access.writes());
    if by_name {
        return None;
    }
    let nearest = std::iter::once(path.clone()).chain(path.ancestors()).find_map(|place| {
        grants
            .get(&place)
            .filter(|(_, grant)| grant.approved && grant.access >= Access::Read)
            .map(|(_, grant)| (place, grant.access))
    });
    nearest.filter(|(_, access)| *access == Access::Write).map(|(place, _)| place)
}

/// Lines of peers that the run does not get.
pub(super) fn withheld_peers(profile: &Profile, withheld: &mut Vec<Withheld>) {
    for (target, grant) in profile.network.iter().filter(|(_, grant)| !grant.approved) {
        let access = grant.access.as_str();
        let why = match target {
            NetTarget::Host => "not approved; of the network the run has what the other lines say",
            NetTarget::Name(_) | NetTarget::Ports(_) | NetTarget::Inside(_) => "not approved",
        };
        withheld.push(Withheld { line: format!("\"{target}\" = \"{access}\""), why: why.to_owned() });
    }
}

/// Dangerous calls that are listed and that nobody approved.
pub(super) fn withheld_calls(profile: &Profile, filter: &FilterSpec, withheld: &mut Vec<Withheld>) {
    let unapproved = profile.syscalls.allow.difference(&profile.syscalls.approved);
    for call in unapproved.filter(|call| filter.calls.get(call) != Some(&Action::Allow)) {
        if crate::vocab::syscall_table::row(*call).risk >= 4 {
            let line = format!("[syscalls] allow = [\"{call}\"]");
            withheld.push(Withheld { line, why: "not approved".to_owned() });
        }
    }
}

/// Secrets that nobody approved.
pub(super) fn withheld_secrets(profile: &Profile, withheld: &mut Vec<Withheld>) {
    for (name, secret) in profile.secrets.iter().filter(|(_, secret)| !secret.approved) {
        let line = format!("{} = {}", emit::quote(name), emit::secret(secret));
        withheld.push(Withheld { line, why: "not approved".to_owned() });
    }
}
