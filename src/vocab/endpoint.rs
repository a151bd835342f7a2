//! Where a program talked to, or may talk to.

use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::path::AbsPath;

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
}

/// What a network line of a profile names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetTarget {
    /// `"@host"`: the host's whole network, abstract sockets included: unconfined.
    Host,
    /// `"api.example.com:443"`: one host and port. Read and kept; a build without the broker refuses to enforce it.
    Name(HostPort),
}

/// `host:port`; the host is a name or an address literal, lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Name or address literal.
    pub host: String,
    /// Port, never 0.
    pub port: u16,
}

/// Why a string is no network target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither `@host` nor `name:port`")]
pub struct TargetError(String);

impl std::str::FromStr for NetTarget {
    type Err = TargetError;
    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text == "@host" {
            return Ok(Self::Host);
        }
        let wrong = || TargetError(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|&p| p != 0).ok_or_else(wrong)?;
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._*[]:".contains(c);
        if host.is_empty() || !host.chars().all(fine) {
            return Err(wrong());
        }
        Ok(Self::Name(HostPort { host: host.to_owned(), port }))
    }
}

impl std::fmt::Display for NetTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host => f.write_str("@host"),
            Self::Name(HostPort { host, port }) => write!(f, "{host}:{port}"),
        }
    }
}
