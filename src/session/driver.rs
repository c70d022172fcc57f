//! [`drive`]: the one task of a connection, owning [`Connection`] and stream.
//!
//! The only place of the library that reads the clock.

use crate::protocol::{CloseReason, Connection, Event};
use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a session does with its connection; called only by [`drive`], one call at a time.
pub trait Handler {
    /// What other tasks and threads send to the session.
    type Message;

    /// The connection has news. The last event is [`Event::Closed`].
    fn event(&mut self, connection: &mut Connection, event: Event, now: Instant);

    /// Whether more events may come. While this is false nothing is read, so the peer has to wait too; it is asked
    /// again after each message.
    fn accepts(&self) -> bool {
        true
    }

    /// The next message from elsewhere; may be dropped and called again.
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Self::Message>;

    /// A message came.
    fn message(&mut self, connection: &mut Connection, message: Self::Message, now: Instant);

    /// Nothing waits to be written: a picture may be sent with [`Connection::send_draw`].
    fn picture(&mut self, _connection: &mut Connection, _now: Instant) {}

    /// When [`timeout`](Self::timeout) wants to be called.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The deadline passed.
    fn timeout(&mut self, _connection: &mut Connection, _now: Instant) {}
}

/// Events taken from the connection before the stream gets its turn again.
const MAX_EVENTS: usize = 64;
/// Slices given to one vectored write.
const MAX_SLICES: usize = 16;
/// How long a goodbye may take to be written.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long a peer may take to close after our goodbye.
const LINGER: Duration = Duration::from_millis(300);

enum Step<M> {
    /// Decoded packets are waiting.
    Busy,
    Message(M),
    Read(std::io::Result<usize>),
    Timeout,
    Wrote(std::io::Result<usize>),
    Flushed(std::io::Result<()>),
}

/// What a connection waits for.
#[derive(Clone, Copy)]
enum Source {
    Message,
    Read,
    Timer,
    Write,
}

/// Runs a connection over a stream until it ends, and says how it ended.
pub async fn drive<S, H>(mut stream: S, connection: &mut Connection, handler: &mut H) -> CloseReason
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    let mut closed = None;
    let mut goodbye = None;
    let mut unflushed = false;
    let mut writable = true;
    // in turns, so that a peer that never stops sending starves nobody
    let mut sources = [Source::Read, Source::Write, Source::Message, Source::Timer];
    let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
    let mut slept_until = None;
    loop {
        let mut busy = true;
        for _ in 0..MAX_EVENTS {
            if !handler.accepts() && !connection.is_ending() {
                busy = false;
                break;
            }
            let now = now();
            let Some(event) = connection.poll_event(now) else {
                busy = false;
                break;
            };
            if let Event::Closed(reason) = &event {
                closed = Some(reason.clone());
            }
            handler.event(connection, event, now);
        }
        if !writable {
            connection.transmit().clear();
        }
        let nothing_out = connection.transmit().is_empty();
        if nothing_out && connection.is_closed() {
            break;
        }
        if nothing_out && connection.wants_picture() {
            handler.picture(connection, now());
        }
        let ending = connection.is_ending();
        if ending && goodbye.is_none() {
            goodbye = Some(now() + GOODBYE);
        }
        let timer = if ending { None } else { handler.deadline() };
        let deadline = [connection.deadline(), timer, goodbye]
            .into_iter()
            .flatten()
            .min();
        if slept_until != deadline {
            slept_until = deadline;
            if let Some(at) = deadline {
                sleep.as_mut().reset(at.into());
            }
        }
        sources.rotate_left(1);
        let step = poll_fn(|context| {
            for source in sources {
                match source {
                    Source::Message => {
                        if let Poll::Ready(message) = handler.poll_message(context) {
                            return Poll::Ready(Step::Message(message));
                        }
                    }
                    // what was read is decoded before more is read, or the buffer would grow with the peer's haste
                    Source::Read if !busy && connection.wants_read() && handler.accepts() => {
                        let read = pin!(stream.read_buf(connection.read_buf()));
                        if let Poll::Ready(result) = read.poll(context) {
                            return Poll::Ready(Step::Read(result));
                        }
                    }
                    Source::Timer if deadline.is_some() => {
                        if sleep.as_mut().poll(context).is_ready() {
                            return Poll::Ready(Step::Timeout);
                        }
                    }
                    Source::Write if writable => {
                        if let Poll::Ready(step) = poll_write(&mut stream, connection, unflushed, context) {
                            return Poll::Ready(step);
                        }
                    }
                    Source::Read | Source::Timer | Source::Write => {}
                }
            }
            if busy {
                Poll::Ready(Step::Busy)
            } else {
                Poll::Pending
            }
        })
        .await;
        match step {
            Step::Busy => {}
            Step::Read(Ok(0)) => connection.received_eof(),
            Step::Read(Ok(n)) => connection.received(n),
            Step::Read(Err(error)) => connection.failed(&error),
            Step::Wrote(Ok(n)) => {
                consume(connection, n);
                unflushed = true;
            }
            Step::Flushed(Ok(())) => unflushed = false,
            Step::Wrote(Err(_)) | Step::Flushed(Err(_)) if connection.wants_read() => {
                // the peer may have said why before it closed: read on until the end of the stream
                writable = false;
            }
            Step::Wrote(Err(error)) | Step::Flushed(Err(error)) => {
                writable = false;
                connection.failed(&error);
            }
            Step::Message(message) => handler.message(connection, message, now()),
            Step::Timeout => {
                let now = now();
                slept_until = None;
                if goodbye.is_some_and(|at| now >= at) {
                    break;
                }
                connection.handle_timeout(now);
                if !ending && handler.deadline().is_some_and(|at| now >= at) {
                    handler.timeout(connection, now);
                }
            }
        }
    }
    if let Some(CloseReason::Local { .. } | CloseReason::Protocol(_) | CloseReason::TimedOut(_)) = closed {
        let _impatient = tokio::time::timeout(LINGER, drain(&mut stream)).await;
    }
    if closed == Some(CloseReason::Abandoned) {
        return CloseReason::Abandoned;
    }
    // the last bytes are in the kernel's hands or the peer's problem
    let _closed = tokio::time::timeout(GOODBYE, stream.shutdown()).await;
    closed.unwrap_or(CloseReason::PeerClosed {
        silent: false,
        truncated: false,
    })
}

/// Reads what nobody wants to know until the peer closes: a goodbye is lost on some when the end comes right after it
/// (3.1 over a WebSocket), and on all when the kernel resets a connection with something left to read.
async fn drain<S: AsyncRead + Unpin>(stream: &mut S) {
    let mut waste = [0; 4096];
    while let Ok(1..) = stream.read(&mut waste).await {}
}

fn poll_write<S, M>(
    stream: &mut S,
    connection: &mut Connection,
    unflushed: bool,
    context: &mut Context<'_>,
) -> Poll<Step<M>>
where
    S: AsyncWrite + Unpin,
{
    let out = connection.transmit();
    if out.is_empty() {
        if !unflushed {
            return Poll::Pending;
        }
        return pin!(stream.flush()).poll(context).map(Step::Flushed);
    }
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let mut used = 0;
    for (slice, bytes) in slices.iter_mut().zip(out.iter()) {
        *slice = IoSlice::new(bytes);
        used += 1;
    }
    let slices = slices.get(..used).unwrap_or_default();
    pin!(stream.write_vectored(slices)).poll(context).map(|result| {
        Step::Wrote(result.and_then(|n| {
            if n > 0 {
                Ok(n)
            } else {
                Err(std::io::ErrorKind::WriteZero.into())
            }
        }))
    })
}

/// Takes `n` written bytes off the front.
fn consume(connection: &mut Connection, n: usize) {
    connection.transmitted(n);
    let out = connection.transmit_queue();
    let mut left = n;
    while left > 0 {
        let Some(front) = out.front_mut() else { break };
        if front.len() > left {
            bytes::Buf::advance(front, left);
            break;
        }
        left -= front.len();
        out.pop_front();
    }
}

/// The time, by tokio's clock, which simulations and tests can stop.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the library that reads the clock"
)]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The time by the calendar, which files are stamped with and certificates end by.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the library that reads the clock"
)]
pub fn wall_clock() -> SystemTime {
    SystemTime::now()
}
