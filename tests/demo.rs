//! The demo, as a person sees it on a fresh machine.

#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test program: a panic in a helper is a failed test"
)]

mod common;

use std::path::Path;

use common::scratch::{Scratch, said};

fn cache(scratch: &Scratch) -> usize {
    let dir = scratch.home().join(".cache/pinfold");
    std::fs::read_dir(dir).map_or(0, Iterator::count)
}

#[test]
fn every_attack_succeeds_without_and_is_refused_inside_and_nothing_is_left() {
    need!(UserNamespaces);
    let scratch = Scratch::new("demo");
    let output = scratch.pinfold(&["demo"]).output().unwrap();
    let text = said(&output);
    let rows = text.lines().skip_while(|line| !line.starts_with("The hostile agent tried to")).skip(1);
    let rows: Vec<Vec<&str>> = rows
        .take_while(|row| !row.is_empty())
        .map(|row| row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    assert_eq!(rows.len(), 6, "{text}");
    for row in rows {
        assert_eq!(row.get(1..), Some(&["succeeded", "refused"][..]), "{text}");
    }
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(cache(&scratch), 0, "the scratch directory is still there");
    assert!(!scratch.state().exists(), "the demo wrote into the state of its user");
}

#[test]
fn it_keeps_its_scratch_directory_only_when_asked() {
    need!(UserNamespaces);
    let scratch = Scratch::new("demo");
    let output = scratch.pinfold(&["demo", "--keep"]).output().unwrap();
    let text = said(&output);
    let kept = text.lines().find_map(|line| line.strip_prefix("Kept: ")).unwrap_or_else(|| panic!("{text}"));
    assert!(Path::new(kept).join("home/project/generated-profiles/sh-agent.toml").exists(), "{text}");
    assert_eq!(cache(&scratch), 1);
}

#[test]
fn it_needs_nothing_but_a_shell_and_its_basic_tools() {
    need!(UserNamespaces);
    let scratch = Scratch::new("demo");
    // Not in /tmp: every run has one of its own, and programs there are not seen inside.
    let mut top = std::env::temp_dir();
    if top.starts_with("/tmp") || top.starts_with("/var/tmp") {
        top = env!("CARGO_TARGET_TMPDIR").into();
    }
    let bin = top.join(format!("demo-bin-{}", std::process::id()));
    std::fs::create_dir_all(&bin).unwrap();
    for name in ["sh", "cat", "mkdir"] {
        std::os::unix::fs::symlink(common::find(name).unwrap(), bin.join(name)).unwrap();
    }
    let scratch = scratch.with("PATH", bin.to_str().unwrap());
    let output = scratch.pinfold(&["demo"]).output().unwrap();
    std::fs::remove_dir_all(&bin).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}
