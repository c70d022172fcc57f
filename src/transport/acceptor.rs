//! A listening socket of any family.

use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;
use socket2::SockAddr;
use tokio::io::unix::AsyncFd;
use tokio_vsock::VMADDR_CID_LOCAL;

use super::listener::{BACKLOG, Failure};
use super::socket::{Socket, describe, register};

/// A listening socket.
#[derive(Debug)]
pub(super) struct Acceptor(AsyncFd<socket2::Socket>);

impl Acceptor {
    /// Starts to listen on a bound socket that does not block.
    pub(super) fn new(socket: socket2::Socket) -> io::Result<Self> {
        socket.listen(BACKLOG)?;
        Ok(Self(register(socket)?))
    }

    /// Waits for the next peer. Dropping the future loses nobody.
    pub(super) async fn accept(&self) -> io::Result<Socket> {
        loop {
            let mut guard = self.0.readable().await?;
            if let Ok(accepted) = guard.try_io(|socket| socket.get_ref().accept()) {
                let (socket, _) = accepted?;
                socket.set_nonblocking(true)?;
                return Socket::new(socket);
            }
        }
    }

    /// Where it listens.
    pub(super) fn local(&self) -> io::Result<String> {
        Ok(describe(&self.0.get_ref().local_addr()?))
    }

    /// The IP address and port.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.0.get_ref().local_addr().ok()?.as_socket()
    }

    /// True when other machines can reach it otherwise than by IP.
    pub(super) fn is_exposed(&self) -> bool {
        let local = self.0.get_ref().local_addr().ok();
        let vsock = local.as_ref().and_then(SockAddr::as_vsock_address);
        vsock.is_some_and(|(cid, _)| cid != VMADDR_CID_LOCAL)
    }
}

/// Whose fault it is that a connection was not accepted.
pub(super) fn verdict(error: &io::Error) -> Failure {
    let Some(errno) = error.raw_os_error().map(Errno::from_raw_os_error) else {
        return Failure::Final;
    };
    match errno {
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => Failure::Shortage,
        Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP => Failure::Final,
        _ => Failure::Peer,
    }
}
