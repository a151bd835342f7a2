//! The plan of a run → the plan of the same run where the machine refuses namespaces, and what it lacks.
//!
//! Mounts decide nothing then: the root is the host's, and Landlock and the filter stand alone. What they can hold instead
//! of the missing walls they hold: sockets, System V objects and queues are refused whole. Invariant: what the profile
//! withholds by name is withheld here too, or there is no such plan. It is for profiles that tolerate this by name.

use std::collections::{BTreeMap, BTreeSet};

use crate::vocab::landlock::{Rights, Scope};
use crate::vocab::path::AbsPath;
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::row;

use super::walls::Wall;
use super::{
    Action, Condition, DEVICES, FilterSpec, Handing, MountStep, Nesting, Network, Plan, Rule, Test, Width, Withheld,
};

/// What a profile asks for that cannot be had without namespaces.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unkept {
    /// Then nothing would hold.
    #[error("there is no Landlock here either")]
    Landlock,
    /// Without a scope for signals root reaches every process of root.
    #[error("this Landlock (ABI {0}, 6 is needed) does not keep root from the machine's processes")]
    Root(u32),
    /// Below a granted directory Landlock hides nothing.
    #[error("nothing can hide `{0}`, which is withheld, in the granted directory above it")]
    Hidden(AbsPath),
    /// It would have to be mounted.
    #[error("the secret `{0}` cannot be handed over as a file")]
    Secret(String),
    /// It makes namespaces.
    #[error("`nested_sandbox` has no meaning")]
    Nested,
    /// Names are judged in a tree of the run's own.
    #[error("`protect = \"strict\"` needs mounts of the run's own")]
    Names,
    /// A supervisor dials from outside of a network of the run's own.
    #[error("the network is the host's or none: hosts cannot be granted by name")]
    Network,
}

/// Walls that need no namespace.
const LEFT: [Wall; 7] = [
    Wall::Landlock,
    Wall::Filter,
    Wall::Keyring,
    Wall::Capabilities,
    Wall::Descriptors,
    Wall::Environment,
    Wall::ProcessGroup,
];

/// Calls on objects of which there is one set for the whole machine.
const SHARED: [&str; 14] = [
    "shmget",
    "shmat",
    "shmctl",
    "shmdt",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
    "semget",
    "semop",
    "semctl",
    "semtimedop",
    "mq_open",
    "mq_unlink",
];

const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const AF_NETLINK: u64 = 16;
const O_ACCMODE: u64 = 0o3;
const O_TRUNC: u64 = 0o1000;
const EACCES: i32 = 13;

/// `plan` as it can be carried out where namespaces are refused, for the reason `why`.
///
/// # Errors
///
/// When something that the profile withholds or asks for cannot be kept so.
pub(super) fn weaken(plan: Plan, why: String) -> Result<Plan, Unkept> {
    let plan = plan.without_tripwire();
    let abi = plan.landlock.as_ref().map(|ruleset| ruleset.abi).ok_or(Unkept::Landlock)?;
    if plan.identity.uid == 0 && abi < 6 {
        return Err(Unkept::Root(abi));
    }
    if plan.nesting == Nesting::Allowed {
        return Err(Unkept::Nested);
    }
    if !matches!(plan.network, Network::None | Network::Host) {
        return Err(Unkept::Network);
    }
    if let Some((name, _)) = plan.secrets.iter().find(|(_, way)| matches!(way, Handing::File(_))) {
        return Err(Unkept::Secret(name.clone()));
    }
    let hidden = plan.mounts.iter().find_map(|step| match step {
        MountStep::Cover { target } => Some(target.clone()),
        _ => None,
    });
    if let Some(target) = hidden {
        return Err(Unkept::Hidden(target));
    }
    let mut withheld = plan.withheld;
    withheld.extend(plan.copies.iter().map(|path| Withheld {
        line: format!("\"{path}\" = \"replace\""),
        why: "it can be written, but not replaced by rename: that takes a mount".to_owned(),
    }));
    let handled = Rights::of_abi(abi);
    Ok(Plan {
        unowned: BTreeSet::new(),
        walls: plan.walls.into_iter().filter(|wall| LEFT.contains(wall)).collect(),
        landlock: Some(super::landlock::Ruleset {
            abi,
            handled,
            tcp: false,
            scope: Scope::SIGNALS.and(Scope::ABSTRACT_SOCKETS).of_abi(abi),
            rules: rules(&plan.mounts, handled),
        }),
        filter: filter(plan.filter, plan.network, abi),
        mounts: Vec::new(),
        copies: Vec::new(),
        withheld,
        without_namespaces: Some(why),
        ..plan
    })
}

/// The places of `mounts`, for the host's own root.
fn rules(mounts: &[MountStep], handled: Rights) -> BTreeMap<AbsPath, Rights> {
    let mut rules: BTreeMap<AbsPath, Rights> = BTreeMap::new();
    let mut allow = |place: &AbsPath, rights: Rights| {
        let rule = rules.entry(place.clone()).or_default();
        *rule = rule.and(rights.common(handled));
    };
    for step in mounts {
        match step {
            MountStep::Bind { target, writable: true, .. } => allow(target, Rights::WRITE),
            MountStep::Bind { target, writable: false, .. } => allow(target, Rights::READ),
            MountStep::Copy { target } => {
                allow(target, Rights::READ_FILE.and(Rights::WRITE_FILE).and(Rights::TRUNCATE));
            }
            // Nothing in it is written: with root's id that would change the machine.
            MountStep::Proc => AbsPath::new("/proc").iter().for_each(|place| allow(place, Rights::READ)),
            // Not the terminals below /dev/pts: they are those of the user's other sessions, too.
            MountStep::Dev => {
                DEVICES.iter().filter_map(|name| AbsPath::new(format!("/dev/{name}")).ok()).for_each(|place| {
                    let rights = Rights::READ_FILE.and(Rights::WRITE_FILE).and(Rights::TRUNCATE);
                    allow(&place, rights.and(Rights::IOCTL_DEV));
                })
            }
            _ => {}
        }
    }
    rules
}

/// Without a network of the run's own, sockets that reach the machine are not made; without other namespaces, nor are
/// objects that all processes of the machine share.
fn filter(mut spec: FilterSpec, network: Network, abi: u32) -> FilterSpec {
    let call = Syscall::from_name;
    if let Some(rules) = call("socket").and_then(|socket| spec.rules.get_mut(&socket)) {
        let families: &[u64] = if network == Network::Host { &[AF_INET, AF_INET6, AF_NETLINK] } else { &[] };
        // A socket in the file system is connected to by its path, which Landlock does not hold and no filter reads.
        rules.retain(|rule| rule.action != Action::Allow || is_of(rule, families));
    }
    for shared in SHARED.into_iter().filter_map(call) {
        spec.calls.insert(shared, Action::Report(row(shared).refused));
    }
    if !Rights::of_abi(abi).hold(Rights::TRUNCATE) {
        // Until Linux 6.2 whoever may not write a file by Landlock can still empty it by its name.
        if let Some(truncate) = call("truncate") {
            spec.calls.insert(truncate, Action::Report(EACCES));
        }
        for (name, flags) in [("open", 1), ("openat", 2)] {
            let mask = O_ACCMODE | O_TRUNC;
            let emptied = Condition { argument: flags, width: Width::Word, mask, value: O_TRUNC, test: Test::Equal };
            if let Some(open) = call(name) {
                let rule = Rule { conditions: vec![emptied], action: Action::Report(EACCES) };
                spec.rules.entry(open).or_default().push(rule);
            }
        }
    }
    spec
}

fn is_of(rule: &Rule, families: &[u64]) -> bool {
    rule.conditions.iter().any(|condition| condition.argument == 0 && families.contains(&condition.value))
}

impl Plan {
    /// Whether the run has namespaces and mounts of its own.
    pub fn has_namespaces(&self) -> bool {
        self.without_namespaces.is_none()
    }

    /// Gives a run without mounts a temporary directory, which the caller made for it alone.
    pub fn set_temporary(&mut self, place: &AbsPath) {
        if let Some(ruleset) = &mut self.landlock {
            let rights = Rights::WRITE.common(ruleset.handled);
            ruleset.rules.insert(place.clone(), rights);
        }
        self.set.insert("TMPDIR".to_owned(), place.as_bytes().to_vec());
    }

    /// What a run without namespaces lacks, each in words; nothing for another.
    pub fn lost(&self) -> Vec<&'static str> {
        let (Some(ruleset), false) = (&self.landlock, self.has_namespaces()) else { return Vec::new() };
        let mut lost = vec![
            "every file of the machine can be seen to exist, with its size, times and owner; what is not granted cannot be opened",
            "modes, times and owners can be changed wherever the user may",
            "git hooks, editor tasks and the like in a granted directory can be changed",
            "other processes and their commands, open ports, shared objects and the machine's name can be listed",
            "a process that outlives the two of pinfold's is not ended",
            "/tmp is not there, TMPDIR is; there are no new terminals, no /dev/shm, no sockets in the file system, no queues",
        ];
        if self.identity.uid == 0 {
            lost.push("what root alone may open in a granted directory can be opened");
        }
        if !ruleset.scope.holds(Scope::SIGNALS) {
            lost.push("processes of the same user can be signalled and ended (before Linux 6.12)");
        }
        if !ruleset.handled.hold(Rights::IOCTL_DEV) {
            lost.push("commands to devices that are granted or inherited are not held (before Linux 6.10)");
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::error::PlanError;
    use crate::plan::mounts::plan;
    use crate::plan::mounts::tests::{empty, host};
    use crate::profile::{Lack, PathGrant, Profile};
    use crate::vocab::access::Access;
    use crate::vocab::host::{FileKind, Host};

    fn path(text: &str) -> AbsPath {
        AbsPath::new(text).unwrap()
    }

    fn made(profile: &Profile, host: Host) -> Result<Plan, PlanError> {
        let host = Host { no_namespaces: Some("refused".to_owned()), ..host };
        plan(profile, &host, &BTreeSet::new(), path("/x"), vec![])
    }

    fn tolerant() -> Profile {
        let mut profile = empty();
        profile.tolerate.insert(Lack::Namespaces);
        let grant = PathGrant { access: Access::Write, sensitive: None, approved: true, reason: None };
        profile.filesystem.insert("$PROJECT".parse().unwrap(), grant);
        profile
    }

    #[test]
    fn places_keep_their_rights_and_nothing_is_mounted_or_listed_beside_them() {
        let plan = made(&tolerant(), host(&[("/home/a/p", FileKind::Dir, None)])).unwrap();
        let rules = &plan.landlock.as_ref().unwrap().rules;
        assert_eq!(rules[&path("/home/a/p")], Rights::WRITE);
        assert!(!rules.contains_key(&AbsPath::root()) && !rules.contains_key(&path("/dev/pts")));
        assert!(!rules[&path("/proc")].hold(Rights::WRITE_FILE));
        assert!(plan.mounts.is_empty() && !plan.has(Wall::Mounts) && plan.has(Wall::Landlock));
        assert!(!plan.lost().is_empty());
    }

    #[test]
    fn no_socket_is_made_and_with_the_hosts_network_none_in_the_file_system() {
        let mut profile = tolerant();
        let socket = Syscall::from_name("socket").unwrap();
        profile.syscalls.allow.insert(socket);
        let kinds = ["unix stream", "inet stream"].map(str::to_owned);
        profile.syscalls.arguments.insert(socket, kinds.into());
        let allowed = |network| {
            let spec = filter(crate::plan::filter::filter(&profile).unwrap(), network, 7);
            spec.rules[&socket].iter().filter(|rule| rule.action == Action::Allow).count()
        };
        assert_eq!(allowed(Network::None), 0);
        assert_eq!(allowed(Network::Host), 2);
    }

    #[test]
    fn before_landlock_knows_of_truncation_the_filter_refuses_it() {
        let spec = |abi| filter(crate::plan::filter::filter(&empty()).unwrap(), Network::None, abi);
        let truncate = Syscall::from_name("truncate").unwrap();
        assert_eq!(spec(2).calls[&truncate], Action::Report(EACCES));
        assert_eq!(spec(3).calls[&truncate], Action::Allow);
    }

    #[test]
    fn what_cannot_be_kept_is_no_plan() {
        let withheld = |profile: &mut Profile| {
            let sensitive = Some(crate::vocab::sensitivity::Sensitivity::Credential);
            let grant = PathGrant { access: Access::Read, sensitive, approved: false, reason: None };
            profile.filesystem.insert("$PROJECT/.env".parse().unwrap(), grant);
        };
        let places = [("/home/a/p", FileKind::Dir, None), ("/home/a/p/.env", FileKind::File, None)];
        let mut profile = tolerant();
        withheld(&mut profile);
        let got = made(&profile, host(&places));
        assert!(matches!(got, Err(PlanError::WithoutNamespaces(Unkept::Hidden(_)))), "{got:?}");
        let mut profile = tolerant();
        profile.nested_sandbox = true;
        let got = made(&profile, host(&places));
        assert!(matches!(got, Err(PlanError::WithoutNamespaces(Unkept::Nested))), "{got:?}");
        profile.nested_sandbox = false;
        profile.tolerate.insert(Lack::Landlock);
        let got = made(&profile, Host { landlock: None, ..host(&places) });
        assert!(matches!(got, Err(PlanError::WithoutNamespaces(Unkept::Landlock))), "{got:?}");
        let root = crate::vocab::host::Identity { uid: 0, gid: 0 };
        let got = made(&tolerant_and_plain(), Host { landlock: Some(4), identity: root, ..host(&places) });
        assert!(matches!(got, Err(PlanError::WithoutNamespaces(Unkept::Root(4)))), "{got:?}");
    }

    fn tolerant_and_plain() -> Profile {
        let mut profile = tolerant();
        profile.filesystem.clear();
        profile
    }
}
