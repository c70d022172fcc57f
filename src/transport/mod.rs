//! Open paths between two processes: [`connect`] to an [`Address`], [`listen`] on a [`Bind`], and get [`Link`]s.
//!
//! A link is a boxed byte stream and its facts. Nothing here knows packets, sessions or displays' names, and this
//! file holds the only `match`es over kinds of transport: a new kind is one file and one arm in each. A kind that the
//! system does not have is there all the same, and says what to use instead: files in `windows` and `pipe/absent.rs`.

#[cfg_attr(windows, path = "windows/acceptor.rs")]
mod acceptor;
#[cfg_attr(windows, path = "windows/accounts.rs")]
mod accounts;
#[cfg(unix)]
mod activation;
#[cfg(test)]
mod conformance;
#[cfg_attr(windows, path = "windows/descriptors.rs")]
mod descriptors;
mod detect;
mod error;
#[cfg(unix)]
mod kernel;
mod listener;
#[cfg_attr(not(windows), path = "pipe/absent.rs")]
mod pipe;
pub(crate) mod prefixed;
mod probe;
mod prompt;
mod route;
#[cfg_attr(windows, path = "windows/socket.rs")]
mod socket;
pub mod ssh;
mod stale;
mod tcp;
#[cfg(test)]
#[cfg(unix)]
mod tests;
pub mod tls;
#[cfg_attr(windows, path = "windows/unix.rs")]
mod unix;
#[cfg_attr(windows, path = "windows/vsock.rs")]
mod vsock;
pub mod websocket;

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};

pub use self::accounts::{group_id, in_group};
#[cfg(unix)]
pub use self::activation::{adopt, is_listening};
pub use self::descriptors::Descriptors;
pub use self::detect::Spoken;
pub use self::error::{AcceptError, ConnectError, ListenError};
pub use self::listener::Listener;
pub use self::probe::{Kernel, KernelInfo, PeerCredentials, Probe};
pub use self::prompt::{Nobody, Prompt};
pub use self::route::Route;
pub use self::stale::{SessionState, probe_abstract, probe_socket};
pub use self::tcp::connect_any;
pub use crate::address::TransportKind;
use crate::address::{Address, Bind, Options, Remote, Target};

/// What every transport's byte stream can do.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The byte stream of some transport. Vectored writes reach it (no joining of buffers in between).
pub type BoxedStream = Box<dyn Stream>;

/// An open path to a peer.
pub struct Link {
    /// The bytes.
    pub stream: BoxedStream,
    /// What is known about the path.
    pub info: LinkInfo,
}

impl Link {
    /// The link of that stream and those facts.
    pub fn new(stream: impl Stream + 'static, info: LinkInfo) -> Self {
        Self {
            stream: Box::new(stream),
            info,
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// The facts about a link. Cloning it is cheap and does not keep the link open.
#[derive(Clone, Debug)]
pub struct LinkInfo {
    /// Which transport carries it.
    pub kind: TransportKind,
    /// What to call it towards users: the address connected to, or the one the peer came in through.
    pub target: String,
    /// This end: `IP:PORT`, a socket's path, `@NAME`, vsock's `CID:PORT`, or a pipe's name.
    pub local: String,
    /// The other end, likewise; for the accepting side of a unix socket that is the socket's path.
    pub peer: String,
    /// Who the peer is, when the kernel vouches for it (unix sockets).
    pub credentials: Option<PeerCredentials>,
    /// Whom the peer logged in as on the way here (SSH).
    pub username: Option<String>,
    /// True when the peer is surely on this machine.
    pub is_local: bool,
    /// The TLS it goes through, if any.
    pub tls: Option<Arc<tls::TlsFacts>>,
    /// True when nobody on the way can read along: TLS, SSH, or never outside this machine.
    pub is_private: bool,
    /// Asks the kernel about the path.
    pub probe: Probe,
    /// Open files that travel beside the bytes.
    pub descriptors: Descriptors,
}

impl LinkInfo {
    /// A link to `peer` of which nothing more is known.
    pub fn new(kind: TransportKind, peer: impl Into<String>) -> Self {
        Self {
            kind,
            target: String::new(),
            local: String::new(),
            peer: peer.into(),
            credentials: None,
            username: None,
            is_local: false,
            tls: None,
            is_private: false,
            probe: Probe::default(),
            descriptors: Descriptors::default(),
        }
    }
}

/// Options of the sockets themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Send at once rather than wait for more (`TCP_NODELAY`).
    pub nodelay: bool,
    /// Notice dead peers even when silent (`SO_KEEPALIVE`).
    pub keepalive: bool,
    /// Take no more bytes than this ahead of the network (`TCP_NOTSENT_LOWAT`); `None` leaves it to the kernel.
    pub notsent_lowat: Option<u32>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            nodelay: true,
            keepalive: true,
            notsent_lowat: None,
        }
    }
}

impl Tuning {
    /// These, with what an address or a bind value overrides: `nodelay=no`, `keepalive=no`.
    pub fn with(&self, options: &Options) -> Self {
        Self {
            nodelay: options.flag("nodelay").unwrap_or(self.nodelay),
            keepalive: options.flag("keepalive").unwrap_or(self.keepalive),
            notsent_lowat: self.notsent_lowat,
        }
    }
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// How long to keep trying while nobody answers: the server may be starting (`XPRA_CONNECT_TIMEOUT`, 20 s).
    pub timeout: Duration,
    /// How long one try may take (`XPRA_SOCKET_TIMEOUT`, 20 s).
    pub attempt_timeout: Duration,
    /// The same for vsock, where it bounds all tries together (`XPRA_VSOCK_TIMEOUT`, 5 s).
    pub vsock_timeout: Duration,
    /// Socket options.
    pub tuning: Tuning,
    /// Who can be asked about unknown hosts and passphrases.
    pub prompt: Arc<dyn Prompt>,
    /// How to get to other machines by SSH.
    pub ssh: ssh::SshOptions,
    /// How to do TLS.
    pub tls: tls::ClientTlsOptions,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(20),
            attempt_timeout: Duration::from_secs(20),
            vsock_timeout: Duration::from_secs(5),
            tuning: Tuning::default(),
            prompt: Arc::new(Nobody),
            ssh: ssh::SshOptions::default(),
            tls: tls::ClientTlsOptions::default(),
        }
    }
}

/// How to listen.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Names and directories of a session's unix sockets.
    pub names: LocalNames,
    /// Mode of socket files (`--socket-permissions`).
    pub permissions: u32,
    /// The group socket files are given to, when root or a member (`XPRA_GROUP`).
    pub group: String,
    /// Replace socket files without asking whether someone answers (upgrade).
    pub clobber: bool,
    /// How long a socket file that refuses connections may belong to a server that is starting
    /// (`XPRA_WAIT_PROBE_TIMEOUT`).
    pub probe_timeout: Duration,
    /// Socket options of accepted connections.
    pub tuning: Tuning,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            names: LocalNames::default(),
            permissions: 0o600,
            group: "xpra".to_owned(),
            clobber: false,
            probe_timeout: Duration::from_secs(6),
            tuning: Tuning::default(),
        }
    }
}

/// Where the unix sockets of one session belong. `discovery` works it out from the environment.
#[derive(Clone, Debug, Default)]
pub struct LocalNames {
    /// The display without its colon.
    pub display: String,
    /// What precedes it in file names: the host name and a dash.
    pub prefix: String,
    /// The socket directories, first the one for relative names.
    pub directories: Vec<PathBuf>,
    /// The session's own directory, which gets a `socket` too.
    pub session_directory: Option<PathBuf>,
}

/// Connects to `address`, trying once a second while nobody answers (`endpoints.md` a.3).
///
/// Displays and session names must have been resolved by `discovery`.
pub async fn connect(address: &Address, options: &ConnectOptions) -> Result<Link, ConnectError> {
    let target = address.to_string();
    let stream = match &address.target {
        Target::Abstract(name) => retry(&target, options, || unix::connect_abstract(name)).await,
        Target::Remote(remote) if remote.kind == TransportKind::Ssh => {
            return ssh::connect(address, remote, options).await;
        }
        Target::Remote(remote) => return connect_remote(remote, address, options).await,
        Target::Socket(path) => retry(&target, options, || unix::connect(path)).await,
        Target::Vsock { cid, port } => {
            retry(&target, &vsock::bounded(options), || vsock::connect(*cid, *port)).await
        }
        Target::NamedPipe(name) => retry(&target, options, || pipe::connect(name)).await,
        Target::Auto | Target::Display(_) | Target::Session(_) => {
            return Err(ConnectError::Unresolved { target });
        }
    }?;
    let kind = address.kind().unwrap_or(TransportKind::Socket);
    let info = stream.info(kind, target);
    Ok(Link::new(stream, info))
}

/// Connects to a host: TCP, and what goes on top of it.
async fn connect_remote(
    remote: &Remote,
    address: &Address,
    options: &ConnectOptions,
) -> Result<Link, ConnectError> {
    let target = address.to_string();
    let tls = match remote.kind {
        TransportKind::Tcp | TransportKind::Ws => None,
        TransportKind::Ssl | TransportKind::Wss => Some(options.tls.with(&address.options)?),
        _ => return Err(ConnectError::Unsupported { target }),
    };
    let tuning = options.tuning.with(&address.options);
    let addresses = tcp::resolve(&remote.host, remote.port).await?;
    let open = async || {
        let socket = retry(&target, options, || tcp::connect(&addresses, &tuning)).await?;
        let info = socket.info(remote.kind, target.clone());
        Ok(Link::new(socket, info))
    };
    let link = match tls {
        Some(tls) => tls::secure(open, (&remote.host, remote.port), options, tls).await?,
        None => open().await?,
    };
    match remote.kind {
        TransportKind::Ws | TransportKind::Wss => upgrade(link, remote, options).await,
        _ => Ok(link),
    }
}

/// Asks for a WebSocket over the link to `remote`, for as long as one try may take.
async fn upgrade(link: Link, remote: &Remote, options: &ConnectOptions) -> Result<Link, ConnectError> {
    let upgraded = timeout(options.attempt_timeout, websocket::upgrade(link.stream, remote)).await;
    match upgraded.unwrap_or(Err(websocket::UpgradeError::TimedOut)) {
        Ok(stream) => Ok(Link::new(stream, link.info)),
        Err(reason) => Err(ConnectError::WebSocket {
            target: link.info.target,
            reason,
        }),
    }
}

/// Listens on `bind`: several listeners when it stands for several sockets, none when it says so.
pub async fn listen(bind: &Bind, options: &ListenOptions) -> Result<Vec<Listener>, ListenError> {
    match bind.kind {
        TransportKind::Socket => unix::listen(bind, options).await,
        // what is spoken there is a matter of the accepted links
        TransportKind::Tcp
        | TransportKind::Ssh
        | TransportKind::Ssl
        | TransportKind::Ws
        | TransportKind::Wss => tcp::listen(bind, options).await,
        TransportKind::Vsock => vsock::listen(bind, options),
        TransportKind::NamedPipe => pipe::listen(bind, options),
        TransportKind::Quic => Err(ListenError::Unsupported { kind: bind.kind }),
    }
}

/// Tries until `options.timeout` has passed, a second apart, as long as failing means that nobody is there yet.
async fn retry<F>(
    target: &str,
    options: &ConnectOptions,
    attempt: impl Fn() -> F,
) -> Result<socket::Socket, ConnectError>
where
    F: Future<Output = io::Result<socket::Socket>>,
{
    let mut patience = pin!(sleep(options.timeout));
    let mut noticed = false;
    loop {
        let error = match timeout(options.attempt_timeout, attempt()).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, "no answer"),
        };
        if !may_pass(error.kind()) {
            return Err(ConnectError::failed(target, &error, Duration::ZERO));
        }
        if !noticed && !options.timeout.is_zero() {
            let seconds = options.timeout.as_secs();
            tracing::info!("cannot connect to '{target}' yet: {error}; trying for {seconds} s");
            noticed = true;
        }
        tokio::select! {
            biased;
            () = &mut patience => return Err(ConnectError::failed(target, &error, options.timeout)),
            () = sleep(RETRY_DELAY) => {}
        }
    }
}

const RETRY_DELAY: Duration = Duration::from_secs(1);

/// True for failures that a server which is just starting, or a network that is just coming up, explains.
fn may_pass(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NotFound
            | io::ErrorKind::TimedOut
    )
}
