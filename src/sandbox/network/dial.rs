//! A socket of the sandbox → one of the host with its options, connected.
//!
//! A connection that was begun goes on in whoever holds the socket, so a caller that does not block gets it while it is made,
//! and waits for it as always.

use std::os::fd::{AsFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::sys::inet;
use crate::sys::task::Tasks;

use super::super::desk::Call;
use super::options::Untouched;

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
    pub(super) fn of(call: &Call, tasks: &mut Tasks) -> Result<Self, Errno> {
        let number = call.int(0);
        let own = match tasks.take(call.tid(), number) {
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

    /// How far a TCP socket is.
    pub(super) fn progress(&self) -> Progress {
        match inet::tcp_state(&self.own) {
            Ok(SYN_SENT) => Progress::Connecting,
            Ok(CLOSE) => match error_of(&self.own) {
                Ok(()) => Progress::Idle,
                Err(errno) => Progress::Failed(errno),
            },
            _ => Progress::Connected,
        }
    }

    /// Whether a TCP socket may be connected now; else what connect(2) says.
    pub(super) fn is_free(&self) -> Result<(), Errno> {
        match inet::tcp_state(&self.own) {
            Ok(CLOSE) => Ok(()),
            Ok(SYN_SENT) => Err(Errno::EALREADY),
            _ => Err(Errno::EISCONN),
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

// Of `enum` in linux/tcp_states.h.
const SYN_SENT: u8 = 2;
const CLOSE: u8 = 7;

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Idle,
    Connecting,
    Connected,
    /// And nobody heard of it yet.
    Failed(Errno),
}

pub(super) fn flags(socket: impl AsFd) -> Option<OFlag> {
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

/// A connection that is being made.
#[derive(Debug)]
pub(super) struct Dial {
    pub(super) call: Call,
    pub(super) socket: OwnedFd,
    pub(super) old: Socket,
}

impl Dial {
    /// Begins one. [`Errno::EINPROGRESS`] is no failure, and is not returned.
    pub(super) fn start(
        call: Call,
        old: Socket,
        to: std::net::SocketAddr,
        untouched: &Untouched,
    ) -> Result<Self, (Call, Errno)> {
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
        untouched.carry_over(&old.own, &socket, old.domain);
        match inet::connect(&socket, &inet::encode(to, family)) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(Self { call, socket, old }),
            Err(errno) => Err((call, errno)),
        }
    }

    /// One that is made.
    pub(super) fn made(call: Call, socket: OwnedFd, old: Socket, untouched: &Untouched) -> Self {
        untouched.carry_over(&old.own, &socket, old.domain);
        Self { call, socket, old }
    }

    pub(super) fn blocks(&self) -> bool {
        self.old.blocks()
    }

    /// What the connection came to, once it came to something.
    pub(super) fn result(&self) -> Result<(), Errno> {
        error_of(&self.socket)
    }

    /// The same, if it came to something by now: on one machine it does at once.
    pub(super) fn result_by_now(&self) -> Option<Result<(), Errno>> {
        let mut waiting = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
        poll(&mut waiting, PollTimeout::ZERO).ok()?;
        let [waiting] = waiting;
        let said = waiting.revents().unwrap_or(PollFlags::empty());
        match said.intersects(PollFlags::POLLERR | PollFlags::POLLHUP) {
            true => Some(self.result()),
            false => said.contains(PollFlags::POLLOUT).then_some(Ok(())),
        }
    }
}
