//! Which questions are answered: a success for good, a failure until a name is made in the directory that decided it.

use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy)]
enum Answer {
    Success,
    Failure { directory: u64, made: u64, era: u64 },
}

#[derive(Debug)]
pub(super) struct Known {
    answers: BTreeMap<u64, Answer>,
    /// Names made per directory.
    made: BTreeMap<u64, u64>,
    /// Counts what may have changed anything anywhere.
    era: u64,
    cap: usize,
}

impl Known {
    pub(super) fn new(cap: u64) -> Self {
        let cap = usize::try_from(cap).unwrap_or(usize::MAX);
        Self { answers: BTreeMap::new(), made: BTreeMap::new(), era: 0, cap }
    }

    /// Whether nothing new can come of asking again.
    pub(super) fn is_settled(&self, key: u64) -> bool {
        match self.answers.get(&key) {
            Some(Answer::Success) => true,
            Some(Answer::Failure { directory, made, era }) => *era == self.era && *made == self.count(*directory),
            None => false,
        }
    }

    pub(super) fn settle(&mut self, key: u64, success: bool, directory: u64) {
        // A flood of names must not become a flood of memory: forgetting costs time only.
        if self.answers.len() >= self.cap {
            self.answers.clear();
        }
        let answer = if success {
            Answer::Success
        } else {
            Answer::Failure { directory, made: self.count(directory), era: self.era }
        };
        self.answers.insert(key, answer);
    }

    /// A name was made in `directory`, or is about to be.
    pub(super) fn touch(&mut self, directory: u64) {
        if self.made.len() >= self.cap {
            self.made.clear();
            self.era += 1;
        }
        *self.made.entry(directory).or_default() += 1;
    }

    /// Every failure is open again.
    pub(super) fn reopen_all(&mut self) {
        self.era += 1;
    }

    fn count(&self, directory: u64) -> u64 {
        self.made.get(&directory).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_open_again_once_a_name_was_made_in_its_directory_and_a_success_never() {
        let mut known = Known::new(10);
        known.settle(1, false, 7);
        known.settle(2, false, 8);
        known.settle(3, true, 7);
        known.touch(7);
        assert!(!known.is_settled(1) && known.is_settled(2) && known.is_settled(3));
        known.reopen_all();
        assert!(!known.is_settled(2) && known.is_settled(3));
    }

    #[test]
    fn a_flood_of_questions_does_not_grow_the_memory() {
        let mut known = Known::new(10);
        (0..1000).for_each(|key| known.settle(key, true, key));
        assert!(known.answers.len() <= 10);
    }
}
