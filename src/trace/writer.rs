//! [`Event`](crate::event::Event)s → bytes of a trace file, as they happen.
