//! Profile × Host → the plan of an enforced run.
//!
//! Mounts decide what exists. The root is empty; each grant puts one place into it, parents before what lies beneath them,
//! so that the longest path wins. A grant on a symlink puts the link there, never what it leads to: that needs a grant of
//! its own. A place whose way leads through a symlink on this machine is put where it really lies, and the link with it.
//!
//! In what may be written, names that the host executes stay read-only, unless the profile names exactly them and a person
//! approved it. pinfold's own state is never inside.

use std::collections::{BTreeMap, BTreeSet};

use crate::profile::emit;
use crate::profile::{Delivery, Lack, PathGrant, Profile, Protect};
use crate::vocab::access::Access;
use crate::vocab::bundle::{Layout, Shape};
use crate::vocab::endpoint::NetTarget;
use crate::vocab::host::{FileKind, Host, Names, Seen};
use crate::vocab::location::{Base, Location, Roots};
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::{Sensitivity, sensitive};
use crate::vocab::syscall::Syscall;

use super::protect::{self, Protection, Rules};
use super::walls::Wall;
use super::without_namespaces::{Unkept, weaken};
use super::{Action, FilterSpec, Handing, Mode, MountStep, Nesting, Network, Plan, RootStyle, Withheld};

/// Why a profile cannot be carried out on this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A bundle of which nobody said what it opens.
    #[error("the bundle `@{0}` is not known")]
    Bundle(String),
    /// A variable that is not set here.
    #[error("`{0}` names a variable that is not set here")]
    Variable(Location),
    /// Arguments of a call that has no argument rules.
    #[error("[syscalls.arguments] has no rules for `{call}`")]
    Arguments {
        /// Which.
        call: Syscall,
    },
    /// A value of an argument that is not understood.
    #[error("`{value}` is no value for `{call}` in [syscalls.arguments]")]
    Value {
        /// Of which call.
        call: Syscall,
        /// Which.
        value: String,
    },
    /// A newer base set.
    #[error("the base set {0} of system calls is newer than this version")]
    Base(u32),
    /// root cannot be mapped into a namespace below the sandbox's, and some of its proc would be root's to write.
    #[error("`nested_sandbox` does not work for root: the kernel lets no sandbox within map root again")]
    NestedAsRoot,
    /// Within a sandbox of its own the command sees another tree than the supervisor, and rules on names mean nothing.
    #[error(
        "`protect = \"strict\"` cannot be kept beside `nested_sandbox = true`: a sandbox within has a tree of files of its own"
    )]
    StrictNested,
    /// The second wall cannot be built.
    #[error("this kernel has no Landlock, the second wall behind the mounts")]
    NoLandlock,
    /// Without namespaces, which the profile tolerates, something else that it says cannot be kept.
    #[error("namespaces are refused here, and without them the profile cannot be kept")]
    WithoutNamespaces(#[from] Unkept),
    /// The wall behind the broker cannot be built.
    #[error("[network] by name needs Landlock's rules on TCP (Linux 6.7), which stand behind the broker")]
    NoLandlockNet,
    /// A secret would have to be made in a directory of the host.
    #[error("the secret `{name}` cannot be put at `{place}`: a granted directory holds that place")]
    SecretPlace {
        /// Its variable.
        name: String,
        /// Where it was to be.
        place: Location,
    },
    /// A grant on too much.
    #[error("`{0}` is never granted: it holds everything")]
    TooWide(Location),
}

impl PlanError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Variable(_) => Some("set the variable, or remove the line from the profile".to_owned()),
            Self::NoLandlockNet => Some(
                "`\"@host\" = { access = \"unconfined\", approved = true }` gives the host's whole network; without a line the \
                 run has none"
                    .to_owned(),
            ),
            Self::SecretPlace { .. } => Some(
                "leave `at` out: the secret is then below /run/secrets, and its variable holds the path".to_owned(),
            ),
            Self::NestedAsRoot => Some(
                "run it as an ordinary user; or turn the command's own sandbox off, and remove the line".to_owned(),
            ),
            Self::StrictNested => Some(
                "turn the command's own sandbox off, and remove `nested_sandbox`; or write `protect = \"scan\"`, which tells \
                 of new names after the run instead of refusing them"
                    .to_owned(),
            ),
            Self::WithoutNamespaces(Unkept::Names) => Some(
                "`pinfold doctor` says which setting refuses them; or write `protect = \"scan\"`, which tells of new names \
                 after the run instead of refusing them"
                    .to_owned(),
            ),
            Self::NoLandlock => Some(
                "boot with lsm=landlock,... in front of the list of /sys/kernel/security/lsm; or add \
                 `tolerate = [\"no-landlock\"]` to the profile, above its first section, to run with the mounts alone"
                    .to_owned(),
            ),
            Self::WithoutNamespaces(_) => Some("`pinfold doctor` says which setting refuses them".to_owned()),
            Self::Base(_) | Self::Bundle(_) => Some("a newer pinfold wrote this profile: update".to_owned()),
            _ => None,
        }
    }
}

/// Files under these that the loader, the shell and the kernel make themselves; no grant can add to them.
const PRIVATE: [&str; 3] = ["/proc", "/dev", "/tmp"];

/// Every place that must be looked at before [`plan`]: the grants, and all that lies above them.
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

/// The plan of a run of `program` under `profile`. `guarded` are names that exist and that the host executes.
pub fn plan(
    profile: &Profile,
    host: &Host,
    guarded: &BTreeSet<AbsPath>,
    program: AbsPath,
    argv: Vec<Vec<u8>>,
) -> Result<Plan, PlanError> {
    if profile.syscalls.base > crate::vocab::syscall_table::BASE_VERSION {
        return Err(PlanError::Base(profile.syscalls.base));
    }
    if profile.nested_sandbox && host.identity.uid == 0 {
        return Err(PlanError::NestedAsRoot);
    }
    let strict = profile.protect == Protect::Strict;
    if strict && profile.nested_sandbox {
        return Err(PlanError::StrictNested);
    }
    if strict && host.no_namespaces.is_some() {
        return Err(Unkept::Names.into());
    }
    let mut withheld = Vec::new();
    let (network, policy) = super::network::of(profile.network.iter(), host);
    withheld_peers(profile, &mut withheld);
    let mut grants = resolve(profile, &host.roots)?;
    open_bundles(profile, host, &mut grants, &mut withheld);
    let mut furnishing =
        Furnishing { host, steps: Vec::new(), links: BTreeMap::new(), create: Vec::new(), copies: Vec::new() };
    furnishing.private_places(&grants);
    for (path, (location, grant)) in &grants {
        if !grant.approved {
            let line = format!("\"{location}\" = \"{}\"", grant.access);
            withheld.push(Withheld { line, why: "not approved".to_owned() });
            // What the host executes may be read; that it cannot be written is the guards' part.
            if grant.sensitive != Some(Sensitivity::HostExecutes) {
                furnishing.cover(path, &grants);
            }
        } else if let Some(why) = furnishing.grant(path, grant, &grants) {
            let line = format!("\"{location}\" = \"{}\"", grant.access);
            withheld.push(Withheld { line, why });
        }
    }
    let mounted = |name: &&AbsPath| !strict || !protect::is_judged_by_contents(name);
    let mounted: BTreeSet<AbsPath> = guarded.iter().filter(mounted).cloned().collect();
    furnishing.protect(&mounted, &grants);
    furnishing.enter(&host.workdir);
    let secrets = furnishing.secrets(profile)?;
    let Furnishing { mut steps, create, copies, .. } = furnishing;
    for (name, secret) in profile.secrets.iter().filter(|(_, secret)| !secret.approved) {
        let line = format!("{} = {}", emit::quote(name), emit::secret(secret));
        withheld.push(Withheld { line, why: "not approved".to_owned() });
    }
    let mut filter = match network {
        Network::Named => super::filter::filter(&super::network::with_name_service(profile))?,
        Network::None | Network::Host => super::filter::filter(profile)?,
    };
    withheld_calls(profile, &filter, &mut withheld);
    if network == Network::Named {
        if host.landlock.is_none_or(|abi| abi < super::landlock::TCP_SINCE) {
            return Err(PlanError::NoLandlockNet);
        }
        super::network::enforce(&mut filter);
        steps.extend(super::network::texts(host));
    }
    if strict {
        protect::hand_over(&mut filter, network);
    }
    if Syscall::from_name("mq_open").is_some_and(|call| filter.calls.get(&call) == Some(&Action::Allow)) {
        steps.push(MountStep::Queues);
    }
    let protection = if strict { strictly(profile, host, &steps, &mounted, &grants) } else { Protection::Scan };
    if host.identity.uid != 0 {
        steps.extend(as_own(&steps));
    }
    let mounts = super::arrange(steps);
    let landlock = match host.landlock {
        Some(abi) if profile.nested_sandbox => Some(super::landlock::without_places(network, abi)),
        Some(abi) => Some(super::landlock::ruleset(&mounts, network, abi)),
        None if profile.tolerate.contains(&Lack::Landlock) => None,
        None => return Err(PlanError::NoLandlock),
    };
    let plan = Plan {
        mode: Mode::Enforce,
        identity: host.identity,
        walls: Wall::ALL
            .into_iter()
            .filter(|wall| match wall {
                Wall::Landlock => landlock.is_some(),
                Wall::Names => strict,
                _ => true,
            })
            .collect(),
        nesting: if profile.nested_sandbox { Nesting::Allowed } else { Nesting::Refused },
        root: if host.fuse { RootStyle::Tripwire } else { RootStyle::Empty },
        unowned: if host.identity.uid == 0 { unowned(&mounts, host) } else { BTreeSet::new() },
        mounts,
        workdir: host.workdir.clone(),
        program,
        argv,
        environment: super::network::environment(&profile.environment, network),
        secrets,
        set: BTreeMap::new(),
        network,
        policy,
        filter,
        landlock,
        without_namespaces: None,
        protection,
        refused_writes: protect::RefusedWrites::Untold,
        layer: None,
        limits: profile.limits.clone(),
        create,
        copies,
        roots: host.roots.clone(),
        withheld,
    };
    match &host.no_namespaces {
        Some(why) if profile.tolerate.contains(&Lack::Namespaces) => Ok(weaken(plan, why.clone())?),
        _ => Ok(plan),
    }
}

/// The rules on names for a run with these steps and grants.
fn strictly(
    profile: &Profile,
    host: &Host,
    steps: &[MountStep],
    guarded: &BTreeSet<AbsPath>,
    grants: &Grants<'_>,
) -> Protection {
    let bound = steps.iter().filter_map(|step| match step {
        MountStep::Bind { target, writable: true, .. } => Some(target.clone()),
        _ => None,
    });
    let writes = |grant: &PathGrant| grant.sensitive.is_some() && grant.approved && grant.access.writes();
    let granted = grants.iter().filter(|(_, (_, grant))| writes(grant)).map(|(path, _)| path.clone()).collect();
    let named: Vec<AbsPath> =
        guarded.iter().filter(|name| !grants.get(name).is_some_and(|(_, grant)| writes(grant))).cloned().collect();
    let further = protect::further(profile, &host.roots).into_iter();
    let projects: Vec<AbsPath> =
        further.filter(|further| further.kind == protect::Use::Project).map(|further| further.place).collect();
    Protection::Strict(Rules::new(&host.roots, bound.collect(), &granted, &named, &projects))
}

/// Lines of peers that the run does not get.
fn withheld_peers(profile: &Profile, withheld: &mut Vec<Withheld>) {
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
fn withheld_calls(profile: &Profile, filter: &FilterSpec, withheld: &mut Vec<Withheld>) {
    let unapproved = profile.syscalls.allow.difference(&profile.syscalls.approved);
    for call in unapproved.filter(|call| filter.calls.get(call) != Some(&Action::Allow)) {
        if crate::vocab::syscall_table::row(*call).risk >= 4 {
            let line = format!("[syscalls] allow = [\"{call}\"]");
            withheld.push(Withheld { line, why: "not approved".to_owned() });
        }
    }
}

type Grants<'a> = BTreeMap<AbsPath, (&'a Location, &'a PathGrant)>;

/// Grants by path; of two lines for one place (`~/x` and `$PROJECT` may meet) the wider one.
fn resolve<'a>(profile: &'a Profile, roots: &Roots) -> Result<Grants<'a>, PlanError> {
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

/// Adds what bundles open here. A line for a place itself outranks a bundle.
fn open_bundles<'a>(profile: &'a Profile, host: &Host, grants: &mut Grants<'a>, withheld: &mut Vec<Withheld>) {
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

struct Furnishing<'a> {
    host: &'a Host,
    steps: Vec<MountStep>,
    /// Symlinks that are put into the root, by their place.
    links: BTreeMap<AbsPath, Vec<u8>>,
    create: Vec<AbsPath>,
    copies: Vec<AbsPath>,
}

impl Furnishing<'_> {
    /// What every sandbox has of its own, and a private directory above each file that is copied in.
    fn private_places(&mut self, grants: &Grants<'_>) {
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
    fn protect(&mut self, guarded: &BTreeSet<AbsPath>, grants: &Grants<'_>) {
        let writable = |path: &AbsPath| writable_above(path, grants);
        self.steps.extend(super::guards(guarded, &writable));
    }

    /// The ways of the approved secrets, and the places of those that are files.
    fn secrets(&mut self, profile: &Profile) -> Result<BTreeMap<String, Handing>, PlanError> {
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
    fn enter(&mut self, workdir: &AbsPath) {
        if !self.is_bound(workdir) {
            let target = workdir.clone();
            self.steps.push(MountStep::Directory { target, mode: 0o755 });
        }
    }
}

/// Where programs insist that root owns what they read: ssh reads no included configuration of anybody else's.
pub(super) const INSISTED_ON: &str = "/etc/ssh/ssh_config.d";

/// An ordinary user's agent gets copies of its own of what programs insist on and `steps` open to be read.
fn as_own(steps: &[MountStep]) -> Vec<MountStep> {
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
fn unowned(mounts: &[MountStep], host: &Host) -> BTreeSet<AbsPath> {
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

/// The directory that may be written and lies at or above `path`; `None` also where `path` itself is granted for writing by
/// name: then a person approved just that.
fn writable_above(path: &AbsPath, grants: &Grants<'_>) -> Option<AbsPath> {
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

/// Where the secret of that variable lies as a file: by its name, in which no byte is a slash or a dot at the start.
pub fn below_secrets(name: &str) -> AbsPath {
    let name: String = name.chars().map(|c| if c == '/' || c == '.' { '_' } else { c }).collect();
    AbsPath::new(super::SECRETS).and_then(|dir| dir.join(&name)).unwrap_or_else(|_| AbsPath::root())
}

/// The directory that `text` leads to from `dir`, by text alone.
pub(super) fn follow(dir: &AbsPath, text: &[u8]) -> Option<AbsPath> {
    let mut here = if text.first() == Some(&b'/') { AbsPath::root() } else { dir.clone() };
    for part in text.split(|&b| b == b'/') {
        here = match part {
            b"" | b"." => here,
            b".." => here.parent().unwrap_or_else(AbsPath::root),
            part => here.join(part).ok()?,
        };
    }
    Some(here)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::profile::{Limits, NetAccess, NetGrant, Protect, Syscalls};
    use crate::vocab::host::Identity;

    /// A profile that grants nothing.
    pub(crate) fn empty() -> Profile {
        Profile {
            name: "x".into(),
            command: vec!["x".into()],
            filesystem: BTreeMap::new(),
            bundles: BTreeMap::new(),
            network: BTreeMap::new(),
            syscalls: Syscalls { base: 1, ..Syscalls::default() },
            environment: BTreeSet::new(),
            secrets: BTreeMap::new(),
            limits: Limits::default(),
            incomplete: None,
            tolerate: BTreeSet::new(),
            nested_sandbox: false,
            protect: Protect::default(),
        }
    }

    fn path(text: &str) -> AbsPath {
        AbsPath::new(text).unwrap()
    }

    pub(crate) fn host(places: &[(&str, FileKind, Option<&str>)]) -> Host {
        let seen = places.iter().map(|(place, kind, link)| {
            let link = link.map(|text| text.as_bytes().to_vec());
            (path(place), Some(Seen { kind: *kind, mode: 0o755, size: 1, modified: 2, uid: 0, link, names: 1 }))
        });
        Host {
            identity: Identity { uid: 1000, gid: 1000 },
            roots: Roots(BTreeMap::from([(Base::Project, path("/home/a/p")), (Base::Home, path("/home/a"))])),
            workdir: path("/home/a/p"),
            seen: seen.collect(),
            environment: BTreeSet::new(),
            state_dir: path("/home/a/.local/state/pinfold"),
            remembered: BTreeMap::new(),
            landlock: Some(7),
            no_namespaces: None,
            proxies: Ok(crate::vocab::proxy::Proxies::default()),
            fuse: false,
        }
    }

    fn with(grants: &[(&str, Access)]) -> Profile {
        let mut profile = empty();
        for (location, access) in grants {
            let grant = PathGrant { access: *access, sensitive: None, approved: true, reason: None };
            profile.filesystem.insert(location.parse().unwrap(), grant);
        }
        profile
    }

    fn steps(profile: &Profile, host: &Host, guarded: &[&str]) -> Vec<MountStep> {
        let guarded = guarded.iter().map(|place| path(place)).collect();
        plan(profile, host, &guarded, path("/usr/bin/x"), vec![]).unwrap().mounts
    }

    #[test]
    fn a_place_behind_a_symlink_is_bound_where_it_lies_and_the_link_is_made() {
        let host = host(&[
            ("/lib", FileKind::Symlink, Some("usr/lib")),
            ("/usr/lib", FileKind::Dir, None),
            ("/usr/lib/x.so", FileKind::File, None),
        ]);
        let steps = steps(&with(&[("/lib/x.so", Access::Read)]), &host, &[]);
        let so = path("/usr/lib/x.so");
        assert!(steps.contains(&MountStep::Symlink { target: path("/lib"), text: b"usr/lib".to_vec() }));
        assert!(steps.contains(&MountStep::Bind { source: so.clone(), target: so, writable: false }));
    }

    #[test]
    fn a_grant_on_a_symlink_grants_nothing_of_its_target() {
        let host =
            host(&[("/home/a/l", FileKind::Symlink, Some("/etc/shadow")), ("/etc/shadow", FileKind::File, None)]);
        let steps = steps(&with(&[("~/l", Access::Read)]), &host, &[]);
        assert!(!steps.iter().any(|step| matches!(step, MountStep::Bind { .. })), "{steps:?}");
    }

    #[test]
    fn what_the_host_executes_is_guarded_in_a_writable_project_and_cannot_be_renamed_away() {
        let host = host(&[("/home/a/p", FileKind::Dir, None)]);
        let steps = steps(&with(&[("$PROJECT", Access::Write)]), &host, &["/home/a/p/.git/hooks", "/home/a/.bashrc"]);
        assert!(steps.contains(&MountStep::Pin { target: path("/home/a/p/.git") }));
        assert!(steps.contains(&MountStep::Guard { target: path("/home/a/p/.git/hooks") }));
        assert!(!steps.contains(&MountStep::Guard { target: path("/home/a/.bashrc") }), "it is not inside at all");
    }

    #[test]
    fn an_unapproved_place_below_a_granted_directory_is_covered_and_said() {
        let mut profile = with(&[("$PROJECT", Access::Write)]);
        let grant =
            PathGrant { access: Access::Read, sensitive: Some(Sensitivity::Credential), approved: false, reason: None };
        profile.filesystem.insert("$PROJECT/.env".parse().unwrap(), grant);
        let host = host(&[("/home/a/p", FileKind::Dir, None), ("/home/a/p/.env", FileKind::File, None)]);
        let plan = plan(&profile, &host, &BTreeSet::new(), path("/x"), vec![]).unwrap();
        assert!(plan.mounts.contains(&MountStep::Cover { target: path("/home/a/p/.env") }));
        assert_eq!(plan.withheld.len(), 1);
    }

    #[test]
    fn a_writable_directory_that_is_missing_is_made_and_a_missing_read_is_said() {
        let host = host(&[]);
        let profile = with(&[("~/.x", Access::Write), ("~/.y", Access::Read)]);
        let plan = plan(&profile, &host, &BTreeSet::new(), path("/x"), vec![]).unwrap();
        assert_eq!(plan.create, [path("/home/a/.x")]);
        assert_eq!(plan.withheld.len(), 1);
    }

    #[test]
    fn an_agent_of_roots_owns_nothing_in_a_directory_of_the_machine() {
        let places =
            [("/etc", FileKind::Dir, None), ("/home/a/p", FileKind::Dir, None), ("/etc/x", FileKind::File, None)];
        let profile = with(&[("/etc", Access::Read), ("$PROJECT", Access::Read), ("/etc/x", Access::Read)]);
        let made = |uid| {
            let host = Host { identity: Identity { uid, gid: uid }, ..host(&places) };
            plan(&profile, &host, &BTreeSet::new(), path("/x"), vec![]).unwrap().unowned
        };
        assert_eq!(made(0), BTreeSet::from([path("/etc")]));
        assert!(made(1000).is_empty());
        let host = Host { identity: Identity { uid: 0, gid: 0 }, ..host(&[(INSISTED_ON, FileKind::Dir, None)]) };
        let ssh = with(&[(INSISTED_ON, Access::Read)]);
        assert!(plan(&ssh, &host, &BTreeSet::new(), path("/x"), vec![]).unwrap().unowned.is_empty());
    }

    #[test]
    fn the_home_directory_is_never_granted_whole() {
        for place in ["~", "/home", "/"] {
            let got = plan(&with(&[(place, Access::Read)]), &host(&[]), &BTreeSet::new(), path("/x"), vec![]);
            assert!(matches!(got, Err(PlanError::TooWide(_))), "{place}");
        }
    }

    #[test]
    fn pinfolds_state_is_not_inside_even_where_a_grant_holds_it() {
        let host = host(&[("/home/a/.local/state", FileKind::Dir, None)]);
        let steps = steps(&with(&[("~/.local/state", Access::Write)]), &host, &[]);
        assert!(steps.contains(&MountStep::Cover { target: path("/home/a/.local/state/pinfold") }));
    }

    #[test]
    fn a_file_that_is_replaced_is_alone_in_its_directory_and_copied_where_there_is_no_fuse() {
        let file = path("/home/a/.claude.json");
        let host = Host { fuse: true, ..host(&[("/home/a/.claude.json", FileKind::File, None)]) };
        let profile = with(&[("~/.claude.json", Access::Replace), ("~/.new", Access::Replace)]);
        let plan = plan(&profile, &host, &BTreeSet::new(), path("/x"), vec![]).unwrap();
        let names = BTreeSet::from([b".claude.json".to_vec(), b".new".to_vec()]);
        assert!(plan.mounts.contains(&MountStep::Filtered { target: path("/home/a"), names }), "{:?}", plan.mounts);
        assert!(plan.copies.is_empty() && plan.root == RootStyle::Tripwire);
        let plain = plan.without_tripwire();
        assert!(plain.root == RootStyle::Empty && plain.copies == [file.clone(), path("/home/a/.new")]);
        assert!(plain.mounts.contains(&MountStep::Copy { target: file }));
    }

    #[test]
    fn a_file_that_is_replaced_below_a_private_directory_is_copied() {
        let host = Host { fuse: true, ..host(&[("/var/tmp/x/a.json", FileKind::File, None)]) };
        let profile = with(&[("/var/tmp/x/a.json", Access::Replace)]);
        let plan = plan(&profile, &host, &BTreeSet::new(), path("/x"), vec![]).unwrap();
        assert_eq!(plan.copies, [path("/var/tmp/x/a.json")]);
        assert!(!plan.mounts.iter().any(|step| matches!(step, MountStep::Filtered { .. })), "{:?}", plan.mounts);
    }

    #[test]
    fn a_file_with_a_second_name_is_not_replaced() {
        let mut host = Host { fuse: true, ..host(&[("/home/a/.claude.json", FileKind::File, None)]) };
        host.seen.values_mut().flatten().for_each(|seen| seen.names = 2);
        let plan =
            plan(&with(&[("~/.claude.json", Access::Replace)]), &host, &BTreeSet::new(), path("/x"), vec![]).unwrap();
        assert_eq!(plan.withheld.len(), 1);
        assert!(plan.mounts.contains(&MountStep::Filtered { target: path("/home/a"), names: BTreeSet::new() }));
    }

    #[test]
    fn a_directory_is_not_replaced() {
        let host = host(&[("/home/a/dir", FileKind::Dir, None)]);
        let profile = with(&[("~/dir", Access::Replace)]);
        let plan = plan(&profile, &host, &BTreeSet::new(), path("/x"), vec![]).unwrap();
        assert!(matches!(&plan.withheld[..], [item] if item.why.contains("only a file can be replaced")));
        assert!(!plan.mounts.iter().any(|step| step.target() == Some(&path("/home/a/dir"))), "{:?}", plan.mounts);
    }

    #[test]
    fn names_that_were_to_be_protected_are_protected_or_there_is_no_plan() {
        let mut profile = with(&[("$PROJECT", Access::Write)]);
        profile.protect = Protect::Strict;
        profile.tolerate.insert(Lack::Namespaces);
        let place = [("/home/a/p", FileKind::Dir, None)];
        let made = |profile: &Profile, no_namespaces: Option<&str>| {
            let host = Host { no_namespaces: no_namespaces.map(str::to_owned), ..host(&place) };
            plan(profile, &host, &BTreeSet::new(), path("/x"), vec![])
        };
        assert!(matches!(made(&profile, None).unwrap().protection, Protection::Strict(_)), "the control");
        let got = made(&profile, Some("refused"));
        assert!(matches!(got, Err(PlanError::WithoutNamespaces(Unkept::Names))), "{got:?}");
        profile.nested_sandbox = true;
        let got = made(&profile, None);
        assert!(matches!(got, Err(PlanError::StrictNested)), "{got:?}");
        profile.protect = Protect::Scan;
        assert!(made(&profile, None).is_ok(), "the control");
    }

    #[test]
    fn the_network_is_the_hosts_only_by_an_approved_line() {
        let mut profile = empty();
        let target = NetTarget::Host;
        let grant = NetGrant { access: NetAccess::Unconfined, approved: false, reason: None };
        profile.network.insert(target.clone(), grant);
        let made = |profile: &Profile| plan(profile, &host(&[]), &BTreeSet::new(), path("/x"), vec![]).unwrap();
        assert_eq!(made(&profile).network, Network::None);
        profile.network.get_mut(&target).unwrap().approved = true;
        assert_eq!(made(&profile).network, Network::Host);
    }
}
