//! Profile → [`FilterSpec`](super::FilterSpec).
