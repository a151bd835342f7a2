//! Bytes of a trace file → [`Trace`](super::Trace).
