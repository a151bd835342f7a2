//! The limits of a plan → what holds each of them, decided at the start, before the agent runs.
//!
//! What a control group of its own can hold, it holds; else what a resource limit can; else memory is watched, which is
//! *soft*: it is seen after it happened. A limit that nothing holds stops the start and is named: there is no run with
//! fewer limits than its profile has. RLIMIT_AS is none of the means: programs reserve far more addresses than memory.

mod bus;
mod group;
mod scope;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::resource::Resource;

use crate::event::ExitStatus;
use crate::plan::{MountStep, Plan};
use crate::sys::process;
use crate::vocab::host::Identity;
use crate::vocab::limits::{Limit, Limits};

use super::error::{StartError, Step};
use group::{Delegated, Group, processes_with_init};
use scope::Scope;
use watch::Watch;

/// What holds a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Holder {
    /// A control group that systemd made for the run.
    Scope,
    /// A control group that pinfold made below the one it was given.
    ControlGroup,
    /// A resource limit of each process.
    ResourceLimit,
    /// The size of the file system that the private directories are in.
    FileSystem,
    /// pinfold, which looks ten times a second.
    Watch,
    /// Nothing on this machine, and the profile lets it be so.
    Nothing,
}

impl Holder {
    /// Its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scope => "systemd scope",
            Self::ControlGroup => "control group",
            Self::ResourceLimit => "resource limit",
            Self::FileSystem => "size of the file system",
            Self::Watch => "watched",
            Self::Nothing => "NOT held here, which the profile allows",
        }
    }

    /// Whether a run can be over the limit for a moment.
    pub fn is_soft(self) -> bool {
        matches!(self, Self::Watch | Self::Nothing)
    }
}

/// A limit in force.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Held {
    /// Which.
    pub limit: Limit,
    /// Its value, as in files.
    pub value: String,
    /// What holds it.
    pub by: Holder,
}

impl std::fmt::Display for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let soft = if self.by == Holder::Watch { ", soft" } else { "" };
        write!(f, "{} {} ({}{soft})", self.limit.key(), self.value, self.by.as_str())
    }
}

/// A limit that nothing on this machine holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the limit {} = {value} cannot be held here: {why}", .limit.key())]
pub struct Unheld {
    /// Which.
    pub limit: Limit,
    /// Its value, as in files.
    pub value: String,
    /// What is missing.
    pub why: String,
}

impl Unheld {
    /// What to do about it.
    pub fn hint(&self) -> String {
        format!("remove `{}` from [limits] of the profile to run without that limit", self.limit.key())
    }
}

/// A limit that a run came up against.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Reached {
    /// Which.
    pub limit: Limit,
    /// Its value, as in files.
    pub value: String,
    /// What came of it.
    pub result: Met,
}

/// What comes of a limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Met {
    /// The whole run was ended.
    Ended,
    /// The kernel ended so many processes of it.
    Killed(u64),
    /// So many processes were not made.
    Refused(u64),
}

/// What would hold each of `limits`, if a run started now. Nothing is made.
pub fn foresee(plan: &Plan) -> Result<Vec<Held>, Unheld> {
    let (limits, identity) = (&plan.limits, plan.identity);
    let mut lacks = Vec::new();
    let ways = ways(limits, identity, &mut lacks);
    let group = ways.first().map(|way| way.offers().into_iter().map(|limit| (limit, way.holder())).collect());
    assign(limits, own(plan), &group.unwrap_or_default(), &lacks)
}

/// A way to a control group that holds at least one of the limits.
#[derive(Debug)]
enum Way {
    Scope(Box<Scope>),
    Delegated(Delegated),
}

impl Way {
    fn holder(&self) -> Holder {
        match self {
            Self::Scope(_) => Holder::Scope,
            Self::Delegated(_) => Holder::ControlGroup,
        }
    }

    fn offers(&self) -> BTreeSet<Limit> {
        match self {
            Self::Scope(scope) => scope.offers.clone(),
            Self::Delegated(place) => place.offers.clone(),
        }
    }

    fn make(self, limits: &Limits, init: i32) -> Result<Group, String> {
        match self {
            Self::Scope(scope) => scope.make(limits, init),
            Self::Delegated(place) => place.make(limits, init),
        }
    }
}

/// The limits that a control group can hold.
fn wanted(limits: &Limits) -> BTreeSet<Limit> {
    let set = limits.set().into_iter().map(|(limit, _)| limit);
    set.filter(|limit| matches!(limit, Limit::Memory | Limit::Processes | Limit::Cpu | Limit::Io)).collect()
}

/// The ways that are open here, the best first; why the others are not goes to `lacks`.
fn ways(limits: &Limits, identity: Identity, lacks: &mut Vec<String>) -> Vec<Way> {
    let wanted = wanted(limits);
    if wanted.is_empty() {
        return Vec::new();
    }
    let allowed = std::env::var_os(VARIABLE).unwrap_or_default();
    if allowed == "none" {
        lacks.push(format!("{VARIABLE} says that there is to be none"));
        return Vec::new();
    }
    let mut ways = Vec::new();
    if allowed != "own" {
        match Scope::find(&wanted, identity) {
            Ok(scope) if scope.offers == wanted => return vec![Way::Scope(Box::new(scope))],
            Ok(scope) => ways.push(Way::Scope(Box::new(scope))),
            Err(why) => lacks.push(why),
        }
    }
    match Delegated::find(&wanted) {
        Ok(place) => {
            if place.offers != wanted {
                lacks.push(place.lack());
            }
            ways.push(Way::Delegated(place));
        }
        Err(why) => lacks.push(why),
    }
    // Who holds more of them comes first, and of two alike systemd.
    ways.sort_by_key(|way| std::cmp::Reverse(way.offers().len()));
    ways
}

/// `none`: no control group; `own`: none of systemd's. For who does not want units to be made, and for tests.
const VARIABLE: &str = "PINFOLD_CONTROL_GROUPS";

/// What holds the limits of one run.
#[derive(Debug)]
pub(super) struct Hold {
    held: Vec<Held>,
    group: Option<Group>,
    watch: Option<Watch>,
}

impl Hold {
    /// Decides, and puts init where it belongs, before it has made anything.
    pub(super) fn take(plan: &Plan, init: i32) -> Result<Self, Unheld> {
        let mut lacks = Vec::new();
        let mut group = None;
        for way in ways(&plan.limits, plan.identity, &mut lacks) {
            match way.make(&plan.limits, init) {
                Ok(made) => {
                    group = Some(made);
                    break;
                }
                Err(why) => lacks.push(why),
            }
        }
        let holds: BTreeMap<Limit, Holder> = group.iter().flat_map(Group::holds).collect();
        let held = assign(&plan.limits, own(plan), &holds, &lacks)?;
        Ok(Self { held, group, watch: None })
    }

    /// Puts on the payload, which still waits, what is put on processes, and begins to watch.
    pub(super) fn bind(&mut self, plan: &Plan, payload: i32, init: &OwnedFd) -> Result<(), StartError> {
        let wrong = |errno| StartError::kernel(Step::Limits, errno);
        for held in self.held.iter().filter(|held| held.by == Holder::ResourceLimit) {
            let (resource, value) = match held.limit {
                Limit::FileSize => (Resource::RLIMIT_FSIZE, plan.limits.file_size.map(|size| size.0)),
                _ => (Resource::RLIMIT_NPROC, plan.limits.processes.map(processes_with_init)),
            };
            process::lower_limit(payload, resource, value.ok_or_else(|| wrong(Errno::EINVAL))?).map_err(wrong)?;
        }
        if let Some(limit) = plan.limits.memory.filter(|_| self.is_held_by(Limit::Memory, Holder::Watch)) {
            let private = plan.mounts.iter().find_map(|step| match step {
                MountStep::Tmpfs { target, .. } => Some(target),
                _ => None,
            });
            self.watch = Some(Watch::start(limit.0, payload, private, init).map_err(wrong)?);
        }
        Ok(())
    }

    fn is_held_by(&self, limit: Limit, by: Holder) -> bool {
        self.held.iter().any(|held| held.limit == limit && held.by == by)
    }

    /// What holds which limit.
    pub(super) fn held(&self) -> &[Held] {
        &self.held
    }

    /// The limits that the run came up against; asked for before init ends.
    pub(super) fn reached(&mut self, status: Option<ExitStatus>) -> Vec<Reached> {
        let watched = self.watch.take().is_some_and(|watch| watch.is_reached());
        let signalled = status == Some(ExitStatus::Signal(libc::SIGXFSZ));
        let (killed, refused) = self.group.as_ref().map_or((0, 0), |group| (group.killed(), group.refused()));
        let met = |limit| match limit {
            Limit::Memory if watched => Some(Met::Ended),
            Limit::Memory if killed > 0 => Some(Met::Killed(killed)),
            Limit::Processes if refused > 0 => Some(Met::Refused(refused)),
            Limit::FileSize if signalled => Some(Met::Ended),
            _ => None,
        };
        let reached = self.held.iter().filter_map(|held| {
            Some(Reached { limit: held.limit, value: held.value.clone(), result: met(held.limit)? })
        });
        reached.collect()
    }
}

/// What a run has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    /// Namespaces.
    Namespaces {
        /// Of root.
        root: bool,
    },
    /// Nothing: it is among all other processes.
    Nothing,
}

fn own(plan: &Plan) -> Own {
    if plan.has_namespaces() { Own::Namespaces { root: plan.identity.uid == 0 } } else { Own::Nothing }
}

/// What holds each of the limits, of which a control group holds those in `group`; `lacks` say why it holds no others.
fn assign(limits: &Limits, own: Own, group: &BTreeMap<Limit, Holder>, lacks: &[String]) -> Result<Vec<Held>, Unheld> {
    let lack = if lacks.is_empty() { "the control group does not have it".to_owned() } else { lacks.join(", and ") };
    let assign = |(limit, value): (Limit, String)| {
        let by = match (limit, group.get(&limit)) {
            (_, Some(holder)) => Ok(*holder),
            (Limit::FileSize, None) => Ok(Holder::ResourceLimit),
            (Limit::Disk, None) if own == Own::Nothing => {
                Err("private directories are mounts, and there are no namespaces".to_owned())
            }
            (Limit::Disk, None) => Ok(Holder::FileSystem),
            (Limit::Memory, None) if own == Own::Nothing => {
                Err(format!("without namespaces it needs the controller `memory`, but {lack}"))
            }
            (Limit::Memory, None) => Ok(Holder::Watch),
            (Limit::Processes, None) => match uncounted(own) {
                Some(why) => Err(format!("it needs the controller `pids`, since {why}, but {lack}")),
                None => Ok(Holder::ResourceLimit),
            },
            (Limit::Cpu, None) => Err(format!("it needs the controller `cpu`, but {lack}")),
            (Limit::Io, None) => Err(format!("it needs the controller `io`, but {lack}")),
        };
        match by {
            Ok(by) => Ok(Held { limit, value, by }),
            Err(_) if limits.soft.contains(&limit) => Ok(Held { limit, value, by: Holder::Nothing }),
            Err(why) => Err(Unheld { limit, value, why }),
        }
    };
    limits.set().into_iter().map(assign).collect()
}

/// Why RLIMIT_NPROC does not hold for this user in a sandbox.
fn uncounted(own: Own) -> Option<&'static str> {
    match own {
        Own::Namespaces { root: true } => return Some("a resource limit of processes does not bind root"),
        Own::Nothing => return Some("all processes of the user are counted together without a namespace"),
        Own::Namespaces { root: false } => {}
    }
    (!counts_by_namespace()).then_some("this kernel counts all processes of the user together (until Linux 5.14)")
}

/// Since Linux 5.14 the processes of a user are counted in each user namespace by itself.
fn counts_by_namespace() -> bool {
    let Ok(name) = nix::sys::utsname::uname() else { return false };
    let release = name.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 14)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::limits::{Bytes, Percent, Rate};

    fn all() -> Limits {
        Limits {
            memory: Some(Bytes(64 << 20)),
            processes: Some(20),
            cpu: Some(Percent(50)),
            file_size: Some(Bytes(1 << 20)),
            disk: Some(Bytes(1 << 20)),
            io: None,
            soft: BTreeSet::new(),
        }
    }

    const USER: Own = Own::Namespaces { root: false };
    const ROOT: Own = Own::Namespaces { root: true };

    #[test]
    fn without_a_control_group_processor_time_is_refused_by_name_and_memory_is_soft() {
        let refused = assign(&all(), USER, &BTreeMap::new(), &[]).unwrap_err();
        assert_eq!(refused.limit, Limit::Cpu);
        assert!(refused.why.contains("`cpu`"), "{refused}");
        let held = assign(&Limits { cpu: None, ..all() }, USER, &BTreeMap::new(), &[]).unwrap();
        let soft: Vec<Limit> = held.iter().filter(|held| held.by.is_soft()).map(|held| held.limit).collect();
        assert_eq!(soft, [Limit::Memory]);
        assert_eq!(held.len(), 4);
    }

    #[test]
    fn a_limit_that_is_soft_by_declaration_is_left_out_where_nothing_holds_it_and_said() {
        let limits = Limits { soft: BTreeSet::from([Limit::Cpu, Limit::Processes]), ..all() };
        let held = assign(&limits, ROOT, &BTreeMap::new(), &[]).unwrap();
        let not: Vec<Limit> = held.iter().filter(|held| held.by == Holder::Nothing).map(|held| held.limit).collect();
        assert_eq!(not, [Limit::Processes, Limit::Cpu]);
        let group = BTreeMap::from([(Limit::Cpu, Holder::ControlGroup), (Limit::Processes, Holder::ControlGroup)]);
        assert!(assign(&limits, ROOT, &group, &[]).unwrap().iter().all(|held| held.by != Holder::Nothing));
    }

    #[test]
    fn a_rate_of_disks_is_held_by_a_control_group_or_refused_by_name() {
        let limits = Limits { io: Some(Rate(Bytes(1 << 20))), ..Limits::default() };
        let refused = assign(&limits, USER, &BTreeMap::new(), &["it is not delegated".to_owned()]).unwrap_err();
        assert!(
            refused.to_string().contains("io = 1 MiB/s cannot be held here: it needs the controller `io`"),
            "{refused}"
        );
        let group = BTreeMap::from([(Limit::Io, Holder::ControlGroup)]);
        assert_eq!(assign(&limits, USER, &group, &[]).unwrap().len(), 1);
    }

    #[test]
    fn the_processes_of_root_are_counted_by_a_control_group_or_not_at_all() {
        let limits = Limits { processes: Some(20), ..Limits::default() };
        let refused = assign(&limits, ROOT, &BTreeMap::new(), &[]).unwrap_err();
        assert_eq!(refused.limit, Limit::Processes);
        assert!(refused.why.contains("`pids`") && refused.why.contains("root"), "{refused}");
        assert!(assign(&limits, USER, &BTreeMap::new(), &[]).is_ok());
    }

    #[test]
    fn without_namespaces_what_is_counted_by_them_is_held_by_a_control_group_or_refused_by_name() {
        let nothing = Limits::default();
        for limits in [
            Limits { processes: all().processes, ..nothing.clone() },
            Limits { memory: all().memory, ..nothing.clone() },
            Limits { disk: all().disk, ..nothing.clone() },
        ] {
            assert!(assign(&limits, Own::Nothing, &BTreeMap::new(), &[]).is_err(), "{limits:?}");
            assert!(assign(&limits, USER, &BTreeMap::new(), &[]).is_ok(), "{limits:?}");
        }
        let group = BTreeMap::from([(Limit::Memory, Holder::Scope)]);
        let limits = Limits { memory: all().memory, file_size: all().file_size, ..nothing };
        assert_eq!(assign(&limits, Own::Nothing, &group, &[]).unwrap().len(), 2);
    }
}
