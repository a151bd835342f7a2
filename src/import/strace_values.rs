//! One argument of a call in a log of strace → its value: strings with their escapes, descriptors with their paths, words
//! and numbers, addresses.
//!
//! Invariant: a string is decoded to the bytes that were passed, or is said to be cut; what is not of the form that is asked
//! for is `None`.

use std::net::{IpAddr, SocketAddr};

/// The text of one argument.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Argument(Vec<u8>);

/// A socket address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// IPv4 or IPv6.
    Inet(SocketAddr),
    /// A socket file, as it was named.
    Unix(Vec<u8>),
    /// An abstract name.
    Abstract(Vec<u8>),
    /// Any other, or none.
    Other,
}

impl Argument {
    /// From text as it stands in the log.
    pub fn new(text: &[u8]) -> Self {
        Self(text.trim_ascii().to_vec())
    }

    /// The bytes of `"..."`, and whether strace cut them.
    pub fn string(&self) -> Option<(Vec<u8>, bool)> {
        let (bytes, rest) = literal(&self.0)?;
        Some((bytes, rest.starts_with(b"...")))
    }

    /// Whether it is a string, or a list with one, that strace cut.
    pub fn is_cut(&self) -> bool {
        self.string().is_some_and(|(_, cut)| cut)
    }

    /// The strings of `["a", "b"]`, up to where it was cut.
    pub fn strings(&self) -> Option<Vec<Vec<u8>>> {
        let mut rest = self.0.strip_prefix(b"[")?;
        let mut strings = Vec::new();
        while let Some((bytes, behind)) = literal(rest) {
            strings.push(bytes);
            let behind = behind.strip_prefix(b"...").unwrap_or(behind);
            rest = behind.strip_prefix(b", ").unwrap_or(behind);
        }
        Some(strings)
    }

    /// A descriptor (`AT_FDCWD` is -100), and its path where the log has it and it is one.
    pub fn descriptor(&self) -> Option<(i64, Option<Vec<u8>>)> {
        let end = self.0.iter().position(|&b| b == b'<').unwrap_or(self.0.len());
        let number = match std::str::from_utf8(self.0.get(..end)?).ok()?.trim() {
            "AT_FDCWD" => -100,
            text => text.parse().ok()?,
        };
        let inside = self.0.get(end + 1..).unwrap_or_default();
        let path = inside.iter().position(|&b| b == b'>').and_then(|close| inside.get(..close)).map(unescape);
        Some((number, path.filter(|path| path.starts_with(b"/"))))
    }

    /// A number, or words joined by `|` that `known` knows; others count as nothing.
    pub fn bits(&self, known: &dyn Fn(&str) -> Option<u64>) -> u64 {
        let text = String::from_utf8_lossy(&self.0);
        let value = |word: &str| {
            let word = word.trim();
            let number = match word.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).ok(),
                None if word.len() > 1 && word.starts_with('0') => u64::from_str_radix(word, 8).ok(),
                None => word.parse::<i64>().ok().map(i64::cast_unsigned),
            };
            number.or_else(|| known(word)).unwrap_or(0)
        };
        text.split('|').map(value).fold(0, |bits, bit| bits | bit)
    }

    /// The words of it as they stand.
    pub fn words(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.0).split('|').map(|word| word.trim().to_owned()).collect()
    }

    /// `{sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("127.0.0.1")}` and kin, also within a message header.
    pub fn address(&self) -> Address {
        let behind = |word: &str| {
            let word = word.as_bytes();
            let at = self.0.windows(word.len()).position(|window| window == word)?;
            self.0.get(at + word.len()..)
        };
        let string = |word: &str| behind(word).and_then(literal).map(|(bytes, _)| bytes);
        let port = |word: &str| -> Option<u16> {
            let digits: Vec<u8> = behind(word)?.iter().copied().take_while(u8::is_ascii_digit).collect();
            std::str::from_utf8(&digits).ok()?.parse().ok()
        };
        let ip = |word: &str| -> Option<IpAddr> { std::str::from_utf8(&string(word)?).ok()?.parse().ok() };
        if let Some(name) = string("sun_path=@") {
            return Address::Abstract(name);
        }
        if let Some(path) = string("sun_path=") {
            return Address::Unix(path);
        }
        let inet = port("sin_port=htons(").zip(ip("inet_addr("));
        let inet = inet.or_else(|| port("sin6_port=htons(").zip(ip("inet_pton(AF_INET6, ")));
        inet.map_or(Address::Other, |(port, ip)| Address::Inet(SocketAddr::new(ip, port)))
    }
}

/// The arguments of a call, at the commas that lie within nothing.
pub fn split(text: &[u8]) -> Vec<Argument> {
    let mut arguments = Vec::new();
    let (mut start, mut at, mut depth) = (0, 0, 0u32);
    while let Some(&byte) = text.get(at) {
        let before = at.checked_sub(1).and_then(|at| text.get(at));
        match byte {
            b'"' => {
                let used =
                    text.get(at..).and_then(literal).map_or(text.len() - at, |(_, rest)| text.len() - at - rest.len());
                at += used.max(1);
                continue;
            }
            // The path of a descriptor; `<<` is a shift.
            b'<' if before.is_some_and(|b| b.is_ascii_digit() || *b == b'D') && text.get(at + 1) != Some(&b'<') => {
                at += text.get(at..).and_then(|rest| rest.iter().position(|&b| b == b'>')).unwrap_or(text.len());
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                arguments.push(Argument::new(text.get(start..at).unwrap_or_default()));
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    let last = Argument::new(text.get(start..).unwrap_or_default());
    if !last.0.is_empty() || !arguments.is_empty() {
        arguments.push(last);
    }
    arguments
}

/// A quoted string at the beginning of `text`, and what stands behind it.
fn literal(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let inside = text.strip_prefix(b"\"")?;
    let mut end = 0;
    loop {
        match inside.get(end)? {
            b'"' => break,
            b'\\' => end += 2,
            _ => end += 1,
        }
    }
    Some((unescape(inside.get(..end)?), inside.get(end + 1..)?))
}

/// The escapes of C as strace writes them: letters, up to three octal digits, `\xHH`.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let Some(&letter) = text.get(at) else { break };
        at += 1;
        let number = |from: usize, most: usize, radix: u32| {
            let digits = text.iter().skip(from).take(most).map_while(|&b| char::from(b).to_digit(radix));
            digits.fold((0, 0), |(count, sum), digit| (count + 1, sum * radix + digit))
        };
        bytes.push(match letter {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'v' => 0x0b,
            b'f' => 0x0c,
            b'x' => {
                let (count, sum) = number(at, 2, 16);
                at += count;
                u8::try_from(sum).unwrap_or(b'?')
            }
            b'0'..=b'7' => {
                let (count, sum) = number(at - 1, 3, 8);
                at += count - 1;
                u8::try_from(sum & 0xff).unwrap_or(b'?')
            }
            other => other,
        });
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(text: &str) -> Argument {
        Argument::new(text.as_bytes())
    }

    #[test]
    fn strings_are_the_bytes_that_were_passed() {
        assert_eq!(argument(r#""a\n\"\\\303\251\0011\xff""#).string().unwrap().0, b"a\n\"\\\xc3\xa9\x011\xff");
        assert!(argument("\"abc\"...").is_cut() && !argument("\"abc\"").is_cut());
        assert_eq!(argument("NULL").string(), None);
        assert_eq!(argument("\"torn").string(), None);
        assert_eq!(argument(r#"["a", "b"...]"#).strings().unwrap(), [b"a".to_vec(), b"b".to_vec()]);
    }

    #[test]
    fn arguments_are_split_where_nothing_encloses_the_comma() {
        let parts = split(br#"3</a,b>, "x, \"y", {a=1, b=[2, 3]}, 1<<2, O_RDONLY /* 1, 2 */"#);
        assert_eq!(parts.len(), 6);
        assert_eq!(parts[0].descriptor(), Some((3, Some(b"/a,b".to_vec()))));
        assert_eq!(parts[1].string().unwrap().0, b"x, \"y");
        assert!(split(b"").is_empty());
    }

    #[test]
    fn descriptors_have_a_path_only_if_there_is_one() {
        assert_eq!(argument("AT_FDCWD</p>").descriptor(), Some((-100, Some(b"/p".to_vec()))));
        assert_eq!(argument("4<socket:[77]>").descriptor(), Some((4, None)));
        assert_eq!(argument("4").descriptor(), Some((4, None)));
        assert_eq!(argument(r"5</a\76b>").descriptor(), Some((5, Some(b"/a>b".to_vec()))));
    }

    #[test]
    fn addresses_are_read_by_their_family() {
        let inet = argument(r#"{sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("127.0.0.1")}"#);
        assert_eq!(inet.address(), Address::Inet("127.0.0.1:9".parse().unwrap()));
        let text = r#"{sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "::1", &sin6_addr)}"#;
        assert_eq!(argument(text).address(), Address::Inet("[::1]:80".parse().unwrap()));
        assert_eq!(argument(r#"{sa_family=AF_UNIX, sun_path="/run/x"}"#).address(), Address::Unix(b"/run/x".to_vec()));
        assert_eq!(argument(r#"{sa_family=AF_UNIX, sun_path=@"x\0y"}"#).address(), Address::Abstract(b"x\0y".to_vec()));
        assert_eq!(argument("{sa_family=AF_NETLINK, nl_pid=0}").address(), Address::Other);
    }

    #[test]
    fn words_become_bits_and_what_is_not_known_is_nothing() {
        let known = |word: &str| (word == "O_CREAT").then_some(0o100);
        assert_eq!(argument("O_CREAT|0x4|010|O_NEW").bits(&known), 0o100 | 4 | 8);
        assert_eq!(argument("-1").bits(&known), u64::MAX);
    }
}
