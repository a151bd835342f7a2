//! Loading a filter, and answering what it hands to its listener (seccomp(2), seccomp_unotify(2)).
#![expect(unsafe_code, reason = "seccomp(2) and its ioctls have no safe wrapper")]

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use crate::vocab::bpf::Instruction;

const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;
const SECCOMP_FILTER_FLAG_NEW_LISTENER: libc::c_uint = 1 << 3;
// Linux 5.19: only fatal signals interrupt a call that a listener has received; without it Go's preemption signals restart
// the call again and again.
const SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: libc::c_uint = 1 << 5;

/// Loads `program` for the calling thread and what it starts. `no_new_privs` must be set.
pub fn load(program: &[Instruction]) -> Result<(), Errno> {
    set_filter(program, 0).map(drop)
}

/// As [`load`], with a listener for what the program answers with USER_NOTIF.
pub fn load_with_listener(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let with = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    let raw = match set_filter(program, with) {
        Err(Errno::EINVAL) => set_filter(program, SECCOMP_FILTER_FLAG_NEW_LISTENER)?,
        other => other?,
    };
    let raw = RawFd::try_from(raw).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn set_filter(program: &[Instruction], flags: libc::c_uint) -> Result<libc::c_long, Errno> {
    let length = libc::c_ushort::try_from(program.len()).map_err(|_| Errno::E2BIG)?;
    let description = libc::sock_fprog { len: length, filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut() };
    // SAFETY: `Instruction` has the layout of `struct sock_filter` (repr(C), the same four fields); the kernel copies the
    // program during the call and `program` outlives it. It does not write to it.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const description) };
    Errno::result(done)
}

/// A call that waits for an answer.
#[derive(Debug, Clone, Copy)]
pub struct Notification {
    /// To answer with.
    pub id: u64,
    /// The calling thread, in the pid namespace of whoever reads.
    pub pid: u32,
    /// Number.
    pub number: i32,
    /// Argument registers.
    pub arguments: [u64; 6],
}

/// The next call that waits. ENOENT: it went away meanwhile.
pub fn receive(listener: impl AsFd) -> Result<Notification, Errno> {
    // SAFETY: a plain C struct for which all-zero bytes are a value; the kernel insists on zeros.
    let mut raw: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the ioctl writes one `seccomp_notif`, which `raw` is.
    let done = unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), SECCOMP_IOCTL_NOTIF_RECV, &raw mut raw) };
    Errno::result(done)?;
    Ok(Notification { id: raw.id, pid: raw.pid, number: raw.data.nr, arguments: raw.data.args })
}

/// Answers a call with an errno.
pub fn refuse(listener: impl AsFd, id: u64, errno: i32) -> Result<(), Errno> {
    let answer = libc::seccomp_notif_resp { id, val: 0, error: -errno, flags: 0 };
    // SAFETY: the ioctl reads one `seccomp_notif_resp`, which `answer` is.
    let done = unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), SECCOMP_IOCTL_NOTIF_SEND, &raw const answer) };
    Errno::result(done).map(drop)
}

// _IOWR('!', 0, struct seccomp_notif) and _IOWR('!', 1, struct seccomp_notif_resp): linux/seccomp.h.
const SECCOMP_IOCTL_NOTIF_RECV: libc::c_ulong = 0xC050_2100;
const SECCOMP_IOCTL_NOTIF_SEND: libc::c_ulong = 0xC018_2101;

#[cfg(test)]
mod tests {
    #[test]
    fn an_instruction_has_the_layout_that_the_kernel_reads() {
        assert_eq!(size_of::<super::Instruction>(), size_of::<libc::sock_filter>());
        assert_eq!(size_of::<libc::seccomp_notif>(), 0x50);
        assert_eq!(size_of::<libc::seccomp_notif_resp>(), 0x18);
    }
}
