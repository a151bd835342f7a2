//! A hostile agent attacks the run after the next: what it leaves in the places that it may write must not lead the start of
//! another run astray. Each attack succeeds without pinfold, or where nothing is granted that it could bend.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use std::os::unix::fs::symlink;

use common::enforced::{enforced_with, natively, out, project, run};
use common::scratch::{Scratch, said};

/// Runs `script` natively and under a profile with `lines`, each in a scratch that `prepared` made ready; returns what
/// `seen` says of both.
fn both<T>(script: &str, lines: &str, prepared: impl Fn(&Scratch), seen: impl Fn(&Scratch, &str) -> T) -> (T, T) {
    let control = project(script);
    prepared(&control);
    let native = run(natively(&control));
    let scratch = project(script);
    prepared(&scratch);
    let output = run(enforced_with(&scratch, lines, "", ""));
    assert!(scratch.outside("enforce.json").exists(), "the run did not take place: {}", said(&output));
    (seen(&control, &out(&native)), seen(&scratch, &out(&output)))
}

fn printed(_: &Scratch, output: &str) -> bool {
    output.contains("PRIVATE KEY")
}

#[test]
fn a_credential_that_was_approved_in_the_project_is_no_other_when_its_directory_became_a_symlink() {
    need!(UserNamespaces);
    let lines = "\"$PROJECT/conf/.npmrc\" = { access = \"read\", sensitive = \"credential\", approved = true }\n";
    let prepared = |scratch: &Scratch| {
        scratch.home_file(".npmrc", "PRIVATE KEY\n");
        symlink(scratch.home(), scratch.project().join("conf")).unwrap();
    };
    assert_eq!(both("cat conf/.npmrc ~/.npmrc", lines, prepared, printed), (true, false));
}

#[test]
fn an_editors_settings_that_were_approved_in_the_project_are_no_other_when_their_directory_became_a_symlink() {
    need!(UserNamespaces);
    let lines =
        "\"$PROJECT/.vscode/settings.json\" = { access = \"write\", sensitive = \"host-executes\", approved = true }\n";
    let prepared = |scratch: &Scratch| {
        scratch.home_file(".config/Code/User/settings.json", "mine\n");
        symlink(scratch.home().join(".config/Code/User"), scratch.project().join(".vscode")).unwrap();
    };
    let planted = |scratch: &Scratch, _: &str| {
        std::fs::read_to_string(scratch.home().join(".config/Code/User/settings.json")).unwrap().contains("planted")
    };
    assert_eq!(both("echo planted >> .vscode/settings.json", lines, prepared, planted), (true, false));
}

#[test]
fn a_directory_that_is_granted_is_not_made_where_a_symlink_of_the_agent_leads() {
    need!(UserNamespaces);
    let prepared = |scratch: &Scratch| {
        std::fs::create_dir_all(scratch.home().join(".config/autostart")).unwrap();
        symlink(scratch.home().join(".config/autostart"), scratch.project().join("out")).unwrap();
    };
    let made = |scratch: &Scratch, _: &str| scratch.home().join(".config/autostart/made").exists();
    let lines = "\"$PROJECT/out/made\" = \"write\"\n";
    assert_eq!(both("mkdir -p out/made", lines, prepared, made), (true, false));
}

const WITHHELD: &str = "\"$PROJECT/sub/.env\" = { access = \"read\", sensitive = \"credential\", approved = false }\n";

#[test]
fn a_withheld_credential_is_not_uncovered_by_the_guard_of_a_repository_beside_it() {
    need!(UserNamespaces);
    let prepared = |scratch: &Scratch| {
        scratch.file("sub/.env", "PRIVATE KEY\n");
        scratch.file("sub/.git/config", "[core]\n");
    };
    assert_eq!(both("cat sub/.env", WITHHELD, prepared, printed), (true, false));
}

#[test]
fn a_withheld_credential_cannot_be_renamed_away_for_the_next_run_to_read() {
    need!(UserNamespaces);
    let prepared = |scratch: &Scratch| {
        scratch.file("sub/.env", "PRIVATE KEY\n");
    };
    let moved = |scratch: &Scratch, _: &str| scratch.project().join("other/.env").exists();
    assert_eq!(both("mv sub other", WITHHELD, prepared, moved), (true, false));
}
