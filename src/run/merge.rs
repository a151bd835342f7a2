//! Traces and profiles as files → one profile; and the three texts that git hands to a merge driver → the merged one.
//!
//! Nothing runs, and nothing is approved by it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use crate::merge::{self, Conflict, MergeError};
use crate::profile::evidence::Evidence;
use crate::profile::parse::{ParseError, parse_with};
use crate::profile::{Profile, emit};
use crate::reduce::{self, Note};
use crate::trace::reader::{ReadError, read};
use crate::trace::{FORMAT, Trace};
use crate::vocab::limits::Limit;

use super::bundles;
use super::profile_file::{self, ProfileFileError};

/// Why there is no merged profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeFilesError {
    /// There is no such file.
    #[error("there is no file {}", .0.display())]
    Missing(PathBuf),
    /// It cannot be opened.
    #[error("cannot read {}", .path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It begins as a trace and is none.
    #[error("cannot read the trace {}", .path.display())]
    Trace {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ReadError,
    },
    /// It is no profile.
    #[error(transparent)]
    Profile(#[from] ProfileFileError),
    /// They are not for the same command.
    #[error("they cannot be merged")]
    Merge(#[from] MergeError),
}

/// What came of several files.
#[derive(Debug)]
pub struct Merged {
    /// The profile.
    pub profile: Profile,
    /// Its text, with the comments of every profile among the files.
    pub text: String,
    /// What the runs among them show; empty where none of the files is a trace.
    pub evidence: Evidence,
    /// What a person should know of the runs.
    pub notes: Vec<Note>,
    /// Limits that one of the files has and the profile has not.
    pub unlimited: BTreeSet<Limit>,
}

/// Merges traces and profiles, in any order and any mixture. `name`: that of the profile, where it is known.
pub fn files(paths: &[PathBuf], name: Option<&str>) -> Result<Option<Merged>, MergeFilesError> {
    let (mut traces, mut profiles): (Vec<Trace>, Vec<(Profile, String)>) = (Vec::new(), Vec::new());
    for path in paths {
        if is_trace(path)? {
            let wrong = |source| MergeFilesError::Trace { path: path.clone(), source };
            let file = std::fs::File::open(path).map_err(|error| wrong(error.into()))?;
            traces.push(read(BufReader::with_capacity(1 << 18, file)).map_err(wrong)?);
        } else {
            let file = profile_file::load(path)?.ok_or_else(|| MergeFilesError::Missing(path.clone()))?;
            profiles.push((file.profile, file.text));
        }
    }
    let settings = reduce::Settings::default();
    let (mut evidence, mut notes) = (Evidence::default(), Vec::new());
    let mut whole: Option<(Profile, String)> = None;
    if let Some(first) = traces.first() {
        if let Some(other) = traces.iter().find(|trace| trace.header.command != first.header.command) {
            let words = |trace: &Trace| emit::command(&trace.header.command);
            return Err(MergeError::Commands(words(first), words(other)).into());
        }
        let reduction = reduce::reduce(&traces, &settings);
        evidence = reduce::evidence::gather(&traces, &reduction.profile, &settings);
        reduce::confidence::leave_one_out(&traces, &reduction.profile, &settings, &mut evidence);
        notes = reduction.notes;
        whole = Some((reduction.profile, String::new()));
    }
    let mut limited: BTreeSet<Limit> = whole.iter().flat_map(|(profile, _)| set(profile)).collect();
    for (profile, text) in profiles {
        limited.extend(set(&profile));
        whole = Some(match whole {
            None => (profile, text),
            Some((known, words)) => {
                let joined = merge::join(&known, &profile)?;
                let words = emit::emit_merged(&joined, "", &words, &text);
                (joined, words)
            }
        });
    }
    let Some((mut profile, words)) = whole else { return Ok(None) };
    let unlimited = limited.difference(&set(&profile)).copied().collect();
    if let Some(name) = name {
        name.clone_into(&mut profile.name);
    }
    let text = emit::emit(&profile, Some(&words));
    Ok(Some(Merged { profile, text, evidence, notes, unlimited }))
}

fn set(profile: &Profile) -> BTreeSet<Limit> {
    profile.limits.set().into_iter().map(|(limit, _)| limit).collect()
}

fn is_trace(path: &Path) -> Result<bool, MergeFilesError> {
    let file = std::fs::File::open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => MergeFilesError::Missing(path.to_path_buf()),
        _ => MergeFilesError::Open { path: path.to_path_buf(), source },
    })?;
    let begins = format!("{{\"format\":\"{FORMAT}\"");
    let mut reader = BufReader::new(file);
    let start = reader.fill_buf().map_err(|source| MergeFilesError::Open { path: path.to_path_buf(), source })?;
    Ok(start.starts_with(begins.as_bytes()))
}

/// What came of three texts.
#[derive(Debug)]
pub enum Driven {
    /// The merged text.
    Clean(String),
    /// A person has to settle these.
    Conflicts(Vec<Conflict>),
    /// One of them is no profile.
    Unreadable(ParseError),
    /// Both were made anew, and are for different commands.
    Different(MergeError),
}

/// Merges two texts of a profile that come from `base`, which is empty where both made it.
pub fn texts(base: &str, ours: &str, theirs: &str) -> Driven {
    let parse = |text: &str| parse_with(text, &|name| bundles::named(name).ok().flatten());
    let (our, their) = match (parse(ours), parse(theirs)) {
        (Ok(our), Ok(their)) => (our, their),
        (Err(error), _) | (_, Err(error)) => return Driven::Unreadable(error),
    };
    let merged = if base.trim().is_empty() {
        match merge::join(&our, &their) {
            Ok(merged) => merged,
            Err(error) => return Driven::Different(error),
        }
    } else {
        match parse(base) {
            Err(error) => return Driven::Unreadable(error),
            Ok(before) => match merge::three_way(&before, &our, &their) {
                Ok(merged) => merged,
                Err(conflicts) => return Driven::Conflicts(conflicts),
            },
        }
    };
    Driven::Clean(emit::emit_merged(&merged, base, ours, theirs))
}
