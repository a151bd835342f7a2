//! Profile × Profile → the grants added, removed and changed.
