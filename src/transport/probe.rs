//! Asking the kernel about a link that is in use.

use std::fmt;
use std::io;
use std::sync::{Arc, Weak};

use tokio::io::unix::AsyncFd;

use super::kernel::{KernelInfo, not_sent, queued};

/// What a kernel can be asked about a link, and told.
pub trait Kernel: Send + Sync {
    /// See [`Probe::unsent`].
    fn unsent(&self) -> Option<u32>;

    /// See [`Probe::unacked`].
    fn unacked(&self) -> Option<u32>;

    /// See [`Probe::kernel_info`].
    fn info(&self) -> Option<KernelInfo>;

    /// See [`Probe::set_nodelay`].
    fn set_nodelay(&self, nodelay: bool) -> io::Result<()>;

    /// See [`Probe::set_notsent_lowat`].
    fn set_notsent_lowat(&self, bytes: u32) -> io::Result<()>;
}

/// Reads what the kernel holds of a link, and sets how it sends. Cheap to clone.
///
/// It does not keep the link open: once the stream is gone every question is answered with `None`. It answers for the
/// socket at the bottom, whatever is layered above (TLS, WebSocket). Links without a socket have an empty one.
#[derive(Clone, Default)]
pub struct Probe {
    kernel: Option<Arc<dyn Kernel>>,
}

impl Probe {
    pub(super) fn new(socket: &Arc<AsyncFd<socket2::Socket>>, is_tcp: bool) -> Self {
        let socket = Arc::downgrade(socket);
        Self::of(Arc::new(Asked { socket, is_tcp }))
    }

    /// A probe that asks something else than this machine's kernel: simulations have their own.
    pub fn of(kernel: Arc<dyn Kernel>) -> Self {
        let kernel = Some(kernel);
        Self { kernel }
    }

    /// Bytes that were written and have not left this machine: for TCP those not sent yet, for unix sockets those the
    /// peer has not read yet.
    pub fn unsent(&self) -> Option<u32> {
        self.kernel.as_ref()?.unsent()
    }

    /// Bytes that were written and that the peer's kernel has not acknowledged (TCP) or the peer not read (unix).
    pub fn unacked(&self) -> Option<u32> {
        self.kernel.as_ref()?.unacked()
    }

    /// The state of the TCP connection; `None` for other transports.
    pub fn kernel_info(&self) -> Option<KernelInfo> {
        self.kernel.as_ref()?.info()
    }

    /// Makes the kernel send at once, or wait for more. Does nothing for other transports than TCP.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.kernel
            .as_ref()
            .map_or(Ok(()), |kernel| kernel.set_nodelay(nodelay))
    }

    /// Makes the socket writable only while fewer than `bytes` wait to be sent. Does nothing for other transports
    /// than TCP.
    pub fn set_notsent_lowat(&self, bytes: u32) -> io::Result<()> {
        self.kernel
            .as_ref()
            .map_or(Ok(()), |kernel| kernel.set_notsent_lowat(bytes))
    }
}

/// A socket of this machine, as long as it is open.
struct Asked {
    socket: Weak<AsyncFd<socket2::Socket>>,
    is_tcp: bool,
}

impl Asked {
    fn tcp(&self) -> Option<Arc<AsyncFd<socket2::Socket>>> {
        self.socket.upgrade().filter(|_| self.is_tcp)
    }
}

impl Kernel for Asked {
    fn unsent(&self) -> Option<u32> {
        let socket = self.socket.upgrade()?;
        let bytes = if self.is_tcp {
            not_sent(socket.get_ref())
        } else {
            queued(socket.get_ref())
        };
        bytes.ok()
    }

    fn unacked(&self) -> Option<u32> {
        queued(self.socket.upgrade()?.get_ref()).ok()
    }

    fn info(&self) -> Option<KernelInfo> {
        KernelInfo::of(self.tcp()?.get_ref()).ok()
    }

    fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.tcp()
            .map_or(Ok(()), |socket| socket.get_ref().set_tcp_nodelay(nodelay))
    }

    fn set_notsent_lowat(&self, bytes: u32) -> io::Result<()> {
        self.tcp()
            .map_or(Ok(()), |socket| socket.get_ref().set_tcp_notsent_lowat(bytes))
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
