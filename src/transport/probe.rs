//! Asking the kernel about a link that is in use.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The process at the other end of a unix socket, as of when it connected or began to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Process; 0 when it is not visible from here (another container).
    pub pid: i32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// The kernel's view of a TCP connection (`TCP_INFO`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelInfo {
    /// Smoothed round trip time.
    pub rtt: Duration,
    /// Its mean deviation.
    pub rtt_variation: Duration,
    /// Lowest round trip time seen lately; `None` when the kernel does not tell.
    pub min_rtt: Option<Duration>,
    /// Bytes a second that the peer acknowledged lately; `None` when the kernel does not tell.
    pub delivery_rate: Option<u64>,
    /// True when that rate was limited by how little there was to send.
    pub app_limited: bool,
    /// Bytes written and not sent yet.
    pub notsent: u32,
    /// Segments sent and not acknowledged yet.
    pub unacked: u32,
    /// Segments thought lost now.
    pub lost: u32,
    /// Segments ever sent again.
    pub retransmits: u32,
    /// Congestion window, in segments.
    pub congestion_window: u32,
    /// Bytes of a segment.
    pub segment_size: u32,
    /// Bytes a second at which the kernel paces.
    pub pacing_rate: u64,
}

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

    /// See [`Probe::set_pace`].
    fn set_pace(&self, bytes: u64) -> io::Result<()>;
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

    /// Makes the kernel send no more than so many bytes a second, evenly. Does nothing for other transports than TCP.
    pub fn set_pace(&self, bytes: u64) -> io::Result<()> {
        self.kernel
            .as_ref()
            .map_or(Ok(()), |kernel| kernel.set_pace(bytes))
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
