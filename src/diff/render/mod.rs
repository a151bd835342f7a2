//! A difference → a text, in the form that a place of review wants.
//!
//! Names come from profiles, which an attacker may have written. Each form has one function through which they go, and
//! shows them as text whatever they hold.

pub mod json;
pub mod terminal;
