//! The second wall does not get in the way: what programs do in the corners of file systems works behind Landlock as without.

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

use std::fs::File;

use common::enforced::{enforced, enforced_with, natively, out, project, run};
use common::scratch::said;

/// The script prints `words` natively, and the same within, where `allow` is allowed.
fn works(script: &str, allow: &str, words: &str) {
    let scratch = project(script);
    let native = run(natively(&scratch));
    assert_eq!(out(&native), words, "natively: {}", said(&native));
    let scratch = project(script);
    let within = run(enforced_with(&scratch, "", allow, ""));
    assert_eq!(out(&within), words, "{}", said(&within));
}

#[test]
fn a_message_queue_of_ones_own_can_be_made_and_opened() {
    need!(UserNamespaces);
    let name = format!("/pinfold-own-{}", std::process::id());
    let script = format!(
        "./tracee make-queue {name} && ./tracee queue {name}; echo $?; ./tracee remove-queue {name}; ls /dev/mqueue 2>&1 | wc -l"
    );
    let scratch = project(&script);
    let within = run(enforced_with(&scratch, "", "\"mq_open\", \"mq_unlink\"", ""));
    assert_eq!(out(&within), "0\n0\n", "{}", said(&within));
}

#[test]
fn a_file_without_a_name_can_be_given_one() {
    need!(UserNamespaces);
    works("./tracee name-late late && cat late", "", "late\n");
}

#[test]
fn a_program_in_memory_can_be_executed() {
    need!(UserNamespaces);
    works("./tracee exec-in-memory /bin/echo ran", "\"memfd_create\", \"execveat\"", "ran\n");
}

#[test]
fn files_and_directories_move_between_directories_of_the_project() {
    need!(UserNamespaces);
    works(
        "mkdir -p a/b c; echo x > a/b/f; ln a/b/f c/g; ./tracee move-out a/b c/b; ./tracee move-out c/b/f a/f; cat a/f c/g; rmdir c/b; mkfifo p; rm p; echo $?",
        "\"mknod\", \"mknodat\"",
        "x\nx\n0\n",
    );
}

/// Runs `script` with a log file as its standard error, natively or within; returns what the log then holds.
fn logged(script: &str, within: bool) -> String {
    let scratch = project(script);
    let log = scratch.outside("log");
    let mut command = if within { enforced(&scratch) } else { natively(&scratch) };
    let status = command.stderr(File::options().create(true).append(true).open(&log).unwrap()).status().unwrap();
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(status.success(), "{text}");
    text
}

#[test]
fn a_log_that_is_the_standard_error_can_be_opened_by_its_name_in_dev() {
    need!(UserNamespaces);
    let script = "echo one >> /dev/stderr; echo two >> /proc/self/fd/2; sh -c 'echo three >&2'";
    assert_eq!(logged(script, false), "one\ntwo\nthree\n");
    assert_eq!(logged(script, true), "one\ntwo\nthree\n");
}

/// What a file that is the standard input, opened to be read, holds after `script`.
fn input_after(script: &str, within: bool) -> String {
    let scratch = project(script);
    let input = scratch.outside("input");
    std::fs::write(&input, "mine\n").unwrap();
    let mut command = if within { enforced(&scratch) } else { natively(&scratch) };
    command.stdin(File::open(&input).unwrap()).output().unwrap();
    std::fs::read_to_string(&input).unwrap()
}

#[test]
fn an_input_that_was_opened_to_be_read_cannot_be_written_by_its_name_in_dev() {
    need!(UserNamespaces);
    assert_eq!(input_after("echo planted > /dev/stdin", false), "planted\n");
    assert_eq!(input_after("echo planted > /dev/stdin", true), "mine\n");
}

#[test]
fn an_input_that_is_a_directory_is_no_way_out() {
    need!(UserNamespaces);
    let ask = |within: bool| {
        let scratch = project("cat /proc/self/fd/0/secret");
        let outside = scratch.outside("dir");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("secret"), "SECRET\n").unwrap();
        let mut command = if within { enforced(&scratch) } else { natively(&scratch) };
        out(&command.stdin(File::open(&outside).unwrap()).output().unwrap())
    };
    assert_eq!(ask(false), "SECRET\n");
    assert_eq!(ask(true), "");
}
