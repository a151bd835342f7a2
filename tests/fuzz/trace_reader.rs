//! Any bytes as a trace: see `properties`.
#![no_main]

mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::trace_reader(bytes));
