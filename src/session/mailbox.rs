//! [`mailbox`]: messages to a thread that sleeps on its display.

use crate::system::{self, Alarm};
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
struct Wake(Arc<Alarm>);

impl Drop for Wake {
    fn drop(&mut self) {
        self.0.ring();
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

/// The receiving half, with an alarm that rings while there may be messages.
#[derive(Debug)]
pub struct Mailbox<T> {
    receiver: Receiver<T>,
    alarm: Arc<Alarm>,
}

/// A new pair.
pub fn mailbox<T>() -> std::io::Result<(Outbox<T>, Mailbox<T>)> {
    let alarm = Arc::new(Alarm::new()?);
    let (sender, receiver) = channel();
    Ok((
        Outbox {
            sender,
            wake: Wake(Arc::clone(&alarm)),
        },
        Mailbox { receiver, alarm },
    ))
}

impl<T> Outbox<T> {
    /// Sends a message; false when the thread is gone.
    pub fn send(&self, message: T) -> bool {
        let sent = self.sender.send(message).is_ok();
        self.wake.0.ring();
        sent
    }
}

impl<T> Mailbox<T> {
    /// Rings when there may be messages.
    pub fn wake(&self) -> system::Wake<'_> {
        self.alarm.wake()
    }

    /// Call once after waking, before reading messages.
    pub fn drain_wake(&self) {
        self.alarm.hush();
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
        system::wait(mailbox.wake(), None).unwrap();
        mailbox.drain_wake();
        assert_eq!(mailbox.next(), Ok(Some(1)));
        drop(outbox);
        assert_eq!(mailbox.next(), Err(Disconnected));
    }
}
