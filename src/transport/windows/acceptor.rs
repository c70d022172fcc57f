//! A listening TCP socket, or a pipe.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use windows_sys::Win32::Foundation::{ERROR_BROKEN_PIPE, ERROR_NO_DATA, ERROR_PIPE_NOT_CONNECTED};
use windows_sys::Win32::Networking::WinSock::{
    WSABASEERR, WSAEINVAL, WSAEMFILE, WSAENOBUFS, WSAENOTSOCK, WSAEOPNOTSUPP,
};

use super::listener::{BACKLOG, Failure};
use super::pipe::Pipe;
use super::socket::Socket;

/// What accepts.
#[derive(Debug)]
pub(super) enum Acceptor {
    Pipe(Pipe),
    Tcp(TcpListener),
}

impl Acceptor {
    /// Starts to listen on a bound socket that does not block.
    pub(super) fn new(socket: socket2::Socket) -> io::Result<Self> {
        socket.listen(BACKLOG)?;
        Ok(Self::Tcp(TcpListener::from_std(socket.into())?))
    }

    /// Waits for the next peer. Dropping the future loses nobody.
    pub(super) async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Pipe(pipe) => pipe.accept().await,
            Self::Tcp(listener) => Ok(Socket::tcp(listener.accept().await?.0)),
        }
    }

    /// Where it listens.
    pub(super) fn local(&self) -> io::Result<String> {
        match self {
            Self::Pipe(pipe) => Ok(pipe.name().to_owned()),
            Self::Tcp(listener) => Ok(listener.local_addr()?.to_string()),
        }
    }

    /// The IP address and port.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Pipe(_) => None,
            Self::Tcp(listener) => listener.local_addr().ok(),
        }
    }

    /// True when other machines can reach it otherwise than by IP.
    pub(super) const fn is_exposed(&self) -> bool {
        match self {
            Self::Pipe(pipe) => pipe.is_remote(),
            Self::Tcp(_) => false,
        }
    }
}

/// Whose fault it is that a connection was not accepted.
pub(super) fn verdict(error: &io::Error) -> Failure {
    const GONE: [u32; 3] = [ERROR_BROKEN_PIPE, ERROR_NO_DATA, ERROR_PIPE_NOT_CONNECTED];
    let Some(number) = error.raw_os_error() else {
        return Failure::Final;
    };
    match number {
        WSAEMFILE | WSAENOBUFS => Failure::Shortage,
        WSAEINVAL | WSAENOTSOCK | WSAEOPNOTSUPP => Failure::Final,
        // of sockets; and of pipes whose client is gone
        WSABASEERR.. => Failure::Peer,
        number if GONE.contains(&number.cast_unsigned()) => Failure::Peer,
        _ => Failure::Shortage,
    }
}
