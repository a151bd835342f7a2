//! Any bytes as a machine and a profile, for which a plan is made: see `properties`.
#![no_main]

mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::plan(bytes));
