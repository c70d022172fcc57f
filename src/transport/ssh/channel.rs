//! One channel of an SSH connection as a byte stream, for both ends.
//!
//! russh hands received data to whoever took the channel with a wait inside its one loop: a reader that stops, even
//! only to write, stops the loop, and with it what it wanted to write. So nobody takes the channel here. The session's
//! handler, which russh calls with the same data and never waits for, appends it to an inbox; [`Wire`](super::wire)
//! stops reading the connection while that is full. What is written goes to an outbox, which a task of its own empties
//! into russh, so that a write that was given up leaves nothing half done.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use russh::{ChannelId, ChannelMsg, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::shared::Shared;

/// How long the last bytes may take to leave once nobody has the stream any more.
const LINGER: Duration = Duration::from_secs(30);

/// How long the peer may take to end the connection by itself, and to say that it has everything.
const GOODBYE: Duration = Duration::from_secs(3);

/// How long russh may take to accept bytes that there is a window for. It takes longer when keys are exchanged: then
/// it accepts none until the peer has answered, and the answer comes after the peer's data.
const TURN: Duration = Duration::from_millis(100);

/// The stream. Dropping it closes the channel, and the connection with it.
pub(super) struct ChannelStream {
    shared: Arc<Shared>,
    current: Bytes,
    /// Tells the sending task that nobody has the stream any more.
    _leash: oneshot::Sender<()>,
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
        let (leash, released) = oneshot::channel();
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
    released: oneshot::Receiver<()>,
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
    shared.told();
    if !released.is_terminated() {
        let _dropped = released.await;
    }
    if sent {
        let _in_time = timeout(LINGER, owner.close(&channel)).await;
    }
    drop(channel);
    let has_ended = async |limit| timeout(limit, shared.gone()).await.is_ok();
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
        let sent = tokio::select! {
            biased;
            sent = send_in_pieces(shared, channel, bytes) => sent.is_ok(),
            () = shared.refused() => false,
        };
        shared.waits(false);
        if !sent {
            shared.refuse();
            return;
        }
    }
    let _gone = channel.eof().await;
}

/// Gives russh what the peer's window has room for, and says so while that is nothing: a write that merely waits for
/// its turn is no reason to receive more than is read.
async fn send_in_pieces<M>(
    shared: &Shared,
    channel: &ChannelWriteHalf<M>,
    mut bytes: Bytes,
) -> Result<(), russh::Error>
where
    M: From<(ChannelId, ChannelMsg)> + Send + Sync + 'static,
{
    while !bytes.is_empty() {
        let room = channel.writable_packet_size().await;
        if room == 0 {
            shared.waits(true);
            shared.opened().await;
            continue;
        }
        shared.waits(false);
        let mut sending = std::pin::pin!(channel.data_bytes(bytes.split_to(room.min(bytes.len()))));
        loop {
            match timeout(TURN, &mut sending).await {
                Ok(sent) => break sent?,
                // again and again, for a window that opens takes it back
                Err(_) => shared.waits(true),
            }
        }
    }
    Ok(())
}

impl Drop for ChannelStream {
    fn drop(&mut self) {
        self.shared.abandon();
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
