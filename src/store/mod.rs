//! Profiles, approvals and traces on disk: atomic, locked, outside every sandbox.
