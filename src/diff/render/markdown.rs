//! For a comment on a merge request: Markdown as code hosts render it.
//!
//! A name stands in a code span whose fence is longer than any run of back ticks in it. In there nothing is markup, link,
//! mention or HTML; a line break, which would end the span, is escaped before.

use std::fmt::Write as _;

use crate::vocab::escape;

use super::super::{Change, Difference, Direction, Piece};
use super::terminal::summary;

const MOST_OPENED: usize = 20;

/// One profile's difference under a heading; ends with a newline.
pub fn text(difference: &Difference, path: &str) -> String {
    let mut out = String::new();
    let mark = if difference.widens() { "⚠️ " } else { "" };
    let _ = writeln!(out, "### {mark}{}\n\n{}", code(path), capital(&summary(difference)));
    for (direction, heading) in [
        (Direction::Widens, "Allows more"),
        (Direction::Neutral, "Gives and takes nothing now"),
        (Direction::Narrows, "Allows less"),
    ] {
        let changes: Vec<&Change> = difference.going(direction).collect();
        if changes.is_empty() {
            continue;
        }
        // What narrows is rarely what a reviewer looks for.
        let folded = direction == Direction::Narrows && changes.len() > 5;
        let _ = if folded {
            writeln!(out, "\n<details><summary>{heading} ({})</summary>\n", changes.len())
        } else {
            writeln!(out, "\n**{heading}**\n")
        };
        changes.iter().for_each(|change| one(&mut out, change));
        if folded {
            out.push_str("\n</details>\n");
        }
    }
    out
}

fn one(out: &mut String, change: &Change) {
    let piece = |piece: &Piece| match piece {
        Piece::Words(words) => words.clone(),
        Piece::Name(name) => code(name),
    };
    let sentence: String = change.sentence.iter().map(piece).collect();
    let risk = match (change.direction(), change.risk) {
        (Direction::Narrows, _) | (_, 0) => String::new(),
        (_, risk @ 1..=2) => format!("risk {risk}: "),
        (_, risk) => format!("**risk {risk}**: "),
    };
    let _ = writeln!(out, "- {risk}{sentence} ({})", change.code.as_str());
    for opened in change.opens.iter().take(MOST_OPENED) {
        let _ = writeln!(out, "  - opens {}: {}", code(&opened.place), opened.what);
    }
    if change.opens.len() > MOST_OPENED {
        let _ = writeln!(out, "  - and {} more sensitive places", change.opens.len() - MOST_OPENED);
    }
    if let Some(asked) = &change.asked {
        let programs: Vec<String> = asked.programs.iter().map(|program| code(program)).collect();
        let _ = writeln!(out, "  - asked for by {} in {} of {} runs", programs.join(", "), asked.runs, asked.of);
    }
}

/// A code span.
fn code(name: &str) -> String {
    let name = escape::terminal(name.as_bytes()).replace("\\\\", "\\");
    let longest = name.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    // A space on both sides is taken away again, and keeps a back tick or a space of the name from the fence.
    let pad = if name.is_empty() || name.starts_with(['`', ' ']) || name.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{pad}{name}{pad}{fence}")
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).chain(['.']).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_not_leave_its_code_span() {
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(code("`x"), "`` `x ``");
        assert_eq!(code("a\n\n# b"), "`a\\x0a\\x0a# b`");
        assert_eq!(code("</details><img src=x>"), "`</details><img src=x>`");
    }
}
