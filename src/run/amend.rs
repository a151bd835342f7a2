//! What runs were refused → lines that would allow it, and a profile with those of them that a person wants.
//!
//! A line is taken apart by the parser of profiles, as if a person had written it, and joined with the profile: so it says what
//! it would say there, and takes nothing away. Invariant: nothing is proposed that the profile allows already, and what no
//! line may allow is left out.

use std::fmt::Write as _;

use crate::merge::join;
use crate::profile::digest::digest;
use crate::profile::emit::{command, quote};
use crate::profile::{Profile, parse};

use super::refusals::{Kept, Refusal};

/// A line that would allow something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The line, as it was told with the refusal.
    pub line: String,
    /// What it would have allowed, each with who wanted it and how often, summed up over the runs.
    pub asked: Vec<Refusal>,
    addition: Profile,
}

/// Proposals of these runs for `profile`: what is risky first, then as often as it was wanted.
pub fn proposals(profile: &Profile, runs: &[Kept]) -> Vec<Proposal> {
    let mut found: Vec<Proposal> = Vec::new();
    for refusal in runs.iter().flat_map(|run| &run.refusals) {
        let Some(line) = refusal.allow.as_deref() else { continue };
        if let Some(known) = found.iter_mut().find(|known| known.line == line) {
            note(&mut known.asked, refusal);
            continue;
        }
        let Some(addition) = addition(profile, line) else { continue };
        let says_more = join(profile, &addition).is_ok_and(|joined| digest(&joined) != digest(profile));
        if says_more {
            found.push(Proposal { line: line.to_owned(), asked: vec![refusal.clone()], addition });
        }
    }
    let times = |proposal: &Proposal| proposal.asked.iter().map(|asked| asked.times).sum::<u64>();
    found.sort_by_key(|proposal| (!proposal.is_risky(), std::cmp::Reverse(times(proposal))));
    found
}

fn note(asked: &mut Vec<Refusal>, refusal: &Refusal) {
    match asked.iter_mut().find(|known| known.what == refusal.what && known.by.first() == refusal.by.first()) {
        Some(known) => known.times += refusal.times,
        None => asked.push(refusal.clone()),
    }
}

impl Proposal {
    /// What allowing it would open, in words, where that is more than the thing itself.
    pub fn risk(&self) -> Option<&str> {
        self.asked.iter().find_map(|asked| asked.risk.as_deref())
    }

    fn is_risky(&self) -> bool {
        self.risk().is_some()
    }

    /// `profile` with the line.
    pub fn add_to(&self, profile: &Profile) -> Profile {
        // It is for the same command, which is all that two profiles must have in common.
        join(profile, &self.addition).unwrap_or_else(|_| profile.clone())
    }
}

/// A profile for the same command that says `line` and no more; `None` where it is no line of a profile.
fn addition(profile: &Profile, line: &str) -> Option<Profile> {
    let (section, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let protect = quote(profile.protect.as_str());
    let base = profile.syscalls.base;
    let head = format!(
        "schema = 1\nname = {}\ncommand = {}\nprotect = {protect}\n",
        quote(&profile.name),
        command(&profile.command)
    );
    let text = match section {
        // The rest is one line, whatever its names hold.
        "filesystem" | "network" => format!("{head}\n[{section}]\n{rest}\n\n[syscalls]\nbase = {base}\n"),
        "syscalls" | "syscalls.arguments" => {
            let (mut calls, mut arguments) = (String::new(), String::new());
            let mut within = section;
            for part in rest.split("; ") {
                let part = match part.strip_prefix('[').and_then(|part| part.split_once("] ")) {
                    Some((section, part)) => {
                        within = section;
                        part
                    }
                    None => part,
                };
                // Words for people follow the lines. What was kept before is written as an addition.
                let list = part.split_once(" = ").filter(|(_, value)| value.starts_with('[') && value.ends_with(']'));
                let added = part.split_once(" += ").map(|(key, value)| (key, format!("[{value}]")));
                let Some((key, value)) = list.map(|(key, value)| (key, value.to_owned())).or(added) else { break };
                let lines = if within == "syscalls.arguments" { &mut arguments } else { &mut calls };
                writeln!(lines, "{key} = {value}").ok()?;
            }
            format!("{head}\n[syscalls]\nbase = {base}\n{calls}\n[syscalls.arguments]\n{arguments}")
        }
        _ => return None,
    };
    let mut addition = parse::parse(&text).ok()?;
    // Of these a line says nothing, and joining keeps what both say.
    addition.tolerate.clone_from(&profile.tolerate);
    addition.nested_sandbox = profile.nested_sandbox;
    Some(addition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::refusals::Kind;

    fn profile() -> Profile {
        parse::parse(
            "schema = 1\nname = \"t\"\ncommand = [\"t\", \"a b\"]\ntolerate = [\"no-landlock\"]\nprotect = \"strict\"\n\n\
             [filesystem]\n\"~/known\" = \"write\"\n\n[syscalls]\nbase = 1\n",
        )
        .unwrap()
    }

    fn run(lines: &[&str]) -> Kept {
        let refusal = |line: &&str| Refusal {
            kind: Kind::File,
            what: "x".into(),
            by: vec!["/bin/x".into()],
            times: 2,
            allow: Some((*line).to_owned()),
            risk: line.contains("vault").then(|| "keys".into()),
        };
        Kept { when: 0, command: vec![], exit: 0, refusals: lines.iter().map(refusal).collect() }
    }

    #[test]
    fn each_kind_of_line_is_added_as_it_says_and_nothing_else_changes() {
        let lines = [
            "[filesystem] \"~/a; b%0A\" = \"read\"",
            "[filesystem] \"~/.ssh/id\" = { access = \"read\", sensitive = \"vault\", approved = true }",
            "[network] \"api.example.com:443\" = \"connect\"",
            "[syscalls] allow = [\"ptrace\"]; [syscalls] approved = [\"ptrace\"]",
            "[syscalls] allow = [\"socket\"]; [syscalls.arguments] socket = [\"inet stream\"]; to reach anybody with it \
             [network] \"@host\" = { access = \"unconfined\", approved = true }",
            "[syscalls] allow += \"kcmp\"",
            "[syscalls.arguments] ioctl = [\"TIOCGWINSZ\"]",
        ];
        let all = proposals(&profile(), &[run(&lines)]);
        assert_eq!(all.len(), lines.len(), "{all:#?}");
        assert!(all[0].line.contains("vault") && all[0].risk() == Some("keys"));
        let amended = all.iter().fold(profile(), |profile, proposal| proposal.add_to(&profile));
        let text = crate::profile::emit::emit(&amended, None);
        for said in
            ["\"~/a; b%0A\" = \"read\"", "\"api.example.com:443\"", "\"ptrace\"", "\"inet stream\"", "TIOCGWINSZ"]
        {
            assert!(text.contains(said), "{said}: {text}");
        }
        assert!(
            text.contains("protect = \"strict\"") && text.contains("no-landlock") && !text.contains("@host"),
            "{text}"
        );
        assert!(proposals(&amended, &[run(&lines)]).is_empty());
    }

    #[test]
    fn what_is_allowed_already_and_what_is_no_line_is_not_proposed_and_one_line_stands_once() {
        let line = "[filesystem] \"~/a\" = \"read\"";
        let runs = [
            run(&[line, "[filesystem] \"~/known\" = \"read\"", "nested_sandbox = true, above the first section"]),
            run(&[line, "pinfold approve x", "[limits] memory = \"2 GiB\", raised", "[filesystem] \"~/x\" = nonsense"]),
        ];
        let all = proposals(&profile(), &runs);
        assert_eq!(all.len(), 1, "{all:#?}");
        assert_eq!(all[0].asked.iter().map(|asked| asked.times).sum::<u64>(), 4);
    }
}
