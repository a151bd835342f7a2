//! Dangerous calls of an enforced run: refused, named, and without effect where the kernel would have given power.

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

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;

use common::enforced::{enforced, enforced_with, natively, out, project, run};
use common::scratch::said;

#[test]
fn each_dangerous_call_that_was_refused_is_named_with_the_line_that_would_allow_it() {
    if cfg!(not(target_arch = "x86_64")) {
        return;
    }
    need!(UserNamespaces);
    let calls = [
        ("ptrace", "101 0"),
        ("mount", "165 0 0 0 0 0"),
        ("unshare", "272 0x10000000"),
        ("keyctl", "250 0 -4 1"),
        ("bpf", "321 99 0 0"),
        ("io_uring_setup", "425 0 0"),
    ];
    let script: String = calls.iter().map(|(_, words)| format!("./tracee errno {words}; echo -n \"$? \"; ")).collect();
    let scratch = project(&script);
    let output = run(enforced(&scratch));
    assert_eq!(out(&output).trim(), "1 1 1 38 1 38", "{}", said(&output));
    let report = scratch.report("enforce");
    for (call, _) in calls {
        let denials = report["denials"].as_array().unwrap();
        let denial = denials.iter().find(|denial| denial["call"] == call).unwrap_or_else(|| panic!("{call}: {report}"));
        let line = if call == "unshare" {
            "nested_sandbox = true, above the first section".to_owned()
        } else {
            format!("[syscalls] allow = [\"{call}\"]; [syscalls] approved = [\"{call}\"]")
        };
        assert_eq!(denial["remedy"], line.as_str(), "{denial}");
        assert!(said(&output).contains(&line), "not on the screen: {}", said(&output));
    }
}

#[test]
fn a_set_user_id_bit_that_is_there_gives_nothing() {
    need!(UserNamespaces, Root);
    let scratch = project("./id -u");
    // Of another user: root itself needs no bit to be root.
    let id = scratch.project().join("id");
    let copied = scratch.command("cp").arg("/usr/bin/id").arg(&id).status().unwrap();
    assert!(copied.success());
    std::os::unix::fs::chown(&id, Some(65534), None).unwrap();
    std::fs::set_permissions(&id, std::fs::Permissions::from_mode(0o4755)).unwrap();
    let native = run(natively(&scratch));
    assert_eq!(out(&native), "65534\n", "the control failed: {}", said(&native));
    let inside = run(enforced(&scratch));
    assert_eq!(out(&inside), "0\n", "{}", said(&inside));
}

#[test]
fn an_abstract_socket_is_reached_by_the_line_for_the_hosts_network() {
    need!(UserNamespaces);
    let name = format!("pinfold-test-line-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let scratch = project(&format!("./tracee abstract {name}; echo $?"));
    let ask = |approved: bool| {
        let sections = format!(
            "[syscalls.arguments]\nsocket = [\"unix stream\"]\n[network]\n\
             \"@host\" = {{ access = \"unconfined\", approved = {approved} }}\n"
        );
        run(enforced_with(&scratch, "", "\"connect\", \"socket\"", &sections))
    };
    let without = ask(false);
    assert_eq!(out(&without), "111\n", "{}", said(&without));
    let with = ask(true);
    assert_eq!(out(&with), "0\n", "{}", said(&with));
}
