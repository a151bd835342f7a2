//! Mount steps → the Landlock ruleset that stands behind them.
//!
//! What the mounts let exist, Landlock lets be used, by the same plan: were a mount missing, or a hole found in it, the
//! second wall still holds. Invariant: no place gets a right here that its mount does not give.
//!
//! A rule holds for a place and everything beneath it, and rights only add up: a read-only mount within a writable place
//! (a guard, a granted file below a private directory) is held by its mount alone. Names can be listed wherever they exist.
//! Attributes, modes, times and existence are not Landlock's matter.

use std::collections::BTreeMap;

use crate::vocab::landlock::{Rights, Scope};
use crate::vocab::path::AbsPath;

use super::{MountStep, Network};

/// What Landlock holds back, and what it allows of that. Rights that the kernel's ABI does not know are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    /// The ABI that it is made for.
    pub abi: u32,
    /// Held back wherever no rule allows it.
    pub handled: Rights,
    /// Whether the caller's own TCP connects and binds are held back, all of them: the supervisor makes those that are allowed.
    pub tcp: bool,
    /// Out of reach outside the sandbox, whatever rules say.
    pub scope: Scope,
    /// Places inside, with what is allowed there and beneath. On what is no directory, what a file can have of it.
    pub rules: BTreeMap<AbsPath, Rights>,
}

/// The ruleset behind `mounts`, for a kernel of this ABI.
pub fn ruleset(mounts: &[MountStep], network: Network, abi: u32) -> Ruleset {
    let handled = Rights::of_abi(abi);
    let mut rules: BTreeMap<AbsPath, Rights> = BTreeMap::new();
    let mut allow = |place: &AbsPath, rights: Rights| {
        let rule = rules.entry(place.clone()).or_default();
        *rule = rule.and(rights.common(handled));
    };
    allow(&AbsPath::root(), Rights::READ_DIR);
    for step in mounts {
        match step {
            MountStep::Bind { target, writable: true, .. } | MountStep::Tmpfs { target, .. } => {
                allow(target, Rights::WRITE);
            }
            MountStep::Filtered { target, .. } => allow(target, FILTERED),
            MountStep::Bind { target, writable: false, .. } => allow(target, Rights::READ),
            // /proc/self/oom_score_adj, comm and the like are written; what reaches the machine is read-only by its mount.
            MountStep::Proc => fixed("/proc").iter().for_each(|place| allow(place, PROC)),
            MountStep::Dev => {
                for name in super::DEVICES.into_iter().chain(["pts"]) {
                    fixed(&format!("/dev/{name}")).iter().for_each(|place| allow(place, DEVICE));
                }
                fixed("/dev/shm").iter().for_each(|place| allow(place, Rights::WRITE));
            }
            MountStep::Secrets => fixed(super::SECRETS).iter().for_each(|place| allow(place, SECRET)),
            MountStep::Secret { target, .. } => allow(target, SECRET),
            MountStep::Text { target, .. } => allow(target, Rights::READ_FILE),
            MountStep::Queues => fixed("/dev/mqueue").iter().for_each(|place| allow(place, Rights::WRITE)),
            // A copied file lies in a private directory, which has its rule; the others are empty, unreadable or no places
            // of their own.
            MountStep::Copy { .. }
            | MountStep::Guard { .. }
            | MountStep::Pin { .. }
            | MountStep::Cover { .. }
            | MountStep::Seal { .. }
            | MountStep::Directory { .. }
            | MountStep::Symlink { .. }
            | MountStep::AsOwn { .. }
            | MountStep::Placeholder { .. } => {}
        }
    }
    let scope = match network {
        Network::None | Network::Named => Scope::SIGNALS.and(Scope::ABSTRACT_SOCKETS),
        Network::Host => Scope::SIGNALS,
    };
    Ruleset {
        abi,
        handled,
        tcp: network == Network::Named && abi >= TCP_SINCE,
        scope: scope.of_abi(abi),
        rules: without_repetition(rules),
    }
}

/// The ruleset of a run that may mount: under any rule on files the kernel refuses mounts, so signals and sockets alone are
/// held back.
pub fn without_places(network: Network, abi: u32) -> Ruleset {
    Ruleset { handled: Rights::NONE, rules: BTreeMap::new(), ..ruleset(&[], network, abi) }
}

impl Ruleset {
    /// Lets a directory be written that is the run's own, where files on disk are held back at all.
    pub(super) fn allow_private(&mut self, place: &AbsPath) {
        if self.handled != Rights::NONE {
            self.rules.insert(place.clone(), Rights::WRITE.common(self.handled));
        }
    }
}

/// To replace files, with directories as locks. What is mounted in such a directory has these rights, too: there its mount
/// alone keeps what is granted to be read from being written.
const FILTERED: Rights = Rights::READ_FILE
    .and(Rights::READ_DIR)
    .and(Rights::WRITE_FILE)
    .and(Rights::TRUNCATE)
    .and(Rights::MAKE_REG)
    .and(Rights::REMOVE_FILE)
    .and(Rights::MAKE_DIR)
    .and(Rights::REMOVE_DIR);

/// The ABI that brought rules on TCP (Linux 6.7).
pub const TCP_SINCE: u32 = 4;

/// The ruleset of a run that is learned: nothing but what keeps the broker's promise.
pub fn learning(network: Network, abi: u32) -> Ruleset {
    Ruleset { scope: Scope::NONE, ..without_places(network, abi) }
}

const SECRET: Rights = Rights::READ_FILE.and(Rights::READ_DIR);

const PROC: Rights = Rights::READ.and(Rights::WRITE_FILE).and(Rights::TRUNCATE);

const DEVICE: Rights =
    Rights::READ_DIR.and(Rights::READ_FILE).and(Rights::WRITE_FILE).and(Rights::TRUNCATE).and(Rights::IOCTL_DEV);

fn fixed(place: &str) -> Option<AbsPath> {
    AbsPath::new(place).ok()
}

/// A rule that adds nothing to those above it costs each start a call.
fn without_repetition(mut rules: BTreeMap<AbsPath, Rights>) -> BTreeMap<AbsPath, Rights> {
    let all = rules.clone();
    rules.retain(|place, rights| {
        let above = place.ancestors().filter_map(|above| all.get(&above));
        !above.fold(Rights::NONE, |sum, rights| sum.and(*rights)).hold(*rights)
    });
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> AbsPath {
        AbsPath::new(text).unwrap()
    }

    fn bind(place: &str, writable: bool) -> MountStep {
        MountStep::Bind { source: path(place), target: path(place), writable }
    }

    #[test]
    fn what_is_read_only_by_its_mount_gets_no_right_to_write() {
        let rules = ruleset(&[bind("/usr", false), bind("/home/a/p", true)], Network::None, 7).rules;
        assert_eq!(rules[&path("/usr")], Rights::READ);
        assert_eq!(rules[&path("/home/a/p")], Rights::WRITE);
        assert_eq!(rules[&AbsPath::root()], Rights::READ_DIR);
        assert_eq!(rules.len(), 3);
    }

    #[test]
    fn a_place_below_one_with_the_same_rights_needs_no_rule() {
        let rules = ruleset(&[bind("/usr", false), bind("/usr/lib/x", false)], Network::None, 7).rules;
        assert!(!rules.contains_key(&path("/usr/lib/x")));
    }

    #[test]
    fn every_right_of_every_rule_is_one_that_the_kernel_knows() {
        for abi in 0..8 {
            let set = ruleset(&[MountStep::Proc, MountStep::Dev, bind("/p", true)], Network::None, abi);
            assert!(set.rules.values().all(|rights| set.handled.hold(*rights)), "{abi}");
        }
    }

    #[test]
    fn abstract_sockets_are_in_reach_with_the_hosts_network_alone() {
        assert!(ruleset(&[], Network::None, 6).scope.holds(Scope::ABSTRACT_SOCKETS));
        assert!(!ruleset(&[], Network::Host, 6).scope.holds(Scope::ABSTRACT_SOCKETS));
        assert!(ruleset(&[], Network::Host, 6).scope.holds(Scope::SIGNALS));
    }
}
