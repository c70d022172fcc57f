//! A stream whose peer has to read what it asked for: writing to one that does not is an error after a while.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a peer may take none of what is sent. The kernel wants room for a third of its buffer before it takes more,
/// which on a slow line takes seconds by itself.
const STALL: Duration = Duration::from_secs(60);

/// A stream, and since when its peer reads nothing.
#[derive(Debug)]
pub(super) struct MustRead<S> {
    stream: S,
    stall: Option<Pin<Box<Sleep>>>,
}

impl<S> MustRead<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, stall: None }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// `progress`, unless there was none for too long.
    fn watch<T>(&mut self, progress: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.stall = None;
            return progress;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(stall.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the peer does not read what it is sent",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MustRead<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MustRead<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(progress, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(progress, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let progress = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(progress, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::timeout;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up() {
        let (near, _far) = duplex(64);
        let mut stream = MustRead::new(near);
        let mut sending = std::pin::pin!(stream.write_all(&[0; 1000]));
        timeout(STALL - SECOND, &mut sending).await.unwrap_err();
        let error = timeout(SECOND * 2, sending).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_gets_all() {
        let (near, mut far) = duplex(64);
        let mut stream = MustRead::new(near);
        let sending = tokio::spawn(async move { stream.write_all(&[0; 1000]).await });
        let mut all = [0; 1000];
        for part in all.chunks_mut(50) {
            sleep(STALL / 2).await;
            far.read_exact(part).await.unwrap();
        }
        sending.await.unwrap().unwrap();
    }
}
