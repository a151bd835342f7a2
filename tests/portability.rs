//! A profile holds elsewhere: learned by one account in its home and project, it is enforced for another account with another
//! home and project; and bundles that a person wrote are learned, listed and enforced.

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

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use common::enforced::out;
use common::scratch::{Scratch, said, text};

/// Keeps state in the home, reads the system, writes the project, and says where it is.
const AGENT: &str = "mkdir -p ~/.agent && echo more >> ~/.agent/log && wc -l < ~/.agent/log
cat settings; ls > listing; sort listing > sorted; rm listing; cat ~/.agentrc; date -u +%Z";

/// An account of somebody else on this machine, its user and group.
fn somebody() -> (u32, u32) {
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
    let mut accounts = accounts.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        Some((fields.get(2)?.parse::<u32>().ok()?, fields.get(3)?.parse::<u32>().ok()?))
    });
    accounts.rfind(|(uid, _)| *uid != 0).expect("an account beside root's")
}

fn prepare(scratch: &Scratch, name: &str) {
    scratch.file("agent.sh", AGENT);
    scratch.file("settings", &format!("{name}\n"));
    scratch.home_file(".agentrc", &format!("of {name}\n"));
}

/// Runs as that account, from copies that it may read.
fn run_as((uid, gid): (u32, u32), scratch: &Scratch, program: &Path, arguments: &[&str]) -> Output {
    let mut command: Command = scratch.command(program);
    command.args(arguments).uid(uid).gid(gid).output().unwrap()
}

#[test]
fn a_profile_of_one_account_is_enforced_for_another_with_its_own_home_and_project() {
    need!(UserNamespaces, Root);
    let first = Scratch::anywhere("/tmp", "portable-a");
    prepare(&first, "first");
    first.learn(&["sh", "agent.sh"]);
    let profile = std::fs::read_to_string(first.profile()).unwrap();
    assert!(!profile.contains(text(&first.home())), "a profile names no home of its own: {profile}");

    let account = somebody();
    let second = Scratch::anywhere("/var/tmp", "portable-b");
    prepare(&second, "second");
    second.file("generated-profiles/sh.toml", &profile);
    let literal = profile.replace("\"~/", &format!("\"{}/", text(&first.home())));
    assert_ne!(literal, profile);
    second.file("literal.toml", &literal);
    let program = second.outside("pinfold");
    std::fs::copy(env!("CARGO_BIN_EXE_pinfold"), &program).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let all = Command::new("find").arg(second.outside(".")).output().unwrap();
    for path in out(&all).lines() {
        chown(path, Some(account.0), Some(account.1)).unwrap();
    }

    let enforce = |profile: &str| {
        let shown = run_as(account, &second, &program, &["show", "--json", profile]);
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        let digest = shown["digest"].as_str().unwrap();
        let report = second.outside("report.json");
        let words = ["enforce", "--profile", profile, "--accept-digest", digest, "--report", text(&report)];
        let output = run_as(account, &second, &program, &[&words[..], &["--", "sh", "agent.sh"]].concat());
        let report: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&report).unwrap_or_default()).unwrap_or_default();
        (output, report["denials"].clone())
    };
    let (output, denials) = enforce("generated-profiles/sh.toml");
    assert_eq!(out(&output), "1\nsecond\nof second\nUTC\n", "{}", said(&output));
    assert_eq!(denials, serde_json::json!([]), "{}", said(&output));
    assert_eq!(std::fs::read_to_string(second.home().join(".agent/log")).unwrap(), "more\n");
    // The control: the same lines with the home of the first written out.
    let (output, _) = enforce("literal.toml");
    assert!(!out(&output).contains("of second"), "{}", said(&output));
}

#[test]
fn a_bundle_that_a_person_wrote_is_learned_listed_and_enforced_and_opens_nothing_beside() {
    need!(UserNamespaces);
    let scratch = Scratch::new("bundled");
    for name in ["public/0", "public/1", "public/2"] {
        scratch.home_file(&format!("data/{name}"), "public\n");
    }
    scratch.home_file("data/private", "private\n");
    let bundle =
        "why = \"the data sets of every project\"\n[[opens]]\nwhy = \"copies\"\ndirectories = [\"~/data/public\"]\n";
    scratch.home_file(".config/pinfold/bundles/datasets.toml", bundle);
    scratch.file("agent.sh", "cat ~/data/public/0");
    scratch.learn(&["sh", "agent.sh"]);
    let profile = std::fs::read_to_string(scratch.profile()).unwrap();
    assert!(profile.contains("\"@datasets\" = \"read\"") && !profile.contains("~/data"), "{profile}");
    let shown = scratch.pinfold(&["show", "--expand", text(&scratch.profile())]).output().unwrap();
    let place = format!("\n    {}\n", scratch.home().join("data/public").display());
    assert!(
        out(&shown).contains("@datasets is the data sets of every project") && out(&shown).contains(&place),
        "{}",
        out(&shown)
    );
    scratch.file("agent.sh", "cat ~/data/public/0 ~/data/public/2; cat ~/data/private 2>/dev/null || echo closed");
    let output = scratch.enforce(&["sh", "agent.sh"]);
    assert_eq!(out(&output), "public\npublic\nclosed\n", "{}", said(&output));
    // What the bundle opens is part of what was approved.
    let wider = "why = \"x\"\n[[opens]]\nwhy = \"all\"\ndirectories = [\"~/data\"]\n";
    scratch.home_file(".config/pinfold/bundles/datasets.toml", wider);
    let output = scratch.enforce(&["sh", "agent.sh"]);
    assert!(out(&output).is_empty() && !output.status.success(), "{}", said(&output));
    // And without it there is no such word.
    std::fs::remove_file(scratch.home().join(".config/pinfold/bundles/datasets.toml")).unwrap();
    let output = scratch.enforce(&["sh", "agent.sh"]);
    assert!(said(&output).contains("datasets") && !output.status.success(), "{}", said(&output));
}
