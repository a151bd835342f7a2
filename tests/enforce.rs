//! What an enforced run keeps, and what it keeps out: each attack succeeds without pinfold (the control) and fails inside.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};

use common::enforced::{enforced, enforced_with, natively, out, project, run};
use common::scratch::{Scratch, said, text};
use pinfold::profile::{digest::digest, parse::parse};

/// Runs `script` with and without the sandbox and compares what it prints.
fn prints(script: &str, without: &str, within: &str) {
    need!(UserNamespaces);
    let scratch = project(script);
    let native = run(natively(&scratch));
    assert_eq!(out(&native).trim(), without, "the control failed: {}", said(&native));
    let output = run(enforced(&scratch));
    assert_eq!(out(&output).trim(), within, "{}", said(&output));
}

#[test]
fn the_code_and_the_signal_of_the_end_are_kept() {
    need!(UserNamespaces);
    for (script, code) in [("exit 42", 42), ("kill -SEGV $$", 139), ("kill -KILL $$", 137), ("exit 0", 0)] {
        let scratch = project(script);
        let output = run(enforced(&scratch));
        assert_eq!(output.status.code(), Some(code), "{script}: {}", said(&output));
    }
}

#[test]
fn the_input_the_limit_of_descriptors_and_ignored_signals_are_the_callers() {
    need!(UserNamespaces);
    let scratch = project("cat; ulimit -Sn; ulimit -Hn; kill -HUP $$; echo alive");
    let prefix = |command: &Command| {
        let mut shell = scratch.command("sh");
        shell.args(["-c", "trap '' HUP; ulimit -Sn 200; exec \"$@\"", "sh"]);
        shell.arg(command.get_program()).args(command.get_args());
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        shell
    };
    let ask = |mut command: Command| {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"spoken\n").unwrap();
        child.wait_with_output().unwrap()
    };
    let native = ask(prefix(&natively(&scratch)));
    assert!(out(&native).starts_with("spoken\n200\n") && out(&native).ends_with("alive\n"), "{}", said(&native));
    let inside = ask(prefix(&enforced(&scratch)));
    assert_eq!(out(&inside), out(&native), "{}", said(&inside));
}

#[test]
fn a_program_that_is_not_granted_is_127_and_nothing_ran() {
    need!(UserNamespaces);
    let scratch = project("echo ran");
    let profile = "schema = 1\nname = \"t\"\ncommand = [\"sh\", \"$PROJECT/script.sh\"]\n\n[syscalls]\nbase = 1\n";
    let path = scratch.outside("profile.toml");
    std::fs::write(&path, profile).unwrap();
    let accepted = digest(&parse(profile).unwrap()).to_string();
    let words = ["enforce", "--profile", text(&path), "--accept-digest", &accepted, "--", "sh", "script.sh"];
    let output = run(scratch.pinfold(&words));
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(127), ""), "{}", said(&output));
}

#[test]
fn variables_that_are_not_named_are_dropped_and_stand_nowhere_in_proc() {
    need!(UserNamespaces);
    let scratch = project("echo $KEPT$DROPPED; cat /proc/1/environ /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'");
    let with = |mut command: Command| {
        run({
            command.env("KEPT", "kept").env("DROPPED", "dropped");
            command
        })
    };
    assert!(out(&with(natively(&scratch))).contains("keptdropped\n"));
    let inside = with(enforced(&scratch));
    assert!(out(&inside).starts_with("kept\n"), "{}", said(&inside));
    assert!(!out(&inside).contains("dropped"), "{}", said(&inside));
}

#[test]
fn a_descriptor_that_was_left_open_is_not_inherited() {
    need!(UserNamespaces);
    let scratch = project("cat <&7");
    std::fs::write(scratch.outside("secret"), "secret").unwrap();
    let leaky = |command: Command| {
        let mut shell = scratch.command("sh");
        shell.args(["-c", "exec 7<\"$0\"; exec \"$@\"", text(&scratch.outside("secret"))]);
        run({
            shell.arg(command.get_program()).args(command.get_args());
            shell
        })
    };
    assert_eq!(out(&leaky(natively(&scratch))), "secret");
    assert_eq!(out(&leaky(enforced(&scratch))), "");
}

#[test]
fn no_capability_is_left_even_to_root_and_none_can_be_gained() {
    need!(UserNamespaces);
    let scratch = project("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status");
    let output = run(enforced(&scratch));
    let lines = out(&output);
    let capabilities: Vec<&str> = lines.lines().filter(|line| line.starts_with("Cap")).collect();
    assert_eq!(capabilities.len(), 5, "{}", said(&output));
    assert!(capabilities.iter().all(|line| line.ends_with("0000000000000000")), "{lines}");
    assert!(lines.contains("NoNewPrivs:\t1") && lines.contains("Seccomp:\t2"), "{lines}");
}

#[test]
fn what_is_not_granted_does_not_exist() {
    need!(UserNamespaces);
    let scratch = project("cat ~/secret ../secret /etc/passwd; cd ..; ls -A; ls -A / | tr '\\n' ' '");
    scratch.home_file("secret", "secret");
    scratch.home_file("src/secret", "secret");
    assert!(out(&run(natively(&scratch))).contains("secretsecretroot:"));
    let output = run(enforced(&scratch));
    let text = out(&output);
    assert!(!text.contains("secret") && !text.contains("root:"), "{}", said(&output));
    assert!(text.starts_with("project\nbin dev etc "), "{}", said(&output));
}

#[test]
fn nothing_in_proc_outside_of_processes_can_be_written() {
    need!(UserNamespaces);
    let find = "find /proc -maxdepth 6 -path '/proc/[0-9]*' -prune -o -type f -writable -exec test -f {} \\; -print 2>/dev/null";
    let scratch = project(find);
    let output = run(enforced(&scratch));
    assert_eq!(out(&output), "", "{}", said(&output));
}

#[test]
fn what_root_alone_may_read_in_proc_is_closed_to_an_agent_of_roots() {
    need!(UserNamespaces, Root);
    let find = "find /proc -maxdepth 5 -path '/proc/[0-9]*' -prune -o -type f ! -perm -o=r \
                -exec sh -c 'head -c1 \"$0\" >/dev/null 2>&1 && echo \"$0\"' {} \\; 2>/dev/null; true";
    let scratch = project(find);
    assert!(out(&run(natively(&scratch))).contains("/proc/slabinfo\n"), "the control: root reads them outside");
    let output = run(enforced(&scratch));
    assert_eq!(out(&output), "", "{}", said(&output));
}

#[test]
fn pid_1_shows_neither_its_memory_nor_its_root_nor_its_descriptors() {
    need!(UserNamespaces);
    let scratch = project("ls /proc/1/root/ /proc/1/cwd/; cat /proc/1/mem /proc/1/maps /proc/1/fd/*; echo done");
    let output = run(enforced(&scratch));
    assert_eq!(out(&output), "done\n", "{}", said(&output));
}

#[test]
fn read_grants_and_the_root_cannot_be_written_and_temporary_directories_are_private() {
    need!(UserNamespaces);
    let name = format!("pinfold-test-{}", std::process::id());
    let scratch = project(&format!(
        "for dir in / /usr /etc /dev /proc /sys; do echo >$dir/{name} && echo \"written: $dir\"; done 2>/dev/null\n\
         echo >/tmp/{name} && echo >/var/tmp/{name} && echo >/dev/shm/{name} && echo private\n\
         echo x >/dev/null && head -c 3 /dev/zero | wc -c && test -c /dev/urandom && test -L /dev/stdin && echo devices"
    ));
    let output = run(enforced(&scratch));
    assert_eq!(out(&output), "private\n3\ndevices\n", "{}", said(&output));
    for dir in ["/tmp", "/var/tmp", "/dev/shm"] {
        assert!(!std::path::Path::new(dir).join(&name).exists(), "{dir}");
    }
}

#[test]
fn a_name_that_the_host_executes_survives_writing_renaming_and_removing() {
    need!(UserNamespaces);
    let script = "echo evil >.git/hooks/pre-commit; mv .git/hooks .git/old; mv .git old; rm -rf .git/hooks; \
                  mkdir -p .git/hooks; echo evil >.git/hooks/pre-commit";
    let prepare = || {
        let scratch = project(script);
        scratch.file(".git/hooks/pre-commit", "mine");
        scratch.file(".git/HEAD", "ref: refs/heads/main\n");
        scratch
    };
    let hook = |scratch: &Scratch| std::fs::read_to_string(scratch.project().join(".git/hooks/pre-commit")).unwrap();
    let control = prepare();
    run(natively(&control));
    assert_eq!(hook(&control), "evil\n");
    let scratch = prepare();
    let output = run(enforced(&scratch));
    assert_eq!(hook(&scratch), "mine", "{}", said(&output));
}

#[test]
fn pinfolds_state_is_hidden_even_below_a_grant() {
    need!(UserNamespaces);
    let scratch = project("ls -A ../../../state; cat ../../../state/pinfold/*; echo done");
    let state = scratch.state();
    std::fs::create_dir_all(&state).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(state.join("secret"), "secret").unwrap();
    std::fs::write(scratch.outside("state/other"), "").unwrap();
    assert!(out(&run(natively(&scratch))).contains("secret"));
    let output = run(enforced_with(&scratch, "\"$XDG_STATE_HOME\" = \"write\"\n", "", ""));
    assert_eq!(out(&output), "other\npinfold\ndone\n", "{}", said(&output));
    assert_eq!(std::fs::read_to_string(state.join("secret")).unwrap(), "secret");
}

#[test]
fn a_file_that_is_rewritten_by_rename_comes_out_whole_and_its_siblings_do_not() {
    need!(UserNamespaces);
    let scratch =
        project("cd \"$KEPT\"; cat .tool.json; echo new >.tool.json.tmp; mv .tool.json.tmp .tool.json; echo >.other");
    scratch.home_file(
        ".tool.json",
        "old
",
    );
    let mut command = enforced_with(
        &scratch,
        "\"~/.tool.json\" = \"replace\"
",
        "",
        "",
    );
    command.env("KEPT", scratch.home());
    let output = run(command);
    assert_eq!(
        out(&output),
        "old
",
        "{}",
        said(&output)
    );
    let home = |name: &str| std::fs::read_to_string(scratch.home().join(name)).ok();
    assert_eq!(
        (home(".tool.json").as_deref(), home(".other")),
        (
            Some(
                "new
"
            ),
            None
        ),
        "{}",
        said(&output)
    );
}

#[test]
fn a_link_that_the_agent_leaves_in_place_of_a_copied_file_is_not_followed() {
    need!(UserNamespaces);
    let scratch = project("cd \"$KEPT\"; rm .tool.json; ln -s /etc/passwd .tool.json");
    scratch.home_file(
        ".tool.json",
        "old
",
    );
    let mut command = enforced_with(
        &scratch,
        "\"~/.tool.json\" = \"replace\"
",
        "",
        "",
    );
    command.env("KEPT", scratch.home());
    let output = run(command);
    let file = scratch.home().join(".tool.json");
    assert!(!file.is_symlink(), "{}", said(&output));
    assert_eq!(
        std::fs::read_to_string(file).unwrap(),
        "old
",
        "{}",
        said(&output)
    );
}

#[test]
fn a_set_user_id_bit_cannot_be_set_by_any_call() {
    // 90 chmod, 91 fchmod, 268 fchmodat, 85 creat, 133 mknod: EPERM before the path is looked at.
    let each = "for call in '90 0 0x800' '91 1 0x800' '91 1 0xffffffff00000400' '268 -100 0 0x800' '85 0 0x800' '133 0 0x8800'; \
                do ./tracee errno $call; echo -n \"$? \"; done";
    if cfg!(target_arch = "x86_64") {
        need!(UserNamespaces);
        let scratch = project(each);
        let output = run(enforced(&scratch));
        assert_eq!(out(&output).trim(), "1 1 1 1 1 1", "{}", said(&output));
        prints(": >own; chmod u+s own 2>/dev/null; test -u own && echo set; true", "set", "");
    }
}

#[test]
fn the_terminal_cannot_be_typed_into_with_junk_in_the_high_bits_either() {
    let script = "./tracee errno 16 0 0x5412 0; echo -n \"$? \"; ./tracee errno 16 0 0xffffffff00005412 0; echo -n \"$? \"; \
                  ./tracee errno 16 0 0x541c 0; echo $?";
    if cfg!(target_arch = "x86_64") {
        // /dev/null answers ENOTTY.
        prints(script, "25 25 25", "1 1 1");
    }
}

#[test]
fn calls_of_foreign_abis_are_refused() {
    if cfg!(target_arch = "x86_64") {
        need!(UserNamespaces);
        // int80 returns 0 where the 32-bit getpid is refused; 0x40000027 is getpid of x32.
        let scratch = project("./tracee int80; echo -n \"$? \"; ./tracee errno 0x40000027; echo $?");
        let output = run(enforced(&scratch));
        assert_eq!(out(&output), "0 38\n", "{}", said(&output));
    }
}

#[test]
fn namespaces_cannot_be_made_by_any_call() {
    if cfg!(target_arch = "x86_64") {
        // unshare(CLONE_NEWUSER), setns, clone(CLONE_NEWUSER|SIGCHLD), clone3, io_uring_setup
        let script = "./tracee errno 272 0x10000000; echo -n \"$? \"; ./tracee errno 308 0 0; echo -n \"$? \"; \
                      ./tracee errno 56 0x10000011 0 0 0 0; echo -n \"$? \"; ./tracee errno 435 0 0; echo -n \"$? \"; \
                      ./tracee errno 425 1 0; echo $?";
        need!(UserNamespaces);
        let scratch = project(script);
        let output = run(enforced(&scratch));
        assert_eq!(out(&output), "1 1 1 38 38\n", "{}", said(&output));
    }
}

#[test]
fn a_refused_call_is_named_with_the_line_that_would_allow_it_and_a_flood_is_counted() {
    if cfg!(target_arch = "x86_64") {
        need!(UserNamespaces);
        let scratch = project("./tracee flood 20000 101 0; echo $?");
        let output = run(enforced(&scratch));
        assert_eq!(out(&output), "1\n", "{}", said(&output));
        let report = scratch.report("enforce");
        let denial =
            report["denials"].as_array().unwrap().iter().find(|denial| denial["call"] == "ptrace").unwrap().clone();
        assert_eq!(denial["count"], 20_000, "{denial}");
        assert!(denial["program"].as_str().unwrap().ends_with("tracee"), "{denial}");
        assert!(denial["remedy"].as_str().unwrap().contains("ptrace"), "{denial}");
    }
}

#[test]
fn an_abstract_socket_and_a_port_of_the_host_are_out_of_reach_and_the_own_loopback_works() {
    need!(UserNamespaces);
    let name = format!("pinfold-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _unix = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let script = format!(
        "./tracee abstract {name}; echo -n \"$? \"; ./tracee tcp {}; echo -n \"$? \"; ./tracee own-loopback; echo $?",
        tcp.local_addr().unwrap()
    );
    let scratch = project(&script);
    assert_eq!(out(&run(natively(&scratch))), "0 0 0\n");
    let allow = "\"bind\", \"connect\", \"listen\", \"socket\"";
    let sections = "[syscalls.arguments]\nsocket = [\"inet stream\", \"unix stream\"]\n";
    let output = run(enforced_with(&scratch, "", allow, sections));
    assert_eq!(out(&output), "111 111 0\n", "{}", said(&output));
    let output = run(enforced_with(&scratch, "", allow, "[syscalls.arguments]\nsocket = [\"unix stream\"]\n"));
    assert!(out(&output).starts_with("111 97 "), "a socket that is not listed: {}", said(&output));
}

#[test]
fn the_process_group_of_the_caller_cannot_be_signalled() {
    need!(UserNamespaces);
    let scratch = project("kill -KILL 0; kill -KILL -1");
    let caller = |command: Command| {
        let mut shell = scratch.command("sh");
        shell.args(["-c", "\"$@\"; echo survived", "sh"]).arg(command.get_program()).args(command.get_args());
        run({
            shell.process_group(0);
            shell
        })
    };
    assert_eq!(out(&caller(enforced(&scratch))), "survived\n");
    let control = project("kill -KILL 0");
    let mut shell = control.command("sh");
    shell.args(["-c", "sh script.sh; echo survived"]).process_group(0);
    assert_eq!(run(shell).status.signal(), Some(9));
}

#[test]
fn nothing_survives_a_pinfold_that_is_killed() {
    need!(UserNamespaces);
    let scratch = project("setsid sleep 1000 & sleep 1000 & echo ready; wait");
    let mut child = enforced(&scratch).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    child.kill().unwrap();
    child.wait().unwrap();
    // Ends only when the last holder of the pipe is gone.
    output.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn nothing_survives_the_end_of_the_command() {
    need!(UserNamespaces);
    let scratch = project("setsid sleep 1000 & echo ready");
    let output = run(enforced(&scratch));
    assert_eq!((out(&output).as_str(), output.status.code()), ("ready\n", Some(0)));
}

#[test]
fn a_request_to_end_reaches_the_command_and_the_second_is_final() {
    need!(UserNamespaces);
    for (trap, code) in [("trap 'exit 7' TERM", 7), ("trap 'echo again' TERM", 137)] {
        let scratch = project(&format!("{trap}; echo ready; while :; do sleep 0.1; done"));
        let mut child = enforced(&scratch).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        line.clear();
        output.read_line(&mut line).unwrap();
        if line == "again\n" {
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        }
        assert_eq!(child.wait().unwrap().code(), Some(code), "{trap}");
    }
}

#[test]
fn two_runs_at_the_same_time_do_not_meet() {
    need!(UserNamespaces);
    // Each writes its process number, and waits for the other's; a number of the other's is no process of its own.
    let script = "mkdir a 2>/dev/null && { me=a; other=b; } || { mkdir b; me=b; other=a; }; echo >/tmp/$$; echo $$ >$me/pid; \
                  until test -s $other/pid; do sleep 0.05; done; met=$(cat $other/pid); echo $$ $met; \
                  test -e /tmp/$met && echo met in /tmp; test -e /proc/$met && echo met in /proc; true";
    let scratch = project(script);
    let mut runs = vec![];
    for _ in 0..2 {
        let mut command = enforced(&scratch);
        runs.push(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    }
    for run in runs {
        let output = run.wait_with_output().unwrap();
        let text = out(&output);
        let numbers: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(numbers.len(), 2, "{}", said(&output));
        assert_ne!(numbers[0], numbers[1], "both have the same process number");
    }
}

#[test]
fn an_interrupt_from_the_terminal_reaches_the_command_and_the_terminal_is_given_back() {
    need!(UserNamespaces, Program("setsid"));
    for (script, code) in [
        ("trap 'exit 7' INT; echo ready; while :; do sleep 0.1; done", 7),
        ("echo ready; while :; do sleep 0.1; done", 130),
    ] {
        let scratch = project(script);
        let pty = nix::pty::openpty(None, None).unwrap();
        let mut master = std::fs::File::from(pty.master);
        let slave = std::fs::File::from(pty.slave);
        let inner = enforced(&scratch);
        let mut shell = scratch.command("setsid");
        // The shell stays in front of pinfold: what reaches the terminal at its end must be the shell's again.
        shell.args([
            "--ctty",
            "--wait",
            "sh",
            "-c",
            "trap : INT; \"$@\"; echo \"code $?\"; read line; echo \"read $line\"",
            "sh",
        ]);
        shell.arg(inner.get_program()).args(inner.get_args());
        shell.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        let mut child = shell.spawn().unwrap();
        drop(shell);
        let mut reader = BufReader::new(master.try_clone().unwrap());
        let mut wait_for = |word: &str| {
            let mut line = String::new();
            while !line.contains(word) {
                line.clear();
                assert!(reader.read_line(&mut line).unwrap() > 0, "the terminal closed before `{word}`");
            }
            line
        };
        wait_for("ready");
        master.write_all(b"\x03").unwrap();
        let line = wait_for("code");
        assert!(line.trim().ends_with(&format!("code {code}")), "{script}: {line}");
        master.write_all(b"spoken\n").unwrap();
        wait_for("read spoken");
        assert!(child.wait().unwrap().success());
    }
}
