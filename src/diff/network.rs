//! Peers: the host's whole network holds every peer, a pattern the names that it matches.

use std::collections::BTreeMap;

use crate::profile::emit::quote;
use crate::profile::{NetAccess, Profile};
use crate::vocab::endpoint::{HostPort, HostPorts, NetTarget, hosts_over};

use super::codes::{Code, Fill};
use super::{Found, Piece, Said, Subject};

pub(super) fn compare(old: &Profile, new: &Profile, found: &mut Found) {
    let (before, after) = (Reached::by(old), Reached::by(new));
    for (target, grant) in &new.network {
        let gained = before.lacks(target, grant.access);
        if gained.is_empty() {
            continue;
        }
        // This machine's own services, private networks and patterns ask for a person's word, and are worth a look for that.
        let least = if target.needs_approval() { 3 } else { 2 };
        let risk = Some(widened(target).row().risk.first().copied().unwrap_or(4).max(least));
        if grant.approved {
            for part in gained {
                found.add(widened(target), Said { risk, ..said(target, &part.to_string()) });
            }
        } else if !old.network.contains_key(target) && !after.lacks(target, grant.access).is_empty() {
            found.add(Code::NetworkWaits, Said { risk, ..said(target, &target.to_string()) });
        }
    }
    for (target, grant) in old.network.iter().filter(|(_, grant)| grant.approved) {
        for part in after.lacks(target, grant.access) {
            found.add(Code::NetworkWithdrawn, Said { line: String::new(), ..said(target, &part.to_string()) });
        }
    }
}

fn widened(target: &NetTarget) -> Code {
    match target {
        NetTarget::Host => Code::NetworkUnconfined,
        NetTarget::Inside(_) => Code::Published,
        NetTarget::Name(_) | NetTarget::Ports(_) => match target.host_and_ports() {
            Some((host, _)) if host.starts_with("*.") => Code::HostsReached,
            _ => Code::HostReached,
        },
    }
}

fn said<'a>(target: &NetTarget, name: &'a str) -> Said<'a> {
    let fill = Fill { name, new: vec![Piece::Name(name.to_owned())], ..Fill::default() };
    Said { fill, subject: Some(Subject::Peer(target.clone())), line: quote(&target.to_string()), ..Said::default() }
}

/// What the approved lines of a profile reach.
struct Reached<'a> {
    profile: &'a Profile,
    everything: bool,
    /// Of each host or pattern the first and the last ports, and how: a line without the relay allows more than one with it.
    ports: BTreeMap<&'a str, Vec<([u16; 2], NetAccess)>>,
}

impl<'a> Reached<'a> {
    fn by(profile: &'a Profile) -> Self {
        let mut reached = Self { profile, everything: false, ports: BTreeMap::new() };
        for (target, grant) in profile.network.iter().filter(|(_, grant)| grant.approved) {
            reached.everything |= *target == NetTarget::Host;
            if let Some((host, ports)) = target.host_and_ports() {
                reached.ports.entry(host).or_default().push((ports, grant.access));
            }
        }
        reached
    }

    /// The parts of `target` that are not reached in this way.
    fn lacks(&self, target: &NetTarget, access: NetAccess) -> Vec<NetTarget> {
        if self.everything || self.profile.network.get(target).is_some_and(|own| own.approved && own.access >= access) {
            return Vec::new();
        }
        let Some((host, [first, last])) = target.host_and_ports() else { return vec![target.clone()] };
        let own = self.ports.get(host).into_iter().flatten();
        let wider: Vec<String> = hosts_over(host).collect();
        let wider = wider.iter().filter_map(|pattern| self.ports.get(pattern.as_str())).flatten();
        let known = own.chain(wider).filter(|(_, how)| *how >= access).map(|(ports, _)| *ports);
        let mut known: Vec<[u16; 2]> = known.collect();
        known.sort_unstable();
        let mut lacking = Vec::new();
        // One beyond the last port is no port.
        let (mut next, end) = (u32::from(first), u32::from(last) + 1);
        for [from, to] in known {
            if next < u32::from(from).min(end) {
                lacking.push((next, u32::from(from).min(end)));
            }
            next = next.max(u32::from(to) + 1);
        }
        if next < end {
            lacking.push((next, end));
        }
        lacking.into_iter().filter_map(|(from, end)| part(host, from, end - 1)).collect()
    }
}

/// Ports in a row of a host.
fn part(host: &str, first: u32, last: u32) -> Option<NetTarget> {
    let (host, first, last) = (host.to_owned(), u16::try_from(first).ok()?, u16::try_from(last).ok()?);
    Some(if first == last {
        NetTarget::Name(HostPort { host, port: first })
    } else {
        NetTarget::Ports(HostPorts { host, first, last })
    })
}
