//! The mount API by descriptors (open_tree(2), move_mount(2), mount_setattr(2); Linux 5.12) and pivot_root(2).
#![expect(unsafe_code, reason = "system calls that have no safe wrapper")]

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

// linux/mount.h and fcntl.h; not all of them are in libc for every target.
const OPEN_TREE_CLONE: libc::c_uint = 1;
const AT_RECURSIVE: libc::c_uint = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;

/// MOUNT_ATTR_* of linux/mount.h, or-ed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes(u64);

impl Attributes {
    /// Nothing may be written.
    pub const READ_ONLY: Self = Self(1);
    /// Set-user-id bits and file capabilities have no effect.
    pub const NO_SUID: Self = Self(2);
    /// Device nodes do not work.
    pub const NO_DEV: Self = Self(4);
    /// Programs cannot be executed.
    pub const NO_EXEC: Self = Self(8);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// `struct mount_attr`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Whether an operation takes the mounts below with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// This mount alone.
    Top,
    /// All below, too.
    Recursive,
}

/// A detached copy of the mount tree at `path`, which must not be a symlink; relative to `dir`.
pub fn clone_tree(dir: impl AsFd, path: &CStr, depth: Depth) -> Result<OwnedFd, Errno> {
    let recursive = if depth == Depth::Recursive { AT_RECURSIVE } else { 0 };
    let flags =
        OPEN_TREE_CLONE | libc::O_CLOEXEC.cast_unsigned() | libc::AT_SYMLINK_NOFOLLOW.cast_unsigned() | recursive;
    // SAFETY: `path` is a NUL-terminated string that outlives the call; the kernel copies it.
    let raw = unsafe { libc::syscall(libc::SYS_open_tree, dir.as_fd().as_raw_fd(), path.as_ptr(), flags) };
    owned(raw)
}

/// As [`clone_tree`], of the place behind a descriptor.
pub fn clone_place(place: impl AsFd, depth: Depth) -> Result<OwnedFd, Errno> {
    let recursive = if depth == Depth::Recursive { AT_RECURSIVE } else { 0 };
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC.cast_unsigned() | libc::AT_EMPTY_PATH.cast_unsigned() | recursive;
    // SAFETY: the path is an empty NUL-terminated string; the rest are integers.
    let raw = unsafe { libc::syscall(libc::SYS_open_tree, place.as_fd().as_raw_fd(), c"".as_ptr(), flags) };
    owned(raw)
}

/// A new, empty tmpfs that is attached nowhere yet (fsopen(2), fsmount(2)), for at most `size` bytes.
pub fn new_tmpfs(mode: u32, size: Option<u64>) -> Result<OwnedFd, Errno> {
    const FSOPEN_CLOEXEC: libc::c_uint = 1;
    const FSMOUNT_CLOEXEC: libc::c_uint = 1;
    const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
    // SAFETY: the name is a NUL-terminated string literal.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), FSOPEN_CLOEXEC) })?;
    configure(&context, c"mode", &format!("{mode:o}"))?;
    if let Some(size) = size {
        configure(&context, c"size", &size.to_string())?;
        // Empty files and names take no room in it, but a kilobyte of the kernel's each.
        configure(&context, c"nr_inodes", &(size / 1024).max(1024).to_string())?;
    }
    let raw = context.as_raw_fd();
    // SAFETY: this command takes no key and no value.
    let done = unsafe { libc::syscall(libc::SYS_fsconfig, raw, FSCONFIG_CMD_CREATE, 0, 0, 0) };
    Errno::result(done)?;
    // SAFETY: only integers are passed.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, raw, FSMOUNT_CLOEXEC, 0) })
}

/// An overlay of `upper` over `lower` that is attached nowhere yet (Linux 5.11 for who is not root); `work` lies beside
/// `upper`, and is empty.
///
/// # Errors
///
/// EINVAL where the file system of `upper` cannot hold it; ENODEV where the kernel has no overlays.
pub fn new_overlay(lower: impl AsFd, upper: impl AsFd, work: impl AsFd) -> Result<OwnedFd, Errno> {
    const CLOEXEC: libc::c_uint = 1;
    const FSCONFIG_SET_FLAG: libc::c_uint = 0;
    const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
    // SAFETY: the name is a NUL-terminated string literal.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, c"overlay".as_ptr(), CLOEXEC) })?;
    let raw = context.as_raw_fd();
    // By descriptor: a path may hold what separates layers.
    let path = |place: std::os::fd::BorrowedFd<'_>| format!("/proc/self/fd/{}", place.as_raw_fd());
    configure(&context, c"lowerdir", &path(lower.as_fd()))?;
    configure(&context, c"upperdir", &path(upper.as_fd()))?;
    configure(&context, c"workdir", &path(work.as_fd()))?;
    // Marks of its own that need no rights.
    // SAFETY: the key is a NUL-terminated string literal; the value is null, as for every flag.
    let done = unsafe { libc::syscall(libc::SYS_fsconfig, raw, FSCONFIG_SET_FLAG, c"userxattr".as_ptr(), 0, 0) };
    Errno::result(done)?;
    // SAFETY: this command takes no key and no value.
    let done = unsafe { libc::syscall(libc::SYS_fsconfig, raw, FSCONFIG_CMD_CREATE, 0, 0, 0) };
    Errno::result(done)?;
    // SAFETY: only integers are passed.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, raw, CLOEXEC, 0) })
}

fn configure(context: &OwnedFd, key: &CStr, value: &str) -> Result<(), Errno> {
    const FSCONFIG_SET_STRING: libc::c_uint = 1;
    let value = std::ffi::CString::new(value).map_err(|_| Errno::EINVAL)?;
    let raw = context.as_raw_fd();
    // SAFETY: key and value are NUL-terminated strings that outlive the call.
    let done = unsafe { libc::syscall(libc::SYS_fsconfig, raw, FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr(), 0) };
    Errno::result(done).map(drop)
}

/// Adds `attributes` to the mounts at `tree`.
pub fn set_attributes(tree: impl AsFd, attributes: Attributes, depth: Depth) -> Result<(), Errno> {
    change(tree, &MountAttr { set: attributes.0, clear: 0, propagation: 0, userns_fd: 0 }, depth)
}

fn change(tree: impl AsFd, attr: &MountAttr, depth: Depth) -> Result<(), Errno> {
    let recursive = if depth == Depth::Recursive { AT_RECURSIVE } else { 0 };
    let flags = libc::AT_EMPTY_PATH.cast_unsigned() | recursive;
    // SAFETY: the path is an empty NUL-terminated string; `attr` is a whole `struct mount_attr` of the size passed, and
    // the kernel only reads it.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    Errno::result(done).map(drop)
}

/// Shows the files of `tree` as owned by whom `namespace`, a user namespace, maps their owners to; for a mount that nobody
/// has used yet, by a holder of CAP_SYS_ADMIN over its file system (mount_setattr(2), MOUNT_ATTR_IDMAP; Linux 5.12).
///
/// # Errors
///
/// EINVAL where a file system in the tree cannot do it.
pub fn map_owners(tree: impl AsFd, namespace: impl AsFd) -> Result<(), Errno> {
    const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
    let userns_fd = u64::try_from(namespace.as_fd().as_raw_fd()).map_err(|_| Errno::EBADF)?;
    change(tree, &MountAttr { set: MOUNT_ATTR_IDMAP, clear: 0, propagation: 0, userns_fd }, Depth::Recursive)
}

/// Attaches a detached tree over `target`. Both are descriptors: no path is walked, no symlink can lead astray.
pub fn attach(tree: impl AsFd, target: impl AsFd) -> Result<(), Errno> {
    // SAFETY: both paths are empty NUL-terminated strings; the rest are integers.
    let done = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_fd().as_raw_fd(),
            c"".as_ptr(),
            target.as_fd().as_raw_fd(),
            c"".as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        )
    };
    Errno::result(done).map(drop)
}

/// Makes the working directory the root, with the old root mounted over it: see pivot_root(2), `pivot_root(".", ".")`.
pub fn pivot_to_working_directory() -> Result<(), Errno> {
    // SAFETY: both arguments are NUL-terminated string literals.
    let done = unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) };
    Errno::result(done).map(drop)
}

/// Opens `path` below `root` for use as a place (O_PATH), refusing to go through any symlink (openat2(2), Linux 5.6).
pub fn open_beneath(root: impl AsFd, path: &CStr) -> Result<OwnedFd, Errno> {
    resolve_beneath(root, path, 0)
}

/// The same, but a symlink at the very end is opened itself: it can be mounted over itself, which keeps its name as it is.
pub fn open_beneath_or_link(root: impl AsFd, path: &CStr) -> Result<OwnedFd, Errno> {
    resolve_beneath(root, path, libc::O_NOFOLLOW)
}

fn resolve_beneath(root: impl AsFd, path: &CStr, more: libc::c_int) -> Result<OwnedFd, Errno> {
    #[repr(C)]
    struct How {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    const RESOLVE_NO_SYMLINKS: u64 = 0x04;
    const RESOLVE_IN_ROOT: u64 = 0x10;
    let flags = u64::from((libc::O_PATH | libc::O_CLOEXEC | more).cast_unsigned());
    let how = How { flags, mode: 0, resolve: RESOLVE_NO_SYMLINKS | RESOLVE_IN_ROOT };
    // SAFETY: `path` is NUL-terminated and `how` a whole `struct open_how` of the size passed; the kernel copies both.
    let raw = unsafe {
        libc::syscall(libc::SYS_openat2, root.as_fd().as_raw_fd(), path.as_ptr(), &raw const how, size_of::<How>())
    };
    owned(raw)
}

fn owned(raw: libc::c_long) -> Result<OwnedFd, Errno> {
    let raw = Errno::result(raw)?;
    let raw = RawFd::try_from(raw).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
