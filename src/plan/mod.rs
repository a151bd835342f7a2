//! Profile × Host → Plan: everything that a run will do to its surroundings, as data.
//!
//! `enforce`, `--dry-run` and learning (under the permissive plan) read the same [`Plan`]: what was reviewed is what runs.
//! Nothing here touches disk, clock or environment; what it needs of the machine is in
//! [`Host`](crate::vocab::host::Host).

pub mod answers;
pub mod compile;
pub mod error;
pub mod explain;
pub mod filter;
mod furnish;
pub mod grants;
pub mod landlock;
pub mod layer;
pub mod mounts;
pub mod network;
pub mod observe;
pub mod permissive;
pub mod protect;
pub mod walls;
pub mod without_namespaces;

use std::collections::{BTreeMap, BTreeSet};

use crate::vocab::host::Identity;
use crate::vocab::path::AbsPath;
use crate::vocab::syscall::Syscall;
pub use furnish::below_secrets;

/// A run, resolved on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What the sandbox is for.
    pub mode: Mode,
    /// Who the agent runs as.
    pub identity: Identity,
    /// The protections that are up.
    pub walls: BTreeSet<walls::Wall>,
    /// What `/` is inside.
    pub root: RootStyle,
    /// What is put into `/`, in this order.
    pub mounts: Vec<MountStep>,
    /// Targets of read-only binds in which root, if that is the caller, owns nothing: what root alone may open is closed.
    pub unowned: BTreeSet<AbsPath>,
    /// Working directory inside.
    pub workdir: AbsPath,
    /// The program file to execute, absolute; found by the caller's `PATH`, symlinks not resolved.
    pub program: AbsPath,
    /// `argv` as bytes; `argv[0]` as the person typed it.
    pub argv: Vec<Vec<u8>>,
    /// Names of the variables that are passed on; the values are taken from the caller when the run starts.
    pub environment: BTreeSet<String>,
    /// Secrets by the name of their variable, with the way in; their values are read when the run starts.
    pub secrets: BTreeMap<String, Handing>,
    /// Variables that are set to a fixed value.
    pub set: BTreeMap<String, Vec<u8>>,
    /// The network.
    pub network: Network,
    /// Whom the broker lets the run connect to; there is one exactly where the network is [`Network::Named`].
    pub policy: Option<network::Policy>,
    /// The system call filter.
    pub filter: FilterSpec,
    /// Whether the command may confine what it runs by namespaces and mounts of its own.
    pub nesting: Nesting,
    /// The ruleset of the second wall; `None` where that wall is not up.
    pub landlock: Option<landlock::Ruleset>,
    /// Why the run has no namespaces and no mounts of its own, where it has none: the profile tolerates that by name.
    pub without_namespaces: Option<String>,
    /// How names that the host executes are kept from being made.
    pub protection: protect::Protection,
    /// Whether writing to what may only be read is told.
    pub refused_writes: protect::RefusedWrites,
    /// Where changes in one of the places go, if not there.
    pub layer: Option<layer::Layer>,
    /// Limits.
    pub limits: crate::vocab::limits::Limits,
    /// Directories that a write grant names and that do not exist yet: made with mode 0700 before the start.
    pub create: Vec<AbsPath>,
    /// Files that are copied in at the start and, if changed, back at the end (replace grants).
    pub copies: Vec<AbsPath>,
    /// Where the variables of a profile lead: what is refused is told in the same words.
    pub roots: crate::vocab::location::Roots,
    /// What was not granted though the profile names it, and why: said at the start.
    pub withheld: Vec<Withheld>,
}

/// How a secret is handed to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handing {
    /// As the value of its variable.
    Variable,
    /// In a read-only file in memory at this place, which is the value of its variable.
    File(AbsPath),
    /// As a sealed descriptor with this number, which is the value of its variable.
    Descriptor(i32),
}

/// What a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Record under a permissive plan.
    Learn,
    /// Confine.
    Enforce,
}

/// What `/` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootStyle {
    /// The host's tree, read-only, recursively (learning).
    HostReadOnly,
    /// An empty tmpfs, read-only once it is furnished.
    Empty,
    /// As empty, and what is looked for in vain is told: a FUSE file system of our own.
    Tripwire,
}

/// One step of furnishing the root. Targets are paths inside; missing parent directories are made in an empty root.
/// Sources are opened as descriptors before anything is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountStep {
    /// Binds a host path (recursively) with nosuid and nodev.
    Bind {
        /// On the host. Not followed if it is a symlink: the plan has resolved it.
        source: AbsPath,
        /// Inside.
        target: AbsPath,
        /// May it be written?
        writable: bool,
    },
    /// Makes an existing place inside read-only (a name that the host executes, in a writable directory).
    Guard {
        /// Inside, and at the same place on the host.
        target: AbsPath,
    },
    /// Binds a directory on itself, so that it cannot be renamed away with the guards beneath it.
    Pin {
        /// Inside, and at the same place on the host.
        target: AbsPath,
    },
    /// A private, empty, writable tmpfs.
    Tmpfs {
        /// Inside.
        target: AbsPath,
        /// Permission bits of its root.
        mode: u32,
    },
    /// Hides a place: an empty directory over a directory, an empty unreadable file over anything else.
    Cover {
        /// Inside.
        target: AbsPath,
    },
    /// Makes a [`Tmpfs`](Self::Tmpfs) read-only, once what was to lie in it does.
    Seal {
        /// Inside.
        target: AbsPath,
    },
    /// An empty directory.
    Directory {
        /// Inside.
        target: AbsPath,
        /// Permission bits.
        mode: u32,
    },
    /// A symlink with this text.
    Symlink {
        /// Inside.
        target: AbsPath,
        /// Its text.
        text: Vec<u8>,
    },
    /// A file that exists with this size and time, and cannot be read (an `exist` grant on a file).
    Placeholder {
        /// Inside.
        target: AbsPath,
        /// Size in bytes.
        size: u64,
        /// Modification time, seconds since the epoch.
        modified: i64,
    },
    /// A directory of the host in which these names alone exist, with their locks and temporary files: for files that are
    /// replaced in place. Where there is no tripwire: [`Tmpfs`](Self::Tmpfs) and [`Copy`](Self::Copy).
    Filtered {
        /// On the host and inside.
        target: AbsPath,
        /// The names.
        names: BTreeSet<Vec<u8>>,
    },
    /// A file of our own making with these contents, which cannot be written; in the place of what is there. Left out where
    /// nothing is and nothing can be made.
    Text {
        /// Inside.
        target: AbsPath,
        /// Its contents.
        text: String,
    },
    /// A file of the host whose contents are copied in at the start and back at the end.
    Copy {
        /// On the host and inside.
        target: AbsPath,
    },
    /// Files of root's that everybody may read, as copies of the agent's own: in the place of a file, or of all in a directory.
    AsOwn {
        /// On the host and inside.
        target: AbsPath,
    },
    /// A new proc with /proc/sys and kin read-only.
    Proc,
    /// A /dev of its own: null, zero, full, random, urandom, tty, pts, shm, mqueue, fd.
    Dev,
    /// The directory of secrets that are files: read-only, in memory.
    Secrets,
    /// One of them at a place of its own.
    Secret {
        /// Inside.
        target: AbsPath,
        /// Its variable.
        name: String,
    },
    /// The POSIX message queues of the run's own IPC namespace, at /dev/mqueue: Landlock lets none be opened whose root no
    /// rule can name.
    Queues,
}

impl Plan {
    /// Whether a protection is up.
    pub fn has(&self, wall: walls::Wall) -> bool {
        self.walls.contains(&wall)
    }

    /// The same where no FUSE file system can be mounted: files that are replaced in place are copied in and back, and what
    /// is looked for in vain is not told.
    #[must_use]
    pub fn without_tripwire(&self) -> Self {
        let mut plan = self.clone();
        plan.root = RootStyle::Empty;
        let mut steps = Vec::new();
        for step in std::mem::take(&mut plan.mounts) {
            let MountStep::Filtered { target, names } = step else {
                steps.push(step);
                continue;
            };
            if let Some(rules) = &mut plan.landlock {
                rules.allow_private(&target);
            }
            let files: Vec<AbsPath> = names.iter().filter_map(|name| target.join(name).ok()).collect();
            steps.push(MountStep::Tmpfs { target, mode: 0o700 });
            steps.extend(files.iter().map(|target| MountStep::Copy { target: target.clone() }));
            plan.copies.extend(files);
        }
        plan.mounts = arrange(steps);
        plan
    }
}

impl MountStep {
    /// The place inside; `None` for /proc, /dev and what is in them.
    pub fn target(&self) -> Option<&AbsPath> {
        match self {
            Self::Bind { target, .. }
            | Self::Guard { target }
            | Self::Pin { target }
            | Self::Tmpfs { target, .. }
            | Self::Cover { target }
            | Self::Seal { target }
            | Self::Directory { target, .. }
            | Self::Symlink { target, .. }
            | Self::Placeholder { target, .. }
            | Self::Filtered { target, .. }
            | Self::Copy { target }
            | Self::Text { target, .. }
            | Self::AsOwn { target }
            | Self::Secret { target, .. } => Some(target),
            Self::Proc | Self::Dev | Self::Queues | Self::Secrets => None,
        }
    }
}

/// What a run may confine by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nesting {
    /// Nothing: no namespaces, no mounts.
    Refused,
    /// What it runs, in namespaces below the sandbox's own.
    Allowed,
}

/// The network of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// An empty network namespace with its loopback up.
    None,
    /// An empty one with a resolver, and a broker that connects to peers by name.
    Named,
    /// The host's, unconfined.
    Host,
}

/// Something in the profile that this run does not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// The profile line, as in files.
    pub line: String,
    /// Why, in words: `not approved`, `does not exist here`.
    pub why: String,
}

/// What a filter answers to each call of the native ABI. Foreign ABIs are always answered with ENOSYS: told to the tracer
/// where `unknown` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterSpec {
    /// Calls by number with their action; all others get `default`.
    pub calls: BTreeMap<Syscall, Action>,
    /// For known calls that are not in `calls`.
    pub default: Action,
    /// For numbers that the table of this build does not know.
    pub unknown: Action,
    /// Rules on arguments, tried before `calls`: the first that matches decides.
    pub rules: BTreeMap<Syscall, Vec<Rule>>,
}

/// One rule on arguments: all conditions must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The conditions, and-bound.
    pub conditions: Vec<Condition>,
    /// What then happens.
    pub action: Action,
}

/// A test of one argument register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Which argument, from 0.
    pub argument: u8,
    /// Whether the kernel reads the whole register or its low half (`int` arguments: high bits are junk there).
    pub width: Width,
    /// Bits that count.
    pub mask: u64,
    /// What they are compared with.
    pub value: u64,
    /// Whether equality or its opposite is asked.
    pub test: Test,
}

/// How much of a register the kernel reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// 32 bits.
    Word,
    /// 64 bits.
    Double,
}

/// The comparison of a [`Condition`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// `register & mask == value`
    Equal,
    /// `register & mask != value`
    NotEqual,
}

/// What seccomp does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// SECCOMP_RET_ALLOW
    Allow,
    /// SECCOMP_RET_ERRNO
    Refuse(i32),
    /// SECCOMP_RET_USER_NOTIF: the supervisor names it and answers with this errno.
    Report(i32),
    /// SECCOMP_RET_USER_NOTIF: the supervisor carries the call out itself, at this desk.
    Mediate(Desk),
    /// SECCOMP_RET_TRACE: the tracer looks and lets it go on. Without a tracer ENOSYS.
    Trace,
    /// SECCOMP_RET_TRACE: the tracer records the attempt and answers with this errno.
    TraceRefuse(i32),
}

/// Who carries out the calls that the program does not make itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Desk {
    /// The network broker.
    Network,
    /// The calls that make, move and link names.
    Paths,
}

/// Where secrets that are files lie.
pub const SECRETS: &str = "/run/secrets";

/// Device nodes that every program may have. A terminal only if there is one.
pub const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// The temporary directories that are private in every run: what lies in the host's is not inside, and what is made inside
/// is gone at the end. `$TMPDIR` is among them where it lies in one; elsewhere it is a place like any other.
pub fn private_tmp(roots: &crate::vocab::location::Roots) -> Vec<AbsPath> {
    let shared: Vec<AbsPath> = ["/tmp", "/var/tmp"].iter().filter_map(|place| AbsPath::new(place).ok()).collect();
    let own = roots.get(crate::vocab::location::Base::Tmpdir);
    let own = own.filter(|own| shared.iter().any(|top| own.is_beneath(top) && own != top));
    shared.iter().cloned().chain(own).collect()
}

/// Read-only binds over `guarded` names that lie in a writable directory.
fn guards(guarded: &BTreeSet<AbsPath>, writable_above: &dyn Fn(&AbsPath) -> Option<AbsPath>) -> Vec<MountStep> {
    let mut names: Vec<&AbsPath> = Vec::new();
    for name in guarded {
        if writable_above(name).is_some() && !names.iter().any(|above| name.is_beneath(above)) {
            names.push(name);
        }
    }
    names.into_iter().map(|target| MountStep::Guard { target: target.clone() }).collect()
}

/// The steps in an order in which none hides another, with pins: whatever is mounted within a writable directory could be
/// renamed away by way of its parents, to be found without its mount by the next run, or to make room for another.
fn arrange(mut steps: Vec<MountStep>) -> Vec<MountStep> {
    let mounts: BTreeMap<AbsPath, bool> = steps
        .iter()
        .filter_map(|step| match step {
            MountStep::Bind { target, writable, .. } => Some((target.clone(), *writable)),
            MountStep::Guard { target }
            | MountStep::Tmpfs { target, .. }
            | MountStep::Cover { target }
            | MountStep::Text { target, .. }
            | MountStep::Secret { target, .. }
            | MountStep::Filtered { target, .. }
            | MountStep::Copy { target } => Some((target.clone(), false)),
            _ => None,
        })
        .collect();
    let mut pins = BTreeSet::new();
    for name in mounts.keys() {
        let between: Vec<AbsPath> = name.ancestors().take_while(|dir| !mounts.contains_key(dir)).collect();
        let top = between.last().map_or_else(|| name.parent(), AbsPath::parent);
        if top.and_then(|top| mounts.get(&top).copied()) == Some(true) {
            pins.extend(between);
        }
    }
    steps.retain(|step| !matches!(step, MountStep::Pin { .. }));
    steps.extend(pins.into_iter().map(|target| MountStep::Pin { target }));
    // Parents first. Of two at one place a pin is the host's directory as it is, and a cover the last word. A seal comes
    // after all that lies in what it seals.
    steps.sort_by_key(|step| {
        if matches!(step, MountStep::Seal { .. }) {
            return (usize::MAX, 0);
        }
        let rank = match step {
            MountStep::Pin { .. } => 0u8,
            MountStep::Text { .. } | MountStep::AsOwn { .. } => 2,
            MountStep::Cover { .. } => 3,
            _ => 1,
        };
        let depth = if matches!(step, MountStep::Queues | MountStep::Secrets) { 2 } else { 1 };
        (step.target().map_or(depth, |target| target.components().count()), rank)
    });
    steps
}
