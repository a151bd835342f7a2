//! One line of a trace → the event, where it is a call on one path: nearly all lines are. In whatever order its fields stand
//! and with whatever space between them, many times quicker than reading JSON as such.
//!
//! Invariant: it gives just what reading the line as JSON gives, or nothing, as it does of all that is wrong and of what is
//! rare: escapes of JSON, `null`, negative numbers. `tests` hold it to that.

use crate::event::{Event, Fact, Hop, ImageId, Intent, Outcome, PathFact};
use crate::vocab::escape;
use crate::vocab::host::FileKind;
use crate::vocab::path::AbsPath;
use crate::vocab::syscall::Syscall;

/// The event of a line in that form. `last`: the call of the line before; mostly it is the same.
pub(super) fn read(line: &[u8], last: &mut Option<Syscall>) -> Option<Event> {
    let mut json = Json(line);
    let (mut image, mut fact) = (None, None);
    json.object(|json, field| match field {
        b"image" => once(&mut image, json.number()?),
        b"fact" => once(&mut fact, json.variant(b"path", |json| path_fact(json, last))?),
        _ => None,
    })?;
    json.skip_space();
    json.0.is_empty().then_some(Event { image: ImageId(image?), fact: Fact::Path(fact?) })
}

fn path_fact(json: &mut Json<'_>, last: &mut Option<Syscall>) -> Option<PathFact> {
    let (mut intent, mut call, mut path, mut hops, mut kind, mut result) = (None, None, None, None, None, None);
    json.object(|json, field| match field {
        b"intent" => once(&mut intent, self::intent(json.word()?)?),
        b"call" => once(&mut call, self::call(json.word()?, last)?),
        b"path" => once(&mut path, self::path(json.word()?)?),
        b"hops" => once(&mut hops, self::hops(json)?),
        b"kind" => once(&mut kind, self::kind(json.word()?)?),
        b"result" => once(&mut result, outcome(json)?),
        _ => None,
    })?;
    let hops = hops.unwrap_or_default();
    Some(PathFact { intent: intent?, call: call?, path: path?, hops, kind, result: result? })
}

/// A field that stands twice is an error.
fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

/// What is left of a line.
struct Json<'a>(&'a [u8]);

impl<'a> Json<'a> {
    fn skip_space(&mut self) {
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = self.0 {
            self.0 = rest;
        }
    }

    /// Goes behind that byte, if it comes next.
    fn mark(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    /// A string up to the quotation mark, if nothing in it stands for anything but itself.
    fn word(&mut self) -> Option<&'a [u8]> {
        self.mark(b'"')?;
        let end = plain(self.0);
        let (word, rest) = self.0.split_at(end);
        self.0 = rest.strip_prefix(b"\"")?;
        Some(word)
    }

    /// A whole number as JSON has it: without a sign, and without zeros before it.
    fn number(&mut self) -> Option<u32> {
        self.skip_space();
        let end = self.0.iter().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = self.0.split_at(end);
        let is_odd = digits.len() > 1 && digits.starts_with(b"0") || matches!(rest, [b'.' | b'e' | b'E', ..]);
        self.0 = rest;
        if is_odd { None } else { text(digits)?.parse().ok() }
    }

    /// Each field in turn; whoever gets one reads its value.
    fn object(&mut self, mut field: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        self.mark(b'{')?;
        loop {
            let name = self.word()?;
            self.mark(b':')?;
            field(self, name)?;
            if self.mark(b',').is_none() {
                return self.mark(b'}');
            }
        }
    }

    /// `{"name": value}`.
    fn variant<T>(&mut self, name: &[u8], value: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.mark(b'{')?;
        let is_it = self.word()? == name;
        self.mark(b':')?;
        let value = if is_it { value(self)? } else { return None };
        self.mark(b'}')?;
        Some(value)
    }
}

/// How many bytes from the start on stand for themselves: neither quotation mark nor backslash nor control character.
fn plain(text: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    let mut end = 0;
    // Eight at a time: whether one of them is less than a number below 128, by what it takes to subtract that from each.
    let less = |word: u64, than: u8| word.wrapping_sub(ONES * u64::from(than)) & !word & (ONES << 7) != 0;
    let is = |word: u64, byte: u8| less(word ^ (ONES * u64::from(byte)), 1);
    for eight in text.as_chunks().0 {
        let word = u64::from_le_bytes(*eight);
        if less(word, 0x20) || is(word, b'"') || is(word, b'\\') {
            break;
        }
        end += eight.len();
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
    let rest = text.get(end..).unwrap_or_default();
    end + rest.iter().position(special).unwrap_or(rest.len())
}

fn call(word: &[u8], last: &mut Option<Syscall>) -> Option<Syscall> {
    if let Some(known) = last.filter(|known| known.name().as_bytes() == word) {
        return Some(known);
    }
    *last = Syscall::from_name(text(word)?);
    *last
}

fn text(word: &[u8]) -> Option<&str> {
    std::str::from_utf8(word).ok()
}

fn path(word: &[u8]) -> Option<AbsPath> {
    let text = text(word)?;
    if word.contains(&b'%') { AbsPath::new(escape::unfile(text).ok()?).ok() } else { AbsPath::new(word).ok() }
}

fn hops(json: &mut Json<'_>) -> Option<Vec<Hop>> {
    json.mark(b'[')?;
    let mut hops = Vec::new();
    if json.mark(b']').is_some() {
        return Some(hops);
    }
    loop {
        let (mut link, mut leads) = (None, None);
        json.object(|json, field| match field {
            b"link" => once(&mut link, path(json.word()?)?),
            b"text" => once(&mut leads, text(json.word()?)?.to_owned()),
            _ => None,
        })?;
        hops.push(Hop { link: link?, text: leads? });
        if json.mark(b',').is_none() {
            json.mark(b']')?;
            return Some(hops);
        }
    }
}

fn outcome(json: &mut Json<'_>) -> Option<Outcome> {
    json.skip_space();
    if json.0.starts_with(b"{") {
        return json.variant(b"errno", |json| Some(Outcome::Errno(i32::try_from(json.number()?).ok()?)));
    }
    match json.word()? {
        b"ok" => Some(Outcome::Ok),
        b"unseen" => Some(Outcome::Unseen),
        _ => None,
    }
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

    fn read(line: &[u8]) -> Option<Event> {
        super::read(line, &mut None)
    }

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
    fn what_is_wrong_or_rare_is_left_to_whoever_reads_json() {
        assert!(read(LINE.as_bytes()).is_some());
        for (from, to) in [
            ("12", "012"),
            ("12", "4294967296"),
            ("12", "12.0"),
            ("12", "12e1"),
            ("12", "-0"),
            ("12", "\"12\""),
            ("read", "open"),
            ("/usr/lib", "usr/lib"),
            ("/usr/lib", "/usr/../lib"),
            ("/usr/lib", "/%4"),
            ("/usr/lib", "/%00"),
            ("/usr/lib", "/\\u0041"),
            ("/usr/lib", "/\t"),
            ("openat", "openmat"),
            ("\"ok\"", "{\"errno\":-1}"),
            ("\"ok\"", "{\"errno\":2147483648}"),
            ("\"ok\"", "{\"ok\":null}"),
            ("\"ok\"", "\"ok\",\"result\":\"ok\""),
            ("\"ok\"", "\"ok\",\"more\":1"),
            ("\"ok\"", "\"ok\","),
            ("\"ok\"", "\"ok\",\"hops\":null"),
            ("\"ok\"", "\"ok\",\"hops\":[{\"link\":\"/lib\"}]"),
            ("\"ok\"", "\"ok\",\"hops\":[,]"),
            ("\"intent\":\"read\",", ""),
            ("\"fact\":{\"path\"", "\"fact\":{\"pair\""),
            ("}}}", "}}}x"),
            ("}}}", "}},\"image\":12}"),
            ("}}}", "}}"),
        ] {
            let line = LINE.replace(from, to);
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
        let line = [LINE.split("/usr").next().unwrap().as_bytes(), b"/\xff\",\"result\":\"ok\"}}}"].concat();
        assert_eq!(read(&line), None);
    }

    #[test]
    fn paths_links_and_outcomes_of_every_form_are_read_as_json() {
        let link = r#"{"text":"usr/lib","link":"/lib"}"#;
        for (from, to) in [
            ("/usr/lib", "/usr//lib/."),
            ("/usr/lib", "/%41%FF"),
            ("/usr/lib", "/\u{e9}\u{202e}"),
            ("\"ok\"", "\"unseen\""),
            ("\"ok\"", "\"ok\",\"hops\":[ ]"),
            ("\"ok\"", &format!("\"ok\",\"hops\":[{link}]")),
            ("\"ok\"", &format!("\"ok\",\"hops\":[ {link} , {link}\t]")),
            ("}}}", "}}} \r"),
        ] {
            let line = LINE.replace(from, to);
            let event = read(line.as_bytes());
            assert!(event.is_some() && event == json(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn the_call_of_the_line_before_is_no_call_of_another_name() {
        let (mut last, other) = (None, LINE.replace("openat", "openat2"));
        for line in [LINE, &other, &other, LINE, &LINE.replace("openat", "open"), &LINE.replace("openat", "openat9")] {
            assert_eq!(super::read(line.as_bytes(), &mut last), json(line.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn a_word_ends_where_a_look_at_each_byte_ends_it(text in prop::collection::vec(any::<u8>(), 0..40), at in 0..40_usize) {
            let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
            let clean: Vec<u8> = text.iter().map(|byte| if special(byte) { b'x' } else { *byte }).collect();
            for text in [&text, &[&clean[..at.min(clean.len())], &text].concat()] {
                prop_assert_eq!(plain(text), text.iter().position(special).unwrap_or(text.len()));
            }
        }

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

        #[test]
        fn the_order_of_fields_and_the_space_between_them_do_not_matter(
            fields in Just(["\"intent\":\"map\"", "\"call\":\"mmap\"", "\"path\":\"/a/b\"", "\"kind\":\"file\"",
                "\"hops\":[{\"text\":\"a\",\"link\":\"/b\"},{\"link\":\"/c\",\"text\":\"\"}]",
                "\"result\":{\"errno\":2}"].to_vec()).prop_shuffle(),
            image_first in any::<bool>(), space in "[ \t\r]{0,2}",
        ) {
            let fact = format!("\"fact\":{{\"path\":{{{}}}}}", fields.join(","));
            let pair = if image_first { format!("\"image\":7,{fact}") } else { format!("{fact},\"image\":7") };
            // No mark of JSON stands within the words of this line.
            let spread = |line: String, mark: char| line.replace(mark, &format!("{space}{mark}{space}"));
            let line = "{}[]:,".chars().fold(format!("{{{pair}}}"), spread);
            let event = read(line.as_bytes());
            prop_assert!(event.is_some());
            prop_assert_eq!(event, json(line.as_bytes()));
        }
    }
}
