//! [`Profile`](super::Profile) → canonical TOML; comments of an earlier text survive.
