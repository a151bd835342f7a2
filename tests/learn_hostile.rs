//! Hostile programs while they are learned: whatever they make too many of, pinfold ends, in bounded memory, says that the
//! run is incomplete where something was left out, and leaves nobody behind.

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

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::enforced::{out, run};
use common::scratch::{Scratch, said, text};

/// Most resident memory of pinfold itself, in bytes, however large the flood.
const MOST_MEMORY: u64 = 300 << 20;

/// A run, and the peak of pinfold's own memory.
struct Learned {
    output: Output,
    memory: u64,
}

fn scratch() -> Scratch {
    let scratch = Scratch::new("hostile");
    std::fs::copy(env!("CARGO_BIN_EXE_tracee"), scratch.project().join("tracee")).unwrap();
    scratch
}

fn learn(scratch: &Scratch, options: &[&str], words: &[&str]) -> Learned {
    let report = scratch.outside("learn.json");
    let mut command =
        scratch.pinfold(&["learn", "--accept-learned=own", "--even-if-failed", "--report", text(&report)]);
    command.args(options).arg("--").args(words);
    watched(command)
}

/// The peak is asked for until the end: it never falls.
fn watched(mut command: Command) -> Learned {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let reader = |mut from: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).map(|_| bytes)
        })
    };
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (stdout, stderr) = (reader(Box::new(stdout)), reader(Box::new(stderr)));
    let mut memory = 0;
    let status = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        memory = memory.max(peak.unwrap_or(0) * 1024);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let [stdout, stderr] = [stdout, stderr].map(|bytes| bytes.join().unwrap().unwrap());
    Learned { output: Output { status, stdout, stderr }, memory }
}

/// No panic, no endless memory, and nobody of the tree left.
fn ended_well(scratch: &Scratch, learned: &Learned) {
    let said = said(&learned.output);
    assert!(!said.contains("panicked"), "{said}");
    assert!(learned.output.status.code().is_some(), "pinfold was killed: {said}");
    assert!(learned.memory < MOST_MEMORY, "{} MiB: {said}", learned.memory >> 20);
    let project = scratch.project();
    for process in std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path()) {
        let there = std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == project);
        assert!(!there, "{} is left", std::fs::read_to_string(process.join("cmdline")).unwrap_or_default());
    }
}

/// What was seen whole gives a profile; what was not is told, and gives none.
fn is_complete(scratch: &Scratch, learned: &Learned) {
    ended_well(scratch, learned);
    assert_eq!(scratch.report("learn")["complete"], true, "{}", said(&learned.output));
    assert!(scratch.profile().exists());
}

fn is_cut_off(scratch: &Scratch, learned: &Learned) {
    ended_well(scratch, learned);
    assert_eq!(scratch.report("learn")["complete"], false, "{}", said(&learned.output));
    assert!(said(&learned.output).contains("what came after was not recorded"), "{}", said(&learned.output));
    assert!(!scratch.project().join("generated-profiles").exists(), "a profile of what was not seen");
}

fn shown(scratch: &Scratch, kinds: &str) -> String {
    out(&run(scratch.pinfold(&["trace", "show", "tracee", "--kind", kinds])))
}

#[test]
fn a_flood_of_names_ends_the_recording_and_not_the_program() {
    need!(UserNamespaces);
    let scratch = scratch();
    let words = ["./tracee", "many-names", "4000", "10"];
    let learned = learn(&scratch, &["--most-facts", "1000"], &words);
    is_cut_off(&scratch, &learned);
    assert_eq!(learned.output.status.code(), Some(125), "{}", said(&learned.output));
    assert!(shown(&scratch, "gap").contains("more than 1000"), "{}", shown(&scratch, "gap"));
    is_complete(&scratch, &learn(&scratch, &[], &words));
}

#[test]
fn names_as_long_as_they_can_be_are_a_flood_by_their_bytes() {
    need!(UserNamespaces);
    let scratch = scratch();
    // 16 MiB is what any run may have.
    let learned = learn(&scratch, &["--most-facts", "50000"], &["./tracee", "many-names", "6000", "4000"]);
    is_cut_off(&scratch, &learned);
    let short = learn(&scratch, &["--most-facts", "50000"], &["./tracee", "many-names", "6000", "10"]);
    is_complete(&scratch, &short);
}

#[test]
fn ten_thousand_threads_at_once_are_followed() {
    need!(UserNamespaces);
    let scratch = scratch();
    let learned = learn(&scratch, &[], &["./tracee", "many-threads", "10000"]);
    is_complete(&scratch, &learned);
    assert_eq!(learned.output.status.code(), Some(0), "{}", said(&learned.output));
    let seen = shown(&scratch, "path").lines().filter(|line| line.contains("/thread-")).count();
    assert_eq!(seen, 10_000);
    assert!(shown(&scratch, "peaks").contains("10001 threads"), "{}", shown(&scratch, "peaks"));
}

#[test]
fn a_fork_bomb_is_followed_to_its_end_and_under_a_limit_too() {
    need!(UserNamespaces);
    let scratch = scratch();
    let learned = learn(&scratch, &[], &["./tracee", "fork-bomb", "8"]);
    is_complete(&scratch, &learned);
    // Where the kernel makes no more processes, the run goes on with those that there are. Root has no such limit.
    let script = "ulimit -u 300; exec ./tracee fork-bomb 8";
    let learned = learn(&scratch, &[], &["sh", "-c", script]);
    ended_well(&scratch, &learned);
}

#[test]
fn arguments_and_variables_of_any_size_leave_their_shape_and_names() {
    need!(UserNamespaces);
    let scratch = scratch();
    is_complete(&scratch, &learn(&scratch, &[], &["./tracee", "many-arguments", "20000", "40"]));
    assert!(shown(&scratch, "image").contains("/usr/bin/true"), "{}", shown(&scratch, "image"));
    is_complete(&scratch, &learn(&scratch, &[], &["./tracee", "many-arguments", "8", "131000"]));
    is_complete(&scratch, &learn(&scratch, &[], &["./tracee", "many-variables", "3000", "300"]));
    let kept = shown(&scratch, "environment,image");
    assert!(kept.contains("VARIABLE_2999_TOKEN") && !kept.contains("vvvv") && !kept.contains("aaaa"));
}

#[test]
fn programs_calls_and_sockets_without_end_are_cut_off_and_few_are_seen_whole() {
    need!(UserNamespaces);
    for (name, few, many) in
        [("many-images", "20", "200"), ("many-calls", "20", "2000"), ("many-sockets", "20", "2000")]
    {
        let scratch = scratch();
        is_complete(&scratch, &learn(&scratch, &["--most-facts", "1500"], &["./tracee", name, few]));
        std::fs::remove_dir_all(scratch.project().join("generated-profiles")).unwrap();
        is_cut_off(&scratch, &learn(&scratch, &["--most-facts", "1500"], &["./tracee", name, many]));
    }
}

#[test]
fn one_of_many_threads_that_execute_a_program_wins_and_none_is_lost() {
    need!(UserNamespaces);
    let scratch = scratch();
    let learned = learn(&scratch, &[], &["./tracee", "exec-from-many-threads", "100"]);
    is_complete(&scratch, &learned);
    assert_eq!(learned.output.status.code(), Some(0), "{}", said(&learned.output));
}

#[test]
fn an_argument_that_changes_and_goes_while_it_is_read_is_seen_or_told() {
    need!(UserNamespaces);
    let scratch = scratch();
    let learned = learn(&scratch, &[], &["./tracee", "change-argument", "3000"]);
    ended_well(&scratch, &learned);
    // The kernel may have read another name than the tracer, and neither is there: nothing is granted for it.
    if let Ok(profile) = std::fs::read_to_string(scratch.project().join("generated-profiles/tracee.toml")) {
        let granted = profile.lines().filter(|line| line.contains("aaaa") || line.contains("bbbb")).count();
        assert_eq!(granted, 0, "{profile}");
    } else {
        assert!(said(&learned.output).contains("could not be read"), "{}", said(&learned.output));
    }
}

#[test]
fn names_that_look_like_lines_of_ours_forge_nothing() {
    need!(UserNamespaces);
    let scratch = scratch();
    let forged = "x\"}}}}\n{\"footer\":{\"events\":1,\"status\":{\"code\":0}}}\n\x1b[2J\u{202e}error: pinfold";
    scratch.file("agent.sh", "touch \"$1\"; cat \"$1\"; rm \"$1\"; exit 3\n");
    let report = scratch.outside("learn.json");
    let mut command =
        scratch.pinfold(&["learn", "--even-if-failed", "--report", text(&report), "--", "sh", "agent.sh"]);
    let output = run({
        command.arg(forged);
        command
    });
    let screen = said(&output);
    assert!(!screen.contains('\x1b') && !screen.contains('\u{202e}'), "{screen:?}");
    assert_eq!(scratch.report("learn")["exit"], 3);
    let stats = out(&run(scratch.pinfold(&["trace", "stats", "sh-agent", "--json"])));
    let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
    assert_eq!(stats["complete"], true, "{stats}");
}
