//! Approval, as a reviewer meets it: what is recorded, when it is over, and what is said when a profile changed.

#![expect(clippy::unwrap_used, reason = "a test program: a panic in a helper is a failed test")]

mod common;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::Output;

use common::scratch::{Scratch, said};

const PROFILE: &str =
    "schema = 1\nname = \"true\"\ncommand = [\"true\"]\n\n[filesystem]\n\"/usr\" = \"read\"\n\n[syscalls]\nbase = 1\n";

struct Desk {
    scratch: Scratch,
    profile: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let scratch = Scratch::new("approvals");
        let profile = scratch.project().join("generated-profiles/true.toml");
        std::fs::create_dir_all(profile.parent().unwrap()).unwrap();
        std::fs::write(&profile, PROFILE).unwrap();
        Self { scratch, profile }
    }

    fn pinfold(&self, arguments: &[&str]) -> Output {
        self.scratch.pinfold(arguments).current_dir(self.scratch.project()).output().unwrap()
    }

    fn approve(&self, more: &[&str]) {
        let output = self.pinfold(&[&["approve", "--accept=all"], more, &["true"]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }

    /// The plan alone: nothing is run, and no kernel feature is needed.
    fn dry_run(&self) -> Output {
        self.pinfold(&["enforce", "--dry-run", "--", "true"])
    }

    fn record(&self) -> (PathBuf, String) {
        let directory = self.state().join("approvals");
        let path = std::fs::read_dir(directory).unwrap().next().unwrap().unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        (path, text)
    }

    fn state(&self) -> PathBuf {
        self.scratch.home().parent().unwrap().join("state/pinfold")
    }
}

/// What waits, in no order: two that are asked by themselves, of different risk, and one that goes with the whole.
const WAITING: &str = "schema = 1\nname = \"true\"\ncommand = [\"true\"]\n\n[filesystem]\n\"/usr\" = \"read\"\n\
    \"~/.netrc\" = { access = \"exist\", sensitive = \"credential\", approved = false }\n\n[network]\n\
    \"localhost:8080\" = { access = \"connect\", approved = false }\n\n[syscalls]\nbase = 1\nallow = [\n    \"ptrace\",\n]\n";

impl Desk {
    /// `pinfold approve true` at a terminal: waits for each word and types what stands beside it. What was shown, and the
    /// exit code.
    fn conversation(&self, talk: &[(&str, &str)]) -> (String, Option<i32>) {
        let pty = nix::pty::openpty(None, None).unwrap();
        let (mut near, far) = (File::from(pty.master), File::from(pty.slave));
        let mut command = self.scratch.pinfold(&["approve", "true"]);
        command.stdin(far.try_clone().unwrap()).stdout(far.try_clone().unwrap()).stderr(far);
        let mut child = command.spawn().unwrap();
        drop(command);
        let (mut seen, mut bytes) = (String::new(), [0; 512]);
        let mut talk = talk.iter().peekable();
        let mut from = 0;
        // The last end that closes gives EIO here.
        while let Ok(count @ 1..) = near.read(&mut bytes) {
            seen.push_str(&String::from_utf8_lossy(bytes.get(..count).unwrap()));
            while let Some((word, answer)) = talk.peek() {
                let Some(found) = seen.get(from..).and_then(|rest| rest.find(word)) else { break };
                from += found + word.len();
                near.write_all(answer.as_bytes()).unwrap();
                talk.next();
            }
        }
        assert_eq!(talk.next(), None, "it was never asked for: {seen}");
        (seen, child.wait().unwrap().code())
    }
}

const WHOLE: &str = "Approve this profile on this machine? [y/N]";

#[test]
fn at_a_terminal_the_most_dangerous_is_asked_first_and_each_answer_counts_for_itself() {
    let desk = Desk::new();
    std::fs::write(&desk.profile, WAITING).unwrap();
    let talk = [(WHOLE, "y\n"), ("ptrace", ""), ("Grant this too? [y/N]", "n\n"), ("~/.netrc", ""), ("[y/N]", "yes\n")];
    let (seen, code) = desk.conversation(&talk);
    assert_eq!(code, Some(0), "{seen}");
    let before_the_question = seen.split(WHOLE).next().unwrap();
    assert!(before_the_question.contains("with it: \"localhost:8080\""), "{seen}");
    let written = std::fs::read_to_string(&desk.profile).unwrap();
    assert!(written.contains("\"localhost:8080\" = { access = \"connect\", approved = true }"), "{written}");
    assert!(written.contains("sensitive = \"credential\", approved = true }"), "{written}");
    assert!(!written.contains("approved = [") && written.contains("\"ptrace\","), "ptrace still waits: {written}");
    assert!(desk.record().1.contains("\"how\":\"asked\""), "{}", desk.record().1);
    let plan = said(&desk.dry_run());
    assert!(
        plan.contains("[syscalls] allow = [\"ptrace\"]: not approved"),
        "what got a no is withheld, and said: {plan}"
    );
}

#[test]
fn anything_but_yes_approves_nothing_and_leaves_the_profile_as_it_was() {
    for answer in ["n\n", "\n", "yess\n", "\u{4}"] {
        let desk = Desk::new();
        std::fs::write(&desk.profile, WAITING).unwrap();
        let (seen, code) = desk.conversation(&[(WHOLE, answer)]);
        assert_eq!(code, Some(1), "{answer:?}: {seen}");
        assert!(seen.contains("nothing was approved"), "{seen}");
        assert_eq!(std::fs::read_to_string(&desk.profile).unwrap(), WAITING);
        let recorded = std::fs::read_dir(desk.state().join("approvals")).map_or(0, Iterator::count);
        assert_eq!(recorded, 0, "{answer:?} recorded something");
        assert_eq!(desk.dry_run().status.code(), Some(125));
    }
    // The control: the same question with a yes.
    let desk = Desk::new();
    let (seen, code) = desk.conversation(&[(WHOLE, "y\n")]);
    assert_eq!((code, desk.dry_run().status.code()), (Some(0), Some(0)), "{seen}");
}

#[test]
fn a_question_shows_which_programs_asked_and_in_how_many_runs() {
    need!(UserNamespaces);
    let desk = Desk::new();
    desk.scratch.home_file(".netrc", "machine example.com\n");
    std::fs::remove_file(&desk.profile).unwrap();
    let path = desk.profile.to_str().unwrap();
    let learned = desk.pinfold(&["learn", "--profile", path, "--", "sh", "-c", "cat ~/.netrc"]);
    let text = std::fs::read_to_string(&desk.profile).unwrap_or_default();
    assert!(
        text.contains("\"~/.netrc\" = { access = \"read\", sensitive = \"credential\""),
        "{text}{}",
        said(&learned)
    );
    let (seen, code) = desk.conversation(&[(WHOLE, "y\n"), ("~/.netrc", ""), ("Grant this too? [y/N]", "y\n")]);
    assert_eq!(code, Some(0), "{seen}");
    let question = seen.split(WHOLE).nth(1).unwrap();
    assert!(
        question.contains("asked for by") && question.contains("cat") && question.contains("in 1 of 1 runs"),
        "{seen}"
    );
}

#[test]
fn an_approval_says_who_when_why_and_how_long() {
    let desk = Desk::new();
    desk.approve(&["--why", "for the migration", "--expires", "2d"]);
    let record: serde_json::Value = serde_json::from_str(desk.record().1.lines().next().unwrap()).unwrap();
    assert_eq!(record["why"], "for the migration");
    assert_eq!(record["how"], "--accept=all");
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap();
    assert_eq!(record["who"], user.name.as_str());
    let time = |field: &str| record[field].as_u64().unwrap();
    assert_eq!(time("expires") - time("when"), 2 * 24 * 3600);
    assert_eq!(desk.dry_run().status.code(), Some(0), "{}", said(&desk.dry_run()));
    for bad in ["2", "d", "-1d", "0h", "99999999999999999999w"] {
        let output = desk.pinfold(&["approve", "--accept=all", &format!("--expires={bad}"), "true"]);
        assert_eq!(output.status.code(), Some(2), "{bad}: {}", said(&output));
    }
}

#[test]
fn an_approval_whose_time_is_over_runs_nothing_and_check_says_so() {
    let desk = Desk::new();
    desk.approve(&["--expires", "1h"]);
    let (path, text) = desk.record();
    let mut record: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    record["expires"] = 1.into();
    std::fs::write(path, format!("{record}\n")).unwrap();
    let output = desk.dry_run();
    assert_eq!(output.status.code(), Some(125), "{}", said(&output));
    assert!(said(&output).contains("is over") && said(&output).contains("pinfold approve"), "{}", said(&output));
    assert!(said(&desk.pinfold(&["check", "true"])).contains("[approval-expired]"));
    desk.approve(&[]);
    assert_eq!(desk.dry_run().status.code(), Some(0), "approved anew");
}

#[test]
fn a_profile_that_changed_is_not_run_and_the_start_says_what_it_would_allow() {
    let desk = Desk::new();
    desk.approve(&[]);
    let ssh = "\"~/.ssh\" = { access = \"read\", sensitive = \"vault\", approved = true }\n\"/usr\"";
    std::fs::write(&desk.profile, PROFILE.replace("\"/usr\"", ssh)).unwrap();
    let output = desk.dry_run();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(125), "{text}");
    assert!(text.contains("risk 4  the agent can now read `~/.ssh`: your SSH keys"), "{text}");
    let shown = said(&desk.pinfold(&["approve", "true"]));
    assert!(shown.contains("risk 4  the agent can now read `~/.ssh`"), "approve shows it, too: {shown}");
    // The control: another order and a comment are no change.
    std::fs::write(&desk.profile, format!("# a comment\n{PROFILE}")).unwrap();
    assert_eq!(desk.dry_run().status.code(), Some(0), "{}", said(&desk.dry_run()));
}

#[test]
fn what_is_above_a_ceiling_is_named_line_by_line_also_where_it_waits() {
    let desk = Desk::new();
    let ceiling = desk.scratch.outside("org.toml");
    std::fs::write(&ceiling, PROFILE.replace("[\"true\"]", "[\"anything\"]")).unwrap();
    let check = || desk.pinfold(&["check", "--ceiling", ceiling.to_str().unwrap(), "true"]);
    assert!(!said(&check()).contains("above-ceiling"), "{}", said(&check()));
    let waits = "\"~/.netrc\" = { access = \"read\", sensitive = \"credential\", approved = false }\n\"/usr/lib\"";
    std::fs::write(&desk.profile, PROFILE.replace("\"/usr\"", waits)).unwrap();
    let output = check();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let found: Vec<&str> = text.lines().filter(|line| line.contains("above-ceiling")).collect();
    assert!(matches!(found.as_slice(), [one] if one.contains("true.toml:6:") && one.contains("~/.netrc")), "{text}");
    let json = said(&desk.pinfold(&["check", "--format", "json", "--ceiling", ceiling.to_str().unwrap(), "true"]));
    assert!(json.contains("above-ceiling"), "{json}");
}

#[test]
fn many_approvals_at_once_lose_none() {
    let desk = Desk::new();
    let mut running = Vec::new();
    for number in 0..8 {
        let path = desk.profile.with_file_name(format!("p{number}.toml"));
        std::fs::write(&path, PROFILE.replace("\"true\"\n", &format!("\"p{number}\"\n"))).unwrap();
        // All for one file: its text is another one each time.
        let mut command = desk.scratch.pinfold(&["approve", "--accept=all", path.to_str().unwrap()]);
        running.push(command.current_dir(desk.scratch.project()).spawn().unwrap());
    }
    for mut child in running {
        assert!(child.wait().unwrap().success());
    }
    for number in 0..8 {
        let shown = said(&desk.pinfold(&["show", &format!("p{number}")]));
        assert!(shown.contains("approved on this machine") && !shown.contains("NOT approved"), "{shown}");
    }
    let left = std::fs::read_dir(desk.state().join("approvals")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".tmp")), "{left:?}");
}
