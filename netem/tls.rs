//! TLS with real xpra at either end.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncWriteExt, copy, sink, split};
use xpra::address::{Address, Bind, TransportKind};
use xpra::transport::tls::{Places, ServerTls, ServerTlsOptions};
use xpra::transport::{ConnectOptions, ListenOptions, connect, listen};
use xpra::types::Size;

use crate::display::{Display, Shown};
use crate::grid::{CARD, ended_well, sees};
use crate::peer::{Mode, Peer, Room, Server, Via, attach_to};
use crate::picture::Picture;
use crate::process;
use crate::with;

const SCREEN: Size = Size::new(640, 480);
const CLIENT: Size = Size::new(800, 600);

/// Exit codes: TLS, and the certificate of TLS (`endpoints.md` j.3).
const SSL_FAILURE: i32 = 16;
const SSL_CERTIFICATE_VERIFY_FAILURE: i32 = 19;

#[test]
fn our_client_xpra3_server() -> Result<()> {
    our_client(Peer::Xpra3)
}

#[test]
fn our_client_xpra6_server() -> Result<()> {
    our_client(Peer::Xpra6)
}

#[test]
fn xpra3_client_our_tls() -> Result<()> {
    our_tls(Peer::Xpra3)
}

#[test]
fn xpra6_client_our_tls() -> Result<()> {
    our_tls(Peer::Xpra6)
}

/// Our client verifies a real server's certificate, and says what is wrong.
fn our_client(peer: Peer) -> Result<()> {
    with(&[Peer::Ours, peer], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let cert = openssl_certificate(room)?;
        let cert = cert.to_string_lossy();
        let options = [
            "--ssl=on",
            &format!("--ssl-cert={cert}"),
            &format!("--ssl-key={cert}"),
        ];
        let server = Server::start_with(room, peer, Mode::Shadow, &source, &options)?;
        let url = format!("ssl://127.0.0.1:{}/", server.port());
        let ask = |query: &str| room.run(Peer::Ours, &["version", &format!("{url}{query}")]);

        fails_with(&ask("")?, SSL_CERTIFICATE_VERIFY_FAILURE, "SHA256:")?;
        fails_with(&ask("?ssl-protocol=TLSv1")?, SSL_FAILURE, "ssl-protocol=")?;
        let named = format!("?ssl-ca-certs={cert}");
        fails_with(
            &ask(&format!("{named}&ssl-server-hostname=elsewhere"))?,
            SSL_CERTIFICATE_VERIFY_FAILURE,
            "not for elsewhere",
        )?;
        for query in [&named, "?ssl-server-verify-mode=none"] {
            // 3.1 reads a new connection with the one before, now and then, when they follow each other closely: our
            // client's second try, in the older coding, is then answered with an alert that was meant for the first.
            let mut attempts = (0..3).map(|_| ask(query));
            let is_well = attempts.any(|output| output.is_ok_and(|output| output.status.success()));
            ensure!(is_well, "{query}: {:?}", ask(query)?);
        }
        attaches(room, Peer::Ours, &format!("{url}{named}"), &[], &source, &server)
    })
}

/// A real client verifies the certificate that was made here.
fn our_tls(peer: Peer) -> Result<()> {
    with(&[Peer::Ours, peer], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let server = Server::start(room, Peer::Ours, Mode::Shadow, &source)?;
        let front = Front::start(room, server.port())?;
        let cert = front.cert.to_string_lossy();
        let named = format!("--ssl-ca-certs={cert}");
        let output = room.run(peer, &["version", &front.url, &named])?;
        ensure!(output.status.success(), "{output:?}");
        let unverified = ["--ssl-server-verify-mode=none", "--ssl-check-hostname=no"];
        let output = room.run(peer, &[&["version", &front.url], &unverified[..]].concat())?;
        ensure!(output.status.success(), "{output:?}");
        if peer == Peer::Xpra3 {
            fails_with(
                &room.run(peer, &["version", &front.url])?,
                SSL_CERTIFICATE_VERIFY_FAILURE,
                "",
            )?;
        }
        attaches(room, peer, &front.url, &[&named], &source, &server)
    })
}

/// A client at `url` shows what the server does, and ends when it is detached.
fn attaches(
    room: &Room,
    peer: Peer,
    url: &str,
    options: &[&str],
    source: &Display,
    server: &Server,
) -> Result<()> {
    let screen = Display::start(CLIENT, &room.logs())?;
    let shown = Shown::open(source, "card", 60, 40, &Picture::card(CARD, 1))?;
    let options = [&peer.client_options(Via::Tcp)[..], options].concat();
    let mut client = attach_to(room, peer, url, &options, &screen)?;
    for seed in [2, 3] {
        shown.show(&Picture::card(CARD, seed))?;
        sees(&screen, seed)?;
    }
    room.ask(Peer::Ours, &["detach", &server.url(Peer::Ours, Via::Tcp)])?;
    ended_well(&mut client)
}

fn fails_with(output: &Output, code: i32, text: &str) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(code) && said.contains(text),
        "{output:?}"
    );
    Ok(())
}

/// A certificate as xpra's manual makes one, with its key.
fn openssl_certificate(room: &Room) -> Result<PathBuf> {
    let mut command = process::command("openssl");
    command
        .current_dir(room.path(""))
        .args([
            "req", "-new", "-newkey", "rsa:2048", "-days", "365", "-nodes", "-x509",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ])
        .args(["-keyout", "key.pem", "-out", "cert.pem"]);
    let output = command.output()?;
    ensure!(output.status.success(), "{output:?}");
    let both = [fs::read(room.path("key.pem"))?, fs::read(room.path("cert.pem"))?].concat();
    fs::write(room.path("ssl-cert.pem"), both)?;
    Ok(room.path("ssl-cert.pem"))
}

/// TLS before a server's plain TCP port, with a certificate of its own.
struct Front {
    url: String,
    cert: PathBuf,
    _runtime: tokio::runtime::Runtime,
}

impl Front {
    fn start(room: &Room, port: u16) -> Result<Self> {
        let options = ServerTlsOptions {
            places: Places {
                search: Vec::new(),
                keep: Some(room.path("ssl")),
                hostname: "localhost".to_owned(),
            },
            ..ServerTlsOptions::default()
        };
        #[expect(clippy::disallowed_methods, reason = "certificates have real dates")]
        let tls = ServerTls::new(&options, SystemTime::now())?;
        let cert = tls.file().to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let server: Address = format!("tcp://127.0.0.1:{port}/").parse()?;
        let bind = Bind::parse(TransportKind::Tcp, "127.0.0.1:0", 0)?;
        let mut listeners = runtime.block_on(listen(&bind, &ListenOptions::default()))?;
        let listener = listeners.pop().context("a listener")?;
        let url = format!("ssl://{}/", listener.local());
        runtime.spawn(async move {
            while let Ok(link) = listener.accept().await {
                let (tls, server) = (tls.clone(), server.clone());
                tokio::spawn(async move {
                    let near = tls.accept(link).await?;
                    let far = connect(&server, &ConnectOptions::default()).await?;
                    let (mut from_client, mut to_client) = split(near.stream);
                    let (mut from_server, mut to_server) = split(far.stream);
                    let down = async {
                        copy(&mut from_server, &mut to_client).await?;
                        to_client.shutdown().await
                    };
                    // A client that goes on talking to a server that is gone must still get its last words.
                    let up = async {
                        copy(&mut from_client, &mut to_server).await.unwrap_or_default();
                        copy(&mut from_client, &mut sink()).await
                    };
                    tokio::try_join!(down, up)?;
                    anyhow::Ok(())
                });
            }
        });
        Ok(Self {
            url,
            cert,
            _runtime: runtime,
        })
    }
}
