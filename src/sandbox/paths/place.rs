//! A directory and a path, as a program passes them → the directory that holds the last name, as the sandbox sees it.
//!
//! Resolution stays in the mounts of the sandbox: what is absolute begins at its root, and no way leads out of it. The
//! kernel's own links in proc lead where they would lead the caller, and only the caller's own do.

use std::ffi::CString;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;

use nix::errno::Errno;

use crate::sys::paths::{self, Resolve};

use super::caller::Process;

/// As many symlinks as the kernel follows on one way.
pub(super) const HOPS: usize = 40;
const PATH: i32 = libc::O_PATH | libc::O_CLOEXEC;

/// A name in a directory.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) parent: OwnedFd,
    /// The directory's path inside, canonical.
    pub(super) above: Vec<u8>,
    /// Never empty; `.` where the path ends in no name.
    pub(super) name: CString,
    /// Whether a slash follows, so that only a directory will do.
    pub(super) slash: bool,
}

/// Where a path leads.
#[derive(Debug)]
pub(super) enum Found {
    /// To a name in a directory.
    Name(Place),
    /// By a link of the kernel to something that is open.
    Open(OwnedFd),
}

impl Place {
    /// The canonical path of the name.
    pub(super) fn path(&self) -> Vec<u8> {
        let mut path = self.above.clone();
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(self.name.as_bytes());
        path
    }
}

/// Who asks, and from where.
#[derive(Debug)]
pub(super) struct Way<'a> {
    pub(super) root: &'a OwnedFd,
    pub(super) process: &'a mut Process,
    pub(super) tid: i32,
}

impl Way<'_> {
    /// The place of `path` from directory descriptor `dirfd` of the caller.
    pub(super) fn find(&mut self, dirfd: i32, path: &[u8]) -> Result<Found, Errno> {
        match path.first() {
            None => Err(Errno::ENOENT),
            Some(b'/') => self.absolute(path),
            Some(_) => {
                let base = self.base(dirfd)?;
                self.relative(base, path)
            }
        }
    }

    /// What `dirfd` is.
    pub(super) fn base(&mut self, dirfd: i32) -> Result<OwnedFd, Errno> {
        if dirfd == libc::AT_FDCWD { self.process.directory(self.tid) } else { self.process.descriptor(dirfd) }
    }

    /// The place of a symlink's `text` that lies in `dir`.
    pub(super) fn follow(&mut self, dir: OwnedFd, text: &[u8]) -> Result<Found, Errno> {
        if text.first() == Some(&b'/') { self.absolute(text) } else { self.relative(dir, text) }
    }

    fn absolute(&mut self, path: &[u8]) -> Result<Found, Errno> {
        match self.own(path)? {
            Own::Found(found) => Ok(found),
            Own::Otherwise(path) => self.by_names(&path),
        }
    }

    /// From the root, by names and symlinks of files alone.
    fn by_names(&self, path: &[u8]) -> Result<Found, Errno> {
        let root = self.root.try_clone().map_err(|_| Errno::EMFILE)?;
        let (above, name, slash) = split(path);
        let parent =
            if above.is_empty() { root } else { paths::open(&root, &text(above)?, DIRECTORY, 0, Resolve::IN_ROOT)? };
        place(parent, name, slash)
    }

    fn relative(&mut self, base: OwnedFd, path: &[u8]) -> Result<Found, Errno> {
        let (above, name, slash) = split(path);
        if above.is_empty() {
            // A directory that is searched must be one, as the kernel finds when it is asked for a name in it.
            return place(base, name, slash);
        }
        match paths::open(&base, &text(above)?, DIRECTORY, 0, Resolve::BENEATH) {
            Ok(parent) => place(parent, name, slash),
            // Above the start, or by an absolute symlink: the same from the root, along the start's own path.
            Err(Errno::EXDEV | Errno::EAGAIN) => {
                let mut whole = canonical(&base)?;
                whole.push(b'/');
                whole.extend_from_slice(path);
                self.absolute(&whole)
            }
            Err(errno) => Err(errno),
        }
    }

    /// Ways through the caller's own part of proc, which the supervisor has none of. What does not go through a link of the
    /// kernel there is given back, in the supervisor's words: its `..` may lead anywhere, this way again among it.
    fn own(&mut self, path: &[u8]) -> Result<Own, Errno> {
        let path = self.spelled_out(path);
        let mut parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
        if parts.next() != Some(b"proc") || parts.next() != Some(self.process.inside.to_string().as_bytes()) {
            // Nor is there a way through somebody else's links.
            return Ok(Own::Otherwise(path));
        }
        let start = match parts.next() {
            Some(b"fd") => {
                let number = parts.next().and_then(|part| std::str::from_utf8(part).ok()?.parse().ok());
                let Some(number) = number else { return Err(Errno::ENOENT) };
                self.process.descriptor(number).map_err(|_| Errno::ENOENT)?
            }
            Some(b"cwd") => self.process.directory(self.tid)?,
            Some(b"root") => self.root.try_clone().map_err(|_| Errno::EMFILE)?,
            Some(_) => return Ok(Own::Otherwise(path)),
            None => return Err(Errno::EISDIR),
        };
        let rest: Vec<&[u8]> = parts.collect();
        if rest.is_empty() {
            return Ok(Own::Found(Found::Open(start)));
        }
        self.relative(start, &rest.join(&b'/')).map(Own::Found)
    }

    /// The path with the caller's number in the place of `self`.
    fn spelled_out(&self, path: &[u8]) -> Vec<u8> {
        let inside = self.process.inside;
        let names: [(&[u8], i32); 3] = [(b"/dev/stdin", 0), (b"/dev/stdout", 1), (b"/dev/stderr", 2)];
        if let Some((_, number)) = names.iter().find(|(name, _)| *name == path) {
            return format!("/proc/{inside}/fd/{number}").into_bytes();
        }
        let ways: [(&[u8], &str); 3] = [(b"/proc/thread-self", ""), (b"/proc/self", ""), (b"/dev/fd", "/fd")];
        let found = ways.iter().find_map(|(way, below)| {
            let rest = path.strip_prefix(*way).filter(|rest| matches!(rest.first(), None | Some(b'/')))?;
            Some([format!("/proc/{inside}{below}").as_bytes(), rest].concat())
        });
        found.unwrap_or_else(|| path.to_vec())
    }
}

/// What of a path is the caller's own.
enum Own {
    Found(Found),
    /// Nothing: it is to be gone by its names.
    Otherwise(Vec<u8>),
}

const DIRECTORY: i32 = PATH | libc::O_DIRECTORY;

fn place(parent: OwnedFd, name: &[u8], slash: bool) -> Result<Found, Errno> {
    let above = canonical(&parent)?;
    Ok(Found::Name(Place { parent, above, name: text(name)?, slash }))
}

/// What is above the last name, the last name, and whether a slash follows it.
fn split(path: &[u8]) -> (&[u8], &[u8], bool) {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    let (path, slash) = (path.get(..end).unwrap_or_default(), end < path.len());
    let start = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let (above, name) = path.split_at(start);
    match name {
        // It ends in a directory, not in a name of one.
        b"" | b"." | b".." => (path, b".", slash),
        name => (above, name, slash),
    }
}

pub(super) fn text(bytes: &[u8]) -> Result<CString, Errno> {
    CString::new(bytes).map_err(|_| Errno::EINVAL)
}

/// The path of an open directory, from the root of the mounts that it lies in.
pub(super) fn canonical(place: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let link = format!("/proc/self/fd/{}", place.as_raw_fd());
    let path = nix::fcntl::readlink(link.as_str())?.into_vec();
    // A directory that is no more has no path that could be judged, and nothing can be made in it.
    let gone = path.ends_with(b" (deleted)") && paths::look(place, c"")?.links == 0;
    if path.first() != Some(&b'/') || gone { Err(Errno::ENOENT) } else { Ok(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut_before_its_last_name() {
        let cut = |path: &'static str| {
            let (above, name, slash) = split(path.as_bytes());
            (std::str::from_utf8(above).unwrap(), std::str::from_utf8(name).unwrap(), slash)
        };
        assert_eq!(cut("a/b/c"), ("a/b/", "c", false));
        assert_eq!(cut("c"), ("", "c", false));
        assert_eq!(cut("a//c//"), ("a//", "c", true));
        assert_eq!(cut("/c"), ("/", "c", false));
        assert_eq!(cut("a/.."), ("a/..", ".", false));
        assert_eq!(cut("/"), ("", ".", true));
    }
}
