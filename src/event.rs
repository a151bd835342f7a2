//! One observed fact of a run: the only thing that tracer, sandbox and reduction share.
//!
//! Invariant: no field can hold file contents, an environment value, or an argument that may be a secret: names, shapes,
//! counts and digests only, so a trace can be attached to a bug report. An event is written once per distinct fact and
//! process image, not once per call.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::vocab::endpoint::Endpoint;
use crate::vocab::host::FileKind;
use crate::vocab::path::AbsPath;
use crate::vocab::syscall::Syscall;

/// Our serial of a process image: a process that calls exec becomes a new one, and images of one parent that are equal in
/// program, script and shape of arguments share one. Never a pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(pub u32);

/// One fact, and the process image that it is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Who.
    pub image: ImageId,
    /// What.
    pub fact: Fact,
}

/// A fact that a part of the supervisor learns of a task whose call it carries out: whoever knows the images gives it one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The task, as the host counts.
    pub tid: i32,
    /// What.
    pub fact: Fact,
}

/// What was observed. In a trace each is one JSON object with the variant's name as its key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fact {
    /// A process image came to be: the first program, or a successful exec. A fork alone makes none.
    Image(Image),
    /// A system call that names one path.
    Path(PathFact),
    /// A rename or link: two ends, one call.
    Pair(PairFact),
    /// A system call was made at all (once per image and call; calls of the base set are not stopped).
    Call {
        /// Which.
        call: Syscall,
    },
    /// An argument of a call that is worth a rule: `socket` → `"inet stream"`, `ioctl` → `"TCGETS"`.
    Argument {
        /// Which call.
        call: Syscall,
        /// The value in the words of `docs/profile.md`, e.g. `"unix stream"`, `"0x5401"`.
        value: String,
    },
    /// A number that this build does not know, or a call of a foreign ABI (32-bit, x32): answered with ENOSYS.
    UnknownCall {
        /// Audit architecture token.
        arch: u32,
        /// Number in that ABI.
        number: u64,
    },
    /// A peer that was connected or sent to.
    Connect {
        /// Where.
        endpoint: Endpoint,
        /// `"tcp"`, `"udp"`, `"unix"`, ... as the socket is.
        transport: Transport,
        /// What came of it.
        result: Outcome,
    },
    /// A place that was listened on.
    Listen {
        /// Where.
        endpoint: Endpoint,
    },
    /// Names of environment variables present at an exec; never values.
    Environment {
        /// All names.
        names: BTreeSet<String>,
        /// Those whose name or shape of value looks like a credential.
        credentials: BTreeSet<String>,
    },
    /// Variables that the caller gave to the first program and that can be shown to matter: the name stands in a file that
    /// was executed, mapped or read, or in the arguments of a program. The last one of a trace counts.
    Mentioned {
        /// The names.
        names: BTreeSet<String>,
        /// Not everything was looked through: names that are missing may matter.
        capped: bool,
    },
    /// Something that the floor of the sandbox refused while learning, or that enforcement denied.
    Denied(Denial),
    /// Something could not be observed: the run is incomplete.
    Gap {
        /// What was lost.
        gap: Gap,
    },
    /// What the directory of a used path holds, taken while learning: exposure is computed from it.
    Census(Census),
    /// Highest use of resources in the run, at its end.
    Peaks(Peaks),
    /// A process image ended.
    Exit {
        /// How.
        status: ExitStatus,
    },
}

impl Fact {
    /// What was lost, if that is the fact.
    pub fn gap(&self) -> Option<&Gap> {
        match self {
            Self::Gap { gap } => Some(gap),
            _ => None,
        }
    }
}

/// A program that was started.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// The image that forked and then executed this one; `None` for the first.
    pub parent: Option<ImageId>,
    /// The program file that runs, resolved (for a script its interpreter).
    pub exe: AbsPath,
    /// For a script: the script itself, resolved.
    pub script: Option<AbsPath>,
    /// The arguments in shape: options by name, everything else by kind (`"<path>"`, `"<text 12>"`).
    pub argv: Vec<String>,
    /// The file has a set-user-id or set-group-id bit that has no effect here.
    pub set_id: bool,
}

/// One call on one path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathFact {
    /// What the program wanted with it.
    pub intent: Intent,
    /// The call.
    pub call: Syscall,
    /// The object reached: every symlink followed (but the last where the call does not follow it). For an absent
    /// object the deepest directory that exists is resolved and the rest appended.
    pub path: AbsPath,
    /// Symlinks on the way, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<Hop>,
    /// The type of the object, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<FileKind>,
    /// What came of it.
    pub result: Outcome,
}

/// A symlink that resolution went through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hop {
    /// The link itself; its parent directory is resolved.
    pub link: AbsPath,
    /// The text of the link, escaped as in files.
    pub text: String,
}

/// What a program wants with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// Metadata: stat, access, readlink of a symlink itself.
    Look,
    /// To be the working directory or the start of a relative path (chdir, O_PATH).
    Enter,
    /// Names in a directory.
    List,
    /// Contents, for reading.
    Read,
    /// To be executed, as program, script, interpreter or loader.
    Execute,
    /// To be mapped executable: a shared library.
    Map,
    /// Contents of what exists, for writing.
    Write,
    /// A new file, directory, link, socket or pipe.
    Create,
    /// To be made shorter or emptied.
    Truncate,
    /// To be removed.
    Remove,
    /// Mode, owner, times or extended attributes.
    Attributes,
    /// A socket file to connect to.
    Connect,
}

/// A rename or link with both ends, resolved as [`PathFact::path`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairFact {
    /// Which.
    pub operation: PairOperation,
    /// The call.
    pub call: Syscall,
    /// The name that was.
    pub from: AbsPath,
    /// The name that is made.
    pub to: AbsPath,
    /// Whether `to` existed before: then it was replaced.
    pub replaced: bool,
    /// The type of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<FileKind>,
    /// What came of it.
    pub result: Outcome,
}

/// The operations with two paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PairOperation {
    /// rename(2) and kin.
    Rename,
    /// RENAME_EXCHANGE.
    Exchange,
    /// link(2) and kin.
    Link,
}

/// What a call returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It succeeded.
    Ok,
    /// It failed with this errno.
    Errno(i32),
    /// It was made, and its result was not seen (the task died in it, or it was not waited for).
    Unseen,
}

impl Outcome {
    /// Whether the call succeeded, or may have.
    pub fn may_have_succeeded(self) -> bool {
        !matches!(self, Self::Errno(_))
    }
}

/// The kind of socket behind an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// A connected byte stream over IP.
    Tcp,
    /// Datagrams over IP to which something was sent.
    Udp,
    /// A datagram socket that was connected and never sent on (address sorting in getaddrinfo): not an endpoint.
    UdpProbe,
    /// A local socket.
    Unix,
    /// A netlink socket.
    Netlink,
    /// Anything else.
    Other,
}

/// A refusal, said in the words that the person needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denial {
    /// The program that was refused, as far as it is known.
    pub program: String,
    /// The call.
    pub call: String,
    /// The thing that was asked for, in words, escaped as in files (`"ioctl TIOCSTI"`, a path).
    pub thing: String,
    /// errno that was answered.
    pub errno: i32,
    /// The profile line that would allow it; `None` when no line may.
    pub remedy: Option<String>,
    /// How often, up to the cap of the flood guard.
    pub count: u64,
    /// What the program wanted with a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// The programs above the refused one, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// What allowing it would open, in words; `None` where that is no more than the thing itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<String>,
}

/// Why a run is incomplete.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gap {
    /// A path argument could not be read.
    UnreadablePath {
        /// Of which call.
        call: Syscall,
    },
    /// A path could not be resolved to where the kernel went.
    Unresolved {
        /// Of which call.
        call: Syscall,
        /// The bytes as they were passed, escaped as in files.
        path: String,
    },
    /// The cap on events was reached: what came after was not recorded.
    Flood {
        /// The cap.
        cap: u64,
    },
    /// A task could not be followed.
    LostTask,
    /// The names of the variables of a new program could not be read.
    Environment,
    /// The run was interrupted from outside before the program ended.
    Interrupted {
        /// By which signal.
        signal: i32,
    },
    /// The run reached a time limit.
    Timeout,
    /// The facts are from the log of another tool, which does not tell everything.
    Imported {
        /// Lines, calls and paths of it that were not understood.
        unread: u64,
    },
}

impl Gap {
    /// Its kind, as in profiles.
    pub fn kind(&self) -> GapKind {
        match self {
            Self::UnreadablePath { .. } => GapKind::UnreadablePath,
            Self::Unresolved { .. } => GapKind::Unresolved,
            Self::Flood { .. } => GapKind::Flood,
            Self::LostTask => GapKind::LostTask,
            Self::Environment => GapKind::Environment,
            Self::Interrupted { .. } => GapKind::Interrupted,
            Self::Timeout => GapKind::Timeout,
            Self::Imported { .. } => GapKind::Imported,
        }
    }
}

/// What a profile says of the gaps in its evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GapKind {
    /// The trace has no end: whoever wrote it was cut off.
    CutShort,
    /// [`Gap::Environment`]
    Environment,
    /// [`Gap::Flood`]
    Flood,
    /// [`Gap::Imported`]
    Imported,
    /// [`Gap::Interrupted`]
    Interrupted,
    /// [`Gap::LostTask`]
    LostTask,
    /// [`Gap::Timeout`]
    Timeout,
    /// [`Gap::UnreadablePath`]
    UnreadablePath,
    /// [`Gap::Unresolved`]
    Unresolved,
}

impl GapKind {
    /// All, in the order of files.
    pub const ALL: [Self; 9] = [
        Self::CutShort,
        Self::Environment,
        Self::Flood,
        Self::Imported,
        Self::Interrupted,
        Self::LostTask,
        Self::Timeout,
        Self::UnreadablePath,
        Self::Unresolved,
    ];

    /// The word in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CutShort => "cut-short",
            Self::Environment => "environment",
            Self::Flood => "flood",
            Self::Imported => "imported",
            Self::Interrupted => "interrupted",
            Self::LostTask => "lost-task",
            Self::Timeout => "timeout",
            Self::UnreadablePath => "unreadable-path",
            Self::Unresolved => "unresolved",
        }
    }

    /// What it means, behind "its evidence is incomplete:".
    pub fn meaning(self) -> &'static str {
        match self {
            Self::CutShort => "the recording broke off",
            Self::Environment => "the names of the variables of a program could not be read",
            Self::Flood => "there were more facts than are recorded",
            Self::Imported => "it is from the log of another tool, which does not tell everything",
            Self::Interrupted => "the run was interrupted",
            Self::LostTask => "a process could not be followed",
            Self::Timeout => "the run was ended at its time limit",
            Self::UnreadablePath => "a path that was passed to a system call could not be read",
            Self::Unresolved => "where a path leads could not be told",
        }
    }
}

/// What lies in one directory, counted while learning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Census {
    /// The directory, resolved.
    pub dir: AbsPath,
    /// Entries directly in it, up to the cap.
    pub entries: u32,
    /// Whether the cap was reached.
    pub capped: bool,
    /// Who owns the directory.
    pub owner: Owner,
    /// Whether everybody may read it.
    pub world_readable: bool,
    /// Names in it that mark a unit: `.git`, `pyvenv.cfg`, `package.json`, `CACHEDIR.TAG`, ...
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub markers: BTreeSet<String>,
    /// Names in it that match the sensitivity table, escaped as in files.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sensitive: BTreeSet<String>,
}

/// Whose an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The user who ran the program.
    Caller,
    /// root, where that is not the caller.
    Root,
    /// Somebody else.
    Other,
}

/// Highest use of resources over the whole process tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peaks {
    /// Resident memory in bytes: the largest sum seen over the tree.
    pub memory: u64,
    /// Processes at one time.
    pub processes: u32,
    /// Threads at one time.
    pub threads: u32,
    /// Highest number of a descriptor that any process had open, plus one: what RLIMIT_NOFILE must allow.
    #[serde(default)]
    pub descriptors: u32,
    /// Size in bytes of the largest file that was written, at its removal or at the end: what RLIMIT_FSIZE must allow.
    #[serde(default)]
    pub file_size: u64,
    /// Processor time of the tree in milliseconds.
    pub cpu_ms: u64,
    /// Wall time in milliseconds.
    pub wall_ms: u64,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExitStatus {
    /// exit(2) with this code.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
}

impl ExitStatus {
    /// The shell's number: the code, or 128 + signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// Events counted by kind, for progress lines and `stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// All events.
    pub events: u64,
    /// Distinct objects reached.
    pub files: u64,
    /// Distinct system calls.
    pub calls: BTreeMap<Syscall, u64>,
    /// Process images.
    pub images: u64,
}
