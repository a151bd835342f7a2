//! The limits of a run where there is no control group to hold them: each is reached without it (the control), and holds
//! with it, and the report says by what.

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

use std::process::{Command, Output};

use common::enforced::{enforced_with, out, project, run};
use common::scratch::{Scratch, said};

/// A run with these lines in `[limits]`, where neither systemd nor a control group helps.
fn limited(scratch: &Scratch, lines: &str) -> Command {
    let section = if lines.is_empty() { String::new() } else { format!("[limits]\n{lines}\n") };
    let mut command = enforced_with(scratch, "", "", &section);
    command.env("PINFOLD_CONTROL_GROUPS", "none");
    command
}

/// The same, talkative, and if `dry` only asked what it would do.
fn asked(scratch: &Scratch, lines: &str, dry: bool) -> Output {
    let command = limited(scratch, lines);
    let mut words: Vec<_> = command.get_args().filter(|word| *word != "--quiet").collect();
    if dry {
        words.insert(1, "--dry-run".as_ref());
    }
    let mut again = scratch.command(command.get_program());
    again.args(words).env("PINFOLD_CONTROL_GROUPS", "none");
    run(again)
}

/// `script` without a limit, then with it.
fn with_and_without(script: &str, lines: &str) -> (Scratch, Output, Output) {
    let scratch = project(script);
    let control = run(limited(&scratch, ""));
    let output = run(limited(&scratch, lines));
    (scratch, control, output)
}

fn held(scratch: &Scratch, limit: &str) -> (String, bool) {
    let report = scratch.report("enforce");
    let line = report["limits"].as_array().unwrap().iter().find(|line| line["limit"] == limit).unwrap().clone();
    (line["by"].as_str().unwrap().to_owned(), line["soft"].as_bool().unwrap())
}

#[test]
fn a_tree_that_takes_more_memory_than_its_limit_is_ended_and_told_the_line_to_change() {
    need!(UserNamespaces);
    let scratch = project("./tracee take-memory 200 & wait");
    let enough = scratch.file("enough", "");
    let control = run(limited(&scratch, ""));
    assert_eq!((control.status.code(), out(&control).as_str()), (Some(0), "taken\nkept\n"), "{}", said(&control));
    std::fs::remove_file(enough).unwrap();
    let output = run(limited(&scratch, "memory = \"64 MiB\""));
    assert_eq!(output.status.code(), Some(137), "{}", said(&output));
    assert!(!out(&output).contains("kept"), "{}", said(&output));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("memory limit of 64 MiB reached"), "{told}");
    assert!(told.contains("[limits] memory = \"64 MiB\""), "{told}");
    assert_eq!(held(&scratch, "memory"), ("watch".to_owned(), true));
    assert_eq!(scratch.report("enforce")["reached"][0]["limit"], "memory");
}

#[test]
fn memory_that_several_processes_share_counts_once() {
    need!(UserNamespaces);
    let (_scratch, control, output) = with_and_without("./tracee share-memory 60 6", "memory = \"200 MiB\"");
    for output in [control, output] {
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(0), "0 of 6 failed\n"), "{}", said(&output));
    }
}

#[test]
fn what_lies_in_private_directories_counts_as_memory() {
    need!(UserNamespaces);
    let script = "head -c 90M /dev/zero >/tmp/a; ./tracee take-memory 50";
    let scratch = project(script);
    let enough = scratch.file("enough", "");
    let control = run(limited(&scratch, ""));
    assert_eq!((control.status.code(), out(&control).as_str()), (Some(0), "taken\nkept\n"), "{}", said(&control));
    std::fs::remove_file(enough).unwrap();
    let output = run(limited(&scratch, "memory = \"110 MiB\""));
    assert_eq!(output.status.code(), Some(137), "{}", said(&output));
}

#[test]
fn address_space_is_not_limited() {
    need!(UserNamespaces, Program("python3"));
    let script = "python3 -c 'import mmap; mmap.mmap(-1, 1 << 36, flags=0x4022); print(\"reserved\")'";
    let (_scratch, control, output) = with_and_without(script, "memory = \"200 MiB\"");
    for output in [control, output] {
        assert_eq!(out(&output), "reserved\n", "{}", said(&output));
    }
}

#[test]
fn an_ordinary_user_has_so_many_processes_and_no_more_whatever_else_that_user_runs() {
    need!(UserNamespaces, OrdinaryUser);
    let mut others: Vec<_> = (0..30).map(|_| Command::new("sleep").arg("60").spawn().unwrap()).collect();
    let (scratch, control, output) = with_and_without("exec ./tracee make-processes 40", "processes = 20");
    for other in &mut others {
        other.kill().unwrap();
        other.wait().unwrap();
    }
    assert_eq!(out(&control), "made 40\n", "{}", said(&control));
    assert_eq!(out(&output), "made 19\n", "{}", said(&output));
    assert_eq!(held(&scratch, "processes"), ("resource-limit".to_owned(), false));
}

#[test]
fn a_limit_of_processes_is_refused_to_root_by_the_name_of_the_missing_controller() {
    need!(UserNamespaces, Root);
    let (_scratch, control, output) = with_and_without("echo ran", "processes = 20");
    assert_eq!(out(&control), "ran\n", "{}", said(&control));
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(125), ""), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`pids`"), "{}", said(&output));
}

#[test]
fn a_limit_of_processor_time_is_refused_by_the_name_of_the_missing_controller() {
    need!(UserNamespaces);
    let (scratch, control, output) = with_and_without("echo ran", "cpu = \"50 %\"");
    assert_eq!(out(&control), "ran\n", "{}", said(&control));
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(125), ""), "{}", said(&output));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("cpu = 50 %") && told.contains("`cpu`") && told.contains("hint:"), "{told}");
    // And so says who only asks.
    assert_eq!(asked(&scratch, "cpu = \"50 %\"", true).status.code(), Some(125));
}

#[test]
fn no_file_grows_beyond_its_limit_also_not_by_a_hole() {
    need!(UserNamespaces);
    let script = "head -c 3M /dev/zero >big; truncate -s 3M hole; stat -c '%s' big hole";
    let (scratch, control, output) = with_and_without(script, "file-size = \"1 MiB\"");
    assert_eq!(out(&control), "3145728\n3145728\n", "{}", said(&control));
    std::fs::remove_file(scratch.project().join("big")).unwrap();
    std::fs::remove_file(scratch.project().join("hole")).unwrap();
    let again = run(limited(&scratch, "file-size = \"1 MiB\""));
    assert_eq!(out(&again), "1048576\n0\n", "{}", said(&again));
    assert!(!output.status.success() || out(&output).starts_with('1'), "{}", said(&output));
    assert_eq!(held(&scratch, "file-size"), ("resource-limit".to_owned(), false));
}

#[test]
fn a_command_that_is_ended_for_its_file_is_told_the_line_to_change() {
    need!(UserNamespaces);
    let (_scratch, control, output) = with_and_without("exec head -c 3M /dev/zero >big", "file-size = \"1 MiB\"");
    assert_eq!(control.status.code(), Some(0), "{}", said(&control));
    assert_eq!(output.status.code(), Some(128 + libc::SIGXFSZ), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("file-size limit of 1 MiB reached"), "{}", said(&output));
}

/// What is written where, and what of it is there: `/tmp`, `/var/tmp` and `/dev/shm` in turn, 2 MiB each.
const SPREAD: &str = "for dir in /tmp /var/tmp /dev/shm; do head -c 2M /dev/zero >$dir/part 2>/dev/null; done
    cat /tmp/part /var/tmp/part /dev/shm/part | wc -c";

#[test]
fn private_directories_together_hold_no_more_than_their_limit() {
    need!(UserNamespaces);
    let (scratch, control, output) = with_and_without(SPREAD, "disk = \"3 MiB\"");
    assert_eq!(out(&control).trim(), "6291456", "{}", said(&control));
    assert_eq!(out(&output).trim(), "3145728", "{}", said(&output));
    assert_eq!(held(&scratch, "disk"), ("file-system".to_owned(), false));
}

#[test]
fn a_limit_of_disk_counts_empty_files_too() {
    need!(UserNamespaces, Program("python3"));
    let script = "python3 -c '
made = 0
try:
    for number in range(5000):
        open(f\"/tmp/{number}\", \"w\").close()
        made += 1
except OSError:
    pass
print(made > 4000)'";
    let (_scratch, control, output) = with_and_without(script, "disk = \"1 MiB\"");
    assert_eq!(out(&control), "True\n", "{}", said(&control));
    assert_eq!(out(&output), "False\n", "{}", said(&output));
}

#[test]
fn limited_private_directories_are_separate_and_have_their_modes() {
    need!(UserNamespaces);
    let script = "echo x >/tmp/x; ls /var/tmp /dev/shm; stat -c '%a %u' /tmp /var/tmp /dev/shm; ls -a / | grep -c '^[0-9a-f]\\{16\\}$'
        ls /tmp/.. >/dev/null; cat /tmp/../var/tmp/x /tmp/x 2>/dev/null; touch /made 2>/dev/null || echo sealed";
    let (_scratch, control, output) = with_and_without(script, "disk = \"3 MiB\"");
    assert_eq!(out(&output), out(&control), "{}", said(&output));
    assert!(out(&output).contains("1777") && out(&output).ends_with("0\nx\nsealed\n"), "{}", said(&output));
}

#[test]
fn the_start_and_a_dry_run_say_what_holds_each_limit() {
    need!(UserNamespaces);
    let scratch = project("echo ran");
    for dry in [false, true] {
        let output = asked(&scratch, "memory = \"200 MiB\"\nfile-size = \"1 MiB\"\ndisk = \"3 MiB\"", dry);
        let said = said(&output);
        for line in [
            "memory 200 MiB (watched, soft)",
            "file-size 1 MiB (resource limit)",
            "disk 3 MiB (size of the file system)",
        ] {
            assert!(said.contains(line), "dry {dry}: no {line} in {said}");
        }
        assert_eq!(out(&output) == "ran\n", !dry, "{said}");
    }
}
