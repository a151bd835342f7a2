//! A profile on its own → what a reviewer would stumble over: lines that say nothing, that nobody used, that are dangerous
//! without a reason.
//!
//! Invariant: no finding changes what is allowed, and [`mend`] takes out only what another line says as well. What is not
//! known (no evidence, no look at this machine) is no finding.

pub mod sarif;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::profile::Profile;
use crate::profile::asked::Index;
use crate::profile::emit::{emit, quote};
use crate::profile::evidence::Evidence;
use crate::vocab::access::Access;
use crate::vocab::endpoint::NetTarget;
use crate::vocab::escape;
use crate::vocab::location::Location;

/// What can be found. The words are stable: scripts may name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Code {
    /// A person should say why it is there.
    DangerousWithoutReason,
    /// It allows what a ceiling does not.
    AboveCeiling,
    /// The profile was approved for a time that is over.
    ApprovalExpired,
    /// No run used it.
    Unused,
    /// Another line says the same.
    Redundant,
    /// An argument is listed that is allowed anyway, or of a call that is not allowed.
    ArgumentWithoutCall,
    /// The text is not in its one form.
    NotCanonical,
    /// It has no effect until somebody approves it.
    Withheld,
    /// There is no such place on this machine.
    Absent,
}

impl Code {
    /// All of them, the most important first.
    pub const ALL: [Self; 9] = [
        Self::DangerousWithoutReason,
        Self::AboveCeiling,
        Self::ApprovalExpired,
        Self::Unused,
        Self::Redundant,
        Self::ArgumentWithoutCall,
        Self::NotCanonical,
        Self::Withheld,
        Self::Absent,
    ];

    /// The word in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DangerousWithoutReason => "dangerous-without-reason",
            Self::AboveCeiling => "above-ceiling",
            Self::ApprovalExpired => "approval-expired",
            Self::Unused => "unused",
            Self::Redundant => "redundant",
            Self::ArgumentWithoutCall => "argument-without-call",
            Self::NotCanonical => "not-canonical",
            Self::Withheld => "withheld",
            Self::Absent => "absent",
        }
    }

    /// What it means, for lists of rules.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::DangerousWithoutReason => "a dangerous grant has no reason",
            Self::AboveCeiling => "the profile allows what the ceiling does not",
            Self::ApprovalExpired => "the approval of the profile is over",
            Self::Unused => "no run that the profile was learned from used the grant",
            Self::Redundant => "another line grants the same",
            Self::ArgumentWithoutCall => "an argument is listed of a call that is not allowed",
            Self::NotCanonical => "the text is not in its one form",
            Self::Withheld => "a grant waits for approval and has no effect until then",
            Self::Absent => "the place does not exist on this machine",
        }
    }

    /// Whether something should be done about it.
    pub fn weight(self) -> Weight {
        match self {
            Self::Withheld | Self::Absent => Weight::Note,
            _ => Weight::Warning,
        }
    }

    /// Whether [`mend`] or `fmt` can do it.
    pub fn is_mendable(self) -> bool {
        matches!(self, Self::Redundant | Self::NotCanonical)
    }
}

/// How much a finding asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// To know.
    Note,
    /// To be mended.
    Warning,
}

/// One thing that was found. Its texts are escaped as in files, so they are harmless on a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind.
    pub code: Code,
    /// Its weight.
    pub weight: Weight,
    /// Line of the text, from 1.
    pub line: usize,
    /// The key or element that it is about; empty for the whole text.
    pub about: String,
    /// What is wrong with it.
    pub sentence: String,
}

/// What else is known of a profile.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// Who needed what.
    pub evidence: Option<&'a Evidence>,
    /// Places of the profile that do not exist here.
    pub absent: Option<&'a BTreeSet<Location>>,
    /// The day until which it was approved, if that is over.
    pub expired: Option<&'a str>,
}

/// What is found in `profile`, whose text is `text`; in the order of the text.
pub fn check(text: &str, profile: &Profile, known: &Known<'_>) -> Vec<Finding> {
    let mut page = Page::of(text);
    if emit(profile, Some(text)) != text {
        page.add(Code::NotCanonical, "", "the text is not in its one form".to_owned());
    }
    if let Some(day) = known.expired {
        page.add(Code::ApprovalExpired, "", format!("it was approved until {}", escape::file(day.as_bytes())));
    }
    places(profile, known, &mut page);
    peers(profile, known, &mut page);
    calls(profile, known, &mut page);
    for (name, secret) in &profile.secrets {
        if !secret.approved {
            page.add(Code::Withheld, name, "the secret is withheld until somebody approves it".to_owned());
        }
    }
    page.findings.sort_by(|a, b| (a.line, a.code, &a.about).cmp(&(b.line, b.code, &b.about)));
    page.findings
}

fn places(profile: &Profile, known: &Known<'_>, page: &mut Page<'_>) {
    let index = known.evidence.map(Index::of);
    for (location, grant) in &profile.filesystem {
        let key = location.to_string();
        match grant.sensitive {
            Some(kind) if !grant.approved => {
                page.add(Code::Withheld, &key, format!("withheld until somebody approves it ({})", kind.as_str()));
            }
            Some(kind) if grant.reason.is_none() => {
                let words = format!("approved, and nobody wrote why ({}); `reason = \"…\"` says it", kind.as_str());
                page.add(Code::DangerousWithoutReason, &key, words);
            }
            _ => {}
        }
        if let Some(above) = same_above(profile, location) {
            page.add(Code::Redundant, &key, format!("\"{above}\" grants the same"));
        }
        let runs = known.evidence.map_or(0, |evidence| evidence.runs.len());
        if index.as_ref().is_some_and(|index| index.place(location).is_none()) {
            page.add(Code::Unused, &key, format!("used in none of {runs} runs"));
        }
        if known.absent.is_some_and(|absent| absent.contains(location)) {
            page.add(Code::Absent, &key, "there is no such place on this machine".to_owned());
        }
    }
}

fn peers(profile: &Profile, known: &Known<'_>, page: &mut Page<'_>) {
    let again = peers_again(profile);
    for (target, grant) in &profile.network {
        let key = target.to_string();
        if let Some(other) = again.get(target) {
            page.add(Code::Redundant, &key, format!("\"{other}\" grants the same"));
        }
        if !grant.approved {
            page.add(Code::Withheld, &key, "withheld until somebody approves it".to_owned());
        } else if *target == NetTarget::Host && grant.reason.is_none() {
            let words = "the whole network of the host, and nobody wrote why; `reason = \"…\"` says it";
            page.add(Code::DangerousWithoutReason, &key, words.to_owned());
        }
        if known.evidence.is_some_and(|evidence| evidence.of_target(target).is_none()) {
            let runs = known.evidence.map_or(0, |evidence| evidence.runs.len());
            page.add(Code::Unused, &key, format!("reached in none of {runs} runs"));
        }
    }
}

fn calls(profile: &Profile, known: &Known<'_>, page: &mut Page<'_>) {
    use crate::vocab::syscall_table::{Class, row};
    let syscalls = &profile.syscalls;
    for call in &syscalls.allow {
        if row(*call).risk >= 4 && !syscalls.approved.contains(call) {
            page.add(Code::Withheld, call.name(), "withheld until somebody approves it".to_owned());
        }
        if syscalls.base > 0 && row(*call).class == Class::Base && !syscalls.arguments.contains_key(call) {
            page.add(Code::Redundant, call.name(), format!("base {} allows it", syscalls.base));
        }
        // Calls of one family stand for each other: only a dangerous one must have been seen itself.
        if row(*call).risk >= 3 && known.evidence.is_some_and(|evidence| evidence.of_call(*call).is_none()) {
            page.add(Code::Unused, call.name(), "no run made it".to_owned());
        }
    }
    for call in syscalls.arguments.keys() {
        let allowed = syscalls.allow.contains(call) || (syscalls.base > 0 && row(*call).class == Class::Base);
        if !allowed {
            let words = format!("`{call}` is not allowed, so what is listed for it has no effect");
            page.add(Code::ArgumentWithoutCall, call.name(), words);
        }
    }
}

/// The nearest line above `location`, where it makes the line for `location` say nothing: both open all beneath them in the
/// same way, and neither waits for anybody.
fn same_above<'p>(profile: &'p Profile, location: &Location) -> Option<&'p Location> {
    let grant = profile.filesystem.get(location)?;
    let plain = grant.sensitive.is_none() && grant.approved && matches!(grant.access, Access::Read | Access::Write);
    let above = above(location).find_map(|above| profile.filesystem.get_key_value(&above));
    let (above, other) = above.filter(|_| plain)?;
    (other.approved && other.access == grant.access && other.sensitive.is_none()).then_some(above)
}

/// Lines for peers that say nothing beside another one, each with that one: ports within a longer row of the same host, and
/// everything beside the host's whole network. Not a name beside a pattern: looking it up is not bounded as under the pattern.
fn peers_again(profile: &Profile) -> BTreeMap<&NetTarget, &NetTarget> {
    let mut again = BTreeMap::new();
    let everything = profile.network.get_key_value(&NetTarget::Host).filter(|(_, grant)| grant.approved);
    let mut by_host: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (target, grant) in profile.network.iter().filter(|(_, grant)| grant.approved) {
        let Some((host, [first, last])) = target.host_and_ports() else { continue };
        if let Some((everything, _)) = everything {
            again.insert(target, everything);
        }
        by_host.entry((host, grant.access)).or_default().push((first, Reverse(last), target));
    }
    for rows in by_host.values_mut() {
        rows.sort_unstable();
        let mut longest: Option<(u16, &NetTarget)> = None;
        for &(_, Reverse(last), target) in rows.iter() {
            match longest {
                Some((end, other)) if end >= last => {
                    again.entry(target).or_insert(other);
                }
                _ => longest = Some((last, target)),
            }
        }
    }
    again
}

/// The places above, below the same variable, nearest first.
fn above(location: &Location) -> impl Iterator<Item = Location> {
    let (base, mut rest) = match location {
        Location::Path { base, rest } => (Some(*base), rest.clone()),
        Location::Bundle(_) => (None, Vec::new()),
    };
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let cut = rest.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        rest.truncate(cut);
        Some(Location::Path { base: base?, rest: rest.clone() })
    })
}

/// The profile without what another line says as well. What it allows is the same.
pub fn mend(profile: &Profile) -> Profile {
    use crate::vocab::syscall_table::{Class, row};
    let mut mended = profile.clone();
    mended.filesystem.retain(|location, _| same_above(profile, location).is_none());
    let again = peers_again(profile);
    mended.network.retain(|target, _| !again.contains_key(target));
    if mended.syscalls.base > 0 {
        let arguments = &profile.syscalls.arguments;
        mended.syscalls.allow.retain(|call| row(*call).class != Class::Base || arguments.contains_key(call));
    }
    mended
}

struct Page<'t> {
    /// The line of each key and element, as written.
    lines: BTreeMap<&'t str, usize>,
    findings: Vec<Finding>,
}

impl<'t> Page<'t> {
    fn of(text: &'t str) -> Self {
        let mut lines = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let word = match line.rsplit_once("\",") {
                Some((_, "")) => line.strip_suffix(','),
                _ => line.split_once(" = ").map(|(key, _)| key),
            };
            if let Some(word) = word {
                lines.entry(word).or_insert(index + 1);
            }
        }
        Self { lines, findings: Vec::new() }
    }

    fn add(&mut self, code: Code, about: &str, sentence: String) {
        let line = self.line_of(about);
        self.findings.push(Finding { code, weight: code.weight(), line, about: about.to_owned(), sentence });
    }

    /// Where the key or element stands: in a canonical text there is such a line; elsewhere it may not be found, and then it
    /// is the first.
    fn line_of(&self, about: &str) -> usize {
        let found = self.lines.get(quote(about).as_str()).or_else(|| self.lines.get(about));
        found.copied().unwrap_or(1)
    }
}
