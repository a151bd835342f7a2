//! For people at a terminal: lines that fit, words beside every colour.

use crate::vocab::escape;

use super::super::{Change, Difference, Direction, Piece};

/// The look of a part of the text; the caller knows whether there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Look {
    /// A heading.
    Heading,
    /// Dangerous.
    Danger,
    /// Worth a look.
    Caution,
    /// Less than before.
    Calm,
    /// Beside the matter.
    Faint,
}

/// How the text is to look.
#[derive(Clone, Copy)]
pub struct Style<'a> {
    /// Columns of the terminal.
    pub width: usize,
    /// Puts a text into a look.
    pub paint: &'a dyn Fn(&str, Look) -> String,
}

impl std::fmt::Debug for Style<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Style").field("width", &self.width).finish_non_exhaustive()
    }
}

/// Shown of what comes with one directory.
const MOST_OPENED: usize = 8;
/// Below this nothing fits anyway.
const NARROWEST: usize = 40;

/// The whole difference; ends with a newline.
pub fn text(difference: &Difference, style: &Style<'_>) -> String {
    let mut out = String::new();
    for (direction, heading) in [
        (Direction::Widens, "allows more"),
        (Direction::Neutral, "gives and takes nothing now"),
        (Direction::Narrows, "allows less"),
    ] {
        let mut changes = difference.going(direction).peekable();
        if changes.peek().is_none() {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&(style.paint)(heading, Look::Heading));
        out.push('\n');
        changes.for_each(|change| one(&mut out, change, style));
    }
    if !out.is_empty() {
        out.push('\n');
    }
    for line in wrap(&summary(difference), style.width.max(NARROWEST)) {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// In one line: the verdict and the counts.
pub fn summary(difference: &Difference) -> String {
    let count = |direction| difference.going(direction).count();
    let (wider, waits, narrower) = (count(Direction::Widens), count(Direction::Neutral), count(Direction::Narrows));
    let risk = difference.risk().map(|risk| format!(" (highest risk {risk} of 4)")).unwrap_or_default();
    match difference.verdict() {
        "widens" => {
            format!("{} allowed more{risk}, {waits} neutral, {narrower} no longer allowed", things(wider))
        }
        "narrows" => format!("nothing more is allowed; {waits} neutral, {narrower} no longer allowed"),
        "rewritten" => "nothing more and nothing less is allowed".to_owned(),
        _ => "the same".to_owned(),
    }
}

fn things(count: usize) -> String {
    if count == 1 { "1 thing is".to_owned() } else { format!("{count} things are") }
}

fn one(out: &mut String, change: &Change, style: &Style<'_>) {
    let (sign, look) = match (change.direction(), change.risk) {
        (Direction::Widens, 4) => ('+', Look::Danger),
        (Direction::Widens, _) => ('+', Look::Caution),
        (Direction::Neutral, _) => ('=', Look::Faint),
        (Direction::Narrows, _) => ('-', Look::Calm),
    };
    let risk = if change.direction() == Direction::Narrows || change.risk == 0 {
        "       ".to_owned()
    } else {
        format!("risk {} ", change.risk)
    };
    let lead = format!("{sign} {risk} ");
    let pieces: String = change.sentence.iter().map(piece).collect();
    let indent = " ".repeat(lead.chars().count());
    let mut lines = wrap(&pieces, style.width.max(NARROWEST) - indent.len().min(NARROWEST / 2)).into_iter();
    let first = lines.next().unwrap_or_default();
    out.push_str(&format!("{}{first}\n", (style.paint)(&lead, look)));
    lines.for_each(|line| out.push_str(&format!("{indent}{line}\n")));
    let mut aside = |words: String| {
        for line in wrap(&words, style.width.max(NARROWEST) - indent.len().min(NARROWEST / 2)) {
            out.push_str(&format!("{indent}{}\n", (style.paint)(&line, Look::Faint)));
        }
    };
    aside(change.code.as_str().to_owned());
    for opened in change.opens.iter().take(MOST_OPENED) {
        aside(format!("opens {}: {}", escape::terminal(opened.place.as_bytes()), opened.what));
    }
    if change.opens.len() > MOST_OPENED {
        aside(format!("and {} more sensitive places", change.opens.len() - MOST_OPENED));
    }
    if let Some(asked) = &change.asked {
        let programs: Vec<String> = asked.programs.iter().map(|program| escape::terminal(program.as_bytes())).collect();
        aside(format!("asked for by {} in {} of {} runs", programs.join(", "), asked.runs, asked.of));
    }
}

fn piece(piece: &Piece) -> String {
    match piece {
        Piece::Words(words) => words.clone(),
        Piece::Name(name) => format!("`{}`", inert(name)),
    }
}

/// A name in the notation of files is harmless but for what only an escape of files lets through: nothing. What is not in
/// that notation (a word of a list) is escaped here.
fn inert(name: &str) -> String {
    let shown = escape::terminal(name.as_bytes());
    // A backslash is doubled there, and is itself here.
    if shown.replace("\\\\", "\\") == name { name.to_owned() } else { shown }
}

/// Lines of at most `width` columns, broken between words; a word that is longer stands alone.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut columns = 0;
    for word in text.split(' ') {
        let long = word.chars().count();
        if columns > 0 && columns + 1 + long > width {
            lines.push(std::mem::take(&mut line));
            columns = 0;
        }
        if columns > 0 {
            line.push(' ');
            columns += 1;
        }
        line.push_str(word);
        columns += long;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_a_long_word_stands_alone() {
        assert_eq!(wrap("a bb ccc dddddd e", 5), ["a bb", "ccc", "dddddd", "e"]);
        assert_eq!(wrap("", 5), [""]);
    }

    #[test]
    fn a_name_with_a_terminal_sequence_is_inert() {
        assert_eq!(inert("a\u{1b}[2J"), "a\\x1b[2J");
        assert_eq!(inert("/a\\b%1B"), "/a\\b%1B");
    }
}
