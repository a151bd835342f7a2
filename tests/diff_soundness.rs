//! Whether a difference can be trusted: against an oracle that asks for one request after the other.
//!
//! The oracle knows nothing of the comparison. It resolves places on made-up machines and looks for the line that decides; of
//! system calls it asks the filter that a plan would load. `PINFOLD_TEST_CASES` sets the number of pairs.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test program: a panic in a helper is a failed test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use pinfold::diff::{Context, Direction, compare};
use pinfold::event::GapKind;
use pinfold::plan::{Action, FilterSpec, Test, Width, filter};
use pinfold::profile::emit::emit;
use pinfold::profile::{
    Delivery, Incomplete, Lack, Limits, NetAccess, NetGrant, PathGrant, Profile, Protect, Secret, SecretSource,
    Syscalls,
};
use pinfold::vocab::access::Access;
use pinfold::vocab::bundle::{Bundle, Layout, Opening, Shape};
use pinfold::vocab::endpoint::NetTarget;
use pinfold::vocab::limits::{Bytes, Percent};
use pinfold::vocab::location::{Base, Location, Roots};
use pinfold::vocab::path::AbsPath;
use pinfold::vocab::sensitivity::Sensitivity;
use pinfold::vocab::syscall::Syscall;

/// SplitMix64 (Steele, Lea, Flood 2014): the same pairs on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(count).unwrap()).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

const PLACES: &[&str] = &[
    "/",
    "/a",
    "/a/a",
    "/a/b",
    "/a/b/a",
    "/b",
    "/tmp",
    "/tmp/a",
    "/proc",
    "$PROJECT",
    "$PROJECT/a",
    "$PROJECT/a/b",
    "$PROJECT/.git",
    "$PROJECT/.git/hooks",
    "$PROJECT/.git/hooks/a",
    "~",
    "~/a",
    "~/a/b",
    "~/.config",
    "~/.config/a",
    "~/.ssh",
    "$XDG_CONFIG_HOME",
    "$XDG_CONFIG_HOME/a",
    "$TMPDIR",
    "$TMPDIR/a",
];
const PEERS: &[&str] = &[
    "@host",
    "a.x:1",
    "b.a.x:1",
    "*.x:1",
    "*.a.x:1",
    "a.x:2",
    "x:1",
    "a.x:1-2",
    "a.x:2-4",
    "*.x:2-3",
    "*.a.x:1-4",
    "localhost:1",
    "localhost:2-3",
    "localhost:1-4",
    "10.0.0.1:1",
    "10.0.0.1:1-3",
    "[fd00::1]:2",
    "@inside:2",
];
/// Places that some version of a bundle takes for a file.
const FILES: &[&str] = &["/b", "/a/a", "~/.config/a"];
/// What a bundle opens, of which two profiles may know different versions: place, whether a file, layouts.
type Opens = &'static [(&'static str, bool, &'static [Layout])];
const BUNDLES: &[(&str, &[Opens])] = &[
    (
        "p",
        &[
            &[("/a", false, &[])],
            &[("/a/b", false, &[Layout::Debian]), ("/b", true, &[])],
            &[("/a/b", false, &[Layout::Debian, Layout::Alpine]), ("/b", false, &[])],
            &[("/a", false, &[Layout::Alpine]), ("/a/b/a", false, &[])],
        ],
    ),
    (
        "q",
        &[
            &[("/a/b", false, &[])],
            &[("/b", true, &[]), ("$PROJECT/a", false, &[])],
            &[("/tmp/a", false, &[]), ("~/.config/a", true, &[Layout::Alpine])],
            &[("~/.ssh", false, &[]), ("/a/a", true, &[Layout::Debian])],
        ],
    ),
];
const CALLS: &[&str] =
    &["read", "ioctl", "socket", "ptrace", "mount", "bpf", "personality", "io_uring_setup", "chroot"];
const SOCKETS: &[&str] =
    &["inet stream", "inet stream 6", "inet stream 262", "unix stream", "netlink raw 0", "packet raw"];
const COMMANDS: &[&str] = &["TCGETS", "0x5401", "0x5457", "0x5412", "0x1234"];
const NAMES: &[&str] = &["A", "B", "LD_C", "MY_TOKEN"];

fn call(name: &str) -> Syscall {
    Syscall::from_name(name).unwrap()
}

/// One more, one less or another line.
fn edit(profile: &mut Profile, random: &mut Random) {
    match random.below(16) {
        14 | 15 => bundle(profile, random),
        0..=5 => {
            let place: Location = random.of(PLACES).parse().unwrap();
            if random.one_in(4) {
                profile.filesystem.remove(&place);
                return;
            }
            let kinds = [Sensitivity::Vault, Sensitivity::Credential, Sensitivity::HostExecutes];
            let grant = PathGrant {
                access: random.of(&[Access::Exist, Access::Read, Access::Write, Access::Replace]),
                sensitive: if random.one_in(3) { Some(random.of(&kinds)) } else { None },
                approved: !random.one_in(4),
                reason: None,
            };
            profile.filesystem.insert(place, grant);
        }
        6 | 7 => {
            let target: NetTarget = random.of(PEERS).parse().unwrap();
            let access = NetAccess::usual(&target);
            let is_one = matches!(target, NetTarget::Name(_));
            let access = if is_one && random.one_in(3) { NetAccess::Relay } else { access };
            let approved = !random.one_in(3);
            if profile.network.remove(&target).is_none() || random.one_in(2) {
                profile.network.insert(target, NetGrant { access, approved, reason: None });
            }
        }
        8 => {
            let call = call(random.of(CALLS));
            let syscalls = &mut profile.syscalls;
            if syscalls.allow.remove(&call) && random.one_in(2) {
                syscalls.approved.remove(&call);
            } else {
                syscalls.allow.insert(call);
                if random.one_in(2) {
                    syscalls.approved.insert(call);
                }
            }
        }
        9 => arguments(profile, random),
        10 => {
            let name = random.of(NAMES).to_owned();
            if !profile.environment.remove(&name) {
                profile.environment.insert(name);
            }
        }
        11 => {
            let name = random.of(NAMES).to_owned();
            if profile.secrets.remove(&name).is_none() || random.one_in(2) {
                let words = vec!["pass".to_owned(), "x".to_owned()];
                let from = [SecretSource::Env, SecretSource::Descriptor(7), SecretSource::Command(words)];
                let to = [Delivery::Variable, Delivery::File(None), Delivery::Descriptor];
                let secret = Secret { from: random.of(&from), to: random.of(&to), approved: !random.one_in(3) };
                profile.secrets.insert(name, secret);
            }
        }
        12 => limits(&mut profile.limits, random),
        _ => whole(profile, random),
    }
}

fn bundle(profile: &mut Profile, random: &mut Random) {
    let (name, versions) = random.of(BUNDLES);
    let location = Location::Bundle(name.to_owned());
    if random.one_in(4) {
        profile.filesystem.remove(&location);
        profile.bundles.remove(name);
        return;
    }
    let opened = opened(random.of(versions));
    let grant = PathGrant { access: Access::Read, sensitive: None, approved: !random.one_in(4), reason: None };
    profile.filesystem.insert(location, grant);
    profile.bundles.insert(name.to_owned(), opened);
}

fn opened(version: Opens) -> Bundle {
    let opening = |(place, file, layouts): &(&str, bool, &[Layout])| Opening {
        place: place.parse().unwrap(),
        shape: if *file { Shape::File } else { Shape::Directory },
        layouts: layouts.iter().copied().collect(),
        why: String::new(),
    };
    Bundle { why: String::new(), opens: version.iter().map(opening).collect() }
}

fn arguments(profile: &mut Profile, random: &mut Random) {
    let (name, words) = random.of(&[("ioctl", COMMANDS), ("socket", SOCKETS), ("socketpair", SOCKETS)]);
    let arguments = &mut profile.syscalls.arguments;
    if random.one_in(4) {
        arguments.remove(&call(name));
    } else {
        let set = arguments.entry(call(name)).or_default();
        let word = random.of(words).to_owned();
        if !set.remove(&word) {
            set.insert(word);
        }
    }
}

fn limits(limits: &mut Limits, random: &mut Random) {
    let amount = |random: &mut Random| if random.one_in(3) { None } else { Some(1 + random.next() % 3) };
    match random.below(5) {
        0 => limits.memory = amount(random).map(Bytes),
        1 => limits.processes = amount(random).map(|count| count.try_into().unwrap()),
        2 => limits.cpu = amount(random).map(|count| Percent(count.try_into().unwrap())),
        3 => limits.file_size = amount(random).map(Bytes),
        _ => limits.disk = amount(random).map(Bytes),
    }
}

fn whole(profile: &mut Profile, random: &mut Random) {
    match random.below(6) {
        0 => profile.nested_sandbox = !profile.nested_sandbox,
        4 => profile.protect = random.of(&Protect::ALL),
        1 => profile.syscalls.base = 1 - profile.syscalls.base,
        2 => {
            if !profile.tolerate.remove(&Lack::Landlock) {
                profile.tolerate.insert(Lack::Landlock);
            }
        }
        3 => {
            profile.incomplete = match profile.incomplete {
                Some(_) if random.one_in(2) => None,
                _ => Some(Incomplete { gaps: BTreeSet::from([GapKind::Timeout]), approved: random.one_in(2) }),
            };
        }
        _ => profile.command = vec![random.of(&["x", "y"]).to_owned()],
    }
}

fn empty() -> Profile {
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

/// A pair that differs in little, so that "nothing more" is as frequent as "more".
fn pair(random: &mut Random) -> (Profile, Profile) {
    let mut old = empty();
    for _ in 0..random.below(14) {
        edit(&mut old, random);
    }
    let mut new = old.clone();
    for _ in 0..=random.below(3) {
        edit(&mut new, random);
    }
    if random.one_in(2) { (old, new) } else { (new, old) }
}

// --- the oracle -----------------------------------------------------------------------------------------------------

fn path(text: &str) -> AbsPath {
    AbsPath::new(text).unwrap()
}

/// A machine, and what of it is asked about.
struct Machine {
    roots: Roots,
    /// Every path that a location of the alphabet or a stranger beside and below it can be.
    paths: BTreeSet<AbsPath>,
    /// What some bundle takes for a file.
    files: BTreeSet<AbsPath>,
}

/// Machines on which the variables lead to different places.
static MACHINES: LazyLock<[Machine; 2]> = LazyLock::new(|| {
    let machine = |config: &str, tmp: &str| {
        let roots = Roots(BTreeMap::from([
            (Base::Project, path("/P")),
            (Base::Home, path("/H")),
            (Base::XdgConfig, path(config)),
            (Base::Tmpdir, path(tmp)),
        ]));
        let resolve = |place: &&str| roots.resolve(&place.parse().unwrap()).unwrap();
        let mut paths = BTreeSet::new();
        for path in PLACES.iter().map(resolve) {
            paths.extend(path.ancestors());
            paths.insert(path.join("z").unwrap());
            paths.insert(path);
        }
        let files = FILES.iter().map(resolve).collect();
        Machine { roots, paths, files }
    };
    [machine("/C", "/T"), machine("/H/.config", "/tmp")]
});

/// Something that a process may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Want {
    See,
    Read,
    Write,
    /// To write a name that the host executes, where it exists.
    WriteGuarded,
    Replace,
}

/// A system: where variables lead, where its files lie, and whether what some bundle takes for a file is a directory there.
#[derive(Clone, Copy)]
struct System<'a> {
    machine: &'a Machine,
    layout: Option<Layout>,
    directories: bool,
}

impl System<'_> {
    /// Whether there can be something at `path`.
    fn has(&self, path: &AbsPath) -> bool {
        self.directories || !path.ancestors().any(|above| self.is_perhaps_file(&above))
    }

    fn is_perhaps_file(&self, path: &AbsPath) -> bool {
        self.machine.files.contains(path)
    }
}

struct Files<'a> {
    grants: BTreeMap<AbsPath, &'a PathGrant>,
    system: System<'a>,
}

/// What a bundle gives.
static OPENED: PathGrant = PathGrant { access: Access::Read, sensitive: None, approved: true, reason: None };

impl<'a> Files<'a> {
    /// `other`: where that has a line for what a bundle opens, it is for what the bundle takes it for.
    fn of(profile: &'a Profile, other: &Profile, system: System<'a>) -> Self {
        let mut grants = Self::lines(profile, &system.machine.roots);
        let theirs = Self::lines(other, &system.machine.roots);
        let mut opened: BTreeMap<AbsPath, Shape> = BTreeMap::new();
        for (name, bundle) in &profile.bundles {
            if !profile.filesystem.get(&Location::Bundle(name.clone())).is_some_and(|grant| grant.approved) {
                continue;
            }
            for opening in &bundle.opens {
                let is_here = opening.layouts.is_empty() || system.layout.is_some_and(|l| opening.layouts.contains(&l));
                let path = system.machine.roots.resolve(&opening.place).unwrap();
                let is_file = system.is_perhaps_file(&path) && !system.directories;
                let fits = is_file == (opening.shape == Shape::File) || theirs.contains_key(&path);
                if is_here && fits && !is_own(&path) && !path.as_bytes().ends_with(b"/.ssh") {
                    let shape = opened.entry(path).or_insert(opening.shape);
                    *shape = if opening.shape == Shape::Directory { Shape::Directory } else { *shape };
                }
            }
        }
        let shown = grants.iter().filter(|(_, grant)| grant.approved && grant.access >= Access::Read);
        let directories = opened.iter().filter(|(_, shape)| **shape == Shape::Directory).map(|(path, _)| path.clone());
        let held: BTreeSet<AbsPath> = shown.map(|(path, _)| path.clone()).chain(directories).collect();
        for path in opened.into_keys().filter(|path| !path.ancestors().any(|above| held.contains(&above))) {
            grants.entry(path).or_insert(&OPENED);
        }
        Self { grants, system }
    }

    fn lines<'p>(profile: &'p Profile, roots: &Roots) -> BTreeMap<AbsPath, &'p PathGrant> {
        let mut grants: BTreeMap<AbsPath, &PathGrant> = BTreeMap::new();
        for (location, grant) in &profile.filesystem {
            let Some(path) = roots.resolve(location).filter(|path| !is_own(path)) else { continue };
            // What both lines of one place give: the approved one, then the wider.
            match grants.get(&path) {
                Some(other) if (other.approved, other.access) >= (grant.approved, grant.access) => {}
                _ => drop(grants.insert(path, grant)),
            }
        }
        grants
    }

    fn allows(&self, path: &AbsPath, want: Want) -> bool {
        if !self.system.has(path) {
            return false;
        }
        if want == Want::See && self.is_visible(path) {
            return true;
        }
        if is_own(path) {
            return false;
        }
        let level = self.deciding(path).map(|grant| grant.access);
        match want {
            Want::See | Want::Read => level >= Some(Access::Read),
            Want::Write => level >= Some(Access::Write),
            Want::Replace => level >= Some(Access::Replace),
            Want::WriteGuarded => {
                let by_name = self
                    .grants
                    .get(path)
                    .is_some_and(|grant| grant.approved && grant.sensitive.is_some() && grant.access.writes());
                level == Some(Access::Replace) || (level == Some(Access::Write) && by_name)
            }
        }
    }

    fn is_visible(&self, path: &AbsPath) -> bool {
        let made = [Base::Home, Base::Project].map(|base| self.system.machine.roots.get(base).unwrap());
        let own = is_own(path) || made.iter().any(|made| made.is_beneath(path));
        let named = self.grants.iter().any(|(place, grant)| grant.approved && place.is_beneath(path));
        // Nothing is put over what the host executes: it is as what lies around it.
        let covers = |grant: &PathGrant| !grant.approved && grant.sensitive != Some(Sensitivity::HostExecutes);
        let covered = self.grants.get(path).is_some_and(|grant| covers(grant)) && self.is_shown_above(path);
        own || named || covered
    }

    fn is_shown_above(&self, path: &AbsPath) -> bool {
        let mut above = path.ancestors().filter_map(|place| self.grants.get(&place));
        above.any(|grant| grant.approved && grant.access >= Access::Read)
    }

    /// The grant whose mount the path lies in; `None` where there is none, or a cover.
    fn deciding(&self, path: &AbsPath) -> Option<&'a PathGrant> {
        for place in std::iter::once(path.clone()).chain(path.ancestors()) {
            let Some(grant) = self.grants.get(&place) else { continue };
            match (grant.approved, grant.access) {
                (true, Access::Exist) => {}
                (true, _) => return Some(grant),
                (false, _) if grant.sensitive == Some(Sensitivity::HostExecutes) => {}
                (false, _) => return None,
            }
        }
        None
    }
}

fn is_own(path: &AbsPath) -> bool {
    ["/proc", "/dev", "/tmp"].iter().any(|own| path.as_bytes() == own.as_bytes())
}

fn files_allow_more(old: &Profile, new: &Profile) -> bool {
    (old.filesystem != new.filesystem || old.bundles != new.bundles)
        && MACHINES.iter().any(|machine| more_on(machine, old, new))
}

fn more_on(machine: &Machine, old: &Profile, new: &Profile) -> bool {
    let layouts = [None, Some(Layout::Debian), Some(Layout::Alpine)];
    let systems = [true, false].into_iter();
    let systems = systems.flat_map(|directories| layouts.map(|layout| System { machine, layout, directories }));
    // What differs from one system to the next is what bundles open.
    let openings = || old.bundles.values().chain(new.bundles.values()).flat_map(|bundle| &bundle.opens);
    let has_files = openings().any(|opening| opening.shape == Shape::File);
    let count = if has_files {
        6
    } else if openings().next().is_some() {
        3
    } else {
        1
    };
    systems.take(count).any(|system| more_there(system, old, new))
}

fn more_there(system: System<'_>, old: &Profile, new: &Profile) -> bool {
    let (old, new) = (Files::of(old, new, system), Files::of(new, old, system));
    let hooks = system.machine.roots.resolve(&"$PROJECT/.git/hooks".parse().unwrap()).unwrap();
    system.machine.paths.iter().any(|path| {
        let guarded = path.is_beneath(&hooks);
        let wants = [Want::See, Want::Read, Want::Write, Want::WriteGuarded, Want::Replace];
        let mut wants = wants.into_iter().filter(|want| *want != Want::WriteGuarded || guarded);
        wants.any(|want| new.allows(path, want) && !old.allows(path, want))
    })
}

/// Requests to the filter: call and arguments.
fn calls() -> Vec<(Syscall, [u64; 6])> {
    let mut all: Vec<_> = CALLS.iter().map(|name| (call(name), [0; 6])).collect();
    all.extend(["unshare", "setns", "openat", "execve"].map(|name| (call(name), [0; 6])));
    all.push((call("clone"), [0x1000_0000, 0, 0, 0, 0, 0]));
    for command in [0x5401, 0x5402, 0x5457, 0x5412, 0x1234, 0x9999] {
        all.push((call("ioctl"), [0, command, 0, 0, 0, 0]));
    }
    for name in ["socket", "socketpair"] {
        for (domain, kind) in [(1, 1), (1, 2), (2, 1), (2, 2), (16, 3), (17, 3), (10, 1)] {
            for protocol in [0, 1, 6, 17, 262] {
                all.push((call(name), [domain, kind, protocol, 0, 0, 0]));
            }
        }
    }
    all
}

fn filter_allows(spec: &FilterSpec, call: Syscall, arguments: &[u64; 6]) -> bool {
    let holds = |condition: &pinfold::plan::Condition| {
        let value = arguments[usize::from(condition.argument)];
        let value = if condition.width == Width::Word { value & 0xffff_ffff } else { value };
        match condition.test {
            Test::Equal => value & condition.mask == condition.value,
            Test::NotEqual => value & condition.mask != condition.value,
        }
    };
    let rule = spec.rules.get(&call).into_iter().flatten().find(|rule| rule.conditions.iter().all(holds));
    let action = rule.map(|rule| rule.action).or(spec.calls.get(&call).copied()).unwrap_or(spec.default);
    !matches!(action, Action::Refuse(_) | Action::Report(_))
}

fn calls_allow_more(old: &Profile, new: &Profile) -> bool {
    if old.syscalls == new.syscalls && old.nested_sandbox == new.nested_sandbox {
        return false;
    }
    let (old, new) = (filter::filter(old).unwrap(), filter::filter(new).unwrap());
    calls()
        .iter()
        .any(|(call, arguments)| filter_allows(&new, *call, arguments) && !filter_allows(&old, *call, arguments))
}

/// How much: nothing, what is read, everything.
fn network_allows(profile: &Profile, host: &str, port: u16) -> u8 {
    let of_line = |(target, grant): (&NetTarget, &NetGrant)| {
        let matches = match target {
            NetTarget::Host => true,
            NetTarget::Inside(number) => host == "@inside" && port == *number,
            NetTarget::Name(peer) => peer.port == port && is_host(&peer.host, host),
            NetTarget::Ports(ports) => ports.first <= port && port <= ports.last && is_host(&ports.host, host),
        };
        if matches { 1 + u8::from(grant.access != NetAccess::Relay) } else { 0 }
    };
    profile.network.iter().filter(|(_, grant)| grant.approved).map(of_line).max().unwrap_or(0)
}

fn is_host(line: &str, host: &str) -> bool {
    line.strip_prefix('*').map_or(line == host, |zone| host.ends_with(zone) && host != zone)
}

fn network_allows_more(old: &Profile, new: &Profile) -> bool {
    // The last stands for abstract sockets and all else that is the host's own.
    let own = ["localhost", "10.0.0.1", "10.0.0.2", "[fd00::1]", "@inside"];
    let mut peers = ["a.x", "b.a.x", "c.b.a.x", "c.x", "x", "y", "\0abstract"].into_iter().chain(own);
    peers.any(|host| (1..=5).any(|port| network_allows(new, host, port) > network_allows(old, host, port)))
}

/// What is in a variable: from where, and for how many to see.
fn variable(profile: &Profile, name: &str) -> Option<(SecretSource, u8)> {
    let secret = profile.secrets.get(name).filter(|secret| secret.approved);
    let secret = secret.map(|secret| {
        let seen = match secret.to {
            Delivery::Descriptor => 1,
            Delivery::File(_) => 2,
            Delivery::Variable => 3,
        };
        (secret.from.clone(), seen)
    });
    secret.or_else(|| profile.environment.contains(name).then_some((SecretSource::Env, 3)))
}

fn variables_allow_more(old: &Profile, new: &Profile) -> bool {
    NAMES.iter().any(|name| match (variable(old, name), variable(new, name)) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some((was, seen)), Some((is, sees))) => was != is || sees > seen,
    })
}

fn limits_allow_more(old: &Limits, new: &Limits) -> bool {
    let within = |limits: &Limits, amount: u64| {
        let small: u32 = amount.try_into().unwrap();
        [
            limits.memory.is_none_or(|limit| amount <= limit.0),
            limits.processes.is_none_or(|limit| small <= limit),
            limits.cpu.is_none_or(|limit| small <= limit.0),
            limits.file_size.is_none_or(|limit| amount <= limit.0),
            limits.disk.or(limits.memory).is_none_or(|limit| amount <= limit.0),
        ]
    };
    (1..=4).any(|amount| within(old, amount).iter().zip(within(new, amount)).any(|(old, new)| new && !old))
}

fn whole_allows_more(old: &Profile, new: &Profile) -> bool {
    let starts = |profile: &Profile| profile.incomplete.as_ref().is_none_or(|lack| lack.approved);
    old.command != new.command
        || (new.nested_sandbox && !old.nested_sandbox)
        || (new.protect == Protect::Scan && old.protect == Protect::Strict)
        || !new.tolerate.is_subset(&old.tolerate)
        || (starts(new) && !starts(old))
}

fn allows_more(old: &Profile, new: &Profile) -> bool {
    whole_allows_more(old, new)
        || files_allow_more(old, new)
        || calls_allow_more(old, new)
        || network_allows_more(old, new)
        || variables_allow_more(old, new)
        || limits_allow_more(&old.limits, &new.limits)
}

// --- the property ----------------------------------------------------------------------------------------------------

/// What is wrong with the difference of a pair.
fn complaint(old: &Profile, new: &Profile) -> Option<String> {
    let difference = compare(old, new, &Context::default());
    let (more, less) = (allows_more(old, new), allows_more(new, old));
    if more && !difference.widens() {
        return Some("it allows more, and nothing widens".into());
    }
    if !more && difference.widens() {
        let told: Vec<String> = difference.going(Direction::Widens).map(|change| change.text()).collect();
        return Some(format!("it allows no more, and yet: {}", told.join("; ")));
    }
    // Less on a machine where variables meet is not told: only what widens there matters.
    let [apart, _] = &*MACHINES;
    let is_told = || more_on(apart, new, old) == files_allow_more(new, old);
    if less && difference.changes.is_empty() && is_told() {
        return Some("it allows less, and nothing is said".into());
    }
    if pinfold::profile::digest::digest(old) != pinfold::profile::digest::digest(new) && difference.changes.is_empty() {
        return Some("the digests differ, and nothing is said".into());
    }
    for change in &difference.changes {
        let [least, most] = change.code.row().risk;
        if !(least..=most).contains(&change.risk) || change.text().contains(['{', '}']) {
            return Some(format!("{} is not as its row says: {}", change.code.as_str(), change.text()));
        }
    }
    None
}

/// The smallest pair with a complaint that can be reached by taking lines away from both.
fn shrink(mut old: Profile, mut new: Profile) -> (Profile, Profile) {
    let smaller = |old: &Profile, new: &Profile| {
        let mut all: Vec<(Profile, Profile)> = Vec::new();
        for place in PLACES.iter().map(|place| place.parse().unwrap()) {
            let (mut a, mut b) = (old.clone(), new.clone());
            if a.filesystem.remove(&place).is_some() | b.filesystem.remove(&place).is_some() {
                all.push((a, b));
            }
        }
        let parts: [fn(&mut Profile); 7] = [
            |p| p.network.clear(),
            |p| {
                p.filesystem.retain(|place, _| !matches!(place, Location::Bundle(_)));
                p.bundles.clear();
            },
            |p| p.secrets.clear(),
            |p| p.environment.clear(),
            |p| p.limits = Limits::default(),
            |p| p.syscalls = Syscalls { base: 1, ..Syscalls::default() },
            |p| p.incomplete = None,
        ];
        for clear in parts {
            let (mut a, mut b) = (old.clone(), new.clone());
            clear(&mut a);
            clear(&mut b);
            if (&a, &b) != (old, new) {
                all.push((a, b));
            }
        }
        all.into_iter().find(|(a, b)| complaint(a, b).is_some())
    };
    while let Some((a, b)) = smaller(&old, &new) {
        (old, new) = (a, b);
    }
    (old, new)
}

fn bundles(profile: &Profile) -> String {
    profile.bundles.iter().map(|(name, bundle)| format!("@{name}: {}", bundle.meaning())).collect()
}

#[test]
fn what_is_allowed_more_is_told_and_what_is_not_is_not() {
    let cases = std::env::var("PINFOLD_TEST_CASES").ok().map_or(2_000, |count| count.parse().unwrap());
    let (mut wider, mut not) = (0_u64, 0_u64);
    for case in 0..cases {
        let (old, new) = pair(&mut Random(case));
        if let Some(complaint) = complaint(&old, &new) {
            let (old, new) = shrink(old, new);
            let smallest = self::complaint(&old, &new).unwrap_or_default();
            panic!(
                "pair {case}: {complaint}\nsmallest: {smallest}\n--- old\n{}{}\n--- new\n{}{}",
                emit(&old, None),
                bundles(&old),
                emit(&new, None),
                bundles(&new)
            );
        }
        if compare(&old, &new, &Context::default()).widens() { wider += 1 } else { not += 1 }
    }
    // A control: both kinds of pairs were there.
    assert!(wider > cases / 5 && not > cases / 5, "{wider} wider, {not} not");
}

#[test]
fn a_profile_against_itself_says_nothing_and_any_two_are_told_apart() {
    for case in 0..300 {
        let (old, new) = pair(&mut Random(case + 1_000_000));
        assert_eq!(compare(&old, &old, &Context::default()).changes, []);
        let there = compare(&old, &new, &Context::default());
        let back = compare(&new, &old, &Context::default());
        assert_eq!(there.changes.is_empty(), back.changes.is_empty());
    }
}

/// Pairs that the comparison once got wrong, old and new, and whether the new one widens.
#[test]
fn what_random_pairs_once_found_stays_found() {
    let with = |lines: &[(&str, Access, bool)], bundles: &[(&str, usize)]| {
        let mut profile = empty();
        for (place, access, approved) in lines {
            let grant = PathGrant { access: *access, sensitive: None, approved: *approved, reason: None };
            profile.filesystem.insert(place.parse().unwrap(), grant);
        }
        for (name, version) in bundles {
            let (_, versions) = BUNDLES.iter().find(|(known, _)| known == name).unwrap();
            profile.filesystem.entry(Location::Bundle((*name).to_owned())).or_insert(OPENED.clone());
            profile.bundles.insert((*name).to_owned(), opened(versions[*version]));
        }
        profile
    };
    let exist = ("~/.config/a", Access::Exist, true);
    let replace = ("/", Access::Replace, true);
    let cover = ("/a/b", Access::Read, false);
    let inner = ("/a/b/a", Access::Read, true);
    for (name, old, new, widens) in [
        // A bundle that nobody approved hid what the root gave.
        ("waits", with(&[replace, ("@q", Access::Read, false)], &[]), with(&[replace], &[("q", 0)]), false),
        // A line that only shows a place outranks the bundle that opens it on one system.
        ("outranked", with(&[exist], &[("q", 2)]), with(&[], &[("q", 2)]), true),
        // What a bundle opens beneath what it opens anyway stays hidden by a line between.
        ("held", with(&[cover], &[("p", 3)]), with(&[cover, inner], &[("p", 3)]), true),
        // Nor does it make a directory above it be seen.
        (
            "unmade",
            with(&[("/a", Access::Exist, false)], &[("p", 0)]),
            with(&[("/a", Access::Exist, false)], &[("p", 0), ("q", 0)]),
            false,
        ),
        // An upgrade that opens the same on one more system, or a directory where there was a file.
        ("layout", with(&[], &[("p", 1)]), with(&[], &[("p", 2)]), true),
        ("file", with(&[], &[("p", 2)]), with(&[], &[("p", 1)]), true),
        // What is sensitive no bundle opens: the line is new.
        ("sensitive", with(&[], &[("q", 3)]), with(&[("~/.ssh", Access::Read, true)], &[("q", 3)]), true),
        // A line for what a bundle opens gives no more than the bundle did, and fewer ports in two lines no more than one.
        ("member", with(&[], &[("q", 0)]), with(&[("/a/b", Access::Read, true)], &[]), false),
    ] {
        assert_eq!(compare(&old, &new, &Context::default()).widens(), widens, "{name}");
        assert_eq!(complaint(&old, &new), None, "{name}");
    }
}

/// The oracle itself: what it must know for the property to mean anything.
#[test]
fn the_oracle_asks_for_what_it_should() {
    let with = |lines: &[(&str, Access)]| {
        let mut profile = empty();
        for (place, access) in lines {
            let grant = PathGrant { access: *access, sensitive: None, approved: true, reason: None };
            profile.filesystem.insert(place.parse().unwrap(), grant);
        }
        profile
    };
    let (a, b) = (with(&[("/a", Access::Read)]), with(&[("/a/b", Access::Read)]));
    assert!(!allows_more(&a, &b) && allows_more(&b, &a));
    let narrowed = with(&[("/a", Access::Write), ("/a/b", Access::Read)]);
    assert!(allows_more(&narrowed, &with(&[("/a", Access::Write)])), "the nearest line decides");
    let (mut ruled, free) = (empty(), empty());
    ruled.syscalls.arguments.insert(call("ioctl"), BTreeSet::new());
    assert!(allows_more(&ruled, &free) && !allows_more(&free, &ruled), "a list that is gone rules nothing");
}
