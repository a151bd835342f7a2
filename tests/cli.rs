//! The edge of the program: help, exit codes, which stream, colour.

#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test program: a panic in a helper is a failed test"
)]

mod common;

use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use common::scratch::{Scratch, said};

const COMMANDS: &[&str] = &[
    "run",
    "learn",
    "enforce",
    "show",
    "approve",
    "diff",
    "git-setup",
    "check",
    "fmt",
    "report",
    "trace",
    "man",
    "doctor",
    "demo",
];

fn scratch() -> Scratch {
    Scratch::new("cli")
}

#[test]
fn the_help_of_each_command_has_an_example_that_names_it() {
    let all = said(&scratch().pinfold(&["--help"]).output().unwrap());
    assert!(all.contains("Examples:"), "{all}");
    for command in COMMANDS {
        assert!(all.lines().any(|line| line.trim_start().starts_with(command)), "`{command}` is not listed: {all}");
        let output = scratch().pinfold(&[command, "--help"]).output().unwrap();
        let help = said(&output);
        assert_eq!(output.status.code(), Some(0), "{help}");
        assert!(help.contains("Example"), "no example for {command}: {help}");
        assert!(help.contains(&format!("\n  pinfold {command}")), "no example names {command}: {help}");
    }
    assert!(!all.contains("demo-tool"), "the demo's own tool is listed: {all}");
}

#[test]
fn help_goes_to_standard_output_and_complaints_to_standard_error() {
    let help = scratch().pinfold(&["--help"]).output().unwrap();
    assert!(help.stderr.is_empty() && !help.stdout.is_empty());
    let wrong = scratch().pinfold(&["lern"]).output().unwrap();
    assert!(wrong.stdout.is_empty() && !wrong.stderr.is_empty());
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
}

#[test]
fn version_is_that_of_the_package() {
    let output = scratch().pinfold(&["--version"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("pinfold {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn an_error_says_what_stood_in_the_way_and_a_hint_on_a_line_of_its_own() {
    let output = scratch().pinfold(&["enforce", "--", "true"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{text}");
    assert!(text.lines().any(|line| line.starts_with("error: ")), "{text}");
    assert!(text.lines().any(|line| line.starts_with("hint: ")), "{text}");
}

#[test]
fn exit_codes_of_the_command_pass_through_and_ours_are_their_own() {
    need!(UserNamespaces);
    let scratch = scratch();
    let plain = scratch.file("not-executable", "");
    std::fs::set_permissions(plain, std::fs::Permissions::from_mode(0o644)).unwrap();
    for (words, code) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "kill -TERM $$"], 128 + 15),
        (&["no-such-program-anywhere"], 127),
        (&["./not-executable"], 126),
    ] {
        let output = scratch.pinfold(&["learn", "--"]).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", said(&output));
    }
}

#[test]
fn diff_says_same_different_and_trouble_by_exit_code() {
    need!(UserNamespaces);
    let scratch = scratch();
    scratch.learn(&["true"]);
    let old = scratch.profile();
    let new = scratch.outside("new.toml");
    let text = std::fs::read_to_string(&old).unwrap();
    assert!(text.contains("\n[filesystem]\n"), "{text}");
    std::fs::write(&new, text.replacen("\n[filesystem]\n", "\n[filesystem]\n\"/opt/added\" = \"read\"\n", 1)).unwrap();
    let missing = scratch.outside("missing.toml");
    let diff =
        |old: &std::path::Path, new: &std::path::Path| scratch.pinfold(&["diff"]).arg(old).arg(new).output().unwrap();
    assert_eq!(diff(&old, &old).status.code(), Some(0));
    let changed = diff(&old, &new);
    assert_eq!(changed.status.code(), Some(1), "{}", said(&changed));
    assert!(String::from_utf8_lossy(&changed.stdout).contains("/opt/added"), "{}", said(&changed));
    assert_eq!(diff(&old, &missing).status.code(), Some(2));
}

#[test]
fn fmt_lists_and_mends_what_is_not_in_its_one_form_and_keeps_comments() {
    let scratch = scratch();
    let text = "name='x'\nschema=1 # the first\ncommand=['x']\nsyscalls={base=1,allow=['socket']}\n";
    let file = scratch.file("generated-profiles/x.toml", text);
    let fmt = |words: &[&str]| scratch.pinfold(&["fmt"]).args(words).output().unwrap();
    let listed = fmt(&["--check", "x"]);
    assert_eq!(listed.status.code(), Some(1), "{}", said(&listed));
    assert!(String::from_utf8_lossy(&listed.stdout).ends_with("generated-profiles/x.toml\n"), "{}", said(&listed));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    assert_eq!(fmt(&["x"]).status.code(), Some(0));
    let mended = std::fs::read_to_string(&file).unwrap();
    assert!(mended.starts_with("schema = 1 # the first\nname = \"x\"\n"), "{mended}");
    assert_eq!(fmt(&["--check", "x"]).status.code(), Some(0));
    assert_eq!(fmt(&["--check", "x", "absent"]).status.code(), Some(2));
}

#[test]
fn there_is_a_manual_page_for_each_command_with_its_examples() {
    let scratch = scratch();
    let output = scratch.pinfold(&["man", "pages"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for command in COMMANDS.iter().filter(|command| **command != "trace") {
        let page = std::fs::read_to_string(scratch.project().join(format!("pages/pinfold-{command}.1"))).unwrap();
        // roff(7): a plain hyphen would be printed as another character.
        let page = page.replace("\\-", "-");
        assert!(page.contains(".SH SYNOPSIS") && page.contains(&format!("pinfold {command}")), "{command}: {page}");
    }
}

#[test]
fn a_profile_with_an_unknown_key_is_refused_with_its_line() {
    need!(UserNamespaces);
    let scratch = scratch();
    scratch.learn(&["true"]);
    let profile = scratch.profile();
    let text = std::fs::read_to_string(&profile).unwrap();
    std::fs::write(&profile, format!("{text}\n[surprise]\nkey = 1\n")).unwrap();
    let output = scratch.enforce(&["true"]);
    assert_eq!(output.status.code(), Some(125), "{}", said(&output));
    let said = said(&output);
    assert!(said.contains("surprise") && said.contains(".toml:"), "{said}");
}

/// What the program writes to a terminal on its standard error.
fn on_a_terminal(environment: &[(&str, &str)]) -> String {
    let pair = nix::pty::openpty(None, None).unwrap();
    let mut scratch = scratch().with("TERM", "xterm");
    for (name, value) in environment {
        scratch = scratch.with(name, value);
    }
    let mut command = scratch.pinfold(&["enforce", "--", "true"]);
    let mut child = command.stderr(pair.slave).spawn().unwrap();
    // The command holds a descriptor of the terminal, too: the read below ends only when all are closed.
    drop(command);
    let mut text = Vec::new();
    // EIO: the last descriptor of the other end was closed.
    std::fs::File::from(pair.master).read_to_end(&mut text).ok();
    child.wait().unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn colour_is_for_terminals_and_not_where_no_color_is_set() {
    let coloured = on_a_terminal(&[]);
    assert!(coloured.contains('\x1b') && coloured.contains("error:"), "{coloured:?}");
    for off in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = on_a_terminal(&[off]);
        assert!(!plain.contains('\x1b') && plain.contains("error: "), "{plain:?}");
    }
    let piped = scratch().pinfold(&["enforce", "--", "true"]).output().unwrap();
    assert!(!piped.stderr.contains(&0x1b), "{}", said(&piped));
}

/// Two events of a hostile program: its names hold an escape sequence and a newline.
const HOSTILE_TRACE: &str = r#"{"format":"pinfold-trace","version":1,"pinfold":"0.1.0","run":"9d0e5b1c","started":1767225600,"kernel":"6.18.0","machine":"x86_64","command":["x"],"roots":{"$PROJECT":"/p","~":"/h"},"workdir":"/p","uid":1000,"base":1}
{"image":0,"fact":{"image":{"parent":null,"exe":"/p/x%1B[2J","script":null,"argv":["x"],"set_id":false}}}
{"image":0,"fact":{"path":{"intent":"read","call":"openat","path":"/p/a%0A%1B]0;b%07","kind":"file","result":{"errno":2}}}}
"#;

#[test]
fn a_trace_is_shown_a_line_a_fact_with_hostile_names_escaped_and_a_cut_off_end_said() {
    let scratch = scratch();
    let trace = scratch.file("hostile.trace", HOSTILE_TRACE);
    let output = scratch.pinfold(&["trace", "show", trace.to_str().unwrap(), "--kind", "path"]).output().unwrap();
    let shown = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(!shown.contains('\x1b') && !shown.contains('\x07'), "{shown:?}");
    let facts: Vec<_> = shown.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(facts, [r"   0 x\x1b[2J  read /p/a\x0a\x1b]0;b\x07 (openat) = ENOENT"]);
    assert!(shown.lines().last().unwrap().contains("INCOMPLETE"), "{shown}");
}

#[test]
fn the_numbers_of_a_trace_are_those_of_its_lines() {
    let scratch = scratch();
    let trace = scratch.file("hostile.trace", HOSTILE_TRACE);
    let output = scratch.pinfold(&["trace", "stats", trace.to_str().unwrap(), "--json"]).output().unwrap();
    let stats: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(stats["kinds"], serde_json::json!({"image": 1, "path": 1}));
    assert_eq!((&stats["events"], &stats["complete"]), (&serde_json::json!(2), &serde_json::json!(false)));
    let bytes = u64::try_from(HOSTILE_TRACE.len()).unwrap();
    assert_eq!(stats["bytes"], serde_json::json!(bytes));
}

#[test]
fn a_file_that_is_no_trace_is_refused_with_its_line() {
    let scratch = scratch();
    let trace = scratch.file("broken.trace", &HOSTILE_TRACE.replace("\"intent\"", "\"intend\""));
    let output = scratch.pinfold(&["trace", "show", trace.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("line 3, column"), "{}", said(&output));
}

#[test]
fn a_profile_of_somebody_else_cannot_paint_over_the_screen_that_asks_about_it() {
    let scratch = Scratch::new("paint");
    scratch.file(
        "x.toml",
        "schema = 1\nname = \"x\"\ncommand = [\"a\\u001b[2J\\nb\"]\n\n[syscalls]\nbase = 1\nallow = []\n\n\
         [environment]\npass = [\"A\\u001b[8m\"]\n\n[secrets]\n\"S\\u202e\" = { from = \"env\" }\n",
    );
    for words in [&["show", "x.toml"][..], &["approve", "x.toml"], &["enforce", "-p", "x.toml", "--", "true"]] {
        let said = said(&scratch.pinfold(words).output().unwrap());
        assert!(said.contains("\\x1b[2J"), "{words:?}: {said}");
        assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}') && !said.contains("\nb"), "{words:?}: {said:?}");
    }
}
