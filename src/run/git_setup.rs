//! Teaching a git repository what a profile is: how two of them differ, and how two are joined.
//!
//! Invariant: of what stands in the files and settings that are touched, only our own lines are added, changed or removed.
//! `.gitattributes` is committed and says which files are profiles; what is run for them stands in the repository's own
//! configuration, which a clone never brings. The program is named by its whole path: what lies in the working tree or
//! first in `PATH` is never run in its place.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::store::replace;

use super::git::{self, GitError};

/// One change of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// A setting of the repository's own configuration.
    Set {
        /// Its name.
        key: String,
        /// Its value; `None` removes it.
        value: Option<String>,
    },
    /// The whole text of a file; `None` removes it.
    Write {
        /// Which.
        path: PathBuf,
        /// Its text.
        text: Option<String>,
        /// Whether it is a program.
        executable: bool,
    },
}

/// Why a repository could not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// git did not answer.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A hook of somebody else's.
    #[error("{} is another hook: it stays as it is", .path.display())]
    OtherHook {
        /// Which.
        path: PathBuf,
    },
    /// Our own path is no text.
    #[error("the path of this program is no text that git could keep")]
    Program,
}

const ATTRIBUTES: &str = "generated-profiles/*.toml diff=pinfold merge=pinfold";
/// By this line a hook is known as ours.
const MARK: &str = "# pinfold: shows what the profiles that are about to be committed allow more";

/// What is to be done to the repository that holds `directory`. `remove`: to take it all away again.
pub fn steps(directory: &Path, program: &Path, hook: bool, remove: bool) -> Result<Vec<Step>, SetupError> {
    let top = PathBuf::from(git::line(directory, &["rev-parse", "--show-toplevel"])?);
    let program = quoted(program.to_str().ok_or(SetupError::Program)?);
    let settings = [
        ("diff.pinfold.command", format!("{program} git-diff")),
        ("diff.pinfold.textconv", format!("{program} git-textconv")),
        ("merge.pinfold.name", "profiles that both sides learned".to_owned()),
        ("merge.pinfold.driver", format!("{program} merge-driver %O %A %B %P")),
    ];
    let mut steps = Vec::new();
    for (key, value) in settings {
        let now = git::line(directory, &["config", "--local", "--get", key]).ok();
        let wanted = (!remove).then_some(value);
        if now != wanted {
            steps.push(Step::Set { key: key.to_owned(), value: wanted });
        }
    }
    let attributes = top.join(".gitattributes");
    let before = read(&attributes)?;
    let after = with_line(before.as_deref().unwrap_or_default(), ATTRIBUTES, !remove);
    if before.as_deref().unwrap_or_default() != after {
        let text = (!after.is_empty()).then_some(after);
        steps.push(Step::Write { path: attributes, text, executable: false });
    }
    if hook || remove {
        steps.extend(hook_step(directory, &program, remove)?);
    }
    Ok(steps)
}

fn hook_step(directory: &Path, program: &str, remove: bool) -> Result<Option<Step>, SetupError> {
    let hooks = git::line(directory, &["rev-parse", "--path-format=absolute", "--git-path", "hooks"])?;
    let path = PathBuf::from(hooks).join("pre-commit");
    let before = read(&path)?;
    let ours = before.as_deref().is_some_and(|text| text.contains(MARK));
    let text = hook_text(program);
    Ok(match (&before, remove) {
        (Some(_), true) if ours => Some(Step::Write { path, text: None, executable: true }),
        (_, true) => None,
        (Some(_), false) if !ours => return Err(SetupError::OtherHook { path }),
        (Some(before), false) if *before == text => None,
        (_, false) => Some(Step::Write { path, text: Some(text), executable: true }),
    })
}

/// The hook. Names of files reach it NUL-ended, for a name may hold a line break.
pub fn hook_text(program: &str) -> String {
    format!(
        "#!/bin/sh
{MARK}
# and stops where something of risk 4 is among it. `git commit --no-verify` commits all the same.
set -u
git diff --cached --name-only --diff-filter=ACMR -z -- ':(top,glob)generated-profiles/*.toml' |
    xargs -0 -r -n 1 {program} diff --staged --fail-on risk=4 -- >&2 || {{
    echo 'pinfold: not committed: look at what is above; git commit --no-verify commits it all the same' >&2
    exit 1
}}
"
    )
}

/// Carries the steps out.
pub fn apply(directory: &Path, steps: &[Step]) -> Result<(), SetupError> {
    for step in steps {
        match step {
            Step::Set { key, value: Some(value) } => {
                git::line(directory, &["config", "--local", key, value])?;
            }
            Step::Set { key, value: None } => {
                git::line(directory, &["config", "--local", "--unset-all", key])?;
            }
            Step::Write { path, text, executable } => {
                let wrong = |source| SetupError::Write { path: path.clone(), source };
                match text {
                    None => std::fs::remove_file(path).map_err(wrong)?,
                    Some(text) => replace(path, text.as_bytes()).map_err(wrong)?,
                }
                if *executable && text.is_some() {
                    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).map_err(wrong)?;
                }
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Option<String>, SetupError> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SetupError::Read { path: path.to_path_buf(), source }),
        Ok(text) => Ok(Some(text)),
    }
}

/// `text` with `line` at its end, or without it.
fn with_line(text: &str, line: &str, wanted: bool) -> String {
    let mut out: String = text.split_inclusive('\n').filter(|own| own.trim_end() != line).collect();
    if wanted {
        if text.lines().any(|own| own.trim_end() == line) {
            return text.to_owned();
        }
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// For the shell, to which git gives these commands.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_once_and_goes_without_a_trace() {
        let text = "*.png binary";
        let with = with_line(text, "x y", true);
        assert_eq!(with, "*.png binary\nx y\n");
        assert_eq!(with_line(&with, "x y", true), with);
        assert_eq!(with_line(&with, "x y", false), "*.png binary\n");
        assert_eq!(quoted("/a b/it's"), "'/a b/it'\\''s'");
    }
}
