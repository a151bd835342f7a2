//! Peers → the network lines: nothing, or the host's network.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Fact, Outcome, Transport};
use crate::profile::{NetAccess, NetGrant};
use crate::trace::Trace;
use crate::vocab::endpoint::{Endpoint, NetTarget};

use super::Note;

/// A connection that goes on in the background.
const EINPROGRESS: i32 = 115;

pub(super) fn reduce(traces: &[Trace], notes: &mut BTreeSet<Note>) -> BTreeMap<NetTarget, NetGrant> {
    let peers: BTreeSet<String> = traces.iter().flat_map(peers).collect();
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
        .iter()
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
    for event in &trace.events {
        let Fact::Connect { endpoint, transport, result } = &event.fact else { continue };
        let reached = result.may_have_succeeded() || *result == Outcome::Errno(EINPROGRESS);
        if !reached || own(endpoint) {
            continue;
        }
        match (endpoint, transport) {
            (Endpoint::Inet(_), Transport::UdpProbe) => {}
            (Endpoint::Inet(peer), _) => drop(peers.insert(peer.to_string())),
            (Endpoint::Abstract(name), _) => drop(peers.insert(format!("the abstract socket {name}"))),
            (Endpoint::Unix(_) | Endpoint::Netlink(_), _) => {}
        }
    }
    peers
}
