//! Files that carry commands: their bytes → the commands in them, by key.
//!
//! Which files and which keys is data (`src/data/commands.toml`). Nothing is executed and nothing is trusted: a file that
//! cannot be read in its format gives [`Unreadable`], which a caller must treat as a change, never as no commands.

mod git;

use std::collections::BTreeMap;

use serde_json::Value;

use super::path::AbsPath;

/// Commands by key, the values as one line of text.
pub type Commands = BTreeMap<String, String>;

/// The file is not in its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it cannot be read in its format")]
pub struct Unreadable;

/// One file of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carrier {
    /// The end of its path, in whole components.
    pub path: &'static str,
    format: Format,
    /// What the host does with it, for a person.
    pub why: &'static str,
    commands: &'static [&'static str],
    harmless: &'static [&'static str],
    suspect: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Toml,
    Git,
    Lines,
}

/// The build script writes it.
static TABLE: &[Carrier] = include!(concat!(env!("OUT_DIR"), "/commands.rs"));

/// What a package of npm says of itself. Of an installed one, which lies here, npm runs no scripts any more, and all of it is
/// code that runs.
const MANIFEST: (&str, &[u8]) = ("package.json", b"node_modules");

/// The row for `path`, if a file of that name carries commands.
pub fn carrier(path: &AbsPath) -> Option<&'static Carrier> {
    let row = row_of(path)?;
    let installed = row.path == MANIFEST.0 && path.components().any(|part| part == MANIFEST.1);
    (!installed).then_some(row)
}

fn row_of(path: &AbsPath) -> Option<&'static Carrier> {
    TABLE.iter().find(|row| ends_with(path.as_bytes(), row.path.as_bytes()))
}

/// Every row.
pub fn table() -> &'static [Carrier] {
    TABLE
}

fn ends_with(path: &[u8], end: &[u8]) -> bool {
    path.strip_suffix(end).is_some_and(|before| before.last() == Some(&b'/'))
}

impl Carrier {
    /// The commands in `bytes`.
    ///
    /// # Errors
    ///
    /// When the file is not in its format.
    pub fn commands(&self, bytes: &[u8]) -> Result<Commands, Unreadable> {
        let text = || std::str::from_utf8(bytes).map_err(|_| Unreadable);
        match self.format {
            Format::Json => {
                let value: Value = serde_json::from_str(&without_comments(text()?)).map_err(|_| Unreadable)?;
                Ok(self.of_value(&value))
            }
            Format::Toml => {
                let value: Value = toml::from_str(text()?).map_err(|_| Unreadable)?;
                Ok(self.of_value(&value))
            }
            Format::Git => self.of_git(&git::entries(bytes)?),
            Format::Lines => {
                let lines = text()?.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
                Ok(lines.enumerate().map(|(at, line)| (format!("line {}", at + 1), line.to_owned())).collect())
            }
        }
    }

    fn of_value(&self, value: &Value) -> Commands {
        let mut found = Commands::new();
        for pattern in self.commands {
            let parts: Vec<&str> = pattern.split('.').filter(|part| !part.is_empty()).collect();
            collect(value, &parts, String::new(), &mut found);
        }
        found
    }

    fn of_git(&self, entries: &[git::Entry]) -> Result<Commands, Unreadable> {
        let mut found = Commands::new();
        for entry in entries {
            let harmless = self.harmless.iter().any(|pattern| entry.is(pattern));
            let suspect = self.suspect.is_some_and(|mark| entry.value.contains(mark));
            if !harmless || suspect {
                // A key may stand there more than once, and every time counts.
                let value = found.entry(entry.to_string()).or_default();
                value.push_str(if value.is_empty() { "" } else { "; " });
                value.push_str(&entry.value);
            }
        }
        Ok(found)
    }
}

/// Everything at or beneath `pattern` in `value`, one entry for each string, number or list.
fn collect(value: &Value, pattern: &[&str], key: String, found: &mut Commands) {
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match (pattern.split_first(), value) {
        (Some((&"*", rest)), Value::Object(members)) => {
            members.iter().for_each(|(name, member)| collect(member, rest, below(name), found));
        }
        (Some((name, rest)), Value::Object(members)) => {
            if let Some(member) = members.get(*name) {
                collect(member, rest, below(name), found);
            }
        }
        (Some(_), _) => {}
        (None, Value::Object(members)) => {
            members.iter().for_each(|(name, member)| collect(member, &[], below(name), found));
        }
        (None, Value::Null) => {}
        (None, value) => {
            found.insert(key, value.to_string());
        }
    }
}

/// Editors and agents read JSON with comments and trailing commas; the strict reader does not.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut in_string = false;
    while let Some(c) = rest.next() {
        match (in_string, c) {
            (true, '\\') => {
                out.push(c);
                out.extend(rest.next());
            }
            (_, '"') => {
                in_string = !in_string;
                out.push(c);
            }
            (false, '/') if rest.peek() == Some(&'/') => while rest.next_if(|c| *c != '\n').is_some() {},
            (false, '/') if rest.peek() == Some(&'*') => {
                let mut last = ' ';
                for c in rest.by_ref().skip(1) {
                    if last == '*' && c == '/' {
                        break;
                    }
                    last = c;
                }
            }
            (false, '}' | ']') => {
                let end = out.trim_end().len();
                if out.get(..end).is_some_and(|text| text.ends_with(',')) {
                    out.truncate(end - 1);
                }
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

/// Where the working trees of a repository with this configuration are to lie (`core.worktree`): git writes there.
///
/// # Errors
///
/// When it is no configuration of git.
pub fn work_trees(bytes: &[u8]) -> Result<Vec<String>, Unreadable> {
    let trees = git::entries(bytes)?.into_iter().filter(|entry| entry.is("core.worktree"));
    Ok(trees.map(|entry| entry.value).collect())
}

/// The keys that differ, with the value before and after.
pub fn changes(before: &Commands, after: &Commands) -> Vec<(String, Option<String>, Option<String>)> {
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let pair = |key: &String| (key.clone(), before.get(key).cloned(), after.get(key).cloned());
    keys.into_iter().map(pair).filter(|(_, before, after)| before != after).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, text: &str) -> Commands {
        carrier(&AbsPath::new(path).unwrap()).unwrap().commands(text.as_bytes()).unwrap()
    }

    #[test]
    fn of_a_package_that_is_installed_its_scripts_are_not_told_and_all_else_is() {
        let row = |path: &str| carrier(&AbsPath::new(path).unwrap()).map(|row| row.path);
        assert_eq!(row("/p/package.json"), Some("package.json"));
        assert_eq!(row("/p/node_modules/a/package.json"), None);
        assert_eq!(row("/p/node_modules2/package.json"), Some("package.json"));
        assert_eq!(row("/p/node_modules/a/.git/config"), Some(".git/config"));
    }

    #[test]
    fn every_row_of_the_table_is_found_by_its_own_path_and_says_why() {
        assert!(table().len() > 20, "the table was not read");
        for row in table() {
            let found = carrier(&AbsPath::root().join(format!("x/{}", row.path)).unwrap()).unwrap();
            assert_eq!(found.path, row.path);
            assert!(!row.why.is_empty());
            let ways = [!row.commands.is_empty(), !row.harmless.is_empty(), row.format == Format::Lines];
            assert_eq!(ways.iter().filter(|way| **way).count(), 1, "{}", row.path);
        }
    }

    #[test]
    fn a_server_of_one_project_among_many_is_a_command_and_the_history_is_not() {
        let text =
            r#"{"projects": {"/p": {"history": ["x"], "mcpServers": {"a": {"command": "sh", "args": ["-c"]}}}}}"#;
        let found = of("/home/u/.claude.json", text);
        assert_eq!(found.get("projects./p.mcpServers.a.command").unwrap(), "\"sh\"");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn comments_in_json_hide_nothing_and_break_nothing() {
        let text = "{ // \"hooks\": 1\n \"hooks\": [1, /* , */ 2,],\n \"a\": \"http://x\", }";
        assert_eq!(of("/p/.claude/settings.json", text), [("hooks".to_owned(), "[1,2]".to_owned())].into());
    }

    #[test]
    fn what_git_writes_at_a_clone_is_harmless_and_what_runs_programs_is_not() {
        let clone = "[core]\n\trepositoryformatversion = 0\n\tbare = false\n[remote \"origin\"]\n\turl = /a.b/c\n\
                     \tfetch = +refs/heads/*:refs/remotes/origin/*\n[branch \"a.b\"]\n\tremote = origin\n";
        assert_eq!(of("/p/.git/config", clone), Commands::new());
        for evil in [
            "[core]\nfsmonitor = x",
            "[CORE]\n FSMonitor=x",
            "[core] hooksPath = x",
            "[alias]\nst = !x",
            "[filter \"a\"]\nclean = x",
            "[include]\npath = x",
            "[includeIf \"gitdir:/\"]\npath = x",
            "[remote \"o\"]\nurl = ext::sh -c x",
            "[remote \"o\"]\nurl = \"ext:\"\":sh\"",
            "[remote \"o\"]\nurl = ext:\\\n:sh",
            "[core.sub]\nx = 1",
            "[diff \"x\\\"y\"]\ntextconv = x",
        ] {
            let read = carrier(&AbsPath::new("/p/.git/config").unwrap()).unwrap().commands(evil.as_bytes());
            assert!(read != Ok(Commands::new()), "{evil}");
        }
    }

    #[test]
    fn a_changed_command_is_told_with_both_values() {
        let before = of("/p/package.json", r#"{"scripts": {"test": "a", "x": "y"}}"#);
        let after = of("/p/package.json", r#"{"scripts": {"test": "b", "x": "y"}, "version": "2"}"#);
        let told = changes(&before, &after);
        assert_eq!(told, [("scripts.test".to_owned(), Some("\"a\"".to_owned()), Some("\"b\"".to_owned()))]);
    }
}
