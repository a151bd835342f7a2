//! Pairs of connections → bytes from each to the other, on a thread of their own: many bytes delay no call.
//!
//! An end of one is passed on as an end, an error as one: half-closed connections stay so. What the program says may be read on
//! the way ([`Inspector`]); if it is refused both ends are reset, and it is told.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::inspect::{Inspector, Odd};
use crate::sys::inet;

const ROOM: usize = 256 << 10;
/// Rooms that are moved in one direction before another connection gets its turn.
const AT_ONCE: usize = 4;

/// Two ends.
#[derive(Debug)]
pub(super) struct Pair {
    /// Whose relay it is, for what is told of it.
    pub(super) number: u64,
    pub(super) inside: TcpStream,
    pub(super) outside: TcpStream,
    /// Reads what comes from inside.
    pub(super) inspector: Option<Inspector>,
    /// The socket inside is to be used again.
    pub(super) again: bool,
}

/// What became of a pair.
#[derive(Debug)]
pub(super) enum Told {
    Refused(u64, Odd),
    Over(u64),
    /// A socket inside that is connected no longer.
    Free(OwnedFd),
}

#[derive(Debug, Default)]
struct State {
    new: Vec<Pair>,
    told: Vec<Told>,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// For the thread, and for the broker.
    come: EventFd,
    told: EventFd,
}

impl Shared {
    fn tell(&self, told: Told) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).told.push(told);
        self.told.write(1).ok();
    }
}

/// The relays of a run.
#[derive(Debug)]
pub(super) struct Pump {
    shared: Arc<Shared>,
    running: bool,
}

impl Pump {
    pub(super) fn new() -> Result<Self, Errno> {
        let event = || EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let shared = Shared { state: Mutex::default(), come: event()?, told: event()? };
        Ok(Self { shared: Arc::new(shared), running: false })
    }

    /// Readable when something is told.
    pub(super) fn ready(&self) -> impl AsFd + '_ {
        self.shared.told.as_fd()
    }

    pub(super) fn told(&self) -> Vec<Told> {
        // EAGAIN: there is nothing.
        self.shared.told.read().ok();
        std::mem::take(&mut self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).told)
    }

    /// Begins to move bytes. Without the thread both ends are closed.
    pub(super) fn start(&mut self, pair: Pair) {
        if !self.running {
            let Ok(epoll) = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC) else { return };
            if epoll.add(&self.shared.come, EpollEvent::new(EpollFlags::EPOLLIN, 0)).is_err() {
                return;
            }
            let shared = Arc::clone(&self.shared);
            let worker = Worker { shared, epoll, pairs: BTreeMap::new(), next: 1, room: vec![0; ROOM] };
            self.running = std::thread::Builder::new().name("relay".to_owned()).spawn(|| worker.work()).is_ok();
        }
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).new.push(pair);
        self.shared.come.write(1).ok();
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.come.write(1).ok();
    }
}

/// Closes a connection so that the other end hears of an error, not of an end.
pub(super) fn reset(stream: &TcpStream) {
    inet::set_bytes(stream, libc::SOL_SOCKET, libc::SO_LINGER, &[1, 0, 0, 0, 0, 0, 0, 0]).ok();
}

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    /// Read, and not written yet.
    held: Vec<u8>,
    ended: bool,
    passed_on: bool,
}

enum Moved {
    /// There may be more at once.
    More,
    Waits,
}

impl Direction {
    fn run(
        &mut self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        room: &mut [u8],
        inspector: Option<&mut Inspector>,
    ) -> Result<Moved, Option<Odd>> {
        let broken = |_| None;
        if self.held.is_empty() && !self.ended {
            let count = match from.read(room) {
                Ok(0) => {
                    self.ended = true;
                    0
                }
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(Moved::Waits),
                Err(_) => return Err(None),
            };
            let read = room.get(..count).unwrap_or_default();
            let inspected = inspector.map(|inspector| inspector.take(read)).transpose().map_err(Some)?;
            let bytes = inspected.as_deref().unwrap_or(read);
            let written = if bytes.is_empty() { 0 } else { put(&mut to, bytes).map_err(broken)? };
            self.held.extend(bytes.get(written..).unwrap_or_default());
        } else if !self.held.is_empty() {
            let written = put(&mut to, &self.held).map_err(broken)?;
            self.held.drain(..written);
        }
        if !self.held.is_empty() {
            return Ok(Moved::Waits);
        }
        if self.ended && !self.passed_on {
            self.passed_on = true;
            // ENOTCONN: it has ended by itself.
            to.shutdown(Shutdown::Write).ok();
        }
        Ok(if self.ended { Moved::Waits } else { Moved::More })
    }
}

fn put(to: &mut &TcpStream, bytes: &[u8]) -> std::io::Result<usize> {
    match to.write(bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}

/// A pair at work.
#[derive(Debug)]
struct Running {
    pair: Pair,
    /// From inside, and to it.
    up: Direction,
    down: Direction,
    /// What is waited for at either end.
    waits: [EpollFlags; 2],
}

impl Running {
    /// Moves what can be moved for now.
    fn turn(&mut self, room: &mut [u8]) -> Result<(), Option<Odd>> {
        let Pair { inside, outside, inspector, .. } = &mut self.pair;
        for _ in 0..AT_ONCE {
            if matches!(self.up.run(inside, outside, room, inspector.as_mut())?, Moved::Waits) {
                break;
            }
        }
        for _ in 0..AT_ONCE {
            if matches!(self.down.run(outside, inside, room, None)?, Moved::Waits) {
                break;
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.up.passed_on && self.down.passed_on
    }

    fn wants(&self) -> [EpollFlags; 2] {
        let of = |reads: &Direction, writes: &Direction| {
            let mut flags = EpollFlags::empty();
            flags.set(EpollFlags::EPOLLIN, reads.held.is_empty() && !reads.ended);
            flags.set(EpollFlags::EPOLLOUT, !writes.held.is_empty());
            flags
        };
        [of(&self.up, &self.down), of(&self.down, &self.up)]
    }
}

/// The thread.
struct Worker {
    shared: Arc<Shared>,
    epoll: Epoll,
    /// Both ends of a pair have its number, doubled.
    pairs: BTreeMap<u64, Running>,
    next: u64,
    room: Vec<u8>,
}

impl Worker {
    fn work(mut self) {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let count = self.epoll.wait(&mut events, EpollTimeout::NONE).unwrap_or(0);
            for event in events.iter().take(count) {
                match event.data() {
                    0 if !self.begin() => return,
                    0 => {}
                    data => self.turn(data / 2, event.events().contains(EpollFlags::EPOLLERR)),
                }
            }
        }
    }

    /// Takes what came; `false` at the end of the run.
    fn begin(&mut self) -> bool {
        self.shared.come.read().ok();
        let new = {
            let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.closed {
                return false;
            }
            std::mem::take(&mut state.new)
        };
        for pair in new {
            let nonblocking = pair.inside.set_nonblocking(true).is_ok() && pair.outside.set_nonblocking(true).is_ok();
            let number = self.next;
            let waits = [EpollFlags::EPOLLIN; 2];
            let added = [&pair.inside, &pair.outside].into_iter().zip(0..).all(|(end, side)| {
                self.epoll.add(end, EpollEvent::new(EpollFlags::EPOLLIN, number * 2 + side)).is_ok()
            });
            if !nonblocking || !added {
                self.shared.tell(Told::Over(pair.number));
                continue;
            }
            self.next += 1;
            self.pairs.insert(number, Running { pair, up: Direction::default(), down: Direction::default(), waits });
        }
        true
    }

    fn turn(&mut self, number: u64, broken: bool) {
        let Some(running) = self.pairs.get_mut(&number) else { return };
        let done = if broken { Err(None) } else { running.turn(&mut self.room) };
        match done {
            Ok(()) if running.is_over() => self.end(number, None),
            Ok(()) => self.wait(number),
            Err(why) => {
                reset(&running.pair.inside);
                reset(&running.pair.outside);
                self.end(number, why);
            }
        }
    }

    /// Waits for what is missing; an end at which there is nothing more to do would only say that it is closed.
    fn wait(&mut self, number: u64) {
        let Some(running) = self.pairs.get_mut(&number) else { return };
        let wants = running.wants();
        for ((end, side), (had, wanted)) in
            [&running.pair.inside, &running.pair.outside].into_iter().zip(0..).zip(running.waits.iter_mut().zip(wants))
        {
            if *had == wanted {
                continue;
            }
            let mut event = EpollEvent::new(wanted, number * 2 + side);
            let done = match (had.is_empty(), wanted.is_empty()) {
                (true, _) => self.epoll.add(end, event),
                (_, true) => self.epoll.delete(end),
                _ => self.epoll.modify(end, &mut event),
            };
            // A descriptor that is registered stays so while both are ours.
            done.ok();
            *had = wanted;
        }
    }

    fn end(&mut self, number: u64, why: Option<Odd>) {
        let Some(Running { pair, .. }) = self.pairs.remove(&number) else { return };
        self.epoll.delete(&pair.inside).ok();
        if let Some(odd) = why {
            self.shared.tell(Told::Refused(pair.number, odd));
        }
        self.shared.tell(Told::Over(pair.number));
        if pair.again {
            self.shared.tell(Told::Free(pair.inside.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::inspect::Expected;
    use super::*;

    /// A relay, and its two far ends.
    fn relay(pump: &mut Pump, inspector: Option<Inspector>) -> (TcpStream, TcpStream) {
        let pair = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            far.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
            (far, listener.accept().unwrap().0)
        };
        let ((client, inside), (server, outside)) = (pair(), pair());
        pump.start(Pair { number: 7, inside, outside, inspector, again: false });
        (client, server)
    }

    #[test]
    fn bytes_ends_and_large_amounts_pass_both_ways() {
        let mut pump = Pump::new().unwrap();
        let (mut client, mut server) = relay(&mut pump, None);
        let amount = 20 << 20;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                client.write_all(&vec![7; amount]).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            server.read_to_end(&mut got).unwrap();
            assert_eq!(got.len(), amount);
        });
        server.write_all(b"after the end").unwrap();
        drop(server);
        let mut got = String::new();
        client.read_to_string(&mut got).unwrap();
        assert_eq!(got, "after the end");
    }

    #[test]
    fn what_is_refused_reaches_nobody_and_is_told() {
        let mut pump = Pump::new().unwrap();
        let expected = Expected { host: "a.x".to_owned(), port: 80 };
        let (mut client, mut server) = relay(&mut pump, Some(Inspector::new(expected)));
        client.write_all(b"GET / HTTP/1.1\r\nHost: b.x\r\n\r\n").unwrap();
        let mut got = Vec::new();
        assert!(server.read_to_end(&mut got).is_err() && got.is_empty(), "it is reset");
        let mut told = Vec::new();
        while told.is_empty() {
            told = pump.told();
        }
        assert!(matches!(&told[0], Told::Refused(7, Odd::Host(host)) if host == "b.x"), "{told:?}");
    }
}
