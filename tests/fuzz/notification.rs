//! Any bytes as a call that the filter handed over: see `properties`.
#![no_main]

mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::notification(bytes));
