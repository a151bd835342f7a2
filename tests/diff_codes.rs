//! Each code of a difference: a pair of profiles that shows it, with all that is said of them, and the page that lists them.
//!
//! `PINFOLD_TEST_BLESS=1` writes the expected texts and the page anew; the difference is part of the review.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test program: a panic in a helper is a failed test")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use pinfold::diff::codes::{Code, rows};
use pinfold::diff::render::terminal::{self, Style};
use pinfold::diff::{Context, Difference, compare};
use pinfold::profile::emit::emit;
use pinfold::profile::parse::parse;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// Compares with what is stored, or stores it.
fn stands(path: &Path, text: &str) {
    if std::env::var_os("PINFOLD_TEST_BLESS").is_some() {
        std::fs::write(path, text).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(stored == text, "{} is not up to date: run this test with PINFOLD_TEST_BLESS=1\n{text}", path.display());
}

fn difference(directory: &Path) -> Difference {
    let read = |name: &str| {
        let text = std::fs::read_to_string(directory.join(name)).unwrap();
        let profile = parse(&text).unwrap_or_else(|error| panic!("{}/{name}:{error}", directory.display()));
        assert_eq!(emit(&profile, None), text, "{}/{name} is not canonical", directory.display());
        profile
    };
    compare(&read("old.toml"), &read("new.toml"), &Context::default())
}

fn plain(difference: &Difference) -> String {
    terminal::text(difference, &Style { width: 100, paint: &|text, _| text.to_owned() })
}

#[test]
fn each_code_is_shown_by_a_pair_of_profiles_and_says_what_it_should() {
    for code in Code::ALL {
        let directory = root().join("fixtures/diff").join(code.as_str());
        let difference = difference(&directory);
        assert!(
            difference.changes.iter().any(|change| change.code == *code),
            "{}: {}",
            code.as_str(),
            plain(&difference)
        );
        let mut text = plain(&difference);
        if *code == Code::HomeOpened {
            // What lies in a home directory is the whole table.
            let opens =
                |line: &&str| !line.trim_start().starts_with("opens ") && !line.ends_with("more sensitive places");
            text = text.lines().filter(opens).map(|line| format!("{line}\n")).collect();
        }
        stands(&directory.join("expected.txt"), &text);
    }
    let stored = std::fs::read_dir(root().join("fixtures/diff")).unwrap().count();
    assert_eq!(stored, Code::ALL.len(), "a fixture without a code");
}

#[test]
fn the_page_of_codes_is_made_from_the_table() {
    let mut page = String::from(
        "# Codes of differences

`pinfold diff OLD NEW` compares what two profiles *allow*, not how they are written. Each difference has a code that never
changes its meaning. This page is made from `src/data/diff-codes.toml` by a test.

**Risk**: 0 nothing of worth · 1 bounded by the sandbox · 2 worth a look · 3 weakens a protection, or lets something of worth
be read · 4 keys and tokens, what your machine runs, ways out of the sandbox. Where a range stands, the place, the call or the
name decides.

**Direction**: *widens*: something is allowed that was refused. *Narrows*: the other way round. *Neutral*: nothing is given or
taken now; a line may wait for approval.

",
    );
    let mut section = "-";
    for row in rows() {
        if row.section != section {
            section = &row.section;
            let heading = if section.is_empty() { "The whole".to_owned() } else { format!("`[{section}]`") };
            let _ = writeln!(page, "## {heading}\n");
        }
        let risk = match row.risk {
            [0, 0] => String::new(),
            [least, most] if least == most => format!(", risk {least}"),
            [least, most] => format!(", risk {least} to {most}"),
        };
        let _ = writeln!(
            page,
            "### {}\n\n*{}{risk}.* “{}.” {}\n",
            row.code,
            capital(row.direction.as_str()),
            row.sentence,
            row.meaning
        );
    }
    stands(&root().join("docs/diff-codes.md"), &(page.trim_end().to_owned() + "\n"));
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
