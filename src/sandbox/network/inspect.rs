//! What a program says first on a relayed connection → whether it speaks to the server that its line names.
//!
//! Pure. Bytes are held until they are understood, and let go unchanged: of TLS the client's hello, and
//! another one if it is asked for, by their server name; in HTTP/1 each request after its head, by its target and `Host`. Whatever else is said is refused. What is said within
//! TLS is not read, a `Host` there among it.

use super::{http, tls};

/// Whom a connection is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// A name, or an address as a profile writes it.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Expected {
    /// Whether `text` (`name` or `name:port`) is this one.
    pub(super) fn is(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        let rest = text.strip_prefix(self.host.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix(':') == Some(self.port.to_string().as_str()))
    }

    pub(super) fn is_address(&self) -> bool {
        crate::vocab::endpoint::HostPort { host: self.host.clone(), port: self.port }.address().is_some()
    }
}

/// Why what was said is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Odd {
    /// TLS for another server.
    #[error("TLS for {0}")]
    ServerName(String),
    /// TLS without a server name.
    #[error("TLS without a server name")]
    NoServerName,
    /// Encrypted client hello (ECH).
    #[error("TLS with a hidden server name (ECH)")]
    Hidden,
    /// A request for another host.
    #[error("a request for {0}")]
    Host(String),
    /// A request that says not for whom, or says it twice.
    #[error("a request without one `Host`")]
    NoHost,
    /// A request for a tunnel.
    #[error("a request for a tunnel (CONNECT)")]
    Tunnel,
    /// Neither TLS nor HTTP/1, or either of them in a way that servers understand differently.
    #[error("neither TLS nor plain HTTP/1")]
    NotUnderstood,
}

/// What is held of a hello or of a head at most.
pub(super) const MOST_HELD: usize = 64 << 10;

/// The reader of one connection.
#[derive(Debug)]
pub struct Inspector {
    expected: Expected,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    Tls(tls::Client),
    Requests(http::Requests),
}

impl Inspector {
    /// For a connection to `expected`.
    pub fn new(expected: Expected) -> Self {
        Self { expected, state: State::Start }
    }

    /// Takes what the program said, and gives what may go on.
    ///
    /// # Errors
    ///
    /// Nothing of it, and nothing later, may go on.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Odd> {
        if let (State::Start, Some(first)) = (&self.state, bytes.first()) {
            self.state = match first {
                0x16 => State::Tls(tls::Client::default()),
                b'A'..=b'Z' => State::Requests(http::Requests::default()),
                _ => return Err(Odd::NotUnderstood),
            };
        }
        match &mut self.state {
            // Nothing was said.
            State::Start => Ok(Vec::new()),
            State::Requests(requests) => requests.take(bytes, &self.expected),
            State::Tls(client) => client.take(bytes, &self.expected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expected() -> Expected {
        Expected { host: "api.example.com".to_owned(), port: 80 }
    }

    fn took(text: &[u8]) -> Result<Vec<u8>, Odd> {
        Inspector::new(expected()).take(text)
    }

    #[test]
    fn a_name_is_itself_with_its_port_or_without_and_nothing_else() {
        for text in ["api.example.com", "API.Example.com:80"] {
            assert!(expected().is(text), "{text}");
        }
        for text in ["api.example.com:81", "api.example.com.", "api.example.comx", "x.api.example.com", "", ":80"] {
            assert!(!expected().is(text), "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused_at_its_first_byte() {
        for odd in [b"SSH-2.0-x\r\n\r\n".as_slice(), b"\x80\x2e\x01", b"\0", b"get / HTTP/1.1\r\n\r\n"] {
            assert_eq!(took(odd), Err(Odd::NotUnderstood));
        }
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        assert_eq!(took(preface), Err(Odd::NotUnderstood));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd_and_none_are_changed(
            first in prop::sample::select(vec![0x16_u8, b'G', b'P']),
            rest in prop::collection::vec(any::<u8>(), 0..300),
            cut in 0_usize..300,
        ) {
            let all = [vec![first], rest].concat();
            let (a, b) = all.split_at(cut.min(all.len()));
            let mut inspector = Inspector::new(expected());
            if let (Ok(x), Ok(y)) = (inspector.take(a), inspector.take(b)) {
                prop_assert!(all.starts_with(&[x, y].concat()));
            }
        }

        #[test]
        fn the_verdict_does_not_depend_on_how_bytes_are_cut(
            host in prop::sample::select(vec!["api.example.com", "api.example.com:80", "other.example.com"]),
            body in prop::collection::vec(any::<u8>(), 0..20),
            size in 1_usize..40,
        ) {
            let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n", body.len());
            let text = [head.as_bytes(), &body, b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"].concat();
            let mut inspector = Inspector::new(expected());
            let pieces: Result<Vec<Vec<u8>>, Odd> = text.chunks(size).map(|piece| inspector.take(piece)).collect();
            prop_assert_eq!(pieces.map(|pieces| pieces.concat()), took(&text));
            prop_assert_eq!(took(&text).is_ok(), host != "other.example.com");
        }
    }
}
