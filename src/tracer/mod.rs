//! The observer: ptrace stops of a process tree → [`Event`](crate::event::Event)s.
