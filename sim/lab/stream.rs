//! [`SimStream`]: the bytes of one end of a simulated connection, and what its kernel says.

use super::stage::Shared;
use crate::tcp::{MSS, Readable};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use xpra::transport::{Kernel, KernelInfo, Probe};

/// One end of a connection.
pub(crate) struct SimStream {
    shared: Shared,
    flow: usize,
    end: usize,
}

impl SimStream {
    pub(crate) const fn new(shared: Shared, flow: usize, end: usize) -> Self {
        Self { shared, flow, end }
    }

    /// What asks this end's kernel.
    pub(crate) fn probe(&self) -> Probe {
        let (shared, flow, end) = (self.shared.clone(), self.flow, self.end);
        Probe::of(Arc::new(SimKernel { shared, flow, end }))
    }
}

impl AsyncRead for SimStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (flow, end) = (self.flow, self.end);
        let mut world = self.shared.lock();
        if world.is_hanging(end, cx) || world.is_deaf(end, cx) {
            return Poll::Pending;
        }
        match world.network.readable(flow, end, cx.waker()) {
            Readable::Bytes(0) => Poll::Pending,
            Readable::Bytes(bytes) => {
                let count = usize::try_from(bytes).unwrap_or(usize::MAX).min(buf.remaining());
                world.take(flow, end, count, buf);
                Poll::Ready(Ok(()))
            }
            Readable::End => Poll::Ready(Ok(())),
            Readable::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut world = self.shared.lock();
        if world.is_hanging(self.end, cx) {
            return Poll::Pending;
        }
        match world.put(self.flow, self.end, bufs, cx.waker()) {
            None => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Some(0) if bufs.iter().any(|buf| !buf.is_empty()) => Poll::Pending,
            Some(written) => Poll::Ready(Ok(written)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.lock().network.end(self.flow, self.end);
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.shared.lock().network.abandon(self.flow, self.end);
    }
}

/// The kernel of one end.
struct SimKernel {
    shared: Shared,
    flow: usize,
    end: usize,
}

impl Kernel for SimKernel {
    fn unsent(&self) -> Option<u32> {
        Some(self.info()?.notsent)
    }

    fn unacked(&self) -> Option<u32> {
        u32::try_from(self.shared.lock().network.info(self.flow, self.end).unacked).ok()
    }

    fn info(&self) -> Option<KernelInfo> {
        let info = self.shared.lock().network.info(self.flow, self.end);
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Some(KernelInfo {
            rtt: Duration::from_nanos(info.rtt),
            rtt_variation: Duration::from_nanos(info.rtt_variation),
            min_rtt: info.min_rtt.map(Duration::from_nanos),
            delivery_rate: info.rate,
            app_limited: info.app_limited,
            notsent: small(info.notsent),
            unacked: small(info.flying),
            lost: small(info.lost),
            retransmits: small(info.retransmits),
            congestion_window: small(info.window / MSS),
            segment_size: small(MSS),
            pacing_rate: info.pacing.unwrap_or(u64::MAX),
        })
    }

    fn set_nodelay(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn set_pace(&self, bytes: u64) -> io::Result<()> {
        self.shared.lock().network.set_pace(self.flow, self.end, bytes);
        Ok(())
    }

    fn set_notsent_lowat(&self, bytes: u32) -> io::Result<()> {
        self.shared
            .lock()
            .network
            .set_lowat(self.flow, self.end, bytes.into());
        Ok(())
    }
}
