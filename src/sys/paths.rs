//! Calls on names, relative to descriptors: what the supervisor makes in the place of the program that asked for them.
#![expect(unsafe_code, reason = "openat2(2), statx(2), pidfd_getfd(2) and bind(2) have no safe wrapper for these uses")]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// RESOLVE_* of openat2(2), or-ed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolve(u64);

impl Resolve {
    /// No symlink is followed, the last component included.
    pub const NO_SYMLINKS: Self = Self(0x04);
    /// The start is the root, and no way leads above it; the kernel's own links in proc are not followed.
    pub const IN_ROOT: Self = Self(0x10 | 0x02);
    /// No way leads above the start, not even for a moment; the kernel's own links are not followed.
    pub const BENEATH: Self = Self(0x08 | 0x02);
    /// As the kernel resolves for everybody.
    pub const PLAIN: Self = Self(0);
}

/// openat2(2). `flags` and `mode` as there: a mode without O_CREAT or O_TMPFILE is EINVAL.
pub fn open(dir: impl AsFd, path: &CStr, flags: i32, mode: u32, resolve: Resolve) -> Result<OwnedFd, Errno> {
    #[repr(C)]
    struct How {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    let how = How { flags: u64::from(flags.cast_unsigned()), mode: u64::from(mode), resolve: resolve.0 };
    let dir = dir.as_fd().as_raw_fd();
    // SAFETY: `path` is NUL-terminated and `how` a whole `struct open_how` of the size passed; the kernel copies both.
    let raw = unsafe { libc::syscall(libc::SYS_openat2, dir, path.as_ptr(), &raw const how, size_of::<How>()) };
    owned(raw)
}

/// A copy of descriptor `number` of the process behind `pidfd` (Linux 5.6).
pub fn descriptor_of(pidfd: impl AsFd, number: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: only integers are passed.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_fd().as_raw_fd(), number, 0) })
}

/// What lies at a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// File type and permission bits.
    pub mode: u32,
    /// Whether something is mounted there (Linux 5.8).
    pub is_mounted: bool,
    /// Its names.
    pub links: u32,
}

impl Look {
    /// Whether it is of this type (`S_IFDIR` and kin).
    pub fn is(self, kind: u32) -> bool {
        self.mode & libc::S_IFMT == kind
    }
}

/// statx(2), a symlink itself.
pub fn look(dir: impl AsFd, name: &CStr) -> Result<Look, Errno> {
    // SAFETY: a plain C struct for which all-zero bytes are a value.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT | libc::AT_EMPTY_PATH;
    let wanted = libc::STATX_TYPE | libc::STATX_MODE | libc::STATX_NLINK;
    // SAFETY: `name` is NUL-terminated, and `found` writable for one `statx`.
    let done = unsafe { libc::statx(dir.as_fd().as_raw_fd(), name.as_ptr(), flags, wanted, &raw mut found) };
    Errno::result(done)?;
    const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
    Ok(Look {
        mode: u32::from(found.stx_mode),
        is_mounted: found.stx_attributes & STATX_ATTR_MOUNT_ROOT != 0,
        links: found.stx_nlink,
    })
}

/// renameat2(2) with its flags.
pub fn rename(from: impl AsFd, old: &CStr, to: impl AsFd, new: &CStr, flags: u32) -> Result<(), Errno> {
    let (from, to) = (from.as_fd().as_raw_fd(), to.as_fd().as_raw_fd());
    // SAFETY: both names are NUL-terminated and outlive the call.
    let done = unsafe { libc::syscall(libc::SYS_renameat2, from, old.as_ptr(), to, new.as_ptr(), flags) };
    Errno::result(done).map(drop)
}

/// linkat(2) of an open file, or of a name as it is.
pub fn link(from: impl AsFd, old: &CStr, to: impl AsFd, new: &CStr, flags: i32) -> Result<(), Errno> {
    let (from, to) = (from.as_fd().as_raw_fd(), to.as_fd().as_raw_fd());
    // SAFETY: both names are NUL-terminated and outlive the call.
    Errno::result(unsafe { libc::linkat(from, old.as_ptr(), to, new.as_ptr(), flags) }).map(drop)
}

/// symlinkat(2).
pub fn symlink(text: &CStr, dir: impl AsFd, name: &CStr) -> Result<(), Errno> {
    // SAFETY: both are NUL-terminated and outlive the call.
    Errno::result(unsafe { libc::symlinkat(text.as_ptr(), dir.as_fd().as_raw_fd(), name.as_ptr()) }).map(drop)
}

/// mkdirat(2).
pub fn make_directory(dir: impl AsFd, name: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: the name is NUL-terminated and outlives the call.
    Errno::result(unsafe { libc::mkdirat(dir.as_fd().as_raw_fd(), name.as_ptr(), mode) }).map(drop)
}

/// mknodat(2), without a device.
pub fn make_node(dir: impl AsFd, name: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: the name is NUL-terminated and outlives the call.
    Errno::result(unsafe { libc::mknodat(dir.as_fd().as_raw_fd(), name.as_ptr(), mode, 0) }).map(drop)
}

/// bind(2) of a socket to an address of whatever family.
pub fn bind(socket: impl AsFd, address: &[u8]) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(address.len()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the kernel reads `length` bytes, which the slice has.
    Errno::result(unsafe { libc::bind(socket.as_fd().as_raw_fd(), address.as_ptr().cast(), length) }).map(drop)
}

/// Sets the status flags of a descriptor (F_SETFL).
pub fn set_flags(descriptor: impl AsFd, flags: i32) -> Result<(), Errno> {
    // SAFETY: only integers are passed.
    Errno::result(unsafe { libc::fcntl(descriptor.as_fd().as_raw_fd(), libc::F_SETFL, flags) }).map(drop)
}

/// Runs `work` without any capability in effect in this thread: with the rights of its user alone.
pub fn as_mere_user<T>(work: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    let header = Header { version: 0x2008_0522, pid: 0 };
    // Twice effective, permitted, inheritable.
    let mut sets = [0_u32; 6];
    // SAFETY: for version 3 the kernel writes two triples of u32, which `sets` has room for.
    let got = unsafe { libc::syscall(libc::SYS_capget, &raw const header, sets.as_mut_ptr()) };
    let [low, high] = [sets[0], sets[3]];
    Errno::result(got)?;
    if (low, high) == (0, 0) {
        return work();
    }
    (sets[0], sets[3]) = (0, 0);
    // SAFETY: for version 3 the kernel reads two triples of u32, which `sets` is.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) })?;
    let done = work();
    (sets[0], sets[3]) = (low, high);
    // SAFETY: as above. What is permitted was not given up, so it can be taken up again.
    unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) };
    done
}

fn owned(raw: libc::c_long) -> Result<OwnedFd, Errno> {
    let raw = Errno::result(raw)?;
    let raw = RawFd::try_from(raw).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
