//! What a process is and may: capabilities, keyring, descriptors, death signal, its end.
#![expect(
    unsafe_code,
    reason = "prctl(2), capset(2), keyctl(2) and close_range(2) have no safe wrapper for these uses"
)]

use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::resource::Resource;

/// 16 random hexadecimal digits from the kernel.
pub fn random_name() -> String {
    format!("{:016x}", random())
}

/// A random number from the kernel (getrandom(2)); 0 if the kernel has none, which it does not do once booted.
pub fn random() -> u64 {
    let mut bytes = [0_u8; 8];
    // SAFETY: the buffer is writable for the length that is passed.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    u64::from_ne_bytes(bytes)
}

/// A file that the kernel makes up: it says that it is empty, so without room made beforehand it is read in small pieces.
pub fn proc_file(path: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(8192);
    std::fs::File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Descriptors 0, 1 and 2, whatever they are; one that is closed answers EBADF to each use.
pub fn standard_streams() -> [BorrowedFd<'static>; 3] {
    // SAFETY: they are used for fcntl(2), fstat(2) and the like only, for which a closed number is an error and no more;
    // none is -1.
    [0, 1, 2].map(|number| unsafe { BorrowedFd::borrow_raw(number) })
}

/// A copy of a descriptor with the lowest free number from `least` on, closed on exec.
pub fn duplicate_from(descriptor: impl AsFd, least: libc::c_int) -> Result<OwnedFd, Errno> {
    let raw = nix::fcntl::fcntl(descriptor, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(least))?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A copy of a descriptor that the caller of this program left open, by its number.
///
/// # Errors
///
/// EBADF when it is not open.
pub fn copy_of_inherited(number: RawFd) -> Result<OwnedFd, Errno> {
    if number < 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: used for this one call, for which a number that is not open is an error and no more.
    duplicate_from(unsafe { BorrowedFd::borrow_raw(number) }, 3)
}

/// Makes `number` a copy of a descriptor that stays open on exec; whatever had the number is closed.
pub fn duplicate_to(descriptor: BorrowedFd<'_>, number: RawFd) -> Result<(), Errno> {
    // SAFETY: integers alone. The caller is about to exec and uses nothing by that number.
    Errno::result(unsafe { libc::dup2(descriptor.as_raw_fd(), number) }).map(drop)
}

/// prctl(2) with integer arguments.
fn prctl(option: libc::c_int, argument: libc::c_ulong, further: libc::c_ulong) -> Result<(), Errno> {
    // SAFETY: only options whose arguments are integers come here; nothing is dereferenced.
    let done = unsafe { libc::prctl(option, argument, further, 0, 0) };
    Errno::result(done).map(drop)
}

/// The kernel kills the caller when the *thread* that made it ends.
pub fn die_with_parent() -> Result<(), Errno> {
    let signal = libc::c_ulong::try_from(libc::SIGKILL).map_err(|_| Errno::EINVAL)?;
    prctl(libc::PR_SET_PDEATHSIG, signal, 0)
}

/// The kernel sends `signal` to the caller when the *thread* that made it ends.
pub fn signal_with_parent(signal: libc::c_int) -> Result<(), Errno> {
    prctl(libc::PR_SET_PDEATHSIG, libc::c_ulong::try_from(signal).map_err(|_| Errno::EINVAL)?, 0)
}

/// Descendants whose parent ends become children of the caller (PR_SET_CHILD_SUBREAPER).
pub fn adopt_orphans() -> Result<(), Errno> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0)
}

/// Whether others of the same user may trace the caller and read its /proc files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dumpable {
    /// Only a holder of CAP_SYS_PTRACE.
    No,
    /// The same user.
    Yes,
}

/// Sets [`Dumpable`].
pub fn set_dumpable(dumpable: Dumpable) -> Result<(), Errno> {
    prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(dumpable == Dumpable::Yes), 0)
}

/// No exec of the caller or its children gains privileges from now on (PR_SET_NO_NEW_PRIVS).
pub fn no_new_privileges() -> Result<(), Errno> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)
}

/// The user namespace that the caller is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// One that was made for it, in which it has every capability.
    TheSandbox,
    /// That of whoever started it, in which it may have none.
    TheMachine,
}

/// Removes every capability for good: the ambient and bounding sets, and root's magic with locked securebits
/// (capabilities(7)), then the caller's own three sets.
pub fn drop_capabilities(namespace: Of) -> Result<(), Errno> {
    const SECBIT_NOROOT_AND_KIN_LOCKED: libc::c_ulong = 0b0010_1111;
    const PR_CAP_AMBIENT_CLEAR_ALL: libc::c_ulong = 4;
    prctl(libc::PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0)?;
    for capability in 0..64 {
        match prctl(libc::PR_CAPBSET_DROP, capability, 0) {
            // Past the last one that this kernel knows.
            Err(Errno::EINVAL) => break,
            // Who has none may not drop any for good; by no_new_privs no exec gains one, for root neither.
            Err(Errno::EPERM) if namespace == Of::TheMachine => break,
            other => other?,
        }
    }
    match prctl(libc::PR_SET_SECUREBITS, SECBIT_NOROOT_AND_KIN_LOCKED, 0) {
        Err(Errno::EPERM) if namespace == Of::TheMachine => {}
        other => other?,
    }
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    let header = Header { version: 0x2008_0522, pid: 0 };
    let none = [0_u32; 6];
    // SAFETY: the header names version 3, for which the kernel reads two triples of u32: `none` is six of them.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) };
    Errno::result(done).map(drop)
}

/// A new, empty session keyring (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING). A kernel without keyrings has none to inherit.
pub fn new_session_keyring() -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring; nothing is dereferenced.
    let done = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0) };
    match Errno::result(done) {
        Ok(_) | Err(Errno::ENOSYS) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2), Linux 5.11).
pub fn close_on_exec_from(first: RawFd) -> Result<(), Errno> {
    let first = libc::c_uint::try_from(first).map_err(|_| Errno::EBADF)?;
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: only integers are passed; a descriptor that is marked stays valid until exec.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) };
    Errno::result(done).map(drop)
}

/// Closes every descriptor from 0 on but `kept`.
pub fn close_all_but(kept: RawFd) {
    let Ok(kept) = libc::c_uint::try_from(kept) else { return };
    if kept > 0 {
        // SAFETY: only integers are passed. The caller owns no descriptor that it uses afterwards but `kept`.
        unsafe { libc::syscall(libc::SYS_close_range, 0, kept - 1, 0) };
    }
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_close_range, kept + 1, libc::c_uint::MAX, 0) };
}

/// A descriptor of process `pid` (pidfd_open(2), Linux 5.3).
pub fn pidfd(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: only integers are passed.
    let raw = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let raw = RawFd::try_from(raw).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Whether thread `tid` is one of process `pid` by now.
pub fn is_thread(pid: i32, tid: i32) -> bool {
    // SAFETY: only integers are passed; signal 0 is none.
    Errno::result(unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, 0) }) != Err(Errno::ESRCH)
}

/// Sends `signal` to the process behind a pidfd: never to another that got its number.
pub fn signal(process: impl AsFd, signal: libc::c_int) -> Result<(), Errno> {
    // SAFETY: a null siginfo asks the kernel to fill it in as kill(2) does.
    let done = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_fd().as_raw_fd(), signal, 0, 0) };
    Errno::result(done).map(drop)
}

/// Lowers a resource limit of process `pid` for good (prlimit(2)); one that is lower already stays.
pub fn lower_limit(pid: i32, resource: Resource, value: u64) -> Result<(), Errno> {
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a null new limit only asks; `old` is writable for one `rlimit`.
    let done = unsafe { libc::prlimit(pid, resource as libc::__rlimit_resource_t, std::ptr::null(), &raw mut old) };
    Errno::result(done)?;
    let new = libc::rlimit { rlim_cur: value.min(old.rlim_max), rlim_max: value.min(old.rlim_max) };
    // SAFETY: `new` is a whole `rlimit` that the kernel only reads; a null old one is not written.
    let done =
        unsafe { libc::prlimit(pid, resource as libc::__rlimit_resource_t, &raw const new, std::ptr::null_mut()) };
    Errno::result(done).map(drop)
}

/// fork(2).
pub fn fork() -> Result<nix::unistd::ForkResult, Errno> {
    // SAFETY: the launcher has no other threads on either side of this call: see `namespace::clone_into`.
    unsafe { nix::unistd::fork() }
}

/// Whether a descriptor is a terminal (isatty(3)).
pub fn is_terminal(descriptor: RawFd) -> bool {
    // SAFETY: only an integer is passed; a closed descriptor answers no.
    unsafe { libc::isatty(descriptor) == 1 }
}

/// Signals whose disposition this program or its runtime changes, and SIGCHLD, which a caller may have changed to its harm.
/// Handlers end with exec; what else the caller ignores stays as it is all the way to the agent.
const CHANGED: [libc::c_int; 9] = [
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGHUP,
    libc::SIGTERM,
    libc::SIGTSTP,
    libc::SIGTTOU,
    libc::SIGTTIN,
    libc::SIGPIPE,
    libc::SIGCHLD,
];

/// Of the signals that this program changes, `ignored` are ignored and the others have their default action; none is blocked.
pub fn reset_signals(ignored: &[libc::c_int]) {
    for number in CHANGED {
        let action = if ignored.contains(&number) { libc::SIG_IGN } else { libc::SIG_DFL };
        // SAFETY: SIG_DFL and SIG_IGN are dispositions, no code is installed.
        unsafe { libc::signal(number, action) };
    }
    nix::sys::signal::SigSet::empty().thread_set_mask().ok();
}

/// Those of the signals that this program changes which its caller ignores: an exec'ed program inherits that (signal(7)).
pub fn ignored_signals() -> Vec<libc::c_int> {
    let mut ignored = Vec::new();
    for number in CHANGED {
        // SAFETY: `sigaction` is a plain C struct for which all-zero bytes are a value.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: a null new action only asks; `action` is writable for one `sigaction`.
        let done = unsafe { libc::sigaction(number, std::ptr::null(), &raw mut action) };
        // The Rust runtime ignores SIGPIPE in this process; the agent is to have what its caller had: the default.
        if done == 0 && action.sa_sigaction == libc::SIG_IGN && number != libc::SIGPIPE {
            ignored.push(number);
        }
    }
    ignored
}

/// Ends the process at once, running nothing of it (exit_group(2)).
pub fn exit_now(code: libc::c_int) -> ! {
    // SAFETY: does not return and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// What a wait for children brought: raw pid and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waited {
    /// Which child.
    pub pid: i32,
    /// The raw status of wait(2).
    pub status: libc::c_int,
}

/// Waits for any child to end or stop. `None`: there is no child left.
pub fn wait_any() -> Option<Waited> {
    loop {
        let mut status = 0;
        // SAFETY: `status` is writable.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WUNTRACED | libc::__WALL) };
        match Errno::result(pid) {
            Ok(pid) => return Some(Waited { pid, status }),
            Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}

/// As [`wait_any`], without waiting.
pub fn wait_any_now() -> Option<Waited> {
    let mut status = 0;
    // SAFETY: `status` is writable.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WUNTRACED | libc::WNOHANG | libc::__WALL) };
    (pid > 0).then_some(Waited { pid, status })
}

/// For who [adopts orphans](adopt_orphans): ends all descendants, one by one, and returns when none is left.
pub fn end_descendants() {
    loop {
        for pid in descendants(nix::unistd::getpid().as_raw()) {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).ok();
        }
        while wait_any_now().is_some() {}
        // SAFETY: a null status is not written.
        let left = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) };
        if Errno::result(left).is_err() {
            return;
        }
        // What was made while this looked is found when it looks again.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Pids of everything below `top` now.
fn descendants(top: i32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name before it may hold anything, parentheses too.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut found = vec![top];
    let mut at = 0;
    while let Some(above) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, parent)| *parent == above).map(|(pid, _)| *pid));
        at += 1;
    }
    found.split_off(1)
}

/// For the init of a pid namespace: ends every other process in it, and returns when all are gone. One signal reaches even
/// those that are being made: fork(2) fails in a parent that is to be killed.
pub fn end_all_others() {
    // ESRCH: there was none.
    if nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), nix::sys::signal::Signal::SIGKILL).is_ok() {
        while wait_any().is_some() {}
    }
}

/// Takes the end of child `pid` if it came already.
pub fn reap_if_ended(pid: i32) {
    // SAFETY: a null status is not written.
    unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL | libc::WNOHANG) };
}

/// Takes the end of child `pid`, waiting for it. For a child that somebody else waited for already there is nothing to do.
pub fn reap(pid: i32) {
    let mut status = 0;
    loop {
        // SAFETY: `status` is writable.
        let done = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
        match Errno::result(done) {
            Err(Errno::EINTR) => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Lets the process have as many descriptors as it may.
pub fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).ok();
    }
}
