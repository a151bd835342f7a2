//! Text → HTML that stays text: the one place where markup is made, and everything that goes in is escaped.
//!
//! Invariant: whatever bytes a program chose for a name, the page shows them; none of them becomes a tag, an attribute or a
//! script, and none changes how the text around it reads.

use std::fmt::Write as _;

use crate::vocab::escape;

/// HTML under construction.
#[derive(Debug, Default)]
pub(super) struct Markup {
    out: String,
}

impl Markup {
    /// Markup that this program wrote; never anything from a profile or a trace.
    pub(super) fn raw(&mut self, html: &'static str) -> &mut Self {
        self.out.push_str(html);
        self
    }

    /// Text from anywhere.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        escaped(&mut self.out, &escape::terminal(text.as_bytes()));
        self
    }

    /// Text that went through [`escape`] already, as locations and paths print themselves.
    pub(super) fn shown(&mut self, text: &str) -> &mut Self {
        escaped(&mut self.out, text);
        self
    }

    /// A number.
    pub(super) fn number(&mut self, number: usize) -> &mut Self {
        let _ = write!(self.out, "{number}");
        self
    }

    /// Data for the script of the page: JSON in an element that is not executed.
    pub(super) fn data(&mut self, id: &'static str, json: &str) -> &mut Self {
        self.out.push_str("<script type=\"application/json\" id=\"");
        self.out.push_str(id);
        self.out.push_str("\">");
        // `</script` and `<!--` would end or nest the element; inside a JSON string this is the same character.
        self.out.push_str(&json.replace('<', "\\u003c"));
        self.out.push_str("</script>\n");
        self
    }

    /// The text so far.
    pub(super) fn into_string(self) -> String {
        self.out
    }
}

fn escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_become_a_tag_or_an_attribute_or_end_the_data() {
        let mut page = Markup::default();
        page.text("<script>alert(1)</script>\" onload='x'\u{202e}").data("d", "[\"</script><!--\"]");
        let html = page.into_string();
        assert!(!html.contains("<script>alert") && !html.contains("\" onload"), "{html}");
        assert!(html.contains(r"\xe2\x80\xae"), "{html}");
        assert_eq!(html.matches("</script").count(), 1, "{html}");
    }
}
