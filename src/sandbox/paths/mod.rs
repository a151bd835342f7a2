//! The desk for calls that make names: the supervisor makes them itself, in the caller's place.
//!
//! ```text
//!  open for writing, mkdir, mknod, link, symlink, rename, bind ──▶ the place (place.rs) ──▶ the rules (judge.rs) ──▶ the call
//!  umask, chdir, fchdir                                        ──▶ remembered (caller.rs), and made by the caller
//! ```
//!
//! Invariant: none of these goes on in the caller once it was looked at, for its strings and descriptors can be others by
//! then. What is read of the caller is read once; what is opened by it is judged where it is, and acted on by descriptor.
//! What removes names, and what changes no name, is not here: it can plant nothing.

mod caller;
mod judge;
mod moves;
mod place;
mod watch;

use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::stat::{Mode, umask};

use crate::event::Denial;
use crate::plan::protect::{self, Protection, RefusedWrites, Rules};
use crate::plan::walls::Wall;
use crate::plan::{Desk, Network, Plan};
use crate::sys::memory;
use crate::sys::paths::{self, Resolve};
use crate::sys::seccomp;
use crate::vocab::escape;
use crate::vocab::landlock::Rights;
use crate::vocab::location::Roots;
use crate::vocab::path::AbsPath;
use crate::vocab::syscall::Syscall;

use super::desk::{Call, Handler, Note};
use super::error::{StartError, Step};
use super::tripwire::Behalf;
use caller::{Callers, Moves, Process};
use judge::{Judge, Making, Refused, name_of};
use place::{Found, HOPS, Place, Way, text};

/// Opens that wait for the other end of a pipe, at a time.
const WAITING: usize = 64;
/// Files of a process in proc that may be written: what others there would do is done with the opener's rights, and the
/// opener is the supervisor.
const OWN_PROC: [&[u8]; 6] =
    [b"comm", b"oom_score_adj", b"oom_adj", b"coredump_filter", b"timerslack_ns", b"clear_refs"];

/// The desk of a run.
#[derive(Debug)]
pub struct Paths {
    judge: Judge,
    callers: Callers,
    /// The umask of this thread: nothing but this desk makes files while it is there.
    umask: Option<u32>,
    before: Option<Mode>,
    waiting: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    /// Where the root is one that tells: for whom it is walked through.
    behalf: Option<Behalf>,
    /// Whether the calls that make names are made here, or by the caller after they were looked at.
    carries: bool,
    /// Where refused writes are told: the words for places.
    tells: Option<Roots>,
    network: Network,
}

/// What a call comes to.
enum Done {
    Nothing,
    Descriptor {
        file: OwnedFd,
        close_on_exec: bool,
    },
    /// Somebody else answers.
    Later,
}

impl Paths {
    /// The desk of `plan`, whose payload is `payload`; `None` where it neither protects names nor tells of refused writes.
    pub fn open(plan: &Plan, payload: i32, behalf: Option<Behalf>) -> Result<Option<Self>, StartError> {
        if !plan.is_walked_through() {
            return Ok(None);
        }
        let (rules, carries) = match &plan.protection {
            Protection::Strict(rules) => (rules.clone(), plan.has(Wall::Names)),
            Protection::Scan => (Rules::of_the_table(&plan.roots), false),
        };
        let flags = nix::fcntl::OFlag::O_PATH | nix::fcntl::OFlag::O_DIRECTORY | nix::fcntl::OFlag::O_CLOEXEC;
        let root = nix::fcntl::open(format!("/proc/{payload}/root").as_str(), flags, Mode::empty());
        let root = root.map_err(|errno| StartError::kernel(Step::RootDirectory, errno))?;
        let wall = plan.landlock.as_ref().filter(|_| plan.has(Wall::Landlock));
        Ok(Some(Self {
            judge: Judge::new(root, rules, wall),
            callers: Callers::new(if carries { Moves::Told } else { Moves::Untold }),
            umask: None,
            before: None,
            waiting: std::sync::Arc::default(),
            behalf,
            carries,
            tells: (plan.refused_writes == RefusedWrites::Told).then(|| plan.roots.clone()),
            network: plan.network,
        }))
    }

    /// Files are made by this thread as the caller would make them.
    fn wear(&mut self, mask: u32) -> Result<(), Errno> {
        if self.umask == Some(mask) {
            return Ok(());
        }
        if self.umask.is_none() {
            // Its own from here on: the other threads keep theirs.
            nix::sched::unshare(CloneFlags::CLONE_FS)?;
        }
        let old = umask(Mode::from_bits_truncate(mask));
        self.before.get_or_insert(old);
        self.umask = Some(mask);
        Ok(())
    }

    fn carry_out(&mut self, call: &mut Option<Call>, name: &str) -> Result<Done, Refused> {
        let Some(asked) = call.as_ref() else { return Ok(Done::Later) };
        let tid = asked.tid();
        let mask = self.callers.of(tid)?.umask;
        self.wear(mask)?;
        self.behalf.iter().for_each(|behalf| behalf.is_for(tid));
        let at = libc::AT_FDCWD;
        let (int, word) = (|index| asked.int(index), |index| asked.argument(index));
        let mode = |index| asked.int(index).cast_unsigned();
        match name {
            "open" => self.open_file(call, at, 0, 1, 2),
            "openat" => self.open_file(call, int(0), 1, 2, 3),
            "creat" => self.open_file(call, at, 0, usize::MAX, 1),
            "mkdir" => self.make_directory(asked, at, word(0), mode(1)),
            "mkdirat" => self.make_directory(asked, int(0), word(1), mode(2)),
            "mknod" => self.make_node(asked, at, word(0), mode(1)),
            "mknodat" => self.make_node(asked, int(0), word(1), mode(2)),
            "symlink" => self.symlink(asked, word(0), at, word(1)),
            "symlinkat" => self.symlink(asked, word(0), int(1), word(2)),
            "link" => self.link(asked, (at, word(0)), (at, word(1)), 0),
            "linkat" => self.link(asked, (int(0), word(1)), (int(2), word(3)), int(4)),
            "rename" => self.rename(asked, (at, word(0)), (at, word(1)), 0),
            "renameat" => self.rename(asked, (int(0), word(1)), (int(2), word(3)), 0),
            "renameat2" => self.rename(asked, (int(0), word(1)), (int(2), word(3)), mode(4)),
            "bind" => self.bind(asked),
            _ => Err(Errno::ENOSYS.into()),
        }
    }

    /// A string of the caller, read once.
    fn string(call: &Call, address: u64) -> Result<Vec<u8>, Errno> {
        let mut bytes = Vec::new();
        memory::string(call.tid(), address, &mut bytes)?;
        // Only now it is known to be of the one that waits.
        if call.waits() { Ok(bytes) } else { Err(Errno::ENOENT) }
    }

    fn way<'a>(judge: &'a Judge, callers: &'a mut Callers, tid: i32) -> Result<Way<'a>, Errno> {
        let process: &mut Process = callers.of(tid)?;
        Ok(Way { root: judge.root(), process, tid })
    }

    fn find(&mut self, call: &Call, dirfd: i32, path: &[u8]) -> Result<Found, Errno> {
        Self::way(&self.judge, &mut self.callers, call.tid())?.find(dirfd, path)
    }

    /// The place of a name that is to be made: one that is there already is the kernel's first answer, before any right.
    fn place(&mut self, call: &Call, dirfd: i32, address: u64) -> Result<Place, Errno> {
        let path = Self::string(call, address)?;
        match self.find(call, dirfd, &path)? {
            Found::Name(place) if paths::look(&place.parent, &place.name).is_err() => Ok(place),
            Found::Name(_) | Found::Open(_) => Err(Errno::EEXIST),
        }
    }

    fn allow(&self, place: &Place, rights: Rights) -> Result<(), Refused> {
        if self.judge.has(&place.above, rights) { Ok(()) } else { Err(self.refuse(place)) }
    }

    /// The answer of the second wall. The name is looked up all the same: the root tells of it.
    fn refuse(&self, place: &Place) -> Refused {
        if self.behalf.is_some() {
            paths::look(&place.parent, &place.name).ok();
        }
        Errno::EACCES.into()
    }

    /// The same of an opening: some things the kernel says before it asks that wall.
    fn refuse_open(&self, place: &Place, flags: i32) -> Refused {
        let (makes, writes) = (flags & libc::O_CREAT != 0, flags & libc::O_ACCMODE != libc::O_RDONLY);
        let errno = match paths::look(&place.parent, &place.name) {
            _ if makes && place.slash => Errno::EISDIR,
            Err(errno) if !makes => errno,
            Ok(_) if makes && flags & libc::O_EXCL != 0 => Errno::EEXIST,
            Ok(look) if look.is(libc::S_IFLNK) => Errno::ELOOP,
            Ok(look) if look.is(libc::S_IFDIR) && (makes || writes) => Errno::EISDIR,
            Ok(_) | Err(_) => Errno::EACCES,
        };
        errno.into()
    }

    fn open_file(
        &mut self,
        call: &mut Option<Call>,
        dirfd: i32,
        path: usize,
        flags: usize,
        mode: usize,
    ) -> Result<Done, Refused> {
        let Some(asked) = call.as_ref() else { return Ok(Done::Later) };
        let wanted = match flags {
            usize::MAX => libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC,
            index => asked.int(index) & KNOWN,
        };
        let wanted = if wanted & libc::O_PATH == 0 { wanted } else { wanted & OF_A_PATH };
        let makes = wanted & libc::O_CREAT != 0 || wanted & libc::O_TMPFILE == libc::O_TMPFILE;
        let mode = if makes { asked.int(mode).cast_unsigned() & 0o7777 } else { 0 };
        let written = Self::string(asked, asked.argument(path))?;
        let mut found = self.find(asked, dirfd, &written)?;
        for _ in 0..HOPS {
            let place = match found {
                Found::Open(file) => return self.open_again(&file, wanted),
                Found::Name(place) => place,
            };
            let opened = match self.may_open(&place, wanted) {
                // By where it leads it is judged.
                Err(Refused::Kernel(Errno::ELOOP)) => Err(Errno::ELOOP),
                allowed => allowed.map(|()| open_at(&place, wanted, mode))?,
            };
            match opened {
                Ok(file) => {
                    paths::set_flags(&file, wanted & STATUS)?;
                    return Ok(Done::Descriptor { file, close_on_exec: wanted & libc::O_CLOEXEC != 0 });
                }
                Err(Errno::ELOOP) if wanted & libc::O_NOFOLLOW == 0 => {
                    let link =
                        nix::fcntl::readlinkat(&place.parent, place.name.as_c_str()).map_err(|_| Errno::ELOOP)?;
                    let text = std::os::unix::ffi::OsStringExt::into_vec(link);
                    if place.above.starts_with(b"/proc") {
                        // The links of others there lead to what is theirs.
                        return Err(Errno::EACCES.into());
                    }
                    found = Self::way(&self.judge, &mut self.callers, asked.tid())?.follow(place.parent, &text)?;
                }
                Err(Errno::ENXIO) if wanted & libc::O_NONBLOCK == 0 && is_pipe(&place) => {
                    return self.open_later(call, place, wanted);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(Errno::ELOOP.into())
    }

    fn may_open(&self, place: &Place, flags: i32) -> Result<(), Refused> {
        // It ends in a directory: the kernel's answer to that comes before any right.
        if place.name.as_bytes() == b"." {
            return Ok(());
        }
        let path = place.path();
        if path.starts_with(b"/proc/") && !OWN_PROC.contains(&place.name.as_bytes()) {
            return Err(Errno::EACCES.into());
        }
        let writes = flags & libc::O_ACCMODE != libc::O_RDONLY;
        let mut rights = if writes { Rights::WRITE_FILE } else { Rights::NONE };
        if flags & libc::O_ACCMODE != libc::O_WRONLY && flags & libc::O_PATH == 0 {
            rights = rights.and(Rights::READ_FILE);
        }
        if flags & libc::O_TRUNC != 0 {
            rights = rights.and(Rights::TRUNCATE);
        }
        let nameless = flags & libc::O_TMPFILE == libc::O_TMPFILE;
        if !nameless && !self.judge.has(&path, rights) {
            return Err(self.refuse_open(place, flags));
        }
        let there = || paths::look(&place.parent, &place.name).is_ok();
        if (flags & libc::O_CREAT != 0 || nameless) && !self.judge.has(&place.above, Rights::MAKE_REG) && !there() {
            return Err(Errno::EACCES.into());
        }
        if nameless { Ok(()) } else { self.judge.judge(place, Making::File) }
    }

    /// What the caller has open already, opened anew by the kernel's link to it.
    fn open_again(&self, file: &OwnedFd, flags: i32) -> Result<Done, Refused> {
        if flags & libc::O_CREAT != 0 && flags & libc::O_EXCL != 0 {
            return Err(Errno::EEXIST.into());
        }
        if let Some(path) = name_of(file).filter(|path| path.contains(&b'/')) {
            let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            let (above, name) = path.split_at(end);
            let name = text(name.get(1..).filter(|name| !name.is_empty()).unwrap_or(b"."))?;
            let above = if above.is_empty() { b"/".to_vec() } else { above.to_vec() };
            if let Some(parent) =
                text(above.get(1..).filter(|rest| !rest.is_empty()).unwrap_or(b".")).ok().and_then(|above| {
                    paths::open(self.judge.root(), &above, libc::O_PATH | libc::O_CLOEXEC, 0, Resolve::IN_ROOT).ok()
                })
            {
                self.may_open(&Place { parent, above, name, slash: false }, flags & !libc::O_CREAT)?;
            }
        }
        let own = text(format!("/proc/self/fd/{}", file.as_raw_fd()).as_bytes())?;
        let with = flags & !(libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW)
            | libc::O_CLOEXEC
            | libc::O_NOCTTY
            | libc::O_NONBLOCK;
        let file = mere(|| paths::open(file, &own, with, 0, Resolve::PLAIN))?;
        paths::set_flags(&file, flags & STATUS)?;
        Ok(Done::Descriptor { file, close_on_exec: flags & libc::O_CLOEXEC != 0 })
    }

    /// A pipe that nobody reads yet: the caller waits, nobody else does.
    fn open_later(&self, call: &mut Option<Call>, place: Place, flags: i32) -> Result<Done, Refused> {
        use std::sync::atomic::Ordering::Relaxed;
        if self.waiting.fetch_add(1, Relaxed) >= WAITING {
            self.waiting.fetch_sub(1, Relaxed);
            return Err(Errno::EAGAIN.into());
        }
        let Some(call) = call.take() else { return Ok(Done::Later) };
        let waiting = std::sync::Arc::clone(&self.waiting);
        std::thread::spawn(move || {
            let with = flags & !(libc::O_CREAT | libc::O_EXCL) | libc::O_CLOEXEC | libc::O_NOCTTY;
            let opened = mere(|| paths::open(&place.parent, &place.name, with, 0, Resolve::NO_SYMLINKS));
            waiting.fetch_sub(1, Relaxed);
            match opened {
                Ok(file) => hand_over(call, &file, flags & libc::O_CLOEXEC != 0),
                Err(errno) => call.refuse(errno as i32),
            }
        });
        Ok(Done::Later)
    }

    fn make_directory(&mut self, call: &Call, dirfd: i32, path: u64, mode: u32) -> Result<Done, Refused> {
        let place = self.place(call, dirfd, path)?;
        self.allow(&place, Rights::MAKE_DIR)?;
        self.judge.judge(&place, Making::Directory)?;
        mere(|| paths::make_directory(&place.parent, &place.name, mode & 0o1777))?;
        Ok(Done::Nothing)
    }

    fn make_node(&mut self, call: &Call, dirfd: i32, path: u64, mode: u32) -> Result<Done, Refused> {
        let place = self.place(call, dirfd, path)?;
        let making = match mode & libc::S_IFMT {
            0 | libc::S_IFREG => Making::File,
            libc::S_IFIFO | libc::S_IFSOCK => Making::Node,
            // Not even by a supervisor that could.
            _ => return Err(Errno::EPERM.into()),
        };
        self.allow(&place, making.right())?;
        self.judge.judge(&place, making)?;
        mere(|| paths::make_node(&place.parent, &place.name, mode & (libc::S_IFMT | 0o1777)))?;
        Ok(Done::Nothing)
    }

    fn symlink(&mut self, call: &Call, target: u64, dirfd: i32, path: u64) -> Result<Done, Refused> {
        let target = text(&Self::string(call, target)?)?;
        let place = self.place(call, dirfd, path)?;
        if target.is_empty() || place.slash {
            return Err(Errno::ENOENT.into());
        }
        self.allow(&place, Rights::MAKE_SYM)?;
        self.judge.judge(&place, Making::Symlink)?;
        mere(|| paths::symlink(&target, &place.parent, &place.name))?;
        Ok(Done::Nothing)
    }

    fn denied(&self, tid: i32, call: &str, path: &[u8], why: &str) -> Note {
        use std::os::unix::ffi::OsStrExt as _;
        let program = std::fs::read_link(format!("/proc/{tid}/exe"));
        let program = program.map_or_else(|_| "?".to_owned(), |path| escape::file(path.as_os_str().as_bytes()));
        let location = AbsPath::new(path).map(|path| self.judge.locate(&path));
        let remedy = location.ok().map(|location| {
            format!(
                "[filesystem] \"{location}\" = {{ access = \"write\", sensitive = \"host-executes\", approved = true }}"
            )
        });
        let thing = format!("{} ({why})", escape::file(path));
        let risk = Some("your machine runs or obeys it outside the sandbox".to_owned());
        let call = call.to_owned();
        Note::Denied(
            tid,
            Denial { program, call, thing, errno: libc::EPERM, remedy, count: 1, risk, ..Denial::default() },
        )
    }
}

/// Flags of open(2) that the kernel knows, in their numbers of this machine.
const KNOWN: i32 = libc::O_ACCMODE
    | libc::O_CREAT
    | libc::O_EXCL
    | libc::O_NOCTTY
    | libc::O_TRUNC
    | STATUS
    | libc::O_DSYNC
    | libc::O_SYNC
    | libc::O_LARGEFILE
    | libc::O_DIRECTORY
    | libc::O_NOFOLLOW
    | libc::O_CLOEXEC
    | libc::O_TMPFILE
    | libc::O_PATH;
const STATUS: i32 = libc::O_APPEND | libc::O_NONBLOCK | libc::O_DIRECT | libc::O_NOATIME;
const OF_A_PATH: i32 = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;

/// Opens without waiting for anybody; a symlink at the name is ELOOP.
fn open_at(place: &Place, flags: i32, mode: u32) -> Result<OwnedFd, Errno> {
    let with = flags & !libc::O_ASYNC | libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK;
    let with = if flags & libc::O_PATH == 0 { with } else { flags | libc::O_CLOEXEC };
    let name = if place.slash {
        CString::new([place.name.as_bytes(), b"/"].concat()).map_err(|_| Errno::EINVAL)?
    } else {
        place.name.clone()
    };
    mere(|| paths::open(&place.parent, &name, with, mode, Resolve::NO_SYMLINKS))
}

fn is_pipe(place: &Place) -> bool {
    paths::look(&place.parent, &place.name).is_ok_and(|look| look.is(libc::S_IFIFO))
}

/// With the rights that the caller has: inside, root is a user like any other.
fn mere<T>(work: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    if nix::unistd::geteuid().is_root() { paths::as_mere_user(work) } else { work() }
}

fn mere_refused(work: impl FnOnce() -> Result<(), Refused>) -> Result<(), Refused> {
    let mut done = Ok(());
    mere(|| {
        done = work();
        Ok(())
    })?;
    done
}

fn hand_over(mut call: Call, file: &OwnedFd, close_on_exec: bool) {
    let place = seccomp::Place { number: None, close_on_exec, answers: true };
    if let Err(errno) = call.put(file.as_fd(), place) {
        call.refuse(errno as i32);
    }
}

impl Handler for Paths {
    fn take(&mut self, call: Call, tell: &mut dyn FnMut(Note)) -> Option<(Call, Desk)> {
        self.make(call, tell);
        None
    }
}

impl Paths {
    fn make(&mut self, call: Call, tell: &mut dyn FnMut(Note)) {
        let name =
            u64::try_from(call.notification().number).ok().and_then(Syscall::from_number).map_or("", Syscall::name);
        let tid = call.tid();
        if let Some(roots) = self.tells.clone() {
            self.refused(&call, &roots).into_iter().for_each(|denial| tell(Note::Denied(tid, denial)));
        }
        // What was looked at to be told decides nothing.
        if !self.carries || !protect::is_carried_out(name) {
            return call.go_on();
        }
        match name {
            // What they set is in their registers, or is looked up when it is needed.
            "umask" => {
                let mask = call.int(0).cast_unsigned() & 0o777;
                if let Ok(process) = self.callers.of(tid) {
                    process.umask = mask;
                }
                return call.go_on();
            }
            "chdir" | "fchdir" => {
                if let Ok(process) = self.callers.of(tid) {
                    process.moves(tid);
                }
                return call.go_on();
            }
            _ => {}
        }
        let mut call = Some(call);
        let done = self.carry_out(&mut call, name);
        let Some(call) = call else { return };
        match done {
            Ok(Done::Nothing) => call.answer(0),
            Ok(Done::Descriptor { file, close_on_exec }) => hand_over(call, &file, close_on_exec),
            Ok(Done::Later) => {}
            Err(Refused::Kernel(errno)) => call.refuse(errno as i32),
            Err(Refused::Name { path, why }) => {
                let note = self.denied(tid, name, &path, why);
                call.refuse(libc::EPERM);
                tell(note);
            }
        }
    }
}

impl Drop for Paths {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            umask(before);
        }
    }
}
