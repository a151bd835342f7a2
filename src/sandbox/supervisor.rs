//! The time between release and end: answers what the filter hands over, follows stops, and collects the end.

use std::os::fd::AsFd as _;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::event::{Denial, ExitStatus};
use crate::sys::{process, seccomp, socket};

use super::denial::{self, Ledger};
use super::error::{StartError, Step};
use super::{Outcome, Sandbox, word};

impl Sandbox {
    /// Stays with a released run to its end.
    ///
    /// # Errors
    ///
    /// When the program could not be executed; then nothing ran.
    pub fn supervise(mut self, denied: &mut dyn FnMut(Denial)) -> Result<Outcome, StartError> {
        let mut ledger = Ledger::default();
        let mut status = None;
        loop {
            let mut waiting = vec![PollFd::new(self.control.as_fd(), PollFlags::POLLIN)];
            waiting.extend(self.listener.as_ref().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
            match poll(&mut waiting, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                other => other.map_err(|errno| StartError::kernel(Step::Channel, errno))?,
            };
            let events = |index: usize| waiting.get(index).and_then(PollFd::revents).unwrap_or(PollFlags::empty());
            let (message, call) = (!events(0).is_empty(), events(1));
            if call.contains(PollFlags::POLLIN) {
                self.answer(&mut ledger);
            } else if !call.is_empty() {
                // Hung up: the last task that had the filter is gone. Asking for its next call would wait for ever.
                self.listener = None;
            }
            if message && !self.hear(&mut status)? {
                break;
            }
        }
        ledger.into_denials().into_iter().for_each(denied);
        Ok(self.conclude(status))
    }

    /// Collects the end of a run whose stops somebody else handled.
    pub fn finish(mut self) -> Result<Outcome, StartError> {
        let mut status = None;
        while self.hear(&mut status)? {}
        Ok(self.conclude(status))
    }

    fn conclude(&mut self, status: Option<ExitStatus>) -> Outcome {
        let reached = self.limits.reached(status);
        // EPIPE: it did not wait for this, or is gone.
        socket::send(&self.control, &[word::GO], None).ok();
        if status.is_some() {
            // Init is the last one inside and about to end: the caller, who mostly ends next, need not wait for it.
            process::reap_if_ended(self.init);
        } else {
            process::reap(self.init);
        }
        self.reaped = true;
        self.terminal.take_back();
        let lost = self.copies.write_back(super::copies::replace_file);
        Outcome {
            // Init tells the end of the payload before it ends itself: if it told nothing, it was killed, and all with it.
            status: status.unwrap_or(ExitStatus::Signal(libc::SIGKILL)),
            interrupted: self.signals.interrupted(),
            lost,
            reached,
        }
    }

    /// One refused call: answered first, told after, so that a flood costs the flooder.
    fn answer(&mut self, ledger: &mut Ledger) {
        let Some(listener) = &self.listener else { return };
        match seccomp::receive(listener) {
            Ok(call) => {
                let errno = denial::errno(&self.plan.filter, &call);
                // The program's name must be read while the caller still waits.
                ledger.add(&call, errno);
                // ENOENT: the caller died; there is nobody to answer.
                seccomp::refuse(listener, call.id, errno).ok();
            }
            Err(Errno::ENOENT | Errno::EINTR) => {}
            // The last task that had the filter is gone.
            Err(_) => self.listener = None,
        }
    }

    /// One message; `false` after the last.
    fn hear(&mut self, status: &mut Option<ExitStatus>) -> Result<bool, StartError> {
        let message = match socket::receive(&self.control) {
            Ok(Some(message)) => message,
            Ok(None) | Err(Errno::ECONNRESET) => return Ok(false),
            Err(errno) => return Err(StartError::kernel(Step::Channel, errno)),
        };
        let raw = |bytes: &[u8]| bytes.try_into().map_or(0, i32::from_ne_bytes);
        match message.bytes.split_first() {
            Some((&word::LISTENER, _)) => self.listener = message.descriptor,
            Some((&word::FAILED, rest)) => return Err(StartError::from_bytes(rest, &self.plan.mounts)),
            Some((&word::STOPPED, rest)) => self.follow_stop(libc::WSTOPSIG(raw(rest))),
            Some((&word::ENDED, rest)) => {
                let raw = raw(rest);
                *status = Some(if libc::WIFSIGNALED(raw) {
                    ExitStatus::Signal(libc::WTERMSIG(raw))
                } else {
                    ExitStatus::Code(libc::WEXITSTATUS(raw))
                });
                return Ok(false);
            }
            Some(_) | None => {}
        }
        Ok(true)
    }

    /// The agent was stopped from the terminal (Ctrl-Z): the whole job stops, and when the shell continues it, so does the
    /// agent.
    fn follow_stop(&mut self, signal: i32) {
        use nix::sys::signal::Signal;
        if !self.terminal.is_lent() {
            return;
        }
        self.terminal.take_back();
        // By the same signal, so that the shell says what it always says; the kernel ignores SIGTSTP where no shell would
        // continue the job, and then the agent goes on at once.
        let own = if signal == libc::SIGTSTP { Signal::SIGTSTP } else { Signal::SIGSTOP };
        nix::sys::signal::raise(own).ok();
        self.terminal.give_to(self.payload);
        nix::sys::signal::killpg(nix::unistd::Pid::from_raw(self.payload), Signal::SIGCONT).ok();
    }
}
