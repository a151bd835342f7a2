//! Facts → needs of places, as paths of the machine on which the trace was made.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Fact, Intent, PairFact, PairOperation, PathFact};
use crate::plan::private_tmp;
use crate::trace::Trace;
use crate::vocab::access::Access;
use crate::vocab::host::FileKind;
use crate::vocab::location::Base;
use crate::vocab::path::AbsPath;

/// What one run needed.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// The strongest need of each object. A directory that names were made in or removed from needs writing.
    pub(super) objects: BTreeMap<AbsPath, Need>,
    /// Symlinks that were gone through.
    pub(super) links: BTreeSet<AbsPath>,
    /// Directories whose names were read.
    pub(super) listed: BTreeSet<AbsPath>,
    /// Names that the run itself made.
    pub(super) made: BTreeMap<AbsPath, Option<FileKind>>,
    /// Names that the run itself removed or renamed away.
    pub(super) gone: BTreeSet<AbsPath>,
    /// Names that something was renamed to.
    pub(super) renamed_to: BTreeSet<AbsPath>,
    /// Both ends of renames and links that succeeded.
    pub(super) pairs: BTreeSet<(AbsPath, AbsPath)>,
    /// Looked for, and absent.
    pub(super) probes: BTreeSet<AbsPath>,
}

/// A need of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) access: Access,
    /// As it was seen; a directory that was only inferred from a name in it counts as one.
    pub(super) kind: Option<FileKind>,
}

/// The needs of one run.
pub(super) fn of(trace: &Trace) -> Needs {
    let mut needs = Needs::default();
    let private = Private::of(trace);
    for event in &trace.events {
        match &event.fact {
            Fact::Path(fact) => needs.path(fact, &private),
            Fact::Pair(fact) if fact.result.may_have_succeeded() => needs.pair(fact, &private),
            Fact::Image(image) => {
                for path in std::iter::once(&image.exe).chain(&image.script) {
                    needs.object(path, Access::Read, Some(FileKind::File), &private);
                }
            }
            _ => {}
        }
    }
    needs
}

impl Needs {
    fn path(&mut self, fact: &PathFact, private: &Private) {
        self.links.extend(fact.hops.iter().map(|hop| hop.link.clone()).filter(|link| !private.holds(link)));
        if !fact.result.may_have_succeeded() {
            if !private.holds(&fact.path) {
                self.probes.insert(fact.path.clone());
            }
            return;
        }
        if private.holds(&fact.path) {
            return;
        }
        let access = match fact.intent {
            Intent::Look | Intent::Enter | Intent::List => Access::Exist,
            Intent::Read | Intent::Execute | Intent::Map | Intent::Connect => Access::Read,
            Intent::Write | Intent::Truncate | Intent::Attributes => Access::Write,
            Intent::Create | Intent::Remove => {
                if fact.intent == Intent::Create {
                    self.made.insert(fact.path.clone(), fact.kind);
                } else {
                    self.gone.insert(fact.path.clone());
                }
                self.above(&fact.path, private);
                return;
            }
        };
        if fact.intent == Intent::List {
            self.listed.insert(fact.path.clone());
        }
        if fact.kind == Some(FileKind::Symlink) && access == Access::Exist {
            self.links.insert(fact.path.clone());
            return;
        }
        self.object(&fact.path, access, fact.kind, private);
    }

    fn pair(&mut self, fact: &PairFact, private: &Private) {
        for end in [&fact.from, &fact.to] {
            if !private.holds(end) {
                self.above(end, private);
            }
        }
        if fact.operation == PairOperation::Rename {
            self.gone.insert(fact.from.clone());
            self.renamed_to.insert(fact.to.clone());
        }
        self.made.insert(fact.to.clone(), fact.kind);
        self.pairs.insert((fact.from.clone(), fact.to.clone()));
    }

    fn above(&mut self, path: &AbsPath, private: &Private) {
        if let Some(dir) = path.parent() {
            self.object(&dir, Access::Write, Some(FileKind::Dir), private);
        }
    }

    fn object(&mut self, path: &AbsPath, access: Access, kind: Option<FileKind>, private: &Private) {
        if private.holds(path) {
            return;
        }
        let need = self.objects.entry(path.clone()).or_insert(Need { access, kind });
        need.access = need.access.max(access);
        need.kind = need.kind.max(kind);
    }
}

/// What every run has of its own, so that nothing of it need be granted.
struct Private {
    tops: Vec<AbsPath>,
    kept: Vec<AbsPath>,
}

impl Private {
    fn of(trace: &Trace) -> Self {
        let mut tops = private_tmp(&trace.header.roots);
        tops.extend(["/proc", "/dev"].iter().filter_map(|top| AbsPath::new(top).ok()));
        // A project or a home below /tmp is put over the private one.
        let kept = [Base::Project, Base::Home].into_iter().filter_map(|base| trace.header.roots.get(base)).collect();
        Self { tops, kept }
    }

    fn holds(&self, path: &AbsPath) -> bool {
        path.is_root()
            || (self.tops.iter().any(|top| path.is_beneath(top)) && !self.kept.iter().any(|top| path.is_beneath(top)))
    }
}
