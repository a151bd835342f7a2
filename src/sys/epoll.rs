//! The descriptors of another thread that mean one socket, and their registrations with its epoll descriptors.
#![expect(unsafe_code, reason = "a descriptor under a number of another process's choice")]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;

use super::task::Task;

/// One registration with an epoll descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registration {
    /// The epoll descriptor.
    pub epoll: RawFd,
    /// The number under which the socket was registered.
    pub number: RawFd,
    /// What for.
    pub events: u32,
    /// What the program is told.
    pub data: u64,
}

/// The descriptors of a thread that mean one socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases {
    /// Numbers of the socket.
    pub numbers: Vec<RawFd>,
    /// Its registrations.
    pub registrations: Vec<Registration>,
}

/// The descriptors of `task` that mean the socket with this inode. `registered`: look for registrations, too.
pub fn aliases(task: &Task, inode: u64, registered: bool) -> Aliases {
    let mut aliases = Aliases::default();
    let socket = format!("socket:[{inode}]");
    let mut epolls = Vec::new();
    for (number, link) in task.links() {
        if link == socket {
            aliases.numbers.push(number);
        } else if registered && link == "anon_inode:[eventpoll]" {
            epolls.push(number);
        }
    }
    aliases.registrations = registrations(task, epolls, &aliases.numbers, inode);
    aliases
}

/// How these epoll descriptors of `task` watch the socket with this inode, under `numbers`.
pub fn registrations(task: &Task, epolls: Vec<RawFd>, numbers: &[RawFd], inode: u64) -> Vec<Registration> {
    let of = |epoll| {
        let text = task.watched(epoll);
        text.lines().filter_map(|line| registration(line, epoll, inode)).collect::<Vec<_>>()
    };
    epolls.into_iter().flat_map(of).filter(|found| numbers.contains(&found.number)).collect()
}

/// A line of /proc/PID/fdinfo/FD (proc_pid_fdinfo(5)), all but the first number in hexadecimal:
/// `tfd: 5 events: 19 data: 5 pos:0 ino:3d sdev:9`. None: it is about another file, which once had a number of ours.
fn registration(line: &str, epoll: RawFd, inode: u64) -> Option<Registration> {
    let mut words = line.strip_prefix("tfd:")?.split_whitespace();
    let number = words.next()?.parse().ok()?;
    let events = u32::from_str_radix(words.nth(1)?, 16).ok()?;
    let data = u64::from_str_radix(words.nth(1)?, 16).ok()?;
    let is_it = |word: &str| u64::from_str_radix(word, 16) == Ok(inode);
    words.find_map(|word| word.strip_prefix("ino:")).is_some_and(is_it).then_some(())?;
    Some(Registration { epoll, number, events, data })
}

/// What becomes of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is made.
    Add,
    /// It is taken away.
    Remove,
}

/// Registers `socket` with `epoll` under `number`, or ends that: an epoll descriptor knows what it watches by its number in the
/// table of whoever registers it. To be called on a thread with a table of its own, where nothing that is used has that number.
pub fn change(change: Change, epoll: impl AsFd, socket: BorrowedFd<'_>, found: Registration) -> Result<(), Errno> {
    let epoll = super::process::duplicate_from(epoll, found.number + 1)?;
    let socket = super::process::duplicate_from(socket, found.number + 1)?;
    super::process::duplicate_to(socket.as_fd(), found.number)?;
    let mut event = libc::epoll_event { events: found.events, u64: found.data };
    let operation = match change {
        Change::Add => libc::EPOLL_CTL_ADD,
        Change::Remove => libc::EPOLL_CTL_DEL,
    };
    // SAFETY: the kernel reads one `epoll_event`, which `event` is.
    let done = unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, found.number, &raw mut event) };
    let done = Errno::result(done).map(drop);
    // SAFETY: the number was made a few lines above, and nobody owns it.
    unsafe { libc::close(found.number) };
    done
}

/// Gives the calling thread a table of descriptors of its own, with nothing in it.
pub fn leave_all_descriptors() -> Result<(), Errno> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES)?;
    // SAFETY: integers alone. The thread has a copy of the table now, and uses nothing of it.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0) };
    Errno::result(done).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

    #[test]
    fn a_registration_is_read_from_what_the_kernel_shows_and_made_again_elsewhere() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let second = socket.try_clone().unwrap();
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        let wanted = EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        epoll.add(&socket, EpollEvent::new(wanted, 0xdead_beef_0000_0007)).unwrap();
        let tid = nix::unistd::gettid().as_raw();
        let inode = nix::sys::stat::fstat(&socket).unwrap().st_ino;
        let task = Task::open(tid).unwrap();
        let found = aliases(&task, inode, true);
        assert!(found.numbers.contains(&socket.as_raw_fd()) && found.numbers.contains(&second.as_raw_fd()));
        let [registration] = found.registrations[..] else { panic!("{found:?}") };
        assert_eq!(registration.data, 0xdead_beef_0000_0007);
        assert_eq!(registration.number, socket.as_raw_fd());
        let other = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                leave_all_descriptors().unwrap();
                let task = Task::open(tid)?;
                change(
                    Change::Add,
                    task.take(other.0.as_raw_fd())?,
                    task.take(socket.as_raw_fd())?.as_fd(),
                    registration,
                )
            });
            worker.join().unwrap().unwrap();
        });
        let mut events = [EpollEvent::empty()];
        assert_eq!(other.wait(&mut events, 0_u8), Ok(1));
        assert_eq!(events[0].data(), 0xdead_beef_0000_0007);
    }
}
