//! What runs were refused: the table at the end of a run, and `pinfold denials` for earlier ones.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::profile::evidence::date;
use crate::run::refusals::{Kept, Kind, Refusal, denied, kept};
use crate::sandbox::Live;
use crate::store::{Store, StoreError, approvals};
use crate::vocab::escape;
use crate::vocab::location::Roots;

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

/// A log that is written while a run goes on, a line of JSON each.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    profile: String,
    command: Vec<String>,
}

impl Log {
    /// Opens it to be appended to.
    pub(super) fn open(path: &Path, profile: &Path, command: Vec<String>) -> Result<Self, StoreError> {
        let opened = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let file = opened.map_err(|source| StoreError::Append { path: path.to_path_buf(), source })?;
        Ok(Self { path: path.to_path_buf(), file, profile: profile.display().to_string(), command })
    }

    /// Who is told of refusals as they happen.
    pub(super) fn live(&self, roots: &Roots) -> Result<Live, StoreError> {
        let file = self.file.try_clone();
        let file = file.map_err(|source| StoreError::Append { path: self.path.clone(), source })?;
        let log = Self { path: self.path.clone(), file, profile: self.profile.clone(), command: self.command.clone() };
        let roots = roots.clone();
        // The disk may be full: the end says so.
        Ok(Live::to(move |denial| drop(log.append(&[&denied(denial, &roots)]))))
    }

    /// At the end: what was not written as it happened, and what was refused again, with how often.
    pub(super) fn finish(&self, refusals: &[Refusal]) -> Result<(), StoreError> {
        let happened = |refusal: &Refusal| matches!(refusal.kind, Kind::File | Kind::Call);
        let rest: Vec<_> = refusals.iter().filter(|refusal| !happened(refusal) || refusal.times > 1).collect();
        self.append(&rest)
    }

    fn append(&self, refusals: &[&Refusal]) -> Result<(), StoreError> {
        let mut lines = String::new();
        for refusal in refusals {
            let line = json!({
                "when": approvals::now(), "profile": self.profile, "command": self.command, "kind": refusal.kind,
                "what": refusal.what, "by": refusal.by, "times": refusal.times, "allow": refusal.allow,
                "risk": refusal.risk,
            });
            let _ = writeln!(lines, "{line}");
        }
        // One call: so lines of several runs do not mix.
        let written = (&self.file).write_all(lines.as_bytes());
        written.map_err(|source| StoreError::Append { path: self.path.clone(), source })
    }
}

/// `pinfold denials`
pub(super) fn run(arguments: &DenialsArguments) -> Exit {
    let (file, surroundings) = match super::show::open_here(&arguments.profile) {
        Ok(opened) => opened,
        Err(exit) => return exit,
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
