//! A stop at a call → what is asked, and with its result → facts.

use nix::errno::Errno;

use crate::event::{Denial, Fact, Gap, ImageId, Intent, Outcome, PairFact, PairOperation, PathFact};
use crate::plan::Action;
use crate::plan::compile::{NATIVE_ARCH, X32_BIT};
use crate::sys::memory;
use crate::sys::ptrace::{self, Entry, Resume};
use crate::vocab::argument_words::asked_for;
use crate::vocab::escape;
use crate::vocab::host::FileKind;
use crate::vocab::path::AbsPath;
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::{Class, Last, Pair, PathArgument, Row, Want, row};

use super::beside;
use super::follow::Tracer;
use super::image;
use super::known::Stamp;
use super::resolve::{Reached, descriptor, outside, size_of, working_directory};
use super::task::{End, Pending, Then};

const O_CREAT: u64 = 0o100;
const O_EXCL: u64 = 0o200;
const O_TRUNC: u64 = 0o1000;
const O_NOFOLLOW: u64 = 0o40_0000;
pub(super) const O_DIRECTORY: u64 = 0o20_0000;
pub(super) const O_PATH: u64 = 0o1000_0000;
const O_TMPFILE: u64 = 0o2000_0000;
/// The flags of open(2) that change what is asked.
const OPEN_FLAGS: u64 = 3 | O_CREAT | O_EXCL | O_TRUNC | O_NOFOLLOW | O_PATH | O_TMPFILE;
/// RENAME_EXCHANGE
pub(super) const EXCHANGE: u64 = 2;

impl Tracer<'_> {
    /// The stop that the filter asked for.
    pub(super) fn enter(&mut self, tid: i32) -> Resume {
        let entry = match ptrace::entry(tid) {
            Ok(entry) => entry,
            // Gone meanwhile: there is nothing to record.
            Err(Errno::ESRCH) => return Resume::Run,
            // What cannot be looked at must not be let through.
            Err(_) => {
                end(tid);
                return Resume::Run;
            }
        };
        let call = (entry.arch == NATIVE_ARCH && entry.number & u64::from(X32_BIT) == 0)
            .then(|| Syscall::from_number(entry.number))
            .flatten();
        if call.is_some_and(beside::shows) {
            self.beside.look(tid);
        }
        self.settle_interrupted(tid, &entry);
        if let Action::TraceRefuse(errno) = self.answers.to(entry.arch, entry.number, &entry.arguments) {
            self.refuse(tid, &entry, call, errno);
            return Resume::Run;
        }
        if self.recorder.is_flooded() {
            // Nobody sees any more what is opened.
            self.beside.stop();
        } else if let Some(call) = call {
            self.look(tid, &entry, call);
        }
        if let Some(call) = call {
            self.hand_over(tid, &entry, call);
        }
        self.usual(tid)
    }

    /// Refused first, recorded after: whatever goes wrong in recording, the call is not made.
    fn refuse(&mut self, tid: i32, entry: &Entry, call: Option<Syscall>, errno: i32) {
        if let Err(error) = ptrace::refuse(tid, errno)
            && error != Errno::ESRCH
        {
            // It must not be let through; killing is all that is left.
            end(tid);
        }
        let Some(image) = self.image_of(tid) else { return };
        let Some(call) = call else {
            return self.recorder.emit(image, Fact::UnknownCall { arch: entry.arch, number: entry.number });
        };
        if row(call).class == Class::Absent {
            return;
        }
        let program = self.programs.get(image.0 as usize).map_or_else(String::new, |p| escape::file(p.as_bytes()));
        let thing = asked_for(call.name(), &entry.arguments);
        let denial =
            Denial { program, call: call.name().to_owned(), thing, errno, remedy: None, count: 1, ..Denial::default() };
        self.recorder.emit(image, Fact::Denied(denial));
    }

    /// Lets the filter give a call to whoever carries it out.
    fn hand_over(&mut self, tid: i32, entry: &Entry, call: Syscall) {
        let [.., sixth] = entry.arguments;
        if self.settings.hand_over.calls.contains(&call)
            // ESRCH: killed meanwhile.
            && ptrace::set_sixth_argument(tid, self.settings.hand_over.token).is_ok()
            && let Some(task) = self.tasks.get_mut(&tid)
        {
            task.handed = Some(sixth);
        }
    }

    pub(super) fn image_of(&self, tid: i32) -> Option<ImageId> {
        self.tasks.get(&tid).and_then(|task| task.image)
    }

    fn look(&mut self, tid: i32, entry: &Entry, call: Syscall) {
        let row = row(call);
        if let Some(image) = self.image_of(tid) {
            if row.class != Class::Base || self.settings.exact {
                self.recorder.call(image, call);
            }
            if row.paths.is_empty() {
                return self.look_at_arguments(tid, image, entry, call);
            }
        }
        let pending = match row.pair {
            Some(kind) => self.look_at_pair(tid, entry, call, row, kind),
            None => row.paths.first().and_then(|path| self.look_at_path(tid, entry, call, *path)),
        };
        if pending.as_ref().is_some_and(|pending| pending.end == End::Foreseen) {
            return self.foresee(tid, pending);
        }
        if let Some(task) = self.tasks.get_mut(&tid)
            && (task.image.is_some() || pending.as_ref().is_some_and(|p| matches!(p.then, Then::Exec(_))))
        {
            task.pending = pending.map(|pending| Pending { call: identity(entry), ..pending });
        }
    }

    /// Reads a path and where it starts; an empty base for an absolute one.
    fn read_path(&mut self, tid: i32, entry: &Entry, call: Syscall, argument: PathArgument) -> Passed {
        let register = |index: u8| entry.arguments.get(usize::from(index)).copied().unwrap_or(0);
        if register(argument.path) == 0 {
            return Passed::Nothing;
        }
        let mut raw = std::mem::take(&mut self.buffer);
        match memory::string(tid, register(argument.path), &mut raw) {
            Ok(()) => {}
            // The kernel will say the same.
            Err(Errno::ENAMETOOLONG | Errno::ESRCH) => return Passed::Nothing,
            Err(_) => return Passed::Lost(Gap::UnreadablePath { call }),
        }
        let directory = argument.dirfd.map(|index| register(index) & 0xffff_ffff);
        let directory = directory.and_then(|fd| i32::try_from(fd).ok());
        if raw.is_empty() {
            self.buffer = raw;
            return directory.map_or(Passed::Nothing, Passed::Descriptor);
        }
        if raw.first() == Some(&b'/') {
            return Passed::Path { raw, base: Vec::new() };
        }
        let Some(task) = self.tasks.get_mut(&tid) else { return Passed::Nothing };
        let eyes = task.eyes(tid, false);
        // AT_FDCWD is negative, so it is no i32 from a u64: None.
        let base = match directory {
            Some(fd) => descriptor(eyes, fd),
            None => self.working_directory(tid),
        };
        match base {
            Some(base) => Passed::Path { raw, base },
            None => Passed::Lost(Gap::Unresolved { call, path: escape::file(&raw) }),
        }
    }

    /// The working directory of a task, looked up once between two changes anywhere.
    pub(super) fn working_directory(&mut self, tid: i32) -> Option<Vec<u8>> {
        let moves = self.moves;
        let task = self.tasks.get_mut(&tid)?;
        if let Some((at, cwd)) = &task.cwd
            && *at == moves
        {
            return Some(cwd.clone());
        }
        working_directory(task.eyes(tid, false)).inspect(|cwd| task.cwd = Some((moves, cwd.clone())))
    }

    pub(super) fn resolve(&mut self, tid: i32, raw: &[u8], base: &[u8], follow: bool) -> Option<Reached> {
        let in_proc = contains(raw, b"proc") || base.starts_with(b"/proc");
        let eyes = self.tasks.get_mut(&tid)?.eyes(tid, in_proc);
        self.resolver.resolve(eyes, base, raw, follow)
    }

    fn look_at_path(&mut self, tid: i32, entry: &Entry, call: Syscall, argument: PathArgument) -> Option<Pending> {
        let register = |index: u8| entry.arguments.get(usize::from(index)).copied().unwrap_or(0);
        let (raw, base) = match self.read_path(tid, entry, call, argument) {
            Passed::Path { raw, base } => (raw, base),
            Passed::Descriptor(fd) if matches!(argument.want, Want::Execute | Want::Attributes) => {
                let eyes = self.tasks.get_mut(&tid)?.eyes(tid, false);
                match descriptor(eyes, fd) {
                    Some(raw) => (raw, Vec::new()),
                    // Sockets and pipes have attributes and no name.
                    None if argument.want == Want::Attributes => return None,
                    None => return Some(only(Fact::Gap { gap: Gap::Unresolved { call, path: String::new() } })),
                }
            }
            Passed::Nothing | Passed::Descriptor(_) => return None,
            Passed::Lost(gap) => return Some(only(Fact::Gap { gap })),
        };
        let flags = match argument.want {
            Want::Open(index) => register(index) & OPEN_FLAGS,
            Want::Creat => 1 | O_CREAT | O_TRUNC,
            _ => 0,
        };
        let follow = follows(argument.last, &register);
        let creates = flags & O_CREAT != 0 || argument.want == Want::Create;
        let image = self.image_of(tid);
        // What lies in /proc and among the descriptors is another thing at each look.
        let stable = !raw.starts_with(b"/proc/") && !raw.starts_with(b"/dev/") && !base.starts_with(b"/proc/");
        let key = (stable && argument.want != Want::Execute)
            .then(|| self.recorder.digest((image, call.number(), flags, follow, &base, &raw)));
        // Done again, a change opens other questions again: it is always seen to its end.
        let changes = creates || matches!(argument.want, Want::Enter | Want::Remove | Want::Attributes);
        if !changes && key.is_some_and(|key| self.known.is_settled(key)) {
            self.buffer = raw;
            return None;
        }
        let Some(reached) = self.resolve(tid, &raw, &base, follow) else {
            let gap = Gap::Unresolved { call, path: escape::file(&raw) };
            return Some(only(Fact::Gap { gap }));
        };
        self.buffer = raw;
        if beside::tells(reached.path.as_bytes()) {
            self.beside.stop();
        }
        let deepest = self.recorder.digest(reached.deepest.as_bytes());
        let mut touches = Vec::new();
        if creates || argument.want == Want::Attributes {
            touches.push(deepest);
            self.known.touch(deepest);
        }
        // What may be searched now shows what is in it.
        if argument.want == Want::Attributes && reached.kind == Some(FileKind::Dir) {
            touches.push(self.recorder.digest(reached.path.as_bytes()));
            self.resolver.forget();
        }
        let asked = self.known.stamp(deepest);
        if argument.want == Want::Execute {
            let eyes = self.tasks.get_mut(&tid)?.eyes(tid, false);
            let chain = image::chain(&mut self.resolver, eyes, &base, call, reached);
            let facts = chain.files.first().cloned().map(Fact::Path).into_iter().collect();
            return Some(Pending { then: Then::Exec(Box::new(chain)), ..pending(facts, None, asked) });
        }
        let then = match argument.want {
            Want::Enter => Then::Moved,
            Want::Remove => {
                if reached.kind == Some(FileKind::File) {
                    let eyes = self.tasks.get_mut(&tid)?.eyes(tid, false);
                    self.meter.file(size_of(outside(eyes, reached.path.as_bytes()).as_ref()));
                }
                self.known.gone(self.recorder.digest(&reached.path));
                let is = |kind| reached.kind.is_none_or(|found| found == kind);
                Then::Renamed { arrived: false, left: is(FileKind::Dir), links: is(FileKind::Symlink) }
            }
            Want::Create if call.name().starts_with("symlink") => {
                let links = self.known.has_gone(self.recorder.digest(&reached.path));
                Then::Renamed { arrived: false, left: false, links }
            }
            _ => Then::Nothing,
        };
        if argument.want == Want::Enter {
            self.moves += 1;
        }
        let made = made_kind(call, &register);
        let intents = intents(argument.want, flags, reached.kind);
        let foreseen = !changes && key.is_some() && self.foresees(call, &register, &intents, &reached);
        let end = if foreseen { End::Foreseen } else { End::Awaited };
        let facts = intents.into_iter().map(|intent| Fact::Path(path_fact(intent, call, &reached, made))).collect();
        Some(Pending { touches, then, end, ..pending(facts, key, asked) })
    }

    fn look_at_pair(&mut self, tid: i32, entry: &Entry, call: Syscall, row: &Row, kind: Pair) -> Option<Pending> {
        let register = |index: u8| entry.arguments.get(usize::from(index)).copied().unwrap_or(0);
        let mut ends = Vec::new();
        for argument in row.paths {
            let end = match self.read_path(tid, entry, call, *argument) {
                Passed::Path { raw, base } => self.resolve(tid, &raw, &base, follows(argument.last, &register)),
                // A file without a name gets its first.
                Passed::Descriptor(_) => None,
                Passed::Nothing => return None,
                Passed::Lost(gap) => return Some(only(Fact::Gap { gap })),
            };
            ends.push(end);
        }
        let to = ends.pop().flatten()?;
        let Some(from) = ends.pop().flatten() else {
            let deepest = self.touch(&to);
            let facts = vec![Fact::Path(path_fact(Intent::Create, call, &to, Some(FileKind::File)))];
            return Some(Pending { touches: vec![deepest], ..pending(facts, None, Stamp::default()) });
        };
        let operation = match kind {
            Pair::Link => PairOperation::Link,
            Pair::Rename(Some(index)) if register(index) & EXCHANGE != 0 => PairOperation::Exchange,
            Pair::Rename(_) => PairOperation::Rename,
        };
        // What is not to be seen from here and yet has a name may be either.
        let is = |kind| from.kind.is_none() || [from.kind, to.kind].contains(&Some(kind));
        let directory = operation != PairOperation::Link && is(FileKind::Dir);
        let links = directory || is(FileKind::Symlink);
        if operation != PairOperation::Link {
            self.known.gone(self.recorder.digest(&from.path));
        }
        let touches = vec![self.touch(&from), self.touch(&to)];
        let mut facts: Vec<Fact> = [&from, &to].into_iter().filter_map(|end| way(call, end)).collect();
        facts.push(Fact::Pair(PairFact {
            operation,
            call,
            from: from.path,
            to: to.path,
            replaced: to.kind.is_some() && operation == PairOperation::Rename,
            kind: from.kind,
            result: Outcome::Unseen,
        }));
        Some(Pending {
            touches,
            then: Then::Renamed { arrived: directory, left: directory, links },
            ..pending(facts, None, Stamp::default())
        })
    }

    fn touch(&mut self, end: &Reached) -> u64 {
        let directory = self.recorder.digest(end.deepest.as_bytes());
        self.known.touch(directory);
        directory
    }
}

/// By what a call that is made again is known.
pub(super) fn identity(entry: &Entry) -> Option<(u64, [u64; 6])> {
    Some((entry.number, entry.arguments))
}

/// A path argument as it was passed.
enum Passed {
    Path {
        raw: Vec<u8>,
        base: Vec<u8>,
    },
    /// An empty path: the descriptor itself is meant (or the call fails).
    Descriptor(i32),
    /// No path at all.
    Nothing,
    Lost(Gap),
}

/// ESRCH: it has ended already.
fn end(tid: i32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(tid), nix::sys::signal::Signal::SIGKILL).ok();
}

fn pending(facts: Vec<Fact>, key: Option<u64>, asked: Stamp) -> Pending {
    Pending { facts, key, asked, call: None, touches: Vec::new(), then: Then::Nothing, end: End::Awaited }
}

/// Waited for without anything to record.
pub(super) fn nothing() -> Pending {
    pending(Vec::new(), None, Stamp::default())
}

pub(super) fn only(fact: Fact) -> Pending {
    pending(vec![fact], None, Stamp::default())
}

pub(super) fn follows(last: Last, register: &impl Fn(u8) -> u64) -> bool {
    match last {
        Last::Follow => true,
        Last::Keep => false,
        Last::KeepIf(argument, bits) => register(argument) & bits == 0,
        Last::FollowIf(argument, bits) => register(argument) & bits != 0,
        Last::Open(argument) => {
            let flags = register(argument);
            flags & O_NOFOLLOW == 0 && flags & (O_CREAT | O_EXCL) != O_CREAT | O_EXCL
        }
    }
}

pub(super) fn intents(want: Want, flags: u64, kind: Option<FileKind>) -> Vec<Intent> {
    match want {
        Want::Look | Want::End => vec![Intent::Look],
        Want::Enter => vec![Intent::Enter],
        Want::Execute => vec![Intent::Execute],
        Want::Create => vec![Intent::Create],
        Want::Truncate => vec![Intent::Truncate],
        Want::Remove => vec![Intent::Remove],
        Want::Attributes => vec![Intent::Attributes],
        Want::Open(_) | Want::Creat => open_intents(flags, kind),
    }
}

fn open_intents(flags: u64, kind: Option<FileKind>) -> Vec<Intent> {
    let is_dir = kind == Some(FileKind::Dir);
    if flags & O_PATH != 0 {
        return vec![if is_dir { Intent::Enter } else { Intent::Look }];
    }
    // A file without a name is made in the directory that is named.
    if flags & O_TMPFILE == O_TMPFILE {
        return vec![Intent::Write];
    }
    let (reads, writes) = (flags & 3 != 1, flags & 3 != 0);
    let fresh = flags & O_CREAT != 0 && kind.is_none();
    // With O_EXCL an existing name is refused, so nothing of it is wanted.
    if flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL && !fresh {
        return vec![Intent::Create];
    }
    let mut intents = Vec::new();
    if fresh {
        intents.push(Intent::Create);
    } else if writes {
        intents.push(Intent::Write);
    }
    if flags & O_TRUNC != 0 && !fresh {
        intents.push(Intent::Truncate);
    }
    if reads && !fresh {
        intents.push(if is_dir { Intent::List } else { Intent::Read });
    }
    intents
}

/// The type of what a call makes.
pub(super) fn made_kind(call: Syscall, register: &impl Fn(u8) -> u64) -> Option<FileKind> {
    let by_mode = |mode: u64| match mode & 0o17_0000 {
        0o1_0000 => FileKind::Fifo,
        0o14_0000 => FileKind::Socket,
        0o2_0000 | 0o6_0000 => FileKind::Device,
        _ => FileKind::File,
    };
    match call.name() {
        "open" | "openat" | "creat" => Some(FileKind::File),
        "mkdir" | "mkdirat" => Some(FileKind::Dir),
        "symlink" | "symlinkat" => Some(FileKind::Symlink),
        "mknod" => Some(by_mode(register(1))),
        "mknodat" => Some(by_mode(register(2))),
        _ => None,
    }
}

pub(super) fn path_fact(intent: Intent, call: Syscall, reached: &Reached, made: Option<FileKind>) -> PathFact {
    let kind = reached.kind.or(made.filter(|_| intent == Intent::Create));
    let (path, hops) = (reached.path.clone(), reached.hops.clone());
    PathFact { intent, call, path, hops, kind, result: Outcome::Unseen }
}

/// The symlinks on the way to one end of a pair, as a fact of the directory that they lead to.
pub(super) fn way(call: Syscall, end: &Reached) -> Option<Fact> {
    let path: AbsPath = end.path.parent()?;
    let fact = PathFact {
        intent: Intent::Enter,
        call,
        path,
        hops: end.hops.clone(),
        kind: Some(FileKind::Dir),
        result: Outcome::Unseen,
    };
    (!end.hops.is_empty()).then_some(Fact::Path(fact))
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}
