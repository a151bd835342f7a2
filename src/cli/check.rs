//! `pinfold check`: what a reviewer would stumble over in a profile.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use crate::check::{self, Finding, Known, Weight, sarif};
use crate::diff::render::Source;
use crate::diff::{Change, Context, ceiling};
use crate::profile::evidence::date;
use crate::run::profile_file::{self, ProfileFile};
use crate::run::surroundings::Surroundings;
use crate::run::{VERSION, evidence};
use crate::store::{Store, approvals};
use crate::vocab::escape;

use super::arguments::{CheckArguments, CheckFormat};
use super::exit::Exit;
use super::screen::{self, Colour, paint};
use super::{hints, show};

pub(super) fn run(arguments: &CheckArguments) -> Exit {
    let surroundings = Surroundings::read(None).ok();
    let ceiling = match arguments.ceiling.as_deref().map(show::open).transpose() {
        Ok(ceiling) => ceiling,
        Err(exit) => return exit,
    };
    let mut checked = Vec::new();
    let mut trouble = false;
    for given in &arguments.profiles {
        match show::open(given).and_then(|file| if arguments.fix { fix(&file) } else { Ok(file) }) {
            Ok(file) => {
                let mut findings = findings(&file, surroundings.as_ref());
                if let Some(ceiling) = &ceiling {
                    findings.extend(above(&file, ceiling, surroundings.as_ref()));
                }
                checked.push((name(given, &file), findings));
            }
            Err(_) => trouble = true,
        }
    }
    let text = match arguments.format {
        CheckFormat::Text => text(&checked),
        CheckFormat::Json => {
            let files: Vec<_> =
                checked.iter().map(|(file, findings)| json!({ "file": file, "findings": findings })).collect();
            format!("{}\n", json!({ "version": 1, "files": files }))
        }
        CheckFormat::Sarif => format!("{:#}\n", sarif::sarif(VERSION, &checked)),
    };
    let warned = checked.iter().flat_map(|(_, findings)| findings).any(|finding| finding.weight == Weight::Warning);
    match screen::data(&text) {
        Ok(()) if !trouble => {
            if warned {
                Exit::Differs
            } else {
                Exit::Success
            }
        }
        _ => Exit::Trouble,
    }
}

/// As it was typed where that is a file, since a code host knows it by that; else where it lies.
fn name(given: &Path, file: &ProfileFile) -> String {
    let path = if given.is_file() { given } else { file.path.as_path() };
    escape::file(path.as_os_str().as_encoded_bytes())
}

fn findings(file: &ProfileFile, surroundings: Option<&Surroundings>) -> Vec<Finding> {
    let absent: Option<BTreeSet<_>> = surroundings.map(|surroundings| {
        let is_absent = |place: &&crate::vocab::location::Location| {
            let path = surroundings.roots.resolve(place);
            path.is_some_and(|path| std::fs::symlink_metadata(path.to_path_buf()).is_err())
        };
        file.profile.filesystem.keys().filter(is_absent).cloned().collect()
    });
    let evidence = surroundings.and_then(|surroundings| match evidence::load(surroundings, &file.path) {
        Ok(evidence) => evidence,
        Err(error) => {
            screen::warn(format!("what nobody used is not told: {}", screen::chain(&error)));
            None
        }
    });
    let expired = surroundings.and_then(|surroundings| expired(file, surroundings));
    let known = Known { evidence: evidence.as_ref(), absent: absent.as_ref(), expired: expired.as_deref() };
    check::check(&file.text, &file.profile, &known)
}

/// What the profile could allow and the ceiling does not, line by line.
fn above(file: &ProfileFile, ceiling: &ProfileFile, surroundings: Option<&Surroundings>) -> Vec<Finding> {
    let here = surroundings.map(|surroundings| &surroundings.roots);
    let context = Context { here, ..Context::default() };
    let source = Source { path: "", text: &file.text };
    let finding = |change: &Change| Finding {
        code: check::Code::AboveCeiling,
        weight: Weight::Warning,
        line: source.line(change),
        about: change.line.trim_matches('"').to_owned(),
        sentence: format!("above the ceiling: {} ({})", change.text(), change.code.as_str()),
    };
    ceiling::below(&file.profile, &ceiling.profile, &context).changes.iter().map(finding).collect()
}

/// The day until which it was approved, if that is over.
fn expired(file: &ProfileFile, surroundings: &Surroundings) -> Option<String> {
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid).ok()?;
    let approval = store.approval(&file.path, &file.digest).ok()??;
    approval.expires.filter(|_| approval.is_over(approvals::now())).map(date)
}

fn fix(file: &ProfileFile) -> Result<ProfileFile, Exit> {
    profile_file::save(&file.path, &check::mend(&file.profile), Some(file)).map_err(|error| {
        screen::error(&error, hints::profile_file(&error).as_deref());
        Exit::Trouble
    })
}

fn text(checked: &[(String, Vec<Finding>)]) -> String {
    let mut out = String::new();
    for (file, findings) in checked {
        for finding in findings {
            let weight = match finding.weight {
                Weight::Warning => paint("warning", Colour::Yellow),
                Weight::Note => paint("note", Colour::Cyan),
            };
            let about = if finding.about.is_empty() { String::new() } else { format!("`{}` ", finding.about) };
            let code = finding.code.as_str();
            let _ = writeln!(out, "{file}:{}: {weight}: {about}{} [{code}]", finding.line, finding.sentence);
        }
    }
    out
}
