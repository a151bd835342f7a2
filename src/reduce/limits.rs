//! The highest use of resources that was seen → limits that the next run stays below, and a runaway one does not.
//!
//! Twice what was seen, rounded up to a number that a person would write, and never less than what a small command takes
//! on a bigger machine: more processors mean more threads. Memory is held everywhere, if softly. What a machine may be
//! unable to hold is marked `soft`, so that a limit that nobody asked for stops no run.

use std::collections::BTreeSet;

use crate::event::{Event, Fact, Peaks};
use crate::trace::Trace;
use crate::vocab::limits::{Bytes, Limit, Limits, Percent};

/// How many times what was seen.
const HEADROOM: u64 = 2;
/// The private directories count as memory, and what lies in them is not seen before the end.
const LEAST_MEMORY: u64 = 2 << 30;
/// Threads count, and many a runtime starts some for each processor.
const LEAST_PROCESSES: u64 = 500;
/// A core.
const LEAST_CPU: u64 = 100;

/// Of all runs together; nothing where no run told its peaks.
pub(super) fn reduce(traces: &[&Trace]) -> Limits {
    let peaks: Vec<&Peaks> = traces.iter().flat_map(|trace| trace.events.others()).filter_map(peaks).collect();
    let Some(memory) = peaks.iter().map(|peaks| peaks.memory.saturating_add(peaks.file_size)).max() else {
        return Limits::default();
    };
    let tasks = peaks.iter().map(|peaks| peaks.threads.max(peaks.processes)).max().unwrap_or(0);
    let share = peaks.iter().map(|peaks| peaks.cpu_ms.saturating_mul(100) / peaks.wall_ms.max(1)).max().unwrap_or(0);
    let twice = |value: u64| value.saturating_mul(HEADROOM);
    let cores = twice(share).div_ceil(LEAST_CPU).max(1);
    Limits {
        memory: Some(Bytes(round(twice(memory).div_ceil(1 << 20)).saturating_mul(1 << 20).max(LEAST_MEMORY))),
        processes: u32::try_from(hundreds(twice(u64::from(tasks))).max(LEAST_PROCESSES)).ok(),
        cpu: u32::try_from(cores.saturating_mul(LEAST_CPU)).ok().map(Percent),
        soft: BTreeSet::from([Limit::Processes, Limit::Cpu]),
        ..Limits::default()
    }
}

/// They only grow in a run, so that the highest of all is what counts.
fn peaks(event: &Event) -> Option<&Peaks> {
    match &event.fact {
        Fact::Peaks(peaks) => Some(peaks),
        _ => None,
    }
}

/// Up to a power of two, or one and a half of one.
fn round(value: u64) -> u64 {
    let power = value.checked_next_power_of_two().unwrap_or(1 << 43).min(1 << 43);
    let less = power / 4 * 3;
    if value <= less { less } else { power }
}

/// Up to 1, 2 or 5 times a power of ten.
fn hundreds(value: u64) -> u64 {
    let mut step = 1_u64;
    while step < 1_000_000_000 {
        for factor in [1, 2, 5] {
            if value <= step * factor {
                return step * factor;
            }
        }
        step *= 10;
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_up_to_those_that_people_write() {
        let rounded = [0, 3, 5, 700, 800, 1024].map(round);
        assert_eq!(rounded, [0, 3, 6, 768, 1024, 1024]);
        assert_eq!([0, 3, 51, 201, 1000].map(hundreds), [1, 5, 100, 500, 1000]);
        for value in 1..5000 {
            assert!(round(value) >= value && hundreds(value) >= value);
        }
        assert_eq!(round(u64::MAX), 1 << 43);
    }
}
