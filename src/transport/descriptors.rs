//! Open files that travel beside the bytes of a unix socket (`SCM_RIGHTS`).
//!
//! The kernel attaches them to the first byte they are sent with. A peer that does not ask for them never sees them:
//! its kernel closes them.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// Descriptors kept of a peer; further ones are closed.
const MAX_KEPT: usize = 4;

/// The open files that come and go with the bytes of one link. Cheap to clone; empty where the transport has none.
#[derive(Clone, Default)]
pub struct Descriptors(Option<Arc<Mutex<State>>>);

#[derive(Debug, Default)]
struct State {
    outgoing: Vec<OwnedFd>,
    kept: Vec<OwnedFd>,
    /// Nobody will ask for more.
    is_closed: bool,
}

impl Descriptors {
    /// Those of a unix socket.
    pub(super) fn of_socket() -> Self {
        Self(Some(Arc::default()))
    }

    /// Sends a file along with the next byte; false where that is not possible.
    pub fn offer(&self, file: OwnedFd) -> bool {
        let Some(mut state) = self.state() else {
            return false;
        };
        state.outgoing.push(file);
        true
    }

    /// The files the peer sent with the bytes read so far. None are kept after that.
    pub fn take(&self) -> Vec<OwnedFd> {
        let Some(mut state) = self.state() else {
            return Vec::new();
        };
        state.is_closed = true;
        std::mem::take(&mut state.kept)
    }

    pub(super) fn is_collecting(&self) -> bool {
        self.state().is_some_and(|state| !state.is_closed)
    }

    /// Sends `bufs` with the files that are to go; `None` when there are none.
    pub(super) fn send(&self, socket: impl AsFd, bufs: &[IoSlice<'_>]) -> Option<io::Result<usize>> {
        let mut state = self.state().filter(|state| !state.outgoing.is_empty())?;
        let files: Vec<_> = state.outgoing.iter().take(MAX_KEPT).map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_KEPT))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&files));
        let sent = sendmsg(socket, bufs, &mut control, SendFlags::NOSIGNAL);
        if sent.is_ok() {
            state.outgoing.clear();
        }
        Some(sent.map_err(io::Error::from))
    }

    /// Reads into `buf` and keeps the files that come along.
    pub(super) fn receive(&self, socket: impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_KEPT))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bufs = [IoSliceMut::new(buf)];
        let read = recvmsg(socket, &mut bufs, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
        let files = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        if let Some(mut state) = self.state() {
            let room = MAX_KEPT.saturating_sub(state.kept.len());
            state.kept.extend(files.flatten().take(room));
        }
        Ok(read)
    }

    fn state(&self) -> Option<MutexGuard<'_, State>> {
        // nothing can be half done in it
        let state = self.0.as_ref()?;
        Some(state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Descriptors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.state().map(|state| state.kept.len());
        f.debug_struct("Descriptors").field("kept", &kept).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn files_go_with_the_first_byte_and_few_are_kept() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (sender, receiver) = (Descriptors::of_socket(), Descriptors::of_socket());
        let (reading, writing) = rustix::pipe::pipe().unwrap();
        assert!(sender.send(&ours, &[IoSlice::new(b"x")]).is_none());
        assert!(sender.offer(reading));
        let bytes = IoSlice::new(b"hello");
        assert_eq!(sender.send(&ours, &[bytes]).unwrap().unwrap(), 5);
        assert!(sender.send(&ours, &[bytes]).is_none());
        rustix::io::write(&writing, b"through").unwrap();
        drop(writing);
        let mut buf = [0; 2];
        assert_eq!(receiver.receive(&theirs, &mut buf).unwrap(), 2);
        let mut files = receiver.take();
        let mut text = String::new();
        File::from(files.pop().unwrap())
            .read_to_string(&mut text)
            .unwrap();
        assert!(files.is_empty() && !receiver.is_collecting());
        assert_eq!(text, "through");

        let hoarder = Descriptors::of_socket();
        for _ in 0..3 {
            for _ in 0..3 {
                sender.offer(File::open("/dev/null").unwrap().into());
            }
            sender.send(&ours, &[bytes]).unwrap().unwrap();
            hoarder.receive(&theirs, &mut [0; 16]).unwrap();
        }
        assert_eq!(hoarder.take().len(), MAX_KEPT);
        assert!(!Descriptors::default().offer(File::open("/dev/null").unwrap().into()));
    }
}
