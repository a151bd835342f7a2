//! A program that owns the terminal stays usable while it is learned: what it sees, what it is sent and what it paints is as
//! without pinfold, and it can be suspended.

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
use std::process::{Child, Command};

use common::scratch::Scratch;

/// Paints and reads as a full-screen program does: raw mode, keys one by one, a new size of the window.
const PAINTER: &str = "\
trap 'printf \"<size %s>\" \"$(stty size)\"' WINCH
before=$(stty -g); stty raw -echo
printf '\\033[?1049h<ready>'
while key=$(dd bs=1 count=1 2>/dev/null); do
    test \"$key\" = q && break
    printf '<key %s>' \"$key\"
done
printf '\\033[?1049l<over>'
stty \"$before\"
";

struct Terminal {
    near: File,
    child: Child,
    seen: String,
}

impl Terminal {
    /// Starts `command` with a terminal of its own that is 77 columns wide.
    fn of(scratch: &Scratch, command: &Command, shell: &str) -> Self {
        let size = nix::pty::Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = nix::pty::openpty(Some(&size), None).unwrap();
        let (near, far) = (File::from(pty.master), File::from(pty.slave));
        let mut outer = scratch.command("setsid");
        outer.args(["--ctty", "--wait", "bash", "-c", shell, "bash"]).arg(command.get_program());
        outer.args(command.get_args()).stdin(far.try_clone().unwrap()).stdout(far.try_clone().unwrap()).stderr(far);
        Self { near, child: outer.spawn().unwrap(), seen: String::new() }
    }

    fn wait_for(&mut self, word: &str) {
        let mut bytes = [0; 512];
        while !self.seen.contains(word) {
            let count = self.near.read(&mut bytes).unwrap_or(0);
            assert!(count > 0, "the terminal closed before `{word}`: {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.near.write_all(bytes).unwrap();
    }

    /// To the end; all that was to be seen.
    fn finish(mut self) -> String {
        let mut bytes = [0; 512];
        // The last end that closes gives EIO here.
        while let Ok(count @ 1..) = self.near.read(&mut bytes) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        self.child.wait().unwrap();
        self.seen
    }
}

fn learning(scratch: &Scratch, script: &str) -> Command {
    scratch.file("agent.sh", script);
    scratch.pinfold(&["learn", "--quiet", "--no-network", "--accept-learned=own", "--", "sh", "agent.sh"])
}

#[test]
fn a_program_that_paints_the_screen_has_its_keys_its_size_and_nothing_of_ours_in_its_picture() {
    need!(UserNamespaces, Program("setsid"), Program("bash"), Program("stty"));
    let scratch = Scratch::new("painter");
    let learning = learning(&scratch, PAINTER);
    let mut native = scratch.command("sh");
    native.arg("agent.sh");
    let mut pictures = Vec::new();
    for command in [native, learning] {
        let mut terminal = Terminal::of(&scratch, &command, "stty -g; \"$@\"; stty -g");
        terminal.wait_for("<ready>");
        terminal.send(b"x");
        terminal.wait_for("<key x>");
        let size = ["rows", "44", "cols", "99"];
        let resized = scratch.command("stty").args(size).stdin(terminal.near.try_clone().unwrap()).status().unwrap();
        assert!(resized.success());
        // A shell runs its trap between two keys.
        terminal.send(b"y");
        terminal.wait_for("<size 44 99>");
        terminal.wait_for("<key y>");
        // Raw: no signal, but a key like any other.
        terminal.send(b"\x03");
        terminal.wait_for("<key \x03>");
        terminal.send(b"q");
        let seen = terminal.finish();
        let (picture, after) = seen.split_once("<over>").unwrap_or_else(|| panic!("{seen:?}"));
        let (before, picture) = picture.split_once("\x1b[?1049h").unwrap_or_else(|| panic!("{seen:?}"));
        let settings = |text: &str| text.lines().find(|line| line.matches(':').count() > 20).map(str::to_owned);
        assert!(settings(before).is_some(), "{seen:?}");
        assert_eq!(settings(before), settings(after), "the terminal is left as it was found: {seen:?}");
        pictures.push(picture.to_owned());
    }
    assert_eq!(pictures[0], pictures[1]);
}

#[test]
fn a_program_that_is_suspended_while_it_is_learned_gives_the_terminal_back_and_goes_on_later() {
    need!(UserNamespaces, Program("setsid"), Program("bash"));
    let scratch = Scratch::new("suspended");
    scratch.file("later", "");
    let command = learning(&scratch, "echo ready; read line; echo \"got $line\"; cat later");
    let shell = "set -m; \"$@\"; echo \"suspended $?\"; fg >/dev/null; echo \"ended $?\"";
    let mut terminal = Terminal::of(&scratch, &command, shell);
    terminal.wait_for("ready");
    terminal.send(b"\x1a");
    terminal.wait_for("suspended 148");
    terminal.send(b"words\n");
    terminal.wait_for("got words");
    terminal.wait_for("ended 0");
    terminal.finish();
    let shown = scratch.pinfold(&["trace", "show", "sh-agent", "--kind", "path"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.lines().any(|line| line.contains(" read ") && line.contains("/later")), "{shown}");
}
