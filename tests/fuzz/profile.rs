//! Any bytes as a profile: see `properties`.
#![no_main]

mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::profile(bytes));
