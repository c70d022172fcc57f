//! A connected stream socket of any family, as an asynchronous byte stream.
//!
//! tokio has one type per family and none for vsock, and none can be shared with a [`Probe`](super::Probe); this is
//! the one type under every transport that ends in a socket.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use socket2::{Domain, SockAddr, Type};
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Duration, sleep};

use super::descriptors::Descriptors;
use super::kernel::{peer_credentials, probe};
use super::{LinkInfo, TransportKind, Tuning};

/// Slices the kernel takes at once (`IOV_MAX`); more are left for the next write.
const MAX_SLICES: usize = 1024;

/// How long to wait when a unix listener's queue is full: the kernel does not tell when it no longer is.
const FULL_QUEUE_DELAY: Duration = Duration::from_millis(20);

/// A connected socket.
#[derive(Debug)]
pub(super) struct Socket(Arc<AsyncFd<socket2::Socket>>, Descriptors);

impl Socket {
    /// Takes over a connected socket that does not block.
    pub(super) fn new(socket: socket2::Socket) -> io::Result<Self> {
        let is_unix = socket.local_addr().is_ok_and(|local| local.is_unix());
        let descriptors = if is_unix {
            Descriptors::of_socket()
        } else {
            Descriptors::default()
        };
        Ok(Self(Arc::new(register(socket)?), descriptors))
    }

    /// Connects to `address`. Waits as long as it takes: the caller sets limits.
    pub(super) async fn connect(address: &SockAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(address.domain(), Type::STREAM.nonblocking(), None)?;
        loop {
            match socket.connect(address) {
                Ok(()) => return Self::new(socket),
                Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(FULL_QUEUE_DELAY).await,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let socket = Self::new(socket)?;
        loop {
            let mut guard = socket.0.writable().await?;
            if let Some(error) = socket.0.get_ref().take_error()? {
                return Err(error);
            }
            match socket.0.get_ref().peer_addr() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::NotConnected => guard.clear_ready(),
                Err(error) => return Err(error),
            }
        }
        Ok(socket)
    }

    /// Applies `tuning`; a socket that refuses an option works without it.
    pub(super) fn tune(&self, tuning: &Tuning) {
        let socket = self.0.get_ref();
        let results = [
            socket.set_tcp_nodelay(tuning.nodelay),
            socket.set_keepalive(tuning.keepalive),
            tuning
                .notsent_lowat
                .map_or(Ok(()), |bytes| socket.set_tcp_notsent_lowat(bytes)),
        ];
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            tracing::debug!("socket option refused: {error}");
        }
    }

    /// The facts about it.
    pub(super) fn info(&self, kind: TransportKind, target: String) -> LinkInfo {
        let socket = self.0.get_ref();
        let local = socket.local_addr().ok();
        let peer = socket.peer_addr().ok();
        let is_unix = local.as_ref().is_some_and(SockAddr::is_unix);
        let is_vsock = local
            .as_ref()
            .is_some_and(|local| local.as_vsock_address().is_some());
        let is_tcp = local
            .as_ref()
            .is_some_and(|local| local.domain() == Domain::IPV4 || local.domain() == Domain::IPV6);
        // The same address at both ends can only be this machine.
        let ip = |address: &Option<SockAddr>| Some(address.as_ref()?.as_socket()?.ip().to_canonical());
        let is_local =
            is_unix || ip(&peer).is_some_and(|peer| peer.is_loopback() || ip(&local) == Some(peer));
        let local = local.as_ref().map(describe).unwrap_or_default();
        let peer = peer.as_ref().map(describe).unwrap_or_default();
        LinkInfo {
            kind,
            target,
            // The end of a unix socket that connected has no name: it goes by the other's.
            local: if local.is_empty() {
                peer.clone()
            } else {
                local.clone()
            },
            peer: if peer.is_empty() { local } else { peer },
            credentials: if is_unix {
                peer_credentials(socket).ok()
            } else {
                None
            },
            username: None,
            is_local,
            tls: None,
            // What passes between a machine and its host passes through no network, and the host sees all of the
            // machine anyway.
            is_private: is_local || is_vsock,
            probe: probe(&self.0, is_tcp),
            descriptors: self.1.clone(),
        }
    }
}

/// Hands a socket that does not block to the reactor.
#[expect(unsafe_code, reason = "tokio wants a promise about the descriptor")]
pub(super) fn register(socket: socket2::Socket) -> io::Result<AsyncFd<socket2::Socket>> {
    // SAFETY: the socket owns its descriptor, always returns that one, and closes it only when dropped. It is moved
    // into the `AsyncFd`, out of which only shared references are ever taken.
    Ok(unsafe { AsyncFd::register(socket) }?)
}

/// An address as users write it: `IP:PORT`, a path, `@NAME`, vsock's `CID:PORT`, or nothing.
pub(super) fn describe(address: &SockAddr) -> String {
    if let Some(address) = address.as_socket() {
        let ip = address.ip().to_canonical();
        return if ip == address.ip() {
            address.to_string()
        } else {
            std::net::SocketAddr::new(ip, address.port()).to_string()
        };
    }
    if let Some(path) = address.as_pathname() {
        return path.display().to_string();
    }
    if let Some((cid, port)) = address.as_vsock_address() {
        return super::vsock::describe(cid, port);
    }
    let name = address.as_abstract_namespace().map(String::from_utf8_lossy);
    name.map(|name| format!("@{name}")).unwrap_or_default()
}

impl AsyncRead for Socket {
    #[expect(unsafe_code, reason = "reading into memory that is not initialised first")]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.1.is_collecting() {
            return self.poll_collect(cx, buf);
        }
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            // SAFETY: `recv` only ever writes to it, so what was initialised stays so.
            let space = unsafe { buf.unfilled_mut() };
            let room = space.len();
            match guard.try_io(|socket| socket.get_ref().recv(space)) {
                Ok(Ok(read)) => {
                    // SAFETY: the kernel has just written the first `read` bytes of the unfilled part.
                    unsafe { buf.assume_init(read) };
                    buf.advance(read);
                    // Less than asked for means the queue is empty: spare the call that would only say so.
                    if read > 0 && read < room {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send(cx, buf.len(), |socket| {
            let with_files = self.1.send(socket, &[IoSlice::new(buf)]);
            with_files.unwrap_or_else(|| socket.send_with_flags(buf, libc::MSG_NOSIGNAL))
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bufs = bufs.get(..MAX_SLICES).unwrap_or(bufs);
        let len = bufs.iter().map(|buf| buf.len()).sum();
        self.poll_send(cx, len, |socket| {
            let with_files = self.1.send(socket, bufs);
            with_files.unwrap_or_else(|| socket.send_vectored_with_flags(bufs, libc::MSG_NOSIGNAL))
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.0.get_ref().shutdown(Shutdown::Write) {
            // The peer was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        })
    }
}

impl Socket {
    /// Reads, and keeps the descriptors that come along.
    fn poll_collect(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            let space = buf.initialize_unfilled();
            match guard.try_io(|socket| self.1.receive(socket.get_ref(), space)) {
                Ok(Ok(read)) => {
                    buf.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        len: usize,
        send: impl Fn(&socket2::Socket) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard: AsyncFdReadyGuard<'_, _> = ready!(self.0.poll_write_ready(cx))?;
            match guard.try_io(|socket| send(socket.get_ref())) {
                Ok(Ok(sent)) => {
                    // Less than given means the buffer is full: spare the call that would only say so.
                    if sent > 0 && sent < len {
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(sent));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}
