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
    send(listener, libc::seccomp_notif_resp { id, val: 0, error: -errno, flags: 0 })
}

/// Answers a call with the value that it returns.
pub fn answer(listener: impl AsFd, id: u64, value: i64) -> Result<(), Errno> {
    send(listener, libc::seccomp_notif_resp { id, val: value, error: 0, flags: 0 })
}

/// Lets the kernel make the call after all, with what registers and memory hold then: whatever was looked at may be another
/// by now.
pub fn go_on(listener: impl AsFd, id: u64) -> Result<(), Errno> {
    const SECCOMP_USER_NOTIF_FLAG_CONTINUE: u32 = 1;
    send(listener, libc::seccomp_notif_resp { id, val: 0, error: 0, flags: SECCOMP_USER_NOTIF_FLAG_CONTINUE })
}

fn send(listener: impl AsFd, answer: libc::seccomp_notif_resp) -> Result<(), Errno> {
    // SAFETY: the ioctl reads one `seccomp_notif_resp`, which `answer` is.
    let done = unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), SECCOMP_IOCTL_NOTIF_SEND, &raw const answer) };
    Errno::result(done).map(drop)
}

/// Whether the caller still waits for its answer. What was read by its pid before is of that caller if it does.
pub fn waits(listener: impl AsFd, id: u64) -> bool {
    // SAFETY: the ioctl reads one 64-bit word, which `id` is.
    let done = unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) };
    done == 0
}

/// Where a descriptor is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// In the place of this number; `None` for the lowest free one.
    pub number: Option<RawFd>,
    /// Closed on exec.
    pub close_on_exec: bool,
    /// The call returns the number, in the same step (Linux 5.14): else the call waits on.
    pub answers: bool,
}

/// Puts a copy of `descriptor` into the caller's table (Linux 5.9); returns its number there.
pub fn put(listener: impl AsFd, id: u64, descriptor: impl AsFd, place: Place) -> Result<RawFd, Errno> {
    #[repr(C)]
    struct AddFd {
        id: u64,
        flags: u32,
        source: u32,
        number: u32,
        number_flags: u32,
    }
    const SECCOMP_ADDFD_FLAG_SETFD: u32 = 1;
    const SECCOMP_ADDFD_FLAG_SEND: u32 = 2;
    let number = place.number.map(u32::try_from).transpose().map_err(|_| Errno::EBADF)?;
    let request = AddFd {
        id,
        flags: number.map_or(0, |_| SECCOMP_ADDFD_FLAG_SETFD) | if place.answers { SECCOMP_ADDFD_FLAG_SEND } else { 0 },
        source: u32::try_from(descriptor.as_fd().as_raw_fd()).map_err(|_| Errno::EBADF)?,
        number: number.unwrap_or(0),
        number_flags: if place.close_on_exec { libc::O_CLOEXEC.unsigned_abs() } else { 0 },
    };
    // SAFETY: the ioctl reads one `seccomp_notif_addfd`, whose layout `AddFd` has.
    let done = unsafe { libc::ioctl(listener.as_fd().as_raw_fd(), SECCOMP_IOCTL_NOTIF_ADDFD, &raw const request) };
    Errno::result(done)
}

/// Asks that caller and listener wake each other on one processor (Linux 6.6): an answer then costs a switch, not an
/// interrupt. Older kernels do without.
pub fn wake_in_place(listener: impl AsFd) {
    const SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: libc::c_ulong = 1;
    let descriptor = listener.as_fd().as_raw_fd();
    // SAFETY: the argument is a plain number.
    unsafe { libc::ioctl(descriptor, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) };
}

// _IOWR('!', 0, struct seccomp_notif) and _IOWR('!', 1, struct seccomp_notif_resp): linux/seccomp.h.
const SECCOMP_IOCTL_NOTIF_RECV: libc::c_ulong = 0xC050_2100;
const SECCOMP_IOCTL_NOTIF_SEND: libc::c_ulong = 0xC018_2101;
// _IOW('!', 2, __u64), _IOW('!', 3, struct seccomp_notif_addfd), _IOW('!', 4, __u64).
const SECCOMP_IOCTL_NOTIF_ID_VALID: libc::c_ulong = 0x4008_2102;
const SECCOMP_IOCTL_NOTIF_ADDFD: libc::c_ulong = 0x4018_2103;
const SECCOMP_IOCTL_NOTIF_SET_FLAGS: libc::c_ulong = 0x4008_2104;

#[cfg(test)]
mod tests {
    #[test]
    fn an_instruction_has_the_layout_that_the_kernel_reads() {
        assert_eq!(size_of::<super::Instruction>(), size_of::<libc::sock_filter>());
        assert_eq!(size_of::<libc::seccomp_notif>(), 0x50);
        assert_eq!(size_of::<libc::seccomp_notif_resp>(), 0x18);
    }
}
