//! A connected socket → the place of the old one, wherever its program holds it.
//!
//! Kernel rules that shape it: an epoll descriptor forgets a socket that is replaced, and knows its successor only by the same
//! number in the table of whoever registers it. An epoll descriptor of ours holds no file, and forgets one that nobody has any
//! longer: so it tells whether a socket that was replaced under one number has others, and only then are they looked for. To
//! look through the descriptors of a program for each connection would cost it a multiple of the connection.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::sys::epoll::{self, Change, Registration};
use crate::sys::seccomp::Place;
use crate::sys::task::{Task, Tasks};

use super::super::desk::Call;
use super::dial::{Dial, Socket, flags};

/// Who puts sockets into the programs of a run.
#[derive(Debug)]
pub(super) struct Replacer {
    pub(super) tasks: Tasks,
    registrar: Registrar,
    /// Of sockets that were replaced: who is left here is held by somebody.
    left: Epoll,
}

impl Replacer {
    pub(super) fn new() -> Result<Self, Errno> {
        let left = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { tasks: Tasks::default(), registrar: Registrar::default(), left })
    }

    /// Puts the new socket in the place of the old one, everywhere; then the call is answered with `errno`, or with success.
    pub(super) fn hand_over(&mut self, dial: Dial, errno: i32) {
        let Dial { mut call, socket, old } = dial;
        match self.put(&mut call, &socket, old) {
            Err(errno) => call.refuse(errno as i32),
            Ok(()) if errno == 0 => call.answer(0),
            Ok(()) => call.refuse(errno),
        }
    }

    fn put(&mut self, call: &mut Call, socket: &OwnedFd, old: Socket) -> Result<(), Errno> {
        let task = self.tasks.get(call.tid())?;
        let inode = nix::sys::stat::fstat(&old.own)?.st_ino;
        let held = task.held(old.number).ok().filter(|held| held.inode == inode);
        // Another thread closed it, or put something else there: there is nothing left to replace.
        let held = held.ok_or(Errno::EBADF)?;
        let mode = flags(&old.own).unwrap_or(OFlag::empty());
        let blocks = !mode.contains(OFlag::O_NONBLOCK);
        fcntl(socket, FcntlArg::F_SETFL(mode & (OFlag::O_NONBLOCK | OFlag::O_ASYNC)))?;
        let mut registrations = Vec::new();
        if !blocks {
            let epolls = task.epolls_with(&old.own, old.number);
            registrations = epoll::registrations(task, epolls, &[old.number], inode);
        }
        // Where another program has the old one, too, its end would be told to whoever waits for the new one.
        self.registrar.change(Change::Remove, call.tid(), &registrations);
        // EEXIST: of a connection of the same socket that came to nothing. Where no more can be watched it is looked for.
        let watched = self.left.add(&old.own, EpollEvent::new(EpollFlags::EPOLLIN, 0));
        let watched = matches!(watched, Ok(()) | Err(Errno::EEXIST));
        let place = |number, close_on_exec| Place { number: Some(number), close_on_exec, answers: false };
        call.put(socket.as_fd(), place(old.number, held.close_on_exec))?;
        drop(old);
        if !watched || is_left(&mut self.left)? {
            let others = epoll::aliases(task, inode, !blocks);
            self.registrar.change(Change::Remove, call.tid(), &others.registrations);
            for number in others.numbers {
                let close_on_exec = task.held(number).is_ok_and(|held| held.close_on_exec);
                call.put(socket.as_fd(), place(number, close_on_exec))?;
            }
            registrations.extend(others.registrations);
        }
        self.registrar.change(Change::Add, call.tid(), &registrations);
        Ok(())
    }
}

/// Whether somebody holds the socket that was added, now that we do not.
fn is_left(left: &mut Epoll) -> Result<bool, Errno> {
    let mut events = [EpollEvent::empty()];
    // A socket without a connection is always ready: there is nothing to wait for.
    let is_left = left.wait(&mut events, EpollTimeout::ZERO) != Ok(0);
    if is_left {
        // It cannot be taken out by whoever has it no more.
        *left = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    }
    Ok(is_left)
}

type Job = (Change, i32, Vec<Registration>);

/// The thread with a table of descriptors of its own, made when it is needed first.
#[derive(Debug, Default)]
struct Registrar {
    worker: Option<(Sender<Job>, Receiver<()>)>,
}

impl Registrar {
    fn change(&mut self, change: Change, tid: i32, registrations: &[Registration]) {
        if registrations.is_empty() {
            return;
        }
        let (jobs, done) = self.worker.get_or_insert_with(|| {
            let ((jobs, wanted), (say, done)) = (channel::<Job>(), channel());
            // Without the thread nobody answers, and the program waits for events that it would have had.
            std::thread::Builder::new()
                .name("epoll".to_owned())
                .stack_size(128 << 10)
                .spawn(move || {
                    if epoll::leave_all_descriptors().is_err() {
                        return;
                    }
                    for (change, tid, registrations) in wanted {
                        for registration in registrations {
                            make(change, tid, registration).ok();
                        }
                        say.send(()).ok();
                    }
                })
                .ok();
            (jobs, done)
        });
        if jobs.send((change, tid, registrations.to_vec())).is_ok() {
            done.recv().ok();
        }
    }
}

fn make(change: Change, tid: i32, registration: Registration) -> Result<(), Errno> {
    let task = Task::open(tid)?;
    let (epoll, socket) = (task.take(registration.epoll)?, task.take(registration.number)?);
    epoll::change(change, epoll, socket.as_fd(), registration)
}
