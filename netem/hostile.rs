//! Connections that break the rules end; the server and its other clients do not notice.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use xpra::types::Size;

use crate::display::{Display, Shown};
use crate::grid::{CARD, sees};
use crate::peer::{Keys, Mode, Peer, Server, Via, attach};
use crate::picture::Picture;
use crate::with;

const SCREEN: Size = Size::new(640, 480);

/// How long a server may take to refuse what is wrong at once.
const REFUSAL_LIMIT: Duration = Duration::from_secs(10);

/// When a connection without a hello may be ended: the login timeout is 21 s (`endpoints.md` c.2), xpra 6 ends one that
/// says nothing at all after 6 s, and a slow line must have a chance.
const LOGIN_TIMEOUT: Range<Duration> = Duration::from_secs(5)..Duration::from_secs(35);

/// What a server may have resident after all of this, in KiB.
const MEMORY_LIMIT: u64 = 256 << 10;

/// How many are slow at once, how slow they are, and how many pictures are to be shown meanwhile.
const SLOW_STRANGERS: usize = 60;
const BETWEEN_BYTES: Duration = Duration::from_millis(250);
const LEAST_PICTURES: u32 = 5;

const RENCODEPLUS: u8 = 0x10;

#[test]
fn harness_refused_by_real_xpra() -> Result<()> {
    with(&[Peer::Xpra3], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let server = Server::start(room, Peer::Xpra3, Mode::Shadow, &source)?;
        refused("noise", server.port(), &[0xff; 64])?;
        refused(
            "a record of 4 GiB",
            server.port(),
            &[&record_header(1, 0, 0, u32::MAX), &[0; 64][..]].concat(),
        )
    })
}

#[test]
fn malformed_records_are_refused() -> Result<()> {
    with(&[Peer::Ours], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let mut server = Server::start(room, Peer::Ours, Mode::Shadow, &source)?;
        for (what, bytes) in malformed()? {
            refused(what, server.port(), &bytes)?;
        }
        ensure!(server.process().is_running(), "the server is gone");
        room.ask(Peer::Ours, &["version", &server.url(Peer::Ours, Via::Tcp)])?;
        let peak = peak_memory(server.id())?;
        ensure!(peak < MEMORY_LIMIT, "the server took {peak} KiB");
        Ok(())
    })
}

#[test]
fn others_keep_working() -> Result<()> {
    with(&[Peer::Ours], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let screen = Display::start(SCREEN, &room.logs())?;
        let shown = Shown::open(&source, "card", 10, 20, &Picture::card(CARD, 1))?;
        let server = Server::start(room, Peer::Ours, Mode::Shadow, &source)?;
        let mut viewer = attach(room, Peer::Ours, &server, Via::Unix, &screen)?;
        sees(&screen, 1)?;

        let port = server.port();
        let silent = thread::spawn(move || ends_by_login_timeout(port, &[]));
        let slow =
            thread::spawn(move || ends_by_login_timeout(port, &record_header(RENCODEPLUS, 0, 0, 60_000)));
        for seed in 2..6 {
            // Gone in the middle of a chunk.
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
            stream.write_all(&record_header(0, 0, 2, 1 << 20))?;
            stream.write_all(&[7; 1000])?;
            drop(stream);
            // Gone before saying anything, many at once.
            let crowd: Result<Vec<_>, _> = (0..20)
                .map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)))
                .collect();
            drop(crowd?);
            shown.show(&Picture::card(CARD, seed))?;
            sees(&screen, seed)?;
        }
        silent.join().unwrap().context("a client that says nothing")?;
        slow.join()
            .unwrap()
            .context("a client that sends a byte a second")?;
        shown.show(&Picture::card(CARD, 6))?;
        sees(&screen, 6)?;
        ensure!(viewer.is_running(), "the client is gone");
        Ok(())
    })
}

#[test]
fn slow_strangers_are_ended() -> Result<()> {
    with(&[Peer::Ours], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let screen = Display::start(SCREEN, &room.logs())?;
        let shown = Shown::open(&source, "card", 10, 20, &Picture::card(CARD, 1))?;
        let with_tls = [format!("--ssl-cert={}", Keys::new(room)?.certificate.display())];
        let server = Server::start_also(room, Peer::Ours, Mode::Shadow, &source, &with_tls)?;
        let mut viewer = attach(room, Peer::Ours, &server, Via::Unix, &screen)?;
        sees(&screen, 1)?;

        let port = server.port();
        let crowd = thread::spawn(move || trickle(port));
        let mut seed = 1;
        while !crowd.is_finished() {
            seed += 1;
            shown.show(&Picture::card(CARD, seed))?;
            sees(&screen, seed)?;
        }
        crowd.join().unwrap()?;
        ensure!(
            seed >= LEAST_PICTURES,
            "{seed} pictures beside the crowd, at least {LEAST_PICTURES} were expected"
        );
        ensure!(viewer.is_running(), "the client is gone");
        room.ask(Peer::Ours, &["version", &server.url(Peer::Ours, Via::Tcp)])?;
        Ok(())
    })
}

/// First records no server may accept: what is wrong with each, and its bytes.
fn malformed() -> Result<Vec<(&'static str, Vec<u8>)>> {
    let mut bomb = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![0; 1 << 20];
    (0..512).try_for_each(|_| bomb.write_all(&zeros))?;
    let bomb = bomb.finish()?;
    let four_chunks: Vec<u8> = (1..5).flat_map(|index| record(0, 0, index, 4, b"abcd")).collect();
    let lz4_bomb = [&[0xff, 0xff, 0xff, 0x7f], &[0; 60][..]].concat();
    Ok(vec![
        ("noise", vec![0xff; 64]),
        ("an empty record", record(RENCODEPLUS, 0, 0, 0, b"")),
        (
            "a record of 4 GiB",
            record_header(RENCODEPLUS, 0, 0, u32::MAX).to_vec(),
        ),
        (
            "a list that ends too early",
            record(RENCODEPLUS, 0, 0, 1, &[0xc2]),
        ),
        (
            "a nesting bomb",
            record(RENCODEPLUS, 0, 0, 100_000, &[0x3b; 100_000]),
        ),
        (
            "text instead of a list",
            record(RENCODEPLUS, 0, 0, 5, b"\x84ping"),
        ),
        (
            "a hello that is a number",
            record(RENCODEPLUS, 0, 0, 8, b"\xc2\x85hello\x05"),
        ),
        (
            "lz4 that claims 2 GiB",
            record(RENCODEPLUS, 0x11, 0, 64, &lz4_bomb),
        ),
        (
            "512 MiB of zeros in zlib",
            record(1, 1, 0, u32::try_from(bomb.len())?, &bomb),
        ),
        ("a chunk for argument 200", record(0, 0, 200, 4, b"abcd")),
        ("four chunks", four_chunks),
    ])
}

const fn record_header(flags: u8, compression: u8, index: u8, size: u32) -> [u8; 8] {
    let [a, b, c, d] = size.to_be_bytes();
    [b'P', flags, compression, index, a, b, c, d]
}

fn record(flags: u8, compression: u8, index: u8, size: u32, payload: &[u8]) -> Vec<u8> {
    [&record_header(flags, compression, index, size), payload].concat()
}

/// Sends `bytes` and waits for the server to close.
fn refused(what: &str, port: u16, bytes: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(REFUSAL_LIMIT))?;
    // The server may close before it has read all.
    stream.write_all(bytes).ok();
    closed(&mut stream).with_context(|| what.to_owned())
}

/// Sends `start`, then a byte a second, and checks that the login timeout ends it.
fn ends_by_login_timeout(port: u16, start: &[u8]) -> Result<()> {
    let begin = Instant::now();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(start)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    while begin.elapsed() < LOGIN_TIMEOUT.end {
        if closed(&mut stream).is_ok() {
            ensure!(
                begin.elapsed() >= LOGIN_TIMEOUT.start,
                "ended after {:?} already",
                begin.elapsed()
            );
            return Ok(());
        }
        if !start.is_empty() {
            // The end is seen by the next read.
            stream.write_all(b"\x01").ok();
        }
    }
    bail!("still open after {:?}", begin.elapsed())
}

/// Begins to speak HTTP, TLS and xpra on many connections, a byte at a time on each, and checks that the login timeout
/// ends them all.
fn trickle(port: u16) -> Result<()> {
    let beginnings: [(&str, &[u8]); 3] = [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "),
        ("TLS", b"\x16\x03\x01\x20\x00\x01\x00\x1f\xfc\x03\x03"),
        ("xpra", &record_header(RENCODEPLUS, 0, 0, 60_000)),
    ];
    let begin = Instant::now();
    let mut slow = Vec::new();
    for (what, text) in beginnings.iter().cycle().take(SLOW_STRANGERS) {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nonblocking(true)?;
        slow.push((*what, *text, stream));
    }
    for turn in 0.. {
        let passed = begin.elapsed();
        for (what, _, _) in slow.extract_if(.., |(_, _, stream)| closed(stream).is_ok()) {
            ensure!(
                passed >= LOGIN_TIMEOUT.start,
                "{what} ended after {passed:?} already"
            );
        }
        if slow.is_empty() {
            break;
        }
        let left: Vec<_> = slow.iter().map(|(what, _, _)| what).collect();
        ensure!(
            passed < LOGIN_TIMEOUT.end,
            "after {passed:?} still open: {left:?}"
        );
        for (_, text, stream) in &mut slow {
            // The end is seen by the next read.
            stream.write_all(&[text.get(turn).copied().unwrap_or(b'a')]).ok();
        }
        thread::sleep(BETWEEN_BYTES);
    }
    Ok(())
}

/// Reads until the server closes; an error when it is silent for the stream's time limit.
fn closed(stream: &mut TcpStream) -> Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => bail!("not closed"),
            // A reset is an end too: unread input makes the kernel send one.
            Err(_) => return Ok(()),
        }
    }
}

/// The most memory a process has had resident, in KiB.
fn peak_memory(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
