//! The controlling terminal: lent to the agent's process group, taken back at the end.
//!
//! The agent stays in the caller's session (so `/dev/tty`, resizing and Ctrl-C work) and has a process group of its own (so
//! `kill(0, …)` inside reaches nobody outside).

use std::fs::File;

use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use crate::sys::process;

#[derive(Debug)]
pub(super) struct Terminal {
    tty: Option<File>,
    lent: bool,
}

impl Terminal {
    /// The terminal, if this is the foreground group and the agent is to talk to it. In a pipeline the terminal stays with
    /// the shell's group: its other members need it.
    pub(super) fn find() -> Self {
        let wanted = process::is_terminal(libc::STDIN_FILENO) && process::is_terminal(libc::STDOUT_FILENO);
        let tty = wanted.then(|| File::options().read(true).write(true).open("/dev/tty").ok()).flatten();
        let tty = tty.filter(|tty| tcgetpgrp(tty).is_ok_and(|group| group == getpgrp()));
        Self { tty, lent: false }
    }

    /// Makes `group` the foreground group.
    pub(super) fn give_to(&mut self, group: i32) {
        if let Some(tty) = &self.tty {
            self.lent = set_foreground(tty, Pid::from_raw(group)).is_ok();
        }
    }

    /// Makes our group the foreground group again.
    pub(super) fn take_back(&mut self) {
        if let Some(tty) = self.tty.as_ref().filter(|_| self.lent) {
            set_foreground(tty, getpgrp()).ok();
            self.lent = false;
        }
    }

    /// Whether the agent has the terminal.
    pub(super) fn is_lent(&self) -> bool {
        self.lent
    }
}

/// tcsetpgrp(3) from a background group stops the caller with SIGTTOU unless that is blocked.
fn set_foreground(tty: &File, group: Pid) -> nix::Result<()> {
    use nix::sys::signal::{SigSet, SigmaskHow, Signal};
    let mut block = SigSet::empty();
    block.add(Signal::SIGTTOU);
    let before = block.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let done = tcsetpgrp(tty, group);
    before.thread_set_mask()?;
    done
}
