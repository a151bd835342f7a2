//! One change of a layer → the project, by descriptors: no symlink is followed on the way, and nothing leads out of it.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path};

use nix::errno::Errno;

use crate::plan::layer::Layer;
use crate::sys::paths::{self, Resolve};
use crate::sys::process;
use crate::vocab::path::AbsPath;

const DIRECTORY: i32 = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;

/// Makes `path` of the project what it is in the layer, or removes it.
pub(super) fn take(layer: &Layer, path: &Path, removed: bool) -> io::Result<()> {
    let mut parts = path.components().map(|part| match part {
        Component::Normal(name) => Ok(name),
        _ => Err(io::Error::other("no path below the project")),
    });
    let name = parts.next_back().ok_or_else(|| io::Error::other("no name"))??;
    let mut above = root(&layer.upper)?;
    let mut below = root(&layer.place)?;
    for part in parts {
        let part = text(part?)?;
        // In the layer every directory on the way is one, unless all of it is gone.
        match paths::open(&above, &part, DIRECTORY, 0, Resolve::NO_SYMLINKS) {
            Ok(dir) => above = dir,
            Err(Errno::ENOENT) if removed => {}
            Err(errno) => return Err(errno.into()),
        }
        below = enter(&below, &part, &above)?;
    }
    let name = text(name)?;
    if removed {
        return remove(&below, &name);
    }
    let look = paths::look(&above, &name)?;
    let there = paths::look(&below, &name).ok();
    match look.mode & libc::S_IFMT {
        libc::S_IFDIR => {
            enter(&below, &name, &paths::open(&above, &name, DIRECTORY, 0, Resolve::NO_SYMLINKS)?).map(drop)
        }
        libc::S_IFREG | libc::S_IFLNK => {
            if there.is_some_and(|there| there.is(libc::S_IFDIR)) {
                remove(&below, &name)?;
            }
            let temporary = text(OsStr::new(&format!(".pinfold-{}", process::random_name())))?;
            let made = if look.is(libc::S_IFREG) {
                copy(&above, &name, &below, &temporary)
            } else {
                let to = nix::fcntl::readlinkat(&above, name.as_c_str())?;
                paths::symlink(&text(&to)?, &below, &temporary).map_err(io::Error::from)
            };
            made.and_then(|()| Ok(paths::rename(&below, &temporary, &below, &name, 0)?)).inspect_err(|_| {
                nix::unistd::unlinkat(&below, temporary.as_c_str(), nix::unistd::UnlinkatFlags::NoRemoveDir).ok();
            })
        }
        _ => Err(io::Error::other("it is no file, directory or symlink")),
    }
}

fn text(name: &OsStr) -> io::Result<CString> {
    CString::new(name.as_bytes()).map_err(io::Error::other)
}

fn root(path: &AbsPath) -> io::Result<OwnedFd> {
    let host =
        nix::fcntl::open("/", nix::fcntl::OFlag::O_PATH | nix::fcntl::OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty())?;
    let path = text(OsStr::from_bytes(path.as_bytes().get(1..).filter(|rest| !rest.is_empty()).unwrap_or(b".")))?;
    Ok(paths::open(&host, &path, DIRECTORY, 0, Resolve::NO_SYMLINKS)?)
}

/// The directory `name`, made with the mode of `like` where it is none; what else has the name gives way.
fn enter(dir: &OwnedFd, name: &CString, like: &OwnedFd) -> io::Result<OwnedFd> {
    let open = || paths::open(dir, name, DIRECTORY, 0, Resolve::NO_SYMLINKS);
    match open() {
        Ok(found) => return Ok(found),
        Err(Errno::ENOENT) => {}
        Err(Errno::ENOTDIR | Errno::ELOOP) => remove(dir, name)?,
        Err(errno) => return Err(errno.into()),
    }
    let mode = paths::look(like, c"")?.mode & 0o777;
    paths::make_directory(dir, name, 0o700)?;
    let made = open()?;
    fs::set_permissions(format!("/proc/self/fd/{}", made.as_raw_fd()), fs::Permissions::from_mode(mode))?;
    Ok(made)
}

/// Removes a name; a directory with all that it holds, following no symlink.
fn remove(dir: &OwnedFd, name: &CString) -> io::Result<()> {
    match paths::look(dir, name) {
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
        Ok(look) if look.is(libc::S_IFDIR) => {
            let within = format!("/proc/self/fd/{}", dir.as_raw_fd());
            fs::remove_dir_all(Path::new(&within).join(OsStr::from_bytes(name.as_bytes())))
        }
        Ok(_) => Ok(nix::unistd::unlinkat(dir, name.as_c_str(), nix::unistd::UnlinkatFlags::NoRemoveDir)?),
    }
}

fn copy(from: &OwnedFd, name: &CString, to: &OwnedFd, temporary: &CString) -> io::Result<()> {
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let mut source = File::from(paths::open(from, name, flags, 0, Resolve::NO_SYMLINKS)?);
    let meta = source.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no file any more"));
    }
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    let mut file = File::from(paths::open(to, temporary, flags, 0o600, Resolve::NO_SYMLINKS)?);
    io::copy(&mut source, &mut file)?;
    file.set_permissions(fs::Permissions::from_mode(meta.mode() & 0o777))?;
    file.set_modified(meta.modified()?)?;
    file.sync_all()
}

/// Whether two files hold the same.
pub(super) fn same_bytes(a: &Path, b: &Path) -> io::Result<bool> {
    let open =
        |path: &Path| fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    let (mut a, mut b) = (open(a)?, open(b)?);
    let (mut of_a, mut of_b) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let read = a.read(&mut of_a)?;
        if read == 0 {
            return Ok(b.read(&mut of_b)? == 0);
        }
        let Some(wanted) = of_b.get_mut(..read) else { return Ok(false) };
        match b.read_exact(wanted) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        if of_a.get(..read) != of_b.get(..read) {
            return Ok(false);
        }
    }
}

/// Lets the owner into every directory below `dir`, which a program may have closed; no symlink is followed.
pub(super) fn open_up(dir: &Path) {
    let Ok(meta) = fs::symlink_metadata(dir) else { return };
    if !meta.is_dir() {
        return;
    }
    if meta.mode() & 0o700 != 0o700 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).ok();
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        open_up(&entry.path());
    }
}
