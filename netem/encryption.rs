//! Packets encrypted with AES, and passwords over them: our connections against real clients and servers.
//!
//! Our end is a [`Connection`] on a plain socket: what it agrees on with its peer is all that is tested.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::hmac;
use xpra::codec::{CipherMode, Dialect};
use xpra::packet::{Capabilities, Packet};
use xpra::protocol::{CloseReason, Connection, ConnectionConfig, Encryption, Event};
use xpra::types::Size;

use crate::display::Display;
use crate::peer::{Peer, Room, free_port};
use crate::process::Process;
use crate::with;

const KEY: &str = "a key of both ends";
const PASSWORD: &str = "correct horse";
const DIGEST: &str = "hmac+sha512";
/// How long a peer may say nothing.
const SILENCE: Duration = Duration::from_secs(20);
/// How long a server may take to be ready.
const READY: Duration = Duration::from_secs(40);

#[test]
fn xpra3_client_our_server() -> Result<()> {
    with(&[Peer::Xpra3], |room| our_server(room, Peer::Xpra3, &["AES"]))
}

#[test]
fn xpra6_client_our_server() -> Result<()> {
    with(&[Peer::Xpra6], |room| {
        our_server(room, Peer::Xpra6, &["AES", "AES-CBC", "AES-CTR"])
    })
}

/// A real client gets its answer with the right key, and nothing with another or none.
fn our_server(room: &Room, client: Peer, ciphers: &[&str]) -> Result<()> {
    let file = |name: &str, content: &str| -> Result<String> {
        fs::write(room.path(name), content)?;
        Ok(room.path(name).display().to_string())
    };
    let (right, wrong) = (file("right.key", &format!("{KEY}\n"))?, file("wrong.key", "x")?);
    let with_password = format!("--password-file={}", file("password", PASSWORD)?);
    for cipher in ciphers {
        for password in [None, Some(PASSWORD)] {
            let (url, ends) = serve(encrypted(None, KEY), password)?;
            let ask = |key: Option<&str>| {
                let cipher = format!("--encryption={cipher}");
                let key = key.map(|key| format!("--encryption-keyfile={key}"));
                let mut arguments = vec!["info", &url];
                arguments.extend(key.iter().flat_map(|key| [cipher.as_str(), key.as_str()]));
                arguments.extend(password.is_some().then_some(with_password.as_str()));
                let output = room.run(client, &arguments)?;
                let said = [output.stdout, output.stderr].concat();
                let said = String::from_utf8_lossy(&said).into_owned();
                anyhow::Ok((output.status.success() && said.contains("greeting=hello"), said))
            };
            let (greeted, said) = ask(Some(&right))?;
            ensure!(greeted, "{cipher} {password:?}: {said}");
            let (greeted, said) = ask(Some(&wrong))?;
            ensure!(
                !greeted && said.contains("padding") != cipher.ends_with("CTR"),
                "{said}"
            );
            let (greeted, said) = ask(None)?;
            ensure!(!greeted && said.contains("missing encryption tokens"), "{said}");
            let mut ends = std::iter::from_fn(|| ends.recv_timeout(SILENCE).ok());
            ensure!(ends.any(|end| matches!(end, CloseReason::Encryption(_))));
        }
    }
    Ok(())
}

#[test]
fn our_client_xpra3_server() -> Result<()> {
    with(&[Peer::Xpra3], |room| {
        let display = Display::start(Size::new(320, 240), &room.logs())?;
        for password in [None, Some(PASSWORD)] {
            let (port, _server) = xpra3_server(room, &display, password)?;
            let ask = |config: &ConnectionConfig| ask(port, Dialect::G3, config, password);
            let info = ask(&encrypted(Some(CipherMode::Cbc), KEY))?.map_err(anyhow::Error::msg)?;
            let keys = info.as_value().as_map().map_or(0, <[_]>::len);
            ensure!(keys > 20, "{info:?}");
            let end = ask(&encrypted(Some(CipherMode::Cbc), "another key"))?;
            ensure!(matches!(&end, Err(CloseReason::Encryption(_))), "{end:?}");
            let end = ask(&ConnectionConfig::default())?;
            ensure!(end.is_err(), "{end:?}");
        }
        Ok(())
    })
}

/// A 3.1 server that wants AES, and perhaps a password, on its TCP port.
fn xpra3_server(room: &Room, display: &Display, password: Option<&str>) -> Result<(u16, Process)> {
    let port = free_port()?;
    let (key, secret) = (room.path("key"), room.path("password"));
    fs::write(&key, KEY)?;
    let mut command = room.command(Peer::Xpra3, Some(display))?;
    command
        .args([
            "shadow",
            &display.name(),
            "--daemon=no",
            "--bind=auto",
            "--mdns=no",
        ])
        .args([
            "--html=off",
            "--dbus-launch=",
            "--dbus-proxy=no",
            "--dbus-control=no",
        ])
        .args([
            "--pulseaudio=no",
            "--printing=no",
            "--systemd-run=no",
            "--tcp-encryption=AES",
        ])
        .arg(format!("--bind-tcp=127.0.0.1:{port}"))
        .arg(format!("--socket-dir={}", room.path("sd").display()))
        .arg(format!("--tcp-encryption-keyfile={}", key.display()));
    if let Some(password) = password {
        fs::write(&secret, password)?;
        command.arg(format!("--tcp-auth=file:filename={}", secret.display()));
    }
    let log = room.logs().join(format!("server-{port}.log"));
    let mut server = Process::start("Xpra3 server", command, &log)?;
    server.wait_for_log("xpra is ready.", READY)?;
    Ok((port, server))
}

fn encrypted(mode: Option<CipherMode>, key: &str) -> ConnectionConfig {
    ConnectionConfig {
        encryption: Encryption::new(mode, key, |bytes| getrandom::fill(bytes).is_ok()),
        ping_interval: None,
        ..ConnectionConfig::default()
    }
}

/// Asks a server for its facts: its hello, or how the connection ended without one.
fn ask(
    port: u16,
    dialect: Dialect,
    config: &ConnectionConfig,
    password: Option<&str>,
) -> Result<Result<Capabilities, CloseReason>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let mut hello = Capabilities::default();
    hello
        .set("request", "info")
        .set("info_request", true)
        .set("info-namespace", true)
        .set("windows", false)
        .set("ui_client", false)
        .set("digest", vec![DIGEST])
        .set("salt-digest", vec![DIGEST])
        .set("username", "root");
    let mut connection = Connection::client(config, dialect, hello.clone(), Instant::now());
    let mut answer = None;
    let end = converse(&mut stream, &mut connection, |connection, event| {
        match event {
            Event::Hello(caps) => {
                answer = Some(caps);
                connection.close("done", "");
            }
            Event::Packet(Packet::Challenge {
                salt,
                digest,
                salt_digest,
                ..
            }) => {
                ensure!(
                    digest == DIGEST && salt_digest == DIGEST,
                    "{digest} {salt_digest}"
                );
                let client_salt = [7; 32];
                let response = respond(password.context("a challenge")?, &salt, &client_salt);
                connection.respond(hello.clone(), response, client_salt.to_vec(), Instant::now());
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(answer.ok_or(end))
}

/// A server that greets whoever asks it something, once a password is proven; and how its connections ended.
fn serve(
    config: ConnectionConfig,
    password: Option<&'static str>,
) -> Result<(String, Receiver<CloseReason>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("tcp://127.0.0.1:{}/", listener.local_addr()?.port());
    let (sender, ends) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let end = greet(stream, &config, password)
                .unwrap_or_else(|error| CloseReason::Io(format!("{error:#}")));
            if sender.send(end).is_err() {
                return;
            }
        }
    });
    Ok((url, ends))
}

fn greet(mut stream: TcpStream, config: &ConnectionConfig, password: Option<&str>) -> Result<CloseReason> {
    let mut connection = Connection::server(config, Instant::now());
    let salt = [9; 64];
    converse(&mut stream, &mut connection, |connection, event| {
        let Event::Hello(caps) = event else {
            return Ok(());
        };
        let bytes = |key: &str| {
            caps.get(key)
                .and_then(xpra::codec::Value::as_bytes)
                .unwrap_or_default()
        };
        if let Some(password) = password {
            let response = bytes("challenge_response");
            if response.is_empty() {
                connection.challenge(salt.to_vec(), DIGEST, DIGEST, "password", Instant::now());
                return Ok(());
            }
            let expected = respond(password, &salt, bytes("challenge_client_salt"));
            ensure!(response == expected.as_bytes(), "a wrong password");
        }
        let mut greeting = Capabilities::default();
        greeting.set("greeting", "hello");
        connection.answer(Packet::Hello(greeting));
        Ok(())
    })
}

/// The proof of a password (`wire.md` 5.2).
fn respond(password: &str, salt: &[u8], client_salt: &[u8]) -> String {
    let hmac = |key: &[u8], message: &[u8]| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, key), message);
        tag.as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    hmac(password.as_bytes(), hmac(client_salt, salt).as_bytes())
}

/// Runs a connection over a stream until it ends.
fn converse(
    stream: &mut TcpStream,
    connection: &mut Connection,
    mut handle: impl FnMut(&mut Connection, Event) -> Result<()>,
) -> Result<CloseReason> {
    stream.set_read_timeout(Some(SILENCE))?;
    loop {
        while let Some(event) = connection.poll_event(Instant::now()) {
            if let Event::Closed(end) = event {
                for bytes in connection.transmit().drain(..) {
                    stream.write_all(&bytes).ok();
                }
                return Ok(end);
            }
            handle(connection, event)?;
        }
        for bytes in connection.transmit().drain(..) {
            stream.write_all(&bytes)?;
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(0) => connection.received_eof(),
            Ok(n) => {
                connection.read_buf().extend_from_slice(&buffer[..n]);
                connection.received(n);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => bail!("silence"),
            Err(error) => connection.failed(&error),
        }
    }
}
