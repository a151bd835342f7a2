//! The layer above the project, as a mount: whatever is changed in the project goes there.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use nix::errno::Errno;

use crate::plan::layer::Layer;
use crate::sys::mount::{Attributes, Depth, attach, clone_place, new_overlay, open_beneath, set_attributes};

/// The project with the layer over it, attached nowhere yet.
pub(super) fn open(host: &OwnedFd, layer: &Layer) -> Result<OwnedFd, Errno> {
    let place = |path: &crate::vocab::path::AbsPath| {
        open_beneath(host, &CString::new(path.as_bytes()).map_err(|_| Errno::EINVAL)?)
    };
    let tree = new_overlay(place(&layer.place)?, place(&layer.upper)?, place(&layer.work)?)?;
    set_attributes(&tree, Attributes::NO_SUID.and(Attributes::NO_DEV), Depth::Top)?;
    Ok(tree)
}

/// Mounts what lies at a place over itself, so that nobody can rename it away.
pub(super) fn onto_itself(place: &OwnedFd) -> Result<(), Errno> {
    let tree = clone_place(place, Depth::Top)?;
    attach(&tree, place)
}
