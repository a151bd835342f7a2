//! What runs were refused: the table at the end of a run, and `pinfold denials` for earlier ones.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::profile::evidence::date;
use crate::run::refusals::{Kept, Kind, Refusal, kept};
use crate::run::surroundings::Surroundings;
use crate::store::{Store, StoreError};
use crate::vocab::escape;

use super::arguments::DenialsArguments;
use super::exit::Exit;
use super::screen::{self, Colour, paint};

/// Rows that are shown at the end of a run that did not ask for all.
const SHORT: usize = 10;
/// Programs that are named of a chain.
const NAMED: usize = 3;

/// The table: a heading, and two or three lines a refusal.
fn table(refusals: &[Refusal], most: usize) -> String {
    let rows: Vec<(String, String, String)> = refusals.iter().take(most).map(row).collect();
    let width = |of: fn(&(String, String, String)) -> &String, least: usize| {
        rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0).clamp(least, 60)
    };
    let (what, by) = (width(|row| &row.0, 4), width(|row| &row.1, 2));
    let mut out = format!("  {:<what$}  {:<by$}  TIMES\n", "WHAT", "BY");
    for ((text, who, times), refusal) in rows.iter().zip(refusals) {
        let _ = writeln!(out, "  {text:<what$}  {who:<by$}  {times}");
        if let Some(line) = &refusal.allow {
            let _ = writeln!(out, "      to allow it: {}", escape::terminal(line.as_bytes()));
        }
        if let Some(risk) = &refusal.risk {
            let _ = writeln!(out, "      that opens: {}", escape::terminal(risk.as_bytes()));
        }
    }
    out
}

/// What was refused, to whom, and how often, for a terminal.
pub(super) fn row(refusal: &Refusal) -> (String, String, String) {
    let name = |program: &String| escape::terminal(program.rsplit('/').next().unwrap_or(program).as_bytes());
    let by: Vec<String> = refusal.by.iter().take(NAMED).map(name).collect();
    let by = if by.is_empty() { "-".to_owned() } else { by.join(" < ") };
    let times = if refusal.times == 0 { "-".to_owned() } else { refusal.times.to_string() };
    (escape::terminal(refusal.what.as_bytes()), by, times)
}

/// What is said at the end of a run: the table, short unless `all` of it is wanted. Grants that were withheld were said at the
/// start, and stand in it only beside other refusals.
pub(super) fn say(refusals: &[Refusal], all: bool, profile: &Path) {
    if !all && refusals.iter().all(|refusal| refusal.kind == Kind::Withheld) {
        return;
    }
    if refusals.is_empty() {
        return screen::say("pinfold: nothing was refused");
    }
    let most = if all { usize::MAX } else { SHORT };
    let things = if refusals.len() == 1 { "1 thing".to_owned() } else { format!("{} things", refusals.len()) };
    screen::say(format!("{} {things} in this run", paint("refused:", Colour::Red)));
    screen::say(table(refusals, most).trim_end());
    if refusals.len() > most {
        screen::say(format!(
            "{} {} more: `pinfold denials {}` shows all of them",
            paint("hint:", Colour::Cyan),
            refusals.len() - most,
            escape::terminal(profile.as_os_str().as_encoded_bytes())
        ));
    }
}

/// Appends the refusals of a run to a file, a line of JSON each.
pub(super) fn log(path: &Path, run: &Kept, profile: &Path) -> Result<(), StoreError> {
    let mut lines = String::new();
    for refusal in &run.refusals {
        let line = json!({
            "when": run.when, "profile": profile.display().to_string(), "command": run.command, "kind": refusal.kind,
            "what": refusal.what, "by": refusal.by, "times": refusal.times, "allow": refusal.allow, "risk": refusal.risk,
        });
        let _ = writeln!(lines, "{line}");
    }
    let opened = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    let written = opened.and_then(|mut file| file.write_all(lines.as_bytes()));
    written.map_err(|source| StoreError::Append { path: path.to_path_buf(), source })
}

/// `pinfold denials`
pub(super) fn run(arguments: &DenialsArguments) -> Exit {
    let file = match super::show::open(&arguments.profile) {
        Ok(file) => file,
        Err(exit) => return exit,
    };
    let surroundings = match Surroundings::read(None) {
        Ok(surroundings) => surroundings,
        Err(error) => {
            screen::error(&error, super::hints::surroundings(&error).as_deref());
            return Exit::Trouble;
        }
    };
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid);
    let runs = match store.and_then(|store| kept(&store, &file.path)) {
        Ok(runs) => runs,
        Err(error) => {
            screen::error(&error, None);
            return Exit::Trouble;
        }
    };
    let runs = runs.get(runs.len().saturating_sub(arguments.runs)..).unwrap_or_default();
    let out = if arguments.json {
        json!(runs).to_string() + "\n"
    } else if runs.is_empty() {
        "no run of this profile was refused anything\n".to_owned()
    } else {
        runs.iter().map(text).collect::<Vec<_>>().join("\n")
    };
    match screen::data(&out) {
        Ok(()) => Exit::Success,
        Err(_) => Exit::Trouble,
    }
}

fn text(run: &Kept) -> String {
    let words: Vec<String> = run.command.iter().map(|word| escape::terminal(word.as_bytes())).collect();
    format!("{}  {}  (exit {})\n{}", time(run.when), words.join(" "), run.exit, table(&run.refusals, usize::MAX))
}

/// A moment as a person writes it, in UTC.
fn time(seconds: u64) -> String {
    let rest = seconds % 86_400;
    format!("{} {:02}:{:02} UTC", date(seconds), rest / 3600, rest / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_shown_with_who_how_often_the_line_and_the_risk_and_nothing_reaches_the_terminal_raw() {
        let refusal = Refusal {
            kind: Kind::File,
            what: "read ~/.ssh/id_rsa\u{1b}[2J".into(),
            by: vec!["/usr/bin/ssh".into(), "/usr/bin/git".into(), "/bin/sh".into(), "/bin/more".into()],
            times: 2,
            allow: Some("[filesystem] \"~/.ssh/id_rsa\" = \"read\"".into()),
            risk: Some("your SSH private keys".into()),
        };
        let text = table(&[refusal], 10);
        assert!(text.contains("ssh < git < sh") && text.contains("  2\n") && !text.contains("more"), "{text}");
        assert!(text.contains("to allow it: [filesystem]") && text.contains("that opens: your SSH"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
