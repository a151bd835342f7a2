//! A needed path → the place that is granted for it.
//!
//! The project, a program's own directories in the home, and what belongs together (`units`) are granted whole;
//! everything else by its exact name, until `tree` joins what stands together. A sensitive path is always granted by
//! its own name, beside whatever covers it. What is true of a directory is handed down to what stands in it: see `ground`.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Census, Fact};
use crate::trace::Trace;
use crate::vocab::access::Access;
use crate::vocab::escape;
use crate::vocab::location::{Base, Location, Roots};
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::{Row, sensitive, table};

use super::ground::Ground;
use super::needs::{Need, Needs};
use super::network::reached;
use super::{Grant, Note};
use crate::trace::paths::{Id, Paths};

/// What each sandbox has of its own.
const PRIVATE: [&str; 4] = ["/proc", "/dev", "/tmp", "/var/tmp"];

/// Files of pinfold's own making in every run that has peers by name.
const TEXTS: [&str; 3] = ["/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf"];
/// Directories of the machine that many programs share.
const FIXED: [&str; 18] = [
    "/",
    "/home",
    "/root",
    "/etc",
    "/var",
    "/var/lib",
    "/var/cache",
    "/run",
    "/usr",
    "/usr/local",
    "/opt",
    "/sys",
    "/mnt",
    "/media",
    "/srv",
    "/nix",
    "/snap",
    "/run/user",
];
/// Directories below the home that many programs share.
const SHARED: [&str; 6] = [".config", ".cache", ".local", ".local/share", ".local/state", ".local/lib"];

/// The directories of one run that mean something.
#[derive(Debug)]
pub(super) struct Tops<'a> {
    pub(super) roots: &'a Roots,
    pub(super) home: Option<AbsPath>,
    pub(super) project: Option<AbsPath>,
    broker: bool,
    /// Directories that are never granted for more than existing, but for those above home and project.
    shared: BTreeSet<AbsPath>,
    /// Directories in which a program has one of its own.
    pub(super) of_a_user: BTreeSet<AbsPath>,
}

impl<'a> Tops<'a> {
    pub(super) fn of(trace: &'a Trace) -> Self {
        let roots = &trace.header.roots;
        let home = roots.get(Base::Home);
        // A project that holds the home directory is no project: granting it would grant everything.
        let project = roots
            .get(Base::Project)
            .filter(|project| !project.is_root() && !home.as_ref().is_some_and(|home| home.is_beneath(project)));
        // Where no peer was reached, the profile names none, and an enforced run has no such files.
        let broker = trace.header.broker && trace.events.others().any(|event| reached(&event.fact).is_some());
        let below = |name: &&str| home.as_ref()?.join(name).ok();
        let xdg = [Base::XdgConfig, Base::XdgCache, Base::XdgData, Base::XdgState, Base::XdgRuntime];
        let xdg = xdg.into_iter().filter_map(|base| roots.get(base));
        let of_a_user: BTreeSet<AbsPath> = SHARED.iter().filter_map(below).chain(xdg).chain(home.clone()).collect();
        let fixed = FIXED.iter().filter_map(|place| AbsPath::new(place).ok());
        let shared = fixed.chain(of_a_user.iter().cloned()).collect();
        Self { roots, home, project, broker, shared, of_a_user }
    }

    /// Everywhere where something changes: what is true of any other path is true of the directory above it.
    pub(super) fn all(&self) -> BTreeSet<AbsPath> {
        let fixed = PRIVATE.iter().chain(&TEXTS).filter_map(|place| AbsPath::new(place).ok());
        let variables = Base::ALL.into_iter().filter_map(|base| self.roots.get(base));
        fixed.chain(variables).chain(self.shared.iter().cloned()).chain(self.project.clone()).collect()
    }

    /// Whether each sandbox has that place of its own.
    pub(super) fn is_private(&self, path: &AbsPath) -> bool {
        let inside = |top: &Option<AbsPath>| top.as_ref().is_some_and(|top| path.is_beneath(top));
        let own = [&self.project, &self.home].into_iter().any(inside);
        let tmp = self.roots.get(Base::Tmpdir).filter(|tmp| is_at(tmp, &PRIVATE));
        let texts = self.broker && is_at(path, &TEXTS);
        texts || is_at(path, &["/proc", "/dev"]) || (!own && (is_at(path, &PRIVATE) || inside(&tmp)))
    }

    /// Directories that are never granted for more than existing.
    pub(super) fn is_shared(&self, dir: &AbsPath) -> bool {
        let holds = |top: &Option<AbsPath>| top.as_ref().is_some_and(|top| top.is_beneath(dir) && top != dir);
        self.shared.contains(dir) || holds(&self.home) || holds(&self.project)
    }
}

/// What is known of places in one run.
#[derive(Debug)]
pub(super) struct Places<'a> {
    tops: Tops<'a>,
    census: BTreeMap<Id, (&'a AbsPath, Census)>,
    /// Names that the census knows and that are not even to be read.
    sensitive_names: BTreeSet<AbsPath>,
    ground: Ground,
    /// Names that something was renamed to, by directory, without a dot before them.
    replaced: BTreeSet<(Id, Vec<u8>)>,
}

impl<'a> Places<'a> {
    /// Of `trace`, for the paths of `needs` and those that are added here.
    pub(super) fn of(trace: &'a Trace, needs: &mut Needs) -> Self {
        let tops = Tops::of(trace);
        let mut census: BTreeMap<Id, (&AbsPath, Census)> = BTreeMap::new();
        for event in trace.events.others() {
            if let Fact::Census(taken) = &event.fact {
                let id = needs.paths.add(&taken.dir);
                let known = census.entry(id).and_modify(|(_, known)| add(known, taken));
                known.or_insert_with(|| (&taken.dir, taken.clone()));
            }
        }
        let named = census.values().flat_map(|(dir, census)| census.sensitive.iter().map(move |name| (dir, name)));
        let named = named.filter_map(|(dir, name)| dir.join(escape::unfile(name).ok()?).ok());
        let sensitive_names: BTreeSet<AbsPath> =
            named.filter(|path| sensitive(path, tops.roots, Access::Read).is_some()).collect();
        let marked = |id: Id| census.get(&id).map(|(_, census)| &census.markers);
        let ground = Ground::of(&mut needs.paths, &tops, &sensitive_names, &marked);
        let replaced = needs.iter().map(|(id, _)| id).filter(|id| needs.is_replaced(*id));
        let paths = &needs.paths;
        let replaced = replaced.filter_map(|id| Some((paths.parent(id)?, bare(paths.name(id)).to_vec()))).collect();
        Self { tops, census, sensitive_names, ground, replaced }
    }

    /// The directories that were counted.
    pub(super) fn counted(&self) -> impl Iterator<Item = &Census> {
        self.census.values().map(|(_, census)| census)
    }

    /// What is granted for the need of a path, bundles aside.
    pub(super) fn grants(
        &self,
        (id, need): (Id, Need),
        needs: &Needs,
        notes: &mut BTreeSet<Note>,
        give: &mut dyn FnMut(Id, Grant),
    ) {
        if self.is_private(id) || id == Id::ROOT {
            return;
        }
        let plain = |access: Access| Grant { access, sensitive: None };
        let above = needs.paths.parent(id).unwrap_or(Id::ROOT);
        if let Some(row) = self.sensitive(id, need.access) {
            // A file that was made and taken away again needs no line of its own.
            if needs.is_passing(id) {
                return;
            }
            // A new name needs the directory, if that is of the same kind.
            let of_that_kind = need.name_changes && self.sensitive(above, need.access).is_some();
            let place = if of_that_kind { above } else { id };
            let parent = needs.paths.parent(place).unwrap_or(Id::ROOT);
            let is_file = !need.is_dir && !of_that_kind;
            let replaces = self.ground.is_shared(parent) && need.name_changes && is_file;
            let access = if replaces { Access::Replace } else { need.access };
            give(place, Grant { access, sensitive: Some(row.sensitivity) });
            // The directory above was written to as well, if it may be granted at all.
            if need.name_changes
                && self.sensitive(above, Access::Write).is_none()
                && let Some(own) = self.ground.own(id)
            {
                give(own, plain(Access::Write));
            }
        } else if need.access.writes() {
            if let Some((place, access)) = self.write(id, above, need, needs, notes) {
                give(place, plain(access));
            }
        } else {
            let (place, access) = self.read(id, above, need);
            give(place, plain(access));
        }
    }

    /// Names that the census knows as keys or tokens and that a wider grant would open without use: named and not approved,
    /// so that enforcement keeps them closed.
    pub(super) fn withhold(&self, grants: &mut BTreeMap<AbsPath, Grant>) {
        for path in &self.sensitive_names {
            let Some(row) = sensitive(path, self.tops.roots, Access::Read) else { continue };
            let opened = path.ancestors().any(|above| {
                grants.get(&above).is_some_and(|grant| grant.sensitive.is_none() && grant.access >= Access::Read)
            });
            if opened && !grants.contains_key(path) {
                grants.insert(path.clone(), Grant { access: Access::Read, sensitive: Some(row.sensitivity) });
            }
        }
    }

    /// Names that the census knows and that are not even to be read.
    pub(super) fn sensitive_names(&self) -> impl Iterator<Item = &AbsPath> + '_ {
        self.sensitive_names.iter()
    }

    /// Whether each sandbox has that place of its own.
    pub(super) fn is_private(&self, id: Id) -> bool {
        self.ground.is_private(id)
    }

    /// The row that makes that much of the path sensitive.
    pub(super) fn sensitive(&self, id: Id, access: Access) -> Option<&'static Row> {
        table().get(self.ground.row(id, access)?)
    }

    /// Directories that are never granted for more than existing.
    pub(super) fn is_shared(&self, dir: &AbsPath) -> bool {
        self.tops.is_shared(dir)
    }

    /// Whether a path stands directly in such a directory.
    pub(super) fn is_in_shared(&self, paths: &Paths, id: Id) -> bool {
        paths.parent(id).is_some_and(|parent| self.ground.is_shared(parent))
    }

    /// The path as a profile names it.
    pub(super) fn location(&self, paths: &Paths, id: Id) -> Location {
        let (base, rest) = self.named(paths, id);
        Location::Path { base, rest: rest.to_vec() }
    }

    /// As [`Self::location`], in parts.
    pub(super) fn named<'p>(&self, paths: &'p Paths, id: Id) -> (Base, &'p [u8]) {
        let (base, start) = self.ground.base(id);
        (base, paths.bytes(id).get(start..).unwrap_or_default())
    }

    /// What only the walk over the needs wants.
    pub(super) fn forget(&mut self) {
        self.ground = Ground::default();
        self.replaced = BTreeSet::new();
    }

    fn read(&self, id: Id, above: Id, need: Need) -> (Id, Access) {
        if let Some(project) = self.ground.project(id) {
            let access = if id == project { need.access } else { Access::Read };
            return (project, access);
        }
        match self.ground.unit(above) {
            Some(place) => (place, Access::Read),
            // Reading a directory as such is listing it.
            None if need.is_dir || self.ground.is_shared(id) => (id, Access::Exist),
            None => (id, need.access),
        }
    }

    fn write(&self, id: Id, above: Id, need: Need, needs: &Needs, notes: &mut BTreeSet<Note>) -> Option<(Id, Access)> {
        if self.ground.is_shared(id) {
            // A fresh home in which the run made `~/.config` itself: the place inside it is granted and brings it along.
            return Some((id, Access::Exist));
        }
        let is_above_shared = self.ground.is_shared(above);
        if let Some(own) = self.ground.own(id).filter(|own| *own != id || !is_above_shared) {
            return Some((own, Access::Write));
        }
        if is_above_shared {
            if needs.is_gone(id) && !needs.is_replaced(id) {
                if !self.is_temporary(&needs.paths, id, above) {
                    notes.insert(Note::SharedDirectory { dir: self.location(&needs.paths, above) });
                }
                return None;
            }
            let as_it_is = need.is_dir || !need.name_changes;
            return Some((id, if as_it_is { Access::Write } else { Access::Replace }));
        }
        Some((if need.name_changes { above } else { id }, Access::Write))
    }

    /// A temporary or lock name of one that was replaced: in the same directory, beginning with its name, with or without
    /// a dot before.
    fn is_temporary(&self, paths: &Paths, id: Id, above: Id) -> bool {
        let name = bare(paths.name(id));
        (0..=name.len()).any(|end| {
            let begin = name.get(..end).unwrap_or_default();
            self.replaced.contains(&(above, begin.to_vec()))
        })
    }
}

/// A long run takes a census more than once. What was there at any time counts, and whoever trusts a directory less.
fn add(known: &mut Census, taken: &Census) {
    known.entries = known.entries.max(taken.entries);
    known.capped |= taken.capped;
    known.owner = known.owner.max(taken.owner);
    known.world_readable &= taken.world_readable;
    known.markers.extend(taken.markers.iter().cloned());
    known.sensitive.extend(taken.sensitive.iter().cloned());
}

fn is_at(path: &AbsPath, places: &[&str]) -> bool {
    let path = path.as_bytes();
    let is_there = |place: &&str| {
        path.strip_prefix(place.as_bytes()).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    };
    places.iter().any(is_there)
}

fn bare(name: &[u8]) -> &[u8] {
    name.strip_prefix(b".").unwrap_or(name)
}
