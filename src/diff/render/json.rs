//! For scripts: one object, described in `docs/diff-codes.md`. Fields are added, never renamed.

use serde_json::{Value, json};

use super::super::{Change, Difference, section};

/// The version of the form; it grows when a field changes its meaning.
const VERSION: u32 = 1;

/// The whole difference as one line of JSON.
pub fn text(difference: &Difference) -> String {
    value(difference).to_string() + "\n"
}

/// The whole difference.
pub fn value(difference: &Difference) -> Value {
    json!({
        "version": VERSION,
        "verdict": difference.verdict(),
        "widens": difference.widens(),
        "risk": difference.risk(),
        "changes": difference.changes.iter().map(change).collect::<Vec<_>>(),
    })
}

fn change(change: &Change) -> Value {
    json!({
        "code": change.code,
        "direction": change.direction(),
        "risk": change.risk,
        "section": section(change.code).as_str(),
        "name": change.name,
        "sentence": change.text(),
        "old": change.old,
        "new": change.new,
        "opens": change.opens,
        "asked": change.asked,
    })
}
