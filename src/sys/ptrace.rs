//! ptrace(2), one request a function, for tracees that were seized.
//!
//! ESRCH from any of them means that the tracee was killed meanwhile: never an error of the tracer's.
#![expect(
    unsafe_code,
    reason = "requests and signals that the safe wrappers do not know; a union that the kernel fills"
)]

use nix::errno::Errno;

/// Attaches to a running child without stopping it; it dies with the tracer, and so do all its children.
pub fn seize(tid: i32) -> Result<(), Errno> {
    let options = libc::PTRACE_O_EXITKILL
        | libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_TRACESECCOMP;
    request(libc::PTRACE_SEIZE, tid, 0, u64::from(options.unsigned_abs()))
}

/// How a stopped tracee goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// To the next event.
    Run,
    /// To the end of this call (or the beginning of the next).
    ToSyscall,
    /// Stays stopped as its process is, and reports when that ends.
    Listen,
}

/// Lets a stopped tracee go on, with `signal` delivered (0: none).
pub fn resume(tid: i32, how: Resume, signal: i32) -> Result<(), Errno> {
    let which = match how {
        Resume::Run => libc::PTRACE_CONT,
        Resume::ToSyscall => libc::PTRACE_SYSCALL,
        Resume::Listen => libc::PTRACE_LISTEN,
    };
    request(which, tid, 0, u64::from(signal.unsigned_abs()))
}

/// The message of the event that a tracee stopped at.
pub fn event_message(tid: i32) -> Result<u64, Errno> {
    let mut message: libc::c_ulong = 0;
    request(libc::PTRACE_GETEVENTMSG, tid, 0, (&raw mut message).addr() as u64)?;
    Ok(message)
}

/// A call at the stop that the filter asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Audit architecture token.
    pub arch: u32,
    /// Number in that ABI.
    pub number: u64,
    /// The six argument registers.
    pub arguments: [u64; 6],
}

/// The call that a tracee stopped at by the filter.
pub fn entry(tid: i32) -> Result<Entry, Errno> {
    let info = syscall_info(tid)?;
    match info.op {
        libc::PTRACE_SYSCALL_INFO_SECCOMP => {
            // SAFETY: the kernel said that this member of the union is the one it filled.
            let call = unsafe { info.u.seccomp };
            Ok(Entry { arch: info.arch, number: call.nr, arguments: call.args })
        }
        libc::PTRACE_SYSCALL_INFO_ENTRY => {
            // SAFETY: as above.
            let call = unsafe { info.u.entry };
            Ok(Entry { arch: info.arch, number: call.nr, arguments: call.args })
        }
        _ => Err(Errno::EINVAL),
    }
}

/// What the call that a tracee stopped at the end of returned; `None` when it is no such stop.
pub fn result(tid: i32) -> Result<Option<i64>, Errno> {
    let info = syscall_info(tid)?;
    if info.op != libc::PTRACE_SYSCALL_INFO_EXIT {
        return Ok(None);
    }
    // SAFETY: the kernel said that this member of the union is the one it filled.
    let exit = unsafe { info.u.exit };
    Ok(Some(exit.sval))
}

fn syscall_info(tid: i32) -> Result<libc::ptrace_syscall_info, Errno> {
    // SAFETY: all bytes zero is a valid value of this plain structure.
    let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::ptrace_syscall_info>() as u64;
    request(libc::PTRACE_GET_SYSCALL_INFO, tid, size, (&raw mut info).addr() as u64)?;
    Ok(info)
}

/// At the stop that the filter asked for: the call is not made, and returns `-errno`.
#[cfg(target_arch = "x86_64")]
pub fn refuse(tid: i32, errno: i32) -> Result<(), Errno> {
    let pid = nix::unistd::Pid::from_raw(tid);
    let mut registers = nix::sys::ptrace::getregs(pid)?;
    // Number -1 is the kernel's word for "skip it".
    registers.orig_rax = u64::MAX;
    registers.rax = i64::from(-errno).cast_unsigned();
    nix::sys::ptrace::setregs(pid, registers)
}

/// At the stop that the filter asked for: the call is not made, and returns `-errno`.
#[cfg(target_arch = "aarch64")]
pub fn refuse(tid: i32, errno: i32) -> Result<(), Errno> {
    const GENERAL: u64 = 1; // NT_PRSTATUS (linux/elf.h)
    const SYSTEM_CALL: u64 = 0x404; // NT_ARM_SYSTEM_CALL
    // SAFETY: all bytes zero is a valid value of this plain structure.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    let mut piece = libc::iovec { iov_base: (&raw mut registers).cast(), iov_len: size_of_val(&registers) };
    request(libc::PTRACE_GETREGSET, tid, GENERAL, (&raw mut piece).addr() as u64)?;
    // Number -1 is the kernel's word for "skip it"; what the first register holds then is the answer.
    let mut number: i32 = -1;
    let mut skip = libc::iovec { iov_base: (&raw mut number).cast(), iov_len: size_of_val(&number) };
    request(libc::PTRACE_SETREGSET, tid, SYSTEM_CALL, (&raw mut skip).addr() as u64)?;
    if let Some(answer) = registers.regs.first_mut() {
        *answer = i64::from(-errno).cast_unsigned();
    }
    request(libc::PTRACE_SETREGSET, tid, GENERAL, (&raw mut piece).addr() as u64)
}

/// The register of the sixth argument, at a stop at the beginning or the end of a call.
#[cfg(target_arch = "x86_64")]
pub fn set_sixth_argument(tid: i32, value: u64) -> Result<(), Errno> {
    let pid = nix::unistd::Pid::from_raw(tid);
    let mut registers = nix::sys::ptrace::getregs(pid)?;
    registers.r9 = value;
    nix::sys::ptrace::setregs(pid, registers)
}

/// The register of the sixth argument, at a stop at the beginning or the end of a call.
#[cfg(target_arch = "aarch64")]
pub fn set_sixth_argument(tid: i32, value: u64) -> Result<(), Errno> {
    const GENERAL: u64 = 1; // NT_PRSTATUS (linux/elf.h)
    // SAFETY: all bytes zero is a valid value of this plain structure.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    let mut piece = libc::iovec { iov_base: (&raw mut registers).cast(), iov_len: size_of_val(&registers) };
    request(libc::PTRACE_GETREGSET, tid, GENERAL, (&raw mut piece).addr() as u64)?;
    if let Some(sixth) = registers.regs.get_mut(5) {
        *sixth = value;
    }
    request(libc::PTRACE_SETREGSET, tid, GENERAL, (&raw mut piece).addr() as u64)
}

fn request(which: libc::c_uint, tid: i32, address: u64, data: u64) -> Result<(), Errno> {
    // SAFETY: the callers pass either plain numbers or the address of a live variable of the size that the request
    // writes; a tid that is no stopped tracee of ours gives ESRCH.
    let answer = unsafe { libc::ptrace(which, tid, address, data) };
    Errno::result(answer).map(drop)
}
