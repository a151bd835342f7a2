//! Untrusted bytes made harmless: for a terminal, and for the two file formats.
//!
//! Names in a trace are chosen by the program that was watched; a name may hold terminal control sequences, bidirectional
//! overrides or bytes that are no text at all. Nothing from a trace reaches a screen or a file but through here.

use std::fmt::Write as _;

/// Why a string is not the escaped form of some bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`%` at byte {at} is not followed by two hexadecimal digits")]
pub struct UnescapeError {
    /// Offset of the `%` in the string, from 0.
    pub at: usize,
}

/// Characters that change how the text around them is shown, or that are not shown at all.
fn is_deceptive(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E0FFF}')
}

/// For people: control and deceptive characters and invalid UTF-8 become `\xHH`; a backslash is doubled.
///
/// ```
/// # use pinfold::vocab::escape::terminal;
/// assert_eq!(terminal(b"a\x1b[31m"), r"a\x1b[31m");
/// ```
pub fn terminal(bytes: &[u8]) -> String {
    walk(
        bytes,
        |c| c == '\\' || is_deceptive(c),
        |out, byte| {
            if byte == b'\\' {
                out.push_str("\\\\");
            } else {
                let _ = write!(out, "\\x{byte:02x}");
            }
        },
    )
}

/// For text of our own with names of others in it: as [`terminal`], but line ends, tabs, backslashes and colours stay.
///
/// ```
/// # use pinfold::vocab::escape::message;
/// assert_eq!(message("\x1b[31mno \x1b]52;c;aGk=\x07\x1b[0m\n"), "\x1b[31mno \\x1b]52;c;aGk=\\x07\x1b[0m\n");
/// ```
pub fn message(text: &str) -> String {
    let special = |c| is_deceptive(c) && !matches!(c, '\n' | '\t');
    let emit = |out: &mut String, byte: u8| {
        let _ = write!(out, "\\x{byte:02x}");
    };
    let mut parts = text.split('\x1b');
    let mut out = walk(parts.next().unwrap_or_default().as_bytes(), special, emit);
    for part in parts {
        let digits = part.strip_prefix('[').map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        out.push_str(if digits.is_some_and(|rest| rest.starts_with('m')) { "\x1b" } else { "\\x1b" });
        out.push_str(&walk(part.as_bytes(), special, emit));
    }
    out
}

/// For files: every byte that is not shown as itself, and `%`, becomes `%HH`. Undone by [`unfile`].
///
/// ```
/// # use pinfold::vocab::escape::{file, unfile};
/// assert_eq!(file(b"100%\xff"), "100%25%FF");
/// assert_eq!(unfile("100%25%FF").unwrap(), b"100%\xff");
/// ```
pub fn file(bytes: &[u8]) -> String {
    file_with(bytes, |_| false)
}

/// As [`file()`], with further characters to escape.
pub fn file_with(bytes: &[u8], also: impl Fn(char) -> bool) -> String {
    walk(
        bytes,
        |c| c == '%' || is_deceptive(c) || also(c),
        |out, byte| {
            let _ = write!(out, "%{byte:02X}");
        },
    )
}

/// As [`file_with`], into `out`.
pub fn write_file_with(out: &mut impl std::fmt::Write, bytes: &[u8], also: impl Fn(char) -> bool) -> std::fmt::Result {
    match plain(bytes, |c| c == '%' || also(c)) {
        Some(text) => out.write_str(text),
        None => out.write_str(&file_with(bytes, also)),
    }
}

/// The bytes as text, where all of it is shown as itself and none is `special`: nearly all names, of which a profile may
/// have a hundred thousand.
fn plain(bytes: &[u8], special: impl Fn(char) -> bool) -> Option<&str> {
    let is_plain = |&byte: &u8| matches!(byte, b' '..=b'~') && !special(char::from(byte));
    bytes.iter().all(is_plain).then(|| std::str::from_utf8(bytes).ok())?
}

/// The bytes that [`file()`] turned into `text`.
pub fn unfile(text: &str) -> Result<Vec<u8>, UnescapeError> {
    if !text.contains('%') {
        return Ok(text.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let pair = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let value = pair
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let Some(value) = value else {
            return Err(UnescapeError { at: text.len() - tail.len() - 1 });
        };
        out.push(value);
        rest = tail.get(2..).unwrap_or_default();
    }
    Ok(out)
}

fn walk(bytes: &[u8], special: impl Fn(char) -> bool, emit: impl Fn(&mut String, u8)) -> String {
    if let Some(text) = plain(bytes, &special) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if special(c) {
                let mut buffer = [0; 4];
                c.encode_utf8(&mut buffer).bytes().for_each(|b| emit(&mut out, b));
            } else {
                out.push(c);
            }
        }
        chunk.invalid().iter().for_each(|&b| emit(&mut out, b));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn osc52_clipboard_payload_is_inert_on_a_terminal() {
        assert_eq!(terminal(b"\x1b]52;c;aGk=\x07"), r"\x1b]52;c;aGk=\x07");
    }

    #[test]
    fn bidi_override_is_inert_on_a_terminal() {
        assert_eq!(terminal("a\u{202E}b".as_bytes()), r"a\xe2\x80\xaeb");
    }

    proptest! {
        #[test]
        fn file_escape_is_undone_for_all_bytes(bytes: Vec<u8>) {
            prop_assert_eq!(unfile(&file(&bytes)).unwrap(), bytes);
        }
    }
}
