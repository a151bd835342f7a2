//! What the tests that need a real kernel share: needs that are declared, tried, and never skipped silently.
#![allow(
    dead_code,
    unused_macros,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "each test binary uses its own part"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "helpers of tests: a panic is a failed test, and a skip is said aloud"
)]

pub mod browser;
pub mod corpus;
pub mod enforced;
pub mod scratch;
pub mod traced;
pub mod world;

use std::process::Command;

/// Something that a test needs of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A user namespace in which something can really be mounted.
    UserNamespaces,
    /// A FUSE device that may be opened.
    Fuse,
    /// The test runs as root.
    Root,
    /// The test runs as an ordinary user.
    OrdinaryUser,
    /// A program in `PATH`.
    Program(&'static str),
    /// Sockets between virtual machines.
    Vsock,
    /// What `fixtures/network/install` builds.
    Client(&'static str),
}

impl Need {
    /// Why it is not there; `None` when it is.
    fn missing(self) -> Option<String> {
        match self {
            Self::UserNamespaces => (!can_mount_in_a_user_namespace())
                .then(|| "a user namespace in which something can be mounted is refused here".to_owned()),
            Self::Fuse => fuse().err().map(|error| format!("/dev/fuse cannot be opened by this user: {error}")),
            Self::Root => (!is_root()).then(|| "this test runs as root only".to_owned()),
            Self::OrdinaryUser => is_root().then(|| "this test runs as an ordinary user only".to_owned()),
            Self::Program(name) => find(name).is_none().then(|| format!("`{name}` is not in PATH")),
            Self::Vsock => vsock().err().map(|error| format!("there are no sockets between virtual machines: {error}")),
            Self::Client(name) => (!client(name).exists())
                .then(|| format!("`{name}` is not built: fixtures/network/install DIR, and PINFOLD_TEST_CLIENTS=DIR")),
        }
    }

    /// Whether `PINFOLD_TEST_REQUIRE=all` insists on it. Who runs the suite is not a lack of the machine, nor is a device that
    /// is root's alone: `scripts/test` has one that is everybody's.
    fn is_of_the_machine(self) -> bool {
        let forbidden = || fuse().is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        !(matches!(self, Self::Root | Self::OrdinaryUser) || self == Self::Fuse && forbidden())
    }
}

/// `true` when all `needs` are met. Otherwise says so in a line that `scripts/test` counts, and the test returns; where
/// `PINFOLD_TEST_REQUIRE=all` is set, what the machine lacks is a failure instead.
///
/// # Panics
///
/// When something is missing that is required.
#[must_use]
pub fn need(needs: &[Need]) -> bool {
    for &need in needs {
        let Some(why) = need.missing() else { continue };
        let required = std::env::var_os("PINFOLD_TEST_REQUIRE").is_some_and(|value| value == "all");
        assert!(!(required && need.is_of_the_machine()), "required: {why}");
        let word = if need.is_of_the_machine() { "skip" } else { "not for this user" };
        eprintln!("{word}: {why}");
        return false;
    }
    true
}

/// Returns from the test, with a line that says why, unless all needs are met: `need!(UserNamespaces, Program("git"))`.
#[macro_export]
macro_rules! need {
    ($($need:ident $(($argument:expr))?),+ $(,)?) => {
        if !$crate::common::need(&[$($crate::common::Need::$need $(($argument))?),+]) {
            return;
        }
    };
}

fn fuse() -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse")
}

fn vsock() -> nix::Result<std::os::fd::OwnedFd> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    socket(AddressFamily::Vsock, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
}

/// Whether the effective user is root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Where `name` is in `PATH`.
pub fn find(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|candidate| candidate.is_file())
}

/// Where a client of the network is that `fixtures/network/install` built.
pub fn client(name: &str) -> std::path::PathBuf {
    std::env::var_os("PINFOLD_TEST_CLIENTS").map(std::path::PathBuf::from).unwrap_or_default().join("bin").join(name)
}

/// unshare(2) may succeed and the namespace be of no use (AppArmor): so something is mounted in it.
fn can_mount_in_a_user_namespace() -> bool {
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        .output()
        .is_ok_and(|output| output.status.success())
}
