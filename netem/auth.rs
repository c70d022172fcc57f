//! Logins between real xpra and the two halves of ours: the modules of a server, and the handlers of a client.

use std::fs;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream};
use xpra::address::{Secret, TransportKind};
use xpra::auth::client::{Reaction, ServerChallenge, Sources};
use xpra::auth::digest::{DIGESTS, SALT_DIGESTS};
use xpra::auth::{self, Chain, Handlers, Login, Offered, Step, Verdict};
use xpra::codec::{Dialect, Value};
use xpra::packet::{Capabilities, Packet};
use xpra::protocol::{CloseReason, Connection, ConnectionConfig, Event, network_capabilities, reason};
use xpra::session::{Handler, drive, now};
use xpra::transport::{LinkInfo, Nobody, Probe};
use xpra::types::Size;

use crate::display::Display;
use crate::peer::{Mode, Peer, Room, Server, free_port};
use crate::with;

const PASSWORD: &str = "sesame 1";

#[test]
fn xpra_3_servers_let_us_in() -> Result<()> {
    servers_let_us_in(Peer::Xpra3, Dialect::G3)
}

#[test]
fn xpra_6_servers_let_us_in() -> Result<()> {
    servers_let_us_in(Peer::Xpra6, Dialect::G6)
}

#[test]
fn we_let_xpra_3_clients_in() -> Result<()> {
    we_let_clients_in(Peer::Xpra3)
}

#[test]
fn we_let_xpra_6_clients_in() -> Result<()> {
    we_let_clients_in(Peer::Xpra6)
}

fn servers_let_us_in(peer: Peer, dialect: Dialect) -> Result<()> {
    with(&[peer], |room| {
        let display = Display::start(Size::new(640, 480), &room.logs())?;
        let modules = format!("start =\ntcp-auth = env\ntcp-auth = password:value={PASSWORD}\n");
        fs::write(room.path("conf/xpra.conf"), modules)?;
        let server = Server::start_with(room, peer, Mode::Shadow, &display, &[("XPRA_PASSWORD", "first")])?;
        for (passwords, expected) in [(&["first", PASSWORD][..], true), (&["first", "wrong"], false)] {
            let entered = enter(server.port(), dialect, passwords)?;
            ensure!(entered == expected, "{passwords:?}: {entered}");
        }
        Ok(())
    })
}

/// Whether a server of that generation lets in who has these passwords.
fn enter(port: u16, dialect: Dialect, passwords: &[&str]) -> Result<bool> {
    let mut hello = Capabilities::default();
    let list = |names: &[&str]| Value::List(names.iter().map(|name| (*name).into()).collect());
    hello
        .set("digest", list(&DIGESTS))
        .set("salt-digest", list(&SALT_DIGESTS))
        .set("username", "root")
        .set("request", "info")
        .set("info_request", true)
        .set("windows", false)
        .set("keyboard", false)
        .set("wants", Value::List(Vec::new()));
    let config = ConnectionConfig::default();
    let mut connection = Connection::client(&config, dialect, hello.clone(), now());
    network_capabilities(&mut hello, dialect);
    let names: Vec<String> = (0..passwords.len()).map(|n| format!("P{n}")).collect();
    let values = names
        .iter()
        .cloned()
        .zip(passwords.iter().map(ToString::to_string));
    let sources = Sources {
        password: None,
        password_files: Vec::new(),
        variables: values.collect(),
        prompt: Arc::new(Nobody),
        allow_unencrypted: false,
    };
    let named: Vec<String> = names.iter().map(|name| format!("env:name={name}")).collect();
    let mut entering = Entering {
        hello,
        handlers: Handlers::parse(&named, &sources)?,
        challenges: 0,
        is_in: false,
    };
    let end = runtime()?.block_on(async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        anyhow::Ok(drive(stream, &mut connection, &mut entering).await)
    })?;
    ensure!(
        entering.challenges == passwords.len(),
        "{} challenges: {end}",
        entering.challenges
    );
    match end {
        _ if entering.is_in => Ok(true),
        CloseReason::Disconnected { reason, .. } if reason == reason::AUTHENTICATION_FAILED => Ok(false),
        end => bail!("ended by {end}"),
    }
}

/// A client that does nothing but log in.
struct Entering {
    hello: Capabilities,
    handlers: Handlers,
    challenges: usize,
    is_in: bool,
}

impl Handler for Entering {
    type Message = ();

    fn event(&mut self, connection: &mut Connection, event: Event, _: Instant) {
        match event {
            Event::Hello(_) => {
                self.is_in = true;
                connection.close(reason::DONE, "");
            }
            Event::Packet(Packet::Challenge {
                salt,
                digest,
                salt_digest,
                prompt,
                ..
            }) => {
                self.challenges += 1;
                let challenge = ServerChallenge {
                    salt: &salt,
                    digest: &digest,
                    salt_digest: &salt_digest,
                    prompt: &prompt,
                };
                let Ok(Reaction::Answer(answer)) = self.handlers.answer(&challenge, false) else {
                    return connection.close(reason::DONE, "no answer");
                };
                let response = Bytes::copy_from_slice(answer.response.expose());
                let mut hello = self.hello.clone();
                hello
                    .set("challenge_response", response)
                    .set("challenge_client_salt", Bytes::from(answer.client_salt));
                connection.send(Packet::Hello(hello));
            }
            _ => {}
        }
    }

    fn poll_message(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn message(&mut self, _: &mut Connection, (): (), _: Instant) {}
}

fn we_let_clients_in(peer: Peer) -> Result<()> {
    with(&[peer], |room| {
        for (module, password, digest, expected) in [
            (
                format!("password:value={PASSWORD}"),
                PASSWORD,
                "hmac+sha512",
                true,
            ),
            (
                format!("password:value={PASSWORD}"),
                "wrong",
                "hmac+sha512",
                false,
            ),
            ("allow".to_owned(), "any", "hmac+sha512", true),
            ("reject".to_owned(), "any", "hmac+sha512", false),
            ("none".to_owned(), "any", "hmac+sha512", true),
            (
                format!("exec(command=/usr/bin/test ${{password}} = '{PASSWORD}',require-challenge=yes)"),
                PASSWORD,
                "xor",
                true,
            ),
        ] {
            let (granted, used) = admit(room, peer, &module, password)?;
            ensure!(granted == expected, "{module} {password}: {granted}");
            // 6.5 wants to be asked when it has a password, whether it is needed or not
            let is_asked = module != "none" || peer == Peer::Xpra6;
            ensure!(used == [digest][..is_asked.into()], "{module}: {used:?}");
        }
        Ok(())
    })
}

/// Whether a real client with that password passes a module, and the digests it was asked with.
fn admit(room: &Room, peer: Peer, module: &str, password: &str) -> Result<(bool, Vec<String>)> {
    let file = room.path("password");
    fs::write(&file, password)?;
    let context = auth::Context {
        username: "root".to_owned(),
        ..auth::Context::default()
    };
    let chain = Arc::new(Chain::parse(&[module.to_owned()], &context)?);
    let port = free_port()?;
    let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    let serving = std::thread::spawn(move || {
        runtime()?.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            let deadline = Duration::from_secs(25);
            let (stream, _) = tokio::time::timeout(deadline, listener.accept()).await??;
            let mut admitting = Admitting::new(&chain);
            let mut connection = Connection::server(&ConnectionConfig::default(), now());
            drive(stream, &mut connection, &mut admitting).await;
            anyhow::Ok((admitting.granted, admitting.digests))
        })
    });
    let url = format!("tcp://127.0.0.1:{port}/");
    let file = format!("--password-file={}", file.display());
    // the client's own opinion of it matters when it is let in or not, which the server knows better
    let output = room.run(peer, &["info", &url, &file, "--challenge-handlers=file"]);
    let Ok(outcome) = serving.join() else {
        bail!("the server's thread panicked: {output:?}");
    };
    let (granted, digests) = outcome?;
    match granted {
        Some(granted) => Ok((granted, digests)),
        None => bail!("the client gave up: {output:?}"),
    }
}

/// A server that does nothing but let in.
struct Admitting {
    login: Login,
    checking: Option<BoxFuture<'static, Verdict>>,
    granted: Option<bool>,
    digests: Vec<String>,
}

impl Admitting {
    fn new(chain: &Arc<Chain>) -> Self {
        let peer = auth::Peer::new(LinkInfo {
            kind: TransportKind::Tcp,
            target: String::new(),
            local: String::new(),
            peer: "127.0.0.1:1".to_owned(),
            credentials: None,
            is_local: true,
            tls: None,
            is_private: true,
            probe: Probe::default(),
        });
        Self {
            login: Login::new(Arc::clone(chain), peer.named("root")),
            checking: None,
            granted: None,
            digests: Vec::new(),
        }
    }

    fn step(&mut self, connection: &mut Connection, step: Step) {
        match step {
            Step::Challenge(challenge) => {
                self.digests.push(challenge.digest.to_string());
                connection.send(Packet::Challenge {
                    salt: challenge.salt.into(),
                    capabilities: Value::map(),
                    digest: challenge.digest.to_string().into(),
                    salt_digest: challenge.salt_digest.to_string().into(),
                    prompt: "password".into(),
                });
            }
            Step::Check(checking) => self.checking = Some(checking),
            Step::Granted(_) => {
                self.granted = Some(true);
                connection.close(reason::DONE, "");
            }
            Step::Refused(_) => {
                self.granted = Some(false);
                connection.close(reason::AUTHENTICATION_FAILED, "");
            }
        }
    }
}

impl Handler for Admitting {
    type Message = Verdict;

    fn event(&mut self, connection: &mut Connection, event: Event, _: Instant) {
        let step = match event {
            Event::Hello(hello) => {
                let texts = |key| hello.texts(key).iter().map(ToString::to_string).collect();
                self.login.step(&Offered {
                    digests: texts("digest"),
                    salt_digests: texts("salt-digest"),
                    expects_challenge: hello.get("challenge").is_some(),
                })
            }
            Event::Packet(Packet::Hello(hello)) => {
                let bytes = |key| hello.get(key).and_then(Value::as_bytes).unwrap_or_default();
                self.login.answer(auth::Answer {
                    response: Secret::new(bytes("challenge_response")),
                    client_salt: bytes("challenge_client_salt").into(),
                })
            }
            _ => return,
        };
        self.step(connection, step);
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Verdict> {
        match &mut self.checking {
            Some(checking) => checking.poll_unpin(context),
            None => Poll::Pending,
        }
    }

    fn message(&mut self, connection: &mut Connection, verdict: Verdict, _: Instant) {
        self.checking = None;
        let step = self.login.checked(verdict);
        self.step(connection, step);
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}
