//! The digest over a profile's canonical meaning: what an approval binds to.
