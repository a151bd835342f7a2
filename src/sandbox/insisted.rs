//! Files of root's on which programs insist → the same, of the agent's own.
//!
//! In a sandbox of an ordinary user root is mapped to nobody, and ssh refuses included configuration that is neither root's
//! nor the user's own. What is root's, readable by everybody and small is read before the start, as the caller; inside lies a
//! copy in memory that can only be read. Nothing else of such a directory is inside.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::plan::{MountStep, Plan};
use crate::sys::mount::{Attributes, Depth, attach, new_tmpfs, set_attributes};
use crate::vocab::path::AbsPath;

use super::error::Step;
use super::root::Failure;

/// More of them, or more bytes, is no configuration.
const MOST_FILES: usize = 256;
const MOST_BYTES: u64 = 1 << 20;

/// What is put in the place of the host's.
#[derive(Debug)]
pub(super) enum Insisted {
    File(Vec<u8>),
    Directory(Vec<(CString, Vec<u8>)>),
}

/// What `plan` asks for, by the index of its step.
pub(super) fn of(plan: &Plan) -> BTreeMap<usize, Insisted> {
    let steps = plan.mounts.iter().enumerate();
    let found = steps.filter_map(|(index, step)| match step {
        MountStep::AsOwn { target } => Some((index, read(target)?)),
        _ => None,
    });
    found.collect()
}

/// What is at `place`; `None` where nothing is that would be copied.
fn read(place: &AbsPath) -> Option<Insisted> {
    let path = place.to_path_buf();
    if !path.is_dir() {
        return contents(&path).map(Insisted::File);
    }
    let entries = std::fs::read_dir(path).ok()?.flatten().take(MOST_FILES);
    let files = entries.filter_map(|entry| {
        let name = CString::new(entry.file_name().as_bytes()).ok()?;
        Some((name, contents(&entry.path())?))
    });
    let files: Vec<_> = files.collect();
    (!files.is_empty()).then_some(Insisted::Directory(files))
}

/// Through symlinks: distributions link their own configuration there, and who can make one there is root.
fn contents(path: &Path) -> Option<Vec<u8>> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).ok()?;
    let meta = file.metadata().ok()?;
    let of_root = meta.is_file() && meta.uid() == 0 && meta.mode() & 0o022 == 0 && meta.mode() & 0o004 != 0;
    if !of_root || meta.size() > MOST_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Puts a directory of these files over `place`.
pub(super) fn furnish(place: &OwnedFd, files: &[(CString, Vec<u8>)]) -> Result<(), Failure> {
    let tree = new_tmpfs(0o755, None).map_err(wrong)?;
    for (name, bytes) in files {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let file = openat(&tree, name.as_c_str(), flags, Mode::from_bits_truncate(0o444)).map_err(wrong)?;
        let written = std::fs::File::from(file).write_all(bytes);
        written.map_err(|error| wrong(Errno::from_raw(error.raw_os_error().unwrap_or(0))))?;
    }
    let attributes = Attributes::READ_ONLY.and(Attributes::NO_SUID).and(Attributes::NO_DEV);
    set_attributes(&tree, attributes.and(Attributes::NO_EXEC), Depth::Top).map_err(wrong)?;
    attach(&tree, place).map_err(wrong)
}

fn wrong(errno: Errno) -> Failure {
    Failure { step: Step::Mount, errno, mount: None }
}
