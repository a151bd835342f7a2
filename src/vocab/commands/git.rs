//! git's configuration (git-config(1), "Syntax") → its entries.
//!
//! As git reads it, or not at all: whatever this reader does not understand is [`Unreadable`], so that no text means one
//! thing here and another to git.

use std::fmt;

use super::Unreadable;

/// One key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// In lower case.
    section: String,
    subsection: Option<String>,
    /// In lower case.
    name: String,
    /// Empty for a key without one, which is true.
    pub(super) value: String,
}

impl Entry {
    /// Whether this is the key of `pattern`: `section.name`, or `section.*.name` with any subsection.
    pub(super) fn is(&self, pattern: &str) -> bool {
        match (pattern.split_once('.'), pattern.rsplit_once('.'), &self.subsection) {
            (Some((section, name)), _, None) => section == self.section && name == self.name,
            (Some((section, rest)), Some((_, name)), Some(_)) => {
                section == self.section && rest == format!("*.{name}") && name == self.name
            }
            _ => false,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subsection {
            Some(sub) => write!(f, "{}.{sub}.{}", self.section, self.name),
            None => write!(f, "{}.{}", self.section, self.name),
        }
    }
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
}

/// The entries of `bytes`, in order.
pub(super) fn entries(bytes: &[u8]) -> Result<Vec<Entry>, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable)?;
    if text.contains('\0') {
        return Err(Unreadable);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut reader = Reader { rest: text.chars().peekable() };
    let (mut found, mut here) = (Vec::new(), None);
    while let Some(c) = reader.rest.next() {
        match c {
            c if c.is_ascii_whitespace() => {}
            '#' | ';' => reader.skip_line(),
            '[' => here = Some(reader.section()?),
            c if c.is_ascii_alphabetic() => {
                let (section, subsection): (String, Option<String>) = here.clone().ok_or(Unreadable)?;
                let name = reader.name(c);
                let value = reader.value()?;
                found.push(Entry { section, subsection, name, value });
            }
            _ => return Err(Unreadable),
        }
    }
    Ok(found)
}

impl Reader<'_> {
    fn skip_line(&mut self) {
        while self.rest.next_if(|c| *c != '\n').is_some() {}
    }

    fn section(&mut self) -> Result<(String, Option<String>), Unreadable> {
        let mut section = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')) {
            section.push(c.to_ascii_lowercase());
        }
        match self.rest.next() {
            // `[a.b]` is an old way to write a subsection.
            Some(']') => match section.split_once('.') {
                Some((section, sub)) => Ok((section.to_owned(), Some(sub.to_owned()))),
                None => Ok((section, None)),
            },
            Some(' ' | '\t') => {
                while self.rest.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
                if self.rest.next() != Some('"') {
                    return Err(Unreadable);
                }
                let mut sub = String::new();
                loop {
                    match self.rest.next() {
                        Some('"') => break,
                        Some('\\') => sub.push(self.rest.next().filter(|c| *c != '\n').ok_or(Unreadable)?),
                        Some(c) if c != '\n' => sub.push(c),
                        _ => return Err(Unreadable),
                    }
                }
                if self.rest.next() == Some(']') { Ok((section, Some(sub))) } else { Err(Unreadable) }
            }
            _ => Err(Unreadable),
        }
    }

    fn name(&mut self, first: char) -> String {
        let mut name = first.to_ascii_lowercase().to_string();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '-') {
            name.push(c.to_ascii_lowercase());
        }
        name
    }

    fn value(&mut self) -> Result<String, Unreadable> {
        while self.rest.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        match self.rest.next() {
            None | Some('\n') => return Ok(String::new()),
            Some('=') => {}
            Some(_) => return Err(Unreadable),
        }
        let (mut value, mut quoted) = (String::new(), false);
        loop {
            match self.rest.next() {
                None | Some('\n') if !quoted => return Ok(value.trim().to_owned()),
                None | Some('\n') => return Err(Unreadable),
                Some('#' | ';') if !quoted => self.skip_line(),
                Some('"') => quoted = !quoted,
                Some('\\') => match self.rest.next() {
                    Some('\n') => {}
                    Some('n') => value.push('\n'),
                    Some('t') => value.push('\t'),
                    Some('b') => value.push('\u{8}'),
                    Some(c @ ('"' | '\\')) => value.push(c),
                    _ => return Err(Unreadable),
                },
                Some(c) => value.push(c),
            }
        }
    }
}
