//! For code scanners: the Static Analysis Results Interchange Format, version 2.1.0 (OASIS, 2020).
//!
//! In a message, square brackets make a link (section 3.11.6): in names they are escaped. A path is a relative URI.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::vocab::escape;

use super::super::codes::{Code, rows};
use super::super::{Change, Difference, Direction, Piece};
use super::Source;

/// The log of one comparison. `version`: of this program.
pub fn value(difference: &Difference, source: &Source<'_>, version: &str) -> Value {
    let rule = |row: &super::super::codes::Row| {
        json!({
            "id": row.code,
            "shortDescription": { "text": brackets(&row.sentence) },
            "fullDescription": { "text": brackets(&row.meaning) },
            "properties": { "direction": row.direction, "risk": row.risk },
        })
    };
    let result = |change: &Change| {
        json!({
            "ruleId": change.code,
            "ruleIndex": Code::ALL.iter().position(|code| *code == change.code),
            "level": level(change),
            "message": { "text": message(change) },
            "locations": [{
                "physicalLocation": {
                    "artifactLocation": { "uri": uri(source.path) },
                    "region": { "startLine": source.line(change) },
                },
            }],
            "properties": { "direction": change.direction(), "risk": change.risk },
        })
    };
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "pinfold",
                "version": version,
                "rules": rows().iter().map(rule).collect::<Vec<_>>(),
            } },
            "results": difference.changes.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn level(change: &Change) -> &'static str {
    match (change.direction(), change.risk) {
        (Direction::Widens, 3..) => "error",
        (Direction::Widens, 1..) => "warning",
        _ => "note",
    }
}

fn message(change: &Change) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Words(words) => words.clone(),
        Piece::Name(name) => format!("`{}`", brackets(&escape::terminal(name.as_bytes()).replace("\\\\", "\\"))),
    };
    let sentence: String = change.sentence.iter().map(piece).collect();
    let opens: Vec<String> = change.opens.iter().take(8).map(|opened| brackets(&opened.place)).collect();
    if opens.is_empty() { sentence } else { format!("{sentence}. Opens among others: {}", opens.join(", ")) }
}

fn brackets(text: &str) -> String {
    text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]")
}

/// RFC 3986: what is not unreserved is encoded; the slash stays.
fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_link_and_a_path_is_a_uri() {
        assert_eq!(brackets("[a](http://b)"), "\\[a\\](http://b)");
        assert_eq!(uri("a b/ü:c"), "a%20b/%C3%BC%3Ac");
    }
}
