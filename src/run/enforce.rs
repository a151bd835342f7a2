//! One confined run: command and approved profile → plan → sandbox → report.
//!
//! Nothing starts unless the profile is for this command and its digest was approved on this machine, and nothing starts
//! with less than the plan says.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::diff::{self, Context, Difference};
use crate::event::{Denial, ExitStatus, GapKind};
use crate::plan::error::PlanError;
use crate::plan::grants::wanted_paths;
use crate::plan::mounts;
use crate::plan::protect::{self, RefusedWrites};
use crate::plan::walls::Wall;
use crate::plan::{Desk, Handing, MountStep, Plan, RootStyle};
use crate::probe::changes::{Before, Changes, What};
use crate::probe::features;
use crate::probe::places::HostExecuted;
use crate::profile::Lack;
use crate::sandbox::limits::{self, Reached, Unheld, foresee};
use crate::sandbox::paths::Paths;
use crate::sandbox::secrets::Values;
use crate::sandbox::{self, Ground, Live, StartError};
use crate::store::{Store, StoreError, approvals};
use crate::vocab::escape;
use crate::vocab::host::{Host, Remembered};
use crate::vocab::location::Base;
use crate::vocab::path::AbsPath;

use super::identity;
use super::layers::{Held, LayerError};
use super::profile_file::{self, ProfileFile, ProfileFileError};
use super::secrets::{self, SecretError};
use super::surroundings::Surroundings;
use super::temporary::Temporary;
use super::trials;

/// What to enforce.
#[derive(Debug, Clone)]
pub struct EnforceRequest {
    /// Program and arguments as typed.
    pub command: Vec<Vec<u8>>,
    /// The profile; by default `generated-profiles/NAME.toml` in the project.
    pub profile: Option<PathBuf>,
    /// A digest that counts as approved.
    pub accept_digest: Option<String>,
    /// Where what it changes in the project goes.
    pub writes: Writes,
    /// Whether writing to what may only be read is told.
    pub refused_writes: RefusedWrites,
}

/// Where changes in the project go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// Into it.
    Through,
    /// Into a layer above it, where they wait for a person.
    Layered,
}

/// Why a command is not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnforceError {
    /// No command.
    #[error("no command was given")]
    NoCommand,
    /// No such program.
    #[error("`{0}` was not found")]
    NotFound(String),
    /// There is no profile.
    #[error("there is no profile {} for this command", .path.display())]
    NoProfile {
        /// Where it would be.
        path: PathBuf,
    },
    /// The profile is for another command.
    #[error("the profile {} is for `{wanted}`, and this is `{given}`", .path.display())]
    OtherCommand {
        /// The profile.
        path: PathBuf,
        /// What it is for.
        wanted: String,
        /// What was typed.
        given: String,
    },
    /// Nobody approved the profile as it stands.
    #[error("the profile {} ({digest}) was not approved on this machine as it stands", .path.display())]
    NotApproved {
        /// The profile.
        path: PathBuf,
        /// Its digest.
        digest: String,
        /// What it allows that was not approved, and the other way round; `None` when it never was approved, or when what
        /// was can no longer be read.
        changes: Option<Difference>,
    },
    /// It was approved for a time that is over.
    #[error("the approval of the profile {} ({digest}) is over", .path.display())]
    Expired {
        /// The profile.
        path: PathBuf,
        /// Its digest.
        digest: String,
    },
    /// Not all was observed, and nobody said that it will do.
    #[error("the profile {} was made from a run that was not observed completely ({})", .path.display(), meanings(.gaps))]
    Incomplete {
        /// The profile.
        path: PathBuf,
        /// Why.
        gaps: BTreeSet<GapKind>,
    },
    /// The digest that was accepted is another.
    #[error("the profile {} has the digest {digest}, not the accepted one", .path.display())]
    OtherDigest {
        /// The profile.
        path: PathBuf,
        /// Its digest.
        digest: String,
    },
    /// The profile cannot be carried out here.
    #[error("the profile cannot be enforced here")]
    Plan(#[from] PlanError),
    /// A directory that the profile lets the agent write cannot be made.
    #[error("cannot make the directory `{path}` for the run")]
    Create {
        /// Which.
        path: AbsPath,
        /// Why.
        source: io::Error,
    },
    /// A secret has no value.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The sandbox did not start.
    #[error("the sandbox did not start")]
    Start(#[from] StartError),
    /// Changes cannot be put aside.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The profile file failed.
    #[error(transparent)]
    Profile(#[from] ProfileFileError),
}

fn meanings(gaps: &BTreeSet<GapKind>) -> String {
    gaps.iter().map(|gap| gap.meaning()).collect::<Vec<_>>().join("; ")
}

/// A run that may start.
#[derive(Debug)]
pub struct Prepared {
    /// The profile.
    pub file: ProfileFile,
    /// What it comes to here.
    pub plan: Plan,
    /// Names that the host executes and that existed when the plan was made.
    pub guarded: HostExecuted,
    /// Where changes in the project go.
    pub writes: Writes,
}

/// What came of a run.
#[derive(Debug)]
pub struct Enforced {
    /// How the command ended.
    pub status: ExitStatus,
    /// What was refused.
    pub denials: Vec<Denial>,
    /// Names that the host executes which exist now and did not before.
    pub planted: Vec<AbsPath>,
    /// Replace grants that could not be written back, with the reason.
    pub lost: Vec<(AbsPath, io::Error)>,
    /// What else changed where the run could write, and deserves a look.
    pub changes: Changes,
    /// Of the files whose commands changed, those that were kept, as they were.
    pub before: BTreeMap<AbsPath, Vec<u8>>,
    /// What held the limits.
    pub limits: Vec<limits::Held>,
    /// The limits that the run came up against.
    pub reached: Vec<Reached>,
    /// The changes that wait, where they were put aside.
    pub waiting: Option<Held>,
    /// Whether refused files are not known, since what told of them ended before the run.
    pub unseen: bool,
    /// Whether the run was recorded as a trial of the profile.
    pub recorded: Result<(), StoreError>,
}

/// Where the profile of `command` is, and which agent it is for.
pub fn locate(surroundings: &Surroundings, command: &[Vec<u8>], profile: Option<&Path>) -> (Vec<String>, PathBuf) {
    let words = identity::identity(command, &surroundings.roots, &|word| surroundings.existing(word));
    let path = profile.map_or_else(|| identity::profile_of(&surroundings.project(), &words), Path::to_path_buf);
    (words, profile_file::absolute(&path))
}

/// Begins what every run needs, beside whoever [prepares](prepare) it.
pub fn ground(surroundings: &Surroundings) -> Option<Ground> {
    Ground::usual(surroundings.identity)
}

/// Everything up to the start: finds the profile, checks that it is for this command and approved, makes the plan.
pub fn prepare(surroundings: &Surroundings, request: &EnforceRequest) -> Result<Prepared, EnforceError> {
    let name = request.command.first().ok_or(EnforceError::NoCommand)?;
    let (words, path) = locate(surroundings, &request.command, request.profile.as_deref());
    let file = profile_file::load(&path)?.ok_or_else(|| EnforceError::NoProfile { path: path.clone() })?;
    if file.profile.command != words {
        return Err(EnforceError::OtherCommand {
            path,
            wanted: escape::terminal(file.profile.command.join(" ").as_bytes()),
            given: escape::terminal(words.join(" ").as_bytes()),
        });
    }
    if let Some(lack) = file.profile.incomplete.as_ref().filter(|lack| !lack.approved) {
        return Err(EnforceError::Incomplete { path, gaps: lack.gaps.clone() });
    }
    let remembered = check_approval(surroundings, request, &file)?;
    let program = surroundings.find_program(name).ok_or_else(|| EnforceError::NotFound(escape::terminal(name)))?;
    let host = surroundings.host(&wanted_paths(&file.profile, &surroundings.roots));
    let asked = file.profile.tolerate.contains(&Lack::Namespaces);
    let no_namespaces = if asked { features::why_no_namespaces() } else { None };
    let host = Host { remembered, no_namespaces, ..host };
    let further = protect::further(&file.profile, &surroundings.roots);
    let mut guarded = surroundings.host_executed(&further);
    guarded.places.extend(AbsPath::try_from(file.path.as_path()).ok());
    let mut plan = mounts::plan(&file.profile, &host, &guarded.places, program, request.command.clone())?;
    if request.refused_writes == RefusedWrites::Told {
        plan.tell_refused_writes();
    }
    Ok(Prepared { file, plan, guarded, writes: request.writes })
}

fn check_approval(
    surroundings: &Surroundings,
    request: &EnforceRequest,
    file: &ProfileFile,
) -> Result<BTreeMap<AbsPath, Remembered>, EnforceError> {
    let (path, digest) = (file.path.clone(), file.digest.clone());
    match &request.accept_digest {
        // Nobody looked at the places of this machine.
        Some(accepted) if *accepted == digest => return Ok(BTreeMap::new()),
        Some(_) => return Err(EnforceError::OtherDigest { path, digest }),
        None => {}
    }
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid)?;
    if let Some(approval) = store.approval(&file.path, &digest)? {
        if approval.is_over(approvals::now()) {
            return Err(EnforceError::Expired { path, digest });
        }
        return Ok(approval.places);
    }
    let last = store.last_approval(&file.path)?;
    let context = Context { here: Some(&surroundings.roots), ..Context::default() };
    // The store holds what this program approved: a text that no longer parses has nothing to compare with.
    let before = last.and_then(|approval| super::approve::remembered(&approval));
    let changes = before.map(|before| diff::compare(&before, &file.profile, &context));
    Err(EnforceError::NotApproved { path, digest, changes })
}

impl Prepared {
    /// What would hold the limits of this run, if it started now.
    pub fn limits(&self) -> Result<Vec<limits::Held>, Unheld> {
        foresee(&self.plan)
    }
}

/// What is told of a run before its command begins.
#[derive(Debug)]
pub struct Started<'a> {
    /// What holds the limits.
    pub limits: &'a [limits::Held],
    /// Why what is looked for in vain is not told, where that could not be had.
    pub untold: Option<io::Error>,
}

/// Starts the prepared run, on `ground` if it fits, and stays with it to its end. `started` is told before the command runs, and
/// `live` of the first refusal of each kind when it happens.
pub fn enforce(
    surroundings: &Surroundings,
    prepared: &Prepared,
    ground: Option<Ground>,
    started: impl FnOnce(&Started<'_>),
    live: &Live,
) -> Result<Enforced, EnforceError> {
    let secrets = secrets::read(&prepared.file.profile, &prepared.plan, surroundings)?;
    for path in &prepared.plan.create {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path.to_path_buf())
            .map_err(|source| EnforceError::Create { path: path.clone(), source })?;
    }
    // Were it missing, the agent could make it, where a grant holds its place, and put approvals into it.
    let state = &surroundings.state_dir;
    if prepared.plan.mounts.iter().any(|step| matches!(step, MountStep::Cover { target } if target == state)) {
        Store::open(&state.to_path_buf(), surroundings.identity.uid)?;
    }
    // What was made just now is not the agent's doing.
    let again = || surroundings.host_executed(&protect::further(&prepared.file.profile, &surroundings.roots));
    let made = (!prepared.plan.create.is_empty()).then(again);
    let before = made.as_ref().unwrap_or(&prepared.guarded);
    let (plan, _temporary) = with_temporary(surroundings, &prepared.plan)?;
    let (plan, waiting) = match prepared.writes {
        Writes::Through => (plan, None),
        Writes::Layered => {
            layered(surroundings, prepared, plan.into_owned()).map(|(plan, held)| (Cow::Owned(plan), Some(held)))?
        }
    };
    let environment = environment(surroundings, &plan, &secrets);
    let look = Before::look(writable(&plan), readable(&plan));
    let mut sandbox = sandbox::start(&plan, &environment, &secrets, live, ground)?;
    protect_names(&mut sandbox, &plan)?;
    let limits = sandbox.limits().to_vec();
    started(&Started { limits: &limits, untold: sandbox.untold() });
    drop((environment, secrets));
    // Without the tripwire, what is not granted does not exist inside: that a file was refused is not seen.
    let sees_files = plan.root == RootStyle::Tripwire && plan.has(Wall::Mounts) && sandbox.untold().is_none();
    sandbox.release()?;
    let mut denials = Vec::new();
    let outcome = sandbox.supervise(&mut |denial| denials.push(denial))?;
    let sees_files = sees_files && !outcome.unseen;
    let planted = surroundings.planted_since(before);
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid);
    let recorded = store.and_then(|store| {
        trials::record(&store, &prepared.file, outcome.status, outcome.interrupted.is_some(), &denials, sees_files)
    });
    let changes = look.changes(&surroundings.roots);
    super::changes::keep(surroundings, &prepared.file, &changes)?;
    let commands = changes.found.iter().filter(|change| matches!(change.what, What::Commands { .. }));
    let before = commands.filter_map(|change| Some((change.path.clone(), look.text(&change.path)?.to_vec()))).collect();
    let sandbox::Outcome { status, lost, reached, unseen, .. } = outcome;
    Ok(Enforced { status, denials, planted, lost, changes, before, limits, reached, waiting, unseen, recorded })
}

/// The plan, with a temporary directory for the run where it has no mounts of its own.
fn with_temporary<'a>(
    surroundings: &Surroundings,
    plan: &'a Plan,
) -> Result<(Cow<'a, Plan>, Option<Temporary>), EnforceError> {
    let Some(parent) = surroundings.roots.get(Base::Tmpdir).filter(|_| !plan.has_namespaces()) else {
        return Ok((Cow::Borrowed(plan), None));
    };
    let made = Temporary::below(&parent).map_err(|(path, source)| EnforceError::Create { path, source })?;
    let mut plan = plan.clone();
    plan.set_temporary(made.place());
    Ok((Cow::Owned(plan), Some(made)))
}

/// The plan with a layer over the project, and what holds it.
fn layered(surroundings: &Surroundings, prepared: &Prepared, plan: Plan) -> Result<(Plan, Held), EnforceError> {
    let project = surroundings.roots.get(Base::Project).unwrap_or_else(AbsPath::root);
    let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid)?;
    let held = Held::make(&store, &prepared.file.path, &project)?;
    let nothing = || EnforceError::Layer(LayerError::Nothing(project.clone()));
    let plan = plan.has_namespaces().then(|| plan.layered(held.layer().clone())).flatten();
    plan.map(|plan| (plan, held)).ok_or_else(nothing)
}

/// Seats who makes names in the place of the command, where names are protected.
fn protect_names(sandbox: &mut sandbox::Sandbox, plan: &Plan) -> Result<(), StartError> {
    let desk = Paths::open(plan, sandbox.payload(), sandbox.behalf()?)?;
    if let Some(desk) = desk {
        sandbox.desks().seat(Desk::Paths, Box::new(desk));
    }
    Ok(())
}

/// Places of the host that the run can change.
fn writable(plan: &Plan) -> Vec<AbsPath> {
    let bound = plan.mounts.iter().filter_map(|step| match step {
        MountStep::Bind { source, writable: true, .. } => Some(source),
        _ => None,
    });
    let put_aside = |place: &&AbsPath| plan.layer.as_ref().is_some_and(|layer| place.is_beneath(&layer.place));
    bound.filter(|place| !put_aside(place)).chain(&plan.copies).cloned().collect()
}

/// What of the host's the run may read and not write.
fn readable(plan: &Plan) -> Vec<AbsPath> {
    let bound = plan.mounts.iter().filter_map(|step| match step {
        MountStep::Bind { source, writable: false, .. } => Some(source),
        _ => None,
    });
    bound.cloned().collect()
}

/// `NAME=value` for each variable that the plan passes on or sets.
pub(super) fn environment(surroundings: &Surroundings, plan: &Plan, secrets: &Values) -> Vec<Vec<u8>> {
    let granted = |name: &String| plan.environment.contains(name) || !plan.has(Wall::Environment);
    let passed = surroundings.environment.iter();
    let passed =
        passed.filter(|(name, _)| granted(name) && !plan.set.contains_key(*name) && !plan.secrets.contains_key(*name));
    let handed: Vec<(&String, Vec<u8>)> = plan
        .secrets
        .iter()
        .filter_map(|(name, way)| {
            let value = secrets.get(name)?;
            Some(match way {
                Handing::Variable => (name, value.clone()),
                Handing::File(place) => (name, place.as_bytes().to_vec()),
                Handing::Descriptor(number) => (name, number.to_string().into_bytes()),
            })
        })
        .collect();
    let handed = handed.iter().map(|(name, value)| (*name, value));
    passed
        .chain(plan.set.iter())
        .chain(handed)
        .map(|(name, value)| {
            let mut entry = name.clone().into_bytes();
            entry.push(b'=');
            entry.extend_from_slice(value);
            entry
        })
        .collect()
}
