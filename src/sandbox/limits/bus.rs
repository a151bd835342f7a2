//! Calls to a D-Bus, and the answers to them: as much of the protocol as asking systemd for a unit takes.
//!
//! One connection, one call at a time, nothing asynchronous. What the other side sends is not trusted: each length is
//! checked before it is used, and a message that is not understood ends the connection with an error.

use std::io::{Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

/// How long an answer may take. systemd is slow while a machine boots.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 20 });

/// No message that is waited for is nearly as long.
const LONGEST: usize = 1 << 20;

/// Messages for others that are passed over while waiting for one.
const MOST: usize = 10_000;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum BusError {
    #[error("the bus cannot be reached: {0}")]
    Connection(#[from] std::io::Error),
    #[error(
        "the bus was asked `{asked}` and did not answer within {} s (PINFOLD_CONTROL_GROUPS=own does without it)",
        PATIENCE.as_secs()
    )]
    Silent { asked: String },
    #[error("the bus address `{0}` is of no kind that is known here")]
    Address(String),
    #[error("the bus does not know this user")]
    Stranger,
    #[error("the bus sent what is no message")]
    Malformed,
    #[error("{text} ({name})")]
    Refused { name: String, text: String },
}

/// What went wrong with a socket while an answer to `asked` was waited for.
fn waiting(asked: &str) -> impl Fn(std::io::Error) -> BusError {
    move |error| match error.kind() {
        // A socket with a time limit says that it would block (socket(7), SO_RCVTIMEO).
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => BusError::Silent { asked: asked.to_owned() },
        _ => BusError::Connection(error),
    }
}

/// A connection that has said hello.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Its own name on the bus.
    pub(super) name: String,
    signals: Vec<Message>,
}

/// Whom a call is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) destination: &'static str,
    pub(super) path: &'static str,
    pub(super) interface: &'static str,
}

/// The bus itself.
pub(super) const DAEMON: Target =
    Target { destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };

impl Bus {
    /// Connects to the first server of an address list (`unix:path=…;…`) and authenticates as this user.
    pub(super) fn connect(addresses: &str) -> Result<Self, BusError> {
        let address = addresses.split(';').find_map(socket_address);
        let address = address.ok_or_else(|| BusError::Address(addresses.to_owned()))?;
        let mut stream = UnixStream::connect_addr(&address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let uid = nix::unistd::geteuid().to_string();
        let hex: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
        stream.write_all(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes()).map_err(waiting("AUTH"))?;
        if !line(&mut stream)?.starts_with(b"OK ") {
            return Err(BusError::Stranger);
        }
        stream.write_all(b"BEGIN\r\n")?;
        let mut bus = Self { stream, serial: 0, name: String::new(), signals: Vec::new() };
        bus.name = bus.call(DAEMON, "Hello", "", Body::default())?.reader().string()?.to_owned();
        Ok(bus)
    }

    /// Calls and waits for the answer.
    pub(super) fn call(
        &mut self,
        target: Target,
        member: &str,
        signature: &str,
        body: Body,
    ) -> Result<Message, BusError> {
        self.serial += 1;
        let bytes = encode(self.serial, target, member, signature, &body.0);
        self.stream.write_all(&bytes).map_err(waiting(member))?;
        for _ in 0..MOST {
            let message = self.receive(member)?;
            match message.kind {
                Kind::Return if message.answers == Some(self.serial) => return Ok(message),
                Kind::Error if message.answers == Some(self.serial) => {
                    let text = message.reader().string().unwrap_or_default().to_owned();
                    return Err(BusError::Refused { name: message.name, text });
                }
                Kind::Signal => self.signals.push(message),
                _ => {}
            }
        }
        Err(BusError::Malformed)
    }

    /// The first signal named `member` for which `wanted` gives something; those that came meanwhile count.
    pub(super) fn signal<T>(&mut self, member: &str, wanted: impl Fn(&Message) -> Option<T>) -> Result<T, BusError> {
        for _ in 0..MOST {
            for message in std::mem::take(&mut self.signals) {
                if message.member == member
                    && let Some(found) = wanted(&message)
                {
                    return Ok(found);
                }
            }
            let message = self.receive(member)?;
            if message.kind == Kind::Signal {
                self.signals.push(message);
            }
        }
        Err(BusError::Malformed)
    }

    fn receive(&mut self, asked: &str) -> Result<Message, BusError> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head).map_err(waiting(asked))?;
        let rest = length_of_rest(&head).ok_or(BusError::Malformed)?;
        let mut bytes = head.to_vec();
        bytes.resize(16 + rest, 0);
        self.stream.read_exact(bytes.get_mut(16..).unwrap_or_default()).map_err(waiting(asked))?;
        decode(&bytes)
    }
}

/// One server of an address list, if it is a socket of this machine.
fn socket_address(server: &str) -> Option<SocketAddr> {
    let keys = server.strip_prefix("unix:")?;
    let value = |name: &str| {
        keys.split(',').find_map(|pair| Some(unescape(pair.split_once('=').filter(|(key, _)| *key == name)?.1)))
    };
    if let Some(path) = value("path") {
        return SocketAddr::from_pathname(std::ffi::OsString::from_vec(path)).ok();
    }
    SocketAddr::from_abstract_name(value("abstract")?).ok()
}

/// `%20` and kin.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

/// One line of the talk before the first message.
fn line(stream: &mut UnixStream) -> Result<Vec<u8>, BusError> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).map_err(waiting("AUTH"))?;
        line.extend(byte);
        if line.len() > 512 {
            return Err(BusError::Malformed);
        }
    }
    Ok(line)
}

/// Values in the order of a signature, each where its alignment puts it.
#[derive(Debug, Default)]
pub(super) struct Body(Vec<u8>);

impl Body {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    pub(super) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.align(8);
        self.0.extend(value.to_le_bytes());
    }

    /// A string or an object path.
    pub(super) fn string(&mut self, text: &str) {
        self.u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    pub(super) fn signature(&mut self, text: &str) {
        self.0.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// Whatever begins at a multiple of eight: a structure.
    pub(super) fn structure(&mut self) {
        self.align(8);
    }

    /// An array of what `elements` writes, whose type is aligned to `to`: its length does not count the padding before it.
    pub(super) fn array(&mut self, to: usize, elements: impl FnOnce(&mut Self)) {
        self.u32(0);
        let length_at = self.0.len() - 4;
        self.align(to);
        let begin = self.0.len();
        elements(self);
        let length = u32::try_from(self.0.len() - begin).unwrap_or(u32::MAX);
        if let Some(place) = self.0.get_mut(length_at..length_at + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }
}

fn encode(serial: u32, target: Target, member: &str, signature: &str, body: &[u8]) -> Vec<u8> {
    let mut head = Body::default();
    head.0.extend([b'l', 1, 0, 1]);
    head.u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    head.u32(serial);
    head.array(8, |fields| {
        let texts = [
            (1, "o", target.path),
            (2, "s", target.interface),
            (3, "s", member),
            (6, "s", target.destination),
            (8, "g", signature),
        ];
        for (code, kind, text) in texts.into_iter().filter(|(_, _, text)| !text.is_empty()) {
            fields.structure();
            fields.byte(code);
            fields.signature(kind);
            if kind == "g" { fields.signature(text) } else { fields.string(text) }
        }
    });
    head.align(8);
    head.0.extend(body);
    head.0
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Return,
    Error,
    Signal,
    Other,
}

/// A message that came.
#[derive(Debug)]
pub(super) struct Message {
    kind: Kind,
    answers: Option<u32>,
    member: String,
    /// Of an error.
    name: String,
    body: Vec<u8>,
}

impl Message {
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { bytes: &self.body, at: 0 }
    }
}

/// How many bytes follow the first sixteen.
fn length_of_rest(head: &[u8]) -> Option<usize> {
    let number = |range| head.get(range).and_then(|raw: &[u8]| raw.try_into().ok()).map(u32::from_le_bytes);
    if head.first() != Some(&b'l') || head.get(3) != Some(&1) {
        return None;
    }
    let (body, fields) = (usize::try_from(number(4..8)?).ok()?, usize::try_from(number(12..16)?).ok()?);
    if body > LONGEST || fields > LONGEST {
        return None;
    }
    Some(fields.next_multiple_of(8) + body)
}

fn decode(bytes: &[u8]) -> Result<Message, BusError> {
    let mut reader = Reader { bytes, at: 1 };
    let kind = match reader.byte()? {
        2 => Kind::Return,
        3 => Kind::Error,
        4 => Kind::Signal,
        _ => Kind::Other,
    };
    reader.at = 12;
    let fields_end = usize::try_from(reader.u32()?).map_err(|_| BusError::Malformed)?.saturating_add(16);
    let mut message = Message { kind, answers: None, member: String::new(), name: String::new(), body: Vec::new() };
    while reader.at < fields_end {
        reader.align(8)?;
        let (code, signature) = (reader.byte()?, reader.signature()?);
        match signature {
            "s" | "o" => {
                let text = reader.string()?.to_owned();
                match code {
                    3 => message.member = text,
                    4 => message.name = text,
                    _ => {}
                }
            }
            "g" => drop(reader.signature()?.to_owned()),
            "u" => {
                let number = reader.u32()?;
                message.answers = if code == 5 { Some(number) } else { message.answers };
            }
            // No field that the protocol knows has another.
            _ => return Err(BusError::Malformed),
        }
    }
    reader.align(8)?;
    message.body = bytes.get(reader.at..).ok_or(BusError::Malformed)?.to_vec();
    Ok(message)
}

/// Reads values from the beginning of a message or a body.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], BusError> {
        let end = self.at.checked_add(count).ok_or(BusError::Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(BusError::Malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn align(&mut self, to: usize) -> Result<(), BusError> {
        let end = self.at.next_multiple_of(to);
        self.take(end - self.at).map(drop)
    }

    fn byte(&mut self) -> Result<u8, BusError> {
        self.take(1)?.first().copied().ok_or(BusError::Malformed)
    }

    pub(super) fn u32(&mut self) -> Result<u32, BusError> {
        self.align(4)?;
        self.take(4)?.try_into().map(u32::from_le_bytes).map_err(|_| BusError::Malformed)
    }

    /// A string or an object path.
    pub(super) fn string(&mut self) -> Result<&'a str, BusError> {
        let length = usize::try_from(self.u32()?).map_err(|_| BusError::Malformed)?;
        self.text(length)
    }

    pub(super) fn signature(&mut self) -> Result<&'a str, BusError> {
        let length = self.byte()?;
        self.text(usize::from(length))
    }

    fn text(&mut self, length: usize) -> Result<&'a str, BusError> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| BusError::Malformed)?;
        if self.byte()? == 0 { Ok(text) } else { Err(BusError::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An answer of a real dbus-daemon to `Hello`: `:1.42`.
    const ANSWER: &[u8] =
        b"l\x02\x01\x01\x0a\0\0\0\x01\0\0\0\x3d\0\0\0\x06\x01s\0\x05\0\0\0:1.42\0\0\0\x05\x01u\0\x01\0\0\0\
        \x08\x01g\0\x01s\0\0\x07\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0\x05\0\0\0:1.42\0";

    #[test]
    fn an_answer_is_read() {
        assert_eq!(length_of_rest(&ANSWER[..16]), Some(ANSWER.len() - 16));
        let message = decode(ANSWER).unwrap();
        assert_eq!((message.kind, message.answers), (Kind::Return, Some(1)));
        assert_eq!(message.reader().string().unwrap(), ":1.42");
    }

    #[test]
    fn a_bus_that_does_not_answer_is_said_to_by_what_was_asked_and_how_long() {
        use std::os::unix::net::UnixListener;
        let name = format!("pinfold-bus-{}", std::process::id());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let address = format!("unix:abstract={name}");
        let said = |error: BusError| error.to_string();
        let silent = said(Bus::connect(&address).unwrap_err());
        assert!(silent.starts_with("the bus was asked `AUTH` and did not answer within 1 s"), "{silent}");
        let server = std::thread::spawn(move || {
            let (first, _) = listener.accept().unwrap();
            let (mut second, _) = listener.accept().unwrap();
            second.write_all(b"OK 0\r\n").unwrap();
            (first, second)
        });
        let silent = said(Bus::connect(&address).unwrap_err());
        assert!(silent.starts_with("the bus was asked `Hello` and did not answer within 1 s"), "{silent}");
        server.join().unwrap();
    }

    #[test]
    fn a_call_is_laid_out_as_the_specification_says() {
        let mut body = Body::default();
        body.string("ab");
        body.array(8, |array| {
            array.structure();
            array.string("P");
            array.signature("t");
            array.u64(7);
        });
        assert_eq!(
            body.0,
            b"\x02\0\0\0ab\0\0\x18\0\0\0\0\0\0\0\x01\0\0\0P\0\x01t\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0"[..].to_vec()
        );
        let bytes = encode(3, DAEMON, "Hello", "", &[]);
        assert!(bytes.len().is_multiple_of(8));
        assert_eq!(length_of_rest(&bytes[..16]), Some(bytes.len() - 16));
        assert_eq!(decode(&bytes).unwrap().member, "Hello");
    }

    #[test]
    fn addresses_are_sockets_of_this_machine_and_nothing_else() {
        let path = |server: &str| socket_address(server)?.as_pathname().map(|path| path.display().to_string());
        assert_eq!(path("unix:path=/run/user/1000/bus,guid=0f"), Some("/run/user/1000/bus".to_owned()));
        assert_eq!(path("unix:path=/a%20b"), Some("/a b".to_owned()));
        let hidden = socket_address("unix:abstract=/tmp/dbus-x,guid=1").unwrap();
        assert_eq!(hidden.as_abstract_name(), Some(&b"/tmp/dbus-x"[..]));
        assert!(socket_address("tcp:host=example.org,port=1").is_none());
        assert!(matches!(Bus::connect("tcp:host=localhost,port=1"), Err(BusError::Address(_))));
    }

    #[test]
    fn a_length_that_nobody_would_send_is_no_reason_to_wait_or_to_allocate() {
        let mut head = ANSWER[..16].to_vec();
        head[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(length_of_rest(&head), None);
        head[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(length_of_rest(&head), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..ANSWER.len(), with: u8) {
            length_of_rest(&bytes);
            if let Ok(message) = decode(&bytes) {
                message.reader().string().ok();
            }
            let mut near = ANSWER.to_vec();
            near[at] = with;
            if let Ok(message) = decode(&near) {
                message.reader().string().ok();
            }
            decode(&ANSWER[..at]).ok();
        }
    }
}
