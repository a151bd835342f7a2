//! What runs inside: init, which builds the root and reaps, and the payload, which sheds its privileges, waits to be
//! released, and becomes the agent.
//!
//! The steps stand in the order that the kernel forces. The launcher has no threads at work when it clones, so ordinary Rust,
//! allocation included, is sound on this side too. Each step that fails is sent to the supervisor by number with its errno;
//! nothing here prints, and nothing returns.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{ForkResult, Pid};

use crate::plan::Plan;
use crate::plan::walls::Wall;
use crate::sys::process::{self, Dumpable, Of};
use crate::sys::{inet, namespace, seccomp, socket};
use crate::vocab::bpf::Instruction;
use crate::vocab::host::SANDBOX_NAME;
use crate::vocab::reach::{OWN_V6, RESOLVER};

use super::error::{StartError, Step};
use super::insisted::{self, Insisted};
use super::landlock;
use super::root::{Failure, Root};
use super::secrets::{Secrets, Values};
use super::signals::END;
use super::together::Usual;
use super::unowned::{self, Unowned};
use super::word;

/// Everything that the child needs, made before it exists.
#[derive(Debug)]
pub(super) struct Launch<'a> {
    pub(super) plan: &'a Plan,
    /// Contents of the files that are copied in, in the order of the plan's copies; `None` for one that does not exist yet.
    pub(super) copies: Vec<Option<Vec<u8>>>,
    /// Values of secrets that are files or descriptors.
    pub(super) secrets: Secrets,
    /// Directories in which root owns nothing, by the index of their step.
    pub(super) unowned: BTreeMap<usize, Unowned>,
    /// What root's files are replaced with, by the index of their step.
    pub(super) insisted: BTreeMap<usize, Insisted>,
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    workdir: CString,
    filter: Vec<Instruction>,
    reports: bool,
    ignored: Vec<libc::c_int>,
    descriptor_limit: (u64, u64),
    /// Where the agent may run, if what starts it is bound elsewhere.
    pub(super) usual: Option<Usual>,
}

impl<'a> Launch<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        environment: &[Vec<u8>],
        filter: Vec<Instruction>,
        copies: Vec<Option<Vec<u8>>>,
        secrets: &Values,
    ) -> Result<Self, StartError> {
        let word = |bytes: &[u8]| CString::new(bytes).map_err(|_| StartError::Nul);
        // A listener is made only where something is reported: a chain of filters may have one alone.
        let reports = |action: &crate::plan::Action| {
            matches!(action, crate::plan::Action::Report(_) | crate::plan::Action::Mediate(_))
        };
        let spec = &plan.filter;
        Ok(Self {
            plan,
            copies,
            secrets: Secrets::new(plan, secrets)?,
            unowned: unowned::prepare(plan).map_err(|errno| StartError::kernel(Step::Sources, errno))?,
            insisted: insisted::of(plan),
            program: word(plan.program.as_bytes())?,
            arguments: plan.argv.iter().map(|bytes| word(bytes)).collect::<Result<_, _>>()?,
            environment: environment.iter().map(|bytes| word(bytes)).collect::<Result<_, _>>()?,
            workdir: word(plan.workdir.as_bytes())?,
            filter,
            reports: reports(&spec.default)
                || reports(&spec.unknown)
                || spec.calls.values().any(reports)
                || spec.rules.values().flatten().any(|rule| reports(&rule.action)),
            usual: None,
            ignored: process::ignored_signals(),
            descriptor_limit: getrlimit(Resource::RLIMIT_NOFILE)
                .map_err(|errno| StartError::kernel(Step::Descriptors, errno))?,
        })
    }
}

/// Sends what failed and ends.
fn fail(control: &OwnedFd, failure: Failure) -> ! {
    let mut bytes = vec![word::FAILED, failure.step.number()];
    bytes.extend((failure.errno as i32).to_ne_bytes());
    bytes.extend(u16::try_from(failure.mount.unwrap_or(usize::from(u16::MAX))).unwrap_or(u16::MAX).to_ne_bytes());
    socket::send(control, &bytes, None).ok();
    process::exit_now(125)
}

fn at(step: Step) -> impl Fn(Errno) -> Failure {
    move |errno| Failure { step, errno, mount: None }
}

/// pid 1 of the sandbox. `mount`: its root, where that is served.
pub(super) fn init(launch: &Launch<'_>, control: &OwnedFd, mount: Option<OwnedFd>) -> ! {
    if let Err(failure) = prepare(launch, control, mount) {
        fail(control, failure)
    }
    match process::fork() {
        Err(errno) => fail(control, at(Step::Fork)(errno)),
        Ok(ForkResult::Child) => payload(launch, control),
        Ok(ForkResult::Parent { child }) if launch.plan.has_namespaces() => {
            // While the payload sheds its privileges: it is not let go before the word that this is done.
            if let Err(failure) = finish(launch, control) {
                fail(control, failure)
            }
            reap(launch, child, control)
        }
        Ok(ForkResult::Parent { child }) => reap_without_namespace(launch, child, control),
    }
}

/// Signals by which a terminal ends or stops what runs at it.
const TERMINAL: [libc::c_int; 7] =
    [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGTERM, libc::SIGTSTP, libc::SIGTTOU, libc::SIGTTIN];

fn prepare(launch: &Launch<'_>, control: &OwnedFd, mount: Option<OwnedFd>) -> Result<(), Failure> {
    process::die_with_parent().map_err(at(Step::DeathSignal))?;
    // If the supervisor died before the line above, its end of the socket is closed: then this is the end too.
    await_word(control);
    if !launch.plan.has_namespaces() {
        launch.usual.iter().for_each(Usual::resume);
        return prepare_without_namespaces();
    }
    // Not before: its root is the control group that the supervisor has put this process into by now.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP).map_err(at(Step::Namespaces))?;
    // Init gets no signal of the terminal: it must outlive the payload by the message that tells its end.
    process::reset_signals(&TERMINAL);
    own_group(launch)?;
    if launch.plan.has(Wall::HostName) {
        nix::unistd::sethostname(SANDBOX_NAME).map_err(at(Step::HostName))?;
    }
    if let Some(policy) = &launch.plan.policy
        && launch.plan.has(Wall::Network)
    {
        let spare = if policy.published.is_empty() { 0 } else { SPARE };
        sockets(control, spare).map_err(at(Step::Resolver))?;
    }
    let directories = Root::build(launch, mount)?;
    for directory in directories {
        socket::send(control, &[word::DIRECTORY], Some(directory.as_raw_fd())).map_err(at(Step::Channel))?;
    }
    if launch.plan.has(Wall::Processes) {
        // Programs name files by their pid: were it the same in each run, two runs would meet.
        let first = 1000 + process::random() % 20_000;
        std::fs::write("/proc/sys/kernel/ns_last_pid", first.to_string()).map_err(|error| Failure {
            step: Step::FirstPid,
            errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)),
            mount: None,
        })?;
    }
    process::set_dumpable(Dumpable::No).map_err(at(Step::Dumpable))
}

/// What may be done beside the payload.
fn finish(launch: &Launch<'_>, control: &OwnedFd) -> Result<(), Failure> {
    if launch.plan.has(Wall::Mounts) {
        Root::close_proc(launch.plan)?;
    }
    socket::send(control, &[word::CLOSED], None).map_err(at(Step::Channel))?;
    launch.usual.iter().for_each(Usual::resume);
    Ok(())
}

/// Waits for a word of the supervisor; ends with the supervisor.
fn await_word(control: &OwnedFd) {
    match socket::receive(control) {
        Ok(Some(_)) => {}
        Ok(None) | Err(_) => process::exit_now(125),
    }
}

/// The root, the names and the processes are the host's: nothing is made, but nothing that is started escapes this one.
fn prepare_without_namespaces() -> Result<(), Failure> {
    process::reset_signals(&TERMINAL);
    nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(at(Step::ProcessGroup))?;
    process::adopt_orphans().map_err(at(Step::DeathSignal))?;
    process::set_dumpable(Dumpable::No).map_err(at(Step::Dumpable))?;
    // Waited for, not acted upon; the payload gets a mask of its own.
    events().thread_block().map_err(at(Step::DeathSignal))?;
    process::signal_with_parent(END).map_err(at(Step::DeathSignal))
}

fn events() -> SigSet {
    SigSet::from_iter([Signal::SIGCHLD, Signal::SIGUSR1])
}

/// As [`reap`], where no namespace ends with this process: it ends all that it started, also when its parent is gone.
fn reap_without_namespace(launch: &Launch<'_>, payload: Pid, control: &OwnedFd) -> ! {
    process::close_all_but(control.as_raw_fd());
    let events = events();
    loop {
        if events.wait().is_ok_and(|signal| signal as libc::c_int == END) {
            process::end_descendants();
            process::exit_now(125)
        }
        while let Some(waited) = process::wait_any_now() {
            if waited.pid != payload.as_raw() {
                continue;
            }
            let stopped = libc::WIFSTOPPED(waited.status);
            if !stopped {
                process::end_descendants();
            }
            tell_end(launch, waited.status, control);
            if !stopped {
                process::exit_now(0)
            }
        }
    }
}

/// Tells a stop or the end of the payload.
fn tell_end(launch: &Launch<'_>, status: libc::c_int, control: &OwnedFd) {
    let stopped = libc::WIFSTOPPED(status);
    let mut bytes = vec![if stopped { word::STOPPED } else { word::ENDED }];
    bytes.extend(status.to_ne_bytes());
    socket::send(control, &bytes, None).ok();
    // With the last process the control group goes, and what it counted.
    if !stopped && launch.plan.limits.want_control_group() {
        socket::receive(control).ok();
    }
}

/// Sockets by which the host reaches what listens inside.
const SPARE: usize = 128;

/// Makes the sockets at which names are looked up and relays are entered, and spare ones, and hands them to the supervisor: init
/// alone may bind the port of a resolver, and what is to be of this network is made here.
fn sockets(control: &OwnedFd, spare: usize) -> Result<(), Errno> {
    namespace::loopback_stand_ins(RESOLVER, OWN_V6)?;
    let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(0));
    let udp = std::net::UdpSocket::bind((RESOLVER, 53)).map_err(errno)?;
    let tcp = std::net::TcpListener::bind((RESOLVER, 53)).map_err(errno)?;
    let relay = std::net::TcpListener::bind((RESOLVER, 0)).map_err(errno)?;
    for raw in [udp.as_raw_fd(), tcp.as_raw_fd(), relay.as_raw_fd()] {
        socket::send(control, &[word::RESOLVER], Some(raw))?;
    }
    // One that nobody touches, and those that are needed.
    for _ in 0..=spare {
        socket::send(control, &[word::RESOLVER], Some(inet::tcp_of_either()?.as_raw_fd()))?;
    }
    Ok(())
}

fn own_group(launch: &Launch<'_>) -> Result<(), Failure> {
    if launch.plan.has(Wall::ProcessGroup) {
        nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(at(Step::ProcessGroup))?;
    }
    Ok(())
}

/// Reaps until the payload ends, ends everything else inside, and then tells how the payload ended: whoever hears it need not
/// wait until the kernel has taken the namespaces apart.
fn reap(launch: &Launch<'_>, payload: Pid, control: &OwnedFd) -> ! {
    process::close_all_but(control.as_raw_fd());
    while let Some(waited) = process::wait_any() {
        if waited.pid != payload.as_raw() {
            continue;
        }
        let stopped = libc::WIFSTOPPED(waited.status);
        // Elsewhere "all others" would be everything that the user has running.
        if !stopped && launch.plan.has(Wall::Processes) {
            process::end_all_others();
        }
        tell_end(launch, waited.status, control);
        if !stopped {
            process::exit_now(0);
        }
    }
    process::exit_now(125)
}

fn payload(launch: &Launch<'_>, control: &OwnedFd) -> ! {
    match become_agent(launch, control) {
        Err(failure) => fail(control, failure),
        Ok(never) => match never {},
    }
}

fn become_agent(launch: &Launch<'_>, control: &OwnedFd) -> Result<std::convert::Infallible, Failure> {
    own_group(launch)?;
    // A fork of the supervisor has the supervisor's memory description, in which a tracer without privileges could not
    // attach to a non-dumpable task.
    process::set_dumpable(Dumpable::Yes).map_err(at(Step::Dumpable))?;
    // Told here, awaited below: the supervisor's answer is on its way while the rest is given up.
    socket::send(control, &[word::PAYLOAD], None).map_err(at(Step::Channel))?;
    nix::unistd::chdir(launch.workdir.as_c_str()).map_err(at(Step::WorkingDirectory))?;
    if launch.plan.has(Wall::Keyring) {
        process::new_session_keyring().map_err(at(Step::Keyring))?;
    }
    process::no_new_privileges().map_err(at(Step::NoNewPrivileges))?;
    if launch.plan.has(Wall::Capabilities) {
        let namespace = if launch.plan.has_namespaces() { Of::TheSandbox } else { Of::TheMachine };
        process::drop_capabilities(namespace).map_err(at(Step::Capabilities))?;
    }
    if launch.plan.has(Wall::Descriptors) {
        process::close_on_exec_from(3).map_err(at(Step::Descriptors))?;
    }
    let moved = launch.secrets.number(control)?;
    let control = moved.as_ref().unwrap_or(control);
    if launch.plan.has(Wall::Landlock)
        && let Some(ruleset) = &launch.plan.landlock
    {
        landlock::enter(ruleset)?;
    }
    await_word(control);
    let (soft, hard) = launch.descriptor_limit;
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).map_err(at(Step::Descriptors))?;
    launch.usual.iter().for_each(Usual::resume);
    process::reset_signals(&launch.ignored);
    if !launch.plan.has(Wall::Filter) {
        // Nothing is loaded.
    } else if launch.reports {
        let listener = seccomp::load_with_listener(&launch.filter).map_err(at(Step::Filter))?;
        socket::send(control, &[word::LISTENER], Some(listener.as_raw_fd())).map_err(at(Step::Channel))?;
    } else {
        seccomp::load(&launch.filter).map_err(at(Step::Filter))?;
    }
    nix::unistd::execve(&launch.program, &launch.arguments, &launch.environment).map_err(at(Step::Exec))
}
