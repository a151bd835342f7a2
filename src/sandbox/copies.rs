//! Files of replace grants: copied in at the start, and back at the end if they changed.
//!
//! Inside, such a file lies in a private directory, where it can be rewritten by rename. What is lost when the run is killed
//! before its end is what the agent wrote into it; the file outside is replaced atomically or not at all. Two runs at the
//! same time each have a copy of their own: the one that ends last wins.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::vocab::path::AbsPath;

use super::error::StartError;

/// More than this is no configuration file.
const CAP: u64 = 64 << 20;

#[derive(Debug, Default)]
pub(super) struct Copies {
    files: Vec<(AbsPath, Option<Vec<u8>>)>,
    directories: Vec<OwnedFd>,
}

/// Reads what is to be copied in. A file that does not exist yet may come to be inside.
pub(super) fn read(paths: &[AbsPath]) -> Result<Copies, StartError> {
    let mut files = Vec::new();
    for path in paths {
        let contents = match open_regular(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(StartError::Copy { path: path.clone(), source }),
            Ok(contents) => Some(contents),
        };
        files.push((path.clone(), contents));
    }
    Ok(Copies { files, directories: Vec::new() })
}

fn open_regular(path: &AbsPath) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = nix::fcntl::open(&path.to_path_buf(), flags, Mode::empty())?;
    contents(file)
}

fn contents(file: OwnedFd) -> io::Result<Vec<u8>> {
    let mut file = std::fs::File::from(file);
    let meta = file.metadata()?;
    if !meta.is_file() || meta.size() > CAP {
        return Err(io::Error::other("it is not a regular file of reasonable size"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Copies {
    pub(super) fn contents(&self) -> Vec<Option<Vec<u8>>> {
        self.files.iter().map(|(_, contents)| contents.clone()).collect()
    }

    pub(super) fn with_directories(mut self, directories: Vec<OwnedFd>) -> Self {
        self.directories = directories;
        self
    }

    /// Writes back what changed; returns what could not be.
    pub(super) fn write_back(&self, replace: impl Fn(&AbsPath, &[u8]) -> io::Result<()>) -> Vec<(AbsPath, io::Error)> {
        let mut lost = Vec::new();
        for ((path, before), directory) in self.files.iter().zip(&self.directories) {
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let name = std::ffi::OsString::from(path.to_path_buf().file_name().unwrap_or_default());
            let now = match openat(directory, name.as_os_str(), flags, Mode::empty()) {
                // Removed inside: the file outside stays. A replace grant does not hold the right to remove.
                Err(nix::errno::Errno::ENOENT) => continue,
                other => other.map_err(io::Error::from).and_then(contents),
            };
            let done = now.and_then(|now| if before.as_ref() == Some(&now) { Ok(()) } else { replace(path, &now) });
            if let Err(error) = done {
                lost.push((path.clone(), error));
            }
        }
        lost
    }
}

/// Replaces `path` atomically, keeping its mode; refuses to go through a symlink in its place.
pub(super) fn replace_file(path: &AbsPath, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = path.to_path_buf();
    let mode = match std::fs::symlink_metadata(&path) {
        Ok(meta) if meta.is_file() => meta.mode() & 0o777,
        Ok(_) => return Err(io::Error::other("it is no regular file any more")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0o600,
        Err(error) => return Err(error),
    };
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".pinfold-{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)
    };
    write().inspect_err(|_| {
        // What is left is ours and incomplete.
        std::fs::remove_file(&temporary).ok();
    })
}
