//! With `--overlay` the project stays as it is: what a run changes waits, and what a person takes is written there and nowhere
//! else.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

use common::enforced::{enforced_under, out, run};
use common::scratch::{Scratch, said, text};

const CALLS: &str = "\"mkdir\", \"mkdirat\", \"rename\", \"renameat\", \"renameat2\", \"symlink\", \"symlinkat\", \"link\", \
                     \"linkat\", \"rmdir\", \"unlink\", \"unlinkat\", \"umask\", \"chmod\", \"fchmod\", \"fchmodat\", \"utimensat\"";

fn project(script: &str) -> Scratch {
    let scratch = Scratch::beside_home("overlay");
    scratch.file("script.sh", script);
    for (name, text) in
        [("kept", "kept\n"), ("changed", "old\n"), ("gone", "gone\n"), ("tree/a", "a\n"), ("tree/b", "b\n")]
    {
        scratch.file(name, text);
    }
    scratch
}

fn overlaid(scratch: &Scratch, top: &str) -> Command {
    let inner = enforced_under(scratch, top, "", CALLS, "");
    let mut command = scratch.command(inner.get_program());
    let mut words: Vec<_> = inner.get_args().map(std::ffi::OsStr::to_owned).collect();
    words.insert(1, "--overlay".into());
    command.args(words);
    command
}

fn review(scratch: &Scratch, words: &[&str]) -> Output {
    let profile = scratch.outside("profile.toml");
    let mut all = vec!["review"];
    let at = words.iter().position(|word| !word.starts_with('-')).unwrap_or(words.len());
    all.extend(&words[..at]);
    all.push(text(&profile));
    all.extend(&words[at..]);
    scratch.pinfold(&all).output().unwrap()
}

fn read(scratch: &Scratch, name: &str) -> Option<String> {
    std::fs::read_to_string(scratch.project().join(name)).ok()
}

/// Every name below the project with its contents.
fn everything(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(everything(&path));
        } else {
            found.push((path.to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap_or_default()));
        }
    }
    found.sort();
    found
}

const CHANGES: &str = "echo new > changed; rm gone; rm -r tree; mkdir tree; echo c > tree/c; mkdir -p made/deep; echo m > made/deep/m; \
                       ln -s changed link; chmod 600 kept; touch script.sh; mkdir empty; cat changed tree/c; ls tree";

#[test]
fn the_project_stays_as_it_is_until_the_changes_are_taken_and_is_then_as_the_run_saw_it() {
    need!(UserNamespaces);
    let scratch = project(CHANGES);
    let before = everything(&scratch.project());
    let output = run(overlaid(&scratch, ""));
    assert_eq!(out(&output), "new\nc\nc\n", "{}", said(&output));
    assert!(said(&output).contains("changes of the project wait"), "{}", said(&output));
    assert_eq!(everything(&scratch.project()), before, "the project was changed");
    let listed = review(&scratch, &[]);
    let lines: Vec<String> =
        out(&listed).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            "changed changed",
            "new empty",
            "removed gone",
            "changed kept",
            "new link",
            "new made",
            "new made/deep",
            "new made/deep/m",
            "removed tree/a",
            "removed tree/b",
            "new tree/c"
        ],
        "{}",
        said(&listed)
    );
    assert_eq!(listed.status.code(), Some(1));
    let diff = out(&review(&scratch, &["--diff", "changed"]));
    assert!(diff.contains("-old") && diff.contains("+new") && !diff.contains("tree"), "{diff}");
    let taken = review(&scratch, &["--take"]);
    assert_eq!(taken.status.code(), Some(0), "{}", said(&taken));
    let project = scratch.project();
    assert_eq!(read(&scratch, "changed").as_deref(), Some("new\n"));
    assert_eq!(read(&scratch, "made/deep/m").as_deref(), Some("m\n"));
    assert!(!project.join("gone").exists() && !project.join("tree/a").exists() && project.join("tree/c").exists());
    assert!(project.join("link").is_symlink() && project.join("empty").is_dir());
    assert_eq!(project.join("kept").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(said(&review(&scratch, &[])).contains("nothing waits"));
}

#[test]
fn some_are_taken_later_runs_see_the_rest_and_what_is_thrown_away_is_gone() {
    need!(UserNamespaces);
    let scratch = project("if [ -e made ]; then cat changed made; else echo new > changed; echo m > made; rm gone; fi");
    run(overlaid(&scratch, ""));
    let some = review(&scratch, &["--take", "changed"]);
    assert_eq!(some.status.code(), Some(1), "{}", said(&some));
    assert_eq!(read(&scratch, "changed").as_deref(), Some("new\n"));
    assert!(read(&scratch, "made").is_none() && read(&scratch, "gone").is_some());
    let again = run(overlaid(&scratch, ""));
    assert_eq!(out(&again), "new\nm\n", "{}", said(&again));
    assert_eq!(review(&scratch, &["--discard"]).status.code(), Some(0));
    assert!(read(&scratch, "made").is_none() && read(&scratch, "gone").is_some());
    let third = run(overlaid(&scratch, ""));
    assert_eq!(out(&third), "", "{}", said(&third));
}

#[test]
fn what_the_host_would_run_is_not_taken_with_the_rest() {
    need!(UserNamespaces);
    let scratch = project(
        "echo evil > .envrc; printf '{\"scripts\": {\"test\": \"evil\"}}' > package.json; ln -s /etc/passwd out; echo x > f",
    );
    scratch.file("package.json", "{\"scripts\": {\"test\": \"mine\"}}");
    run(overlaid(&scratch, ""));
    let taken = review(&scratch, &["--take"]);
    assert_eq!(taken.status.code(), Some(1), "{}", said(&taken));
    let told = said(&taken);
    for word in ["not taken", ".envrc", "scripts.test from \"mine\" to \"evil\"", "leads out, to `/etc/passwd`"] {
        assert!(told.contains(word), "no `{word}`: {told}");
    }
    assert!(read(&scratch, "f").is_some() && read(&scratch, ".envrc").is_none());
    assert!(read(&scratch, "package.json").unwrap().contains("mine") && !scratch.project().join("out").is_symlink());
    let all = review(&scratch, &["--take", "--even-with-warnings"]);
    assert_eq!(all.status.code(), Some(0), "{}", said(&all));
    assert!(read(&scratch, ".envrc").is_some() && read(&scratch, "package.json").unwrap().contains("evil"));
}

#[test]
fn a_symlink_that_brings_a_file_under_a_name_the_host_runs_or_leads_out_by_another_is_not_taken_with_the_rest() {
    need!(UserNamespaces);
    // One leads up, the next goes up behind it: by its text alone it stays inside.
    let scratch = project(
        "mkdir -p plain d1/d2; echo '{}' >plain/tasks.json; ln -s plain .vscode; echo '{}' >plain/settings.json; \
         ln -s plain .claude; ln -s .. d1/d2/up; ln -s up/../../secret d1/d2/out; ln -s ../d2 d1/inside",
    );
    scratch.home_file("secret", "mine");
    run(overlaid(&scratch, ""));
    let taken = review(&scratch, &["--take"]);
    assert_eq!(taken.status.code(), Some(1), "{}", said(&taken));
    let project = scratch.project();
    for name in [".vscode", ".claude", "d1/d2/out"] {
        assert!(!project.join(name).is_symlink(), "{name} was taken: {}", said(&taken));
        assert!(said(&taken).contains(name), "{name} is not told: {}", said(&taken));
    }
    // The control: links that do neither are taken.
    assert!(project.join("d1/d2/up").is_symlink() && project.join("d1/inside").is_symlink(), "{}", said(&taken));
    assert!(read(&scratch, "plain/tasks.json").is_some());
}

#[test]
fn what_carries_commands_by_a_symlink_or_the_shape_of_its_directory_is_not_taken_with_the_rest() {
    need!(UserNamespaces);
    let scratch = project(
        "mkdir -p bare/objects bare/refs bare/hooks plain/hooks; echo evil | tee bare/hooks/post-commit plain/hooks/x >/dev/null
         printf '[core]\\n\\tfsmonitor = evil\\n' | tee bare/config plain/config >/dev/null
         printf '{\"scripts\": {\"test\": \"evil\"}}' > other; ln -sf other package.json; rm -r tree; echo x > tree",
    );
    scratch.file("package.json", "{\"scripts\": {\"test\": \"mine\"}}");
    run(overlaid(&scratch, ""));
    let taken = review(&scratch, &["--take"]);
    assert_eq!(taken.status.code(), Some(1), "{}", said(&taken));
    for (name, told) in [
        ("bare/config", "core.fsmonitor from nothing to evil"),
        ("bare/hooks/post-commit", "git runs it"),
        ("bare/objects", "takes the directory for a repository"),
        ("package.json", "and is a symlink to `other`"),
        ("tree", "and was a directory"),
    ] {
        assert!(said(&taken).contains(name) && said(&taken).contains(told), "{name}: {}", said(&taken));
    }
    let project = scratch.project();
    assert!(!project.join("bare/config").exists() && !project.join("bare/hooks/post-commit").exists());
    assert!(read(&scratch, "package.json").unwrap().contains("mine") && project.join("tree/a").exists());
    // The control: the same where git sees no repository, and what is no symlink.
    assert!(read(&scratch, "plain/config").is_some() && read(&scratch, "plain/hooks/x").is_some(), "{}", said(&taken));
    assert!(read(&scratch, "other").is_some());
}

#[test]
fn what_a_run_closed_to_its_user_can_be_reviewed_and_taken() {
    need!(UserNamespaces);
    let scratch = project("mkdir -p d/e; echo x > d/e/f; chmod 0 d/e/f d/e d; echo y > g; chmod 0 g");
    run(overlaid(&scratch, ""));
    let taken = review(&scratch, &["--take"]);
    assert_eq!(taken.status.code(), Some(0), "{}", said(&taken));
    assert_eq!(read(&scratch, "d/e/f").as_deref(), Some("x\n"));
    assert_eq!(read(&scratch, "g").as_deref(), Some("y\n"));
}

#[test]
fn nothing_is_written_through_a_symlink_and_what_the_user_changed_meanwhile_is_not_lost() {
    need!(UserNamespaces);
    let scratch = project("echo new > tree/a; echo new > changed; echo x > sub/x");
    let outside = scratch.outside("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("a"), "mine\n").unwrap();
    std::fs::create_dir(scratch.project().join("sub")).unwrap();
    run(overlaid(&scratch, ""));
    std::thread::sleep(std::time::Duration::from_millis(20));
    // Meanwhile the directory became a link that leads out, and the user wrote a file.
    std::fs::remove_dir_all(scratch.project().join("tree")).unwrap();
    symlink(&outside, scratch.project().join("tree")).unwrap();
    scratch.file("changed", "the user's\n");
    let taken = review(&scratch, &["--take"]);
    assert!(said(&taken).contains("was changed since the run began"), "{}", said(&taken));
    assert_eq!(std::fs::read_to_string(outside.join("a")).unwrap(), "mine\n");
    assert_eq!(read(&scratch, "changed").as_deref(), Some("the user's\n"));
    assert_eq!(read(&scratch, "sub/x").as_deref(), Some("x\n"));
}

#[test]
fn guards_and_protected_names_hold_in_the_layer_and_a_repository_is_taken_whole() {
    need!(UserNamespaces, Program("git"));
    let script = "echo evil > .git/hooks/pre-commit; echo evil > .envrc
export GIT_AUTHOR_DATE='@0 +0000' GIT_COMMITTER_DATE='@0 +0000' GIT_CONFIG_NOSYSTEM=1
git -c user.name=a -c user.email=a@b commit -qm inside --allow-empty 2>&1; git log --format=%s";
    let scratch = project(script);
    let git = |words: &[&str]| {
        let mut command = scratch.command("git");
        let output = command.args(words).env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        out(&output)
    };
    git(&["init", "-q"]);
    git(&["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "outside", "--allow-empty"]);
    let output = run(overlaid(&scratch, "protect = \"strict\""));
    assert_eq!(out(&output), "inside\noutside\n", "{}", said(&output));
    assert_eq!(git(&["log", "--format=%s"]), "outside\n");
    let taken = review(&scratch, &["--take"]);
    assert_eq!(taken.status.code(), Some(0), "{}", said(&taken));
    assert_eq!(git(&["log", "--format=%s"]), "inside\noutside\n");
    assert!(read(&scratch, ".envrc").is_none() && read(&scratch, ".git/hooks/pre-commit").is_none());
}

#[test]
fn two_runs_do_not_share_a_layer_and_what_may_not_be_written_gets_none() {
    need!(UserNamespaces);
    let scratch = project("touch begun; while ! [ -e over ]; do sleep 0.05; done");
    let mut first = overlaid(&scratch, "").spawn().unwrap();
    let state = scratch.outside("state");
    let begun = || Command::new("find").arg(&state).args(["-name", "begun"]).output().unwrap();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while begun().stdout.is_empty() {
        assert!(std::time::Instant::now() < end, "it does not begin");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let second = run(overlaid(&scratch, ""));
    assert_eq!(second.status.code(), Some(125), "{}", said(&second));
    assert!(said(&second).contains("in use by another run"), "{}", said(&second));
    first.kill().unwrap();
    first.wait().unwrap();
    let listed = review(&scratch, &[]);
    assert!(out(&listed).contains("begun"), "what an interrupted run changed waits: {}", said(&listed));
}
