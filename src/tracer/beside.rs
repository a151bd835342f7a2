//! Keeps the tracer and the threads that stop again and again on one processor.
//!
//! A stop wakes the tracer and its answer wakes the thread. Between two processors each of these wakes one that sleeps,
//! which costs several times the stop itself, and the kernel prefers a processor that sleeps. Who stops often is at the
//! tracer's pace anyhow, for there is one tracer; so every thread that does is bound to the processor of the tracer, and
//! the processes that it makes are, too. At every beat the kernel decides again, and who only computes stays free.
//!
//! Invariant: a program sees its own processors. They are given back before a call that shows them (see [`shows`]), to
//! every thread before it first runs, and for good once a file is opened that tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::sys::process::proc_file;
use crate::sys::wait::Birth;
use crate::vocab::syscall::Syscall;

/// Stops of one thread within [`BRIEF`] after which it is bound.
const OFTEN: u32 = 6;
/// The same while the tracer is bound already.
const OFTEN_BESIDE: u32 = 2;
/// Half a millisecond a stop: who takes longer has other things to do than to stop.
const BRIEF: Duration = Duration::from_millis(3);

/// The calling thread.
const MYSELF: i32 = 0;

#[derive(Debug)]
pub(super) struct Beside {
    /// Where the tracer may run by right; `None`: it is not known, or nothing may be bound.
    usual: Option<CpuSet>,
    /// The processor that the tracer is bound to.
    at: Option<usize>,
    /// The threads that are bound there too, and where they may run by right.
    bound: BTreeMap<i32, CpuSet>,
    /// The processor that anybody was last bound to.
    last: Option<usize>,
    /// Threads in a call during which nothing may be bound.
    looking: BTreeSet<i32>,
    /// Stops of threads that are not bound, and since when they are counted.
    stops: BTreeMap<i32, (u32, Instant)>,
}

/// Whether a call tells its caller which processors a thread may run on, or changes them.
pub(super) fn shows(call: Syscall) -> bool {
    matches!(call.name(), "sched_getaffinity" | "sched_setaffinity")
}

/// Whether a file tells which processors a thread may run on (`Cpus_allowed` of proc_pid_status(5)).
pub(super) fn tells(path: &[u8]) -> bool {
    path.starts_with(b"/proc/") && path.ends_with(b"/status")
}

impl Beside {
    pub(super) fn new() -> Self {
        let usual = sched_getaffinity(Pid::from_raw(MYSELF)).ok();
        Self { usual, at: None, bound: BTreeMap::new(), last: None, looking: BTreeSet::new(), stops: BTreeMap::new() }
    }

    /// Thread `tid` stopped, and is not on its way yet.
    pub(super) fn stopped(&mut self, tid: i32) {
        self.looking.remove(&tid);
        if self.bound.contains_key(&tid) || self.usual.is_none() {
            return;
        }
        let (count, since) = self.stops.entry(tid).or_insert_with(|| (0, Instant::now()));
        *count += 1;
        let enough = if self.at.is_some() { OFTEN_BESIDE } else { OFTEN };
        if *count >= enough {
            let often = since.elapsed() <= BRIEF;
            self.stops.remove(&tid);
            if often {
                self.bind(tid);
            }
        }
    }

    /// Thread `tid` is about to make a call that [shows] processors.
    pub(super) fn look(&mut self, tid: i32) {
        self.give_back();
        self.looking.insert(tid);
    }

    /// Thread `tid` is no more.
    pub(super) fn gone(&mut self, tid: i32) {
        self.looking.remove(&tid);
        self.bound.remove(&tid);
        self.stops.remove(&tid);
    }

    /// Thread `former` goes on under the number `tid`, and no other thread of its process does (execve(2)).
    pub(super) fn renamed(&mut self, former: i32, tid: i32) {
        self.gone(tid);
        self.looking.remove(&former);
        if let Some(theirs) = self.bound.remove(&former) {
            self.bound.insert(tid, theirs);
        }
    }

    /// Some thread that is bound and is one of those asked for.
    pub(super) fn one_of(&self, asked: impl Fn(i32) -> bool) -> Option<i32> {
        self.bound.keys().copied().find(|tid| asked(*tid))
    }

    /// Thread `child`, which has not run yet, was made by `maker`, and has its processors.
    pub(super) fn born(&mut self, child: i32, birth: Birth, maker: i32) {
        let Some(last) = self.last else { return };
        let theirs = match self.bound.get(&maker) {
            Some(theirs) if birth == Birth::Process => {
                self.bound.insert(child, *theirs);
                return;
            }
            Some(theirs) => *theirs,
            // Given back to the maker since then, perhaps.
            None => {
                let [its, theirs] = [child, maker].map(|tid| sched_getaffinity(Pid::from_raw(tid)));
                match (its, theirs) {
                    (Ok(its), Ok(theirs)) if its == only(last) => theirs,
                    _ => return,
                }
            }
        };
        // A thread is made to run beside its maker, on another processor.
        sched_setaffinity(Pid::from_raw(child), &theirs).ok();
    }

    /// Everybody may run where it may by right, and the kernel decides anew.
    pub(super) fn part(&mut self) {
        self.give_back();
        if let Some(usual) = self.usual.as_ref().filter(|_| self.at.is_some()) {
            // Refused (its processors were taken from it meanwhile): it stays where it is, which is slower and not wrong.
            sched_setaffinity(Pid::from_raw(MYSELF), usual).ok();
            self.at = None;
        }
        self.stops.clear();
    }

    /// As [`Self::part`], and it stays so.
    pub(super) fn stop(&mut self) {
        self.part();
        self.usual = None;
    }

    fn bind(&mut self, tid: i32) {
        if !self.looking.is_empty() || self.usual.is_none() {
            return;
        }
        let Ok(theirs) = sched_getaffinity(Pid::from_raw(tid)) else { return };
        let Some(cpu) = self.at.or_else(|| last_cpu(tid)) else { return };
        let may = |set: &CpuSet| set.is_set(cpu) == Ok(true);
        let there = only(cpu);
        if !may(&theirs) || !self.usual.as_ref().is_some_and(may) {
            return;
        }
        if self.at.is_none() {
            if sched_setaffinity(Pid::from_raw(MYSELF), &there).is_err() {
                return self.stop();
            }
            self.at = Some(cpu);
        }
        // ESRCH: killed while it was stopped.
        if sched_setaffinity(Pid::from_raw(tid), &there).is_ok() {
            self.bound.insert(tid, theirs);
            self.last = Some(cpu);
        }
    }

    fn give_back(&mut self) {
        for (tid, theirs) in std::mem::take(&mut self.bound) {
            sched_setaffinity(Pid::from_raw(tid), &theirs).ok();
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.part();
    }
}

/// That processor alone; none where there is no such number.
fn only(cpu: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(cpu).ok();
    set
}

/// The processor that a thread last ran on (proc_pid_stat(5), field 39).
fn last_cpu(tid: i32) -> Option<usize> {
    let stat = proc_file(&format!("/proc/{tid}/stat")).ok()?;
    // The name, field 2, may hold anything; behind its last bracket stands field 3.
    let end = stat.iter().rposition(|&b| b == b')')?;
    let field = stat.get(end + 2..)?.split(|&b| b == b' ').nth(36)?;
    std::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processors(tid: i32) -> CpuSet {
        sched_getaffinity(Pid::from_raw(tid)).unwrap()
    }

    fn count(set: &CpuSet) -> usize {
        (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true)).count()
    }

    #[test]
    fn a_thread_that_stops_often_is_bound_and_has_its_own_processors_back_when_it_looks_and_at_a_beat() {
        // Threads of their own: what is changed is the affinity of the caller and of a second one.
        let (told, hear) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            told.send(nix::unistd::gettid().as_raw()).unwrap();
            ended.recv().ok();
        });
        let tid = hear.recv().unwrap();
        let test = move || {
            let (ours, theirs) = (processors(MYSELF), processors(tid));
            let mut beside = Beside::new();
            // A slow machine takes too long; then the next stops count.
            let bind = |beside: &mut Beside| {
                while beside.bound.is_empty() {
                    beside.stopped(tid)
                }
            };
            bind(&mut beside);
            assert_eq!((count(&processors(MYSELF)), count(&processors(tid))), (1, 1));
            assert_eq!(processors(MYSELF), processors(tid));
            beside.look(tid);
            assert_eq!(processors(tid), theirs);
            beside.looking.insert(1);
            (0..=OFTEN).for_each(|_| beside.stopped(tid));
            assert_eq!(processors(tid), theirs, "somebody looks");
            beside.gone(1);
            bind(&mut beside);
            beside.part();
            assert_eq!((processors(MYSELF), processors(tid)), (ours, theirs));
            bind(&mut beside);
            beside.stop();
            (0..=OFTEN).for_each(|_| beside.stopped(tid));
            assert_eq!((processors(MYSELF), processors(tid)), (ours, theirs));
        };
        std::thread::spawn(test).join().unwrap();
        drop(end);
        other.join().unwrap();
    }
}
