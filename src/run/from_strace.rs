//! Logs of strace → a trace in the store → the profile that it gives. Nothing runs.
//!
//! What a log does not tell is said: the profile is never complete, and a person is asked before it is used.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::event::Event;
use crate::import::strace::{Log, LogError, Place};
use crate::store::{Store, StoreError};
use crate::trace::writer::{WriteError, Writer};
use crate::tracer;
use crate::vocab::path::AbsPath;

use super::derive::{self, DeriveError, Derived, Gaps, Terms};
use super::learn::header;
use super::profile_file::{self, ProfileFileError};
use super::surroundings::Surroundings;

/// What to make a profile from.
#[derive(Debug, Clone)]
pub struct ImportRequest {
    /// The files: logs, or the common beginning of the names that `strace -ff` gave.
    pub logs: Vec<PathBuf>,
    /// The command as it would be typed; by default as the log has it.
    pub command: Vec<Vec<u8>>,
    /// Where the profile goes; by default `generated-profiles/NAME.toml` in the project.
    pub profile: Option<PathBuf>,
    /// What is made of it. That it is not complete is no reason against it here.
    pub terms: Terms,
}

/// What came of the logs.
#[derive(Debug)]
pub struct Imported {
    /// The trace and the profile.
    pub derived: Derived,
    /// Files that were read, in order.
    pub files: Vec<PathBuf>,
    /// Lines, calls and paths that were not understood.
    pub unread: u64,
    /// The first such line.
    pub first_unread: Option<Place>,
    /// The first string that strace had cut.
    pub cut: Option<Place>,
    /// Whether the log has the paths of descriptors.
    pub has_paths: bool,
}

/// Why there is no trace of the logs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// There is no such file.
    #[error("there is no log `{}`, and none whose name begins so", .0.display())]
    NoFile(PathBuf),
    /// It cannot be opened.
    #[error("cannot open the log {}", .path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no log.
    #[error("{} is no log of strace", .path.display())]
    Log {
        /// Which.
        path: PathBuf,
        /// Why.
        source: LogError,
    },
    /// Nothing in it was started.
    #[error("the log does not begin with the start of a program")]
    NoStart,
    /// The trace cannot be written.
    #[error("cannot write the trace {}", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: WriteError,
    },
    /// The events cannot be written.
    #[error("cannot write the trace {}", .path.display())]
    Events {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The trace gives no profile.
    #[error(transparent)]
    Derive(#[from] DeriveError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The profile file failed.
    #[error(transparent)]
    Profile(#[from] ProfileFileError),
}

/// Makes a trace and a profile from logs.
pub fn import(surroundings: &Surroundings, request: &ImportRequest) -> Result<Imported, ImportError> {
    let mut files = Vec::new();
    for given in &request.logs {
        files.extend(logs(given)?);
    }
    let mut log = Log::default();
    for (index, path) in files.iter().enumerate() {
        let file = File::open(path).map_err(|source| ImportError::Open { path: path.clone(), source })?;
        log.add(BufReader::with_capacity(1 << 18, file), index, task_of(path))
            .map_err(|source| ImportError::Log { path: path.clone(), source })?;
    }
    let tracer::First { words, cwd } = tracer::first_command(&log).ok_or(ImportError::NoStart)?;
    let command = if request.command.is_empty() { words } else { request.command.clone() };
    let (identity, path) = super::enforce::locate(surroundings, &command, request.profile.as_deref());
    let previous = profile_file::load(&path)?;
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid)?;
    let mut header = header(surroundings, crate::vocab::syscall_table::BASE_VERSION, Vec::new(), identity);
    header.workdir = cwd.and_then(|cwd| AbsPath::new(cwd).ok()).unwrap_or(header.workdir);
    let (file, trace) = store.new_trace(&path, &header.run)?;
    let unwritten = |source| ImportError::Write { path: trace.clone(), source };
    let mut writer = Writer::new(BufWriter::with_capacity(1 << 16, file), &header).map_err(unwritten)?;
    let mut sink = |event: Event| writer.event(&event).map_err(io::Error::other);
    let imported = tracer::import(&log, &surroundings.roots, &mut sink)
        .map_err(|source| ImportError::Events { path: trace.clone(), source })?;
    match imported.status {
        Some(status) => writer.finish(status).map_err(unwritten)?,
        None => writer.flush().map_err(unwritten)?,
    }
    let terms = Terms { gaps: Gaps::Accept, ..request.terms };
    let derived = derive::derive(&store, terms, trace, path, previous, imported.status)?;
    let Log { first_unread, cut, has_paths, .. } = log;
    Ok(Imported { derived, files, unread: imported.unread, first_unread, cut, has_paths })
}

/// The file of that name, or those that `strace -ff -o NAME` wrote, by number of the task.
fn logs(given: &Path) -> Result<Vec<PathBuf>, ImportError> {
    if given.is_file() {
        return Ok(vec![given.to_path_buf()]);
    }
    let missing = || ImportError::NoFile(given.to_path_buf());
    let stem = given.file_name().ok_or_else(missing)?.as_bytes();
    let parent = given.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let entries =
        std::fs::read_dir(parent).map_err(|source| ImportError::Open { path: parent.to_path_buf(), source })?;
    let is_one = |path: &PathBuf| path.file_stem().is_some_and(|own| own.as_bytes() == stem) && task_of(path) != 0;
    let mut found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_one).collect();
    found.sort_by_key(|path| task_of(path));
    if found.is_empty() { Err(missing()) } else { Ok(found) }
}

/// The number behind the last dot of the name: the task that `strace -ff` writes it for; else 0.
fn task_of(path: &Path) -> u32 {
    path.extension().and_then(|number| number.to_str()?.parse().ok()).unwrap_or(0)
}
