//! Which of the caller's variables can be shown to matter: their names stand in a program, library, script or file that
//! the run executed or read, or in its arguments.
//!
//! Only names are looked for, as whole words, and only the names that were found are kept: nothing of the files. A name
//! that is not found may still matter (it was put together while running); a name that is found may not.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

use aho_corasick::{AhoCorasick, MatchKind, packed};

use crate::event::{Fact, Intent, Outcome, PathFact};
use crate::vocab::escape;
use crate::vocab::host::FileKind;
use crate::vocab::path::AbsPath;

/// Made up by the kernel.
const KERNEL: [&[u8]; 3] = [b"/proc/", b"/sys/", b"/dev/"];
/// Files that are looked into: who reads more of them than this reads data.
const MOST_FILES: usize = 5_000;
/// Bytes that are looked through in one run.
const MOST_BYTES: u64 = 2 << 30;
/// Read at a time; a name that lies across two reads is found by the overlap.
const CHUNK: usize = 1 << 18;
/// Longest name that is looked for.
const LONGEST: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Mentions {
    /// The names that are still to be found, as bytes.
    wanted: Vec<Vec<u8>>,
    found: BTreeSet<Vec<u8>>,
    /// Files to look into, executed ones and others.
    files: BTreeSet<AbsPath>,
    searched: BTreeSet<AbsPath>,
    bytes: u64,
    capped: bool,
    finder: Option<Finder>,
}

/// What looks for the names that were not found when it was made.
#[derive(Debug)]
struct Finder {
    names: Vec<Vec<u8>>,
    search: Search,
}

#[derive(Debug)]
enum Search {
    /// Of several bytes of the names at once; no name can overlap with another that stands there as a whole word.
    Packed(packed::Searcher),
    /// The same by an automaton, which skips what holds none of them: for one name, and for very many.
    Plain(AhoCorasick),
    /// One may overlap with another.
    Overlapping(AhoCorasick),
}

impl Finder {
    /// `None` for too many or too long names for one automaton.
    fn new(names: Vec<Vec<u8>>) -> Option<Self> {
        let automaton = |kind| AhoCorasick::builder().match_kind(kind).build(&names).ok();
        let search = if !names.iter().flatten().all(|byte| is_of_a_word(*byte)) {
            Search::Overlapping(automaton(MatchKind::Standard)?)
        } else if let Some(packed) = packed(&names) {
            Search::Packed(packed)
        } else {
            Search::Plain(automaton(MatchKind::LeftmostLongest)?)
        };
        Some(Self { names, search })
    }

    /// Puts the names that stand in `bytes` into `found`.
    fn look(&self, bytes: &[u8], found: &mut BTreeSet<Vec<u8>>) {
        let mut note = |hit: aho_corasick::Match| {
            let part_of_a_word = |byte: Option<&u8>| byte.is_some_and(|byte| is_of_a_word(*byte));
            let before = hit.start().checked_sub(1).and_then(|at| bytes.get(at));
            let whole = !part_of_a_word(before) && !part_of_a_word(bytes.get(hit.end()));
            if let Some(name) = self.names.get(hit.pattern().as_usize()).filter(|name| whole && !found.contains(*name))
            {
                found.insert(name.clone());
            }
        };
        // A whole word is found by its first byte, and the longest name there is all of it.
        match &self.search {
            Search::Packed(packed) => packed.find_iter(bytes).for_each(&mut note),
            Search::Plain(automaton) => automaton.find_iter(bytes).for_each(&mut note),
            Search::Overlapping(automaton) => automaton.find_overlapping_iter(bytes).for_each(&mut note),
        }
    }
}

/// For two names and more; `None` where the processor has no such instructions, or there are too many names for them.
fn packed(names: &[Vec<u8>]) -> Option<packed::Searcher> {
    let mut builder = packed::Config::new().match_kind(packed::MatchKind::LeftmostLongest).builder();
    if names.len() > 1 { builder.extend(names).build() } else { None }
}

fn is_of_a_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl Mentions {
    /// The variables that the caller gave to the first program.
    pub(super) fn want(&mut self, names: impl Iterator<Item = Vec<u8>>) {
        for name in names.filter(|name| !name.is_empty() && name.len() < LONGEST) {
            if !self.wanted.contains(&name) {
                self.wanted.push(name);
            }
        }
        self.finder = None;
    }

    /// Remembers what a fact says was executed, mapped or read.
    pub(super) fn note(&mut self, fact: &PathFact) {
        let read = matches!(fact.intent, Intent::Execute | Intent::Map | Intent::Read);
        if self.wanted.is_empty()
            || self.capped
            || !read
            || fact.result != Outcome::Ok
            || fact.kind != Some(FileKind::File)
            || self.searched.contains(&fact.path)
        {
            return;
        }
        // Reading there may wait, or take away what is read.
        if KERNEL.iter().any(|top| fact.path.as_bytes().starts_with(top)) {
            return;
        }
        if self.files.len() + self.searched.len() < MOST_FILES {
            self.files.insert(fact.path.clone());
        } else {
            self.capped = true;
        }
    }

    /// Looks through the arguments of a program.
    pub(super) fn arguments(&mut self, bytes: &[u8]) {
        self.look(bytes);
    }

    /// What is found up to now; `None` where nothing was wanted. Of what is still to be looked through it takes `most` bytes:
    /// the run waits meanwhile.
    pub(super) fn take(&mut self, most: u64) -> Option<Fact> {
        if self.wanted.is_empty() {
            return None;
        }
        let mut buffer = vec![0; CHUNK + LONGEST];
        let until = self.bytes.saturating_add(most);
        while self.found.len() < self.wanted.len()
            && self.bytes < until
            && let Some(path) = self.files.pop_first()
        {
            self.look_into(&path, &mut buffer);
            self.searched.insert(path);
        }
        let names = self.found.iter().map(|name| escape::file(name)).collect();
        let left = self.found.len() < self.wanted.len() && !self.files.is_empty();
        Some(Fact::Mentioned { names, capped: self.capped || left })
    }

    fn look_into(&mut self, path: &AbsPath, buffer: &mut [u8]) {
        // From outside: a name may lead elsewhere by now, even to a pipe that nobody writes to.
        let open = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path.to_path_buf());
        let Ok(mut file) = open else { return };
        let Some(meta) = file.metadata().ok().filter(std::fs::Metadata::is_file) else { return };
        // One that tells no size is read until nothing comes.
        let mut left = if meta.len() == 0 { u64::MAX } else { meta.len() };
        let mut kept = 0;
        loop {
            let Some(free) = buffer.get_mut(kept..) else { return };
            let Ok(count @ 1..) = file.read(free) else { return };
            let read = u64::try_from(count).unwrap_or(0);
            self.bytes += read;
            if self.bytes > MOST_BYTES {
                self.capped = true;
                return;
            }
            let filled = kept + count;
            self.look(buffer.get(..filled).unwrap_or_default());
            left = left.saturating_sub(read);
            if left == 0 {
                return;
            }
            let overlap = filled.min(LONGEST);
            buffer.copy_within(filled - overlap..filled, 0);
            kept = overlap;
        }
    }

    fn look(&mut self, bytes: &[u8]) {
        let Self { wanted, found, finder, .. } = self;
        if found.len() == wanted.len() {
            return;
        }
        // What was found need not be looked for any more: mostly that are the names which stand everywhere.
        if finder.as_ref().is_some_and(|finder| finder.names.len() + found.len() > wanted.len()) {
            *finder = None;
        }
        let finder = match finder {
            Some(finder) => finder,
            None => {
                let names = wanted.iter().filter(|name| !found.contains(*name)).cloned().collect();
                match Finder::new(names) {
                    Some(made) => finder.insert(made),
                    None => {
                        self.capped = true;
                        return;
                    }
                }
            }
        };
        finder.look(bytes, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str], text: &str) -> Vec<String> {
        let mut mentions = Mentions::default();
        mentions.want(names.iter().map(|name| name.as_bytes().to_vec()));
        mentions.arguments(text.as_bytes());
        mentions.found.iter().map(|name| String::from_utf8(name.clone()).unwrap()).collect()
    }

    #[test]
    fn names_are_found_as_whole_words_also_where_one_holds_another() {
        assert_eq!(found(&["HOME", "HOME_DIR", "DIR"], "x=$HOME_DIR;"), ["HOME_DIR"]);
        assert_eq!(found(&["HOME", "HOME_DIR"], "HOME\0HOME_DIR"), ["HOME", "HOME_DIR"]);
        assert!(found(&["A"], "BANANA A_B").is_empty());
        assert_eq!(found(&["A"], "A"), ["A"]);
        assert_eq!(found(&["HOME", "E_DIR", "DIR"], "XHOME_DIR HOME"), ["HOME"]);
    }

    #[test]
    fn as_many_names_as_there_are_in_an_environment_are_found_however_they_are_looked_for() {
        for count in [1, 2, 3, 20, 60, 100, 400] {
            let names: Vec<String> = (0..count).map(|number| format!("NAME_{number}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let last = format!("NAME_{}", count - 1);
            let text = format!("{}{last} NAME_x{}", "no name. ".repeat(50), "and none NAME_ ".repeat(50));
            assert_eq!(found(&names, &text), [last.as_str()], "{count}");
            assert!(found(&names, &text.replace("no name. ", "NO")).is_empty(), "{count}");
        }
    }

    #[test]
    fn names_with_other_signs_than_those_of_a_word_are_found_too() {
        assert_eq!(found(&["f%%", "HOME", "a.HOME"], "a.HOME f%%"), ["HOME", "a.HOME", "f%%"]);
    }

    #[test]
    fn a_look_in_between_takes_no_more_than_it_may_and_says_so_and_the_next_goes_on() {
        let dir = std::env::temp_dir().join(format!("pinfold-mentions-some-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut mentions = Mentions::default();
        mentions.want(["FIRST", "SECOND", "THIRD"].iter().map(|name| name.as_bytes().to_vec()));
        for name in ["FIRST", "SECOND"] {
            std::fs::write(dir.join(name), name).unwrap();
            mentions.files.insert(AbsPath::try_from(dir.join(name).canonicalize().unwrap().as_path()).unwrap());
        }
        let told = |mentions: &mut Mentions, most| match mentions.take(most) {
            Some(Fact::Mentioned { names, capped }) => (names.into_iter().collect::<Vec<_>>().join(" "), capped),
            other => panic!("{other:?}"),
        };
        assert_eq!(told(&mut mentions, 1), ("FIRST".to_owned(), true));
        assert_eq!(told(&mut mentions, u64::MAX), ("FIRST SECOND".to_owned(), false));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_name_across_two_reads_is_found() {
        let file = std::env::temp_dir().join(format!("pinfold-mentions-{}", std::process::id()));
        for shift in 0..8 {
            let mut text = vec![b'.'; CHUNK + LONGEST - shift];
            text.extend_from_slice(b" VARIABLE ");
            std::fs::write(&file, &text).unwrap();
            let mut mentions = Mentions::default();
            mentions.want(std::iter::once(b"VARIABLE".to_vec()));
            let path = AbsPath::try_from(file.canonicalize().unwrap().as_path()).unwrap();
            mentions.look_into(&path, &mut vec![0; CHUNK + LONGEST]);
            assert_eq!(mentions.found.len(), 1, "{shift}");
        }
        std::fs::remove_file(file).unwrap();
    }
}
