//! Comments that a person wrote into a profile, taken from one text and put into the next.
//!
//! A comment belongs to the line that it stands on, or else to the next line with something on it. It moves with what that
//! line says, wherever the canonical order puts it, and goes when the line goes; above the header of a section that is no
//! longer there it stays, above what follows. Invariant: a text that was woven once is woven into itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml_edit::{Document, Item, Key, Table, Value};

use super::emit::Line;
use super::parse::is_deceptive;

/// Something that a comment can belong to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Anchor {
    /// `""` for the top, `"syscalls.arguments"`.
    pub(super) section: String,
    /// What in it.
    pub(super) part: Part,
}

/// Something in a section.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// `[section]`
    Header,
    /// `key = ...`, or `key = [` of a list.
    Key(String),
    /// An element of a list.
    Element(String, String),
    /// `]` of a list.
    Close(String),
    /// The end of the file.
    End,
}

/// The comments of one text.
#[derive(Debug, Default)]
pub(super) struct Comments(BTreeMap<Anchor, Attached>);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Attached {
    /// Lines above; an empty one for a gap between two of them.
    above: Vec<String>,
    /// Behind, on the line itself.
    behind: Option<String>,
}

/// Sections in the order of files: where comments above a header go when it is not there.
const ORDER: &[&str] = &["filesystem", "network", "syscalls", "syscalls.arguments", "environment", "secrets", "limits"];

impl Comments {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of `text`; none if it is no TOML.
    pub(super) fn of(text: &str) -> Self {
        if !text.contains('#') {
            return Self::default();
        }
        let Ok(document) = Document::parse(text) else { return Self::default() };
        let mut scan = Scan::default();
        scan.table("", document.as_table());
        scan.anchor(text.len()..text.len(), "", Part::End);
        scan.anchors.sort_by_key(|(span, _)| span.start);
        scan.opaque.sort_by_key(|span| span.start);
        let mut furthest = 0;
        let ends = scan.anchors.iter().map(|(span, _)| {
            furthest = span.end.max(furthest);
            furthest
        });
        let ends: Vec<usize> = ends.collect();
        let mut comments = Self::default();
        for comment in scan.comments(text) {
            comments.attach(text, &scan.anchors, &ends, &comment);
        }
        comments
    }

    /// `ends`: of each anchor, how far it and those before it reach. A text may have as many comments as lines.
    fn attach(&mut self, text: &str, anchors: &[(Range<usize>, Anchor)], ends: &[usize], comment: &Range<usize>) {
        let words = text.get(comment.clone()).unwrap_or_default().trim_end().to_owned();
        if words.contains(is_deceptive) {
            return;
        }
        let line = line_start(text, comment.start);
        let first_behind = anchors.partition_point(|(span, _)| span.start < comment.start);
        let (known, ends) = (anchors.get(..first_behind), ends.get(..first_behind));
        let earlier = known.unwrap_or_default().iter().zip(ends.unwrap_or_default()).rev();
        let before =
            earlier.take_while(|(_, end)| **end > line).map(|(found, _)| found).find(|(span, _)| span.end > line);
        if let Some((span, anchor)) = before {
            let attached = self.0.entry(anchor.clone()).or_default();
            // Inside a table of several lines, or behind a second thing on the line: above it, then.
            if span.end <= comment.start && attached.behind.is_none() {
                attached.behind = Some(words);
            } else {
                attached.above.push(words);
            }
        } else if let Some((_, anchor)) = anchors.get(first_behind) {
            let attached = self.0.entry(anchor.clone()).or_default();
            let gap = text.get(..line).unwrap_or_default().lines().next_back().is_some_and(|l| l.trim().is_empty());
            if gap && !attached.above.is_empty() {
                attached.above.push(String::new());
            }
            attached.above.push(words);
        }
    }

    /// With those that `theirs` has and `base` had not, without those that `theirs` has no more.
    pub(super) fn merged(mut self, base: &Self, theirs: &Self) -> Self {
        let none = Attached::default();
        for anchor in base.0.keys().chain(theirs.0.keys()) {
            let of = |side: &Self| side.0.get(anchor).cloned().unwrap_or_default();
            let (before, ours, theirs) = (of(base), of(&self), of(theirs));
            let merged = ours.merged(&before, &theirs);
            if merged == none {
                self.0.remove(anchor);
            } else {
                self.0.insert(anchor.clone(), merged);
            }
        }
        self
    }

    /// The text of `lines`, with the comments that belong to them.
    pub(super) fn weave(mut self, lines: Vec<Line>) -> String {
        self.resettle(&lines);
        let mut out = String::new();
        for Line { anchor, indent, text } in lines {
            if anchor.part == Part::Header {
                out.push('\n');
            }
            let attached = self.0.remove(&anchor).unwrap_or_default();
            attached.above(&mut out, if matches!(anchor.part, Part::Close(_)) { "    " } else { indent });
            out.push_str(indent);
            out.push_str(&text);
            if let Some(words) = attached.behind {
                out.push(' ');
                out.push_str(&words);
            }
            out.push('\n');
        }
        let end = self.0.remove(&Anchor { section: String::new(), part: Part::End }).unwrap_or_default();
        if !end.above.is_empty() {
            out.push('\n');
            end.above(&mut out, "");
        }
        out
    }

    /// Finds another place for comments whose own is not in `lines`, where there is one.
    fn resettle(&mut self, lines: &[Line]) {
        let known: BTreeSet<&Anchor> = lines.iter().map(|line| &line.anchor).collect();
        let there = |anchor: &Anchor| known.contains(anchor);
        let lost: Vec<Anchor> = self.0.keys().filter(|anchor| !there(anchor)).cloned().collect();
        for anchor in lost.into_iter().rev().filter(|anchor| anchor.part != Part::End) {
            let Some(section) = section_of_refuge(&anchor) else { continue };
            let header = |name: &&str| Anchor { section: (*name).to_owned(), part: Part::Header };
            let mut later = ORDER.iter().skip_while(|name| **name != section);
            let end = Anchor { section: String::new(), part: Part::End };
            let refuge = later.find(|name| there(&header(name))).map_or(end, header);
            let Some(moved) = self.0.remove(&anchor) else { continue };
            let settled = self.0.entry(refuge).or_default();
            let mut above = moved.above;
            above.extend(moved.behind);
            if !settled.above.is_empty() {
                above.push(String::new());
            }
            above.append(&mut settled.above);
            settled.above = above;
        }
    }
}

impl Attached {
    fn merged(self, base: &Self, theirs: &Self) -> Self {
        if *theirs == *base || self == *theirs {
            return self;
        }
        if self == *base {
            return theirs.clone();
        }
        let mut above: Vec<String> = self.above;
        let new = |words: &&String| !above.contains(words) && !base.above.contains(words);
        let more: Vec<String> = theirs.above.iter().filter(new).cloned().collect();
        above.retain(|words| !base.above.contains(words) || theirs.above.contains(words));
        above.extend(more);
        let behind = if self.behind == base.behind { theirs.behind.clone() } else { self.behind };
        // Two words behind one line: the second goes above it.
        above.extend(
            theirs.behind.clone().filter(|words| Some(words) != behind.as_ref() && theirs.behind != base.behind),
        );
        Self { above, behind }
    }

    fn above(&self, out: &mut String, indent: &str) {
        for words in &self.above {
            if !words.is_empty() {
                out.push_str(indent);
                out.push_str(words);
            }
            out.push('\n');
        }
    }
}

/// The section whose header, or a later one, takes the comments of a line that is not written any more: those of another
/// header, and those of a list that is empty or a table that had another spelling. Others go with their grant.
fn section_of_refuge(anchor: &Anchor) -> Option<&str> {
    match &anchor.part {
        Part::Header => Some(&anchor.section),
        Part::Key(key) if anchor.section.is_empty() => Some(key),
        Part::Key(key) if matches!(key.as_str(), "allow" | "approved" | "pass") => Some(&anchor.section),
        _ => None,
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1)
}

/// What stands where in a text.
#[derive(Default)]
struct Scan {
    anchors: Vec<(Range<usize>, Anchor)>,
    /// Keys and strings: a `#` in them begins no comment.
    opaque: Vec<Range<usize>>,
}

impl Scan {
    fn anchor(&mut self, span: Range<usize>, section: &str, part: Part) {
        self.anchors.push((span, Anchor { section: section.to_owned(), part }));
    }

    fn table(&mut self, section: &str, table: &Table) {
        for (name, _) in table.iter() {
            let Some((key, item)) = table.get_key_value(name) else { continue };
            self.opaque.extend(key.span());
            match item {
                Item::Table(inner) => {
                    let path = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
                    if let (Some(span), false) = (inner.span(), inner.is_dotted() || inner.is_implicit()) {
                        self.opaque.push(span.clone());
                        self.anchor(span, &path, Part::Header);
                    }
                    self.table(&path, inner);
                }
                Item::Value(value) => self.entry(section, key, value),
                Item::None | Item::ArrayOfTables(_) => {}
            }
        }
    }

    fn entry(&mut self, section: &str, key: &Key, value: &Value) {
        let (Some(start), Some(end)) = (key.span(), value.span()) else { return };
        let name = key.get();
        match value {
            // The command stays on one line: what is said inside it is said of the whole.
            Value::Array(array) if (section, name) != ("", "command") && !array.is_empty() => {
                self.anchor(start.start..end.start + 1, section, Part::Key(name.to_owned()));
                for element in array {
                    let part = Part::Element(name.to_owned(), element.as_str().unwrap_or_default().to_owned());
                    element.span().into_iter().for_each(|span| self.anchor(span, section, part.clone()));
                    self.value(element);
                }
                self.anchor(end.end - 1..end.end, section, Part::Close(name.to_owned()));
            }
            value => {
                self.anchor(start.start..end.end, section, Part::Key(name.to_owned()));
                self.value(value);
            }
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Array(array) => array.iter().for_each(|element| self.value(element)),
            Value::InlineTable(table) => {
                for (name, value) in table {
                    self.opaque.extend(table.key(name).and_then(Key::span));
                    self.value(value);
                }
            }
            scalar => self.opaque.extend(scalar.span()),
        }
    }

    /// Where the comments are.
    fn comments(&self, text: &str) -> Vec<Range<usize>> {
        let mut comments = Vec::new();
        let mut opaque = self.opaque.iter().peekable();
        let mut at = 0;
        while let Some(hash) = text.get(at..).and_then(|rest| rest.find('#')).map(|found| at + found) {
            while opaque.next_if(|span| span.end <= hash).is_some() {}
            if let Some(span) = opaque.next_if(|span| span.start <= hash) {
                at = span.end;
                continue;
            }
            let end = text.get(hash..).and_then(|rest| rest.find('\n')).map_or(text.len(), |found| hash + found);
            comments.push(hash..end);
            at = end;
        }
        comments
    }
}
