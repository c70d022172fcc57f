//! What lies between russh and the connection, so that neither direction can stop the other.
//!
//! russh writes and reads in turns: while it waits to write it does not read. Two ends that do so at once, each with a
//! window full of data for the other, would wait for ever. So whoever waits to write reads ahead here, as much as the
//! peer's window allows it to send.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::shared::{CLIENT_WINDOW, Shared};
use crate::transport::Stream;

/// The most that is read ahead: the larger window of data and all that may be said beside it.
const AHEAD: usize = 2 * CLIENT_WINDOW as usize;

/// Bytes read ahead at once.
const STEP: usize = 64 << 10;

/// A connection that carries SSH, whose channel's state is `shared`.
pub(super) struct Wire<S> {
    stream: S,
    ahead: BytesMut,
    /// The end was seen while reading ahead.
    has_ended: bool,
    /// Bytes to be written next that the peer has already.
    said: usize,
    shared: Arc<Shared>,
}

impl<S: Stream> Wire<S> {
    pub(super) fn new(stream: S, shared: Arc<Shared>) -> Self {
        Self {
            stream,
            ahead: BytesMut::new(),
            has_ended: false,
            said: 0,
            shared,
        }
    }

    /// So many of the first bytes were written by somebody else: they are not written again.
    pub(super) const fn after(mut self, said: usize) -> Self {
        self.said = said;
        self
    }

    /// Reads what has come, up to the limit. The end, or an error, is left for whoever reads in earnest.
    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        while !self.has_ended && self.ahead.len() < AHEAD {
            self.ahead.reserve(STEP);
            let reading = std::pin::pin!(self.stream.read_buf(&mut self.ahead));
            match reading.poll(cx) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => self.has_ended = true,
                Poll::Pending => return,
            }
        }
    }
}

impl<S: Stream> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.shared.poll_room(cx))?;
        if this.ahead.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let taken = this.ahead.len().min(buf.remaining());
        buf.put_slice(this.ahead.get(..taken).unwrap_or_default());
        this.ahead.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.said > 0 {
            let skipped = self.said.min(buf.len());
            self.said -= skipped;
            return Poll::Ready(Ok(skipped));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if written.is_pending() {
            self.shared.check(cx)?;
            self.read_ahead(cx);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
