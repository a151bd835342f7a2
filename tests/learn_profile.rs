//! What becomes of a learned run: when a profile is written, what of the one before it stays, what is asked, and what no
//! file may hold.

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
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::process::Output;

use common::enforced::out;
use common::scratch::{Scratch, said, text};

fn scratch(script: &str) -> Scratch {
    let scratch = Scratch::new("learned");
    scratch.file("agent.sh", script);
    scratch
}

const AGENT: [&str; 2] = ["sh", "agent.sh"];

fn learn(scratch: &Scratch, options: &[&str]) -> Output {
    let mut command = scratch.pinfold(&["learn"]);
    command.args(options).arg("--").args(AGENT).output().unwrap()
}

fn profile(scratch: &Scratch) -> String {
    std::fs::read_to_string(scratch.profile()).unwrap()
}

/// All that pinfold keeps of the runs.
fn kept(scratch: &Scratch) -> Vec<u8> {
    fn collect(path: &std::path::Path, bytes: &mut Vec<u8>) {
        if path.is_dir() {
            std::fs::read_dir(path).unwrap().for_each(|entry| collect(&entry.unwrap().path(), bytes));
        } else {
            bytes.extend(std::fs::read(path).unwrap());
        }
    }
    let mut bytes = Vec::new();
    collect(&scratch.state(), &mut bytes);
    collect(&scratch.project().join("generated-profiles"), &mut bytes);
    bytes
}

#[test]
fn a_run_that_failed_makes_no_profile_unless_it_is_wanted() {
    need!(UserNamespaces);
    let scratch = scratch("cat ~/wanted > /dev/null; exit 3");
    scratch.home_file("wanted", "");
    let output = learn(&scratch, &["--accept-learned=all"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("--even-if-failed"), "{}", said(&output));
    assert!(!scratch.project().join("generated-profiles").exists());
    let output = learn(&scratch, &["--accept-learned=all", "--even-if-failed"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(profile(&scratch).contains("~/wanted"), "{}", profile(&scratch));
}

#[test]
fn a_failed_run_leaves_the_profile_before_it() {
    need!(UserNamespaces);
    let scratch = scratch("exit 0");
    learn(&scratch, &[]);
    let before = profile(&scratch);
    scratch.file("agent.sh", "cat /etc/hostname; exit 1");
    learn(&scratch, &["--accept-learned=all"]);
    assert_eq!(profile(&scratch), before);
}

#[test]
fn run_learns_again_after_a_failed_first_run_and_says_why() {
    need!(UserNamespaces);
    let scratch = scratch("exit 1");
    let run = || scratch.pinfold(&["run", "--accept-learned=all", "--", "sh", "agent.sh"]).output().unwrap();
    assert_eq!(run().status.code(), Some(1));
    scratch.file("agent.sh", "echo well");
    let again = run();
    assert!(said(&again).contains("learning again"), "{}", said(&again));
    assert!(profile(&scratch).contains("[syscalls]"));
    assert!(said(&run()).contains("enforcing"));
}

#[test]
fn comments_stay_when_it_is_learned_again_and_append_counts_earlier_runs_in() {
    need!(UserNamespaces);
    let scratch = scratch("cat a.txt");
    std::fs::create_dir_all(scratch.home().join(".tool")).unwrap();
    scratch.home_file(".tool/one", "1");
    scratch.home_file(".tool2/two", "2");
    scratch.file("agent.sh", "cat ~/.tool/one");
    learn(&scratch, &["--accept-learned=all"]);
    let first = profile(&scratch);
    assert!(first.contains(".tool/one"), "{first}");
    let commented = first.replacen("[filesystem]\n", "# reviewed by two\n[filesystem]\n", 1);
    std::fs::write(scratch.profile(), commented).unwrap();
    scratch.file("agent.sh", "cat ~/.tool2/two");
    learn(&scratch, &["--accept-learned=all", "--append"]);
    let second = profile(&scratch);
    assert!(second.contains("# reviewed by two\n[filesystem]"), "{second}");
    assert!(second.contains(".tool/one") && second.contains(".tool2/two"), "{second}");
    // A run that does not count is told.
    let traces = std::fs::read_dir(scratch.state().join("traces")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(traces.join("000000000000.0-bad.trace"), "not a trace\n").unwrap();
    let output = learn(&scratch, &["--accept-learned=all", "--append"]);
    assert!(said(&output).contains("do not count; there are 1"), "{}", said(&output));
    assert_eq!(profile(&scratch), second);
    // Without it the last run alone counts.
    learn(&scratch, &["--accept-learned=all"]);
    let third = profile(&scratch);
    assert!(!third.contains(".tool/one") && third.contains(".tool2/two") && third.contains("# reviewed"), "{third}");
}

#[test]
fn an_approval_that_was_written_into_the_file_by_hand_is_not_carried_over() {
    need!(UserNamespaces);
    let scratch = scratch("cat ~/.npmrc");
    scratch.home_file(".npmrc", "token\n");
    learn(&scratch, &["--accept-learned=own"]);
    let before = profile(&scratch);
    let line = before.lines().find(|line| line.contains(".npmrc")).unwrap_or_else(|| panic!("{before}")).to_owned();
    assert!(line.contains("approved = false"), "{line}");
    std::fs::write(scratch.profile(), before.replace("approved = false", "approved = true")).unwrap();
    learn(&scratch, &["--accept-learned=own"]);
    assert!(profile(&scratch).contains(&line), "{}", profile(&scratch));
    // The control: what a person approved is carried over.
    learn(&scratch, &["--accept-learned=all"]);
    learn(&scratch, &["--accept-learned=own"]);
    assert!(profile(&scratch).contains("approved = true"), "{}", profile(&scratch));
}

#[test]
fn no_file_that_is_kept_holds_a_secret_by_value() {
    need!(UserNamespaces);
    let scratch = scratch("cat config > /dev/null; true --token=sk-live-argument-12345678")
        .with("API_TOKEN", "sk-live-variable-12345678");
    scratch.file("config", "password = sk-live-contents-12345678\n");
    let mut command = scratch.pinfold(&["learn", "--accept-learned=all", "--", "sh", "agent.sh"]);
    let output = command.arg("sk-live-word-12345678").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let kept = String::from_utf8_lossy(&kept(&scratch)).into_owned();
    assert!(kept.contains("API_TOKEN"), "the control: the name of the variable is kept");
    for secret in ["sk-live-argument", "sk-live-variable", "sk-live-contents", "sk-live-word"] {
        assert!(!kept.contains(secret), "{secret} is kept");
    }
}

#[test]
fn a_name_that_is_no_text_is_granted_and_never_reaches_the_screen_as_it_is() {
    need!(UserNamespaces);
    let scratch = scratch("for file in ~/.odd/*; do cat \"$file\"; done");
    let name: &[u8] = b"caf\xe9 \x1b]0;title\x07 line\nbreak \"quoted\" 100%";
    std::fs::create_dir_all(scratch.home().join(".odd")).unwrap();
    std::fs::write(scratch.home().join(".odd").join(OsStr::from_bytes(name)), "contents\n").unwrap();
    let output = learn(&scratch, &["--accept-learned=all"]);
    assert_eq!(output.stdout, b"contents\n", "{}", said(&output));
    let shown = scratch.pinfold(&["show", text(&scratch.profile())]).output().unwrap();
    for screen in [&output.stderr, &shown.stdout] {
        assert!(!screen.iter().any(|byte| [0x1b, 0x07, 0xe9].contains(byte)), "{}", String::from_utf8_lossy(screen));
    }
    assert!(profile(&scratch).contains("caf%E9"), "{}", profile(&scratch));
    let enforced = scratch.enforce(&AGENT);
    assert_eq!(enforced.stdout, b"contents\n", "{}", said(&enforced));
}

#[test]
fn a_place_of_the_vault_is_seen_by_its_flag_alone_and_is_a_grant_to_be_approved() {
    need!(UserNamespaces);
    let scratch = scratch("cat ~/.ssh/id_ed25519 || true");
    let key = scratch.home_file(".ssh/id_ed25519", "PRIVATE KEY\n");
    let hidden = learn(&scratch, &["--accept-learned=own"]);
    assert_eq!(hidden.stdout, b"", "{}", said(&hidden));
    assert!(said(&hidden).contains("--open-vault"), "{}", said(&hidden));
    assert!(!profile(&scratch).contains(".ssh/id"), "{}", profile(&scratch));
    let opened = learn(&scratch, &["--accept-learned=own", "--open-vault", text(&key)]);
    assert_eq!(opened.stdout, b"PRIVATE KEY\n", "{}", said(&opened));
    let text = profile(&scratch);
    let line = text.lines().find(|line| line.contains(".ssh/id_ed25519")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("sensitive = \"vault\"") && line.contains("approved = false"), "{line}");
    // Not approved, it is not there.
    let enforced = scratch.enforce(&AGENT);
    assert_eq!(enforced.stdout, b"", "{}", said(&enforced));
}

#[test]
fn run_twice_just_works_and_a_second_script_under_the_same_interpreter_is_learned_anew() {
    need!(UserNamespaces, Program("/usr/bin/python3"));
    let scratch = scratch("");
    scratch.file("x.py", "print('x')\n");
    scratch.file("y.py", "open('/etc/hostname').read(); print('y')\n");
    let run = |script: &str| {
        let report = scratch.outside("report.json");
        let mut command = scratch.pinfold(&["run", "--accept-learned=own", "--report", text(&report), "--"]);
        let output = command.args(["/usr/bin/python3", script]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        (String::from_utf8(output.stdout).unwrap(), report["mode"].as_str().unwrap().to_owned())
    };
    let said = |out: &str, mode: &str| (out.to_owned(), mode.to_owned());
    assert_eq!(run("x.py"), said("x\n", "learn"));
    assert_eq!(run("x.py"), said("x\n", "enforce"));
    assert_eq!(run("y.py"), said("y\n", "learn"));
    assert_eq!(run("y.py"), said("y\n", "enforce"));
    assert_eq!(run("x.py"), said("x\n", "enforce"));
}

/// Learns on a terminal and answers the questions; what the screen showed, escapes and all.
fn on_a_terminal(scratch: &Scratch, options: &[&str], answer: Option<&str>, stdin_is_terminal: bool) -> String {
    let pty = nix::pty::openpty(None, None).unwrap();
    let (mut near, far) = (std::fs::File::from(pty.master), std::fs::File::from(pty.slave));
    let mut inner = scratch.pinfold(&["learn"]);
    inner.args(options).arg("--").args(AGENT);
    let mut command = scratch.command("setsid");
    let redirected = if stdin_is_terminal { "exec \"$@\"" } else { "exec \"$@\" </dev/null" };
    command.args(["--ctty", "--wait", "sh", "-c", redirected, "sh"]).arg(inner.get_program()).args(inner.get_args());
    command.stdin(far.try_clone().unwrap()).stdout(far.try_clone().unwrap()).stderr(far);
    let mut child = command.spawn().unwrap();
    drop(command);
    let (mut seen, mut bytes, mut asked) = (String::new(), [0; 4096], 0);
    while let Ok(count @ 1..) = near.read(&mut bytes) {
        seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        if let Some(answer) = answer
            && seen.matches("[y/N]").count() > asked
        {
            asked += 1;
            near.write_all(answer.as_bytes()).unwrap();
        }
    }
    child.wait().unwrap();
    seen
}

#[test]
fn one_question_ends_a_run_on_a_terminal_and_only_yes_approves() {
    need!(UserNamespaces, Program("setsid"));
    for (answer, approved) in [("y\n", true), ("n\n", false), ("\n", false), ("\x04", false)] {
        let scratch = scratch("echo hello");
        let seen = on_a_terminal(&scratch, &[], Some(answer), true);
        assert_eq!(seen.matches("[y/N]").count(), 1, "{seen}");
        let enforced = scratch.enforce(&AGENT);
        assert_eq!(enforced.status.code(), Some(if approved { 0 } else { 125 }), "{answer:?}: {}", said(&enforced));
    }
}

#[test]
fn a_sensitive_grant_is_a_question_of_its_own() {
    need!(UserNamespaces, Program("setsid"));
    let scratch = scratch("cat ~/.npmrc");
    scratch.home_file(".npmrc", "token\n");
    let seen = on_a_terminal(&scratch, &[], Some("y\n"), true);
    assert_eq!(seen.matches("[y/N]").count(), 2, "{seen}");
    assert!(seen.contains(".npmrc"), "{seen}");
    let enforced = scratch.enforce(&AGENT);
    assert_eq!(enforced.stdout, b"token\n", "{}", said(&enforced));
}

#[test]
fn a_live_line_is_for_a_terminal_that_the_agent_does_not_read() {
    need!(UserNamespaces, Program("setsid"));
    let live = |stdin_is_terminal| {
        let scratch = scratch("for i in 1 2 3 4 5 6 7 8 9; do sleep 0.1; test -e name$i; done");
        on_a_terminal(&scratch, &["--accept-learned=own"], None, stdin_is_terminal)
    };
    let watched = live(false);
    assert!(watched.contains("\r\x1b[K") && watched.contains("files"), "no live line: {watched:?}");
    let owned = live(true);
    let before_the_end = owned.split("learned:").next().unwrap();
    assert!(!before_the_end.contains("\r\x1b[K"), "{owned:?}");
}

#[test]
fn without_a_terminal_there_is_no_escape_and_standard_output_is_the_agents_alone() {
    need!(UserNamespaces);
    let scratch = scratch("echo data; echo talk >&2");
    let output = learn(&scratch, &["--accept-learned=own"]);
    assert_eq!(output.stdout, b"data\n");
    assert!(!output.stderr.contains(&0x1b), "{}", said(&output));
    assert!(said(&output).contains("talk"), "{}", said(&output));
}

#[test]
fn the_peak_of_memory_of_a_process_that_lives_briefly_is_seen() {
    need!(UserNamespaces, Program("/usr/bin/python3"));
    let scratch = scratch("/usr/bin/python3 -S -c 'x = bytearray(80 << 20)'");
    learn(&scratch, &["--accept-learned=own"]);
    let output = scratch.pinfold(&["trace", "show", "sh-agent", "--kind", "peaks"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let megabytes: u64 = shown.split("peaks: ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((80..400).contains(&megabytes), "{shown}");
}

#[test]
fn the_peaks_of_descriptors_and_of_the_size_of_a_file_that_is_removed_again_are_seen() {
    need!(UserNamespaces, Program("/usr/bin/python3"));
    let script = "/usr/bin/python3 -S -c 'kept = [open(str(n), \"w\") for n in range(60)]'\nrm [0-9]*\n\
                  head -c 3000000 /dev/zero > big\nrm big\nhead -c 4000 /dev/zero > small\n";
    let scratch = scratch(script);
    learn(&scratch, &["--accept-learned=own"]);
    let shown = out(&scratch.pinfold(&["trace", "show", "sh-agent", "--kind", "peaks"]).output().unwrap());
    let number = |before: &str, after: &str| -> u64 {
        shown.split(after).next().unwrap().rsplit(before).next().unwrap().parse().unwrap()
    };
    assert!((63..100).contains(&number(" ", " descriptors")), "{shown}");
    assert_eq!(number("file ", " KiB"), 3_000_000 >> 10, "{shown}");
}

#[test]
fn variables_that_a_file_or_an_argument_names_are_told_and_others_are_not() {
    need!(UserNamespaces);
    let script = "echo \"$IN_A_SCRIPT\" >/dev/null\ncat data >/dev/null\nname=IN_AN\nsh -c \": \\$${name}_ARGUMENT\"\n";
    let mut scratch = scratch(script);
    for name in ["IN_A_SCRIPT", "IN_DATA", "IN_AN_ARGUMENT", "IN_NOTHING", "IN_DAT"] {
        scratch = scratch.with(name, "value");
    }
    scratch.file("data", "{ IN_DATA }\n");
    learn(&scratch, &["--accept-learned=own"]);
    let shown = out(&scratch.pinfold(&["trace", "show", "sh-agent", "--kind", "mentioned"]).output().unwrap());
    let told: Vec<&str> =
        shown.lines().flat_map(str::split_whitespace).filter(|word| word.starts_with("IN_")).collect();
    assert_eq!(told, ["IN_AN_ARGUMENT", "IN_A_SCRIPT", "IN_DATA"], "{shown}");
    assert!(shown.contains("PATH"), "the shell itself names it: {shown}");
}

#[test]
fn a_program_that_hid_itself_from_tracers_is_seen_from_outside_its_namespace() {
    need!(UserNamespaces);
    let scratch = scratch("exec ./tracee hide data");
    std::fs::copy(env!("CARGO_BIN_EXE_tracee"), scratch.project().join("tracee")).unwrap();
    scratch.file("data", "x");
    let output = learn(&scratch, &["--accept-learned=own"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let shown = out(&scratch.pinfold(&["trace", "show", "sh-agent", "--kind", "path,gap"]).output().unwrap());
    assert!(
        shown.lines().any(|line| line.contains("tracee") && line.contains("read ") && line.contains("/data")),
        "{shown}"
    );
    assert!(!shown.contains("GAP"), "{shown}");
}

#[test]
fn a_program_that_traces_or_brings_its_own_sandbox_is_refused_by_name_with_what_to_do() {
    need!(UserNamespaces, Program("strace"), Program("bwrap"));
    for (script, hint) in [("strace true", "hint: a program that traces"), ("bwrap --ro-bind / / true", "--no-sandbox")]
    {
        let scratch = scratch(script);
        let output = learn(&scratch, &["--even-if-failed", "--accept-learned=own"]);
        let said = said(&output);
        assert!(said.contains("attempt: refused to `/usr/bin/") && said.contains(hint), "{said}");
    }
}

#[test]
fn a_program_for_another_abi_is_refused_and_told_so_with_the_abi() {
    need!(UserNamespaces, Program("as"), Program("ld"));
    let scratch = scratch("./program");
    // Exits with 0; where the kernel does not, it runs into an instruction that ends it.
    scratch.file("program.s", ".globl _start\n_start: mov $1, %eax\n xor %ebx, %ebx\n int $0x80\n hlt\n");
    for words in [["as", "--32", "program.s", "-o", "program.o"], ["ld", "-melf_i386", "program.o", "-o", "program"]] {
        assert!(scratch.command(words[0]).args(&words[1..]).status().unwrap().success());
    }
    let native = scratch.command("./program").status().unwrap();
    // A kernel may have no 32-bit ABI.
    assert!(native.code() == Some(0) || native.code().is_none(), "the control: {native}");
    let output = learn(&scratch, &["--even-if-failed", "--accept-learned=own"]);
    assert_ne!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        said(&output).contains("attempt: refused: system call number 1 of another ABI (0x40000003)"),
        "{}",
        said(&output)
    );
    assert!(said(&output).contains("hint: only programs"), "{}", said(&output));
}

#[test]
fn what_pinfold_itself_does_before_the_program_starts_is_not_the_programs() {
    need!(UserNamespaces);
    let scratch = scratch("true");
    let output = learn(&scratch, &["--accept-learned=own"]);
    let shown = out(&scratch.pinfold(&["trace", "show", "sh-agent"]).output().unwrap());
    let first = shown.lines().find(|line| !line.starts_with('#')).unwrap();
    assert!(first.contains("runs /"), "the first that is seen is the program: {first}\n{}", said(&output));
    for launcher in ["pinfold", "uid_map", "calls mount", "calls seccomp"] {
        let blamed = shown.lines().filter(|line| !line.starts_with('#')).find(|line| line.contains(launcher));
        // The project and the state of these tests have the word in their names.
        assert!(blamed.is_none_or(|line| line.contains(text(&scratch.home()))), "{launcher}: {blamed:?}");
    }
}

#[test]
fn a_program_with_a_set_user_id_bit_is_told() {
    need!(UserNamespaces, Program("/usr/bin/su"));
    let output = learn(&scratch("su --version >/dev/null; true"), &["--accept-learned=own"]);
    assert!(said(&output).contains("/usr/bin/su has a set-user-id"), "{}", said(&output));
}
