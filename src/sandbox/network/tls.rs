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

const SUPPORTED_VERSIONS: u16 = 43;
const CHANGE_CIPHER: u8 = 20;
const ALERT: u8 = 21;
const DATA: u8 = 23;
/// RFC 5246 §6.2.3; RFC 8446 §5.2 allows less.
const LONGEST_ENCRYPTED: usize = LONGEST_RECORD + 2048;

/// What a client says in the clear: its hello, and another one if the server asks for it (RFC 8446 §4.1.4), whose server name
/// may be another to it than to the server.
#[derive(Debug, Default)]
pub(super) struct Client {
    at: At,
    held: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Hello,
    /// Between two records.
    Record(Cipher),
    /// Within one that goes on as it is.
    Within(usize, Cipher),
    /// No hello can follow.
    Open,
}

/// Whether a client said that what follows is encrypted. In TLS 1.3 that means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cipher {
    Plain,
    Changed,
}

impl Client {
    /// Takes what the client said, and gives what may go on.
    pub(super) fn take(&mut self, bytes: &[u8], expected: &Expected) -> Result<Vec<u8>, Odd> {
        let mut held = std::mem::take(&mut self.held);
        held.extend(bytes);
        let mut cleared = 0;
        while let Some(count) = self.step(held.get(cleared..).unwrap_or_default(), expected)? {
            cleared += count;
        }
        self.held = held.split_off(cleared);
        if self.held.len() > super::inspect::MOST_HELD { Err(Odd::NotUnderstood) } else { Ok(held) }
    }

    /// How many bytes at the start of `rest` may go on; `None` where more must come.
    fn step(&mut self, rest: &[u8], expected: &Expected) -> Result<Option<usize>, Odd> {
        if rest.is_empty() {
            return Ok(None);
        }
        let (count, next) = match self.at {
            At::Open => (rest.len(), At::Open),
            At::Within(left, cipher) => {
                let taken = left.min(rest.len());
                (taken, if taken == left { At::Record(cipher) } else { At::Within(left - taken, cipher) })
            }
            At::Hello => match is_for(rest, expected)? {
                Some(hello) => {
                    (hello.length, if hello.may_be_asked_again { At::Record(Cipher::Plain) } else { At::Open })
                }
                None => return Ok(None),
            },
            At::Record(cipher) => match self.record(rest, cipher, expected)? {
                Some(moved) => moved,
                None => return Ok(None),
            },
        };
        self.at = next;
        Ok(Some(count))
    }

    fn record(&self, rest: &[u8], cipher: Cipher, expected: &Expected) -> Result<Option<(usize, At)>, Odd> {
        let Some((&[kind, major, _, high, low], body)) = rest.split_first_chunk::<5>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if major != 3 || length == 0 || length > LONGEST_ENCRYPTED {
            return Err(Odd::NotUnderstood);
        }
        let within = |cipher| Ok(Some((5, At::Within(length, cipher))));
        match (kind, body) {
            (CHANGE_CIPHER, _) => within(Cipher::Changed),
            // Data may be sent ahead, before the server asks for another hello.
            (ALERT | DATA, _) => within(cipher),
            (HANDSHAKE, []) => Ok(None),
            (HANDSHAKE, [CLIENT_HELLO]) if length > 1 => Ok(None),
            // What is encrypted begins so once in 65536 times, and is then refused.
            (HANDSHAKE, [CLIENT_HELLO, second, ..]) if cipher == Cipher::Changed && length > 1 && *second != 0 => {
                Ok(Some((rest.len(), At::Open)))
            }
            (HANDSHAKE, [CLIENT_HELLO, ..]) => {
                Ok(is_for(rest, expected)?.map(|hello| (hello.length, At::Record(Cipher::Plain))))
            }
            // The server chose TLS 1.2, in which no second hello is asked for; in TLS 1.3 it takes nothing else by now.
            (HANDSHAKE, _) => Ok(Some((rest.len(), At::Open))),
            _ => Err(Odd::NotUnderstood),
        }
    }
}

/// A client's hello that is for whom it should be.
struct Hello {
    /// With the heads of its records.
    length: usize,
    /// Whether it offers a version in which the server may ask for another.
    may_be_asked_again: bool,
}

/// The client's hello at the start of `bytes`, if it is for `expected`; `None` while it is not whole.
fn is_for(bytes: &[u8], expected: &Expected) -> Result<Option<Hello>, Odd> {
    let Some((body, length)) = hello(bytes)? else { return Ok(None) };
    let Said { name, may_be_asked_again } = said(&body)?;
    match name {
        Some(name) if !expected.is_address() && name.eq_ignore_ascii_case(&expected.host) => {}
        Some(name) => return Err(Odd::ServerName(name)),
        None if expected.is_address() => {}
        None => return Err(Odd::NoServerName),
    }
    Ok(Some(Hello { length, may_be_asked_again }))
}

/// The body of the hello, out of as many records as it lies in, and how long these are; it ends where the last of them does.
fn hello(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Odd> {
    let (mut message, mut ahead) = (Vec::new(), bytes);
    loop {
        let Some((&[kind, major, _, high, low], rest)) = ahead.split_first_chunk::<5>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != HANDSHAKE || major != 3 || length == 0 || length > LONGEST_RECORD {
            return Err(Odd::NotUnderstood);
        }
        let Some(record) = rest.get(..length) else { return Ok(None) };
        message.extend(record);
        ahead = rest.get(length..).unwrap_or_default();
        let Some((&[kind, a, b, c], body)) = message.split_first_chunk::<4>() else { continue };
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if kind != CLIENT_HELLO || length > super::inspect::MOST_HELD || body.len() > length {
            return Err(Odd::NotUnderstood);
        }
        if body.len() == length {
            return Ok(Some((body.to_vec(), bytes.len() - ahead.len())));
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

/// What matters of a hello.
struct Said {
    name: Option<String>,
    may_be_asked_again: bool,
}

fn said(hello: &[u8]) -> Result<Said, Odd> {
    let mut hello = Reader(hello);
    // Version and random, session, ciphers, compression.
    hello.bytes(34)?;
    let session = hello.byte()?;
    hello.bytes(session)?;
    hello.part()?;
    let compression = hello.byte()?;
    hello.bytes(compression)?;
    let mut said = Said { name: None, may_be_asked_again: false };
    if hello.0.is_empty() {
        return Ok(said);
    }
    let mut extensions = hello.part()?;
    if !hello.0.is_empty() {
        return Err(Odd::NotUnderstood);
    }
    while !extensions.0.is_empty() {
        let kind = extensions.word()?;
        let mut body = extensions.part()?;
        match kind {
            ENCRYPTED_HELLO => return Err(Odd::Hidden),
            SUPPORTED_VERSIONS => said.may_be_asked_again = true,
            SERVER_NAME => {
                let mut list = body.part()?;
                let (sort, text) = (list.byte()?, list.part()?.0);
                let text = str::from_utf8(text).map_err(|_| Odd::NotUnderstood)?;
                if sort != 0 || !list.0.is_empty() || !body.0.is_empty() || said.name.is_some() {
                    return Err(Odd::NotUnderstood);
                }
                said.name = Some(text.to_owned());
            }
            _ => {}
        }
    }
    Ok(said)
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

    fn is_for(bytes: &[u8], expected: &Expected) -> Result<bool, Odd> {
        super::is_for(bytes, expected).map(|hello| hello.is_some())
    }

    fn asked(extensions: &[Vec<u8>]) -> Result<bool, Odd> {
        is_for(&client(extensions, 10_000), &expected("api.example.com"))
    }

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        [vec![kind, 3, 3], part(body)].concat()
    }

    /// How much of what a client says goes on, said in pieces of each size.
    fn goes_on(said: &[Vec<u8>]) -> Result<usize, Odd> {
        let said = said.concat();
        let taken = |size: usize| {
            let mut client = Client::default();
            let pieces: Result<Vec<_>, Odd> =
                said.chunks(size).map(|piece| client.take(piece, &expected("api.example.com"))).collect();
            let all = pieces?.concat();
            assert!(said.starts_with(&all), "nothing is changed");
            Ok(all.len())
        };
        let whole = taken(said.len());
        assert!([1, 2, 3, 7, 50].iter().all(|size| taken(*size) == whole));
        whole
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

    #[test]
    fn a_second_hello_is_for_the_same_server_wherever_it_comes() {
        let newer = extension(SUPPORTED_VERSIONS, &[2, 3, 4]);
        let for_name = |text: &str, size| client(&[name(text), newer.clone()], size);
        let first = || for_name("api.example.com", 9999);
        let (changed, ahead) = (record(CHANGE_CIPHER, &[1]), record(DATA, &[7; 300]));
        for between in
            [vec![], changed.clone(), ahead.clone(), [ahead.clone(), changed.clone(), ahead.clone()].concat()]
        {
            for size in [1, 3, 9999] {
                let all = [first(), between.clone(), for_name("api.example.com", size), ahead.clone()];
                assert_eq!(goes_on(&all), Ok(all.concat().len()), "{size}");
                let other = [first(), between.clone(), for_name("other.example.com", size)];
                assert_eq!(goes_on(&other), Err(Odd::ServerName("other.example.com".to_owned())), "{size}");
            }
        }
        let twice = [first(), first(), for_name("other.example.com", 9999)];
        assert!(goes_on(&twice).is_err());
    }

    #[test]
    fn what_older_versions_say_after_the_hello_goes_on() {
        let newer = extension(SUPPORTED_VERSIONS, &[2, 3, 4]);
        let first = client(&[name("api.example.com"), newer], 9999);
        let (changed, data) = (record(CHANGE_CIPHER, &[1]), record(DATA, &[7; 300]));
        let finished = |first: u8, second: u8| record(HANDSHAKE, &[&[first, second], [9; 38].as_slice()].concat());
        for rest in [
            [record(HANDSHAKE, &[16, 0, 0, 1, 1]), changed.clone(), finished(1, 0), data.clone()].concat(),
            [changed.clone(), finished(200, 1), data.clone(), record(24, &[1])].concat(),
            [changed.clone(), finished(1, 7), data.clone()].concat(),
        ] {
            let all = [first.clone(), rest];
            assert_eq!(goes_on(&all), Ok(all.concat().len()));
        }
        let older = [client(&[name("api.example.com")], 9999), b"whatever".to_vec()];
        assert_eq!(goes_on(&older), Ok(older.concat().len()), "no second hello is asked for");
        for odd in [record(24, &[1]), record(HANDSHAKE, &[]), vec![HANDSHAKE, 2, 0, 0, 1, 1]] {
            assert_eq!(goes_on(&[first.clone(), odd]), Err(Odd::NotUnderstood));
        }
    }
}
