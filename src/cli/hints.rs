//! The remedy for each error, and the exit code it ends in.

use crate::event::Denial;
use crate::plan::compile::{NATIVE_ARCH, X32_BIT};
use crate::run::derive::DeriveError;
use crate::run::enforce::EnforceError;
use crate::run::from_strace::ImportError;
use crate::run::layers::LayerError;
use crate::run::learn::LearnError;
use crate::run::profile_file::ProfileFileError;
use crate::run::surroundings::SurroundingsError;
use crate::sandbox::StartError;
use crate::vocab::escape;

use super::exit::Exit;
use super::screen::{Colour, paint};

pub(super) fn surroundings(error: &SurroundingsError) -> Option<String> {
    match error {
        SurroundingsError::Workdir(_) => {
            Some("it was removed, or may not be looked at: go into one that is there".to_owned())
        }
        SurroundingsError::NoHome => Some("set HOME, or run as a user with a home directory".to_owned()),
        SurroundingsError::ProjectTooWide(_) => {
            Some("go into a project's directory, or name one with --project DIR".to_owned())
        }
        SurroundingsError::Nested => Some("start this pinfold outside of it".to_owned()),
        SurroundingsError::NotOwner { .. } => Some("leave --as-owner out, or start this as root".to_owned()),
        SurroundingsError::OutsideProject { .. } => Some("go into the project first".to_owned()),
        _ => None,
    }
}

pub(super) fn profile_file(error: &ProfileFileError) -> Option<String> {
    match error {
        ProfileFileError::Parse { problem, .. } => problem.hint(),
        ProfileFileError::Changed { .. } => Some("look at what stands there, remove it, and run this again".to_owned()),
        _ => None,
    }
}

pub(super) fn learn(error: &LearnError) -> Option<String> {
    match error {
        LearnError::PrivatePlace(_) => {
            Some("programs in a temporary directory cannot be seen inside: move it elsewhere".to_owned())
        }
        LearnError::NotFound(_) => Some("is it installed, and on the PATH?".to_owned()),
        LearnError::Start(error) => start(error),
        LearnError::Profile(error) => profile_file(error),
        LearnError::Derive(error) => derive(error),
        _ => None,
    }
}

pub(super) fn import(error: &ImportError) -> Option<String> {
    match error {
        ImportError::NoFile(_) | ImportError::Log { .. } => {
            Some("`strace -f -y -s 4096 -o FILE COMMAND` writes one".to_owned())
        }
        ImportError::NoStart => Some("let strace start the program; `-p` shows only what it does later".to_owned()),
        ImportError::Derive(error) => derive(error),
        ImportError::Profile(error) => profile_file(error),
        _ => None,
    }
}

pub(super) fn derive(error: &DeriveError) -> Option<String> {
    match error {
        DeriveError::Profile(error) => profile_file(error),
        _ => None,
    }
}

pub(super) fn start(error: &StartError) -> Option<String> {
    let general = || "`pinfold doctor` tries each kernel feature and says what is missing".to_owned();
    if error.is_missing_feature() { super::doctor::what_is_missing().or_else(|| Some(general())) } else { error.hint() }
}

pub(super) fn enforce(error: &EnforceError) -> Option<String> {
    match error {
        EnforceError::NotFound(_) => Some("is it installed, and on the PATH?".to_owned()),
        EnforceError::NoProfile { .. } => Some("`pinfold run` and `pinfold learn` make one".to_owned()),
        EnforceError::OtherCommand { .. } => {
            Some("another program wants a profile of its own: name a file for it with -p FILE".to_owned())
        }
        EnforceError::NotApproved { path, changes, .. } => Some(match changes {
            Some(_) => format!("look at the changes; `pinfold approve {}` approves them", path.display()),
            None => format!("`pinfold approve {}` looks at it and approves it", path.display()),
        }),
        EnforceError::Expired { path, .. } => Some(format!("`pinfold approve {}` approves it anew", path.display())),
        EnforceError::Incomplete { path, .. } => {
            Some(format!("learn it again; or `pinfold approve {}` asks whether it will do as it is", path.display()))
        }
        EnforceError::OtherDigest { .. } => {
            Some("the profile was changed since that digest was taken: review it again".to_owned())
        }
        EnforceError::Plan(error) => error.hint(),
        EnforceError::Layer(error) => layer(error),
        EnforceError::Secret(error) => error.hint(),
        EnforceError::Start(error) if error.is_missing_feature() => {
            let weaker = "or add `tolerate = [\"no-namespaces\"]` to the profile, above its first section, to run with \
                          Landlock and the filter alone, which protect less: the start says what is lost";
            start(error).map(|hint| format!("{hint}\n      {weaker}"))
        }
        EnforceError::Start(error) => start(error),
        EnforceError::Profile(error) => profile_file(error),
        _ => None,
    }
}

pub(super) fn layer(error: &LayerError) -> Option<String> {
    match error {
        LayerError::InUse => Some("wait for it to end".to_owned()),
        LayerError::Elsewhere(_) => Some("take or throw them away first: `pinfold review`".to_owned()),
        LayerError::Nothing(_) => Some(
            "`--overlay` takes a line `\"$PROJECT\" = \"write\"`, none that grants more above it, and namespaces"
                .to_owned(),
        ),
        _ => None,
    }
}

pub(super) fn learn_exit(error: &LearnError) -> Exit {
    match error {
        LearnError::NotFound(_) => Exit::NotFound,
        LearnError::Start(error) => start_exit(error),
        _ => Exit::Ours,
    }
}

pub(super) fn enforce_exit(error: &EnforceError) -> Exit {
    match error {
        EnforceError::NotFound(_) => Exit::NotFound,
        EnforceError::Start(error) => start_exit(error),
        _ => Exit::Ours,
    }
}

fn start_exit(error: &StartError) -> Exit {
    match error.exec_errno() {
        Some(libc::ENOENT) => Exit::NotFound,
        Some(_) => Exit::CannotExecute,
        None => Exit::Ours,
    }
}

/// A refused call: who, what, and how often.
pub(super) fn denial(denial: &Denial) -> String {
    let what = [denial.call.as_str(), denial.thing.as_str()].into_iter().filter(|word| !word.is_empty());
    let what: Vec<_> = what.map(|word| escape::terminal(word.as_bytes())).collect();
    let times = if denial.count == 1 { "once".to_owned() } else { format!("{} times", denial.count) };
    format!("`{}`: {} ({times})", escape::terminal(denial.program.as_bytes()), what.join(" "))
}

/// A call that no table of this build has.
pub(super) fn unknown(arch: u32, number: u64) -> (String, Option<&'static str>) {
    if arch == NATIVE_ARCH && number < u64::from(X32_BIT) {
        let text = format!("refused: system call number {number}, which this version does not know");
        return (text, Some("is there a newer pinfold?"));
    }
    (
        format!("refused: system call number {number} of another ABI ({arch:#x})"),
        Some("only programs of the machine's own 64-bit ABI run here; is there such a build?"),
    )
}

/// A remedy on a line of its own.
pub(super) fn say(hint: &str) {
    super::screen::say(format!("{} {hint}", paint("hint:", Colour::Cyan)));
}

/// What to do about a call that is refused even while learning, where that is known.
pub(super) fn instead(denial: &Denial) -> Option<&'static str> {
    match denial.call.as_str() {
        "ptrace" => {
            Some("a program that traces others cannot be learned, and `pinfold trace show` tells what it would")
        }
        "clone" | "unshare" => Some(
            "if it brings a sandbox of its own (bwrap, Chromium, codex), turn that off: --no-sandbox, --sandbox danger-full-access",
        ),
        _ => None,
    }
}
