//! Bytes of a query to the resolver inside ⇄ a question and its answer (RFC 1035, 6891).
//!
//! Pure. Every byte is hostile: one question is understood, of the class IN, without compression; everything else is answered
//! as malformed, or not at all. Nothing of a query is passed on: what is asked outside is a name of letters, digits, hyphens
//! and underscores that was read here.

use std::net::IpAddr;

/// Longest answer over UDP without EDNS; with it this resolver says 1232, the size that is not fragmented.
const LONGEST_PLAIN: usize = 512;
const LONGEST: usize = 1232;
const HEADER: usize = 12;
/// Seconds for which a client may keep an answer: the addresses inside stay the same for the whole run.
const TIME_TO_LIVE: u32 = 60;

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    id: u16,
    recursion: bool,
    extended: bool,
    /// As it was asked, in its own spelling.
    question: Vec<u8>,
    /// The name in lower case without the dot at its end; `None` where it is none that is ever looked up: odd bytes, or empty.
    pub name: Option<String>,
    /// What of it.
    pub kind: Kind,
}

/// What is asked of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Anything else.
    Other,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These addresses; none is NODATA: there is such a name, and nothing of that kind.
    Addresses(Vec<IpAddr>),
    /// NXDOMAIN.
    Absent,
    /// SERVFAIL.
    Failed,
}

/// What is no question that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Odd {
    /// No query: not answered, or two resolvers could be made to talk to each other for ever.
    Silent,
    /// Answered with this code.
    Code(Vec<u8>),
}

const FORMAT_ERROR: u16 = 1;
const FAILED: u16 = 2;
const ABSENT: u16 = 3;
const NOT_IMPLEMENTED: u16 = 4;
const REFUSED: u16 = 5;

/// Reads one query.
pub fn parse(packet: &[u8]) -> Result<Query, Odd> {
    let Some((header, rest)) = packet.split_first_chunk::<HEADER>() else { return Err(Odd::Silent) };
    let word = |at: usize| match header.get(at..at + 2) {
        Some(&[high, low]) => u16::from_be_bytes([high, low]),
        _ => 0,
    };
    let (id, flags) = (word(0), word(2));
    if flags & 0x8000 != 0 {
        return Err(Odd::Silent);
    }
    let odd = |code: u16| Odd::Code(reply(id, flags & 0x0100 != 0, code, 0, false, &[], &[]));
    if flags & 0x7800 != 0 {
        return Err(odd(NOT_IMPLEMENTED));
    }
    let (questions, answers, authorities, additional) = (word(4), word(6), word(8), word(10));
    if questions != 1 || answers != 0 || authorities != 0 || additional > 1 {
        return Err(odd(FORMAT_ERROR));
    }
    let (name, length) = read_name(rest).ok_or_else(|| odd(FORMAT_ERROR))?;
    let Some((&[t, u, c, d], behind)) = rest.get(length..).and_then(|rest| rest.split_first_chunk::<4>()) else {
        return Err(odd(FORMAT_ERROR));
    };
    // The class IN, and the bit by which multicast DNS asks for one answer alone is no class here.
    if u16::from_be_bytes([c, d]) != 1 {
        return Err(odd(REFUSED));
    }
    let kind = match u16::from_be_bytes([t, u]) {
        1 => Kind::A,
        28 => Kind::Aaaa,
        _ => Kind::Other,
    };
    // The one record that may follow is EDNS: the root's name, and the type 41.
    let extended = additional == 1 && behind.starts_with(&[0, 0, 41]);
    let question = rest.get(..length + 4).unwrap_or_default().to_vec();
    Ok(Query { id, recursion: flags & 0x0100 != 0, extended, question, name, kind })
}

/// The name at the start of `bytes`, and how long it is there; the name is `None` where it is none of a host.
fn read_name(bytes: &[u8]) -> Option<(Option<String>, usize)> {
    let mut name = String::new();
    let mut fine = true;
    let mut at = 0;
    loop {
        let length = usize::from(*bytes.get(at)?);
        // A pointer has nothing before it to point to.
        if length > 63 || at + length > 254 {
            return None;
        }
        at += 1;
        if length == 0 {
            break;
        }
        if !name.is_empty() {
            name.push('.');
        }
        for byte in bytes.get(at..at + length)? {
            let byte = byte.to_ascii_lowercase();
            fine &= byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
            name.push(char::from(byte));
        }
        at += length;
    }
    let host = fine && crate::vocab::endpoint::is_host_name(&name);
    Some((host.then_some(name), at))
}

impl Query {
    /// The bytes of the answer; over UDP cut, and marked so, where it would be too long.
    pub fn answer(&self, answer: &Answer, datagram: bool) -> Vec<u8> {
        let (code, addresses) = match answer {
            Answer::Addresses(addresses) => (0, addresses.as_slice()),
            Answer::Absent => (ABSENT, [].as_slice()),
            Answer::Failed => (FAILED, [].as_slice()),
        };
        let records: Vec<Vec<u8>> = addresses.iter().map(|address| record(*address)).collect();
        let count = u16::try_from(records.len()).unwrap_or(0);
        let out = reply(self.id, self.recursion, code, count, self.extended, &self.question, &records.concat());
        let longest = if self.extended { LONGEST } else { LONGEST_PLAIN };
        if !datagram || out.len() <= longest {
            return out;
        }
        let mut cut = reply(self.id, self.recursion, code, 0, self.extended, &self.question, &[]);
        if let Some(flags) = cut.get_mut(2) {
            *flags |= 0x02;
        }
        cut
    }
}

/// A record for the name of the question, which a pointer stands for.
fn record(address: IpAddr) -> Vec<u8> {
    let (kind, bytes) = match address {
        IpAddr::V4(v4) => (1_u16, v4.octets().to_vec()),
        IpAddr::V6(v6) => (28, v6.octets().to_vec()),
    };
    let length = u16::try_from(bytes.len()).unwrap_or(0);
    let mut out = vec![0xc0, 0x0c];
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    out.extend(TIME_TO_LIVE.to_be_bytes());
    out.extend(length.to_be_bytes());
    out.extend(bytes);
    out
}

fn reply(id: u16, recursion: bool, code: u16, count: u16, extended: bool, question: &[u8], records: &[u8]) -> Vec<u8> {
    let flags = 0x8080 | if recursion { 0x0100 } else { 0 } | code;
    let mut out = Vec::with_capacity(HEADER + question.len() + records.len() + 11);
    for word in [id, flags, u16::from(!question.is_empty()), count, 0, u16::from(extended)] {
        out.extend(word.to_be_bytes());
    }
    out.extend(question);
    out.extend(records);
    if extended {
        let size = u16::try_from(LONGEST).unwrap_or(512);
        out.extend([0, 0, 41]);
        out.extend(size.to_be_bytes());
        out.extend([0; 6]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn query(labels: &[&[u8]], kind: u16) -> Vec<u8> {
        let mut out = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in labels {
            out.push(u8::try_from(label.len()).unwrap());
            out.extend(*label);
        }
        out.push(0);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1]);
        out
    }

    #[test]
    fn a_name_is_read_in_any_case_and_odd_ones_are_no_names() {
        let read = |labels: &[&[u8]]| parse(&query(labels, 1)).unwrap().name;
        assert_eq!(read(&[b"API", b"Example", b"com"]), Some("api.example.com".to_owned()));
        assert_eq!(read(&[b"a_b", b"x"]), Some("a_b.x".to_owned()));
        for odd in
            [&[b"a\0b".as_slice(), b"com"][..], &[b"a.b", b"com"], &["b\u{fc}".as_bytes(), b"x"], &[b"*", b"x"], &[]]
        {
            assert_eq!(read(odd), None);
        }
    }

    #[test]
    fn names_of_every_length_up_to_the_longest_are_read_and_no_longer_ones() {
        let long = [b'a'; 63];
        assert!(parse(&query(&[&long, &long, &long, &long[..61]], 1)).unwrap().name.is_some());
        assert!(matches!(parse(&query(&[&long, &long, &long, &long[..62]], 1)), Err(Odd::Code(_))));
        assert!(matches!(parse(&query(&[&[b'a'; 64]], 1)), Err(Odd::Code(_))));
    }

    #[test]
    fn what_is_no_question_is_refused_or_left_alone() {
        let mut response = query(&[b"a", b"x"], 1);
        response[2] |= 0x80;
        assert_eq!(parse(&response), Err(Odd::Silent));
        let mut pointer = query(&[b"a", b"x"], 1);
        pointer[12] = 0xc0;
        assert!(matches!(parse(&pointer), Err(Odd::Code(_))));
        let mut update = query(&[b"a", b"x"], 1);
        update[2] |= 0x28;
        assert!(matches!(parse(&update), Err(Odd::Code(_))));
        let mut two = query(&[b"a", b"x"], 1);
        two[5] = 2;
        assert!(matches!(parse(&two), Err(Odd::Code(_))));
        assert_eq!(parse(&[0; 5]), Err(Odd::Silent));
    }

    #[test]
    fn an_answer_that_is_too_long_for_a_datagram_is_cut_and_says_so() {
        let query = parse(&query(&[b"a", b"x"], 28)).unwrap();
        let answer = Answer::Addresses(vec!["fd00::1".parse().unwrap(); 40]);
        let cut = query.answer(&answer, true);
        assert!(cut.len() <= LONGEST_PLAIN && cut[2] & 2 != 0 && cut[7] == 0);
        let whole = query.answer(&answer, false);
        assert_eq!((whole[2] & 2, whole[7]), (0, 40));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(packet in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(query) = parse(&packet) {
                let out = query.answer(&Answer::Absent, true);
                prop_assert!(out.len() <= LONGEST && out[2] & 0x80 != 0);
                prop_assert!(query.name.is_none_or(|name| crate::vocab::endpoint::is_host_name(&name)));
            }
        }
    }
}
