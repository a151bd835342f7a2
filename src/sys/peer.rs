//! A look at a descriptor of another process.
#![expect(unsafe_code, reason = "pidfd_open and pidfd_getfd have no safe wrapper")]

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};

/// A copy of descriptor `fd` of process `pid`.
pub fn descriptor(pid: i32, fd: i32) -> Result<OwnedFd, Errno> {
    let process = owned(libc::SYS_pidfd_open, i64::from(pid), 0)?;
    owned(libc::SYS_pidfd_getfd, i64::from(process.as_raw_fd()), i64::from(fd))
}

/// The type (`SOCK_STREAM`, …) of a socket of another process.
pub fn socket_type(pid: i32, fd: i32) -> Result<i32, Errno> {
    getsockopt(&descriptor(pid, fd)?, sockopt::SockType).map(|kind| kind as i32)
}

/// The internet address that a socket of another process is bound to; `None` when it is of another kind.
pub fn bound_to(pid: i32, fd: i32) -> Result<Option<SocketAddr>, Errno> {
    // Any other family is an error of the library's, not of the kernel's.
    Ok(TcpListener::from(descriptor(pid, fd)?).local_addr().ok())
}

fn owned(call: libc::c_long, first: i64, second: i64) -> Result<OwnedFd, Errno> {
    // SAFETY: both calls take three plain numbers and no pointer.
    let fd = Errno::result(unsafe { libc::syscall(call, first, second, 0) })?;
    // SAFETY: the kernel just made this descriptor for us; nobody else knows it.
    i32::try_from(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).map_err(|_| Errno::EBADF)
}
