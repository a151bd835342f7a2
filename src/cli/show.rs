//! `pinfold show`: what a profile allows, in plain words.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::plan::grants;
use crate::profile::evidence::Evidence;
use crate::profile::{Delivery, NetAccess, Profile, Protect, SecretSource};
use crate::run::evidence;
use crate::run::profile_file::{self, ProfileFile, ProfileFileError};
use crate::run::surroundings::Surroundings;
use crate::store::Store;
use crate::vocab::access::Access;
use crate::vocab::call_class;
use crate::vocab::escape;
use crate::vocab::location::Location;
use crate::vocab::path::AbsPath;
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::{Class, rows};

use super::arguments::ShowArguments;
use super::exit::Exit;
use super::{confidence, hints, screen};

pub(super) fn run(arguments: &ShowArguments) -> Exit {
    let file = match open(&arguments.profile) {
        Ok(file) => file,
        Err(exit) => return exit,
    };
    let (mut approved, mut trials, mut evidence) = (None, Vec::new(), Evidence::default());
    // What cannot be told of the machine does not keep a person from reading the file.
    if let Ok(surroundings) = Surroundings::read(None) {
        let store = Store::open(&surroundings.state_dir.to_path_buf(), surroundings.identity.uid);
        if let Ok(store) = &store {
            approved = file.is_approved(store).ok();
            trials = store.trials(&file.path, &file.digest).unwrap_or_default();
        }
        match evidence::load(&surroundings, &file.path) {
            Ok(found) => evidence = found.unwrap_or_default(),
            Err(error) => screen::warn(screen::chain(&error)),
        }
    }
    let expansion = if arguments.expand {
        match Surroundings::read(None) {
            Ok(surroundings) => Some(Expansion::of(&file.profile, &surroundings)),
            Err(error) => {
                screen::error(&error, hints::surroundings(&error).as_deref());
                return Exit::Trouble;
            }
        }
    } else {
        None
    };
    let out = if arguments.json {
        super::report::profile(&file, approved, confidence::json(&evidence, &trials), expansion.as_ref())
    } else {
        let approval = match approved {
            Some(true) => "approved on this machine",
            Some(false) => "NOT approved on this machine",
            None => "whether it is approved on this machine could not be told",
        };
        let (text, learned, enforced) =
            (text(&file.profile), confidence::learned(&evidence), confidence::enforced(&trials));
        let expansion = expansion.map(|expansion| expansion.text(&file.profile)).unwrap_or_default();
        format!("{}\n{} {approval}\n{text}{expansion}\n\n{learned}\n{enforced}", file.path.display(), file.digest)
    };
    match screen::data(&(out.trim_end().to_owned() + "\n")) {
        Ok(()) => Exit::Success,
        Err(_) => Exit::Trouble,
    }
}

/// What the words of a profile stand for on this machine.
pub(super) struct Expansion {
    /// By bundle: each place that it opens here.
    pub(super) bundles: BTreeMap<String, Vec<AbsPath>>,
    /// The calls of the base set.
    pub(super) base: Vec<&'static str>,
}

impl Expansion {
    fn of(profile: &Profile, surroundings: &Surroundings) -> Self {
        let host = surroundings.host(&grants::wanted_paths(profile, &surroundings.roots));
        let opened = |name: &String| {
            let places = grants::opened_by(name, profile, &host).into_iter().map(|(path, _)| path);
            (name.clone(), places.collect())
        };
        let base = rows().filter(|(_, row)| row.class == Class::Base).map(|(call, _)| call.name());
        let mut base: Vec<_> = base.collect();
        base.sort_unstable();
        Self { bundles: profile.bundles.keys().map(opened).collect(), base }
    }

    fn text(&self, profile: &Profile) -> String {
        let mut out = String::new();
        for (name, places) in &self.bundles {
            let why = profile.bundles.get(name).map_or("", |bundle| bundle.why.as_str());
            let _ = write!(out, "\n\n@{name} is {}; here it opens for reading", escape::terminal(why.as_bytes()));
            for place in places {
                let _ = write!(out, "\n    {place}");
            }
            if places.is_empty() {
                out.push_str(" nothing");
            }
        }
        let count = self.base.len();
        let _ = write!(out, "\n\nbase {} is {count} calls\n    {}", profile.syscalls.base, self.base.join(" "));
        out
    }
}

/// The file that is meant: by itself, or by name in `generated-profiles/`.
pub(super) fn find(given: &Path) -> PathBuf {
    let by_name = || -> Option<PathBuf> {
        let name = given.to_str().filter(|name| !name.contains('/'))?;
        let project = Surroundings::read(None).ok()?.project().to_path_buf();
        let path = project.join("generated-profiles").join(format!("{}.toml", name.trim_end_matches(".toml")));
        path.exists().then_some(path)
    };
    if given.is_file() { given.to_path_buf() } else { by_name().unwrap_or_else(|| given.to_path_buf()) }
}

/// A profile by file, or by name in `generated-profiles/`; an error is already said.
pub(super) fn open(given: &Path) -> Result<ProfileFile, Exit> {
    opened(given, profile_file::load(&find(given)))
}

/// A profile, and where this is.
pub(super) fn open_here(given: &Path) -> Result<(ProfileFile, Surroundings), Exit> {
    let file = open(given)?;
    let surroundings = Surroundings::read(None).map_err(|error| {
        screen::error(&error, hints::surroundings(&error).as_deref());
        Exit::Trouble
    })?;
    Ok((file, surroundings))
}

/// Two profiles, read at the same time: that is most of what comparing them takes.
pub(super) fn open_both(first: &Path, second: &Path) -> Result<[ProfileFile; 2], Exit> {
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| profile_file::load(&find(second)));
        (profile_file::load(&find(first)), other.join())
    });
    let other = other.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    Ok([opened(first, one)?, opened(second, other)?])
}

fn opened(given: &Path, loaded: Result<Option<ProfileFile>, ProfileFileError>) -> Result<ProfileFile, Exit> {
    match loaded {
        Ok(Some(file)) => Ok(file),
        Ok(None) => {
            screen::say(format!(
                "{} there is no profile `{}`, neither as a file nor in generated-profiles/",
                screen::paint("error:", screen::Colour::Red),
                escape::terminal(given.as_os_str().as_encoded_bytes())
            ));
            hints::say(&match names().as_slice() {
                [] => "`pinfold run -- COMMAND` makes one".to_owned(),
                names => format!("there are {}", names.join(", ")),
            });
            Err(Exit::Trouble)
        }
        Err(error) => {
            screen::error(&error, hints::profile_file(&error).as_deref());
            Err(Exit::Trouble)
        }
    }
}

/// The profiles of this project, by name.
fn names() -> Vec<String> {
    let dir = Surroundings::read(None).map(|here| here.project().to_path_buf().join("generated-profiles"));
    let entries = dir.ok().and_then(|dir| std::fs::read_dir(dir).ok());
    let names = entries.into_iter().flatten().filter_map(|entry| {
        let name = entry.ok()?.file_name();
        Some(escape::terminal(name.as_encoded_bytes().strip_suffix(b".toml")?))
    });
    let names: std::collections::BTreeSet<_> = names.collect();
    names.into_iter().take(20).collect()
}

/// The profile in words, a line a grant.
pub(super) fn text(profile: &Profile) -> String {
    let mut out = String::new();
    let command = escape::terminal(profile.command.join(" ").as_bytes());
    if let Some(lack) = &profile.incomplete {
        let gaps: Vec<_> = lack.gaps.iter().map(|gap| gap.meaning()).collect();
        let _ = writeln!(out, "INCOMPLETE: {}; what it needs beyond this is refused", gaps.join("; "));
    }
    let _ = writeln!(out, "`{command}` may");
    if profile.nested_sandbox {
        let _ = writeln!(out, "  MAKE NAMESPACES AND MOUNTS OF ITS OWN, for a sandbox within; Landlock is off then");
    }
    if profile.protect == Protect::Strict {
        let _ = writeln!(out, "  make no name that your machine runs or obeys (protect = \"strict\")");
    }
    for (heading, access) in [
        ("change, create and remove below", Access::Write),
        ("replace", Access::Replace),
        ("read and execute", Access::Read),
        ("see the names of", Access::Exist),
    ] {
        let places: Vec<_> = profile.filesystem.iter().filter(|(_, grant)| grant.access == access).collect();
        if places.is_empty() {
            continue;
        }
        let _ = writeln!(out, "  {heading}");
        for (location, grant) in places {
            let mark = match (grant.sensitive, grant.approved) {
                (Some(kind), false) => format!("  [{}, withheld until approved]", kind.as_str()),
                (Some(kind), true) => format!("  [{}, approved]", kind.as_str()),
                (None, _) => String::new(),
            };
            let bundle = match location {
                Location::Bundle(name) => profile.bundles.get(name),
                Location::Path { .. } => None,
            };
            let why = bundle.map(|bundle| format!("  {}", escape::terminal(bundle.why.as_bytes()))).unwrap_or_default();
            let _ = writeln!(out, "    {location}{why}{mark}");
        }
    }
    if profile.network.is_empty() {
        let _ = writeln!(out, "  use no network");
    }
    for (target, grant) in &profile.network {
        let approved = if grant.approved { "" } else { "  [withheld until approved]" };
        let _ = match grant.access {
            NetAccess::Unconfined => {
                writeln!(out, "  use YOUR WHOLE NETWORK, UNCONFINED (local services, abstract sockets){approved}")
            }
            NetAccess::Connect => writeln!(out, "  connect to {target}{approved}"),
            NetAccess::Relay => writeln!(out, "  connect to {target}, and to nobody else by that address{approved}"),
            NetAccess::Publish => writeln!(out, "  be reached from your machine at {target}{approved}"),
        };
    }
    let _ = writeln!(
        out,
        "  make the system calls of base {}{}",
        profile.syscalls.base,
        if profile.syscalls.allow.is_empty() { "" } else { " and" }
    );
    calls(profile, &mut out);
    if !profile.secrets.is_empty() {
        let _ = writeln!(out, "  have the secrets");
    }
    for (name, secret) in &profile.secrets {
        let approved = if secret.approved { "" } else { "  [withheld until approved]" };
        let source = match &secret.from {
            SecretSource::Env => String::new(),
            SecretSource::File(place) => format!(" from the file {place}"),
            SecretSource::Descriptor(number) => format!(" from the descriptor {number}"),
            SecretSource::Command(words) => {
                format!(" from what `{}` prints OUTSIDE the sandbox", escape::terminal(words.join(" ").as_bytes()))
            }
        };
        let way = match &secret.to {
            Delivery::Variable => String::new(),
            Delivery::File(None) => " as a file in memory".to_owned(),
            Delivery::File(Some(place)) => format!(" as a file in memory at {place}"),
            Delivery::Descriptor => " as a descriptor".to_owned(),
        };
        let _ = writeln!(out, "    {}{source}{way}{approved}", escape::terminal(name.as_bytes()));
    }
    if !profile.environment.is_empty() {
        let names: Vec<_> = profile.environment.iter().map(|name| escape::terminal(name.as_bytes())).collect();
        let _ = writeln!(out, "  see the variables {}", names.join(" "));
    }
    let limits = &profile.limits;
    let parts: Vec<String> = [
        limits.memory.map(|memory| format!("{memory} of memory")),
        limits.processes.map(|count| format!("{count} processes")),
        limits.cpu.map(|share| format!("{share} of a processor")),
        limits.file_size.map(|size| format!("{size} in one file")),
        limits.disk.map(|size| format!("{size} in private directories")),
        limits.io.map(|rate| format!("{rate} from and to each disk")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !parts.is_empty() {
        let _ = writeln!(out, "  use at most {}", parts.join(", "));
    }
    out.truncate(out.trim_end().len());
    out
}

/// Calls beyond the base set by what they are for, one of risk 4 by itself; then the rules for arguments.
fn calls(profile: &Profile, out: &mut String) {
    let mut classes: BTreeMap<(usize, &str), Vec<&str>> = BTreeMap::new();
    let risk = |call: Syscall| crate::vocab::syscall_table::row(call).risk;
    for call in profile.syscalls.allow.iter().filter(|call| risk(**call) < 4) {
        classes.entry(call_class::class(*call)).or_default().push(call.name());
    }
    for ((_, words), names) in classes {
        let _ = writeln!(out, "    {words}: {}", names.join(" "));
    }
    for call in profile.syscalls.allow.iter().filter(|call| risk(**call) >= 4) {
        let approved = profile.syscalls.approved.contains(call);
        let note = if approved { "approved" } else { "withheld until approved" };
        let _ = writeln!(out, "    {call}  [risk {}, {note}]", risk(*call));
    }
    for (call, words) in &profile.syscalls.arguments {
        let words: Vec<String> = words.iter().map(|word| escape::terminal(word.as_bytes())).collect();
        let _ = writeln!(out, "    {call} with nothing but {}", words.join(", "));
    }
}
