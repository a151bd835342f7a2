//! Any bytes as a message of the FUSE device: see `properties`.
#![no_main]

mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::fuse_request(bytes));
