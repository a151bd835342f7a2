//! Whatever a run was refused → one list, in words a person can act on.
//!
//! Files, system calls, endpoints, limits that were reached and grants that were withheld stand side by side: each with who,
//! how often, the line that would allow it, and what that would open. The list is kept by profile, so that a failure can be
//! looked into after its output is gone.

use serde::{Deserialize, Serialize};

use crate::event::{Denial, Intent};
use crate::sandbox::limits::{Met, Reached};
use crate::store::{Store, StoreError};
use crate::vocab::escape;
use crate::vocab::limits::Limit;
use crate::vocab::location::Roots;
use crate::vocab::path::AbsPath;

use super::enforce::{Enforced, Prepared};

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A grant of the profile that this run did not get.
    Withheld,
    /// A limit that was reached.
    Limit,
    /// A system call, or an endpoint.
    Call,
    /// A file.
    File,
}

/// One refusal. Texts are escaped as in files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Of which kind.
    pub kind: Kind,
    /// What.
    pub what: String,
    /// The program that was refused, and those above it.
    pub by: Vec<String>,
    /// How often; 0 where that is no question.
    pub times: u64,
    /// What would allow it.
    pub allow: Option<String>,
    /// What that would open.
    pub risk: Option<String>,
}

/// The refusals of one run, as they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Seconds since the epoch.
    pub when: u64,
    /// The command, escaped as in files.
    pub command: Vec<String>,
    /// How it ended, as a shell says it.
    pub exit: i32,
    /// What it was refused.
    pub refusals: Vec<Refusal>,
}

/// Refusals that are kept of one run.
const MOST: usize = 1000;

/// The refusals of a run: withheld grants first, then limits, calls and files; of each kind what is risky before the rest, and
/// what is the user's before what is the machine's, of which programs look at much that they can do without.
pub fn of(prepared: &Prepared, enforced: &Enforced) -> Vec<Refusal> {
    let withheld = prepared.plan.withheld.iter().map(|item| Refusal {
        kind: Kind::Withheld,
        what: format!("{} ({})", item.line, item.why),
        by: Vec::new(),
        times: 0,
        allow: item
            .why
            .starts_with("not approved")
            .then(|| format!("pinfold approve {}", prepared.file.path.display())),
        risk: None,
    });
    let denied = enforced.denials.iter().map(|denial| denied(denial, &prepared.plan.roots));
    let mut all: Vec<Refusal> = withheld.chain(enforced.reached.iter().map(limit)).chain(denied).collect();
    let of_the_machine = |refusal: &Refusal| refusal.kind == Kind::File && refusal.what.contains(" /");
    all.sort_by_cached_key(|one| (one.kind, one.risk.is_none(), of_the_machine(one), one.what.clone()));
    all
}

/// A denial of a run in words.
pub fn denied(denial: &Denial, roots: &Roots) -> Refusal {
    let what = match denial.intent {
        Some(intent) => format!("{} {}", verb(intent), place(&denial.thing, roots)),
        None => format!("{} {}", denial.call, denial.thing).trim_end().to_owned(),
    };
    Refusal {
        kind: if denial.intent.is_some() { Kind::File } else { Kind::Call },
        what,
        by: std::iter::once(denial.program.clone()).chain(denial.chain.iter().cloned()).collect(),
        times: denial.count,
        allow: denial.remedy.clone(),
        risk: denial.risk.clone(),
    }
}

/// A path in the words of profiles.
fn place(thing: &str, roots: &Roots) -> String {
    let path = escape::unfile(thing).ok().and_then(|bytes| AbsPath::new(bytes).ok());
    path.map_or_else(|| thing.to_owned(), |path| roots.locate(&path).to_string())
}

fn verb(intent: Intent) -> &'static str {
    match intent {
        Intent::Look => "look at",
        Intent::Enter => "enter",
        Intent::List => "list",
        Intent::Read => "read",
        Intent::Execute => "execute",
        Intent::Map => "map",
        Intent::Write => "write",
        Intent::Create => "make",
        Intent::Truncate => "empty",
        Intent::Remove => "remove",
        Intent::Attributes => "change the attributes of",
        Intent::Connect => "connect to",
    }
}

fn limit(reached: &Reached) -> Refusal {
    let (key, value) = (reached.limit.key(), &reached.value);
    let (result, times) = match reached.result {
        Met::Ended => ("the command was ended", 1),
        Met::Killed(count) => ("a process was killed", count),
        Met::Refused(count) => ("a process was not made", count),
    };
    let written = if reached.limit == Limit::Processes { value.clone() } else { format!("\"{value}\"") };
    Refusal {
        kind: Kind::Limit,
        what: format!("{key} limit of {value} reached: {result}"),
        by: Vec::new(),
        times,
        allow: Some(format!("[limits] {key} = {written}, raised")),
        risk: None,
    }
}

/// The command of a run, as it is kept.
pub fn command(prepared: &Prepared) -> Vec<String> {
    prepared.plan.argv.iter().map(|word| escape::file(word)).collect()
}

/// The refusals of a run that ended just now, to be kept.
pub fn record(prepared: &Prepared, enforced: &Enforced, refusals: Vec<Refusal>) -> Kept {
    Kept {
        when: crate::store::approvals::now(),
        command: command(prepared),
        exit: enforced.status.shell_code(),
        refusals,
    }
}

/// Keeps the refusals of a run beside those of earlier ones; a run that was refused nothing leaves nothing.
pub fn keep(store: &Store, profile: &std::path::Path, run: &Kept) -> Result<(), StoreError> {
    if run.refusals.is_empty() {
        return Ok(());
    }
    let kept = Kept { refusals: run.refusals.iter().take(MOST).cloned().collect(), ..run.clone() };
    // Plain values are always text.
    store.keep_refusals(profile, &serde_json::to_string(&kept).unwrap_or_default())
}

/// The refusals of earlier runs of a profile, oldest first. Lines that this version cannot read are left out.
pub fn kept(store: &Store, profile: &std::path::Path) -> Result<Vec<Kept>, StoreError> {
    Ok(store.refusals(profile)?.iter().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_file_is_told_in_the_words_of_profiles() {
        let home = AbsPath::new("/home/a").unwrap();
        let roots = Roots([(crate::vocab::location::Base::Home, home)].into());
        let denial = Denial {
            program: "/usr/bin/cat".into(),
            call: "openat".into(),
            thing: "/home/a/.x%0A".into(),
            intent: Some(Intent::Read),
            chain: vec!["/usr/bin/sh".into()],
            count: 2,
            ..Denial::default()
        };
        let refusal = denied(&denial, &roots);
        assert_eq!((refusal.what.as_str(), refusal.times), ("read ~/.x%0A", 2));
        assert_eq!(refusal.by, ["/usr/bin/cat", "/usr/bin/sh"]);
    }
}
