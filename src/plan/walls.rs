//! The protections of a run, one by one, by name.
//!
//! A plan that `plan::mounts` makes has them all, but for what the profile gives up by name (`nested_sandbox`, `tolerate`).
//! Naming them one by one lets a start say what is in force, and lets the tests take each away and see what it was that
//! held.

/// One protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Wall {
    /// The mount namespace with its own root.
    Mounts,
    /// Read-only mounts over what the host executes, covers, and pins, within what is granted.
    Guards,
    /// The calls that make names, carried out by the supervisor.
    Names,
    /// The Landlock ruleset.
    Landlock,
    /// The seccomp filter.
    Filter,
    /// The pid namespace.
    Processes,
    /// The IPC namespace.
    Messages,
    /// The network namespace.
    Network,
    /// The UTS namespace.
    HostName,
    /// The session keyring of its own.
    Keyring,
    /// The empty capability sets.
    Capabilities,
    /// Mounts of the machine's directories in which an agent of root's owns nothing.
    Owners,
    /// The closed descriptors.
    Descriptors,
    /// The allow-list of variables.
    Environment,
    /// The process group of its own.
    ProcessGroup,
}

impl Wall {
    /// Every one.
    pub const ALL: [Self; 15] = [
        Self::Mounts,
        Self::Guards,
        Self::Names,
        Self::Landlock,
        Self::Filter,
        Self::Processes,
        Self::Messages,
        Self::Network,
        Self::HostName,
        Self::Keyring,
        Self::Capabilities,
        Self::Owners,
        Self::Descriptors,
        Self::Environment,
        Self::ProcessGroup,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mounts => "mounts",
            Self::Guards => "guards",
            Self::Names => "names",
            Self::Landlock => "landlock",
            Self::Filter => "filter",
            Self::Processes => "pid-namespace",
            Self::Messages => "ipc-namespace",
            Self::Network => "network-namespace",
            Self::HostName => "uts-namespace",
            Self::Keyring => "keyring",
            Self::Capabilities => "capabilities",
            Self::Owners => "owners",
            Self::Descriptors => "descriptors",
            Self::Environment => "environment",
            Self::ProcessGroup => "process-group",
        }
    }

    /// What it is for, in words that fit behind its name.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Mounts => "what is not granted does not exist",
            Self::Guards => "what the host executes, and what is withheld, stays as it is inside a granted directory",
            Self::Names => "names that the host executes are not made anew, nor by renaming, linking or swapping",
            Self::Landlock => "the mounts once more, by another part of the kernel; signals and sockets stay inside",
            Self::Filter => "system calls that are not granted are refused and named",
            Self::Processes => "other processes cannot be seen, signalled or traced, and none is left at the end",
            Self::Messages => "System V objects and POSIX queues of others do not exist",
            Self::Network => "an empty network: no host, no local service, no abstract socket",
            Self::HostName => "the machine's name is not told",
            Self::Keyring => "the login's keys are out of reach",
            Self::Capabilities => "root is nobody, and no program can gain rights",
            Self::Owners => {
                "what root alone may open in the machine's directories is closed to an agent that runs as root"
            }
            Self::Descriptors => "nothing that was left open outside is inherited",
            Self::Environment => "variables that are not granted are dropped",
            Self::ProcessGroup => "a signal to the own group reaches nobody outside",
        }
    }
}

impl std::str::FromStr for Wall {
    type Err = UnknownWall;
    fn from_str(text: &str) -> Result<Self, UnknownWall> {
        Self::ALL.into_iter().find(|wall| wall.as_str() == text).ok_or_else(|| UnknownWall(text.to_owned()))
    }
}

/// No wall has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no wall")]
pub struct UnknownWall(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wall_has_a_name_of_its_own_that_is_read_back() {
        for wall in Wall::ALL {
            assert_eq!(wall.as_str().parse(), Ok(wall));
        }
    }
}
