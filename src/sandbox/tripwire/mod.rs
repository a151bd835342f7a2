//! The tripwire: a root whose places are mounts, and whose every other name is asked of us.

pub mod wire;
