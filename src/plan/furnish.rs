//! Grants → mount steps, one place at a time: what each becomes depends on what is there, and on what lies above it.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::{Delivery, PathGrant, Profile};
use crate::vocab::access::Access;
use crate::vocab::host::{FileKind, Host, Names, Seen};
use crate::vocab::location::{Base, Location};
use crate::vocab::path::{AbsPath, follow};
use crate::vocab::sensitivity::Sensitivity;

use super::error::PlanError;
use super::grants::{Grants, writable_above};
use super::{Handing, MountStep, Withheld};

/// Files under these that the loader, the shell and the kernel make themselves; no grant can add to them.
const PRIVATE: [&str; 3] = ["/proc", "/dev", "/tmp"];

/// The steps so far, and what they know of each other.
pub(super) struct Furnishing<'a> {
    pub(super) host: &'a Host,
    pub(super) steps: Vec<MountStep>,
    /// Symlinks that are put into the root, by their place.
    links: BTreeMap<AbsPath, Vec<u8>>,
    pub(super) create: Vec<AbsPath>,
    pub(super) copies: Vec<AbsPath>,
}

impl<'a> Furnishing<'a> {
    pub(super) fn of(host: &'a Host) -> Self {
        Self { host, steps: Vec::new(), links: BTreeMap::new(), create: Vec::new(), copies: Vec::new() }
    }

    /// What every sandbox has of its own, and a private directory above each file that is copied in.
    pub(super) fn private_places(&mut self, grants: &Grants<'_>) {
        for place in super::private_tmp(&self.host.roots) {
            self.steps.push(MountStep::Tmpfs { target: place, mode: 0o1777 });
        }
        self.steps.extend([MountStep::Proc, MountStep::Dev]);
        if let Some(home) = self.host.roots.get(Base::Home) {
            self.steps.push(MountStep::Directory { target: home, mode: 0o700 });
        }
        let mut above = BTreeSet::new();
        for (path, (_, grant)) in grants {
            if grant.access == Access::Replace && grant.approved && writable_above(path, grants).is_none() {
                above.extend(path.parent());
            }
        }
        // A directory that is granted itself is mounted; the names in it need no filter, and cannot have one.
        let granted = |dir: &AbsPath| {
            let mut places = std::iter::once(dir.clone()).chain(dir.ancestors()).filter_map(|place| grants.get(&place));
            places.any(|(_, grant)| grant.approved && grant.access >= Access::Read)
        };
        // Nor can one that lies in a private directory: that is not the host's.
        let private = super::private_tmp(&self.host.roots);
        let filters =
            |dir: &AbsPath| self.host.fuse && !granted(dir) && !private.iter().any(|private| dir.is_beneath(private));
        self.steps.extend(above.into_iter().map(|target| match filters(&target) {
            true => MountStep::Filtered { target, names: BTreeSet::new() },
            false => MountStep::Tmpfs { target, mode: 0o700 },
        }));
    }

    /// Lets a file be replaced in the filtered directory above it, if there is one.
    fn filtered(&mut self, path: &AbsPath) -> bool {
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let mut filters = self.steps.iter_mut().filter_map(|step| match step {
            MountStep::Filtered { target, names } if *target == above => Some(names),
            _ => None,
        });
        filters.next().map(|names| names.insert(name.to_vec())).is_some()
    }

    /// Puts every granted place into the root, and covers what nobody approved.
    pub(super) fn all(&mut self, grants: &Grants<'_>, withheld: &mut Vec<Withheld>) {
        for (path, (location, grant)) in grants {
            let line = || format!("\"{location}\" = \"{}\"", grant.access);
            if !grant.approved {
                withheld.push(Withheld { line: line(), why: "not approved".to_owned() });
                // What the host executes may be read; that it cannot be written is the guards' part.
                if grant.sensitive != Some(Sensitivity::HostExecutes) {
                    self.cover(path, grants);
                }
            } else if let Some(why) = self.grant(path, grant, grants) {
                withheld.push(Withheld { line: line(), why });
            }
        }
    }

    /// Puts one granted place into the root; says why where that cannot be.
    fn grant(&mut self, path: &AbsPath, grant: &PathGrant, grants: &Grants<'_>) -> Option<String> {
        if PRIVATE.iter().any(|top| AbsPath::new(top).is_ok_and(|top| *path == top)) {
            return Some("every run has one of its own".to_owned());
        }
        if path.is_beneath(&self.host.state_dir) {
            return Some("it is pinfold's own state, which no sandbox sees".to_owned());
        }
        if self.leads_astray(path, grants) {
            return Some("a symlink stands in its way that the agent may have made".to_owned());
        }
        let target = self.through_links(path);
        let seen = self.host.look(&target).or_else(|| self.host.look(path));
        let Some(seen) = seen.cloned() else { return self.missing(&target, grant).map(str::to_owned) };
        if let Some(why) = self.swapped(path, grant, &seen) {
            if seen.kind != FileKind::Symlink {
                self.cover(path, grants);
            }
            return Some(format!("{why}; `pinfold approve` says yes to it as it is"));
        }
        if let (FileKind::Symlink, Some(text)) = (seen.kind, &seen.link) {
            self.link(&target, text.clone());
            return None;
        }
        // Bound so that it can be written it would be without the guards of what may be written.
        if grant.access == Access::Replace && seen.kind == FileKind::Dir {
            return Some("it is a directory, and only a file can be replaced: `write` grants a directory".to_owned());
        }
        // What lies in a granted directory exists already.
        if grant.access == Access::Exist && self.is_bound(&target) {
            return None;
        }
        // Nor is a second mount wanted for what the one above gives: inside one mount a name can be replaced by rename.
        if self.bound_above(&target) == Some(grant.access.writes()) {
            return None;
        }
        if grant.access == Access::Replace && seen.kind == FileKind::File && self.filters(&target) {
            if seen.names > 1 {
                return Some("it has several names (hard links), and replacing one would leave the others".to_owned());
            }
            self.filtered(&target);
            return None;
        }
        let replace = grant.access == Access::Replace && self.copies_to(&target);
        let step = match (grant.access, seen.kind) {
            (Access::Exist, FileKind::Dir) => MountStep::Directory { target, mode: seen.mode & 0o7777 },
            (Access::Exist, FileKind::File) => {
                MountStep::Placeholder { target, size: seen.size, modified: seen.modified }
            }
            (Access::Exist, _) => MountStep::Bind { source: target.clone(), target, writable: false },
            (Access::Replace, FileKind::File) if replace => {
                self.copies.push(target.clone());
                MountStep::Copy { target }
            }
            (access, _) => MountStep::Bind { source: target.clone(), target, writable: access.writes() },
        };
        // Two names may lead to one place: `/lib` and `/usr/lib`.
        if !self.steps.contains(&step) {
            self.steps.push(step);
        }
        // A directory may hold pinfold's state somewhere beneath: it is hidden again.
        if self.host.state_dir.is_beneath(path) {
            self.steps.push(MountStep::Cover { target: self.host.state_dir.clone() });
        }
        None
    }

    /// In which way the place is no longer what a person said yes to.
    fn swapped(&self, path: &AbsPath, grant: &PathGrant, now: &Seen) -> Option<String> {
        let names = if grant.access.writes() || grant.sensitive.is_some() { Names::Count } else { Names::AreFree };
        self.host.remembered.get(path)?.differs(now, names)
    }

    fn missing(&mut self, target: &AbsPath, grant: &PathGrant) -> Option<&'static str> {
        match grant.access {
            Access::Exist | Access::Read => Some("it does not exist here"),
            // The agent can make it where it wants to: what above it may be written gives that.
            Access::Write if self.bound_above(target) == Some(true) => None,
            Access::Write => {
                self.create.push(target.clone());
                self.steps.push(MountStep::Bind { source: target.clone(), target: target.clone(), writable: true });
                None
            }
            Access::Replace => {
                if self.filtered(target) {
                    return None;
                }
                if self.copies_to(target) {
                    self.copies.push(target.clone());
                    self.steps.push(MountStep::Copy { target: target.clone() });
                }
                None
            }
        }
    }

    /// Whether `target` lies in a filtered directory.
    fn filters(&self, target: &AbsPath) -> bool {
        let above = target.parent();
        let mut steps = self.steps.iter();
        steps.any(|step| matches!(step, MountStep::Filtered { target, .. } if Some(target) == above.as_ref()))
    }

    /// Whether the directory above `target` is one of our own, into which a file can be copied.
    fn copies_to(&self, target: &AbsPath) -> bool {
        let above = target.parent();
        self.steps.iter().any(|step| matches!(step, MountStep::Tmpfs { target, .. } if Some(target) == above.as_ref()))
    }

    /// A place that is named and withheld must not appear because something above it is granted.
    fn cover(&mut self, path: &AbsPath, grants: &Grants<'_>) {
        let visible = path
            .ancestors()
            .any(|above| grants.get(&above).is_some_and(|(_, grant)| grant.approved && grant.access >= Access::Read));
        if visible && self.host.look(path).is_some() {
            self.steps.push(MountStep::Cover { target: path.clone() });
        }
    }

    /// Whether a symlink above `path` lies where the agent may write. An earlier run can have put it there, so that what a
    /// person approved by its name would be something else.
    fn leads_astray(&self, path: &AbsPath, grants: &Grants<'_>) -> bool {
        let is_link = |place: &AbsPath| self.host.look(place).is_some_and(|seen| seen.kind == FileKind::Symlink);
        let writable = |place: &AbsPath| {
            let mut above = place.ancestors().filter_map(|above| grants.get(&above));
            above.any(|(_, grant)| grant.approved && grant.access == Access::Write)
        };
        path.ancestors().any(|place| is_link(&place) && writable(&place))
    }

    /// Where `path` really lies: symlinks above it are put into the root, and followed.
    fn through_links(&mut self, path: &AbsPath) -> AbsPath {
        let mut here = AbsPath::root();
        let parts: Vec<&[u8]> = path.components().collect();
        for (index, part) in parts.iter().enumerate() {
            let Ok(next) = here.join(part) else { return path.clone() };
            let link = self.host.look(&next).and_then(|seen| seen.link.clone());
            match link {
                Some(text) if index + 1 < parts.len() => {
                    self.link(&next, text.clone());
                    here = follow(&here, &text).unwrap_or(next);
                }
                _ => here = next,
            }
        }
        here
    }

    /// Makes the names above places that are granted and `absent` here: what lies above a granted place is there, whether
    /// the place is or not, and a run that was learned saw it.
    pub(super) fn above_the_absent(&mut self, absent: &BTreeSet<AbsPath>, grants: &Grants<'_>) {
        let mut there: BTreeSet<AbsPath> = BTreeSet::new();
        for target in self.steps.iter().filter_map(MountStep::target) {
            there.extend(target.ancestors().chain([target.clone()]));
        }
        let (host, home) = (self.host, self.host.roots.get(Base::Home));
        let directory = |place: AbsPath| {
            let seen = host.look(&place).filter(|seen| seen.kind == FileKind::Dir)?;
            Some((place, seen))
        };
        for path in absent {
            if path.is_beneath(&host.state_dir) || self.leads_astray(path, grants) {
                continue;
            }
            let Some((target, seen)) = self.through_links(path).ancestors().find_map(directory) else { continue };
            let own = home.as_ref().is_some_and(|home| home.is_beneath(&target));
            if !own && !target.is_root() && !self.is_bound(&target) && there.insert(target.clone()) {
                there.extend(target.ancestors());
                self.steps.push(MountStep::Directory { target, mode: seen.mode & 0o7777 });
            }
        }
    }

    fn link(&mut self, target: &AbsPath, text: Vec<u8>) {
        // What lies in a bind mount is there already.
        if self.is_bound(target) || self.links.contains_key(target) {
            return;
        }
        self.links.insert(target.clone(), text.clone());
        self.steps.push(MountStep::Symlink { target: target.clone(), text });
    }

    fn is_bound(&self, path: &AbsPath) -> bool {
        self.steps.iter().any(|step| match step {
            MountStep::Bind { target, .. } => path.is_beneath(target),
            _ => false,
        })
    }

    /// Whether the nearest mount above `path` may be written; `None` when there is none, or when it hides the place.
    fn bound_above(&self, path: &AbsPath) -> Option<bool> {
        let above = self.steps.iter().filter(|step| step.target().is_some_and(|target| path.is_beneath(target)));
        match above.max_by_key(|step| step.target().map_or(0, |target| target.components().count()))? {
            MountStep::Bind { writable, .. } => Some(*writable),
            _ => None,
        }
    }

    /// Guards what the host executes in whatever may be written.
    pub(super) fn protect(&mut self, guarded: &BTreeSet<AbsPath>, grants: &Grants<'_>) {
        let writable = |path: &AbsPath| writable_above(path, grants);
        self.steps.extend(super::guards(guarded, &writable));
    }

    /// The ways of the approved secrets, and the places of those that are files.
    pub(super) fn secrets(&mut self, profile: &Profile) -> Result<BTreeMap<String, Handing>, PlanError> {
        let mut ways = BTreeMap::new();
        // Beyond the standard streams, in the order of names.
        let mut number = 3;
        for (name, secret) in profile.secrets.iter().filter(|(_, secret)| secret.approved) {
            let way = match &secret.to {
                Delivery::Variable => Handing::Variable,
                Delivery::Descriptor => {
                    number += 1;
                    Handing::Descriptor(number - 1)
                }
                Delivery::File(at) => {
                    if !self.steps.contains(&MountStep::Secrets) {
                        self.steps.push(MountStep::Secrets);
                    }
                    Handing::File(match at {
                        None => below_secrets(name),
                        Some(place) => self.secret_at(name, place)?,
                    })
                }
            };
            ways.insert(name.clone(), way);
        }
        Ok(ways)
    }

    fn secret_at(&mut self, name: &str, place: &Location) -> Result<AbsPath, PlanError> {
        let target = self.host.roots.resolve(place).ok_or_else(|| PlanError::Variable(place.clone()))?;
        if self.is_bound(&target) || self.steps.iter().any(|step| step.target() == Some(&target)) {
            return Err(PlanError::SecretPlace { name: name.to_owned(), place: place.clone() });
        }
        self.steps.push(MountStep::Secret { target: target.clone(), name: name.to_owned() });
        Ok(target)
    }

    /// The working directory must exist, if only as an empty directory.
    pub(super) fn enter(&mut self, workdir: &AbsPath) {
        if !self.is_bound(workdir) {
            let target = workdir.clone();
            self.steps.push(MountStep::Directory { target, mode: 0o755 });
        }
    }
}

/// Where programs insist that root owns what they read: ssh reads no included configuration of anybody else's.
pub(super) const INSISTED_ON: &str = "/etc/ssh/ssh_config.d";

/// An ordinary user's agent gets copies of its own of what programs insist on and `steps` open to be read.
pub(super) fn as_own(steps: &[MountStep]) -> Vec<MountStep> {
    let Ok(insisted) = AbsPath::new(INSISTED_ON) else { return Vec::new() };
    let targets = steps.iter().filter_map(|step| match step {
        MountStep::Bind { target, writable: false, .. } if insisted.is_beneath(target) => Some(insisted.clone()),
        MountStep::Bind { target, writable: false, .. } if target.is_beneath(&insisted) => Some(target.clone()),
        _ => None,
    });
    let targets: BTreeSet<AbsPath> = targets.collect();
    targets.into_iter().map(|target| MountStep::AsOwn { target }).collect()
}

/// Directories of the machine that everybody may enter, granted to be read. What is root's own in them, and closed to all
/// others, an agent of root's does not get by a grant on all: that takes a line for just that.
pub(super) fn unowned(mounts: &[MountStep], host: &Host) -> BTreeSet<AbsPath> {
    let own: Vec<AbsPath> = host.roots.0.values().filter(|place| !place.is_root()).cloned().collect();
    let of_the_machine = |place: &AbsPath| {
        let open = host.look(place).is_some_and(|seen| seen.kind == FileKind::Dir && seen.mode & 0o005 == 0o005);
        let insisted = AbsPath::new(INSISTED_ON).is_ok_and(|top| place.is_beneath(&top));
        open && !insisted && !own.iter().any(|own| place.is_beneath(own) || own.is_beneath(place))
    };
    let read = mounts.iter().filter_map(|step| match step {
        MountStep::Bind { source, target, writable: false } if of_the_machine(source) => Some(target.clone()),
        _ => None,
    });
    read.collect()
}

/// Where the secret of that variable lies as a file: by its name, in which no byte is a slash or a dot at the start.
pub fn below_secrets(name: &str) -> AbsPath {
    let name: String = name.chars().map(|c| if c == '/' || c == '.' { '_' } else { c }).collect();
    AbsPath::new(super::SECRETS).and_then(|dir| dir.join(&name)).unwrap_or_else(|_| AbsPath::root())
}
