//! Looks at this machine: the places that a plan names, and the kernel features, each tried for real.

pub mod changes;
pub mod features;
pub mod links;
mod listings;
pub mod places;
