//! The command line: as typed → resolved → call → render. The only room that prints.

pub mod demo;
pub mod doctor;
