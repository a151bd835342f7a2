//! Learn and enforce: the mechanisms put together.
//!
//! What the person typed and where → a recorded run and a profile, or a confined run and its report. Nothing here prints:
//! progress goes to an observer, results are values.

pub mod amend;
pub mod approve;
pub mod bundles;
pub mod changes;
pub mod derive;
pub mod enforce;
pub mod evidence;
pub mod from_strace;
pub mod git;
pub mod git_setup;
pub mod identity;
mod launchers;
pub mod layers;
pub mod learn;
pub mod merge;
pub mod page;
pub mod profile_file;
mod recorder;
pub mod refusals;
pub mod secrets;
pub mod surroundings;
mod take;
mod temporary;
mod trials;

/// Version of this program, as in traces.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
