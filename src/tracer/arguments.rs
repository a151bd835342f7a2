//! Calls whose arguments are worth a rule: sockets and their peers, device commands, prctl, personality.

use crate::event::{Fact, Gap, ImageId, Intent, Outcome, Transport};
use crate::sys::peer;
use crate::sys::ptrace::Entry;
use crate::vocab::argument_words as words;
use crate::vocab::endpoint::Endpoint;
use crate::vocab::escape;
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::{ioctl_word, socket_word};

use super::follow::Tracer;
use super::network::{self, Address, Addresses};
use super::observe::{identity, nothing, only, path_fact};
use super::task::{Pending, Probe, Then};

fn low(register: u64) -> u32 {
    u32::try_from(register & 0xffff_ffff).unwrap_or(0)
}

fn int(register: u64) -> i32 {
    low(register).cast_signed()
}

impl Tracer<'_> {
    /// A call without a path of its own.
    pub(super) fn look_at_arguments(&mut self, tid: i32, image: ImageId, entry: &Entry, call: Syscall) {
        let [first, second, third, ..] = entry.arguments;
        let pending = match i64::from(call.number()) {
            libc::SYS_socket => {
                return self.argument(image, call, socket_word(int(first), int(second), int(third)));
            }
            libc::SYS_ioctl => return self.argument(image, call, ioctl_word(low(second))),
            libc::SYS_prctl => return self.argument(image, call, words::prctl(low(first))),
            libc::SYS_seccomp => return self.argument(image, call, words::seccomp(low(first))),
            libc::SYS_fcntl => {
                return words::fcntl(low(second))
                    .into_iter()
                    .for_each(|word| self.argument(image, call, word.to_owned()));
            }
            libc::SYS_mmap | libc::SYS_mprotect | libc::SYS_pkey_mprotect => {
                if third & words::WRITE_EXECUTE == words::WRITE_EXECUTE {
                    self.argument(image, call, "write execute".to_owned());
                }
                return;
            }
            libc::SYS_kill => return self.look_at_signal(image, call, int(first), int(second)),
            libc::SYS_personality => return self.argument(image, call, format!("{:#x}", low(first))),
            libc::SYS_fchdir => {
                self.moves += 1;
                Some(Pending { then: Then::Moved, ..nothing() })
            }
            libc::SYS_connect | libc::SYS_bind => self.look_at_address(tid, entry, call),
            libc::SYS_listen => self.look_at_listen(tid, first),
            libc::SYS_sendto | libc::SYS_sendmsg | libc::SYS_sendmmsg => {
                return self.look_at_sending(tid, image, entry, call);
            }
            _ => return,
        };
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.pending = pending.map(|pending| Pending { call: identity(entry), ..pending });
        }
    }

    fn argument(&mut self, image: ImageId, call: Syscall, value: String) {
        self.recorder.emit(image, Fact::Argument { call, value });
    }

    /// Signals within the tree are its own affair.
    fn look_at_signal(&mut self, image: ImageId, call: Syscall, target: i32, signal: i32) {
        let whom = match target {
            -1 => "all",
            1 => "init",
            ..=0 => "group",
            process if self.is_within(process) => return,
            _ => "other",
        };
        let name = nix::sys::signal::Signal::try_from(signal).map_or_else(|_| signal.to_string(), |s| s.to_string());
        self.argument(image, call, format!("{whom} {name}"));
    }

    /// Whether `number`, as the program counts, is a process of the tree.
    fn is_within(&mut self, number: i32) -> bool {
        self.tasks.iter_mut().any(|(tid, task)| task.pid == *tid && task.eyes(*tid, true).inside == number)
    }

    fn look_at_address(&mut self, tid: i32, entry: &Entry, call: Syscall) -> Option<Pending> {
        let [fd, at, length, ..] = entry.arguments;
        let connects = i64::from(call.number()) == libc::SYS_connect;
        let Ok(address) = network::read(tid, at, length) else {
            return Some(only(Fact::Gap { gap: Gap::UnreadablePath { call } }));
        };
        let result = Outcome::Unseen;
        match address {
            // AF_UNSPEC takes the peer away.
            Address::Other if connects && self.probes_on(tid, u64::from(low(fd))) => {
                Some(Pending { then: Then::Connected { fd: u64::from(low(fd)), probe: None }, ..nothing() })
            }
            Address::Other => None,
            Address::Abstract(name) => {
                let endpoint = Endpoint::Abstract(name);
                Some(only(if connects {
                    Fact::Connect { endpoint, transport: Transport::Unix, result }
                } else {
                    Fact::Listen { endpoint }
                }))
            }
            Address::Unix(raw) => self.look_at_socket_file(tid, call, &raw, connects),
            Address::Inet(address) => {
                let pid = self.tasks.get(&tid)?.pid;
                let endpoint = Endpoint::Inet(address);
                let transport = match peer::socket_type(pid, int(fd)) {
                    Ok(libc::SOCK_STREAM) => Transport::Tcp,
                    Ok(libc::SOCK_DGRAM) => Transport::Udp,
                    Ok(_) | Err(_) => Transport::Other,
                };
                match (connects, transport) {
                    (true, Transport::Udp) => {
                        let fd = u64::from(low(fd));
                        let probe = Some(Probe::new(fd, endpoint));
                        Some(Pending { then: Then::Connected { fd, probe }, ..nothing() })
                    }
                    // Whoever carries it out knows the peer by its name.
                    (true, Transport::Tcp) if self.settings.hand_over.calls.contains(&call) => None,
                    (true, _) => Some(only(Fact::Connect { endpoint, transport, result })),
                    // A datagram socket hears from the moment that it has a port of its choice.
                    (false, Transport::Udp) if address.port() != 0 => Some(only(Fact::Listen { endpoint })),
                    (false, _) => None,
                }
            }
        }
    }

    fn look_at_socket_file(&mut self, tid: i32, call: Syscall, raw: &[u8], connects: bool) -> Option<Pending> {
        let base = if raw.first() == Some(&b'/') { Some(Vec::new()) } else { self.working_directory(tid) };
        let Some(reached) = base.and_then(|base| self.resolve(tid, raw, &base, connects)) else {
            return Some(only(Fact::Gap { gap: Gap::Unresolved { call, path: escape::file(raw) } }));
        };
        let intent = if connects { Intent::Connect } else { Intent::Create };
        let made = Some(crate::vocab::host::FileKind::Socket);
        let endpoint = Endpoint::Unix(reached.path.clone());
        let second = if connects {
            Fact::Connect { endpoint, transport: Transport::Unix, result: Outcome::Unseen }
        } else {
            Fact::Listen { endpoint }
        };
        let deepest = self.recorder.digest(reached.deepest.as_bytes());
        let mut pending = only(Fact::Path(path_fact(intent, call, &reached, made)));
        pending.facts.push(second);
        if !connects {
            self.known.touch(deepest);
            pending.touches.push(deepest);
        }
        Some(pending)
    }

    fn look_at_listen(&mut self, tid: i32, fd: u64) -> Option<Pending> {
        let pid = self.tasks.get(&tid)?.pid;
        let address = peer::bound_to(pid, int(fd)).ok().flatten()?;
        if address.port() == 0 {
            return Some(Pending { then: Then::Listens { fd: int(fd) }, ..nothing() });
        }
        Some(only(Fact::Listen { endpoint: Endpoint::Inet(address) }))
    }

    /// Not waited for: what was sent to matters, not whether it arrived.
    fn look_at_sending(&mut self, tid: i32, image: ImageId, entry: &Entry, call: Syscall) {
        let [_, second, third, _, fifth, sixth] = entry.arguments;
        let addresses = match i64::from(call.number()) {
            libc::SYS_sendto if fifth == 0 => return,
            libc::SYS_sendto => Addresses::one(network::read(tid, fifth, sixth)),
            libc::SYS_sendmsg => network::of_messages(tid, second, 1),
            _ => network::of_messages(tid, second, third & 0xffff_ffff),
        };
        // What was passed before the unreadable part was sent.
        if !addresses.whole {
            self.recorder.emit(image, Fact::Gap { gap: Gap::UnreadablePath { call } });
        }
        for address in addresses.found {
            let (endpoint, transport) = match address {
                Address::Inet(address) => (Endpoint::Inet(address), Transport::Udp),
                Address::Abstract(name) => (Endpoint::Abstract(name), Transport::Unix),
                Address::Unix(raw) => match self.look_at_socket_file(tid, call, &raw, true) {
                    Some(pending) => {
                        pending.facts.into_iter().for_each(|fact| self.recorder.emit(image, fact));
                        continue;
                    }
                    None => continue,
                },
                Address::Other => continue,
            };
            self.recorder.emit(image, Fact::Connect { endpoint, transport, result: Outcome::Unseen });
        }
    }
}
