//! Values that every room speaks in. Nothing here does I/O, reads the clock or the environment, or is unsafe.

pub mod access;
pub mod argument_words;
pub mod bpf;
pub mod bundle;
pub mod call_class;
pub mod commands;
pub mod endpoint;
pub mod escape;
pub mod host;
pub mod landlock;
pub mod limits;
pub mod location;
pub mod path;
pub mod proxy;
pub mod reach;
pub mod sensitivity;
pub mod syscall;
pub mod syscall_table;
pub mod variables;
