//! Facts → what each path is needed for.
//!
//! A bind mount can grant the making and removing of names only by the directory, so these are needs of the parent; what
//! failed is no need, but where the errno says that the object is there.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Fact, ImageId, Intent, Outcome, PairFact, PairOperation, PathFact};
use crate::trace::Trace;
use crate::vocab::access::Access;
use crate::vocab::endpoint::Endpoint;
use crate::vocab::host::FileKind;
use crate::vocab::path::AbsPath;

/// What one path is needed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// How far.
    pub access: Access,
    /// The name itself was made, removed, or is an end of a rename: the directory above must be writable.
    pub name_changes: bool,
    /// It is a directory.
    pub is_dir: bool,
    /// Its names were read.
    pub listed: bool,
    /// Which images needed it.
    pub images: BTreeSet<ImageId>,
}

/// The needs of one run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// By path.
    pub needs: BTreeMap<AbsPath, Need>,
    /// Both ends of renames and links that succeeded.
    pub pairs: BTreeSet<(AbsPath, AbsPath)>,
    /// Names that something was renamed to.
    pub replaced: BTreeSet<AbsPath>,
    /// Names that the run made.
    pub made: BTreeSet<AbsPath>,
    /// Names that the run renamed away or removed.
    pub gone: BTreeSet<AbsPath>,
    /// Places that were looked for and are absent.
    pub absent: BTreeSet<AbsPath>,
}

const ENOENT: i32 = 2;
const EEXIST: i32 = 17;
const EISDIR: i32 = 21;
const EINVAL: i32 = 22;
const ENOTEMPTY: i32 = 39;

impl Needs {
    /// What `trace` shows.
    pub fn of(trace: &Trace) -> Self {
        let mut needs = Self::default();
        let listens: BTreeSet<&AbsPath> = trace.events.iter().filter_map(|event| listened(&event.fact)).collect();
        for event in &trace.events {
            match &event.fact {
                Fact::Image(image) => {
                    needs.add(event.image, &image.exe, Access::Read, false, false);
                    if let Some(script) = &image.script {
                        needs.add(event.image, script, Access::Read, false, false);
                    }
                }
                Fact::Path(fact) => needs.path(event.image, fact, &listens),
                Fact::Pair(fact) => needs.pair(event.image, fact),
                Fact::Connect { endpoint: Endpoint::Unix(path), result, .. }
                    if result.may_have_succeeded() && !listens.contains(path) =>
                {
                    needs.add(event.image, path, Access::Write, false, false);
                }
                _ => {}
            }
        }
        needs.mark_directories();
        needs
    }

    /// What something lies beneath is a directory, whatever its own events say.
    fn mark_directories(&mut self) {
        let above: BTreeSet<AbsPath> = self.needs.keys().filter_map(AbsPath::parent).collect();
        for (path, need) in &mut self.needs {
            need.is_dir |= above.contains(path);
        }
    }

    /// Whether the run itself made the name and took it away again.
    pub fn is_passing(&self, path: &AbsPath) -> bool {
        self.made.contains(path) && self.gone.contains(path)
    }

    fn path(&mut self, image: ImageId, fact: &PathFact, listens: &BTreeSet<&AbsPath>) {
        let is_dir = fact.kind == Some(FileKind::Dir) || matches!(fact.call.name(), "mkdir" | "mkdirat" | "rmdir");
        let there = match fact.result {
            Outcome::Ok | Outcome::Unseen => None,
            Outcome::Errno(ENOENT) => {
                self.absent.insert(fact.path.clone());
                return;
            }
            Outcome::Errno(EEXIST | EISDIR | ENOTEMPTY) => Some(Access::Exist),
            Outcome::Errno(EINVAL) if fact.intent == Intent::Look => Some(Access::Exist),
            Outcome::Errno(_) => return,
        };
        for hop in &fact.hops {
            self.add(image, &hop.link, Access::Exist, false, false);
        }
        if let Some(access) = there {
            return self.add(image, &fact.path, access, false, is_dir);
        }
        match fact.intent {
            Intent::Look | Intent::Enter => self.add(image, &fact.path, Access::Exist, false, is_dir),
            Intent::List => {
                self.add(image, &fact.path, Access::Exist, false, true);
                if let Some(need) = self.needs.get_mut(&fact.path) {
                    need.listed = true;
                }
            }
            Intent::Read | Intent::Execute | Intent::Map => self.add(image, &fact.path, Access::Read, false, is_dir),
            Intent::Write | Intent::Truncate | Intent::Attributes => {
                self.add(image, &fact.path, Access::Write, false, is_dir);
            }
            Intent::Connect if listens.contains(&fact.path) => {}
            Intent::Connect => self.add(image, &fact.path, Access::Write, false, false),
            Intent::Create => {
                self.made.insert(fact.path.clone());
                self.add(image, &fact.path, Access::Write, true, is_dir);
            }
            Intent::Remove => {
                self.gone.insert(fact.path.clone());
                self.add(image, &fact.path, Access::Write, true, is_dir);
            }
        }
    }

    fn pair(&mut self, image: ImageId, fact: &PairFact) {
        if !fact.result.may_have_succeeded() {
            return;
        }
        let is_dir = fact.kind == Some(FileKind::Dir);
        self.pairs.insert((fact.from.clone(), fact.to.clone()));
        match fact.operation {
            PairOperation::Rename => {
                self.gone.insert(fact.from.clone());
                self.made.insert(fact.to.clone());
                self.replaced.insert(fact.to.clone());
                self.add(image, &fact.from, Access::Write, true, is_dir);
            }
            PairOperation::Exchange => {
                self.replaced.extend([fact.from.clone(), fact.to.clone()]);
                self.add(image, &fact.from, Access::Write, true, is_dir);
            }
            PairOperation::Link => {
                self.made.insert(fact.to.clone());
                self.add(image, &fact.from, Access::Read, false, is_dir);
            }
        }
        self.add(image, &fact.to, Access::Write, true, is_dir);
    }

    fn add(&mut self, image: ImageId, path: &AbsPath, access: Access, name_changes: bool, is_dir: bool) {
        let fresh = || Need { access, name_changes, is_dir, listed: false, images: BTreeSet::new() };
        let need = self.needs.entry(path.clone()).or_insert_with(fresh);
        need.access = need.access.max(access);
        need.name_changes |= name_changes;
        need.is_dir |= is_dir;
        need.images.insert(image);
    }
}

fn listened(fact: &Fact) -> Option<&AbsPath> {
    match fact {
        Fact::Listen { endpoint: Endpoint::Unix(path) } => Some(path),
        _ => None,
    }
}
