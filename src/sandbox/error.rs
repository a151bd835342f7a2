//! Why a sandbox did not start: which step the kernel refused, in words, and what to do.

use nix::errno::Errno;

use crate::plan::MountStep;
use crate::vocab::path::AbsPath;
use crate::vocab::proxy::ProxyError;

use super::child::Launch;
use super::limits::Unheld;

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $words:literal,)*) => {
        /// A step on the way to a running agent, in order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Step { $($(#[$doc])* $name,)* }

        impl Step {
            const ALL: &[Self] = &[$(Self::$name,)*];

            /// What the step does.
            pub fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }
        }
    };
}

steps! {
    /// The message socket.
    Channel = "talk to the sandbox",
    /// clone(2) with namespaces.
    Namespaces = "make the namespaces of the sandbox",
    /// pidfd_open(2).
    Pidfd = "hold on to a process",
    /// PR_SET_PDEATHSIG.
    DeathSignal = "bind the sandbox's life to pinfold's",
    /// setpgid(2).
    ProcessGroup = "make a process group",
    /// sethostname(2).
    HostName = "set the host name",
    /// Bringing `lo` up.
    Loopback = "bring up the loopback device",
    /// The addresses and the sockets of the resolver inside.
    Resolver = "make the resolver of the sandbox",
    /// SO_NETNS_COOKIE, epoll(7).
    Broker = "set up the network broker",
    /// Private propagation and opening sources.
    Sources = "open what is to be mounted",
    /// The overlay of a run whose changes wait.
    Layer = "put a layer over the project",
    /// The root's own tmpfs.
    RootDirectory = "make a root directory",
    /// A mount step of the plan.
    Mount = "mount",
    /// A new proc.
    Proc = "mount a proc of its own",
    /// /dev.
    Dev = "make a /dev of its own",
    /// pivot_root(2).
    Pivot = "change the root",
    /// ns_last_pid.
    FirstPid = "choose the first process number",
    /// fork(2).
    Fork = "fork",
    /// PR_SET_DUMPABLE.
    Dumpable = "close the launcher's memory",
    /// chdir(2).
    WorkingDirectory = "enter the working directory",
    /// keyctl(2).
    Keyring = "make a session keyring",
    /// PR_SET_NO_NEW_PRIVS.
    NoNewPrivileges = "give up new privileges",
    /// capset(2) and kin.
    Capabilities = "give up capabilities",
    /// prlimit(2), and looking at the sandbox's memory.
    Limits = "set the limits of the run",
    /// close_range(2).
    Descriptors = "close descriptors",
    /// Files and descriptors in memory.
    Secrets = "hand over the secrets",
    /// landlock_restrict_self(2) and kin.
    Landlock = "set up Landlock",
    /// seccomp(2).
    Filter = "load the system call filter",
    /// execve(2).
    Exec = "execute the program",
}

impl Step {
    pub(super) fn number(self) -> u8 {
        Self::ALL.iter().position(|step| *step == self).and_then(|index| u8::try_from(index).ok()).unwrap_or(u8::MAX)
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// Why a sandbox did not start. The agent did not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The kernel refused a step.
    #[error("cannot {}{}", .step.words(), .place.as_ref().map(|place| format!(" `{place}`")).unwrap_or_default())]
    Kernel {
        /// Which.
        step: Step,
        /// For a mount: where.
        place: Option<AbsPath>,
        /// With what.
        source: Errno,
    },
    /// The identity could not be mapped.
    #[error("cannot write {file} of the sandbox")]
    Identity {
        /// Which map.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is to be copied in cannot be read.
    #[error("cannot read `{path}`, which is to be copied in")]
    Copy {
        /// Which.
        path: AbsPath,
        /// Why.
        source: std::io::Error,
    },
    /// A limit that nothing holds here.
    #[error(transparent)]
    Limit(#[from] Unheld),
    /// An argument or a variable has a NUL byte.
    #[error("an argument or a variable has a NUL byte")]
    Nul,
    /// The tripwire cannot be mounted: a plan without it can be carried out.
    #[error("cannot mount a FUSE file system")]
    Tripwire(#[source] Errno),
    /// The host's proxy cannot be used.
    #[error(transparent)]
    Proxy(ProxyError),
    /// A port cannot be published.
    #[error("cannot listen at port {port} of this machine's loopback, which the profile publishes")]
    Publish {
        /// Which.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// Init ended without a word.
    #[error("the sandbox ended before it started: it was killed")]
    InitDied,
}

impl StartError {
    pub(super) fn kernel(step: Step, source: Errno) -> Self {
        Self::Kernel { step, place: None, source }
    }

    /// From the bytes that a child sent: step, errno, index of the mount step.
    pub(super) fn from_child(bytes: &[u8], launch: &Launch<'_>) -> Self {
        Self::from_bytes(bytes, &launch.plan.mounts)
    }

    pub(super) fn from_bytes(bytes: &[u8], mounts: &[MountStep]) -> Self {
        let step = bytes.first().copied().and_then(Step::from_number).unwrap_or(Step::Channel);
        let number = |range| bytes.get(range).and_then(|raw: &[u8]| raw.try_into().ok()).map_or(0, i32::from_ne_bytes);
        let index = bytes.get(5..7).and_then(|raw| raw.try_into().ok()).map_or(u16::MAX, u16::from_ne_bytes);
        let place = mounts.get(usize::from(index)).and_then(|step| step.target().cloned());
        Self::Kernel { step, place, source: Errno::from_raw(number(1..5)) }
    }

    /// The errno of exec, if everything up to it succeeded.
    pub fn exec_errno(&self) -> Option<i32> {
        match self {
            Self::Kernel { step: Step::Exec, source, .. } => Some(*source as i32),
            _ => None,
        }
    }

    /// Whether the kernel refused what a sandbox is made of: then `probe::features` can say which setting does it.
    pub fn is_missing_feature(&self) -> bool {
        use Step::{Mount, Namespaces, Proc, RootDirectory, Sources};
        matches!(
            self,
            Self::Kernel { step: Namespaces | Proc | Mount | Sources | RootDirectory, .. } | Self::Identity { .. }
        )
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Limit(unheld) => Some(unheld.hint()),
            Self::Proxy(error) => {
                Some(format!("set {0} to the proxy for HTTP, or unset it: `env -u {0} pinfold …`", error.variable))
            }
            Self::Publish { port, .. } => Some(format!("is it in use? `ss -ltn 'sport = :{port}'` says by whom")),
            Self::Kernel { step: Step::Exec, source: Errno::ENOENT, .. } => {
                Some("the program, or its interpreter, is not among what the profile grants; learn it again".to_owned())
            }
            Self::Kernel { step: Step::Layer, .. } => Some(
                "overlays take Linux 5.11 and, for pinfold's state, a file system like ext4, xfs, btrfs or a tmpfs; run it \
                 without --overlay"
                    .to_owned(),
            ),
            Self::Kernel { step: Step::Exec, .. } => Some("is it executable, and for this machine?".to_owned()),
            Self::Kernel { step: Step::Filter, source: Errno::EBUSY, .. } => Some(
                "this process runs inside another sandbox that watches system calls: pinfold within pinfold is not \
                      supported; run it outside"
                    .to_owned(),
            ),
            // Of a filter that is right it is said about the flag for a listener.
            Self::Kernel { step: Step::Filter, source: Errno::EINVAL, .. } => Some(
                "system calls are handed to a supervisor since Linux 5.0; this kernel, or a filter around this process, does not"
                    .to_owned(),
            ),
            Self::Kernel { step: Step::Broker, source: Errno::ENOPROTOOPT, .. } => {
                Some("a network by name takes Linux 5.14, which tells of what network a socket is".to_owned())
            }
            _ => None,
        }
    }
}
