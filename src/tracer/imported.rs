//! The calls in a log of strace → events, as the tracer would have made them.
//!
//! A log has paths as they were passed. Where they lead, through which links, is looked up on this machine as it is now,
//! which may be otherwise than it was then; and a log has no variables, so those of this process stand for them. So what
//! comes of it is never complete, and says so ([`Gap::Imported`]). Invariant: nothing in it is executed or opened.

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;

use crate::event::{ExitStatus, Fact, Gap, Image, ImageId, Intent, Outcome, PairFact, PairOperation, Tally, Transport};
use crate::import::strace::{Answer, Call, End, Log};
use crate::import::strace_values::{Address, Argument};
use crate::vocab::argument_words::WRITE_EXECUTE;
use crate::vocab::endpoint::Endpoint;
use crate::vocab::escape;
use crate::vocab::host::FileKind;
use crate::vocab::location::Roots;
use crate::vocab::syscall::Syscall;
use crate::vocab::syscall_table::{Class, PathArgument, Row, Want, row};

use super::conclude::with_result;
use super::facts::{Recorder, Sink};
use super::observe::{EXCHANGE, follows, intents, made_kind, path_fact, way};
use super::resolve::{Eyes, Reached, Resolver, is_set_id};
use super::strace_words::{bit, socket_words};
use super::{DEFAULT_CAP, census, image};

/// What came of a log.
#[derive(Debug)]
pub struct Imported {
    /// How the first program ended, where the log says so.
    pub status: Option<ExitStatus>,
    /// What was recorded.
    pub tally: Tally,
    /// Lines, calls and paths that were not understood.
    pub unread: u64,
}

/// Where a task is when it begins.
#[derive(Debug, Clone, Default)]
struct State {
    image: Option<ImageId>,
    cwd: Option<Vec<u8>>,
    /// What kind of socket a descriptor is, and where a datagram socket was connected to without anything being sent.
    sockets: BTreeMap<i64, Socket>,
}

#[derive(Debug, Clone)]
struct Socket {
    transport: Transport,
    peer: Option<Endpoint>,
}

struct Importer<'a> {
    recorder: Recorder<'a>,
    resolver: Resolver,
    eyes: Eyes,
    images: u32,
    /// Digests of calls that were made before.
    seen: BTreeSet<u64>,
    unread: u64,
}

/// Makes the events of `log`. `roots`: where the variables lead, for the census.
pub fn import(log: &Log, roots: &Roots, sink: Sink<'_>) -> std::io::Result<Imported> {
    let own = nix::unistd::getpid().as_raw();
    let mut importer = Importer {
        recorder: Recorder::new(sink, DEFAULT_CAP),
        resolver: Resolver::default(),
        eyes: Eyes { tid: own, pid: own, inside: own },
        images: 0,
        seen: BTreeSet::new(),
        unread: log.unread,
    };
    let status = importer.tasks(log);
    let first = ImageId(0);
    for census in census::take(&importer.recorder.used, roots) {
        importer.recorder.conclude(first, Fact::Census(census));
    }
    importer.recorder.conclude(first, Fact::Gap { gap: Gap::Imported { unread: importer.unread } });
    match importer.recorder.take_error() {
        Some(error) => Err(error),
        None => Ok(Imported { status, tally: importer.recorder.tally, unread: importer.unread }),
    }
}

/// The child that a call made.
fn child(call: &Call) -> Option<u32> {
    let makes = matches!(call.name.as_str(), "fork" | "vfork" | "clone" | "clone3");
    match call.answer {
        Answer::Value(child, _) if makes && child > 0 => u32::try_from(child).ok(),
        _ => None,
    }
}

impl Importer<'_> {
    /// Parents before their children, so that each begins where its parent was. The end of the first program.
    fn tasks(&mut self, log: &Log) -> Option<ExitStatus> {
        let children: BTreeSet<u32> = log.tasks.values().flat_map(|task| task.calls.iter().filter_map(child)).collect();
        let mut begin: BTreeMap<u32, State> = BTreeMap::new();
        let roots = log.tasks.keys().copied().filter(|number| !children.contains(number));
        let mut queue: Vec<u32> = roots.collect();
        queue.reverse();
        let mut status = None;
        let mut first = true;
        let mut done = BTreeSet::new();
        while let Some(number) = queue.pop() {
            // A number that came again was made twice.
            let Some(task) = log.tasks.get(&number).filter(|_| done.insert(number)) else { continue };
            let mut state = begin
                .remove(&number)
                .unwrap_or_else(|| State { cwd: first_directory(&task.calls), ..State::default() });
            for call in &task.calls {
                if let Some(child) = child(call) {
                    begin.insert(child, state.clone());
                    queue.push(child);
                }
                self.call(&mut state, call);
            }
            self.close_sockets(&mut state);
            let ended = task.end.as_ref().and_then(|end| match end {
                End::Exited(code) => Some(ExitStatus::Code(*code)),
                End::Killed(name) => {
                    name.parse().ok().map(|signal: nix::sys::signal::Signal| ExitStatus::Signal(signal as i32))
                }
            });
            if std::mem::take(&mut first) {
                status = ended;
            }
            if let (Some(image), Some(status)) = (state.image, ended) {
                self.recorder.emit(image, Fact::Exit { status });
            }
        }
        status
    }

    fn call(&mut self, state: &mut State, call: &Call) {
        // What strace shows of a directory is where the task is.
        for argument in &call.arguments {
            if let Some((-100, Some(path))) = argument.descriptor() {
                state.cwd = Some(path);
            }
        }
        let Some(syscall) = Syscall::from_name(&call.name) else {
            self.unread += 1;
            return;
        };
        let outcome = outcome(&call.answer);
        let row = row(syscall);
        if let Some(image) = state.image
            && row.class == Class::Learned
        {
            self.recorder.call(image, syscall);
        }
        // Made again from the same place with the same answer, it says nothing new.
        let changes = row.paths.first().is_none_or(|path| matches!(path.want, Want::Enter | Want::Execute));
        if !changes && !self.seen.insert(self.recorder.digest((state.image, &state.cwd, call))) {
            return;
        }
        match (row.pair, row.paths.first()) {
            (Some(_), _) => self.pair(state, call, syscall, row, outcome),
            (None, Some(path)) if path.want == Want::Execute => self.execute(state, call, syscall, *path, outcome),
            (None, Some(path)) => self.path(state, call, syscall, *path, outcome),
            (None, None) => self.arguments(state, call, syscall, outcome),
        }
    }

    /// Where a path argument leads from; `None`: there is none, or it is not known.
    fn reach(&mut self, state: &State, call: &Call, path: PathArgument) -> Option<Reached> {
        let (raw, cut) = call.arguments.get(usize::from(path.path))?.string()?;
        let directory = path.dirfd.and_then(|index| call.arguments.get(usize::from(index))?.descriptor());
        let base = match directory {
            _ if raw.first() == Some(&b'/') => Some(Vec::new()),
            Some((_, Some(path))) => Some(path),
            None | Some((-100, None)) => state.cwd.clone(),
            Some((_, None)) => None,
        };
        if raw.is_empty() {
            return None;
        }
        let register = |index: u8| call.arguments.get(usize::from(index)).map_or(0, |text| text.bits(&bit));
        let reached = match base {
            Some(base) if !cut => self.resolver.resolve(self.eyes, &base, &raw, follows(path.last, &register)),
            Some(_) | None => None,
        };
        if reached.is_none() {
            self.unread += 1;
        }
        reached
    }

    fn path(&mut self, state: &mut State, call: &Call, syscall: Syscall, path: PathArgument, outcome: Outcome) {
        let Some(reached) = self.reach(state, call, path) else { return };
        let register = |index: u8| call.arguments.get(usize::from(index)).map_or(0, |text| text.bits(&bit));
        let flags = match path.want {
            Want::Open(index) => register(index),
            Want::Creat => bit("O_WRONLY").unwrap_or(0) | bit("O_CREAT").unwrap_or(0) | bit("O_TRUNC").unwrap_or(0),
            _ => 0,
        };
        if path.want == Want::Enter && outcome == Outcome::Ok {
            state.cwd = Some(reached.path.as_bytes().to_vec());
        }
        let Some(image) = state.image else { return };
        let made = made_kind(syscall, &register);
        for intent in intents(path.want, flags, reached.kind) {
            let fact = Fact::Path(path_fact(intent, syscall, &reached, made));
            with_result(fact, outcome).into_iter().for_each(|fact| self.recorder.emit(image, fact));
        }
    }

    fn pair(&mut self, state: &State, call: &Call, syscall: Syscall, row: &Row, outcome: Outcome) {
        let mut ends = row.paths.iter().map(|path| self.reach(state, call, *path)).collect::<Vec<_>>().into_iter();
        let (Some(image), Some(Some(from)), Some(Some(to))) = (state.image, ends.next(), ends.next()) else { return };
        let exchanges = call.arguments.last().is_some_and(|flags| flags.bits(&bit) & EXCHANGE != 0);
        let operation = match call.name.as_str() {
            "link" | "linkat" => PairOperation::Link,
            "renameat2" if exchanges => PairOperation::Exchange,
            _ => PairOperation::Rename,
        };
        let mut facts: Vec<Fact> = [&from, &to].into_iter().filter_map(|end| way(syscall, end)).collect();
        // What was renamed then is no longer where it was; and whether something was replaced can no longer be seen.
        let kind = from.kind.or(to.kind);
        let (from, to) = (from.path, to.path);
        let replaced = operation == PairOperation::Rename && to != from;
        facts.push(Fact::Pair(PairFact { operation, call: syscall, from, to, replaced, kind, result: outcome }));
        facts.into_iter().for_each(|fact| self.recorder.emit(image, fact));
    }

    fn execute(&mut self, state: &mut State, call: &Call, syscall: Syscall, path: PathArgument, outcome: Outcome) {
        let Some(reached) = self.reach(state, call, path) else { return };
        if outcome != Outcome::Ok {
            let fact = Fact::Path(path_fact(Intent::Execute, syscall, &reached, None));
            if let (Some(image), Some(fact)) = (state.image, with_result(fact, outcome)) {
                self.recorder.emit(image, fact);
            }
            return;
        }
        let cwd = state.cwd.clone().unwrap_or_default();
        let chain = image::chain(&mut self.resolver, self.eyes, &cwd, syscall, reached);
        let argv = call.arguments.get(usize::from(path.path) + 1).and_then(Argument::strings).unwrap_or_default();
        let image = ImageId(self.images);
        self.images += 1;
        self.recorder.emit(
            image,
            Fact::Image(Image {
                parent: state.image,
                exe: chain.exe.clone(),
                script: chain.script.clone(),
                argv: image::shapes(&argv.join(&0)),
                set_id: is_set_id(self.eyes, &chain.exe),
            }),
        );
        if let Some(path) = chain.unread {
            let path = escape::file(path.as_bytes());
            self.recorder.emit(image, Fact::Gap { gap: Gap::Unresolved { call: syscall, path } });
        }
        chain.files.into_iter().for_each(|file| self.recorder.emit(image, Fact::Path(file)));
        if state.image.is_none()
            && let Some(environment) = image::environment(self.eyes.pid)
        {
            self.recorder.emit(image, environment);
        }
        state.image = Some(image);
    }

    fn arguments(&mut self, state: &mut State, call: &Call, syscall: Syscall, outcome: Outcome) {
        let argument = |index: usize| call.arguments.get(index);
        let fd = argument(0).and_then(Argument::descriptor);
        let Some(image) = state.image else { return };
        let value = |value: String| Fact::Argument { call: syscall, value };
        match call.name.as_str() {
            "fchdir" if outcome == Outcome::Ok => state.cwd = fd.and_then(|(_, path)| path).or(state.cwd.take()),
            "socket" => match socket_words(&call.arguments) {
                Some((word, transport)) => {
                    self.recorder.emit(image, value(word));
                    if let Answer::Value(fd, _) = call.answer {
                        state.sockets.insert(fd, Socket { transport, peer: None });
                    }
                }
                None => self.unread += 1,
            },
            "connect" => self.connect(state, image, fd.map(|(fd, _)| fd), argument(1), syscall, outcome),
            "bind" if outcome == Outcome::Ok => {
                if let Some(endpoint) = self.endpoint(state, argument(1), image, syscall, Intent::Create) {
                    self.recorder.emit(image, Fact::Listen { endpoint });
                }
            }
            "sendto" | "sendmsg" | "sendmmsg" | "write" | "writev" | "send" => {
                let peer = fd.and_then(|(fd, _)| state.sockets.get_mut(&fd)?.peer.take());
                if let Some(endpoint) = peer {
                    self.recorder
                        .emit(image, Fact::Connect { endpoint, transport: Transport::Udp, result: Outcome::Ok });
                }
                let to = if call.name == "sendto" { argument(4) } else { argument(1) };
                let named = matches!(call.name.as_str(), "sendto" | "sendmsg" | "sendmmsg");
                if named && let Some(endpoint) = self.endpoint(state, to, image, syscall, Intent::Connect) {
                    let transport =
                        if matches!(endpoint, Endpoint::Inet(_)) { Transport::Udp } else { Transport::Unix };
                    self.recorder.emit(image, Fact::Connect { endpoint, transport, result: outcome });
                }
            }
            "prctl" => argument(0).into_iter().flat_map(Argument::words).for_each(|word| {
                self.recorder.emit(image, value(word));
            }),
            "mmap" | "mprotect" | "pkey_mprotect"
                if argument(2).is_some_and(|text| text.bits(&bit) & WRITE_EXECUTE == WRITE_EXECUTE) =>
            {
                self.recorder.emit(image, value("write execute".to_owned()));
            }
            _ => {}
        }
    }

    fn connect(
        &mut self,
        state: &mut State,
        image: ImageId,
        fd: Option<i64>,
        address: Option<&Argument>,
        call: Syscall,
        outcome: Outcome,
    ) {
        let Some(endpoint) = self.endpoint(state, address, image, call, Intent::Connect) else { return };
        let socket = fd.and_then(|fd| state.sockets.get_mut(&fd));
        let transport = match (&endpoint, &socket) {
            (Endpoint::Inet(_), Some(socket)) => socket.transport,
            (Endpoint::Inet(_), None) => Transport::Other,
            _ => Transport::Unix,
        };
        match socket {
            Some(socket) if transport == Transport::Udp && outcome == Outcome::Ok => {
                if let Some(endpoint) = socket.peer.replace(endpoint) {
                    let transport = Transport::UdpProbe;
                    self.recorder.emit(image, Fact::Connect { endpoint, transport, result: Outcome::Ok });
                }
            }
            _ => {
                let fact = Fact::Connect { endpoint, transport, result: Outcome::Unseen };
                with_result(fact, outcome).into_iter().for_each(|fact| self.recorder.emit(image, fact));
            }
        }
    }

    fn endpoint(
        &mut self,
        state: &State,
        address: Option<&Argument>,
        image: ImageId,
        call: Syscall,
        intent: Intent,
    ) -> Option<Endpoint> {
        match address?.address() {
            Address::Inet(address) => Some(Endpoint::Inet(address)),
            Address::Abstract(name) => Some(Endpoint::Abstract(escape::file(&name))),
            Address::Unix(raw) => {
                let base = if raw.first() == Some(&b'/') { Vec::new() } else { state.cwd.clone()? };
                let reached = self.resolver.resolve(self.eyes, &base, &raw, true)?;
                let mut fact = path_fact(intent, call, &reached, Some(FileKind::Socket));
                fact.result = Outcome::Ok;
                self.recorder.emit(image, Fact::Path(fact));
                Some(Endpoint::Unix(reached.path))
            }
            Address::Other => None,
        }
    }

    /// Connected, and nothing was sent.
    fn close_sockets(&mut self, state: &mut State) {
        let Some(image) = state.image else { return };
        for endpoint in std::mem::take(&mut state.sockets).into_values().filter_map(|socket| socket.peer) {
            let fact = Fact::Connect { endpoint, transport: Transport::UdpProbe, result: Outcome::Ok };
            self.recorder.emit(image, fact);
        }
    }
}

fn outcome(answer: &Answer) -> Outcome {
    match answer {
        Answer::Value(..) => Outcome::Ok,
        Answer::Unseen => Outcome::Unseen,
        Answer::Error(name) => (1..=133)
            .find(|number| format!("{:?}", Errno::from_raw(*number)) == *name)
            .map_or(Outcome::Unseen, Outcome::Errno),
    }
}

/// How a log begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct First {
    /// The words of the first program.
    pub words: Vec<Vec<u8>>,
    /// The directory that it began in, where the log shows it.
    pub cwd: Option<Vec<u8>>,
}

/// The first program of `log`; `None` if it does not show the start of one.
pub fn first_command(log: &Log) -> Option<First> {
    let children: BTreeSet<u32> = log.tasks.values().flat_map(|task| task.calls.iter().filter_map(child)).collect();
    let (_, task) = log.tasks.iter().find(|(number, _)| !children.contains(number))?;
    let begin = task.calls.iter().find(|call| call.name == "execve" && matches!(call.answer, Answer::Value(0, _)))?;
    let (program, _) = begin.arguments.first()?.string()?;
    let mut words = begin.arguments.get(1).and_then(Argument::strings).unwrap_or_default();
    let last = |path: &[u8]| path.rsplit(|&b| b == b'/').next().map(<[u8]>::to_vec);
    match words.first_mut() {
        // As it was typed, unless the program goes by another name.
        Some(first) if last(first) == last(&program) => {}
        Some(first) => *first = program,
        None => words.push(program),
    }
    Some(First { words, cwd: first_directory(&task.calls) })
}

/// Where a task is at its first call, as far as it is shown before it goes elsewhere.
fn first_directory(calls: &[Call]) -> Option<Vec<u8>> {
    let before = calls.iter().take_while(|call| !matches!(call.name.as_str(), "chdir" | "fchdir"));
    before.flat_map(|call| &call.arguments).find_map(|argument| match argument.descriptor() {
        Some((-100, Some(path))) => Some(path),
        _ => None,
    })
}
