//! A script under a profile that was written for it by hand: what it may is known to the line.

use std::process::{Command, Output};

use pinfold::profile::{digest::digest, parse::parse};

use super::scratch::{Scratch, text};

/// A project with a script in it and the programs to misbehave with.
pub fn project(script: &str) -> Scratch {
    let scratch = Scratch::new("enforce");
    scratch.file("script.sh", script);
    // By another process: a descriptor for writing that a test beside this one inherits makes the program "busy".
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_tracee")).arg(scratch.project()).status().unwrap();
    assert!(copied.success());
    scratch
}

/// The same script without a sandbox.
pub fn natively(scratch: &Scratch) -> Command {
    let mut command = scratch.command("sh");
    command.arg("script.sh");
    command
}

/// What a script needs to run at all.
pub const SYSTEM: [&str; 6] = ["/usr", "/bin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"];

/// The script under a profile that grants the system to be read, the project to be written, and `lines` of
/// `[filesystem]`.
pub fn enforced_with(scratch: &Scratch, lines: &str, allow: &str, sections: &str) -> Command {
    enforced_under(scratch, "", lines, allow, sections)
}

/// The same with `top` above the first section.
pub fn enforced_under(scratch: &Scratch, top: &str, lines: &str, allow: &str, sections: &str) -> Command {
    let system: String = SYSTEM.iter().map(|place| format!("\"{place}\" = \"read\"\n")).collect();
    let profile = format!(
        "schema = 1\nname = \"t\"\ncommand = [\"sh\", \"$PROJECT/script.sh\"]\n{top}\n\n[filesystem]\n\"$PROJECT\" = \"write\"\n\
         {system}{lines}\n[syscalls]\nbase = 1\nallow = [{allow}]\n[environment]\npass = [\"HOME\", \"PATH\", \"KEPT\"]\n{sections}"
    );
    let accepted = digest(&parse(&profile).unwrap()).to_string();
    let path = scratch.outside("profile.toml");
    std::fs::write(&path, profile).unwrap();
    let report = scratch.outside("enforce.json");
    let words =
        ["enforce", "--quiet", "--report", text(&report), "--profile", text(&path), "--accept-digest", &accepted];
    let mut command = scratch.pinfold(&words);
    command.args(["--", "sh", "script.sh"]);
    command
}

/// The same with nothing more than that.
pub fn enforced(scratch: &Scratch) -> Command {
    enforced_with(scratch, "", "", "")
}

/// Words that make a place in which nobody can make a user namespace, and the caller has no capability.
pub const NO_NAMESPACES: [&str; 12] = [
    "unshare",
    "--user",
    "--map-current-user",
    "--keep-caps",
    "sh",
    "-c",
    "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"",
    "sh",
    "setpriv",
    "--ambient-caps=-all",
    "--inh-caps=-all",
    "--bounding-set=-all",
];

/// `command` in that place.
pub fn where_namespaces_are_refused(scratch: &Scratch, command: &Command) -> Command {
    let mut outer = scratch.command(NO_NAMESPACES[0]);
    outer.args(&NO_NAMESPACES[1..]).arg(command.get_program()).args(command.get_args());
    outer.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    outer
}

/// Its output.
pub fn run(mut command: Command) -> Output {
    command.output().unwrap()
}

/// What it printed.
pub fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
