//! One file system of limited size → all private directories of a run, each a mount of a directory in it: so that the limit
//! is on what they hold together, however it is spread.
//!
//! Nobody inside can leave a mount for its neighbour, and the file system itself goes with the root that is left behind.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::sys::stat::{Mode, mkdirat};

use crate::sys::mount::{Attributes, Depth, attach, clone_tree, new_tmpfs, open_beneath, set_attributes};
use crate::sys::process;

use super::error::Step;
use super::root::{Failure, chmod};

pub(super) struct Chest {
    tree: OwnedFd,
}

fn wrong(errno: Errno) -> Failure {
    Failure { step: Step::Mount, errno, mount: None }
}

impl Chest {
    /// Mounts it over `place`, a directory of the root that is left behind: what is mounted nowhere cannot be cloned (before
    /// Linux 6.15).
    pub(super) fn put_over(place: &OwnedFd, size: u64) -> Result<Self, Failure> {
        let tree = new_tmpfs(0o700, Some(size)).map_err(wrong)?;
        set_attributes(&tree, Attributes::NO_SUID.and(Attributes::NO_DEV), Depth::Top).map_err(wrong)?;
        attach(&tree, place).map_err(wrong)?;
        Ok(Self { tree })
    }

    /// Mounts a new directory of it over `place`.
    pub(super) fn drawer(&self, place: &OwnedFd, mode: u32) -> Result<(), Failure> {
        let name = CString::new(process::random_name()).map_err(|_| wrong(Errno::EINVAL))?;
        mkdirat(&self.tree, name.as_c_str(), Mode::from_bits_truncate(0o700)).map_err(wrong)?;
        chmod(&open_beneath(&self.tree, &name).map_err(wrong)?, Mode::from_bits_truncate(mode))?;
        let drawer = clone_tree(&self.tree, &name, Depth::Top).map_err(wrong)?;
        attach(&drawer, place).map_err(wrong)
    }
}
