//! A difference → a text, in the form that a place of review wants.
//!
//! Names come from profiles, which an attacker may have written. Each form has one function through which they go, and
//! shows them as text whatever they hold.

pub mod github;
pub mod html;
pub mod json;
pub mod markdown;
pub mod sarif;
pub mod terminal;

use super::Change;

/// The file that a form points into.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// As the place of review knows it: relative to the repository.
    pub path: &'a str,
    /// Its text.
    pub text: &'a str,
}

impl Source<'_> {
    /// The line of the file that a change is about, from 1; the first where there is none.
    pub fn line(&self, change: &Change) -> usize {
        let wanted = change.line.as_str();
        let begins = |line: &str| {
            line.trim_start().strip_prefix(wanted).is_some_and(|rest| rest.trim_start().starts_with(['=', ',', ']']))
        };
        let at = if wanted.is_empty() { None } else { self.text.lines().position(begins) };
        at.map_or(1, |at| at + 1)
    }
}
