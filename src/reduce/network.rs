//! Peers → the network lines: names and ports that the broker connected to; without a broker the host's network, or nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Fact, Outcome, Transport};
use crate::profile::{NetAccess, NetGrant};
use crate::trace::Trace;
use crate::vocab::endpoint::{Endpoint, HostPort, NetTarget};

use super::Note;

/// A connection that goes on in the background.
const EINPROGRESS: i32 = 115;

/// Labels of names that stand for one machine of many are at least so long.
const SHORTEST_GENERATED: usize = 6;

pub(super) fn reduce(traces: &[&Trace], notes: &mut BTreeSet<Note>) -> BTreeMap<NetTarget, NetGrant> {
    let (brokered, open): (Vec<&Trace>, Vec<&Trace>) = traces.iter().partition(|trace| trace.header.broker);
    let mut grants = names(&brokered, notes);
    grants.extend(unconfined(&open, notes));
    grants
}

/// The peer that the broker connected to, if that is the fact.
pub(super) fn reached(fact: &Fact) -> Option<&HostPort> {
    match fact {
        Fact::Connect { endpoint: Endpoint::Name(peer), result, .. } => {
            (result.may_have_succeeded() || *result == Outcome::Errno(EINPROGRESS)).then_some(peer)
        }
        _ => None,
    }
}

/// The peers that the broker connected to, by name.
fn names(traces: &[&Trace], notes: &mut BTreeSet<Note>) -> BTreeMap<NetTarget, NetGrant> {
    let mut grants = BTreeMap::new();
    let mut zones: BTreeMap<(String, u16), BTreeSet<String>> = BTreeMap::new();
    for event in traces.iter().flat_map(|trace| trace.events.others()) {
        let Some(peer) = reached(&event.fact) else { continue };
        if let Some((first, zone)) = peer.host.split_once('.').filter(|(_, zone)| zone.contains('.'))
            && peer.address().is_none()
            && looks_generated(first)
        {
            zones.entry((zone.to_owned(), peer.port)).or_default().insert(peer.host.clone());
        }
        let target = NetTarget::Name(peer.clone());
        let approved = !target.needs_approval();
        grants.insert(target, NetGrant { access: NetAccess::Connect, approved, reason: None });
    }
    for ((zone, port), hosts) in zones {
        let hosts = hosts.into_iter().take(3).collect::<Vec<_>>().join(", ");
        notes.insert(Note::Generated { hosts, pattern: format!("*.{zone}:{port}") });
    }
    grants
}

/// Whether a label looks like one of many that a machine chose: letters and digits that take turns, or mostly digits.
fn looks_generated(label: &str) -> bool {
    let digit = |byte: &u8| byte.is_ascii_digit();
    let digits = label.bytes().filter(|byte| digit(byte)).count();
    let pairs = label.as_bytes().windows(2);
    let turns = pairs.filter(|pair| matches!(pair, [a, b] if digit(a) != digit(b))).count();
    label.len() >= SHORTEST_GENERATED && (turns >= 3 || digits * 2 >= label.len())
}

/// Peers of runs that had the host's network: addresses, of which no line can be made.
fn unconfined(traces: &[&Trace], notes: &mut BTreeSet<Note>) -> BTreeMap<NetTarget, NetGrant> {
    let peers: BTreeSet<String> = traces.iter().flat_map(|trace| peers(trace)).collect();
    if peers.is_empty() {
        return BTreeMap::new();
    }
    let shown: Vec<&str> = peers.iter().take(5).map(String::as_str).collect();
    let more = if peers.len() > shown.len() { ", …" } else { "" };
    notes.insert(Note::Network { peers: format!("{}{more}", shown.join(", ")) });
    let grant = NetGrant { access: NetAccess::Unconfined, approved: false, reason: None };
    BTreeMap::from([(NetTarget::Host, grant)])
}

/// Peers of one run outside of it: what its own processes listen on works in an empty network too.
fn peers(trace: &Trace) -> BTreeSet<String> {
    let listens: BTreeSet<&Endpoint> = trace
        .events
        .others()
        .filter_map(|event| match &event.fact {
            Fact::Listen { endpoint } => Some(endpoint),
            _ => None,
        })
        .collect();
    let own = |endpoint: &Endpoint| match endpoint {
        Endpoint::Inet(peer) => {
            let same = |listen: &&Endpoint| matches!(listen, Endpoint::Inet(place) if place.port() == peer.port());
            peer.ip().is_loopback() && listens.iter().any(same)
        }
        endpoint => listens.contains(endpoint),
    };
    let mut peers = BTreeSet::new();
    for event in trace.events.others() {
        let Fact::Connect { endpoint, transport, result } = &event.fact else { continue };
        let reached = result.may_have_succeeded() || *result == Outcome::Errno(EINPROGRESS);
        if !reached || own(endpoint) {
            continue;
        }
        match (endpoint, transport) {
            (Endpoint::Inet(_), Transport::UdpProbe) => {}
            (Endpoint::Inet(peer), _) => drop(peers.insert(peer.to_string())),
            (Endpoint::Abstract(name), _) => drop(peers.insert(format!("the abstract socket {name}"))),
            (Endpoint::Unix(_) | Endpoint::Netlink(_) | Endpoint::Name(_), _) => {}
        }
    }
    peers
}
