//! What only the kernel knows about a socket. The system calls that no safe wrapper offers are all in this file.
#![expect(
    unsafe_code,
    reason = "getsockopt and ioctl with results that socket2 and rustix do not offer"
)]

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustix::ioctl::{Getter, Opcode, ioctl};
use tokio::io::unix::AsyncFd;

use super::probe::{Kernel, KernelInfo, PeerCredentials, Probe};

/// A probe of that socket, for as long as it is open.
pub(super) fn probe(socket: &Arc<AsyncFd<socket2::Socket>>, is_tcp: bool) -> Probe {
    let socket = Arc::downgrade(socket);
    Probe::of(Arc::new(Asked { socket, is_tcp }))
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

    fn set_pace(&self, bytes: u64) -> io::Result<()> {
        self.tcp()
            .map_or(Ok(()), |socket| set_max_pacing_rate(socket.get_ref(), bytes))
    }
}

impl KernelInfo {
    /// Asks for the state of a TCP socket.
    pub(super) fn of(socket: impl AsFd) -> io::Result<Self> {
        // Offsets of `struct tcp_info` in `linux/tcp.h`: fields are only ever appended to it.
        let mut raw = [0u8; 200];
        let known = socket_option(socket, libc::IPPROTO_TCP, libc::TCP_INFO, &mut raw)?;
        let raw = raw.get(..known).unwrap_or_default();
        let micros = |at| Duration::from_micros(u32_at(raw, at).unwrap_or_default().into());
        let count = |at| u32_at(raw, at).unwrap_or_default();
        Ok(Self {
            rtt: micros(68),
            rtt_variation: micros(72),
            // The kernel says "never measured" with all ones.
            min_rtt: u32_at(raw, 148)
                .filter(|rtt| *rtt != u32::MAX)
                .map(|rtt| Duration::from_micros(rtt.into())),
            delivery_rate: u64_at(raw, 160),
            app_limited: raw.get(7).is_some_and(|flags| flags & 1 == 1),
            notsent: count(144),
            unacked: count(24),
            lost: count(32),
            retransmits: count(100),
            congestion_window: count(80),
            segment_size: count(16),
            pacing_rate: u64_at(raw, 104).unwrap_or_default(),
        })
    }
}

/// Who is at the other end of a unix socket.
pub(super) fn peer_credentials(socket: impl AsFd) -> io::Result<PeerCredentials> {
    let mut raw = [0u8; 12];
    let known = socket_option(socket, libc::SOL_SOCKET, libc::SO_PEERCRED, &mut raw)?;
    match (u32_at(&raw, 0), u32_at(&raw, 4), u32_at(&raw, 8)) {
        (Some(pid), Some(uid), Some(gid)) if known == raw.len() => Ok(PeerCredentials {
            pid: pid.cast_signed(),
            uid,
            gid,
        }),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Bytes in the send queue of a socket: for TCP those not acknowledged yet, for unix sockets those not read yet
/// (with the kernel's bookkeeping).
pub(super) fn queued(socket: impl AsFd) -> io::Result<u32> {
    const SIOCOUTQ: Opcode = 0x5411;
    queue_length::<SIOCOUTQ>(socket)
}

/// Bytes in the send queue of a TCP socket that were not sent yet.
pub(super) fn not_sent(socket: impl AsFd) -> io::Result<u32> {
    const SIOCOUTQNSD: Opcode = 0x894B;
    queue_length::<SIOCOUTQNSD>(socket)
}

fn queue_length<const REQUEST: Opcode>(socket: impl AsFd) -> io::Result<u32> {
    // SAFETY: only called above with SIOCOUTQ and SIOCOUTQNSD, which store one int at the pointer they are given and
    // do nothing else; on a descriptor of another kind they fail.
    let length: c_int = unsafe { ioctl(socket, Getter::<REQUEST, c_int>::new()) }?;
    Ok(u32::try_from(length).unwrap_or_default())
}

/// Reads a socket option into `value`; returns how many bytes of it the kernel filled.
fn socket_option(socket: impl AsFd, level: c_int, name: c_int, value: &mut [u8]) -> io::Result<usize> {
    let mut len = libc::socklen_t::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let fd = socket.as_fd();
    // SAFETY: `fd` is borrowed for the call, so open; the pointers are to `value` and `len`, exclusively borrowed and
    // alive for the call; the kernel writes at most the `len` bytes that `value` has.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast::<c_void>(),
            &raw mut len,
        )
    };
    if result == 0 {
        Ok(value.len().min(len as usize))
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sets `SO_MAX_PACING_RATE`: bytes a second.
fn set_max_pacing_rate(socket: impl AsFd, rate: u64) -> io::Result<()> {
    let fd = socket.as_fd();
    // SAFETY: `fd` is borrowed for the call, so open; the pointer is to `rate`, alive for the call, of which the kernel
    // reads the length it is told.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MAX_PACING_RATE,
            (&raw const rate).cast::<c_void>(),
            libc::socklen_t::try_from(size_of_val(&rate)).unwrap_or(0),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn u32_at(raw: &[u8], at: usize) -> Option<u32> {
    raw.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn u64_at(raw: &[u8], at: usize) -> Option<u64> {
    raw.get(at..)?.first_chunk().copied().map(u64::from_ne_bytes)
}
