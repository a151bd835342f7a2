//! The time between release and end: answers what the filter hands over, follows stops, and collects the end.
//!
//! One loop waits for calls, for the desks that carry them out, and for messages of init. While learning the calls are
//! served on a thread beside the tracer's, whose waiting cannot be shared.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::event::{Denial, ExitStatus, Report};
use crate::plan::{Action, FilterSpec};
use crate::sys::socket::Message;
use crate::sys::{process, seccomp, socket};

use super::denial::{self, Ledger};
use super::desk::{Call, Desks, Note};
use super::error::{StartError, Step};
use super::{Outcome, Sandbox, tripwire, word};

/// The listener of a run's filter, and who answers what comes by it.
#[derive(Debug)]
struct Service {
    listener: Arc<OwnedFd>,
    filter: FilterSpec,
    desks: Desks,
}

/// What the loop of a run woke up for.
struct Woken {
    control: bool,
    /// The last task that had the filter is gone.
    hung_up: bool,
}

impl Service {
    fn new(listener: OwnedFd, filter: FilterSpec, desks: Desks) -> Self {
        seccomp::wake_in_place(&listener);
        Self { listener: Arc::new(listener), filter, desks }
    }

    /// Waits for a call, a desk or, if there is one, a message; deals with the first two.
    fn turn(&mut self, control: Option<BorrowedFd<'_>>, notes: &mut Notes<'_>) -> Result<Woken, Errno> {
        let deadline = self.desks.handlers.values().filter_map(|desk| desk.deadline()).min();
        let (mut call, mut message) = (PollFlags::empty(), PollFlags::empty());
        {
            let mut waiting = vec![PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
            waiting.extend(control.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
            let desks = self.desks.handlers.values().filter_map(|desk| desk.waits_for());
            waiting.extend(desks.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
            match poll(&mut waiting, timeout(deadline)) {
                Err(Errno::EINTR) => return Ok(Woken { control: false, hung_up: false }),
                other => other?,
            };
            let events = |index: usize| waiting.get(index).and_then(PollFd::revents).unwrap_or(PollFlags::empty());
            call |= events(0);
            if control.is_some() {
                message |= events(1);
            }
        }
        if call.contains(PollFlags::POLLIN) {
            self.answer(notes);
        }
        for desk in self.desks.handlers.values_mut() {
            desk.turn(&mut |note| notes.note(note));
        }
        // Asking for the next call of nobody would wait for ever.
        let hung_up = !call.is_empty() && !call.contains(PollFlags::POLLIN);
        Ok(Woken { control: !message.is_empty(), hung_up })
    }

    /// One call. A refused one is answered first and told after, so that a flood costs the flooder.
    fn answer(&mut self, notes: &mut Notes<'_>) {
        // ENOENT: it went away meanwhile. What else there may be shows at the next wait.
        let Ok(call) = seccomp::receive(&*self.listener) else { return };
        let action = denial::action(&self.filter, &call);
        if let Action::Mediate(desk) = action
            && let Some(desk) = self.desks.handlers.get_mut(&desk)
        {
            let call = Call::new(Arc::clone(&self.listener), call);
            let Some((call, other)) = desk.take(call, &mut |note| notes.note(note)) else { return };
            return match self.desks.handlers.get_mut(&other) {
                // Whatever is given back once more is dropped, and thereby refused.
                Some(desk) => drop(desk.take(call, &mut |note| notes.note(note))),
                // Where nobody sits at that desk the caller makes such calls itself.
                None => call.go_on(),
            };
        }
        let errno = denial::errno(action);
        // The program's name must be read while the caller still waits.
        notes.ledger(|ledger| ledger.add(&call, errno));
        // ENOENT: the caller died; there is nobody to answer.
        seccomp::refuse(&*self.listener, call.id, errno).ok();
    }
}

fn timeout(deadline: Option<Instant>) -> PollTimeout {
    let Some(deadline) = deadline else { return PollTimeout::NONE };
    // Rounded up: a turn that comes too early would be followed by another at once.
    let left = deadline.saturating_duration_since(Instant::now()).as_millis() + 1;
    PollTimeout::from(u16::try_from(left).unwrap_or(u16::MAX))
}

/// Where what is told goes: into the ledger of a run that is enforced, or to whoever records a run that is learned.
enum Notes<'a> {
    Ledger(&'a mut Ledger),
    Reports(&'a Sender<Report>),
}

impl Notes<'_> {
    fn note(&mut self, note: Note) {
        match (self, note) {
            (Self::Ledger(ledger), Note::Denied(tid, denial)) => ledger.note_of(tid, denial),
            (Self::Ledger(_), Note::Fact(_)) => {}
            // Nobody listens any more: the run is over.
            (Self::Reports(to), note) => drop(to.send(note.into_report())),
        }
    }

    fn ledger(&mut self, with: impl FnOnce(&mut Ledger)) {
        if let Self::Ledger(ledger) = self {
            with(ledger);
        }
    }
}

impl Sandbox {
    /// Stays with a released run to its end.
    ///
    /// # Errors
    ///
    /// When the program could not be executed; then nothing ran.
    pub fn supervise(mut self, denied: &mut dyn FnMut(Denial)) -> Result<Outcome, StartError> {
        let mut ledger = Ledger::of(self.init, self.live.clone());
        let mut status = None;
        let mut service: Option<Service> = None;
        let channel = |errno| StartError::kernel(Step::Channel, errno);
        loop {
            let woken = match &mut service {
                Some(service) => {
                    let control = Some(self.control.as_fd());
                    service.turn(control, &mut Notes::Ledger(&mut ledger)).map_err(channel)?
                }
                None => Woken { control: true, hung_up: false },
            };
            if woken.hung_up {
                service = None;
            } else if woken.control && !self.hear(&mut status)? {
                break;
            }
            if let Some(listener) = self.listener.take() {
                service = Some(Service::new(listener, self.plan.filter.clone(), std::mem::take(&mut self.desks)));
            }
        }
        let seen = self.tripwire.as_ref().map_or(Some(Vec::new()), tripwire::Tripwire::denials);
        let unseen = seen.is_none();
        ledger.take_over(seen.unwrap_or_default());
        ledger.into_denials().into_iter().for_each(denied);
        Ok(Outcome { unseen, ..self.conclude(status) })
    }

    /// Serves the desks beside whoever handles the stops of a run that is learned: on a thread of its own, until nobody has
    /// the filter any more. What the desks learn is sent to `reports`.
    pub fn serve(&mut self, reports: Sender<Report>) -> Result<(), StartError> {
        let channel = |errno| StartError::kernel(Step::Channel, errno);
        let control = process::duplicate_from(&self.control, 3).map_err(channel)?;
        let (filter, desks) = (self.plan.filter.clone(), std::mem::take(&mut self.desks));
        let served = std::thread::Builder::new().name("desks".to_owned()).spawn(move || {
            // The first message behind the release is the listener, or what went wrong before it.
            match socket::receive(&control) {
                Ok(Some(Message { bytes, descriptor: Some(listener), .. }))
                    if bytes.first() == Some(&word::LISTENER) =>
                {
                    let mut service = Service::new(listener, filter, desks);
                    while service.turn(None, &mut Notes::Reports(&reports)).is_ok_and(|woken| !woken.hung_up) {}
                    None
                }
                other => other.ok().flatten(),
            }
        });
        self.serving = Some(served.map_err(|error| channel(Errno::from_raw(error.raw_os_error().unwrap_or(0))))?);
        Ok(())
    }

    /// Follows a stop from the terminal, if there was one, in a run whose calls somebody else waits for. To be asked now and
    /// then.
    pub fn follow_stops(&mut self) {
        // Any other message is left to who waits for it.
        while socket::peek(&self.control) == Some(word::STOPPED) {
            if self.hear(&mut None).is_err() {
                return;
            }
        }
    }

    /// Collects the end of a run whose stops somebody else handled.
    pub fn finish(mut self) -> Result<Outcome, StartError> {
        let mut status = None;
        let first = self.serving.take().and_then(|serving| serving.join().ok().flatten());
        if let Some(message) = first
            && !self.understand(message, &mut status)?
        {
            return Ok(self.conclude(status));
        }
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
            unseen: false,
        }
    }

    /// One message; `false` after the last.
    fn hear(&mut self, status: &mut Option<ExitStatus>) -> Result<bool, StartError> {
        let message = match socket::receive(&self.control) {
            Ok(Some(message)) => message,
            Ok(None) | Err(Errno::ECONNRESET) => return Ok(false),
            Err(errno) => return Err(StartError::kernel(Step::Channel, errno)),
        };
        self.understand(message, status)
    }

    fn understand(&mut self, message: Message, status: &mut Option<ExitStatus>) -> Result<bool, StartError> {
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
