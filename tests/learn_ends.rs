//! How a learning run ends, when it does not end by itself: a readable trace that says it is incomplete, no profile of it,
//! and nothing left running.

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

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::scratch::{Scratch, said, text};
use pinfold::event::Fact;
use pinfold::trace::Trace;

/// An agent that says when it runs, has a daemon in a session of its own, and would run for an hour.
const AGENT: &str = "cat data > /dev/null; (setsid sh -c 'echo $$ > daemon; exec sleep 3600' &); \
     while ! test -s daemon; do sleep 0.01; done; echo ready; while :; do sleep 0.05; done";

fn agent() -> Scratch {
    let scratch = Scratch::new("ends");
    scratch.file("agent.sh", AGENT);
    scratch.file("data", "x\n");
    scratch
}

fn learning(scratch: &Scratch, options: &[&str]) -> Command {
    let mut command = scratch.pinfold(&["learn", "--accept-learned=all"]);
    command.args(options).args(["--", "sh", "agent.sh"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Starts learning the agent, and waits until it and its daemon run.
fn started(scratch: &Scratch) -> Child {
    let mut child = learning(scratch, &[]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    if line != "ready\n" {
        panic!("the agent did not start: {line:?} {}", said(&child.wait_with_output().unwrap()));
    }
    child
}

/// The processes of the machine whose working directory is the project.
fn inhabitants(scratch: &Scratch) -> Vec<String> {
    let project = scratch.project();
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let within = processes.filter(|process| std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == project));
    within
        .map(|process| std::fs::read_to_string(process.join("cmdline")).unwrap_or_default().replace('\0', " "))
        .collect()
}

/// Within a time that is long even for a busy machine.
fn comes_true(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn traces(scratch: &Scratch) -> Vec<PathBuf> {
    let files = |dir: PathBuf| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files(scratch.state().join("traces")).flat_map(files).collect()
}

/// The only trace, read as any reader would.
fn trace(scratch: &Scratch) -> Trace {
    let traces = traces(scratch);
    assert_eq!(traces.len(), 1, "{traces:?}");
    pinfold::trace::reader::read(BufReader::new(std::fs::File::open(&traces[0]).unwrap())).unwrap()
}

fn saw_the_data_read(trace: &Trace) -> bool {
    trace.events.iter().any(|event| matches!(&event.fact, Fact::Path(path) if path.path.as_bytes().ends_with(b"/data")))
}

/// What holds after every such end.
fn ended_as_promised(scratch: &Scratch) {
    comes_true("something of the run is left running", || inhabitants(scratch).is_empty());
    let trace = trace(scratch);
    assert!(!trace.is_complete(), "the trace says that it is complete");
    assert!(saw_the_data_read(&trace), "what was seen is lost");
    assert!(!scratch.project().join("generated-profiles").exists(), "a profile was made of half a run");
}

#[test]
fn a_pinfold_that_is_killed_takes_the_agent_and_its_daemons_with_it_and_leaves_a_trace() {
    need!(UserNamespaces);
    let scratch = agent();
    let mut child = started(&scratch);
    assert!(inhabitants(&scratch).len() >= 2, "the control: the agent runs: {:?}", inhabitants(&scratch));
    // What waits in memory is written at least every 100 ms.
    comes_true("the trace is not written as events happen", || saw_the_data_read(&trace(&scratch)));
    child.kill().unwrap();
    child.wait().unwrap();
    ended_as_promised(&scratch);
}

#[test]
fn a_pinfold_that_is_asked_to_end_ends_the_agent_and_says_that_the_run_is_incomplete() {
    need!(UserNamespaces);
    for signal in [nix::sys::signal::Signal::SIGTERM, nix::sys::signal::Signal::SIGINT] {
        let scratch = agent();
        let child = started(&scratch);
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_ne!(output.status.code(), Some(0), "{signal}: {}", said(&output));
        assert!(said(&output).contains("incomplete"), "{signal}: {}", said(&output));
        ended_as_promised(&scratch);
    }
}

#[test]
fn a_run_that_reaches_its_time_limit_is_ended_and_incomplete() {
    need!(UserNamespaces);
    // A busy machine may need more than the first of these to start the agent.
    for limit in ["2", "10", "60"] {
        let scratch = agent();
        let output = learning(&scratch, &["--timeout", limit]).output().unwrap();
        assert!(said(&output).contains("time limit"), "{}", said(&output));
        if output.stdout == b"ready\n" {
            return ended_as_promised(&scratch);
        }
    }
    panic!("the agent did not start");
}

#[test]
fn an_interrupt_from_the_terminal_ends_the_agent_and_leaves_a_trace() {
    need!(UserNamespaces, Program("setsid"));
    let scratch = agent();
    let pty = nix::pty::openpty(None, None).unwrap();
    let (mut near, far) = (std::fs::File::from(pty.master), std::fs::File::from(pty.slave));
    let inner = scratch.pinfold(&["learn", "--", "sh", "agent.sh"]);
    let mut command = scratch.command("setsid");
    command.args(["--ctty", "--wait"]).arg(inner.get_program()).args(inner.get_args());
    command.stdin(far.try_clone().unwrap()).stdout(far.try_clone().unwrap()).stderr(far);
    let mut child = command.spawn().unwrap();
    drop(command);
    let (mut seen, mut bytes, mut asked) = (String::new(), [0; 512], false);
    while let Ok(count @ 1..) = near.read(&mut bytes) {
        seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        if seen.contains("ready") && !asked {
            asked = true;
            near.write_all(b"\x03").unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen.contains("incomplete") || seen.contains("no profile was written"), "{seen}");
    comes_true("something of the run is left running", || inhabitants(&scratch).is_empty());
    assert!(saw_the_data_read(&trace(&scratch)));
}

/// Runs `script` with the state directory on a file system of `size` bytes.
fn with_little_room(scratch: &Scratch, size: &str, script: &str) -> Command {
    let state = scratch.outside("state");
    let mut command = scratch.command("unshare");
    command.args(["--user", "--map-current-user", "--mount", "--keep-caps", "sh", "-ec"]);
    command.arg(format!("mount -t tmpfs -o size={size} room {}; {script}", state.display()));
    command
}

#[test]
fn a_full_disk_ends_the_agent_with_a_clear_error_and_the_profile_before_stays() {
    need!(UserNamespaces, Program("unshare"));
    let scratch = agent();
    let profile = scratch.file("generated-profiles/sh-agent.toml", "# what stood here before\n");
    // Enough names to fill any page: each is an event of its own.
    scratch.file("agent.sh", "i=0; while :; do test -e name-$i-with-some-more-letters-to-be-long; i=$((i+1)); done");
    let pinfold = env!("CARGO_BIN_EXE_pinfold");
    let kept = scratch.outside("kept");
    let script = format!(
        "set +e; {pinfold} learn --accept-learned=all -p other.toml -- sh agent.sh; echo code $?; cp -r {} {}",
        text(&scratch.state()),
        text(&kept)
    );
    let output = with_little_room(&scratch, "256k", &script).output().unwrap();
    let said = said(&output);
    assert!(said.contains("code 125"), "{said}");
    assert!(said.contains("No space left") && said.contains("could not be written"), "{said}");
    assert!(!scratch.project().join("other.toml").exists());
    assert_eq!(std::fs::read_to_string(profile).unwrap(), "# what stood here before\n");
    comes_true("something of the run is left running", || inhabitants(&scratch).is_empty());
    let files = |dir: PathBuf| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let trace = files(kept.join("traces")).flat_map(files).next().unwrap();
    let trace = pinfold::trace::reader::read(BufReader::new(std::fs::File::open(trace).unwrap())).unwrap();
    assert!(!trace.is_complete() && trace.events.len() > 100, "{} events", trace.events.len());
}
