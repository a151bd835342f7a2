//! Merging profiles and traces: nothing that one side had is lost, nothing that no side had is there, and least of all an
//! approval.

#![expect(clippy::unwrap_used, reason = "a test program: a panic in a helper is a failed test")]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::scratch::{Scratch, said};
use pinfold::merge::{join, three_way};
use pinfold::profile::emit::{emit, emit_merged};
use pinfold::profile::parse::parse;
use pinfold::profile::{PathGrant, Profile};
use pinfold::vocab::limits::Limit;
use pinfold::vocab::location::Location;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// Lines of one section, of which a profile has some. Several for one key, to be chosen from.
fn section(header: &str, keys: &'static [&'static [&'static str]]) -> impl Strategy<Value = String> + use<> {
    let header = header.to_owned();
    subsequence(keys.to_vec(), 0..=keys.len())
        .prop_flat_map(|keys| keys.into_iter().map(|values| select(values.to_vec())).collect::<Vec<_>>())
        .prop_map(
            move |lines| {
                if lines.is_empty() { String::new() } else { format!("{header}\n{}\n", lines.join("\n")) }
            },
        )
}

fn list(name: &'static str, words: &'static [&'static str]) -> impl Strategy<Value = String> + use<> {
    subsequence(words.to_vec(), 0..=words.len()).prop_map(move |words| {
        format!("{name} = [{}]", words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(", "))
    })
}

/// Profiles of one command with lines from a small world, so that they meet often.
fn any_profile() -> impl Strategy<Value = Profile> {
    let places: &[&[&str]] = &[
        &["\"$PROJECT\" = \"read\"", "\"$PROJECT\" = \"write\"", "\"$PROJECT\" = \"exist\""],
        &["\"$PROJECT/a\" = \"read\"", "\"$PROJECT/a\" = \"write\"", "\"$PROJECT/a\" = \"exist\""],
        &[
            "\"$PROJECT/a/b\" = \"read\"",
            "\"$PROJECT/a/b\" = \"replace\"",
            "\"$PROJECT/a/b\" = { access = \"write\", approved = false }",
            "\"$PROJECT/a/b\" = { access = \"read\", reason = \"why\" }",
        ],
        &[
            "\"$PROJECT/.env\" = { access = \"read\", sensitive = \"credential\", approved = false }",
            "\"$PROJECT/.env\" = { access = \"read\", sensitive = \"credential\", approved = true }",
            "\"$PROJECT/.env\" = { access = \"write\", sensitive = \"credential\", approved = false }",
            "\"$PROJECT/.env\" = \"exist\"",
        ],
        &["\"/usr\" = \"read\"", "\"/usr\" = \"exist\""],
        &["\"/usr/lib\" = \"read\"", "\"/usr/lib\" = \"exist\""],
    ];
    let peers: &[&[&str]] = &[
        &[
            "\"@host\" = { access = \"unconfined\", approved = false }",
            "\"@host\" = { access = \"unconfined\", approved = true }",
        ],
        &["\"a.b:443\" = \"connect\"", "\"a.b:443\" = { access = \"connect\", approved = false, reason = \"x\" }"],
    ];
    let secrets: &[&[&str]] = &[&[
        "\"K\" = { from = \"env\", approved = false }",
        "\"K\" = { from = \"env\", approved = true }",
        "\"K\" = { from = \"file\", path = \"~/k\", approved = false }",
        "\"K\" = { from = \"fd\", fd = 7, approved = true }",
    ]];
    let limits: &[&[&str]] = &[
        &["memory = \"1 GiB\"", "memory = \"2 GiB\"", "memory = \"2 GiB\"\nsoft = [\"memory\"]"],
        &["processes = 9", "processes = 10"],
        &["disk = \"1 GiB\"", "disk = \"3 GiB\""],
    ];
    let top = select(vec![
        "",
        "incomplete = { gaps = [\"timeout\"], approved = true }",
        "incomplete = { gaps = [\"flood\"], approved = false }",
        "tolerate = [\"no-landlock\"]",
        "nested_sandbox = true",
    ]);
    let calls = (list("allow", &["kcmp", "personality", "ptrace"]), prop::bool::ANY);
    let arguments = prop_oneof![Just(String::new()), list("socket", &["inet stream", "unix stream"])];
    let files = (section("[filesystem]", places), section("[network]", peers));
    let rest = (list("pass", &["HOME", "LANG"]), section("[secrets]", secrets), section("[limits]", limits));
    (top, select(vec!["a", "b"]), files, calls, arguments, rest).prop_map(|(top, name, files, calls, arguments, rest)| {
        let approved = if calls.1 && calls.0.contains("ptrace") { "approved = [\"ptrace\"]\n" } else { "" };
        let arguments = if arguments.is_empty() { arguments } else { format!("[syscalls.arguments]\n{arguments}\n") };
        let text = format!(
            "schema = 1\nname = \"{name}\"\ncommand = [\"x\"]\n{top}\n{}{}[syscalls]\nbase = 1\n{}\n{approved}{arguments}\
             [environment]\n{}\n{}{}",
            files.0, files.1, calls.0, rest.0, rest.1, rest.2
        );
        parse(&text).map_err(|error| format!("{error}\n{text}")).unwrap()
    })
}

fn joined(a: &Profile, b: &Profile) -> Profile {
    join(a, b).unwrap()
}

/// Whether everything that learning writes into `a` is in `b`.
fn is_within(a: &Profile, b: &Profile) -> bool {
    let line = |(place, line): (&Location, &PathGrant)| {
        b.filesystem.get(place).is_some_and(|other| other.access >= line.access || other.sensitive > line.sensitive)
    };
    a.filesystem.iter().all(line)
        && a.network.keys().all(|target| b.network.contains_key(target))
        && a.syscalls.allow.is_subset(&b.syscalls.allow)
        && a.syscalls
            .arguments
            .iter()
            .all(|(call, words)| b.syscalls.arguments.get(call).is_some_and(|w| words.is_subset(w)))
        && a.environment.is_subset(&b.environment)
        && a.secrets.keys().all(|name| b.secrets.contains_key(name))
        && allows_no_less(a.limits.memory, b.limits.memory)
        && allows_no_less(a.limits.processes, b.limits.processes)
        && allows_no_less(a.limits.private_bytes(), b.limits.private_bytes())
        && (a.limits.soft.contains(&Limit::Memory)
            <= (b.limits.soft.contains(&Limit::Memory) || b.limits.memory.is_none()))
}

/// Whether what stays below the limit `a` stays below `b`.
fn allows_no_less<T: Ord>(a: Option<T>, b: Option<T>) -> bool {
    b.is_none_or(|b| a.is_some_and(|a| a <= b))
}

/// Every approval in `merged` stands on the same line, as it is, in one of `sides`.
fn approvals_are_of(merged: &Profile, sides: &[&Profile]) -> bool {
    let bare = |line: &PathGrant| PathGrant { reason: None, ..line.clone() };
    let sensitive = merged.filesystem.iter().filter(|(_, line)| line.sensitive.is_some() && line.approved);
    let path = |(place, line): (&Location, &PathGrant)| {
        sides.iter().any(|side| side.filesystem.get(place).is_some_and(|other| bare(other) == bare(line)))
    };
    let mut network = merged.network.iter().filter(|(_, line)| line.approved);
    let mut secrets = merged.secrets.iter().filter(|(_, secret)| secret.approved);
    let mut calls = merged.syscalls.approved.iter();
    sensitive.into_iter().all(path)
        && network
            .all(|(target, _)| sides.iter().any(|side| side.network.get(target).is_some_and(|line| line.approved)))
        && secrets.all(|(name, secret)| sides.iter().any(|side| side.secrets.get(name) == Some(secret)))
        && calls.all(|call| sides.iter().any(|side| side.syscalls.approved.contains(call)))
        && (!merged.nested_sandbox || sides.iter().any(|side| side.nested_sandbox))
        && merged.tolerate.iter().all(|lack| sides.iter().any(|side| side.tolerate.contains(lack)))
}

proptest! {
    #[test]
    fn joining_is_commutative_associative_and_idempotent(a in any_profile(), b in any_profile(), c in any_profile()) {
        prop_assert_eq!(joined(&a, &b), joined(&b, &a));
        prop_assert_eq!(joined(&joined(&a, &b), &c), joined(&a, &joined(&b, &c)));
        prop_assert_eq!(&joined(&a, &a), &a);
        prop_assert_eq!(joined(&joined(&a, &b), &b), joined(&a, &b));
    }

    #[test]
    fn joining_takes_nothing_of_what_was_learned_and_grows_with_its_sides(a in any_profile(), b in any_profile(), c in any_profile()) {
        let ab = joined(&a, &b);
        prop_assert!(is_within(&a, &ab) && is_within(&b, &ab));
        prop_assert!(is_within(&joined(&a, &c), &joined(&ab, &c)));
    }

    #[test]
    fn no_merge_invents_an_approval(base in any_profile(), a in any_profile(), b in any_profile()) {
        prop_assert!(approvals_are_of(&joined(&a, &b), &[&a, &b]));
        if let Ok(merged) = three_way(&base, &a, &b) {
            prop_assert!(approvals_are_of(&merged, &[&a, &b]), "{}", emit(&merged, None));
        }
    }

    #[test]
    fn what_one_branch_alone_changed_is_taken_and_the_sides_are_alike(base in any_profile(), a in any_profile(), b in any_profile()) {
        prop_assert_eq!(three_way(&base, &a, &base), Ok(a.clone()));
        prop_assert_eq!(three_way(&base, &base, &a), Ok(a.clone()));
        prop_assert_eq!(three_way(&base, &a, &a), Ok(a.clone()));
        let (mut one, mut two) = (three_way(&base, &a, &b), three_way(&base, &b, &a));
        // Of two names ours stays.
        for side in [&mut one, &mut two] {
            if let Ok(merged) = side { merged.name.clear() }
            if let Err(conflicts) = side { conflicts.sort() }
        }
        prop_assert_eq!(one, two);
    }

    #[test]
    fn what_was_merged_is_written_and_read_as_the_same(a in any_profile(), b in any_profile()) {
        let merged = joined(&a, &b);
        let text = emit_merged(&merged, "", &emit(&a, None), &emit(&b, None));
        prop_assert_eq!(parse(&text).unwrap(), merged);
    }
}

fn text(lines: &str) -> String {
    format!("schema = 1\nname = \"x\"\ncommand = [\"x\"]\n\n{lines}\n[syscalls]\nbase = 1\n")
}

fn filesystem(text: &str) -> String {
    text.lines()
        .skip_while(|line| *line != "[filesystem]")
        .skip(1)
        .take_while(|l| !l.is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

fn merged(base: &str, ours: &str, theirs: &str) -> Result<String, String> {
    let [base, ours, theirs] = [base, ours, theirs].map(|lines| text(&format!("[filesystem]\n{lines}")));
    let [b, o, t] = [&base, &ours, &theirs].map(|text| parse(text).unwrap());
    let conflicts = |conflicts: Vec<_>| conflicts.iter().map(ToString::to_string).collect::<String>();
    let profile = three_way(&b, &o, &t).map_err(conflicts)?;
    Ok(filesystem(&emit_merged(&profile, &base, &ours, &theirs)))
}

#[test]
fn a_line_beneath_a_wider_one_of_the_other_side_takes_nothing_from_it() {
    let both = merged("", "\"$PROJECT\" = \"write\"", "\"$PROJECT/src\" = \"read\"").unwrap();
    assert_eq!(both, "\"$PROJECT\" = \"write\"\n\"$PROJECT/src\" = \"write\"");
    // One that a person narrowed on purpose stays narrow.
    let wide = "\"$PROJECT\" = \"write\"";
    let narrowed = format!("{wide}\n\"$PROJECT/src\" = \"read\"");
    assert_eq!(
        merged(wide, &narrowed, &format!("{wide}\n\"/usr\" = \"read\"")).unwrap(),
        format!("{narrowed}\n\"/usr\" = \"read\"")
    );
}

#[test]
fn an_approval_that_one_side_took_back_is_not_there() {
    let line = |access: &str, approved: bool| {
        format!("\"~/.netrc\" = {{ access = \"{access}\", sensitive = \"credential\", approved = {approved} }}")
    };
    let (yes, no) = (line("read", true), line("read", false));
    assert_eq!(merged(&yes, &no, &yes).unwrap(), no);
    assert_eq!(merged(&yes, &no, &line("write", true)).unwrap(), line("write", false));
    assert_eq!(merged("", &no, &yes).unwrap(), yes, "one side says exactly this line, approved");
    assert_eq!(
        merged("", &line("write", false), &yes).unwrap(),
        line("write", false),
        "not the line that was approved"
    );
}

#[test]
fn a_line_that_one_side_took_out_and_the_other_changed_is_a_conflict() {
    let conflict = merged("\"/srv\" = \"exist\"", "", "\"/srv\" = \"read\"").unwrap_err();
    assert_eq!(conflict, "[filesystem] \"/srv\"");
    assert_eq!(merged("\"/srv\" = \"exist\"", "", "\"/srv\" = \"exist\"").unwrap(), "");
}

#[test]
fn a_limit_holds_where_both_sides_have_it_and_a_change_of_one_branch_is_taken() {
    let of = |lines: &str| parse(&text(&format!("[limits]\n{lines}"))).unwrap();
    let said = |profile: &Profile| {
        profile.limits.lines().into_iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>()
    };
    // A side without the limit was seen to work without it.
    assert_eq!(said(&joined(&of("memory = \"2 GiB\"\nprocesses = 500"), &of("processes = 200"))), ["processes 500"]);
    // Private directories hold no more than memory where nothing is said.
    let (one, two) = (of("memory = \"2 GiB\""), of("memory = \"4 GiB\"\ndisk = \"1 GiB\""));
    assert_eq!(said(&joined(&one, &two)), ["memory \"4 GiB\"", "disk \"2 GiB\""]);
    // Of branches each limit is for itself.
    let base = of("memory = \"2 GiB\"\nprocesses = 500");
    let (raised, lowered) = (of("memory = \"8 GiB\"\nprocesses = 500"), of("memory = \"2 GiB\"\nprocesses = 200"));
    assert_eq!(said(&three_way(&base, &raised, &lowered).unwrap()), ["memory \"8 GiB\"", "processes 200"]);
    let (taken_out, added) = (of("processes = 500"), of("memory = \"2 GiB\"\nprocesses = 500\ncpu = \"100 %\""));
    assert_eq!(said(&three_way(&base, &taken_out, &added).unwrap()), ["processes 500", "cpu \"100 %\""]);
    let conflict = three_way(&base, &taken_out, &raised).unwrap_err();
    assert_eq!(conflict.iter().map(ToString::to_string).collect::<Vec<_>>(), ["[limits] memory"]);
}

#[test]
fn comments_of_both_sides_survive() {
    let base = "# base\n\"/a\" = \"read\"\n\"/b\" = \"read\" # old";
    let ours = "# base\n# ours\n\"/a\" = \"read\"\n\"/b\" = \"read\" # old\n# new\n\"/c\" = \"read\"";
    let theirs = "# base\n# theirs\n\"/a\" = \"read\" # behind\n\"/b\" = \"read\"";
    let expected = "# base\n# ours\n# theirs\n\"/a\" = \"read\" # behind\n\"/b\" = \"read\"\n# new\n\"/c\" = \"read\"";
    assert_eq!(merged(base, ours, theirs).unwrap(), expected);
}

#[test]
fn profiles_of_different_commands_are_not_joined() {
    let other = text("").replace("command = [\"x\"]", "command = [\"y\"]");
    let error = join(&parse(&text("")).unwrap(), &parse(&other).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "they are for different commands: [\"x\"] and [\"y\"]");
}

fn merge(scratch: &Scratch, arguments: &[&Path]) -> Output {
    scratch.pinfold(&["merge"]).args(arguments).output().unwrap()
}

#[test]
fn traces_and_profiles_are_merged_in_any_order_and_a_torn_or_foreign_file_is_refused_by_name() {
    let scratch = Scratch::new("merged");
    let traces = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/traces");
    let (git, torn) = (traces.join("git.trace"), scratch.file("torn.trace", "{\"format\":\"pinfold-trace\",\"ver"));
    let one = merge(&scratch, &[&git]);
    assert!(one.status.success(), "{}", said(&one));
    assert_eq!(one.stdout, merge(&scratch, &[&git, &git]).stdout, "one trace twice is one");
    let profile = scratch.file("p.toml", std::str::from_utf8(&one.stdout).unwrap());
    let both = merge(&scratch, &[&git, &profile]);
    assert_eq!(both.stdout, merge(&scratch, &[&profile, &git]).stdout);
    assert_eq!(both.stdout, one.stdout, "a profile of the same run adds nothing");

    let refused = |file: &Path, words: &str| {
        let output = merge(&scratch, &[&git, file]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(output.stdout.is_empty() && said(&output).contains(words), "{}", said(&output));
    };
    refused(&torn, "the file ends before its header is complete");
    refused(&scratch.project().join("missing"), "there is no file");
    refused(&scratch.file("foreign", "\u{1b}[2J not toml"), "foreign:1:");
    refused(&traces.join("make.trace"), "they are for different commands");
    assert!(!scratch.state().join("approvals").exists(), "nothing is approved by it");
}

#[test]
fn a_profile_that_is_not_among_the_merged_is_not_written_over() {
    let scratch = Scratch::new("over");
    let (a, b) =
        (scratch.file("a.toml", &text("")), scratch.file("b.toml", &text("[filesystem]\n\"/usr\" = \"read\"\n")));
    let into = |output: &Path, file: &Path| scratch.pinfold(&["merge", "-o"]).args([output, file]).output().unwrap();
    let refused = into(&a, &b);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("is not among those that are merged"), "{}", said(&refused));
    let output = scratch.pinfold(&["merge", "-o"]).args([&a, &a, &b]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(std::fs::read_to_string(&a).unwrap().contains("\"/usr\" = \"read\""));
}

/// A repository with the merge driver, as `git-setup` installs it.
fn repository(scratch: &Scratch) {
    git(scratch, &["init", "-q", "-b", "main"]);
    let driver = format!("'{}' merge-driver %O %A %B %P", env!("CARGO_BIN_EXE_pinfold"));
    git(scratch, &["config", "merge.pinfold.driver", &driver]);
    scratch.file(".gitattributes", "generated-profiles/*.toml merge=pinfold\n");
}

fn git(scratch: &Scratch, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .current_dir(scratch.project())
        .env("HOME", scratch.home())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    (output.status.success(), said(&output) + &String::from_utf8_lossy(&output.stdout))
}

fn commit(scratch: &Scratch, profile: &str) {
    scratch.file("generated-profiles/x.toml", profile);
    git(scratch, &["add", "-A"]);
    let (done, text) = git(scratch, &["commit", "-qm", "x"]);
    assert!(done, "{text}");
}

#[test]
fn two_branches_that_both_learned_are_merged_by_git_without_conflict() {
    need!(Program("git"));
    let scratch = Scratch::new("branches");
    repository(&scratch);
    let base = text("[filesystem]\n# the project\n\"$PROJECT\" = \"write\"\n");
    commit(&scratch, &base);
    git(&scratch, &["checkout", "-qb", "other"]);
    commit(&scratch, &base.replace("\n\n[syscalls]", "\n# their tool\n\"/opt/their\" = \"read\"\n\n[syscalls]"));
    git(&scratch, &["checkout", "-q", "main"]);
    commit(&scratch, &base.replace("\n\n[syscalls]", "\n\"/opt/our\" = \"read\" # ours\n\n[syscalls]"));
    let (merged, said) = git(&scratch, &["merge", "-q", "--no-edit", "other"]);
    assert!(merged, "{said}");
    let text = std::fs::read_to_string(scratch.project().join("generated-profiles/x.toml")).unwrap();
    let expected = "# the project\n\"$PROJECT\" = \"write\"\n\"/opt/our\" = \"read\" # ours\n# their tool\n\"/opt/their\" = \"read\"";
    assert_eq!(filesystem(&text), expected);

    // The control: without the driver git finds a conflict in the same two branches.
    git(&scratch, &["reset", "-q", "--hard", "HEAD~1"]);
    git(&scratch, &["config", "--unset", "merge.pinfold.driver"]);
    assert!(!git(&scratch, &["merge", "-q", "--no-edit", "other"]).0);
}

#[test]
fn what_git_cannot_merge_is_left_to_a_person_with_marks_and_is_no_profile() {
    need!(Program("git"));
    let scratch = Scratch::new("conflict");
    repository(&scratch);
    let with = |line: &str| text(&format!("[filesystem]\n\"$PROJECT\" = \"write\"\n{line}"));
    commit(&scratch, &with("\"/srv\" = \"exist\"\n"));
    git(&scratch, &["checkout", "-qb", "other"]);
    commit(&scratch, &with("\"/srv\" = \"read\"\n"));
    git(&scratch, &["checkout", "-q", "main"]);
    commit(&scratch, &with(""));
    let (merged, said) = git(&scratch, &["merge", "--no-edit", "other"]);
    assert!(!merged && said.contains("one side took out what the other changed: [filesystem] \"/srv\""), "{said}");
    let text = std::fs::read_to_string(scratch.project().join("generated-profiles/x.toml")).unwrap();
    assert!(text.contains("<<<<<<<") && text.contains("\"/srv\" = \"read\"") && parse(&text).is_err(), "{text}");
}
