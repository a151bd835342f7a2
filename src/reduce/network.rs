//! Peers → network lines. This version has no network or the host's whole one.

use std::collections::BTreeSet;

use crate::event::{Fact, Outcome, Transport};
use crate::profile::{NetAccess, NetGrant, Profile};
use crate::trace::Trace;
use crate::vocab::endpoint::{Endpoint, NetTarget};

pub(super) fn add(profile: &mut Profile, trace: &Trace) {
    // A connection to what the run itself listens on works in an empty namespace, too.
    let own: BTreeSet<u16> = trace
        .events
        .iter()
        .filter_map(|event| match &event.fact {
            Fact::Listen { endpoint: Endpoint::Inet(address) } => Some(address.port()),
            _ => None,
        })
        .collect();
    let outside = trace.events.iter().any(|event| match &event.fact {
        Fact::Connect { endpoint, transport, result } => match endpoint {
            // A refused or unreachable peer was asked for all the same: the program wants the network.
            Endpoint::Inet(address) => {
                let local = address.ip().is_loopback() && own.contains(&address.port());
                *transport != Transport::UdpProbe && !local
            }
            Endpoint::Abstract(_) => *result == Outcome::Ok,
            Endpoint::Unix(_) | Endpoint::Netlink(_) => false,
        },
        _ => false,
    });
    if outside {
        let grant = NetGrant { access: NetAccess::Unconfined, approved: false, reason: None };
        profile.network.insert(NetTarget::Host, grant);
    }
}
