//! Peers: the host's whole network holds every peer, a pattern the names that it matches.

use crate::profile::emit::quote;
use crate::profile::{NetAccess, Profile};
use crate::vocab::endpoint::NetTarget;

use super::codes::{Code, Fill};
use super::{Found, Piece, Said, Subject};

pub(super) fn compare(old: &Profile, new: &Profile, found: &mut Found) {
    // A line without the relay allows more than one with it.
    let granted = |profile: &'_ Profile, target: &NetTarget, access: NetAccess| {
        let mut approved = profile.network.iter().filter(|(_, grant)| grant.approved && grant.access >= access);
        approved.any(|(wide, _)| covers(wide, target))
    };
    for (target, grant) in &new.network {
        if granted(old, target, grant.access) {
            continue;
        }
        let waited = old.network.contains_key(target);
        let name = target.to_string();
        // This machine's own services, private networks and patterns ask for a person's word, and are worth a look for that.
        let least = if target.needs_approval() { 3 } else { 2 };
        let risk = Some(widened(target).row().risk.first().copied().unwrap_or(4).max(least));
        if grant.approved {
            found.add(widened(target), Said { risk, ..said(target, &name) });
        } else if !waited && !granted(new, target, grant.access) {
            found.add(Code::NetworkWaits, Said { risk, ..said(target, &name) });
        }
    }
    for (target, grant) in old.network.iter().filter(|(_, grant)| grant.approved) {
        if !granted(new, target, grant.access) {
            found.add(Code::NetworkWithdrawn, Said { line: String::new(), ..said(target, &target.to_string()) });
        }
    }
}

fn widened(target: &NetTarget) -> Code {
    match target {
        NetTarget::Host => Code::NetworkUnconfined,
        NetTarget::Name(peer) if peer.host.starts_with("*.") => Code::HostsReached,
        NetTarget::Name(_) => Code::HostReached,
        NetTarget::Inside(_) => Code::Published,
    }
}

fn said<'a>(target: &NetTarget, name: &'a str) -> Said<'a> {
    let fill = Fill { name, new: vec![Piece::Name(name.to_owned())], ..Fill::default() };
    Said { fill, subject: Some(Subject::Peer(target.clone())), line: quote(name), ..Said::default() }
}

/// Whether everything that `narrow` allows is allowed by `wide`.
pub(super) fn covers(wide: &NetTarget, narrow: &NetTarget) -> bool {
    match (wide, narrow) {
        (NetTarget::Host, _) => true,
        (NetTarget::Name(wide), NetTarget::Name(narrow)) => {
            wide.port == narrow.port && matches(&wide.host, &narrow.host)
        }
        (NetTarget::Inside(wide), NetTarget::Inside(narrow)) => wide == narrow,
        (NetTarget::Name(_) | NetTarget::Inside(_), _) => false,
    }
}

/// `*.example.com` matches every name below that zone, and every narrower pattern; not the zone itself.
fn matches(pattern: &str, name: &str) -> bool {
    pattern == name
        || pattern.strip_prefix("*.").is_some_and(|zone| {
            let below = name.strip_suffix(zone).and_then(|rest| rest.strip_suffix('.'));
            below.is_some_and(|labels| !labels.is_empty())
        })
}
