//! What decodes the calls of a hostile program, for the fuzz target and its test; no part of a build without fixtures.

use crate::event::Denial;
use crate::plan::FilterSpec;
use crate::sys::seccomp::Notification;

use super::denial::{self, Ledger};

/// A call as the kernel hands it over: number and six arguments, little-endian, zero where `bytes` end.
pub fn call(bytes: &[u8]) -> (i32, [u64; 6]) {
    let word = |at: usize| {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(bytes.get(at..).unwrap_or_default()) {
            *to = *from;
        }
        word
    };
    let [a, b, c, d, ..] = word(0);
    (i32::from_le_bytes([a, b, c, d]), [4, 12, 20, 28, 36, 44].map(|at| u64::from_le_bytes(word(at))))
}

/// The errno that `spec` gives it, and what is told of it.
pub fn denied(spec: &FilterSpec, number: i32, arguments: [u64; 6]) -> (i32, Vec<Denial>) {
    let call = Notification { id: 1, pid: 0, number, arguments };
    let errno = denial::errno(denial::action(spec, &call));
    let mut ledger = Ledger::default();
    ledger.add(&call, errno);
    (errno, ledger.into_denials())
}
