//! The second wall: a plan's Landlock ruleset → the payload under it.
//!
//! Entered inside the finished root, so that each rule is for the place that the agent will find by that name. A place that
//! is not there (a pin that was not needed, a directory of an agent that is gone) needs no right. Invariant: when this
//! fails, the payload does not go on.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{Mode, fstat};

use crate::plan::landlock::Ruleset;
use crate::sys::landlock;
use crate::sys::mount::open_beneath;
use crate::vocab::landlock::{Rights, Scope};

use super::error::Step;
use super::root::Failure;

fn wrong(errno: Errno) -> Failure {
    Failure { step: Step::Landlock, errno, mount: None }
}

/// Puts the caller under `ruleset`. `no_new_privs` must be set.
pub(super) fn enter(ruleset: &Ruleset) -> Result<(), Failure> {
    // The kernel makes no ruleset that holds back nothing.
    if ruleset.handled == Rights::NONE && ruleset.scope == Scope::NONE && !ruleset.tcp {
        return Ok(());
    }
    let own = landlock::ruleset(ruleset.handled, ruleset.tcp, ruleset.scope).map_err(wrong)?;
    let root = nix::fcntl::open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let root = root.map_err(wrong)?;
    for (place, rights) in &ruleset.rules {
        let path = CString::new(place.as_bytes()).map_err(|_| wrong(Errno::EINVAL))?;
        let place = match open_beneath(&root, &path) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
            other => other.map_err(wrong)?,
        };
        allow(&own, place.as_fd(), *rights)?;
    }
    standard_streams(&own, ruleset.handled)?;
    landlock::restrict_self(&own).map_err(wrong)
}

fn allow(ruleset: impl AsFd, place: BorrowedFd<'_>, rights: Rights) -> Result<(), Failure> {
    let rights = if is_dir(place)? { rights } else { rights.common(Rights::OF_A_FILE) };
    if rights == Rights::NONE {
        return Ok(());
    }
    match landlock::allow(ruleset, place, rights) {
        // A pipe or a socket: no rule can name it, and none holds it back.
        Err(Errno::EBADFD) => Ok(()),
        other => other.map_err(wrong),
    }
}

fn is_dir(place: BorrowedFd<'_>) -> Result<bool, Failure> {
    Ok(fstat(place).map_err(wrong)?.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

/// What the caller opened for the agent as its standard streams can be opened again by way of /dev/stdin and its like, for
/// what it was opened for.
fn standard_streams(ruleset: impl AsFd, handled: Rights) -> Result<(), Failure> {
    for stream in crate::sys::process::standard_streams() {
        let Ok(flags) = fcntl(stream, FcntlArg::F_GETFL) else { continue };
        // A directory would be a way to all that lies beneath it.
        if is_dir(stream)? {
            continue;
        }
        let read = Rights::READ_FILE.and(Rights::IOCTL_DEV);
        let write = Rights::WRITE_FILE.and(Rights::TRUNCATE).and(Rights::IOCTL_DEV);
        let rights = match OFlag::from_bits_truncate(flags) & OFlag::O_ACCMODE {
            OFlag::O_WRONLY => write,
            OFlag::O_RDWR => read.and(write),
            _ => read,
        };
        allow(&ruleset, stream, rights.common(handled))?;
    }
    Ok(())
}
