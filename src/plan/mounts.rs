//! Profile × Host → the mount steps of an enforced run.
