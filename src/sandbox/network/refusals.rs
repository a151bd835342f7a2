//! What the broker refuses → denials: who, what, and the line that would allow it.

use std::net::SocketAddr;

use crate::event::Denial;
use crate::sys::epoll;
use crate::sys::task::Task;
use crate::vocab::endpoint::HostPort;
use crate::vocab::escape;

use super::super::denial::program;
use super::super::desk::{Call, Note};
use super::super::who;
use super::budget::TooTelling;

fn denied(tid: i32, program: String, call: &str, thing: String, errno: i32, remedy: Option<String>) -> Note {
    let call = call.to_owned();
    // Whoever keeps it knows which processes are the sandbox's.
    let (count, intent, chain, risk) = (1, None, Vec::new(), None);
    Note::Denied(tid, Denial { program, call, thing, errno, remedy, count, intent, chain, risk })
}

fn of_call(call: &Call, thing: String, errno: i32, remedy: Option<String>) -> Note {
    denied(call.tid(), program(call.notification().pid), "connect", thing, errno, remedy)
}

fn line(peer: &HostPort) -> String {
    let target = crate::vocab::endpoint::NetTarget::Name(peer.clone());
    if target.needs_approval() {
        format!("[network] \"{peer}\" = {{ access = \"connect\", approved = true }}")
    } else {
        format!("[network] \"{peer}\" = \"connect\"")
    }
}

/// A peer that no line names.
pub(super) fn peer(call: &Call, peer: &HostPort, errno: i32) -> Note {
    // Port 0 is nobody's.
    of_call(call, peer.to_string(), errno, (peer.port != 0).then(|| line(peer)))
}

/// An address to which nobody is let.
pub(super) fn never(call: &Call, peer: &HostPort, to: SocketAddr) -> Note {
    let named = peer.address().is_some();
    let thing = if named {
        format!("{peer} (link-local or reserved)")
    } else {
        format!("{peer}, which is {to} (link-local or reserved)")
    };
    let remedy = (named && peer.port != 0).then(|| line(peer));
    of_call(call, thing, libc::ENETUNREACH, remedy)
}

/// A name that is granted and leads inward: into a private network, or to this machine.
pub(super) fn rebound(call: &Call, peer: &HostPort, inward: &HostPort) -> Note {
    of_call(call, format!("{peer}, which is {inward}: within your network"), libc::ECONNREFUSED, Some(line(inward)))
}

/// A peer that the host's proxy does not connect to.
pub(super) fn by_proxy(tid: i32, program: String, peer: &HostPort, said: &str, errno: nix::errno::Errno) -> Note {
    denied(tid, program, "connect", format!("{peer}: {said}"), errno as i32, None)
}

/// The host's proxy itself, by which every name could be reached.
pub(super) fn proxy_itself(call: &Call, peer: &HostPort) -> Note {
    let thing = format!("{peer}, your proxy (connections go through it by themselves: take the setting for it away)");
    of_call(call, thing, libc::ECONNREFUSED, None)
}

/// What was said to a peer is not for it.
pub(super) fn relayed(tid: i32, program: String, peer: &HostPort, odd: &super::inspect::Odd) -> Note {
    let thing = format!("{peer}: {}", escape::file(odd.to_string().as_bytes()));
    denied(tid, program, "send", thing, libc::ECONNRESET, None)
}

/// A question to another resolver.
pub(super) fn other_resolver(call: &Call, to: SocketAddr) -> Note {
    of_call(
        call,
        format!("the name server {to} (names are looked up at the one in /etc/resolv.conf alone)"),
        libc::ENETUNREACH,
        None,
    )
}

/// A name that no line names. `init` is a process of the sandbox, `from` where the question came from.
pub(super) fn name(init: i32, from: Option<SocketAddr>, name: &str) -> Note {
    let asker = from.and_then(|from| process_at(init, from.port()));
    let program = asker.map_or_else(|| "?".to_owned(), |pid| program(pid.unsigned_abs()));
    let remedy = format!("[network] \"{name}:443\" = \"connect\" (or another port)");
    // Above nobody there is nobody.
    denied(asker.unwrap_or(0), program, "look up", escape::file(name.as_bytes()), libc::ENOENT, Some(remedy))
}

/// A name under a pattern by which something may be told to whoever answers for the zone.
pub(super) fn too_telling(name: &str, why: TooTelling) -> Note {
    let zone = name.rsplitn(3, '.').take(2).collect::<Vec<_>>();
    let zone = zone.into_iter().rev().collect::<Vec<_>>().join(".");
    let thing = match why {
        TooTelling::TooLong => format!("a name below {zone} that is longer than names of servers are"),
        TooTelling::TooMany => format!("more and more names below {zone}"),
    };
    denied(0, "?".to_owned(), "look up", thing, libc::EAGAIN, None)
}

/// Whether somebody on this machine listens on `port`: for a message alone.
pub(super) fn is_listened_on(port: u16) -> bool {
    const LISTEN: &str = "0A";
    ["/proc/self/net/tcp", "/proc/self/net/tcp6"].iter().any(|path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().skip(1).any(|line| {
            let mut words = line.split_whitespace().skip(1);
            let (local, state) = (words.next().unwrap_or_default(), words.nth(1));
            state == Some(LISTEN) && port_of(local) == Some(port)
        })
    })
}

/// The port of `0100007F:1F90`.
fn port_of(word: &str) -> Option<u16> {
    u16::from_str_radix(word.rsplit_once(':')?.1, 16).ok()
}

/// A process below `init` that has a datagram socket at `port` of its network. By descent, and not by namespace: of `init`, which
/// is not dumpable, an ordinary user may not ask in which it is.
fn process_at(init: i32, port: u16) -> Option<i32> {
    let inode = ["udp", "udp6"].iter().find_map(|table| {
        let text = std::fs::read_to_string(format!("/proc/{init}/net/{table}")).ok()?;
        text.lines().skip(1).find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (port_of(words.get(1)?) == Some(port)).then(|| words.get(9)?.parse::<u64>().ok()).flatten()
        })
    })?;
    let all = std::fs::read_dir("/proc").ok()?.flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| who::descends(*pid, init))
        .find(|pid| Task::open(*pid).is_ok_and(|task| !epoll::aliases(&task, inode, false).numbers.is_empty()))
}
