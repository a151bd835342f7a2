//! `connect`, `bind` and `listen` of the sandbox → what the supervisor does for them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;

use crate::event::{Fact, Outcome, Report, Transport};
use crate::plan::Desk;
use crate::sys::inet;
use crate::vocab::endpoint::{Endpoint, HostPort, LOCALHOST};
use crate::vocab::proxy::Proxy;
use crate::vocab::reach::{RESOLVER, Reach, is_stand_in, reach};
use crate::vocab::syscall::Syscall;

use super::super::desk::{Call, Note};
use super::dial::{Dial, Progress, Socket, Within, within};
use super::legs::Reads;
use super::outward::Way;
use super::{Broker, Peer, What, refusals};

/// `sizeof(struct sockaddr_storage)`
const LONGEST: usize = 128;

/// An address as a caller passed it.
struct Passed {
    bytes: Vec<u8>,
    family: i32,
}

impl Passed {
    /// Reads it once: what is looked at is what is used.
    fn read(call: &Call) -> Result<Self, Errno> {
        let length = usize::try_from(call.int(2)).ok().filter(|length| (2..=LONGEST).contains(length));
        let mut bytes = vec![0; length.ok_or(Errno::EINVAL)?];
        call.read(call.argument(1), &mut bytes)?;
        let family = bytes.first_chunk::<2>().map_or(0, |family| u16::from_ne_bytes(*family));
        Ok(Self { bytes, family: i32::from(family) })
    }

    /// Where it leads, if it is an internet address.
    fn inet(&self) -> Option<SocketAddr> {
        let port = u16::from_be_bytes(*self.bytes.get(2..)?.first_chunk::<2>()?);
        let ip = match self.family {
            libc::AF_INET => IpAddr::V4(Ipv4Addr::from(*self.bytes.get(4..)?.first_chunk::<4>()?)),
            libc::AF_INET6 => IpAddr::V6(Ipv6Addr::from(*self.bytes.get(8..)?.first_chunk::<16>()?)).to_canonical(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }
}

/// The kernel's answer to whoever asks.
fn answer(call: Call, done: Result<(), Errno>) {
    match done {
        Ok(()) => call.answer(0),
        Err(errno) => call.refuse(errno as i32),
    }
}

/// Datagrams for a resolver other than ours are named: the program will wait for an answer, or look elsewhere.
fn datagram(call: &Call, socket: &Socket, passed: &Passed, tell: &mut dyn FnMut(Note)) {
    let outward = passed.inet().filter(|to| !to.ip().is_loopback() && !is_stand_in(to.ip()));
    if let Some(to) = outward.filter(|to| socket.kind == libc::SOCK_DGRAM && to.port() == 53) {
        tell(refusals::other_resolver(call, to));
    }
}

impl Broker {
    pub(super) fn call(&mut self, call: Call, tell: &mut dyn FnMut(Note)) -> Option<(Call, Desk)> {
        let number = u64::try_from(call.notification().number).ok();
        match number.and_then(Syscall::from_number).map_or("", Syscall::name) {
            "connect" => self.connect(call, tell),
            "bind" => return self.bind(call),
            "listen" => self.listen(call),
            _ => call.refuse(libc::EPERM),
        }
        None
    }

    fn socket(&mut self, call: &Call) -> Result<Socket, Errno> {
        Socket::of(call, &mut self.replacer.tasks)
    }

    fn connect(&mut self, call: Call, tell: &mut dyn FnMut(Note)) {
        let (passed, socket) = match Passed::read(&call).and_then(|passed| Ok((passed, self.socket(&call)?))) {
            Ok(both) => both,
            Err(errno) => return call.refuse(errno as i32),
        };
        if !socket.is_inet() && socket.namespace != Ok(self.outside) {
            // Files decide about sockets in the file system, and abstract names are of this network. If it is another socket
            // or address by the time that the kernel looks, Landlock refuses what is neither.
            return call.go_on();
        }
        match socket.namespace {
            Ok(namespace) if namespace == self.inside => {}
            Ok(namespace) if namespace == self.outside => return self.again(call, socket, &passed, tell),
            // Of a network that the command made for itself: there is no way out of it.
            Ok(_) => return self.inside(call, socket, &passed),
            Err(_) => return call.refuse(libc::EPERM),
        }
        let Some(to) = passed.inet().filter(|_| socket.kind == libc::SOCK_STREAM) else {
            // Taking the peer away, and datagrams: they reach nobody but the resolver and what is inside.
            datagram(&call, &socket, &passed, tell);
            return self.inside(call, socket, &passed);
        };
        if to.ip().is_loopback() || to.ip().is_unspecified() {
            return self.loopback(call, socket, &passed, to, tell);
        }
        if to == SocketAddr::new(RESOLVER.into(), 53) {
            return self.inside(call, socket, &passed);
        }
        if is_stand_in(to.ip()) {
            return self.by_name(call, socket, to, tell);
        }
        self.by_address(call, socket, to, tell);
    }

    /// A socket of the host, which was handed over before: what a program asks that looks whether its connection is made, or
    /// that tries another address after one that failed. It is never connected itself.
    fn again(&mut self, call: Call, socket: Socket, passed: &Passed, tell: &mut dyn FnMut(Note)) {
        let to = passed.inet().filter(|to| !to.ip().is_loopback() && !to.ip().is_unspecified());
        match (socket.progress(), to) {
            (Progress::Connecting, _) => call.refuse(libc::EALREADY),
            (Progress::Failed(errno), _) => call.refuse(errno as i32),
            (Progress::Idle, Some(to)) if is_stand_in(to.ip()) => self.by_name(call, socket, to, tell),
            (Progress::Idle, Some(to)) => self.by_address(call, socket, to, tell),
            (Progress::Idle | Progress::Connected, _) => call.refuse(libc::EISCONN),
        }
    }

    /// A call within the sandbox's network, made for the caller on the very socket that was looked at.
    fn inside(&mut self, call: Call, socket: Socket, passed: &Passed) {
        let done = within(&socket.own, &passed.bytes);
        self.conclude(call, socket, done);
    }

    fn conclude(&mut self, call: Call, socket: Socket, done: Within) {
        match done {
            Within::Failed(errno) => call.refuse(errno as i32),
            Within::Done => call.answer(0),
            Within::Connected if socket.blocks() => call.answer(0),
            Within::Pending if socket.blocks() => self.wait(What::Within(call, socket)),
            // What a program that does not block hears of every connection, and asks again.
            Within::Connected | Within::Pending => call.refuse(libc::EINPROGRESS),
        }
    }

    /// What listens inside comes first; the machine's own is reached only where nothing does.
    fn loopback(&mut self, call: Call, socket: Socket, passed: &Passed, to: SocketAddr, tell: &mut dyn FnMut(Note)) {
        let done = within(&socket.own, &passed.bytes);
        if done != Within::Failed(Errno::ECONNREFUSED) {
            return self.conclude(call, socket, done);
        }
        let line = HostPort { host: LOCALHOST.to_owned(), port: to.port() };
        if !self.policy.allows_localhost(to.port()) {
            if refusals::is_listened_on(to.port()) {
                tell(refusals::peer(&call, &line, libc::ECONNREFUSED));
            }
            return call.refuse(libc::ECONNREFUSED);
        }
        // Of all of 127/8 the host's servers are at its first address, mostly.
        let ip = match to.ip() {
            IpAddr::V4(v4) if !v4.is_unspecified() => IpAddr::V4(v4),
            IpAddr::V6(v6) if v6.is_loopback() => IpAddr::V6(v6),
            _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        self.dial(call, socket, SocketAddr::new(ip, to.port()), Peer { line, inward: None }, tell);
    }

    fn by_name(&mut self, call: Call, socket: Socket, to: SocketAddr, tell: &mut dyn FnMut(Note)) {
        let Some((name, outside)) = self.names.behind(to.ip()) else {
            // Nobody was told of this address.
            return call.refuse(libc::ECONNREFUSED);
        };
        let line = HostPort { host: name.to_owned(), port: to.port() };
        if !self.policy.allows(name, to.port()) {
            tell(refusals::peer(&call, &line, libc::ECONNREFUSED));
            return call.refuse(libc::ECONNREFUSED);
        }
        if let Some(proxy) = self.policy.proxy(name) {
            if self.is_proxy(&line) {
                tell(refusals::proxy_itself(&call, &line));
                return call.refuse(libc::ECONNREFUSED);
            }
            return self.by_proxy(call, socket, proxy.clone(), line, tell);
        }
        let Some(outside) = outside else { return call.refuse(libc::EHOSTUNREACH) };
        let outside = SocketAddr::new(outside, to.port());
        let inward = match self.leads(outside.ip()) {
            Reach::Public => None,
            Reach::Never => {
                tell(refusals::never(&call, &line, outside));
                return call.refuse(libc::ECONNREFUSED);
            }
            Reach::Own | Reach::Private => Some(HostPort::of_address(outside.ip(), outside.port())),
        };
        if let Some(inward) = inward.as_ref().filter(|inward| !self.policy.permissive && !self.policy.lists(inward)) {
            tell(refusals::rebound(&call, &line, inward));
            return call.refuse(libc::ECONNREFUSED);
        }
        self.dial(call, socket, outside, Peer { line, inward }, tell);
    }

    fn by_address(&mut self, call: Call, socket: Socket, to: SocketAddr, tell: &mut dyn FnMut(Note)) {
        let line = HostPort::of_address(to.ip(), to.port());
        let listed = self.policy.lists(&line);
        if self.leads(to.ip()) == Reach::Never && !listed {
            tell(refusals::never(&call, &line, to));
            return call.refuse(libc::ENETUNREACH);
        }
        if !self.policy.permissive && !listed || to.port() == 0 {
            tell(refusals::peer(&call, &line, libc::ENETUNREACH));
            return call.refuse(libc::ENETUNREACH);
        }
        if let Some(proxy) = self.policy.proxy(&line.host).filter(|_| !self.is_proxy(&line)) {
            return self.by_proxy(call, socket, proxy.clone(), line, tell);
        }
        self.dial(call, socket, to, Peer { line, inward: None }, tell);
    }

    fn by_proxy(&mut self, call: Call, socket: Socket, proxy: Proxy, line: HostPort, tell: &mut dyn FnMut(Note)) {
        let to = line.to_string();
        let reads = self.reads(&line);
        self.lead(call, socket, Way::Proxy(proxy, to), (Peer { line, inward: None }, reads), tell);
    }

    fn reads(&self, line: &HostPort) -> Reads {
        if self.policy.relays(&line.host, line.port) { Reads::Yes } else { Reads::No }
    }

    /// Whether it is the host's proxy, which a run that is learned is not let to: by it every name would be reached, and none
    /// be told.
    fn is_proxy(&self, line: &HostPort) -> bool {
        let proxy = self.policy.proxies.as_ref().ok().and_then(|proxies| proxies.proxy());
        let proxy = proxy.filter(|proxy| self.policy.permissive && proxy.port == line.port);
        proxy.is_some_and(|proxy| {
            let own = proxy.host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
            let host = if own { LOCALHOST } else { &proxy.host };
            host == line.host || proxy.host == line.host.trim_matches(['[', ']'])
        })
    }

    /// Where an address leads on this machine.
    fn leads(&self, address: IpAddr) -> Reach {
        let by_number = reach(address);
        if by_number < Reach::Own && self.own.contains(&address.to_canonical()) { Reach::Own } else { by_number }
    }

    fn dial(&mut self, call: Call, socket: Socket, to: SocketAddr, peer: Peer, tell: &mut dyn FnMut(Note)) {
        // It may be connected already, to something inside.
        if let Err(errno) = socket.is_free() {
            return call.refuse(errno as i32);
        }
        if self.is_proxy(&peer.line) {
            tell(refusals::proxy_itself(&call, &peer.line));
            return call.refuse(libc::ECONNREFUSED);
        }
        if self.reads(&peer.line) == Reads::Yes {
            return self.lead(call, socket, Way::Direct(to), (peer, Reads::Yes), tell);
        }
        let dial = match Dial::start(call, socket, to, &self.untouched) {
            Ok(dial) => dial,
            Err((call, errno)) => {
                self.told(call.tid(), &peer, Some(errno), tell);
                return call.refuse(errno as i32);
            }
        };
        if !dial.blocks() {
            self.told(dial.call.tid(), &peer, Some(Errno::EINPROGRESS), tell);
            return self.replacer.hand_over(dial, libc::EINPROGRESS);
        }
        match dial.result_by_now() {
            Some(result) => self.made(dial, &peer, result, tell),
            None => self.wait(What::Dial(dial, peer)),
        }
    }

    /// Tells whoever records what was connected to. Before the caller goes on.
    pub(super) fn told(&self, tid: i32, peer: &Peer, errno: Option<Errno>, tell: &mut dyn FnMut(Note)) {
        if !self.policy.permissive {
            return;
        }
        let result = errno.map_or(Outcome::Ok, |errno| Outcome::Errno(errno as i32));
        for line in [Some(&peer.line), peer.inward.as_ref()].into_iter().flatten() {
            let fact = Fact::Connect { endpoint: Endpoint::Name(line.clone()), transport: Transport::Tcp, result };
            tell(Note::Fact(Report { tid, fact }));
        }
    }

    /// Makes the call on a socket of the sandbox's own network; a socket with a name in the file system is another desk's, and
    /// other kinds are left to the kernel.
    fn bind(&mut self, call: Call) -> Option<(Call, Desk)> {
        let socket = match self.socket(&call) {
            Ok(socket) => socket,
            Err(errno) => {
                call.refuse(errno as i32);
                return None;
            }
        };
        if socket.namespace == Ok(self.outside) || socket.namespace.is_err() {
            call.refuse(libc::EINVAL);
        } else if socket.domain == libc::AF_UNIX {
            return Some((call, Desk::Paths));
        } else if !socket.is_inet() {
            call.go_on();
        } else {
            let done = Passed::read(&call).and_then(|passed| inet::bind(&socket.own, &passed.bytes));
            answer(call, done);
        }
        None
    }

    fn listen(&mut self, call: Call) {
        let socket = match self.socket(&call) {
            Ok(socket) => socket,
            Err(errno) => return call.refuse(errno as i32),
        };
        // A socket of another kind, too, and on the very one that was looked at: Landlock does not hold back this call.
        if socket.namespace == Ok(self.outside) || socket.namespace.is_err() {
            return call.refuse(libc::EINVAL);
        }
        let done = inet::listen(&socket.own, call.int(1));
        answer(call, done);
    }
}
