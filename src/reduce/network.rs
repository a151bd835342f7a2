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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, ImageId};
    use crate::profile::emit::net_grant;
    use crate::trace::tests::empty;
    use crate::vocab::path::AbsPath;

    fn trace(broker: bool, facts: Vec<Fact>) -> Trace {
        let mut trace = empty();
        trace.header.broker = broker;
        trace.events = facts.into_iter().map(|fact| Event { image: ImageId(0), fact }).collect();
        trace
    }

    fn connect(endpoint: Endpoint, transport: Transport, result: Outcome) -> Fact {
        Fact::Connect { endpoint, transport, result }
    }

    fn name(peer: &str, result: Outcome) -> Fact {
        let Ok(NetTarget::Name(peer)) = peer.parse() else { panic!("{peer}") };
        connect(Endpoint::Name(peer), Transport::Tcp, result)
    }

    fn inet(address: &str) -> Endpoint {
        Endpoint::Inet(address.parse().unwrap())
    }

    /// The lines and notes that runs give, a line each.
    #[track_caller]
    fn give(traces: &[Trace], expected: &[&str]) {
        let mut notes = BTreeSet::new();
        let lines = reduce(&traces.iter().collect::<Vec<_>>(), &mut notes);
        let lines = lines.iter().map(|(target, grant)| format!("{target} = {}", net_grant(target, grant)));
        let said: Vec<String> = lines.chain(notes.iter().map(|note| format!("note: {note}"))).collect();
        assert_eq!(said, expected);
    }

    #[test]
    fn what_the_broker_reached_is_a_line_and_what_is_near_waits_for_a_person() {
        let refused = name("refused.example.com:443", Outcome::Errno(111));
        let facts = vec![
            name("api.example.com:443", Outcome::Ok),
            name("slow.example.com:443", Outcome::Errno(EINPROGRESS)),
            name("localhost:8080", Outcome::Ok),
            name("10.0.0.1:22", Outcome::Unseen),
            name("93.184.216.34:443", Outcome::Ok),
            refused,
            // The address that stood for a name is no peer of its own.
            connect(inet("93.184.216.34:443"), Transport::Tcp, Outcome::Ok),
        ];
        give(
            &[trace(true, facts)],
            &[
                "10.0.0.1:22 = { access = \"connect\", approved = false }",
                "93.184.216.34:443 = \"connect\"",
                "api.example.com:443 = \"connect\"",
                "localhost:8080 = { access = \"connect\", approved = false }",
                "slow.example.com:443 = \"connect\"",
            ],
        );
    }

    #[test]
    fn names_that_look_chosen_anew_stay_as_they_are_and_a_note_offers_the_pattern() {
        let facts = ["a1b2c3d4.cdn.example.com:443", "e5f6a7b8.cdn.example.com:443", "www.example.com:443"];
        give(
            &[trace(true, facts.iter().map(|peer| name(peer, Outcome::Ok)).collect())],
            &[
                "a1b2c3d4.cdn.example.com:443 = \"connect\"",
                "e5f6a7b8.cdn.example.com:443 = \"connect\"",
                "www.example.com:443 = \"connect\"",
                "note: a1b2c3d4.cdn.example.com, e5f6a7b8.cdn.example.com looks like one of many that are chosen anew: if \
                 other runs meet others, a person may write \"*.cdn.example.com:443\"",
            ],
        );
    }

    #[test]
    fn without_a_broker_a_peer_outside_asks_for_the_whole_network_and_what_the_run_listens_on_does_not() {
        let own = vec![
            Fact::Listen { endpoint: inet("127.0.0.1:9") },
            Fact::Listen { endpoint: Endpoint::Abstract("own".into()) },
            connect(inet("127.0.0.1:9"), Transport::Tcp, Outcome::Ok),
            connect(Endpoint::Abstract("own".into()), Transport::Unix, Outcome::Ok),
            connect(inet("192.0.2.1:53"), Transport::UdpProbe, Outcome::Ok),
            connect(inet("192.0.2.1:80"), Transport::Tcp, Outcome::Errno(111)),
            connect(Endpoint::Unix(AbsPath::new("/run/x").unwrap()), Transport::Unix, Outcome::Ok),
            connect(Endpoint::Netlink(0), Transport::Netlink, Outcome::Ok),
        ];
        give(&[trace(false, own)], &[]);
        let outside = (1..=6).map(|last| connect(inet(&format!("192.0.2.{last}:443")), Transport::Tcp, Outcome::Ok));
        let bus = connect(Endpoint::Abstract("/tmp/dbus".into()), Transport::Unix, Outcome::Ok);
        give(
            &[trace(false, outside.chain([bus]).collect())],
            &[
                "@host = { access = \"unconfined\", approved = false }",
                "note: it reached 192.0.2.1:443, 192.0.2.2:443, 192.0.2.3:443, 192.0.2.4:443, 192.0.2.5:443, …: that needs \
                 the host's whole network",
            ],
        );
    }

    #[test]
    fn runs_with_and_without_a_broker_come_together() {
        give(
            &[
                trace(true, vec![name("api.example.com:443", Outcome::Ok)]),
                trace(false, vec![connect(inet("192.0.2.1:443"), Transport::Tcp, Outcome::Ok)]),
            ],
            &[
                "@host = { access = \"unconfined\", approved = false }",
                "api.example.com:443 = \"connect\"",
                "note: it reached 192.0.2.1:443: that needs the host's whole network",
            ],
        );
    }
}
