//! An SSH server that knows one command: the way into an xpra session (`endpoints.md` e.6).
//!
//! It has no shell, no terminal, no forwarding and no files. Who may log in is said by a file of keys, by whoever
//! checks passwords, or by nobody when the caller lets everybody in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use russh::keys::PublicKey;
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handle, Msg, PublicKeyOffer, Session, VerifiedPublicKey, run_stream,
};
use russh::{Channel, ChannelId, ChannelWriteHalf, Disconnect, MethodKind, MethodSet, Pty, SshId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::algorithms;
use super::channel::{ChannelStream, Owner};
use super::exec::{Answer, answer};
use super::keys::{self, SshServerError};
use super::shared::{KillOnDrop, Receiver, SERVER_WINDOW, Shared};
use super::wire::Wire;
use crate::address::Secret;
use crate::transport::prefixed::Prefixed;
use crate::transport::{BoxedStream, Link, LinkInfo, TransportKind};

/// How long until the peer asks to log in.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// How long logging in may take: somebody may have to type a password.
const LOGIN: Duration = Duration::from_secs(120);

/// How long until the peer says what to run (`XPRA_SSH_SERVER_WAIT`).
const COMMAND: Duration = Duration::from_secs(20);

/// How long saying no takes, at least.
const REJECTION: Duration = Duration::from_millis(300);

/// The same for a wrong password.
const WRONG_PASSWORD: Duration = Duration::from_secs(1);

/// Methods that may fail before the peer is sent away.
const MAX_ATTEMPTS: usize = 6;

/// How the identification of paramiko begins, which xpra's clients speak SSH with: it announces each attempt to log in,
/// and russh answers the first announcement only. So its first attempt, which is with nothing, is its last.
const ONE_ATTEMPT: &[u8] = b"SSH-2.0-paramiko";

/// Our identification, and how its line ends.
const OURS: &str = concat!("SSH-2.0-xpra-rs_", env!("CARGO_PKG_VERSION"));
const END: &[u8] = b"\r\n";

/// The longest identification (RFC 4253, 4.2).
const IDENTIFICATION: usize = 255;

/// Questions a client may ask before it asks for the session, each in a channel of its own.
const MAX_CHANNELS: usize = 16;

/// Who checks the passwords of an SSH server.
pub trait PasswordCheck: fmt::Debug + Send + Sync {
    /// Whether `user` may enter with that password; `peer` is where the connection comes from.
    fn check<'a>(
        &'a self,
        user: &'a str,
        password: Secret,
        peer: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>>;
}

/// What an SSH server is made of.
#[derive(Clone, Debug, Default)]
pub struct SshServerOptions {
    /// Files with private host keys; without any, one is made and kept.
    pub host_keys: Vec<PathBuf>,
    /// The directory where that one is kept.
    pub key_directory: PathBuf,
    /// The file of the keys that may log in.
    pub authorized_keys: Option<PathBuf>,
    /// Whom those keys belong to: they open for no other name. `None` for any name.
    pub username: Option<String>,
    /// Who checks passwords.
    pub passwords: Option<Arc<dyn PasswordCheck>>,
    /// Let everybody in. Only for sockets without any authentication.
    pub allow_none: bool,
    /// The session asks for a password whoever comes in without having logged in: then clients that have but one
    /// attempt are let through to it.
    pub session_asks: bool,
}

/// An SSH server, for any number of connections.
#[derive(Debug)]
pub struct SshServer {
    pub(super) config: Arc<Config>,
    access: Access,
}

#[derive(Debug)]
struct Access {
    authorized_keys: Option<PathBuf>,
    username: Option<String>,
    passwords: Option<Arc<dyn PasswordCheck>>,
    allow_none: bool,
    session_asks: bool,
}

impl SshServer {
    /// Reads the host keys, or makes one.
    pub fn new(options: SshServerOptions) -> Result<Self, SshServerError> {
        let keys = keys::host_keys(&options.host_keys, &options.key_directory)?;
        let methods: Vec<_> = [
            (options.authorized_keys.is_some(), MethodKind::PublicKey),
            (options.passwords.is_some(), MethodKind::Password),
            (options.allow_none, MethodKind::None),
        ]
        .into_iter()
        .filter_map(|(is_on, method)| is_on.then_some(method))
        .collect();
        if methods.is_empty() {
            return Err(SshServerError::NobodyMayEnter);
        }
        let config = Config {
            server_id: SshId::Standard(Cow::Borrowed(OURS)),
            methods: MethodSet::from(methods.as_slice()),
            auth_rejection_time: REJECTION,
            auth_rejection_time_initial: Some(Duration::ZERO),
            keys,
            window_size: SERVER_WINDOW,
            preferred: algorithms(),
            max_auth_attempts: MAX_ATTEMPTS,
            // sessions have their own idea of a silent peer
            inactivity_timeout: None,
            nodelay: true,
            ..Config::default()
        };
        Ok(Self {
            config: Arc::new(config),
            access: Access {
                authorized_keys: options.authorized_keys,
                username: options.username,
                passwords: options.passwords,
                allow_none: options.allow_none,
                session_asks: options.session_asks,
            },
        })
    }
}

/// Says that SSH is spoken here, before anything is known of the peer (RFC 4253, 4.2): some wait for it.
pub async fn greet(link: &mut Link) -> io::Result<()> {
    link.stream.write_all(OURS.as_bytes()).await?;
    link.stream.write_all(END).await
}

/// Speaks SSH on `link` until the peer has logged in and asked for the session, and gives the link of the session
/// itself. Dropping the future ends the connection.
///
/// A link without a `username` is that of somebody who did not log in: the session has to ask
/// ([`session_asks`](SshServerOptions::session_asks)).
pub async fn serve(link: Link, server: &Arc<SshServer>) -> io::Result<Link> {
    serve_after(0, link, server).await
}

/// The same after [`greet`].
pub async fn serve_greeted(link: Link, server: &Arc<SshServer>) -> io::Result<Link> {
    serve_after(OURS.len() + END.len(), link, server).await
}

/// Serves a peer that has so many bytes of the identification.
async fn serve_after(said: usize, link: Link, server: &Arc<SshServer>) -> io::Result<Link> {
    let Link { stream, info } = link;
    let (identification, stream) = timeout(HANDSHAKE, identification(stream)).await??;
    let shared = Arc::<Shared>::default();
    let unless_served = KillOnDrop::new(&shared);
    let (stage, mut stages) = watch::channel(Stage::Handshake);
    let (found, mut wanted) = oneshot::channel();
    let handler = Handler {
        server: Arc::clone(server),
        receiver: Receiver(Arc::clone(&shared)),
        peer: info.peer.clone(),
        has_one_attempt: identification.starts_with(ONE_ATTEMPT),
        username: None,
        channels: BTreeMap::new(),
        opened: 0,
        stage,
        found: Some(found),
        serves: None,
    };
    let wire = Wire::new(stream, Arc::clone(&shared)).after(said);
    let running = run_stream(Arc::clone(&server.config), wire, handler);
    let session = timeout(HANDSHAKE, running).await?.map_err(io::Error::other)?;
    let asked = loop {
        let limit = stages.borrow_and_update().limit();
        tokio::select! {
            biased;
            asked = &mut wanted => match asked {
                Ok(asked) => break asked,
                // the handler is gone, and the session with it
                Err(_) => return Err(ended(session.await.err())),
            },
            Ok(()) = stages.changed() => {}
            () = sleep(limit) => return Err(io::Error::new(io::ErrorKind::TimedOut, "SSH login timeout")),
        }
    };
    let handle = session.handle();
    let owner = ServedSession {
        handle,
        channel: asked.channel.id(),
    };
    let stream = ChannelStream::new(unless_served.keep(), asked.channel, owner);
    let info = LinkInfo {
        kind: TransportKind::Ssh,
        is_private: true,
        username: asked.username,
        ..info
    };
    Ok(Link::new(stream, info))
}

/// The beginning of the peer's first line, which stays to be read.
async fn identification(mut stream: BoxedStream) -> io::Result<(Bytes, Prefixed<BoxedStream>)> {
    let mut head = BytesMut::with_capacity(IDENTIFICATION);
    while head.len() < IDENTIFICATION && !head.contains(&b'\n') {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    let head = head.freeze();
    Ok((head.clone(), Prefixed::new(head, stream)))
}

fn ended(error: Option<russh::Error>) -> io::Error {
    match error {
        Some(russh::Error::IO(error)) => error,
        Some(error) => io::Error::other(error),
        None => io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the SSH client left before it asked for the session",
        ),
    }
}

/// How far a connection is.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Handshake,
    LoggingIn,
    LoggedIn,
}

impl Stage {
    const fn limit(self) -> Duration {
        match self {
            Self::Handshake => HANDSHAKE,
            Self::LoggingIn => LOGIN,
            Self::LoggedIn => COMMAND,
        }
    }
}

/// What the peer asked for: the session, over this channel.
struct Asked {
    channel: ChannelWriteHalf<Msg>,
    username: Option<String>,
}

/// What russh tells of one connection.
struct Handler {
    server: Arc<SshServer>,
    receiver: Receiver,
    peer: String,
    has_one_attempt: bool,
    /// Whom it logged in as.
    username: Option<String>,
    channels: BTreeMap<u32, ChannelWriteHalf<Msg>>,
    opened: usize,
    stage: watch::Sender<Stage>,
    found: Option<oneshot::Sender<Asked>>,
    /// The channel of the session.
    serves: Option<ChannelId>,
}

impl Handler {
    fn logging_in(&self) {
        self.stage.send_if_modified(|stage| {
            let is_first = matches!(stage, Stage::Handshake);
            *stage = Stage::LoggingIn;
            is_first
        });
    }

    fn accept(&mut self, user: &str, method: &str) -> Auth {
        tracing::info!(
            "SSH: '{}' logged in from {} by {method}",
            printable(user),
            self.peer
        );
        self.username = Some(user.to_owned());
        Auth::Accept
    }

    /// Not this way; all ways stay open, as often as the configuration allows.
    fn reject(&self) -> Auth {
        Auth::Reject {
            proceed_with_methods: Some(self.server.config.methods.clone()),
            partial_success: false,
        }
    }

    fn is_authorized(&self, user: &str, key: &PublicKey) -> bool {
        let access = &self.server.access;
        let is_owner = access.username.as_deref().is_none_or(|owner| owner == user);
        let file = access.authorized_keys.as_deref().filter(|_| is_owner);
        file.is_some_and(|file| keys::is_authorized(file, key))
    }

    /// Prints, and ends the channel.
    fn finish(session: &mut Session, channel: ChannelId, status: u32) -> Result<(), russh::Error> {
        session.exit_status_request(channel, status)?;
        session.eof(channel)?;
        session.close(channel)
    }
}

fn printable(user: &str) -> String {
    user.chars().filter(|c| !c.is_control()).take(64).collect()
}

impl russh::server::Handler for Handler {
    type Error = russh::Error;

    async fn auth_none(&mut self, user: &str) -> Result<Auth, russh::Error> {
        self.logging_in();
        if self.server.access.allow_none {
            return Ok(self.accept(user, "nothing"));
        }
        if self.server.access.session_asks && self.has_one_attempt {
            tracing::info!("SSH: a client from {} is left to the session to ask", self.peer);
            return Ok(Auth::Accept);
        }
        Ok(self.reject())
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, russh::Error> {
        self.logging_in();
        let Some(passwords) = self.server.access.passwords.clone() else {
            return Ok(self.reject());
        };
        if passwords.check(user, Secret::new(password), &self.peer).await {
            return Ok(self.accept(user, "password"));
        }
        tracing::warn!("SSH: wrong password for '{}' from {}", printable(user), self.peer);
        sleep(WRONG_PASSWORD).await;
        Ok(self.reject())
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        self.logging_in();
        Ok(match self.is_authorized(user, offer.public_key) {
            true => Auth::Accept,
            false => self.reject(),
        })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        Ok(match self.is_authorized(user, key.public_key) {
            true => self.accept(user, "key"),
            false => self.reject(),
        })
    }

    async fn auth_succeeded(&mut self, _: &mut Session) -> Result<(), russh::Error> {
        self.stage.send_replace(Stage::LoggedIn);
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.opened += 1;
        if self.opened <= MAX_CHANNELS && self.serves.is_none() {
            // nobody takes what is received: it comes to `data`
            let (_, write) = channel.split();
            self.channels.insert(write.id().number(), write);
            reply.accept().await;
        }
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(write) = self.channels.remove(&channel.number()) else {
            return session.channel_failure(channel);
        };
        match answer(command) {
            Answer::Proxy(greeting) => {
                let Some(found) = self.found.take() else {
                    return session.channel_failure(channel);
                };
                session.channel_success(channel)?;
                if !greeting.is_empty() {
                    session.data(channel, format!("{greeting}\n").into_bytes())?;
                }
                self.serves = Some(channel);
                let username = self.username.clone();
                // when nobody waits any more the connection is being ended
                let _ended = found.send(Asked {
                    channel: write,
                    username,
                });
                Ok(())
            }
            Answer::Reply(text, status) => {
                session.channel_success(channel)?;
                session.data(channel, text.into_bytes())?;
                Self::finish(session, channel, status)
            }
            Answer::Refuse(why) => {
                tracing::warn!("SSH: refused to run a command for {}", self.peer);
                session.channel_success(channel)?;
                session.extended_data(channel, 1, format!("{why}\n").into_bytes())?;
                Self::finish(session, channel, 1)
            }
        }
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], _: &mut Session) -> Result<(), russh::Error> {
        if self.serves == Some(channel) {
            self.receiver.data(data);
        }
        Ok(())
    }

    async fn window_adjusted(
        &mut self,
        channel: ChannelId,
        _: u32,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.serves == Some(channel) {
            self.receiver.opened();
        }
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), russh::Error> {
        if self.serves == Some(channel) {
            self.receiver.eof();
        }
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), russh::Error> {
        self.channels.remove(&channel.number());
        if self.serves == Some(channel) {
            self.receiver.closed();
        }
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_failure(channel)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_failure(channel)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_failure(channel)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        session.channel_failure(channel)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_failure(channel)
    }
}

/// The session behind a served link.
struct ServedSession {
    handle: Handle,
    channel: ChannelId,
}

impl Owner for ServedSession {
    const PEER_ENDS: bool = true;
    type Message = Msg;

    async fn delivered(&self) {}

    async fn close(&self, channel: &ChannelWriteHalf<Msg>) {
        let _gone = self.handle.exit_status_request(self.channel, 0).await;
        let _gone = channel.close().await;
    }

    async fn disconnect(self) {
        let _gone = self
            .handle
            .disconnect(Disconnect::ByApplication, String::new(), String::new())
            .await;
    }
}
