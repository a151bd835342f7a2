//! Needs of places → file system grants.
//!
//! Three kinds of ground, with a rule each. *System* directories were filled by a distribution: what was read there is
//! gathered by directory. The *project* is one grant. *Everything else*, the home directory above all, is granted place by
//! place, except where the agent keeps state of its own, or where a package manager filled a directory as one unit.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Census, Fact};
use crate::profile::{PathGrant, Profile};
use crate::trace::Trace;
use crate::vocab::access::Access;
use crate::vocab::host::FileKind;
use crate::vocab::location::{Base, Location, Roots};
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::{self, Row, Sensitivity};

use super::needs::{Need, Needs};
use super::{Note, Settings};

/// Directories whose entries are grounds of their own: gathered one level below.
const SYSTEM: &[&str] = &[
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/share",
    "/usr/include",
    "/usr/local/lib",
    "/usr/local/share",
    "/usr/local/libexec",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/usr/src",
    "/nix/store",
];

/// Directories that are gathered themselves when enough of their files were used.
const PROGRAMS: &[&str] = &["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin"];

/// Read as a whole as soon as anything in them is: public, and of the same kind throughout.
const WHOLE: &[&str] = &[
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/ld.so.conf.d",
    "/etc/ssl/certs",
    "/etc/terminfo",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/kernel/mm/transparent_hugepage",
];

/// Directories that everybody shares: a grant on one of them would be a grant on what others put there.
const SHARED: &[&str] = &[
    "/",
    "/etc",
    "/home",
    "/mnt",
    "/media",
    "/nix",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/run/user",
    "/srv",
    "/sys",
    "/sys/fs",
    "/sys/kernel",
    "/sys/devices",
    "/tmp",
    "/usr",
    "/usr/local",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/run",
    "/var/tmp",
];

/// The same below the home directory.
const SHARED_HOME: &[&str] = &["", ".config", ".cache", ".local", ".local/share", ".local/state", ".local/bin"];

/// Directories of which each entry is a unit: a version of a tool chain, a package cache.
const UNITS: &[&str] = &[
    ".rustup/toolchains",
    ".nvm/versions/node",
    ".pyenv/versions",
    ".asdf/installs",
    ".local/share/mise/installs",
    ".cargo/registry",
    ".local/share/pnpm",
    ".local/share/uv",
];

/// Adds what one run needed.
pub(super) fn add(
    profile: &mut Profile,
    trace: &Trace,
    needs: &Needs,
    settings: &Settings,
    notes: &mut BTreeSet<Note>,
) {
    let mut ground = Ground::of(trace, needs);
    ground.links(needs);
    for (path, need) in &needs.objects {
        ground.object(path, *need, notes);
    }
    ground.names_in_shared_directories(notes);
    ground.gather(settings);
    ground.withhold_unused();
    ground.across(notes);
    let roots = ground.roots;
    for (path, (access, row)) in ground.grants {
        let sensitive = row.map(|row| row.sensitivity);
        let grant = PathGrant { access, sensitive, approved: sensitive.is_none(), reason: None };
        let slot = profile.filesystem.entry(roots.locate(&path)).or_insert_with(|| grant.clone());
        slot.access = slot.access.max(grant.access);
        slot.approved &= grant.approved;
        slot.sensitive = slot.sensitive.max(grant.sensitive);
    }
}

type Grants = BTreeMap<AbsPath, (Access, Option<&'static Row>)>;

struct Ground<'a> {
    roots: &'a Roots,
    needs: &'a Needs,
    census: BTreeMap<&'a AbsPath, &'a Census>,
    grants: Grants,
    /// Places read on system ground, by the directory that they would be gathered into.
    system: BTreeMap<AbsPath, BTreeSet<AbsPath>>,
    shared: BTreeSet<AbsPath>,
}

impl<'a> Ground<'a> {
    fn of(trace: &'a Trace, needs: &'a Needs) -> Self {
        let roots = &trace.header.roots;
        let census = trace.events.iter().filter_map(|event| match &event.fact {
            Fact::Census(census) => Some((&census.dir, census)),
            _ => None,
        });
        let home = roots.get(Base::Home);
        let mut shared: BTreeSet<AbsPath> = SHARED.iter().filter_map(|dir| AbsPath::new(dir).ok()).collect();
        shared.extend(SHARED_HOME.iter().filter_map(|dir| home.as_ref()?.join(dir).ok()));
        for base in [Base::XdgConfig, Base::XdgCache, Base::XdgData, Base::XdgState, Base::XdgRuntime] {
            shared.extend(roots.get(base));
        }
        for place in [roots.get(Base::Project), home].into_iter().flatten() {
            shared.extend(place.ancestors());
        }
        Self { roots, needs, census: census.collect(), grants: BTreeMap::new(), system: BTreeMap::new(), shared }
    }

    fn grant(&mut self, path: &AbsPath, access: Access) {
        let row = sensitive(path, self.roots, access);
        let slot = self.grants.entry(path.clone()).or_insert((access, row));
        slot.0 = slot.0.max(access);
        slot.1 = slot.1.or(row);
    }

    fn project(&self) -> Option<AbsPath> {
        self.roots.get(Base::Project)
    }

    fn in_project(&self, path: &AbsPath) -> bool {
        self.project().is_some_and(|project| path.is_beneath(&project))
    }

    fn links(&mut self, needs: &Needs) {
        for link in &needs.links {
            if !self.in_project(link) {
                self.on_its_ground(link, Access::Exist);
            }
        }
    }

    fn object(&mut self, path: &AbsPath, need: Need, notes: &mut BTreeSet<Note>) {
        if sensitive(path, self.roots, need.access).is_some() && need.access > Access::Exist {
            self.grant(path, need.access);
        }
        if self.in_project(path) {
            if let Some(project) = self.project() {
                self.grant(&project, need.access.max(Access::Read).min(Access::Write));
            }
            return;
        }
        if need.access.writes() {
            // Names in a shared directory are looked at one by one, later.
            if !self.shared.contains(path) {
                self.write(path, need);
            }
            return;
        }
        if self.needs.listed.contains(path) {
            if self.shared.contains(path) {
                notes.insert(Note::Listed(self.roots.locate(path).to_string()));
            } else if self.is_system(path) {
                return self.on_its_ground(path, Access::Read);
            }
        }
        if need.access == Access::Exist && (need.kind == Some(FileKind::Dir) || self.shared.contains(path)) {
            // A directory on the way to something that is granted exists by that.
            if !self.shared.contains(path) && !path.is_root() && !self.leads_somewhere(path) {
                self.grant(path, Access::Exist);
            }
            return;
        }
        self.on_its_ground(path, need.access);
    }

    /// Whether something beneath `path` is needed too.
    fn leads_somewhere(&self, path: &AbsPath) -> bool {
        let beneath = |other: &AbsPath| other != path && other.is_beneath(path);
        self.needs.objects.iter().any(|(other, need)| beneath(other) && need.kind != Some(FileKind::Dir))
            || self.needs.links.iter().any(beneath)
    }

    fn is_system(&self, path: &AbsPath) -> bool {
        SYSTEM.iter().chain(PROGRAMS).chain(WHOLE).any(|top| AbsPath::new(top).is_ok_and(|top| path.is_beneath(&top)))
    }

    /// A read or look, on system ground or elsewhere.
    fn on_its_ground(&mut self, path: &AbsPath, access: Access) {
        let top = |tops: &[&str]| {
            tops.iter().filter_map(|top| AbsPath::new(top).ok()).find(|top| path.is_beneath(top) && path != top)
        };
        if let Some(whole) = WHOLE.iter().filter_map(|top| AbsPath::new(top).ok()).find(|top| path.is_beneath(top)) {
            return self.grant(&whole, Access::Read);
        }
        if let Some(unit) = self.unit(path) {
            return self.grant(&unit, Access::Read);
        }
        if let Some(top) = top(PROGRAMS) {
            self.system.entry(top).or_default().insert(path.clone());
            return;
        }
        if let Some(top) = top(SYSTEM) {
            let below = path.relative_to(&top).and_then(|rest| rest.split(|&b| b == b'/').next().map(<[u8]>::to_vec));
            let entry = below.and_then(|name| top.join(name).ok()).unwrap_or_else(|| path.clone());
            self.system.entry(top).or_default().insert(entry);
            return;
        }
        self.grant(path, access);
    }

    /// The directory that a package manager filled as one, if `path` lies in such a one.
    fn unit(&self, path: &AbsPath) -> Option<AbsPath> {
        let home = self.roots.get(Base::Home);
        let mut above: Vec<AbsPath> = path.ancestors().collect();
        above.reverse();
        above.into_iter().find(|dir| {
            let is_listed = || {
                let parent = dir.parent();
                UNITS
                    .iter()
                    .any(|unit| home.as_ref().and_then(|home| home.join(unit).ok()) == parent && parent.is_some())
            };
            let is_marked = || {
                let markers = self.census.get(dir).map(|census| &census.markers);
                markers.is_some_and(|markers| markers.contains("pyvenv.cfg") || markers.contains("CACHEDIR.TAG"))
            };
            let is_modules = || dir.file_name() == Some(b"node_modules");
            !self.shared.contains(dir) && !self.in_project(dir) && (is_listed() || is_modules() || is_marked())
        })
    }

    /// A write outside of the project.
    fn write(&mut self, path: &AbsPath, need: Need) {
        match self.own_state(path) {
            Some(state) => self.grant(&state, Access::Write),
            None => match path.parent() {
                // A file directly in a shared directory cannot be made anew beside itself.
                Some(dir) if self.shared.contains(&dir) && need.kind != Some(FileKind::Dir) => {
                    let replaced = self.needs.renamed_to.contains(path);
                    self.grant(path, if replaced { Access::Replace } else { Access::Write });
                }
                _ => self.grant(path, Access::Write),
            },
        }
    }

    /// The directory of the agent's own that `path` lies in: the first below a shared one in the home directory.
    fn own_state(&self, path: &AbsPath) -> Option<AbsPath> {
        let home = self.roots.get(Base::Home)?;
        let in_reach = |dir: &AbsPath| {
            dir.is_beneath(&home)
                || [Base::XdgConfig, Base::XdgCache, Base::XdgData, Base::XdgState]
                    .into_iter()
                    .any(|base| self.roots.get(base).is_some_and(|top| dir.is_beneath(&top)))
        };
        let chain = std::iter::once(path.clone()).chain(path.ancestors());
        let candidate = chain.take_while(|dir| !self.shared.contains(dir)).last()?;
        let is_dir = candidate != *path
            || self.needs.objects.get(&candidate).is_some_and(|need| need.kind == Some(FileKind::Dir));
        let hidden = candidate.file_name().is_some_and(|name| name.starts_with(b"."));
        let in_shared_home = candidate.parent().is_some_and(|dir| dir != home);
        let fits = is_dir && in_reach(&candidate) && (hidden || in_shared_home);
        (fits && sensitive(&candidate, self.roots, Access::Write).is_none()).then_some(candidate)
    }

    /// Names that the run made directly in a shared directory: state directories, replaced files, and locks.
    fn names_in_shared_directories(&mut self, notes: &mut BTreeSet<Note>) {
        let in_shared = |path: &AbsPath| path.parent().is_some_and(|dir| self.shared.contains(&dir));
        let made: Vec<_> =
            self.needs.made.iter().filter(|(path, _)| in_shared(path) && !self.in_project(path)).collect();
        for (path, kind) in made {
            if self.needs.gone.contains(path) && !self.needs.renamed_to.contains(path) {
                // A temporary sibling that was renamed away is part of a replacement, which is granted by its target.
                if !self.needs.pairs.iter().any(|(from, _)| from == path) {
                    notes.insert(Note::Transient(self.roots.locate(path).to_string()));
                }
                continue;
            }
            match kind {
                Some(FileKind::Dir) => {
                    let state = self.own_state(path).unwrap_or_else(|| path.clone());
                    self.grant(&state, Access::Write);
                }
                _ => self.grant(path, Access::Replace),
            }
        }
    }

    /// System ground: exact places, or their directory where many of it were used.
    fn gather(&mut self, settings: &Settings) {
        for (top, entries) in std::mem::take(&mut self.system) {
            if entries.len() >= settings.gather && !self.shared.contains(&top) {
                self.grant(&top, Access::Read);
            } else {
                for entry in entries {
                    self.grant(&entry, Access::Read);
                }
            }
        }
    }

    /// A sensitive name in a granted directory that the run did not use is withheld by name: a secret is never granted by
    /// generalisation.
    fn withhold_unused(&mut self) {
        let mut withheld = Vec::new();
        for census in self.census.values() {
            for name in &census.sensitive {
                let Ok(bytes) = crate::vocab::escape::unfile(name) else { continue };
                let Ok(path) = census.dir.join(bytes) else { continue };
                let granted = path.ancestors().any(|dir| {
                    self.grants.get(&dir).is_some_and(|(access, row)| *access >= Access::Read && row.is_none())
                });
                let row = sensitive(&path, self.roots, Access::Read);
                if granted && !self.grants.contains_key(&path) {
                    withheld.extend(row.map(|row| (path, (Access::Read, Some(row)))));
                }
            }
        }
        self.grants.extend(withheld);
    }

    fn across(&self, notes: &mut BTreeSet<Note>) {
        let granted = |path: &AbsPath| {
            std::iter::once(path.clone()).chain(path.ancestors()).find(|place| self.grants.contains_key(place))
        };
        for (from, to) in &self.needs.pairs {
            let (a, b) = (granted(from), granted(to));
            if a != b && a.is_some() && b.is_some() {
                let show = |path: &AbsPath| self.roots.locate(path).to_string();
                notes.insert(Note::AcrossGrants { from: show(from), to: show(to) });
            }
        }
    }
}

/// The row of a place that is sensitive for this access. Reading what the host executes is harmless; changing it is not.
fn sensitive(path: &AbsPath, roots: &Roots, access: Access) -> Option<&'static Row> {
    sensitivity::classify(path, roots).filter(|row| row.sensitivity != Sensitivity::HostExecutes || access.writes())
}

/// Removes grants that a wider one above them holds already. What is sensitive stands by itself.
pub(super) fn drop_covered(profile: &mut Profile) {
    let all = profile.filesystem.clone();
    profile.filesystem.retain(|location, grant| {
        grant.sensitive.is_some()
            || !all.iter().any(|(other, above)| {
                above.sensitive.is_none()
                    && above.access >= Access::Read
                    && above.access >= grant.access.min(Access::Write)
                    && above.access != Access::Replace
                    && lies_in(location, other)
            })
    });
}

fn lies_in(location: &Location, top: &Location) -> bool {
    match (location, top) {
        (Location::Path { base, rest }, Location::Path { base: top_base, rest: top }) if base == top_base => rest
            .strip_prefix(top.as_slice())
            .is_some_and(|tail| (top.is_empty() && !tail.is_empty()) || tail.starts_with(b"/")),
        _ => false,
    }
}
