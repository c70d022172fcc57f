//! Listening on sockets that somebody else opened: the service manager, before this process ran (`endpoints.md` i.2).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use socket2::{Domain, SockRef, Type};

use super::error::ListenError;
use super::listener::{Facts, Listener};
use super::socket::describe;
use super::{ListenOptions, TransportKind};
use crate::address::Options;

/// True for a stream socket that listens already.
pub fn is_listening(socket: &impl AsFd) -> bool {
    let socket = SockRef::from(socket);
    matches!(socket.r#type(), Ok(Type::STREAM)) && matches!(socket.is_listener(), Ok(true))
}

/// Accepts on a socket that listens already. What is spoken on an IP socket is `kind`, plain TCP when not said; other
/// families have but one kind.
///
/// A socket's file stays when the listener is dropped: who made it will pass it on again.
pub fn adopt(
    socket: OwnedFd,
    kind: Option<TransportKind>,
    options: &ListenOptions,
) -> Result<Listener, ListenError> {
    let socket = socket2::Socket::from(socket);
    let place = socket.local_addr().as_ref().map(describe).unwrap_or_default();
    let failed = |error: &io::Error| ListenError::failed(&place, error);
    if !is_listening(&socket) {
        return Err(failed(&io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no stream socket that listens",
        )));
    }
    let kind = match (socket.domain().map_err(|error| failed(&error))?, kind) {
        (Domain::UNIX, _) => TransportKind::Socket,
        (Domain::VSOCK, _) => TransportKind::Vsock,
        (_, None | Some(TransportKind::Tcp)) => TransportKind::Tcp,
        (_, Some(kind)) => return Err(ListenError::Unsupported { kind }),
    };
    socket.set_nonblocking(true).map_err(|error| failed(&error))?;
    let facts = Facts {
        kind,
        options: Options::new(),
        tuning: options.tuning.clone(),
        file: None,
    };
    Listener::new(socket, facts).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{ConnectOptions, connect};
    use std::os::unix::net::{UnixDatagram, UnixListener};

    #[tokio::test]
    async fn sockets_of_others_accept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let unix = UnixListener::bind(&path).unwrap();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        for (socket, kind, name) in [
            (
                OwnedFd::from(unix),
                TransportKind::Socket,
                format!("socket://{}", path.display()),
            ),
            (
                OwnedFd::from(tcp),
                TransportKind::Tcp,
                format!("tcp://127.0.0.1:{port}"),
            ),
        ] {
            let listener = adopt(socket, None, &ListenOptions::default()).unwrap();
            assert_eq!((listener.kind(), listener.to_string()), (kind, name.clone()));
            let options = ConnectOptions::default();
            let address = name.parse().unwrap();
            let (client, server) = tokio::join!(connect(&address, &options), listener.accept());
            assert_eq!(client.unwrap().info.kind, kind);
            assert_eq!(server.unwrap().info.target, name);
        }
        assert!(path.exists(), "the file is its maker's");
    }

    #[tokio::test]
    async fn what_does_not_listen_is_refused() {
        let options = ListenOptions::default();
        let (one, _other) = UnixDatagram::pair().unwrap();
        let refused = adopt(one.into(), None, &options).unwrap_err();
        assert!(
            refused.to_string().contains("no stream socket that listens"),
            "{refused}"
        );
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let refused = adopt(tcp.into(), Some(TransportKind::Quic), &options).unwrap_err();
        assert_eq!(
            refused,
            ListenError::Unsupported {
                kind: TransportKind::Quic
            }
        );
    }
}
