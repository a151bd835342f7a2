//! One observed run: command → trace on disk → profile (not yet written, not yet approved).
//!
//! The agent runs under the permissive plan of [`crate::plan::permissive`]. Whatever happens to it or to us, the trace on
//! disk is readable up to that point, says that it is incomplete, and nothing of the agent runs on.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::event::{Denial, Event, ExitStatus, Fact, Gap, ImageId, Tally};
use crate::plan::{self, Network, Plan};
use crate::probe::links;
use crate::sandbox::secrets::Values;
use crate::sandbox::{self, StartError};
use crate::store::{Store, StoreError};
use crate::trace::writer::WriteError;
use crate::trace::{Header, VERSION};
use crate::tracer;
use crate::vocab::path::AbsPath;
use crate::vocab::sensitivity::Row;

use super::derive::{self, DeriveError, Derived, Terms};
use super::profile_file::{self, ProfileFileError};
use super::recorder::Recorder;
use super::surroundings::Surroundings;

/// What to learn.
#[derive(Debug, Clone)]
pub struct LearnRequest {
    /// Program and arguments as typed.
    pub command: Vec<Vec<u8>>,
    /// Where the profile goes; by default `generated-profiles/NAME.toml` in the project.
    pub profile: Option<PathBuf>,
    /// Vault places that a flag opened.
    pub opened: Vec<AbsPath>,
    /// The network while learning.
    pub network: Network,
    /// Which calls are observed.
    pub detail: Detail,
    /// What is made of it.
    pub terms: Terms,
    /// Facts after which nothing more is recorded, and the run is incomplete.
    pub most_facts: u64,
    /// How often the trace is brought to a state from which a profile can be made.
    pub checkpoint: Duration,
    /// After this time the agent is ended.
    pub timeout: Option<Duration>,
}

/// Which calls are observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// All but the base set, which every profile holds anyway.
    BeyondBase,
    /// All.
    Exact,
}

/// Told of a run while it goes on.
pub trait Observer {
    /// Before the agent starts.
    fn starting(&mut self, plan: &Plan, trace: &std::path::Path);
    /// Every so often.
    fn progress(&mut self, tally: &Tally, elapsed: Duration);
    /// Something on the floor of the sandbox was tried, at that moment.
    fn attempt(&mut self, attempt: &Attempt);
}

/// A try at something that is closed even while learning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// A vault place was looked for.
    Vault {
        /// Which.
        path: AbsPath,
        /// Its row in the table.
        row: &'static Row,
    },
    /// A call was refused.
    Call(Denial),
    /// A call of another ABI, or of a number that this build does not know, was refused.
    Unknown {
        /// Audit architecture token.
        arch: u32,
        /// Number in that ABI.
        number: u64,
    },
}

/// The outcome of a learning run.
#[derive(Debug)]
pub struct Learned {
    /// Its trace, and the profile.
    pub derived: Derived,
    /// How the command ended.
    pub status: ExitStatus,
    /// What was counted.
    pub tally: Tally,
    /// Wall time.
    pub elapsed: Duration,
    /// Tries at the floor.
    pub attempts: Vec<Attempt>,
    /// Names that the host executes which exist now and did not before.
    pub planted: Vec<AbsPath>,
}

/// Why a run could not be learned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// No command.
    #[error("no command was given")]
    NoCommand,
    /// No such program.
    #[error("`{0}` was not found")]
    NotFound(String),
    /// The program lies where every run has a directory of its own.
    #[error("`{0}` lies in a temporary directory, and every run has one of its own")]
    PrivatePlace(AbsPath),
    /// The sandbox did not start.
    #[error("the sandbox did not start")]
    Start(#[from] StartError),
    /// The tracer failed.
    #[error("the command could not be observed")]
    Trace(#[from] tracer::TraceError),
    /// The trace cannot be written.
    #[error("cannot write the trace {}", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: WriteError,
    },
    /// The trace gives no profile, by no fault of the run.
    #[error(transparent)]
    Derive(#[from] DeriveError),
    /// The machine cannot be looked at.
    #[error("cannot look at `{path}`")]
    Look {
        /// Where.
        path: AbsPath,
        /// Why.
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The profile file failed.
    #[error(transparent)]
    Profile(#[from] ProfileFileError),
}

/// Runs the command once and reduces what was seen.
pub fn learn(
    surroundings: &Surroundings,
    request: &LearnRequest,
    observer: &mut dyn Observer,
) -> Result<Learned, LearnError> {
    let name = request.command.first().ok_or(LearnError::NoCommand)?;
    let program =
        surroundings.find_program(name).ok_or_else(|| LearnError::NotFound(crate::vocab::escape::terminal(name)))?;
    if surroundings.is_private(&program) {
        return Err(LearnError::PrivatePlace(program));
    }
    let (words, path) = super::enforce::locate(surroundings, &request.command, request.profile.as_deref());
    let previous = profile_file::load(&path)?;
    // Before the command has run, not after.
    super::bundles::own().map_err(DeriveError::from)?;
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid)?;
    let base = match request.detail {
        Detail::BeyondBase => crate::vocab::syscall_table::BASE_VERSION,
        Detail::Exact => 0,
    };
    let mut header = header(surroundings, base, request.opened.clone(), words);
    let (file, trace_path) = store.new_trace(&path, &header.run)?;
    let before = surroundings.host_executed(&[]);
    let plan = permissive_plan(surroundings, request, program, &path, before.places.clone());
    header.broker = plan.network == Network::Named;
    observer.starting(&plan, &trace_path);

    let started = Instant::now();
    let unwritten = |source| LearnError::Write { path: trace_path.clone(), source };
    let recorder = Recorder::new(file, &header, &plan, observer).map_err(unwritten)?;
    let observed = observe(surroundings, request, &plan, recorder, &trace_path)?;
    let elapsed = started.elapsed();
    let planted = surroundings.planted_since(&before);

    let derived = derive::derive(&store, request.terms, trace_path, path, previous, Some(observed.status))?;
    let Observed { status, tally, attempts } = observed;
    Ok(Learned { derived, status, tally, elapsed, attempts, planted })
}

/// What a run left behind, besides its trace.
struct Observed {
    status: ExitStatus,
    tally: Tally,
    attempts: Vec<Attempt>,
}

/// Starts the command under `plan` and records it to its end.
fn observe(
    surroundings: &Surroundings,
    request: &LearnRequest,
    plan: &Plan,
    recorder: Recorder<'_>,
    path: &std::path::Path,
) -> Result<Observed, LearnError> {
    let unwritten = |source| LearnError::Write { path: path.to_path_buf(), source };
    let mut sandbox = sandbox::start(
        plan,
        &super::enforce::environment(surroundings, plan, &Values::new()),
        &Values::new(),
        &sandbox::Live::default(),
        None,
    )?;
    let attached = tracer::attach(sandbox.payload())?;
    sandbox.release()?;
    let deadline = request.timeout.map(|limit| sandbox.end_after(limit));
    let settings = tracer::Settings {
        init: Some(sandbox.init()),
        exact: request.detail == Detail::Exact,
        cap: request.most_facts,
        checkpoint: request.checkpoint,
        roots: surroundings.roots.clone(),
        hand_over: hand_over(plan),
        filter: plan.filter.clone(),
    };
    let (reports, reported) = mpsc::channel();
    if !settings.hand_over.calls.is_empty() {
        sandbox.serve(reports)?;
    }
    // Two callbacks share the recorder: the tracer calls one at a time.
    let recorder = std::cell::RefCell::new(recorder);
    let mut sink = |event: Event| recorder.borrow_mut().record(&event).map_err(io::Error::other);
    let mut progress = |tally: &Tally| {
        sandbox.follow_stops();
        recorder.borrow_mut().tick(tally).map_err(io::Error::other)
    };
    let ended = tracer::run(attached, &settings, &reported, &mut sink, &mut progress);
    let recorder = recorder.into_inner();
    let ended = match ended {
        Ok(ended) => ended,
        Err(error) => {
            // What was written stays, without a footer.
            recorder.finish(None).ok();
            return Err(error.into());
        }
    };
    let timed_out = deadline.is_some_and(|deadline| deadline.has_passed());
    let outcome = sandbox.finish()?;
    let mut recorder = recorder;
    let cut = match (outcome.interrupted, timed_out) {
        (Some(signal), _) => Some(Gap::Interrupted { signal }),
        (None, true) => Some(Gap::Timeout),
        (None, false) => None,
    };
    let image = ImageId(0);
    if let Some(gap) = &cut {
        recorder.record(&Event { image, fact: Fact::Gap { gap: gap.clone() } }).map_err(unwritten)?;
    }
    let status = ended.status.unwrap_or(outcome.status);
    // A run that somebody cut short has no footer: it did not come to its end.
    let attempts = recorder.finish(cut.is_none().then_some(status)).map_err(unwritten)?;
    Ok(Observed { status, tally: ended.tally, attempts })
}

/// The calls that `plan` gives to a desk, and the register's value by which it does.
fn hand_over(plan: &Plan) -> tracer::HandOver {
    let mut hand_over = tracer::HandOver::default();
    for (call, rules) in &plan.filter.rules {
        for rule in rules.iter().filter(|rule| matches!(rule.action, plan::Action::Mediate(_))) {
            hand_over.calls.insert(*call);
            hand_over.token = rule.conditions.first().map_or(0, |condition| condition.value);
        }
    }
    hand_over
}

fn permissive_plan(
    surroundings: &Surroundings,
    request: &LearnRequest,
    program: AbsPath,
    profile: &std::path::Path,
    guarded: BTreeSet<AbsPath>,
) -> Plan {
    let vault = plan::permissive::vault_places(&surroundings.roots);
    let mut wanted = plan::permissive::wanted_paths(&surroundings.roots);
    wanted.extend(guarded.iter().cloned());
    wanted.extend(AbsPath::try_from(profile).ok());
    plan::permissive::plan(
        &surroundings.host(&wanted),
        plan::permissive::Options {
            program,
            argv: request.command.clone(),
            opened: request.opened.clone(),
            guarded,
            network: request.network,
            token: crate::sys::process::random(),
            exact: request.detail == Detail::Exact,
            aliases: vault.iter().map(|place| (place.clone(), links::aliases(place, &surroundings.roots))).collect(),
        },
    )
}

/// The header of a run that begins now. `base`: the version of the base set that is not observed.
pub(super) fn header(surroundings: &Surroundings, base: u32, opened: Vec<AbsPath>, words: Vec<String>) -> Header {
    let uname = nix::sys::utsname::uname().ok();
    let text = |field: &std::ffi::OsStr| field.to_string_lossy().into_owned();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Header {
        format: "pinfold-trace".to_owned(),
        version: VERSION,
        pinfold: super::VERSION.to_owned(),
        run: crate::sys::process::random_name(),
        started: now.map_or(0, |since| since.as_secs()),
        kernel: uname.as_ref().map(|names| text(names.release())).unwrap_or_default(),
        machine: uname.as_ref().map(|names| text(names.machine())).unwrap_or_default(),
        command: words,
        roots: surroundings.roots.clone(),
        workdir: surroundings.workdir.clone(),
        uid: surroundings.identity.uid,
        base,
        broker: false,
        opened,
    }
}
