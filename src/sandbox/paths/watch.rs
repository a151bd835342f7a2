//! A call that writes, makes, changes or removes a name → what of it will be refused, for the report alone.
//!
//! The caller makes the call itself, or the desk does; what is found here decides nothing and may be wrong when another thread
//! swaps the name meanwhile.

use nix::errno::Errno;

use crate::event::{Denial, Intent};
use crate::sandbox::denial::file;
use crate::sandbox::tripwire::intent;
use crate::sandbox::who;
use crate::sys::paths::{self, Resolve};
use crate::vocab::landlock::Rights;
use crate::vocab::location::Roots;
use crate::vocab::path::AbsPath;
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::row;

use super::place::{Found, Place};
use super::{Call, Paths};

/// What the file system of a sandbox's own root is (statfs(2)): it tells by itself.
const FUSE: i64 = 0x6573_5546;
/// Places that are the sandbox's own: no line of a profile is about them.
const OWN: [&[u8]; 3] = [b"/proc/", b"/dev/", b"/sys/"];

impl Paths {
    /// What of `call` will be refused because it may only be read.
    pub(super) fn refused(&mut self, call: &Call, roots: &Roots) -> Vec<Denial> {
        let Some(syscall) = u64::try_from(call.notification().number).ok().and_then(Syscall::from_number) else {
            return Vec::new();
        };
        self.behalf.iter().for_each(|behalf| behalf.is_for(call.tid()));
        let argument = |index: u8| call.argument(usize::from(index));
        let wanted = row(syscall).paths.iter().enumerate();
        let asked: Vec<_> = wanted.map(|(index, wanted)| (wanted, intent(wanted.want, index, &argument))).collect();
        let mut denials = Vec::new();
        for (wanted, intent) in asked.into_iter().filter(|(_, intent)| changes(*intent)) {
            let dirfd = wanted.dirfd.map_or(libc::AT_FDCWD, |index| call.int(usize::from(index)));
            let Ok(path) = Self::string(call, argument(wanted.path)) else { continue };
            let Ok(Found::Name(place)) = self.find(call, dirfd, &path) else { continue };
            if let Ok(Some(intent)) = self.is_refused(&place, intent, syscall)
                && let Ok(path) = AbsPath::new(place.path())
            {
                let program = who::program(call.tid());
                denials.push(file(program, syscall.name().to_owned(), &path, intent, libc::EROFS, roots));
            }
        }
        denials
    }

    /// What is refused at a place; `None` where nothing is, or where the kernel has another answer for everybody.
    fn is_refused(&self, place: &Place, intent: Intent, call: Syscall) -> Result<Option<Intent>, Errno> {
        let path = place.path();
        if OWN.iter().any(|own| path.starts_with(own)) || place.name.as_bytes() == b"." {
            return Ok(None);
        }
        let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        let there = paths::open(&place.parent, &place.name, flags, 0, Resolve::PLAIN).ok();
        let opens = matches!(call.name(), "open" | "openat" | "creat");
        let intent = match (intent, there.is_some()) {
            (Intent::Create, true) if opens => Intent::Write,
            (Intent::Create, false) => Intent::Create,
            (Intent::Create, true) | (_, false) => return Ok(None),
            (intent, true) => intent,
        };
        let held = match (intent, &there) {
            (Intent::Write | Intent::Truncate | Intent::Attributes, Some(there)) => there,
            _ => &place.parent,
        };
        if nix::sys::statfs::fstatfs(held)?.filesystem_type().0 == FUSE {
            return Ok(None);
        }
        let read_only = nix::sys::statvfs::fstatvfs(held)?.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY);
        let (at, rights) = match intent {
            Intent::Create => (&place.above, Rights::MAKE_REG),
            Intent::Remove => (&place.above, Rights::REMOVE_FILE),
            Intent::Truncate => (&path, Rights::TRUNCATE),
            Intent::Write => (&path, Rights::WRITE_FILE),
            // No right of the second wall.
            _ => (&path, Rights::NONE),
        };
        Ok((read_only || !self.judge.has(at, rights)).then_some(intent))
    }
}

fn changes(intent: Intent) -> bool {
    use Intent as I;
    !matches!(intent, I::Look | I::Enter | I::List | I::Read | I::Execute | I::Map | I::Connect)
}
