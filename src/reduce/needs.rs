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
