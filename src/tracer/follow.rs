//! The wait loop: births, stops, signals and ends of every thread of the tree.
//!
//! Kernel rules that shape it: the first stop of a child may come before the event of its parent, so a thread is known
//! from whichever comes first; an exec from a thread takes the id of the leader; a tracee may be killed at any instant, so
//! ESRCH is never an error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::event::{ExitStatus, Fact, Gap, Image, ImageId, Report};
use crate::plan::answers::Answers;
use crate::sys::ptrace::{self, Resume};
use crate::sys::wait::{self, Birth, Change, Waited};
use crate::vocab::path::AbsPath;

use super::beside::Beside;
use super::facts::{Recorder, Sink};
use super::image::{self, Chain};
use super::known::Known;
use super::resolve::{Resolver, is_set_id, size_of};
use super::resources::Meter;
use super::task::{Pending, Task, Then, origin, processes};
use super::{Ended, Progress, Settings, TraceError, census};

/// Bytes that are looked through at a checkpoint: a fraction of a second, in which the program waits.
const SOME_BYTES: u64 = 128 << 20;

pub(super) struct Tracer<'a> {
    pub(super) settings: &'a Settings,
    pub(super) answers: Answers,
    pub(super) recorder: Recorder<'a>,
    pub(super) resolver: Resolver,
    pub(super) known: Known,
    pub(super) tasks: BTreeMap<i32, Task>,
    /// Program file of each image, for messages.
    pub(super) programs: Vec<AbsPath>,
    /// Counts changes of working directories anywhere in the tree (tasks may share one).
    pub(super) moves: u64,
    /// Reused for every path.
    pub(super) buffer: Vec<u8>,
    images: BTreeMap<u64, ImageId>,
    /// Threads that ended before the event of their parent came: it announces nobody.
    ended_early: BTreeSet<i32>,
    pub(super) meter: Meter,
    pub(super) beside: Beside,
    /// Calls whose success was foreseen, counted.
    pub(super) foreseen: u32,
    reports: &'a Receiver<Report>,
    payload: i32,
    status: Option<ExitStatus>,
    init: Option<ExitStatus>,
}

impl<'a> Tracer<'a> {
    pub(super) fn new(payload: i32, settings: &'a Settings, reports: &'a Receiver<Report>, sink: Sink<'a>) -> Self {
        let first = Task { pid: payload, ..Task::default() };
        Self {
            settings,
            answers: Answers::new(&settings.filter),
            recorder: Recorder::new(sink, settings.cap),
            resolver: Resolver::default(),
            known: Known::new(settings.cap),
            tasks: BTreeMap::from([(payload, first)]),
            programs: Vec::new(),
            moves: 0,
            buffer: Vec::new(),
            images: BTreeMap::new(),
            ended_early: BTreeSet::new(),
            meter: Meter::new(),
            beside: Beside::new(),
            foreseen: 0,
            reports,
            payload,
            status: None,
            init: None,
        }
    }

    pub(super) fn run(mut self, progress: &mut Progress<'_>) -> Result<Ended, TraceError> {
        let mut shown = Instant::now();
        let mut noted = Instant::now();
        let mut failed = None;
        while !self.is_over() {
            match wait::any(true) {
                Ok(Some(waited)) => {
                    self.take_reports();
                    self.handle(waited);
                }
                Ok(None) | Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => break,
                Err(errno) => return Err(TraceError::Wait(errno)),
            }
            if let Some(error) = self.recorder.take_error() {
                failed = Some(error);
            }
            if failed.is_some() {
                // Again at every change: a child may have been born meanwhile.
                self.kill_all();
            }
            if shown.elapsed() >= super::BEAT {
                shown = Instant::now();
                self.beside.part();
                self.meter.sample(&processes(self.tasks.values()));
                if noted.elapsed() >= self.settings.checkpoint {
                    self.note_surroundings(SOME_BYTES);
                    // Measured from its end: however long it takes, the program gets on.
                    noted = Instant::now();
                }
                if let Err(error) = progress(&self.recorder.tally) {
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) => Err(TraceError::Sink(error)),
            None => self.finish(),
        }
    }

    /// What others learned of the tasks: before a task becomes another program or ends, what is told of it is of the one
    /// that it was.
    fn take_reports(&mut self) {
        while let Ok(Report { tid, fact }) = self.reports.try_recv() {
            let image = self.image_of(tid).unwrap_or(ImageId(0));
            self.recorder.emit(image, fact);
        }
    }

    fn is_over(&self) -> bool {
        let init_ended = self.settings.init.is_none() || self.init.is_some();
        self.tasks.is_empty() && self.status.is_some() && init_ended
    }

    fn finish(mut self) -> Result<Ended, TraceError> {
        let first = ImageId(0);
        self.take_reports();
        if !self.tasks.is_empty() || self.status.is_none() {
            self.recorder.conclude(first, Fact::Gap { gap: Gap::LostTask });
        }
        self.note_surroundings(u64::MAX);
        let peaks = self.meter.peaks();
        match self.recorder.take_error() {
            Some(error) => Err(TraceError::Sink(error)),
            None => Ok(Ended { status: self.status, init: self.init, tally: self.recorder.tally, peaks }),
        }
    }

    /// What a trace ends with, and what one that breaks off has at least up to its last checkpoint.
    fn note_surroundings(&mut self, bytes: u64) {
        let first = ImageId(0);
        for census in census::take(&self.recorder.used, &self.settings.roots) {
            self.recorder.conclude(first, Fact::Census(census));
        }
        if let Some(mentioned) = self.recorder.mentions.take(bytes) {
            self.recorder.conclude(first, mentioned);
        }
        for path in &self.recorder.written {
            self.meter.file(size_of(&path.to_path_buf()));
        }
        self.recorder.conclude(first, Fact::Peaks(self.meter.peaks()));
    }

    fn kill_all(&self) {
        for tid in self.settings.init.iter().chain(self.tasks.keys()) {
            // ESRCH: it is gone already.
            kill(Pid::from_raw(*tid), Signal::SIGKILL).ok();
        }
    }

    fn handle(&mut self, Waited { tid, change }: Waited) {
        if Some(tid) == self.settings.init {
            self.init = ended(change).or(self.init);
            return;
        }
        match change {
            Change::Exited(_) | Change::Killed(_) => return self.end(tid, change),
            _ => self.welcome(tid),
        }
        self.beside.stopped(tid);
        let (how, signal) = match change {
            Change::Seccomp => (self.enter(tid), 0),
            Change::Syscall => (self.leave(tid), 0),
            Change::Child(birth) => {
                self.born(tid, birth);
                (self.usual(tid), 0)
            }
            Change::Exec => {
                self.executed(tid);
                (Resume::Run, 0)
            }
            Change::Group(_) => (Resume::Listen, 0),
            Change::Signal(signal) => (self.usual(tid), signal),
            Change::Trap | Change::Other | Change::Exited(_) | Change::Killed(_) => (self.usual(tid), 0),
        };
        // ESRCH: killed while it was stopped; its end is reported next.
        ptrace::resume(tid, how, signal).ok();
    }

    /// To the end of the call that is waited for, or to the next event.
    pub(super) fn usual(&self, tid: i32) -> Resume {
        match self.tasks.get(&tid) {
            Some(task) if task.pending.is_some() || !task.probes.is_empty() || task.handed.is_some() => {
                Resume::ToSyscall
            }
            Some(_) | None => Resume::Run,
        }
    }

    /// A thread whose first stop comes before the event of its parent.
    fn welcome(&mut self, tid: i32) {
        if self.tasks.contains_key(&tid) {
            return;
        }
        let origin = origin(tid);
        let pid = origin.map_or(tid, |origin| origin.pid);
        let relative = origin.map(|origin| if origin.pid == tid { origin.parent } else { origin.pid });
        let image = relative.and_then(|pid| self.tasks.values().find(|task| task.pid == pid)).and_then(|t| t.image);
        // Its parent is gone: then it belongs to the first program at least.
        let image = image.or_else(|| (!self.programs.is_empty()).then_some(ImageId(0)));
        self.ended_early.remove(&tid);
        // Which thread of its maker it was is not known yet.
        let of_maker = |tid| self.tasks.get(&tid).is_some_and(|task| Some(task.pid) == relative);
        if let Some(maker) = self.beside.one_of(of_maker).or(relative) {
            self.beside.born(tid, kind_of_birth(tid, pid), maker);
        }
        self.insert(tid, Task { pid, image, unannounced: true, ..Task::default() });
    }

    fn born(&mut self, parent: i32, birth: Birth) {
        let Some(child) = ptrace::event_message(parent).ok().and_then(|message| i32::try_from(message).ok()) else {
            return;
        };
        if self.ended_early.remove(&child) {
            return;
        }
        let image = self.tasks.get(&parent).and_then(|task| task.image);
        if let Some(task) = self.tasks.get_mut(&child) {
            task.unannounced = false;
            // It may even have executed a program of its own by now.
            if !task.executed {
                task.image = image;
            }
            return;
        }
        let pid = match birth {
            Birth::Process => child,
            Birth::Clone => origin(child).map_or(child, |origin| origin.pid),
        };
        self.beside.born(child, kind_of_birth(child, pid), parent);
        self.insert(child, Task { pid, image, ..Task::default() });
    }

    fn insert(&mut self, tid: i32, task: Task) {
        let leads = task.pid == tid;
        self.tasks.insert(tid, task);
        // A process is there until its first thread's end is reported, which is that of its last one.
        let processes = if leads { self.tasks.iter().filter(|(tid, task)| task.pid == **tid).count() } else { 0 };
        self.meter.count(processes, self.tasks.len());
    }

    fn end(&mut self, tid: i32, change: Change) {
        self.beside.gone(tid);
        let Some(mut task) = self.tasks.remove(&tid) else { return };
        if task.unannounced {
            self.ended_early.insert(tid);
        }
        self.abandon(&mut task);
        let Some(status) = ended(change) else { return };
        if tid == self.payload {
            self.status = Some(status);
        }
        if let Some(image) = task.image.filter(|_| task.executed && tid == task.pid) {
            self.recorder.emit(image, Fact::Exit { status });
        }
    }

    /// An exec succeeded. All other threads of the process are gone.
    fn executed(&mut self, tid: i32) {
        let former = ptrace::event_message(tid).ok().and_then(|message| i32::try_from(message).ok()).unwrap_or(tid);
        if former != tid {
            self.beside.renamed(former, tid);
        }
        let unannounced = self.tasks.get(&tid).is_some_and(|leader| leader.unannounced);
        let mut caller = self.tasks.remove(&former).unwrap_or_default();
        let (chain, unknown) = match caller.pending.take() {
            Some(Pending { then: Then::Exec(chain), .. }) => (Some(*chain), Vec::new()),
            Some(Pending { facts, .. }) => (None, facts),
            None => (None, Vec::new()),
        };
        let parent = caller.image;
        self.hand_on_probes(tid, &mut caller);
        self.abandon(&mut caller);
        let others: Vec<i32> = self.tasks.iter().filter(|(_, task)| task.pid == tid).map(|(tid, _)| *tid).collect();
        for other in others {
            let Some(mut other) = self.tasks.remove(&other) else { continue };
            self.hand_on_probes(tid, &mut other);
            self.abandon(&mut other);
        }
        let image = self.image(tid, parent, chain);
        unknown.into_iter().for_each(|gap| self.recorder.emit(image, gap));
        self.insert(tid, Task { pid: tid, image: Some(image), executed: true, unannounced, ..Task::default() });
    }

    /// The image of a new program; one that is equal to a sibling is that sibling.
    fn image(&mut self, pid: i32, parent: Option<ImageId>, chain: Option<Chain>) -> ImageId {
        let mut task = Task { pid, ..Task::default() };
        let eyes = task.eyes(pid, false);
        let chain = chain.map(|chain| image::close(chain, &mut self.resolver, eyes));
        let command_line = image::command_line(pid);
        let argv = image::shapes(&command_line);
        let exe = match &chain {
            Some(chain) => chain.exe.clone(),
            None => std::fs::read_link(format!("/proc/{pid}/exe"))
                .ok()
                .and_then(|path| AbsPath::try_from(path.as_path()).ok())
                .unwrap_or_else(AbsPath::root),
        };
        let script = chain.as_ref().and_then(|chain| chain.script.clone());
        let set_id = is_set_id(eyes, &exe);
        let new = Image { parent, exe: exe.clone(), script, argv, set_id };
        let key = self.recorder.digest(&new);
        let id = match self.images.get(&key) {
            Some(id) => *id,
            // Nothing more is recorded of anybody; the image would only take room.
            None if self.recorder.is_flooded() => return parent.unwrap_or(ImageId(0)),
            None => {
                let id = ImageId(u32::try_from(self.programs.len()).unwrap_or(u32::MAX));
                self.programs.push(exe);
                self.images.insert(key, id);
                self.recorder.emit(id, Fact::Image(new));
                id
            }
        };
        let unread = chain.as_ref().and_then(|chain| chain.unread.clone());
        for file in chain.into_iter().flat_map(|chain| chain.files) {
            let call = file.call;
            if let Some(path) = unread.as_ref().filter(|path| **path == file.path) {
                let path = crate::vocab::escape::file(path.as_bytes());
                self.recorder.emit(id, Fact::Gap { gap: Gap::Unresolved { call, path } });
            }
            self.recorder.emit(id, Fact::Path(file));
        }
        let environment = image::environment(pid).unwrap_or(Fact::Gap { gap: Gap::Environment });
        if let Fact::Environment { names, .. } = &environment
            && parent.is_none()
        {
            self.recorder.mentions.want(names.iter().filter_map(|name| crate::vocab::escape::unfile(name).ok()));
        }
        self.recorder.mentions.arguments(&command_line);
        self.recorder.emit(id, environment);
        id
    }
}

fn kind_of_birth(tid: i32, pid: i32) -> Birth {
    if tid == pid { Birth::Process } else { Birth::Clone }
}

fn ended(change: Change) -> Option<ExitStatus> {
    match change {
        Change::Exited(code) => Some(ExitStatus::Code(code)),
        Change::Killed(signal) => Some(ExitStatus::Signal(signal)),
        _ => None,
    }
}
