//! Connections that do not lead out directly: through the host's proxy, through a relay that reads, and from the host to what
//! listens inside.
//!
//! A caller that waits gets, through a proxy, the tunnel in the place of its socket, as it would the connection. One that does
//! not wait cannot be given what is not there yet, and a relay keeps both ends: such a caller's own socket is connected inside
//! of the sandbox to the supervisor, who moves the bytes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;

use crate::sys::inet;

use super::super::denial::program;
use super::super::desk::{Call, Note};
use super::dial::{Dial, Socket, Within, within};
use super::inspect::{Expected, Inspector};
use super::outward::{Failure, Outward, Way};
use super::pump::{self, Pair, Pump, Told};
use super::{Broker, MOST_DIALS, Peer, refusals};

/// Connections of one run that are moved by the supervisor at one time.
const MOST_LEGS: usize = 8192;

/// Whether what the program says is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    Yes,
    No,
}

/// A connection on its way, or one that is relayed.
#[derive(Debug)]
struct Leg {
    peer: Peer,
    tid: i32,
    program: String,
    reads: Reads,
    /// Who waits for it.
    caller: Option<(Call, Socket)>,
    deadline: Option<Instant>,
    inside: Option<TcpStream>,
    outside: Option<Result<TcpStream, ()>>,
}

/// What of the broker is about them.
#[derive(Debug)]
pub(super) struct Legs {
    listener: TcpListener,
    at: SocketAddr,
    pub(super) outward: Outward,
    pub(super) pump: Pump,
    legs: BTreeMap<u64, Leg>,
    /// By where they come from inside.
    entered: BTreeMap<SocketAddr, u64>,
    next: u64,
    published: Vec<(u16, TcpListener)>,
    /// Sockets of the sandbox's network that are not connected.
    spare: Vec<OwnedFd>,
}

impl Legs {
    /// `listener` and `spare` are of the sandbox's network; `published` of the host's.
    pub(super) fn new(
        listener: OwnedFd,
        spare: Vec<OwnedFd>,
        published: Vec<(u16, TcpListener)>,
    ) -> Result<Self, Errno> {
        let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(0));
        let listener = TcpListener::from(listener);
        listener.set_nonblocking(true).map_err(errno)?;
        inet::listen(&listener, 4096)?;
        for (_, listener) in &published {
            listener.set_nonblocking(true).map_err(errno)?;
        }
        let at = listener.local_addr().map_err(errno)?;
        let (outward, pump) = (Outward::new()?, Pump::new()?);
        let (legs, entered) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { listener, at, outward, pump, legs, entered, next: 0, published, spare })
    }

    /// What programs of the sandbox are connected to.
    pub(super) fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// What programs of the host are connected to.
    pub(super) fn published(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.published.iter().map(|(_, listener)| listener.as_fd())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.legs.values().filter_map(|leg| leg.deadline).min()
    }

    pub(super) fn are_waited_for(&self) -> bool {
        self.legs.values().any(|leg| leg.caller.is_some())
    }

    /// Connects a socket of the sandbox to the supervisor.
    fn enter(&mut self, socket: &Socket, number: u64) -> Result<(), Errno> {
        if socket.domain == libc::AF_INET6 {
            inet::set_option(&socket.own, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0).ok();
        }
        match within(&socket.own, &inet::encode(self.at, socket.domain)) {
            Within::Failed(errno) => return Err(errno),
            Within::Done | Within::Connected | Within::Pending => {}
        }
        let from = inet::local_address(&socket.own)?;
        self.entered.insert(from, number);
        Ok(())
    }

    /// Begins to move bytes, once both ends are there.
    fn join(&mut self, number: u64) {
        let Some(leg) = self.legs.get_mut(&number) else { return };
        match (leg.inside.take(), leg.outside.take()) {
            (Some(inside), Some(Ok(outside))) => {
                let HostName { host, port } = HostName::of(&leg.peer);
                let inspector = (leg.reads == Reads::Yes).then(|| Inspector::new(Expected { host, port }));
                self.pump.start(Pair { number, inside, outside, inspector, again: false });
            }
            (Some(inside), Some(Err(()))) => {
                pump::reset(&inside);
                self.legs.remove(&number);
            }
            (inside, outside) => (leg.inside, leg.outside) = (inside, outside),
        }
    }
}

struct HostName {
    host: String,
    port: u16,
}

impl HostName {
    fn of(peer: &Peer) -> Self {
        Self { host: peer.line.host.clone(), port: peer.line.port }
    }
}

impl Broker {
    /// Connects a caller by a proxy, or a relay, or both.
    pub(super) fn lead(
        &mut self,
        call: Call,
        socket: Socket,
        way: Way,
        (peer, reads): (Peer, Reads),
        tell: &mut dyn FnMut(Note),
    ) {
        // A socket of the host, after a connection that failed, cannot be connected within the sandbox.
        if socket.is_free().is_err() || socket.namespace != Ok(self.inside) {
            return call.refuse(libc::EISCONN);
        }
        if self.legs.legs.len() >= MOST_LEGS || self.dials.len() >= MOST_DIALS {
            return call.refuse(libc::ENOBUFS);
        }
        self.legs.next += 1;
        let number = self.legs.next;
        let (tid, program) = (call.tid(), program(call.notification().pid));
        let deadline = socket.patience().map(|patience| Instant::now() + patience);
        let mut leg = Leg { peer, tid, program, reads, caller: None, deadline: None, inside: None, outside: None };
        let waits = socket.blocks();
        if !waits && let Err(errno) = self.legs.enter(&socket, number) {
            return call.refuse(errno as i32);
        }
        if !self.legs.outward.begin(number, way) {
            return call.refuse(libc::ENOBUFS);
        }
        if waits {
            (leg.caller, leg.deadline) = (Some((call, socket)), deadline);
        } else {
            self.told(tid, &leg.peer, Some(Errno::EINPROGRESS), tell);
            call.refuse(libc::EINPROGRESS);
        }
        self.legs.legs.insert(number, leg);
    }

    /// Connections outside that are made.
    pub(super) fn led(&mut self, tell: &mut dyn FnMut(Note)) {
        for (number, made) in self.legs.outward.done() {
            let Some(leg) = self.legs.legs.get_mut(&number) else { continue };
            leg.deadline = None;
            let caller = leg.caller.take();
            match made {
                Ok(outside) => self.led_to(number, outside, caller, tell),
                Err(Failure { errno, said }) => {
                    if let Some(said) = said {
                        tell(refusals::by_proxy(leg.tid, leg.program.clone(), &leg.peer.line, &said, errno));
                    }
                    match caller {
                        Some((call, _)) => {
                            let Some(leg) = self.legs.legs.remove(&number) else { continue };
                            self.told(leg.tid, &leg.peer, Some(errno), tell);
                            call.refuse(errno as i32);
                        }
                        None => {
                            leg.outside = Some(Err(()));
                            self.legs.join(number);
                        }
                    }
                }
            }
        }
    }

    fn led_to(&mut self, number: u64, outside: TcpStream, caller: Option<(Call, Socket)>, tell: &mut dyn FnMut(Note)) {
        let Some((call, socket)) = caller else {
            if let Some(leg) = self.legs.legs.get_mut(&number) {
                leg.outside = Some(Ok(outside));
            }
            return self.legs.join(number);
        };
        let Some(leg) = self.legs.legs.get(&number) else { return };
        let (tid, peer, reads) = (leg.tid, leg.peer.clone(), leg.reads);
        if reads == Reads::No {
            self.legs.legs.remove(&number);
            self.told(tid, &peer, None, tell);
            let dial = Dial::made(call, outside.into(), socket, &self.untouched);
            self.replacer.hand_over(dial, 0);
            return;
        }
        match self.legs.enter(&socket, number) {
            Err(errno) => {
                self.legs.legs.remove(&number);
                call.refuse(errno as i32);
            }
            Ok(()) => {
                if let Some(leg) = self.legs.legs.get_mut(&number) {
                    leg.outside = Some(Ok(outside));
                }
                self.told(tid, &peer, None, tell);
                call.answer(0);
                self.legs.join(number);
            }
        }
    }

    /// Programs of the sandbox that are connected to the supervisor.
    pub(super) fn entered(&mut self) {
        while let Ok((stream, from)) = self.legs.listener.accept() {
            let from = SocketAddr::new(from.ip().to_canonical(), from.port());
            // Nobody but the supervisor connects anybody to it.
            let Some(number) = self.legs.entered.remove(&from) else { continue };
            stream.set_nodelay(true).ok();
            if let Some(leg) = self.legs.legs.get_mut(&number) {
                leg.inside = Some(stream);
            }
            self.legs.join(number);
        }
    }

    /// What the relays tell.
    pub(super) fn moved(&mut self, tell: &mut dyn FnMut(Note)) {
        for told in self.legs.pump.told() {
            match told {
                Told::Refused(number, odd) => {
                    if let Some(leg) = self.legs.legs.get(&number) {
                        tell(refusals::relayed(leg.tid, leg.program.clone(), &leg.peer.line, &odd));
                    }
                }
                Told::Over(number) => drop(self.legs.legs.remove(&number)),
                Told::Free(socket) => {
                    // AF_UNSPEC takes the peer away (connect(2)).
                    if inet::connect(&socket, &[0; 16]).is_ok() {
                        self.legs.spare.push(socket);
                    }
                }
            }
        }
    }

    /// Programs of the host that want to reach what listens inside.
    pub(super) fn knocked(&mut self, index: usize) {
        loop {
            let Some((port, listener)) = self.legs.published.get(index) else { return };
            let Ok((outside, _)) = listener.accept() else { return };
            let port = *port;
            let inside = self.legs.spare.pop().and_then(|socket| {
                if connect_inside(&socket, port) {
                    return Some(socket);
                }
                self.legs.spare.push(socket);
                None
            });
            match inside {
                Some(inside) => {
                    let inside = TcpStream::from(inside);
                    outside.set_nodelay(true).ok();
                    inside.set_nodelay(true).ok();
                    self.legs.pump.start(Pair { number: 0, inside, outside, inspector: None, again: true });
                }
                // As it is where nobody listens, or more are there than can be.
                None => pump::reset(&outside),
            }
        }
    }

    /// Forgets those who are gone, and those who want to wait no longer.
    pub(super) fn sweep_legs(&mut self, now: Instant) {
        let over = self.legs.legs.iter().filter(|(_, leg)| match &leg.caller {
            Some((call, _)) => leg.deadline.is_some_and(|deadline| deadline <= now) || !call.waits(),
            None => false,
        });
        let over: Vec<u64> = over.map(|(number, _)| *number).collect();
        for number in over {
            let leg = self.legs.legs.remove(&number);
            if let Some((call, _)) = leg.and_then(|leg| leg.caller) {
                call.refuse(libc::EINPROGRESS);
            }
        }
    }
}

/// Connects a spare socket to what listens at `port` inside, at either loopback address.
fn connect_inside(socket: &OwnedFd, port: u16) -> bool {
    let domain = inet::option(socket, libc::SOL_SOCKET, libc::SO_DOMAIN).unwrap_or(libc::AF_INET);
    let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let v6 = (domain == libc::AF_INET6).then_some(IpAddr::V6(Ipv6Addr::LOCALHOST));
    let places = [Some(v4), v6].into_iter().flatten();
    places
        .map(|ip| within(socket, &inet::encode(SocketAddr::new(ip, port), domain)))
        .any(|done| matches!(done, Within::Done | Within::Connected | Within::Pending))
}
