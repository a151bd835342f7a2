//! A profile, its runs and their refusals → one HTML page for a person: what the agent may do, in plain words.
//!
//! Invariant: the page needs nothing but itself: no network, no other file. Its policy allows the one style and the one
//! script that are in it, by their digests, and nothing else; without the script all of its text is there. It is at most a
//! few megabytes, however large the traces are: what is left out is counted.

mod files;
mod markup;
mod programs;
mod sections;

use sha2::{Digest as _, Sha256};

use crate::profile::Profile;
use crate::profile::asked::{Asked, Index};
use crate::trace::Trace;
use crate::vocab::escape;

use files::Files;
use markup::Markup;
use programs::Programs;

const STYLE: &str = include_str!("../../data/page.css");
const SCRIPT: &str = include_str!("../../data/page.js");

/// What a page is made from.
#[derive(Debug)]
pub struct Page<'a> {
    /// The profile.
    pub profile: &'a Profile,
    /// `sha256:…` over its meaning.
    pub digest: &'a str,
    /// Whether that was approved on this machine.
    pub approval: Approval,
    /// The runs that it was learned from, as far as they are kept.
    pub traces: &'a [Trace],
    /// What was refused in runs under it.
    pub refused: &'a [Refused],
    /// How much the evidence is worth, in sentences.
    pub confidence: Vec<String>,
    /// Who asked for each line, where that is kept.
    pub evidence: Option<&'a Index<'a>>,
    /// Another profile that it is compared with.
    pub comparison: Option<Comparison>,
}

/// Whether somebody said yes to a profile as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// On this machine.
    Approved,
    /// Not on this machine.
    NotApproved,
    /// It could not be told.
    Unknown,
}

impl Approval {
    fn words(self) -> &'static str {
        match self {
            Self::Approved => "approved on this machine",
            Self::NotApproved => "not approved on this machine",
            Self::Unknown => "whether it is approved on this machine could not be told",
        }
    }
}

/// Something that runs were refused.
#[derive(Debug)]
pub struct Refused {
    /// What, in words; places as in files.
    pub what: String,
    /// The program, and those above it.
    pub by: String,
    /// How often.
    pub times: u64,
    /// The line that would allow it; `None` when no line may.
    pub allow: Option<String>,
}

/// What is different from another profile.
#[derive(Debug)]
pub struct Comparison {
    /// What the other one is called.
    pub with: String,
    /// The verdict, in one sentence.
    pub verdict: String,
    /// The differences, the most dangerous first.
    pub changes: Vec<Difference>,
}

/// One difference, as the comparison of profiles tells it.
#[derive(Debug)]
pub struct Difference {
    /// `widens`, `narrows`, …
    pub direction: String,
    /// From 0 to 4.
    pub risk: u8,
    /// What it means to a person.
    pub sentence: String,
    /// The line of the other profile; empty where it has none.
    pub before: String,
    /// The line of this one; empty where it has none.
    pub after: String,
    /// Who asked for it, by the evidence of the other profile and by that of this one.
    pub asked: [Option<Asked>; 2],
}

/// The page.
pub fn page(of: &Page<'_>) -> String {
    let refused = files::places(of.refused);
    let files = Files::of(of.profile, of.traces, &refused);
    let programs = Programs::of(of.traces);
    let command = escape::terminal(of.profile.command.join(" ").as_bytes());
    let mut page = Markup::default();
    head(&mut page, &command);
    page.raw("<body>\n<a class=\"skip\" href=\"#main\">To the text</a>\n<header>\n<h1>What <code>").shown(&command);
    page.raw("</code> may do</h1>\n");
    sections::summary(of, &mut page);
    page.raw("</header>\n<nav aria-label=\"Sections\"><ul>\n");
    let mut listed = vec![("grants", "In plain words")];
    if of.comparison.is_some() {
        listed.insert(0, ("comparison", "What is different"));
    }
    listed.extend([("map", "File tree"), ("programs", "Programs"), ("hosts", "Hosts"), ("calls", "System calls")]);
    listed.push(("refused", "Refused"));
    for (id, title) in listed {
        page.raw("<li><a href=\"#").raw(id).raw("\">").raw(title).raw("</a>\n");
    }
    page.raw("</ul></nav>\n<main id=\"main\">\n");
    page.raw("<p class=\"filter\" hidden><label>Show only lines with <input type=\"search\" id=\"filter\"></label> ");
    page.raw("<output id=\"found\" for=\"filter\"></output></p>\n");
    if let Some(comparison) = &of.comparison {
        sections::comparison(comparison, &mut page);
    }
    sections::grants(of, &files, &mut page);
    map(&files, &mut page);
    page.raw("<section id=\"programs\">\n<h2>Programs, and what each needed</h2>\n");
    if of.traces.is_empty() {
        page.raw("<p>No run of it is kept on this machine.</p>\n");
    } else {
        programs.markup(&mut page);
    }
    page.raw("</section>\n");
    sections::hosts(of.profile, &programs, &mut page);
    sections::calls(of, &programs, &mut page);
    sections::refused(of.refused, &mut page);
    page.raw("</main>\n<script>").raw(SCRIPT).raw("</script>\n</body>\n</html>\n");
    page.into_string()
}

fn head(page: &mut Markup, command: &str) {
    page.raw("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"");
    page.shown(&format!(
        "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'",
        base64(&Sha256::digest(STYLE)),
        base64(&Sha256::digest(SCRIPT))
    ));
    page.raw("\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw("<meta name=\"color-scheme\" content=\"light dark\">\n<title>What ").shown(command);
    page.raw(" may do</title>\n<style>").raw(STYLE).raw("</style>\n</head>\n");
}

fn map(files: &Files<'_>, page: &mut Markup) {
    page.raw("<section id=\"map\">\n<h2>File tree</h2>\n");
    page.raw("<p>The size of a place is the number of names in it that a run used, or could have seen. ");
    page.raw("Beside each name: <b>g</b> granted and used, <b>x</b> granted and not used, ");
    page.raw("<b>u</b> used without a line of its own, <b>r</b> refused, <b>w</b> only on the way.</p>\n");
    page.raw("<div id=\"tree-map\" hidden></div>\n");
    let data = files.data();
    page.raw("<details id=\"tree-text\" open><summary>As a list</summary>\n<ul class=\"tree\">");
    sections::places(&data, page);
    page.raw("</ul></details>\n");
    page.data("tree-data", &data.to_string());
    page.raw("</section>\n");
}

/// RFC 4648 §4, for the digests of the page's policy.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let index = usize::try_from(word >> (18 - 6 * digit) & 63).unwrap_or(0);
            let letter = ALPHABET.get(index).copied().map_or('=', char::from);
            out.push(if digit <= chunk.len() { letter } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
