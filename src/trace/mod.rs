//! The trace file: events of one run, one JSON object a line, behind a versioned header and before a footer.
//!
//! Turns [`Event`](crate::event::Event)s into bytes and back over `Read` and `Write`. It does not know who makes events or what they are for.
//! Invariant: a file that was cut off anywhere reads up to the cut and says that it is torn; a file of a newer version, or
//! one that is no trace, is an error that names the line. The format is specified in `docs/trace.md`.

pub mod events;
pub mod paths;
pub mod reader;
mod step;
pub mod writer;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::event::{ExitStatus, Fact, Gap, GapKind};
use crate::vocab::location::Roots;
use crate::vocab::path::AbsPath;

use events::Events;

/// Version of the trace format that this build writes; older ones are read, newer ones are refused.
pub const VERSION: u32 = 1;

/// The first word of every trace.
pub const FORMAT: &str = "pinfold-trace";

/// Longest line in bytes, its end included. One event can hold the names of an environment (6 MiB at most for the
/// kernel), each byte escaped as three, in two sets; a longer line was made by nobody.
pub const MAX_LINE: usize = 64 << 20;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Always [`FORMAT`].
    pub format: String,
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// The version of pinfold.
    pub pinfold: String,
    /// Random, unlike that of any other run.
    pub run: String,
    /// Seconds since the epoch at the start.
    pub started: u64,
    /// Kernel release, `uname -r`.
    pub kernel: String,
    /// Machine, `x86_64`.
    pub machine: String,
    /// The command words that name the agent, escaped as in files: program name, and for an interpreter or launcher
    /// (`python x.py`, `npx A`) what makes it this agent and no other. Further arguments are not kept.
    pub command: Vec<String>,
    /// What the variables of locations stand for in this run.
    pub roots: Roots,
    /// Working directory at the start, resolved.
    pub workdir: AbsPath,
    /// User id of the caller.
    pub uid: u32,
    /// Version of the base set of system calls that was not observed; `0` with `--exact`.
    pub base: u32,
    /// Whether connections went through the broker: then it tells the peers by name, and what else the program tried to reach
    /// was not reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub broker: bool,
    /// Vault places that a flag opened for this run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opened: Vec<AbsPath>,
}

/// The last line of a trace that was completed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footer {
    /// Events in the file.
    pub events: u64,
    /// How the command ended.
    pub status: ExitStatus,
}

/// A trace as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Of which run.
    pub header: Header,
    /// What was observed, in order.
    pub events: Events,
    /// Present if the run ended and the file is whole.
    pub footer: Option<Footer>,
}

impl Trace {
    /// Whether everything of the run was observed: a footer, and no gap.
    pub fn is_complete(&self) -> bool {
        self.footer.is_some() && !self.events.others().any(|event| matches!(event.fact, Fact::Gap { .. }))
    }

    /// Why it is not complete; empty if it is.
    pub fn gaps(&self) -> BTreeSet<GapKind> {
        let mut gaps: BTreeSet<GapKind> =
            self.events.others().filter_map(|event| event.fact.gap()).map(Gap::kind).collect();
        // Where somebody ended the run on purpose, that is why there is no footer.
        let meant = [GapKind::Imported, GapKind::Interrupted, GapKind::Timeout];
        if self.footer.is_none() && !meant.iter().any(|kind| gaps.contains(kind)) {
            gaps.insert(GapKind::CutShort);
        }
        gaps
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::vocab::location::Base;

    /// A run of `agent` in `/home/u/p` of which nothing was seen.
    pub(crate) fn empty() -> Trace {
        let path = |text: &str| AbsPath::new(text).unwrap();
        let roots =
            [(Base::Home, "/home/u"), (Base::Project, "/home/u/p"), (Base::Tmpdir, "/tmp"), (Base::XdgCache, "/c")];
        let header = Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            pinfold: "0".to_owned(),
            run: "r".to_owned(),
            started: 0,
            kernel: "6".to_owned(),
            machine: "x86_64".to_owned(),
            command: vec!["agent".to_owned()],
            roots: Roots(roots.map(|(base, top)| (base, path(top))).into()),
            workdir: path("/home/u/p"),
            uid: 1000,
            base: 1,
            broker: false,
            opened: Vec::new(),
        };
        Trace { header, events: Events::default(), footer: None }
    }
}
