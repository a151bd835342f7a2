//! `pinfold selftest`: attacks on what it planted itself, first without a sandbox and then inside, on this machine.
//!
//! Each row was really tried. An attack that does not succeed without a sandbox here proves nothing by failing inside: it is
//! *not triable*. The self test shows that the walls stand on this machine; it does not show that there are no others to
//! climb.

mod attack;
mod target;

use std::io::{self, IsTerminal as _};
use std::path::Path;

use attack::{ATTACKS, Attack};
use target::Target;

use super::exit::Exit;
use super::screen::{self, Colour, paint};
use crate::vocab::escape;

/// As typed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pinfold selftest
  pinfold selftest --json

Exit code: 0 nothing escaped, 1 an attack escaped, 2 it could not be tried")]
pub struct SelftestArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What came of one attack.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It succeeded without a sandbox and failed inside.
    Held,
    /// It succeeded inside.
    Escaped,
    /// It does not succeed without a sandbox, here.
    NotTriable,
    /// The sandbox did not start; what it said.
    NotStarted(String),
}

impl Verdict {
    fn word(&self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Escaped => "ESCAPED",
            Self::NotTriable => "not triable",
            Self::NotStarted(_) => "not started",
        }
    }
}

pub(super) fn run(arguments: &SelftestArgs) -> Exit {
    let base = match super::demo::stage::fresh_directory() {
        Ok(base) => base,
        Err(error) => return trouble("make a directory for the self test", &error),
    };
    let attacks: Vec<Attack> = ATTACKS.iter().filter_map(|(name, script)| Attack::read(name, script)).collect();
    let mut rows = Vec::new();
    for (number, attack) in attacks.iter().enumerate() {
        progress(&format!("selftest: {} of {}: {}", number + 1, attacks.len(), attack.what));
        match attempt(&base, attack) {
            Ok(Verdict::NotStarted(said)) => {
                progress("");
                std::fs::remove_dir_all(&base).ok();
                screen::say(said);
                return trouble("start the sandbox", &io::Error::other("what it said is above"));
            }
            Ok(verdict) => rows.push((attack, verdict)),
            Err(error) => {
                progress("");
                std::fs::remove_dir_all(&base).ok();
                return trouble("try an attack", &error);
            }
        }
    }
    progress("");
    std::fs::remove_dir_all(&base).ok();
    let text = if arguments.json { json(&rows) } else { table(&rows) };
    if screen::data(&text).is_err() {
        return Exit::Trouble;
    }
    if rows.iter().any(|(_, verdict)| *verdict == Verdict::Escaped) { Exit::Differs } else { Exit::Success }
}

/// What is being tried, on a terminal.
fn progress(text: &str) {
    if io::stderr().is_terminal() {
        screen::live(text);
    }
}

fn trouble(what: &str, error: &io::Error) -> Exit {
    let hint = paint("hint:", Colour::Cyan);
    screen::say(format!(
        "{} cannot {what}: {error}\n{hint} `pinfold doctor` says what is missing",
        paint("error:", Colour::Red)
    ));
    Exit::Trouble
}

/// Tries it without a sandbox and inside, each on a target of its own.
fn attempt(base: &Path, attack: &Attack) -> io::Result<Verdict> {
    let mut free = Target::set_up(base, attack)?;
    let output = free.natively()?;
    let natively = free.succeeded(attack.success, &output);
    let mut target = Target::set_up(base, attack)?;
    let output = target.confined(attack)?;
    if !output.stdout.starts_with(b"begun") {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Ok(Verdict::NotStarted(said.lines().map(|line| escape::terminal(line.as_bytes()) + "\n").collect()));
    }
    Ok(judge(natively, target.succeeded(attack.success, &output)))
}

fn judge(natively: bool, inside: bool) -> Verdict {
    match (natively, inside) {
        (_, true) => Verdict::Escaped,
        (true, false) => Verdict::Held,
        (false, false) => Verdict::NotTriable,
    }
}

fn count(rows: &[(&Attack, Verdict)], wanted: &Verdict) -> usize {
    rows.iter().filter(|(_, verdict)| verdict == wanted).count()
}

fn table(rows: &[(&Attack, Verdict)]) -> String {
    let mut out = String::new();
    for (attack, verdict) in rows {
        out.push_str(&format!("{:<12} {}\n", verdict.word(), attack.what));
    }
    let (held, escaped) = (count(rows, &Verdict::Held), count(rows, &Verdict::Escaped));
    out.push_str(&format!(
        "\n{held} held, {escaped} escaped, {} not triable here\n",
        count(rows, &Verdict::NotTriable)
    ));
    out
}

fn json(rows: &[(&Attack, Verdict)]) -> String {
    let attacks: Vec<_> = rows
        .iter()
        .map(|(attack, verdict)| {
            serde_json::json!({
                "name": attack.name,
                "what": attack.what,
                "promise": attack.promise,
                "verdict": verdict.word().to_lowercase().replace(' ', "-"),
            })
        })
        .collect();
    let (held, escaped) = (count(rows, &Verdict::Held), count(rows, &Verdict::Escaped));
    let value = serde_json::json!({
        "attacks": attacks,
        "held": held,
        "escaped": escaped,
        "not_triable": count(rows, &Verdict::NotTriable),
    });
    value.to_string() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attack_that_succeeds_inside_has_escaped_and_one_that_never_does_proves_nothing() {
        assert_eq!(judge(true, false), Verdict::Held);
        assert_eq!(judge(true, true), Verdict::Escaped);
        assert_eq!(judge(false, true), Verdict::Escaped);
        assert_eq!(judge(false, false), Verdict::NotTriable);
    }

    #[test]
    fn what_shows_success_is_seen_when_it_is_there() {
        let base = super::super::demo::stage::fresh_directory().unwrap();
        for (name, script) in ATTACKS {
            let attack = Attack::read(name, script).unwrap();
            let mut target = Target::set_up(&base, &attack).unwrap();
            // Before anything was tried nothing shows.
            let nothing = std::process::Command::new("true").output().unwrap();
            assert!(!target.succeeded(attack.success, &nothing), "{name}");
        }
        std::fs::remove_dir_all(&base).unwrap();
    }
}
