//! What decodes the bytes of a hostile program, for the fuzz targets and their test; no part of a build without fixtures.

use crate::event::Fact;

use super::{image, network};

/// A socket address, in the debugging form.
pub fn address(bytes: &[u8]) -> String {
    format!("{:?}", network::decode(bytes))
}

/// A command line in shape.
pub fn shapes(bytes: &[u8]) -> Vec<String> {
    image::shapes(bytes)
}

/// The names in an environment.
pub fn variables(bytes: &[u8]) -> Vec<String> {
    match image::variables(bytes) {
        Fact::Environment { names, credentials } => names.into_iter().chain(credentials).collect(),
        _ => Vec::new(),
    }
}
