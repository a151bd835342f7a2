//! TOML → [`Profile`](super::Profile), strictly: every error has a line and a column.
