//! A child in new namespaces, and its loopback device.
#![expect(unsafe_code, reason = "clone(2) without a new stack, and ioctl(2) on a network device")]

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::Pid;

/// Who returned from [`clone_into`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The caller; the child has this pid here.
    Parent(Pid),
    /// The child: pid 1 if the pid namespace is new.
    Child,
}

/// fork(2) into new namespaces.
///
/// # Errors
///
/// EPERM and ENOSPC where user namespaces are forbidden; see `probe::features` for what each means.
///
/// # Panics
///
/// Never; but the child shares fork's rule: if the caller has other threads, it may only do what is async-signal-safe. The
/// launcher calls this before it starts any thread but that of a maker (`sys::maker`), which neither allocates nor locks by then.
pub fn clone_into(namespaces: CloneFlags) -> Result<Side, Errno> {
    let flags = libc::c_long::from(namespaces.bits() | libc::SIGCHLD);
    // SAFETY: without CLONE_VM and with no stack given the child continues on a copy of this stack, as after fork(2). The
    // other arguments are null and so ignored, in the order of x86_64 as of aarch64.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match Errno::result(pid)? {
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent(Pid::from_raw(i32::try_from(pid).map_err(|_| Errno::EOVERFLOW)?))),
    }
}

/// A process that does nothing and holds a user namespace of its own, until this is dropped or the caller ends.
#[derive(Debug)]
pub struct Holder {
    pid: i32,
    /// When its last copy outside of the holder is closed, the holder ends.
    ours: Option<OwnedFd>,
    _stack: Vec<u128>,
}

impl Holder {
    /// Starts it, as a child that shares the caller's memory: nothing is copied for it. The caller may have no threads.
    pub fn start() -> Result<Self, Errno> {
        const STACK: usize = 16 << 10;
        let (theirs, ours) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let mut stack = vec![0_u128; STACK / 16];
        let ends = [theirs.as_raw_fd(), ours.as_raw_fd()];
        let flags = libc::CLONE_VM | libc::CLONE_NEWUSER | libc::SIGCHLD;
        // SAFETY: the end of a vector of `u128` is within its allocation and aligned for a stack.
        let top = unsafe { stack.as_mut_ptr().add(STACK / 16) };
        // The ends are passed in the pointer itself: this frame may be gone when the child looks.
        let packed = (u64::from(ends[0].cast_unsigned()) << 32) | u64::from(ends[1].cast_unsigned());
        let packed = usize::try_from(packed).map_err(|_| Errno::EOVERFLOW)?;
        // SAFETY: the child runs on a stack of its own, which is freed only after it was reaped, and makes system calls with
        // integers and one byte of that stack, no more: of our memory it touches nothing else.
        let pid = unsafe { libc::clone(hold, top.cast(), flags, std::ptr::without_provenance_mut(packed)) };
        Ok(Self { pid: Errno::result(pid)?, ours: Some(ours), _stack: stack })
    }

    /// Its pid.
    pub fn pid(&self) -> i32 {
        self.pid
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.ours.take());
        super::process::reap(self.pid);
    }
}

extern "C" fn hold(packed: *mut libc::c_void) -> libc::c_int {
    let packed = packed.addr() as u64;
    let (theirs, ours) = ((packed >> 32) as libc::c_int, (packed & 0xffff_ffff) as libc::c_int);
    let mut byte = 0_u8;
    // SAFETY: only an integer is passed; the descriptor is this process's own copy (no CLONE_FILES).
    unsafe { libc::close(ours) };
    // SAFETY: the byte is on this stack. It ends with 0 when the caller has closed its end, or ended; neither sets errno, which
    // is the caller's too.
    unsafe { libc::read(theirs, (&raw mut byte).cast(), 1) };
    0
}

/// Gives the loopback device of the caller's network namespace the addresses that stand for others: all of 198.18.0.0/15 is
/// local then (of a loopback device a whole prefix is), and a program sees that there is a network. A kernel without IPv6 does
/// without that one.
pub fn loopback_stand_ins(v4: std::net::Ipv4Addr, v6: (std::net::Ipv6Addr, u8)) -> Result<(), Errno> {
    let socket = super::inet::tcp(libc::AF_INET)?;
    for (request, address) in [(libc::SIOCSIFADDR, v4), (libc::SIOCSIFNETMASK, std::net::Ipv4Addr::new(255, 254, 0, 0))]
    {
        // SAFETY: `ifreq` is a plain C struct for which all-zero bytes are a value.
        let mut entry: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in entry.ifr_name.iter_mut().zip(b"lo:1") {
            *to = libc::c_char::from_ne_bytes([*from]);
        }
        let bytes = super::inet::encode(std::net::SocketAddr::new(address.into(), 0), libc::AF_INET);
        entry.ifr_ifru.ifru_addr = libc::sockaddr { sa_family: 2, sa_data: [0; 14] };
        // SAFETY: the member that was just written is read and written back.
        let place = unsafe { &mut entry.ifr_ifru.ifru_addr.sa_data };
        for (to, from) in place.iter_mut().zip(bytes.into_iter().skip(2)) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        // SAFETY: both requests read one `ifreq`, which outlives the call.
        let done = unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw const entry) };
        Errno::result(done)?;
    }
    #[repr(C)]
    struct In6Ifreq {
        address: [u8; 16],
        prefix: u32,
        index: libc::c_int,
    }
    let Ok(socket) = super::inet::tcp(libc::AF_INET6) else { return Ok(()) };
    // The first device of every network namespace is its loopback.
    let entry = In6Ifreq { address: v6.0.octets(), prefix: u32::from(v6.1), index: 1 };
    // SAFETY: SIOCSIFADDR on a socket of IPv6 reads one `in6_ifreq` (linux/ipv6.h), whose layout this is.
    unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFADDR, &raw const entry) };
    Ok(())
}

/// Brings up the loopback device of the caller's network namespace (netdevice(7)).
pub fn loopback_up() -> Result<(), Errno> {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: `ifreq` is a plain C struct for which all-zero bytes are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).map_err(|_| Errno::EINVAL)?;
    // SAFETY: SIOCSIFFLAGS reads one `ifreq`, which outlives the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    Errno::result(done).map(drop)
}
