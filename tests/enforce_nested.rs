//! A sandbox within the sandbox: refused with the line that would allow it; with the line it works, and cannot take down
//! what stands around it.

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

use std::process::Output;

use common::enforced::{out, project, run};
use common::scratch::{Scratch, said, text};

use pinfold::profile::{digest::digest, parse::parse};

/// `script` under a profile that begins with these lines.
fn with(scratch: &Scratch, top: &str) -> Output {
    let system: String = common::enforced::SYSTEM.iter().map(|place| format!("\"{place}\" = \"read\"\n")).collect();
    let profile = format!(
        "schema = 1\nname = \"t\"\ncommand = [\"sh\", \"$PROJECT/script.sh\"]\n{top}\n[filesystem]\n\"$PROJECT\" = \"write\"\n\
         {system}\n[syscalls]\nbase = 1\n[environment]\npass = [\"HOME\", \"PATH\"]\n"
    );
    let accepted = digest(&parse(&profile).unwrap()).to_string();
    let path = scratch.outside("profile.toml");
    std::fs::write(&path, profile).unwrap();
    let mut command = scratch.pinfold(&["enforce", "--profile", text(&path), "--accept-digest", &accepted, "--"]);
    command.args(["sh", "script.sh"]);
    run(command)
}

const NESTED: &str = "nested_sandbox = true\n";

/// A tool's own sandbox, as agents start it.
fn tool(command: &str) -> String {
    format!(
        "bwrap --ro-bind / / --unshare-user --unshare-pid --unshare-net --unshare-ipc --unshare-uts --dev /dev \
         --proc /proc --tmpfs /tmp --bind \"$PWD\" \"$PWD\" --die-with-parent {command}"
    )
}

#[test]
fn a_tools_own_sandbox_works_by_its_line_which_each_start_repeats() {
    need!(OrdinaryUser, UserNamespaces, Program("bwrap"));
    let scratch = project(&tool("sh -c 'echo inside > made; cat made; id -u; ls -d /proc/self'"));
    let output = with(&scratch, NESTED);
    let uid = nix::unistd::geteuid();
    assert_eq!(out(&output), format!("inside\n{uid}\n/proc/self\n"), "{}", said(&output));
    assert!(said(&output).contains("no Landlock stands behind the mounts"), "{}", said(&output));
}

#[test]
fn without_its_line_a_tools_own_sandbox_fails_and_the_line_is_named() {
    need!(UserNamespaces, Program("bwrap"));
    let scratch = project(&tool("echo inside"));
    let output = with(&scratch, "");
    assert_eq!(out(&output), "", "{}", said(&output));
    assert!(said(&output).contains("nested_sandbox = true"), "{}", said(&output));
}

#[test]
fn from_a_sandbox_within_nothing_more_of_the_host_is_seen() {
    need!(OrdinaryUser, UserNamespaces, Program("bwrap"));
    let look = "cat ~/secret; ls -A ~; ls /dev/proc";
    let scratch = project(&tool(&format!("sh -c '{look}'")));
    scratch.home_file("secret", "SECRET\n");
    let output = with(&scratch, NESTED);
    assert_eq!(out(&output), "src\n", "{}", said(&output));
}

#[test]
fn a_mount_namespace_within_cannot_take_down_a_guard_a_cover_or_the_place_of_dev() {
    need!(OrdinaryUser, UserNamespaces, Program("unshare"));
    let attack = "unshare --user --map-current-user --mount sh -c 'umount -l .git/hooks; mount -o remount,rw,bind .git/hooks; \
                  umount -l /dev; ls /dev/proc; umount -l /proc/sys; echo planted > .git/hooks/pre-commit; \
                  umount -l ~; ls -A ~; echo end'";
    let scratch = project(attack);
    scratch.file(".git/hooks/pre-commit", "mine\n");
    scratch.home_file("secret", "SECRET\n");
    let output = with(&scratch, NESTED);
    assert_eq!(out(&output), "src\nend\n", "{}", said(&output));
    let hook = scratch.project().join(".git/hooks/pre-commit");
    assert_eq!(std::fs::read_to_string(&hook).unwrap(), "mine\n");
    // The control: the same words in a namespace of their own, without what stands around them.
    run({
        let mut native = scratch.command("sh");
        native.arg("script.sh");
        native
    });
    assert_eq!(std::fs::read_to_string(hook).unwrap(), "planted\n");
}

#[test]
fn root_is_told_that_it_does_not_work() {
    need!(UserNamespaces, Root);
    let scratch = project("echo ran");
    let output = with(&scratch, NESTED);
    assert_eq!(output.status.code(), Some(125), "{}", said(&output));
    assert!(said(&output).contains("does not work for root") && said(&output).contains("hint:"), "{}", said(&output));
}

#[test]
fn beside_a_sandbox_within_names_cannot_be_protected_and_nothing_starts() {
    need!(OrdinaryUser, UserNamespaces);
    let scratch = project("echo begun > begun");
    let output = with(&scratch, &format!("{NESTED}protect = \"strict\"\n"));
    let told = said(&output);
    assert_eq!(output.status.code(), Some(125), "{told}");
    assert!(told.contains("`nested_sandbox = true`") && told.contains("hint: ") && told.contains("\"scan\""), "{told}");
    assert!(!scratch.project().join("begun").exists(), "{told}");
    let output = with(&scratch, NESTED);
    assert!(scratch.project().join("begun").exists(), "the control: {}", said(&output));
}
