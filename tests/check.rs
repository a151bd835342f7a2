//! What is found in a profile, and what mending leaves.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test program: a panic in a helper is a failed test"
)]

mod common;

use common::scratch::{Scratch, said};
use pinfold::check::{Code, Known, Weight, check, mend};
use pinfold::profile::emit::emit;
use pinfold::profile::parse::parse;
use serde_json::Value;

/// Each code but those that need a store stands in this text.
const TEXT: &str = r#"schema = 1
name = "x"
command = ["x"]

[filesystem]
"~/.aws" = { access = "read", sensitive = "vault", approved = true }
"~/.netrc" = { access = "read", sensitive = "credential", approved = false }
"~/.ssh" = { access = "read", sensitive = "vault", approved = true, reason = "it deploys" }
"/opt/nowhere-at-all" = "read"
"/usr" = "read"
"/usr/lib" = "read"
"/usr/local" = "exist"

[network]
"@host" = { access = "unconfined", approved = true }

[syscalls]
base = 1
allow = [
    "openat",
    "ptrace",
]

[syscalls.arguments]
prctl = [
    "PR_SET_NAME",
]
socket = []

[secrets]
"TOKEN" = { from = "env", approved = false }
"#;

fn found(text: &str) -> Vec<(usize, Code, String)> {
    let findings = check(text, &parse(text).unwrap(), &Known::default());
    findings.into_iter().map(|finding| (finding.line, finding.code, finding.about)).collect()
}

#[test]
fn each_finding_has_its_line_and_its_code() {
    let text = TEXT.replace("prctl = [\n    \"PR_SET_NAME\",\n]\n", "").replace("socket = []", "socketpair = []");
    let wanted = [
        (6, Code::DangerousWithoutReason, "~/.aws"),
        (7, Code::Withheld, "~/.netrc"),
        (11, Code::Redundant, "/usr/lib"),
        (15, Code::DangerousWithoutReason, "@host"),
        (20, Code::Redundant, "openat"),
        (21, Code::Withheld, "ptrace"),
    ];
    let found = found(&text);
    for (line, code, about) in wanted {
        assert!(found.contains(&(line, code, about.to_owned())), "{code:?} {about}: {found:?}");
    }
    assert!(found.iter().any(|(_, code, about)| *code == Code::Withheld && about == "TOKEN"), "{found:?}");
}

#[test]
fn a_text_that_is_not_in_its_one_form_is_a_finding_and_one_that_is_is_none() {
    let text = "schema = 1\nname = \"x\"\ncommand = [\"x\"]\n\n[syscalls]\nbase = 1\n";
    assert_eq!(found(text), []);
    assert_eq!(found(&text.replace("base = 1", "base=1")), [(1, Code::NotCanonical, String::new())]);
}

#[test]
fn mending_takes_out_what_another_line_says_and_nothing_else() {
    let text = TEXT.replace("prctl = [\n    \"PR_SET_NAME\",\n]\n", "");
    let profile = parse(&text).unwrap();
    let mended = mend(&profile);
    let gone: Vec<_> = profile.filesystem.keys().filter(|place| !mended.filesystem.contains_key(place)).collect();
    assert_eq!(gone.iter().map(ToString::to_string).collect::<Vec<_>>(), ["/usr/lib"]);
    assert_eq!(mended.syscalls.allow.len(), 1);
    assert!(mended.secrets == profile.secrets && mended.network == profile.network);
    let again = check(&emit(&mended, None), &mended, &Known::default());
    assert!(again.iter().all(|finding| !finding.code.is_mendable()), "{again:?}");
    assert_eq!(mend(&mended), mended);
}

#[test]
fn a_peer_that_a_longer_row_of_ports_holds_is_redundant_and_one_that_is_read_or_waits_is_not() {
    let profile = |lines: &str| {
        let head = "schema = 1\nname = \"x\"\ncommand = [\"x\"]\n\n[network]\n";
        format!("{head}{lines}\n[syscalls]\nbase = 1\nallow = [\n    \"socket\",\n]\n")
    };
    let yes = "= { access = \"connect\", approved = true }";
    let text = profile(&format!(
        "\"*.example.com:443\" {yes}\n\"a.example.com:443\" = \"connect\"\n\"localhost:3000\" {yes}\n\"localhost:3001\" = {{ access = \"connect\", approved = false }}\n\"localhost:4000\" {yes}\n\"localhost:3000-3010\" {yes}\n\"localhost:3005-3010\" {yes}\n\"localhost:3008-3020\" {yes}\n\"localhost:3009\" = {{ access = \"relay\", approved = true }}\n",
    ));
    let redundant = |text: &str| -> Vec<String> {
        let found = found(text).into_iter().filter(|(_, code, _)| *code == Code::Redundant);
        found.map(|(_, _, about)| about).collect()
    };
    let mut told = redundant(&text);
    told.sort();
    assert_eq!(told, ["localhost:3000", "localhost:3005-3010"]);
    let before = parse(&text).unwrap();
    let mended = mend(&before);
    assert_eq!(mended.network.len(), before.network.len() - 2);
    let context = pinfold::diff::Context::default();
    for (a, b) in [(&before, &mended), (&mended, &before)] {
        let changes = pinfold::diff::compare(a, b, &context).changes;
        let same = changes.iter().all(|change| change.code == pinfold::diff::codes::Code::Rewritten);
        assert!(same, "mending changed what is allowed: {changes:?}");
    }
    let all = profile(
        "\"@host\" = { access = \"unconfined\", approved = true, reason = \"x\" }\n\"a.example.com:443\" = \"connect\"\n\"@inside:3000\" = { access = \"publish\", approved = true }\n",
    );
    assert_eq!(redundant(&all), ["a.example.com:443"]);
}

#[test]
fn a_narrower_line_beneath_a_wider_one_is_kept_and_so_is_one_that_waits() {
    let lines = "\"$PROJECT\" = \"write\"\n\"$PROJECT/docs\" = \"read\"\n\"$PROJECT/docs/new\" = \"write\"\n";
    let text = format!("schema = 1\nname = \"x\"\ncommand = [\"x\"]\n\n[filesystem]\n{lines}\n[syscalls]\nbase = 1\n");
    assert_eq!(found(&text), []);
}

#[test]
fn the_command_ends_with_one_for_warnings_and_zero_for_notes_and_mends_on_demand() {
    let scratch = Scratch::new("check");
    let text = TEXT.replace("prctl = [\n    \"PR_SET_NAME\",\n]\n", "");
    let file = scratch.file("generated-profiles/x.toml", &text);
    let output = scratch.pinfold(&["check", "x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(listed.contains("x.toml:11: warning: `/usr/lib`") && listed.contains("[redundant]"), "{listed}");
    assert!(listed.contains("x.toml:9: note: `/opt/nowhere-at-all`"), "{listed}");
    let output = scratch.pinfold(&["check", "--fix", "--format", "json", "x"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let codes: Vec<_> = report["files"][0]["findings"].as_array().unwrap().iter().map(|f| f["code"].clone()).collect();
    assert!(!codes.contains(&"redundant".into()) && codes.contains(&"dangerous-without-reason".into()), "{codes:?}");
    assert!(!std::fs::read_to_string(&file).unwrap().contains("/usr/lib\""));
    let plain = "schema = 1\nname = \"y\"\ncommand = [\"y\"]\n\n[filesystem]\n\"/nowhere\" = \"read\"\n\n[syscalls]\nbase = 1\n";
    scratch.file("generated-profiles/y.toml", plain);
    assert_eq!(scratch.pinfold(&["check", "y"]).output().unwrap().status.code(), Some(0));
    assert_eq!(scratch.pinfold(&["check", "y", "absent"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn a_profile_that_is_too_large_is_refused_whole_and_not_read_in_part() {
    let scratch = Scratch::new("check");
    let plain = "schema = 1\nname = \"x\"\ncommand = [\"x\"]\n\n[syscalls]\nbase = 1\n";
    scratch.file("generated-profiles/x.toml", &(plain.to_owned() + &"# line\n".repeat((16 << 20) / 7 + 1)));
    let output = scratch.pinfold(&["check", "x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("larger than 16 MiB"), "{}", said(&output));
}

#[test]
fn sarif_names_a_rule_and_a_line_for_each_finding() {
    let scratch = Scratch::new("check");
    scratch.file("a b.toml", &TEXT.replace("prctl = [\n    \"PR_SET_NAME\",\n]\n", ""));
    let output = scratch.pinfold(&["check", "--format", "sarif", "a b.toml"]).output().unwrap();
    let sarif: Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &sarif["runs"][0];
    let rules: Vec<_> = run["tool"]["driver"]["rules"].as_array().unwrap().iter().map(|rule| &rule["id"]).collect();
    let results = run["results"].as_array().unwrap();
    assert!(sarif["version"] == "2.1.0" && !results.is_empty());
    for result in results {
        assert!(rules.contains(&&result["ruleId"]), "{result}");
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b.toml");
        assert!(place["region"]["startLine"].as_u64().unwrap() >= 1);
        assert!(["warning", "note"].contains(&result["level"].as_str().unwrap()));
    }
}

#[test]
fn a_profile_of_a_hundred_thousand_lines_is_checked_shown_formatted_and_compared() {
    let scratch = Scratch::new("check");
    // Each with a word of a person above it and one behind it.
    let line = |n| format!("# why {n}\n\"/opt/nowhere/{n:06}\" = \"read\" # {n}\n");
    let lines: String = (0..100_000).map(line).collect();
    let head = "schema = 1\nname = \"x\"\ncommand = [\"x\"]\n\n[filesystem]\n";
    scratch.file("generated-profiles/x.toml", &format!("{head}{lines}\n[syscalls]\nbase = 1\n"));
    scratch.file("generated-profiles/y.toml", &format!("{head}\"/usr\" = \"read\"\n\n[syscalls]\nbase = 1\n"));
    let run = |words: &[&str]| scratch.pinfold(words).output().unwrap();
    let output = run(&["check", "x"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("x.toml:200005: note: `/opt/nowhere/099999`"));
    for words in
        [&["show", "x"][..], &["fmt", "--check", "x"], &["diff", "x", "y"], &["report", "--output", "x.html", "x"]]
    {
        let output = run(words);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{words:?}: {}", said(&output));
    }
}

#[test]
fn a_line_that_no_run_used_is_found_where_there_is_evidence() {
    need!(UserNamespaces);
    let scratch = Scratch::new("check");
    scratch.learn(&["true"]);
    let file = scratch.profile();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("[filesystem]\n", "[filesystem]\n\"/opt/never\" = \"read\"\n", 1)).unwrap();
    let output = scratch.pinfold(&["check"]).arg(&file).output().unwrap();
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let unused: Vec<_> = listed.lines().filter(|line| line.ends_with("[unused]")).collect();
    assert!(unused.len() == 1 && unused[0].contains("/opt/never"), "{listed}{}", said(&output));
    assert_eq!(Code::Unused.weight(), Weight::Warning);
}
