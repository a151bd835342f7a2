//! Arguments of system calls that are worth a rule ↔ the words in which files name them.
//!
//! Numbers are those of the kernel's headers, which are the same on every machine that this crate is for. What is not in
//! a table is written as its number; no word is ever guessed.

use super::syscall_table::{IOCTLS, SOCKET_DOMAINS, SOCKET_TYPES, ioctl_word, socket_word};

/// Operations of prctl(2) (linux/prctl.h).
const PRCTL: &[(u32, &str)] = &[
    (1, "PR_SET_PDEATHSIG"),
    (2, "PR_GET_PDEATHSIG"),
    (3, "PR_GET_DUMPABLE"),
    (4, "PR_SET_DUMPABLE"),
    (7, "PR_GET_KEEPCAPS"),
    (8, "PR_SET_KEEPCAPS"),
    (13, "PR_GET_TIMING"),
    (14, "PR_SET_TIMING"),
    (15, "PR_SET_NAME"),
    (16, "PR_GET_NAME"),
    (21, "PR_GET_SECCOMP"),
    (22, "PR_SET_SECCOMP"),
    (23, "PR_CAPBSET_READ"),
    (24, "PR_CAPBSET_DROP"),
    (25, "PR_GET_TSC"),
    (26, "PR_SET_TSC"),
    (27, "PR_GET_SECUREBITS"),
    (28, "PR_SET_SECUREBITS"),
    (29, "PR_SET_TIMERSLACK"),
    (30, "PR_GET_TIMERSLACK"),
    (33, "PR_MCE_KILL"),
    (34, "PR_MCE_KILL_GET"),
    (35, "PR_SET_MM"),
    (36, "PR_SET_CHILD_SUBREAPER"),
    (37, "PR_GET_CHILD_SUBREAPER"),
    (38, "PR_SET_NO_NEW_PRIVS"),
    (39, "PR_GET_NO_NEW_PRIVS"),
    (40, "PR_GET_TID_ADDRESS"),
    (41, "PR_SET_THP_DISABLE"),
    (42, "PR_GET_THP_DISABLE"),
    (45, "PR_SET_FP_MODE"),
    (46, "PR_GET_FP_MODE"),
    (47, "PR_CAP_AMBIENT"),
    (52, "PR_GET_SPECULATION_CTRL"),
    (53, "PR_SET_SPECULATION_CTRL"),
    (57, "PR_SET_IO_FLUSHER"),
    (58, "PR_GET_IO_FLUSHER"),
    (59, "PR_SET_SYSCALL_USER_DISPATCH"),
    (62, "PR_SCHED_CORE"),
    (65, "PR_SET_MDWE"),
    (66, "PR_GET_MDWE"),
    (0x5356_4d41, "PR_SET_VMA"),
    (0x5961_6d61, "PR_SET_PTRACER"),
];

/// Flags of clone(2) and unshare(2) that make namespaces (linux/sched.h), by bit.
const NAMESPACES: &[(u64, &str)] = &[
    (0x0000_0080, "newtime"),
    (0x0002_0000, "newns"),
    (0x0200_0000, "newcgroup"),
    (0x0400_0000, "newuts"),
    (0x0800_0000, "newipc"),
    (0x1000_0000, "newuser"),
    (0x2000_0000, "newpid"),
    (0x4000_0000, "newnet"),
];

/// CLONE_UNTRACED (linux/sched.h).
const UNTRACED: u64 = 0x0080_0000;

/// Commands of fcntl(2) that reach beyond the descriptor: signals to others, leases, watches, sizes in the kernel.
pub const FCNTL: &[(u32, &str)] = &[
    (8, "F_SETOWN"),
    (10, "F_SETSIG"),
    (15, "F_SETOWN_EX"),
    (1024, "F_SETLEASE"),
    (1026, "F_NOTIFY"),
    (1031, "F_SETPIPE_SZ"),
    (1033, "F_ADD_SEALS"),
];

/// Operations of seccomp(2) (linux/seccomp.h).
const SECCOMP: &[(u32, &str)] = &[(0, "strict"), (1, "filter"), (2, "action-available"), (3, "notification-sizes")];

/// SECCOMP_FILTER_FLAG_NEW_LISTENER (linux/seccomp.h).
const NEW_LISTENER: u64 = 8;

/// Requests of ptrace(2) with which tracing begins (sys/ptrace.h, linux/ptrace.h).
const PTRACE: &[(u32, &str)] =
    &[(0, "PTRACE_TRACEME"), (16, "PTRACE_ATTACH"), (0x4200, "PTRACE_SETOPTIONS"), (0x4206, "PTRACE_SEIZE")];

/// PROT_WRITE and PROT_EXEC: memory that is both holds code that was made while running.
pub const WRITE_EXECUTE: u64 = 2 | 4;

/// Calls with which a program confines what it runs.
pub const NESTING: [&str; 21] = [
    "unshare",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "sethostname",
    "setdomainname",
    "capset",
    "seccomp",
    "signalfd4",
    "socket",
    "bind",
    "connect",
];

/// Kinds of sockets by which it brings up the loopback of a new network.
pub const NESTING_SOCKETS: [&str; 3] = ["netlink raw 0", "inet datagram", "unix stream"];

/// Kinds that every socketpair(2) may have.
pub const PAIR_KINDS: [&str; 3] = ["unix stream", "unix datagram", "unix seqpacket"];

/// The number of a device command: the inverse of [`ioctl_word`].
pub fn ioctl_command(word: &str) -> Option<u32> {
    let named = IOCTLS.iter().find(|(_, name)| *name == word).map(|(command, _)| *command);
    named.or_else(|| u32::from_str_radix(word.strip_prefix("0x")?, 16).ok())
}

/// Domain, type and protocol of `"inet stream"`, `"netlink raw 0"`: the inverse of [`socket_word`]. Without a protocol the
/// usual ones are meant and no other: MPTCP is a stream, too.
pub fn socket_kinds(word: &str) -> Option<Vec<[u32; 3]>> {
    let mut words = word.split(' ');
    let mut number = |names: &[(i32, &str)]| -> Option<u32> {
        let word = words.next()?;
        let named = names.iter().find(|(_, name)| *name == word).map(|(number, _)| *number);
        u32::try_from(named.or_else(|| word.parse().ok())?).ok()
    };
    let (domain, kind) = (number(SOCKET_DOMAINS)?, number(SOCKET_TYPES)?);
    let protocols = match (words.next(), domain, kind) {
        (Some(protocol), ..) => vec![protocol.parse().ok()?],
        (None, 2 | 10, 1) => vec![0, 6],
        (None, 2 | 10, 2) => vec![0, 17],
        (None, 1, _) => vec![0, 1],
        (None, ..) => vec![0],
    };
    words.next().is_none().then(|| protocols.into_iter().map(|protocol| [domain, kind, protocol]).collect())
}

/// An operation of prctl(2).
pub fn prctl(operation: u32) -> String {
    word(PRCTL, operation)
}

/// A command of fcntl(2); `None` for one that is not worth a word.
pub fn fcntl(command: u32) -> Option<&'static str> {
    FCNTL.iter().find(|(number, _)| *number == command).map(|(_, name)| *name)
}

/// An operation of seccomp(2).
pub fn seccomp(operation: u32) -> String {
    word(SECCOMP, operation)
}

/// The namespaces that are asked for: `"newuser newpid"`. Of clone(2) `flags` the lowest byte is a signal, not a flag.
pub fn namespaces(flags: u64) -> String {
    let names: Vec<_> = NAMESPACES.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    names.join(" ")
}

/// What a call that was refused asked for, beyond its name, in words; empty where the name says it all.
pub fn asked_for(call: &str, arguments: &[u64; 6]) -> String {
    let [first, second, third, ..] = *arguments;
    let low = |register: u64| u32::try_from(register & 0xffff_ffff).unwrap_or(0);
    match call {
        "ioctl" => match low(second) {
            0x5412 => "TIOCSTI (type into your terminal)".to_owned(),
            0x541c => "TIOCLINUX (the console)".to_owned(),
            command => format!("command {}", ioctl_word(command)),
        },
        "socket" | "socketpair" => {
            socket_word(low(first).cast_signed(), low(second).cast_signed(), low(third).cast_signed())
        }
        "clone" if first & UNTRACED != 0 => "a child that cannot be followed".to_owned(),
        "clone" => format!("namespaces of its own: {}", namespaces(first & !0xff)),
        "unshare" => format!("namespaces of its own: {}", namespaces(first)),
        "chmod" | "fchmod" | "fchmodat" | "fchmodat2" | "creat" | "mknod" | "mknodat" | "open" | "openat" => {
            "a set-user-id or set-group-id bit".to_owned()
        }
        "seccomp" if low(first) == 1 && second & NEW_LISTENER != 0 => "a listener of its own".to_owned(),
        "ptrace" => word(PTRACE, low(first)),
        "setsockopt" => format!("another way for what is sent (option {} of level {})", low(third), low(second)),
        _ => String::new(),
    }
}

fn word(table: &[(u32, &str)], value: u32) -> String {
    table.iter().find(|(number, _)| *number == value).map_or_else(|| value.to_string(), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_a_table_have_a_word_and_others_stay_numbers() {
        assert_eq!(prctl(4), "PR_SET_DUMPABLE");
        assert_eq!(prctl(4000), "4000");
        assert_eq!(namespaces(0x1000_0000 | 0x0002_0000 | 17), "newns newuser");
        assert_eq!(namespaces(17), "");
        assert_eq!(fcntl(1), None);
    }

    #[test]
    fn no_number_stands_twice() {
        for table in [PRCTL, FCNTL, SECCOMP, PTRACE] {
            assert!(table.is_sorted_by_key(|(number, _)| *number));
            let distinct: std::collections::BTreeSet<_> = table.iter().map(|(number, _)| number).collect();
            assert_eq!(distinct.len(), table.len());
        }
        assert_eq!(
            NAMESPACES.iter().map(|(bit, _)| bit).sum::<u64>() & !0x80,
            super::super::syscall_table::CLONE_NAMESPACES
        );
    }
}
