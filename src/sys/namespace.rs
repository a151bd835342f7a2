//! A child in new namespaces, and its loopback device.
#![expect(unsafe_code, reason = "clone(2) without a new stack, and ioctl(2) on a network device")]

use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

/// Who returned from [`clone_into`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The caller; the child has this pid here.
    Parent(Pid),
    /// The child: pid 1 if the pid namespace is new.
    Child,
}

/// fork(2) into new namespaces.
///
/// # Errors
///
/// EPERM and ENOSPC where user namespaces are forbidden; see `probe::features` for what each means.
///
/// # Panics
///
/// Never; but the child shares fork's rule: if the caller has other threads, it may only do what is async-signal-safe. The
/// launcher calls this before it starts any thread.
pub fn clone_into(namespaces: CloneFlags) -> Result<Side, Errno> {
    let flags = libc::c_long::from(namespaces.bits() | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with no stack given the child continues on a copy of this stack, as after fork(2). The
    // other arguments are null and so ignored, in the order of x86_64 as of aarch64.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match Errno::result(pid)? {
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(Pid::from_raw(i32::try_from(pid).map_err(|_| Errno::EOVERFLOW)?))),
    }
}

/// Brings up the loopback device of the caller's network namespace (netdevice(7)).
pub fn loopback_up() -> Result<(), Errno> {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: `ifreq` is a plain C struct for which all-zero bytes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(|_| Errno::EINVAL)?;
    // SAFETY: SIOCSIFFLAGS reads one `ifreq`, which outlives the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    Errno::result(done).map(drop)
}
