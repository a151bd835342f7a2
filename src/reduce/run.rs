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
use super::exposure::Exposure;
use super::needs::Needs;
use super::places::Places;
use super::{Grant, Note, Settings, tree};

/// What one run needs.
pub(super) struct Run<'a> {
    trace: &'a Trace,
    needs: Needs,
    places: Places<'a>,
    roles: Roles<'a>,
    /// Bundles that it needs.
    pub(super) named: BTreeSet<String>,
    /// What it needs beside them.
    found: BTreeMap<AbsPath, Grant>,
}

impl<'a> Run<'a> {
    /// Of `trace`, where `bundles` are known.
    pub(super) fn of(
        trace: &'a Trace,
        bundles: impl Iterator<Item = (&'a String, &'a Bundle)>,
        notes: &mut BTreeSet<Note>,
    ) -> Self {
        let roots = &trace.header.roots;
        let (needs, places, locator) = (Needs::of(trace), Places::of(trace), roots.locator());
        let roles = Roles::of(bundles, super::bundles::layout(trace));
        let mut run = Self { trace, needs, places, roles, named: BTreeSet::new(), found: BTreeMap::new() };
        let (mut also, mut covered) = (Vec::new(), BTreeMap::new());
        let needs = std::mem::take(&mut run.needs);
        for (path, need) in needs.needs.iter().filter(|(path, _)| !run.places.is_private(path)) {
            let location = locator.locate(path);
            let open = sensitive(path, roots, need.access).is_none();
            // Names can be listed only where they are.
            let access = if need.listed { need.access.max(Access::Read) } else { need.access };
            let role = if open { run.roles.cover(&location, access, need.is_dir) } else { Covered::Not };
            match role {
                Covered::By(name) => {
                    covered.insert(location, (name, need.is_dir));
                    continue;
                }
                Covered::AlsoBy(name) => also.push((path, name)),
                Covered::Not => {}
            }
            for (place, grant) in run.places.grants(path, need, &needs, notes) {
                join_into(run.found.entry(place).or_insert(grant), grant);
            }
        }
        run.named = run.roles.fewest(&covered);
        for (path, name) in also {
            if run.named.contains(name) && run.found.get(path).is_some_and(|grant| grant.access == Access::Exist) {
                run.found.remove(path);
            }
        }
        run.needs = needs;
        run.prune();
        run
    }

    /// What it needs beside bundles. Of several runs each is covered by itself first, so that what one run gives is never
    /// taken away by another, which may show that a directory holds more than was known.
    fn lines(&self, of: usize, settings: &Settings) -> BTreeMap<Location, Grant> {
        let roots = &self.trace.header.roots;
        let mut all: BTreeMap<Location, Grant> = BTreeMap::new();
        for (path, grant) in &self.found {
            join_into(all.entry(roots.locate(path)).or_insert(*grant), *grant);
        }
        if of == 1 {
            return all;
        }
        let mut exposure = Exposure::default();
        for census in self.places.counted() {
            exposure.add(roots.locate(&census.dir), census);
        }
        cover(all, &exposure, std::slice::from_ref(self), settings)
    }

    /// The places that the bundles open which it needs.
    fn opened(&self) -> impl Iterator<Item = AbsPath> + '_ {
        self.roles.opened(&self.named).filter_map(|place| self.trace.header.roots.resolve(place))
    }

    /// Drops what a wider grant above gives, and bare directories that exist anyway since something beneath is granted.
    fn prune(&mut self) {
        let mut all = self.found.clone();
        for place in self.opened() {
            let grant = Grant { access: Access::Read, sensitive: None };
            join_into(all.entry(place).or_insert(grant), grant);
        }
        let needless = |path: &AbsPath, grant: &Grant| {
            let given = path.ancestors().any(|above| {
                all.get(&above).is_some_and(|wide| {
                    let enough = wide.access >= grant.access && wide.access != Access::Exist;
                    let replaces = wide.access == Access::Write && grant.access == Access::Replace;
                    wide.sensitive.is_none() && wide.access != Access::Replace && (enough || replaces)
                })
            });
            let beneath = || all.range(path..).skip(1).take_while(|(below, _)| below.is_beneath(path));
            let implied = grant.access == Access::Exist && beneath().any(|(_, grant)| grant.sensitive.is_none());
            grant.sensitive.is_none() && (given || implied)
        };
        self.found.retain(|path, grant| !needless(path, grant));
    }
}

fn join_into(into: &mut Grant, other: Grant) {
    into.access = into.access.max(other.access);
    into.sensitive = into.sensitive.max(other.sensitive);
}

/// The lines that cover what all runs need.
pub(super) fn join(
    runs: &[Run<'_>],
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
    let opened: BTreeSet<&Location> = runs.iter().flat_map(|run| run.roles.opened(named)).collect();
    all.retain(|place, grant| grant.access != Access::Exist || grant.sensitive.is_some() || !opened.contains(place));
    let mut all = cover(all, &exposure, runs, settings);
    for run in runs {
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
    runs: &[Run<'_>],
    settings: &Settings,
) -> BTreeMap<Location, Grant> {
    let plain = all.iter().filter(|(_, grant)| grant.sensitive.is_none());
    let plain: BTreeMap<Location, Access> = plain.map(|(place, grant)| (place.clone(), grant.access)).collect();
    let closed = Closed::of(runs);
    let lines = tree::cover(&plain, exposure, &|place, access| closed.lets(place, access, runs), settings);
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
    fn of(runs: &[Run<'_>]) -> Self {
        let mut closed = Self::default();
        for run in runs {
            for path in run.places.sensitive_names() {
                close(&mut closed.read, run.trace.header.roots.locate(&path));
            }
        }
        closed
    }

    fn lets(&self, place: &Location, access: Access, runs: &[Run<'_>]) -> bool {
        let Location::Path { base, rest } = place else { return false };
        let holds = |closed: &Self| closed.read.contains(place) || (access.writes() && closed.write.contains(place));
        if (rest.is_empty() && *base != Base::Project) || holds(&TABLE) || holds(self) {
            return false;
        }
        let fine = |run: &Run<'_>| {
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
    let over = |path: &AbsPath| {
        let writable = |place: &AbsPath| grants.get(place).is_some_and(|grant| grant.access.writes());
        std::iter::once(path.clone()).chain(path.ancestors()).find(writable)
    };
    for (from, to) in &run.needs.pairs {
        if let (Some(from), Some(to)) = (over(from), over(to))
            && from != to
        {
            let [from, to] = [from, to].map(|path| run.trace.header.roots.locate(&path));
            notes.insert(Note::Across { from, to });
        }
    }
}
