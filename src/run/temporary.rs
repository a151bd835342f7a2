//! A temporary directory of a run that has no mounts of its own: made before it, removed after it.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;

use crate::sys::process::random_name;
use crate::vocab::path::AbsPath;

/// Removed with everything in it when dropped; what a pinfold that is killed leaves behind is its owner's alone.
#[derive(Debug)]
pub(super) struct Temporary(AbsPath);

impl Temporary {
    /// A new one in `parent`, that nobody else may enter.
    pub(super) fn below(parent: &AbsPath) -> Result<Self, (AbsPath, io::Error)> {
        let wrong = |source| (parent.clone(), source);
        let place =
            parent.join(format!("pinfold-{}", random_name())).map_err(|error| wrong(io::Error::other(error)))?;
        std::fs::DirBuilder::new().mode(0o700).create(place.to_path_buf()).map_err(wrong)?;
        Ok(Self(place))
    }

    pub(super) fn place(&self) -> &AbsPath {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Symlinks in it are removed, not followed.
        std::fs::remove_dir_all(self.0.to_path_buf()).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_what_is_in_it_and_not_with_what_a_link_in_it_leads_to() {
        let parent = AbsPath::try_from(std::fs::canonicalize(std::env::temp_dir()).unwrap().as_path()).unwrap();
        let outside = Temporary::below(&parent).unwrap();
        let kept = outside.place().to_path_buf().join("kept");
        std::fs::write(&kept, "").unwrap();
        let inside = Temporary::below(&parent).unwrap();
        let place = inside.place().to_path_buf();
        std::os::unix::fs::symlink(outside.place().to_path_buf(), place.join("link")).unwrap();
        std::fs::create_dir(place.join("dir")).unwrap();
        drop(inside);
        assert!(kept.exists() && !place.exists());
    }
}
