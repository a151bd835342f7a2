//! The words that strace writes for flags and kinds → the kernel's numbers, as far as facts depend on them.

use crate::event::Transport;
use crate::import::strace_values::Argument;
use crate::vocab::syscall_table::socket_word;

const BITS: &[(&str, i32)] = &[
    ("O_WRONLY", libc::O_WRONLY),
    ("O_RDWR", libc::O_RDWR),
    ("O_CREAT", libc::O_CREAT),
    ("O_EXCL", libc::O_EXCL),
    ("O_TRUNC", libc::O_TRUNC),
    ("O_NOFOLLOW", libc::O_NOFOLLOW),
    ("O_PATH", libc::O_PATH),
    ("O_TMPFILE", libc::O_TMPFILE),
    ("__O_TMPFILE", libc::O_TMPFILE),
    ("AT_SYMLINK_NOFOLLOW", libc::AT_SYMLINK_NOFOLLOW),
    ("AT_SYMLINK_FOLLOW", libc::AT_SYMLINK_FOLLOW),
    ("RENAME_EXCHANGE", 2),
    ("PROT_WRITE", libc::PROT_WRITE),
    ("PROT_EXEC", libc::PROT_EXEC),
    ("IN_DONT_FOLLOW", 0x0200_0000),
];

/// File types in the mode of mknod(2).
const TYPES: &[(&str, u32)] =
    &[("S_IFIFO", libc::S_IFIFO), ("S_IFCHR", libc::S_IFCHR), ("S_IFBLK", libc::S_IFBLK), ("S_IFSOCK", libc::S_IFSOCK)];

const SOCKETS: &[(&str, i32)] = &[
    ("AF_UNIX", libc::AF_UNIX),
    ("AF_LOCAL", libc::AF_UNIX),
    ("AF_INET", libc::AF_INET),
    ("AF_INET6", libc::AF_INET6),
    ("AF_NETLINK", libc::AF_NETLINK),
    ("AF_PACKET", libc::AF_PACKET),
    ("AF_ALG", libc::AF_ALG),
    ("AF_VSOCK", libc::AF_VSOCK),
    ("SOCK_STREAM", libc::SOCK_STREAM),
    ("SOCK_DGRAM", libc::SOCK_DGRAM),
    ("SOCK_RAW", libc::SOCK_RAW),
    ("SOCK_SEQPACKET", libc::SOCK_SEQPACKET),
    ("SOCK_CLOEXEC", 0),
    ("SOCK_NONBLOCK", 0),
    ("IPPROTO_IP", libc::IPPROTO_IP),
    ("IPPROTO_ICMP", libc::IPPROTO_ICMP),
    ("IPPROTO_TCP", libc::IPPROTO_TCP),
    ("IPPROTO_UDP", libc::IPPROTO_UDP),
    ("IPPROTO_ICMPV6", libc::IPPROTO_ICMPV6),
    ("IPPROTO_MPTCP", libc::IPPROTO_MPTCP),
    ("NETLINK_ROUTE", libc::NETLINK_ROUTE),
    ("NETLINK_SOCK_DIAG", libc::NETLINK_SOCK_DIAG),
    ("NETLINK_SELINUX", libc::NETLINK_SELINUX),
    ("NETLINK_AUDIT", libc::NETLINK_AUDIT),
    ("NETLINK_NETFILTER", libc::NETLINK_NETFILTER),
    ("NETLINK_KOBJECT_UEVENT", libc::NETLINK_KOBJECT_UEVENT),
    ("NETLINK_GENERIC", libc::NETLINK_GENERIC),
    ("NETLINK_CRYPTO", libc::NETLINK_CRYPTO),
];

/// The bits of a flag.
pub(super) fn bit(word: &str) -> Option<u64> {
    let flag = BITS.iter().find(|(name, _)| *name == word).and_then(|(_, bit)| u64::try_from(*bit).ok());
    flag.or_else(|| TYPES.iter().find(|(name, _)| *name == word).map(|(_, bits)| u64::from(*bits)))
}

/// A socket in the words of files, and what connecting it means; `None` if a word of it is not known.
pub(super) fn socket_words(arguments: &[Argument]) -> Option<(String, Transport)> {
    let number = |index: usize| {
        let words = arguments.get(index)?.words();
        words.iter().try_fold(0, |sum, word| {
            let known = SOCKETS.iter().find(|(name, _)| name == word).map(|(_, number)| *number);
            Some(sum | known.or_else(|| word.parse().ok())?)
        })
    };
    let (domain, kind, protocol) = (number(0)?, number(1)?, number(2)?);
    let transport = match kind {
        libc::SOCK_STREAM => Transport::Tcp,
        libc::SOCK_DGRAM => Transport::Udp,
        _ => Transport::Other,
    };
    Some((socket_word(domain, kind, protocol), transport))
}
