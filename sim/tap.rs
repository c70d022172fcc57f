//! [`Tap`]: what lies between a session and the simulated network.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;

/// The largest [`grain`](Valve::new) that cuts anything.
const MOST: usize = 64;

/// Watches and governs the taps that were made with it.
#[derive(Clone)]
pub(crate) struct Valve(Arc<Mutex<State>>);

struct State {
    grain: usize,
    reading: bool,
    closed: bool,
    waiting: Option<Waker>,
    read: u64,
    written: u64,
}

impl Valve {
    /// Cuts what passes into pieces of that many bytes; `usize::MAX` does not.
    pub(crate) fn new(grain: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            grain,
            reading: true,
            closed: false,
            waiting: None,
            read: 0,
            written: 0,
        })))
    }

    /// Whether what arrives is read.
    pub(crate) fn set_reading(&self, reading: bool) {
        self.0.lock().unwrap().reading = reading;
        self.wake();
    }

    /// Closes the stream, as the end of its process does.
    pub(crate) fn close(&self) {
        self.0.lock().unwrap().closed = true;
        self.wake();
    }

    fn wake(&self) {
        let waiting = self.0.lock().unwrap().waiting.take();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Bytes read so far.
    pub(crate) fn read(&self) -> u64 {
        self.0.lock().unwrap().read
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.0.lock().unwrap().written
    }

    pub(crate) fn tap(&self, stream: TcpStream) -> Tap {
        Tap {
            stream,
            valve: self.clone(),
        }
    }
}

/// A stream with a [`Valve`].
pub(crate) struct Tap {
    stream: TcpStream,
    valve: Valve,
}

impl AsyncRead for Tap {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, valve } = self.get_mut();
        let mut state = valve.0.lock().unwrap();
        state.waiting = Some(cx.waker().clone());
        if state.closed {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if !state.reading {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        if state.grain > MOST {
            ready!(Pin::new(stream).poll_read(cx, buf))?;
        } else {
            let mut bytes = [0; MOST];
            let mut part = ReadBuf::new(&mut bytes[..state.grain.min(buf.remaining())]);
            ready!(Pin::new(stream).poll_read(cx, &mut part))?;
            buf.put_slice(part.filled());
        }
        state.read += (buf.filled().len() - before) as u64;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tap {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { stream, valve } = self.get_mut();
        let mut state = valve.0.lock().unwrap();
        let part = &buf[..buf.len().min(state.grain)];
        let written = ready!(Pin::new(stream).poll_write(cx, part))?;
        state.written += written as u64;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
