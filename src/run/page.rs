//! A profile file → the page about it: what is kept of its runs and approvals on this machine, put together.
//!
//! A trace that cannot be read is left out and named; everything else that is missing is said on the page.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::diff;
use crate::export::page::{Approval, Comparison, Difference, Page, Refused, page};
use crate::profile::asked::Index;
use crate::profile::evidence::Evidence;
use crate::store::{Store, StoreError};
use crate::trace::Trace;
use crate::trace::reader::{ReadError, read};

use super::profile_file::ProfileFile;
use super::refusals;

/// A page, and what could not go into it.
#[derive(Debug)]
pub struct Report {
    /// The HTML.
    pub html: String,
    /// Traces that were left out.
    pub unread: Vec<(PathBuf, ReadError)>,
}

/// A profile and what is kept of the runs behind it.
#[derive(Debug)]
pub struct Subject {
    /// The profile.
    pub file: ProfileFile,
    /// Who asked for each of its lines, where that is kept.
    pub evidence: Option<Evidence>,
}

/// The page about `subject`, compared with `other` where one is given. Without a store nothing of its runs is known.
/// `confidence`: sentences on how much they are worth.
pub fn report(
    subject: &Subject,
    other: Option<&Subject>,
    traces: &[PathBuf],
    store: Option<&Store>,
    confidence: Vec<String>,
) -> Result<Report, StoreError> {
    let file = &subject.file;
    let mut paths = traces.to_vec();
    let mut approval = Approval::Unknown;
    if let Some(store) = store {
        approval = if file.is_approved(store)? { Approval::Approved } else { Approval::NotApproved };
        if paths.is_empty() {
            paths = store.traces(&file.path)?;
        }
    }
    let refused = store.map_or_else(|| Ok(Vec::new()), |store| refused(store, &file.path))?;
    let (mut runs, mut unread) = (Vec::new(), Vec::new());
    for path in paths {
        match open(&path) {
            Ok(trace) => runs.push(trace),
            Err(error) => unread.push((path, error)),
        }
    }
    let known = subject.evidence.as_ref().map(Index::of);
    let html = page(&Page {
        profile: &file.profile,
        digest: &file.digest,
        approval,
        traces: &runs,
        refused: &refused,
        confidence,
        evidence: known.as_ref(),
        comparison: other.map(|other| comparison(other, subject)),
    });
    Ok(Report { html, unread })
}

/// What the kept runs were refused, the same thing once.
fn refused(store: &Store, profile: &Path) -> Result<Vec<Refused>, StoreError> {
    let mut times: BTreeMap<(String, String, Option<String>), u64> = BTreeMap::new();
    for refusal in refusals::kept(store, profile)?.into_iter().flat_map(|run| run.refusals) {
        *times.entry((refusal.what, refusal.by.join(" ← "), refusal.allow)).or_default() += refusal.times.max(1);
    }
    let row = |((what, by, allow), times)| Refused { what, by, times, allow };
    Ok(times.into_iter().map(row).collect())
}

fn open(path: &Path) -> Result<Trace, ReadError> {
    read(BufReader::with_capacity(1 << 20, File::open(path)?))
}

fn comparison(old: &Subject, new: &Subject) -> Comparison {
    let difference = diff::compare(&old.file.profile, &new.file.profile, &diff::Context::default());
    let verdict = match difference.verdict() {
        "widens" => "This profile allows something that the other one refuses.",
        "narrows" => "This profile allows less than the other one, and nothing more.",
        "same" => "They say the same.",
        _ => "They are written differently and allow the same.",
    };
    let known = [old, new].map(|side| side.evidence.as_ref().map(Index::of));
    let changes = difference.changes.iter().map(|change| {
        let mut sentence = change.text();
        for opened in &change.opens {
            sentence.push_str(&format!(" It holds {} ({}).", opened.place, opened.what));
        }
        Difference {
            direction: change.direction().as_str().to_owned(),
            risk: change.risk,
            sentence,
            before: change.old.clone(),
            after: change.new.clone(),
            asked: known.each_ref().map(|known| known.as_ref().and_then(|known| diff::asked(known, &change.subject))),
        }
    });
    Comparison { with: old.file.path.display().to_string(), verdict: verdict.to_owned(), changes: changes.collect() }
}
