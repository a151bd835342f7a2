//! Names under a pattern that a program makes up → how much it may tell by them to whoever answers for the zone.
//!
//! Each look-up of a new name carries the name outside, although nobody is connected to: so names are short, and come slowly
//! after the first. What a run may tell by them is bounded: the most names times the longest.

use std::time::{Duration, Instant};

/// Longest part of a name that a pattern leaves open. A label of a host name has at most 63 bytes.
const LONGEST: usize = 64;
/// Names at once, between two more, and in a run.
const AT_ONCE: u32 = 32;
const BETWEEN: Duration = Duration::from_secs(2);
const MOST: u32 = 256;

/// Why a name is not looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooTelling {
    TooLong,
    TooMany,
}

/// What is left.
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    at_once: u32,
    filled: Option<Instant>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: MOST, at_once: AT_ONCE, filled: None }
    }
}

impl Budget {
    /// Takes a name out of it, of which the program chose `beneath`.
    pub(super) fn take(&mut self, beneath: &str, now: Instant) -> Result<(), TooTelling> {
        if beneath.len() > LONGEST {
            return Err(TooTelling::TooLong);
        }
        let filled = *self.filled.get_or_insert(now);
        let more = now.duration_since(filled).as_secs() / BETWEEN.as_secs();
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if more > 0 {
            self.at_once = self.at_once.saturating_add(more).min(AT_ONCE);
            self.filled = Some(filled + BETWEEN * more);
        }
        let (Some(left), Some(at_once)) = (self.left.checked_sub(1), self.at_once.checked_sub(1)) else {
            return Err(TooTelling::TooMany);
        };
        (self.left, self.at_once) = (left, at_once);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_short_names_at_once_then_slowly_then_none() {
        let (mut budget, start) = (Budget::default(), Instant::now());
        assert_eq!(budget.take(&"a".repeat(LONGEST + 1), start), Err(TooTelling::TooLong));
        let at = |budget: &mut Budget, seconds| {
            (0..1000).filter(|_| budget.take("a", start + Duration::from_secs(seconds)).is_ok()).count()
        };
        assert_eq!(at(&mut budget, 0), 32);
        assert_eq!(at(&mut budget, 1), 0);
        assert_eq!(at(&mut budget, 4), 2);
        assert_eq!(at(&mut budget, 5), 0);
        assert_eq!(at(&mut budget, 6), 1);
        let all: usize = (1..100).map(|hour| at(&mut budget, hour * 3600)).sum();
        assert_eq!(all, MOST as usize - 35);
    }
}
