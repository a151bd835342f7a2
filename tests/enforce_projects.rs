//! Projects as they lie about: on other mounts, behind symlinks, as worktrees, to be read alone, with several runs at a time.

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

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use common::enforced::{SYSTEM, enforced, enforced_with, natively, out, project, run};
use common::scratch::{Scratch, said, text};
use pinfold::profile::{digest::digest, parse::parse};

/// `command` with `more` words at its end, and a profile and report of this name of its own.
fn named(scratch: &Scratch, command: &Command, name: &str, more: &[&str]) -> Command {
    let own = |ending: &str| scratch.outside(&format!("{name}.{ending}"));
    std::fs::copy(scratch.outside("profile.toml"), own("toml")).unwrap();
    let mut other = scratch.command(command.get_program());
    for word in command.get_args() {
        match Path::new(word) {
            place if place == scratch.outside("profile.toml") => other.arg(own("toml")),
            place if place == scratch.outside("enforce.json") => other.arg(own("json")),
            _ => other.arg(word),
        };
    }
    other.args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    other
}

#[test]
fn runs_at_a_time_in_one_project_keep_to_their_own_profiles() {
    need!(UserNamespaces);
    // Each waits for the other: they do run at the same time.
    let script = ": > here-$1; while ! test -e here-$2; do sleep 0.05; done; cat ../../../granted 2>/dev/null || echo none; \
                  ls /proc | grep -c '^[0-9]' > processes-$1; : > there-$1; while ! test -e there-$2; do sleep 0.05; done";
    let scratch = project(script);
    std::fs::write(scratch.outside("granted"), "granted\n").unwrap();
    let granted = format!("\"{}\" = \"read\"\n", text(&scratch.outside("granted")));
    for (lines, expected) in
        [([granted.as_str(), ""], ["granted\n", "none\n"]), ([&granted, &granted], ["granted\n"; 2])]
    {
        for name in ["here-one", "here-two", "there-one", "there-two"] {
            std::fs::remove_file(scratch.project().join(name)).ok();
        }
        let words = [["one", "two"], ["two", "one"]];
        let start = |(lines, words): (&str, [&str; 2])| {
            let command = enforced_with(&scratch, lines, "", "");
            named(&scratch, &command, words[0], &words).spawn().unwrap()
        };
        let started: Vec<_> = lines.into_iter().zip(words).map(start).collect();
        for (child, expected) in started.into_iter().zip(expected) {
            let output = child.wait_with_output().unwrap();
            assert_eq!((out(&output).as_str(), output.status.code()), (expected, Some(0)), "{}", said(&output));
        }
        for name in ["one", "two"] {
            // init, the shell, and of the pipe what is still there: none of the other run's.
            let seen = std::fs::read_to_string(scratch.project().join(format!("processes-{name}"))).unwrap();
            assert!(seen.trim().parse::<u32>().unwrap() <= 5, "{seen}");
        }
    }
}

#[test]
fn a_worktree_is_a_project_and_its_repositorys_hooks_stay_as_they_are() {
    need!(UserNamespaces, Program("git"));
    let scratch = Scratch::beside_home("worktree");
    let main = scratch.home().join("src/main");
    std::fs::remove_dir(scratch.project()).unwrap();
    let git = "git -c user.name=a -c user.email=a@b.example -c commit.gpgsign=false";
    let setup = format!(
        "git init -q {main} && cd {main} && {git} commit -q --allow-empty -m first && echo 'exit 0' > .git/hooks/post-commit && \
         chmod +x .git/hooks/post-commit && git worktree add -q ../project",
        main = text(&main)
    );
    let made = scratch.command("sh").args(["-c", &setup]).current_dir(scratch.home()).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let plant = "hooks=$(git rev-parse --git-common-dir)/hooks; { echo planted > $hooks/post-commit; } 2>/dev/null; read -r line < $hooks/post-commit; echo $line";
    let commit =
        format!("echo x >> f; git add f; {git} commit -qm \"$1\"; git log --format=%s -1; git status --short; ");
    scratch.file("script.sh", &format!("{commit} test -z \"$2\" || {{ {plant}; }}"));
    scratch.file(".gitignore", "script.sh\n.gitignore\ngenerated-profiles\n");
    let learned = scratch.learn(&["sh", "script.sh", "learned"]);
    assert_eq!(out(&learned), "learned\n", "{}", said(&learned));
    let within = scratch.enforce(&["sh", "script.sh", "enforced"]);
    assert_eq!(out(&within), "enforced\n", "{}", said(&within));
    assert_eq!(scratch.report("enforce")["denials"], serde_json::json!([]), "{}", said(&within));
    let hostile = scratch.enforce(&["sh", "script.sh", "hostile", "plant"]);
    assert_eq!(out(&hostile), "hostile\nexit 0\n", "{}", said(&hostile));
    let native = run({
        let mut command = scratch.command("sh");
        command.args(["script.sh", "native", "plant"]);
        command
    });
    assert_eq!(out(&native), "native\nplanted\n", "the control failed: {}", said(&native));
}

#[test]
fn other_file_systems_within_are_what_the_line_above_them_says() {
    need!(UserNamespaces, Program("setpriv"));
    let script = "echo made > new; echo made > inner/new && cat inner/new; echo made > \"$KEPT/sub/new\"; echo $?; cat \"$KEPT/sub/old\"";
    let scratch = project(script);
    let granted = scratch.outside("granted");
    std::fs::create_dir_all(granted.join("sub")).unwrap();
    let place = |command: &Command| {
        let mount = "mount -t tmpfs none . && cd \"$PWD\" && cp -a ../kept/. . && mkdir inner && mount -t tmpfs none inner && \
                     mount -t tmpfs none \"$KEPT/sub\" && echo old > \"$KEPT/sub/old\" && exec \"$@\"";
        let mut outer = scratch.command("unshare");
        outer.args(["--user", "--map-current-user", "--keep-caps", "--mount", "sh", "-c", mount, "sh", "setpriv"]);
        outer.args(["--ambient-caps=-all", "--inh-caps=-all"]).arg(command.get_program()).args(command.get_args());
        run({
            outer.env("KEPT", &granted);
            outer
        })
    };
    let kept = scratch.project().with_file_name("kept");
    let copied = Command::new("cp").arg("-a").args([&scratch.project(), &kept]).status().unwrap();
    assert!(copied.success());
    let native = place(&natively(&scratch));
    assert_eq!(out(&native), "made\n0\nold\n", "the control failed: {}", said(&native));
    let within = place(&enforced_with(&scratch, &format!("\"{}\" = \"read\"\n", text(&granted)), "", ""));
    assert_eq!(out(&within), "made\n2\nold\n", "{}", said(&within));
}

#[test]
fn a_project_is_the_same_behind_a_symlink() {
    need!(UserNamespaces);
    let scratch = project("pwd -P; cat \"$KEPT/script.sh\" >/dev/null && echo seen; echo made > made");
    let link = scratch.home().join("link");
    symlink(scratch.project(), &link).unwrap();
    for with in [natively(&scratch), enforced(&scratch)] {
        let output = run({
            let mut command = scratch.command(with.get_program());
            // The link itself is not granted: what is behind it has its real name inside.
            command.args(with.get_args()).current_dir(&link).env("PWD", &link).env("KEPT", scratch.project());
            command
        });
        assert_eq!(out(&output), format!("{}\nseen\n", text(&scratch.project())), "{}", said(&output));
        std::fs::remove_file(scratch.project().join("made")).unwrap();
    }
}

#[test]
fn a_project_that_is_granted_to_be_read_is_not_written() {
    need!(UserNamespaces);
    let scratch = project("cat note; echo more >> note; echo $?; touch new; echo $?; chmod 600 note; echo $?");
    scratch.file("note", "words\n");
    assert_eq!(out(&run(natively(&scratch))), "words\n0\n0\n0\n");
    scratch.file("note", "words\n");
    std::fs::remove_file(scratch.project().join("new")).unwrap();
    let system: String = SYSTEM.iter().map(|place| format!("\"{place}\" = \"read\"\n")).collect();
    let profile = format!(
        "schema = 1\nname = \"t\"\ncommand = [\"sh\", \"$PROJECT/script.sh\"]\n\n[filesystem]\n\"$PROJECT\" = \"read\"\n{system}\
         [syscalls]\nbase = 1\n[environment]\npass = [\"PATH\"]\n"
    );
    let path = scratch.outside("read-only.toml");
    std::fs::write(&path, &profile).unwrap();
    let accepted = digest(&parse(&profile).unwrap()).to_string();
    let words = ["enforce", "--profile", text(&path), "--accept-digest", &accepted, "--", "sh", "script.sh"];
    let within = run(scratch.pinfold(&words));
    assert_eq!(out(&within), "words\n2\n1\n1\n", "{}", said(&within));
    assert_eq!(std::fs::read_to_string(scratch.project().join("note")).unwrap(), "words\n");
    assert!(!scratch.project().join("new").exists());
}

#[test]
fn a_working_directory_that_was_removed_is_refused_in_words() {
    need!(UserNamespaces);
    let scratch = project("touch ran");
    let gone = scratch.project().join("gone");
    std::fs::create_dir(&gone).unwrap();
    let command = enforced(&scratch);
    let mut shell = scratch.command("sh");
    shell.args(["-c", "rmdir ../gone; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
    let output = run({
        shell.current_dir(&gone);
        shell
    });
    assert_eq!(output.status.code(), Some(125), "{}", said(&output));
    assert!(said(&output).contains("working directory") && said(&output).contains("hint: "), "{}", said(&output));
}

#[test]
fn a_project_may_have_every_byte_in_its_path() {
    need!(UserNamespaces);
    let scratch = Scratch::new("bytes");
    let name: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
    // A name has at most 255 bytes, and this is one of 254.
    let odd = scratch.home().join(std::ffi::OsStr::from_bytes(&name));
    std::fs::create_dir(&odd).unwrap();
    std::fs::write(odd.join("script.sh"), "cat note; echo made > made").unwrap();
    std::fs::write(odd.join("note"), "words\n").unwrap();
    let ask = |words: &[&str]| {
        run({
            let mut command = scratch.pinfold(words);
            command.current_dir(&odd);
            command
        })
    };
    let learned = ask(&["learn", "--accept-learned=all", "--", "sh", "script.sh"]);
    assert_eq!(out(&learned), "words\n", "{}", said(&learned));
    std::fs::remove_file(odd.join("made")).unwrap();
    let within = ask(&["enforce", "--", "sh", "script.sh"]);
    assert_eq!((out(&within).as_str(), within.status.code()), ("words\n", Some(0)), "{}", said(&within));
    assert_eq!(std::fs::read_to_string(odd.join("made")).unwrap(), "made\n");
}

#[test]
fn ssh_reads_its_included_configuration_as_an_ordinary_user() {
    need!(UserNamespaces, Root, Program("ssh"), Program("setpriv"));
    if !Path::new("/etc/ssh/ssh_config.d").is_dir() {
        return;
    }
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let of_somebody = |account: &Vec<String>| account[2].parse::<u32>().is_ok_and(|uid| (1000..60_000).contains(&uid));
    let account = accounts.lines().map(fields).rfind(of_somebody).expect("an account of an ordinary user");
    let scratch = Scratch::anywhere("/tmp", "ssh");
    std::fs::write(scratch.project().join("script.sh"), "ssh -G host.example | grep -e '^port ' -e '^user '").unwrap();
    let owner = format!("{}:{}", account[2], account[3]);
    let owned = Command::new("chown").args(["-R", &owner]).arg(scratch.outside(".")).status().unwrap();
    assert!(owned.success());
    let ask = |command: &Command| {
        // One as distributions link it, one that is there, and one of somebody else's, which nobody gets to see.
        let place = "mount -t tmpfs -o mode=755 none /etc/ssh/ssh_config.d && cd /etc/ssh/ssh_config.d && \
                     printf 'Host host.example\\n Port 2222\\n' > own.conf && ln -s ../ssh_config.d/real linked.conf && \
                     printf 'Host host.example\\n User linked\\n' > real && cd \"$OLDPWD\" && exec \"$@\"";
        let mut outer = scratch.command("unshare");
        outer.args(["--mount", "sh", "-c", place, "sh", "setpriv", "--reuid", &account[2], "--regid", &account[3]]);
        outer.args(["--clear-groups"]).arg(command.get_program()).args(command.get_args());
        run(outer)
    };
    let native = ask(&natively(&scratch));
    assert_eq!(out(&native), "user linked\nport 2222\n", "the control failed: {}", said(&native));
    for line in
        ["\"/etc/ssh\" = \"read\"\n", "\"/etc/ssh/ssh_config\" = \"read\"\n\"/etc/ssh/ssh_config.d\" = \"read\"\n"]
    {
        let calls = "\"socket\", \"connect\", \"getsockname\", \"getpeername\"";
        let lines = format!("\"/etc/passwd\" = \"read\"\n\"/etc/nsswitch.conf\" = \"read\"\n{line}");
        let command = enforced_with(&scratch, &lines, calls, "");
        std::fs::remove_file(scratch.outside("enforce.json")).ok();
        let within = ask(&command);
        assert_eq!(out(&within), "user linked\nport 2222\n", "{}", said(&within));
    }
}

#[test]
fn further_projects_keep_their_hooks_and_tasks_as_the_first_does() {
    need!(UserNamespaces);
    let script = "cd ../further; for name in .git/hooks/pre-commit sub/.vscode/tasks.json sub/.vscode/launch.json note; do \
                  { echo planted > $name; } 2>/dev/null; done; cat .git/hooks/pre-commit sub/.vscode/tasks.json note; \
                  ls sub/.vscode";
    let line = "\"~/src/further\" = \"write\"\n";
    let seen = |run_in: &dyn Fn(&Scratch) -> Command| {
        let scratch = project(script);
        for name in [".git/hooks/pre-commit", "sub/.vscode/tasks.json", "note"] {
            scratch.home_file(&format!("src/further/{name}"), "mine\n");
        }
        let output = run(run_in(&scratch));
        (out(&output), said(&output))
    };
    let (native, said) = seen(&natively);
    assert_eq!(native, "planted\nplanted\nplanted\nlaunch.json\ntasks.json\n", "the control failed: {said}");
    let (scan, said) = seen(&|scratch| enforced_with(scratch, line, "", ""));
    assert_eq!(scan, "mine\nmine\nplanted\nlaunch.json\ntasks.json\n", "{said}");
    let strict = |scratch: &Scratch| {
        let command = enforced_with(scratch, line, "", "");
        let path = scratch.outside("profile.toml");
        let profile =
            std::fs::read_to_string(&path).unwrap().replacen("\n\n[file", "\nprotect = \"strict\"\n\n[file", 1);
        std::fs::write(&path, &profile).unwrap();
        let accepted = digest(&parse(&profile).unwrap()).to_string();
        let mut strict = scratch.command(command.get_program());
        let words: Vec<_> = command.get_args().collect();
        let at = words.iter().position(|word| *word == "--accept-digest").unwrap();
        strict.args(&words[..=at]).arg(accepted).args(&words[at + 2..]);
        strict
    };
    let (strict, said) = seen(&strict);
    assert_eq!(strict, "mine\nmine\nplanted\ntasks.json\n", "{said}");
}
