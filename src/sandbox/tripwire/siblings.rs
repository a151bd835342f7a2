//! The name of a file that is replaced in place → the names beside it that this takes.
//!
//! Pure. A sibling begins with the whole name of the file, so that none is another file's: locks and journals have fixed ends,
//! temporary files anything that cannot be part of a name's last word.

/// What a name in a filtered directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Granted.
    Granted,
    /// A lock or a journal of a granted file: there for everybody who uses the file.
    Shared,
    /// A temporary file: of the run that made it.
    Temporary,
}

/// Ends of locks, and of the files beside a database of SQLite.
const SHARED: [&[u8]; 6] = [b".lock", b".lck", b"-lock", b"-journal", b"-wal", b"-shm"];

/// What `name` is beside the `granted` names; `None` when it is nothing to do with them.
pub(super) fn role<'a>(granted: impl IntoIterator<Item = &'a [u8]>, name: &[u8]) -> Option<Role> {
    granted.into_iter().filter_map(|granted| beside(granted, name)).min()
}

fn beside(granted: &[u8], name: &[u8]) -> Option<Role> {
    if name == granted {
        return Some(Role::Granted);
    }
    // Editors put a dot or a hash in front.
    let tails = [name, name.strip_prefix(b".").unwrap_or_default(), name.strip_prefix(b"#").unwrap_or_default()];
    let (tail, in_front) = tails.iter().enumerate().find_map(|(index, name)| {
        name.strip_prefix(granted).filter(|tail| !tail.is_empty()).map(|tail| (tail, index > 0))
    })?;
    if !in_front && SHARED.contains(&tail) {
        return Some(Role::Shared);
    }
    matches!(tail.first(), Some(b'.' | b'-' | b'~' | b'_' | b'#' | b',')).then_some(Role::Temporary)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(granted: &str, name: &str) -> Option<Role> {
        role([granted.as_bytes()], name.as_bytes())
    }

    #[test]
    fn what_agents_and_tools_make_beside_a_file_is_known() {
        assert_eq!(of(".claude.json", ".claude.json"), Some(Role::Granted));
        assert_eq!(of(".claude.json", ".claude.json.lock"), Some(Role::Shared));
        assert_eq!(of(".claude.json", ".claude.json.tmp.4711.0123456789ab"), Some(Role::Temporary));
        assert_eq!(of(".gitconfig", ".gitconfig.lock"), Some(Role::Shared));
        assert_eq!(of("history.db", "history.db-wal"), Some(Role::Shared));
        assert_eq!(of("conf", ".conf.swp"), Some(Role::Temporary));
        assert_eq!(of("conf", "#conf#"), Some(Role::Temporary));
        assert_eq!(of("conf", "conf~"), Some(Role::Temporary));
    }

    #[test]
    fn another_file_is_no_sibling() {
        for name in [".ssh", ".claude.jsonx", "x.claude.json", ".claude.jso", ".claude", "claude.json.tmp", ""] {
            assert_eq!(of(".claude.json", name), None, "{name}");
        }
        assert_eq!(of(".bash", ".bashrc"), None);
    }

    #[test]
    fn a_granted_name_is_that_before_it_is_anything_else() {
        let granted = [b".a".as_slice(), b".a.lock"];
        assert_eq!(role(granted, b".a.lock"), Some(Role::Granted));
    }
}
