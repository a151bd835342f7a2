//! Where a connection is to lead → the connection, made on threads of their own: through a proxy it takes several steps, of
//! which each may hang, and one that hangs delays no other.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::sys::inet;
use crate::vocab::escape;
use crate::vocab::proxy::Proxy;

use super::pool::{Pool, Size};

const SIZE: Size = Size {
    name: "outward",
    // The host's resolver keeps whole packets on the stack.
    stack: 256 << 10,
    threads: 1024,
    waiting: 8192,
};
/// For one address of a proxy, and for a tunnel in all.
const PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE_IN_ALL: Duration = Duration::from_secs(60);
/// As long as the kernel waits by itself (tcp_syn_retries, tcp(7)).
const PATIENCE_DIRECT: Duration = Duration::from_secs(127);
/// Longest head of an answer.
const LONGEST: usize = 16 << 10;

/// Where to.
#[derive(Debug, Clone)]
pub(super) enum Way {
    Direct(SocketAddr),
    /// By a tunnel to `host:port`.
    Proxy(Proxy, String),
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) errno: Errno,
    /// What a proxy answered, or did not.
    pub(super) said: Option<String>,
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let errno = error.raw_os_error().map_or_else(
            || if error.kind() == std::io::ErrorKind::TimedOut { Errno::ETIMEDOUT } else { Errno::ECONNRESET },
            Errno::from_raw,
        );
        // A read that lasts too long is told as one that would block.
        Self { errno: if errno == Errno::EAGAIN { Errno::ETIMEDOUT } else { errno }, said: None }
    }
}

pub(super) type Done = (u64, Result<TcpStream, Failure>);

/// The connections in the making.
#[derive(Debug)]
pub(super) struct Outward(Pool<(u64, Way), Done>);

impl Outward {
    pub(super) fn new() -> Result<Self, Errno> {
        Pool::new(SIZE, |(number, way)| (number, connect(&way))).map(Self)
    }

    /// Readable when one is there.
    pub(super) fn ready(&self) -> impl AsFd + '_ {
        self.0.ready()
    }

    /// Begins one; `false` where too many wait.
    pub(super) fn begin(&self, number: u64, way: Way) -> bool {
        self.0.begin((number, way))
    }

    /// Those that are made, or failed.
    pub(super) fn done(&self) -> Vec<Done> {
        self.0.done()
    }
}

fn connect(way: &Way) -> Result<TcpStream, Failure> {
    match way {
        Way::Direct(to) => TcpStream::connect_timeout(to, PATIENCE_DIRECT).map_err(Failure::from),
        Way::Proxy(proxy, to) => tunnel(proxy, to),
    }
}

/// A tunnel through `proxy` to `to` (RFC 9110 §9.3.6).
fn tunnel(proxy: &Proxy, to: &str) -> Result<TcpStream, Failure> {
    let end = Instant::now() + PATIENCE_IN_ALL;
    let unreachable =
        |failure: Failure| Failure { said: Some(format!("the proxy {proxy} cannot be reached")), ..failure };
    let mut stream = reach(proxy).map_err(unreachable)?;
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
    if let Some(authorization) = &proxy.authorization {
        request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
    }
    request.push_str("\r\n");
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let silent = |failure: Failure| Failure { said: Some(format!("the proxy {proxy} did not answer")), ..failure };
    let head = answer(&mut stream, end).map_err(silent)?;
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)?;
    judge(proxy, &head).map(|()| stream)
}

fn reach(proxy: &Proxy) -> Result<TcpStream, Failure> {
    let addresses: Vec<IpAddr> = match proxy.host.parse() {
        Ok(address) => vec![address],
        Err(_) => inet::resolve(&proxy.host).map_err(|_| Failure { errno: Errno::EHOSTUNREACH, said: None })?,
    };
    let mut last = Failure { errno: Errno::EHOSTUNREACH, said: None };
    for address in addresses {
        match TcpStream::connect_timeout(&SocketAddr::new(address, proxy.port), PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// The head of the answer, and not a byte behind it: that is the other end's.
fn answer(stream: &mut TcpStream, end: Instant) -> Result<Vec<u8>, Failure> {
    let mut head = Vec::new();
    let mut bytes = [0; 2048];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        }
        stream.set_read_timeout(Some(left))?;
        let count = stream.peek(&mut bytes)?;
        let before = head.len();
        head.extend(bytes.get(..count).unwrap_or_default());
        let found = head.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
        let taken = found.unwrap_or(head.len()).saturating_sub(before);
        stream.read_exact(bytes.get_mut(..taken).unwrap_or_default())?;
        match found {
            Some(length) => {
                head.truncate(length);
                return Ok(head);
            }
            None if count == 0 || head.len() > LONGEST => {
                return Err(Failure { errno: Errno::ECONNRESET, said: None });
            }
            None => {}
        }
    }
}

fn judge(proxy: &Proxy, head: &[u8]) -> Result<(), Failure> {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let code = line.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5));
    let errno = match code {
        Some([b'2', ..]) => return Ok(()),
        Some(b"504") => Errno::ETIMEDOUT,
        Some([b'5', ..]) => Errno::EHOSTUNREACH,
        // It will not, whatever is tried.
        _ => Errno::ECONNREFUSED,
    };
    let line = escape::file(line.get(..line.len().min(80)).unwrap_or_default());
    Err(Failure { errno, said: Some(format!("the proxy {proxy} answered `{line}`")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proxy that says `pieces` to whoever asks.
    fn says(pieces: &'static [&'static str]) -> (Proxy, std::thread::JoinHandle<String>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1000];
            let count = stream.read(&mut asked).unwrap();
            for piece in pieces {
                stream.write_all(piece.as_bytes()).unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
            String::from_utf8_lossy(&asked[..count]).into_owned()
        });
        (Proxy { host: "127.0.0.1".to_owned(), port, authorization: Some("Basic x".to_owned()) }, served)
    }

    #[test]
    fn a_tunnel_begins_right_behind_the_answer() {
        let (proxy, served) = says(&["HTTP/1.1 200 Conn", "ection established\r\nVia: x\r\n\r", "\nSSH-2.0-first\r\n"]);
        let mut stream = tunnel(&proxy, "a.x:22").unwrap();
        let mut first = String::new();
        stream.read_to_string(&mut first).unwrap();
        assert_eq!(first, "SSH-2.0-first\r\n");
        let asked = "CONNECT a.x:22 HTTP/1.1\r\nHost: a.x:22\r\nProxy-Authorization: Basic x\r\n\r\n";
        assert_eq!(served.join().unwrap(), asked);
    }

    #[test]
    fn what_a_proxy_refuses_is_told_in_its_words() {
        for (answer, errno) in [
            (&["HTTP/1.1 403 Forb\x1bidden\r\n\r\n"], Errno::ECONNREFUSED),
            (&["HTTP/1.0 502 Bad Gateway\r\n\r\n"], Errno::EHOSTUNREACH),
            (&["SSH-2.0-x\r\n\r\n"], Errno::ECONNREFUSED),
            (&["HTTP/1.1 200"], Errno::ECONNRESET),
        ] {
            let (proxy, served) = says(answer);
            let failure = tunnel(&proxy, "a.x:22").unwrap_err();
            assert_eq!(failure.errno, errno);
            let said = failure.said.unwrap();
            assert!(said.contains("the proxy 127.0.0.1:") && !said.contains('\x1b'), "{said}");
            served.join().unwrap();
        }
    }
}
