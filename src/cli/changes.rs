//! `pinfold report --changes`, and the few lines of it at the end of each run.

use crate::probe::changes::{Change, Changes, Key, What};
use crate::run::changes;
use crate::vocab::escape;

use super::arguments::ReportArguments;
use super::exit::Exit;
use super::{screen, show};

/// Findings of one kind that are told at the end of a run.
const SHOWN: usize = 8;
/// Characters of a command that are shown.
const LONGEST: usize = 200;

pub(super) fn run(arguments: &ReportArguments) -> Exit {
    let (file, surroundings) = match show::open_here(&arguments.profile) {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let changes = match changes::last(&surroundings, &file) {
        Ok(Some(changes)) => changes,
        Ok(None) => {
            let asked = file.path.display();
            screen::say(format!("{} no run under {asked} is known", screen::paint("error:", screen::Colour::Red)));
            return Exit::Trouble;
        }
        Err(error) => {
            screen::error(&error, None);
            return Exit::Trouble;
        }
    };
    let text = if arguments.json { serde_json::json!(changes).to_string() + "\n" } else { whole(&changes) };
    match screen::data(&text) {
        Ok(()) => Exit::Success,
        Err(_) => Exit::Trouble,
    }
}

fn whole(changes: &Changes) -> String {
    let mut text: String = changes.found.iter().flat_map(lines).map(|line| line + "\n").collect();
    if changes.found.is_empty() {
        text.push_str("nothing changed that your machine runs or obeys\n");
    }
    if !changes.whole {
        text.push_str("there was more than is looked at: this is not all\n");
    }
    text
}

/// What is said of them at the end of a run: executable files are counted, all else is named up to a limit.
pub(super) fn short(changes: &Changes) -> Vec<String> {
    let (executable, telling): (Vec<&Change>, Vec<&Change>) =
        changes.found.iter().partition(|change| change.what == What::Executable);
    let mut said: Vec<String> = telling.iter().take(SHOWN).flat_map(|change| lines(change)).collect();
    if telling.len() > SHOWN {
        said.push(format!("and {} more", telling.len() - SHOWN));
    }
    if !executable.is_empty() {
        said.push(format!("{} executable files were made or changed", executable.len()));
    }
    if !changes.whole {
        said.push("there was more than is looked at: this is not all".to_owned());
    }
    said
}

fn lines(change: &Change) -> Vec<String> {
    let how = if change.new { "is new" } else { "was changed" };
    let path = &change.path;
    match &change.what {
        What::HostExecutes { why } => vec![format!("`{path}` {how}: {why}")],
        What::SetId { mode } => vec![format!("`{path}` {how}, and runs with the rights of its owner (mode {mode:o})")],
        What::LeadsOut { to } => vec![format!("`{path}` {how}: a symlink that leads out, to `{to}`")],
        What::Executable => vec![format!("`{path}` {how}, and can be executed")],
        What::Commands { why, keys, compared } => {
            let since =
                if *compared { "" } else { " (it was not looked at before the run: these are all of its commands)" };
            let mut said = vec![format!("`{path}` {how}: {why}{since}")];
            said.extend(keys.iter().map(key));
            said
        }
    }
}

fn key(key: &Key) -> String {
    let shown = |value: &Option<String>| {
        let text = value.as_deref().unwrap_or("nothing");
        let short: String = text.chars().take(LONGEST).collect();
        escape::terminal(short.as_bytes()) + if short.len() < text.len() { "..." } else { "" }
    };
    format!("    {}: {} -> {}", escape::terminal(key.key.as_bytes()), shown(&key.before), shown(&key.after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::path::AbsPath;

    #[test]
    fn names_and_commands_of_an_agent_reach_the_screen_escaped() {
        let change = Change {
            path: AbsPath::new("/p/a\u{1b}[2Jb").unwrap(),
            new: true,
            what: What::Commands {
                why: "x".into(),
                keys: vec![Key { key: "k\n".into(), before: None, after: Some("\r\u{202e}".into()) }],
                compared: true,
            },
        };
        let text = whole(&Changes { found: vec![change], whole: true });
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains('\u{202e}'));
    }
}
