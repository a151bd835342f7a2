//! Any bytes as what a hostile program passes, and as a log: see `properties`.
#![no_main]

mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::decoder(bytes));
