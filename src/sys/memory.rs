//! Reading the memory of a stopped tracee. Every byte read is untrusted, and may change right after.
#![expect(unsafe_code, reason = "process_vm_readv into a buffer of our own")]

use nix::errno::Errno;

const PAGE: u64 = 4096;
/// Most paths are shorter: one call reads them whole.
const FIRST: usize = 256;
/// Most paths are shorter than this, too, so that the next page need not be touched where so much is left of the first.
const ENOUGH: usize = 96;

/// Reads up to `buffer.len()` bytes at `address`; fewer where the memory ends.
pub fn read(tid: i32, address: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let length = buffer.len();
    // Split at the page boundaries: the kernel may give all of an element or nothing of it.
    let to_page_end = usize::try_from(PAGE - address % PAGE).unwrap_or(length).min(length);
    let remote = [
        piece(address, to_page_end),
        piece(address.wrapping_add(to_page_end as u64), (length - to_page_end).min(4096)),
        piece(address.wrapping_add(to_page_end as u64 + PAGE), (length - to_page_end).saturating_sub(4096)),
    ];
    let pieces = remote.iter().take_while(|piece| piece.iov_len > 0).count();
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: length };
    // SAFETY: `local` describes `buffer`, which is exclusively ours for the call; the remote addresses are only read, and
    // bad ones give EFAULT.
    let got = unsafe { libc::process_vm_readv(tid, &raw const local, 1, remote.as_ptr(), pieces as u64, 0) };
    Errno::result(got).map(isize::unsigned_abs)
}

fn piece(address: u64, length: usize) -> libc::iovec {
    libc::iovec { iov_base: std::ptr::without_provenance_mut(usize::try_from(address).unwrap_or(0)), iov_len: length }
}

/// Reads the string at `address` up to its NUL into `into`, which is cleared first. At most PATH_MAX bytes; a longer one is
/// ENAMETOOLONG, as the kernel says.
pub fn string(tid: i32, address: u64, into: &mut Vec<u8>) -> Result<(), Errno> {
    into.clear();
    let limit = libc::PATH_MAX.unsigned_abs() as usize;
    let left = usize::try_from(PAGE - address % PAGE).unwrap_or(FIRST);
    let mut want = if left < ENOUGH { FIRST } else { FIRST.min(left) };
    while into.len() < limit {
        let start = into.len();
        into.resize((start + want).min(limit), 0);
        let got = match into.get_mut(start..) {
            Some(buffer) => read(tid, address.wrapping_add(start as u64), buffer)?,
            None => 0,
        };
        into.truncate(start + got);
        if let Some(end) = into.iter().skip(start).position(|&byte| byte == 0) {
            into.truncate(start + end);
            return Ok(());
        }
        if got == 0 {
            return Err(Errno::EFAULT);
        }
        want = limit;
    }
    Err(Errno::ENAMETOOLONG)
}

/// Reads one little-endian 64-bit word.
pub fn word(tid: i32, address: u64) -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    match read(tid, address, &mut bytes)? {
        8 => Ok(u64::from_le_bytes(bytes)),
        _ => Err(Errno::EFAULT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_read_to_its_end_and_one_without_end_is_refused() {
        let me = nix::unistd::getpid().as_raw();
        let mut text = vec![b'a'; 1000];
        text.push(0);
        let mut out = Vec::new();
        string(me, text.as_ptr() as u64, &mut out).unwrap();
        assert_eq!(out.len(), 1000);
        let page = usize::try_from(PAGE).unwrap();
        let mut pages = vec![b'a'; 3 * page];
        let boundary = 2 * page - pages.as_ptr().addr() % page;
        for (before, length) in [(10, 200), (95, 200), (96, 95), (96, 96), (96, 97), (300, 299), (300, 400)] {
            let at = boundary - before;
            pages[at + length] = 0;
            string(me, pages[at..].as_ptr() as u64, &mut out).unwrap();
            assert_eq!(out.len(), length, "{before} bytes before the end of a page");
            pages[at + length] = b'a';
        }
        let endless = vec![b'a'; 10_000];
        assert_eq!(string(me, endless.as_ptr() as u64, &mut out), Err(Errno::ENAMETOOLONG));
        assert_eq!(string(me, 8, &mut out), Err(Errno::EFAULT));
    }
}
