//! Every profile in `generated-profiles/` comes from its stored trace, byte for byte: nothing in it was written by hand.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why"
)]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn files(dir: &str, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(root().join(dir)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

/// The profile that the stored trace of `name` reduces to.
fn regenerated(name: &str) -> String {
    let path = root().join("fixtures/traces").join(format!("{name}.trace"));
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let trace = pinfold::trace::reader::read(std::io::BufReader::new(file)).unwrap();
    assert!(trace.is_complete(), "{name}: the stored trace is incomplete");
    let mut reduction = pinfold::reduce::reduce(&[trace], &pinfold::reduce::Settings::default());
    name.clone_into(&mut reduction.profile.name);
    pinfold::profile::emit::emit(&reduction.profile, None)
}

#[test]
fn each_generated_profile_is_what_its_trace_reduces_to() {
    let profiles = files("generated-profiles", "toml");
    assert!(profiles.len() >= 2, "{profiles:?}");
    for profile in profiles {
        let name = profile.file_stem().unwrap().to_str().unwrap();
        let stored = std::fs::read_to_string(&profile).unwrap();
        if std::env::var_os("PINFOLD_TEST_BLESS").is_some() {
            std::fs::write(&profile, regenerated(name)).unwrap();
            continue;
        }
        assert_eq!(regenerated(name), stored, "{name}: PINFOLD_TEST_BLESS=1 writes it anew; review the difference");
    }
}

#[test]
fn each_stored_trace_has_its_profile_and_names_no_secret_value() {
    for trace in files("fixtures/traces", "trace") {
        let name = trace.file_stem().unwrap().to_str().unwrap();
        assert!(root().join("generated-profiles").join(format!("{name}.toml")).exists(), "{name} has no profile");
        let text = std::fs::read_to_string(&trace).unwrap();
        assert!(!text.contains("PRIVATE KEY") && !text.contains("not-a-key"), "{name} holds a value");
    }
}
