//! Secret values → a read-only directory in memory, and sealed descriptors, inside the sandbox.
//!
//! A value is on no disk but swap, in no argument, and in no variable but where the profile says so. Files are of the
//! agent's user and mode 0400; descriptors can be neither written nor grown.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::{Seek as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, openat};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;

use crate::plan::{Handing, Plan};
use crate::sys::mount::{Attributes, Depth, attach, new_tmpfs, set_attributes};
use crate::sys::process;
use crate::vocab::path::AbsPath;

use super::error::{StartError, Step};
use super::root::Failure;

/// Numbers from here on are out of the way of those that the agent gets.
const OUT_OF_THE_WAY: libc::c_int = 200;

/// The values by the names of their variables.
pub type Values = BTreeMap<String, Vec<u8>>;

/// What the child hands on.
#[derive(Default)]
pub(super) struct Secrets {
    files: Vec<(AbsPath, Vec<u8>)>,
    descriptors: Vec<(OwnedFd, i32)>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({} files, {} descriptors)", self.files.len(), self.descriptors.len())
    }
}

impl Secrets {
    /// Makes ready what `plan` hands over; a secret without a value here is left out.
    pub(super) fn new(plan: &Plan, values: &Values) -> Result<Self, StartError> {
        let mut secrets = Self::default();
        for (name, way) in &plan.secrets {
            let Some(value) = values.get(name) else { continue };
            match way {
                Handing::Variable => {}
                Handing::File(_) => secrets.files.push((crate::plan::below_secrets(name), value.clone())),
                Handing::Descriptor(number) => {
                    let made = sealed(value).map_err(|errno| StartError::kernel(Step::Secrets, errno))?;
                    secrets.descriptors.push((made, *number));
                }
            }
        }
        Ok(secrets)
    }

    /// Mounts the directory of files over `place`.
    pub(super) fn furnish(&self, place: &OwnedFd) -> Result<(), Failure> {
        let tree = new_tmpfs(0o700, None).map_err(wrong)?;
        for (path, value) in &self.files {
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
            let name = path.components().next_back().ok_or(wrong(Errno::EINVAL))?;
            let name = CString::new(name).map_err(|_| wrong(Errno::EINVAL))?;
            let file = openat(&tree, name.as_c_str(), flags, Mode::from_bits_truncate(0o400)).map_err(wrong)?;
            std::fs::File::from(file).write_all(value).map_err(|error| wrong(errno(&error)))?;
        }
        let attributes = Attributes::READ_ONLY.and(Attributes::NO_SUID).and(Attributes::NO_DEV);
        set_attributes(&tree, attributes.and(Attributes::NO_EXEC), Depth::Top).map_err(wrong)?;
        attach(&tree, place).map_err(wrong)
    }

    /// Gives the descriptors their numbers; called when everything else of the launcher is closed on exec. `control` is
    /// moved out of their way.
    pub(super) fn number(&self, control: &OwnedFd) -> Result<Option<OwnedFd>, Failure> {
        if self.descriptors.is_empty() {
            return Ok(None);
        }
        let moved = process::duplicate_from(control, OUT_OF_THE_WAY).map_err(wrong)?;
        for (descriptor, number) in &self.descriptors {
            process::duplicate_to(descriptor.as_fd(), *number).map_err(wrong)?;
        }
        Ok(Some(moved))
    }
}

fn wrong(errno: Errno) -> Failure {
    Failure { step: Step::Secrets, errno, mount: None }
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

/// A descriptor in memory that holds `value` and can only be read.
fn sealed(value: &[u8]) -> Result<OwnedFd, Errno> {
    let made = memfd_create("secret", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = std::fs::File::from(process::duplicate_from(&made, OUT_OF_THE_WAY)?);
    file.write_all(value).map_err(|error| errno(&error))?;
    file.rewind().map_err(|error| errno(&error))?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    debug_assert!(file.as_raw_fd() >= OUT_OF_THE_WAY, "the kernel gives the lowest number from there on");
    Ok(file.into())
}
