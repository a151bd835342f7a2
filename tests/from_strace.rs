//! Profiles from logs of strace: what was needed then is granted, what the log cannot tell is said, what is no log is
//! refused.

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

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::Output;

use common::enforced::{out, run};
use common::scratch::{Scratch, said, text};
use pinfold::import::strace::Log;
use pinfold::import::strace_values::{Address, Argument, split};
use proptest::prelude::*;

/// Runs `words` under strace with these options; the log's name.
fn strace(scratch: &Scratch, options: &[&str], words: &[&str]) -> PathBuf {
    let log = scratch.outside("log");
    let mut command = scratch.command("strace");
    command.args(options).arg("-o").arg(&log).args(words);
    let output = run(command);
    assert!(output.status.success(), "{}", said(&output));
    log
}

fn import(scratch: &Scratch, logs: &[&str], options: &[&str]) -> Output {
    let mut command = scratch.pinfold(&["learn", "--from-strace"]);
    command.args(logs).args(options);
    run(command)
}

fn profile(scratch: &Scratch) -> String {
    std::fs::read_to_string(scratch.profile()).unwrap()
}

fn nothing_was_written(scratch: &Scratch) {
    assert!(!scratch.project().join("generated-profiles").exists());
    assert!(!scratch.state().join("traces").exists());
}

#[test]
fn what_ran_under_strace_runs_under_the_profile_of_its_log_in_either_form() {
    need!(UserNamespaces, Program("strace"), Program("git"), Program("/usr/bin/python3"));
    let shell =
        "mkdir -p d; cd d; echo x >f; cat f ../data; mv f g; ln -s g l; cat l; rm l g; cd ..; rmdir d; date +%Z";
    let commands: [&[&str]; 4] = [
        &["sh", "script.sh"],
        &["git", "config", "--local", "--list"],
        &["/usr/bin/python3", "-S", "-c", "import json, os; print(json.dumps(open('data').read()), os.getcwd())"],
        &["./run", "data"],
    ];
    for (words, options) in commands.iter().flat_map(|words| [(words, "-f"), (words, "-ff")]) {
        let scratch = Scratch::new("strace").with("TZ", "UTC");
        scratch.file("script.sh", shell);
        scratch.file("data", "words\n");
        scratch.file("run", "#!/bin/sh\ncat \"$1\"\n");
        assert!(scratch.command("chmod").args(["755", "run"]).status().unwrap().success());
        assert!(scratch.command("git").args(["init", "-q"]).status().unwrap().success());
        let native = run({
            let mut command = scratch.command(words[0]);
            command.args(&words[1..]);
            command
        });
        let log = strace(&scratch, &[options, "-y", "-s", "4096"], words);
        let output = import(&scratch, &[text(&log)], &["--accept-learned=all"]);
        assert!(output.status.success(), "{words:?} {options}: {}", said(&output));
        assert!(!said(&output).contains("not understood"), "{words:?} {options}: {}", said(&output));
        let enforced = scratch.enforce(words);
        assert_eq!(out(&enforced), out(&native), "{words:?} {options}: {}\n{}", said(&enforced), profile(&scratch));
        assert_eq!(enforced.status.code(), Some(0), "{words:?} {options}: {}", said(&enforced));
    }
}

#[test]
fn a_profile_from_a_log_says_so_and_runs_only_after_a_yes_to_that() {
    need!(UserNamespaces, Program("strace"));
    let scratch = Scratch::new("strace-yes");
    let log = strace(&scratch, &["-f", "-y"], &["true"]);
    let output = import(&scratch, &[text(&log)], &["--accept-learned=own"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(profile(&scratch).contains("incomplete = { gaps = [\"imported\"], approved = false }"));
    let refused = scratch.enforce(&["true"]);
    assert!(said(&refused).contains("not observed completely"), "{}", said(&refused));
    assert!(run(scratch.pinfold(&["approve", "--accept=all", text(&scratch.profile())])).status.success());
    assert_eq!(scratch.enforce(&["true"]).status.code(), Some(0));
}

#[test]
fn a_secret_that_was_read_then_is_a_grant_that_waits() {
    need!(Program("strace"));
    let scratch = Scratch::new("strace-secret");
    scratch.home_file(".ssh/id_ed25519", "key\n");
    let log = strace(&scratch, &["-f", "-y"], &["cat", text(&scratch.home().join(".ssh/id_ed25519"))]);
    import(&scratch, &[text(&log)], &["--accept-learned=own"]);
    let line = profile(&scratch).lines().find(|line| line.contains(".ssh")).map(str::to_owned);
    assert!(line.as_ref().is_some_and(|line| line.contains("vault") && line.contains("approved = false")), "{line:?}");
}

#[test]
fn the_order_in_which_the_files_of_the_tasks_are_given_changes_nothing() {
    need!(Program("strace"));
    let scratch = Scratch::new("strace-order");
    scratch.file("script.sh", "cd /usr; ls >/dev/null; (cd share; cat ../lib/os-release >/dev/null); true\n");
    strace(&scratch, &["-ff", "-y"], &["sh", "script.sh"]);
    let mut files: Vec<PathBuf> = std::fs::read_dir(scratch.outside("."))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("log."))
        .collect();
    assert!(files.len() > 2, "the control: several tasks: {files:?}");
    files.sort();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let logs: Vec<&str> = files.iter().map(|path| text(path)).collect();
        assert!(import(&scratch, &logs, &["--accept-learned=all"]).status.success());
        let shown = out(&run(scratch.pinfold(&["trace", "show", "sh-script", "--kind", "image,path,pair,call,exit"])));
        seen.push(shown.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>());
        files.rotate_left(1);
    }
    assert!(seen[0].iter().any(|line| line.contains("/usr/share")), "{:?}", seen[0]);
    assert!(seen.iter().all(|lines| *lines == seen[0]));
}

#[test]
fn what_is_no_log_is_refused_with_its_place_and_leaves_nothing() {
    let scratch = Scratch::new("strace-foreign");
    for (content, place) in [
        ("hello world\n", "line 1, column 1"),
        ("", "no system call"),
        ("\n\nschema = 1\n", "line 3, column 1"),
        ("7 close(3) = 0\n", "does not begin with the start of a program"),
    ] {
        let log = scratch.file("log", content);
        let output = import(&scratch, &[text(&log)], &[]);
        assert_eq!(output.status.code(), Some(125), "{content:?}: {}", said(&output));
        let said = said(&output);
        assert!(said.contains(place) && said.contains("hint:"), "{content:?}: {said}");
        nothing_was_written(&scratch);
    }
    let output = import(&scratch, &["missing"], &[]);
    assert!(said(&output).contains("there is no log `missing`"), "{}", said(&output));
    nothing_was_written(&scratch);
}

#[test]
fn lines_that_are_torn_or_odd_are_told_with_their_place_and_counted() {
    let scratch = Scratch::new("strace-torn");
    let begin = "7 execve(\"/usr/bin/true\", [\"true\"], 0x7ff /* 3 vars */) = 0\n";
    let log = scratch.file("log", &format!("{begin}something of the program's own\n7 openat(AT_FDCWD</>, \"/etc/pas"));
    let output = import(&scratch, &[text(&log)], &["--accept-learned=own"]);
    assert!(
        said(&output).contains("2 lines, calls or paths of the log were not understood; the first line:")
            && said(&output).contains("log:2"),
        "{}",
        said(&output)
    );
    let gaps = out(&run(scratch.pinfold(&["trace", "show", "true", "--kind", "gap"])));
    assert!(gaps.contains("2 lines or calls were not understood"), "{gaps}");
}

#[test]
fn a_log_without_the_paths_of_descriptors_says_so() {
    need!(Program("strace"));
    let scratch = Scratch::new("strace-bare");
    let log = strace(&scratch, &["-f"], &["ls", "/usr/share"]);
    let output = import(&scratch, &[text(&log)], &["--accept-learned=own"]);
    assert!(said(&output).contains("strace -y"), "{}", said(&output));
    let log = strace(&scratch, &["-f", "-y"], &["ls", "/usr/share"]);
    let output = import(&scratch, &[text(&log)], &["--accept-learned=own"]);
    assert!(!said(&output).contains("strace -y"), "the control: {}", said(&output));
}

#[test]
fn a_name_that_is_no_text_is_granted_byte_for_byte_and_shown_inert() {
    need!(Program("strace"));
    let scratch = Scratch::new("strace-bytes");
    let name = OsStr::from_bytes(b"a\n\x1b]0;x\x07\xff\"");
    let path = scratch.home().join(name);
    std::fs::write(&path, "x").unwrap();
    let log = scratch.outside("log");
    let mut command = scratch.command("strace");
    command.args(["-f", "-y", "-o", text(&log), "cat"]).arg(&path);
    assert!(run(command).status.success());
    let output = import(&scratch, &[text(&log)], &["--accept-learned=own"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains('\x1b') && !said.contains('\x07'), "{said:?}");
    assert!(profile(&scratch).contains("\"~/a%0A%1B]0;x%07%FF\\\"\" = \"read\""), "{}", profile(&scratch));
}

#[test]
fn who_was_connected_to_is_known_and_a_question_of_address_sorting_is_not() {
    let scratch = Scratch::new("strace-net");
    let connect = |fd: u32, port: u16| {
        format!(
            "7 connect({fd}, {{sa_family=AF_INET, sin_port=htons({port}), sin_addr=inet_addr(\"192.0.2.1\")}}, 16) = 0\n"
        )
    };
    let text_of_log = [
        "7 execve(\"/usr/bin/true\", [\"true\"], 0x7ff /* 3 vars */) = 0\n".to_owned(),
        "7 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_TCP) = 3\n".to_owned(),
        connect(3, 443),
        "7 socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 4\n".to_owned(),
        connect(4, 80),
        connect(4, 53),
        "7 sendto(4, \"x\", 1, 0, NULL, 0) = 1\n".to_owned(),
    ]
    .concat();
    let log = scratch.file("log", &text_of_log);
    import(&scratch, &[text(&log)], &["--accept-learned=own"]);
    let trace = std::fs::read_dir(scratch.state().join("traces")).unwrap().next().unwrap().unwrap().path();
    let trace = std::fs::read_dir(trace).unwrap().next().unwrap().unwrap().path();
    let trace = std::fs::read_to_string(trace).unwrap();
    for (port, transport) in [(443, "tcp"), (80, "udp-probe"), (53, "udp")] {
        let fact = format!("{{\"inet\":\"192.0.2.1:{port}\"}},\"transport\":\"{transport}\"");
        assert!(trace.contains(&fact), "{fact}: {trace}");
    }
    assert!(trace.contains("\"inet stream\"") && trace.contains("\"inet datagram\""), "{trace}");
}

/// Every value of `argument`: none holds more bytes than its text.
fn is_no_longer_than(argument: &Argument, most: usize) -> bool {
    let string = argument.string().map_or(0, |(bytes, _)| bytes.len());
    let strings: usize = argument.strings().unwrap_or_default().iter().map(Vec::len).sum();
    let path = argument.descriptor().and_then(|(_, path)| path).map_or(0, |path| path.len());
    let address = match argument.address() {
        Address::Unix(name) | Address::Abstract(name) => name.len(),
        Address::Inet(_) | Address::Other => 0,
    };
    [string, strings, path, address].iter().all(|length| *length <= most)
}

proptest! {
    #[test]
    fn no_bytes_whatever_panic_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut log = Log::default();
        log.add(&*bytes, 0, 1).ok();
        for argument in split(&bytes).iter().chain([&Argument::new(&bytes)]) {
            prop_assert!(is_no_longer_than(argument, bytes.len()));
        }
    }

    #[test]
    fn no_line_however_mangled_panics_the_reader(
        cuts in prop::collection::vec((0..160usize, prop::sample::select(&b"\"\\<>()[]{},=?0x7 \n"[..])), 0..8),
    ) {
        let line = "7 openat(AT_FDCWD</p>, \"a\\n\\303\", O_RDONLY|O_CLOEXEC <unfinished ...>\n7 <... openat resumed>) = 3</p/a>\n\
                    7 connect(3, {sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr(\"127.0.0.1\")}, 16) = -1 EPERM (x)\n";
        let mut bytes = line.as_bytes().to_vec();
        for (at, byte) in cuts {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let mut log = Log::default();
        log.add(&*bytes, 0, 1).ok();
        for argument in log.tasks.values().flat_map(|task| &task.calls).flat_map(|call| &call.arguments) {
            prop_assert!(is_no_longer_than(argument, bytes.len()));
        }
    }
}
