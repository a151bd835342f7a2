//! The plan under which learning runs, and its floor.
