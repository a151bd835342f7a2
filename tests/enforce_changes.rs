//! After a run, what it left that the host may run is told: in short at the end, whole by `pinfold report --changes`.

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

use common::enforced::{enforced_with, out, project, run};
use common::scratch::{Scratch, said};

fn learned(script: &str) -> Scratch {
    let scratch = Scratch::new("changes");
    scratch.file("package.json", r#"{"scripts": {"test": "true"}}"#);
    // With what the scripts of the tests run.
    scratch.file("script.sh", ": > made; : > other; chmod u+x other; ln -s made was");
    scratch.learn(&["sh", "script.sh"]);
    scratch.file("script.sh", script);
    // The start of the run and a change just before it are told apart by the clock's tick.
    std::thread::sleep(std::time::Duration::from_millis(20));
    scratch
}

#[test]
fn commands_scripts_and_symlinks_that_lead_out_are_named_with_what_they_were() {
    need!(UserNamespaces);
    let script = "echo '{\"scripts\": {\"test\": \"sh evil\"}}' > package.json; ln -s /etc/passwd out; ln -s made in; \
                  echo x > tool; chmod +x tool";
    let scratch = learned(script);
    let output = scratch.enforce(&["sh", "script.sh"]);
    let text = said(&output);
    assert!(text.contains("scripts.test: \"true\" -> \"sh evil\""), "{text}");
    assert!(text.contains("out` is new: a symlink that leads out, to `/etc/passwd`"), "{text}");
    assert!(!text.contains("/in` is new"), "{text}");
    assert!(text.contains("1 executable files were made or changed"), "{text}");
    let mut report = scratch.pinfold(&["report", "--changes", scratch.profile().to_str().unwrap()]);
    let report = report.output().unwrap();
    assert!(report.status.success(), "{}", said(&report));
    assert!(out(&report).contains("tool` is new, and can be executed"), "{}", said(&report));
    let kinds: Vec<_> =
        scratch.report("enforce")["changes"]["found"].as_array().unwrap().iter().map(|c| c["kind"].clone()).collect();
    assert_eq!(kinds, ["commands", "leads-out", "executable"]);
}

#[test]
fn a_symlink_to_what_may_be_read_is_told_at_once_in_a_project_and_elsewhere_when_asked() {
    need!(UserNamespaces);
    let scratch = project(
        "mkdir -p ~/own; for at in ~/own .; do ln -s /usr/bin/env $at/known; ln -s /etc/shadow $at/other; done",
    );
    std::thread::sleep(std::time::Duration::from_millis(20));
    let output = run(enforced_with(&scratch, "\"~/own\" = \"write\"\n", "", ""));
    let text = said(&output);
    for (name, told) in
        [("home/own/known", false), ("home/own/other", true), ("project/known", true), ("project/other", true)]
    {
        assert_eq!(text.contains(&format!("/{name}` is new")), told, "{name}: {text}");
    }
    let changes = scratch.report("enforce")["changes"]["found"].to_string();
    assert!(changes.contains("leads-to-read"), "{changes}");
}

#[test]
fn a_symlink_above_a_name_the_host_obeys_and_one_that_leads_out_by_another_are_named() {
    need!(UserNamespaces);
    // The last one leads nowhere yet, and by its text alone it would stay inside.
    let scratch = learned("mkdir -p plain d/e; ln -s plain .claude; ln -s .. d/e/up; ln -s up/../../../later d/e/out");
    let output = scratch.enforce(&["sh", "script.sh"]);
    let text = said(&output);
    for name in [".claude", "d/e/out"] {
        assert!(text.contains(&format!("/{name}` is new")), "{name} is not told: {text}");
    }
    assert!(!text.contains("/d/e/up` is new"), "the control: one that stays inside: {text}");
}

#[test]
fn of_a_file_with_commands_that_can_no_longer_be_read_it_is_told_what_it_named() {
    need!(UserNamespaces);
    let scratch = learned("echo '{' > package.json");
    let text = said(&scratch.enforce(&["sh", "script.sh"]));
    assert!(text.contains("what it names now is not known: it cannot be read in its format"), "{text}");
    assert!(text.contains("scripts.test: \"true\" -> not known"), "{text}");
}

#[test]
fn a_run_that_changes_nothing_of_the_kind_says_nothing_and_one_that_never_was_is_no_empty_report() {
    need!(UserNamespaces);
    let scratch = learned("echo data > made");
    let profile = scratch.profile();
    let report = || scratch.pinfold(&["report", "--changes", profile.to_str().unwrap()]).output().unwrap();
    assert_eq!(report().status.code(), Some(2), "{}", said(&report()));
    let output = scratch.enforce(&["sh", "script.sh"]);
    assert!(!said(&output).contains("changed:"), "{}", said(&output));
    assert!(out(&report()).contains("nothing changed"), "{}", said(&report()));
}

#[test]
fn a_name_in_the_report_cannot_forge_a_line_of_it() {
    need!(UserNamespaces);
    let scratch = learned("n=$(printf 'a\\n  `b` is harmless\\033[2J'); ln -s /etc/passwd \"$n\"");
    let output = scratch.enforce(&["sh", "script.sh"]);
    let text = said(&output);
    assert!(text.contains("\\x0a"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains("\n  `b` is harmless"), "{text}");
}

#[test]
fn changed_commands_are_held_back_where_that_is_asked_for_and_put_nowhere_else() {
    need!(UserNamespaces);
    let script = "echo '{\"scripts\": {\"test\": \"sh evil\"}}' > package.json; : > made";
    let scratch = learned(script);
    let profile = scratch.profile();
    let run = |flag: &[&str]| {
        let words = [&["enforce", "--profile", profile.to_str().unwrap()], flag, &["--", "sh", "script.sh"]].concat();
        scratch.pinfold(&words).output().unwrap()
    };
    let read = |name: &str| std::fs::read_to_string(scratch.project().join(name)).unwrap_or_default();
    let output = run(&["--hold-commands"]);
    assert!(said(&output).contains("is as it was before the run"), "{}", said(&output));
    assert_eq!(read("package.json"), r#"{"scripts": {"test": "true"}}"#);
    assert!(read("package.json.held").contains("sh evil"), "{}", said(&output));
    let output = run(&[]);
    assert!(read("package.json").contains("sh evil"), "the control: {}", said(&output));
}

#[test]
fn neither_a_symlink_nor_a_taken_name_keeps_changed_commands_from_being_held_back() {
    need!(UserNamespaces);
    let evil = "echo '{\"scripts\": {\"test\": \"sh evil\"}}'";
    for (script, taken) in [
        (format!("{evil} > other; ln -sf other package.json"), "unrelated"),
        (format!("{evil} > package.json"), "package.json.held/x"),
    ] {
        let scratch = learned(&script);
        scratch.file(taken, "kept");
        let profile = scratch.profile();
        let words = ["enforce", "--profile", profile.to_str().unwrap(), "--hold-commands", "--", "sh", "script.sh"];
        let output = scratch.pinfold(&words).output().unwrap();
        assert!(said(&output).contains("is as it was before the run"), "{script}: {}", said(&output));
        let path = scratch.project().join("package.json");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), r#"{"scripts": {"test": "true"}}"#, "{script}");
        assert!(!path.is_symlink() && scratch.project().join(taken).exists(), "{script}");
    }
}
