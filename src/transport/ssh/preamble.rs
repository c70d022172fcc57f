//! Finding the beginning of the protocol in what a remote shell prints: banners and login scripts come first
//! (`wire.md` 1.5).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::remote::MARKER;
use crate::transport::Stream;

/// The most that may come before the protocol.
const MAX_NOISE: usize = 64 << 10;

/// The largest record that is taken for the first one; xpra 6.6 reads no larger ones here either.
const MAX_FIRST_RECORD: u32 = 256 << 10;

/// How a refusal in words begins (`endpoints.md` c.2): it has no record around it.
const REFUSAL: &[u8] = b"disconnect";

/// A stream without what comes before the protocol.
pub(super) struct Preamble<S> {
    stream: S,
    state: State,
}

enum State {
    /// All that was read, none of which is the protocol's as far as one can see.
    Scanning(Vec<u8>),
    /// The rest of what was read while looking.
    Found(Bytes),
}

impl<S: Stream> Preamble<S> {
    pub(super) const fn new(stream: S) -> Self {
        let state = State::Scanning(Vec::new());
        Self { stream, state }
    }

    /// Waits until the other side has begun; false when it ended instead. Dropping the future loses nothing.
    pub(super) async fn begun(&mut self) -> io::Result<bool> {
        std::future::poll_fn(|cx| self.poll_begin(cx)).await
    }

    /// What came so far instead of the protocol, for people to read.
    pub(super) fn noise(&self) -> String {
        match &self.state {
            State::Scanning(seen) => String::from_utf8_lossy(seen).into_owned(),
            State::Found(_) => String::new(),
        }
    }

    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while let State::Scanning(seen) = &mut self.state {
            let mut space = [0; 4096];
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            let read = buffer.filled();
            if read.is_empty() {
                return Poll::Ready(Ok(false));
            }
            let searched = seen.len();
            seen.extend_from_slice(read);
            if let Some(start) = beginning(seen, searched) {
                let mut bytes = Bytes::from(std::mem::take(seen));
                bytes.advance(start);
                self.state = State::Found(bytes);
            } else if seen.len() > MAX_NOISE {
                let message =
                    "the remote side prints text instead of the protocol: what does its login shell run?";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, message)));
            }
        }
        Poll::Ready(Ok(true))
    }
}

/// Where the protocol begins in `seen`, of which the first `searched` bytes were looked at before.
fn beginning(seen: &[u8], searched: usize) -> Option<usize> {
    // what was looked for may have been cut in two
    let from = searched.saturating_sub(MARKER.len() + "\r\n".len());
    let recent = seen.get(from..)?;
    if let Some(at) = memchr::memmem::find(recent, MARKER.as_bytes()) {
        let after = from + at + MARKER.len();
        // the line's end, which is part of the marker, may not be there yet
        return match seen.get(after..)? {
            [b'\r', b'\n', ..] => Some(after + 2),
            [b'\n', ..] => Some(after + 1),
            _ => None,
        };
    }
    memchr::memchr2_iter(b'P', b'd', recent)
        .map(|at| from + at)
        .find(|&at| {
            let rest = seen.get(at..).unwrap_or_default();
            let starts_line = at == 0 || seen.get(at - 1) == Some(&b'\n');
            is_header(rest) || (starts_line && rest.starts_with(REFUSAL))
        })
}

/// Whether a record may begin like this: known flags, one compressor at most, the packet itself, a sensible size.
fn is_header(bytes: &[u8]) -> bool {
    let &[b'P', flags, compression, 0, a, b, c, d, ..] = bytes else {
        return false;
    };
    let size = u32::from_be_bytes([a, b, c, d]);
    flags & 0xe0 == 0 && (compression >> 4).count_ones() <= 1 && (1..=MAX_FIRST_RECORD).contains(&size)
}

impl<S: Stream> AsyncRead for Preamble<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !ready!(this.poll_begin(cx))? {
            return Poll::Ready(Ok(()));
        }
        match &mut this.state {
            State::Found(rest) if !rest.is_empty() => {
                let taken = rest.split_to(rest.len().min(buf.remaining()));
                buf.put_slice(&taken);
                Poll::Ready(Ok(()))
            }
            _ => Pin::new(&mut this.stream).poll_read(cx, buf),
        }
    }
}

impl<S: Stream> AsyncWrite for Preamble<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const RECORD: &[u8] = b"P\x11\x10\0\0\0\0\x04body";

    /// What is left of `pieces`, read one by one.
    async fn after_noise(pieces: &[&[u8]]) -> io::Result<Vec<u8>> {
        let (mut ours, theirs) = duplex(1 << 20);
        let mut stream = Preamble::new(theirs);
        let mut left = Vec::new();
        for piece in pieces {
            ours.write_all(piece).await?;
            let mut buffer = [0; 7];
            while let Ok(read) =
                tokio::time::timeout(std::time::Duration::ZERO, stream.read(&mut buffer)).await
            {
                left.extend_from_slice(&buffer[..read?]);
            }
        }
        drop(ours);
        stream.read_to_end(&mut left).await?;
        Ok(left)
    }

    #[tokio::test]
    async fn noise_is_skipped_and_nothing_else() {
        let marker = format!("Last login: P\0\0\0 today\n{MARKER}\n");
        let marked = [marker.as_bytes(), b"anything"].concat();
        for (input, expected) in [
            (RECORD, RECORD),
            (b"P", b""),
            (b"Password expires soon: P\r\nP\x11\x10\0\0\0\0\x04body", RECORD),
            (b"motd\ndisconnect: server busy\n", b"disconnect: server busy\n"),
            (b"do disconnect: not\n", b""),
            (&marked, b"anything"),
            (b"P\xff\0\0\0\0\0\x04P\x11\x10\0\0\0\0\x04body", RECORD),
        ] {
            assert_eq!(after_noise(&[input]).await.unwrap(), expected);
            let bytes: Vec<_> = input.chunks(1).collect();
            assert_eq!(after_noise(&bytes).await.unwrap(), expected, "byte by byte");
        }
    }

    #[tokio::test]
    async fn endless_noise_is_an_error() {
        let noise = vec![b'x'; MAX_NOISE + 5000];
        assert_eq!(
            after_noise(&[&noise]).await.unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[tokio::test]
    async fn the_beginning_can_be_waited_for() {
        let (mut ours, theirs) = duplex(100);
        let mut stream = Preamble::new(theirs);
        ours.write_all(format!("hello\n{MARKER}\n").as_bytes())
            .await
            .unwrap();
        assert!(stream.begun().await.unwrap());
        let (mut ours, theirs) = duplex(100);
        let mut stream = Preamble::new(theirs);
        ours.write_all(b"xpra: no such thing\n").await.unwrap();
        drop(ours);
        assert!(!stream.begun().await.unwrap());
        assert_eq!(stream.noise(), "xpra: no such thing\n");
    }
}
