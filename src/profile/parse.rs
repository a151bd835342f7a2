//! The text of a profile → a [`Profile`], or one error with its place: nothing is guessed, skipped or defaulted to more.
//!
//! Invariant: what is returned says all that the text says. A key, word, system call or schema that this version does not
//! know is an error, since a text that was meant to narrow must not be read as one that does not. Each place has one
//! spelling. It does not judge whether grants are wise, and does not look at the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write as _};
use std::ops::Range;

use toml_edit::{Document, Item, Key, TableLike};

use crate::event::GapKind;
use crate::vocab::access::Access;
use crate::vocab::bundle::{self, Bundle};
use crate::vocab::endpoint::NetTarget;
use crate::vocab::escape;
use crate::vocab::limits::{Bytes, Limit, Percent, Rate};
use crate::vocab::location::Location;
use crate::vocab::sensitivity::Sensitivity;
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::BASE_VERSION;

use super::{
    Delivery, Incomplete, Lack, Limits, NetAccess, NetGrant, PathGrant, Profile, Protect, SCHEMA, Secret, SecretSource,
    Syscalls,
};

/// Why a text is no profile, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {problem}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What stands there, harmless on a terminal, and its beginning only when it is long.
    pub text: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a profile. Texts in it are harmless on a terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// A raw control character, or one that changes how the text around it is shown.
    #[error("the character {0} makes the text look like another")]
    Deceptive(String),
    /// Written for a later version.
    #[error("schema {0} is newer than {SCHEMA}, the newest that this version reads")]
    NewerSchema(i64),
    /// No version ever wrote it.
    #[error("there is no schema {0}")]
    NoSchema(i64),
    /// A base set of a later version.
    #[error("base set {0} is not known; the newest that this version knows is {BASE_VERSION}")]
    NewerBase(i64),
    /// Something that every profile has.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A key that means nothing here.
    #[error("unknown key `{key}`")]
    UnknownKey {
        /// The key.
        key: String,
        /// Those that would mean something.
        known: &'static [&'static str],
    },
    /// A word that means nothing here.
    #[error("unknown {what} `{word}`")]
    UnknownWord {
        /// What is named here: `access`.
        what: &'static str,
        /// The word.
        word: String,
        /// Those that would mean something.
        known: &'static [&'static str],
    },
    /// A system call that the table of this build does not have.
    #[error("unknown system call `{0}`")]
    UnknownCall(String),
    /// A key of a later schema, kept free.
    #[error("`{0}` is reserved; this version does not support it")]
    Reserved(String),
    /// Another kind of value.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A bundle that there is not.
    #[error("there is no bundle `@{0}`")]
    NoBundle(String),
    /// A bundle that is to be more than read.
    #[error("a bundle can only be granted as `read`, and is not sensitive")]
    BundleAccess,
    /// Not a place, target or amount.
    #[error("{0}")]
    Value(String),
    /// A second spelling of one thing.
    #[error("must be written in its one form, `{0}`")]
    Spelling(String),
    /// An element that is in the list already.
    #[error("`{0}` is listed twice")]
    Twice(String),
    /// `connect` for the host's network, or `unconfined` for one peer.
    #[error("`{target}` can only be granted as `{access}`")]
    WrongAccess {
        /// The peer.
        target: String,
        /// What fits it.
        access: &'static str,
    },
    /// An approval of what is not there.
    #[error("`{0}` is approved and not in `allow`")]
    NotAllowed(String),
}

impl ParseError {
    /// What to do about it, where that is more than the message says.
    pub fn hint(&self) -> Option<String> {
        match &self.problem {
            Problem::Deceptive(_) => Some("write it as an escape: `%HH` in a place, `\\uHHHH` elsewhere".into()),
            Problem::NewerSchema(_) | Problem::NewerBase(_) => Some("a newer pinfold wrote this: update".into()),
            Problem::UnknownKey { known, .. } | Problem::UnknownWord { known, .. } if !known.is_empty() => {
                Some(format!("known here: {}", known.join(", ")))
            }
            Problem::UnknownCall(_) => Some("names are as in the manual pages, e.g. `openat`".into()),
            Problem::Reserved(_) => Some("nothing would enforce it: delete it, or use a version that does".into()),
            Problem::NoBundle(_) => {
                let known: Vec<String> = bundle::names().map(|name| format!("@{name}")).collect();
                Some(format!("known here: {}; or write one: see docs/profile.md", known.join(", ")))
            }
            Problem::BundleAccess => Some("name the place itself that is to be written".into()),
            Problem::NotAllowed(call) => Some(format!("add `{call}` to `allow` too, or delete it here")),
            _ => None,
        }
    }
}

/// Keys of the top level, in the order of files.
const TOP: &[&str] = &[
    "schema",
    "name",
    "command",
    "incomplete",
    "tolerate",
    "nested_sandbox",
    "protect",
    "filesystem",
    "network",
    "syscalls",
    "environment",
    "secrets",
    "limits",
];
const PATH_KEYS: &[&str] = &["access", "sensitive", "approved", "reason"];
const SECRET_KEYS: &[&str] = &["from", "path", "fd", "command", "to", "at", "approved"];
const SOURCES: &[&str] = &["env", "file", "fd", "command"];
const DELIVERIES: &[&str] = &["env", "file", "fd"];
const LIMIT_KEYS: &[&str] = &["memory", "processes", "cpu", "file-size", "disk", "io", "soft"];
const NET_KEYS: &[&str] = &["access", "approved", "reason"];
/// For a hint: the words of [`GapKind::ALL`].
const GAPS: &[&str] = &[
    "cut-short",
    "environment",
    "flood",
    "imported",
    "interrupted",
    "lost-task",
    "timeout",
    "unreadable-path",
    "unresolved",
];
const RESERVED: &[&str] = &["program", "audit", "on_violation"];

/// Longest part of a text that an error repeats, in characters.
const SHOWN: usize = 60;

/// Reads a profile, with the bundles of this program.
pub fn parse(text: &str) -> Result<Profile, ParseError> {
    parse_with(text, &bundle::known)
}

/// Reads a profile; `bundles` gives what stands behind the name of a bundle.
pub fn parse_with(text: &str, bundles: &dyn Fn(&str) -> Option<Bundle>) -> Result<Profile, ParseError> {
    let source = Source(text);
    source.shows_what_it_says()?;
    let document = Document::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        source.error(&span, Problem::Syntax(escape::terminal(error.message().replace('\n', ", ").as_bytes())))
    })?;
    let root = Table { source, entries: document.as_table(), span: 0..0 };
    // Before anything else: a newer schema may have any other shape.
    let schema = root.required("schema")?;
    match schema.integer()? {
        newer if newer > i64::from(SCHEMA) => return Err(schema.error(Problem::NewerSchema(newer))),
        older if older < 1 => return Err(schema.error(Problem::NoSchema(older))),
        _ => root.only(TOP)?,
    }
    let mut named = BTreeMap::new();
    let filesystem = entries(root.get("filesystem"), key, |location, field| {
        if let Location::Bundle(name) = location {
            let bundle = bundles(name).ok_or_else(|| field.key_error(Problem::NoBundle(name.clone())))?;
            named.insert(name.clone(), bundle);
        }
        path_grant(location, field)
    })?;
    Ok(Profile {
        name: name(&root.required("name")?)?,
        command: command(&root.required("command")?)?,
        incomplete: root.get("incomplete").map(|field| incomplete(&field)).transpose()?,
        tolerate: root.get("tolerate").map_or_else(|| Ok(BTreeSet::new()), |field| tolerate(&field))?,
        nested_sandbox: root.get("nested_sandbox").map_or(Ok(false), |field| field.truth())?,
        protect: root.get("protect").map_or(Ok(Protect::default()), |field| protect(&field))?,
        filesystem,
        bundles: named,
        network: entries(root.get("network"), target, net_grant)?,
        syscalls: syscalls(&root.required("syscalls")?.table()?)?,
        environment: environment(root.get("environment"))?,
        secrets: entries(root.get("secrets"), variable, |_, field| secret(field))?,
        limits: limits(root.get("limits"))?,
    })
}

/// The whole text, to say where something is.
#[derive(Clone, Copy)]
struct Source<'a>(&'a str);

impl Source<'_> {
    fn error(self, span: &Range<usize>, problem: Problem) -> ParseError {
        let start = (0..=span.start.min(self.0.len())).rev().find(|&at| self.0.is_char_boundary(at)).unwrap_or(0);
        let (before, after) = self.0.split_at(start);
        let line = before.rsplit('\n').next().unwrap_or_default();
        let length = span.end.saturating_sub(start);
        let shown = after.char_indices().take_while(|&(at, c)| at < length && c != '\n').take(SHOWN);
        let shown: String = shown.map(|(_, c)| c).collect();
        ParseError {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            text: escape::terminal(shown.as_bytes()),
            problem,
        }
    }

    /// A reviewer must see what the parser reads, in comments too: no bidirectional controls, no terminal controls.
    fn shows_what_it_says(self) -> Result<(), ParseError> {
        match self.0.char_indices().find(|&(_, c)| is_deceptive(c)) {
            None => Ok(()),
            Some((at, c)) => {
                let name = format!("U+{:04X}", u32::from(c));
                Err(self.error(&(at..at + c.len_utf8()), Problem::Deceptive(name)))
            }
        }
    }
}

/// Characters that no profile has as themselves, comments included.
pub(super) fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
        || (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

/// A table, of whatever spelling.
struct Table<'a> {
    source: Source<'a>,
    entries: &'a dyn TableLike,
    span: Range<usize>,
}

impl<'a> Table<'a> {
    fn get(&self, key: &str) -> Option<Field<'a>> {
        let (key, item) = self.entries.get_key_value(key)?;
        Some(Field { source: self.source, key: Some(key), item })
    }

    fn required(&self, key: &'static str) -> Result<Field<'a>, ParseError> {
        self.get(key).ok_or_else(|| self.source.error(&self.span, Problem::Missing(key)))
    }

    fn fields(&self) -> impl Iterator<Item = Field<'a>> {
        self.entries.iter().filter_map(|(key, _)| self.get(key))
    }

    fn only(&self, known: &'static [&'static str]) -> Result<(), ParseError> {
        for field in self.fields() {
            let key = field.name();
            if RESERVED.contains(&key) {
                return Err(field.key_error(Problem::Reserved(key.to_owned())));
            }
            if !known.contains(&key) {
                return Err(field.key_error(Problem::UnknownKey { key: shown(key), known }));
            }
        }
        Ok(())
    }
}

/// A value and the key that it stands behind, if it is no element.
#[derive(Clone, Copy)]
struct Field<'a> {
    source: Source<'a>,
    key: Option<&'a Key>,
    item: &'a Item,
}

impl<'a> Field<'a> {
    fn name(&self) -> &'a str {
        self.key.map_or("", |key| key.get())
    }

    fn key_span(&self) -> Range<usize> {
        self.key.and_then(Key::span).unwrap_or(0..0)
    }

    fn error(&self, problem: Problem) -> ParseError {
        self.source.error(&self.item.span().unwrap_or_else(|| self.key_span()), problem)
    }

    fn key_error(&self, problem: Problem) -> ParseError {
        self.source.error(&self.key_span(), problem)
    }

    fn integer(&self) -> Result<i64, ParseError> {
        self.item.as_integer().ok_or_else(|| self.error(Problem::Expected("a number")))
    }

    fn number(&self) -> Result<u32, ParseError> {
        let number = self.integer()?;
        u32::try_from(number).map_err(|_| self.error(Problem::Value(format!("`{number}` is out of range"))))
    }

    fn string(&self) -> Result<&'a str, ParseError> {
        self.item.as_str().ok_or_else(|| self.error(Problem::Expected("a string")))
    }

    fn truth(&self) -> Result<bool, ParseError> {
        self.item.as_bool().ok_or_else(|| self.error(Problem::Expected("true or false")))
    }

    fn table(&self) -> Result<Table<'a>, ParseError> {
        let entries = self.item.as_table_like().ok_or_else(|| self.error(Problem::Expected("a table")))?;
        Ok(Table { source: self.source, entries, span: self.item.span().unwrap_or_else(|| self.key_span()) })
    }

    /// The elements, each with a way to complain about it.
    fn strings(&self) -> Result<Vec<Word<'a>>, ParseError> {
        let array = self.item.as_array().ok_or_else(|| self.error(Problem::Expected("a list of strings")))?;
        let word = |value: &'a toml_edit::Value| {
            let span = value.span().unwrap_or_else(|| self.key_span());
            match value.as_str() {
                Some(text) => Ok(Word { source: self.source, span, text }),
                None => Err(self.source.error(&span, Problem::Expected("a string"))),
            }
        };
        array.iter().map(word).collect()
    }

    /// The elements as a set of what `read` makes of each.
    fn set<T: Ord>(&self, read: impl Fn(&Word<'a>) -> Result<T, Problem>) -> Result<BTreeSet<T>, ParseError> {
        let mut set = BTreeSet::new();
        for word in self.strings()? {
            if !set.insert(read(&word).map_err(|problem| word.error(problem))?) {
                return Err(word.error(Problem::Twice(shown(word.text))));
            }
        }
        Ok(set)
    }
}

/// A string in a list.
struct Word<'a> {
    source: Source<'a>,
    span: Range<usize>,
    text: &'a str,
}

impl Word<'_> {
    fn error(&self, problem: Problem) -> ParseError {
        self.source.error(&self.span, problem)
    }
}

fn shown(text: &str) -> String {
    escape::terminal(text.chars().take(SHOWN).collect::<String>().as_bytes())
}

fn value(error: &impl ToString) -> Problem {
    Problem::Value(escape::terminal(error.to_string().as_bytes()))
}

fn name(field: &Field<'_>) -> Result<String, ParseError> {
    let name = field.string()?;
    if name.is_empty() || name.contains('/') {
        return Err(field.error(Problem::Expected("a name that is not empty and has no `/`")));
    }
    Ok(name.to_owned())
}

fn command(field: &Field<'_>) -> Result<Vec<String>, ParseError> {
    let words = field.strings()?;
    if words.is_empty() {
        return Err(field.error(Problem::Expected("at least the name of a program")));
    }
    let check = |word: &Word<'_>| match escape::unfile(word.text) {
        Ok(_) => Ok(word.text.to_owned()),
        Err(error) => Err(word.error(value(&error))),
    };
    words.iter().map(check).collect()
}

fn incomplete(field: &Field<'_>) -> Result<Incomplete, ParseError> {
    let table = field.table()?;
    table.only(&["gaps", "approved"])?;
    let gaps = table.required("gaps")?;
    let gap = |word: &Word<'_>| {
        let known = GapKind::ALL.into_iter().find(|kind| kind.as_str() == word.text);
        known.ok_or_else(|| Problem::UnknownWord { what: "gap", word: shown(word.text), known: GAPS })
    };
    let set = gaps.set(gap)?;
    if set.is_empty() {
        return Err(gaps.error(Problem::Expected("at least one gap: without one the line has no meaning")));
    }
    let approved = table.get("approved").map_or(Ok(false), |field| field.truth())?;
    Ok(Incomplete { gaps: set, approved })
}

fn tolerate(field: &Field<'_>) -> Result<BTreeSet<Lack>, ParseError> {
    field.set(|word| {
        let known = Lack::ALL.into_iter().find(|lack| lack.as_str() == word.text);
        known.ok_or_else(|| Problem::UnknownWord { what: "lack", word: shown(word.text), known: &Lack::WORDS })
    })
}

fn protect(field: &Field<'_>) -> Result<Protect, ParseError> {
    let word = field.string()?;
    let known = Protect::ALL.into_iter().find(|protect| protect.as_str() == word);
    let what = || Problem::UnknownWord { what: "protection", word: shown(word), known: &["strict", "scan"] };
    known.ok_or_else(|| field.error(what()))
}

/// The entries of a section: `key` reads the key, `grant` the value.
fn entries<K: Ord, V>(
    section: Option<Field<'_>>,
    key: impl Fn(&str) -> Result<K, Problem>,
    mut grant: impl FnMut(&K, &Field<'_>) -> Result<V, ParseError>,
) -> Result<BTreeMap<K, V>, ParseError> {
    let mut map = BTreeMap::new();
    let Some(section) = section else { return Ok(map) };
    for field in section.table()?.fields() {
        let key = key(field.name()).map_err(|problem| field.key_error(problem))?;
        let grant = grant(&key, &field)?;
        map.insert(key, grant);
    }
    Ok(map)
}

fn key(text: &str) -> Result<Location, Problem> {
    let location: Location = text.parse().map_err(|error| value(&error))?;
    one_form(location, text)
}

/// A key that is no bundle.
fn location(text: &str) -> Result<Location, Problem> {
    match key(text)? {
        Location::Bundle(_) => Err(Problem::Expected("a place, which is no bundle")),
        place => Ok(place),
    }
}

fn target(text: &str) -> Result<NetTarget, Problem> {
    let target: NetTarget = text.parse().map_err(|error| value(&error))?;
    one_form(target, text)
}

/// Two spellings of one key would be two lines for one grant.
fn one_form<T: Display>(key: T, text: &str) -> Result<T, Problem> {
    let mut rest = Rest(text);
    if write!(rest, "{key}").is_ok() && rest.0.is_empty() {
        return Ok(key);
    }
    Err(Problem::Spelling(escape::terminal(key.to_string().as_bytes())))
}

/// What is still to be written of an expected text; another text is an error.
struct Rest<'a>(&'a str);

impl std::fmt::Write for Rest<'_> {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        self.0 = self.0.strip_prefix(part).ok_or(std::fmt::Error)?;
        Ok(())
    }
}

fn variable(text: &str) -> Result<String, Problem> {
    if text.is_empty() || text.contains(['=', '\0']) {
        return Err(Problem::Expected("the name of a variable"));
    }
    Ok(text.to_owned())
}

fn path_grant(location: &Location, field: &Field<'_>) -> Result<PathGrant, ParseError> {
    let grant = grant_of(field)?;
    let is_bundle = matches!(location, Location::Bundle(_));
    if is_bundle && (grant.access != Access::Read || grant.sensitive.is_some()) {
        return Err(field.error(Problem::BundleAccess));
    }
    Ok(grant)
}

fn grant_of(field: &Field<'_>) -> Result<PathGrant, ParseError> {
    if field.item.as_str().is_some() {
        return Ok(PathGrant { access: access(field)?, sensitive: None, approved: true, reason: None });
    }
    let table = field.table().map_err(|_| field.error(Problem::Expected("an access or a table with one")))?;
    table.only(PATH_KEYS)?;
    let sensitive = table.get("sensitive").map(|field| sensitivity(&field)).transpose()?;
    Ok(PathGrant {
        access: access(&table.required("access")?)?,
        sensitive,
        // What is sensitive is not approved by leaving a word out.
        approved: table.get("approved").map_or(Ok(sensitive.is_none()), |field| field.truth())?,
        reason: reason(&table)?,
    })
}

fn reason(table: &Table<'_>) -> Result<Option<String>, ParseError> {
    table.get("reason").map(|field| field.string().map(str::to_owned)).transpose()
}

fn access(field: &Field<'_>) -> Result<Access, ParseError> {
    let all = [Access::Exist, Access::Read, Access::Write, Access::Replace];
    let word = field.string()?;
    let known = &["exist", "read", "write", "replace"];
    all.into_iter()
        .find(|access| access.as_str() == word)
        .ok_or_else(|| field.error(Problem::UnknownWord { what: "access", word: shown(word), known }))
}

fn sensitivity(field: &Field<'_>) -> Result<Sensitivity, ParseError> {
    use Sensitivity::{Credential, HostExecutes, Pinfold, Vault};
    let word = field.string()?;
    let known = &["vault", "credential", "host-executes", "pinfold"];
    [Vault, Credential, HostExecutes, Pinfold]
        .into_iter()
        .find(|sensitivity| sensitivity.as_str() == word)
        .ok_or_else(|| field.error(Problem::UnknownWord { what: "sensitivity", word: shown(word), known }))
}

fn net_grant(target: &NetTarget, field: &Field<'_>) -> Result<NetGrant, ParseError> {
    // What leads wide or inward is not approved by leaving a word out.
    let usual = !target.needs_approval();
    if field.item.as_str().is_some() {
        return Ok(NetGrant { access: net_access(target, field)?, approved: usual, reason: None });
    }
    let table = field.table().map_err(|_| field.error(Problem::Expected("an access or a table with one")))?;
    table.only(NET_KEYS)?;
    Ok(NetGrant {
        access: net_access(target, &table.required("access")?)?,
        approved: table.get("approved").map_or(Ok(usual), |field| field.truth())?,
        reason: reason(&table)?,
    })
}

fn net_access(target: &NetTarget, field: &Field<'_>) -> Result<NetAccess, ParseError> {
    let word = field.string()?;
    let known = &NetAccess::WORDS;
    let access = NetAccess::ALL.into_iter().find(|access| access.as_str() == word);
    let access =
        access.ok_or_else(|| field.error(Problem::UnknownWord { what: "access", word: shown(word), known }))?;
    if !access.is_for(target) {
        let access = NetAccess::usual(target).as_str();
        return Err(field.error(Problem::WrongAccess { target: target.to_string(), access }));
    }
    Ok(access)
}

fn call(text: &str) -> Result<Syscall, Problem> {
    Syscall::from_name(text).ok_or_else(|| Problem::UnknownCall(shown(text)))
}

fn syscalls(table: &Table<'_>) -> Result<Syscalls, ParseError> {
    table.only(&["base", "allow", "approved", "arguments"])?;
    let base = table.required("base")?;
    let number = base.number()?;
    if number > BASE_VERSION {
        return Err(base.error(Problem::NewerBase(number.into())));
    }
    let set = |key: &str| table.get(key).map_or(Ok(BTreeSet::new()), |field| field.set(|word| call(word.text)));
    let allow = set("allow")?;
    if let Some(approved) = table.get("approved") {
        approved.set(|word| match call(word.text)? {
            call if allow.contains(&call) => Ok(call),
            call => Err(Problem::NotAllowed(call.name().to_owned())),
        })?;
    }
    let approved = set("approved")?;
    let arguments = entries(table.get("arguments"), call, |_, field| field.set(|word| argument(word.text)))?;
    Ok(Syscalls { base: number, allow, arguments, approved })
}

fn argument(text: &str) -> Result<String, Problem> {
    if text.is_empty() || !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        return Err(Problem::Expected("words such as `inet stream`"));
    }
    Ok(text.to_owned())
}

fn environment(section: Option<Field<'_>>) -> Result<BTreeSet<String>, ParseError> {
    let Some(section) = section else { return Ok(BTreeSet::new()) };
    let table = section.table()?;
    table.only(&["pass"])?;
    table.get("pass").map_or(Ok(BTreeSet::new()), |field| field.set(|word| variable(word.text)))
}

fn secret(field: &Field<'_>) -> Result<Secret, ParseError> {
    let table = field.table()?;
    table.only(SECRET_KEYS)?;
    let from = table.required("from")?;
    // A key that belongs to another source or delivery would be a line that says nothing.
    let alone = |key: &'static str, word: &str| match table.get(key) {
        Some(field) => Err(field.key_error(Problem::Value(format!("`{key}` goes with `{word}`")))),
        None => Ok(()),
    };
    let source = match from.string()? {
        "env" => SecretSource::Env,
        "file" => SecretSource::File(place(&table.required("path")?)?),
        "fd" => SecretSource::Descriptor(descriptor(&table.required("fd")?)?),
        "command" => {
            let words = table.required("command")?;
            SecretSource::Command(command(&words)?)
        }
        word => {
            return Err(from.error(Problem::UnknownWord { what: "source", word: shown(word), known: SOURCES }));
        }
    };
    for (key, word) in [("path", "file"), ("fd", "fd"), ("command", "command")] {
        if source.as_str() != word {
            alone(key, &format!("from = \"{word}\""))?;
        }
    }
    let to = match table.get("to").map(|field| Ok((field, field.string()?))).transpose()? {
        None | Some((_, "env")) => Delivery::Variable,
        Some((_, "file")) => Delivery::File(table.get("at").map(|field| place(&field)).transpose()?),
        Some((_, "fd")) => Delivery::Descriptor,
        Some((field, word)) => {
            return Err(field.error(Problem::UnknownWord { what: "delivery", word: shown(word), known: DELIVERIES }));
        }
    };
    if !matches!(to, Delivery::File(_)) {
        alone("at", "to = \"file\"")?;
    }
    let approved = table.get("approved").map_or(Ok(false), |field| field.truth())?;
    Ok(Secret { from: source, to, approved })
}

/// A single place as the value of a key.
fn place(field: &Field<'_>) -> Result<Location, ParseError> {
    location(field.string()?).map_err(|problem| field.error(problem))
}

/// One that a shell can leave open, beyond the standard streams.
fn descriptor(field: &Field<'_>) -> Result<u32, ParseError> {
    match field.number()? {
        0..=2 => Err(field.error(Problem::Expected("a descriptor above 2"))),
        number => Ok(number),
    }
}

/// Limits by name, each of which is set.
fn soft(field: &Field<'_>, table: &Table<'_>) -> Result<BTreeSet<Limit>, ParseError> {
    let known = &["memory", "processes", "cpu", "file-size", "disk", "io"];
    field.set(|word| match Limit::ALL.into_iter().find(|limit| limit.key() == word.text) {
        Some(limit) if table.get(limit.key()).is_some() => Ok(limit),
        Some(limit) => Err(Problem::Value(format!("`{}` is soft and not set", limit.key()))),
        None => Err(Problem::UnknownWord { what: "limit", word: shown(word.text), known }),
    })
}

fn limits(section: Option<Field<'_>>) -> Result<Limits, ParseError> {
    let Some(section) = section else { return Ok(Limits::default()) };
    let table = section.table()?;
    table.only(LIMIT_KEYS)?;
    let zero = |field: &Field<'_>| field.error(Problem::Expected("a limit above 0"));
    let bytes = |field: Field<'_>| match field.string()?.parse().map_err(|error| field.error(value(&error)))? {
        Bytes(0) => Err(zero(&field)),
        bytes => Ok(bytes),
    };
    let processes = |field: Field<'_>| match field.number()? {
        0 => Err(zero(&field)),
        number => Ok(number),
    };
    let cpu = |field: Field<'_>| field.string()?.parse::<Percent>().map_err(|error| field.error(value(&error)));
    let io = |field: Field<'_>| field.string()?.parse::<Rate>().map_err(|error| field.error(value(&error)));
    Ok(Limits {
        memory: table.get("memory").map(bytes).transpose()?,
        processes: table.get("processes").map(processes).transpose()?,
        cpu: table.get("cpu").map(cpu).transpose()?,
        file_size: table.get("file-size").map(bytes).transpose()?,
        disk: table.get("disk").map(bytes).transpose()?,
        io: table.get("io").map(io).transpose()?,
        soft: table.get("soft").map(|field| soft(&field, &table)).transpose()?.unwrap_or_default(),
    })
}
