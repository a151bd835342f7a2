//! A message socket between the launcher and what it launches: bytes, descriptors, and who sent them.

#![expect(unsafe_code, reason = "takes ownership of descriptors that arrive in messages")]
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixCredentials, recvmsg,
    sendmsg, setsockopt, socketpair, sockopt,
};

/// One message.
#[derive(Debug)]
pub struct Message {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// A descriptor that came with it.
    pub descriptor: Option<OwnedFd>,
    /// The sender's pid, translated by the kernel into the receiver's pid namespace.
    pub sender: i32,
}

/// A pair of connected ends; the first one is told who sends.
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    setsockopt(&ours, sockopt::PassCred, &true)?;
    Ok((ours, theirs))
}

/// Sends `bytes`, with a descriptor if there is one.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptor: Option<RawFd>) -> Result<(), Errno> {
    let credentials = UnixCredentials::new();
    let descriptors: Vec<RawFd> = descriptor.into_iter().collect();
    let mut control = vec![ControlMessage::ScmCredentials(&credentials)];
    if !descriptors.is_empty() {
        control.push(ControlMessage::ScmRights(&descriptors));
    }
    let data = [IoSlice::new(bytes)];
    loop {
        match sendmsg::<()>(socket.as_fd().as_raw_fd(), &data, &control, MsgFlags::MSG_NOSIGNAL, None) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop),
        }
    }
}

/// The first byte of the next message, which stays; `None` when there is none now.
pub fn peek(socket: impl AsFd) -> Option<u8> {
    let mut first = [0_u8; 1];
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    match nix::sys::socket::recv(socket.as_fd().as_raw_fd(), &mut first, flags) {
        Ok(1..) => first.first().copied(),
        Ok(_) | Err(_) => None,
    }
}

/// The next message; `None` when every other end is closed.
pub fn receive(socket: impl AsFd) -> Result<Option<Message>, Errno> {
    use std::os::fd::FromRawFd as _;
    let mut bytes = [0_u8; 64];
    let mut space = cmsg_space!(UnixCredentials, [RawFd; 1]);
    let (length, descriptor, sender) = loop {
        let mut data = [IoSliceMut::new(&mut bytes)];
        match recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut data, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(message) => {
                let (mut descriptor, mut sender) = (None, 0);
                for control in message.cmsgs()? {
                    match control {
                        ControlMessageOwned::ScmRights(found) => descriptor = found.first().copied(),
                        ControlMessageOwned::ScmCredentials(credentials) => sender = credentials.pid(),
                        _ => {}
                    }
                }
                break (message.bytes, descriptor, sender);
            }
        }
    };
    // SAFETY: the kernel just put this descriptor into our table for this message; nobody else owns it.
    let descriptor = descriptor.map(|raw| unsafe { OwnedFd::from_raw_fd(raw) });
    if length == 0 {
        return Ok(None);
    }
    Ok(Some(Message { bytes: bytes.get(..length).unwrap_or_default().to_vec(), descriptor, sender }))
}
