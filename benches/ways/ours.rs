//! Links of the library.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use xpra::address::{Address, Bind, DEFAULT_MIN_PORT, Target, TransportKind};
use xpra::transport::ssh::{Backend, SshOptions, SshServer, SshServerOptions, serve};
use xpra::transport::tls::{ClientTls, ServerTls};
use xpra::transport::websocket::{Role, WebSocket, accept_key, upgrade};
use xpra::transport::{BoxedStream, ConnectOptions, ListenOptions, Listener, connect, listen};

use super::keys::Keys;
use super::pair::{Opening, Pair, Way};

/// A listener of ours with what its kind of link needs above the socket.
pub(crate) struct Ours {
    kind: TransportKind,
    listener: Listener,
    address: Address,
    options: ConnectOptions,
    /// The server's and the client's: both read their files once, as processes do.
    tls: Option<(ServerTls, ClientTls)>,
    ssh: Option<Arc<SshServer>>,
}

/// Listens on `value` of that kind of `--bind`.
pub(crate) async fn listening(kind: TransportKind, value: &str) -> (Listener, Address) {
    let bind = Bind::parse(kind, value, DEFAULT_MIN_PORT).unwrap();
    let listener = listen(&bind, &ListenOptions::default()).await.unwrap().remove(0);
    let address = listener.to_string().parse().unwrap();
    (listener, address)
}

impl Ours {
    /// Listens: on `value` of that kind of `--bind`.
    async fn listen(kind: TransportKind, value: &str) -> Self {
        let (listener, address) = listening(kind, value).await;
        Self {
            kind,
            address,
            listener,
            options: ConnectOptions::default(),
            tls: None,
            ssh: None,
        }
    }

    pub(crate) async fn unix(directory: &Path) -> Self {
        let path = directory.join("socket");
        Self::listen(TransportKind::Socket, &path.display().to_string()).await
    }

    pub(crate) async fn named() -> Self {
        let name = format!("@xpra-bench-{}", std::process::id());
        Self::listen(TransportKind::Socket, &name).await
    }

    pub(crate) async fn tcp() -> Self {
        Self::listen(TransportKind::Tcp, "127.0.0.1:0").await
    }

    pub(crate) async fn ws() -> Self {
        Self::listen(TransportKind::Ws, "127.0.0.1:0").await
    }

    pub(crate) async fn vsock() -> Self {
        Self::listen(TransportKind::Vsock, "local:0").await
    }

    /// TLS: `Ssl` or `Wss`.
    pub(crate) async fn tls(kind: TransportKind, keys: &Keys) -> Self {
        #[expect(clippy::disallowed_methods, reason = "certificates have real dates")]
        let tls = ServerTls::new(&keys.server_options(), SystemTime::now()).unwrap();
        let mut ours = Self::listen(kind, "127.0.0.1:0").await;
        ours.address = format!("tcp://{}/", ours.listener.local()).parse().unwrap();
        ours.tls = Some((tls, ClientTls::new(&keys.client_options()).unwrap()));
        ours
    }

    pub(crate) async fn ssh(directory: &Path) -> Self {
        let options = SshServerOptions {
            key_directory: directory.join("keys"),
            allow_none: true,
            ..SshServerOptions::default()
        };
        let mut ours = Self::listen(TransportKind::Ssh, "127.0.0.1:0").await;
        ours.ssh = Some(Arc::new(SshServer::new(options).unwrap()));
        let port = ours.listener.address().unwrap().port();
        ours.address = format!("ssh://me@127.0.0.1:{port}/?strict-host-check=no")
            .parse()
            .unwrap();
        ours.options.ssh = SshOptions {
            backend: Backend::Builtin,
            ..SshOptions::default()
        };
        ours
    }

    async fn connect(&self) -> BoxedStream {
        let mut link = connect(&self.address, &self.options).await.unwrap();
        let (Some((_, tls)), Target::Remote(remote)) = (&self.tls, &self.address.target) else {
            return link.stream;
        };
        link = tls.connect(link, &remote.host, remote.port).await.unwrap();
        match self.kind {
            TransportKind::Wss => Box::new(upgrade(link.stream, remote).await.unwrap()),
            _ => link.stream,
        }
    }

    async fn accept(&self) -> BoxedStream {
        let mut link = self.listener.accept().await.unwrap();
        if let Some((tls, _)) = &self.tls {
            link = tls.accept(link).await.unwrap();
        }
        if let Some(ssh) = &self.ssh {
            link = serve(link, ssh).await.unwrap();
        }
        match self.kind {
            TransportKind::Ws | TransportKind::Wss => upgraded(link.stream).await,
            _ => link.stream,
        }
    }
}

impl Way for Ours {
    fn open(&self) -> Opening<'_> {
        Box::pin(async {
            let (client, server) = tokio::join!(self.connect(), self.accept());
            Pair::new(client, server)
        })
    }
}

/// Answers the request for a WebSocket: what the server does through HTTP, without reading more of the request than
/// the key.
async fn upgraded(mut stream: BoxedStream) -> BoxedStream {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        assert!(stream.read_buf(&mut request).await.unwrap() > 0, "no request");
    }
    let request = String::from_utf8(request).unwrap();
    let key = request.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then(|| value.trim())
    });
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Protocol: binary\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(key.unwrap().as_bytes())
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    Box::new(WebSocket::new(
        stream,
        Role::Server { is_browser: false },
        Bytes::new(),
    ))
}
