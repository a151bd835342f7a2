//! An enforced run at a terminal: the command sees it as it is without pinfold, and cannot use it against the caller.

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

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use common::enforced::{enforced, enforced_with, natively, project};
use common::scratch::Scratch;

/// A pair of terminal ends, the near one for the test.
fn terminal() -> (File, File) {
    let pty = nix::pty::openpty(Some(&nix::pty::Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 }), None);
    let pty = pty.unwrap();
    (File::from(pty.master), File::from(pty.slave))
}

#[test]
fn the_size_of_the_terminal_is_seen_and_standard_streams_stay_what_they_are() {
    need!(UserNamespaces);
    let script = "stty size; for fd in 0 1 2; do test -t $fd && echo tty || echo other; done";
    let scratch = project(script);
    for wrap in [enforced(&scratch), natively(&scratch)] {
        let (mut near, far) = terminal();
        let mut shell = scratch.command("setsid");
        shell.args(["--ctty", "--wait"]).arg(wrap.get_program()).args(wrap.get_args());
        // Standard error is a pipe: the command must not find a terminal there.
        shell.stdin(far.try_clone().unwrap()).stdout(far).stderr(Stdio::piped());
        let mut child = shell.spawn().unwrap();
        drop(shell);
        let mut seen = Vec::new();
        let mut bytes = [0; 512];
        // The last end that closes gives EIO here.
        while let Ok(count @ 1..) = near.read(&mut bytes) {
            seen.extend_from_slice(&bytes[..count]);
        }
        assert!(child.wait().unwrap().success());
        let seen = String::from_utf8(seen).unwrap().replace('\r', "");
        assert!(seen.starts_with("33 77\ntty\ntty\nother\n"), "{seen:?}");
    }
}

#[test]
fn a_command_that_is_suspended_from_the_terminal_gives_it_back_and_goes_on_later() {
    need!(UserNamespaces);
    let scratch = project("echo ready; read line; echo \"got $line\"");
    let inner = enforced(&scratch);
    let (mut near, far) = terminal();
    let mut shell = scratch.command("setsid");
    let script = "set -m; \"$@\"; echo \"suspended $?\"; fg >/dev/null; echo \"ended $?\"";
    shell.args(["--ctty", "--wait", "bash", "-c", script, "bash"]).arg(inner.get_program()).args(inner.get_args());
    shell.stdin(far.try_clone().unwrap()).stdout(far.try_clone().unwrap()).stderr(far);
    let mut child = shell.spawn().unwrap();
    drop(shell);
    let mut seen = String::new();
    let mut wait_for = |near: &mut File, word: &str| {
        let mut bytes = [0; 512];
        while !seen.contains(word) {
            let count = near.read(&mut bytes).unwrap_or(0);
            assert!(count > 0, "the terminal closed before `{word}`: {seen:?}");
            seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    };
    wait_for(&mut near, "ready");
    near.write_all(b"\x1a").unwrap();
    wait_for(&mut near, "suspended 148");
    near.write_all(b"words\n").unwrap();
    wait_for(&mut near, "got words");
    wait_for(&mut near, "ended 0");
    assert!(child.wait().unwrap().success());
}

/// `command` in a session of its own on a new terminal; the near end.
fn at_a_terminal(scratch: &Scratch, command: &Command) -> (Child, File) {
    let (near, far) = terminal();
    let mut shell = scratch.command("setsid");
    shell.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
    shell.stdin(far.try_clone().unwrap()).stdout(far.try_clone().unwrap()).stderr(far);
    (shell.spawn().unwrap(), near)
}

/// Reads until `word` was there.
fn read_until(near: &mut File, seen: &mut String, word: &str) {
    let mut bytes = [0; 512];
    while !seen.contains(word) {
        let count = near.read(&mut bytes).unwrap_or(0);
        assert!(count > 0, "the terminal closed before `{word}`: {seen:?}");
        seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
}

#[test]
fn a_real_terminal_cannot_be_typed_into() {
    need!(UserNamespaces, Program("setsid"));
    let scratch = project("./tracee type-in; echo \"type-in $?.\"");
    let ask = |command: &Command| {
        let (mut child, mut near) = at_a_terminal(&scratch, command);
        let mut seen = String::new();
        read_until(&mut near, &mut seen, ".");
        assert!(child.wait().unwrap().success(), "{seen}");
        seen
    };
    // Without pinfold the letter is typed, or the kernel itself says EIO (dev.tty.legacy_tiocsti).
    let native = ask(&natively(&scratch));
    assert!(native.contains("type-in 0.") || native.contains("type-in 5."), "{native:?}");
    let inside = ask(&enforced(&scratch));
    assert!(inside.contains("type-in 1.") && !inside.contains('x'), "{inside:?}");
}

#[test]
fn a_terminal_keeps_its_line_discipline() {
    if cfg!(not(target_arch = "x86_64")) {
        return;
    }
    need!(UserNamespaces, Program("setsid"));
    // ioctl(0, TIOCSETD, NULL): EFAULT says that the kernel would have done it.
    let scratch = project("./tracee errno 16 0 21539 0; echo \"errno $?.\"");
    for (command, expected) in [(natively(&scratch), "errno 14."), (enforced(&scratch), "errno 1.")] {
        let (mut child, mut near) = at_a_terminal(&scratch, &command);
        let mut seen = String::new();
        read_until(&mut near, &mut seen, ".");
        assert!(child.wait().unwrap().success() && seen.contains(expected), "{seen}");
    }
}

#[test]
fn a_terminal_that_changes_its_size_tells_the_command_and_it_sees_the_new_one() {
    need!(UserNamespaces, Program("setsid"));
    let script = "trap 'echo \"now $(stty size).\"; exit 3' WINCH; echo ready; while :; do sleep 0.1; done";
    let scratch = project(script);
    for command in [natively(&scratch), enforced(&scratch)] {
        let (mut child, mut near) = at_a_terminal(&scratch, &command);
        let mut seen = String::new();
        read_until(&mut near, &mut seen, "ready");
        let size = ["rows", "44", "cols", "99"];
        let resized = scratch.command("stty").args(size).stdin(near.try_clone().unwrap()).status().unwrap();
        assert!(resized.success());
        read_until(&mut near, &mut seen, "now 44 99.");
        assert_eq!(child.wait().unwrap().code(), Some(3), "{seen}");
    }
}

/// The script at a terminal, natively and within: types each answer when its word appears; the code at the end is `code`.
fn conversation(script: &str, allow: &str, lines: &str, sections: &str, talk: &[(&str, &[u8])], code: i32) {
    for within in [false, true] {
        let scratch = project(&format!("export TERM=xterm; {script}"));
        let command = if within { enforced_with(&scratch, lines, allow, sections) } else { natively(&scratch) };
        let (mut child, mut near) = at_a_terminal(&scratch, &command);
        for (word, answer) in talk {
            let mut seen = String::new();
            read_until(&mut near, &mut seen, word);
            near.write_all(answer).unwrap();
        }
        // Whoever draws a screen waits until somebody reads it.
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).ok();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(code), "within: {within}: {}", String::from_utf8_lossy(&rest));
    }
}

#[test]
fn a_shell_inside_has_jobs_that_stop_and_end() {
    need!(UserNamespaces, Program("setsid"));
    let talk: &[(&str, &[u8])] = &[
        ("# ", b"sh -c 'echo sta\"\"rted; read line'\n"),
        // It has no child: one that is stopped between vfork and exec would keep its parent from stopping.
        ("started", b"\x1a"),
        ("Stopped", b"jobs; kill %1; wait; echo al\"\"l\n"),
        // Twice, for the first may find that the job is not gone yet.
        ("all", b"exit 9\nexit 9\n"),
    ];
    conversation("PS1='# ' exec bash --norc --noprofile -i", "", "", "", talk, 9);
}

#[test]
fn a_password_is_asked_for_without_an_echo() {
    need!(UserNamespaces, Program("setsid"));
    let ask = "stty -echo; printf 'Password: '; read word; stty echo; echo; echo \"${#word} letters\"; exit 5";
    conversation(ask, "", "", "", &[("Password: ", b"secret\n"), ("\n6 letters", b"")], 5);
}

#[test]
fn programs_that_take_the_whole_screen_work() {
    need!(UserNamespaces, Program("setsid"), Program("less"), Program("vim"));
    conversation("seq 500 >n; less n; exit 6", "", "", "", &[("10", b"G"), ("500", b"q")], 6);
    let edit = "vim -u NONE new.txt; grep -q hello new.txt && exit 7";
    conversation(edit, "", "", "", &[("new.txt", b"ihello\x1b:wq\r")], 7);
}

#[test]
fn terminals_can_be_made_inside() {
    need!(UserNamespaces, Program("setsid"), Program("tmux"));
    let calls = [
        "socket",
        "connect",
        "bind",
        "listen",
        "accept4",
        "accept",
        "getsockname",
        "getsockopt",
        "setsockopt",
        "sendmsg",
        "recvmsg",
        "socketpair",
        "getpeername",
    ];
    let calls: Vec<_> = calls.iter().map(|call| format!("\"{call}\"")).collect();
    let sockets = "[syscalls.arguments]\nsocket = [\"unix stream\"]\n";
    let lines = "\"/etc/passwd\" = \"read\"\n";
    // Not within a session outside.
    let start = "TMUX= tmux -f /dev/null -S sock new-session 'echo in\"\"side; tty; sleep 1'; exit 4";
    conversation(start, &calls.join(", "), lines, sockets, &[("inside", b"")], 4);
}

#[test]
fn a_secret_is_asked_for_at_the_terminal_of_the_run() {
    need!(UserNamespaces, Program("setsid"), Program("pinentry-curses"));
    let ask = "printf 'OPTION ttyname=/dev/tty\\nOPTION ttytype=xterm\\nSETPROMPT Word\\nGETPIN\\nBYE\\n' >in; \
               pinentry-curses <in >out; grep -q '^D secret' out && exit 3";
    conversation(ask, "", "", "", &[("Word", b"secret\r")], 3);
}

#[test]
fn closed_standard_streams_are_no_hindrance() {
    need!(UserNamespaces);
    let scratch = project("echo words; echo words >&2; echo made > made; exit 3");
    let inner = enforced(&scratch);
    let mut shell = scratch.command("sh");
    shell.args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"]).arg(inner.get_program()).args(inner.get_args());
    assert_eq!(shell.status().unwrap().code(), Some(3));
    assert_eq!(std::fs::read_to_string(scratch.project().join("made")).unwrap(), "made\n");
}

#[test]
fn a_server_in_the_background_lives_as_long_as_the_run() {
    need!(UserNamespaces, Program("python3"));
    let serve = "python3 -c \"
import socket, sys
listening = socket.create_server(('127.0.0.1', 0))
print(listening.getsockname()[1], flush=True)
while True: listening.accept()[0].sendall(b'served')\" > port 2>/dev/null &
while ! test -s port; do sleep 0.05; done; sleep 0.2
python3 -c \"import socket; print(socket.create_connection(('127.0.0.1', int(open('port').read()))).recv(9))\"";
    let calls = ["socket", "connect", "bind", "listen", "accept4", "getsockname", "setsockopt"];
    let calls: Vec<_> = calls.iter().map(|call| format!("\"{call}\"")).collect();
    let sockets = "[syscalls.arguments]\nsocket = [\"inet stream\"]\n";
    let scratch = project(serve);
    let output = enforced_with(&scratch, "", &calls.join(", "), sockets).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "b'served'\n", "{said}");
}
