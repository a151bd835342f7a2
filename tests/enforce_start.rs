//! What an enforced run begins with: which profile runs for which command, what is said before, and what is made of a home
//! that is not as it was.

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

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Output;

use common::enforced::{enforced, enforced_with, natively, out, project, run};
use common::scratch::{Scratch, said, text};

/// A project whose script was learned and approved.
fn learned(script: &str) -> Scratch {
    let scratch = project(script);
    let output = scratch.learn(&["sh", "script.sh"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    scratch
}

/// pinfold refused before the command started, and said how to go on.
fn is_refused(scratch: &Scratch, output: &Output, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.lines().any(|line| line.starts_with("hint: ")), "{said}");
    for word in words {
        assert!(said.contains(word), "no `{word}` in: {said}");
    }
    assert!(!scratch.project().join("ran").exists(), "it ran: {said}");
}

#[test]
fn a_profile_that_nobody_approved_does_not_run() {
    need!(UserNamespaces);
    let scratch = learned("touch ran");
    std::fs::remove_file(scratch.project().join("ran")).unwrap();
    let output = scratch.enforce(&["sh", "script.sh"]);
    assert!(scratch.project().join("ran").exists(), "the control: approved, it runs: {}", said(&output));
    std::fs::remove_file(scratch.project().join("ran")).unwrap();
    // Another machine: the file is there, the approval is not.
    std::fs::remove_dir_all(scratch.state()).unwrap();
    is_refused(&scratch, &scratch.enforce(&["sh", "script.sh"]), &["approve"]);
}

#[test]
fn a_profile_that_was_widened_since_it_was_approved_does_not_run_and_the_difference_is_shown() {
    need!(UserNamespaces);
    let scratch = learned("touch ran");
    std::fs::remove_file(scratch.project().join("ran")).unwrap();
    let profile = std::fs::read_to_string(scratch.profile()).unwrap();
    let widened = profile.replacen("[filesystem]\n", "[filesystem]\n\"/var/log\" = \"read\"\n", 1);
    std::fs::write(scratch.profile(), &widened).unwrap();
    is_refused(&scratch, &scratch.enforce(&["sh", "script.sh"]), &["/var/log", "approve"]);
    // A comment is no change of meaning.
    std::fs::write(scratch.profile(), format!("# read it twice\n{profile}")).unwrap();
    let output = scratch.enforce(&["sh", "script.sh"]);
    assert!(scratch.project().join("ran").exists(), "{}", said(&output));
}

#[test]
fn a_digest_given_by_hand_must_be_that_of_the_profile() {
    need!(UserNamespaces);
    let scratch = learned("touch ran");
    std::fs::remove_file(scratch.project().join("ran")).unwrap();
    std::fs::remove_dir_all(scratch.state()).unwrap();
    let wrong = format!("sha256:{}", "0".repeat(64));
    let output = run(scratch.pinfold(&["enforce", "--accept-digest", &wrong, "--", "sh", "script.sh"]));
    is_refused(&scratch, &output, &["digest"]);
}

#[test]
fn another_program_does_not_fall_under_the_profile_of_the_first() {
    need!(UserNamespaces);
    let scratch = learned("touch ran");
    std::fs::remove_file(scratch.project().join("ran")).unwrap();
    scratch.file("other.sh", "touch ran");
    let profile = scratch.profile();
    let output = run(scratch.pinfold(&["enforce", "--profile", text(&profile), "--", "sh", "other.sh"]));
    is_refused(&scratch, &output, &["script.sh", "other.sh"]);
    // By its own name it has no profile at all.
    is_refused(&scratch, &scratch.enforce(&["sh", "other.sh"]), &["no profile"]);
}

#[test]
fn another_program_behind_the_same_launcher_and_its_options_is_another() {
    need!(UserNamespaces);
    let commands = [
        "npx A",
        "npx -p package A",
        "npx --package package A",
        "python3 A",
        "python3 -W ignore A",
        "python3 -X dev -u A",
        "node -r ./hook.js A",
        "node --require ./hook.js A",
        "perl -I lib A",
        "java -cp lib.jar A",
        "env -u NAME python3 A",
        "env -C . --unset NAME python3 A",
        "timeout -s KILL 5 python3 A",
        "nice -n 5 python3 A",
    ];
    let scratch = Scratch::new("launchers");
    let path = format!("{}:/usr/bin:/bin", text(&scratch.project().join("bin")));
    let scratch = scratch.with("PATH", &path);
    for launcher in ["npx", "python3", "node", "perl", "java"] {
        let program = scratch.file(&format!("bin/{launcher}"), "#!/bin/sh\necho ran\n");
        std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    for name in ["one", "two"] {
        scratch.file(name, "");
    }
    let mut alike = vec![];
    for command in commands {
        let words = |name: &str| command.replace('A', name).split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (one, two) = (words("one"), words("two"));
        let (one, two): (Vec<&str>, Vec<&str>) =
            (one.iter().map(|w| &**w).collect(), two.iter().map(|w| &**w).collect());
        scratch.learn(&one);
        let profile = scratch.profile();
        let under = |words: &[&str]| {
            run({
                let mut command = scratch.pinfold(&["enforce", "--profile", text(&profile), "--"]);
                command.args(words);
                command
            })
        };
        let first = under(&one);
        assert_eq!(out(&first), "ran\n", "the control: {command}: {}", said(&first));
        let second = under(&two);
        if second.status.code() != Some(125) || !out(&second).is_empty() {
            alike.push(command);
        }
        std::fs::remove_file(profile).unwrap();
    }
    assert!(alike.is_empty(), "the second program ran under the profile of the first: {alike:?}");
}

#[test]
fn a_dry_run_prints_the_plan_and_starts_nothing() {
    need!(UserNamespaces);
    let scratch = learned("touch ran; cat /etc/passwd > /dev/null");
    std::fs::remove_file(scratch.project().join("ran")).unwrap();
    let output = run(scratch.pinfold(&["enforce", "--dry-run", "--", "sh", "script.sh"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let plan = out(&output);
    let project = scratch.project();
    for line in [format!("write        {}", project.display()), "read         /etc/passwd".to_owned()] {
        assert!(plan.lines().any(|other| other == line), "no `{line}` in:\n{plan}");
    }
    assert!(plan.lines().any(|line| line.starts_with("network      none")), "{plan}");
    let output = run(scratch.pinfold(&["enforce", "--dry-run", "--explain", "--", "sh", "script.sh"]));
    let explained = out(&output);
    let line = "read         /etc/passwd  # \"@identity\" = \"read\"";
    assert!(explained.lines().any(|other| other == line), "no `{line}` in:\n{explained}");
    assert!(!project.join("ran").exists());
}

#[test]
fn a_writable_directory_is_made_again_on_a_fresh_home_and_a_missing_read_is_told() {
    need!(UserNamespaces);
    let scratch = project("mkdir -p ~/.tool/cache; cat ~/.toolrc 2>/dev/null; echo kept > ~/.tool/cache/x");
    let lines = "\"~/.tool\" = \"write\"\n\"~/.toolrc\" = \"read\"\n";
    let mut command = enforced_with(&scratch, lines, "", "");
    command.env("KEPT", "");
    let output = run(command);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let home = scratch.home();
    assert_eq!(std::fs::read_to_string(home.join(".tool/cache/x")).unwrap(), "kept\n");
    assert_eq!(home.join(".tool").metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert!(!home.join(".toolrc").exists());
    let report = scratch.report("enforce");
    assert!(report["withheld"].to_string().contains(".toolrc"), "{report}");
}

#[test]
fn a_grant_behind_a_symlink_is_where_the_program_looks_for_it() {
    need!(UserNamespaces);
    let script = "cat ~/.config/tool/rc; readlink ~/.config/tool";
    let scratch = project(script);
    scratch.home_file("dotfiles/tool/rc", "settings\n");
    std::fs::create_dir_all(scratch.home().join(".config")).unwrap();
    symlink("../dotfiles/tool", scratch.home().join(".config/tool")).unwrap();
    let native = out(&run(natively(&scratch)));
    assert_eq!(native, "settings\n../dotfiles/tool\n");
    let learned = scratch.learn(&["sh", "script.sh"]);
    assert_eq!(out(&learned), native, "{}", said(&learned));
    let enforced = scratch.enforce(&["sh", "script.sh"]);
    assert_eq!(out(&enforced), native, "{}", said(&enforced));
}

#[test]
fn the_user_is_the_callers_inside() {
    need!(UserNamespaces);
    let scratch = project("id -u; id -g; stat -c %u script.sh");
    let native = out(&run(natively(&scratch)));
    let output = run(enforced(&scratch));
    assert_eq!(out(&output), native, "{}", said(&output));
}

/// Who takes part in a start runs on one processor until it is done.
#[test]
fn the_command_may_run_on_the_processors_of_its_caller_and_so_may_pinfold_when_it_does() {
    need!(UserNamespaces);
    let processors = "grep Cpus_allowed: /proc/self/status";
    let script = format!(
        "{processors}; sh -c '{processors}; true'; for n in 1 2 3 4; do test -e /nothing-$n; done; read end; true"
    );
    for pinned in [false, true] {
        let scratch = project(&script);
        let command = enforced(&scratch);
        let on = |command: &std::process::Command| {
            let mut shell = scratch.command("sh");
            let pin = if pinned { "taskset -p -c 0 $$ >/dev/null; " } else { "" };
            shell.args(["-c", &format!("{pin}{processors}; exec \"$@\""), "sh"]);
            shell.arg(command.get_program()).args(command.get_args());
            shell
        };
        let mut child =
            on(&command).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let [outside, inside, below] = [(); 3].map(|()| lines.next().unwrap().unwrap());
        assert_eq!((&inside, &below), (&outside, &outside), "pinned: {pinned}");
        let begun = std::time::Instant::now();
        loop {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().flatten();
            let may = |task: std::fs::DirEntry| {
                let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
                status.lines().find(|line| line.starts_with("Cpus_allowed:")).is_none_or(|line| line == outside)
            };
            // A thread that serves goes free with the first thing that it is asked, and one of them may have had nothing to do.
            if tasks.map(may).filter(|free| !free).count() <= 1 {
                break;
            }
            assert!(begun.elapsed().as_secs() < 30, "pinfold itself is bound");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn the_keys_of_the_login_are_not_seen() {
    need!(UserNamespaces);
    // In its own session keyring, so that nothing of the caller's is touched.
    let with_key = |command: &std::process::Command, scratch: &Scratch| {
        let mut outer = scratch.command(env!("CARGO_BIN_EXE_tracee"));
        outer.args(["with-key", "pinfold-test-key"]).arg(command.get_program()).args(command.get_args());
        outer
    };
    let scratch = project("grep -c pinfold-test-key /proc/keys; ./tracee find-key pinfold-test-key; echo $?");
    let native = run(with_key(&natively(&scratch), &scratch));
    if !std::path::Path::new("/proc/keys").exists() {
        // A kernel without keyrings.
        assert_eq!(out(&native), "38\n", "{}", said(&native));
        return;
    }
    let counted = out(&native);
    assert!(counted.ends_with("\n0\n") && !counted.starts_with("0\n"), "the control failed: {}", said(&native));
    // keyctl itself is granted: the key must not be there.
    let allowed = "\"keyctl\"]\napproved = [\"keyctl\"";
    let output = run(with_key(&enforced_with(&scratch, "", allowed, ""), &scratch));
    assert_eq!(out(&output), "0\n126\n", "{}", said(&output));
}

#[test]
fn the_hosts_network_is_there_by_its_line_alone_and_each_start_says_so() {
    need!(UserNamespaces);
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let scratch = project(&format!("./tracee tcp {}; echo $?", tcp.local_addr().unwrap()));
    let calls = "\"connect\", \"socket\"";
    let socket = "[syscalls.arguments]\nsocket = [\"inet stream\"]\n";
    let line =
        |approved| format!("{socket}[network]\n\"@host\" = {{ access = \"unconfined\", approved = {approved} }}\n");
    let withheld = run(enforced_with(&scratch, "", calls, &line(false)));
    assert_eq!(out(&withheld), "111\n", "{}", said(&withheld));
    assert!(!said(&withheld).contains("unconfined: any host"), "{}", said(&withheld));
    for _ in 0..2 {
        // Quiet or not: this is said.
        let granted = run(enforced_with(&scratch, "", calls, &line(true)));
        assert_eq!(out(&granted), "0\n", "{}", said(&granted));
        assert!(said(&granted).contains("unconfined: any host"), "{}", said(&granted));
    }
}

/// The `allow`, `approved` and argument lists of a refusal's hint.
fn lists(remedy: &str) -> (String, String) {
    let (mut section, mut allow, mut approved, mut arguments) = (String::new(), vec![], vec![], vec![]);
    for line in remedy.split("; ").filter(|line| line.contains(" = [")) {
        let (mut key, value) = line.split_once(" = ").unwrap();
        if let Some((name, rest)) = key.split_once("] ") {
            section = format!("{name}]");
            key = rest;
        }
        let words = value.strip_prefix('[').and_then(|value| value.strip_suffix(']')).unwrap().to_owned();
        match (section.as_str(), key) {
            ("[syscalls]", "allow") => allow.push(words),
            ("[syscalls]", "approved") => approved.push(words),
            ("[syscalls.arguments]", call) => arguments.push(format!("{call} = [{words}]\n")),
            other => panic!("{other:?} in {remedy}"),
        }
    }
    // `enforced_with` closes the list of what is allowed: the approved one follows it.
    (
        format!("{}]\napproved = [{}", allow.join(", "), approved.join(", ")),
        format!("[syscalls.arguments]\n{}", arguments.concat()),
    )
}

#[test]
fn the_lines_that_a_refusal_names_do_allow_it() {
    if cfg!(not(target_arch = "x86_64")) {
        return;
    }
    need!(UserNamespaces);
    // ptrace(PTRACE_TRACEME), keyctl(KEYCTL_GET_KEYRING_ID), socket(AF_UNIX, SOCK_DGRAM), socket(AF_NETLINK, SOCK_RAW).
    for (call, words) in
        [("ptrace", "101 0"), ("keyctl", "250 0 -4 1"), ("socket", "41 1 2 0"), ("socket", "41 16 3 0")]
    {
        let scratch = project(&format!("./tracee errno {words}; echo $?"));
        let refused = run(enforced(&scratch));
        assert_ne!(out(&refused), "0\n", "{}", said(&refused));
        let report = scratch.report("enforce");
        let remedy = report["denials"][0]["remedy"].as_str().unwrap_or_else(|| panic!("{report}")).to_owned();
        assert!(said(&refused).contains(&remedy), "not on the screen: {}", said(&refused));
        let (allow, sections) = lists(&remedy);
        let allowed = run(enforced_with(&scratch, "", &allow, &sections));
        assert_eq!(out(&allowed), "0\n", "{call} with {remedy}: {}", said(&allowed));
        assert_eq!(scratch.report("enforce")["denials"], serde_json::json!([]), "{}", said(&allowed));
    }
}

#[test]
fn a_pinfold_within_pinfold_is_refused_by_name() {
    need!(UserNamespaces);
    let scratch = project("");
    let pinfold = env!("CARGO_BIN_EXE_pinfold");
    scratch.file("script.sh", &format!("{pinfold} learn --accept-learned=all -- /usr/bin/true"));
    let lines = format!("\"{pinfold}\" = \"read\"\n");
    let mut command = enforced_with(&scratch, &lines, "", "");
    command.env("KEPT", "");
    let output = run(command);
    assert_eq!(output.status.code(), Some(125), "{}", said(&output));
    let said = said(&output);
    assert!(said.contains("already inside a sandbox of pinfold"), "{said}");
}

#[test]
fn root_can_run_a_command_as_the_owner_of_the_project() {
    need!(UserNamespaces, Root);
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let mut others = accounts.lines().map(fields).filter(|account| {
        let home = std::path::Path::new(&account[5]);
        account[2] != "0" && home.is_dir() && home.components().count() > 2 && !home.starts_with("/usr")
    });
    let account = others.next_back().expect("an account of somebody else with a home directory");
    let (name, uid, home) = (&account[0], &account[2], &account[5]);
    // Below /root nobody else finds the project.
    let scratch = Scratch::anywhere("/tmp", "as-owner");
    let script = "id -u; echo \"$HOME\"; touch made; stat -c %u made; test -w /etc/passwd; echo $?";
    std::fs::write(scratch.project().join("script.sh"), script).unwrap();
    let everything = [scratch.outside("."), scratch.outside("home"), scratch.outside("home/src"), scratch.project()];
    for place in everything.into_iter().chain([scratch.project().join("script.sh")]) {
        std::os::unix::fs::chown(place, Some(uid.parse().unwrap()), None).unwrap();
    }
    let ask = |flags: &[&str]| {
        let with = enforced(&scratch);
        let mut command = scratch.command(with.get_program());
        let words: Vec<_> = with.get_args().collect();
        let (verb, rest) = words.split_first().unwrap();
        // The report is written by who runs it, and its place is root's.
        let at = rest.iter().position(|word| *word == "--report").unwrap();
        command.arg(verb).args(flags).args(&rest[..at]).args(&rest[at + 2..]);
        run(command)
    };
    let as_root = ask(&[]);
    assert!(out(&as_root).starts_with("0\n"), "the control: {}", said(&as_root));
    let as_owner = ask(&["--as-owner"]);
    assert_eq!(out(&as_owner), format!("{uid}\n{home}\n{uid}\n1\n"), "{name}: {}", said(&as_owner));
}

#[test]
fn who_is_not_root_becomes_nobody_else() {
    need!(UserNamespaces, OrdinaryUser);
    let scratch = project("touch ran");
    let output = run(scratch.pinfold(&["enforce", "--as-owner", "--project", "/usr/lib", "--", "sh", "script.sh"]));
    assert_eq!(output.status.code(), Some(125), "{}", said(&output));
    let mut command = scratch.pinfold(&["enforce", "--as-owner", "--project", "/usr/lib", "--", "sh"]);
    let output = run({
        command.current_dir("/usr/lib");
        command
    });
    assert!(said(&output).contains("belongs to the user 0") && said(&output).contains("hint: "), "{}", said(&output));
}
