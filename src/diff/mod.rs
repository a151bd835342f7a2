//! Profile × Profile → what the second allows that the first does not, and the other way round.
//!
//! Authority is compared, not text: a directory holds what lies beneath it, the nearest line decides, a list that is gone
//! rules nothing, what is not approved has no effect. Each difference has a stable code, a direction, a risk from 0 to 4 and
//! one plain sentence.
//!
//! Invariant: if there is a request (an access to a path, a call with its arguments, a peer, a variable, a secret, an amount
//! of something limited) that the second allows and the first refuses, some change widens; if there is none, no change does.
//! `tests/diff_soundness.rs` holds that against an oracle that asks for one request after the other. Two profiles of
//! different meaning are never told as the same: where nothing is given or taken, that is said.
//!
//! It sees no disk. Variables are taken to lead to different places, and also, since that may be so, to where they lead by
//! default and to where they lead here ([`Context::here`]): what widens in one of these widens. That a name is a symlink, and
//! where to, a profile does not say: a grant on a symlink grants the link alone, and its target is a grant of its own.

mod calls;
pub mod ceiling;
pub mod codes;
mod given;
mod known;
pub mod lines;
mod network;
mod places;
pub mod render;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use crate::profile::asked::Asked;
use crate::profile::asked::Index;
use crate::profile::digest::meaning;
use crate::profile::evidence::Evidence;
use crate::profile::{Incomplete, Limits, Profile, Protect, Syscalls};
use crate::vocab::endpoint::NetTarget;
use crate::vocab::location::{Location, Roots};
use crate::vocab::syscall::Syscall;

use codes::{Code, Fill};
use lines::Section;

/// Which way a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Something is allowed that was refused.
    Widens,
    /// Nothing is given or taken now; a line may wait for a person.
    Neutral,
    /// Something is refused that was allowed.
    Narrows,
}

impl Direction {
    /// Its word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Widens => "widens",
            Self::Neutral => "neutral",
            Self::Narrows => "narrows",
        }
    }
}

/// A piece of a sentence. Names come from a profile, which anyone may have written: each form renders them inert.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// Our own.
    Words(String),
    /// From the profile, in the notation of files.
    Name(String),
}

impl Piece {
    /// Its text, as it is.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Words(text) | Self::Name(text) => text,
        }
    }
}

/// What a change is about, to look up what asked for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Subject {
    /// A place, or a bundle.
    Place(Location),
    /// A peer.
    Peer(NetTarget),
    /// A system call.
    Call(Syscall),
    /// A variable, or a secret by the name of its variable.
    Variable(String),
    /// Anything else.
    Other,
}

/// What else is known. Nothing of it is needed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    /// Where the variables lead here.
    pub here: Option<&'a Roots>,
    /// What stands behind the second profile.
    pub evidence: Option<&'a Evidence>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What kind.
    pub code: Code,
    /// 0 to 4, within what the code can have.
    pub risk: u8,
    /// What it is about, in the notation of files: harmless on a terminal.
    pub name: String,
    /// For looking up evidence.
    pub subject: Subject,
    /// What it means to a person.
    pub sentence: Vec<Piece>,
    /// What was allowed, and what is: in words or as in files; empty for nothing.
    pub old: String,
    /// See `old`.
    pub new: String,
    /// What else it opens: sensitive places beneath a directory, each with what it is.
    pub opens: Vec<Opened>,
    /// The line of the second profile that does it, without its value: to point at it.
    pub line: String,
    /// Who asked for it.
    pub asked: Option<Asked>,
}

/// A sensitive place that comes with a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Opened {
    /// As in files.
    pub place: String,
    /// What it is.
    pub what: &'static str,
}

impl Change {
    /// Which way it goes.
    pub fn direction(&self) -> Direction {
        self.code.row().direction
    }

    /// The sentence as plain text, names in back ticks: harmless on a terminal.
    pub fn text(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Words(words) => words.clone(),
            Piece::Name(name) => format!("`{name}`"),
        };
        self.sentence.iter().map(piece).collect()
    }
}

/// All differences of two profiles, the most dangerous first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Sorted: what widens, then what waits, then what narrows; in each the highest risk first.
    pub changes: Vec<Change>,
}

impl Difference {
    /// The changes that go this way.
    pub fn going(&self, direction: Direction) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.direction() == direction)
    }

    /// Whether the second allows anything that the first refuses.
    pub fn widens(&self) -> bool {
        self.going(Direction::Widens).next().is_some()
    }

    /// The highest risk of what widens; `None` when nothing does.
    pub fn risk(&self) -> Option<u8> {
        self.going(Direction::Widens).map(|change| change.risk).max()
    }

    /// In one word: `widens`, `narrows`, `same`, or `rewritten` for another text of the same authority.
    pub fn verdict(&self) -> &'static str {
        if self.widens() {
            "widens"
        } else if self.going(Direction::Narrows).next().is_some() {
            "narrows"
        } else if self.changes.is_empty() {
            "same"
        } else {
            "rewritten"
        }
    }
}

/// Where the parts of the comparison put what they find.
#[derive(Default)]
struct Found(Vec<Change>);

/// What is to be said of one change.
#[derive(Default)]
struct Said<'a> {
    fill: Fill<'a>,
    /// `None`: the least that the code has.
    risk: Option<u8>,
    subject: Option<Subject>,
    opens: Vec<Opened>,
    line: String,
}

impl Found {
    fn add(&mut self, code: Code, said: Said<'_>) {
        let [least, most] = code.row().risk;
        let text = |pieces: &[Piece]| -> String { pieces.iter().map(Piece::as_str).collect() };
        self.0.push(Change {
            code,
            risk: said.risk.unwrap_or(least).clamp(least, most),
            name: said.fill.name.to_owned(),
            subject: said.subject.unwrap_or(Subject::Other),
            sentence: code.sentence(&said.fill),
            old: text(&said.fill.old),
            new: text(&said.fill.new),
            opens: said.opens,
            line: said.line,
            asked: None,
        });
    }
}

/// Compares `new` with `old`.
pub fn compare(old: &Profile, new: &Profile, context: &Context<'_>) -> Difference {
    let mut found = Found::default();
    whole(old, new, &mut found);
    places::compare(old, new, context, &mut found);
    network::compare(old, new, &mut found);
    calls::compare(old, new, &mut found);
    given::compare(old, new, &mut found);
    let mut changes = found.0;
    if changes.is_empty() && meaning(old) != meaning(new) {
        let mut found = Found::default();
        found.add(Code::Rewritten, Said::default());
        changes = found.0;
    }
    if let Some(evidence) = context.evidence {
        let index = Index::of(evidence);
        changes.iter_mut().for_each(|change| change.asked = asked(&index, &change.subject));
    }
    changes.sort_by_cached_key(|change| {
        let section = section(change.code);
        (change.direction(), std::cmp::Reverse(change.risk), section, change.name.clone(), change.code)
    });
    Difference { changes }
}

/// Who asked for it, as `evidence` knows.
pub fn asked(index: &Index<'_>, subject: &Subject) -> Option<Asked> {
    let evidence = index.evidence;
    let account = match subject {
        Subject::Place(place) => index.place(place),
        Subject::Peer(target) => evidence.of_target(target),
        Subject::Call(call) => evidence.of_call(*call),
        Subject::Variable(name) => evidence.of_variable(name),
        Subject::Other => None,
    }?;
    Some(account.into())
}

/// What merging `new` into `target` would allow that `target` does not, where `base` is what both were made from: not what
/// `target` took away in the meantime and `new` merely still has.
pub fn three_way(base: &Profile, target: &Profile, new: &Profile, context: &Context<'_>) -> Difference {
    let own = compare(base, new, context);
    let mut difference = compare(target, new, context);
    let names: BTreeSet<(Section, &str)> =
        own.changes.iter().map(|change| (section(change.code), change.name.as_str())).collect();
    difference.changes.retain(|change| names.contains(&(section(change.code), change.name.as_str())));
    difference
}

/// A profile for the same command that grants nothing: what a new profile is compared with.
pub fn nothing(like: &Profile) -> Profile {
    Profile {
        name: like.name.clone(),
        command: like.command.clone(),
        incomplete: None,
        tolerate: BTreeSet::new(),
        nested_sandbox: false,
        protect: like.protect,
        bundles: BTreeMap::new(),
        filesystem: BTreeMap::new(),
        network: BTreeMap::new(),
        syscalls: Syscalls { base: like.syscalls.base, ..Syscalls::default() },
        environment: BTreeSet::new(),
        secrets: BTreeMap::new(),
        limits: Limits::default(),
    }
}

/// The section of a code, in the order of files.
pub fn section(code: Code) -> Section {
    let name = code.row().section.as_str();
    Section::ALL.into_iter().find(|section| section.as_str() == name).unwrap_or(Section::Top)
}

/// What stands above the sections.
fn whole(old: &Profile, new: &Profile, found: &mut Found) {
    if old.command != new.command {
        let words = |words: &[String]| vec![Piece::Name(lines::quoted_command(words))];
        let fill = Fill { old: words(&old.command), new: words(&new.command), ..Fill::default() };
        found.add(Code::CommandChanged, Said { fill, line: "command".to_owned(), ..Said::default() });
    }
    let line = |line: &str| Said { line: line.to_owned(), ..Said::default() };
    match (old.nested_sandbox, new.nested_sandbox) {
        (false, true) => found.add(Code::NestedSandboxAllowed, line("nested_sandbox")),
        (true, false) => found.add(Code::NestedSandboxWithdrawn, Said::default()),
        _ => {}
    }
    match (old.protect, new.protect) {
        (Protect::Strict, Protect::Scan) => found.add(Code::NamesUnprotected, line("protect")),
        (Protect::Scan, Protect::Strict) => found.add(Code::NamesProtected, line("protect")),
        _ => {}
    }
    let named = |name: &'static str| Said { fill: Fill { name, ..Fill::default() }, ..line("tolerate") };
    for lack in new.tolerate.difference(&old.tolerate) {
        found.add(Code::ProtectionTolerated, named(lack.as_str()));
    }
    for lack in old.tolerate.difference(&new.tolerate) {
        found.add(Code::ProtectionRequired, named(lack.as_str()));
    }
    let runs = |lack: &Option<Incomplete>| lack.as_ref().is_none_or(|lack| lack.approved);
    match (runs(&old.incomplete), runs(&new.incomplete)) {
        (false, true) if new.incomplete.is_some() => found.add(Code::IncompleteAccepted, line("incomplete")),
        (false, true) => found.add(Code::IncompleteLifted, line("schema")),
        (true, false) => found.add(Code::IncompleteMarked, line("incomplete")),
        _ => {}
    }
}
