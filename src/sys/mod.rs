//! The unsafe fence: one kernel call a function, typed in and out.

pub mod epoll;
pub mod fuse;
pub mod inet;
pub mod landlock;
pub mod maker;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod paths;
pub mod peer;
pub mod process;
pub mod ptrace;
pub mod seccomp;
pub mod socket;
pub mod task;
pub mod tick;
pub mod trial;
pub mod wait;
pub mod xattr;
