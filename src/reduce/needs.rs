//! Facts → what each path is needed for.
//!
//! A bind mount can grant the making and removing of names only by the directory, so these are needs of the parent; what
//! failed is no need, but where the errno says that the object is there.

use std::collections::BTreeSet;

use crate::event::{Fact, ImageId, Intent, Outcome, PairFact, PairOperation};
use crate::trace::Trace;
use crate::trace::events::Step;
use crate::vocab::access::Access;
use crate::vocab::endpoint::Endpoint;
use crate::vocab::host::FileKind;
use crate::vocab::path::AbsPath;

use crate::trace::paths::{Id, Paths};

/// What one path is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// How far.
    pub access: Access,
    /// The name itself was made, removed, or is an end of a rename: the directory above must be writable.
    pub name_changes: bool,
    /// It is a directory.
    pub is_dir: bool,
    /// Its names were read.
    pub listed: bool,
}

/// What became of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Name {
    made: bool,
    gone: bool,
    replaced: bool,
}

/// The needs of one run.
#[derive(Debug, Default)]
pub struct Needs {
    /// The paths that they are of, among others.
    pub paths: Paths,
    /// By number of the path.
    needs: Vec<Option<Need>>,
    names: Vec<Name>,
    /// Both ends of renames and links that succeeded.
    pub pairs: BTreeSet<(Id, Id)>,
}

const EEXIST: i32 = 17;
const EISDIR: i32 = 21;
const EINVAL: i32 = 22;
const ENOTEMPTY: i32 = 39;

impl Needs {
    /// What `trace` shows.
    pub fn of(trace: &Trace) -> Self {
        Self::told(trace, &mut |_, _| {})
    }

    /// What `trace` shows; `who` is told which image needed which path, more than once where it did so more than once.
    pub fn told(trace: &Trace, who: &mut dyn FnMut(Id, ImageId)) -> Self {
        let mut needs = Self { paths: Paths::over(trace.events.paths()), ..Self::default() };
        let listens: BTreeSet<&AbsPath> = trace.events.others().filter_map(|event| listened(&event.fact)).collect();
        let listening: BTreeSet<Id> = listens.iter().filter_map(|path| needs.paths.find(path.as_bytes())).collect();
        for step in trace.events.steps() {
            needs.step(&mut |id| who(id, step.image), step, &listening);
        }
        for event in trace.events.others() {
            let mut who = |id| who(id, event.image);
            match &event.fact {
                Fact::Image(image) => {
                    needs.add(&mut who, &image.exe, Access::Read, false, false);
                    if let Some(script) = &image.script {
                        needs.add(&mut who, script, Access::Read, false, false);
                    }
                }
                Fact::Pair(fact) => needs.pair(&mut who, fact),
                Fact::Connect { endpoint: Endpoint::Unix(path), result, .. }
                    if result.may_have_succeeded() && !listens.contains(path) =>
                {
                    needs.add(&mut who, path, Access::Write, false, false);
                }
                _ => {}
            }
        }
        needs.mark_directories();
        needs
    }

    /// Each path that is needed.
    pub fn iter(&self) -> impl Iterator<Item = (Id, Need)> + '_ {
        self.paths.ids().zip(&self.needs).filter_map(|(id, need)| Some((id, (*need)?)))
    }

    /// Whether the run itself made the name and took it away again.
    pub fn is_passing(&self, id: Id) -> bool {
        self.is_made(id) && self.is_gone(id)
    }

    /// Whether the run made the name.
    pub fn is_made(&self, id: Id) -> bool {
        self.name(id).made
    }

    /// Whether the run renamed the name away or removed it.
    pub fn is_gone(&self, id: Id) -> bool {
        self.name(id).gone
    }

    /// Whether something was renamed to the name.
    pub fn is_replaced(&self, id: Id) -> bool {
        self.name(id).replaced
    }

    fn name(&self, id: Id) -> Name {
        self.names.get(id.at()).copied().unwrap_or_default()
    }

    /// What something lies beneath is a directory, whatever its own events say.
    fn mark_directories(&mut self) {
        let above: Vec<Id> = self.iter().filter_map(|(id, _)| self.paths.parent(id)).collect();
        for id in above {
            if let Some(Some(need)) = self.needs.get_mut(id.at()) {
                need.is_dir = true;
            }
        }
    }

    fn step(&mut self, who: &mut dyn FnMut(Id), step: Step<'_>, listening: &BTreeSet<Id>) {
        let is_dir = step.kind == Some(FileKind::Dir) || matches!(step.call.name(), "mkdir" | "mkdirat" | "rmdir");
        let there = match step.result {
            Outcome::Ok | Outcome::Unseen => None,
            Outcome::Errno(EEXIST | EISDIR | ENOTEMPTY) => Some(Access::Exist),
            Outcome::Errno(EINVAL) if step.intent == Intent::Look => Some(Access::Exist),
            Outcome::Errno(_) => return,
        };
        for link in step.links {
            self.need(who, *link, Access::Exist, false, false);
        }
        let id = step.path;
        if let Some(access) = there {
            self.need(who, id, access, false, is_dir);
            return;
        }
        match step.intent {
            Intent::Look | Intent::Enter => self.need(who, id, Access::Exist, false, is_dir),
            Intent::List => {
                self.need(who, id, Access::Exist, false, true);
                if let Some(Some(need)) = self.needs.get_mut(id.at()) {
                    need.listed = true;
                }
            }
            Intent::Read | Intent::Execute | Intent::Map => self.need(who, id, Access::Read, false, is_dir),
            Intent::Write | Intent::Truncate | Intent::Attributes => self.need(who, id, Access::Write, false, is_dir),
            Intent::Connect if listening.contains(&id) => {}
            Intent::Connect => self.need(who, id, Access::Write, false, false),
            Intent::Create => {
                self.need(who, id, Access::Write, true, is_dir);
                self.mark(id, |name| name.made = true);
            }
            Intent::Remove => {
                self.need(who, id, Access::Write, true, is_dir);
                self.mark(id, |name| name.gone = true);
            }
        }
    }

    fn pair(&mut self, who: &mut dyn FnMut(Id), fact: &PairFact) {
        if !fact.result.may_have_succeeded() {
            return;
        }
        let is_dir = fact.kind == Some(FileKind::Dir);
        let (from_access, from_changes) = match fact.operation {
            PairOperation::Rename | PairOperation::Exchange => (Access::Write, true),
            PairOperation::Link => (Access::Read, false),
        };
        let from = self.add(who, &fact.from, from_access, from_changes, is_dir);
        let to = self.add(who, &fact.to, Access::Write, true, is_dir);
        self.pairs.insert((from, to));
        match fact.operation {
            PairOperation::Rename => {
                self.mark(from, |name| name.gone = true);
                self.mark(to, |name| name.made = true);
                self.mark(to, |name| name.replaced = true);
            }
            PairOperation::Exchange => {
                self.mark(from, |name| name.replaced = true);
                self.mark(to, |name| name.replaced = true);
            }
            PairOperation::Link => self.mark(to, |name| name.made = true),
        }
    }

    fn add(&mut self, who: &mut dyn FnMut(Id), path: &AbsPath, access: Access, name_changes: bool, is_dir: bool) -> Id {
        let id = self.paths.add(path);
        self.need(who, id, access, name_changes, is_dir);
        id
    }

    fn need(&mut self, who: &mut dyn FnMut(Id), id: Id, access: Access, name_changes: bool, is_dir: bool) {
        who(id);
        if self.needs.len() < self.paths.len() {
            self.needs.resize(self.paths.len(), None);
        }
        if let Some(slot) = self.needs.get_mut(id.at()) {
            let need = slot.get_or_insert(Need { access, name_changes, is_dir, listed: false });
            need.access = need.access.max(access);
            need.name_changes |= name_changes;
            need.is_dir |= is_dir;
        }
    }

    fn mark(&mut self, id: Id, how: impl FnOnce(&mut Name)) {
        if self.names.len() <= id.at() {
            self.names.resize(id.at() + 1, Name::default());
        }
        if let Some(name) = self.names.get_mut(id.at()) {
            how(name);
        }
    }
}

fn listened(fact: &Fact) -> Option<&AbsPath> {
    match fact {
        Fact::Listen { endpoint: Endpoint::Unix(path) } => Some(path),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Hop, Image};
    use crate::trace::tests::empty;
    use crate::vocab::syscall::Syscall;

    fn path(text: &str) -> AbsPath {
        AbsPath::new(text).unwrap()
    }

    fn step(intent: Intent, call: &str, at: &str, kind: FileKind, result: Outcome) -> Fact {
        let call = Syscall::from_name(call).unwrap();
        let (kind, hops) = (Some(kind), vec![]);
        Fact::Path(crate::event::PathFact { intent, call, path: path(at), hops, kind, result })
    }

    fn does(intent: Intent, at: &str) -> Fact {
        step(intent, "openat", at, FileKind::File, Outcome::Ok)
    }

    fn fails(intent: Intent, at: &str, errno: i32) -> Fact {
        step(intent, "openat", at, FileKind::File, Outcome::Errno(errno))
    }

    fn pair(operation: PairOperation, from: &str, to: &str, result: Outcome) -> Fact {
        let (call, kind) = (Syscall::from_name("rename").unwrap(), Some(FileKind::File));
        Fact::Pair(PairFact { operation, call, from: path(from), to: path(to), replaced: false, kind, result })
    }

    /// What facts come to: each need with what else is known of its name, then the pairs, sorted.
    #[track_caller]
    fn come_to(facts: Vec<Fact>, expected: &str) {
        let mut trace = empty();
        trace.events = facts.into_iter().map(|fact| Event { image: ImageId(0), fact }).collect();
        let needs = Needs::of(&trace);
        let line = |(id, need): (Id, Need)| {
            let words = [
                (need.name_changes, "name"),
                (need.is_dir, "dir"),
                (need.listed, "listed"),
                (needs.is_made(id), "made"),
                (needs.is_gone(id), "gone"),
                (needs.is_replaced(id), "replaced"),
            ];
            let words: String = words.iter().filter(|(is, _)| *is).map(|(_, word)| format!(" {word}")).collect();
            format!("{} {}{words}\n", needs.paths.path(id), need.access)
        };
        let mut lines: Vec<String> = needs.iter().map(line).collect();
        lines.sort();
        let pairs =
            needs.pairs.iter().map(|(from, to)| format!("{} -> {}\n", needs.paths.path(*from), needs.paths.path(*to)));
        assert_eq!(lines.into_iter().chain(pairs).collect::<String>(), expected);
    }

    use Intent::*;

    #[test]
    fn each_intent_is_a_need() {
        let all = [
            (Look, "/a/look"),
            (Enter, "/a/enter"),
            (Read, "/a/read"),
            (Execute, "/a/execute"),
            (Map, "/a/map"),
            (Write, "/a/write"),
            (Truncate, "/a/truncate"),
            (Attributes, "/a/attributes"),
            (Connect, "/a/connect"),
            (Create, "/a/create"),
            (Remove, "/a/remove"),
        ];
        let mut facts: Vec<Fact> = all.into_iter().map(|(intent, at)| does(intent, at)).collect();
        facts.push(step(List, "openat", "/a/list", FileKind::Dir, Outcome::Ok));
        facts.push(step(Create, "mkdir", "/a/mkdir", FileKind::File, Outcome::Unseen));
        come_to(
            facts,
            "\
/a/attributes write
/a/connect write
/a/create write name made
/a/enter exist
/a/execute read
/a/list exist dir listed
/a/look exist
/a/map read
/a/mkdir write name dir made
/a/read read
/a/remove write name gone
/a/truncate write
/a/write write
",
        );
    }

    #[test]
    fn what_failed_is_a_need_only_where_the_answer_says_that_it_is_there() {
        let errnos = [2, 13, 20, 40].map(|errno| fails(Read, &format!("/no/{errno}"), errno));
        let there = [
            step(Create, "mkdir", "/yes/dir", FileKind::Dir, Outcome::Errno(EEXIST)),
            fails(Write, "/yes/isdir", EISDIR),
            step(Remove, "rmdir", "/yes/full", FileKind::Dir, Outcome::Errno(ENOTEMPTY)),
            // readlink of what is no link.
            fails(Look, "/yes/file", EINVAL),
            fails(Write, "/no/write", EINVAL),
            does(Read, "/yes/full/x"),
        ];
        come_to(
            errnos.into_iter().chain(there).collect(),
            "/yes/dir exist dir\n/yes/file exist\n/yes/full exist dir\n/yes/full/x read\n/yes/isdir exist\n",
        );
    }

    #[test]
    fn of_one_path_the_most_counts_and_what_something_lies_in_is_a_directory() {
        let facts = [(Look, "/a/b"), (Write, "/a/b/c"), (Read, "/a/b/c"), (Create, "/a/b/d"), (Remove, "/a/b/d")];
        come_to(
            facts.into_iter().map(|(intent, at)| does(intent, at)).collect(),
            "/a/b exist dir\n/a/b/c write\n/a/b/d write name made gone\n",
        );
    }

    #[test]
    fn a_pair_is_a_need_of_both_ends_and_fails_as_a_whole() {
        come_to(
            vec![
                pair(PairOperation::Rename, "/a/tmp", "/a/file", Outcome::Ok),
                pair(PairOperation::Exchange, "/b/one", "/b/two", Outcome::Ok),
                pair(PairOperation::Link, "/c/one", "/c/two", Outcome::Unseen),
                pair(PairOperation::Rename, "/d/one", "/d/two", Outcome::Errno(18)),
            ],
            "\
/a/file write name made replaced
/a/tmp write name gone
/b/one write name replaced
/b/two write name replaced
/c/one read
/c/two write name made
/a/tmp -> /a/file
/b/one -> /b/two
/c/one -> /c/two
",
        );
    }

    #[test]
    fn links_on_the_way_programs_and_sockets_are_needed_and_not_what_the_run_itself_listens_on() {
        let mut linked = does(Read, "/usr/lib/x");
        if let Fact::Path(fact) = &mut linked {
            fact.hops = vec![Hop { link: path("/lib"), text: "usr/lib".into() }];
        }
        let connect = |at: &str| Fact::Connect {
            endpoint: Endpoint::Unix(path(at)),
            transport: crate::event::Transport::Unix,
            result: Outcome::Ok,
        };
        let (exe, script) = (path("/usr/bin/python3"), Some(path("/home/u/x.py")));
        come_to(
            vec![
                linked,
                Fact::Image(Image { parent: None, exe, script, argv: vec![], set_id: false }),
                connect("/run/theirs"),
                connect("/run/own"),
                does(Connect, "/run/own"),
                Fact::Listen { endpoint: Endpoint::Unix(path("/run/own")) },
            ],
            "/home/u/x.py read\n/lib exist\n/run/theirs write\n/usr/bin/python3 read\n/usr/lib/x read\n",
        );
    }

    #[test]
    fn whoever_asks_is_told_which_image_needed_what() {
        let mut trace = empty();
        let facts = [(1, does(Read, "/a")), (2, does(Look, "/a")), (2, fails(Read, "/b", 2))];
        trace.events = facts.into_iter().map(|(image, fact)| Event { image: ImageId(image), fact }).collect();
        let mut told = Vec::new();
        let needs = Needs::told(&trace, &mut |id, image| told.push((id, image.0)));
        let told: Vec<String> =
            told.into_iter().map(|(id, image)| format!("{} {image}", needs.paths.path(id))).collect();
        assert_eq!(told, ["/a 1", "/a 2"]);
    }
}
