//! pinfold learns what a program needs, writes it down as a profile that a person can review, and from then on runs the
//! program in a sandbox built from that profile.
//!
//! ```text
//!  learn:    command ──tracer+sandbox(permissive plan)──▶ Events ──trace──▶ file ──reduce──▶ Profile
//!  enforce:  Profile × Host ──plan──▶ Plan ──sandbox──▶ the program, confined, and its denials as Events
//!  review:   Profile × Profile ──diff──▶ what the second allows more, and less
//! ```
//!
//! The rooms have ranks; a file imports only from a strictly lower rank or from its own folder, and
//! `tests/architecture.rs` fails otherwise:
//!
//! | rank | room | what it is |
//! |---|---|---|
//! | 0 | [`vocab`] | values: paths, accesses, system calls, endpoints, limits, escapes; no I/O |
//! | ½ | [`sys`] | the unsafe fence: one kernel call a function, typed in and out |
//! | 1 | [`event`] | the only thing that tracer, sandbox and reduce share |
//! | 2 | [`trace`], [`profile`] | the two file formats |
//! | 3 | [`reduce`], [`diff`], [`explain`], [`merge`], [`plan`], [`import`], [`export`], [`check`] | pure functions between them |
//! | 4 | [`probe`], [`store`], [`tracer`], [`sandbox`] | mechanisms |
//! | 5 | [`run`] | learn and enforce: the mechanisms put together |
//! | 6 | [`cli`] | as typed → resolved → call → render; the only room that prints |
//!
//! Words used throughout: a *task* is our serial of a thread (a pid is no identity), an *event* one observed fact, a
//! *trace* the events of one run, a *grant* one allowance of a *profile*, a *plan* a profile resolved on a host, a *denial*
//! something that the kernel or the supervisor refused.

pub mod check;
pub mod cli;
pub mod diff;
pub mod event;
pub mod explain;
pub mod export;
pub mod import;
pub mod merge;
pub mod plan;
pub mod probe;
pub mod profile;
pub mod reduce;
pub mod run;
pub mod sandbox;
pub mod store;
pub mod sys;
pub mod trace;
pub mod tracer;
pub mod vocab;
