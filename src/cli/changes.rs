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

/// What is said of them at the end of a run: executable files are counted, symlinks to what the run may read are left out, all
/// else is named up to a limit.
pub(super) fn short(changes: &Changes) -> Vec<String> {
    let is_link = |change: &&Change| matches!(change.what, What::LeadsToRead { .. });
    let (executable, telling): (Vec<&Change>, Vec<&Change>) =
        changes.found.iter().filter(|change| !is_link(change)).partition(|change| change.what == What::Executable);
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
        What::LeadsToRead { to } => vec![format!("`{path}` {how}: a symlink to `{to}`, which it may read")],
        What::Executable => vec![format!("`{path}` {how}, and can be executed")],
        What::Commands { why, keys, compared, unread } => {
            let since =
                if *compared { "" } else { " (it was not looked at before the run: these are all of its commands)" };
            let mut said = vec![format!("`{path}` {how}: {why}{since}")];
            let (before, now) = unread.as_ref().map_or((None, None), |of| (of.before.as_deref(), of.now.as_deref()));
            said.extend(before.map(|reason| format!("    what it named before the run is not known: {reason}")));
            said.extend(now.map(|reason| format!("    what it names now is not known: {reason}")));
            let known = |reason: Option<&str>| if reason.is_some() { "not known" } else { "nothing" };
            said.extend(keys.iter().map(|of| key(of, known(before), known(now))));
            said
        }
    }
}

/// A key with its values; where there is none, `before` and `now` are the words for that.
fn key(key: &Key, before: &str, now: &str) -> String {
    let shown = |value: &Option<String>, none: &str| {
        let text = value.as_deref().unwrap_or(none);
        let short: String = text.chars().take(LONGEST).collect();
        escape::terminal(short.as_bytes()) + if short.len() < text.len() { "..." } else { "" }
    };
    let (before, now) = (shown(&key.before, before), shown(&key.after, now));
    format!("    {}: {before} -> {now}", escape::terminal(key.key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::changes::Unread;
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
                unread: None,
            },
        };
        let text = whole(&Changes { found: vec![change], whole: true });
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains('\u{202e}'));
    }

    #[test]
    fn a_command_that_is_not_known_is_not_called_nothing() {
        let unread = |before: Option<&str>, now: Option<&str>| {
            Some(Unread { before: before.map(str::to_owned), now: now.map(str::to_owned) })
        };
        let told = |keys: Vec<Key>, unread: Option<Unread>| {
            let what = What::Commands { why: "w".into(), keys, compared: true, unread };
            lines(&Change { path: AbsPath::new("/p/f").unwrap(), new: false, what })
        };
        let key = |before: Option<&str>, after: Option<&str>| Key {
            key: "k".into(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        assert_eq!(told(vec![key(Some("a"), None)], None)[1..], ["    k: a -> nothing"]);
        let now = told(vec![key(Some("a"), None)], unread(None, Some("r")));
        assert_eq!(now[1..], ["    what it names now is not known: r", "    k: a -> not known"]);
        let then = told(vec![key(None, Some("a"))], unread(Some("r"), None));
        assert_eq!(then[1..], ["    what it named before the run is not known: r", "    k: not known -> a"]);
        assert_eq!(told(Vec::new(), unread(Some("r"), Some("s"))).len(), 3);
    }
}
