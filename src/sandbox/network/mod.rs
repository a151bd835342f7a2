//! The network broker: names that a profile grants → connections that the supervisor makes.
//!
//! ```text
//!  look-up ──▶ resolver inside ──▶ policy ──▶ host's resolver      answer: addresses that stand for the name
//!  connect ──▶ filter ──▶ desk ──▶ policy ──▶ dial outside ──▶ the new socket in the place of the old one
//! ```
//!
//! The sandbox has an empty network of its own. Invariants: the caller's address is read once, and what was read is what is
//! used; no internet `connect`, `bind` or `listen` is ever made by the caller itself; a socket of the host's network, known by
//! the cookie of its namespace, is never connected, bound or listened on again; an address outside is checked by where it
//! leads, whatever name it came from. Landlock stands behind: it refuses the caller every TCP connect and bind of its own.

mod budget;
mod calls;
mod dial;
pub mod dns;
mod http;
pub mod inspect;
mod legs;
mod lookups;
mod names;
mod options;
mod outward;
mod pool;
mod pump;
mod refusals;
mod replace;
mod resolver;
mod tls;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::plan::Desk;
use crate::plan::network::Policy;
use crate::sys::inet::{self, Unresolved};

use super::desk::{Call, Handler, Note};
use super::error::{StartError, Step};
use budget::Budget;
use dial::{Dial, Socket};
use dns::{Answer, Kind, Query};
use legs::Legs;
use lookups::Lookups;
use names::{Names, Resolved};
use options::Untouched;
use replace::Replacer;
use resolver::{Asker, Resolver};

/// Connections in the making at one time: each holds a thread of the sandbox, and two descriptors here.
const MOST_DIALS: usize = 8192;
/// Names that are looked up in a run at all.
const MOST_NAMES_ASKED: usize = 32_768;
/// Questions for one name that wait for its answer.
const MOST_ASKING: usize = 1024;
/// Refused names of which it is found out who asked.
const MOST_SEARCHES: u32 = 64;
/// Between two looks whether those who wait are still there.
const SWEEP: Duration = Duration::from_secs(1);

/// What an event is about.
const DATAGRAMS: u64 = 0;
const CONNECTIONS: u64 = 1;
const ANSWERS: u64 = 2;
const ENTERED: u64 = 3;
const LED: u64 = 4;
const MOVED: u64 = 5;
const PUBLISHED: u64 = 1 << 61;
const STREAM: u64 = 1 << 62;
const DIAL: u64 = 1 << 63;

/// Peers of a connection, in words of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Peer {
    /// As the profile names it.
    line: crate::vocab::endpoint::HostPort,
    /// As an address, where it needs a line by its address as well: it leads inward.
    inward: Option<crate::vocab::endpoint::HostPort>,
}

/// A caller that waits for a connection.
#[derive(Debug)]
struct Waiting {
    what: What,
    deadline: Option<Instant>,
}

#[derive(Debug)]
enum What {
    /// To the outside.
    Dial(Dial, Peer),
    /// Within the sandbox's network, on its own socket.
    Within(Call, Socket),
}

impl What {
    fn parts(&self) -> (&Call, &OwnedFd, &Socket) {
        match self {
            Self::Dial(dial, _) => (&dial.call, &dial.socket, &dial.old),
            Self::Within(call, socket) => (call, &socket.own, socket),
        }
    }

    fn refuse(self, errno: i32) {
        match self {
            Self::Dial(Dial { call, .. }, _) | Self::Within(call, _) => call.refuse(errno),
        }
    }
}

/// The broker of a run.
#[derive(Debug)]
pub(super) struct Broker {
    policy: Policy,
    /// A process of the sandbox.
    init: i32,
    /// How many who asked for a name may still be looked for: that takes a while.
    searches: u32,
    /// Cookies of the sandbox's network and of the host's.
    inside: u64,
    outside: u64,
    /// Addresses of this machine.
    own: Vec<IpAddr>,
    epoll: Epoll,
    resolver: Resolver,
    lookups: Lookups,
    names: Names,
    asking: BTreeMap<String, Vec<(Asker, Query)>>,
    budget: Budget,
    dials: BTreeMap<u64, Waiting>,
    next: u64,
    swept: Instant,
    replacer: Replacer,
    untouched: Untouched,
    legs: Legs,
}

impl Broker {
    /// A broker for the sandbox in whose network these sockets are: [`super::child`] makes them.
    pub(super) fn new(policy: Policy, init: i32, sockets: Vec<OwnedFd>) -> Result<Self, StartError> {
        if let Err(error) = &policy.proxies {
            return Err(StartError::Proxy(error.clone()));
        }
        let published = policy.published.iter().flat_map(|port| publish(*port)).collect::<Result<Vec<_>, _>>()?;
        Self::with(policy, init, sockets, published).map_err(|errno| StartError::kernel(Step::Broker, errno))
    }

    fn with(
        policy: Policy,
        init: i32,
        sockets: Vec<OwnedFd>,
        published: Vec<(u16, TcpListener)>,
    ) -> Result<Self, Errno> {
        let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(0));
        let mut sockets = sockets.into_iter();
        let mut next = || sockets.next().ok_or(Errno::EBADF);
        let (udp, tcp, relay, fresh) = (next()?, next()?, next()?, next()?);
        let untouched = Untouched::of(&fresh);
        crate::sys::process::raise_descriptor_limit();
        let resolver = Resolver::new(udp, tcp).map_err(errno)?;
        let legs = Legs::new(relay, sockets.collect(), published)?;
        let inside = inet::namespace_cookie(resolver.inside())?;
        let outside = inet::namespace_cookie(inet::tcp(libc::AF_INET)?)?;
        if inside == outside {
            return Err(Errno::EINVAL);
        }
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let lookups = Lookups::new()?;
        let readable = |data| EpollEvent::new(EpollFlags::EPOLLIN, data);
        for (socket, data) in resolver.waits_for().into_iter().zip([DATAGRAMS, CONNECTIONS]) {
            epoll.add(socket, readable(data))?;
        }
        epoll.add(lookups.ready(), readable(ANSWERS))?;
        epoll.add(legs.listener(), readable(ENTERED))?;
        epoll.add(legs.outward.ready(), readable(LED))?;
        epoll.add(legs.pump.ready(), readable(MOVED))?;
        for (listener, index) in legs.published().zip(0..) {
            epoll.add(listener, readable(PUBLISHED | index))?;
        }
        Ok(Self {
            policy,
            init,
            searches: MOST_SEARCHES,
            inside,
            outside,
            own: inet::own_addresses(),
            epoll,
            resolver,
            lookups,
            names: Names::default(),
            asking: BTreeMap::new(),
            budget: Budget::default(),
            dials: BTreeMap::new(),
            next: 0,
            swept: Instant::now(),
            replacer: Replacer::new()?,
            untouched,
            legs,
        })
    }

    fn event(&mut self, data: u64, tell: &mut dyn FnMut(Note)) {
        match data {
            DATAGRAMS => {
                for (asker, query) in self.resolver.datagrams() {
                    self.asked(asker, query, tell);
                }
            }
            CONNECTIONS => {
                for number in self.resolver.connections() {
                    let stream = self.resolver.streams().find(|(found, _)| *found == number);
                    if let Some((_, socket)) = stream {
                        self.epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, STREAM | number)).ok();
                    }
                }
            }
            ANSWERS => {
                for (name, found) in self.lookups.answers() {
                    self.names.learn(&name, found.map(Into::into));
                    for (asker, query) in self.asking.remove(&name).unwrap_or_default() {
                        self.reply(asker, &query, &name);
                    }
                }
            }
            ENTERED => self.entered(),
            LED => self.led(tell),
            MOVED => self.moved(tell),
            dial if dial & DIAL != 0 => self.dialled(dial & !DIAL, tell),
            knock if knock & PUBLISHED != 0 => self.knocked(usize::try_from(knock & !PUBLISHED).unwrap_or(usize::MAX)),
            stream => {
                for (asker, query) in self.resolver.stream(stream & !STREAM) {
                    self.asked(asker, query, tell);
                }
            }
        }
    }

    /// A question: answered at once where that is possible.
    fn asked(&mut self, asker: Asker, query: Query, tell: &mut dyn FnMut(Note)) {
        let Some(name) = query.name.clone() else {
            return self.resolver.answer(asker, &query, &Answer::Absent);
        };
        if name == "localhost" || name.ends_with(".localhost") {
            let own: IpAddr =
                if query.kind == Kind::Aaaa { IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]) } else { [127, 0, 0, 1].into() };
            let addresses = if query.kind == Kind::Other { Vec::new() } else { vec![own] };
            return self.resolver.answer(asker, &query, &Answer::Addresses(addresses));
        }
        if !self.policy.knows(&name) {
            let from = match asker {
                Asker::Datagram(from) if self.searches > 0 => Some(from),
                Asker::Datagram(_) | Asker::Stream(_) => None,
            };
            self.searches = self.searches.saturating_sub(1);
            tell(refusals::name(self.init, from, &name));
            return self.resolver.answer(asker, &query, &Answer::Absent);
        }
        if self.names.fresh(&name).is_some() {
            return self.reply(asker, &query, &name);
        }
        if self.names.count() >= MOST_NAMES_ASKED {
            return self.resolver.answer(asker, &query, &Answer::Failed);
        }
        if let Some(beneath) = self.policy.beneath_pattern(&name)
            && let Err(why) = self.budget.take(beneath, Instant::now())
        {
            tell(refusals::too_telling(&name, why));
            return self.resolver.answer(asker, &query, &Answer::Failed);
        }
        if self.policy.proxy(&name).is_some() {
            // Where it leads is the proxy's affair, and who is behind one knows mostly no names outside.
            self.names.learn(&name, Ok([Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()].into()));
            return self.reply(asker, &query, &name);
        }
        let asking = self.asking.entry(name.clone()).or_default();
        if asking.len() >= MOST_ASKING {
            return self.resolver.answer(asker, &query, &Answer::Failed);
        }
        asking.push((asker, query));
        if asking.len() == 1 && !self.lookups.ask(&name) {
            self.names.learn(&name, Err(Unresolved::Silent));
            for (asker, query) in self.asking.remove(&name).unwrap_or_default() {
                self.reply(asker, &query, &name);
            }
        }
    }

    fn reply(&mut self, asker: Asker, query: &Query, name: &str) {
        let resolved: Option<&Resolved> = self.names.fresh(name);
        let answer = match resolved {
            Some(Ok(_)) => match query.kind {
                Kind::A => self.names.stand_ins(name, false),
                Kind::Aaaa => self.names.stand_ins(name, true),
                Kind::Other => Some(Vec::new()),
            }
            .map_or(Answer::Failed, Answer::Addresses),
            Some(Err(Unresolved::Absent)) => Answer::Absent,
            Some(Err(Unresolved::Silent)) | None => Answer::Failed,
        };
        self.resolver.answer(asker, query, &answer);
    }

    /// Begins to wait for a connection on behalf of a caller that waits for it.
    fn wait(&mut self, what: What) {
        self.next += 1;
        let event = EpollEvent::new(EpollFlags::EPOLLOUT, DIAL | self.next);
        let (_, socket, old) = what.parts();
        let deadline = old.patience().map(|patience| Instant::now() + patience);
        if self.dials.len() >= MOST_DIALS || self.epoll.add(socket, event).is_err() {
            return what.refuse(libc::ENOBUFS);
        }
        self.dials.insert(self.next, Waiting { what, deadline });
    }

    fn dialled(&mut self, number: u64, tell: &mut dyn FnMut(Note)) {
        let Some(Waiting { what, .. }) = self.dials.remove(&number) else { return };
        self.epoll.delete(what.parts().1).ok();
        match what {
            What::Dial(dial, peer) => {
                let result = dial.result();
                self.made(dial, &peer, result, tell);
            }
            What::Within(call, socket) => match inet::option(&socket.own, libc::SOL_SOCKET, libc::SO_ERROR) {
                Ok(0) => call.answer(0),
                Ok(errno) => call.refuse(errno),
                Err(errno) => call.refuse(errno as i32),
            },
        }
    }

    /// Answers a caller whose connection came to something.
    fn made(&mut self, dial: Dial, peer: &Peer, result: Result<(), Errno>, tell: &mut dyn FnMut(Note)) {
        self.told(dial.call.tid(), peer, result.err(), tell);
        match result {
            Ok(()) => self.replacer.hand_over(dial, 0),
            Err(errno) => dial.call.refuse(errno as i32),
        }
    }

    /// Forgets those who are gone, and those who want to wait no longer.
    fn sweep(&mut self) {
        let now = Instant::now();
        let late = |waiting: &Waiting| waiting.deadline.is_some_and(|deadline| deadline <= now);
        let leg_is_late = self.legs.deadline().is_some_and(|deadline| deadline <= now);
        if now.duration_since(self.swept) < SWEEP && !self.dials.values().any(late) && !leg_is_late {
            return;
        }
        self.swept = now;
        self.sweep_legs(now);
        let over = self.dials.iter().filter(|(_, waiting)| late(waiting) || !waiting.what.parts().0.waits());
        let over: Vec<u64> = over.map(|(number, _)| *number).collect();
        for number in over {
            let Some(Waiting { what, .. }) = self.dials.remove(&number) else { continue };
            self.epoll.delete(what.parts().1).ok();
            // As of a send that timed out (socket(7)); who is gone hears nothing.
            what.refuse(libc::EINPROGRESS);
        }
    }
}

/// The places of the host's loopback by which `port` inside is reached. One without IPv6 does without the second.
fn publish(port: u16) -> Vec<Result<(u16, TcpListener), StartError>> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|source| StartError::Publish { port, source });
    let second = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok();
    [Some(first), second.map(Ok)].into_iter().flatten().map(|made| made.map(|listener| (port, listener))).collect()
}

impl Handler for Broker {
    fn take(&mut self, call: Call, tell: &mut dyn FnMut(Note)) -> Option<(Call, Desk)> {
        self.call(call, tell)
    }

    fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        Some(self.epoll.0.as_fd())
    }

    fn deadline(&self) -> Option<Instant> {
        let sweep = (!self.dials.is_empty() || self.legs.are_waited_for()).then(|| self.swept + SWEEP);
        let dials = self.dials.values().filter_map(|waiting| waiting.deadline);
        dials.chain(sweep).chain(self.legs.deadline()).min()
    }

    fn turn(&mut self, tell: &mut dyn FnMut(Note)) {
        let mut events = [EpollEvent::empty(); 64];
        let count = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        for event in events.into_iter().take(count) {
            self.event(event.data(), tell);
        }
        self.sweep();
    }
}
