//! Names → addresses outside, asked on threads of their own: the host's resolver blocks, and a slow zone delays no other.

use std::net::IpAddr;
use std::os::fd::AsFd;

use crate::sys::inet::{self, Unresolved};

use super::pool::{Pool, Size};

const SIZE: Size = Size {
    name: "lookup",
    // The host's resolver keeps whole packets on the stack.
    stack: 512 << 10,
    threads: 16,
    // A program that asks for more at once is told that nobody answered.
    waiting: 1024,
};

/// A name, and what the host says of it.
pub(super) type Answer = (String, Result<Vec<IpAddr>, Unresolved>);

/// The lookups of a run.
#[derive(Debug)]
pub(super) struct Lookups(Pool<String, Answer>);

impl Lookups {
    pub(super) fn new() -> Result<Self, nix::errno::Errno> {
        let resolve = |name: String| {
            let found = inet::resolve(&name);
            (name, found)
        };
        Pool::new(SIZE, resolve).map(Self)
    }

    /// Readable when an answer is there.
    pub(super) fn ready(&self) -> impl AsFd + '_ {
        self.0.ready()
    }

    /// Asks for `name`; `false` where too many wait.
    pub(super) fn ask(&self, name: &str) -> bool {
        self.0.begin(name.to_owned())
    }

    /// The answers that came.
    pub(super) fn answers(&self) -> Vec<Answer> {
        self.0.done()
    }
}
