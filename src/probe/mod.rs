//! Looks at this machine: fills a [`Host`](crate::vocab::host::Host), and tries each kernel feature for real.

pub mod features;
