//! What git knows of a file: its text in another revision, or as it is about to be committed.
//!
//! git is asked, never its files. Revisions and paths are no options, whatever they begin with.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Why git did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// It does not run.
    #[error("cannot run git")]
    Run(#[source] io::Error),
    /// No such commit.
    #[error("`{0}` names no commit here")]
    NoRevision(String),
    /// It failed.
    #[error("git failed: {0}")]
    Failed(String),
    /// More than a profile may be, or no text.
    #[error("`{}` in `{revision}` is no text that could be a profile", .path.display())]
    NoText {
        /// Which.
        path: PathBuf,
        /// Where.
        revision: String,
    },
}

/// More than this is no profile.
const CAP: usize = 16 << 20;

/// Runs git in `directory`.
pub fn git(directory: &Path, arguments: &[&str]) -> Result<Output, GitError> {
    Command::new("git").arg("-C").arg(directory).args(arguments).output().map_err(GitError::Run)
}

/// The first line of what git prints, if it succeeds.
pub fn line(directory: &Path, arguments: &[&str]) -> Result<String, GitError> {
    let output = git(directory, arguments)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(GitError::Failed(crate::vocab::escape::terminal(said.trim().as_bytes())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

/// The object of a commit.
pub fn commit(directory: &Path, revision: &str) -> Result<String, GitError> {
    let named = format!("{revision}^{{commit}}");
    let found = line(directory, &["rev-parse", "--verify", "--quiet", "--end-of-options", &named]);
    found.map_err(|error| match error {
        GitError::Failed(_) => GitError::NoRevision(crate::vocab::escape::terminal(revision.as_bytes())),
        other => other,
    })
}

/// Where the histories of two commits parted.
pub fn merge_base(directory: &Path, one: &str, other: &str) -> Result<String, GitError> {
    line(directory, &["merge-base", one, other])
}

/// The text of `path` in `commit`, an object; as it would be committed now where that is empty. `None`: it is not there.
pub fn text(commit: &str, path: &Path) -> Result<Option<String>, GitError> {
    let no_text = || GitError::NoText { path: path.to_path_buf(), revision: commit.to_owned() };
    // In a hook git's variables are relative to the working directory: it is left only where it must be.
    let (directory, name) = match (path.is_absolute(), path.parent(), path.file_name()) {
        (true, Some(directory), Some(name)) => (directory, name),
        _ => (Path::new("."), path.as_os_str()),
    };
    let object = format!("{commit}:./{}", name.to_str().ok_or_else(no_text)?);
    let output = git(directory, &["cat-file", "blob", &object])?;
    if !output.status.success() {
        return Ok(None);
    }
    if output.stdout.len() > CAP {
        return Err(no_text());
    }
    String::from_utf8(output.stdout).map(Some).map_err(|_| no_text())
}
