//! A connected TCP socket, or one end of a pipe, as an asynchronous byte stream.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::pipe::PipeStream;
use super::{LinkInfo, TransportKind, Tuning};

/// Slices the system takes at once; more are left for the next write.
const MAX_SLICES: usize = 1024;

/// What connects or was accepted.
#[derive(Debug)]
pub(super) enum Socket {
    Pipe(PipeStream),
    Tcp(TcpStream),
}

impl Socket {
    pub(super) const fn tcp(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }

    /// Connects to an IP address. Waits as long as it takes: the caller sets limits.
    pub(super) async fn connect(address: &socket2::SockAddr) -> io::Result<Self> {
        let address = address.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        Ok(Self::Tcp(TcpStream::connect(address).await?))
    }

    /// Applies `tuning`; a socket that refuses an option works without it.
    pub(super) fn tune(&self, tuning: &Tuning) {
        let Self::Tcp(stream) = self else { return };
        let results = [
            stream.set_nodelay(tuning.nodelay),
            SockRef::from(stream).set_keepalive(tuning.keepalive),
        ];
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            tracing::debug!("socket option refused: {error}");
        }
    }

    /// The facts about it.
    pub(super) fn info(&self, kind: TransportKind, target: String) -> LinkInfo {
        let (local, peer, is_local) = match self {
            Self::Pipe(pipe) => (pipe.name().to_owned(), pipe.name().to_owned(), pipe.is_local()),
            Self::Tcp(stream) => {
                let (local, peer) = (stream.local_addr().ok(), stream.peer_addr().ok());
                // The same address at both ends can only be this machine.
                let is_local = peer.zip(local).is_some_and(|(peer, local)| {
                    let peer = peer.ip().to_canonical();
                    peer.is_loopback() || peer == local.ip().to_canonical()
                });
                let text = |address: Option<std::net::SocketAddr>| {
                    address
                        .map(|address| {
                            std::net::SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
                        })
                        .unwrap_or_default()
                };
                (text(local), text(peer), is_local)
            }
        };
        LinkInfo {
            target,
            local,
            is_local,
            is_private: is_local,
            ..LinkInfo::new(kind, peer)
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_write(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_write_vectored(cx, bufs),
            Self::Tcp(stream) => {
                let bufs = bufs.get(..MAX_SLICES).unwrap_or(bufs);
                Pin::new(stream).poll_write_vectored(cx, bufs)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_shutdown(cx),
            Self::Tcp(stream) => match Pin::new(stream).poll_shutdown(cx) {
                // The peer was faster.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
                result => result,
            },
        }
    }
}
