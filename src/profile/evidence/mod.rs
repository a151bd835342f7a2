//! The evidence file: for each line of a profile, which chain of programs needed it, and in which runs.
//!
//! [`write()`] turns [`Evidence`] into JSON lines and [`read`] those into evidence; [`Evidence::of`] answers for places, calls,
//! peers and variables. It stands beside the profile, in the store, so that the reviewed file stays short. Invariant: what
//! is read was written whole, and every number in it leads somewhere; programs stand behind the one that started them, so
//! no chain is a circle. No field can hold an argument as it was typed. The format is specified in `docs/evidence.md`.

mod file;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::event::ExitStatus;
use crate::vocab::access::Access;
use crate::vocab::endpoint::NetTarget;
use crate::vocab::escape;
use crate::vocab::location::Location;
use crate::vocab::syscall::Syscall;

pub use file::{ReadError, read, read_about, read_counting, write};

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
    /// Places that [`read_counting`] passed over.
    pub counted: Counted,
}

/// Places that were used, by what needed them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counted {
    /// By a program and the line that covers them.
    pub needs: BTreeMap<(u32, u32), u64>,
    /// By the program without which nobody would have needed them.
    pub because: BTreeMap<u32, u64>,
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
