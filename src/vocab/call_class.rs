//! A system call beyond the base set → what it is for, in words for a reviewer: few words stand for many names.
//!
//! Only how calls are shown: profiles list names. A call whose like is not here stands under [`OTHERS`].

use super::syscall::Syscall;

/// What stands in no class.
pub const OTHERS: &str = "others";

/// Classes in the order in which they are shown, the most powerful last.
const CLASSES: [(&str, &[&str]); 13] = [
    ("sockets", &["accept", "accept4", "bind", "connect", "listen", "socket"]),
    (
        "owners and attributes of files",
        &[
            "chown",
            "fchown",
            "fchownat",
            "file_getattr",
            "file_setattr",
            "fremovexattr",
            "fsetxattr",
            "getxattrat",
            "lchown",
            "listxattrat",
            "lremovexattr",
            "lsetxattr",
            "removexattr",
            "removexattrat",
            "setxattr",
            "setxattrat",
        ],
    ),
    ("pipes and devices as files", &["mknod", "mknodat"]),
    ("watching of files", &["fanotify_init", "fanotify_mark"]),
    ("asynchronous files", &["io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup", "io_submit"]),
    (
        "memory that is shared by key",
        &[
            "mq_getsetattr",
            "mq_notify",
            "mq_open",
            "mq_timedreceive",
            "mq_timedsend",
            "mq_unlink",
            "msgctl",
            "msgget",
            "msgrcv",
            "msgsnd",
            "semctl",
            "semget",
            "semop",
            "semtimedop",
            "shmat",
            "shmctl",
            "shmdt",
            "shmget",
        ],
    ),
    (
        "placing of memory",
        &[
            "mbind",
            "memfd_secret",
            "migrate_pages",
            "move_pages",
            "process_madvise",
            "process_mrelease",
            "remap_file_pages",
            "set_mempolicy",
            "set_mempolicy_home_node",
        ],
    ),
    ("scheduling", &["sched_setattr", "sched_setparam", "sched_setscheduler"]),
    ("setting of the clock", &["adjtimex", "clock_adjtime"]),
    ("looks at the machine", &["listmount", "lsm_get_self_attr", "lsm_list_modules", "statmount", "sysfs", "ustat"]),
    ("further confinement of itself", &["lsm_set_self_attr", "seccomp"]),
    (
        "identity",
        &[
            "capset",
            "setfsgid",
            "setfsuid",
            "setgid",
            "setgroups",
            "setregid",
            "setresgid",
            "setresuid",
            "setreuid",
            "setuid",
        ],
    ),
    ("execution in other ways", &["execveat", "kcmp", "modify_ldt", "name_to_handle_at", "personality"]),
];

/// The class of a call, and its place in the order of classes.
pub fn class(call: Syscall) -> (usize, &'static str) {
    let found = CLASSES.iter().enumerate().find(|(_, (_, names))| names.contains(&call.name()));
    found.map_or((CLASSES.len(), OTHERS), |(at, (words, _))| (at, words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::syscall_table::{Class, rows};

    #[test]
    fn every_call_that_can_be_learned_is_in_one_class_and_no_other_is() {
        for (call, row) in rows() {
            let count = CLASSES.iter().filter(|(_, names)| names.contains(&call.name())).count();
            assert_eq!(count, usize::from(row.class == Class::Learned), "{call}");
        }
        assert!(CLASSES.iter().all(|(_, names)| names.is_sorted()));
    }
}
