//! The forms of a difference: what each writes of a profile whose names are an attack on it.
//!
//! `PINFOLD_TEST_BLESS=1` writes the expected texts anew; the difference is part of the review.

#![expect(clippy::unwrap_used, reason = "a test program: a panic in a helper is a failed test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pinfold::diff::codes::Code;
use pinfold::diff::render::{Source, github, html, json, markdown, sarif, terminal};
use pinfold::diff::{Context, Difference, compare, nothing, three_way};
use pinfold::profile::Profile;
use pinfold::profile::emit::emit;
use pinfold::profile::parse::parse;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/diff-forms")
}

fn profile(name: &str) -> (Profile, String) {
    let text = std::fs::read_to_string(directory().join(name)).unwrap();
    let profile = parse(&text).unwrap();
    assert_eq!(emit(&profile, None), text, "{name} is not canonical");
    (profile, text)
}

fn hostile() -> (Difference, String) {
    let ((old, _), (new, text)) = (profile("old.toml"), profile("new.toml"));
    (compare(&old, &new, &Context::default()), text)
}

fn stands(name: &str, text: &str) {
    let path = directory().join(name);
    if std::env::var_os("PINFOLD_TEST_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(stored == text, "{name} is not up to date: run this test with PINFOLD_TEST_BLESS=1\n{text}");
}

const PATH: &str = "generated-profiles/a b.toml";

/// No raw control character but the newline, and nothing that turns text around.
fn shows_itself(text: &str) {
    let bad = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    assert!(!text.contains(bad), "{text:?}");
}

#[test]
fn the_terminal_form_is_inert_and_fits_a_narrow_terminal() {
    let (difference, _) = hostile();
    let form = |width| terminal::text(&difference, &terminal::Style { width, paint: &|text, _| text.to_owned() });
    shows_itself(&form(80));
    stands("expected.txt", &form(80));
    let too_long = |line: &&str| line.chars().count() > 60 && line.trim_start().contains(' ') && !line.contains('`');
    let narrow = form(60);
    assert_eq!(narrow.lines().find(too_long), None);
    let marked =
        terminal::text(&difference, &terminal::Style { width: 80, paint: &|text, look| format!("<{look:?}>{text}") });
    assert!(marked.contains("<Danger>+ risk 4"), "{marked}");
}

#[test]
fn the_markdown_form_is_inert() {
    let (difference, _) = hostile();
    let text = markdown::text(&difference, PATH);
    shows_itself(&text);
    stands("expected.md", &text);
    // Outside of code spans there is nothing of the profile.
    let mut outside = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find('`') {
        outside.push_str(&rest[..at]);
        let fence = rest[at..].chars().take_while(|c| *c == '`').count();
        let inner = &rest[at + fence..];
        let end = (0..inner.len())
            .filter(|&end| inner.is_char_boundary(end) && inner[end..].starts_with(&"`".repeat(fence)))
            .find(|&end| !inner[..end].ends_with('`') && !inner[end + fence..].starts_with('`'));
        rest = &inner[end.unwrap() + fence..];
    }
    outside.push_str(rest);
    for word in ["<script", "</code>", "@everyone", "link](", "__bold", "::error", "echo"] {
        assert!(!outside.contains(word), "{word} stands outside of a code span: {outside}");
    }
}

#[test]
fn the_html_form_is_inert_and_whole() {
    let (difference, _) = hostile();
    let text = html::text(&difference, PATH);
    shows_itself(&text);
    stands("expected.html", &text);
    for word in ["<script", "</code><script", "<b>", "src=", "href="] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    assert!(text.contains("Content-Security-Policy") && text.contains("<html lang="), "{text}");
}

#[test]
fn the_form_for_github_is_one_command_a_line() {
    let (difference, source) = hostile();
    let text = github::text(&difference, &Source { path: PATH, text: &source });
    shows_itself(&text);
    stands("expected.github", &text);
    for line in text.lines() {
        let parts: Vec<&str> = line.splitn(3, "::").collect();
        assert!(parts[0].is_empty() && parts[1].starts_with(['e', 'w', 'n']) && parts.len() == 3, "{line}");
    }
    let line = text.lines().find(|line| line.contains("secret-from-command")).unwrap();
    let number: usize = line.split("line=").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    assert!(source.lines().nth(number - 1).unwrap().starts_with("\"GH_TOKEN\""), "{line}");
}

/// What section 3 of the standard requires of what is used of it.
#[test]
fn the_sarif_form_has_what_the_standard_requires() {
    let (difference, source) = hostile();
    let log = sarif::value(&difference, &Source { path: PATH, text: &source }, "0.0.0");
    stands("expected.sarif", &format!("{:#}\n", log["runs"][0]["results"]));
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let driver = &run["tool"]["driver"];
    assert!(driver["name"].is_string());
    let rules = driver["rules"].as_array().unwrap();
    assert_eq!(rules.len(), Code::ALL.len());
    for rule in rules {
        assert!(rule["id"].is_string() && rule["shortDescription"]["text"].is_string());
    }
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), difference.changes.len());
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
        let text = result["message"]["text"].as_str().unwrap();
        assert!(!text.is_empty() && !text.contains("[link]"), "{text}");
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "generated-profiles/a%20b.toml");
        let line = usize::try_from(place["region"]["startLine"].as_u64().unwrap()).unwrap();
        assert!((1..=source.lines().count()).contains(&line));
    }
}

#[test]
fn the_json_form_is_one_line_with_every_field() {
    let (difference, _) = hostile();
    let text = json::text(&difference);
    stands("expected.json", &text);
    assert_eq!(text.matches('\n').count(), 1);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["verdict"], "widens");
    for change in value["changes"].as_array().unwrap() {
        for field in ["code", "direction", "risk", "section", "name", "sentence", "old", "new", "opens", "asked"] {
            assert!(change.get(field).is_some(), "{field}: {change}");
        }
    }
}

#[test]
fn three_ways_leave_out_what_the_other_side_took_away() {
    let (base, _) = profile("old.toml");
    let mut target = base.clone();
    target.filesystem.remove(&"/usr".parse().unwrap());
    let mut new = base.clone();
    new.environment.insert("EDITOR".to_owned());
    let codes = |difference: &Difference| -> Vec<&str> {
        difference.changes.iter().map(|change| change.code.as_str()).collect()
    };
    let context = Context::default();
    assert_eq!(codes(&compare(&target, &new, &context)), ["place-read", "variable-passed"]);
    assert_eq!(codes(&three_way(&base, &target, &new, &context)), ["variable-passed"]);
    // What a merge brings that the other side has by now is nothing new.
    target.environment.insert("EDITOR".to_owned());
    assert_eq!(codes(&three_way(&base, &target, &new, &context)), Vec::<&str>::new());
    assert!(compare(&nothing(&new), &new, &context).widens());
}

#[test]
fn a_bundle_that_opens_more_than_it_did_widens_and_covers_its_members() {
    let (mut old, _) = profile("old.toml");
    old.filesystem.clear();
    let text = emit(&old, None).replace("\n[syscalls]", "\n[filesystem]\n\"@git\" = \"read\"\n\n[syscalls]");
    let new = parse(&text).unwrap();
    let names = |difference: &Difference| -> BTreeSet<String> {
        difference.changes.iter().map(|change| change.name.clone()).collect()
    };
    let context = Context::default();
    assert_eq!(names(&compare(&old, &new, &context)), BTreeSet::from(["@git".to_owned()]));
    assert_eq!(compare(&new, &new, &context).changes, []);
    let mut before = new.clone();
    let opens = &mut before.bundles.get_mut("@git".trim_start_matches('@')).unwrap().opens;
    opens.pop_first().unwrap();
    assert!(compare(&before, &new, &context).widens() && !compare(&new, &before, &context).widens());
    assert_ne!(pinfold::profile::digest::digest(&before), pinfold::profile::digest::digest(&new));
}
