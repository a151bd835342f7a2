//! A needed path → the place that is granted for it.
//!
//! The project, a program's own directories in the home, and what belongs together (`units`) are granted whole;
//! everything else by its exact name, until `tree` joins what stands together. A sensitive path is always granted by
//! its own name, beside whatever covers it.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Census, Fact};
use crate::trace::Trace;
use crate::vocab::access::Access;
use crate::vocab::escape;
use crate::vocab::location::{Base, Roots};
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::{Sensitivity, classify, sensitive};

use super::needs::{Need, Needs};
use super::network::reached;
use super::{Grant, Note};

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
/// What is known of places in one run.
#[derive(Debug)]
pub struct Places<'a> {
    roots: &'a Roots,
    census: BTreeMap<&'a AbsPath, Census>,
    home: Option<AbsPath>,
    project: Option<AbsPath>,
    broker: bool,
    /// Directories that are never granted for more than existing, but for those above home and project.
    shared: BTreeSet<AbsPath>,
    /// Directories in which a program has one of its own, the deepest first.
    tops: Vec<AbsPath>,
    /// Every directory above a name that the census knows as sensitive to read.
    above_sensitive: BTreeSet<AbsPath>,
}

impl<'a> Places<'a> {
    /// Of `trace`.
    pub fn of(trace: &'a Trace) -> Self {
        let roots = &trace.header.roots;
        let home = roots.get(Base::Home);
        let mut census: BTreeMap<&AbsPath, Census> = BTreeMap::new();
        for event in &trace.events {
            if let Fact::Census(taken) = &event.fact {
                census.entry(&taken.dir).and_modify(|known| add(known, taken)).or_insert_with(|| taken.clone());
            }
        }
        // A project that holds the home directory is no project: granting it would grant everything.
        let project = roots
            .get(Base::Project)
            .filter(|project| !project.is_root() && !home.as_ref().is_some_and(|home| home.is_beneath(project)));
        // Where no peer was reached, the profile names none, and an enforced run has no such files.
        let named = trace.header.broker && trace.events.iter().any(|event| reached(&event.fact).is_some());
        let below = |name: &&str| home.as_ref()?.join(name).ok();
        let xdg = [Base::XdgConfig, Base::XdgCache, Base::XdgData, Base::XdgState, Base::XdgRuntime];
        let of_a_user = || SHARED.iter().filter_map(below).chain(xdg.into_iter().filter_map(|base| roots.get(base)));
        let fixed = FIXED.iter().filter_map(|place| AbsPath::new(place).ok());
        let shared = fixed.chain(of_a_user()).chain(home.clone()).collect();
        let mut tops: Vec<AbsPath> = of_a_user().chain(home.clone()).collect();
        tops.sort_by_key(|top| std::cmp::Reverse(top.components().count()));
        let above_sensitive = BTreeSet::new();
        let mut places = Self { roots, census, home, project, broker: named, shared, tops, above_sensitive };
        let above: BTreeSet<AbsPath> =
            places.sensitive_names().flat_map(|path| path.ancestors().collect::<Vec<_>>()).collect();
        places.above_sensitive = above;
        places
    }

    /// The directories that were counted.
    pub(super) fn counted(&self) -> impl Iterator<Item = &Census> {
        self.census.values()
    }

    /// What is granted for the need of `path`, bundles aside.
    pub(super) fn grants(
        &self,
        path: &AbsPath,
        need: &Need,
        needs: &Needs,
        notes: &mut BTreeSet<Note>,
    ) -> Vec<(AbsPath, Grant)> {
        if self.is_private(path) || path.is_root() {
            return Vec::new();
        }
        let plain = |place: AbsPath, access: Access| (place, Grant { access, sensitive: None });
        let row = sensitive(path, self.roots, need.access);
        let mut grants = Vec::new();
        if let Some(row) = row {
            // A file that was made and taken away again needs no line of its own.
            if needs.is_passing(path) {
                return grants;
            }
            let place = self.sensitive_place(path, need);
            let access =
                if self.is_shared(&place.parent().unwrap_or_else(AbsPath::root)) && need.name_changes && !need.is_dir {
                    Access::Replace
                } else {
                    need.access
                };
            grants.push((place, Grant { access, sensitive: Some(row.sensitivity) }));
            // The directory above was written to as well, if it may be granted at all.
            if !need.name_changes
                || sensitive(&path.parent().unwrap_or_else(AbsPath::root), self.roots, Access::Write).is_some()
            {
                return grants;
            }
            if let Some(own) = self.own(path) {
                grants.push(plain(own, Access::Write));
            }
            return grants;
        }
        if need.access.writes() {
            grants.extend(self.write(path, need, needs, notes).map(|(place, access)| plain(place, access)));
        } else {
            let (place, access) = self.read(path, need);
            grants.push(plain(place, access));
        }
        grants
    }

    /// Names that the census knows as keys or tokens and that a wider grant would open without use: named and not approved,
    /// so that enforcement keeps them closed.
    pub(super) fn withhold(&self, grants: &mut BTreeMap<AbsPath, Grant>) {
        for path in self.sensitive_names() {
            let Some(row) = sensitive(&path, self.roots, Access::Read) else { continue };
            let opened = path.ancestors().any(|above| {
                grants.get(&above).is_some_and(|grant| grant.sensitive.is_none() && grant.access >= Access::Read)
            });
            if opened && !grants.contains_key(&path) {
                grants.insert(path, Grant { access: Access::Read, sensitive: Some(row.sensitivity) });
            }
        }
    }

    /// Names that the census knows and that are not even to be read.
    pub(super) fn sensitive_names(&self) -> impl Iterator<Item = AbsPath> + '_ {
        let named = self.census.values().flat_map(|census| census.sensitive.iter().map(|name| (&census.dir, name)));
        let paths = named.filter_map(|(dir, name)| dir.join(escape::unfile(name).ok()?).ok());
        paths.filter(|path| sensitive(path, self.roots, Access::Read).is_some())
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

    /// The program's own directory that `path` lies in: the project, or the first directory in the home that is no shared one.
    fn own(&self, path: &AbsPath) -> Option<AbsPath> {
        if let Some(project) = &self.project
            && path.is_beneath(project)
        {
            return Some(project.clone());
        }
        let top = self.tops.iter().find(|top| path.is_beneath(top) && path != *top)?;
        let first = path.relative_to(top)?.split(|&b| b == b'/').next()?;
        // `~/work` is a person's, `~/.agent` and `~/.config/agent` are a program's.
        let is_hidden = first.starts_with(b".") || Some(top) != self.home.as_ref();
        let own = top.join(first).ok().filter(|own| is_hidden && !self.is_shared(own))?;
        // Not across what is sensitive as a whole.
        classify(&own, self.roots).is_none().then_some(own)
    }

    fn read(&self, path: &AbsPath, need: &Need) -> (AbsPath, Access) {
        if let Some(project) = &self.project
            && path.is_beneath(project)
        {
            let access = if path == project { need.access } else { Access::Read };
            return (project.clone(), access);
        }
        match self.unit(path) {
            Some(place) => (place, Access::Read),
            // Reading a directory as such is listing it.
            None if need.is_dir || self.is_shared(path) => (path.clone(), Access::Exist),
            None => (path.clone(), need.access),
        }
    }

    fn write(
        &self,
        path: &AbsPath,
        need: &Need,
        needs: &Needs,
        notes: &mut BTreeSet<Note>,
    ) -> Option<(AbsPath, Access)> {
        let above = path.parent()?;
        if self.is_shared(path) {
            // A fresh home in which the run made `~/.config` itself: the place inside it is granted and brings it along.
            return Some((path.clone(), Access::Exist)).filter(|_| !path.is_root());
        }
        let own = self.own(path);
        if let Some(own) = own.filter(|own| own != path || !self.is_shared(&above)) {
            return Some((own, Access::Write));
        }
        if self.is_shared(&above) {
            if needs.gone.contains(path) && !needs.replaced.contains(path) {
                let temporary = needs.replaced.iter().any(|target| is_sibling(path, target));
                if !temporary {
                    notes.insert(Note::SharedDirectory { dir: self.roots.locate(&above) });
                }
                return None;
            }
            if need.is_dir {
                return Some((path.clone(), Access::Write));
            }
            return Some((path.clone(), if need.name_changes { Access::Replace } else { Access::Write }));
        }
        let place = if need.name_changes { above } else { path.clone() };
        Some((place, Access::Write))
    }

    /// The sensitive place of a path: a new name needs the directory, if that is of the same kind.
    fn sensitive_place(&self, path: &AbsPath, need: &Need) -> AbsPath {
        let above = path.parent().filter(|_| need.name_changes);
        above.filter(|above| sensitive(above, self.roots, need.access).is_some()).unwrap_or_else(|| path.clone())
    }

    /// A directory whose contents belong together: dependencies, a virtual environment, a toolchain.
    fn unit(&self, path: &AbsPath) -> Option<AbsPath> {
        let marked =
            |dir: &AbsPath, mark: &str| self.census.get(dir).is_some_and(|census| census.markers.contains(mark));
        super::units::unit(path, &marked, &|dir| !self.is_shared(dir) && !self.holds_sensitive(dir))
    }

    fn holds_sensitive(&self, dir: &AbsPath) -> bool {
        classify(dir, self.roots).is_some_and(|row| row.sensitivity <= Sensitivity::Credential)
            || self.above_sensitive.contains(dir)
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

/// A temporary or lock name of `target`: in the same directory, beginning with its name, with or without a dot before.
fn is_sibling(path: &AbsPath, target: &AbsPath) -> bool {
    let (Some(name), Some(other)) = (path.file_name(), target.file_name()) else { return false };
    let bare = |name: &[u8]| name.strip_prefix(b".").unwrap_or(name).to_vec();
    path.parent() == target.parent() && bare(name).starts_with(&bare(other))
}
