//! Internet sockets of other network namespaces: what they are, their options, their connections, and names outside.
#![expect(unsafe_code, reason = "options by number, addresses as bytes and getaddrinfo(3) have no safe wrapper")]

use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// An option that is an `int`.
pub fn option(socket: impl AsFd, level: i32, name: i32) -> Result<i32, Errno> {
    let mut value: libc::c_int = 0;
    get(socket, level, name, (&raw mut value).cast(), size_of::<libc::c_int>()).map(|_| value)
}

/// Sets an option that is an `int`.
pub fn set_option(socket: impl AsFd, level: i32, name: i32, value: i32) -> Result<(), Errno> {
    set_bytes(socket, level, name, &value.to_ne_bytes())
}

/// An option as bytes: at most 16 of them.
pub fn bytes(socket: impl AsFd, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
    let mut value = [0_u8; 16];
    let length = get(socket, level, name, value.as_mut_ptr(), value.len())?;
    Ok(value.get(..length).unwrap_or_default().to_vec())
}

/// Sets an option from bytes.
pub fn set_bytes(socket: impl AsFd, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(value.len()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the kernel reads `length` bytes at `value`, which it has.
    let done = unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, name, value.as_ptr().cast(), length) };
    Errno::result(done).map(drop)
}

/// The number of a socket's network namespace, the same for no two of a boot (SO_NETNS_COOKIE, Linux 5.14).
pub fn namespace_cookie(socket: impl AsFd) -> Result<u64, Errno> {
    let mut value = [0_u8; 8];
    get(socket, libc::SOL_SOCKET, SO_NETNS_COOKIE, value.as_mut_ptr(), value.len())?;
    Ok(u64::from_ne_bytes(value))
}

const SO_NETNS_COOKIE: libc::c_int = 71;

fn get(socket: impl AsFd, level: i32, name: i32, value: *mut u8, room: usize) -> Result<usize, Errno> {
    let mut length = libc::socklen_t::try_from(room).map_err(|_| Errno::EINVAL)?;
    // SAFETY: every caller passes a buffer of their own with `room` bytes; the kernel writes no more.
    let done = unsafe { libc::getsockopt(socket.as_fd().as_raw_fd(), level, name, value.cast(), &raw mut length) };
    Errno::result(done)?;
    Ok(length as usize)
}

/// connect(2) with an address as bytes.
pub fn connect(socket: impl AsFd, address: &[u8]) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(address.len()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the kernel reads `length` bytes at the address, which it has; it copies them as bytes, unaligned.
    Errno::result(unsafe { libc::connect(socket.as_fd().as_raw_fd(), address.as_ptr().cast(), length) }).map(drop)
}

/// bind(2) with an address as bytes.
pub fn bind(socket: impl AsFd, address: &[u8]) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(address.len()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: as in `connect`.
    Errno::result(unsafe { libc::bind(socket.as_fd().as_raw_fd(), address.as_ptr().cast(), length) }).map(drop)
}

/// How far a TCP socket is: `tcpi_state`, the first byte of `TCP_INFO` (tcp(7)).
pub fn tcp_state(socket: impl AsFd) -> Result<u8, Errno> {
    let mut state = 0_u8;
    get(socket, libc::IPPROTO_TCP, libc::TCP_INFO, &raw mut state, 1)?;
    Ok(state)
}

/// getsockname(2), of an internet socket; an IPv4 address is one in either family.
pub fn local_address(socket: impl AsFd) -> Result<SocketAddr, Errno> {
    use nix::sys::socket::{SockaddrStorage, getsockname};
    let address = getsockname::<SockaddrStorage>(socket.as_fd().as_raw_fd())?;
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::new(v4.ip().into(), v4.port()));
    let v6 = || address.as_sockaddr_in6().map(|v6| SocketAddr::new(IpAddr::V6(v6.ip()).to_canonical(), v6.port()));
    v4.or_else(v6).ok_or(Errno::EAFNOSUPPORT)
}

/// A fresh TCP socket for connections of both families, where the machine has both.
pub fn tcp_of_either() -> Result<OwnedFd, Errno> {
    match tcp(libc::AF_INET6) {
        Ok(socket) => set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0).map(|()| socket),
        Err(_) => tcp(libc::AF_INET),
    }
}

/// listen(2).
pub fn listen(socket: impl AsFd, backlog: i32) -> Result<(), Errno> {
    // SAFETY: integers alone.
    Errno::result(unsafe { libc::listen(socket.as_fd().as_raw_fd(), backlog) }).map(drop)
}

/// `sockaddr_in` or `sockaddr_in6` as bytes; `family` AF_INET6 takes an IPv4 address mapped.
pub fn encode(address: SocketAddr, family: i32) -> Vec<u8> {
    let mut out = u16::try_from(family).unwrap_or(0).to_ne_bytes().to_vec();
    out.extend(address.port().to_be_bytes());
    if family == libc::AF_INET {
        match address.ip() {
            IpAddr::V4(v4) => out.extend(v4.octets()),
            IpAddr::V6(_) => out.extend([0; 4]),
        }
        out.extend([0; 8]);
    } else {
        let v6 = match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        out.extend([0; 4]);
        out.extend(v6.octets());
        out.extend([0; 4]);
    }
    out
}

/// A fresh TCP socket of the caller's network namespace: it does not block, and is closed on exec.
pub fn tcp(family: i32) -> Result<OwnedFd, Errno> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: integers alone.
    let raw = Errno::result(unsafe { libc::socket(family, kind, libc::IPPROTO_TCP) })?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Why a name leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unresolved {
    /// There is no such name, or it has no address.
    Absent,
    /// Nobody answered.
    Silent,
}

/// The addresses of `name` as the host resolves it (getaddrinfo(3)), in its order of preference. Blocks.
pub fn resolve(name: &str) -> Result<Vec<IpAddr>, Unresolved> {
    let name = CString::new(name).map_err(|_| Unresolved::Absent)?;
    // SAFETY: all bytes zero is a value of this plain structure: no preference.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut first: *mut libc::addrinfo = std::ptr::null_mut();
    // SAFETY: `name` ends in NUL, `hints` and `first` are ours for the call.
    let done = unsafe { libc::getaddrinfo(name.as_ptr(), std::ptr::null(), &raw const hints, &raw mut first) };
    match done {
        0 => {}
        libc::EAI_NONAME | libc::EAI_NODATA => return Err(Unresolved::Absent),
        _ => return Err(Unresolved::Silent),
    }
    let mut found = Vec::new();
    let mut next = first;
    while !next.is_null() {
        // SAFETY: the list is the library's own until it is freed below, and each link is null or an entry.
        let entry = unsafe { &*next };
        // SAFETY: an entry of this family holds an address of this type.
        let address = unsafe { address_of(entry) };
        found.extend(address.filter(|address| !found.contains(address)));
        next = entry.ai_next;
    }
    // SAFETY: made by getaddrinfo, freed once, and nothing of it is kept.
    unsafe { libc::freeaddrinfo(first) };
    if found.is_empty() { Err(Unresolved::Absent) } else { Ok(found) }
}

/// # Safety
///
/// `ai_addr` is null or points to an address of the family that the entry says.
unsafe fn address_of(entry: &libc::addrinfo) -> Option<IpAddr> {
    if entry.ai_addr.is_null() {
        return None;
    }
    match entry.ai_family {
        libc::AF_INET => {
            // SAFETY: the caller's promise.
            let address = unsafe { entry.ai_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from_bits(u32::from_be(address.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the caller's promise.
            let address = unsafe { entry.ai_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(IpAddr::from(Ipv6Addr::from(address.sin6_addr.s6_addr)).to_canonical())
        }
        _ => None,
    }
}

/// The addresses of the machine's interfaces.
pub fn own_addresses() -> Vec<IpAddr> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let of = |entry: nix::ifaddrs::InterfaceAddress| {
        let address = entry.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    all.filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_layout_that_the_kernel_reads() {
        assert_eq!(encode("1.2.3.4:80".parse().unwrap(), libc::AF_INET).len(), size_of::<libc::sockaddr_in>());
        let mapped = encode("1.2.3.4:80".parse().unwrap(), libc::AF_INET6);
        assert_eq!(mapped.len(), size_of::<libc::sockaddr_in6>());
        assert_eq!(mapped[18..24], [0xff, 0xff, 1, 2, 3, 4]);
    }

    #[test]
    fn a_socket_tells_its_namespace_and_keeps_its_options() {
        let socket = tcp(libc::AF_INET).unwrap();
        assert_eq!(namespace_cookie(&socket), namespace_cookie(tcp(libc::AF_INET6).unwrap()));
        set_option(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1).unwrap();
        assert_eq!(option(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY), Ok(1));
    }
}
