//! A look at a socket of another process.
#![expect(unsafe_code, reason = "pidfd_open and pidfd_getfd have no safe wrapper")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};

/// The domain-independent type (`SOCK_STREAM`, …) of descriptor `fd` of process `pid`.
pub fn kind_of(pid: i32, fd: i32) -> Result<i32, Errno> {
    let process = owned(libc::SYS_pidfd_open, i64::from(pid), 0)?;
    let socket = owned(libc::SYS_pidfd_getfd, i64::from(process.as_raw_fd()), i64::from(fd))?;
    getsockopt(&socket, sockopt::SockType).map(|kind| kind as i32)
}

fn owned(call: libc::c_long, first: i64, second: i64) -> Result<OwnedFd, Errno> {
    // SAFETY: both calls take three plain numbers and no pointer.
    let fd = Errno::result(unsafe { libc::syscall(call, first, second, 0) })?;
    // SAFETY: the kernel just made this descriptor for us; nobody else knows it.
    i32::try_from(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).map_err(|_| Errno::EBADF)
}
