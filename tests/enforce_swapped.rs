//! What was approved is not something else later: a granted place that became another object is refused by name.

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

use std::os::unix::fs::symlink;
use std::path::Path;

use common::enforced::out;
use common::scratch::{Scratch, said, text};

/// A script that reads two files and a symlink of the home and writes one, learned and approved.
fn approved() -> Scratch {
    let scratch = Scratch::new("swapped");
    scratch.file("script.sh", "cat ~/.tool/conf ~/.tool/link; echo more >> ~/.state; cat ~/.state | head -n 1");
    scratch.home_file(".tool/conf", "conf\n");
    scratch.home_file(".tool/target", "linked\n");
    // So much else lies there that the directory is not granted as a whole.
    (0..60).for_each(|number| drop(scratch.home_file(&format!(".tool/unused-{number}"), "")));
    scratch.home_file(".state", "state\n");
    scratch.home_file("private", "SECRET\n");
    symlink("target", scratch.home().join(".tool/link")).unwrap();
    scratch.learn(&["sh", "script.sh"]);
    let output = scratch.enforce(&["sh", "script.sh"]);
    assert_eq!(out(&output), "conf\nlinked\nstate\n", "the control failed: {}", said(&output));
    assert!(!said(&output).contains("withheld"), "{}", said(&output));
    scratch
}

/// After `swap` the run is told `words`, and does not see what was put there.
fn is_refused(swap: impl Fn(&Path), words: &str) -> Scratch {
    let scratch = approved();
    swap(&scratch.home());
    let output = scratch.enforce(&["sh", "script.sh"]);
    assert!(said(&output).contains(words), "{words}: {}", said(&output));
    assert!(!out(&output).contains("SECRET"), "{}", said(&output));
    scratch
}

#[test]
fn a_file_that_became_a_symlink_is_refused_by_name_until_it_is_approved_again() {
    need!(UserNamespaces);
    let swap = |home: &Path| {
        std::fs::remove_file(home.join(".tool/conf")).unwrap();
        symlink(home.join("private"), home.join(".tool/conf")).unwrap();
    };
    let scratch = is_refused(swap, "conf\" = \"read\": it was a file when this was approved, and is a symlink now");
    // Back to what it was: then nothing is withheld.
    std::fs::remove_file(scratch.home().join(".tool/conf")).unwrap();
    scratch.home_file(".tool/conf", "conf\n");
    assert!(!said(&scratch.enforce(&["sh", "script.sh"])).contains("withheld"));
}

#[test]
fn a_file_that_became_a_directory_or_a_pipe_is_refused_by_name() {
    need!(UserNamespaces);
    let to_directory = |home: &Path| {
        std::fs::remove_file(home.join(".tool/conf")).unwrap();
        std::fs::rename(home.join("private"), home.join("other")).unwrap();
        std::fs::create_dir(home.join(".tool/conf")).unwrap();
        std::fs::rename(home.join("other"), home.join(".tool/conf/private")).unwrap();
    };
    is_refused(to_directory, "it was a file when this was approved, and is a directory now");
    let to_pipe = |home: &Path| {
        std::fs::remove_file(home.join(".tool/conf")).unwrap();
        nix::unistd::mkfifo(&home.join(".tool/conf"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    };
    is_refused(to_pipe, "it was a file when this was approved, and is a pipe now");
}

#[test]
fn a_symlink_that_leads_elsewhere_now_is_refused_by_name() {
    need!(UserNamespaces);
    let swap = |home: &Path| {
        std::fs::remove_file(home.join(".tool/link")).unwrap();
        symlink(home.join("private"), home.join(".tool/link")).unwrap();
    };
    is_refused(swap, "it is a symlink that led elsewhere when this was approved");
}

#[test]
fn a_file_to_be_written_that_got_a_second_name_is_refused_and_the_other_name_keeps_its_contents() {
    need!(UserNamespaces);
    let swap = |home: &Path| {
        std::fs::remove_file(home.join(".state")).unwrap();
        std::fs::hard_link(home.join("private"), home.join(".state")).unwrap();
    };
    let scratch = is_refused(swap, "it has a second name, which it had not when this was approved");
    assert_eq!(std::fs::read_to_string(scratch.home().join("private")).unwrap(), "SECRET\n");
}

#[test]
fn a_file_that_belongs_to_another_user_now_is_refused_by_name() {
    need!(UserNamespaces, Root);
    let swap = |home: &Path| std::os::unix::fs::chown(home.join(".tool/conf"), Some(65534), None).unwrap();
    is_refused(swap, "it belonged to the user 0 when this was approved, and to 65534 now");
}

#[test]
fn what_a_person_changed_is_taken_as_it_is_after_a_new_yes() {
    need!(UserNamespaces);
    let swap = |home: &Path| {
        std::fs::rename(home.join(".tool/conf"), home.join(".tool/own")).unwrap();
        std::fs::hard_link(home.join(".state"), home.join("copy")).unwrap();
    };
    let scratch = is_refused(swap, "second name");
    std::fs::rename(scratch.home().join(".tool/own"), scratch.home().join(".tool/conf")).unwrap();
    let approved = scratch.pinfold(&["approve", "--accept=all", text(&scratch.profile())]).output().unwrap();
    assert!(approved.status.success(), "{}", said(&approved));
    let output = scratch.enforce(&["sh", "script.sh"]);
    assert_eq!(out(&output), "conf\nlinked\nstate\n", "{}", said(&output));
    assert!(!said(&output).contains("withheld"), "{}", said(&output));
}
