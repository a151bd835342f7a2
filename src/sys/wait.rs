//! waitpid(2) with the status decoded here: typed stops, real-time signals included.
#![expect(unsafe_code, reason = "waitpid with flags and signals that the safe wrapper does not know")]

use nix::errno::Errno;

/// What happened to which thread. Numbers are those of the caller's pid namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waited {
    /// Thread id (for a process its pid).
    pub tid: i32,
    /// What happened.
    pub change: Change,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It called exit with this code.
    Exited(i32),
    /// It was killed by this signal.
    Killed(i32),
    /// At a call that the filter hands to the tracer.
    Seccomp,
    /// At the end of a call (or its beginning, where every call is stopped).
    Syscall,
    /// It made a child; the message is the child's id.
    Child(Birth),
    /// An exec succeeded; the message is the former id of the thread that called it.
    Exec,
    /// It stopped as a whole process stops (SIGSTOP and kin).
    Group(i32),
    /// A stop without a reason of its own: first stop of a new child, or the end of a group stop.
    Trap,
    /// This signal is about to be delivered.
    Signal(i32),
    /// Some other event that needs no answer but to go on.
    Other,
}

/// How a child came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Birth {
    /// As a process of its own: fork, vfork.
    Process,
    /// By clone: a thread, or a process.
    Clone,
}

/// Waits for any child or tracee of this process; `None` with `block` unset when nothing has changed.
///
/// `Err(ECHILD)` when there is none left, `Err(EINTR)` when a signal of the caller's came first.
pub fn any(block: bool) -> Result<Option<Waited>, Errno> {
    let mut status = 0;
    let flags = libc::__WALL | if block { 0 } else { libc::WNOHANG };
    // SAFETY: `status` is a live i32 that the kernel writes; no other pointer is passed.
    let tid = unsafe { libc::waitpid(-1, &raw mut status, flags) };
    match Errno::result(tid)? {
        0 => Ok(None),
        tid => Ok(Some(Waited { tid, change: decode(status) })),
    }
}

fn decode(status: i32) -> Change {
    if libc::WIFEXITED(status) {
        return Change::Exited(libc::WEXITSTATUS(status));
    }
    if libc::WIFSIGNALED(status) {
        return Change::Killed(libc::WTERMSIG(status));
    }
    // The high half holds the event of a ptrace stop; the signal of the low half may be any, real-time ones included.
    let signal = (status >> 8) & 0xff;
    match status >> 16 {
        0 if signal == libc::SIGTRAP | 0x80 => Change::Syscall,
        0 => Change::Signal(signal),
        libc::PTRACE_EVENT_SECCOMP => Change::Seccomp,
        libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK => Change::Child(Birth::Process),
        libc::PTRACE_EVENT_CLONE => Change::Child(Birth::Clone),
        libc::PTRACE_EVENT_EXEC => Change::Exec,
        libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => Change::Trap,
        libc::PTRACE_EVENT_STOP => Change::Group(signal),
        _ => Change::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_time_signal_is_a_signal_and_no_error() {
        assert_eq!(decode((40 << 8) | 0x7f), Change::Signal(40));
    }

    #[test]
    fn a_stop_of_the_whole_process_is_told_from_a_new_child() {
        let event = libc::PTRACE_EVENT_STOP << 16;
        assert_eq!(decode(event | (libc::SIGSTOP << 8) | 0x7f), Change::Group(libc::SIGSTOP));
        assert_eq!(decode(event | (libc::SIGTRAP << 8) | 0x7f), Change::Trap);
    }
}
