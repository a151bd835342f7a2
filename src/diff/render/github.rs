//! Annotations on the lines of a pull request: the workflow commands of GitHub Actions.
//!
//! A command ends with its line. Per cent signs and line breaks are encoded, in properties colons and commas, too, so that a
//! name can neither end a command nor begin another.

use std::fmt::Write as _;

use crate::vocab::escape;

use super::super::{Difference, Direction};
use super::Source;

/// A command for each change that widens or waits.
pub fn text(difference: &Difference, source: &Source<'_>) -> String {
    let mut out = String::new();
    for change in difference.changes.iter().filter(|change| change.direction() != Direction::Narrows) {
        let command = match (change.direction(), change.risk) {
            (Direction::Widens, 3..) => "error",
            (Direction::Widens, 1..) => "warning",
            _ => "notice",
        };
        let _ = writeln!(
            out,
            "::{command} file={},line={},title={}::{}",
            property(source.path),
            source.line(change),
            property(&format!("{}, risk {}", change.code.as_str(), change.risk)),
            message(&change.text())
        );
    }
    out
}

fn message(text: &str) -> String {
    escape::terminal(text.as_bytes()).replace("\\\\", "\\").replace('%', "%25")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_no_command() {
        let hostile = message("a\n::error::b\r%0A");
        assert!(!hostile.contains(['\n', '\r']) && hostile.ends_with("%250A"), "{hostile}");
        assert_eq!(property("a,b:c"), "a%2Cb%3Ac");
    }
}
