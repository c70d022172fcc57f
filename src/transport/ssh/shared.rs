//! The bytes on their way between a stream and russh, and how each end tells the other that it may go on.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

/// The window of a client's channel: what the server may send before the client says that it arrived. russh says so
/// whenever half of it did, read or not.
pub(super) const CLIENT_WINDOW: u32 = 4 << 20;

/// The window of a server's channel, for what the client may send.
///
/// The message that opens the client's window comes after what the client sent before, which is at most this much, and
/// allows the server to send half of the client's window. So a server that reads only as fast as it writes has no more
/// unread after each such turn than before. With two windows of the same size it has, until it may receive no more:
/// then the message is not seen and both ends wait for ever. It cannot be so for both ends: a client has to read on
/// while it waits to write.
pub(super) const SERVER_WINDOW: u32 = CLIENT_WINDOW / 2;

/// Unread bytes at which the connection is not read any more.
const INBOX: usize = CLIENT_WINDOW as usize;

/// The same while we wait for the peer to let us write: its message comes after its data.
const INBOX_WHILE_WAITING: usize = 32 << 20;

/// Room that is made at once for what comes.
const STEP: usize = 64 << 10;

/// Bytes that may be written ahead of russh.
const OUTBOX: usize = 128 << 10;

/// What the stream, the session's handler, the wire below and the sending task share.
#[derive(Default)]
pub(super) struct Shared {
    inbox: Mutex<Inbox>,
    outbox: Mutex<Outbox>,
    /// The session, when it waits for room in the inbox.
    gate: AtomicWaker,
    /// The sending task waits for a message of the peer.
    is_waiting: AtomicBool,
    /// The peer's window has opened.
    opened: Notify,
    is_killed: AtomicBool,
    /// Nothing can be sent any more.
    deaf: Notify,
    /// The session has ended.
    gone: Notify,
}

#[derive(Default)]
struct Inbox {
    received: BytesMut,
    end: Option<End>,
    /// Nobody reads any more.
    unread: bool,
    reader: Option<Waker>,
}

/// How what is received ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer said so.
    Said,
    /// The connection ended in the middle.
    Lost,
}

#[derive(Default)]
struct Outbox {
    waiting: BytesMut,
    /// Taken by the sending task, and not yet russh's.
    in_hand: usize,
    /// No more will be written.
    is_closed: bool,
    /// The peer has been told, or is gone.
    is_done: bool,
    /// The peer takes no more.
    is_refused: bool,
    writer: Option<Waker>,
    sender: Option<Waker>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // nothing panics while it holds one
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// The part of the session's handler that fills the inbox. Dropping it ends the stream.
pub(super) struct Receiver(pub(super) Arc<Shared>);

impl Receiver {
    /// Data came.
    pub(super) fn data(&self, data: &[u8]) {
        let mut inbox = lock(&self.0.inbox);
        if inbox.unread || inbox.end.is_some() || data.is_empty() {
            return;
        }
        if inbox.received.is_empty() {
            inbox.received.reserve(STEP.max(data.len()));
        }
        inbox.received.extend_from_slice(data);
        wake(&mut inbox.reader);
    }

    /// The peer takes more.
    pub(super) fn opened(&self) {
        self.0.waits(false);
        self.0.opened.notify_one();
    }

    /// The peer will send no more.
    pub(super) fn eof(&self) {
        self.0.ended(End::Said);
    }

    /// The peer closed the channel: it takes no more either.
    pub(super) fn closed(&self) {
        self.0.ended(End::Said);
        self.0.refuse();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.0.ended(End::Lost);
        self.0.refuse();
        self.0.gone.notify_one();
    }
}

impl Shared {
    fn ended(&self, end: End) {
        let mut inbox = lock(&self.inbox);
        inbox.end.get_or_insert(end);
        wake(&mut inbox.reader);
    }

    pub(super) fn refuse(&self) {
        let mut outbox = lock(&self.outbox);
        outbox.is_refused = true;
        wake(&mut outbox.writer);
        wake(&mut outbox.sender);
        self.deaf.notify_one();
    }

    /// Ends the connection whatever it is doing.
    pub(super) fn kill(&self) {
        self.is_killed.store(true, Ordering::Release);
        self.gate.wake();
    }

    /// An error once the connection has to end; `cx` is woken then.
    pub(super) fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        self.gate.register(cx.waker());
        if self.is_killed.load(Ordering::Acquire) {
            Err(io::ErrorKind::ConnectionAborted.into())
        } else {
            Ok(())
        }
    }

    /// Whether the connection may be read further; if not, `cx` is woken when it may.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        let limit = if self.is_waiting.load(Ordering::Acquire) {
            INBOX_WHILE_WAITING
        } else {
            INBOX
        };
        if lock(&self.inbox).received.len() < limit {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// The sending task begins or ends to wait for a message of the peer.
    pub(super) fn waits(&self, is_waiting: bool) {
        self.is_waiting.store(is_waiting, Ordering::Release);
        if is_waiting {
            self.gate.wake();
        }
    }

    /// Waits until the peer's window has opened since the last time.
    pub(super) async fn opened(&self) {
        self.opened.notified().await;
    }

    /// Waits until the peer takes no more.
    pub(super) async fn refused(&self) {
        self.deaf.notified().await;
    }

    /// Waits until the session has ended, once.
    pub(super) async fn gone(&self) {
        self.gone.notified().await;
    }

    /// The peer has been told that there is no more, or will never be.
    pub(super) fn told(&self) {
        let mut outbox = lock(&self.outbox);
        outbox.is_done = true;
        wake(&mut outbox.writer);
    }

    /// Nobody has the stream any more: what comes is dropped, what was written is still sent.
    pub(super) fn abandon(&self) {
        let mut inbox = lock(&self.inbox);
        inbox.unread = true;
        inbox.received = BytesMut::new();
        drop(inbox);
        self.gate.wake();
        let mut outbox = lock(&self.outbox);
        outbox.is_closed = true;
        wake(&mut outbox.sender);
    }

    pub(super) fn poll_read(&self, cx: &Context<'_>, current: &mut Bytes) -> Poll<io::Result<()>> {
        let mut inbox = lock(&self.inbox);
        if !inbox.received.is_empty() {
            let was_full = inbox.received.len() >= INBOX;
            *current = inbox.received.split().freeze();
            if was_full {
                drop(inbox);
                self.gate.wake();
            }
            return Poll::Ready(Ok(()));
        }
        match inbox.end {
            Some(End::Said) => Poll::Ready(Ok(())),
            Some(End::Lost) => {
                let error = io::Error::new(io::ErrorKind::ConnectionReset, "the SSH connection was lost");
                Poll::Ready(Err(error))
            }
            None => {
                inbox.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn poll_write(&self, cx: &Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut outbox = lock(&self.outbox);
        if outbox.is_refused || outbox.is_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let mut room = OUTBOX.saturating_sub(outbox.waiting.len());
        let mut taken = 0;
        for buf in bufs {
            let part = buf.get(..room).unwrap_or(buf);
            outbox.waiting.extend_from_slice(part);
            taken += part.len();
            room -= part.len();
        }
        if taken == 0 && bufs.iter().any(|buf| !buf.is_empty()) {
            outbox.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        wake(&mut outbox.sender);
        Poll::Ready(Ok(taken))
    }

    /// Ready when russh has everything.
    pub(super) fn poll_flush(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut outbox = lock(&self.outbox);
        if outbox.is_refused {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if outbox.waiting.is_empty() && outbox.in_hand == 0 {
            return Poll::Ready(Ok(()));
        }
        outbox.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready when the peer has been told that this was all.
    pub(super) fn poll_shutdown(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut outbox = lock(&self.outbox);
        outbox.is_closed = true;
        wake(&mut outbox.sender);
        if outbox.is_done || outbox.is_refused {
            return Poll::Ready(Ok(()));
        }
        outbox.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The next bytes to send; `None` when there will be no more.
    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut outbox = lock(&self.outbox);
        outbox.in_hand = 0;
        if outbox.is_refused {
            return Poll::Ready(None);
        }
        if outbox.waiting.is_empty() {
            // a flush waits for this
            wake(&mut outbox.writer);
            if outbox.is_closed {
                return Poll::Ready(None);
            }
            outbox.sender = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let bytes = outbox.waiting.split().freeze();
        outbox.in_hand = bytes.len();
        wake(&mut outbox.writer);
        Poll::Ready(Some(bytes))
    }
}

/// Ends a connection that never became a stream.
pub(super) struct KillOnDrop(Option<Arc<Shared>>);

impl KillOnDrop {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self(Some(Arc::clone(shared)))
    }

    /// It has become one.
    pub(super) fn keep(mut self) -> Arc<Shared> {
        self.0.take().unwrap_or_default()
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.kill();
        }
    }
}
