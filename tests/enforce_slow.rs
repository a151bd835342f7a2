//! A server of the root that is slow, at each point of its work in turn: what is granted runs on, what is refused is refused
//! and told, and the run ends.
//!
//! It is slowed from outside, call by call, by a tracer that delays them.

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

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::enforced::{enforced_under, project};
use common::scratch::Scratch;

/// What the server does with a look: it reads the request, reads who asks and for what, answers, and looks at what it was.
const POINTS: [&str; 8] = [
    "read:delay_exit=200000",
    "read:delay_enter=200000",
    "pread64:delay_enter=50000",
    "process_vm_readv:delay_exit=50000",
    "readlinkat:delay_enter=200000",
    "openat:delay_exit=100000",
    "write:delay_enter=200000",
    "write:delay_exit=200000",
];

const SCRIPT: &str = "echo begun; while ! [ -e go ]; do sleep 0.05; done
cat ~/secret & cat ~/.ssh/keys/id_rsa & echo x >~/made & (echo new >~/.tool.json.tmp && mv ~/.tool.json.tmp ~/.tool.json) &
for n in 1 2 3; do echo $n >own$n && cat own$n && /usr/bin/true || echo failed; done
wait; cat ~/.tool.json; echo end";

/// A run that has begun, and what it prints.
fn begun(scratch: &Scratch, top: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let calls = "\"rename\", \"renameat2\", \"fsync\"";
    let mut command = enforced_under(scratch, top, "\"~/.tool.json\" = \"replace\"\n", calls, "");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    assert_eq!(first, "begun\n", "{:?}", child.wait_with_output());
    (child, lines)
}

/// Who serves the root of the run: pinfold itself, or the child of it that runs the same program among the same users.
fn server(pinfold: u32) -> u32 {
    let link = |pid: &str, name: &str| std::fs::read_link(format!("/proc/{pid}/{name}")).ok();
    let mine = pinfold.to_string();
    let children = std::fs::read_to_string(format!("/proc/{mine}/task/{mine}/children")).unwrap();
    let serves = |pid: &&str| link(pid, "exe") == link(&mine, "exe") && link(pid, "ns/user") == link(&mine, "ns/user");
    children.split_ascii_whitespace().find(serves).map_or(pinfold, |pid| pid.parse().unwrap())
}

/// Slows every thread of `process` at `point`; returns when it does.
fn slowed(process: u32, point: &str) -> Child {
    let mut tracer = Command::new("strace");
    tracer.args(["-f", "-o", "/dev/null", "-e", &format!("inject={point}"), "-p", &process.to_string()]);
    let mut tracer = tracer.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(tracer.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("attached"), "{line}");
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    tracer
}

fn ended(child: &mut Child, within: Duration) -> bool {
    let end = Instant::now() + within;
    while Instant::now() < end {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn a_server_that_is_slow_at_any_point_refuses_and_tells_as_ever_and_the_run_ends() {
    need!(UserNamespaces, Fuse, Program("strace"));
    for top in ["", "protect = \"strict\""] {
        for point in POINTS {
            let scratch = project(SCRIPT);
            for name in ["secret", ".ssh/keys/id_rsa", ".tool.json"] {
                scratch.home_file(name, "SECRET\n");
            }
            let (mut child, mut lines) = begun(&scratch, top);
            let mut tracer = slowed(server(child.id()), point);
            scratch.file("go", "");
            assert!(ended(&mut child, Duration::from_secs(240)), "{top} {point}: it hangs");
            tracer.kill().unwrap();
            tracer.wait().unwrap();
            let (mut text, mut told) = (String::new(), String::new());
            lines.read_to_string(&mut text).unwrap();
            child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
            assert_eq!(text, "1\n2\n3\nnew\nend\n", "{top} {point}: {told}");
            for what in ["read ~/secret", "read ~/.ssh/keys/id_rsa", "make ~/made"] {
                assert!(told.contains(what), "{top} {point}: no `{what}` in {told}");
            }
            assert!(!scratch.home().join("made").exists(), "{top} {point}: {told}");
            assert_eq!(std::fs::read_to_string(scratch.home().join(".tool.json")).unwrap(), "new\n");
        }
    }
}
