//! The codes of differences, as data: what each means, how dangerous it is, the sentence that a person reads.
//!
//! Invariant: every code has its row in `src/data/diff-codes.toml` and every row its code. A code never changes its meaning
//! and is never given away again: scripts and reviewers rely on it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize, Serializer};

use super::{Direction, Piece};

const DATA: &str = include_str!("../data/diff-codes.toml");

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Stable, kebab-case.
    pub code: String,
    /// The section of the file that it is about; empty for the top.
    pub section: String,
    /// Which way it goes.
    pub direction: Direction,
    /// The least and the most that a change of this code can have, 0 to 4.
    pub risk: [u8; 2],
    /// What it means to a person, with `{name}` and its like to be filled in.
    pub sentence: String,
    /// When it is reported, and what to look at; Markdown.
    pub meaning: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    code: Vec<Row>,
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| match toml::from_str::<Table>(DATA) {
    Ok(table) => table.code,
    // The table is compiled in, and a test reads it.
    Err(_) => Vec::new(),
});

static BY_CODE: LazyLock<BTreeMap<&str, &Row>> =
    LazyLock::new(|| ROWS.iter().map(|row| (row.code.as_str(), row)).collect());

/// Every row, in the order of the file.
pub fn rows() -> &'static [Row] {
    &ROWS
}

macro_rules! codes {
    ($($name:ident = $word:literal,)*) => {
        /// A kind of difference; documented in `docs/diff-codes.md`.
        #[expect(missing_docs, reason = "the table of data says what each means")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($name,)*
        }

        impl Code {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As reports write it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

codes! {
    HomeOpened = "home-opened",
    VaultOpened = "vault-opened",
    CredentialOpened = "credential-opened",
    HostExecutedOpened = "host-executed-opened",
    PinfoldOpened = "pinfold-opened",
    SecretsExposed = "secrets-exposed",
    PlaceSeen = "place-seen",
    PlaceRead = "place-read",
    PlaceWritten = "place-written",
    PlaceReplaced = "place-replaced",
    PlaceWithdrawn = "place-withdrawn",
    PlaceWaits = "place-waits",
    NetworkUnconfined = "network-unconfined",
    HostsReached = "hosts-reached",
    HostReached = "host-reached",
    Published = "published",
    NetworkWithdrawn = "network-withdrawn",
    NetworkWaits = "network-waits",
    BaseRaised = "base-raised",
    BaseLowered = "base-lowered",
    DangerousCallAllowed = "dangerous-call-allowed",
    CallAllowed = "call-allowed",
    CallWithdrawn = "call-withdrawn",
    CallWaits = "call-waits",
    DeviceCommandAllowed = "device-command-allowed",
    DeviceCommandsUnruled = "device-commands-unruled",
    DeviceCommandsRuled = "device-commands-ruled",
    DeviceCommandWithdrawn = "device-command-withdrawn",
    SocketAllowed = "socket-allowed",
    SocketWithdrawn = "socket-withdrawn",
    PowerfulVariablePassed = "powerful-variable-passed",
    SecretVariablePassed = "secret-variable-passed",
    VariablePassed = "variable-passed",
    VariableWithdrawn = "variable-withdrawn",
    SecretFromCommand = "secret-from-command",
    SecretGiven = "secret-given",
    SecretHandedWider = "secret-handed-wider",
    SecretHandedNarrower = "secret-handed-narrower",
    SecretWithdrawn = "secret-withdrawn",
    SecretWaits = "secret-waits",
    LimitRemoved = "limit-removed",
    LimitRaised = "limit-raised",
    LimitSet = "limit-set",
    LimitLowered = "limit-lowered",
    NestedSandboxAllowed = "nested-sandbox-allowed",
    NestedSandboxWithdrawn = "nested-sandbox-withdrawn",
    NamesUnprotected = "names-unprotected",
    NamesProtected = "names-protected",
    ProtectionTolerated = "protection-tolerated",
    ProtectionRequired = "protection-required",
    CommandChanged = "command-changed",
    IncompleteAccepted = "incomplete-accepted",
    IncompleteLifted = "incomplete-lifted",
    IncompleteMarked = "incomplete-marked",
    Rewritten = "rewritten",
}

impl Code {
    /// What the table says of it.
    pub fn row(self) -> &'static Row {
        // A code without a row cannot be (a test walks all); if it could, it would be the worst.
        static MISSING: LazyLock<Row> = LazyLock::new(|| Row {
            code: String::new(),
            section: String::new(),
            direction: Direction::Widens,
            risk: [4, 4],
            sentence: "{name}".to_owned(),
            meaning: String::new(),
        });
        BY_CODE.get(self.as_str()).copied().unwrap_or(&MISSING)
    }

    /// Its sentence with the words filled in. What comes from a profile becomes a [`Piece::Name`].
    pub(super) fn sentence(self, fill: &Fill<'_>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut rest = self.row().sentence.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let Some((key, after)) = after.split_once('}') else { break };
            words(&mut pieces, before);
            match key {
                "name" => pieces.push(Piece::Name(fill.name.to_owned())),
                "old" => pieces.extend(fill.old.clone()),
                "new" => pieces.extend(fill.new.clone()),
                "do" => words(&mut pieces, fill.verb),
                _ => words(&mut pieces, &fill.what),
            }
            rest = after;
        }
        words(&mut pieces, rest);
        pieces
    }
}

/// What fills the gaps of a sentence.
#[derive(Debug, Clone, Default)]
pub(super) struct Fill<'a> {
    pub(super) name: &'a str,
    pub(super) old: Vec<Piece>,
    pub(super) new: Vec<Piece>,
    pub(super) verb: &'a str,
    /// Words of our own tables.
    pub(super) what: String,
}

fn words(pieces: &mut Vec<Piece>, more: &str) {
    match pieces.last_mut() {
        Some(Piece::Words(text)) => text.push_str(more),
        _ if more.is_empty() => {}
        _ => pieces.push(Piece::Words(more.to_owned())),
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_row_and_every_row_its_code_in_one_order() {
        let rows: Vec<&str> = rows().iter().map(|row| row.code.as_str()).collect();
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(rows, codes);
        for row in super::rows() {
            assert!(row.risk[0] <= row.risk[1] && row.risk[1] <= 4, "{}", row.code);
            assert!(row.direction != Direction::Narrows || row.risk == [0, 0], "{}", row.code);
            assert!(!row.sentence.ends_with('.') && row.meaning.ends_with('.'), "{}", row.code);
        }
    }
}
