//! Where a program talked to, or may talk to.

use core::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::path::AbsPath;
use super::reach::{Reach, reach};

/// One peer or listening place of a socket, as a trace records it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Endpoint {
    /// An internet address: `{"inet":"127.0.0.1:8080"}`.
    Inet(SocketAddr),
    /// A socket file, resolved: `{"unix":"/run/x.sock"}`.
    Unix(AbsPath),
    /// An abstract socket name without its leading NUL, escaped as in files: `{"abstract":"name"}`.
    Abstract(String),
    /// A netlink protocol by number: `{"netlink":0}`.
    Netlink(i32),
    /// A peer by the name that was asked for, `localhost` for the machine's own: `{"name":"api.example.com:443"}`.
    Name(HostPort),
}

/// What a network line of a profile names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetTarget {
    /// `"@host"`: the host's whole network, abstract sockets included: unconfined.
    Host,
    /// `"api.example.com:443"`: one host and port.
    Name(HostPort),
    /// `"@inside:3000"`: a port at which the run listens.
    Inside(u16),
    /// `"localhost:3000-3999"`: one host and some ports in a row.
    Ports(HostPorts),
}

const INSIDE: &str = "@inside:";

impl NetTarget {
    /// The host and its ports, the first and the last; `None` for all there is, and for what is inside.
    pub fn host_and_ports(&self) -> Option<(&str, [u16; 2])> {
        match self {
            Self::Host | Self::Inside(_) => None,
            Self::Name(peer) => Some((&peer.host, [peer.port; 2])),
            Self::Ports(ports) => Some((&ports.host, [ports.first, ports.last])),
        }
    }

    /// Whether it is, or holds, everything that `other` allows.
    pub fn covers(&self, other: &Self) -> bool {
        if *self == Self::Host || self == other {
            return true;
        }
        let Some((host, [first, last])) = self.host_and_ports() else { return false };
        other.host_and_ports().is_some_and(|(name, [from, to])| first <= from && to <= last && covers_host(host, name))
    }

    /// Whether it counts as approved only where a person's yes stands beside it.
    pub fn needs_approval(&self) -> bool {
        match self {
            Self::Host | Self::Inside(_) | Self::Ports(_) => true,
            Self::Name(peer) => {
                let inward = peer.address().is_some_and(|address| reach(address) != Reach::Public);
                peer.host == LOCALHOST || peer.pattern().is_some() || inward
            }
        }
    }
}

/// Whether the host of a line holds all names that the host of another does: `*.example.com` every name below that zone, and
/// every narrower pattern; not the zone itself.
fn covers_host(wide: &str, narrow: &str) -> bool {
    wide == narrow || hosts_over(narrow).any(|pattern| pattern == *wide)
}

/// The patterns that hold a host and are not it, the narrowest first.
pub fn hosts_over(host: &str) -> impl Iterator<Item = String> {
    let below = host.strip_prefix('*').unwrap_or(host);
    let from = usize::from(below.len() < host.len());
    let dots = below.char_indices().filter(move |(at, c)| *c == '.' && *at >= from);
    dots.filter_map(move |(at, _)| Some(format!("*{}", below.get(at..)?)))
}

/// `host:first-last`: ports in a row; the host as of a [`HostPort`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPorts {
    /// Name, pattern or address literal.
    pub host: String,
    /// The first, never 0.
    pub first: u16,
    /// The last, greater than the first.
    pub last: u16,
}

impl std::fmt::Display for HostPorts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}-{}", self.host, self.first, self.last)
    }
}

impl std::str::FromStr for HostPorts {
    type Err = TargetError;
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let wrong = || TargetError(text.to_owned());
        let (before, last) = text.rsplit_once('-').ok_or_else(wrong)?;
        let HostPort { host, port: first } = before.parse()?;
        let last = last.parse().ok().filter(|last| *last > first).ok_or_else(wrong)?;
        let ports = Self { host, first, last };
        // One spelling: no leading zeros or signs.
        if ports.to_string() == text { Ok(ports) } else { Err(wrong()) }
    }
}

/// The machine itself, as a host of a network line.
pub const LOCALHOST: &str = "localhost";

/// `host:port`; the host is a name, a pattern (`*.example.com`) or an address literal (IPv6 in brackets), lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Name, pattern or address literal.
    pub host: String,
    /// Port, never 0.
    pub port: u16,
}

impl HostPort {
    /// For an address.
    pub fn of_address(address: IpAddr, port: u16) -> Self {
        let host = match address.to_canonical() {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        };
        Self { host, port }
    }

    /// The address, where the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        let literal = self.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        match literal {
            Some(v6) => v6.parse().ok().map(IpAddr::V6),
            None => self.host.parse().ok().map(IpAddr::V4),
        }
    }

    /// What a name must end with, the dot included, where the host is a pattern.
    pub fn pattern(&self) -> Option<&str> {
        self.host.strip_prefix('*')
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl std::str::FromStr for HostPort {
    type Err = TargetError;
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let wrong = || TargetError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|&p| p != 0).ok_or_else(wrong)?;
        let target = Self { host: host.to_owned(), port };
        let literal = host.starts_with('[');
        let name = host.strip_prefix("*.").unwrap_or(host);
        // What consists of digits and dots and is no address would be read as one by some (127.1).
        let numeric = name.split('.').next_back().is_none_or(|last| last.bytes().all(|b| b.is_ascii_digit()));
        let fine = match target.address() {
            // One form for one address.
            Some(address) => Self::of_address(address, port).host == host,
            None => !literal && !numeric && is_host_name(name),
        };
        fine.then_some(target).ok_or_else(wrong)
    }
}

/// Whether `text` is a name as resolvers take it: at most 253 bytes, labels of at most 63 lower-case letters, digits,
/// hyphens and underscores, no dot at the end.
pub fn is_host_name(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(fine);
    text.len() <= 253 && text.split('.').all(label)
}

/// Why a string is no network target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither `@host`, `name:port`, `name:first-last` nor `@inside:port`")]
pub struct TargetError(String);

impl std::str::FromStr for NetTarget {
    type Err = TargetError;
    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text == "@host" {
            return Ok(Self::Host);
        }
        // A host may have a hyphen, a port has none.
        let is_range = text.rsplit_once(':').is_some_and(|(_, ports)| ports.contains('-'));
        match text.strip_prefix(INSIDE) {
            None if is_range => text.parse().map(Self::Ports),
            None => text.parse().map(Self::Name),
            Some(port) => {
                // One spelling for one port.
                let number = port.parse().ok().filter(|number: &u16| *number != 0 && number.to_string() == port);
                number.map(Self::Inside).ok_or_else(|| TargetError(text.to_owned()))
            }
        }
    }
}

impl std::fmt::Display for NetTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host => f.write_str("@host"),
            Self::Name(peer) => peer.fmt(f),
            Self::Inside(port) => write!(f, "{INSIDE}{port}"),
            Self::Ports(ports) => ports.fmt(f),
        }
    }
}

impl Serialize for HostPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_one_spelling_and_odd_ones_are_refused() {
        for text in [
            "api.example.com:443",
            "*.example.com:443",
            "localhost:8080",
            "[2001:db8::1]:443",
            "10.0.0.1:22",
            "a_b.x:1",
            "@inside:3000",
            "localhost:3000-3999",
            "a-b.example:1-65535",
            "[2001:db8::1]:1-2",
        ] {
            assert_eq!(text.parse::<NetTarget>().unwrap().to_string(), text);
        }
        for text in [
            "example.com",
            ":443",
            "example.com:0",
            "example.com:99999",
            "Example.com:443",
            "example.com.:443",
            "a..b:1",
            "*:443",
            "*example.com:443",
            "a.*.com:1",
            "127.1:80",
            "010.0.0.1:80",
            "[::ffff:1.2.3.4]:80",
            "[2001:DB8::1]:443",
            "2001:db8::1:443",
            "b\u{fc}cher.example:443",
            "a b:1",
            "a\0b.example:1",
            "0x7f.1:80",
            "@inside:0",
            "@inside:080",
            "@inside:",
            "localhost:2-1",
            "localhost:2-2",
            "localhost:0-2",
            "localhost:1-65536",
            "localhost:01-2",
            "localhost:1-+2",
            "localhost:1-2-3",
            "localhost:-2",
        ] {
            assert!(text.parse::<NetTarget>().is_err(), "{text}");
        }
        assert!(format!("{}.example:1", "a".repeat(64)).parse::<HostPort>().is_err());
        assert!(format!("{}:1", vec!["a"; 128].join(".")).parse::<HostPort>().is_err());
    }

    #[test]
    fn a_wider_host_and_more_ports_hold_what_is_narrower_and_nothing_else() {
        let covers =
            |wide: &str, narrow: &str| wide.parse::<NetTarget>().unwrap().covers(&narrow.parse::<NetTarget>().unwrap());
        for (wide, narrow) in [
            ("@host", "a.x:1-9"),
            ("a.x:1-9", "a.x:9"),
            ("a.x:1-9", "a.x:1-9"),
            ("*.x:1-9", "b.a.x:2-3"),
            ("*.x:1", "*.a.x:1"),
            ("*.a.x:1", "*.a.x:1"),
        ] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
            assert_eq!(covers(narrow, wide), narrow == wide, "{narrow} {wide}");
        }
        for (wide, narrow) in [("a.x:1-9", "a.x:8-10"), ("*.x:1", "x:1"), ("*.a.x:1", "*.x:1"), ("a.x:1-9", "b.x:2")] {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
    }

    #[test]
    fn what_leads_inward_or_wide_needs_a_persons_yes() {
        let needs = |text: &str| text.parse::<NetTarget>().unwrap().needs_approval();
        for text in [
            "@host",
            "localhost:1",
            "api.example.com:1-2",
            "10.0.0.1:22",
            "[fd00::1]:22",
            "127.0.0.1:80",
            "*.example.com:443",
            "@inside:1",
        ] {
            assert!(needs(text), "{text}");
        }
        for text in ["api.example.com:443", "93.184.216.34:443"] {
            assert!(!needs(text), "{text}");
        }
    }
}
