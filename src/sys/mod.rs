//! The unsafe fence: one kernel call a function, typed in and out.

pub mod mount;
pub mod namespace;
pub mod process;
pub mod seccomp;
pub mod socket;
pub mod trial;
