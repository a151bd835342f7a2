//! What other tools recorded → what pinfold can make events of.
//!
//! Pure: texts in, values out. What a line means is read here; where its paths lead is for the machine to say, and so not
//! decided here.

pub mod strace;
pub mod strace_values;
