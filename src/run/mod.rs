//! Learn and enforce: the mechanisms put together. Prints nothing.
