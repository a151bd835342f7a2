//! Landlock: a ruleset, its rules, and the caller under it (landlock(7); Linux 5.13).
#![expect(unsafe_code, reason = "the three calls of Landlock have no wrapper")]

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use crate::vocab::landlock::{Rights, Scope};

/// `struct landlock_ruleset_attr` of linux/landlock.h up to ABI 6.
#[repr(C)]
struct RulesetAttr {
    filesystem: u64,
    network: u64,
    scope: u64,
}

/// `struct landlock_path_beneath_attr`, which is packed.
#[repr(C, packed)]
struct PathBeneathAttr {
    allowed: u64,
    parent: RawFd,
}

const RULE_PATH_BENEATH: libc::c_uint = 1;

/// The newest ABI of the running kernel.
///
/// # Errors
///
/// ENOSYS: not built in. EOPNOTSUPP: not switched on at boot.
pub fn abi() -> Result<u32, Errno> {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the kernel reads no attributes: pointer and size must be null and zero, and are.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, VERSION) };
    u32::try_from(Errno::result(abi)?).map_err(|_| Errno::EOVERFLOW)
}

/// A ruleset that holds back `handled`, with `tcp` every TCP bind and connect (ABI 4), and `scope`; so far it allows nothing
/// of them.
pub fn ruleset(handled: Rights, tcp: bool, scope: Scope) -> Result<OwnedFd, Errno> {
    const BIND_TCP_AND_CONNECT_TCP: u64 = 3;
    let network = if tcp { BIND_TCP_AND_CONNECT_TCP } else { 0 };
    let attr = RulesetAttr { filesystem: handled.bits(), network, scope: scope.bits() };
    // A kernel refuses a longer structure than its own unless what it does not know is zero: then it is.
    // SAFETY: `attr` is a whole structure of the size that is passed; the kernel only reads it.
    let raw = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attr, size_of::<RulesetAttr>(), 0 as libc::c_uint)
    };
    let raw = RawFd::try_from(Errno::result(raw)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Allows `rights` on `place` and all beneath it.
///
/// # Errors
///
/// EBADFD: the descriptor is of nothing in a file system (a pipe, a socket), which no ruleset holds back anyway. EINVAL:
/// rights of a directory on something else.
pub fn allow(ruleset: impl AsFd, place: impl AsFd, rights: Rights) -> Result<(), Errno> {
    let attr = PathBeneathAttr { allowed: rights.bits(), parent: place.as_fd().as_raw_fd() };
    let ruleset = ruleset.as_fd().as_raw_fd();
    // SAFETY: `attr` is a whole structure of this type of rule; the kernel only reads it.
    let done = unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &raw const attr, 0 as libc::c_uint)
    };
    Errno::result(done).map(drop)
}

/// Puts the calling thread and what it starts under `ruleset`, for good. `no_new_privs` must be set.
pub fn restrict_self(ruleset: impl AsFd) -> Result<(), Errno> {
    // SAFETY: integers alone.
    let done =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_fd().as_raw_fd(), 0 as libc::c_uint) };
    Errno::result(done).map(drop)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_rule_has_the_layout_that_the_kernel_reads() {
        assert_eq!(size_of::<super::PathBeneathAttr>(), 12);
        assert_eq!(size_of::<super::RulesetAttr>(), 24);
    }
}
