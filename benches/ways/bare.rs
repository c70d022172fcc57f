//! The limits: what carries the library's links, without the library.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::server::{Auth, ChannelOpenHandle, Msg, Session};
use russh::{Channel, ChannelId, Preferred, cipher};
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_vsock::{VsockAddr, VsockListener, VsockStream};

use super::keys::Keys;
use super::pair::{Opening, Pair, Way};

/// A unix socket.
pub(crate) struct Unix {
    listener: UnixListener,
    path: PathBuf,
}

impl Unix {
    pub(crate) fn new(directory: &Path) -> Self {
        let path = directory.join("bare");
        Self {
            listener: UnixListener::bind(&path).unwrap(),
            path,
        }
    }
}

impl Way for Unix {
    fn open(&self) -> Opening<'_> {
        Box::pin(async {
            let (client, server) = tokio::join!(UnixStream::connect(&self.path), self.listener.accept());
            Pair::new(client.unwrap(), server.unwrap().0)
        })
    }
}

/// Two pipes.
pub(crate) struct Pipe;

impl Way for Pipe {
    fn open(&self) -> Opening<'_> {
        Box::pin(async {
            let (to_client, from_server) = tokio::net::unix::pipe::pipe().unwrap();
            let (to_server, from_client) = tokio::net::unix::pipe::pipe().unwrap();
            Pair::new(
                tokio::io::join(from_server, to_server),
                tokio::io::join(from_client, to_client),
            )
        })
    }
}

/// TCP over loopback.
pub(crate) struct Tcp {
    listener: TcpListener,
    address: SocketAddr,
}

impl Tcp {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            listener,
        }
    }

    async fn streams(&self) -> (TcpStream, TcpStream) {
        let (client, server) = tokio::join!(TcpStream::connect(self.address), self.listener.accept());
        let (client, server) = (client.unwrap(), server.unwrap().0);
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        (client, server)
    }
}

impl Way for Tcp {
    fn open(&self) -> Opening<'_> {
        Box::pin(async {
            let (client, server) = self.streams().await;
            Pair::new(client, server)
        })
    }
}

/// tokio-rustls over TCP.
pub(crate) struct Tls {
    tcp: Tcp,
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

impl Tls {
    pub(crate) async fn new(keys: &Keys) -> Self {
        Self {
            tcp: Tcp::new().await,
            connector: TlsConnector::from(keys.bare_client()),
            acceptor: TlsAcceptor::from(keys.bare_server()),
        }
    }
}

impl Way for Tls {
    fn open(&self) -> Opening<'_> {
        Box::pin(async {
            let (client, server) = self.tcp.streams().await;
            let name = ServerName::try_from("127.0.0.1").unwrap();
            let (client, server) =
                tokio::join!(self.connector.connect(name, client), self.acceptor.accept(server));
            Pair::new(client.unwrap(), server.unwrap())
        })
    }
}

/// vsock within one machine.
pub(crate) struct Vsock(VsockListener);

impl Vsock {
    const LOCAL: u32 = 1;

    pub(crate) fn new() -> Self {
        Self(VsockListener::bind(VsockAddr::new(Self::LOCAL, u32::MAX)).unwrap())
    }
}

impl Way for Vsock {
    fn open(&self) -> Opening<'_> {
        Box::pin(async {
            let address = self.0.local_addr().unwrap();
            let (client, server) = tokio::join!(VsockStream::connect(address), self.0.accept());
            Pair::new(client.unwrap(), server.unwrap().0)
        })
    }
}

/// A channel of russh's own at both ends, with the same cipher and the same window as ours.
pub(crate) struct Ssh {
    tcp: Tcp,
    server: Arc<russh::server::Config>,
    client: Arc<russh::client::Config>,
}

impl Ssh {
    pub(crate) async fn new() -> Self {
        let algorithm = russh::keys::Algorithm::Ed25519;
        let key = russh::keys::PrivateKey::random(&mut russh::keys::key::safe_rng(), algorithm);
        let preferred = || Preferred {
            cipher: (&[cipher::AES_256_GCM]).into(),
            ..Preferred::DEFAULT
        };
        Self {
            tcp: Tcp::new().await,
            server: Arc::new(russh::server::Config {
                keys: vec![key.unwrap()],
                window_size: 4 << 20,
                preferred: preferred(),
                ..russh::server::Config::default()
            }),
            client: Arc::new(russh::client::Config {
                window_size: 4 << 20,
                preferred: preferred(),
                ..russh::client::Config::default()
            }),
        }
    }
}

impl Way for Ssh {
    fn open(&self) -> Opening<'_> {
        Box::pin(async {
            let (client, server) = self.tcp.streams().await;
            let (opened, mut channels) = tokio::sync::mpsc::channel(1);
            let config = Arc::clone(&self.server);
            tokio::spawn(async move {
                let session = russh::server::run_stream(config, server, Serving(opened)).await;
                let _ended = session.unwrap().await;
            });
            let mut session = russh::client::connect_stream(Arc::clone(&self.client), client, Trusting)
                .await
                .unwrap();
            assert!(session.authenticate_none("me").await.unwrap().success());
            let channel = session.channel_open_session().await.unwrap();
            let server = channels.recv().await.unwrap().into_stream();
            Pair::new(channel.into_stream(), server).with(session)
        })
    }
}

struct Trusting;

impl russh::client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

struct Serving(tokio::sync::mpsc::Sender<Channel<Msg>>);

impl russh::server::Handler for Serving {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        self.0.send(channel).await.ok();
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(channel)
    }
}
