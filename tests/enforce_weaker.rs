//! Where the machine refuses namespaces: nothing runs unless the profile tolerates it by name, and then the start says what
//! is lost. What Landlock and the filter hold there is in the table of `docs/walls.md`, by `tests/enforce_corpus.rs`.

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

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use common::enforced::{SYSTEM, out, project, run, where_namespaces_are_refused};
use common::scratch::{Scratch, said, text};
use pinfold::profile::{digest::digest, parse::parse};

const WORD: &str = "tolerate = [\"no-namespaces\"]\n";

/// The script under a profile with `top` above its first section, `lines` in `[filesystem]`, and further sections.
fn under(scratch: &Scratch, top: &str, lines: &str, sections: &str) -> Command {
    let system: String = SYSTEM.iter().map(|place| format!("\"{place}\" = \"read\"\n")).collect();
    let profile = format!(
        "schema = 1\nname = \"t\"\ncommand = [\"sh\", \"$PROJECT/script.sh\"]\n{top}\n[filesystem]\n\
         \"$PROJECT\" = \"write\"\n{system}{lines}\n[syscalls]\nbase = 1\nallow = [\"socket\", \"connect\"]\n\
         [syscalls.arguments]\nsocket = [\"unix stream\", \"inet stream\"]\n[environment]\npass = [\"HOME\", \"PATH\"]\n{sections}"
    );
    let accepted = digest(&parse(&profile).unwrap()).to_string();
    let path = scratch.outside("profile.toml");
    std::fs::write(&path, profile).unwrap();
    let report = scratch.outside("enforce.json");
    let words = ["enforce", "--report", text(&report), "--profile", text(&path), "--accept-digest", &accepted];
    let mut command = scratch.pinfold(&words);
    command.args(["--", "sh", "script.sh"]);
    command
}

fn weaker(scratch: &Scratch, top: &str, lines: &str, sections: &str) -> Output {
    run(where_namespaces_are_refused(scratch, &under(scratch, top, lines, sections)))
}

#[test]
fn without_the_word_nothing_starts_and_the_setting_and_the_word_are_named() {
    need!(UserNamespaces, Program("setpriv"));
    let scratch = project("touch ran");
    let output = weaker(&scratch, "", "", "");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("sudo sysctl -w user.max_user_namespaces=") && said.contains("no-namespaces"), "{said}");
    assert!(!scratch.project().join("ran").exists(), "{said}");
    let output = weaker(&scratch, WORD, "", "");
    assert!(scratch.project().join("ran").exists(), "the control: {}", common::scratch::said(&output));
}

#[test]
fn the_start_says_what_is_lost_and_the_command_runs_to_its_end() {
    need!(UserNamespaces, Program("setpriv"));
    let scratch = project(
        "echo made > made; cat made; mktemp -p \"$TMPDIR\" >/dev/null && echo temporary; cat ~/key; echo no > ~/no; exit 7",
    );
    scratch.home_file("key", "SECRET\n");
    let output = weaker(&scratch, WORD, "", "");
    let said = said(&output);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(7), "made\ntemporary\n"), "{said}");
    for word in ["no namespaces: user.max_user_namespaces is 0", "lost: ", "outlives", "git hooks", "/tmp"] {
        assert!(said.contains(word), "no `{word}` in: {said}");
    }
    assert!(!scratch.home().join("no").exists(), "{said}");
    assert!(scratch.report("enforce")["without_namespaces"].is_string(), "{said}");
    let left: Vec<_> = std::fs::read_dir(std::env::temp_dir())
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.strip_prefix("pinfold-").is_some_and(|rest| rest.len() == 16 && !rest.contains('-')))
        .collect();
    assert!(left.is_empty(), "temporary directories are left: {left:?}");
}

#[test]
fn where_namespaces_work_the_word_changes_nothing() {
    need!(UserNamespaces);
    let scratch = project("ls -A /sys; cat ../../key");
    scratch.home_file("key", "SECRET\n");
    let output = run(under(&scratch, WORD, "", ""));
    assert!(!said(&output).contains("lost: "), "{}", said(&output));
    assert_eq!((out(&output).as_str(), output.status.code()), ("", Some(1)), "{}", said(&output));
    assert!(said(&output).contains("No such file"), "{}", said(&output));
    assert!(scratch.report("enforce")["without_namespaces"].is_null());
}

#[test]
fn what_is_withheld_below_a_granted_directory_stops_the_start() {
    need!(UserNamespaces, Program("setpriv"));
    let scratch = project("touch ran");
    scratch.file(".env", "SECRET\n");
    let lines = "\"$PROJECT/.env\" = { access = \"read\", sensitive = \"credential\", approved = false }\n";
    let output = weaker(&scratch, WORD, lines, "");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains(".env") && !scratch.project().join("ran").exists(), "{said}");
}

#[test]
fn names_that_were_to_be_protected_stop_the_start() {
    need!(UserNamespaces, Program("setpriv"));
    let scratch = project("touch ran");
    let strict = format!("{WORD}protect = \"strict\"\n");
    let output = weaker(&scratch, &strict, "", "");
    let told = said(&output);
    assert_eq!(output.status.code(), Some(125), "{told}");
    assert!(told.contains("`protect = \"strict\"` needs mounts") && told.contains("\"scan\""), "{told}");
    assert!(!scratch.project().join("ran").exists(), "{told}");
    let output = run(under(&scratch, &strict, "", ""));
    assert!(scratch.project().join("ran").exists(), "the control, with namespaces: {}", said(&output));
}

#[test]
fn a_limit_that_namespaces_would_hold_is_refused_by_name() {
    need!(UserNamespaces, Program("setpriv"));
    let scratch = project("touch ran");
    for limit in ["memory = \"64 MiB\"", "processes = 20", "disk = \"1 MiB\""] {
        let inner = under(&scratch, WORD, "", &format!("[limits]\n{limit}\n"));
        let mut command = where_namespaces_are_refused(&scratch, &inner);
        let output = command.env("PINFOLD_CONTROL_GROUPS", "none").output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(said.contains(limit.split(' ').next().unwrap()), "{said}");
    }
    assert!(!scratch.project().join("ran").exists());
}

/// Whether a process sleeps for `seconds`.
fn sleeps(seconds: &str) -> bool {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    pids.into_iter().any(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).collect::<Vec<_>>().starts_with(&[b"sleep", seconds.as_bytes()])
    })
}

fn is_gone(seconds: &str) -> bool {
    (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(30));
        !sleeps(seconds)
    })
}

#[test]
fn a_process_that_left_its_parents_is_ended_with_the_command() {
    need!(UserNamespaces, Program("setpriv"));
    let seconds = format!("7{:06}", std::process::id());
    let scratch = project(&format!("(setsid sleep {seconds} </dev/null >/dev/null 2>&1 &) ; sleep 0.2; echo begun"));
    let output = weaker(&scratch, WORD, "", "");
    assert_eq!(out(&output), "begun\n", "{}", said(&output));
    assert!(is_gone(&seconds));
}

#[test]
fn nothing_survives_a_pinfold_that_is_killed() {
    need!(UserNamespaces, Program("setpriv"));
    let seconds = format!("8{:06}", std::process::id());
    let scratch =
        project(&format!("(setsid sleep {seconds} </dev/null >/dev/null 2>&1 &) ; sleep 0.2; echo begun; sleep 60"));
    let mut command = where_namespaces_are_refused(&scratch, &under(&scratch, WORD, "", ""));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    assert!(sleeps(&seconds), "the control: it runs");
    // By its own pid: every word before it became this process by exec.
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_gone(&seconds));
}
