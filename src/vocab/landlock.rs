//! Words of Landlock: the rights of its rulesets, as `plan` writes them and `sys` hands them to the kernel.
//!
//! Source: landlock(7) and linux/landlock.h. A right that the kernel's ABI does not know is never asked of it.

/// Rights on files and directories: LANDLOCK_ACCESS_FS_* or-ed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Rights(u64);

macro_rules! rights {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $since:literal, $words:literal;)*) => {
        impl Rights {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// Each single right with the ABI that brought it and its name in words.
            const EACH: &'static [(Self, u32, &'static str)] = &[$((Self::$name, $since, $words),)*];
        }
    };
}

rights! {
    /// Execute a file.
    EXECUTE = 0, 1, "execute";
    /// Open a file for writing.
    WRITE_FILE = 1, 1, "write";
    /// Open a file for reading.
    READ_FILE = 2, 1, "read";
    /// List a directory.
    READ_DIR = 3, 1, "list";
    /// Remove or rename an empty directory.
    REMOVE_DIR = 4, 1, "remove directories";
    /// Remove or rename a file.
    REMOVE_FILE = 5, 1, "remove files";
    /// Make a character device.
    MAKE_CHAR = 6, 1, "make character devices";
    /// Make a directory.
    MAKE_DIR = 7, 1, "make directories";
    /// Make a regular file.
    MAKE_REG = 8, 1, "make files";
    /// Make a socket by bind(2).
    MAKE_SOCK = 9, 1, "make sockets";
    /// Make a named pipe.
    MAKE_FIFO = 10, 1, "make pipes";
    /// Make a block device.
    MAKE_BLOCK = 11, 1, "make block devices";
    /// Make a symlink.
    MAKE_SYM = 12, 1, "make symlinks";
    /// Link or rename from one directory to another (Linux 5.19); without it the kernel answers EXDEV.
    REFER = 13, 2, "move between directories";
    /// Truncate (Linux 6.2).
    TRUNCATE = 14, 3, "truncate";
    /// Commands to device files (Linux 6.10).
    IOCTL_DEV = 15, 5, "device commands";
}

impl Rights {
    /// No right.
    pub const NONE: Self = Self(0);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both have.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of `other` is in these.
    pub const fn hold(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Every right that a kernel of this ABI can hold back.
    pub fn of_abi(abi: u32) -> Self {
        Self::EACH.iter().filter(|(_, since, _)| *since <= abi).fold(Self::NONE, |all, (right, ..)| all.and(*right))
    }

    /// To read and execute what lies at a place and beneath it.
    pub const READ: Self = Self::EXECUTE.and(Self::READ_FILE).and(Self::READ_DIR);

    /// To do there what an ordinary user may; device nodes are nobody's.
    pub const WRITE: Self = Self::READ
        .and(Self::WRITE_FILE)
        .and(Self::REMOVE_DIR)
        .and(Self::REMOVE_FILE)
        .and(Self::MAKE_DIR)
        .and(Self::MAKE_REG)
        .and(Self::MAKE_SOCK)
        .and(Self::MAKE_FIFO)
        .and(Self::MAKE_SYM)
        .and(Self::REFER)
        .and(Self::TRUNCATE)
        .and(Self::IOCTL_DEV);

    /// The rights that make sense on something that is not a directory; the kernel refuses a rule with others.
    pub const OF_A_FILE: Self =
        Self::EXECUTE.and(Self::WRITE_FILE).and(Self::READ_FILE).and(Self::TRUNCATE).and(Self::IOCTL_DEV);

    /// As the kernel takes them.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for Rights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = Self::EACH.iter().filter(|(right, ..)| self.hold(*right)).map(|(.., words)| *words);
        f.write_str(&words.collect::<Vec<_>>().join(", "))
    }
}

/// What may not be reached outside the domain: LANDLOCK_SCOPE_* or-ed together (Linux 6.12, ABI 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scope(u64);

impl Scope {
    /// Everything may.
    pub const NONE: Self = Self(0);
    /// Abstract unix sockets.
    pub const ABSTRACT_SOCKETS: Self = Self(1);
    /// Processes, by signals.
    pub const SIGNALS: Self = Self(2);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    pub const fn holds(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What a kernel of this ABI can hold back.
    pub const fn of_abi(self, abi: u32) -> Self {
        if abi >= 6 { self } else { Self::NONE }
    }

    /// As the kernel takes it.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_asked_for_no_right_that_it_does_not_know() {
        assert_eq!(Rights::of_abi(0), Rights::NONE);
        assert_eq!(Rights::of_abi(1).bits(), 0x1fff);
        assert!(!Rights::of_abi(1).hold(Rights::REFER));
        assert_eq!(Rights::of_abi(5).bits(), 0xffff);
        assert_eq!(Scope::SIGNALS.of_abi(5), Scope::NONE);
    }

    #[test]
    fn who_may_write_makes_no_device_nodes() {
        assert!(!Rights::WRITE.hold(Rights::MAKE_CHAR) && !Rights::WRITE.hold(Rights::MAKE_BLOCK));
        assert_eq!(Rights::READ.to_string(), "execute, read, list");
    }
}
