//! Names that a program makes anew each time (with a process id, a uuid, letters of mkstemp, a time) → no line.
//!
//! In a program's own directory, in the project and in the private directories such names cost nothing, and beside a file
//! that is replaced they come with its grant. What is left are names directly in a directory that many programs share: a
//! line for one of them is of no use to the next run, and a pattern would open what is not the program's.
//!
//! Only evidence counts: the runs themselves made the names, none found one there, each is of one run alone, and there are
//! several of one form. In a single run that takes a form that nobody chooses. Of one name alone the line stays: it may be
//! there for good.

use std::collections::{BTreeMap, BTreeSet};

use crate::vocab::escape;
use crate::vocab::location::Location;

use super::{Grant, Note};

/// What one run has of lines: which, and those of them that are for names that it made in a shared directory.
pub(super) struct Names<'a> {
    pub(super) lines: &'a BTreeMap<Location, Grant>,
    pub(super) made: &'a BTreeSet<Location>,
}

/// The names of `runs` that are made anew each time; notes say so.
pub(super) fn ephemeral(runs: &[Names<'_>], notes: &mut BTreeSet<Note>) -> BTreeSet<Location> {
    let mut groups: BTreeMap<(Location, Form), Vec<(&Location, usize)>> = BTreeMap::new();
    for (number, run) in runs.iter().enumerate() {
        for place in run.made {
            let alone = runs.iter().enumerate().all(|(other, run)| other == number || !run.lines.contains_key(place));
            if let Some((dir, name)) = split(place).filter(|_| alone)
                && let Some(form) = form(name)
            {
                groups.entry((dir, form)).or_default().push((place, number));
            }
        }
    }
    let mut found = BTreeSet::new();
    for ((dir, form), names) in groups {
        let runs: BTreeSet<usize> = names.iter().map(|(_, run)| *run).collect();
        if runs.len() > 1 || (names.len() > 1 && form.is_unmistakable) {
            notes.insert(Note::Ephemeral { dir, form: escape::terminal(form.text.as_bytes()) });
            found.extend(names.into_iter().map(|(place, _)| place.clone()));
        }
    }
    found
}

/// The directory and the last component.
fn split(place: &Location) -> Option<(Location, &[u8])> {
    let Location::Path { base, rest } = place else { return None };
    let cut = rest.iter().rposition(|&byte| byte == b'/');
    let name = rest.get(cut.map_or(0, |cut| cut + 1)..)?;
    let dir = rest.get(..cut.unwrap_or(0)).unwrap_or_default().to_vec();
    (!name.is_empty()).then_some((Location::Path { base: *base, rest: dir }, name))
}

/// A name with what differs taken out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Form {
    text: String,
    /// What was taken out is nothing that a person would choose.
    is_unmistakable: bool,
}

/// The form of a name; `None` where nothing in it looks as if it would differ.
fn form(name: &[u8]) -> Option<Form> {
    let name = std::str::from_utf8(name).ok()?;
    let (mut text, mut rest) = (String::new(), name);
    let (mut is_form, mut is_unmistakable) = (false, false);
    while let Some(first) = rest.chars().next() {
        if !first.is_ascii_alphanumeric() {
            text.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        }
        if let Some(tail) = after_uuid(rest) {
            text.push_str("UUID");
            (is_form, is_unmistakable, rest) = (true, true, tail);
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        rest = tail;
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        if word.len() >= 16 && word.chars().all(|c| c.is_ascii_hexdigit()) {
            text.push('X');
            (is_form, is_unmistakable) = (true, true);
        } else if letters.len() < word.len() && letters.chars().all(|c| c.is_ascii_alphabetic()) && !is_mixed(letters) {
            // `run-1234`, `run1234`: a count, a process id, a port, a time.
            text.push_str(letters);
            text.push('N');
            is_form = true;
            is_unmistakable |= word.len() - letters.len() >= 4;
        } else if word.len() >= 6 && is_random(word) {
            let tmp = if word.starts_with("tmp") { "tmp" } else { "" };
            text.push_str(tmp);
            text.push('X');
            (is_form, is_unmistakable) = (true, true);
        } else {
            text.push_str(word);
        }
    }
    is_form.then_some(Form { text, is_unmistakable })
}

/// Capital letters within: `aBcDeF`, but not `Agent`.
fn is_mixed(word: &str) -> bool {
    word.chars().skip(1).any(|c| c.is_ascii_uppercase()) && word.chars().any(|c| c.is_ascii_lowercase())
}

/// Letters and digits as nobody writes them.
fn is_random(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_digit).count();
    is_mixed(word) || (digits > 0 && digits < word.len())
}

/// What follows a uuid at the start.
fn after_uuid(text: &str) -> Option<&str> {
    let mut rest = text;
    for (index, len) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix('-')?;
        }
        let part = rest.get(..len)?;
        part.chars().all(|c| c.is_ascii_hexdigit()).then_some(())?;
        rest = rest.get(len..)?;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::access::Access;

    #[test]
    fn forms_keep_what_stays_and_take_out_what_differs() {
        for (name, expected) in [
            (".agent-1234.lock", Some((".agent-N.lock", true))),
            ("run7", Some(("runN", false))),
            ("0b9e7c1a-33aa-4f0e-9d1c-aa00bb11cc22.jsonl", Some(("UUID.jsonl", true))),
            ("tmpab12cd9z", Some(("tmpX", true))),
            ("x.aZ3kQp", Some(("x.X", true))),
            ("deadbeef01234567", Some(("X", true))),
            (".agent", None),
            ("README", None),
            ("Agent.json", None),
        ] {
            let found = form(name.as_bytes());
            let found = found.as_ref().map(|form| (form.text.as_str(), form.is_unmistakable));
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(form(b"\xff1234"), None);
    }

    /// What is dropped, where each run made the first names and found the others there.
    fn dropped(runs: &[(&[&str], &[&str])]) -> Vec<String> {
        let place = |name: &&str| format!("~/{name}").parse::<Location>().unwrap();
        let grant = Grant { access: Access::Replace, sensitive: None };
        let lines: Vec<(BTreeMap<Location, Grant>, BTreeSet<Location>)> = runs
            .iter()
            .map(|(made, there)| {
                let lines = made.iter().chain(*there).map(|name| (place(name), grant)).collect();
                (lines, made.iter().map(place).collect())
            })
            .collect();
        let names: Vec<Names<'_>> = lines.iter().map(|(lines, made)| Names { lines, made }).collect();
        ephemeral(&names, &mut BTreeSet::new()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_that_differ_between_runs_are_of_no_use_to_the_next() {
        assert_eq!(dropped(&[(&[".a-1"], &[]), (&[".a-2"], &[])]), ["~/.a-1", "~/.a-2"]);
        // Siblings of a form that nobody chooses, in one run.
        assert_eq!(dropped(&[(&[".a-4711", ".a-4712", "data1", "data2"], &[])]), ["~/.a-4711", "~/.a-4712"]);
    }

    #[test]
    fn a_name_that_was_found_there_or_comes_again_or_is_alone_has_its_line() {
        assert!(dropped(&[(&[".a-1"], &[]), (&[], &[".a-1"])]).is_empty());
        assert!(dropped(&[(&[".a-1"], &[]), (&[".a-1"], &[])]).is_empty());
        assert!(dropped(&[(&[".a-4711"], &[])]).is_empty());
        assert!(dropped(&[(&[".a-1"], &[]), (&[".b-2"], &[])]).is_empty());
    }
}
