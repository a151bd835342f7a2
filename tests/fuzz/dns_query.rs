//! Any bytes as a question to the resolver inside: see `properties`.
#![no_main]

mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::dns_query(bytes));
