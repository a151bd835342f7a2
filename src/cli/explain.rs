//! `pinfold explain`: who needed this, since when, which line covers it; or why it is not granted.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use crate::explain::{self, Answer, Question, tree};
use crate::profile::evidence::{Evidence, Outcome, Subject};
use crate::run::evidence;
use crate::vocab::bundle::Layout;

use super::arguments::ExplainArguments;
use super::exit::Exit;
use super::screen::{self, Colour, paint};
use super::show;

pub(super) fn run(arguments: &ExplainArguments) -> Exit {
    let (file, surroundings) = match show::open_here(&arguments.profile) {
        Ok(opened) => opened,
        Err(exit) => return exit,
    };
    let typed = arguments.what.as_ref().map(|what| {
        let exists = !what.as_bytes().contains(&b'/') && std::path::Path::new(what).exists();
        if exists { [b"./", what.as_bytes()].concat() } else { what.as_bytes().to_vec() }
    });
    let ask = |typed: &[u8], known: &Evidence| {
        Question::parse(typed, &surroundings.roots, &surroundings.workdir, &file.profile, known)
    };
    // For one answer the other places need not be read; what is a place can be told without the evidence.
    let place = match typed.as_deref().map(|typed| ask(typed, &Evidence::default())) {
        Some(Ok(Question::Place(path))) => Some(surroundings.roots.locate(&path)),
        _ => None,
    };
    let is_exported = arguments.export_evidence.is_some();
    let counts = typed.is_none() && !is_exported;
    let whole = arguments.tree || is_exported;
    let found = match &arguments.evidence {
        Some(path) if counts => evidence::import_counting(path).map(Some),
        None if counts => evidence::load_counting(&surroundings, &file.path),
        Some(path) if whole => evidence::import(path).map(Some),
        Some(path) => evidence::import_about(path, place.as_ref()).map(Some),
        None if whole => evidence::load(&surroundings, &file.path),
        None => evidence::load_about(&surroundings, &file.path, place.as_ref()),
    };
    let known = match found {
        Ok(known) => known,
        Err(error) => return fail(&error, Some("learning again writes it anew")),
    };
    if let Some(path) = &arguments.export_evidence {
        let Some(known) = &known else {
            screen::say(format!("{} nothing is known of the runs behind this profile", paint("error:", Colour::Red)));
            return Exit::Trouble;
        };
        if let Err(error) = evidence::export(path, known) {
            return fail(&error, None);
        }
        if arguments.what.is_none() && !arguments.tree {
            return Exit::Success;
        }
    }
    let known = known.unwrap_or_default();
    let Some(typed) = typed else { return show_tree(&known, None) };
    let question = ask(&typed, &known);
    let question = match question {
        Ok(question) => question,
        Err(error) => {
            return fail(&error, Some("a path begins with /, ./, ~ or a variable; a host is written name:port"));
        }
    };
    if arguments.tree {
        let subject = match &question {
            Question::Place(path) => Subject::Place(surroundings.roots.locate(path)),
            Question::Call(call) => Subject::Call(*call),
            Question::Peer(peer) => Subject::Peer(peer.clone()),
            Question::Variable(name) => Subject::Variable(name.clone()),
        };
        return show_tree(&known, Some(&subject));
    }
    let layout = Layout::of(&|mark| std::path::Path::new(mark).exists());
    let answer = explain::explain(&file.profile, &known, &surroundings.roots, layout, &question);
    let text = if arguments.json { json(&answer) } else { text(&answer, &question) };
    end(&text)
}

fn fail(error: &dyn std::error::Error, hint: Option<&str>) -> Exit {
    screen::error(error, hint);
    Exit::Trouble
}

fn show_tree(evidence: &Evidence, only: Option<&Subject>) -> Exit {
    let text = tree::draw(evidence, only);
    if text.is_empty() {
        screen::say(match evidence.runs.len() {
            0 => "nothing is known here of the runs behind this profile",
            _ => "no program needed that",
        });
    }
    end(&text)
}

fn end(text: &str) -> Exit {
    match screen::data(text) {
        Ok(()) => Exit::Success,
        Err(_) => Exit::Trouble,
    }
}

fn json(answer: &Answer) -> String {
    serde_json::to_string_pretty(answer).map(|text| text + "\n").unwrap_or_default()
}

fn text(answer: &Answer, question: &Question) -> String {
    let mut out = format!("{}: {}\n", answer.subject, answer.verdict.as_str());
    let _ = writeln!(out, "  why      {}", answer.why);
    if let Some(line) = &answer.line {
        let _ = writeln!(out, "  line     {line}");
    }
    if let Some(opens) = &answer.opens {
        let more = if opens.more { "more than " } else { "" };
        let _ = writeln!(
            out,
            "  opens    the runs used or looked for {} there; {more}{} names were counted in its directories",
            opens.observed, opens.exposed
        );
    }
    if let Some(seen) = &answer.seen {
        let access = seen.access.map(|access| format!(" ({access})")).unwrap_or_default();
        let days = if seen.first == seen.last {
            format!("on {}", seen.first)
        } else {
            format!("first on {}, last on {}", seen.first, seen.last)
        };
        let outcome = match (question, seen.outcome) {
            // It was there, and nobody can tell whether it was looked for.
            (Question::Variable(_), Outcome::Probed) => "set",
            (_, outcome) => outcome.as_str(),
        };
        let _ = writeln!(out, "  seen     {outcome}{access} in {} of {} runs, {days}", seen.runs, seen.of);
        for (index, chain) in seen.chains.iter().enumerate() {
            let _ = writeln!(out, "  {}  {chain}", if index == 0 { "by     " } else { "       " });
        }
        if let Some(because) = &seen.because {
            let _ = writeln!(out, "  because  of {because}: without it nobody would have needed this");
        }
    }
    if let Some(remedy) = &answer.remedy {
        let _ = writeln!(out, "  allow    {remedy}");
    }
    out
}
