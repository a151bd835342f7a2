//! A program under the learning filter, through a launcher without a sandbox (`tracee trace`), and the events of it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use pinfold::event::{Event, Fact, Gap, Image, Intent, Outcome, PairFact, PathFact, Transport};
use pinfold::vocab::endpoint::Endpoint;
use pinfold::vocab::path::AbsPath;

pub const TRACEE: &str = env!("CARGO_BIN_EXE_tracee");

/// A directory of its own for one test, gone afterwards.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// Named after the test.
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().canonicalize().unwrap().join(format!("pf-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

pub struct Run {
    pub code: Option<i32>,
    pub events: Vec<Event>,
}

impl Run {
    pub fn paths(&self, at: &Path) -> Vec<&PathFact> {
        let at = AbsPath::try_from(at).unwrap();
        let of = |event: &'_ Event| matches!(&event.fact, Fact::Path(path) if path.path == at);
        self.events.iter().filter(|event| of(event)).filter_map(|event| path_of(&event.fact)).collect()
    }

    pub fn has(&self, at: &Path, intent: Intent, result: Outcome) -> bool {
        self.paths(at).iter().any(|path| path.intent == intent && path.result == result)
    }

    pub fn pairs(&self) -> Vec<&PairFact> {
        let pair = |event: &'_ Event| matches!(event.fact, Fact::Pair(_));
        let facts = self.events.iter().filter(|event| pair(event));
        facts.map(|event| if let Fact::Pair(pair) = &event.fact { pair } else { unreachable!() }).collect()
    }

    pub fn images(&self) -> Vec<&Image> {
        self.events.iter().filter_map(|e| if let Fact::Image(image) = &e.fact { Some(image) } else { None }).collect()
    }

    pub fn gaps(&self) -> Vec<&Gap> {
        self.events.iter().filter_map(|e| if let Fact::Gap { gap } = &e.fact { Some(gap) } else { None }).collect()
    }

    /// What came of connecting to `peer`, in order.
    pub fn connects(&self, peer: &Endpoint) -> Vec<(Transport, Outcome)> {
        let of = |event: &Event| match &event.fact {
            Fact::Connect { endpoint, transport, result } if endpoint == peer => Some((*transport, *result)),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }

    pub fn denies(&self, call: &str) -> bool {
        self.events.iter().any(|event| matches!(&event.fact, Fact::Denied(denial) if denial.call == call))
    }
}

pub fn path_of(fact: &Fact) -> Option<&PathFact> {
    if let Fact::Path(path) = fact { Some(path) } else { None }
}

pub fn trace(scratch: &Scratch, words: &[impl AsRef<OsStr>]) -> Run {
    let out = scratch.at(".trace");
    let status =
        Command::new(TRACEE).arg("trace").arg(&out).args(words).current_dir(&scratch.0).output().unwrap().status;
    let text = std::fs::read_to_string(&out).unwrap();
    Run { code: status.code(), events: text.lines().map(|line| serde_json::from_str(line).unwrap()).collect() }
}

pub fn quirk(scratch: &Scratch, words: &[&OsStr]) -> Run {
    let words: Vec<&OsStr> = std::iter::once(OsStr::new(TRACEE)).chain(words.iter().copied()).collect();
    trace(scratch, &words)
}

pub fn shell(scratch: &Scratch, script: &str) -> Run {
    trace(scratch, &["sh", "-c", script])
}
