//! Asking the kernel about a link that is in use.

use std::fmt;
use std::io;
use std::sync::{Arc, Weak};

use tokio::io::unix::AsyncFd;

use super::kernel::{KernelInfo, not_sent, queued};

/// Reads what the kernel holds of a link, and sets how it sends. Cheap to clone.
///
/// It does not keep the link open: once the stream is gone every question is answered with `None`. It answers for the
/// socket at the bottom, whatever is layered above (TLS, WebSocket). Links without a socket have an empty one.
#[derive(Clone, Default)]
pub struct Probe {
    socket: Weak<AsyncFd<socket2::Socket>>,
    is_tcp: bool,
}

impl Probe {
    pub(super) fn new(socket: &Arc<AsyncFd<socket2::Socket>>, is_tcp: bool) -> Self {
        Self {
            socket: Arc::downgrade(socket),
            is_tcp,
        }
    }

    /// Bytes that were written and have not left this machine: for TCP those not sent yet, for unix sockets those the
    /// peer has not read yet.
    pub fn unsent(&self) -> Option<u32> {
        let socket = self.socket.upgrade()?;
        let bytes = if self.is_tcp {
            not_sent(socket.get_ref())
        } else {
            queued(socket.get_ref())
        };
        bytes.ok()
    }

    /// Bytes that were written and that the peer's kernel has not acknowledged (TCP) or the peer not read (unix).
    pub fn unacked(&self) -> Option<u32> {
        queued(self.socket.upgrade()?.get_ref()).ok()
    }

    /// The state of the TCP connection; `None` for other transports.
    pub fn kernel_info(&self) -> Option<KernelInfo> {
        let socket = self.socket.upgrade().filter(|_| self.is_tcp)?;
        KernelInfo::of(socket.get_ref()).ok()
    }

    /// Makes the kernel send at once, or wait for more. Does nothing for other transports than TCP.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        match self.socket.upgrade().filter(|_| self.is_tcp) {
            Some(socket) => socket.get_ref().set_tcp_nodelay(nodelay),
            None => Ok(()),
        }
    }

    /// Makes the socket writable only while fewer than `bytes` wait to be sent. Does nothing for other transports
    /// than TCP.
    pub fn set_notsent_lowat(&self, bytes: u32) -> io::Result<()> {
        match self.socket.upgrade().filter(|_| self.is_tcp) {
            Some(socket) => socket.get_ref().set_tcp_notsent_lowat(bytes),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = ("unsent", self.unsent());
        f.debug_struct("Probe")
            .field(fields.0, &fields.1)
            .finish_non_exhaustive()
    }
}
