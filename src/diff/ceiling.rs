//! Whether a profile stays below another one: an organisation's ceiling.
//!
//! The same comparison, with the worst taken on either side: every line of the profile as if a person had approved it, and of
//! the ceiling only what is approved there. What a profile is for (command) and how it came about (gaps in the evidence) are
//! no part of it.

use crate::profile::Profile;

use super::codes::Code;
use super::{Context, Difference, Direction, compare};

/// What `profile` could allow and `ceiling` does not; nothing when it stays below.
pub fn below(profile: &Profile, ceiling: &Profile, context: &Context<'_>) -> Difference {
    let mut most = profile.clone();
    most.filesystem.values_mut().for_each(|grant| grant.approved = true);
    most.network.values_mut().for_each(|grant| grant.approved = true);
    most.secrets.values_mut().for_each(|secret| secret.approved = true);
    most.syscalls.approved.clone_from(&most.syscalls.allow);
    most.command.clone_from(&ceiling.command);
    most.incomplete.clone_from(&ceiling.incomplete);
    let mut difference = compare(ceiling, &most, context);
    difference.changes.retain(|change| change.direction() == Direction::Widens);
    // A line that hides what a wider one shows shows it once it is approved: both are the profile's own.
    let as_it_is = compare(
        ceiling,
        &Profile { command: ceiling.command.clone(), incomplete: ceiling.incomplete.clone(), ..profile.clone() },
        context,
    );
    let known: Vec<(Code, String)> =
        difference.changes.iter().map(|change| (change.code, change.name.clone())).collect();
    let more = as_it_is.changes.into_iter().filter(|change| {
        change.direction() == Direction::Widens && !known.contains(&(change.code, change.name.clone()))
    });
    difference.changes.extend(more);
    difference
}
