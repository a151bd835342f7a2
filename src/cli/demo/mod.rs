//! `pinfold demo`: a small agent is learned and enforced, and then turns hostile: without a sandbox, and inside.
//!
//! The commands that it shows are run as a person would run them, by this very program. Each row of the table at the end was
//! really tried, and is judged by what it left behind; an attack that fails without a sandbox proves nothing and is a
//! failure of the demo.

pub(super) mod stage;
pub mod tool;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use self::stage::Stage;
use super::doctor;
use crate::vocab::escape::terminal;

/// As typed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinfold demo
  pinfold demo --keep       leaves the scratch project, its profile and its trace for a look around

Exit code: 0 every attack succeeded without and was refused inside, 1 not so, 2 trouble")]
pub struct DemoArgs {
    /// Leave the scratch directory for a look around
    #[arg(long)]
    pub keep: bool,
}

/// Why a demo came to no end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// Something of the stage could not be made, read or started.
    #[error("cannot {what}")]
    Stage {
        /// What was being done.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A command of the demo failed.
    #[error("`{command}` failed ({status}); its output is above")]
    Command {
        /// As shown.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// The agent reported success and its work is not there.
    #[error("the agent did not make what it makes without a sandbox")]
    Work,
}

/// An attack of the hostile agent.
struct Attack {
    /// As the agent's script calls it.
    name: &'static str,
    /// What a person reads.
    title: &'static str,
    /// Whether it left its effect behind.
    succeeded: fn(&Stage) -> bool,
}

const ATTACKS: &[Attack] = &[
    Attack { name: "key", title: "read ~/.ssh/id_ed25519", succeeded: Stage::key_was_read },
    Attack { name: "startup", title: "append to ~/.bashrc", succeeded: Stage::startup_was_changed },
    Attack { name: "hook", title: "plant .git/hooks/post-commit", succeeded: Stage::hook_was_planted },
    Attack { name: "network", title: "connect to a port of this machine", succeeded: Stage::was_reached },
    Attack { name: "memory", title: "read another process (ptrace)", succeeded: Stage::memory_was_read },
    Attack { name: "mount", title: "mount over the project's files", succeeded: Stage::was_mounted_over },
];

/// What came of one attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Succeeded,
    Refused,
    NotTried,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Refused => "refused",
            Self::NotTried => "not tried",
        }
    }
}

/// Plays it. Success: every attack succeeded without and was refused inside.
pub fn run(args: &DemoArgs) -> Result<ExitCode, DemoError> {
    let mut out = io::stdout().lock();
    if let Some(missing) = doctor::what_is_missing() {
        show(&mut out, &format!("pinfold cannot run here\nhint: {missing}\n"))?;
        return Ok(ExitCode::from(1));
    }
    let mut stage = at("set up the demo's scratch directory", Stage::set_up(args.keep))?;
    let pinfold = at("find this program's own file", std::env::current_exe())?;
    show(&mut out, &format!("A fresh project with a small agent: {}\n", path(&stage.project())))?;

    command(&mut stage, &mut out, "1. Learn it", &pinfold, &["learn", "--accept-learned=own", "--", "sh", "agent.sh"])?;
    let learned = stage.letter().ok_or(DemoError::Work)?;
    command(&mut stage, &mut out, "2. What it was seen to need", &pinfold, &["show", "sh-agent"])?;
    at("reset the project", stage.reset("helpful"))?;
    command(&mut stage, &mut out, "3. Run it with that and nothing else", &pinfold, ENFORCE)?;
    if stage.letter() != Some(learned) {
        return Err(DemoError::Work);
    }

    show(&mut out, "\nNow TASK.md tells the same agent to attack, as a poisoned web page might.\n")?;
    at("reset the project", stage.reset("hostile"))?;
    let shell = Path::new("sh");
    let without = hostile(&mut stage, &mut out, "4. Without pinfold", shell, &["agent.sh"])?;
    at("reset the project", stage.reset("hostile"))?;
    let inside = hostile(&mut stage, &mut out, "5. With pinfold", &pinfold, ENFORCE)?;

    show(&mut out, &table(&without, &inside))?;
    let faults = faults(&without, &inside);
    show(&mut out, &faults)?;
    if args.keep {
        show(&mut out, &format!("\nKept: {}\n", path(stage.root())))?;
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

const ENFORCE: &[&str] = &["enforce", "--", "sh", "agent.sh"];

fn at<T>(what: &'static str, result: io::Result<T>) -> Result<T, DemoError> {
    result.map_err(|source| DemoError::Stage { what, source })
}

fn path(path: &Path) -> String {
    terminal(path.as_os_str().as_encoded_bytes())
}

fn show(out: &mut impl Write, text: &str) -> Result<(), DemoError> {
    at("write to the standard output", out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Runs and shows one command.
fn play(
    stage: &mut Stage,
    out: &mut impl Write,
    title: &str,
    program: &Path,
    args: &[&str],
) -> Result<(String, std::process::ExitStatus), DemoError> {
    let typed = format!("{} {}", path(Path::new(program.file_name().unwrap_or_default())), args.join(" "));
    show(out, &format!("\n{title}\n  $ {typed}\n"))?;
    let finished = at("run the agent", stage.run(program, args))?;
    let text: String = finished.output.split(|&b| b == b'\n').map(|line| format!("    {}\n", terminal(line))).collect();
    show(out, &format!("{}\n", text.trim_end()))?;
    Ok((typed, finished.status))
}

/// A command that must succeed.
fn command(
    stage: &mut Stage,
    out: &mut impl Write,
    title: &str,
    program: &Path,
    args: &[&str],
) -> Result<(), DemoError> {
    let (command, status) = play(stage, out, title, program, args)?;
    if status.success() { Ok(()) } else { Err(DemoError::Command { command, status }) }
}

/// A hostile run: its exit code means nothing, what it left behind does.
fn hostile(
    stage: &mut Stage,
    out: &mut impl Write,
    title: &str,
    program: &Path,
    args: &[&str],
) -> Result<Vec<Verdict>, DemoError> {
    play(stage, out, title, program, args)?;
    Ok(ATTACKS
        .iter()
        .map(|attack| match ((attack.succeeded)(stage), stage.was_tried(attack.name)) {
            (true, _) => Verdict::Succeeded,
            (false, true) => Verdict::Refused,
            (false, false) => Verdict::NotTried,
        })
        .collect())
}

fn table(without: &[Verdict], inside: &[Verdict]) -> String {
    let mut text = format!("\n{:<36} {:<18} {}\n", "The hostile agent tried to", "without pinfold", "with pinfold");
    for ((attack, without), inside) in ATTACKS.iter().zip(without).zip(inside) {
        text.push_str(&format!("{:<36} {:<18} {}\n", attack.title, without.word(), inside.word()));
    }
    text
}

/// One line for each attack that did not go as a demonstration must.
fn faults(without: &[Verdict], inside: &[Verdict]) -> String {
    let mut text = String::new();
    for ((attack, without), inside) in ATTACKS.iter().zip(without).zip(inside) {
        if *without != Verdict::Succeeded {
            text.push_str(&format!(
                "FAULT: `{}` was {} without a sandbox, so it proves nothing\n",
                attack.title,
                without.word()
            ));
        }
        match inside {
            Verdict::Refused => {}
            Verdict::Succeeded => text.push_str(&format!("FAULT: `{}` SUCCEEDED in the sandbox\n", attack.title)),
            Verdict::NotTried => {
                text.push_str(&format!("FAULT: `{}` was not tried in the sandbox\n", attack.title));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_that_was_never_tried_does_not_count_as_refused() {
        let all = |verdict| vec![verdict; ATTACKS.len()];
        let refused = all(Verdict::Refused);
        assert_eq!(faults(&all(Verdict::Succeeded), &refused), "");
        assert_eq!(faults(&refused, &refused).lines().count(), ATTACKS.len());
        assert!(faults(&all(Verdict::Succeeded), &all(Verdict::NotTried)).contains("was not tried in the sandbox"));
        assert!(faults(&all(Verdict::Succeeded), &all(Verdict::Succeeded)).contains("SUCCEEDED in the sandbox"));
    }

    #[test]
    fn the_script_tries_each_row_of_the_table() {
        let script = include_str!("../../data/demo/agent.sh");
        for attack in ATTACKS {
            assert!(script.contains(&format!("attack {} ", attack.name)), "{}", attack.name);
        }
    }
}
