//! Calls about two names, and a socket's: a second name for a file, another place for what has one.

use std::os::fd::AsRawFd as _;

use nix::errno::Errno;

use crate::plan::Network;
use crate::sys::inet;
use crate::sys::paths::{self, Resolve};
use crate::vocab::landlock::Rights;

use super::judge::{Making, Refused, name_of};
use super::place::{Found, Place, text};
use super::{Call, Done, Paths, mere, mere_refused};

impl Paths {
    pub(super) fn link(&mut self, call: &Call, from: (i32, u64), to: (i32, u64), flags: i32) -> Result<Done, Refused> {
        if flags & !(libc::AT_SYMLINK_FOLLOW | libc::AT_EMPTY_PATH) != 0 {
            return Err(Errno::EINVAL.into());
        }
        let old = Self::string(call, from.1)?;
        let place = self.place(call, to.0, to.1)?;
        let found = if old.is_empty() && flags & libc::AT_EMPTY_PATH != 0 {
            Found::Open(Self::way(&self.judge, &mut self.callers, call.tid())?.base(from.0)?)
        } else {
            self.find(call, from.0, &old)?
        };
        // A symlink may get a second name, too, and is one by that as well.
        let making = Making::of(match &found {
            Found::Open(file) => paths::look(file, c"")?,
            Found::Name(old) => paths::look(&old.parent, &old.name)?,
        });
        if making == Making::Tree {
            return Err(Errno::EPERM.into());
        }
        self.allow(&place, making.right())?;
        self.judge.judge(&place, making)?;
        if place.slash {
            return Err(Errno::ENOENT.into());
        }
        match found {
            // What was opened without a name, or is open with one.
            Found::Open(file) => {
                if let Some(path) = name_of(&file).and_then(|path| self.at(&path)) {
                    self.judge.judge(&path, Making::File)?;
                }
                let own = text(format!("/proc/self/fd/{}", file.as_raw_fd()).as_bytes())?;
                mere(|| paths::link(&file, &own, &place.parent, &place.name, libc::AT_SYMLINK_FOLLOW))?;
            }
            Found::Name(old) => {
                if flags & libc::AT_SYMLINK_FOLLOW != 0 && paths::look(&old.parent, &old.name)?.is(libc::S_IFLNK) {
                    // Nobody links what a symlink leads to: it would have to be followed as the kernel does.
                    return Err(Errno::EXDEV.into());
                }
                if old.above != place.above
                    && !(self.judge.has(&old.above, Rights::REFER) && self.judge.has(&place.above, Rights::REFER))
                {
                    return Err(Errno::EXDEV.into());
                }
                // A second name could be written where the first cannot.
                self.judge.judge(&old, Making::File)?;
                mere(|| paths::link(&old.parent, &old.name, &place.parent, &place.name, 0))?;
            }
        }
        Ok(Done::Nothing)
    }

    fn at(&self, path: &[u8]) -> Option<Place> {
        let end = path.iter().rposition(|byte| *byte == b'/')?;
        let (above, name) = path.split_at(end);
        let relative = text(above.get(1..).filter(|rest| !rest.is_empty()).unwrap_or(b".")).ok()?;
        let parent =
            paths::open(self.judge.root(), &relative, libc::O_PATH | libc::O_CLOEXEC, 0, Resolve::IN_ROOT).ok()?;
        Some(Place { parent, above: above.to_vec(), name: text(name.get(1..)?).ok()?, slash: false })
    }

    pub(super) fn rename(
        &mut self,
        call: &Call,
        from: (i32, u64),
        to: (i32, u64),
        flags: u32,
    ) -> Result<Done, Refused> {
        const NOREPLACE: u32 = 1;
        const EXCHANGE: u32 = 2;
        if flags & !(NOREPLACE | EXCHANGE) != 0 || flags == NOREPLACE | EXCHANGE {
            return Err(Errno::EINVAL.into());
        }
        let (old, new) = (Self::string(call, from.1)?, Self::string(call, to.1)?);
        let (Found::Name(from), Found::Name(to)) = (self.find(call, from.0, &old)?, self.find(call, to.0, &new)?)
        else {
            return Err(Errno::EBUSY.into());
        };
        if from.name.as_bytes() == b"." || to.name.as_bytes() == b"." {
            return Err(Errno::EBUSY.into());
        }
        let moved = paths::look(&from.parent, &from.name)?;
        let there = paths::look(&to.parent, &to.name);
        // The kernel would see no mount of a namespace that the supervisor is not in, and take it away with the name.
        if moved.is_mounted || there.is_ok_and(|there| there.is_mounted) {
            return Err(Errno::EBUSY.into());
        }
        if (from.slash || to.slash) && !moved.is(libc::S_IFDIR) {
            return Err(Errno::ENOTDIR.into());
        }
        if from.above != to.above
            && !(self.judge.has(&from.above, Rights::REFER) && self.judge.has(&to.above, Rights::REFER))
        {
            return Err(Errno::EXDEV.into());
        }
        self.allow(&from, Rights::REMOVE_FILE.and(Rights::REMOVE_DIR))?;
        if flags & NOREPLACE != 0 && there.is_ok() {
            return Err(Errno::EEXIST.into());
        }
        if flags & EXCHANGE == 0 && self.judge.is_configuration(&to) {
            mere_refused(|| self.judge.configure(&from, &to))?;
            return Ok(Done::Nothing);
        }
        self.arrives(&from, &to, Making::of(moved))?;
        if flags & EXCHANGE != 0 {
            self.arrives(&to, &from, Making::of(there?))?;
        }
        mere(|| paths::rename(&from.parent, &from.name, &to.parent, &to.name, flags))?;
        Ok(Done::Nothing)
    }

    fn arrives(&self, from: &Place, to: &Place, making: Making) -> Result<(), Refused> {
        self.allow(to, making.right())?;
        self.judge.judge(to, making)?;
        if making == Making::Tree { mere_refused(|| self.judge.move_tree(from, to)) } else { Ok(()) }
    }

    pub(super) fn bind(&mut self, call: &Call) -> Result<Done, Refused> {
        let length = usize::try_from(call.int(2)).map_err(|_| Errno::EINVAL)?;
        let mut address = vec![0; length.min(128)];
        call.read(call.argument(1), &mut address)?;
        let socket =
            Self::way(&self.judge, &mut self.callers, call.tid())?.base(call.int(0)).map_err(|_| Errno::EBADF)?;
        // Where there is a broker, other sockets are its own matter: by now this may be another than it looked at.
        let domain = inet::option(&socket, libc::SOL_SOCKET, libc::SO_DOMAIN)?;
        if domain != libc::AF_UNIX && self.network == Network::Named {
            return Err(Errno::EINVAL.into());
        }
        let family = address.get(..2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
        let name = address.get(2..).unwrap_or_default();
        if family.map(i32::from) != Some(libc::AF_UNIX) || name.first().is_none_or(|byte| *byte == 0) {
            mere(|| paths::bind(&socket, &address))?;
            return Ok(Done::Nothing);
        }
        let path = name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec();
        let Found::Name(place) = self.find(call, libc::AT_FDCWD, &path)? else { return Err(Errno::EADDRINUSE.into()) };
        if paths::look(&place.parent, &place.name).is_ok() {
            return Err(Errno::EADDRINUSE.into());
        }
        self.allow(&place, Rights::MAKE_SOCK)?;
        self.judge.judge(&place, Making::Node)?;
        // By a name that is relative to where this thread stands: an address has no descriptor.
        let mut address = libc::AF_UNIX.to_ne_bytes().get(..2).unwrap_or_default().to_vec();
        address.extend_from_slice(place.name.as_bytes_with_nul());
        nix::unistd::fchdir(&place.parent)?;
        let bound = mere(|| paths::bind(&socket, &address));
        nix::unistd::chdir("/")?;
        bound?;
        Ok(Done::Nothing)
    }
}
