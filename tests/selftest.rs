//! The self test: it really tries, it holds here, and it says so when it cannot try.

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

use common::enforced::out;
use common::scratch::{Scratch, said};

#[test]
fn every_attack_of_the_self_test_is_tried_and_held_here() {
    need!(UserNamespaces);
    let scratch = Scratch::beside_home("selftest");
    let output = scratch.pinfold(&["selftest"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(out(&output).ends_with("\n50 held, 0 escaped, 0 not triable here\n"), "{}", said(&output));
    assert!(out(&output).contains("\nheld         read a private key by its path\n"), "{}", said(&output));
    // Nothing stays.
    let cache = scratch.home().join(".cache/pinfold");
    assert_eq!(std::fs::read_dir(cache).unwrap().count(), 0);
}

#[test]
fn as_json_each_attack_has_its_name_and_verdict() {
    need!(UserNamespaces);
    let scratch = Scratch::beside_home("selftest");
    let output = scratch.pinfold(&["selftest", "--json"]).output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((told["held"].as_u64(), told["escaped"].as_u64()), (Some(50), Some(0)), "{told}");
    let key = told["attacks"].as_array().unwrap().iter().find(|row| row["name"] == "granted-read-key").unwrap();
    assert_eq!(key["verdict"], "held");
}

#[test]
fn what_does_not_succeed_without_a_sandbox_is_not_called_held() {
    need!(UserNamespaces);
    // With a `stat` that does nothing.
    let scratch = Scratch::beside_home("selftest");
    let bin = scratch.outside("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink("/bin/true", bin.join("stat")).unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display());
    let output = scratch.pinfold(&["selftest"]).env("PATH", path).output().unwrap();
    assert!(out(&output).contains("\nnot triable  ask for the size of a key\n"), "{}", said(&output));
    assert!(out(&output).contains("\nheld         read a private key by its path\n"), "{}", said(&output));
}

#[test]
fn where_no_sandbox_starts_it_could_not_be_tried_and_the_reason_is_told() {
    need!(UserNamespaces, Program("unshare"));
    let scratch = Scratch::beside_home("selftest");
    // Inside another sandbox of this kind none can be started.
    let mut command = scratch.command("unshare");
    let limit = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$0\" selftest";
    command.args(["--user", "--map-root-user", "sh", "-c", limit, env!("CARGO_BIN_EXE_pinfold")]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(
        said(&output).contains("max_user_namespaces") && said(&output).contains("pinfold doctor"),
        "{}",
        said(&output)
    );
    assert!(!out(&output).contains("held"));
}
