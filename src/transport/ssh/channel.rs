//! One channel of an SSH connection as a byte stream, for both ends.
//!
//! russh hands received data to whoever took the channel with a wait inside its one loop: a reader that stops, even
//! only to write, stops the loop, and with it what it wanted to write. So nobody takes the channel here. The session's
//! handler, which russh calls with the same data and never waits for, appends it to an inbox; [`Wire`](super::wire)
//! stops reading the connection while that is full. What is written goes to an outbox, which a task of its own empties
//! into russh, so that a write that was given up leaves nothing half done.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use russh::{ChannelId, ChannelMsg, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::timeout;

/// The window of each channel: what a peer may send before we say that it arrived.
pub(super) const WINDOW: u32 = 4 << 20;

/// Unread bytes at which the connection is not read any more.
const INBOX: usize = WINDOW as usize;

/// The same while we wait for the peer's window to write: the message that opens it comes after its data.
const INBOX_WHILE_WRITING: usize = 32 << 20;

/// Room that is made at once for what comes.
const STEP: usize = 64 << 10;

/// Bytes that may be written ahead of russh.
const OUTBOX: usize = 128 << 10;

/// How long the last bytes may take to leave once nobody has the stream any more.
const LINGER: Duration = Duration::from_secs(30);

/// How long the peer may take to end the connection by itself, and to say that it has everything.
const GOODBYE: Duration = Duration::from_secs(3);

/// What the stream, the session's handler, the wire below and the sending task share.
#[derive(Default)]
pub(super) struct Shared {
    inbox: Mutex<Inbox>,
    outbox: Mutex<Outbox>,
    /// The session, when it waits for room in the inbox.
    gate: AtomicWaker,
    /// The sending task waits for the peer's window, perhaps.
    is_writing: AtomicBool,
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

    fn refuse(&self) {
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
        let limit = if self.is_writing.load(Ordering::Acquire) {
            INBOX_WHILE_WRITING
        } else {
            INBOX
        };
        if lock(&self.inbox).received.len() < limit {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn poll_read(&self, cx: &Context<'_>, current: &mut Bytes) -> Poll<io::Result<()>> {
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

    fn poll_write(&self, cx: &Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
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
    fn poll_flush(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
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
    fn poll_shutdown(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
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
    fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
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

/// The stream. Dropping it closes the channel, and the connection with it.
pub(super) struct ChannelStream {
    shared: Arc<Shared>,
    current: Bytes,
    /// Tells the sending task that nobody has the stream any more.
    _leash: tokio::sync::oneshot::Sender<()>,
}

/// What is particular to an end of the connection once the stream is done with.
pub(super) trait Owner: Send + 'static {
    /// Whether it is the peer who ends the connection after the channel.
    const PEER_ENDS: bool;

    /// The messages of that end.
    type Message: From<(ChannelId, ChannelMsg)> + Send + Sync + 'static;

    /// Waits until the peer has everything, if that matters.
    fn delivered(&self) -> impl Future<Output = ()> + Send;

    /// Says what precedes the end of the channel, and ends it.
    fn close(&self, channel: &ChannelWriteHalf<Self::Message>) -> impl Future<Output = ()> + Send;

    /// Asks the connection to end.
    fn disconnect(self) -> impl Future<Output = ()> + Send;
}

impl ChannelStream {
    /// The stream over a channel whose data goes to `shared`. `owner` is kept as long as the stream.
    pub(super) fn new<O: Owner>(
        shared: Arc<Shared>,
        channel: ChannelWriteHalf<O::Message>,
        owner: O,
    ) -> Self {
        let (leash, released) = tokio::sync::oneshot::channel();
        tokio::spawn(send(Arc::clone(&shared), channel, owner, released));
        Self {
            shared,
            current: Bytes::new(),
            _leash: leash,
        }
    }
}

/// Sends what is written until there is no more, then ends the channel when nobody reads either, then the connection.
async fn send<O: Owner>(
    shared: Arc<Shared>,
    channel: ChannelWriteHalf<O::Message>,
    owner: O,
    released: tokio::sync::oneshot::Receiver<()>,
) {
    let mut released = std::pin::pin!(released);
    let sent = {
        let mut sending = std::pin::pin!(send_all(&shared, &channel));
        tokio::select! {
            biased;
            () = &mut sending => true,
            _ = &mut released => timeout(LINGER, sending).await.is_ok(),
        }
    };
    if sent {
        let _in_time = timeout(GOODBYE, owner.delivered()).await;
    }
    {
        let mut outbox = lock(&shared.outbox);
        outbox.is_done = true;
        wake(&mut outbox.writer);
    }
    if !released.is_terminated() {
        let _dropped = released.await;
    }
    if sent {
        let _in_time = timeout(LINGER, owner.close(&channel)).await;
    }
    drop(channel);
    let has_ended = async |limit| timeout(limit, shared.gone.notified()).await.is_ok();
    if O::PEER_ENDS && has_ended(GOODBYE).await {
        return;
    }
    let _in_time = timeout(LINGER, owner.disconnect()).await;
    if !has_ended(LINGER).await {
        shared.kill();
    }
}

async fn send_all<M>(shared: &Shared, channel: &ChannelWriteHalf<M>)
where
    M: From<(ChannelId, ChannelMsg)> + Send + Sync + 'static,
{
    while let Some(bytes) = std::future::poll_fn(|cx| shared.poll_next(cx)).await {
        shared.is_writing.store(true, Ordering::Release);
        shared.gate.wake();
        let sent = tokio::select! {
            biased;
            sent = channel.data_bytes(bytes) => sent.is_ok(),
            () = shared.deaf.notified() => false,
        };
        shared.is_writing.store(false, Ordering::Release);
        if !sent {
            shared.refuse();
            return;
        }
    }
    let _gone = channel.eof().await;
}

impl Drop for ChannelStream {
    fn drop(&mut self) {
        let mut inbox = lock(&self.shared.inbox);
        inbox.unread = true;
        inbox.received = BytesMut::new();
        drop(inbox);
        self.shared.gate.wake();
        let mut outbox = lock(&self.shared.outbox);
        outbox.is_closed = true;
        wake(&mut outbox.sender);
    }
}

impl AsyncRead for ChannelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // the caller may have put something there already
        let before = buf.filled().len();
        while buf.remaining() > 0 {
            if this.current.is_empty() {
                match this.shared.poll_read(cx, &mut this.current) {
                    Poll::Ready(Ok(())) if !this.current.is_empty() => {}
                    // what there is comes first
                    _ if buf.filled().len() > before => break,
                    other => return other,
                }
            }
            let taken = this.current.len().min(buf.remaining());
            buf.put_slice(this.current.get(..taken).unwrap_or_default());
            this.current.advance(taken);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ChannelStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.shared.poll_write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.shared.poll_write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.poll_shutdown(cx)
    }
}
