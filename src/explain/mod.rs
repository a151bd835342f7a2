//! Profile × evidence × question → an answer: what covers this, who needed it, and if it is not granted: why not, and which
//! line would allow it.
//!
//! Pure, and quick: it reads what [`crate::reduce::evidence`] found and searches no trace. Invariant: what is not known is said
//! to be unknown; no answer offers a line that is never granted.

mod question;
pub mod tree;

use serde::Serialize;

use crate::profile::Profile;
use crate::profile::emit::{net_grant, path_grant, quote};
use crate::profile::evidence::{Account, Evidence, Outcome, Subject, date};
use crate::profile::lines::Lines;
use crate::vocab::access::Access;
use crate::vocab::bundle::Layout;
use crate::vocab::endpoint::NetTarget;
use crate::vocab::location::{Base, Location, Roots};
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::{Row, Sensitivity, sensitive};
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::{Class, row};
use crate::vocab::variables::is_powerful;

pub use question::{NoQuestion, Question};

/// Places that each run has of its own.
const PRIVATE: [&str; 4] = ["/proc", "/dev", "/tmp", "/var/tmp"];

/// What is known. All texts are escaped as in files, so they are harmless on a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// What was asked for, as a profile would write it.
    pub subject: String,
    /// Whether a run has it.
    pub verdict: Verdict,
    /// Why that is so, in plain words.
    pub why: String,
    /// The line that covers it.
    pub line: Option<String>,
    /// What else that line opens.
    pub opens: Option<Opens>,
    /// What would allow it, where something may.
    pub remedy: Option<String>,
    /// What the runs show.
    pub seen: Option<Seen>,
}

/// Whether a run has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A line grants it.
    Granted,
    /// A line is for it that no person approved.
    Withheld,
    /// Each run has one of its own.
    Private,
    /// Its name is there, and nothing else.
    NameOnly,
    /// It is not granted.
    NotGranted,
}

impl Verdict {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Withheld => "withheld until a person approves it",
            Self::Private => "of the run's own",
            Self::NameOnly => "its name only",
            Self::NotGranted => "NOT granted",
        }
    }
}

/// What a line opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opens {
    /// Places beneath it that a run used or looked for.
    pub observed: u64,
    /// Names counted in its directories, as far as the runs came by them.
    pub exposed: u64,
    /// There are more.
    pub more: bool,
}

/// What the runs show of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// What came of it.
    pub outcome: Outcome,
    /// How far it was used, of a place.
    pub access: Option<Access>,
    /// In how many runs.
    pub runs: usize,
    /// Of how many.
    pub of: usize,
    /// The day of the first of them, UTC.
    pub first: String,
    /// The day of the last of them.
    pub last: String,
    /// Chains of programs with their arguments in shape; the first of many.
    pub chains: Vec<String>,
    /// The program without which nobody would have needed it.
    pub because: Option<String>,
}

impl Seen {
    fn of(evidence: &Evidence, subject: &Subject) -> Option<Self> {
        let account = evidence.of_subject(subject)?;
        let programs = evidence.facts.get(subject).map(|witness| &witness.programs);
        Some(Self::from(account, programs.into_iter().flatten().map(|&program| words(evidence, program)).collect()))
    }

    fn from(account: Account<'_>, chains: Vec<String>) -> Self {
        Self {
            outcome: account.outcome,
            access: account.access,
            runs: account.count,
            of: account.of,
            first: date(account.first.started),
            last: date(account.last.started),
            chains,
            because: account.because,
        }
    }
}

/// `sh -c <text 9> → git <text 6>`: a chain with arguments in shape.
fn words(evidence: &Evidence, program: u32) -> String {
    const LONGEST: usize = 12;
    let (mut parts, mut next) = (Vec::new(), Some(program));
    while let Some(program) = next.and_then(|number| evidence.program(number)).filter(|_| parts.len() < LONGEST) {
        parts.push(tree::label(program));
        next = program.parent;
    }
    parts.reverse();
    parts.join(" → ")
}

/// Answers `question`. `roots`: where the variables lead here; `layout`: where this system keeps its files.
pub fn explain(
    profile: &Profile,
    evidence: &Evidence,
    roots: &Roots,
    layout: Option<Layout>,
    question: &Question,
) -> Answer {
    match question {
        Question::Place(path) => place(profile, evidence, roots, layout, path),
        Question::Call(call) => call_of(profile, evidence, *call),
        Question::Peer(text) => peer(profile, evidence, text),
        Question::Variable(name) => variable(profile, evidence, name),
    }
}

fn place(profile: &Profile, evidence: &Evidence, roots: &Roots, layout: Option<Layout>, path: &AbsPath) -> Answer {
    let (lines, location) = (Lines::of(profile, roots, layout), roots.locate(path));
    let seen = Seen::of(evidence, &Subject::Place(location.clone()));
    let covering = lines.over(path).and_then(|line| {
        let number = usize::try_from(line.number).ok()?;
        profile.filesystem.iter().nth(number)
    });
    let wanted = seen.as_ref().and_then(|seen| seen.access).unwrap_or(Access::Read);
    let risk = sensitive(path, roots, wanted);
    let mut answer = Answer {
        subject: location.to_string(),
        verdict: Verdict::NotGranted,
        why: String::new(),
        line: None,
        opens: None,
        remedy: None,
        seen,
    };
    if let Some((place, grant)) = covering {
        answer.line = Some(format!("[filesystem] {} = {}", quote(&place.to_string()), path_grant(grant)));
        let opened = evidence.opened(place);
        answer.opens = opened.map(|(observed, exposed, more)| Opens { observed, exposed, more });
        answer.verdict = if grant.approved { Verdict::Granted } else { Verdict::Withheld };
        let own = *place == location;
        answer.why = covered(grant.access, own, grant.approved, risk);
        if !grant.approved {
            answer.remedy = Some("`pinfold approve` asks about it".to_owned());
        } else if grant.access < wanted && answer.seen.as_ref().is_some_and(|seen| seen.access == Some(wanted)) {
            answer.why.push_str(&format!("; a run used it for more ({wanted})"));
            answer.remedy = Some(line_for(&location, wanted, risk));
        }
        return answer;
    }
    let own = [roots.get(Base::Project), roots.get(Base::Home)];
    let is_own = own.iter().flatten().any(|top| path.is_beneath(top));
    let at = |top: &str| AbsPath::new(top).is_ok_and(|top| path.is_beneath(&top));
    if at("/proc") || at("/dev") || (!is_own && PRIVATE.iter().any(|top| at(top))) {
        answer.verdict = Verdict::Private;
        answer.why = "each run has a directory of its own there; what lies in yours is not shown to it".to_owned();
        return answer;
    }
    let home = own.iter().flatten().any(|top| top == path) && roots.get(Base::Home).as_ref() == Some(path);
    let name_only = path.is_root() || lines.is_beneath(path);
    if name_only {
        answer.verdict = Verdict::NameOnly;
    }
    answer.why = not_covered(answer.seen.as_ref(), evidence, name_only, risk);
    let never = path.is_root() || home || risk.is_some_and(|row| row.sensitivity == Sensitivity::Pinfold);
    if never {
        answer.why.push_str("; it is never granted as a whole");
    } else {
        answer.remedy = Some(line_for(&location, wanted, risk));
    }
    answer
}

fn covered(access: Access, own: bool, approved: bool, risk: Option<&Row>) -> String {
    let mut why = match (approved, own) {
        (true, true) => format!("a line of its own grants it: {access}"),
        (true, false) => format!("the line above it grants everything beneath: {access}"),
        (false, true) => "a line of its own is for it, and nobody approved that".to_owned(),
        (false, false) => "the line above it is for everything beneath, and nobody approved that".to_owned(),
    };
    if let Some(row) = risk {
        why.push_str(&format!("; it is sensitive ({}): {}", row.sensitivity.as_str(), row.why));
        if row.sensitivity == Sensitivity::HostExecutes && access.writes() && !own {
            why.push_str("; by a line above it, it may be read and not changed");
        }
    }
    why
}

fn not_covered(seen: Option<&Seen>, evidence: &Evidence, name_only: bool, risk: Option<&Row>) -> String {
    let mut why = match seen.map(|seen| (seen, seen.outcome)) {
        _ if evidence.runs.is_empty() => {
            "no line covers it; nothing is known here of the runs behind this profile".to_owned()
        }
        None => format!("no line covers it: none of {} needed it", runs(evidence.runs.len())),
        Some((seen, Outcome::Probed)) => format!(
            "no line covers it: {} of {} looked for it, and it was not there; a look that fails is no grant",
            seen.runs,
            runs(seen.of)
        ),
        Some((seen, Outcome::Refused)) => {
            format!("no line covers it: {} of {} tried it, and it was refused", seen.runs, runs(seen.of))
        }
        Some((seen, Outcome::Used)) => format!(
            "no line covers it, although {} of {} used it: the line was taken out by a person, or its directory is one \
             that many programs share, in which names are granted one by one",
            seen.runs,
            runs(seen.of)
        ),
    };
    if name_only {
        why.push_str("; its name is there, since something beneath it is granted");
    }
    if let Some(row) = risk {
        why.push_str(&format!(
            "; it is sensitive ({}): {}; nothing but a line of its own that a person approved grants it",
            row.sensitivity.as_str(),
            row.why
        ));
        if row.sensitivity == Sensitivity::Vault {
            why.push_str("; it is hidden even while learning, unless --open-vault shows it");
        }
    }
    why
}

/// The line that would grant `location`.
fn line_for(location: &Location, access: Access, risk: Option<&Row>) -> String {
    let place = quote(&location.to_string());
    match risk {
        None => format!("[filesystem] {place} = \"{access}\""),
        Some(row) => format!(
            "[filesystem] {place} = {{ access = \"{access}\", sensitive = \"{}\", approved = true }}",
            row.sensitivity.as_str()
        ),
    }
}

fn call_of(profile: &Profile, evidence: &Evidence, call: Syscall) -> Answer {
    let (row, syscalls) = (row(call), &profile.syscalls);
    let name = quote(call.name());
    let mut answer = Answer {
        subject: call.name().to_owned(),
        verdict: Verdict::NotGranted,
        why: String::new(),
        line: None,
        opens: None,
        remedy: None,
        seen: Seen::of(evidence, &Subject::Call(call)),
    };
    if row.class == Class::Base && syscalls.base > 0 {
        answer.verdict = Verdict::Granted;
        answer.line = Some(format!("[syscalls] base = {}", syscalls.base));
        answer.why = "every program needs it: who calls it is not recorded, but with --exact".to_owned();
    } else if syscalls.allow.contains(&call) {
        let approved = row.risk < 4 || syscalls.approved.contains(&call);
        answer.verdict = if approved { Verdict::Granted } else { Verdict::Withheld };
        answer.line = Some(format!("[syscalls] allow = [{name}]"));
        answer.why = format!("a line of its own; its risk is {} of 4", row.risk);
        if !approved {
            answer.remedy = Some(format!("`pinfold approve` asks about it; or [syscalls] approved = [{name}]"));
        }
    } else {
        let seen = answer.seen.as_ref().map_or(0, |seen| seen.runs);
        answer.why = match row.class {
            Class::Floor => format!(
                "it is refused to everybody while learning, and afterwards but by a line of its own that a person approved; its \
                 risk is {} of 4",
                row.risk
            ),
            Class::Absent => "this machine has no such call".to_owned(),
            _ if evidence.runs.is_empty() => {
                "no line allows it; nothing is known here of the runs behind this profile".to_owned()
            }
            _ if seen == 0 => format!("no line allows it: none of {} made it", runs(evidence.runs.len())),
            _ => "no line allows it, although it was made: the line was taken out by a person".to_owned(),
        };
        answer.remedy = match row.class {
            Class::Floor if matches!(call.name(), "clone" | "unshare" | "setns" | "mount" | "pivot_root") => Some(
                "nested_sandbox = true, above the first section, for a command with a sandbox of its own".to_owned(),
            ),
            Class::Absent => None,
            _ if row.risk >= 4 => Some(format!("[syscalls] allow = [{name}]; [syscalls] approved = [{name}]")),
            _ => Some(format!("[syscalls] allow = [{name}]")),
        };
    }
    if let Some(words) = syscalls.arguments.get(&call).filter(|words| !words.is_empty()) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        answer.why.push_str(&format!("; beyond what every program needs with {}", words.join(", ")));
    }
    answer
}

fn peer(profile: &Profile, evidence: &Evidence, text: &str) -> Answer {
    let is_it = |name: &str| name == text || name.strip_prefix(text).is_some_and(|port| port.starts_with(':'));
    let known = |subject: &&Subject| matches!(subject, Subject::Peer(peer) if is_it(peer));
    let seen = evidence.facts.keys().find(known).and_then(|subject| Seen::of(evidence, subject));
    let mut answer = Answer {
        subject: text.to_owned(),
        verdict: Verdict::NotGranted,
        why: String::new(),
        line: None,
        opens: None,
        remedy: None,
        seen,
    };
    let lines = || profile.network.iter();
    let wanted: Option<NetTarget> = text.parse().ok();
    let holds = |target: &NetTarget| wanted.as_ref().is_some_and(|wanted| target.covers(wanted));
    let line = lines().find(|(target, _)| is_it(&target.to_string()));
    let line = line.or_else(|| lines().find(|(target, grant)| grant.approved && holds(target)));
    let line = line.or_else(|| lines().find(|(target, _)| holds(target)));
    if let Some((target, grant)) = line.or_else(|| profile.network.get_key_value(&NetTarget::Host)) {
        answer.verdict = if grant.approved { Verdict::Granted } else { Verdict::Withheld };
        answer.line = Some(format!("[network] {} = {}", quote(&target.to_string()), net_grant(target, grant)));
        answer.why = match (target, grant.approved) {
            (NetTarget::Host, true) => "the whole network of the host is granted".to_owned(),
            (target, true) if !is_it(&target.to_string()) => "a line that holds more grants it".to_owned(),
            (NetTarget::Name(_) | NetTarget::Ports(_) | NetTarget::Inside(_), true) => {
                "a line of its own grants it".to_owned()
            }
            (_, false) => "the line for it waits for a person".to_owned(),
        };
        if *target == NetTarget::Host {
            let peers = evidence.facts.keys().filter(|subject| matches!(subject, Subject::Peer(_))).count();
            answer.why.push_str(&format!("; the runs used {peers} peer{}", if peers == 1 { "" } else { "s" }));
        }
        if !grant.approved {
            answer.remedy = Some("`pinfold approve` asks about it".to_owned());
        }
        return answer;
    }
    answer.why = match &answer.seen {
        _ if evidence.runs.is_empty() => {
            "no line covers it; nothing is known here of the runs behind this profile".to_owned()
        }
        Some(_) => "no line covers it, although it was tried".to_owned(),
        None => format!("no line covers it: none of {} connected to it", runs(evidence.runs.len())),
    };
    let target = if text.rsplit_once(':').is_some() { text.to_owned() } else { format!("{text}:443") };
    answer.remedy = Some(format!("[network] {} = \"connect\"", quote(&target)));
    answer
}

fn variable(profile: &Profile, evidence: &Evidence, name: &str) -> Answer {
    let seen = Seen::of(evidence, &Subject::Variable(name.to_owned()));
    let mut answer = Answer {
        subject: crate::vocab::escape::file(name.as_bytes()),
        verdict: Verdict::NotGranted,
        why: String::new(),
        line: None,
        opens: None,
        remedy: None,
        seen,
    };
    if let Some(secret) = profile.secrets.get(name) {
        answer.verdict = if secret.approved { Verdict::Granted } else { Verdict::Withheld };
        answer.line = Some(format!("[secrets] {} = {}", quote(name), crate::profile::emit::secret(secret)));
        answer.why = "it is a secret: its value is handed over at the start".to_owned();
        if !secret.approved {
            answer.remedy = Some("`pinfold approve` asks about it".to_owned());
        }
    } else if profile.environment.contains(name) {
        answer.verdict = Verdict::Granted;
        answer.line = Some(format!("[environment] pass = [{}]", quote(name)));
        answer.why = "it is passed on where the caller has it set".to_owned();
        if answer.seen.as_ref().is_some_and(|seen| seen.outcome == Outcome::Probed) {
            answer.why.push_str("; no file that a run executed or read names it, so that it may do without");
        }
    } else {
        answer.why = match &answer.seen {
            _ if evidence.runs.is_empty() => {
                "it is not passed on; nothing is known here of the runs behind this profile".to_owned()
            }
            Some(_) => {
                "it was set while learning and is not passed on: it leads out of the sandbox or changes every program, or \
                 a person took it out"
                    .to_owned()
            }
            None => format!("it is not passed on: it was set in none of {}", runs(evidence.runs.len())),
        };
        if is_powerful(name) {
            answer.why.push_str(
                "; it leads out of the sandbox or changes every program, so that learning never passes it on",
            );
        }
        answer.remedy = Some(format!("[environment] pass = [{}]", quote(name)));
    }
    answer
}

fn runs(count: usize) -> String {
    format!("{count} run{}", if count == 1 { "" } else { "s" })
}
