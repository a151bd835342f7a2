//! The first records of a TLS client → the server that it asks for (RFC 8446 §4.1.2, RFC 6066 §3).
//!
//! Pure, and strict: what two readers could understand differently is refused.

use super::inspect::{Expected, Odd};

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// RFC 8446 §5.1
const LONGEST_RECORD: usize = 1 << 14;
const SERVER_NAME: u16 = 0;
const ENCRYPTED_HELLO: u16 = 0xfe0d;

/// Whether the client's hello at the start of `bytes` is for `expected`; `false` while it is not whole.
pub(super) fn is_for(bytes: &[u8], expected: &Expected) -> Result<bool, Odd> {
    let Some(hello) = hello(bytes)? else { return Ok(false) };
    let name = server_name(&hello)?;
    match name {
        Some(name) if !expected.is_address() && name.eq_ignore_ascii_case(&expected.host) => Ok(true),
        Some(name) => Err(Odd::ServerName(name)),
        None if expected.is_address() => Ok(true),
        None => Err(Odd::NoServerName),
    }
}

/// The body of the hello, out of as many records as it lies in; it ends where the last of them does.
fn hello(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, Odd> {
    let mut message = Vec::new();
    loop {
        let Some((&[kind, major, _, high, low], rest)) = bytes.split_first_chunk::<5>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != HANDSHAKE || major != 3 || length == 0 || length > LONGEST_RECORD {
            return Err(Odd::NotUnderstood);
        }
        let Some(record) = rest.get(..length) else { return Ok(None) };
        message.extend(record);
        bytes = rest.get(length..).unwrap_or_default();
        let Some((&[kind, a, b, c], body)) = message.split_first_chunk::<4>() else { continue };
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if kind != CLIENT_HELLO || length > super::inspect::MOST_HELD || body.len() > length {
            return Err(Odd::NotUnderstood);
        }
        if body.len() == length {
            return Ok(Some(body.to_vec()));
        }
    }
}

/// A reader of what lies in lengths.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Odd> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Odd::NotUnderstood)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<usize, Odd> {
        Ok(self.bytes(1)?.first().copied().map_or(0, usize::from))
    }

    fn word(&mut self) -> Result<u16, Odd> {
        self.bytes(2)?.first_chunk::<2>().map(|word| u16::from_be_bytes(*word)).ok_or(Odd::NotUnderstood)
    }

    /// What lies behind its length of two bytes.
    fn part(&mut self) -> Result<Self, Odd> {
        let length = usize::from(self.word()?);
        self.bytes(length).map(Reader)
    }
}

fn server_name(hello: &[u8]) -> Result<Option<String>, Odd> {
    let mut hello = Reader(hello);
    // Version and random, session, ciphers, compression.
    hello.bytes(34)?;
    let session = hello.byte()?;
    hello.bytes(session)?;
    hello.part()?;
    let compression = hello.byte()?;
    hello.bytes(compression)?;
    if hello.0.is_empty() {
        return Ok(None);
    }
    let mut extensions = hello.part()?;
    let mut name = None;
    if !hello.0.is_empty() {
        return Err(Odd::NotUnderstood);
    }
    while !extensions.0.is_empty() {
        let kind = extensions.word()?;
        let mut body = extensions.part()?;
        match kind {
            ENCRYPTED_HELLO => return Err(Odd::Hidden),
            SERVER_NAME => {
                let mut list = body.part()?;
                let (sort, text) = (list.byte()?, list.part()?.0);
                let text = str::from_utf8(text).map_err(|_| Odd::NotUnderstood)?;
                if sort != 0 || !list.0.is_empty() || !body.0.is_empty() || name.is_some() {
                    return Err(Odd::NotUnderstood);
                }
                name = Some(text.to_owned());
            }
            _ => {}
        }
    }
    Ok(name)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn part(bytes: &[u8]) -> Vec<u8> {
        [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }

    fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
        [kind.to_be_bytes().to_vec(), part(body)].concat()
    }

    fn name(text: &str) -> Vec<u8> {
        extension(SERVER_NAME, &part(&[vec![0], part(text.as_bytes())].concat()))
    }

    /// A hello with these extensions, in records of at most `size`.
    fn client(extensions: &[Vec<u8>], size: usize) -> Vec<u8> {
        let body = [vec![3; 34], vec![0], part(&[0x13, 1]), vec![1, 0], part(&extensions.concat())].concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let message = [&[CLIENT_HELLO], &length[1..], &body].concat();
        message.chunks(size).flat_map(|piece| [vec![HANDSHAKE, 3, 1], part(piece)].concat()).collect()
    }

    fn expected(host: &str) -> Expected {
        Expected { host: host.to_owned(), port: 443 }
    }

    fn asked(extensions: &[Vec<u8>]) -> Result<bool, Odd> {
        is_for(&client(extensions, 10_000), &expected("api.example.com"))
    }

    #[test]
    fn a_hello_is_for_the_name_that_it_says_whole_or_in_pieces() {
        let other = extension(16, b"\0\x03\x02h2");
        assert_eq!(asked(&[other.clone(), name("API.example.com")]), Ok(true));
        assert_eq!(asked(&[name("other.example.com")]), Err(Odd::ServerName("other.example.com".to_owned())));
        assert_eq!(asked(&[name("api.example.com.")]), Err(Odd::ServerName("api.example.com.".to_owned())));
        assert_eq!(asked(&[other]), Err(Odd::NoServerName));
        let pieces = client(&[name("api.example.com")], 7);
        for length in 0..pieces.len() {
            assert_eq!(is_for(&pieces[..length], &expected("api.example.com")), Ok(false), "{length}");
        }
        assert_eq!(is_for(&pieces, &expected("api.example.com")), Ok(true));
        assert!(is_for(&pieces, &expected("other.example.com")).is_err());
    }

    #[test]
    fn an_address_has_no_server_name() {
        assert_eq!(is_for(&client(&[], 999), &expected("192.0.2.1")), Ok(true));
        assert!(is_for(&client(&[name("192.0.2.1")], 999), &expected("192.0.2.1")).is_err());
    }

    #[test]
    fn what_hides_a_name_or_says_two_is_refused() {
        assert_eq!(asked(&[name("api.example.com"), extension(ENCRYPTED_HELLO, b"")]), Err(Odd::Hidden));
        assert_eq!(asked(&[name("api.example.com"), name("api.example.com")]), Err(Odd::NotUnderstood));
        let two = part(&[vec![0], part(b"api.example.com"), vec![0], part(b"other.example.com")].concat());
        assert_eq!(asked(&[extension(SERVER_NAME, &two)]), Err(Odd::NotUnderstood));
        let mut more = client(&[name("api.example.com")], 9999);
        more.extend([HANDSHAKE, 3, 1, 0, 1, 1]);
        assert_eq!(is_for(&more, &expected("api.example.com")), Ok(true), "what follows is within TLS");
        let mut inner = client(&[name("api.example.com")], 9999);
        let length = inner.len();
        inner[4] += 1;
        inner.push(0);
        assert_eq!(inner.len(), length + 1);
        assert_eq!(is_for(&inner, &expected("api.example.com")), Err(Odd::NotUnderstood));
    }
}
