//! Secrets: from a variable, a file, a descriptor or a command outside, to a variable, a file in memory or a descriptor
//! inside; and to nowhere else.

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

use std::process::{Command, Output};

use common::enforced::{enforced_with, out, project, run};
use common::scratch::{Scratch, said, text};

/// Runs `script` with this line of `[secrets]`.
fn with(scratch: &Scratch, line: &str) -> Command {
    enforced_with(scratch, "", "", &format!("[secrets]\n{line}\n"))
}

fn printed(script: &str, line: &str) -> (Scratch, Output) {
    let scratch = project(script).with("TOKEN", "hunter2");
    scratch.home_file("token", "from a file\n");
    let output = run(with(&scratch, line));
    (scratch, output)
}

fn is(script: &str, line: &str, wanted: &str) {
    let (_scratch, output) = printed(script, line);
    assert_eq!(out(&output), wanted, "{}", said(&output));
}

#[test]
fn a_value_comes_from_a_variable_a_file_or_a_command_without_the_newline_at_its_end() {
    need!(UserNamespaces);
    is("echo \"[$TOKEN]\"", "TOKEN = { from = \"env\", approved = true }", "[hunter2]\n");
    is("echo \"[$TOKEN]\"", "TOKEN = { from = \"file\", path = \"~/token\", approved = true }", "[from a file]\n");
    let command = "TOKEN = { from = \"command\", command = [\"echo\", \"from a command\"], approved = true }";
    is("echo \"[$TOKEN]\"", command, "[from a command]\n");
}

#[test]
fn a_value_comes_from_a_descriptor_that_the_caller_left_open() {
    need!(UserNamespaces);
    let scratch = project("echo \"[$TOKEN]\"; cat <&7; echo $?");
    let from = scratch.home_file("token", "from a descriptor\n");
    let command = with(&scratch, "TOKEN = { from = \"fd\", fd = 7, approved = true }");
    let mut shell = scratch.command("sh");
    shell.args(["-c", "exec 7<\"$0\"; exec \"$@\"", text(&from)]).arg(command.get_program()).args(command.get_args());
    let output = run(shell);
    let output_text = out(&output);
    assert!(output_text.starts_with("[from a descriptor]\n"), "{}", said(&output));
    assert!(!output_text.ends_with("\n0\n"), "the descriptor itself was inherited");
}

#[test]
fn a_file_in_memory_is_the_agents_alone_and_can_be_neither_changed_nor_executed() {
    need!(UserNamespaces);
    let script = "echo $TOKEN; cat $TOKEN; echo; stat -c %a $TOKEN; stat -f -c %T $TOKEN; \
                  (echo x > $TOKEN) 2>/dev/null; chmod 700 $TOKEN 2>/dev/null; rm -f $TOKEN 2>/dev/null; cat $TOKEN; echo; env | grep -c hunter2";
    is(
        script,
        "TOKEN = { from = \"env\", to = \"file\", approved = true }",
        "/run/secrets/TOKEN\nhunter2\n400\ntmpfs\nhunter2\n0\n",
    );
}

#[test]
fn a_file_in_memory_lies_where_the_program_looks_for_it_and_not_on_the_hosts_disk() {
    need!(UserNamespaces);
    let line = "TOKEN = { from = \"env\", to = \"file\", at = \"~/.config/tool/token\", approved = true }";
    let (scratch, output) = printed("cat ~/.config/tool/token; echo \" $TOKEN\"", line);
    let place = scratch.home().join(".config/tool/token");
    assert_eq!(out(&output), format!("hunter2 {}\n", place.display()), "{}", said(&output));
    assert!(!place.exists() && !scratch.home().join(".config").exists());
}

#[test]
fn a_file_in_memory_is_not_put_into_a_directory_of_the_host() {
    need!(UserNamespaces);
    let line = "TOKEN = { from = \"env\", to = \"file\", at = \"$PROJECT/token\", approved = true }";
    let (scratch, output) = printed("echo ran", line);
    assert_eq!(output.status.code(), Some(125), "{}", said(&output));
    assert!(said(&output).contains("hint:"), "{}", said(&output));
    assert!(!scratch.project().join("token").exists());
}

#[test]
fn a_descriptor_in_memory_is_read_from_its_start_and_cannot_be_written() {
    need!(UserNamespaces);
    let script = "eval \"cat <&$TOKEN\"; echo; (echo x > /proc/self/fd/$TOKEN) 2>/dev/null; cat /proc/self/fd/$TOKEN; echo; ls /proc/self/fd | sort -n | tr '\\n' ' '";
    let (_scratch, output) = printed(script, "TOKEN = { from = \"env\", to = \"fd\", approved = true }");
    // 4 is the directory that ls reads.
    assert_eq!(out(&output), "hunter2\nhunter2\n0 1 2 3 4 ", "{}", said(&output));
}

#[test]
fn a_secret_stands_in_no_argument_and_no_variable_of_any_process_inside() {
    need!(UserNamespaces);
    // First all is read, then it is looked through: the arguments of grep hold the word, too.
    let script = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null >/tmp/all; tr '\\0' '\\n' </tmp/all | grep -c hunter2; true";
    is(script, "TOKEN = { from = \"env\", to = \"file\", approved = true }", "0\n");
    // The control: where the profile says so it does.
    let (_scratch, output) = printed(script, "TOKEN = { from = \"env\", approved = true }");
    assert_ne!(out(&output), "0\n", "{}", said(&output));
}

#[test]
fn a_secret_that_nobody_approved_is_withheld_and_its_command_is_not_run() {
    need!(UserNamespaces);
    let scratch = project("echo \"[$TOKEN]\"");
    let mark = scratch.outside("ran");
    let line = format!("TOKEN = {{ from = \"command\", command = [\"touch\", \"{}\"] }}", mark.display());
    let output = run(with(&scratch, &line));
    assert_eq!(out(&output), "[]\n");
    assert!(said(&output).contains("withheld:") && said(&output).contains("touch"), "{}", said(&output));
    assert!(!mark.exists());
}

#[test]
fn a_source_that_gives_nothing_stops_the_start_and_is_named_without_its_value() {
    need!(UserNamespaces);
    for (line, words) in [
        ("TOKEN = { from = \"file\", path = \"~/absent\", approved = true }", "absent"),
        ("TOKEN = { from = \"fd\", fd = 77, approved = true }", "descriptor 77"),
        (
            "TOKEN = { from = \"command\", command = [\"sh\", \"-c\", \"echo hunter3; exit 3\"], approved = true }",
            "exit status: 3",
        ),
        ("TOKEN = { from = \"command\", command = [\"no-such-vault\"], approved = true }", "no-such-vault"),
        ("TOKEN = { from = \"command\", command = [\"true\"], approved = true }", "0 bytes"),
    ] {
        let (_scratch, output) = printed("echo ran", line);
        assert_eq!(output.status.code(), Some(125), "{line}: {}", said(&output));
        assert!(said(&output).contains(words), "{line}: {}", said(&output));
        assert!(!out(&output).contains("ran"));
    }
}

#[test]
fn a_command_that_prints_a_secret_runs_outside_and_not_in_the_project() {
    need!(UserNamespaces);
    let scratch = project("echo \"[$TOKEN]\"");
    scratch.home_file("vault", "treasure\n");
    scratch.file("vault", "planted\n");
    let line = "TOKEN = { from = \"command\", command = [\"cat\", \"vault\"], approved = true }";
    assert_eq!(out(&run(with(&scratch, line))), "[treasure]\n");
}

/// Children of a process, with their names.
fn children(of: u32) -> Vec<(i32, String)> {
    let status = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |text: &str, name: &str| text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let own = pids.filter_map(|pid| {
        let status = status(&pid);
        let parent = field(&status, "PPid:")?;
        (parent == of.to_string()).then(|| Some((pid.parse().ok()?, field(&status, "Name:")?)))?
    });
    own.collect()
}

/// Namespaces are made while a profile is read and secrets are fetched: by a process that waits then.
#[test]
fn what_waits_in_namespaces_before_the_start_ends_with_a_pinfold_that_is_killed() {
    need!(UserNamespaces);
    let scratch = project("true");
    let line = "TOKEN = { from = \"command\", command = [\"sleep\", \"1000\"], approved = true }";
    let mut child = with(&scratch, line).spawn().unwrap();
    let begun = std::time::Instant::now();
    let (waiting, slow) = loop {
        let children = children(child.id());
        let named = |name: &str| children.iter().find(|(_, found)| found == name).map(|(pid, _)| *pid);
        if let (Some(waiting), Some(slow)) = (named("maker"), named("sleep")) {
            break (waiting, slow);
        }
        assert!(begun.elapsed().as_secs() < 60, "{children:?}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    let is_there = |pid: i32| std::path::Path::new(&format!("/proc/{pid}/root")).symlink_metadata().is_ok();
    assert!(is_there(slow), "the control: a child of its own that nothing binds to it lives on");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(slow), nix::sys::signal::Signal::SIGKILL).unwrap();
    while is_there(waiting) {
        assert!(begun.elapsed().as_secs() < 120, "{waiting} is still there");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
