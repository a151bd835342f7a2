//! Runs of which not all was seen: they give a profile only where a person wants one, and it runs only when one says so.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::{Output, Stdio};
use std::time::Duration;

use common::enforced::{out, run};
use common::scratch::{Scratch, said, text};

/// Reads its data, and ends by itself only if it is told to.
const AGENT: &str = "cat data; test -e stop || exec sleep 600\n";

fn agent() -> Scratch {
    let scratch = Scratch::new("incomplete");
    scratch.file("agent.sh", AGENT);
    scratch.file("data", "words\n");
    scratch
}

fn learn(scratch: &Scratch, options: &[&str]) -> Output {
    let mut command = scratch.pinfold(&["learn"]);
    command.args(options).args(["--", "sh", "agent.sh"]);
    run(command)
}

/// Learns to a time limit. A busy machine may need more than the first one before the agent has done anything.
fn learn_to_a_limit(scratch: &Scratch, options: &[&str]) -> Output {
    let limits = ["2", "10", "60"].into_iter();
    let mut runs = limits.map(|limit| learn(scratch, &[options, &["--timeout", limit]].concat()));
    runs.find(|output| out(output) == "words\n").expect("the agent did not start")
}

fn enforce(scratch: &Scratch) -> Output {
    scratch.enforce(&["sh", "agent.sh"])
}

fn profile(scratch: &Scratch) -> String {
    std::fs::read_to_string(scratch.profile()).unwrap()
}

fn says_that_it_is_incomplete(output: &Output) {
    assert_eq!(output.status.code(), Some(125), "{}", said(output));
    assert!(out(output).is_empty(), "it ran: {}", out(output));
    let said = said(output);
    assert!(said.contains("not observed completely") && said.contains("hint: learn it again"), "{said}");
}

#[test]
fn a_profile_of_an_incomplete_run_is_made_on_demand_and_runs_only_after_a_yes_to_that() {
    need!(UserNamespaces);
    let scratch = agent();
    let output = learn_to_a_limit(&scratch, &["--accept-learned=own"]);
    assert!(said(&output).contains("--even-if-incomplete"), "the way to one is not told: {}", said(&output));
    assert!(!scratch.project().join("generated-profiles").exists());

    let output = learn_to_a_limit(&scratch, &["--accept-learned=own", "--even-if-incomplete"]);
    assert!(profile(&scratch).contains("incomplete = { gaps = [\"timeout\"], approved = false }"), "{}", said(&output));
    scratch.file("stop", "");
    says_that_it_is_incomplete(&enforce(&scratch));
    // The digest of the profile as it stands says nothing of whether it will do.
    let digest =
        said(&output).split('(').find_map(|part| part.strip_prefix("sha256:")).map(|rest| rest[..64].to_owned());
    let digest = format!("sha256:{}", digest.unwrap());
    says_that_it_is_incomplete(&run({
        let mut command = scratch.pinfold(&["enforce", "--accept-digest", &digest, "--"]);
        command.args(["sh", "agent.sh"]);
        command
    }));
    says_that_it_is_incomplete(&run({
        let mut command = scratch.pinfold(&["enforce", "--dry-run", "--"]);
        command.args(["sh", "agent.sh"]);
        command
    }));

    let approved = run(scratch.pinfold(&["approve", "--accept=all", text(&scratch.profile())]));
    assert!(approved.status.success(), "{}", said(&approved));
    assert!(profile(&scratch).contains("approved = true }"));
    let output = enforce(&scratch);
    assert_eq!(out(&output), "words\n", "the control: {}", said(&output));
}

#[test]
fn an_incomplete_run_does_not_replace_a_profile_of_a_complete_one_and_a_complete_one_does() {
    need!(UserNamespaces);
    let scratch = agent();
    scratch.file("stop", "");
    learn(&scratch, &["--accept-learned=all"]);
    let complete = profile(&scratch);
    std::fs::remove_file(scratch.project().join("stop")).unwrap();
    let incomplete = ["--accept-learned=all", "--even-if-incomplete"];
    let output = learn_to_a_limit(&scratch, &incomplete);
    assert!(said(&output).contains("stays"), "{}", said(&output));
    assert_eq!(profile(&scratch), complete);

    std::fs::remove_file(scratch.profile()).unwrap();
    learn_to_a_limit(&scratch, &incomplete);
    assert!(profile(&scratch).contains("incomplete = "), "the control: {}", profile(&scratch));
    scratch.file("stop", "");
    let output = learn(&scratch, &["--accept-learned=all"]);
    assert_eq!(profile(&scratch), complete, "{}", said(&output));
}

#[test]
fn a_run_that_was_killed_gives_a_profile_up_to_its_last_checkpoint_without_running_again() {
    need!(UserNamespaces);
    let scratch = agent();
    let mut command = scratch.pinfold(&["learn", "--checkpoint", "1", "--", "sh", "agent.sh"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "words\n");
    let recorded = |kind: &str| {
        let shown = out(&run(scratch.pinfold(&["trace", "show", "sh-agent", "--kind", kind])));
        shown.lines().any(|line| !line.starts_with('#'))
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !(recorded("census") && recorded("peaks")) {
        assert!(std::time::Instant::now() < deadline, "no checkpoint in the trace");
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let derive = |options: &[&str]| {
        let mut command = scratch.pinfold(&["learn", "--from-trace", "sh-agent", "--accept-learned=all"]);
        command.args(options);
        run(command)
    };
    let output = derive(&[]);
    assert_eq!(output.status.code(), Some(125), "the control: {}", said(&output));
    let output = derive(&["--even-if-incomplete"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(profile(&scratch).contains("gaps = [\"cut-short\"]"), "{}", profile(&scratch));
    scratch.file("stop", "");
    let output = enforce(&scratch);
    assert_eq!(out(&output), "words\n", "{}", said(&output));
}

#[test]
fn a_file_that_is_no_trace_gives_no_profile_and_an_error_with_its_place() {
    let scratch = agent();
    let file = scratch.file("bad.trace", "not a trace\n");
    let output = run(scratch.pinfold(&["learn", "--from-trace", text(&file), "--even-if-incomplete"]));
    assert_eq!(output.status.code(), Some(125), "{}", said(&output));
    assert!(said(&output).contains("bad.trace") && said(&output).contains("line 1"), "{}", said(&output));
    assert!(!scratch.project().join("generated-profiles").exists());
}
