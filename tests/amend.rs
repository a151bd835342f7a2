//! What a run was refused becomes lines of its profile, those that a person chooses and no others.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use std::process::Output;

use common::enforced::{enforced, out, project, run};
use common::scratch::{Scratch, said, text};

/// A run that was refused a note, a key and a call, under a profile with a comment in it.
fn refused() -> (Scratch, String) {
    let scratch = project("cat ~/notes; cat ~/.ssh/id_rsa; ./tracee errno 101; echo end");
    scratch.home_file("notes", "noted\n");
    scratch.home_file(".ssh/id_rsa", "KEY\n");
    let output = run(enforced(&scratch));
    assert_eq!(out(&output), "end\n", "{}", said(&output));
    let profile = scratch.outside("profile.toml");
    let written = std::fs::read_to_string(&profile).unwrap();
    std::fs::write(&profile, written.replace("\"/usr\" =", "# mine\n\"/usr\" =")).unwrap();
    let name = text(&profile).to_owned();
    (scratch, name)
}

fn pinfold(scratch: &Scratch, words: &[&str]) -> Output {
    scratch.pinfold(words).output().unwrap()
}

/// The script again, under the profile as it stands and by its approval.
fn again(scratch: &Scratch, profile: &str) -> Output {
    pinfold(scratch, &["enforce", "--quiet", "--profile", profile, "--", "sh", "script.sh"])
}

#[test]
fn the_line_that_was_chosen_is_added_and_approved_and_the_others_are_not() {
    need!(UserNamespaces, Fuse);
    let (scratch, profile) = refused();
    let approved = pinfold(&scratch, &["approve", "--accept=all", &profile]);
    assert_eq!(approved.status.code(), Some(0), "{}", said(&approved));
    let listed = pinfold(&scratch, &["amend", &profile]);
    let lines = out(&listed);
    assert_eq!(listed.status.code(), Some(1), "{}", said(&listed));
    assert!(lines.contains("~/.ssh/id_rsa") && lines.contains("that opens: ") && lines.contains("ptrace"), "{lines}");
    let number = lines.lines().find(|line| line.contains("\"~/notes\"")).unwrap().split('.').next().unwrap();
    let amended = pinfold(&scratch, &["amend", "--add", number, &profile]);
    assert_eq!(amended.status.code(), Some(0), "{}", said(&amended));
    let written = std::fs::read_to_string(&profile).unwrap();
    assert!(written.contains("\"~/notes\" = \"read\"") && written.contains("# mine"), "{written}");
    assert!(!written.contains(".ssh") && !written.contains("ptrace"), "{written}");
    let output = again(&scratch, &profile);
    assert_eq!(out(&output), "noted\nend\n", "{}", said(&output));
    let rest = out(&pinfold(&scratch, &["amend", &profile]));
    assert!(!rest.contains("~/notes") && rest.contains(".ssh"), "{rest}");
}

#[test]
fn a_profile_that_nobody_approved_is_not_approved_by_an_addition() {
    need!(UserNamespaces, Fuse);
    let (scratch, profile) = refused();
    let amended = pinfold(&scratch, &["amend", "--add", "1", &profile]);
    assert!(said(&amended).contains("which is not approved"), "{}", said(&amended));
    let output = again(&scratch, &profile);
    assert_eq!(output.status.code(), Some(125), "{}", said(&output));
    assert!(said(&output).contains("was not approved on this machine"), "{}", said(&output));
}

#[test]
fn a_number_that_is_not_there_changes_nothing() {
    need!(UserNamespaces, Fuse);
    let (scratch, profile) = refused();
    let before = std::fs::read_to_string(&profile).unwrap();
    for number in ["0", "9"] {
        let amended = pinfold(&scratch, &["amend", "--add", number, &profile]);
        assert_eq!(amended.status.code(), Some(2), "{}", said(&amended));
    }
    assert_eq!(std::fs::read_to_string(&profile).unwrap(), before);
}
