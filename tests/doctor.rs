//! `doctor` on this machine as it is, with user namespaces forbidden, and with a covered /proc; and what the other commands
//! say there. The forbidding is real: it is done in a namespace of the test's own.

#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test program: a panic in a helper is a failed test"
)]

mod common;

use std::process::Output;

use common::scratch::{Scratch, said};

/// Words that make a place in which nobody can make a user namespace.
const NO_USER_NAMESPACES: &[&str] = &[
    "unshare",
    "--user",
    "--map-root-user",
    "sh",
    "-c",
    "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"",
    "sh",
];

/// Words that make a place in which /proc is covered in part, as in the usual container.
const COVERED_PROC: &[&str] = &[
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "--pid",
    "--fork",
    "--mount-proc",
    "sh",
    "-c",
    "mount -t tmpfs none /proc/sys && exec \"$@\"",
    "sh",
];

fn pinfold_in(place: &[&str], scratch: &Scratch, arguments: &[&str]) -> Output {
    let (program, rest) = place.split_first().unwrap();
    scratch.command(program).args(rest).arg(env!("CARGO_BIN_EXE_pinfold")).args(arguments).output().unwrap()
}

#[test]
fn a_machine_that_can_run_it_is_told_so() {
    need!(UserNamespaces);
    let output = Scratch::new("doctor").pinfold(&["doctor"]).output().unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("Everything that pinfold needs works here.") && !text.contains("MISSING"), "{text}");
}

#[test]
fn findings_are_there_for_programs_too() {
    let output = Scratch::new("doctor").pinfold(&["doctor", "--json"]).output().unwrap();
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(findings.len() > 10, "{findings:?}");
    for finding in findings {
        assert!(finding["name"].is_string() && finding["need"].is_string(), "{finding}");
        assert!(finding["state"] == "works" || finding["why"].is_string(), "{finding}");
    }
}

#[test]
fn where_user_namespaces_are_forbidden_each_command_stops_with_the_setting_and_the_command_that_allows_them() {
    need!(UserNamespaces);
    for (arguments, code) in
        [(&["doctor"][..], 1), (&["demo"], 1), (&["run", "--", "true"], 125), (&["learn", "--", "true"], 125)]
    {
        let scratch = Scratch::new("doctor");
        let output = pinfold_in(NO_USER_NAMESPACES, &scratch, arguments);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains("sudo sysctl -w user.max_user_namespaces="), "{arguments:?}: {text}");
        assert_eq!(text.contains("no-namespaces"), arguments == ["doctor"], "{arguments:?}: {text}");
    }
}

#[test]
fn where_proc_is_covered_each_command_stops_with_the_flags_that_uncover_it() {
    need!(UserNamespaces);
    for (engine, flag) in [("podman", "--security-opt unmask=ALL"), ("docker", "--security-opt systempaths=unconfined")]
    {
        for (arguments, code) in [(&["doctor"][..], 1), (&["demo"], 1), (&["run", "--", "true"], 125)] {
            let scratch = Scratch::new("doctor").with("container", engine);
            let output = pinfold_in(COVERED_PROC, &scratch, arguments);
            let text = said(&output);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
            assert!(text.contains(flag), "{arguments:?} in {engine}: {text}");
        }
    }
}

#[test]
fn the_places_of_these_tests_are_otherwise_usable() {
    need!(UserNamespaces);
    for place in [NO_USER_NAMESPACES, COVERED_PROC] {
        let scratch = Scratch::new("doctor");
        let (program, rest) = place.split_first().unwrap();
        let output = scratch.command(program).args(rest).args(["echo", "here"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "here\n", "{}", said(&output));
    }
}
