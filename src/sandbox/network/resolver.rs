//! The resolver inside: packets of its sockets → questions, and the answers back to whoever asked.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::dns::{self, Answer, Odd, Query};

/// Connections at one time, and for how long one may say nothing.
const MOST_STREAMS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(5);
/// Packets that are read before the calls get their turn again.
const AT_ONCE: usize = 64;
/// Longest query that makes sense: a name, and the extension.
const LONGEST: usize = 1024;

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    Datagram(SocketAddr),
    Stream(u64),
}

#[derive(Debug)]
struct Stream {
    socket: TcpStream,
    read: Vec<u8>,
    used: Instant,
}

/// The sockets of the resolver.
#[derive(Debug)]
pub(super) struct Resolver {
    udp: UdpSocket,
    tcp: TcpListener,
    streams: BTreeMap<u64, Stream>,
    next: u64,
}

impl Resolver {
    pub(super) fn new(udp: OwnedFd, tcp: OwnedFd) -> std::io::Result<Self> {
        let (udp, tcp) = (UdpSocket::from(udp), TcpListener::from(tcp));
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        Ok(Self { udp, tcp, streams: BTreeMap::new(), next: 0 })
    }

    /// A socket of the sandbox's network.
    pub(super) fn inside(&self) -> BorrowedFd<'_> {
        self.udp.as_fd()
    }

    /// The sockets to wait for: datagrams, connections.
    pub(super) fn waits_for(&self) -> [BorrowedFd<'_>; 2] {
        [self.udp.as_fd(), self.tcp.as_fd()]
    }

    /// Those connections to wait for.
    pub(super) fn streams(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        self.streams.iter().map(|(number, stream)| (*number, stream.socket.as_fd()))
    }

    /// Questions that came as datagrams.
    pub(super) fn datagrams(&mut self) -> Vec<(Asker, Query)> {
        let mut questions = Vec::new();
        let mut packet = [0; LONGEST];
        for _ in 0..AT_ONCE {
            let Ok((length, from)) = self.udp.recv_from(&mut packet) else { break };
            match dns::parse(packet.get(..length).unwrap_or_default()) {
                Ok(query) => questions.push((Asker::Datagram(from), query)),
                Err(Odd::Code(reply)) => drop(self.udp.send_to(&reply, from)),
                Err(Odd::Silent) => {}
            }
        }
        questions
    }

    /// Takes new connections; the number of each that was taken. Those that say nothing for long make room.
    pub(super) fn connections(&mut self) -> Vec<u64> {
        let mut taken = Vec::new();
        self.streams.retain(|_, stream| stream.used.elapsed() < PATIENCE);
        while let Ok((socket, _)) = self.tcp.accept() {
            if self.streams.len() >= MOST_STREAMS || socket.set_nonblocking(true).is_err() {
                continue;
            }
            self.next += 1;
            self.streams.insert(self.next, Stream { socket, read: Vec::new(), used: Instant::now() });
            taken.push(self.next);
        }
        taken
    }

    /// Questions that came by a connection.
    pub(super) fn stream(&mut self, number: u64) -> Vec<(Asker, Query)> {
        let mut questions = Vec::new();
        let Some(stream) = self.streams.get_mut(&number) else { return questions };
        let mut bytes = [0; LONGEST];
        stream.used = Instant::now();
        match stream.socket.read(&mut bytes) {
            Ok(0) => drop(self.streams.remove(&number)),
            Ok(length) => {
                stream.read.extend(bytes.get(..length).unwrap_or_default());
                while let Some((&[high, low], rest)) = stream.read.split_first_chunk::<2>() {
                    let length = usize::from(u16::from_be_bytes([high, low]));
                    if length > LONGEST {
                        self.streams.remove(&number);
                        return questions;
                    }
                    let Some(packet) = rest.get(..length) else { break };
                    match dns::parse(packet) {
                        Ok(query) => questions.push((Asker::Stream(number), query)),
                        Err(_) => {
                            self.streams.remove(&number);
                            return questions;
                        }
                    }
                    stream.read.drain(..length + 2);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => drop(self.streams.remove(&number)),
        }
        questions
    }

    pub(super) fn answer(&mut self, asker: Asker, query: &Query, answer: &Answer) {
        let bytes = query.answer(answer, matches!(asker, Asker::Datagram(_)));
        match asker {
            // Whoever does not read its answers does without.
            Asker::Datagram(to) => drop(self.udp.send_to(&bytes, to)),
            Asker::Stream(number) => {
                let Some(stream) = self.streams.get_mut(&number) else { return };
                let mut out = u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes().to_vec();
                out.extend(bytes);
                if stream.socket.write_all(&out).is_err() {
                    self.streams.remove(&number);
                }
            }
        }
    }
}
