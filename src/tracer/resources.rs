//! The highest use of resources over the process tree: counted where a stop tells it, sampled now and then where not.
//!
//! What lives between two samples and is not counted is missed: sums of memory, descriptors from calls that are not
//! stopped, files in private directories that are there at the end.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::event::Peaks;

/// Between two samples, at least: reading /proc of a tree costs as much as a few hundred stops.
const PERIOD: Duration = Duration::from_millis(200);
/// Part of the time that may go into samples, however large the tree.
const SHARE: u32 = 20;

#[derive(Debug)]
pub(super) struct Meter {
    started: Instant,
    /// When the next sample is due.
    next: Instant,
    peaks: Peaks,
    page: u64,
    cpu_before: Duration,
}

impl Meter {
    pub(super) fn new() -> Self {
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
        Self {
            started: Instant::now(),
            next: Instant::now(),
            peaks: Peaks::default(),
            page: page.unsigned_abs(),
            cpu_before: cpu_of_children(),
        }
    }

    /// How many there are: kept at every birth, since a short-lived process would be missed by sampling.
    pub(super) fn count(&mut self, processes: usize, threads: usize) {
        self.peaks.processes = self.peaks.processes.max(u32::try_from(processes).unwrap_or(u32::MAX));
        self.peaks.threads = self.peaks.threads.max(u32::try_from(threads).unwrap_or(u32::MAX));
    }

    /// A descriptor of this number was opened.
    pub(super) fn descriptor(&mut self, number: u32) {
        self.peaks.descriptors = self.peaks.descriptors.max(number.saturating_add(1));
    }

    /// A file of this size was written.
    pub(super) fn file(&mut self, size: u64) {
        self.peaks.file_size = self.peaks.file_size.max(size);
    }

    /// Adds up the memory of `processes`, if it is time to.
    pub(super) fn sample(&mut self, processes: &BTreeSet<i32>) {
        let begun = Instant::now();
        if begun < self.next {
            return;
        }
        let pages: u64 = processes.iter().filter_map(|pid| resident(*pid)).sum();
        self.peaks.memory = self.peaks.memory.max(pages.saturating_mul(self.page));
        processes.iter().filter_map(|pid| highest_descriptor(*pid)).for_each(|number| self.descriptor(number));
        self.next = Instant::now() + PERIOD.max(begun.elapsed() * SHARE);
    }

    /// The peaks so far.
    pub(super) fn peaks(&mut self) -> Peaks {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.peaks.wall_ms = millis(self.started.elapsed());
        self.peaks.cpu_ms = millis(cpu_of_children().saturating_sub(self.cpu_before));
        self.peaks.memory = self.peaks.memory.max(largest_child());
        self.peaks.clone()
    }
}

/// Second field of statm: resident pages.
fn resident(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    text.split(' ').nth(1)?.parse().ok()
}

fn highest_descriptor(pid: i32) -> Option<u32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).max()
}

/// Highest resident memory in bytes of any one descendant that was waited for: what lived too briefly to be sampled has its
/// part here (getrusage(2): kilobytes).
fn largest_child() -> u64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN);
    usage.map_or(0, |usage| u64::try_from(usage.max_rss()).unwrap_or(0).saturating_mul(1024))
}

/// Processor time of children that were waited for, and theirs.
fn cpu_of_children() -> Duration {
    let Ok(usage) = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN) else {
        return Duration::ZERO;
    };
    let time = |value: nix::sys::time::TimeVal| {
        Duration::from_micros(
            u64::try_from(value.tv_sec()).unwrap_or(0) * 1_000_000 + u64::try_from(value.tv_usec()).unwrap_or(0),
        )
    };
    time(usage.user_time()) + time(usage.system_time())
}
