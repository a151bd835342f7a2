//! A connection of HTTP/1 → its requests, each for one host (RFC 9110, 9112).
//!
//! Pure, and stricter than servers are: where one request ends and the next begins must not be a matter of opinion. Lines end in
//! CR LF, a body has one length or is chunked without extensions and trailers, and there is one `Host`.

use super::inspect::{Expected, MOST_HELD, Odd};

/// Where in a request the connection is.
#[derive(Debug)]
enum At {
    Head,
    Body(u64),
    ChunkSize,
    /// The rest of a chunk, with the line end behind it.
    Chunk(u64),
    LastLine,
}

/// The requests of a connection.
#[derive(Debug)]
pub(super) struct Requests {
    at: At,
    held: Vec<u8>,
}

impl Default for Requests {
    fn default() -> Self {
        Self { at: At::Head, held: Vec::new() }
    }
}

/// What follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
}

impl Requests {
    /// Takes bytes of the client, and gives those that may go on.
    pub(super) fn take(&mut self, bytes: &[u8], expected: &Expected) -> Result<Vec<u8>, Odd> {
        let mut held = std::mem::take(&mut self.held);
        held.extend(bytes);
        let mut cleared = 0;
        while let Some(count) = self.step(held.get(cleared..).unwrap_or_default(), expected)? {
            cleared += count;
        }
        self.held = held.split_off(cleared);
        if matches!(self.at, At::Head | At::ChunkSize | At::LastLine) && self.held.len() > MOST_HELD {
            return Err(Odd::NotUnderstood);
        }
        Ok(held)
    }

    /// How many bytes at the start of `rest` are understood by one step; `None` where more must come.
    fn step(&mut self, rest: &[u8], expected: &Expected) -> Result<Option<usize>, Odd> {
        let line = |end: &[u8]| rest.windows(end.len()).position(|window| window == end).map(|at| at + end.len());
        if rest.is_empty() {
            return Ok(None);
        }
        let length = match self.at {
            At::Head => {
                let Some(length) = line(b"\r\n\r\n") else { return Ok(None) };
                self.at = match head(rest.get(..length - 4).unwrap_or_default(), expected)? {
                    Body::Length(0) => At::Head,
                    Body::Length(length) => At::Body(length),
                    Body::Chunked => At::ChunkSize,
                };
                length
            }
            At::Body(left) => {
                let taken = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - taken as u64;
                self.at = if left == 0 { At::Head } else { At::Body(left) };
                taken
            }
            At::ChunkSize => {
                let Some(length) = line(b"\r\n") else { return Ok(None) };
                let digits = rest.get(..length - 2).unwrap_or_default();
                let fine = (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
                let text = str::from_utf8(digits).ok().filter(|_| fine);
                let size = text.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or(Odd::NotUnderstood)?;
                self.at = if size == 0 { At::LastLine } else { At::Chunk(size + 2) };
                length
            }
            At::Chunk(left) => {
                let taken = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                // The two bytes behind the chunk end a line, or its end is a matter of opinion.
                let data = left.saturating_sub(2);
                for (at, byte) in rest.iter().enumerate().take(taken).skip(usize::try_from(data).unwrap_or(usize::MAX))
                {
                    let wanted = if at as u64 + 2 == left { b'\r' } else { b'\n' };
                    if *byte != wanted {
                        return Err(Odd::NotUnderstood);
                    }
                }
                let left = left - taken as u64;
                self.at = if left == 0 { At::ChunkSize } else { At::Chunk(left) };
                taken
            }
            At::LastLine => {
                let Some(end) = rest.first_chunk::<2>() else { return Ok(None) };
                if end != b"\r\n" {
                    return Err(Odd::NotUnderstood);
                }
                self.at = At::Head;
                2
            }
        };
        Ok(Some(length))
    }
}

/// One head, without the empty line at its end.
fn head(bytes: &[u8], expected: &Expected) -> Result<Body, Odd> {
    let text = str::from_utf8(bytes).map_err(|_| Odd::NotUnderstood)?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some(version @ ("HTTP/1.1" | "HTTP/1.0")), None) =
        (method, target, version, words.next())
    else {
        return Err(Odd::NotUnderstood);
    };
    if !is_token(method) || odd(target) {
        return Err(Odd::NotUnderstood);
    }
    if method.eq_ignore_ascii_case("CONNECT") {
        return Err(Odd::Tunnel);
    }
    for_expected(target, expected)?;
    let (mut hosts, mut lengths, mut encodings) = (Vec::new(), Vec::new(), Vec::new());
    let mut switches = false;
    for line in lines {
        let (name, value) = line.split_once(':').filter(|(name, _)| is_token(name)).ok_or(Odd::NotUnderstood)?;
        let value = value.trim_matches([' ', '\t']);
        if odd(value) {
            return Err(Odd::NotUnderstood);
        }
        match name.to_ascii_lowercase().as_str() {
            "host" => hosts.push(value),
            "content-length" => lengths.push(value),
            "transfer-encoding" => encodings.push(value),
            "upgrade" => switches = true,
            _ => {}
        }
    }
    match hosts.as_slice() {
        [host] if expected.is(host) => {}
        [host] => return Err(Odd::Host((*host).to_owned())),
        _ => return Err(Odd::NoHost),
    }
    let body = match (lengths.as_slice(), encodings.as_slice()) {
        ([], []) => Body::Length(0),
        // To what speaks 1.0 it is no body, but the next request.
        ([], [encoding]) if encoding.eq_ignore_ascii_case("chunked") && version == "HTTP/1.1" => Body::Chunked,
        ([length], []) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().map(Body::Length).map_err(|_| Odd::NotUnderstood)?
        }
        _ => return Err(Odd::NotUnderstood),
    };
    // Where the body ends and another protocol begins is a matter of opinion.
    if switches && body != Body::Length(0) { Err(Odd::NotUnderstood) } else { Ok(body) }
}

/// A target is a path, `*`, or a whole URL for the same host.
fn for_expected(target: &str, expected: &Expected) -> Result<(), Odd> {
    if target.starts_with('/') || target == "*" {
        return Ok(());
    }
    let (scheme, rest) = target.split_once("://").ok_or(Odd::NotUnderstood)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(Odd::NotUnderstood);
    }
    if expected.is(authority) { Ok(()) } else { Err(Odd::Host(authority.to_owned())) }
}

fn odd(text: &str) -> bool {
    text.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f)
}

fn is_token(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(text: &str) -> Result<usize, Odd> {
        let expected = Expected { host: "a.x".to_owned(), port: 80 };
        Requests::default().take(text.as_bytes(), &expected).map(|bytes| bytes.len())
    }

    #[test]
    fn requests_for_the_host_go_on_one_after_the_other() {
        for text in [
            "GET / HTTP/1.1\r\nHost: a.x\r\n\r\n",
            "GET http://a.x:80/b?c HTTP/1.1\r\nHost: A.x:80\r\nAccept: */*\r\n\r\n",
            "OPTIONS * HTTP/1.0\r\nhost:a.x\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a.x\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a.x\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a.x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a.x\r\n\r\n",
        ] {
            assert_eq!(took(text), Ok(text.len()), "{text}");
        }
        assert_eq!(took("GET / HTTP/1.1\r\nHost: b.x\r\n"), Ok(0), "held until it is whole");
    }

    #[test]
    fn another_host_is_found_wherever_it_is_said() {
        let other = Err(Odd::Host("b.x".to_owned()));
        assert_eq!(took("GET / HTTP/1.1\r\nHost: b.x\r\n\r\n"), other);
        assert_eq!(took("GET http://b.x/ HTTP/1.1\r\nHost: a.x\r\n\r\n"), other);
        assert_eq!(took("GET / HTTP/1.1\r\nHost: a.x\r\n\r\nGET / HTTP/1.1\r\nHost: b.x\r\n\r\n"), other);
        let behind = |first: &str| took(&format!("{first}GET / HTTP/1.1\r\nHost: b.x\r\n\r\n"));
        assert_eq!(behind("POST / HTTP/1.1\r\nHost: a.x\r\nContent-Length: 3\r\n\r\nabc"), other);
        assert_eq!(
            behind("POST / HTTP/1.1\r\nHost: a.x\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
            other
        );
        assert_eq!(took("CONNECT b.x:443 HTTP/1.1\r\nHost: a.x\r\n\r\n"), Err(Odd::Tunnel));
    }

    #[test]
    fn what_servers_understand_differently_is_refused() {
        for text in [
            "GET / HTTP/1.1\r\nHost: a.x\nHost: b.x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a.x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.x\r\n X: y\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a.x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.x\r\nContent-Length: +1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.x\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.x\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n",
            "GET / HTTP/1.1\r\nHost: a.x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n",
            "GET / HTTP/1.1\r\nHost: a.x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b.x\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a.x\r\n\r\n",
            "POST / HTTP/1.0\r\nHost: a.x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a.x\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc",
            "GET ftp://a.x/ HTTP/1.1\r\nHost: a.x\r\n\r\n",
        ] {
            assert_eq!(took(text), Err(Odd::NotUnderstood), "{text}");
        }
        assert_eq!(took("GET / HTTP/1.1\r\n\r\n"), Err(Odd::NoHost));
        assert_eq!(took("GET / HTTP/1.1\r\nHost: a.x\r\nHost: a.x\r\n\r\n"), Err(Odd::NoHost));
    }
}
