//! What is known, in other forms: pure functions from profiles and traces to texts that other programs show.
//!
//! Nothing here touches disk, clock or environment; whoever calls brings everything.

pub mod page;
