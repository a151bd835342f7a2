//! Which questions are answered: a success until a link may lead elsewhere, a failure until a name is made in the directory
//! that decided it.

use std::collections::{BTreeMap, BTreeSet};

/// What an answer rests on, taken when the question is asked: what changes before the answer comes is a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stamp {
    /// Directory that decides whether a negative answer still holds.
    directory: u64,
    made: u64,
    era: u64,
    links: u64,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Success { links: u64 },
    Failure(Stamp),
}

#[derive(Debug)]
pub(super) struct Known {
    answers: BTreeMap<u64, Answer>,
    /// Names made per directory.
    made: BTreeMap<u64, u64>,
    /// Names that were removed or renamed: a symlink in their place leads elsewhere, any other is news to nobody.
    gone: BTreeSet<u64>,
    gone_is_whole: bool,
    /// Counts what may have made a name anywhere.
    era: u64,
    /// Counts what may have led a path elsewhere: symlinks that came or went, directories that moved.
    links: u64,
    cap: usize,
}

impl Known {
    pub(super) fn new(cap: u64) -> Self {
        let cap = usize::try_from(cap).unwrap_or(usize::MAX);
        Self {
            answers: BTreeMap::new(),
            made: BTreeMap::new(),
            gone: BTreeSet::new(),
            gone_is_whole: true,
            era: 0,
            links: 0,
            cap,
        }
    }

    /// Whether nothing new can come of asking again.
    pub(super) fn is_settled(&self, key: u64) -> bool {
        match self.answers.get(&key) {
            Some(Answer::Success { links }) => *links == self.links,
            Some(Answer::Failure(stamp)) => *stamp == self.stamp(stamp.directory),
            None => false,
        }
    }

    /// What an answer that `directory` decides rests on now.
    pub(super) fn stamp(&self, directory: u64) -> Stamp {
        Stamp { directory, made: self.count(directory), era: self.era, links: self.links }
    }

    pub(super) fn settle(&mut self, key: u64, success: bool, asked: Stamp) {
        // A flood of names must not become a flood of memory: forgetting costs time only.
        if self.answers.len() >= self.cap {
            self.answers.clear();
        }
        let answer = if success { Answer::Success { links: asked.links } } else { Answer::Failure(asked) };
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

    /// `name` is removed or renamed, or is about to be.
    pub(super) fn gone(&mut self, name: u64) {
        if self.gone.len() >= self.cap {
            self.gone.clear();
            self.gone_is_whole = false;
        }
        self.gone.insert(name);
    }

    /// Whether `name` may have stood for something else before.
    pub(super) fn has_gone(&self, name: u64) -> bool {
        !self.gone_is_whole || self.gone.contains(&name)
    }

    /// A path may lead elsewhere: every answer is open again.
    pub(super) fn relinked(&mut self) {
        self.links += 1;
    }

    fn count(&self, directory: u64) -> u64 {
        self.made.get(&directory).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_open_again_once_a_name_was_made_in_its_directory_and_a_success_once_links_changed() {
        let mut known = Known::new(10);
        known.settle(1, false, known.stamp(7));
        known.settle(2, false, known.stamp(8));
        known.settle(3, true, known.stamp(7));
        known.touch(7);
        assert!(!known.is_settled(1) && known.is_settled(2) && known.is_settled(3));
        known.reopen_all();
        assert!(!known.is_settled(2) && known.is_settled(3));
        known.settle(1, false, known.stamp(7));
        known.relinked();
        assert!(!known.is_settled(1) && !known.is_settled(3));
    }

    #[test]
    fn a_name_made_between_question_and_answer_leaves_the_question_open() {
        let mut known = Known::new(10);
        let asked = known.stamp(7);
        known.touch(7);
        known.settle(1, false, asked);
        assert!(!known.is_settled(1));
    }

    #[test]
    fn a_flood_of_questions_does_not_grow_the_memory() {
        let mut known = Known::new(10);
        (0..1000).for_each(|key| known.settle(key, true, known.stamp(key)));
        assert!(known.answers.len() <= 10);
        (0..1000).for_each(|name| known.gone(name));
        assert!(known.gone.len() <= 10 && known.has_gone(1), "what was forgotten is taken for gone");
    }
}
