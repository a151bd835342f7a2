//! Extended attributes by path (xattr(7)).
#![expect(unsafe_code, reason = "system calls that have no safe wrapper")]

use std::ffi::CStr;

use nix::errno::Errno;

/// The value of attribute `name` of the object at `path`, at most 64 KiB as the kernel has it.
pub fn get(path: &CStr, name: &CStr) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0_u8; 1 << 16];
    // SAFETY: both strings are NUL-terminated, and the buffer is writable for the length that is passed.
    let got = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    value.truncate(Errno::result(got)?.unsigned_abs());
    Ok(value)
}

/// Sets attribute `name` to `value`; `flags`: XATTR_CREATE, XATTR_REPLACE.
pub fn set(path: &CStr, name: &CStr, value: &[u8], flags: i32) -> Result<(), Errno> {
    // SAFETY: both strings are NUL-terminated, and the value is readable for the length that is passed.
    let done = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), flags) };
    Errno::result(done).map(drop)
}

/// The names of the attributes, each with a NUL behind it.
pub fn list(path: &CStr) -> Result<Vec<u8>, Errno> {
    let mut names = vec![0_u8; 1 << 16];
    // SAFETY: the string is NUL-terminated, and the buffer is writable for the length that is passed.
    let got = unsafe { libc::listxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(Errno::result(got)?.unsigned_abs());
    Ok(names)
}

/// Removes attribute `name`.
pub fn remove(path: &CStr, name: &CStr) -> Result<(), Errno> {
    // SAFETY: both strings are NUL-terminated.
    Errno::result(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) }).map(drop)
}
