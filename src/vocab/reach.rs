//! Internet addresses by where they lead, and those that stand for names inside of a sandbox.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The internet.
    Public,
    /// A network that is not the internet: RFC 1918, unique local, shared (RFC 6598), benchmarking.
    Private,
    /// The machine itself.
    Own,
    /// Nowhere that a name may lead: link-local (cloud metadata among it), multicast, broadcast, reserved.
    Never,
}

/// Where `address` leads, by its number alone: that an address is one of the machine's own, only the machine knows.
pub fn reach(address: IpAddr) -> Reach {
    match address.to_canonical() {
        IpAddr::V4(v4) => of_v4(v4),
        IpAddr::V6(v6) => of_v6(v6),
    }
}

fn of_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (127, ..) => Reach::Own,
        // Metadata of some clouds: within the shared range, and beside it.
        (100, 100, 100) | (192, 0, 0) | (168, 63, 129) | (0, ..) | (169, 254, _) | (224.., ..) => Reach::Never,
        (10, ..) | (192, 168, _) | (172, 16..=31, _) | (100, 64..=127, _) | (198, 18..=19, _) => Reach::Private,
        _ => Reach::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Reach {
    let segments = address.segments();
    let [first, second, ..] = segments;
    let embedded = |at: usize| {
        let word = |index: usize| segments.get(index).copied().unwrap_or(0);
        let ([a, b], [c, d]) = (word(at).to_be_bytes(), word(at + 1).to_be_bytes());
        of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (first, second) {
        _ if address.is_loopback() => Reach::Own,
        _ if address.is_unspecified() => Reach::Never,
        // Metadata of a cloud, by a unique local address.
        (0xfd00, 0x0ec2) => Reach::Never,
        (0xfe80..=0xfebf | 0xff00.., _) => Reach::Never,
        (0xfc00..=0xfdff | 0xfec0..=0xfeff, _) => Reach::Private,
        // An IPv4 address within: translated (RFC 6052), 6to4, and the deprecated compatible form.
        (0x64, 0xff9b) => embedded(6),
        (0x2002, _) => embedded(1),
        (0, 0) if segments.iter().take(6).all(|word| *word == 0) => embedded(6),
        _ => Reach::Public,
    }
}

/// The address of the resolver inside of a sandbox.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// An address of the sandbox's own in the range of the stand-ins, with the length of its prefix.
pub const OWN_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfd70, 0x696e, 0x666f, 0x6c64, 0, 0, 0, 1), 64);

/// How many addresses stand for one name.
pub const PER_NAME: u32 = 8;
/// How many names there is room for in 198.18.0.0/15, behind the first 256 addresses.
pub const MOST_NAMES: u32 = (0x2_0000 - FIRST) / PER_NAME - 1;
const FIRST: u32 = 256;
const BASE_V4: u32 = 0xc612_0000;
const BASE_V6: u128 = 0xfd70_696e_666f_6c64_0000_0001_0000_0000;

/// What an address inside of a sandbox stands for: the name with this number, and which of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandIn {
    /// Which name.
    pub name: u32,
    /// Which of its addresses of that family.
    pub index: u32,
}

impl StandIn {
    /// The IPv4 address that stands for it (RFC 2544: 198.18.0.0/15 is no one's on the internet).
    pub fn v4(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(BASE_V4 + self.offset())
    }

    /// The IPv6 address that stands for it: unique local.
    pub fn v6(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(BASE_V6 + u128::from(self.offset()))
    }

    fn offset(self) -> u32 {
        FIRST + self.name.min(MOST_NAMES) * PER_NAME + self.index.min(PER_NAME - 1)
    }

    /// What `address` stands for, if it is such an address.
    pub fn of(address: IpAddr) -> Option<Self> {
        let offset = match address {
            IpAddr::V4(v4) => v4.to_bits().checked_sub(BASE_V4)?,
            IpAddr::V6(v6) => u32::try_from(v6.to_bits().checked_sub(BASE_V6)?).ok()?,
        };
        let offset = offset.checked_sub(FIRST).filter(|offset| *offset < 0x2_0000 - FIRST)?;
        Some(Self { name: offset / PER_NAME, index: offset % PER_NAME })
    }
}

/// Whether `address` is the sandbox's own affair: one that stands for a name, or may.
pub fn is_stand_in(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_bits() & 0xfffe_0000 == BASE_V4,
        IpAddr::V6(v6) => v6.to_bits() >> 64 == BASE_V6 >> 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led(text: &str) -> Reach {
        reach(text.parse().unwrap())
    }

    #[test]
    fn whatever_is_not_the_internet_is_told_apart_in_every_spelling() {
        for text in ["93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8", "64:ff9b::808:808"] {
            assert_eq!(led(text), Reach::Public, "{text}");
        }
        for text in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"] {
            assert_eq!(led(text), Reach::Own, "{text}");
        }
        for text in ["10.0.0.1", "192.168.1.1", "172.31.0.1", "100.64.0.1", "fd12::1", "::ffff:10.1.1.1", "198.18.0.9"]
        {
            assert_eq!(led(text), Reach::Private, "{text}");
        }
        for text in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "0.0.0.0",
            "::",
            "255.255.255.255",
        ] {
            assert_eq!(led(text), Reach::Never, "{text}");
        }
    }

    #[test]
    fn an_address_leads_back_to_what_it_stands_for() {
        for name in [0, 1, 77, MOST_NAMES] {
            for index in 0..PER_NAME {
                let stand_in = StandIn { name, index };
                assert_eq!(StandIn::of(stand_in.v4().into()), Some(stand_in));
                assert_eq!(StandIn::of(stand_in.v6().into()), Some(stand_in));
                assert!(is_stand_in(stand_in.v4().into()) && is_stand_in(stand_in.v6().into()));
            }
        }
        assert_eq!(StandIn::of(RESOLVER.into()), None);
        assert_eq!(StandIn::of(OWN_V6.0.into()), None);
        assert_eq!(StandIn::of("198.20.0.0".parse().unwrap()), None);
    }
}
