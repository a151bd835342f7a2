//! A directory of the host in which just the granted names, and what they take beside them, exist.
//!
//! Each name reaches the real directory at once, by a descriptor of it: a rename inside is a rename outside, and a run that is
//! killed leaves the old file or the new one. Invariant: nothing else is seen, made, replaced or removed; nothing but regular
//! files with one name, and empty directories as locks; no symlink is followed, read or made. A name is one component
//! (`wire::is_name`), so that opening it with O_NOFOLLOW leads nowhere else.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, openat, renameat2};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::sys::mount::open_beneath;
use crate::vocab::access::Access;
use crate::vocab::location::Roots;
use crate::vocab::sensitivity::{Sensitivity, sensitive};

use super::siblings::{Role, role};
use super::tree::Filter;

/// One filtered directory.
#[derive(Debug)]
pub(super) struct Directory {
    filter: Filter,
    place: OwnedFd,
    /// Temporary files of this run.
    made: Mutex<BTreeSet<Vec<u8>>>,
    roots: Roots,
}

/// What a name leads to.
#[derive(Debug)]
pub(super) enum Found {
    /// A file, or a directory that is a lock.
    Object(OwnedFd, FileStat),
    /// Nothing, and it may be made.
    Absent,
    /// Nothing that is any business of whoever asks.
    Foreign,
}

const PLACE: OFlag = OFlag::O_PATH.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
/// Of the flags of an opening, what is passed on.
const PASSED: i32 = libc::O_ACCMODE | libc::O_SYNC | libc::O_DSYNC | libc::O_TRUNC;

fn number(errno: Errno) -> i32 {
    errno as i32
}

pub(super) fn is_directory(stat: &FileStat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFDIR
}

fn is_file(stat: &FileStat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFREG
}

/// The bits of a mode that may be given: no set-id bit, no sticky one.
pub(super) fn harmless(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode & 0o777)
}

impl Directory {
    /// Opens the directory of `filter` on the host.
    pub(super) fn open(filter: &Filter, roots: &Roots) -> Result<Self, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let root = nix::fcntl::open("/", flags, Mode::empty())?;
        let path = CString::new(filter.path.as_bytes()).map_err(|_| Errno::EINVAL)?;
        let place = open_beneath(&root, &path)?;
        if !is_directory(&fstat(&place)?) {
            return Err(Errno::ENOTDIR);
        }
        Ok(Self { filter: filter.clone(), place, made: Mutex::default(), roots: roots.clone() })
    }

    /// The real directory.
    pub(super) fn place(&self) -> &OwnedFd {
        &self.place
    }

    fn made(&self) -> std::sync::MutexGuard<'_, BTreeSet<Vec<u8>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn role(&self, name: &[u8]) -> Option<Role> {
        role(self.filter.names.iter().map(Vec::as_slice), name)
    }

    /// Looks a name up.
    pub(super) fn find(&self, name: &[u8]) -> Result<Found, i32> {
        let Some(role) = self.role(name) else { return Ok(Found::Foreign) };
        // Somebody else's is not there; making one of that name will tell.
        if role == Role::Temporary && !self.made().contains(name) {
            return Ok(Found::Absent);
        }
        match openat(&self.place, name, PLACE, Mode::empty()) {
            Err(Errno::ENOENT) => Ok(Found::Absent),
            Err(errno) => Err(number(errno)),
            Ok(place) => {
                let stat = fstat(&place).map_err(number)?;
                admit(role, &stat)?;
                Ok(Found::Object(place, stat))
            }
        }
    }

    /// Whether `name` may be made; a file of which your machine runs what it says is made by nobody here.
    fn may_make(&self, name: &[u8]) -> Result<Role, i32> {
        let role = self.role(name).ok_or(libc::EROFS)?;
        let path = self.filter.path.join(name).map_err(|_| libc::EINVAL)?;
        let row = sensitive(&path, &self.roots, Access::Write);
        match row.map(|row| row.sensitivity) {
            Some(Sensitivity::HostExecutes) if role != Role::Granted => Err(libc::EPERM),
            _ => Ok(role),
        }
    }

    /// Makes and opens a file. A temporary one must be new.
    pub(super) fn create(&self, name: &[u8], flags: i32, mode: u32) -> Result<(File, OwnedFd, FileStat), i32> {
        let role = self.may_make(name)?;
        let plain =
            OFlag::from_bits_truncate(flags & PASSED) | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let new = plain | OFlag::O_CREAT | OFlag::O_EXCL;
        let file = match openat(&self.place, name, new, Mode::from_bits_truncate(0o600)) {
            Ok(file) => {
                fchmod(&file, harmless(mode)).map_err(number)?;
                if role == Role::Temporary {
                    self.made().insert(name.to_vec());
                }
                file
            }
            // Made by somebody else just now.
            Err(Errno::EEXIST) if flags & libc::O_EXCL == 0 && role != Role::Temporary => {
                let place = openat(&self.place, name, PLACE, Mode::empty()).map_err(number)?;
                admit(role, &fstat(&place).map_err(number)?)?;
                reopen(&place, flags)?.into()
            }
            Err(errno) => return Err(number(errno)),
        };
        let stat = fstat(&file).map_err(number)?;
        admit(role, &stat)?;
        let place =
            nix::fcntl::open(super::open::path_of(&file).as_str(), PLACE.difference(OFlag::O_NOFOLLOW), Mode::empty());
        Ok((File::from(file), place.map_err(number)?, stat))
    }

    /// Makes a directory: only as a lock.
    pub(super) fn make_directory(&self, name: &[u8], mode: u32) -> Result<(), i32> {
        match self.may_make(name)? {
            Role::Shared => mkdirat(&self.place, name, harmless(mode)).map_err(number),
            Role::Granted | Role::Temporary => Err(libc::EPERM),
        }
    }

    pub(super) fn remove_directory(&self, name: &[u8]) -> Result<(), i32> {
        match self.find(name)? {
            Found::Object(_, stat) if is_directory(&stat) => {
                unlinkat(&self.place, name, UnlinkatFlags::RemoveDir).map_err(number)
            }
            Found::Object(..) => Err(libc::ENOTDIR),
            Found::Absent | Found::Foreign => Err(libc::ENOENT),
        }
    }

    pub(super) fn unlink(&self, name: &[u8]) -> Result<(), i32> {
        match self.find(name)? {
            Found::Object(_, stat) if is_directory(&stat) => Err(libc::EISDIR),
            // That a file may be replaced does not say that it may be gone.
            Found::Object(..) if self.role(name) == Some(Role::Granted) => Err(libc::EPERM),
            Found::Object(..) => {
                unlinkat(&self.place, name, UnlinkatFlags::NoRemoveDir).map_err(number)?;
                self.made().remove(name);
                Ok(())
            }
            Found::Absent | Found::Foreign => Err(libc::ENOENT),
        }
    }

    /// Renames a file, over another one if there is one.
    pub(super) fn rename(&self, name: &[u8], to: &[u8], flags: u32) -> Result<(), i32> {
        if flags & !libc::RENAME_NOREPLACE != 0 {
            return Err(libc::EINVAL);
        }
        match self.find(name)? {
            Found::Object(_, stat) if is_file(&stat) => {}
            Found::Object(..) => return Err(libc::EPERM),
            Found::Absent | Found::Foreign => return Err(libc::ENOENT),
        }
        let role = self.may_make(to)?;
        // What is replaced must be a file, and ours to replace.
        let flags = match self.find(to)? {
            Found::Object(_, stat) if is_directory(&stat) => return Err(libc::EISDIR),
            // Of a temporary name somebody else may have a file.
            Found::Absent if role == Role::Temporary => libc::RENAME_NOREPLACE,
            Found::Object(..) | Found::Absent => flags,
            Found::Foreign => return Err(libc::EROFS),
        };
        let flags = RenameFlags::from_bits_truncate(flags);
        renameat2(&self.place, name, &self.place, to, flags).map_err(number)?;
        let mut made = self.made();
        made.remove(name);
        if role == Role::Temporary {
            made.insert(to.to_vec());
        }
        Ok(())
    }

    /// The names that exist for whoever asks, with inode number and mode.
    pub(super) fn names(&self) -> Result<Vec<(Vec<u8>, u64, u32)>, i32> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut dir = nix::dir::Dir::openat(&self.place, ".", flags, Mode::empty()).map_err(number)?;
        let names = dir.iter().filter_map(|entry| {
            let name = entry.ok()?.file_name().to_bytes().to_vec();
            match self.find(&name) {
                Ok(Found::Object(_, stat)) => Some((name, stat.st_ino, stat.st_mode)),
                _ => None,
            }
        });
        Ok(names.collect())
    }
}

/// Whether the object of a name of this role is what it may be. A file with several names would be changed under all of them.
fn admit(role: Role, stat: &FileStat) -> Result<(), i32> {
    let lock = role == Role::Shared && is_directory(stat);
    if lock || is_file(stat) && stat.st_nlink <= 1 { Ok(()) } else { Err(libc::EPERM) }
}

/// Opens the file that a place is, with what of `flags` is passed on.
pub(super) fn reopen(place: &OwnedFd, flags: i32) -> Result<File, i32> {
    let flags = OFlag::from_bits_truncate(flags & PASSED) | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    // The link of /proc leads to the very file that is held, whatever its name is by now.
    let file = nix::fcntl::open(super::open::path_of(place).as_str(), flags, Mode::empty());
    file.map(File::from).map_err(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::path::AbsPath;
    use std::os::unix::fs::symlink;

    /// A directory with `a` granted in it, and whether an operation left the rest as it was.
    fn directory() -> (std::path::PathBuf, Directory) {
        let path = std::env::temp_dir().join(format!("pinfold-filtered-{}", crate::sys::process::random_name()));
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("secret"), "secret").unwrap();
        let filter =
            Filter { path: AbsPath::try_from(path.as_path()).unwrap(), names: BTreeSet::from([b"a".to_vec()]) };
        let directory = Directory::open(&filter, &Roots(std::collections::BTreeMap::new())).unwrap();
        (path, directory)
    }

    fn absent(found: Result<Found, i32>) -> bool {
        matches!(found, Ok(Found::Absent))
    }

    #[test]
    fn only_granted_names_and_their_siblings_are_seen_made_and_removed() {
        let (path, directory) = directory();
        assert!(matches!(directory.find(b"secret"), Ok(Found::Foreign)));
        assert_eq!(directory.create(b"other", libc::O_WRONLY, 0o644).err(), Some(libc::EROFS));
        assert_eq!(directory.unlink(b"secret"), Err(libc::ENOENT));
        assert_eq!(directory.rename(b"secret", b"a", 0), Err(libc::ENOENT));
        directory.create(b"a.tmp.1", libc::O_WRONLY | libc::O_EXCL, 0o644).unwrap();
        assert_eq!(directory.rename(b"a.tmp.1", b"secret", 0), Err(libc::EROFS));
        directory.rename(b"a.tmp.1", b"a", 0).unwrap();
        assert_eq!(directory.names().unwrap().len(), 1);
        assert_eq!(std::fs::read(path.join("secret")).unwrap(), b"secret");
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_temporary_file_of_somebody_else_is_neither_seen_nor_replaced() {
        let (path, directory) = directory();
        std::fs::write(path.join("a.tmp.1"), "theirs").unwrap();
        assert!(absent(directory.find(b"a.tmp.1")));
        assert_eq!(directory.create(b"a.tmp.1", libc::O_WRONLY, 0o644).err(), Some(libc::EEXIST));
        directory.create(b"a.tmp.2", libc::O_WRONLY, 0o644).unwrap();
        assert_eq!(directory.rename(b"a.tmp.2", b"a.tmp.1", 0), Err(libc::EEXIST));
        assert_eq!(std::fs::read(path.join("a.tmp.1")).unwrap(), b"theirs");
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn neither_symlinks_nor_second_names_nor_directories_pass_for_the_file() {
        let (path, directory) = directory();
        symlink("secret", path.join("a")).unwrap();
        assert_eq!(directory.find(b"a").err(), Some(libc::EPERM));
        std::fs::remove_file(path.join("a")).unwrap();
        std::fs::hard_link(path.join("secret"), path.join("a")).unwrap();
        assert_eq!(directory.find(b"a").err(), Some(libc::EPERM));
        assert_eq!(directory.create(b"a", libc::O_WRONLY, 0o644).err(), Some(libc::EPERM));
        std::fs::remove_file(path.join("a")).unwrap();
        assert_eq!(directory.make_directory(b"a", 0o755), Err(libc::EPERM));
        assert_eq!(directory.make_directory(b"a.tmp", 0o755), Err(libc::EPERM));
        directory.make_directory(b"a.lock", 0o755).unwrap();
        assert_eq!(directory.rename(b"a.lock", b"a", 0), Err(libc::EPERM));
        directory.remove_directory(b"a.lock").unwrap();
        std::fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_file_gets_its_mode_without_set_id_bits_whatever_the_umask_here() {
        use std::os::unix::fs::PermissionsExt as _;
        let (path, directory) = directory();
        directory.create(b"a", libc::O_RDWR, 0o6666).unwrap();
        assert_eq!(std::fs::metadata(path.join("a")).unwrap().permissions().mode() & 0o7777, 0o666);
        std::fs::remove_dir_all(path).unwrap();
    }
}
