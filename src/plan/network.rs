//! The network lines of a profile → the policy of the broker, the calls that go through it, and what no run with a broker may
//! do to a socket.
//!
//! Invariant: while there is a broker, no call connects, binds or listens but by the supervisor, and no other call opens a
//! connection: TCP fast open, MPTCP, other protocols and io_uring are refused, whatever a profile lists.

use std::collections::BTreeSet;

use crate::profile::{NetAccess, NetGrant, Profile};
use crate::vocab::endpoint::{HostPort, HostPorts, LOCALHOST, NetTarget};
use crate::vocab::host::{FileKind, Host};
use crate::vocab::path::{AbsPath, follow};
use crate::vocab::proxy::{Proxies, Proxy, ProxyError, is_proxy_variable};
use crate::vocab::reach::RESOLVER;
use crate::vocab::syscall::Syscall;

use super::{Action, Condition, Desk, FilterSpec, MountStep, Network, Rule, Test, Width};

/// Who may be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Everybody may, and is told: a run that is learned.
    pub permissive: bool,
    /// Peers: exact names, patterns, address literals, `localhost`.
    pub peers: BTreeSet<HostPort>,
    /// The same with several ports.
    pub ranges: BTreeSet<HostPorts>,
    /// Those of the peers to whom the program's first words are read.
    pub relayed: BTreeSet<HostPort>,
    /// Ports inside that the host reaches by its loopback.
    pub published: BTreeSet<u16>,
    /// How the outside is reached.
    pub proxies: Result<Proxies, ProxyError>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            permissive: false,
            peers: BTreeSet::new(),
            ranges: BTreeSet::new(),
            relayed: BTreeSet::new(),
            published: BTreeSet::new(),
            proxies: Ok(Proxies::default()),
        }
    }
}

impl Policy {
    /// Each host and its ports, the first and the last.
    fn lines(&self) -> impl Iterator<Item = (&str, [u16; 2])> {
        let peers = self.peers.iter().map(|peer| (peer.host.as_str(), [peer.port; 2]));
        peers.chain(self.ranges.iter().map(|range| (range.host.as_str(), [range.first, range.last])))
    }

    /// Whether what is said to `name` at `port` must be for that name: no line allows it without.
    pub fn relays(&self, name: &str, port: u16) -> bool {
        let mut peers = self.peers.iter().filter(|peer| peer.port == port && names(&peer.host, name));
        let in_range = |range: &HostPorts| is_among(port, [range.first, range.last]) && names(&range.host, name);
        !self.permissive && peers.all(|peer| self.relayed.contains(peer)) && !self.ranges.iter().any(in_range)
    }

    /// The proxy by which `host` is reached.
    pub fn proxy(&self, host: &str) -> Option<&Proxy> {
        self.proxies.as_ref().ok().and_then(|proxies| proxies.to(host))
    }

    /// Whether `name` may be looked up.
    pub fn knows(&self, name: &str) -> bool {
        self.permissive || self.lines().any(|(host, _)| names(host, name))
    }

    /// Whether `name` may be connected to at `port`.
    pub fn allows(&self, name: &str, port: u16) -> bool {
        self.permissive || self.lines().any(|(host, ports)| is_among(port, ports) && names(host, name))
    }

    /// Whether a line for exactly this host and port is there: for an address, or for the machine itself.
    pub fn lists(&self, peer: &HostPort) -> bool {
        let in_range = |range: &HostPorts| range.host == peer.host && is_among(peer.port, [range.first, range.last]);
        self.peers.contains(peer) || self.ranges.iter().any(in_range)
    }

    /// Whether the machine's own `port` may be connected to.
    pub fn allows_localhost(&self, port: u16) -> bool {
        self.permissive || self.lists(&HostPort { host: LOCALHOST.to_owned(), port })
    }

    /// Where `name` is allowed by patterns alone, what of it the narrowest one leaves to the program's choice.
    pub fn beneath_pattern<'a>(&self, name: &'a str) -> Option<&'a str> {
        if self.permissive || self.lines().any(|(host, _)| host == name) {
            return None;
        }
        let patterns = self.lines().filter_map(|(host, _)| host.strip_prefix('*'));
        patterns.filter_map(|end| name.strip_suffix(end)).min_by_key(|beneath| beneath.len())
    }
}

/// What the approved lines come to. The host's network is all there is: beside it nothing else counts.
pub fn of<'a>(lines: impl Iterator<Item = (&'a NetTarget, &'a NetGrant)>, host: &Host) -> (Network, Option<Policy>) {
    let mut policy = Policy { proxies: host.proxies.clone(), ..Policy::default() };
    for (target, grant) in lines.filter(|(_, grant)| grant.approved) {
        match target {
            NetTarget::Host => return (Network::Host, None),
            NetTarget::Inside(port) => drop(policy.published.insert(*port)),
            NetTarget::Ports(range) => drop(policy.ranges.insert(range.clone())),
            NetTarget::Name(peer) => {
                policy.peers.insert(peer.clone());
                if grant.access == NetAccess::Relay {
                    policy.relayed.insert(peer.clone());
                }
            }
        }
    }
    if policy.lines().next().is_none() && policy.published.is_empty() {
        (Network::None, None)
    } else {
        (Network::Named, Some(policy))
    }
}

/// The variables of a run: a proxy of the host is the broker's to use, not the program's. By it every name would be reached,
/// and none be told.
pub fn environment(names: &BTreeSet<String>, network: Network) -> BTreeSet<String> {
    let kept = names.iter().filter(|name| network != Network::Named || !is_proxy_variable(name));
    kept.cloned().collect()
}

fn is_among(port: u16, [first, last]: [u16; 2]) -> bool {
    (first..=last).contains(&port)
}

fn names(host: &str, name: &str) -> bool {
    match host.strip_prefix('*') {
        Some(end) => name.len() > end.len() && name.ends_with(end),
        None => host == name,
    }
}

/// What a program that looks up names reads: our resolver, and nothing that knows names by itself.
pub fn texts(host: &Host) -> Vec<MountStep> {
    let texts = [
        ("/etc/resolv.conf", format!("nameserver {RESOLVER}\noptions timeout:15 attempts:2\n")),
        ("/etc/hosts", "127.0.0.1 localhost pinfold\n::1 localhost\n".to_owned()),
        ("/etc/nsswitch.conf", NSSWITCH.to_owned()),
    ];
    let texts = texts.into_iter().filter_map(|(place, text)| {
        let place = AbsPath::new(place).ok()?;
        // A link is left as it is: what it leads to is what is read.
        Some(MountStep::Text { target: really(host, place), text })
    });
    texts.collect()
}

const NSSWITCH: &str = "\
passwd: files
group: files
shadow: files
hosts: files dns
networks: files
protocols: files
services: files
ethers: files
rpc: files
";

/// Where a place leads by the links that were looked at.
fn really(host: &Host, mut place: AbsPath) -> AbsPath {
    // As many as the kernel follows.
    for _ in 0..40 {
        let Some(text) = host.look(&place).and_then(|seen| seen.link.clone()) else { break };
        let base = place.parent().unwrap_or_else(AbsPath::root);
        let Some(next) = follow(&base, &text) else { break };
        place = next;
    }
    place
}

/// Every place that must be looked at before [`texts`].
pub fn wanted_paths() -> Vec<AbsPath> {
    let places = [
        "/etc/resolv.conf",
        "/etc/hosts",
        "/etc/nsswitch.conf",
        "/run/systemd/resolve/stub-resolv.conf",
        "/run/systemd/resolve/resolv.conf",
        "/run/NetworkManager/resolv.conf",
        "/run/resolvconf/resolv.conf",
        "/var/run/nscd/socket",
        "/run/nscd/socket",
        "/run/systemd/resolve/io.systemd.Resolve",
    ];
    places.iter().filter_map(|place| AbsPath::new(*place).ok()).collect()
}

/// Sockets of those who would answer in the resolver's place, with addresses that mean nothing inside: hidden while learning,
/// where the host's tree is there.
pub fn other_resolvers(host: &Host) -> Vec<MountStep> {
    let sockets =
        wanted_paths().into_iter().filter(|place| host.look(place).is_some_and(|seen| seen.kind == FileKind::Socket));
    sockets.map(|target| MountStep::Cover { target }).collect()
}

/// The kinds of sockets by which a granted peer is looked up and connected to, and by which a program asks which families of
/// addresses there are: where it may make sockets, it may make these.
pub fn with_name_service(profile: &Profile) -> Profile {
    let mut profile = profile.clone();
    if let Some(socket) = Syscall::from_name("socket") {
        let kinds = ["inet stream", "inet datagram", "inet6 stream", "inet6 datagram", "netlink raw 0"];
        profile.syscalls.arguments.entry(socket).or_default().extend(kinds.map(str::to_owned));
    }
    profile
}

/// Calls that the broker carries out.
const MEDIATED: [&str; 3] = ["connect", "bind", "listen"];

/// The calls that the broker carries out.
pub fn mediated() -> Vec<Syscall> {
    MEDIATED.iter().filter_map(|name| Syscall::from_name(name)).collect()
}

/// Puts a broker into the filter of an enforced run. What is listed of the calls decides whether they are allowed at all.
pub fn enforce(spec: &mut FilterSpec) {
    for call in mediated() {
        if spec.calls.get(&call) == Some(&Action::Allow) {
            spec.calls.insert(call, Action::Mediate(Desk::Network));
        }
    }
    refuse(spec, Action::Report);
    for name in ["io_uring_setup", "io_uring_enter", "io_uring_register"] {
        if let Some(call) = Syscall::from_name(name) {
            spec.calls.insert(call, Action::Refuse(ENOSYS));
        }
    }
}

/// Puts a broker into the filter of a run that is learned.
pub fn learn(spec: &mut FilterSpec, token: u64) {
    refuse(spec, Action::TraceRefuse);
    super::observe::hand_over(spec, &mediated(), Desk::Network, token);
}

const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;
const EPERM: i32 = 1;
const EPROTONOSUPPORT: i32 = 93;
const EOPNOTSUPP: i32 = 95;
const EAFNOSUPPORT: i32 = 97;
const TCP_ULP: u64 = 31;
const MSG_FASTOPEN: u64 = 0x2000_0000;
const SOCKET_TYPE_MASK: u64 = 0xf;
const INET: [u64; 2] = [2, 10];
/// Families that a network namespace does not hold: vsock reaches the hypervisor from every namespace of older kernels.
const BEYOND: [u64; 1] = [40];

/// Options by which what is sent on a connected socket goes elsewhere than its peer (ip(7), ipv6(7), RFC 3542, RFC 8754), or by
/// another way than the machine's: source routes, and interfaces. The level and the number of each.
const STEERING: [(u64, u64); 11] = [
    // IP_OPTIONS, IP_UNICAST_IF
    (0, 4),
    (0, 50),
    // IPV6_2292PKTOPTIONS, IPV6_HOPOPTS, IPV6_RTHDRDSTOPTS, IPV6_RTHDR, IPV6_DSTOPTS, IPV6_UNICAST_IF, IPV6_NEXTHOP
    (41, 6),
    (41, 54),
    (41, 55),
    (41, 57),
    (41, 59),
    (41, 76),
    (41, 9),
    // SO_BINDTODEVICE, SO_BINDTOIFINDEX
    (1, 25),
    (1, 62),
];

/// What no list allows, before everything else.
fn refuse(spec: &mut FilterSpec, refuse: impl Fn(i32) -> Action) {
    let mut front: Vec<(&str, Vec<Condition>, i32)> = Vec::new();
    for name in ["socket", "socketpair"] {
        for domain in INET {
            // MPTCP is a stream too, and Go and curl fall back from this answer.
            let protocols = [0, 6, 17].map(|protocol| word(2, u64::from(u32::MAX), Test::NotEqual, protocol));
            let other = [vec![is(0, domain)], protocols.to_vec()].concat();
            let kinds = [1, 2].map(|kind| word(1, SOCKET_TYPE_MASK, Test::NotEqual, kind));
            front.push((name, [vec![is(0, domain)], kinds.to_vec()].concat(), EPERM));
            front.push((name, other, EPROTONOSUPPORT));
        }
        front.extend(BEYOND.map(|domain| (name, vec![is(0, domain)], EAFNOSUPPORT)));
    }
    // Another protocol on top of it, by which it would be connected as a socket of another family (SMC).
    let on_top = [word(1, u64::from(u32::MAX), Test::Equal, 6), word(2, u64::from(u32::MAX), Test::Equal, TCP_ULP)];
    front.push(("setsockopt", on_top.to_vec(), ENOENT));
    for (name, flags) in [("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)] {
        front.push((name, vec![word(flags, MSG_FASTOPEN, Test::Equal, MSG_FASTOPEN)], EOPNOTSUPP));
    }
    for (level, option) in STEERING {
        front.push(("setsockopt", vec![is(1, level), is(2, option)], EPERM));
    }
    for (name, conditions, errno) in front.into_iter().rev() {
        if let Some(call) = Syscall::from_name(name) {
            spec.rules.entry(call).or_default().insert(0, Rule { conditions, action: refuse(errno) });
        }
    }
}

fn is(argument: u8, value: u64) -> Condition {
    word(argument, u64::from(u32::MAX), Test::Equal, value)
}

fn word(argument: u8, mask: u64, test: Test, value: u64) -> Condition {
    Condition { argument, width: Width::Word, mask, value, test }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(lines: &[&str]) -> Policy {
        let lines = lines.iter().map(|line| {
            let (line, access) = line.split_once(' ').unwrap_or((line, "connect"));
            let access = NetAccess::ALL.into_iter().find(|known| known.as_str() == access).unwrap();
            (line.parse().unwrap(), NetGrant { access, approved: true, reason: None })
        });
        let lines: Vec<(NetTarget, NetGrant)> = lines.collect();
        let host = super::super::mounts::tests::host(&[]);
        of(lines.iter().map(|(target, grant)| (target, grant)), &host).1.unwrap()
    }

    #[test]
    fn a_pattern_is_for_what_lies_below_and_a_name_for_itself_alone() {
        let policy = policy(&["*.example.com:443", "example.org:80"]);
        assert!(policy.allows("a.example.com", 443) && policy.allows("a.b.example.com", 443));
        assert!(!policy.allows("example.com", 443) && !policy.allows("badexample.com", 443));
        assert!(!policy.allows(".example.com", 443) || !crate::vocab::endpoint::is_host_name(".example.com"));
        assert!(!policy.allows("a.example.com", 80) && !policy.allows("a.example.org", 80));
        assert!(policy.allows("example.org", 80) && policy.knows("example.org") && !policy.knows("example.net"));
        assert!(!policy.allows_localhost(80));
        assert_eq!(policy.beneath_pattern("a.b.example.com"), Some("a.b"));
        assert_eq!((policy.beneath_pattern("example.org"), policy.beneath_pattern("example.net")), (None, None));
    }

    #[test]
    fn a_name_is_relayed_where_no_line_allows_it_without() {
        let policy = policy(&["a.x:1 relay", "*.y.z:1 relay", "b.y.z:1", "@inside:3000 publish"]);
        assert!(policy.relays("a.x", 1) && policy.relays("a.y.z", 1) && !policy.relays("b.y.z", 1));
        assert!(policy.allows("a.x", 1) && policy.published == BTreeSet::from([3000]));
    }

    #[test]
    fn a_proxy_is_told_to_no_program_whose_connections_are_made_for_it() {
        let names = ["https_proxy", "HTTP_PROXY", "no_proxy", "HOME"].map(str::to_owned).into();
        assert_eq!(environment(&names, Network::Named), BTreeSet::from(["HOME".to_owned()]));
        assert_eq!(environment(&names, Network::Host), names);
    }

    #[test]
    fn a_range_is_for_each_of_its_ports_and_for_no_other() {
        let policy = policy(&["localhost:3000-3002", "10.0.0.1:5-6", "*.example.com:80-81"]);
        let localhost: Vec<u16> = (2990..3010).filter(|port| policy.allows_localhost(*port)).collect();
        assert_eq!(localhost, [3000, 3001, 3002]);
        assert!(policy.lists(&"10.0.0.1:6".parse().unwrap()) && !policy.lists(&"10.0.0.1:7".parse().unwrap()));
        assert!(policy.allows("a.example.com", 81) && !policy.allows("a.example.com", 82));
        assert!(policy.knows("a.example.com") && policy.beneath_pattern("a.example.com") == Some("a"));
    }

    #[test]
    fn nothing_opens_a_connection_but_the_supervisor() {
        let mut spec = super::super::observe::filter(false);
        learn(&mut spec, 5);
        let first = |name: &str| &spec.rules[&Syscall::from_name(name).unwrap()][0];
        assert_eq!(first("sendmsg").action, Action::TraceRefuse(EOPNOTSUPP));
        assert_eq!(first("setsockopt").action, Action::TraceRefuse(ENOENT));
        for name in MEDIATED {
            let rules = &spec.rules[&Syscall::from_name(name).unwrap()];
            assert!(rules.iter().any(|rule| rule.action == Action::Mediate(Desk::Network)), "{name}");
        }
    }
}
