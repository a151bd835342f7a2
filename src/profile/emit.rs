//! A [`Profile`] → its canonical text: one order, one grant a line, the same bytes for the same meaning; and the values of
//! single grants in the notation of files, for whoever shows one.
//!
//! Invariant: [`parse`](super::parse::parse) gives the profile back, and writing it again over its own text changes
//! nothing. Comments that a person wrote into the text before stay with their lines: see `comments`.

use std::fmt::Write as _;

use crate::vocab::endpoint::NetTarget;
use crate::vocab::escape;

use super::comments::{Anchor, Comments, Part};
use super::{Delivery, Incomplete, NetGrant, PathGrant, Profile, Protect, SCHEMA, Secret, SecretSource};

/// The text of `profile`, with the comments of `previous_text`.
pub fn emit(profile: &Profile, previous_text: Option<&str>) -> String {
    write(profile, Comments::of(previous_text.unwrap_or_default()))
}

/// The text of what is not said for people alone: without the name and the reasons. It is no file.
pub(super) fn meaning(profile: &Profile) -> String {
    page(profile, Page { bare: true, ..Page::default() }).plain
}

fn write(profile: &Profile, comments: Comments) -> String {
    let page = page(profile, Page { woven: !comments.is_empty(), ..Page::default() });
    if page.woven { comments.weave(page.lines) } else { page.plain }
}

fn page(profile: &Profile, mut page: Page) -> Page {
    head(&mut page, profile);
    grants(&mut page, profile);
    syscalls(&mut page, profile);
    environment_and_limits(&mut page, profile);
    page
}

/// The text of `profile`, with the comments of two texts that come from `base`: those that one side wrote, and of those that
/// one side took out none.
pub fn emit_merged(profile: &Profile, base: &str, ours: &str, theirs: &str) -> String {
    let comments = Comments::of(ours).merged(&Comments::of(base), &Comments::of(theirs));
    write(profile, comments)
}

/// One line of the canonical text and what comments hold on to.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) anchor: Anchor,
    pub(super) indent: &'static str,
    pub(super) text: String,
}

#[derive(Default)]
struct Page {
    /// Whether there are comments to weave in. Without them the lines are text at once: the digest of each profile that is
    /// read is over such a text.
    woven: bool,
    /// Whether what is said for people alone is left out.
    bare: bool,
    lines: Vec<Line>,
    plain: String,
    section: &'static str,
}

impl Page {
    fn line(&mut self, part: impl FnOnce() -> Part, indent: &'static str, words: [&str; 3]) {
        if self.woven {
            let anchor = Anchor { section: self.section.to_owned(), part: part() };
            self.lines.push(Line { anchor, indent, text: words.concat() });
        } else {
            self.plain.extend([indent].into_iter().chain(words));
            self.plain.push('\n');
        }
    }

    fn section(&mut self, name: &'static str) {
        self.section = name;
        if !self.woven {
            self.plain.push('\n');
        }
        self.line(|| Part::Header, "", ["[", name, "]"]);
    }

    fn entry(&mut self, key: &str, value: &str) {
        self.line(|| Part::Key(key.to_owned()), "", [&self::key(key), " = ", value]);
    }

    /// One element a line; nothing for an empty list, which says the same.
    fn list<'a>(&mut self, key: &str, elements: impl Iterator<Item = &'a str>) {
        let mut elements = elements.peekable();
        if elements.peek().is_none() {
            return;
        }
        self.line(|| Part::Key(key.to_owned()), "", [&self::key(key), " = ", "["]);
        for element in elements {
            let part = || Part::Element(key.to_owned(), element.to_owned());
            self.line(part, "    ", [&quote(element), ",", ""]);
        }
        self.line(|| Part::Close(key.to_owned()), "", ["]", "", ""]);
    }
}

fn head(page: &mut Page, profile: &Profile) {
    page.entry("schema", &SCHEMA.to_string());
    page.entry("name", &quote(if page.bare { "" } else { &profile.name }));
    page.entry("command", &command(&profile.command));
    if let Some(lack) = &profile.incomplete {
        page.entry("incomplete", &incomplete(lack));
    }
    page.list("tolerate", profile.tolerate.iter().map(|lack| lack.as_str()));
    if profile.nested_sandbox {
        page.entry("nested_sandbox", "true");
    }
    if profile.protect != Protect::default() {
        page.entry("protect", &quote(profile.protect.as_str()));
    }
}

fn grants(page: &mut Page, profile: &Profile) {
    if !profile.filesystem.is_empty() {
        page.section("filesystem");
        for (location, grant) in &profile.filesystem {
            let value = match &grant.reason {
                Some(_) if page.bare => path_grant(&PathGrant { reason: None, ..grant.clone() }),
                _ => path_grant(grant),
            };
            page.entry(&location.to_string(), &value);
        }
    }
    if !profile.network.is_empty() {
        page.section("network");
        for (target, grant) in &profile.network {
            let value = match &grant.reason {
                Some(_) if page.bare => net_grant(target, &NetGrant { reason: None, ..grant.clone() }),
                _ => net_grant(target, grant),
            };
            page.entry(&target.to_string(), &value);
        }
    }
}

fn syscalls(page: &mut Page, profile: &Profile) {
    let syscalls = &profile.syscalls;
    page.section("syscalls");
    page.entry("base", &syscalls.base.to_string());
    page.list("allow", syscalls.allow.iter().map(|call| call.name()));
    page.list("approved", syscalls.approved.iter().map(|call| call.name()));
    if !syscalls.arguments.is_empty() {
        page.section("syscalls.arguments");
        for (call, words) in &syscalls.arguments {
            if words.is_empty() {
                // Whether that says the same as no line is for the plan to know.
                page.entry(call.name(), "[]");
            }
            page.list(call.name(), words.iter().map(String::as_str));
        }
    }
}

fn environment_and_limits(page: &mut Page, profile: &Profile) {
    if !profile.environment.is_empty() {
        page.section("environment");
        page.list("pass", profile.environment.iter().map(String::as_str));
    }
    if !profile.secrets.is_empty() {
        page.section("secrets");
        for (name, secret) in &profile.secrets {
            page.entry(name, &self::secret(secret));
        }
    }
    let limits = profile.limits.lines();
    if !limits.is_empty() {
        page.section("limits");
    }
    for (key, value) in limits {
        page.entry(key, &value);
    }
    page.list("soft", profile.limits.soft.iter().map(|limit| limit.key()));
}

/// The words of a command as a list on one line: `["git"]`.
pub fn command(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| quote(word)).collect();
    format!("[{}]", words.join(", "))
}

/// What stands behind `incomplete`.
pub fn incomplete(lack: &Incomplete) -> String {
    let gaps: Vec<_> = lack.gaps.iter().map(|gap| quote(gap.as_str())).collect();
    format!("{{ gaps = [{}], approved = {} }}", gaps.join(", "), lack.approved)
}

/// What stands behind a place: `"read"`, or a table where there is more to say.
pub fn path_grant(grant: &PathGrant) -> String {
    let usual = grant.sensitive.is_none();
    let sensitive = grant.sensitive.map(|sensitive| ("sensitive", quote(sensitive.as_str())));
    let approved = (!usual || !grant.approved).then(|| ("approved", grant.approved.to_string()));
    short_or_table(grant.access.as_str(), [sensitive, approved, reason(grant.reason.as_deref())])
}

/// What stands behind a peer: `"connect"`, or a table where there is more to say.
pub fn net_grant(target: &NetTarget, grant: &NetGrant) -> String {
    let approved = (target.needs_approval() || !grant.approved).then(|| ("approved", grant.approved.to_string()));
    short_or_table(grant.access.as_str(), [approved, reason(grant.reason.as_deref()), None])
}

/// What stands behind the name of a secret.
pub fn secret(secret: &Secret) -> String {
    let mut out = format!("{{ from = {}", quote(secret.from.as_str()));
    let _ = match &secret.from {
        SecretSource::Env => Ok(()),
        SecretSource::File(place) => write!(out, ", path = {}", quote(&place.to_string())),
        SecretSource::Descriptor(number) => write!(out, ", fd = {number}"),
        SecretSource::Command(words) => write!(out, ", command = {}", command(words)),
    };
    if secret.to != Delivery::Variable {
        let _ = write!(out, ", to = {}", quote(secret.to.as_str()));
    }
    if let Delivery::File(Some(place)) = &secret.to {
        let _ = write!(out, ", at = {}", quote(&place.to_string()));
    }
    let _ = write!(out, ", approved = {} }}", secret.approved);
    out
}

fn reason(reason: Option<&str>) -> Option<(&'static str, String)> {
    reason.map(|reason| ("reason", quote(reason)))
}

fn short_or_table(access: &str, more: [Option<(&'static str, String)>; 3]) -> String {
    let more: String = more.into_iter().flatten().map(|(key, value)| format!(", {key} = {value}")).collect();
    if more.is_empty() { quote(access) } else { format!("{{ access = {}{more} }}", quote(access)) }
}

/// A key: bare if it may be.
fn key(text: &str) -> String {
    let word = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
    if word { text.to_owned() } else { quote(text) }
}

/// A TOML string on one line; what is not shown as itself is written `\uHHHH`, so it is harmless on a terminal too.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
        out.push_str(text);
        out.push('"');
        return out;
    }
    for c in text.chars() {
        let mut buffer = [0; 4];
        let bytes = c.encode_utf8(&mut buffer);
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            _ if escape::terminal(bytes.as_bytes()) == *bytes => out.push(c),
            _ if u32::from(c) <= 0xffff => drop(write!(out, "\\u{:04X}", u32::from(c))),
            _ => drop(write!(out, "\\U{:08X}", u32::from(c))),
        }
    }
    out.push('"');
    out
}
