//! One run → the places and roles that it needs; and all runs → the lines of `[filesystem]`.
//!
//! A run speaks in paths, a profile in locations: what several runs needed comes together only once each has named it from
//! its own variables, so that runs in different projects and of different users are runs of one program.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crate::trace::Trace;
use crate::vocab::access::Access;
use crate::vocab::bundle::Bundle;
use crate::vocab::location::{Base, Location};
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::{Place, Sensitivity, sensitive, table};

use super::bundles::{Covered, Roles};
use super::ephemeral::{Names, ephemeral};
use super::exposure::Exposure;
use super::needs::Needs;
use super::places::Places;
use super::{Grant, Note, Settings, tree};
use crate::trace::paths::{Id, Paths};

/// What one run needs.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) trace: &'a Trace,
    places: Places<'a>,
    roles: Roles<'a>,
    /// Bundles that it needs.
    pub(super) named: BTreeSet<String>,
    /// What it needs beside them.
    found: BTreeMap<Location, Grant>,
    /// Those of them that are for names that it made in directories which many programs share.
    made: BTreeSet<Location>,
    /// Both ends of renames and links that succeeded.
    pairs: Vec<(AbsPath, AbsPath)>,
    /// What a person should know of it.
    pub(super) notes: BTreeSet<Note>,
}

impl<'a> Run<'a> {
    /// Of `trace`, where `bundles` are known.
    pub(super) fn of(trace: &'a Trace, bundles: impl Iterator<Item = (&'a String, &'a Bundle)>) -> Self {
        let mut needs = Needs::of(trace);
        let layout = super::bundles::layout(trace);
        let mut roles = Roles::of(bundles, layout, &trace.header.roots, &mut needs.paths);
        let mut places = Places::of(trace, &mut needs);
        roles.settle(&needs.paths, &places);
        let mut notes = BTreeSet::new();
        let mut found: Vec<Option<Grant>> = vec![None; needs.paths.len()];
        let (mut also, mut covered) = (Vec::new(), BTreeSet::new());
        for (id, need) in needs.iter().filter(|(id, _)| !places.is_private(*id)) {
            let open = places.sensitive(id, need.access).is_none();
            // Names can be listed only where they are.
            let access = if need.listed { need.access.max(Access::Read) } else { need.access };
            match if open { roles.cover(id, access, need.is_dir) } else { Covered::Not } {
                Covered::By(opening) => {
                    covered.insert(opening);
                    continue;
                }
                Covered::AlsoBy(name) => also.push((id, name)),
                Covered::Not => {}
            }
            places.grants((id, need), &needs, &mut notes, &mut |place, grant| add(&mut found, place, grant));
        }
        let named = roles.fewest(&covered);
        for (id, name) in also {
            if let Some(slot) = found.get_mut(id.at())
                && named.contains(name)
                && slot.is_some_and(|grant| grant.access == Access::Exist)
            {
                *slot = None;
            }
        }
        prune(&mut found, roles.ids(&named), &needs.paths);
        let paths = &needs.paths;
        let lines = || paths.ids().zip(&found).filter_map(|(id, grant)| Some((id, (*grant)?)));
        let made = lines().filter(|(id, grant)| {
            grant.sensitive.is_none() && grant.access.writes() && needs.is_made(*id) && places.is_in_shared(paths, *id)
        });
        let made = made.map(|(id, _)| places.location(paths, id)).collect();
        let found = lines().map(|(id, grant)| (places.location(paths, id), grant)).collect();
        let pairs = needs.pairs.iter().map(|(from, to)| (paths.path(*from), paths.path(*to))).collect();
        places.forget();
        roles.forget();
        Self { trace, places, roles, named, found, made, pairs, notes }
    }

    /// What it needs beside bundles. Of several runs each is covered by itself first, so that what one run gives is never
    /// taken away by another, which may show that a directory holds more than was known.
    fn lines(&self, of: usize, settings: &Settings) -> BTreeMap<Location, Grant> {
        if of == 1 {
            return self.found.clone();
        }
        let mut exposure = Exposure::default();
        for census in self.places.counted() {
            exposure.add(self.trace.header.roots.locate(&census.dir), census);
        }
        cover(self.found.clone(), &exposure, &[self], settings)
    }
}

/// Drops what a wider grant above gives, and bare directories that exist anyway since something beneath is granted. `opened`
/// are the places of bundles, which count as grants to read.
fn prune(found: &mut [Option<Grant>], opened: impl Iterator<Item = Id>, paths: &Paths) {
    let mut all: Vec<Option<Grant>> = found.to_vec();
    for id in opened {
        add(&mut all, id, Grant { access: Access::Read, sensitive: None });
    }
    let plain = |id: Id| all.get(id.at()).copied().flatten().filter(|grant| grant.sensitive.is_none());
    let mut holds = vec![false; all.len()];
    for id in paths.ids().rev() {
        if (plain(id).is_some() || holds.get(id.at()) == Some(&true))
            && let Some(slot) = paths.parent(id).and_then(|parent| holds.get_mut(parent.at()))
        {
            *slot = true;
        }
    }
    // What is granted from above for each path and what stands in it.
    let mut wide: Vec<Option<Access>> = Vec::with_capacity(all.len());
    for (id, slot) in paths.ids().zip(found.iter_mut()) {
        let above = paths.parent(id).and_then(|parent| wide.get(parent.at()).copied()).flatten();
        let own = plain(id).map(|grant| grant.access).filter(|own| matches!(own, Access::Read | Access::Write));
        wide.push(above.max(own));
        let Some(grant) = slot.filter(|grant| grant.sensitive.is_none()) else { continue };
        let given = above.is_some_and(|wide| wide >= grant.access || wide == Access::Write);
        let implied = grant.access == Access::Exist && holds.get(id.at()) == Some(&true);
        if given || implied {
            *slot = None;
        }
    }
}

fn add(all: &mut [Option<Grant>], id: Id, grant: Grant) {
    if let Some(slot) = all.get_mut(id.at()) {
        join_into(slot.get_or_insert(grant), grant);
    }
}

fn join_into(into: &mut Grant, other: Grant) {
    into.access = into.access.max(other.access);
    into.sensitive = into.sensitive.max(other.sensitive);
}

/// The lines that cover what all runs need.
pub(super) fn join(
    runs: &[&Run<'_>],
    named: &BTreeSet<String>,
    settings: &Settings,
    notes: &mut BTreeSet<Note>,
) -> BTreeMap<Location, Grant> {
    let mut all: BTreeMap<Location, Grant> = BTreeMap::new();
    let mut exposure = Exposure::default();
    for run in runs {
        for census in run.places.counted() {
            exposure.add(run.trace.header.roots.locate(&census.dir), census);
        }
        for (place, grant) in run.lines(runs.len(), settings) {
            join_into(all.entry(place).or_insert(grant), grant);
        }
    }
    let names: Vec<Names<'_>> = runs.iter().map(|run| Names { lines: &run.found, made: &run.made }).collect();
    let fleeting = ephemeral(&names, notes);
    all.retain(|place, _| !fleeting.contains(place));
    let opened: BTreeSet<&Location> = runs.iter().flat_map(|run| run.roles.opened(named)).collect();
    all.retain(|place, grant| grant.access != Access::Exist || grant.sensitive.is_some() || !opened.contains(place));
    let mut all = cover(all, &exposure, runs, settings);
    for run in runs.iter().filter(|run| !run.pairs.is_empty() || run.places.sensitive_names().next().is_some()) {
        let roots = &run.trace.header.roots;
        let here = all.iter().filter_map(|(place, grant)| Some((roots.resolve(place)?, *grant)));
        let mut here: BTreeMap<AbsPath, Grant> = here.collect();
        run.places.withhold(&mut here);
        across(run, &here, notes);
        for (path, grant) in here {
            all.entry(roots.locate(&path)).or_insert(grant);
        }
    }
    all
}

/// The cheapest lines for what is not sensitive, and what is as it is.
fn cover(
    mut all: BTreeMap<Location, Grant>,
    exposure: &Exposure,
    runs: &[&Run<'_>],
    settings: &Settings,
) -> BTreeMap<Location, Grant> {
    let closed = Closed::of(runs);
    let may = |place: &Location, access| closed.lets(place, access, runs);
    let plain = all.iter().filter(|(_, grant)| grant.sensitive.is_none());
    let lines = tree::cover(plain.map(|(place, grant)| (place, grant.access)), exposure, &may, settings);
    all.retain(|_, grant| grant.sensitive.is_some());
    for (place, access) in lines {
        let grant = Grant { access, sensitive: None };
        join_into(all.entry(place).or_insert(grant), grant);
    }
    all
}

/// Places across which nothing is granted by generalisation.
#[derive(Default)]
struct Closed {
    read: BTreeSet<Location>,
    write: BTreeSet<Location>,
}

/// What holds something sensitive by the table.
static TABLE: LazyLock<Closed> = LazyLock::new(|| {
    let mut closed = Closed::default();
    for row in table() {
        let Place::At(base, rest) = row.place else { continue };
        let place = Location::Path { base, rest: rest.as_bytes().to_vec() };
        let into = if row.sensitivity == Sensitivity::HostExecutes { &mut closed.write } else { &mut closed.read };
        close(into, place);
    }
    closed
});

impl Closed {
    /// What holds something sensitive by what a run saw.
    fn of(runs: &[&Run<'_>]) -> Self {
        let mut closed = Self::default();
        for run in runs {
            for path in run.places.sensitive_names() {
                close(&mut closed.read, run.trace.header.roots.locate(path));
            }
        }
        closed
    }

    fn lets(&self, place: &Location, access: Access, runs: &[&Run<'_>]) -> bool {
        let Location::Path { base, rest } = place else { return false };
        let holds = |closed: &Self| closed.read.contains(place) || (access.writes() && closed.write.contains(place));
        if (rest.is_empty() && *base != Base::Project) || holds(&TABLE) || holds(self) {
            return false;
        }
        let fine = |run: &&Run<'_>| {
            let path = run.trace.header.roots.resolve(place);
            path.is_none_or(|path| {
                !run.places.is_shared(&path) && sensitive(&path, &run.trace.header.roots, access).is_none()
            })
        };
        runs.iter().all(fine)
    }
}

/// The place and all that is above it.
fn close(into: &mut BTreeSet<Location>, place: Location) {
    let Location::Path { base, rest } = &place else { return };
    let cuts = rest.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let above = cuts.map(|cut| Location::Path { base: *base, rest: rest.get(..cut).unwrap_or_default().to_vec() });
    into.extend(above.collect::<Vec<_>>());
    into.insert(place);
}

/// A rename or link that succeeded goes from one mount to another when enforced, if two lines cover its ends.
fn across(run: &Run<'_>, grants: &BTreeMap<AbsPath, Grant>, notes: &mut BTreeSet<Note>) {
    let writable = |place: &AbsPath| grants.get(place).is_some_and(|grant| grant.access.writes());
    // Most names in a directory have no line of their own.
    let mut above: BTreeMap<AbsPath, Option<AbsPath>> = BTreeMap::new();
    let mut over = |path: &AbsPath| {
        if writable(path) {
            return Some(path.clone());
        }
        let find = |dir: &AbsPath| std::iter::once(dir.clone()).chain(dir.ancestors()).find(writable);
        let dir = path.parent()?;
        above.entry(dir).or_insert_with_key(find).clone()
    };
    for (from, to) in &run.pairs {
        if let (Some(from), Some(to)) = (over(from), over(to))
            // A line beneath another that lets it be written has no mount of its own.
            && !from.is_beneath(&to)
            && !to.is_beneath(&from)
        {
            let [from, to] = [from, to].map(|path| run.trace.header.roots.locate(&path));
            notes.insert(Note::Across { from, to });
        }
    }
}
