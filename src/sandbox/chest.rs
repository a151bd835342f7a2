//! One file system of limited size → all private directories of a run, each a mount of a directory in it: so that the limit
//! is on what they hold together, however it is spread.
//!
//! Nobody inside can leave a mount for its neighbour, and the file system itself is mounted nowhere in the end.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::sys::mount::{Attributes, Depth, attach, clone_tree, new_tmpfs, open_beneath, set_attributes};
use crate::sys::process;

use super::error::Step;
use super::root::{Failure, chmod};

pub(super) struct Chest {
    tree: OwnedFd,
    name: CString,
}

fn wrong(errno: Errno) -> Failure {
    Failure { step: Step::Mount, errno, mount: None }
}

impl Chest {
    /// Mounts it in the root under a name that is nobody else's: what is mounted nowhere cannot be cloned (before Linux 6.15).
    pub(super) fn put_into(base: &OwnedFd, size: u64) -> Result<Self, Failure> {
        let name = CString::new(process::random_name()).map_err(|_| wrong(Errno::EINVAL))?;
        mkdirat(base, name.as_c_str(), Mode::from_bits_truncate(0o700)).map_err(wrong)?;
        let place = open_beneath(base, &name).map_err(wrong)?;
        let tree = new_tmpfs(0o700, Some(size)).map_err(wrong)?;
        set_attributes(&tree, Attributes::NO_SUID.and(Attributes::NO_DEV), Depth::Top).map_err(wrong)?;
        attach(&tree, &place).map_err(wrong)?;
        Ok(Self { tree, name })
    }

    /// Mounts a new directory of it over `place`.
    pub(super) fn drawer(&self, place: &OwnedFd, mode: u32) -> Result<(), Failure> {
        let name = CString::new(process::random_name()).map_err(|_| wrong(Errno::EINVAL))?;
        mkdirat(&self.tree, name.as_c_str(), Mode::from_bits_truncate(0o700)).map_err(wrong)?;
        chmod(&open_beneath(&self.tree, &name).map_err(wrong)?, Mode::from_bits_truncate(mode))?;
        let drawer = clone_tree(&self.tree, &name, Depth::Top).map_err(wrong)?;
        attach(&drawer, place).map_err(wrong)
    }

    /// Takes the whole out of the root; the directories that are mounted elsewhere stay.
    pub(super) fn close(self, base: &OwnedFd) -> Result<(), Failure> {
        nix::unistd::fchdir(base).map_err(wrong)?;
        umount2(self.name.as_c_str(), MntFlags::MNT_DETACH).map_err(wrong)?;
        unlinkat(base, self.name.as_c_str(), UnlinkatFlags::RemoveDir).map_err(wrong)
    }
}
