//! A thread of another program, held: its descriptors are copied, and what it says of them is read.
#![expect(unsafe_code, reason = "pidfd_open(2), pidfd_getfd(2) and kcmp(2) have no safe wrapper")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;

/// Descriptors that are looked through at most.
const MOST: usize = 4096;
/// Numbers that are tried though nothing was at many of them: a table with large gaps is listed.
const GAPS: usize = 64;

/// A thread. While this is kept its number may become another's: then every question fails, and none is answered for the other.
#[derive(Debug)]
pub struct Task {
    tid: i32,
    handle: OwnedFd,
    /// Whether `handle` is the thread's own, and not of its process.
    exact: bool,
    /// `/proc/TID/fdinfo`, once it was needed.
    told: Option<OwnedFd>,
}

/// What a thread's own number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Of the file.
    pub inode: u64,
    /// Closed on exec.
    pub close_on_exec: bool,
}

impl Task {
    /// Takes hold of a thread. Before Linux 6.9 it is its process, which shares its table of descriptors unless the thread
    /// made itself one of its own.
    pub fn open(tid: i32) -> Result<Self, Errno> {
        const PIDFD_THREAD: libc::c_uint = libc::O_EXCL.unsigned_abs();
        let pidfd = |pid: i32, flags| owned(libc::SYS_pidfd_open, i64::from(pid), i64::from(flags), 0);
        let (handle, exact) = match pidfd(tid, PIDFD_THREAD) {
            Err(Errno::EINVAL) => (pidfd(process_of(tid)?, 0)?, false),
            other => (other?, true),
        };
        Ok(Self { tid, handle, exact, told: None })
    }

    /// Whether it may be kept beyond the call that it was opened for.
    pub fn may_be_kept(&self) -> bool {
        self.exact
    }

    /// A copy of its descriptor `number`.
    pub fn take(&self, number: RawFd) -> Result<OwnedFd, Errno> {
        owned(libc::SYS_pidfd_getfd, i64::from(self.handle.as_raw_fd()), i64::from(number), 0)
    }

    /// What its descriptor `number` is (proc_pid_fdinfo(5); inodes since Linux 5.14).
    pub fn held(&mut self, number: RawFd) -> Result<Held, Errno> {
        let told = match self.told.take() {
            Some(told) => told,
            None => {
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
                open(format!("/proc/{}/fdinfo", self.tid).as_str(), flags, Mode::empty())?
            }
        };
        let told = self.told.insert(told);
        let file = openat(told, number.to_string().as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        // More than these lines are long; an epoll descriptor has more of them, which are not looked at.
        let mut text = [0; 256];
        let count = nix::unistd::read(&file, &mut text)?;
        held(text.get(..count).unwrap_or_default()).ok_or(Errno::ENODATA)
    }

    /// The epoll descriptors of this thread with which `file` is registered under `number`. `file` is the caller's own copy.
    pub fn epolls_with(&self, file: impl AsFd, number: RawFd) -> Vec<RawFd> {
        let open = nix::sys::stat::stat(format!("/proc/{}/fd", self.tid).as_str()).map_or(0, |stat| stat.st_size);
        let open = usize::try_from(open).unwrap_or(0).min(MOST);
        let own = std::process::id();
        let mut found = Vec::new();
        let (mut seen, mut missed) = (0, 0);
        for candidate in 0.. {
            if seen == open {
                break;
            }
            match self.has_registered((own, file.as_fd()), number, candidate) {
                Ok(registered) => {
                    seen += 1;
                    found.extend(registered.then_some(candidate));
                }
                Err(Errno::EBADF) if missed < open + GAPS => missed += 1,
                Err(_) => return self.listed_epolls(),
            }
        }
        if open == 0 { self.listed_epolls() } else { found }
    }

    /// Whether descriptor `epoll` has a file of `own` process under `number`. EBADF: nothing is there.
    fn has_registered(&self, (own, file): (u32, BorrowedFd<'_>), number: RawFd, epoll: RawFd) -> Result<bool, Errno> {
        /// `struct kcmp_epoll_slot`; the last tells apart what was registered under one number.
        #[repr(C)]
        struct Slot {
            epoll: u32,
            number: u32,
            offset: u32,
        }
        const KCMP_EPOLL_TFD: libc::c_int = 7;
        let unsigned = |number| u32::try_from(number).map_err(|_| Errno::EBADF);
        let mut slot = Slot { epoll: unsigned(epoll)?, number: unsigned(number)?, offset: 0 };
        let file = file.as_raw_fd();
        loop {
            // SAFETY: the kernel reads one slot, which `slot` is; the rest are integers.
            let done = unsafe { libc::syscall(libc::SYS_kcmp, own, self.tid, KCMP_EPOLL_TFD, file, &raw const slot) };
            match Errno::result(done) {
                Ok(0) => return Ok(true),
                Ok(_) => slot.offset += 1,
                // It is none, or has no such number.
                Err(Errno::EINVAL | Errno::ENOENT) => return Ok(false),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Every epoll descriptor, by what they are called.
    fn listed_epolls(&self) -> Vec<RawFd> {
        self.links()
            .into_iter()
            .filter(|(_, link)| link == "anon_inode:[eventpoll]")
            .map(|(number, _)| number)
            .collect()
    }

    /// Its descriptors, and what `/proc` calls them.
    pub fn links(&self) -> Vec<(RawFd, String)> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let all = Dir::open(format!("/proc/{}/fd", self.tid).as_str(), flags, Mode::empty());
        let Ok(mut all) = all else { return Vec::new() };
        let numbers = all.iter().flatten().filter_map(|entry| entry.file_name().to_str().ok()?.parse().ok());
        let numbers: Vec<RawFd> = numbers.take(MOST).collect();
        let link = |number: &RawFd| nix::fcntl::readlinkat(&all, number.to_string().as_str()).ok();
        let named = numbers.iter().filter_map(|number| Some((*number, link(number)?.into_string().ok()?)));
        named.collect()
    }

    /// The text that says what an epoll descriptor watches.
    pub fn watched(&self, epoll: RawFd) -> String {
        std::fs::read_to_string(format!("/proc/{}/fdinfo/{epoll}", self.tid)).unwrap_or_default()
    }
}

/// The lines of a socket: `pos:`, `flags:` in octal, `mnt_id:`, `ino:`.
fn held(text: &[u8]) -> Option<Held> {
    let text = std::str::from_utf8(text).ok()?;
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let flags = i32::from_str_radix(value("flags:")?, 8).ok()?;
    Some(Held { inode: value("ino:")?.parse().ok()?, close_on_exec: flags & libc::O_CLOEXEC != 0 })
}

fn process_of(tid: i32) -> Result<i32, Errno> {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).map_err(|_| Errno::ESRCH)?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:")).ok_or(Errno::ESRCH)?;
    line.trim().parse().map_err(|_| Errno::ESRCH)
}

fn owned(call: libc::c_long, first: i64, second: i64, third: i64) -> Result<OwnedFd, Errno> {
    // SAFETY: only calls that take plain numbers and no pointer come here.
    let fd = Errno::result(unsafe { libc::syscall(call, first, second, third) })?;
    // SAFETY: the kernel just made this descriptor for us; nobody else knows it.
    i32::try_from(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).map_err(|_| Errno::EBADF)
}

/// Threads that were taken hold of a while ago.
#[derive(Debug, Default)]
pub struct Tasks(std::collections::BTreeMap<i32, Task>);

impl Tasks {
    const MOST: usize = 64;

    /// The thread with this number by now.
    fn of(&mut self, tid: i32) -> Result<&mut Task, Errno> {
        if !self.0.contains_key(&tid) {
            if self.0.len() >= Self::MOST {
                self.0.clear();
            }
            self.0.insert(tid, Task::open(tid)?);
        }
        self.0.get_mut(&tid).ok_or(Errno::ESRCH)
    }

    /// A copy of a descriptor of a thread that waits for an answer.
    pub fn take(&mut self, tid: i32, number: RawFd) -> Result<OwnedFd, Errno> {
        let known = self.0.get(&tid).is_some_and(Task::may_be_kept);
        if !known {
            self.0.remove(&tid);
        }
        match self.of(tid)?.take(number) {
            // The one that was held has ended: the number is another's.
            Err(Errno::ESRCH) if known => {
                self.0.remove(&tid);
                self.of(tid)?.take(number)
            }
            other => other,
        }
    }

    /// A thread of which a descriptor was [taken](Self::take).
    pub fn get(&mut self, tid: i32) -> Result<&mut Task, Errno> {
        self.of(tid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

    #[test]
    fn a_descriptor_is_what_proc_says_of_it() {
        let text = b"pos:\t0\nflags:\t02000002\nmnt_id:\t9\nino:\t1234\n";
        assert_eq!(held(text), Some(Held { inode: 1234, close_on_exec: true }));
        assert_eq!(held(b"pos:\t0\nflags:\t02\nmnt_id:\t9\nino:\t7\n"), Some(Held { inode: 7, close_on_exec: false }));
        assert_eq!(held(b"pos:\t0\n"), None);
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let inode = nix::sys::stat::fstat(&socket).unwrap().st_ino;
        let mut task = Task::open(nix::unistd::gettid().as_raw()).unwrap();
        for _ in 0..2 {
            assert_eq!(task.held(socket.as_raw_fd()), Ok(Held { inode, close_on_exec: true }));
        }
        assert_eq!(nix::sys::stat::fstat(task.take(socket.as_raw_fd()).unwrap()).unwrap().st_ino, inode);
    }

    #[test]
    fn the_epoll_descriptors_with_a_file_are_found_and_no_others() {
        let [socket, other] = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        let [with, without] = [(); 2].map(|()| Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap());
        let event = EpollEvent::new(EpollFlags::EPOLLIN, 0);
        with.add(&socket, event).unwrap();
        without.add(&other, event).unwrap();
        let task = Task::open(nix::unistd::gettid().as_raw()).unwrap();
        let found = task.epolls_with(&socket, socket.as_raw_fd());
        let with = with.0.as_raw_fd();
        // Where kcmp(2) is refused all that there are are given, and those that are none fall out when they are read.
        assert!(found == [with] || found == task.listed_epolls() && found.contains(&with), "{found:?}");
        let own = (std::process::id(), socket.as_fd());
        assert!(task.has_registered(own, socket.as_raw_fd(), 1_000_000) != Ok(true));
    }

    #[test]
    fn a_thread_whose_number_is_used_again_is_another() {
        let mut tasks = Tasks::default();
        let here = std::fs::File::open("/proc/self/status").unwrap();
        let gone = std::thread::spawn(|| nix::unistd::gettid().as_raw()).join().unwrap();
        assert!(tasks.take(gone, here.as_raw_fd()).is_err());
        let own = nix::unistd::gettid().as_raw();
        assert!(tasks.take(own, here.as_raw_fd()).is_ok() && tasks.take(own, here.as_raw_fd()).is_ok());
        assert_eq!(tasks.take(own, 1_000_000).unwrap_err(), Errno::EBADF);
    }
}
