//! What is refused is named: each first look at something that exists outside and is not granted, with the program, the whole
//! path and the line that would grant it; and nothing is named that nobody lacks.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use common::enforced::{enforced, enforced_under, enforced_with, out, project, run};
use common::scratch::{Scratch, said};
use serde_json::Value;

/// The denials of a run, each as `intent thing`.
fn denials(scratch: &Scratch) -> Vec<(String, Value)> {
    let report = scratch.report("enforce");
    let all = report["denials"].as_array().unwrap().clone();
    all.into_iter()
        .map(|denial| {
            (format!("{} {}", denial["intent"].as_str().unwrap_or("-"), denial["thing"].as_str().unwrap()), denial)
        })
        .collect()
}

fn denied<'a>(denials: &'a [(String, Value)], what: &str) -> &'a Value {
    let found = denials.iter().find(|(said, _)| said == what);
    &found.unwrap_or_else(|| panic!("no `{what}` in {denials:#?}")).1
}

/// A path of the scratch home, as in reports.
fn home(scratch: &Scratch, name: &str) -> String {
    scratch.home().join(name).to_str().unwrap().to_owned()
}

#[test]
fn a_file_that_is_looked_for_and_not_granted_is_named_with_its_whole_path() {
    need!(UserNamespaces, Fuse);
    let scratch = project("cat ~/.ssh/keys/id_rsa; ls ~/notes; ../../other/tool; cd ~/notes");
    for name in [".ssh/keys/id_rsa", "notes/a", "other/tool"] {
        scratch.home_file(name, "secret");
    }
    let output = run(enforced(&scratch));
    let denials = denials(&scratch);
    let key = denied(&denials, &format!("read {}", home(&scratch, ".ssh/keys/id_rsa")));
    assert!(key["program"].as_str().unwrap().ends_with("/cat"), "{key}");
    let shell = key["chain"][0].as_str().unwrap();
    assert!(shell.ends_with("sh"), "{key}");
    let remedy = key["remedy"].as_str().unwrap();
    assert_eq!(
        remedy,
        "[filesystem] \"~/.ssh/keys/id_rsa\" = { access = \"read\", sensitive = \"vault\", approved = true }"
    );
    assert!(key["risk"].as_str().unwrap().contains("SSH"), "{key}");
    assert!(denials.iter().any(|(said, _)| said.ends_with(&home(&scratch, "notes"))), "{}", said(&output));
    denied(&denials, &format!("execute {}", home(&scratch, "other/tool")));
}

#[test]
fn what_no_machine_has_is_not_news_and_what_would_have_been_made_is() {
    need!(UserNamespaces, Fuse);
    let scratch = project("cat ~/nowhere ~/no/where /nothing/here; echo x >~/made; mkdir ~/room; echo done");
    let output = run(enforced(&scratch));
    assert_eq!(out(&output), "done\n", "{}", said(&output));
    let denials = denials(&scratch);
    let made = denied(&denials, &format!("create {}", home(&scratch, "made")));
    assert_eq!(made["remedy"], "[filesystem] \"~/made\" = \"replace\"");
    assert_eq!(made["errno"], libc::EROFS);
    let room = denied(&denials, &format!("create {}", home(&scratch, "room")));
    assert_eq!(room["remedy"], "[filesystem] \"~/room\" = \"write\"");
    assert_eq!(denials.len(), 2, "{denials:#?}");
}

#[test]
fn what_lies_above_a_granted_place_is_no_news_although_the_place_is_not_there() {
    need!(UserNamespaces, Fuse);
    let scratch = project("ls -d ~/above; ls ~/beside");
    for name in ["above/other", "beside/other"] {
        scratch.home_file(name, "");
    }
    let output = run(enforced_with(&scratch, "\"~/above/absent/file\" = \"read\"\n", "", ""));
    assert_eq!(out(&output).lines().count(), 1, "{}", said(&output));
    let denials = denials(&scratch);
    assert!(denials.iter().all(|(said, _)| said.ends_with(&home(&scratch, "beside"))), "{denials:#?}");
    assert!(!denials.is_empty(), "the control is told");
}

#[test]
fn a_made_up_remedy_is_the_line_that_allows_it() {
    need!(UserNamespaces, Fuse);
    let scratch = project("cat ~/notes.txt ~/.tool/config");
    scratch.home_file("notes.txt", "noted\n");
    scratch.home_file(".tool/config", "configured\n");
    run(enforced(&scratch));
    let lines: Vec<String> = denials(&scratch)
        .iter()
        .map(|(_, denial)| denial["remedy"].as_str().unwrap().strip_prefix("[filesystem] ").unwrap().to_owned())
        .collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let output = run(enforced_with(&scratch, &(lines.join("\n") + "\n"), "", ""));
    assert_eq!(out(&output), "noted\nconfigured\n", "{}", said(&output));
    assert!(denials(&scratch).is_empty(), "{}", said(&output));
}

#[test]
fn a_flood_of_names_is_absorbed_and_the_run_goes_on() {
    need!(UserNamespaces, Fuse, Program("python3"));
    let script = "python3 -S -c 'import os\nfor n in range(100000):\n    os.path.exists(\"/home/%d\" % n)\nfor n in range(50000):\n    os.path.exists(\"/home/same\")'; \
                  cat ~/wanted 2>/dev/null; echo done";
    let scratch = project(script);
    scratch.home_file("wanted", "x");
    let output = run(enforced(&scratch));
    assert_eq!(out(&output), "done\n", "{}", said(&output));
    denied(&denials(&scratch), &format!("read {}", home(&scratch, "wanted")));
}

#[test]
fn a_name_cannot_forge_a_line_of_the_report() {
    need!(UserNamespaces, Fuse);
    let scratch = project("cat \"$HOME/$(printf 'x\\nrefused: all is well\\033[2J')\"");
    let name = "x\nrefused: all is well\u{1b}[2J";
    scratch.home_file(name, "x");
    let output = run(enforced(&scratch));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains('\u{1b}') && !text.contains("\nrefused: all is well"), "{text}");
    let denials = denials(&scratch);
    assert!(denials.iter().any(|(said, _)| said.ends_with("/x%0Arefused: all is well%1B[2J")), "{denials:#?}");
}

#[test]
fn where_fuse_cannot_be_mounted_the_root_is_as_strict_and_the_start_says_what_is_lost() {
    need!(UserNamespaces, Fuse);
    let scratch = project("cat ~/secret; ls -A ~; cat ~/.tool.json; echo new >~/.t; mv ~/.t ~/.tool.json");
    scratch.home_file("secret", "secret");
    scratch.home_file(".tool.json", "old\n");
    let inner = enforced_with(&scratch, "\"~/.tool.json\" = \"replace\"\n", "", "");
    // What is at the place of the device is none.
    let mut command = scratch.command("unshare");
    command.args([
        "--user",
        "--map-current-user",
        "--keep-caps",
        "--mount",
        "sh",
        "-c",
        "mount --bind /dev/null /dev/fuse && exec \"$@\"",
        "sh",
    ]);
    command.arg(inner.get_program()).args(inner.get_args());
    let output = run(command);
    assert!(out(&output).contains("old") && !out(&output).contains("secret"), "{}", said(&output));
    assert!(said(&output).contains("files that are refused will not be named"), "{}", said(&output));
    assert_eq!(std::fs::read_to_string(scratch.home().join(".tool.json")).unwrap(), "new\n", "{}", said(&output));
}

/// What the table of a run says of a refusal: the line, and what stands below it.
fn told(text: &str, what: &str) -> String {
    let from = text.find(what).unwrap_or_else(|| panic!("no `{what}` in\n{text}"));
    text[from..].lines().take(3).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_program_that_misses_its_library_is_diagnosed_by_the_table() {
    need!(UserNamespaces, Fuse, Program("python3"));
    let scratch = project("PYTHONPATH=$HOME/lib/python python3 -S -c 'import shared'");
    scratch.home_file("lib/python/shared.py", "");
    let output = run(enforced(&scratch));
    let text = said(&output);
    assert!(text.contains("ModuleNotFoundError: No module named 'shared'"), "{text}");
    let told = told(&text, "~/lib/python");
    assert!(told.contains("python3") && told.contains("to allow it: [filesystem] \"~/lib/python"), "{told}");
    let allowed = run(enforced_with(&scratch, "\"~/lib/python\" = \"read\"\n", "", ""));
    assert_eq!(allowed.status.code(), Some(0), "{}", said(&allowed));
}

#[test]
fn a_program_that_cannot_leave_its_state_is_diagnosed_by_the_table() {
    need!(UserNamespaces, Fuse);
    let scratch =
        project("echo state 2>/dev/null >~/.tool-state || { echo 'tool: cannot save its state' >&2; exit 1; }");
    let output = run(enforced(&scratch));
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let told = told(&said(&output), "make ~/.tool-state");
    assert!(told.contains("to allow it: [filesystem] \"~/.tool-state\" = \"replace\""), "{told}");
    let allowed = run(enforced_with(&scratch, "\"~/.tool-state\" = \"replace\"\n", "", ""));
    assert_eq!(allowed.status.code(), Some(0), "{}", said(&allowed));
    assert_eq!(std::fs::read_to_string(scratch.home().join(".tool-state")).unwrap(), "state\n");
}

#[test]
fn a_command_that_another_one_does_not_find_is_diagnosed_by_the_table() {
    use std::os::unix::fs::PermissionsExt as _;
    need!(UserNamespaces, Fuse, Program("make"));
    let scratch = project("PATH=$HOME/.local/bin:$PATH make -s check");
    scratch.file("Makefile", "check:\n\tlint\n");
    let lint = scratch.home_file(".local/bin/lint", "#!/bin/sh\necho linted\n");
    std::fs::set_permissions(lint, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = run(enforced(&scratch));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let told = told(&said(&output), "~/.local/bin/lint");
    assert!(told.contains("make") && told.contains("to allow it: [filesystem] \"~/.local/bin/lint\""), "{told}");
    let allowed = run(enforced_with(&scratch, "\"~/.local/bin\" = \"read\"\n", "\"setresuid\", \"setresgid\"", ""));
    assert_eq!(out(&allowed), "linted\n", "{}", said(&allowed));
}

#[test]
fn what_was_refused_is_kept_for_later_and_logged_where_that_is_asked_for() {
    need!(UserNamespaces, Fuse);
    let scratch = project("cat ~/notes; ./tracee errno 101");
    scratch.home_file("notes", "noted");
    let profile = scratch.outside("profile.toml");
    let log = scratch.outside("log.jsonl");
    for _ in 0..2 {
        let inner = enforced(&scratch);
        let mut command = scratch.command(inner.get_program());
        let mut words: Vec<_> = inner.get_args().map(std::ffi::OsStr::to_owned).collect();
        words.splice(1..1, ["--denials".into(), "--log".into(), log.clone().into_os_string()]);
        run({
            command.args(words);
            command
        });
    }
    let lines = std::fs::read_to_string(&log).unwrap();
    let logged: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        logged.iter().filter(|line| line["what"] == "read ~/notes" && line["kind"] == "file").count() == 2,
        "{lines}"
    );
    let listed = scratch.pinfold(&["denials", "--json", profile.to_str().unwrap()]).output().unwrap();
    let runs: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(runs.as_array().unwrap().len(), 2, "{}", said(&listed));
    assert_eq!(runs[1]["command"], serde_json::json!(["sh", "script.sh"]));
    assert!(runs[1]["refusals"].to_string().contains("~/notes"), "{runs}");
    let last = scratch.pinfold(&["denials", "--runs", "1", profile.to_str().unwrap()]).output().unwrap();
    let text = String::from_utf8_lossy(&last.stdout).into_owned();
    assert!(text.contains("read ~/notes") && text.contains("sh script.sh") && text.contains("UTC"), "{text}");
    let none = scratch
        .file("generated-profiles/none.toml", "schema = 1\nname = \"n\"\ncommand = [\"n\"]\n[syscalls]\nbase = 1\n");
    let none = scratch.pinfold(&["denials", none.to_str().unwrap()]).output().unwrap();
    assert!(out(&none).contains("no run of this profile"), "{}", said(&none));
}

#[test]
fn a_refusal_stands_in_the_log_while_the_run_goes_on() {
    need!(UserNamespaces, Fuse);
    for top in ["", "protect = \"strict\""] {
        let scratch =
            project("cat ~/notes; ./tracee errno 101; while ! [ -e seen ]; do sleep 0.05; done; cat ~/notes; echo end");
        scratch.home_file("notes", "noted");
        let log = scratch.outside("log.jsonl");
        let inner = enforced_under(&scratch, top, "", "", "");
        let mut command = scratch.command(inner.get_program());
        let mut words: Vec<_> = inner.get_args().map(std::ffi::OsStr::to_owned).collect();
        words.splice(1..1, ["--log".into(), log.clone().into_os_string()]);
        let child =
            command.args(words).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn();
        let child = child.unwrap();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let text = || std::fs::read_to_string(&log).unwrap_or_default();
        while !(text().contains("read ~/notes") && text().contains("ptrace")) {
            assert!(std::time::Instant::now() < end, "{top}: it is not told while the run goes on: {}", text());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        scratch.file("seen", "");
        let output = child.wait_with_output().unwrap();
        assert_eq!(out(&output), "end\n", "{}", said(&output));
        let times: Vec<u64> = text()
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["what"] == "read ~/notes")
            .map(|line| line["times"].as_u64().unwrap())
            .collect();
        assert_eq!(times, [1, 2], "{top}: {}", text());
    }
}
