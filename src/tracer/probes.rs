//! Connected datagram sockets: an endpoint if something is sent, a question of address sorting if not.
//!
//! getaddrinfo connects one socket after another, or one again and again, to learn which source address it would have, and
//! sends nothing. Where it cannot be told, it is an endpoint.

use crate::event::{Fact, ImageId, Outcome, Transport};
use crate::sys::ptrace::{self, Entry};
use crate::vocab::endpoint::Endpoint;

use super::follow::Tracer;
use super::resolve;
use super::task::{Probe, Task};

/// Calls of the thread that connected in which something sent is looked for.
const PROBED_CALLS: u8 = 64;
/// Sockets of one thread; beyond it the oldest counts as used.
const MOST_PROBES: usize = 32;
/// fcntl commands that copy a descriptor.
const COPIES: [u64; 2] = [libc::F_DUPFD as u64, libc::F_DUPFD_CLOEXEC as u64];

/// What a call means for a connected socket.
enum Use {
    Sent,
    Closed,
    Nothing,
}

impl Probe {
    pub(super) fn new(fd: u64, endpoint: Endpoint) -> Self {
        Self { fd, endpoint, left: PROBED_CALLS }
    }

    fn used_by(&self, entry: &Entry) -> Use {
        let [first, second, third, ..] = entry.arguments.map(|register| register & 0xffff_ffff);
        let is = |register: u64| register == self.fd;
        match i64::try_from(entry.number).unwrap_or(-1) {
            libc::SYS_sendto
            | libc::SYS_sendmsg
            | libc::SYS_sendmmsg
            | libc::SYS_write
            | libc::SYS_writev
            | libc::SYS_pwritev2
            | libc::SYS_sendfile
                if is(first) =>
            {
                Use::Sent
            }
            libc::SYS_splice if is(third) => Use::Sent,
            // The copy is not looked at.
            libc::SYS_dup if is(first) => Use::Sent,
            number if copies_over(number) && is(first) => Use::Sent,
            libc::SYS_fcntl if is(first) && COPIES.contains(&second) => Use::Sent,
            number if shares_descriptors(number) => Use::Sent,
            libc::SYS_close if is(first) => Use::Closed,
            number if copies_over(number) && is(second) => Use::Closed,
            libc::SYS_close_range if third == 0 && (first..=second).contains(&self.fd) => Use::Closed,
            libc::SYS_exit_group => Use::Closed,
            _ => Use::Nothing,
        }
    }
}

/// Whether a call copies a descriptor in the place of another.
fn copies_over(number: i64) -> bool {
    #[cfg(target_arch = "x86_64")]
    if number == libc::SYS_dup2 {
        return true;
    }
    number == libc::SYS_dup3
}

/// Whether a call makes somebody who has the descriptors too, and is not looked at for them.
fn shares_descriptors(number: i64) -> bool {
    #[cfg(target_arch = "x86_64")]
    if matches!(number, libc::SYS_fork | libc::SYS_vfork) {
        return true;
    }
    number == libc::SYS_clone
}

impl Tracer<'_> {
    /// The beginning of a call on the way of a probe.
    pub(super) fn look_at_probes(&mut self, tid: i32) {
        let Some(task) = self.tasks.get_mut(&tid).filter(|task| !task.probes.is_empty()) else { return };
        let Ok(entry) = ptrace::entry(tid) else { return };
        let image = task.image;
        let mut told = Vec::new();
        task.probes.retain_mut(|probe| {
            let transport = match probe.used_by(&entry) {
                Use::Sent => Transport::Udp,
                Use::Closed => Transport::UdpProbe,
                Use::Nothing if probe.left == 0 => Transport::Udp,
                Use::Nothing => {
                    probe.left -= 1;
                    return true;
                }
            };
            told.push((probe.endpoint.clone(), transport));
            false
        });
        for (endpoint, transport) in told {
            self.tell(image, endpoint, transport);
        }
    }

    /// Whether `fd` of this task is a connected socket of which it is not known whether anything is sent.
    pub(super) fn probes_on(&self, tid: i32, fd: u64) -> bool {
        self.tasks.get(&tid).is_some_and(|task| task.probes.iter().any(|probe| probe.fd == fd))
    }

    /// `fd` has another peer now: nothing was sent to the former one.
    pub(super) fn connected(&mut self, tid: i32, fd: u64, probe: Option<Probe>) {
        let Some(task) = self.tasks.get_mut(&tid) else { return };
        let image = task.image;
        let former = task.probes.iter().position(|probe| probe.fd == fd).map(|at| task.probes.remove(at));
        let oldest = (task.probes.len() >= MOST_PROBES).then(|| task.probes.remove(0));
        task.probes.extend(probe);
        if let Some(former) = former {
            self.tell(image, former.endpoint, Transport::UdpProbe);
        }
        if let Some(oldest) = oldest {
            self.tell(image, oldest.endpoint, Transport::Udp);
        }
    }

    /// The task is gone, by a call that was not looked at. Others of its process may use its sockets.
    pub(super) fn abandon_probes(&mut self, task: &mut Task) {
        let probes = std::mem::take(&mut task.probes);
        if probes.is_empty() {
            return;
        }
        let shared = self.tasks.values().any(|other| other.pid == task.pid);
        let transport = if shared { Transport::Udp } else { Transport::UdpProbe };
        probes.into_iter().for_each(|probe| self.tell(task.image, probe.endpoint, transport));
    }

    /// Process `pid` is another program now, which has the sockets that are still open.
    pub(super) fn hand_on_probes(&mut self, pid: i32, task: &mut Task) {
        for probe in std::mem::take(&mut task.probes) {
            let kept = i32::try_from(probe.fd).is_ok_and(|fd| resolve::is_open(pid, fd));
            let transport = if kept { Transport::Udp } else { Transport::UdpProbe };
            self.tell(task.image, probe.endpoint, transport);
        }
    }

    fn tell(&mut self, image: Option<ImageId>, endpoint: Endpoint, transport: Transport) {
        if let Some(image) = image {
            self.recorder.emit(image, Fact::Connect { endpoint, transport, result: Outcome::Ok });
        }
    }
}
