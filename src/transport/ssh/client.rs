//! The built-in SSH client (`endpoints.md` e.3, e.4): one connection for each host on the way, and in the last the
//! command that leads to the session.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{Config, DisconnectReason, Handle, Msg, Session, connect_stream};
use russh::keys::Algorithm;
use russh::{ChannelId, ChannelWriteHalf, Disconnect, SshId};
use tokio::time::{sleep, timeout};

use super::channel::{ChannelStream, Owner};
use super::config::{self, HostConfig, Strict};
use super::destination::{self, Destination, Hop};
use super::identity::Identity;
use super::known_hosts::KnownHost;
use super::login::{Credentials, login};
use super::preamble::Preamble;
use super::remote::printable;
use super::shared::{CLIENT_WINDOW, KillOnDrop, Receiver, Shared};
use super::wire::Wire;
use super::{algorithms, remote};
use crate::transport::{
    BoxedStream, ConnectError, ConnectOptions, Link, LinkInfo, TransportKind, retry, tcp,
};

/// How long the two ends may take to agree on keys.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// How long the other side may take to say that the proxy starts. Servers that only act as if they had a shell never
/// do, so afterwards it is taken for granted.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hosts on the way.
const MAX_JUMPS: usize = 8;

/// Lines of standard error that are kept to explain a failure, and how long one may be.
const KEPT_LINES: usize = 5;
const MAX_LINE: usize = 1000;

/// Connects to where `destination` says.
pub(super) async fn connect(
    destination: &Destination,
    options: &ConnectOptions,
) -> Result<Link, ConnectError> {
    let target = &destination.target;
    let failed = |reason: String| ConnectError::Ssh {
        target: target.clone(),
        reason,
    };
    let last = Host::new(&destination.hop, destination.strict, options).map_err(failed)?;
    let mut hosts = jumps(destination, &last, options).map_err(failed)?;
    hosts.push(last);
    let mut hosts = hosts.into_iter();
    let mut host = hosts
        .next()
        .ok_or_else(|| failed("there is no host".to_owned()))?;
    let addresses = tcp::resolve(&host.name, host.port).await?;
    let socket = retry(target, options, || tcp::connect(&addresses, &options.tuning)).await?;
    let info = LinkInfo {
        // what is behind an SSH server may be anywhere
        is_local: false,
        is_private: true,
        ..socket.info(TransportKind::Ssh, target.clone())
    };
    let mut stream: BoxedStream = Box::new(socket);
    for next in hosts {
        let connection = Connection::open(stream, &host, target).await?;
        stream = connection.through(&next).await.map_err(failed)?;
        host = next;
    }
    let connection = Connection::open(stream, &host, target).await?;
    let stream = connection.run(destination).await?;
    Ok(Link::new(stream, info))
}

/// The hosts on the way, in order: of the address, else of the configuration.
fn jumps(destination: &Destination, last: &Host, options: &ConnectOptions) -> Result<Vec<Host>, String> {
    let hops = match (&destination.jump, &last.proxy_jump) {
        (Some(jump), _) => vec![jump.clone()],
        (None, Some(jumps)) => {
            let hops: Result<Vec<_>, _> = jumps.iter().map(|jump| destination::parse(jump)).collect();
            hops?
        }
        (None, None) => Vec::new(),
    };
    if hops.len() > MAX_JUMPS {
        return Err(format!("more than {MAX_JUMPS} jump hosts"));
    }
    hops.iter()
        .map(|hop| Host::new(hop, destination.strict, options))
        .collect()
}

/// One SSH server: what the address, the configuration and the options say about it, put together.
#[derive(Debug)]
struct Host {
    name: String,
    port: u16,
    credentials: Credentials,
    proxy_jump: Option<Vec<String>>,
    known_hosts: Vec<PathBuf>,
    strict: Strict,
}

impl Host {
    fn new(hop: &Hop, strict: Option<bool>, options: &ConnectOptions) -> Result<Self, String> {
        let ssh = &options.ssh;
        let config = ssh.home.as_ref().map(|home| {
            let mut text = String::new();
            let file = std::fs::File::open(home.join(".ssh/config"));
            let read = file.and_then(|file| file.take(config::MAX_FILE).read_to_string(&mut text));
            read.map(|_| HostConfig::parse(&text, &hop.host, home))
                .unwrap_or_default()
        });
        let config = config.unwrap_or_default();
        let name = config.host_name.unwrap_or_else(|| hop.host.clone());
        let user = hop.user.clone().or(config.user).or_else(|| ssh.username.clone());
        let usual = || {
            ssh.home
                .iter()
                .map(|home| home.join(".ssh/known_hosts"))
                .collect()
        };
        Ok(Self {
            port: if hop.port == 22 {
                config.port.unwrap_or(22)
            } else {
                hop.port
            },
            credentials: Credentials {
                user: user
                    .ok_or_else(|| format!("nobody said whom to log in as: write ssh://USER@{name}/"))?,
                host: name.clone(),
                password: hop.password.clone(),
                key_files: hop.key.iter().cloned().chain(config.identity_files).collect(),
                home: ssh.home.clone(),
                agent: ssh.agent.clone(),
                prompt: Arc::clone(&options.prompt),
            },
            proxy_jump: config.proxy_jump,
            known_hosts: config.known_hosts.unwrap_or_else(usual),
            strict: match strict {
                Some(true) => Strict::Yes,
                Some(false) => Strict::AcceptNew,
                None => config.strict.unwrap_or(Strict::Ask),
            },
            name,
        })
    }
}

/// A session with one SSH server, logged in.
struct Connection {
    session: Handle<Client>,
    shared: KillOnDrop,
    said: Arc<Mutex<Said>>,
}

impl Connection {
    async fn open(stream: BoxedStream, host: &Host, target: &str) -> Result<Self, ConnectError> {
        let failed = |reason: String| ConnectError::Ssh {
            target: target.to_owned(),
            reason,
        };
        let known = KnownHost::read(&host.known_hosts, &host.name, host.port);
        let mut preferred = algorithms();
        let wanted = known.algorithms();
        preferred.key.to_mut().sort_by_key(|algorithm| {
            let is_rsa = |algorithm: &Algorithm| matches!(algorithm, Algorithm::Rsa { .. });
            let is_known = |known: &Algorithm| known == algorithm || (is_rsa(known) && is_rsa(algorithm));
            !wanted.iter().any(is_known)
        });
        let config = Config {
            client_id: SshId::Standard(concat!("SSH-2.0-xpra-rs_", env!("CARGO_PKG_VERSION")).into()),
            window_size: CLIENT_WINDOW,
            preferred,
            nodelay: true,
            ..Config::default()
        };
        let shared = Arc::<Shared>::default();
        let said = Arc::<Mutex<Said>>::default();
        let asking = Arc::<AtomicBool>::default();
        let client = Client {
            receiver: Receiver(Arc::clone(&shared)),
            said: Arc::clone(&said),
            identity: Identity {
                known,
                file: host.known_hosts.first().cloned(),
                strict: host.strict,
                name: host.name.clone(),
                prompt: Arc::clone(&host.credentials.prompt),
                asking: Arc::clone(&asking),
            },
        };
        let wire = Wire::new(stream, Arc::clone(&shared));
        let shared = KillOnDrop::new(&shared);
        let opening = connect_stream(Arc::new(config), wire, client);
        let in_time = async {
            sleep(HANDSHAKE).await;
            if asking.load(Ordering::Acquire) {
                std::future::pending().await
            }
        };
        let opened = tokio::select! {
            biased;
            opened = opening => opened,
            () = in_time => return Err(failed(format!("'{}' does not finish the handshake", host.name))),
        };
        let mut session = opened.map_err(|error| match error {
            ClientError::HostKey(reason) => ConnectError::SshHostKey {
                target: target.to_owned(),
                reason,
            },
            ClientError::Ssh(error) => failed(format!("'{}': {error}", host.name)),
        })?;
        login(&mut session, &host.credentials).await.map_err(failed)?;
        Ok(Self {
            session,
            shared,
            said,
        })
    }

    /// A stream to the next host.
    async fn through(self, next: &Host) -> Result<BoxedStream, String> {
        let channel = self
            .session
            .channel_open_direct_tcpip(next.name.as_str(), u32::from(next.port), "127.0.0.1", 0)
            .await
            .map_err(|error| {
                format!(
                    "the jump host does not lead to '{}:{}': {error}",
                    next.name, next.port
                )
            })?;
        let (_, write) = channel.split();
        Ok(Box::new(ChannelStream::new(
            self.shared.keep(),
            write,
            ClientSession(self.session),
        )))
    }

    /// The stream of the command.
    async fn run(self, destination: &Destination) -> Result<Preamble<ChannelStream>, ConnectError> {
        let failed = |reason: String| ConnectError::Ssh {
            target: destination.target.clone(),
            reason,
        };
        let channel = self.session.channel_open_session().await;
        let channel = channel.map_err(|error| failed(format!("the server opens no session: {error}")))?;
        let (_, write) = channel.split();
        let sent = write.exec(true, destination.command.as_bytes()).await;
        sent.map_err(|error| failed(error.to_string()))?;
        let stream = ChannelStream::new(self.shared.keep(), write, ClientSession(self.session));
        let mut stream = Preamble::new(stream);
        match timeout(PATIENCE, stream.begun()).await {
            Ok(Ok(true)) | Err(_) => Ok(stream),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Ok(Ok(false)) => {
                // the status comes after the end of the output
                sleep(Duration::from_millis(200)).await;
                let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
                Err(said.explain(&destination.target, &stream.noise()))
            }
        }
    }
}

/// What the other side said beside the protocol.
#[derive(Debug, Default)]
struct Said {
    status: Option<u32>,
    refused: bool,
    lines: Vec<String>,
    rest: Vec<u8>,
}

impl Said {
    /// Logs each line, and keeps the last ones.
    fn hear(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = MAX_LINE.saturating_sub(self.rest.len());
            self.rest.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if piece.last() != Some(&b'\n') {
                continue;
            }
            let line = printable(&std::mem::take(&mut self.rest));
            if line.is_empty() {
                continue;
            }
            tracing::info!("ssh: {line}");
            self.lines.push(line);
            if self.lines.len() > KEPT_LINES {
                self.lines.remove(0);
            }
        }
    }

    /// What it means that the command ended before the protocol began.
    fn explain(&self, target: &str, noise: &str) -> ConnectError {
        let target = target.to_owned();
        if self
            .status
            .is_some_and(|status| i32::try_from(status) == Ok(remote::NOT_FOUND))
        {
            return ConnectError::no_xpra(target);
        }
        let last = printable(noise.lines().last().unwrap_or_default().as_bytes());
        let words = self
            .lines
            .last()
            .cloned()
            .or(Some(last))
            .filter(|words| !words.is_empty());
        let reason = match (words, self.status) {
            _ if self.refused => "the server runs no commands".to_owned(),
            (Some(words), _) => words,
            (None, Some(status)) => format!("the remote command ended with status {status}"),
            (None, None) => "the server closed the connection".to_owned(),
        };
        ConnectError::Ssh { target, reason }
    }
}

/// What ends a connection.
#[derive(Debug)]
pub(super) enum ClientError {
    /// The server is not the one it should be.
    HostKey(String),
    /// SSH failed.
    Ssh(russh::Error),
}

impl From<russh::Error> for ClientError {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

/// What russh tells of one connection.
pub(super) struct Client {
    receiver: Receiver,
    said: Arc<Mutex<Said>>,
    identity: Identity,
}

impl Client {
    fn said(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl russh::client::Handler for Client {
    type Error = ClientError;

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), ClientError> {
        for line in banner.lines().take(50) {
            tracing::info!("ssh: {}", printable(line.as_bytes()));
        }
        Ok(())
    }

    async fn check_server_key(
        &mut self,
        key: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, ClientError> {
        self.identity
            .check(&key.public_key())
            .await
            .map_err(ClientError::HostKey)?;
        Ok(true)
    }

    async fn channel_failure(&mut self, _: ChannelId, _: &mut Session) -> Result<(), ClientError> {
        self.said(|said| said.refused = true);
        self.receiver.closed();
        Ok(())
    }

    async fn channel_close(&mut self, _: ChannelId, _: &mut Session) -> Result<(), ClientError> {
        self.receiver.closed();
        Ok(())
    }

    async fn channel_eof(&mut self, _: ChannelId, _: &mut Session) -> Result<(), ClientError> {
        self.receiver.eof();
        Ok(())
    }

    async fn data(&mut self, _: ChannelId, data: &[u8], _: &mut Session) -> Result<(), ClientError> {
        self.receiver.data(data);
        Ok(())
    }

    async fn window_adjusted(&mut self, _: ChannelId, _: u32, _: &mut Session) -> Result<(), ClientError> {
        self.receiver.opened();
        Ok(())
    }

    async fn extended_data(
        &mut self,
        _: ChannelId,
        _: u32,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), ClientError> {
        self.said(|said| said.hear(data));
        Ok(())
    }

    async fn exit_status(&mut self, _: ChannelId, status: u32, _: &mut Session) -> Result<(), ClientError> {
        self.said(|said| said.status = Some(status));
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<ClientError>) -> Result<(), ClientError> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                tracing::info!("ssh: disconnected: {}", printable(info.message.as_bytes()));
                Ok(())
            }
            DisconnectReason::Error(error) => {
                tracing::debug!("ssh: the connection ended: {error:?}");
                Err(error)
            }
        }
    }
}

/// The session behind a stream.
struct ClientSession(Handle<Client>);

impl Owner for ClientSession {
    const PEER_ENDS: bool = false;
    type Message = Msg;

    /// The process may end next, and russh's queues with it.
    async fn delivered(&self) {
        let _gone = self.0.send_ping().await;
    }

    async fn close(&self, channel: &ChannelWriteHalf<Msg>) {
        let _gone = channel.close().await;
    }

    async fn disconnect(self) {
        let _gone = self.0.disconnect(Disconnect::ByApplication, "", "").await;
    }
}
