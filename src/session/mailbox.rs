//! [`mailbox`]: messages to a thread that sleeps in `poll(2)` on its display.

use rustix::event::EventfdFlags;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

/// The sending half: from anywhere, never blocks.
#[derive(Debug)]
pub struct Outbox<T> {
    // dropped before `wake`, so that a thread woken by the drop finds this sender gone
    sender: Sender<T>,
    wake: Wake,
}

/// Wakes the thread when dropped: it must notice that nobody can write to it any more.
#[derive(Clone, Debug)]
struct Wake(Arc<OwnedFd>);

impl Wake {
    fn wake(&self) {
        // a full counter means that the thread will wake anyway
        let _full = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        self.wake();
    }
}

impl<T> Clone for Outbox<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            wake: self.wake.clone(),
        }
    }
}

/// The receiving half, with a descriptor that is readable while there may be messages.
#[derive(Debug)]
pub struct Mailbox<T> {
    receiver: Receiver<T>,
    wake: Arc<OwnedFd>,
}

/// A new pair.
pub fn mailbox<T>() -> std::io::Result<(Outbox<T>, Mailbox<T>)> {
    let wake = Arc::new(rustix::event::eventfd(
        0,
        EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC,
    )?);
    let (sender, receiver) = channel();
    Ok((
        Outbox {
            sender,
            wake: Wake(Arc::clone(&wake)),
        },
        Mailbox { receiver, wake },
    ))
}

impl<T> Outbox<T> {
    /// Sends a message; false when the thread is gone.
    pub fn send(&self, message: T) -> bool {
        let sent = self.sender.send(message).is_ok();
        self.wake.wake();
        sent
    }
}

impl<T> Mailbox<T> {
    /// Readable when there may be messages.
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Call once after waking, before reading messages.
    pub fn drain_wake(&self) {
        let mut count = [0; 8];
        let _empty = rustix::io::read(&*self.wake, &mut count);
    }

    /// The next message: `Ok(None)` when there is none now, `Err` when all senders are gone.
    pub fn next(&self) -> Result<Option<T>, Disconnected> {
        match self.receiver.try_recv() {
            Ok(message) => Ok(Some(message)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Disconnected),
        }
    }
}

/// Every [`Outbox`] is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnected;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_wake_and_the_end_is_seen() {
        let (outbox, mailbox) = mailbox().unwrap();
        assert_eq!(mailbox.next(), Ok(None));
        assert!(outbox.clone().send(1));
        let mut fds = [rustix::event::PollFd::from_borrowed_fd(
            mailbox.wake(),
            rustix::event::PollFlags::IN,
        )];
        assert_eq!(rustix::event::poll(&mut fds, None), Ok(1));
        mailbox.drain_wake();
        assert_eq!(mailbox.next(), Ok(Some(1)));
        drop(outbox);
        assert_eq!(mailbox.next(), Err(Disconnected));
    }
}
