//! What a program set on its socket → the socket that takes its place.
//!
//! What it did not set is left: the host may have other defaults than a fresh network, and for some options the kernel's own
//! choice would end. What a fresh network has is read of a socket that nobody touched.

use std::os::fd::OwnedFd;

use nix::errno::Errno;

use crate::sys::inet;

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

/// What a fresh socket of the sandbox's network says.
#[derive(Debug)]
pub(super) struct Untouched {
    integers: [Result<i32, Errno>; OPTIONS.len()],
    structures: [Result<Vec<u8>, Errno>; STRUCTURES.len()],
}

impl Untouched {
    /// `fresh`: of both families, where the machine has both.
    pub(super) fn of(fresh: &OwnedFd) -> Self {
        Self {
            integers: OPTIONS.map(|(level, name, _)| inet::option(fresh, level, name)),
            structures: STRUCTURES.map(|(level, name)| inet::bytes(fresh, level, name)),
        }
    }

    /// Carries over what a program set on its socket, which is of this family.
    pub(super) fn carry_over(&self, from: &OwnedFd, to: &OwnedFd, family: i32) {
        // ENOPROTOOPT and the like: one of them has no such option, and nothing was set.
        let has = |level| level != libc::IPPROTO_IPV6 || family == libc::AF_INET6;
        let all = OPTIONS.into_iter().zip(&self.integers);
        for ((level, name, divisor), untouched) in all.filter(|((level, ..), _)| has(*level)) {
            let Ok(is) = inet::option(from, level, name) else { continue };
            if *untouched != Ok(is) {
                inet::set_option(to, level, name, is / divisor).ok();
            }
        }
        for ((level, name), untouched) in STRUCTURES.into_iter().zip(&self.structures) {
            let Ok(is) = inet::bytes(from, level, name) else { continue };
            if untouched.as_ref() != Ok(&is) {
                inet::set_bytes(to, level, name, &is).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_carried_over_and_nothing_else() {
        let [fresh, from, to] = [(); 3].map(|()| inet::tcp_of_either().unwrap());
        let untouched = Untouched::of(&fresh);
        // Other defaults than those of the network that it comes from.
        inet::set_option(&to, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 33).unwrap();
        inet::set_option(&from, libc::SOL_SOCKET, libc::SO_RCVBUF, 8192).unwrap();
        inet::set_option(&from, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1).unwrap();
        let linger = [1, 0, 0, 0, 7, 0, 0, 0];
        inet::set_bytes(&from, libc::SOL_SOCKET, libc::SO_LINGER, &linger).unwrap();
        untouched.carry_over(&from, &to, libc::AF_INET6);
        let is = |level, name| inet::option(&to, level, name);
        assert_eq!(is(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE), Ok(33));
        assert_eq!(is(libc::SOL_SOCKET, libc::SO_RCVBUF), Ok(16384));
        assert_eq!(is(libc::IPPROTO_TCP, libc::TCP_NODELAY), Ok(1));
        assert_eq!(inet::bytes(&to, libc::SOL_SOCKET, libc::SO_LINGER), Ok(linger.to_vec()));
        let sent = inet::option(&fresh, libc::SOL_SOCKET, libc::SO_SNDBUF);
        assert_eq!(is(libc::SOL_SOCKET, libc::SO_SNDBUF), sent);
    }
}
