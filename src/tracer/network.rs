//! Socket addresses in a task's memory → endpoints.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;

use crate::sys::memory;
use crate::vocab::escape;

/// `sizeof(struct sockaddr_storage)`
const LONGEST: usize = 128;

/// An address as it was passed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Address {
    /// IPv4 or IPv6.
    Inet(SocketAddr),
    /// A socket file, as it was named.
    Unix(Vec<u8>),
    /// An abstract name, escaped as in files.
    Abstract(String),
    /// Any other family, or none.
    Other,
}

/// Reads the address of `length` bytes at `address`.
pub(super) fn read(tid: i32, address: u64, length: u64) -> Result<Address, Errno> {
    let mut buffer = [0; LONGEST];
    let length = usize::try_from(length & 0xffff_ffff).unwrap_or(0).min(LONGEST);
    let wanted = buffer.get_mut(..length).ok_or(Errno::EFAULT)?;
    let got = memory::read(tid, address, wanted)?;
    if got < length {
        return Err(Errno::EFAULT);
    }
    Ok(decode(buffer.get(..got).unwrap_or_default()))
}

pub(super) fn decode(bytes: &[u8]) -> Address {
    let Some((&[low, high], rest)) = bytes.split_first_chunk::<2>() else { return Address::Other };
    let family = i32::from(u16::from_ne_bytes([low, high]));
    match family {
        libc::AF_UNIX => match rest {
            [] => Address::Other,
            [0, name @ ..] => Address::Abstract(escape::file(name)),
            name => Address::Unix(name.split(|&b| b == 0).next().unwrap_or_default().to_vec()),
        },
        libc::AF_INET => match rest {
            [p, q, a, b, c, d, ..] => {
                Address::Inet(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)), u16::from_be_bytes([*p, *q])))
            }
            _ => Address::Other,
        },
        libc::AF_INET6 => {
            let Some((&[p, q, _, _, _, _], rest)) = rest.split_first_chunk::<6>() else { return Address::Other };
            let Some(ip) = rest.first_chunk::<16>() else { return Address::Other };
            // What reaches an IPv4 address through an IPv6 socket is IPv4.
            let ip = IpAddr::V6(Ipv6Addr::from(*ip)).to_canonical();
            Address::Inet(SocketAddr::new(ip, u16::from_be_bytes([p, q])))
        }
        _ => Address::Other,
    }
}

/// Where the messages of one call go.
#[derive(Debug)]
pub(super) struct Addresses {
    /// Each once.
    pub(super) found: Vec<Address>,
    /// Whether all could be read.
    pub(super) whole: bool,
}

impl Addresses {
    pub(super) fn one(address: Result<Address, Errno>) -> Self {
        let whole = address.is_ok();
        Self { found: address.into_iter().collect(), whole }
    }
}

/// The addresses of the messages of sendmsg (`count` 1) or sendmmsg.
pub(super) fn of_messages(tid: i32, at: u64, count: u64) -> Addresses {
    /// `sizeof(struct mmsghdr)`: a message header and the count of sent bytes.
    const STRIDE: u64 = 64;
    /// UIO_MAXIOV: what lies behind is not sent by this call.
    const MOST: u64 = 1024;
    let mut found = BTreeSet::new();
    for index in 0..count.min(MOST) {
        match of_message(tid, at.wrapping_add(index * STRIDE)) {
            Ok(address) => found.extend(address),
            Err(_) => return Addresses { found: found.into_iter().collect(), whole: false },
        }
    }
    Addresses { found: found.into_iter().collect(), whole: true }
}

fn of_message(tid: i32, header: u64) -> Result<Option<Address>, Errno> {
    // Pointer, and length in the lower half of the next word.
    let mut words = [0; 16];
    if memory::read(tid, header, &mut words)? < words.len() {
        return Err(Errno::EFAULT);
    }
    let (name, length) = words.split_at(8);
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let (name, length) = (number(name), number(length) & 0xffff_ffff);
    if name == 0 || length == 0 { Ok(None) } else { read(tid, name, length).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_each_family_are_told_apart_and_short_ones_are_nothing() {
        let inet = [2, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(decode(&inet), Address::Inet("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(decode(b"\x01\0/run/x\0junk"), Address::Unix(b"/run/x".to_vec()));
        assert_eq!(decode(b"\x01\0\0a%\0"), Address::Abstract("a%25%00".to_owned()));
        let mapped = b"\x0a\0\x1f\x90\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\x01\0\0\0\0";
        assert_eq!(decode(mapped), Address::Inet("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(decode(&inet[..5]), Address::Other);
        assert_eq!(decode(&[]), Address::Other);
    }
}
