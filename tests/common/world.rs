//! A network of a test's own, with servers that stand in for the outside: `fixtures/network/world`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::enforced::{enforced_with, project};
use super::scratch::Scratch;

pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/network")
}

/// `command`, in a world of its own.
pub fn in_world(command: &Command) -> Command {
    let mut outer = Command::new("unshare");
    outer.args(["--user", "--map-root-user", "--net", "--mount"]).arg(fixtures().join("world"));
    outer.arg(command.get_program()).args(command.get_args()).env_clear();
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outer.current_dir(command.get_current_dir().unwrap()).stdin(std::process::Stdio::null());
    outer
}

pub fn run(command: &Command) -> Output {
    in_world(command).output().unwrap()
}

/// A profile that lets the script use sockets, with these lines of `[network]`.
pub fn with_lines(scratch: &Scratch, network: &str) -> Command {
    let allow = r#""socket", "connect", "bind", "listen", "accept", "accept4""#;
    let arguments = "[syscalls.arguments]\nsocket = [\"unix stream\", \"inet stream\", \"inet6 stream\"]\n";
    enforced_with(scratch, "", allow, &format!("{arguments}[network]\n{network}\n"))
}

pub fn script(text: &str) -> Scratch {
    let scratch = project(text);
    for name in ["attacks.py", "ca.pem"] {
        std::fs::copy(fixtures().join(name), scratch.project().join(name)).unwrap();
    }
    scratch
}

pub fn natively(scratch: &Scratch) -> Command {
    let mut command = scratch.command("sh");
    command.arg("script.sh");
    command
}
