//! A FUSE file system in the caller's namespaces, mounted without privileges (fuse(4), Linux 4.18; fsopen(2)).
//!
//! The kernel gives the callers of a FUSE file system by their numbers in the pid namespace of whoever mounted it, and takes
//! only a device that was opened in the user namespace of the mount. So neither the launcher nor the init of a sandbox can
//! mount it: one does that is in the user and mount namespaces of the sandbox and in the launcher's pid namespace.
#![expect(unsafe_code, reason = "system calls that have no safe wrapper")]

use std::ffi::CStr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// A mounted, unattached file system and the device that serves it.
#[derive(Debug)]
pub struct Mounted {
    /// Requests are read from it, replies written to it.
    pub device: OwnedFd,
    /// The mount, to be attached.
    pub mount: OwnedFd,
}

/// Whether the kernel gives a server up that does not answer (Linux 6.14).
pub fn requests_time_out() -> bool {
    let Ok(names) = nix::sys::utsname::uname() else { return false };
    let mut parts = names.release().to_str().unwrap_or_default().split(|c: char| !c.is_ascii_digit());
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
    (number(), number()) >= (6, 14)
}

/// Mounts in the caller's namespaces, for the ids of their owner, who is let in from within as from without: without
/// `allow_other`, under which the kernel lets in who is in the user namespace of the mount.
///
/// # Errors
///
/// ENOENT: no /dev/fuse; EPERM, EACCES: it, or mounting, is forbidden; ENODEV: the kernel has no FUSE.
pub fn mount(uid: u32, gid: u32) -> Result<Mounted, Errno> {
    let (device, mount) = mount_here(uid, gid)?;
    // SAFETY: it was just made, and nobody else owns it.
    let device = unsafe { OwnedFd::from_raw_fd(device) };
    // SAFETY: as above.
    let mount = unsafe { OwnedFd::from_raw_fd(mount) };
    Ok(Mounted { device, mount })
}

/// [`mount`]. Neither allocates nor locks.
pub(super) fn mount_here(uid: u32, gid: u32) -> Result<(RawFd, RawFd), Errno> {
    const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
    const CLOEXEC: libc::c_uint = 1;
    // MOUNT_ATTR_NOSUID and MOUNT_ATTR_NODEV.
    const ATTRIBUTES: libc::c_uint = 2 | 4;
    // SAFETY: the path is a NUL-terminated string literal.
    let device = unsafe { libc::open(c"/dev/fuse".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    let device = Errno::result(device)?;
    let make = || {
        // SAFETY: the name is a NUL-terminated string literal.
        let context = Errno::result(unsafe { libc::syscall(libc::SYS_fsopen, c"fuse".as_ptr(), CLOEXEC) })?;
        let context = RawFd::try_from(context).map_err(|_| Errno::EBADF)?;
        let mut number = Decimal::default();
        let made = set(context, c"source", c"pinfold")
            .and_then(|()| set(context, c"fd", number.text(device.cast_unsigned())))
            .and_then(|()| set(context, c"rootmode", c"40000"))
            .and_then(|()| set(context, c"user_id", number.text(uid)))
            .and_then(|()| set(context, c"group_id", number.text(gid)))
            .and_then(|()| flag(context, c"default_permissions"))
            .and_then(|()| {
                // SAFETY: this command takes no key and no value.
                let done = unsafe { libc::syscall(libc::SYS_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0) };
                Errno::result(done)?;
                // SAFETY: only integers are passed.
                let mount = unsafe { libc::syscall(libc::SYS_fsmount, context, CLOEXEC, ATTRIBUTES) };
                RawFd::try_from(Errno::result(mount)?).map_err(|_| Errno::EBADF)
            });
        close(context);
        made
    };
    make().map(|mount| (device, mount)).inspect_err(|_| close(device))
}

fn close(descriptor: RawFd) {
    // SAFETY: it was opened here, and nobody else knows it.
    unsafe { libc::close(descriptor) };
}

fn set(context: RawFd, key: &CStr, value: &CStr) -> Result<(), Errno> {
    const FSCONFIG_SET_STRING: libc::c_uint = 1;
    let (key, value) = (key.as_ptr(), value.as_ptr());
    // SAFETY: key and value are NUL-terminated strings that outlive the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_fsconfig, context, FSCONFIG_SET_STRING, key, value, 0) }).map(drop)
}

fn flag(context: RawFd, key: &CStr) -> Result<(), Errno> {
    const FSCONFIG_SET_FLAG: libc::c_uint = 0;
    // SAFETY: the key is a NUL-terminated string that outlives the call; the value is null, as for every flag.
    Errno::result(unsafe { libc::syscall(libc::SYS_fsconfig, context, FSCONFIG_SET_FLAG, key.as_ptr(), 0, 0) })
        .map(drop)
}

/// A number as text, without an allocation.
#[derive(Default)]
struct Decimal([u8; 11]);

impl Decimal {
    fn text(&mut self, mut number: u32) -> &CStr {
        let mut at = self.0.len() - 1;
        self.0 = [0; 11];
        loop {
            at -= 1;
            if let Some(digit) = self.0.get_mut(at) {
                *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
            }
            number /= 10;
            if number == 0 || at == 0 {
                break;
            }
        }
        self.0.get(at..).and_then(|text| CStr::from_bytes_until_nul(text).ok()).unwrap_or(c"")
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    #[test]
    fn numbers_are_written_to_their_last_digit() {
        for number in [0, 7, 10, 65_534, u32::MAX] {
            assert_eq!(Decimal::default().text(number).to_str(), Ok(number.to_string().as_str()));
        }
    }
}
