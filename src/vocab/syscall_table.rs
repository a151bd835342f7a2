//! What is known of each system call, as one table: which set it belongs to, whether learning stops at it, how much it
//! can do, what a refusal answers, and which of its arguments are paths.
//!
//! Tracer, filter and reduction derive everything they know of calls from here; a call without a row does not exist
//! (a test walks every number). The table says nothing about what an argument points to: that is the tracer's part.
//!
//! # What is in the base set
//!
//! [`Class::Base`] holds every call that an ordinary program or language runtime makes depending on timing, load, data
//! or the age of its C library, so that a second run is not refused for a race that the first run won. It is harmless in
//! the sense that its effect is bounded by something else of the sandbox: calls that name a path (`unlink`, `rename`,
//! `mkdir`, …) reach only what the mounts show and let them write; signals and priorities end at the pid namespace.
//! Nothing in it has a risk above 1.

use std::sync::LazyLock;

use super::syscall::Syscall;

/// Version of the set of [`Class::Base`] (with [`IOCTLS`]). It grows when the set changes; a profile names it.
pub const BASE_VERSION: u32 = 1;

/// One call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Name, as in the manual pages.
    pub name: &'static str,
    /// The set it belongs to.
    pub class: Class,
    /// Whether learning stops at it (where not every call is stopped).
    pub watched: bool,
    /// 0: only its own process; 1: bounded by the sandbox; 2: widens the attack surface of the kernel or of other
    /// processes; 3: weakens the sandbox; 4: leaves it.
    pub risk: u8,
    /// What a refusal answers, in learning and in enforcement alike. ENOSYS where the C library falls back, or where the
    /// call is newer than what a program may expect; EPERM for the privileged classics.
    pub refused: i32,
    /// The arguments that are paths.
    pub paths: &'static [PathArgument],
    /// Set where the two paths are the two ends of one operation, in order.
    pub pair: Option<Pair>,
}

/// The sets of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Always allowed; see the module's documentation.
    Base,
    /// Allowed where a program was seen to need it.
    Learned,
    /// Refused even while learning, and said so: it breaks out, hides from observation or reaches beyond the sandbox.
    Floor,
    /// As [`Class::Floor`], and not worth a word: every caller falls back, as on a kernel without the call.
    Absent,
}

/// One argument that is a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathArgument {
    /// Which argument, from 0.
    pub path: u8,
    /// Which argument is the descriptor that a relative path starts from; `None` for the working directory.
    pub dirfd: Option<u8>,
    /// What happens to a symlink at the end.
    pub last: Last,
    /// What the call does with the path.
    pub want: Want,
}

/// Whether a symlink at the end of a path is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// Always.
    Follow,
    /// Never.
    Keep,
    /// Followed unless the argument has one of these bits (`AT_SYMLINK_NOFOLLOW`).
    KeepIf(u8, u64),
    /// Followed if the argument has one of these bits (`AT_SYMLINK_FOLLOW`).
    FollowIf(u8, u64),
    /// As the open flags in this argument say: `O_NOFOLLOW`, or `O_CREAT` with `O_EXCL`.
    Open(u8),
}

/// What a call does with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Metadata.
    Look,
    /// To become the working directory.
    Enter,
    /// To be executed.
    Execute,
    /// To be made: fails if the name exists.
    Create,
    /// To be emptied or cut.
    Truncate,
    /// To be removed.
    Remove,
    /// Mode, owner, times, extended attributes.
    Attributes,
    /// Open flags in this argument decide.
    Open(u8),
    /// creat(2): made or emptied, written.
    Creat,
    /// An end of a rename or link.
    End,
}

/// The operations with two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    /// The name moves. The argument that holds the flags of renameat2(2), if any.
    Rename(Option<u8>),
    /// A second name is made.
    Link,
}

/// The row of a call.
pub fn row(call: Syscall) -> &'static Row {
    // A call without a row cannot be (a test walks all); if it could, it would be refused.
    const MISSING: Row = floor("", libc::ENOSYS);
    static UNKNOWN: Row = MISSING;
    BY_NUMBER.get(call.number() as usize).copied().flatten().unwrap_or(&UNKNOWN)
}

/// Every row, with its call, by number.
pub fn rows() -> impl Iterator<Item = (Syscall, &'static Row)> {
    Syscall::all().map(|call| (call, row(call)))
}

static BY_NUMBER: LazyLock<Vec<Option<&'static Row>>> = LazyLock::new(|| {
    let mut rows = vec![None; Syscall::all().map(|call| call.number() as usize + 1).max().unwrap_or(0)];
    for row in TABLE {
        let Some(call) = Syscall::from_name(row.name) else { continue };
        if let Some(slot) = rows.get_mut(call.number() as usize) {
            *slot = Some(row);
        }
    }
    rows
});

/// Device commands that every program with a terminal, a pipe or a file uses: part of the base set, not stopped while
/// learning. Number and name, by number.
pub const IOCTLS: &[(u32, &str)] = &[
    (0x5401, "TCGETS"),
    (0x5402, "TCSETS"),
    (0x5403, "TCSETSW"),
    (0x5404, "TCSETSF"),
    (0x5409, "TCSBRK"),
    (0x540a, "TCXONC"),
    (0x540b, "TCFLSH"),
    (0x540e, "TIOCSCTTY"),
    (0x540f, "TIOCGPGRP"),
    (0x5410, "TIOCSPGRP"),
    (0x5411, "TIOCOUTQ"),
    (0x5413, "TIOCGWINSZ"),
    (0x5414, "TIOCSWINSZ"),
    (0x541b, "FIONREAD"),
    (0x5421, "FIONBIO"),
    (0x5422, "TIOCNOTTY"),
    (0x5429, "TIOCGSID"),
    (0x5441, "TIOCGPTPEER"),
    (0x5450, "FIONCLEX"),
    (0x5451, "FIOCLEX"),
    (0x5452, "FIOASYNC"),
    (0x4004_5431, "TIOCSPTLCK"),
    (0x4004_9409, "FICLONE"),
    (0x4020_940d, "FICLONERANGE"),
    (0x8004_5430, "TIOCGPTN"),
    (0x8008_6601, "FS_IOC_GETFLAGS"),
    (0x802c_542a, "TCGETS2"),
];

/// Device commands that type into the terminal that started pinfold, or give it another line discipline, which outlives the
/// run and is code of the kernel that is seldom used: never allowed.
pub const IOCTLS_REFUSED: &[(u32, &str)] = &[(0x5412, "TIOCSTI"), (0x541c, "TIOCLINUX"), (0x5423, "TIOCSETD")];

/// How a device command is written in files: its name, or its number in hexadecimal.
pub fn ioctl_word(command: u32) -> String {
    let known = IOCTLS.iter().chain(IOCTLS_REFUSED).find(|(number, _)| *number == command);
    known.map_or_else(|| format!("{command:#x}"), |(_, name)| (*name).to_owned())
}

/// Flags of clone(2) that make namespaces (linux/sched.h): refused, in any combination. CLONE_NEWTIME shares its bit with
/// the exit signal and is no flag of clone.
pub const CLONE_NAMESPACES: u64 =
    0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000;

/// How the type and protocol of a socket are written in files: `"inet stream"`, `"netlink raw 0"`.
pub fn socket_word(domain: i32, kind: i32, protocol: i32) -> String {
    let word = |number: i32, names: &[(i32, &str)]| {
        names.iter().find(|(n, _)| *n == number).map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
    };
    // SOCK_CLOEXEC and SOCK_NONBLOCK share the argument.
    let kind = kind & 0xf;
    let mut text = format!("{} {}", word(domain, SOCKET_DOMAINS), word(kind, SOCKET_TYPES));
    let usual = protocol == 0 || matches!((domain, kind, protocol), (2 | 10, 1, 6) | (2 | 10, 2, 17) | (1, _, 1));
    if domain == 16 || !usual {
        text.push(' ');
        text.push_str(&protocol.to_string());
    }
    text
}

/// Socket domains by number (linux/socket.h).
pub const SOCKET_DOMAINS: &[(i32, &str)] =
    &[(1, "unix"), (2, "inet"), (10, "inet6"), (16, "netlink"), (17, "packet"), (38, "alg"), (40, "vsock")];

/// Socket types by number (linux/net.h).
pub const SOCKET_TYPES: &[(i32, &str)] = &[(1, "stream"), (2, "datagram"), (3, "raw"), (5, "seqpacket")];

const NOFOLLOW: u64 = 0x100; // AT_SYMLINK_NOFOLLOW
const FOLLOW: u64 = 0x400; // AT_SYMLINK_FOLLOW

const fn base(name: &'static str) -> Row {
    Row { name, class: Class::Base, watched: false, risk: 0, refused: libc::EPERM, paths: &[], pair: None }
}

const fn base_path(name: &'static str, paths: &'static [PathArgument]) -> Row {
    Row { watched: true, paths, ..base(name) }
}

/// Of the base set, and stopped because an argument is worth knowing, or because the tracer must know when it is made.
const fn base_watched(name: &'static str) -> Row {
    Row { watched: true, ..base(name) }
}

const fn learned(name: &'static str, risk: u8) -> Row {
    Row { class: Class::Learned, watched: true, risk, ..base(name) }
}

const fn learned_path(name: &'static str, risk: u8, paths: &'static [PathArgument]) -> Row {
    Row { paths, ..learned(name, risk) }
}

/// Newer than what programs may expect: they fall back on ENOSYS.
const fn recent(row: Row) -> Row {
    Row { refused: libc::ENOSYS, ..row }
}

const fn floor(name: &'static str, refused: i32) -> Row {
    Row { class: Class::Floor, watched: true, risk: 4, refused, ..base(name) }
}

const fn absent(name: &'static str) -> Row {
    Row { class: Class::Absent, risk: 2, ..floor(name, libc::ENOSYS) }
}

const fn risky(row: Row, risk: u8) -> Row {
    Row { risk, ..row }
}

const fn at(dirfd: u8, path: u8, last: Last, want: Want) -> PathArgument {
    PathArgument { path, dirfd: Some(dirfd), last, want }
}

const fn here(path: u8, last: Last, want: Want) -> PathArgument {
    PathArgument { path, dirfd: None, last, want }
}

const fn pair(name: &'static str, paths: &'static [PathArgument], pair: Pair) -> Row {
    Row { pair: Some(pair), ..base_path(name, paths) }
}

const TABLE: &[Row] = &[
    // Files by descriptor.
    base("read"),
    base("write"),
    base("close"),
    base("lseek"),
    base("pread64"),
    base("pwrite64"),
    base("readv"),
    base("writev"),
    base("preadv"),
    base("pwritev"),
    base("preadv2"),
    base("pwritev2"),
    base("pipe"),
    base("pipe2"),
    base("dup"),
    base("dup2"),
    base("dup3"),
    base("fcntl"),
    base("flock"),
    base("fsync"),
    base("fdatasync"),
    base("sync"),
    base("syncfs"),
    base("sync_file_range"),
    base("ftruncate"),
    base("fallocate"),
    base("fadvise64"),
    base("readahead"),
    base("getdents"),
    base("getdents64"),
    base("getcwd"),
    base_watched("fchdir"),
    base("fchmod"),
    base("fstat"),
    base("fstatfs"),
    base("fgetxattr"),
    base("flistxattr"),
    base("sendfile"),
    base("splice"),
    base("tee"),
    base("vmsplice"),
    base("copy_file_range"),
    base("close_range"),
    recent(base("cachestat")),
    base("umask"),
    base_watched("ioctl"),
    // Files by name. The mounts decide what is there and what may be changed.
    base_path("open", &[here(0, Last::Open(1), Want::Open(1))]),
    base_path("openat", &[at(0, 1, Last::Open(2), Want::Open(2))]),
    base_path("creat", &[here(0, Last::Follow, Want::Creat)]),
    base_path("stat", &[here(0, Last::Follow, Want::Look)]),
    base_path("lstat", &[here(0, Last::Keep, Want::Look)]),
    base_path("newfstatat", &[at(0, 1, Last::KeepIf(3, NOFOLLOW), Want::Look)]),
    // The same call under the name that it has on aarch64.
    base_path("fstatat", &[at(0, 1, Last::KeepIf(3, NOFOLLOW), Want::Look)]),
    recent(base_path("statx", &[at(0, 1, Last::KeepIf(2, NOFOLLOW), Want::Look)])),
    base_path("access", &[here(0, Last::Follow, Want::Look)]),
    base_path("faccessat", &[at(0, 1, Last::Follow, Want::Look)]),
    recent(base_path("faccessat2", &[at(0, 1, Last::KeepIf(3, NOFOLLOW), Want::Look)])),
    base_path("readlink", &[here(0, Last::Keep, Want::Look)]),
    base_path("readlinkat", &[at(0, 1, Last::Keep, Want::Look)]),
    base_path("statfs", &[here(0, Last::Follow, Want::Look)]),
    base_path("getxattr", &[here(0, Last::Follow, Want::Look)]),
    base_path("lgetxattr", &[here(0, Last::Keep, Want::Look)]),
    base_path("listxattr", &[here(0, Last::Follow, Want::Look)]),
    base_path("llistxattr", &[here(0, Last::Keep, Want::Look)]),
    recent(learned_path("getxattrat", 0, &[at(0, 1, Last::KeepIf(2, NOFOLLOW), Want::Look)])),
    recent(learned_path("listxattrat", 0, &[at(0, 1, Last::KeepIf(2, NOFOLLOW), Want::Look)])),
    recent(learned_path("file_getattr", 0, &[at(0, 1, Last::KeepIf(4, NOFOLLOW), Want::Look)])),
    base_path("chdir", &[here(0, Last::Follow, Want::Enter)]),
    base_path("mkdir", &[here(0, Last::Keep, Want::Create)]),
    base_path("mkdirat", &[at(0, 1, Last::Keep, Want::Create)]),
    base_path("rmdir", &[here(0, Last::Keep, Want::Remove)]),
    base_path("unlink", &[here(0, Last::Keep, Want::Remove)]),
    base_path("unlinkat", &[at(0, 1, Last::Keep, Want::Remove)]),
    // The text of a symlink is not looked up when it is made.
    base_path("symlink", &[here(1, Last::Keep, Want::Create)]),
    base_path("symlinkat", &[at(1, 2, Last::Keep, Want::Create)]),
    pair("rename", &[here(0, Last::Keep, Want::End), here(1, Last::Keep, Want::End)], Pair::Rename(None)),
    pair("renameat", &[at(0, 1, Last::Keep, Want::End), at(2, 3, Last::Keep, Want::End)], Pair::Rename(None)),
    pair("renameat2", &[at(0, 1, Last::Keep, Want::End), at(2, 3, Last::Keep, Want::End)], Pair::Rename(Some(4))),
    pair("link", &[here(0, Last::Keep, Want::End), here(1, Last::Keep, Want::End)], Pair::Link),
    pair("linkat", &[at(0, 1, Last::FollowIf(4, FOLLOW), Want::End), at(2, 3, Last::Keep, Want::End)], Pair::Link),
    base_path("truncate", &[here(0, Last::Follow, Want::Truncate)]),
    base_path("chmod", &[here(0, Last::Follow, Want::Attributes)]),
    base_path("fchmodat", &[at(0, 1, Last::Follow, Want::Attributes)]),
    recent(base_path("fchmodat2", &[at(0, 1, Last::KeepIf(3, NOFOLLOW), Want::Attributes)])),
    base_path("utime", &[here(0, Last::Follow, Want::Attributes)]),
    base_path("utimes", &[here(0, Last::Follow, Want::Attributes)]),
    base_path("futimesat", &[at(0, 1, Last::Follow, Want::Attributes)]),
    base_path("utimensat", &[at(0, 1, Last::KeepIf(3, NOFOLLOW), Want::Attributes)]),
    // Owners, attributes and nodes: copying and installing programs make them, most do not.
    learned_path("chown", 1, &[here(0, Last::Follow, Want::Attributes)]),
    learned_path("lchown", 1, &[here(0, Last::Keep, Want::Attributes)]),
    learned_path("fchownat", 1, &[at(0, 1, Last::KeepIf(4, NOFOLLOW), Want::Attributes)]),
    learned("fchown", 1),
    learned_path("setxattr", 1, &[here(0, Last::Follow, Want::Attributes)]),
    learned_path("lsetxattr", 1, &[here(0, Last::Keep, Want::Attributes)]),
    learned("fsetxattr", 1),
    learned_path("removexattr", 1, &[here(0, Last::Follow, Want::Attributes)]),
    learned_path("lremovexattr", 1, &[here(0, Last::Keep, Want::Attributes)]),
    learned("fremovexattr", 1),
    recent(learned_path("setxattrat", 1, &[at(0, 1, Last::KeepIf(2, NOFOLLOW), Want::Attributes)])),
    recent(learned_path("removexattrat", 1, &[at(0, 1, Last::KeepIf(2, NOFOLLOW), Want::Attributes)])),
    recent(learned_path("file_setattr", 1, &[at(0, 1, Last::KeepIf(4, NOFOLLOW), Want::Attributes)])),
    learned_path("mknod", 1, &[here(0, Last::Keep, Want::Create)]),
    learned_path("mknodat", 1, &[at(0, 1, Last::Keep, Want::Create)]),
    recent(learned_path("name_to_handle_at", 1, &[at(0, 1, Last::FollowIf(4, FOLLOW), Want::Look)])),
    learned("ustat", 0),
    learned("sysfs", 0),
    // Being told of changes.
    base("inotify_init"),
    base("inotify_init1"),
    base("inotify_rm_watch"),
    base_path("inotify_add_watch", &[here(1, Last::KeepIf(2, 0x0200_0000), Want::Look)]),
    learned("fanotify_init", 2),
    learned_path("fanotify_mark", 2, &[at(3, 4, Last::KeepIf(1, 0x4), Want::Look)]),
    // Waiting.
    base("poll"),
    base("ppoll"),
    base("select"),
    base("pselect6"),
    base("epoll_create"),
    base("epoll_create1"),
    base("epoll_ctl"),
    base("epoll_wait"),
    base("epoll_pwait"),
    recent(base("epoll_pwait2")),
    base("eventfd"),
    base("eventfd2"),
    base("signalfd"),
    base("signalfd4"),
    base("timerfd_create"),
    base("timerfd_settime"),
    base("timerfd_gettime"),
    learned("io_setup", 1),
    learned("io_destroy", 1),
    learned("io_getevents", 1),
    learned("io_submit", 1),
    learned("io_cancel", 1),
    recent(learned("io_pgetevents", 1)),
    // Memory.
    base("mmap"),
    base("mprotect"),
    base("munmap"),
    base("brk"),
    base("mremap"),
    base("msync"),
    base("mincore"),
    base("madvise"),
    base("mlock"),
    base("mlock2"),
    base("munlock"),
    base("mlockall"),
    base("munlockall"),
    recent(base("mseal")),
    recent(base("map_shadow_stack")),
    base("pkey_mprotect"),
    base("pkey_alloc"),
    base("pkey_free"),
    risky(base("memfd_create"), 1),
    base("get_mempolicy"),
    base("membarrier"),
    learned("mbind", 1),
    learned("set_mempolicy", 1),
    recent(learned("set_mempolicy_home_node", 1)),
    learned("migrate_pages", 1),
    learned("move_pages", 1),
    learned("remap_file_pages", 1),
    recent(learned("memfd_secret", 1)),
    recent(learned("process_madvise", 1)),
    recent(learned("process_mrelease", 1)),
    // Processes and threads.
    base_path("execve", &[here(0, Last::Follow, Want::Execute)]),
    learned_path("execveat", 1, &[at(0, 1, Last::KeepIf(4, NOFOLLOW), Want::Execute)]),
    risky(base("clone"), 1),
    base("fork"),
    base("vfork"),
    base("exit"),
    base("exit_group"),
    base("wait4"),
    base("waitid"),
    base("getpid"),
    base("getppid"),
    base("gettid"),
    base("getpgid"),
    base("getpgrp"),
    base("setpgid"),
    base("getsid"),
    base("setsid"),
    base("set_tid_address"),
    base("set_robust_list"),
    base("get_robust_list"),
    base("arch_prctl"),
    base("set_thread_area"),
    base("get_thread_area"),
    recent(base("rseq")),
    base("futex"),
    recent(base("futex_waitv")),
    recent(base("futex_wake")),
    recent(base("futex_wait")),
    recent(base("futex_requeue")),
    base("sched_yield"),
    base_watched("sched_getaffinity"),
    base_watched("sched_setaffinity"),
    base("sched_getparam"),
    base("sched_getscheduler"),
    base("sched_getattr"),
    base("sched_get_priority_max"),
    base("sched_get_priority_min"),
    base("sched_rr_get_interval"),
    base("getpriority"),
    base("setpriority"),
    base("ioprio_get"),
    base("ioprio_set"),
    base("getrlimit"),
    base("setrlimit"),
    base("prlimit64"),
    base("getrusage"),
    base("times"),
    base("getcpu"),
    base("sysinfo"),
    base("uname"),
    base("restart_syscall"),
    base_watched("prctl"),
    recent(base("pidfd_open")),
    recent(base("pidfd_send_signal")),
    recent(base("uretprobe")),
    recent(base("uprobe")),
    learned("sched_setparam", 1),
    learned("sched_setscheduler", 1),
    learned("sched_setattr", 1),
    learned("personality", 1),
    learned("modify_ldt", 2),
    learned("kcmp", 2),
    // Signals.
    base("rt_sigaction"),
    base("rt_sigprocmask"),
    base("rt_sigreturn"),
    base("rt_sigpending"),
    base("rt_sigtimedwait"),
    base("rt_sigqueueinfo"),
    base("rt_tgsigqueueinfo"),
    base("rt_sigsuspend"),
    base("sigaltstack"),
    base_watched("kill"),
    base("tkill"),
    base("tgkill"),
    base("pause"),
    // Time.
    base("nanosleep"),
    base("clock_nanosleep"),
    base("clock_gettime"),
    base("clock_getres"),
    base("gettimeofday"),
    base("time"),
    base("getitimer"),
    base("setitimer"),
    base("alarm"),
    base("timer_create"),
    base("timer_settime"),
    base("timer_gettime"),
    base("timer_getoverrun"),
    base("timer_delete"),
    learned("adjtimex", 1),
    learned("clock_adjtime", 1),
    // Identity. One user id is mapped, so there is nothing to change to.
    base("getuid"),
    base("geteuid"),
    base("getgid"),
    base("getegid"),
    base("getresuid"),
    base("getresgid"),
    base("getgroups"),
    base("capget"),
    learned("setuid", 1),
    learned("setgid", 1),
    learned("setreuid", 1),
    learned("setregid", 1),
    learned("setresuid", 1),
    learned("setresgid", 1),
    learned("setfsuid", 1),
    learned("setfsgid", 1),
    learned("setgroups", 1),
    learned("capset", 1),
    // Randomness.
    base("getrandom"),
    // Sockets. Those that a program is born with or gets from socketpair need no profile.
    base("socketpair"),
    base("recvfrom"),
    base("recvmsg"),
    base("recvmmsg"),
    base_watched("sendto"),
    base_watched("sendmsg"),
    base_watched("sendmmsg"),
    base("shutdown"),
    base("getsockname"),
    base("getpeername"),
    risky(base("getsockopt"), 1),
    risky(base("setsockopt"), 1),
    learned("socket", 1),
    learned("connect", 1),
    learned("bind", 1),
    learned("listen", 1),
    learned("accept", 1),
    learned("accept4", 1),
    // System V and POSIX objects, in a namespace of their own.
    learned("shmget", 1),
    learned("shmat", 1),
    learned("shmctl", 1),
    learned("shmdt", 1),
    learned("semget", 1),
    learned("semop", 1),
    learned("semctl", 1),
    learned("semtimedop", 1),
    learned("msgget", 1),
    learned("msgsnd", 1),
    learned("msgrcv", 1),
    learned("msgctl", 1),
    learned("mq_open", 1),
    learned("mq_unlink", 1),
    learned("mq_timedsend", 1),
    learned("mq_timedreceive", 1),
    learned("mq_notify", 1),
    learned("mq_getsetattr", 1),
    // Programs that confine themselves further.
    recent(base("landlock_create_ruleset")),
    recent(base("landlock_add_rule")),
    recent(base("landlock_restrict_self")),
    learned("seccomp", 1),
    recent(learned("lsm_get_self_attr", 0)),
    recent(learned("lsm_set_self_attr", 1)),
    recent(learned("lsm_list_modules", 0)),
    recent(learned("statmount", 1)),
    recent(learned("listmount", 1)),
    // Mounts and namespaces.
    floor("mount", libc::EPERM),
    floor("umount2", libc::EPERM),
    floor("pivot_root", libc::EPERM),
    floor("chroot", libc::EPERM),
    floor("open_tree", libc::ENOSYS),
    floor("open_tree_attr", libc::ENOSYS),
    floor("move_mount", libc::ENOSYS),
    floor("fsopen", libc::ENOSYS),
    floor("fsconfig", libc::ENOSYS),
    floor("fsmount", libc::ENOSYS),
    floor("fspick", libc::ENOSYS),
    floor("mount_setattr", libc::ENOSYS),
    floor("setns", libc::EPERM),
    floor("unshare", libc::EPERM),
    // Other processes, and what the filter cannot see.
    floor("ptrace", libc::EPERM),
    floor("process_vm_readv", libc::EPERM),
    floor("process_vm_writev", libc::EPERM),
    floor("pidfd_getfd", libc::EPERM),
    floor("open_by_handle_at", libc::EPERM),
    floor("io_uring_setup", libc::ENOSYS),
    floor("io_uring_enter", libc::ENOSYS),
    floor("io_uring_register", libc::ENOSYS),
    floor("userfaultfd", libc::EPERM),
    floor("perf_event_open", libc::EPERM),
    floor("bpf", libc::EPERM),
    floor("add_key", libc::ENOSYS),
    floor("request_key", libc::ENOSYS),
    floor("keyctl", libc::ENOSYS),
    // The machine.
    floor("kexec_load", libc::EPERM),
    floor("kexec_file_load", libc::EPERM),
    floor("init_module", libc::EPERM),
    floor("finit_module", libc::EPERM),
    floor("delete_module", libc::EPERM),
    floor("reboot", libc::EPERM),
    floor("acct", libc::EPERM),
    floor("swapon", libc::EPERM),
    floor("swapoff", libc::EPERM),
    floor("quotactl", libc::EPERM),
    floor("quotactl_fd", libc::ENOSYS),
    floor("iopl", libc::EPERM),
    floor("ioperm", libc::EPERM),
    floor("settimeofday", libc::EPERM),
    floor("clock_settime", libc::EPERM),
    floor("sethostname", libc::EPERM),
    floor("setdomainname", libc::EPERM),
    floor("vhangup", libc::EPERM),
    floor("syslog", libc::EPERM),
    // Their flags lie in memory, where a filter cannot read them; the C library falls back.
    absent("clone3"),
    absent("openat2"),
    // Gone from the kernel, or never there.
    absent("uselib"),
    absent("_sysctl"),
    absent("create_module"),
    absent("get_kernel_syms"),
    absent("query_module"),
    absent("nfsservctl"),
    absent("getpmsg"),
    absent("putpmsg"),
    absent("afs_syscall"),
    absent("tuxcall"),
    absent("security"),
    absent("lookup_dcookie"),
    absent("epoll_ctl_old"),
    absent("epoll_wait_old"),
    absent("vserver"),
    // For machines of 32 bits: aarch64 has their numbers, and no call behind them.
    absent("clock_adjtime64"),
    absent("clock_getres_time64"),
    absent("clock_gettime64"),
    absent("clock_nanosleep_time64"),
    absent("clock_settime64"),
    absent("futex_time64"),
    absent("io_pgetevents_time64"),
    absent("mq_timedreceive_time64"),
    absent("mq_timedsend_time64"),
    absent("ppoll_time64"),
    absent("pselect6_time64"),
    absent("recvmmsg_time64"),
    absent("rt_sigtimedwait_time64"),
    absent("sched_rr_get_interval_time64"),
    absent("semtimedop_time64"),
    absent("timer_gettime64"),
    absent("timer_settime64"),
    absent("timerfd_gettime64"),
    absent("timerfd_settime64"),
    absent("utimensat_time64"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_either_machine_has_exactly_one_row_and_every_row_is_such_a_call() {
        // Not the iterators of the crate: they end one before the last.
        let x86 = (0..2000).filter_map(syscalls::x86_64::Sysno::new).map(|call| call.name());
        let arm = (0..2000).filter_map(syscalls::aarch64::Sysno::new).map(|call| call.name());
        let calls: std::collections::BTreeSet<&str> = x86.chain(arm).collect();
        assert!(calls.len() > 380);
        for call in &calls {
            assert_eq!(TABLE.iter().filter(|row| row.name == *call).count(), 1, "{call}");
        }
        assert!(TABLE.iter().all(|row| calls.contains(row.name)));
        assert!(Syscall::all().all(|call| row(call).name == call.name()));
    }

    #[test]
    fn the_base_set_is_harmless_and_whatever_names_a_path_is_watched() {
        for row in TABLE {
            assert!(row.class != Class::Base || row.risk <= 1, "{}", row.name);
            assert!(row.risk <= 4, "{}", row.name);
            assert!(row.class == Class::Base || row.watched, "{}", row.name);
            assert!(row.paths.is_empty() || row.watched, "{}", row.name);
            assert_eq!(row.pair.is_some(), row.paths.len() == 2, "{}", row.name);
            assert!([libc::EPERM, libc::ENOSYS].contains(&row.refused), "{}", row.name);
        }
    }

    #[test]
    fn what_must_never_be_called_is_on_the_floor() {
        for name in ["mount", "ptrace", "io_uring_setup", "bpf", "setns", "process_vm_readv", "clone3", "openat2"] {
            assert!(row(Syscall::from_name(name).unwrap()).class >= Class::Floor, "{name}");
        }
    }

    #[test]
    fn sockets_and_device_commands_are_written_in_words() {
        assert_eq!(socket_word(2, 1 | 0o2_000_000, 0), "inet stream");
        assert_eq!(socket_word(2, 2, 17), "inet datagram");
        assert_eq!(socket_word(16, 3, 0), "netlink raw 0");
        assert_eq!(socket_word(2, 1, 262), "inet stream 262");
        assert_eq!(ioctl_word(0x5401), "TCGETS");
        assert_eq!(ioctl_word(0xabcd), "0xabcd");
        assert!(IOCTLS.is_sorted());
    }
}
