//! [`FilterSpec`](super::FilterSpec) → classic BPF: a balanced tree over call numbers.
