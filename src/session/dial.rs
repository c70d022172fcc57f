//! [`dial`]: one session with a server whose dialect is not known beforehand (`wire.md` 8.2).

use super::driver::{Handler, drive, now};
use crate::codec::Dialect;
use crate::protocol::{CloseReason, Connection};
use crate::transport::{BoxedStream, Link, Probe, Route};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::fmt;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};

/// A fresh stream to the server.
pub struct Opened<S> {
    /// The bytes.
    pub stream: S,
    /// True when nobody on the way can read along.
    pub is_private: bool,
    /// Asks the kernel about the path.
    pub probe: Probe,
    /// Resolves when the way to the server is another.
    pub moved: Option<BoxFuture<'static, ()>>,
}

impl<S> Opened<S> {
    /// A stream about which nothing is known.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            is_private: false,
            probe: Probe::default(),
            moved: None,
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Opened<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("stream", &self.stream)
            .field("is_private", &self.is_private)
            .finish_non_exhaustive()
    }
}

impl From<Link> for Opened<BoxedStream> {
    fn from(link: Link) -> Self {
        let moved = Route::of(&link.info).map(|route| {
            let moved = async move {
                if route.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            moved.boxed()
        });
        Self {
            stream: link.stream,
            is_private: link.info.is_private,
            probe: link.info.probe,
            moved,
        }
    }
}

/// The client's end of connections that are dialled.
pub trait Caller: Handler {
    /// The connection that says hello in a dialect.
    fn begin(&mut self, dialect: Dialect, is_private: bool, now: Instant) -> Connection;

    /// A stream was opened, over which a connection [begins](Self::begin): what asks the kernel about it.
    fn opened(&mut self, _probe: Probe) {}
}

/// What 3.1 servers say to the first packet of a 6.x client.
const NOT_THIS_DIALECT: &str = "failed to parse bencode packet";

/// Opens a stream and runs a session over it until it ends; a server that does not understand the 6.x dialect gets
/// a second stream in that of 3.1.
///
/// Only the connection that went furthest is reported, but `caller` sees each of them close. An error of `open` is
/// handed through.
pub async fn dial<S, E, H>(
    mut open: impl AsyncFnMut() -> Result<Opened<S>, E>,
    caller: &mut H,
) -> Result<(CloseReason, Connection), E>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Caller,
{
    let (reason, connection) = dial_in(Dialect::G6, &mut open, caller).await?;
    if !is_other_dialect(&reason, &connection) {
        return Ok((reason, connection));
    }
    tracing::debug!(%reason, "trying the dialect of 3.1");
    dial_in(Dialect::G3, &mut open, caller).await
}

/// Opens a stream and runs a session in that dialect over it until it ends.
async fn dial_in<S, E, H>(
    dialect: Dialect,
    open: &mut impl AsyncFnMut() -> Result<Opened<S>, E>,
    caller: &mut H,
) -> Result<(CloseReason, Connection), E>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Caller,
{
    let Opened {
        stream,
        is_private,
        probe,
        ..
    } = open().await?;
    caller.opened(probe);
    let mut connection = caller.begin(dialect, is_private, now());
    let reason = drive(stream, &mut connection, caller).await;
    Ok((reason, connection))
}

/// Whether a session ended so early that the dialect may be why.
fn is_other_dialect(reason: &CloseReason, connection: &Connection) -> bool {
    match reason {
        CloseReason::Refused(text) => text.contains(NOT_THIS_DIALECT),
        // some close without a word, which the kernel may report as a reset
        CloseReason::Io(_) | CloseReason::PeerClosed { .. } => connection.stats().bytes_in == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Capabilities;
    use crate::protocol::{ConnectionConfig, Event};
    use std::convert::Infallible;
    use std::task::{Context, Poll};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    #[derive(Default)]
    struct Closes {
        tried: Vec<Dialect>,
        closes: Vec<CloseReason>,
    }

    impl Caller for Closes {
        fn begin(&mut self, dialect: Dialect, _: bool, now: Instant) -> Connection {
            self.tried.push(dialect);
            let config = ConnectionConfig::default();
            Connection::client(&config, dialect, Capabilities::default(), now)
        }
    }

    impl Handler for Closes {
        type Message = Infallible;

        fn event(&mut self, _: &mut Connection, event: Event, _: Instant) {
            if let Event::Closed(reason) = event {
                self.closes.push(reason);
            }
        }

        fn poll_message(&mut self, _: &mut Context<'_>) -> Poll<Infallible> {
            Poll::Pending
        }

        fn message(&mut self, _: &mut Connection, message: Infallible, _: Instant) {
            match message {}
        }
    }

    /// A server that answers every hello with these bytes and closes.
    fn server(answer: &'static [u8]) -> DuplexStream {
        let (ours, mut theirs) = duplex(1 << 16);
        tokio::spawn(async move {
            let mut hello = [0; 8];
            let _hello = theirs.read(&mut hello).await;
            let _gone = theirs.write_all(answer).await;
        });
        ours
    }

    async fn dialects(answer: &'static [u8]) -> Vec<Dialect> {
        let mut closes = Closes::default();
        let open = async || {
            let stream = server(answer);
            Ok::<_, Infallible>(Opened::new(stream))
        };
        let Ok((reason, _)) = dial(open, &mut closes).await;
        assert_eq!(closes.closes.last(), Some(&reason));
        closes.tried
    }

    #[tokio::test]
    async fn the_dialect_of_3_1_is_tried_after_its_refusal_or_silence_only() {
        let both = [Dialect::G6, Dialect::G3];
        let refusal = b"disconnect: connection failed, failed to parse bencode packet\n";
        assert_eq!(dialects(refusal).await, both);
        assert_eq!(dialects(b"").await, both);
        assert_eq!(dialects(b"disconnect: session busy\n").await, [Dialect::G6]);
    }
}
