//! For a browser: one page, without scripts, images or anything from elsewhere; it says so to the browser, too.

use std::fmt::Write as _;

use crate::vocab::escape;

use super::super::{Change, Difference, Direction, Piece};
use super::terminal::summary;

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="color-scheme" content="light dark">
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid #8886; }
code { overflow-wrap: anywhere; unicode-bidi: isolate; }
.r4, .r3 { font-weight: bold; }
ul { margin: .2rem 0; }
</style>
"#;

/// The whole page.
pub fn text(difference: &Difference, path: &str) -> String {
    let mut out = HEAD.to_owned();
    let name = inert(path);
    let _ = write!(out, "<title>{name}</title>\n</head>\n<body>\n<main>\n<h1><code>{name}</code></h1>\n");
    let _ = writeln!(out, "<p>{}.</p>", inert(&summary(difference)));
    for (direction, heading) in [
        (Direction::Widens, "Allows more"),
        (Direction::Neutral, "Gives and takes nothing now"),
        (Direction::Narrows, "Allows less"),
    ] {
        let changes: Vec<&Change> = difference.going(direction).collect();
        if changes.is_empty() {
            continue;
        }
        let _ = writeln!(
            out,
            "<h2>{heading}</h2>\n<table>\n<thead><tr><th scope=\"col\">Risk</th><th scope=\"col\">What it means</th><th scope=\"col\">Code</th></tr></thead>\n<tbody>"
        );
        changes.into_iter().for_each(|change| row(&mut out, change));
        out.push_str("</tbody>\n</table>\n");
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn row(out: &mut String, change: &Change) {
    let piece = |piece: &Piece| match piece {
        Piece::Words(words) => inert(words),
        Piece::Name(name) => format!("<code>{}</code>", inert(name)),
    };
    let sentence: String = change.sentence.iter().map(piece).collect();
    let mut more = String::new();
    for opened in &change.opens {
        let _ = write!(more, "<li>opens <code>{}</code>: {}</li>", inert(&opened.place), inert(opened.what));
    }
    if let Some(asked) = &change.asked {
        let programs = inert(&asked.programs.join(", "));
        let _ = write!(more, "<li>asked for by {programs} in {} of {} runs</li>", asked.runs, asked.of);
    }
    let more = if more.is_empty() { more } else { format!("<ul>{more}</ul>") };
    let _ = writeln!(
        out,
        "<tr><td class=\"r{0}\">{0}</td><td>{sentence}{more}</td><td>{1}</td></tr>",
        change.risk,
        change.code.as_str()
    );
}

/// Text as text, control and deceptive characters shown as escapes.
fn inert(text: &str) -> String {
    let shown = escape::terminal(text.as_bytes()).replace("\\\\", "\\");
    shown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text() {
        assert_eq!(
            inert("<img src=x onerror='a'>&\u{202e}"),
            "&lt;img src=x onerror=&#39;a&#39;&gt;&amp;\\xe2\\x80\\xae"
        );
    }
}
