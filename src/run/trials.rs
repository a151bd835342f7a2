//! Enforced runs as trials: what one showed of a profile goes into the store, beside those before it.

use std::collections::BTreeSet;

use crate::event::{Denial, ExitStatus};
use crate::profile::Profile;
use crate::profile::evidence::Novelty;
use crate::store::trials::Trial;
use crate::store::{Store, StoreError};
use crate::vocab::syscall::Syscall;

use super::profile_file::ProfileFile;

/// Records what a run of `file` came to. One that a signal ended shows nothing unless something was refused.
pub(super) fn record(
    store: &Store,
    file: &ProfileFile,
    status: ExitStatus,
    interrupted: bool,
    denials: &[Denial],
    sees_files: bool,
) -> Result<(), StoreError> {
    let refused = refused(&file.profile, denials);
    if refused.is_empty() && (interrupted || matches!(status, ExitStatus::Signal(_))) {
        return Ok(());
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let when = now.map_or(0, |since| since.as_secs());
    store.add_trial(&file.path, &Trial { digest: file.digest.clone(), when, refused, sees_files })
}

/// Kinds of what was refused and a line could allow. What a person withheld was no surprise, and what no line allows is
/// nothing that more runs would have taught.
pub(super) fn refused(profile: &Profile, denials: &[Denial]) -> BTreeSet<Novelty> {
    let withheld = |denial: &Denial| {
        Syscall::from_name(&denial.call).is_some_and(|call| {
            let risky = crate::vocab::syscall_table::row(call).risk >= 4;
            risky && profile.syscalls.allow.contains(&call) && !profile.syscalls.approved.contains(&call)
        })
    };
    let named: Vec<String> = profile
        .filesystem
        .iter()
        .filter(|(_, grant)| !grant.approved)
        .map(|(location, _)| format!("[filesystem] \"{location}\" = "))
        .collect();
    let kind = |denial: &Denial| {
        let line = denial.remedy.as_deref().filter(|line| !named.iter().any(|named| line.starts_with(named)))?;
        let place = line.starts_with("[filesystem]");
        Some(match line {
            line if place && ["\"write\"", "\"replace\""].iter().any(|word| line.contains(word)) => Novelty::Write,
            _ if place => Novelty::Hard,
            line if line.starts_with("[network]") => Novelty::Network,
            _ => Novelty::Syscall,
        })
    };
    denials.iter().filter(|denial| !withheld(denial)).filter_map(kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_line_would_allow_and_nobody_withheld_counts() {
        let text = "schema = 1\nname = \"a\"\ncommand = [\"a\"]\n[syscalls]\nbase = 1\nallow = [\"ptrace\"]\n[filesystem]\n\"~/.k\" = { access = \"read\", sensitive = \"vault\", approved = false }\n";
        let profile = crate::profile::parse::parse(text).unwrap();
        let denial = |call: &str, remedy: Option<&str>| Denial {
            program: "a".into(),
            call: call.into(),
            thing: String::new(),
            errno: 1,
            remedy: remedy.map(str::to_owned),
            count: 1,
            ..Denial::default()
        };
        let of = |denial| refused(&profile, &[denial]);
        assert_eq!(of(denial("ptrace", Some("[syscalls] approved = [\"ptrace\"]"))), [].into());
        assert_eq!(of(denial("mount", None)), [].into());
        assert_eq!(of(denial("kcmp", Some("[syscalls] allow = [\"kcmp\"]"))), [Novelty::Syscall].into());
        assert_eq!(of(denial("openat", Some("[filesystem] \"~/x\" = \"read\""))), [Novelty::Hard].into());
        assert_eq!(of(denial("openat", Some("[filesystem] \"~/.k\" = { access = \"read\" }"))), [].into());
        assert_eq!(of(denial("openat", Some("[filesystem] \"~/x\" = \"write\""))), [Novelty::Write].into());
        assert_eq!(of(denial("connect", Some("[network] \"a.b:443\" = \"connect\""))), [Novelty::Network].into());
    }
}
