//! Why a profile cannot be carried out on a machine, and what to do about it.

use crate::vocab::location::Location;
use crate::vocab::syscall::Syscall;

use super::without_namespaces::Unkept;

/// Why a profile cannot be carried out on this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A bundle of which nobody said what it opens.
    #[error("the bundle `@{0}` is not known")]
    Bundle(String),
    /// A variable that is not set here.
    #[error("`{0}` names a variable that is not set here")]
    Variable(Location),
    /// Arguments of a call that has no argument rules.
    #[error("[syscalls.arguments] has no rules for `{call}`")]
    Arguments {
        /// Which.
        call: Syscall,
    },
    /// A value of an argument that is not understood.
    #[error("`{value}` is no value for `{call}` in [syscalls.arguments]")]
    Value {
        /// Of which call.
        call: Syscall,
        /// Which.
        value: String,
    },
    /// A newer base set.
    #[error("the base set {0} of system calls is newer than this version")]
    Base(u32),
    /// root cannot be mapped into a namespace below the sandbox's, and some of its proc would be root's to write.
    #[error("`nested_sandbox` does not work for root: the kernel lets no sandbox within map root again")]
    NestedAsRoot,
    /// Within a sandbox of its own the command sees another tree than the supervisor, and rules on names mean nothing.
    #[error(
        "`protect = \"strict\"` cannot be kept beside `nested_sandbox = true`: a sandbox within has a tree of files of its own"
    )]
    StrictNested,
    /// The second wall cannot be built.
    #[error("this kernel has no Landlock, the second wall behind the mounts")]
    NoLandlock,
    /// Without namespaces, which the profile tolerates, something else that it says cannot be kept.
    #[error("namespaces are refused here, and without them the profile cannot be kept")]
    WithoutNamespaces(#[from] Unkept),
    /// The wall behind the broker cannot be built.
    #[error("[network] by name needs Landlock's rules on TCP (Linux 6.7), which stand behind the broker")]
    NoLandlockNet,
    /// A secret would have to be made in a directory of the host.
    #[error("the secret `{name}` cannot be put at `{place}`: a granted directory holds that place")]
    SecretPlace {
        /// Its variable.
        name: String,
        /// Where it was to be.
        place: Location,
    },
    /// A grant on too much.
    #[error("`{0}` is never granted: it holds everything")]
    TooWide(Location),
}

impl PlanError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Variable(_) => Some("set the variable, or remove the line from the profile".to_owned()),
            Self::NoLandlockNet => Some(
                "`\"@host\" = { access = \"unconfined\", approved = true }` gives the host's whole network; without a line the \
                 run has none"
                    .to_owned(),
            ),
            Self::SecretPlace { .. } => Some(
                "leave `at` out: the secret is then below /run/secrets, and its variable holds the path".to_owned(),
            ),
            Self::NestedAsRoot => Some(
                "run it as an ordinary user; or turn the command's own sandbox off, and remove the line".to_owned(),
            ),
            Self::StrictNested => Some(
                "turn the command's own sandbox off, and remove `nested_sandbox`; or write `protect = \"scan\"`, which tells \
                 of new names after the run instead of refusing them"
                    .to_owned(),
            ),
            Self::WithoutNamespaces(Unkept::Names) => Some(
                "`pinfold doctor` says which setting refuses them; or write `protect = \"scan\"`, which tells of new names \
                 after the run instead of refusing them"
                    .to_owned(),
            ),
            Self::NoLandlock => Some(
                "boot with lsm=landlock,... in front of the list of /sys/kernel/security/lsm; or add \
                 `tolerate = [\"no-landlock\"]` to the profile, above its first section, to run with the mounts alone"
                    .to_owned(),
            ),
            Self::WithoutNamespaces(_) => Some("`pinfold doctor` says which setting refuses them".to_owned()),
            Self::Base(_) | Self::Bundle(_) => Some("a newer pinfold wrote this profile: update".to_owned()),
            _ => None,
        }
    }
}
