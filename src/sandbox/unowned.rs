//! Granted directories of the machine → the same, in which an agent that runs as root owns nothing: so that a grant to read
//! `/etc` is one to read what everybody may read there, for root as for others.
//!
//! Made before the sandbox is, by root with the rights that the agent will not have: the owners of such a mount are mapped
//! to nobody. Where a file system cannot do that, what root alone may open is looked for and covered.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::plan::walls::Wall;
use crate::plan::{MountStep, Plan};
use crate::sys::mount::{Attributes, Depth, clone_place, map_owners, open_beneath, set_attributes};
use crate::sys::namespace::Holder;
use crate::vocab::path::AbsPath;

/// The user that nobody is.
const NOBODY: u32 = 65_534;

/// How one directory is made nobody's.
#[derive(Debug)]
pub(super) enum Unowned {
    /// By a mount with mapped owners.
    Mapped(OwnedFd),
    /// By covers over these places in it.
    Covered(Vec<AbsPath>),
}

/// Those of `plan`, by the index of their step.
pub(super) fn prepare(plan: &Plan) -> Result<BTreeMap<usize, Unowned>, Errno> {
    let mut made = BTreeMap::new();
    if plan.unowned.is_empty() || !plan.has(Wall::Owners) {
        return Ok(made);
    }
    let namespace = nobodys();
    let host = open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    for (index, step) in plan.mounts.iter().enumerate() {
        let MountStep::Bind { source, target, .. } = step else { continue };
        if !plan.unowned.contains(target) {
            continue;
        }
        let mapped = namespace.as_ref().map_err(|errno| *errno).and_then(|namespace| mapped(&host, source, namespace));
        let unowned = match mapped {
            Ok(tree) => Unowned::Mapped(tree),
            Err(_) => Unowned::Covered(roots_alone(source, target)),
        };
        made.insert(index, unowned);
    }
    Ok(made)
}

fn mapped(host: &OwnedFd, source: &AbsPath, namespace: &OwnedFd) -> Result<OwnedFd, Errno> {
    let path = CString::new(source.as_bytes()).map_err(|_| Errno::EINVAL)?;
    let tree = clone_place(open_beneath(host, &path)?, Depth::Recursive)?;
    map_owners(&tree, namespace)?;
    let attributes = Attributes::NO_SUID.and(Attributes::NO_DEV).and(Attributes::READ_ONLY);
    set_attributes(&tree, attributes, Depth::Recursive)?;
    Ok(tree)
}

/// A user namespace that maps root to nobody. It lives by this descriptor.
fn nobodys() -> Result<OwnedFd, Errno> {
    let holder = Holder::start()?;
    map(holder.pid())
}

fn map(pid: i32) -> Result<OwnedFd, Errno> {
    for file in ["uid_map", "gid_map"] {
        let path = format!("/proc/{pid}/{file}");
        let written = std::fs::OpenOptions::new().write(true).open(path);
        let written = written.and_then(|mut file| file.write_all(format!("0 {NOBODY} 1").as_bytes()));
        written.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
    }
    open(format!("/proc/{pid}/ns/user").as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
}

/// What lies in `source` and only its owner root, or its group, may open; by its places below `target`.
fn roots_alone(source: &AbsPath, target: &AbsPath) -> Vec<AbsPath> {
    let (mut found, mut left) = (Vec::new(), vec![source.to_path_buf()]);
    while let Some(dir) = left.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(meta) = path.symlink_metadata() else { continue };
            let enough = if meta.is_dir() { 0o005 } else { 0o004 };
            if meta.is_symlink() || meta.uid() != 0 && meta.gid() != 0 {
                continue;
            }
            if meta.mode() & enough != enough {
                let inside = path.strip_prefix(source.to_path_buf()).ok().map(|rest| target.to_path_buf().join(rest));
                found.extend(inside.and_then(|path| AbsPath::try_from(path.as_path()).ok()));
            } else if meta.is_dir() {
                left.push(path);
            }
        }
    }
    found
}
