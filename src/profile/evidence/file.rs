//! [`Evidence`] → JSON lines, and back without trust in the bytes: all of them, or what one answer needs.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::vocab::access::Access;
use crate::vocab::escape;
use crate::vocab::location::Location;

use super::{Evidence, FORMAT, Grant, Outcome, Program, Run, Runs, Subject, VERSION, Witness};

/// Longest line in bytes: a name may be 4 KiB, each byte escaped as three.
const MAX_LINE: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u64,
    pinfold: String,
}

#[derive(Deserialize)]
struct Preamble {
    format: String,
    version: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Run(&'a Run),
    Program(&'a Program),
    Grant(&'a Grant),
    Fact {
        subject: &'a Subject,
        #[serde(flatten)]
        witness: &'a Witness,
    },
    Footer(Footer),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReadLine {
    Run(Run),
    Program(Program),
    Grant(Grant),
    Fact(Fact),
    Footer(Footer),
}

/// [`Subject`] and [`Witness`] side by side, read at once.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fact {
    subject: Subject,
    outcome: Outcome,
    #[serde(default)]
    access: Option<Access>,
    #[serde(default)]
    grant: Option<u32>,
    programs: BTreeSet<u32>,
    #[serde(default)]
    because: Option<u32>,
    runs: Runs,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer {
    lines: u64,
    capped: bool,
}

/// Writes `evidence`. `pinfold`: the version of this program.
pub fn write(evidence: &Evidence, pinfold: &str, mut out: impl Write) -> io::Result<()> {
    let mut lines = 0;
    let header = Header { format: FORMAT.to_owned(), version: u64::from(VERSION), pinfold: pinfold.to_owned() };
    line(&mut out, &header)?;
    let mut put = |value: &Line<'_>| {
        lines += 1;
        line(&mut out, value)
    };
    for run in &evidence.runs {
        put(&Line::Run(run))?;
    }
    for program in &evidence.programs {
        put(&Line::Program(program))?;
    }
    for grant in &evidence.grants {
        put(&Line::Grant(grant))?;
    }
    for (subject, witness) in &evidence.facts {
        put(&Line::Fact { subject, witness })?;
    }
    line(&mut out, &Line::Footer(Footer { lines, capped: evidence.capped }))?;
    out.flush()
}

fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value).map_err(io::Error::from)?;
    out.write_all(b"\n")
}

/// Why bytes are no evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The source failed.
    #[error("cannot read the evidence")]
    Io(#[from] io::Error),
    /// The first line is not a header.
    #[error("line 1: not the header of an evidence file: {0}")]
    NotEvidence(String),
    /// Made by a later pinfold.
    #[error("line 1: the evidence has version {0}; this pinfold reads versions up to {VERSION}")]
    Newer(u64),
    /// A line that is none of those there are.
    #[error("line {line}, column {column}: {what}")]
    Corrupt {
        /// Line, from 1.
        line: u64,
        /// Column in bytes, from 1.
        column: usize,
        /// What is wrong with it, harmless on a terminal.
        what: String,
    },
    /// The file ends too early.
    #[error("the evidence is cut off behind line {0}")]
    Torn(u64),
}

/// Reads what [`write()`] wrote.
pub fn read(source: impl BufRead) -> Result<Evidence, ReadError> {
    read_wanted(source, Wanted::All)
}

/// As [`read`], but of places only `place`; of the others it is only counted which line covers them. For one answer that is
/// many times quicker: nearly all of an evidence file are places. A line that is passed over may be wrong in itself.
pub fn read_about(source: impl BufRead, place: Option<&Location>) -> Result<Evidence, ReadError> {
    let wanted = place.map(|place| serde_json::to_string(place).map_err(io::Error::from)).transpose()?;
    read_wanted(source, Wanted::Place(wanted.unwrap_or_default().as_bytes()))
}

/// As [`read`], but places that a line covers are only counted, in [`Evidence::counted`]: what a tree of programs shows of them.
/// A line that is passed over may be wrong in itself.
pub fn read_counting(source: impl BufRead) -> Result<Evidence, ReadError> {
    read_wanted(source, Wanted::Counts)
}

/// What is read of the places.
#[derive(Debug, Clone, Copy)]
enum Wanted<'a> {
    All,
    /// This one, as it is written.
    Place(&'a [u8]),
    /// How many each line covers.
    Counts,
}

/// How a place begins, as it is written.
const PLACE: &[u8] = b"{\"fact\":{\"subject\":{\"place\":";

/// The name of a place, and what follows it; `None` for whatever is none.
fn split_place(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let place = text.strip_prefix(PLACE)?.strip_prefix(b"\"")?;
    // A quotation mark within the name has a backslash before it.
    let mut escaped = false;
    let end = place.iter().position(|&byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    })?;
    Some(place.split_at(end))
}

/// The line that covers a place which is not `wanted`, if it has any; `None` for whatever must be read.
fn passed_over(text: &[u8], wanted: &[u8]) -> Option<Option<u32>> {
    let (name, rest) = split_place(text)?;
    if wanted.get(1..).and_then(|wanted| wanted.strip_suffix(b"\"")) == Some(name) {
        return None;
    }
    let rest = after_word(rest.strip_prefix(b"\"},\"outcome\":\"")?)?;
    let rest = rest.strip_prefix(b",\"access\":\"").map_or(Some(rest), after_word)?;
    let Some(number) = rest.strip_prefix(b",\"grant\":") else {
        return rest.starts_with(b",\"programs\":[").then_some(None);
    };
    Some(Some(split_number(number)?.0))
}

impl Evidence {
    /// Counts the place of this line, if that is all there is to know of it; `None` where it must be read. A place that was not
    /// used counts nowhere.
    fn count(&mut self, text: &[u8]) -> Option<()> {
        let (_, rest) = split_place(text)?;
        let rest = rest.strip_prefix(b"\"},\"outcome\":\"")?;
        if [&b"probed\""[..], b"refused\""].iter().any(|outcome| rest.starts_with(outcome)) {
            return Some(());
        }
        let rest = rest.strip_prefix(b"used\"")?;
        let rest = rest.strip_prefix(b",\"access\":\"").map_or(Some(rest), after_word)?;
        let (grant, rest) = split_number(rest.strip_prefix(b",\"grant\":")?)?;
        let mut rest = rest.strip_prefix(b",\"programs\":[")?;
        let mut programs = [0; MOST_COUNTED];
        let mut count = 0;
        while let Some((program, after)) = split_number(rest) {
            *programs.get_mut(count)? = program;
            (count, rest) = (count + 1, after.strip_prefix(b",").unwrap_or(after));
        }
        let rest = rest.strip_prefix(b"]")?;
        let because = rest.strip_prefix(b",\"because\":").and_then(split_number).map(|(number, _)| number);
        let programs = programs.get(..count)?;
        let known = |number: &u32| within(*number, self.programs.len());
        if !within(grant, self.grants.len()) || !programs.iter().chain(&because).all(known) {
            return None;
        }
        for program in programs {
            *self.counted.needs.entry((*program, grant)).or_default() += 1;
        }
        because.into_iter().for_each(|because| *self.counted.because.entry(because).or_default() += 1);
        Some(())
    }
}

/// More programs than are written of one place.
const MOST_COUNTED: usize = 64;

/// A whole number, and what follows it.
fn split_number(text: &[u8]) -> Option<(u32, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let (number, rest) = text.split_at(end);
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest))
}

/// What follows the quotation mark that ends a word.
fn after_word(text: &[u8]) -> Option<&[u8]> {
    text.get(text.iter().position(|&byte| byte == b'"')? + 1..)
}

fn read_wanted(source: impl BufRead, wanted: Wanted<'_>) -> Result<Evidence, ReadError> {
    let mut lines = Lines { source, text: Vec::new(), number: 0 };
    let first = lines.next()?.ok_or(ReadError::Torn(0))?;
    let not_evidence = |(_, what)| ReadError::NotEvidence(what);
    let preamble: Preamble = json(first).map_err(not_evidence)?;
    if preamble.format != FORMAT {
        let format = escape::terminal(preamble.format.as_bytes());
        return Err(ReadError::NotEvidence(format!("its format is `{format}`")));
    }
    if preamble.version > u64::from(VERSION) {
        return Err(ReadError::Newer(preamble.version));
    }
    json::<Header>(first).map_err(not_evidence)?;
    let mut evidence = Evidence::default();
    loop {
        let text = lines.next()?;
        let Some(text) = text else { return Err(ReadError::Torn(lines.number)) };
        match wanted {
            Wanted::Place(wanted) => {
                if let Some(grant) = passed_over(text, wanted) {
                    grant.into_iter().for_each(|grant| *evidence.unread.entry(grant).or_default() += 1);
                    continue;
                }
            }
            Wanted::Counts if evidence.count(text).is_some() => continue,
            Wanted::Counts | Wanted::All => {}
        }
        let parsed = json::<ReadLine>(text).and_then(|line| evidence.add(line).map_err(|what| (1, what)));
        let line = lines.number;
        let footer = parsed.map_err(|(column, what)| ReadError::Corrupt { line, column, what })?;
        let Some(footer) = footer else { continue };
        let wrong = |what: &str| ReadError::Corrupt { line, column: 1, what: what.to_owned() };
        // The header and the footer are not counted.
        if footer.lines + 2 != line {
            return Err(wrong("the footer counts another number of lines"));
        }
        if !lines.source.fill_buf()?.is_empty() {
            return Err(wrong("something follows the footer"));
        }
        evidence.capped = footer.capped;
        return Ok(evidence);
    }
}

impl Evidence {
    /// Takes one line in, if its numbers lead to lines before it.
    fn add(&mut self, line: ReadLine) -> Result<Option<Footer>, String> {
        let fail = |what: &str| Err(what.to_owned());
        match line {
            ReadLine::Run(run) => self.runs.push(run),
            ReadLine::Program(program) => {
                if program.parent.is_some_and(|parent| !within(parent, self.programs.len())) {
                    return fail("the program that started this one does not stand before it");
                }
                self.programs.push(program);
            }
            ReadLine::Grant(grant) => self.grants.push(grant),
            ReadLine::Fact(Fact { subject, outcome, access, grant, programs, because, runs }) => {
                let witness = Witness { outcome, access, grant, programs, because, runs };
                let programs = witness.programs.iter().chain(&witness.because);
                if !programs.copied().all(|number| within(number, self.programs.len())) {
                    return fail("a program that it names does not stand before it");
                }
                if witness.runs.0.last().is_none_or(|&run| !within(run, self.runs.len())) {
                    return fail("a run that it names does not stand before it");
                }
                if witness.grant.is_some_and(|grant| !within(grant, self.grants.len())) {
                    return fail("the grant that it names does not stand before it");
                }
                if self.facts.insert(subject, witness).is_some() {
                    return fail("the same thing stands twice");
                }
            }
            ReadLine::Footer(footer) => return Ok(Some(footer)),
        }
        Ok(None)
    }
}

fn within(number: u32, length: usize) -> bool {
    usize::try_from(number).is_ok_and(|number| number < length)
}

fn json<T: DeserializeOwned>(line: &[u8]) -> Result<T, (usize, String)> {
    serde_json::from_slice(line).map_err(|error| {
        // serde_json counts lines of its own input, which is one line here.
        let place = format!(" at line {} column {}", error.line(), error.column());
        let text = error.to_string();
        let what = text.strip_suffix(&place).unwrap_or(&text);
        (error.column().max(1), escape::terminal(what.as_bytes()))
    })
}

struct Lines<R> {
    source: R,
    text: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// The next whole line without its end; `None` at the end of the file or at a line that is cut off there.
    fn next(&mut self) -> Result<Option<&[u8]>, ReadError> {
        use std::io::Read as _;
        self.text.clear();
        self.source.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.text)?;
        match self.text.split_last() {
            Some((b'\n', text)) => {
                self.number += 1;
                Ok(Some(text))
            }
            _ => Ok(None),
        }
    }
}
