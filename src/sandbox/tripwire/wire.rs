//! The bytes of the FUSE protocol ↔ requests and replies: pure functions, no file system.
//!
//! Source: include/uapi/linux/fuse.h, protocol 7.31 and later. Invariant: any bytes are a request or a [`Malformed`]; nothing
//! is read beyond the message, and no length in it is believed. What this server has no use for is [`Operation::Other`].

/// Node of the root (FUSE_ROOT_ID).
pub const ROOT: u64 = 1;
/// Bytes of a write that a request carries at most.
pub const MAX_WRITE: u32 = 1 << 20;
/// Room that a read of the device needs: a write, with its header and arguments.
pub const MESSAGE: usize = MAX_WRITE as usize + 4096;

const OLDEST_MINOR: u32 = 31;
const NEWEST_MINOR: u32 = 45;

/// A message of the kernel that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed {
    /// Its serial, where as much of it could be read: somebody waits for an answer.
    pub unique: Option<u64>,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// To answer with.
    pub unique: u64,
    /// What it is about.
    pub node: u64,
    /// The thread that asks, in the pid namespace of whoever mounted; 0 where the kernel asks for itself.
    pub thread: u32,
    /// What is asked.
    pub operation: Operation<'a>,
}

/// A byte-range or whole-file lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// First byte.
    pub start: u64,
    /// Last byte; `i64::MAX` for the end of the file.
    pub end: u64,
    /// F_RDLCK, F_WRLCK or F_UNLCK.
    pub kind: u32,
    /// Who holds it.
    pub pid: u32,
}

/// A time to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// The present.
    Now,
    /// Seconds and nanoseconds since the epoch.
    At(i64, u32),
}

/// What FUSE_SETATTR changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The open file by which it is asked.
    pub handle: Option<u64>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Size.
    pub size: Option<u64>,
    /// Time of the last access.
    pub accessed: Option<Time>,
    /// Time of the last change.
    pub modified: Option<Time>,
}

/// What is asked. Names hold no slash and no NUL; the kernel keeps `.` and `..` to itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the operation of its name in linux/fuse.h")]
pub enum Operation<'a> {
    Init { major: u32, minor: u32, readahead: u32, flags: u64 },
    Lookup { name: &'a [u8] },
    Forget { count: u64 },
    ForgetMany { nodes: Vec<(u64, u64)> },
    GetAttributes { handle: Option<u64> },
    SetAttributes(Change),
    ReadLink,
    SymLink { name: &'a [u8] },
    MakeNode { name: &'a [u8], mode: u32 },
    MakeDirectory { name: &'a [u8], mode: u32 },
    Unlink { name: &'a [u8] },
    RemoveDirectory { name: &'a [u8] },
    Rename { name: &'a [u8], to: u64, new_name: &'a [u8], flags: u32 },
    Link { from: u64, name: &'a [u8] },
    Open { flags: u32 },
    Create { name: &'a [u8], flags: u32, mode: u32 },
    Read { handle: u64, offset: u64, size: u32 },
    Write { handle: u64, offset: u64, data: &'a [u8], from_cache: bool },
    Flush { handle: u64, owner: u64 },
    Release { handle: u64 },
    Sync { handle: u64, data_only: bool },
    Allocate { handle: u64, offset: u64, length: u64, mode: u32 },
    Seek { handle: u64, offset: u64, whence: u32 },
    GetXattr { name: &'a [u8], size: u32 },
    SetXattr { name: &'a [u8], value: &'a [u8], flags: u32 },
    ListXattr { size: u32 },
    RemoveXattr { name: &'a [u8] },
    GetLock { handle: u64, owner: u64, lock: Lock },
    SetLock { handle: u64, owner: u64, lock: Lock, whole_file: bool, wait: bool },
    OpenDirectory,
    ReadDirectory { handle: u64, offset: u64, size: u32, plus: bool },
    ReleaseDirectory { handle: u64 },
    SyncDirectory,
    Access { mask: u32 },
    StatFs,
    Interrupt { unique: u64 },
    Destroy,
    Other(u32),
}

/// A cursor over the bytes of a message.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_ne_bytes)
    }

    /// Up to the next NUL, which is consumed.
    fn string(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|&byte| byte == 0)?;
        let string = self.take(end)?;
        self.take(1)?;
        Some(string)
    }

    /// A name in a directory.
    fn name(&mut self) -> Option<&'a [u8]> {
        self.string().filter(|name| is_name(name))
    }

    fn lock(&mut self) -> Option<Lock> {
        Some(Lock { start: self.u64()?, end: self.u64()?, kind: self.u32()?, pid: self.u32()? })
    }
}

/// Whether `name` can be an entry of a directory.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !matches!(name, b"." | b"..")
        && !name.iter().any(|b| matches!(b, b'/' | 0))
}

/// Reads one message of the device.
pub fn parse(message: &[u8]) -> Result<Request<'_>, Malformed> {
    let mut bytes = Bytes(message);
    let header = (|| {
        let (length, opcode, unique, node) = (bytes.u32()?, bytes.u32()?, bytes.u64()?, bytes.u64()?);
        let (_uid, _gid, thread, extensions, _) =
            (bytes.u32()?, bytes.u32()?, bytes.u32()?, bytes.u16()?, bytes.u16()?);
        Some((length, opcode, unique, node, thread, extensions))
    })();
    let Some((length, opcode, unique, node, thread, extensions)) = header else {
        return Err(Malformed { unique: None });
    };
    let wrong = Malformed { unique: Some(unique) };
    if usize::try_from(length) != Ok(message.len()) {
        return Err(wrong);
    }
    // Extensions stand at the end, in units of eight bytes.
    let body = bytes.0.len().checked_sub(usize::from(extensions) * 8).ok_or(wrong)?;
    let mut bytes = Bytes(bytes.0.get(..body).ok_or(wrong)?);
    let operation = operation(opcode, &mut bytes).ok_or(wrong)?;
    Ok(Request { unique, node, thread, operation })
}

fn operation<'a>(opcode: u32, bytes: &mut Bytes<'a>) -> Option<Operation<'a>> {
    use Operation as O;
    Some(match opcode {
        1 => O::Lookup { name: bytes.name()? },
        2 => O::Forget { count: bytes.u64()? },
        3 => {
            let (flags, _, handle) = (bytes.u32()?, bytes.u32()?, bytes.u64()?);
            O::GetAttributes { handle: (flags & 1 != 0).then_some(handle) }
        }
        4 => O::SetAttributes(change(bytes)?),
        5 => O::ReadLink,
        6 => O::SymLink { name: bytes.name()? },
        8 => {
            let (mode, ..) = (bytes.u32()?, bytes.u32()?, bytes.u32()?, bytes.u32()?);
            O::MakeNode { mode, name: bytes.name()? }
        }
        9 => {
            let (mode, _) = (bytes.u32()?, bytes.u32()?);
            O::MakeDirectory { mode, name: bytes.name()? }
        }
        10 => O::Unlink { name: bytes.name()? },
        11 => O::RemoveDirectory { name: bytes.name()? },
        12 => O::Rename { to: bytes.u64()?, flags: 0, name: bytes.name()?, new_name: bytes.name()? },
        45 => {
            let (to, flags, _) = (bytes.u64()?, bytes.u32()?, bytes.u32()?);
            O::Rename { to, flags, name: bytes.name()?, new_name: bytes.name()? }
        }
        13 => O::Link { from: bytes.u64()?, name: bytes.name()? },
        14 => O::Open { flags: bytes.u32()? },
        35 => {
            let (flags, mode, _, _) = (bytes.u32()?, bytes.u32()?, bytes.u32()?, bytes.u32()?);
            O::Create { flags, mode, name: bytes.name()? }
        }
        15 => {
            let (handle, offset, size) = (bytes.u64()?, bytes.u64()?, bytes.u32()?);
            O::Read { handle, offset, size: size.min(MAX_WRITE) }
        }
        16 => write(bytes)?,
        17 => O::StatFs,
        18 => O::Release { handle: bytes.u64()? },
        20 => O::Sync { handle: bytes.u64()?, data_only: bytes.u32()? & 1 != 0 },
        21 => {
            let (size, flags) = (usize::try_from(bytes.u32()?).ok()?, bytes.u32()?);
            O::SetXattr { name: bytes.string()?, value: bytes.take(size)?, flags }
        }
        22 => {
            let (size, _) = (bytes.u32()?, bytes.u32()?);
            O::GetXattr { size, name: bytes.string()? }
        }
        23 => O::ListXattr { size: bytes.u32()? },
        24 => O::RemoveXattr { name: bytes.string()? },
        25 => {
            let (handle, _, owner) = (bytes.u64()?, bytes.u64()?, bytes.u64()?);
            O::Flush { handle, owner }
        }
        26 => init(bytes)?,
        27 => O::OpenDirectory,
        28 | 44 => {
            let (handle, offset, size) = (bytes.u64()?, bytes.u64()?, bytes.u32()?);
            O::ReadDirectory { handle, offset, size: size.min(MAX_WRITE), plus: opcode == 44 }
        }
        29 => O::ReleaseDirectory { handle: bytes.u64()? },
        30 => O::SyncDirectory,
        31..=33 => {
            let (handle, owner, lock, flags) = (bytes.u64()?, bytes.u64()?, bytes.lock()?, bytes.u32()?);
            match opcode {
                31 => O::GetLock { handle, owner, lock },
                _ => O::SetLock { handle, owner, lock, whole_file: flags & 1 != 0, wait: opcode == 33 },
            }
        }
        34 => O::Access { mask: bytes.u32()? },
        36 => O::Interrupt { unique: bytes.u64()? },
        38 => O::Destroy,
        42 => {
            let (count, _) = (bytes.u32()?, bytes.u32()?);
            let nodes = (0..count).map(|_| Some((bytes.u64()?, bytes.u64()?))).collect::<Option<_>>()?;
            O::ForgetMany { nodes }
        }
        43 => {
            let (handle, offset, length, mode) = (bytes.u64()?, bytes.u64()?, bytes.u64()?, bytes.u32()?);
            O::Allocate { handle, offset, length, mode }
        }
        46 => O::Seek { handle: bytes.u64()?, offset: bytes.u64()?, whence: bytes.u32()? },
        other => O::Other(other),
    })
}

fn change(bytes: &mut Bytes<'_>) -> Option<Change> {
    let (valid, _, handle, size, _owner) = (bytes.u32()?, bytes.u32()?, bytes.u64()?, bytes.u64()?, bytes.u64()?);
    let (accessed, modified, _changed) = (bytes.u64()?, bytes.u64()?, bytes.u64()?);
    let (accessed_ns, modified_ns, _changed_ns) = (bytes.u32()?, bytes.u32()?, bytes.u32()?);
    let (mode, _, uid, gid) = (bytes.u32()?, bytes.u32()?, bytes.u32()?, bytes.u32()?);
    let has = |bit: u32| valid & bit != 0;
    let time = |set: u32, now: u32, seconds: u64, nanoseconds: u32| match (has(set), has(now)) {
        (false, _) => None,
        (true, true) => Some(Time::Now),
        (true, false) => Some(Time::At(seconds.cast_signed(), nanoseconds)),
    };
    Some(Change {
        handle: has(1 << 6).then_some(handle),
        mode: has(1).then_some(mode),
        uid: has(2).then_some(uid),
        gid: has(4).then_some(gid),
        size: has(8).then_some(size),
        accessed: time(16, 128, accessed, accessed_ns),
        modified: time(32, 256, modified, modified_ns),
    })
}

fn write<'a>(bytes: &mut Bytes<'a>) -> Option<Operation<'a>> {
    let (handle, offset, size, flags) = (bytes.u64()?, bytes.u64()?, bytes.u32()?, bytes.u32()?);
    let (_owner, _open_flags, _) = (bytes.u64()?, bytes.u32()?, bytes.u32()?);
    let data = bytes.take(usize::try_from(size).ok()?)?;
    Some(Operation::Write { handle, offset, data, from_cache: flags & 1 != 0 })
}

fn init<'a>(bytes: &mut Bytes<'a>) -> Option<Operation<'a>> {
    let (major, minor, readahead, low) = (bytes.u32()?, bytes.u32()?, bytes.u32()?, bytes.u32()?);
    // Before 7.36 the message ended here.
    let high = if low & (1 << 30) == 0 { 0 } else { bytes.u32()? };
    Some(Operation::Init { major, minor, readahead, flags: u64::from(low) | u64::from(high) << 32 })
}

/// What of the kernel's offer is taken (FUSE_*, by bit): asynchronous reads, locks that are forwarded, big writes, changes
/// outside that invalidate, readdirplus, parallel lookups, capabilities of files that nobody sets, an error
/// after an abort, symlinks that the kernel keeps, directories without a handle.
const WANTED: [u8; 12] = [0, 1, 5, 10, 12, 13, 18, 21, 22, 23, 28, 42];

/// Seconds after which the kernel (6.14) gives up a request that nobody answers, and with it the connection.
pub const REQUEST_TIMEOUT: u16 = 300;

/// The answer to FUSE_INIT; `None` for a kernel that is too old.
pub fn init_reply(major: u32, minor: u32, readahead: u32, offered: u64) -> Option<Vec<u8>> {
    if major != 7 || minor < OLDEST_MINOR {
        return None;
    }
    let extended = offered & (1 << 30);
    let wanted = WANTED.iter().fold(extended, |all, bit| all | 1 << bit);
    let flags = wanted & offered & if extended == 0 { 0xffff_ffff } else { u64::MAX };
    let half = |shift: u32| u32::try_from(flags >> shift & 0xffff_ffff).unwrap_or(0);
    let mut out = Vec::with_capacity(64);
    for word in [7, minor.min(NEWEST_MINOR), readahead, half(0)] {
        out.extend(word.to_ne_bytes());
    }
    // Requests that may wait in the background, and when that is a crowd.
    out.extend(64u16.to_ne_bytes());
    out.extend(48u16.to_ne_bytes());
    out.extend(MAX_WRITE.to_ne_bytes());
    // Nanoseconds.
    out.extend(1u32.to_ne_bytes());
    out.extend(u16::try_from(MAX_WRITE / 4096).unwrap_or(u16::MAX).to_ne_bytes());
    out.extend(0u16.to_ne_bytes());
    out.extend(half(32).to_ne_bytes());
    out.extend(0u32.to_ne_bytes());
    out.extend(if flags & (1 << 42) == 0 { 0 } else { REQUEST_TIMEOUT }.to_ne_bytes());
    out.resize(64, 0);
    Some(out)
}

/// Attributes of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Last access: seconds, nanoseconds.
    pub accessed: (i64, u32),
    /// Last change of the contents.
    pub modified: (i64, u32),
    /// Last change of the attributes.
    pub changed: (i64, u32),
    /// Type and permission bits.
    pub mode: u32,
    /// Number of names.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// How long the kernel may believe what it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Not at all.
    None,
    /// So many seconds.
    Seconds(u64),
    /// For the life of the mount.
    Ever,
}

impl Validity {
    fn seconds(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Seconds(seconds) => seconds,
            // The kernel takes the sum with its clock; this many years are enough.
            Self::Ever => u64::from(u32::MAX),
        }
    }
}

fn attributes(out: &mut Vec<u8>, attributes: &Attributes) {
    let Attributes { accessed, modified, changed, .. } = *attributes;
    for word in [attributes.inode, attributes.size, attributes.blocks] {
        out.extend(word.to_ne_bytes());
    }
    [accessed, modified, changed].iter().for_each(|(seconds, _)| out.extend(seconds.to_ne_bytes()));
    [accessed, modified, changed].iter().for_each(|(_, nanoseconds)| out.extend(nanoseconds.to_ne_bytes()));
    let Attributes { mode, links, uid, gid, .. } = *attributes;
    for word in [mode, links, uid, gid, 0, 4096, 0] {
        out.extend(word.to_ne_bytes());
    }
}

fn entry_into(out: &mut Vec<u8>, node: u64, validity: Validity, of: &Attributes) {
    for word in [node, 0, validity.seconds(), validity.seconds()] {
        out.extend(word.to_ne_bytes());
    }
    out.extend([0; 8]);
    attributes(out, of);
}

/// A name that leads to `node`.
pub fn entry(node: u64, validity: Validity, of: &Attributes) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    entry_into(&mut out, node, validity, of);
    out
}

/// A name that leads nowhere, which the kernel may believe for a while.
pub fn no_entry(validity: Validity) -> Vec<u8> {
    entry(0, validity, &Attributes::default())
}

/// Attributes of a node.
pub fn attributes_reply(validity: Validity, of: &Attributes) -> Vec<u8> {
    let mut out = Vec::with_capacity(104);
    out.extend(validity.seconds().to_ne_bytes());
    out.extend([0; 8]);
    attributes(&mut out, of);
    out
}

/// What the kernel may keep of an open file or directory (FOPEN_*).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing beyond this opening.
    Nothing,
    /// The names of a directory.
    Names,
}

/// An open file or directory.
pub fn opened(handle: u64, keep: Keep) -> Vec<u8> {
    let mut out = handle.to_ne_bytes().to_vec();
    out.extend(if keep == Keep::Names { 2u32 | 8 } else { 0 }.to_ne_bytes());
    out.extend([0; 4]);
    out
}

/// So many bytes were written.
pub fn written(count: u32) -> Vec<u8> {
    [count.to_ne_bytes(), [0; 4]].concat()
}

/// An offset.
pub fn offset(offset: u64) -> Vec<u8> {
    offset.to_ne_bytes().to_vec()
}

/// A lock.
pub fn lock(lock: Lock) -> Vec<u8> {
    let mut out = Vec::with_capacity(24);
    [lock.start, lock.end].iter().for_each(|word| out.extend(word.to_ne_bytes()));
    [lock.kind, lock.pid].iter().for_each(|word| out.extend(word.to_ne_bytes()));
    out
}

/// Sizes of a file system: blocks in all, free, free for users, inodes, free inodes, block size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "statvfs(3)")]
pub struct Sizes {
    pub blocks: u64,
    pub free: u64,
    pub available: u64,
    pub files: u64,
    pub files_free: u64,
    pub block: u32,
}

/// The answer to statfs(2).
pub fn sizes(of: &Sizes) -> Vec<u8> {
    let mut out = Vec::with_capacity(80);
    for word in [of.blocks, of.free, of.available, of.files, of.files_free] {
        out.extend(word.to_ne_bytes());
    }
    for word in [of.block, 255, of.block, 0] {
        out.extend(word.to_ne_bytes());
    }
    out.resize(80, 0);
    out
}

/// An extended attribute or a list of their names, as the caller's buffer of `size` bytes asks for it; ERANGE when too small.
pub fn xattr(value: &[u8], size: u32) -> Result<Vec<u8>, i32> {
    let length = u32::try_from(value.len()).map_err(|_| libc::E2BIG)?;
    match size {
        0 => Ok([length.to_ne_bytes(), [0; 4]].concat()),
        size if length <= size => Ok(value.to_vec()),
        _ => Err(libc::ERANGE),
    }
}

/// A listing, filled until the caller's buffer is full.
#[derive(Debug)]
pub struct Listing {
    out: Vec<u8>,
    size: usize,
    plus: bool,
}

impl Listing {
    /// For a buffer of `size` bytes; `plus`: with the attributes of each.
    pub fn new(size: u32, plus: bool) -> Self {
        Self { out: Vec::new(), size: usize::try_from(size).unwrap_or(0), plus }
    }

    /// Adds a name; `next` is the offset of what follows it. `node` 0 tells the kernel nothing of the node. `false` when it no
    /// longer fits.
    pub fn add(&mut self, name: &[u8], next: u64, node: u64, validity: Validity, of: &Attributes) -> bool {
        let length = (if self.plus { 128 } else { 0 }) + (24 + name.len()).next_multiple_of(8);
        if self.out.len() + length > self.size {
            return false;
        }
        if self.plus {
            entry_into(&mut self.out, node, validity, of);
        }
        let start = self.out.len();
        self.out.extend(of.inode.to_ne_bytes());
        self.out.extend(next.to_ne_bytes());
        self.out.extend(u32::try_from(name.len()).unwrap_or(0).to_ne_bytes());
        self.out.extend((of.mode >> 12 & 0xf).to_ne_bytes());
        self.out.extend(name);
        self.out.resize(start + (24 + name.len()).next_multiple_of(8), 0);
        true
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }
}

/// A whole answer: the header, and the body or an errno.
pub fn reply(unique: u64, result: Result<&[u8], i32>) -> Vec<u8> {
    let body = result.unwrap_or_default();
    let mut out = Vec::with_capacity(16 + body.len());
    out.extend(u32::try_from(16 + body.len()).unwrap_or(16).to_ne_bytes());
    out.extend(result.map_or_else(|errno| -errno, |_| 0).to_ne_bytes());
    out.extend(unique.to_ne_bytes());
    out.extend(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(opcode: u32, node: u64, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(u32::try_from(40 + body.len()).unwrap().to_ne_bytes());
        out.extend(opcode.to_ne_bytes());
        out.extend(7u64.to_ne_bytes());
        out.extend(node.to_ne_bytes());
        for word in [1000u32, 1000, 4242, 0] {
            out.extend(word.to_ne_bytes());
        }
        out.extend(body);
        out
    }

    #[test]
    fn a_lookup_says_who_asks_for_which_name_where() {
        let bytes = message(1, 3, b".ssh\0");
        let request = parse(&bytes).unwrap();
        assert_eq!((request.unique, request.node, request.thread), (7, 3, 4242));
        assert_eq!(request.operation, Operation::Lookup { name: b".ssh" });
    }

    #[test]
    fn a_name_that_is_none_is_malformed_and_still_gets_an_answer() {
        for name in [&b"\0"[..], b"a/b\0", b"..\0", b"no end"] {
            assert_eq!(parse(&message(1, 1, name)), Err(Malformed { unique: Some(7) }), "{name:?}");
        }
    }

    #[test]
    fn a_length_that_the_message_has_not_is_not_believed() {
        let mut bytes = message(16, 1, &[0; 40]);
        // 40 + 40 bytes, and a size of a gigabyte in the middle.
        bytes[56..60].copy_from_slice(&(1u32 << 30).to_ne_bytes());
        assert!(parse(&bytes).is_err());
        let forged = message(42, 1, &u64::from(u32::MAX).to_ne_bytes());
        assert!(parse(&forged).is_err());
        let mut long = message(17, 1, &[]);
        long.push(0);
        assert!(parse(&long).is_err());
    }

    #[test]
    fn an_old_kernel_is_refused_and_a_new_one_is_offered_no_more_than_it_knows() {
        assert_eq!(init_reply(7, 30, 0, u64::MAX), None);
        assert_eq!(init_reply(8, 0, 0, u64::MAX), None);
        let flags = |reply: &[u8]| u32::from_ne_bytes(reply[12..16].try_into().unwrap());
        let reply = init_reply(7, 31, 0, 1 << 5).unwrap();
        assert_eq!((reply.len(), flags(&reply)), (64, 1 << 5));
        let reply = init_reply(7, 45, 0, u64::MAX).unwrap();
        assert_eq!(reply[40..42], REQUEST_TIMEOUT.to_ne_bytes());
        assert_eq!(flags(&reply) & (1 << 16), 0, "never writeback: the host may change the file");
    }

    #[test]
    fn a_listing_ends_before_its_buffer_does() {
        for plus in [false, true] {
            let mut listing = Listing::new(1000, plus);
            let mut count = 0;
            while listing.add(b"name", count + 1, 0, Validity::None, &Attributes::default()) {
                count += 1;
            }
            let bytes = listing.into_bytes();
            assert!(bytes.len() <= 1000 && bytes.len().is_multiple_of(8) && count >= 6, "{count}");
        }
    }

    #[test]
    fn replies_have_the_sizes_of_the_header_file() {
        let of = Attributes::default();
        assert_eq!(entry(1, Validity::Ever, &of).len(), 128);
        assert_eq!(attributes_reply(Validity::None, &of).len(), 104);
        assert_eq!(opened(1, Keep::Names).len(), 16);
        assert_eq!(reply(9, Err(libc::ENOENT))[4..8], (-libc::ENOENT).to_ne_bytes());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_malformed(bytes: Vec<u8>) {
            if let Err(malformed) = parse(&bytes) {
                prop_assert!(malformed.unique.is_none() || bytes.len() >= 40);
            }
        }

        #[test]
        fn any_body_of_any_operation_is_a_request_or_malformed(opcode in 0u32..60, body: Vec<u8>) {
            let bytes = message(opcode, 1, &body);
            if let Err(malformed) = parse(&bytes) {
                prop_assert_eq!(malformed.unique, Some(7));
            }
        }
    }
}
