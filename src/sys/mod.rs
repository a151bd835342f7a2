//! The unsafe fence: one kernel call a function, typed in and out.

pub mod trial;
