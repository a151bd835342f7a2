//! A socket of the sandbox → one of the host with its options, connected, in its place.
//!
//! Kernel rules that shape it: a connection that was begun goes on in whoever holds the socket, so a caller that does not
//! block gets it while it is made, and waits for it as always; an epoll descriptor forgets a socket that is replaced, and
//! knows its successor only by the same number in the table of whoever registers it.

use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::mpsc::{Receiver, Sender, channel};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys::epoll::{self, Aliases, Registration};
use crate::sys::inet;
use crate::sys::seccomp::Place;

use super::super::desk::Call;

/// What a descriptor of the sandbox is.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) own: OwnedFd,
    pub(super) number: RawFd,
    pub(super) domain: i32,
    pub(super) kind: i32,
    pub(super) namespace: Result<u64, Errno>,
}

impl Socket {
    /// The socket that a call is about.
    ///
    /// # Errors
    ///
    /// EBADF, ENOTSOCK: as the call itself would say.
    pub(super) fn of(call: &Call) -> Result<Self, Errno> {
        let number = call.int(0);
        let own = match inet::take(call.tid(), number) {
            // Whatever else stands in the way, there is no such descriptor for us.
            // Ours, not the caller's.
            Err(Errno::ENFILE | Errno::EMFILE) => return Err(Errno::ENFILE),
            Err(_) => return Err(Errno::EBADF),
            Ok(own) => own,
        };
        // Only now it is known to be of the one that waits.
        if !call.waits() {
            return Err(Errno::EBADF);
        }
        let domain = inet::option(&own, libc::SOL_SOCKET, libc::SO_DOMAIN)?;
        let kind = inet::option(&own, libc::SOL_SOCKET, libc::SO_TYPE)?;
        let namespace = inet::namespace_cookie(&own);
        Ok(Self { own, number, domain, kind, namespace })
    }

    pub(super) fn is_inet(&self) -> bool {
        matches!(self.domain, libc::AF_INET | libc::AF_INET6)
    }

    pub(super) fn blocks(&self) -> bool {
        flags(&self.own).is_some_and(|flags| !flags.contains(OFlag::O_NONBLOCK))
    }

    /// How far a TCP socket is, by `tcpi_state`, the first byte of `TCP_INFO` (tcp(7)).
    pub(super) fn progress(&self) -> Progress {
        const SYN_SENT: u8 = 2;
        const CLOSE: u8 = 7;
        match inet::bytes(&self.own, libc::IPPROTO_TCP, libc::TCP_INFO).ok().and_then(|info| info.first().copied()) {
            Some(SYN_SENT) => Progress::Connecting,
            Some(CLOSE) => match error_of(&self.own) {
                Ok(()) => Progress::Idle,
                Err(errno) => Progress::Failed(errno),
            },
            _ => Progress::Connected,
        }
    }

    /// How long the program wants to wait for a connection, where it said so (SO_SNDTIMEO, socket(7)).
    pub(super) fn patience(&self) -> Option<std::time::Duration> {
        let raw = inet::bytes(&self.own, libc::SOL_SOCKET, libc::SO_SNDTIMEO).ok()?;
        let (seconds, micros) = raw.split_first_chunk::<8>()?;
        let micros = u64::from_ne_bytes(*micros.first_chunk::<8>()?);
        let seconds = std::time::Duration::from_secs(u64::from_ne_bytes(*seconds));
        let patience = seconds + std::time::Duration::from_micros(micros);
        (!patience.is_zero()).then_some(patience)
    }
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Idle,
    Connecting,
    Connected,
    /// And nobody heard of it yet.
    Failed(Errno),
}

fn flags(socket: impl AsFd) -> Option<OFlag> {
    fcntl(socket, FcntlArg::F_GETFL).ok().map(OFlag::from_bits_retain)
}

/// What a connection within the sandbox's network came to, at once: its packets go no further than this processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    /// It was done within the call: a datagram socket, or a peer that was taken away.
    Done,
    Connected,
    /// The queue of whoever listens is full.
    Pending,
    Failed(Errno),
}

/// Connects a socket of the sandbox within its network, without waiting. Whether it blocks is changed for a moment: until it
/// is connected there is nothing that another thread of its program could wait for on it.
pub(super) fn within(socket: &OwnedFd, address: &[u8]) -> Within {
    let Some(before) = flags(socket) else { return Within::Failed(Errno::EBADF) };
    let blocks = !before.contains(OFlag::O_NONBLOCK);
    if blocks && let Err(errno) = fcntl(socket, FcntlArg::F_SETFL(before | OFlag::O_NONBLOCK)) {
        return Within::Failed(errno);
    }
    let done = inet::connect(socket, address);
    if blocks {
        fcntl(socket, FcntlArg::F_SETFL(before)).ok();
    }
    match done {
        Ok(()) => Within::Done,
        Err(Errno::EINPROGRESS) => {
            let mut waiting = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
            if poll(&mut waiting, PollTimeout::ZERO).unwrap_or(0) == 0 {
                return Within::Pending;
            }
            match error_of(socket) {
                Ok(()) => Within::Connected,
                Err(errno) => Within::Failed(errno),
            }
        }
        Err(errno) => Within::Failed(errno),
    }
}

fn error_of(socket: &OwnedFd) -> Result<(), Errno> {
    match inet::option(socket, libc::SOL_SOCKET, libc::SO_ERROR)? {
        0 => Ok(()),
        errno => Err(Errno::from_raw(errno)),
    }
}

/// Options that are an `int`, with what their number is to be divided by before it is set again: the kernel doubles sizes of
/// buffers. One that nobody set is not set: for some the kernel's own choice would end.
const OPTIONS: [(i32, i32, i32); 22] = [
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
    (libc::SOL_SOCKET, libc::SO_OOBINLINE, 1),
    (libc::SOL_SOCKET, libc::SO_RCVLOWAT, 1),
    (libc::SOL_SOCKET, libc::SO_PRIORITY, 1),
    (libc::SOL_SOCKET, libc::SO_REUSEADDR, 1),
    (libc::SOL_SOCKET, libc::SO_SNDBUF, 2),
    (libc::SOL_SOCKET, libc::SO_RCVBUF, 2),
    (libc::SOL_SOCKET, libc::SO_TIMESTAMP, 1),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
    (libc::IPPROTO_TCP, libc::TCP_CORK, 1),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 1),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 1),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 1),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 1),
    (libc::IPPROTO_TCP, libc::TCP_SYNCNT, 1),
    (libc::IPPROTO_TCP, libc::TCP_LINGER2, 1),
    (libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP, 1),
    (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, 1),
    (libc::IPPROTO_IP, libc::IP_TOS, 1),
    (libc::IPPROTO_IP, libc::IP_TTL, 1),
    (libc::IPPROTO_IPV6, libc::IPV6_TCLASS, 1),
    (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, 1),
];

/// Options that are a structure.
const STRUCTURES: [(i32, i32); 3] =
    [(libc::SOL_SOCKET, libc::SO_LINGER), (libc::SOL_SOCKET, libc::SO_RCVTIMEO), (libc::SOL_SOCKET, libc::SO_SNDTIMEO)];

/// Carries over what a program set on its socket.
fn carry_over(from: &OwnedFd, to: &OwnedFd) {
    // ENOPROTOOPT and the like: one of them has no such option, and nothing was set.
    for (level, name, divisor) in OPTIONS {
        let (Ok(wanted), Ok(is)) = (inet::option(from, level, name), inet::option(to, level, name)) else { continue };
        if wanted != is {
            inet::set_option(to, level, name, wanted / divisor).ok();
        }
    }
    for (level, name) in STRUCTURES {
        let (Ok(wanted), Ok(is)) = (inet::bytes(from, level, name), inet::bytes(to, level, name)) else { continue };
        if wanted != is {
            inet::set_bytes(to, level, name, &wanted).ok();
        }
    }
}

/// A connection that is being made.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) call: Call,
    pub(super) socket: OwnedFd,
    pub(super) old: Socket,
}

impl Dial {
    /// Begins one. [`Errno::EINPROGRESS`] is no failure, and is not returned.
    pub(super) fn start(call: Call, old: Socket, to: std::net::SocketAddr) -> Result<Self, (Call, Errno)> {
        // A socket of either family may have asked by name; an IPv4 one cannot be made for IPv6.
        let family = if to.is_ipv6() { libc::AF_INET6 } else { old.domain };
        let socket = match inet::tcp(family) {
            Ok(socket) => socket,
            Err(errno) => return Err((call, errno)),
        };
        if family == libc::AF_INET6 {
            // Some machines say otherwise by default.
            inet::set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0).ok();
        }
        carry_over(&old.own, &socket);
        match inet::connect(&socket, &inet::encode(to, family)) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(Self { call, socket, old }),
            Err(errno) => Err((call, errno)),
        }
    }

    /// One that is made.
    pub(super) fn made(call: Call, socket: OwnedFd, old: Socket) -> Self {
        carry_over(&old.own, &socket);
        Self { call, socket, old }
    }

    pub(super) fn blocks(&self) -> bool {
        self.old.blocks()
    }

    /// What the connection came to, once it came to something.
    pub(super) fn result(&self) -> Result<(), Errno> {
        error_of(&self.socket)
    }

    /// Puts the new socket in the place of the old one, everywhere; then the call is answered with `errno`, or with success.
    pub(super) fn hand_over(self, registrar: &mut Registrar, errno: i32) -> Result<(), Errno> {
        let Self { mut call, socket, old } = self;
        let inode = nix::sys::stat::fstat(&old.own).map_or(0, |stat| stat.st_ino);
        let blocks = old.blocks();
        let mut aliases = epoll::aliases(call.tid(), inode, !blocks);
        if !aliases.numbers.contains(&old.number) {
            // Another thread closed it, or put something else there: there is nothing left to replace.
            call.refuse(libc::EBADF);
            return Err(Errno::EBADF);
        }
        let mode = flags(&old.own).unwrap_or(OFlag::empty());
        if blocks && let Some(now) = flags(&socket) {
            fcntl(&socket, FcntlArg::F_SETFL(now - OFlag::O_NONBLOCK))?;
        }
        if mode.contains(OFlag::O_ASYNC) {
            fcntl(&socket, FcntlArg::F_SETFL(flags(&socket).unwrap_or(mode) | OFlag::O_ASYNC))?;
        }
        for number in &aliases.numbers {
            let close_on_exec = epoll::closes_on_exec(call.tid(), *number);
            let place = Place { number: Some(*number), close_on_exec, answers: false };
            call.put(socket.as_fd(), place)?;
        }
        // The old one must be gone before its registrations are made anew.
        drop(old);
        registrar.register(call.tid(), &mut aliases);
        if errno == 0 {
            call.answer(0)
        } else {
            call.refuse(errno)
        }
        Ok(())
    }
}

type Job = (i32, Vec<Registration>);

/// The thread with a table of descriptors of its own, made when it is needed first.
#[derive(Debug, Default)]
pub(super) struct Registrar {
    worker: Option<(Sender<Job>, Receiver<()>)>,
}

impl Registrar {
    fn register(&mut self, tid: i32, aliases: &mut Aliases) {
        if aliases.registrations.is_empty() {
            return;
        }
        let (jobs, done) = self.worker.get_or_insert_with(|| {
            let ((jobs, wanted), (say, done)) = (channel::<Job>(), channel());
            // Without the thread nobody answers, and the program waits for events that it would have had.
            std::thread::Builder::new()
                .name("epoll".to_owned())
                .stack_size(128 << 10)
                .spawn(move || {
                    if epoll::leave_all_descriptors().is_err() {
                        return;
                    }
                    for (tid, registrations) in wanted {
                        for registration in registrations {
                            again(tid, registration).ok();
                        }
                        say.send(()).ok();
                    }
                })
                .ok();
            (jobs, done)
        });
        if jobs.send((tid, std::mem::take(&mut aliases.registrations))).is_ok() {
            done.recv().ok();
        }
    }
}

fn again(tid: i32, registration: Registration) -> Result<(), Errno> {
    let epoll = inet::take(tid, registration.epoll)?;
    let socket = inet::take(tid, registration.number)?;
    epoll::register(epoll, socket.as_fd(), registration)
}
