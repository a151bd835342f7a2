//! What the fuzz targets kept, replayed: the properties hold for each file, and the targets cannot rot.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test program: a panic is a failed test, and the file that made it is said"
)]

#[path = "fuzz/properties.rs"]
mod properties;

use std::path::Path;

fn replay(target: &str, property: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        property(&std::fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= 10, "the corpus of {target} is missing");
}

#[test]
fn every_trace_that_was_kept_is_read_written_and_reduced_alike() {
    replay("trace_reader", properties::trace_reader);
}

#[test]
fn whatever_a_program_passed_is_decoded_or_refused() {
    replay("decoder", properties::decoder);
}

#[test]
fn every_profile_that_was_kept_means_the_same_after_it_was_written() {
    replay("profile", properties::profile);
}

#[test]
fn no_plan_gives_more_than_its_profile() {
    replay("plan", properties::plan);
}

#[test]
fn whatever_call_is_handed_over_is_refused_and_told_in_words() {
    replay("notification", properties::notification);
}

#[test]
fn whatever_the_fuse_device_says_is_a_request_or_refused() {
    replay("fuse_request", properties::fuse_request);
}

#[test]
fn whatever_is_asked_of_the_resolver_is_a_question_or_refused() {
    replay("dns_query", properties::dns_query);
}
