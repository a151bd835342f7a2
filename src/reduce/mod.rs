//! Trace → Profile. Pure: same trace, same bytes, on any machine, any day.
