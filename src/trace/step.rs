//! One line of a trace → the event, where it is a call on one path as the writer writes nearly all of them: no link on the way,
//! nothing in the name that is escaped. Many times quicker than reading JSON.
//!
//! Invariant: it gives just what reading the line as JSON gives, or nothing; `tests` hold it to that.

use crate::event::{Event, Fact, ImageId, Intent, Outcome, PathFact};
use crate::vocab::host::FileKind;
use crate::vocab::path::AbsPath;
use crate::vocab::syscall::Syscall;

/// The event of a line in that form.
pub(super) fn read(line: &[u8]) -> Option<Event> {
    let (image, rest) = number(line.strip_prefix(b"{\"image\":")?)?;
    let (intent, rest) = word(rest.strip_prefix(b",\"fact\":{\"path\":{\"intent\":\"")?)?;
    let (call, rest) = word(rest.strip_prefix(b",\"call\":\"")?)?;
    let (path, rest) = word(rest.strip_prefix(b",\"path\":\"")?)?;
    let (kind, rest) = match rest.strip_prefix(b",\"kind\":\"") {
        Some(rest) => {
            let (kind, rest) = word(rest)?;
            (Some(self::kind(kind)?), rest)
        }
        None => (None, rest),
    };
    let (result, rest) = outcome(rest.strip_prefix(b",\"result\":")?)?;
    let name = AbsPath::new(path).ok().filter(|name| name.as_bytes() == path)?;
    let call = Syscall::from_name(std::str::from_utf8(call).ok()?)?;
    let fact = PathFact { intent: self::intent(intent)?, call, path: name, hops: Vec::new(), kind, result };
    (rest == b"}}}").then_some(Event { image: ImageId(image), fact: Fact::Path(fact) })
}

/// Up to the quotation mark, if nothing before it stands for anything but itself.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|&byte| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\' | b'%'))?;
    let (word, rest) = text.split_at(end);
    Some((word, rest.strip_prefix(b"\"")?))
}

/// A whole number as JSON has it: without a sign, and without zeros before it.
fn number(text: &[u8]) -> Option<(u32, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = text.split_at(end);
    if digits.len() > 1 && digits.starts_with(b"0") {
        return None;
    }
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

fn outcome(text: &[u8]) -> Option<(Outcome, &[u8])> {
    if let Some(rest) = text.strip_prefix(b"\"ok\"") {
        return Some((Outcome::Ok, rest));
    }
    let (errno, rest) = number(text.strip_prefix(b"{\"errno\":")?)?;
    Some((Outcome::Errno(i32::try_from(errno).ok()?), rest.strip_prefix(b"}")?))
}

fn intent(word: &[u8]) -> Option<Intent> {
    Some(match word {
        b"look" => Intent::Look,
        b"enter" => Intent::Enter,
        b"list" => Intent::List,
        b"read" => Intent::Read,
        b"execute" => Intent::Execute,
        b"map" => Intent::Map,
        b"write" => Intent::Write,
        b"create" => Intent::Create,
        b"truncate" => Intent::Truncate,
        b"remove" => Intent::Remove,
        b"attributes" => Intent::Attributes,
        b"connect" => Intent::Connect,
        _ => return None,
    })
}

fn kind(word: &[u8]) -> Option<FileKind> {
    Some(match word {
        b"file" => FileKind::File,
        b"dir" => FileKind::Dir,
        b"symlink" => FileKind::Symlink,
        b"device" => FileKind::Device,
        b"socket" => FileKind::Socket,
        b"fifo" => FileKind::Fifo,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LINE: &str = r#"{"image":12,"fact":{"path":{"intent":"read","call":"openat","path":"/usr/lib/x.so","kind":"file","result":"ok"}}}"#;

    fn json(line: &[u8]) -> Option<Event> {
        serde_json::from_slice(line).ok()
    }

    #[test]
    fn each_word_of_each_field_is_read_as_it_is_written() {
        use Intent::*;
        let intents = [Look, Enter, List, Read, Execute, Map, Write, Create, Truncate, Remove, Attributes, Connect];
        let kinds = [None, Some(FileKind::File), Some(FileKind::Dir), Some(FileKind::Symlink), Some(FileKind::Device)];
        let kinds = kinds.into_iter().chain([Some(FileKind::Socket), Some(FileKind::Fifo)]);
        for (intent, kind) in intents.into_iter().flat_map(|intent| kinds.clone().map(move |kind| (intent, kind))) {
            for result in [Outcome::Ok, Outcome::Errno(0), Outcome::Errno(2), Outcome::Errno(i32::MAX)] {
                let (call, path) = (Syscall::from_name("openat").unwrap(), AbsPath::new("/a b/c~").unwrap());
                let fact = PathFact { intent, call, path, hops: vec![], kind, result };
                let event = Event { image: ImageId(u32::MAX), fact: Fact::Path(fact) };
                let line = serde_json::to_vec(&event).unwrap();
                assert_eq!(read(&line), Some(event), "{}", String::from_utf8_lossy(&line));
            }
        }
    }

    #[test]
    fn what_has_another_form_is_left_to_whoever_reads_json() {
        assert!(read(LINE.as_bytes()).is_some());
        for (from, to) in [
            ("12", "012"),
            ("12", "4294967296"),
            ("\"fact\"", " \"fact\""),
            ("read", "open"),
            ("/usr/lib", "/usr//lib"),
            ("/usr/lib", "usr/lib"),
            ("/usr/lib", "/usr/../lib"),
            ("/usr/lib", "/%41"),
            ("/usr/lib", "/\\u0041"),
            ("/usr/lib", "/\u{e9}"),
            ("openat", "openmat"),
            ("\"ok\"", "{\"errno\":-1}"),
            ("\"ok\"", "\"unseen\""),
            ("}}}", "}}} "),
            ("}}}", "}}"),
        ] {
            let line = LINE.replace(from, to);
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        /// What is changed anywhere is read as JSON would read it, or not at all.
        #[test]
        fn it_reads_nothing_that_json_reads_otherwise(
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, prop::sample::select(
                b"\"\\%{}:,/.0129 ax\n\0\xc3\xff".to_vec(),
            )), 0..4),
        ) {
            let mut line = LINE.as_bytes().to_vec();
            for (at, how, byte) in edits {
                let at = at.index(line.len());
                match how {
                    0 => line[at] = byte,
                    1 => line.insert(at, byte),
                    _ => drop(line.remove(at)),
                }
            }
            if let Some(event) = read(&line) {
                prop_assert_eq!(Some(event), json(&line));
            }
        }
    }
}
