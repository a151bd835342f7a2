//! The command line: as typed → resolved → call → render. The only room that prints.

pub mod doctor;
