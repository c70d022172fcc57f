//! [`dial`]: one session with a server whose dialect is not known beforehand (`wire.md` 8.2).

use super::driver::{Handler, drive, now};
use crate::codec::Dialect;
use crate::protocol::{CloseReason, Connection};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};

/// What 3.1 servers say to the first packet of a 6.x client.
const NOT_THIS_DIALECT: &str = "failed to parse bencode packet";

/// Opens a stream and runs a session over it until it ends; a server that does not understand the 6.x dialect gets
/// a second stream in that of 3.1.
///
/// `open` gives a fresh stream, `begin` the connection that says hello in a dialect. Only the connection that went
/// furthest is reported, but `handler` sees each of them close. An error of `open` is handed through.
pub async fn dial<S, E, H>(
    mut open: impl AsyncFnMut() -> Result<S, E>,
    mut begin: impl FnMut(Dialect, Instant) -> Connection,
    handler: &mut H,
) -> Result<(CloseReason, Connection), E>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    let stream = open().await?;
    let mut connection = begin(Dialect::G6, now());
    let reason = drive(stream, &mut connection, handler).await;
    if !is_other_dialect(&reason, &connection) {
        return Ok((reason, connection));
    }
    tracing::debug!(%reason, "trying the dialect of 3.1");
    let stream = open().await?;
    let mut connection = begin(Dialect::G3, now());
    let reason = drive(stream, &mut connection, handler).await;
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
    struct Closes(Vec<CloseReason>);

    impl Handler for Closes {
        type Message = Infallible;

        fn event(&mut self, _: &mut Connection, event: Event, _: Instant) {
            if let Event::Closed(reason) = event {
                self.0.push(reason);
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
        let mut tried = Vec::new();
        let mut closes = Closes::default();
        let begin = |dialect, now| {
            tried.push(dialect);
            Connection::client(
                &ConnectionConfig::default(),
                dialect,
                Capabilities::default(),
                now,
            )
        };
        let ended = dial(async || Ok::<_, Infallible>(server(answer)), begin, &mut closes).await;
        let Ok((reason, _)) = ended;
        assert_eq!(closes.0.last(), Some(&reason));
        tried
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
