//! The evidence file: for each line of a profile, which chain of programs needed it, and in which runs.
//!
//! Turns [`Evidence`] into JSON lines and back over `Read` and `Write`, and answers [`Evidence::of`] for places, calls,
//! peers and variables. It stands beside the profile, in the store, so that the reviewed file stays short. Invariant: what
//! is read was written whole, and every number in it leads somewhere; programs stand behind the one that started them, so
//! no chain is a circle. No field can hold an argument as it was typed. The format is specified in `docs/evidence.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::event::ExitStatus;
use crate::vocab::access::Access;
use crate::vocab::endpoint::NetTarget;
use crate::vocab::escape;
use crate::vocab::location::Location;
use crate::vocab::syscall::Syscall;

/// Version of the evidence format that this build writes; older ones are read, newer ones are refused.
pub const VERSION: u32 = 1;

/// The first word of every evidence file.
pub const FORMAT: &str = "pinfold-evidence";

/// Longest chain that is written out.
const LONGEST: usize = 8;

/// Who needed what, for one profile. Numbers are positions in the lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// Runs that the profile was made from, oldest first.
    pub runs: Vec<Run>,
    /// Process images of all runs, each behind the one that started it.
    pub programs: Vec<Program>,
    /// Lines of `[filesystem]`, in their order.
    pub grants: Vec<Grant>,
    /// What was seen, one entry a thing.
    pub facts: BTreeMap<Subject, Witness>,
    /// There was more than is kept.
    pub capped: bool,
    /// Places that [`read_about`] passed over, by the line that covers them.
    pub unread: BTreeMap<u32, u64>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Its random name, as in its trace.
    pub id: String,
    /// Seconds since the epoch at its start.
    pub started: u64,
    /// Whether all of it was observed.
    pub complete: bool,
    /// How it ended, where that was seen.
    pub status: Option<ExitStatus>,
    /// A digest over what it did, without the names that it made itself: runs that are equal here are one run repeated.
    pub shape: String,
    /// What a profile of all other runs would have refused it; `None` where that was not tried.
    pub left_out: Option<BTreeSet<Novelty>>,
}

/// A way in which a run can need something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Novelty {
    /// A file that it reads, executes or looks for is not there.
    Hard,
    /// It may not write.
    Write,
    /// It may not connect.
    Network,
    /// It may not make a system call.
    Syscall,
}

impl Novelty {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hard, Self::Write, Self::Network, Self::Syscall];

    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Write => "write",
            Self::Network => "network",
            Self::Syscall => "syscall",
        }
    }
}

/// A process image: equal ones with the same parent are one, over all runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The one that started it, which stands before; `None` for the first of a run.
    pub parent: Option<u32>,
    /// The program file; for a script its interpreter.
    pub exe: Location,
    /// The script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Location>,
    /// Its arguments in shape, as in the trace.
    pub argv: Vec<String>,
}

impl Program {
    /// The name of what runs: the last component of script or program. Escaped as in files.
    pub fn name(&self) -> String {
        let Location::Path { rest, .. } = self.script.as_ref().unwrap_or(&self.exe) else { return String::new() };
        escape::file(rest.rsplit(|&byte| byte == b'/').next().unwrap_or_default())
    }
}

/// One line of `[filesystem]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Its place.
    pub place: Location,
    /// How far it goes.
    pub access: Access,
    /// Names that were counted in the directories that it opens and that a run came by.
    pub exposed: u64,
    /// There are more than were counted.
    pub capped: bool,
}

/// Something that can be needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A place.
    Place(Location),
    /// A system call beyond the base set.
    Call(Syscall),
    /// An argument of a call.
    Argument(Syscall, String),
    /// A peer, as text: `203.0.113.7:443`, `example.com:443`, `abstract NAME`.
    Peer(String),
    /// A variable of the caller.
    Variable(String),
}

/// What came of it, over all runs the most that did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was looked for and is not there; of a variable: it was there, and nothing shows that it matters.
    Probed,
    /// It was refused.
    Refused,
    /// It was used.
    Used,
}

impl Outcome {
    /// In a word or two.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Probed => "looked for only",
            Self::Refused => "tried and refused",
            Self::Used => "used",
        }
    }
}

/// Who needed one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// What came of it.
    pub outcome: Outcome,
    /// Of a place that was used: how far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// The line that covers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<u32>,
    /// The programs that needed it; the first of many.
    pub programs: BTreeSet<u32>,
    /// The program without which nobody would have needed it; `None` where several had no program in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<u32>,
    /// In which runs.
    pub runs: Runs,
}

/// A set of runs by number; written `0-3,7`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Runs(pub BTreeSet<u32>);

/// What is known of one line of a profile, or of one thing: for whoever shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account<'a> {
    /// What came of it.
    pub outcome: Outcome,
    /// How far it went, of places.
    pub access: Option<Access>,
    /// In how many runs.
    pub count: usize,
    /// Of how many.
    pub of: usize,
    /// The first of them.
    pub first: &'a Run,
    /// The last of them.
    pub last: &'a Run,
    /// Chains of programs, such as `sh → git`; escaped as in files. The first of many.
    pub chains: BTreeSet<String>,
    /// The chain without whose last program nobody would have needed it.
    pub because: Option<String>,
    /// Different things that it stands for: places beneath a line, peers of the whole network.
    pub observed: u64,
    /// Of a line of `[filesystem]`: names counted in what it opens, and whether there are more.
    pub exposed: Option<(u64, bool)>,
}

impl Evidence {
    /// What is known of the line of `[filesystem]` for `place`, or of the place itself where no line is.
    pub fn of(&self, place: &Location) -> Option<Account<'_>> {
        let Some(grant) = self.grants.iter().position(|grant| grant.place == *place) else {
            return self.account(self.facts.get(&Subject::Place(place.clone())).into_iter());
        };
        let number = u32::try_from(grant).ok();
        let covered = self.facts.values().filter(|witness| witness.grant.is_some() && witness.grant == number);
        let mut account = self.account(covered)?;
        account.exposed = self.grants.get(grant).map(|grant| (grant.exposed, grant.capped));
        Some(account)
    }

    /// What a line of `[filesystem]` opens: different places beneath it that a run used or looked for, names counted in its
    /// directories, and whether there are more.
    pub fn opened(&self, place: &Location) -> Option<(u64, u64, bool)> {
        let at = self.grants.iter().position(|grant| grant.place == *place)?;
        let number = u32::try_from(at).ok()?;
        let read = self.facts.values().filter(|witness| witness.grant == Some(number)).count();
        let observed = self.unread.get(&number).copied().unwrap_or(0) + u64::try_from(read).unwrap_or(u64::MAX);
        let grant = self.grants.get(at).filter(|_| observed > 0)?;
        Some((observed, grant.exposed, grant.capped))
    }

    /// What is known of one thing, whatever covers it.
    pub fn of_subject(&self, subject: &Subject) -> Option<Account<'_>> {
        self.account(self.facts.get(subject).into_iter())
    }

    /// What is known of a call beyond the base set.
    pub fn of_call(&self, call: Syscall) -> Option<Account<'_>> {
        self.of_subject(&Subject::Call(call))
    }

    /// What is known of a value in `[syscalls.arguments]`.
    pub fn of_argument(&self, call: Syscall, value: &str) -> Option<Account<'_>> {
        self.of_subject(&Subject::Argument(call, value.to_owned()))
    }

    /// What is known of a line of `[network]`: of every peer that it holds.
    pub fn of_target(&self, target: &NetTarget) -> Option<Account<'_>> {
        let counts = |subject: &Subject| match subject {
            Subject::Peer(peer) => {
                *target == NetTarget::Host || peer.parse().is_ok_and(|peer: NetTarget| target.covers(&peer))
            }
            _ => false,
        };
        self.account(self.facts.iter().filter(|(subject, _)| counts(subject)).map(|(_, witness)| witness))
    }

    /// What is known of a variable, secrets included.
    pub fn of_variable(&self, name: &str) -> Option<Account<'_>> {
        self.of_subject(&Subject::Variable(name.to_owned()))
    }

    /// `sh → git`: the programs from the first to this one; the first ones of a long chain are left out.
    pub fn chain(&self, program: u32) -> String {
        let mut names = Vec::new();
        let mut next = Some(program);
        while let Some(program) = next.and_then(|number| self.program(number)).filter(|_| names.len() < LONGEST) {
            names.push(program.name());
            next = program.parent;
        }
        if next.is_some_and(|number| self.program(number).is_some()) {
            names.push("…".to_owned());
        }
        names.reverse();
        names.join(" → ")
    }

    /// A program by its number.
    pub fn program(&self, number: u32) -> Option<&Program> {
        self.programs.get(usize::try_from(number).ok()?)
    }

    pub(super) fn account<'a, 'b>(&'a self, witnesses: impl Iterator<Item = &'b Witness>) -> Option<Account<'a>> {
        let (mut runs, mut programs, mut because) = (BTreeSet::new(), BTreeSet::new(), Some(None));
        let (mut outcome, mut access, mut observed) = (Outcome::Probed, None, 0);
        for witness in witnesses {
            observed += 1;
            outcome = outcome.max(witness.outcome);
            access = access.max(witness.access);
            runs.extend(witness.runs.0.iter().copied());
            programs.extend(witness.programs.iter().copied());
            because = match because {
                Some(None) => Some(witness.because),
                Some(known) if known == witness.because => Some(known),
                Some(_) | None => None,
            };
        }
        let run = |number: Option<&u32>| self.runs.get(usize::try_from(*number?).ok()?);
        Some(Account {
            outcome,
            access,
            count: runs.len(),
            of: self.runs.len(),
            first: run(runs.first())?,
            last: run(runs.last())?,
            chains: programs.into_iter().take(64).map(|program| self.chain(program)).collect(),
            because: because.flatten().map(|program| self.chain(program)),
            observed,
            exposed: None,
        })
    }
}

/// `sh → git; 3 of 4 runs, 2026-01-01 to 2026-01-03`, escaped as in files.
impl std::fmt::Display for Account<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let chains: Vec<&str> = self.chains.iter().take(3).map(String::as_str).collect();
        f.write_str(&chains.join(", "))?;
        if self.chains.len() > chains.len() {
            write!(f, " and {} more", self.chains.len() - chains.len())?;
        }
        write!(f, "; {} of {} run{}, ", self.count, self.of, if self.of == 1 { "" } else { "s" })?;
        let (first, last) = (date(self.first.started), date(self.last.started));
        if first == last { f.write_str(&first) } else { write!(f, "{first} to {last}") }?;
        if self.outcome == Outcome::Used { Ok(()) } else { write!(f, "; {}", self.outcome.as_str()) }
    }
}

/// The day in UTC, `2026-01-31`, of seconds since the epoch.
pub fn date(seconds: u64) -> String {
    // Days to a date of the proleptic Gregorian calendar, counted from March of the year 0 in eras of 400 years: Howard
    // Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + later)
}

impl Serialize for Runs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts: Vec<(u32, u32)> = Vec::new();
        for &run in &self.0 {
            match parts.last_mut() {
                Some((_, end)) if *end + 1 == run => *end = run,
                _ => parts.push((run, run)),
            }
        }
        let word = |(start, end): (u32, u32)| if start == end { start.to_string() } else { format!("{start}-{end}") };
        serializer.serialize_str(&parts.into_iter().map(word).collect::<Vec<_>>().join(","))
    }
}

impl<'de> Deserialize<'de> for Runs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let mut runs = BTreeSet::new();
        for part in text.split(',') {
            let (start, end) = part.split_once('-').unwrap_or((part, part));
            let wrong = || de::Error::custom("runs are written `0-3,7`");
            let (start, end): (u32, u32) = (start.parse().map_err(|_| wrong())?, end.parse().map_err(|_| wrong())?);
            // A forged range would be all of memory.
            if end >= MOST_RUNS || start > end {
                return Err(wrong());
            }
            runs.extend(start..=end);
        }
        Ok(Self(runs))
    }
}

/// More runs than a profile is made from.
pub const MOST_RUNS: u32 = 1 << 16;

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
    read_wanted(source, None)
}

/// As [`read`], but of places only `place`; of the others it is only counted which line covers them. For one answer that is
/// many times quicker: nearly all of an evidence file are places. A line that is passed over may be wrong in itself.
pub fn read_about(source: impl BufRead, place: Option<&Location>) -> Result<Evidence, ReadError> {
    let wanted = place.map(|place| serde_json::to_string(place).map_err(io::Error::from)).transpose()?;
    read_wanted(source, Some(wanted.unwrap_or_default().as_bytes()))
}

/// How a place begins, as it is written.
const PLACE: &[u8] = b"{\"fact\":{\"subject\":{\"place\":";

/// The line that covers a place which is not `wanted`, if it has any; `None` for whatever must be read.
fn passed_over(text: &[u8], wanted: &[u8]) -> Option<Option<u32>> {
    let place = text.strip_prefix(PLACE)?.strip_prefix(b"\"")?;
    // A quotation mark within the name has a backslash before it.
    let mut escaped = false;
    let end = place.iter().position(|&byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    })?;
    let (name, rest) = place.split_at(end);
    if wanted.get(1..).and_then(|wanted| wanted.strip_suffix(b"\"")) == Some(name) {
        return None;
    }
    let rest = after_word(rest.strip_prefix(b"\"},\"outcome\":\"")?)?;
    let rest = rest.strip_prefix(b",\"access\":\"").map_or(Some(rest), after_word)?;
    let Some(number) = rest.strip_prefix(b",\"grant\":") else {
        return rest.starts_with(b",\"programs\":[").then_some(None);
    };
    let end = number.iter().position(|&byte| byte == b',')?;
    Some(Some(std::str::from_utf8(number.get(..end)?).ok()?.parse().ok()?))
}

/// What follows the quotation mark that ends a word.
fn after_word(text: &[u8]) -> Option<&[u8]> {
    text.get(text.iter().position(|&byte| byte == b'"')? + 1..)
}

fn read_wanted(source: impl BufRead, wanted: Option<&[u8]>) -> Result<Evidence, ReadError> {
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
        if let Some(grant) = wanted.and_then(|wanted| passed_over(text, wanted)) {
            grant.into_iter().for_each(|grant| *evidence.unread.entry(grant).or_default() += 1);
            continue;
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
        fn within(number: u32, length: usize) -> bool {
            usize::try_from(number).is_ok_and(|number| number < length)
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(1_767_225_599), "2025-12-31");
        assert_eq!(date(4_107_542_400), "2100-03-01");
    }
}
