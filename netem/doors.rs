//! What is not spoken on a port is refused there in words, and soon; nobody else notices. What is spoken, HTTP, is kept
//! to its bounds.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xpra::types::Size;

use crate::display::{Display, Shown};
use crate::grid::{CARD, sees};
use crate::peer::{Keys, Mode, Peer, Room, Server, Via, attach, free_port};
use crate::picture::Picture;
use crate::process::Process;
use crate::ssh::keygen;
use crate::with;

const SCREEN: Size = Size::new(640, 480);

/// How long a refusal may take: the words, and the close after them.
const REFUSAL_LIMIT: Duration = Duration::from_secs(5);

/// What is said to those who speak something else, and to those who speak HTTP (`wire.md` 1.9).
const WORDS: &str = "disconnect: connection failed, ";
const NO_HTTP: &str = "HTTP/1.1 400 ";
/// What is said to everybody where nothing but SSH is spoken.
const SSH_FIRST: &str = "SSH-2.0-xpra-rs_";

const HTTP: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const NOISE: &[u8] = &[0xff; 64];
const SSH: &[u8] = b"SSH-2.0-OpenSSH_9.2\r\n";
const TLS: &[u8] = b"\x16\x03\x01\x00\x40\x01\x00\x00\x3c\x03\x03";

/// A file beside the folder of pages, and what is in it.
const SECRET: &str = "nobody may read this";

#[test]
fn what_is_not_spoken_is_refused() -> Result<()> {
    with(&[Peer::Ours], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let screen = Display::start(SCREEN, &room.logs())?;
        let shown = Shown::open(&source, "card", 10, 20, &Picture::card(CARD, 1))?;
        let no_tls = ["--ssl-upgrade=no".to_owned()];
        let plain = Server::start_also(room, Peer::Ours, Mode::Shadow, &source, &no_tls)?;
        let mut viewer = attach(room, Peer::Ours, &plain, Via::Unix, &screen)?;
        sees(&screen, 1)?;

        let other = Display::start(SCREEN, &room.logs())?;
        let mut doors = Doors::open(room, &other)?;
        for (port, what, bytes, words) in [
            (plain.port(), "TLS on tcp", TLS, WORDS),
            (plain.port(), "noise on tcp", NOISE, WORDS),
            (doors.ssl, "HTTP on ssl", HTTP, NO_HTTP),
            (doors.ssl, "SSH on ssl", SSH, WORDS),
            (doors.ssl, "noise on ssl", NOISE, WORDS),
            (doors.ws, "SSH on ws", SSH, WORDS),
            (doors.ws, "noise on ws", NOISE, WORDS),
            (doors.ssh, "HTTP on ssh", HTTP, SSH_FIRST),
            (doors.ssh, "TLS on ssh", TLS, SSH_FIRST),
            (doors.ssh, "noise on ssh", NOISE, SSH_FIRST),
        ] {
            let answer = ask(port, bytes).context(what)?;
            ensure!(answer.starts_with(words), "{what}: {answer:?}");
        }
        for (kind, port, words) in [
            ("ssl", doors.ssl, "invalid protocol for this port"),
            ("ws", doors.ws, "invalid protocol for this port"),
            ("ssh", doors.ssh, SSH_FIRST),
        ] {
            let output = room.run(Peer::Ours, &["info", &format!("tcp://127.0.0.1:{port}/")])?;
            let text = String::from_utf8_lossy(&output.stderr);
            ensure!(
                !output.status.success() && text.contains(words),
                "xpra on {kind}: {}, {text}",
                output.status
            );
        }
        ensure!(doors.server.is_running(), "the server is gone");
        shown.show(&Picture::card(CARD, 2))?;
        sees(&screen, 2)?;
        ensure!(viewer.is_running(), "the client is gone");
        Ok(())
    })
}

#[test]
fn http_stays_within_its_bounds() -> Result<()> {
    with(&[Peer::Ours], |room| {
        let display = Display::start(SCREEN, &room.logs())?;
        let mut doors = Doors::open(room, &display)?;
        let page = get(doors.ws, "/index.html", "")?;
        ensure!(page.starts_with("HTTP/1.1 200 "), "{page:?}");
        for path in [
            "/../secret",
            "/./../secret",
            "//../secret",
            "/folder/../../secret",
            "/%2e%2e/secret",
            "/..%2fsecret",
            "/%2e%2e%2fsecret",
            "/%252e%252e/secret",
            "/..%5csecret",
            "/index.html%00/../../secret",
            "/way-out",
        ] {
            let answer = get(doors.ws, path, "")?;
            ensure!(
                answer.starts_with("HTTP/1.1 4") && !answer.contains(SECRET),
                "{path}: {answer:?}"
            );
        }
        let (long, many) = ("a".repeat(64 << 10), "X-Many: a\r\n".repeat(1000));
        for (what, answer) in [
            ("a long path", get(doors.ws, &format!("/{long}"), "")?),
            (
                "a long header",
                get(doors.ws, "/", &format!("X-Long: {long}\r\n"))?,
            ),
            ("many headers", get(doors.ws, "/", &many)?),
        ] {
            ensure!(
                answer.starts_with("HTTP/1.1 4"),
                "{what}: {:?}",
                answer.get(..100)
            );
        }
        ensure!(doors.server.is_running(), "the server is gone");
        Ok(())
    })
}

/// A server with a port of each kind that takes but one protocol.
struct Doors {
    server: Process,
    ssl: u16,
    ws: u16,
    ssh: u16,
}

impl Doors {
    fn open(room: &Room, display: &Display) -> Result<Self> {
        let (pages, host_key) = (room.path("pages"), room.path("host_key"));
        fs::create_dir_all(pages.join("folder"))?;
        fs::write(pages.join("index.html"), "a page")?;
        fs::write(room.path("secret"), SECRET)?;
        symlink(room.path("secret"), pages.join("way-out"))?;
        keygen(&host_key)?;
        let (ssl, ws, ssh) = (free_port()?, free_port()?, free_port()?);
        let options = [
            "--bind=none".to_owned(),
            format!("--bind-ssl=127.0.0.1:{ssl}"),
            format!("--bind-ws=127.0.0.1:{ws}"),
            format!("--bind-ssh=127.0.0.1:{ssh},ssh-host-key={}", host_key.display()),
            format!("--ssl-cert={}", Keys::new(room)?.certificate.display()),
            format!("--html={}", pages.display()),
        ];
        let server = Server::start_with(room, Peer::Ours, Mode::Shadow, display, &options)?;
        Ok(Self { server, ssl, ws, ssh })
    }
}

/// What a port answers to `bytes` until it closes.
fn ask(port: u16, bytes: &[u8]) -> Result<String> {
    let begin = Instant::now();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(REFUSAL_LIMIT))?;
    // The server may answer before it has read all.
    stream.write_all(bytes).ok();
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                anyhow::bail!("not closed, {:?} was said", String::from_utf8_lossy(&answer))
            }
            // A reset is an end too: unread input makes the kernel send one.
            Err(_) => break,
        }
        ensure!(begin.elapsed() < REFUSAL_LIMIT, "said more and more");
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The answer to a request with some more headers.
fn get(port: u16, path: &str, headers: &str) -> Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    ask(port, request.as_bytes()).context("no answer to a request")
}
