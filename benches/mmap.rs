//! A picture of 1920x1080 from one process to another, acknowledged: through shared memory, a unix socket, TCP and TLS,
//! each beside what the machine can do at most.
//!
//! `limit-...` are a plain copy, plain blocking sockets and rustls over one; the others are what sessions use. After
//! criterion's figures comes a table with percentiles, because what is waited for is single pictures.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a bench ends at the first thing that is not as expected"
)]

#[allow(dead_code, reason = "shared by all benches, each uses a part")]
mod ways;

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use xpra::address::{Address, Target};
use xpra::mmap::{Region, RingReader, RingWriter, Span, size_for};
use xpra::transport::{BoxedStream, ConnectOptions, connect};

use crate::ways::keys::Keys;

const PIXELS: u64 = 1920 * 1080;
const FRAME: usize = 1920 * 1080 * 4;
/// Tells the bench's program to be the client.
const CLIENT: &str = "XPRA_BENCH_MMAP_CLIENT";

fn main() {
    if let Some(role) = std::env::var_os(CLIENT) {
        return client(&role.into_string().unwrap());
    }
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(30)
        .configure_from_args();
    let mut paths = Paths::new();
    let mut group = criterion.benchmark_group("mmap/hand-over-1920x1080");
    group.throughput(Throughput::Bytes(FRAME as u64));
    for (name, path) in paths.all() {
        group.bench_function(name, |bench| bench.iter(|| path.hand_over()));
    }
    group.finish();
    if std::env::args().any(|word| word == "--bench") {
        percentiles(&mut paths);
    }
}

/// Single hand-overs in turns, so that all rows see the same machine.
fn percentiles(paths: &mut Paths) {
    const TURNS: usize = 400;
    let names: Vec<&str> = paths.all().iter().map(|(name, _)| *name).collect();
    let mut times = vec![Vec::with_capacity(TURNS); names.len()];
    for _ in 0..TURNS {
        for ((_, path), times) in paths.all().into_iter().zip(&mut times) {
            let began = Instant::now();
            path.hand_over();
            times.push(began.elapsed());
        }
    }
    times.iter_mut().for_each(|times| times.sort());
    let at = |name: &str, percent: usize| {
        let index = names.iter().position(|other| *other == name).unwrap();
        times[index][TURNS * percent / 100].as_secs_f64() * 1e6
    };
    println!(
        "\n1920x1080, 4 bytes a pixel, acknowledged; {TURNS} turns of all rows, load {}\n",
        load()
    );
    println!("| | p50 µs | p95 | p99 | GB/s | limit | p50 µs | times the limit |");
    println!("|---|--:|--:|--:|--:|---|--:|--:|");
    for (name, limit) in [
        ("mmap", "limit-memcpy"),
        ("mmap-copied", "limit-memcpy"),
        ("unix", "limit-unix"),
        ("tcp", "limit-tcp"),
        ("ssl", "limit-rustls"),
    ] {
        let (ours, least) = (at(name, 50), at(limit, 50));
        println!(
            "| {name} | {ours:.0} | {:.0} | {:.0} | {:.1} | {limit} | {least:.0} | {:.2} |",
            at(name, 95),
            at(name, 99),
            FRAME as f64 / ours / 1e3,
            ours / least
        );
    }
}

/// How busy the machine is.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

/// A way of a picture to another process.
trait Way {
    /// Sends one and waits until it is acknowledged.
    fn hand_over(&mut self);
}

/// All ways, the limits first.
struct Paths {
    copy: Copy,
    raw_unix: Raw<UnixStream>,
    raw_tcp: Raw<TcpStream>,
    memory_copied: Memory,
    memory: Memory,
    unix: Stream,
    tcp: Stream,
    bare_tls: Raw<Bare>,
    ssl: Stream,
    _clients: Clients,
    _folder: tempfile::TempDir,
}

impl Paths {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut clients = Clients(Vec::new());
        let picture: Vec<u8> = (0..FRAME).map(|i| (i * 7 % 251) as u8).collect();
        let unix = |name: &str| {
            let path = folder.path().join(name);
            (UnixListener::bind(&path).unwrap(), path)
        };
        let (raw_unix, raw_unix_path) = unix("raw");
        let mut memories = Vec::new();
        for (name, copied) in [("copied", true), ("none", false)] {
            let (listener, path) = unix(name);
            let region = Region::anonymous(size_for(PIXELS)).unwrap();
            let memory = format!("/proc/{}/fd/{}", std::process::id(), region.file().as_raw_fd());
            clients.start(&format!("memory {} {memory}", path.display()));
            memories.push(Memory {
                ring: RingWriter::new(region).unwrap(),
                socket: listener.accept().unwrap().0,
                picture: copied.then(|| picture.clone()),
            });
        }
        let raw_tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        clients.start(&format!("unix {}", raw_unix_path.display()));
        clients.start(&format!("tcp {}", raw_tcp.local_addr().unwrap()));
        clients.start(&format!("listen-unix {}", folder.path().join("ours").display()));
        let [tcp, bare, ssl] = [(); 3].map(|()| free_port());
        clients.start(&format!("listen-tcp 127.0.0.1:{tcp}"));
        let keys = Keys::new(folder.path());
        for port in [bare, ssl] {
            clients.start(&format!(
                "listen-tls 127.0.0.1:{port} {}",
                folder.path().display()
            ));
        }
        let link = |url: String| url.parse().unwrap();
        let (memory, memory_copied) = (memories.pop().unwrap(), memories.pop().unwrap());
        Self {
            copy: Copy::new(&picture),
            raw_unix: Raw::new(raw_unix.accept().unwrap().0, &picture),
            raw_tcp: Raw::new(nodelay(raw_tcp.accept().unwrap().0), &picture),
            memory_copied,
            memory,
            unix: Stream::new(
                &Address::new(Target::Socket(folder.path().join("ours"))),
                &keys,
                &picture,
            ),
            tcp: Stream::new(&link(format!("tcp://127.0.0.1:{tcp}/")), &keys, &picture),
            bare_tls: Raw::new(bare_tls(bare, &keys), &picture),
            ssl: Stream::new(&link(format!("ssl://127.0.0.1:{ssl}/")), &keys, &picture),
            _clients: clients,
            _folder: folder,
        }
    }

    fn all(&mut self) -> [(&'static str, &mut dyn Way); 9] {
        [
            ("limit-memcpy", &mut self.copy),
            ("mmap-copied", &mut self.memory_copied),
            ("mmap", &mut self.memory),
            ("limit-unix", &mut self.raw_unix),
            ("unix", &mut self.unix),
            ("limit-tcp", &mut self.raw_tcp),
            ("tcp", &mut self.tcp),
            ("limit-rustls", &mut self.bare_tls),
            ("ssl", &mut self.ssl),
        ]
    }
}

/// One warm copy into memory of the kind that is shared.
struct Copy {
    region: Region,
    picture: Vec<u8>,
}

impl Copy {
    fn new(picture: &[u8]) -> Self {
        Self {
            region: Region::anonymous(size_for(PIXELS)).unwrap(),
            picture: picture.to_vec(),
        }
    }
}

impl Way for Copy {
    fn hand_over(&mut self) {
        self.region.write(8, black_box(&self.picture)).unwrap();
    }
}

/// Shared memory; `picture` when the pixels have to be copied there, as nobody wrote them there himself.
struct Memory {
    ring: RingWriter,
    socket: UnixStream,
    picture: Option<Vec<u8>>,
}

impl Way for Memory {
    fn hand_over(&mut self) {
        let span = self.ring.reserve(FRAME as u64).unwrap();
        if let Some(picture) = &self.picture {
            self.ring.write(span.offset, picture).unwrap();
        }
        let mut record = [0; 8];
        record[..4].copy_from_slice(&span.offset.to_ne_bytes());
        record[4..].copy_from_slice(&span.len.to_ne_bytes());
        self.socket.write_all(&record).unwrap();
        self.socket.read_exact(&mut [0]).unwrap();
    }
}

/// A plain blocking socket.
struct Raw<S> {
    socket: S,
    picture: Vec<u8>,
}

impl<S> Raw<S> {
    fn new(socket: S, picture: &[u8]) -> Self {
        Self {
            socket,
            picture: picture.to_vec(),
        }
    }
}

impl<S: Read + Write> Way for Raw<S> {
    fn hand_over(&mut self) {
        self.socket.write_all(&self.picture).unwrap();
        self.socket.flush().unwrap();
        self.socket.read_exact(&mut [0]).unwrap();
    }
}

/// rustls over a blocking socket.
type Bare = StreamOwned<ClientConnection, TcpStream>;

fn bare_tls(port: u16, keys: &Keys) -> Bare {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = ClientConnection::new(keys.bare_client(), name).unwrap();
    StreamOwned::new(connection, nodelay(connected(port)))
}

/// Waits for the other process to listen.
fn connected(port: u16) -> TcpStream {
    loop {
        if let Ok(socket) = TcpStream::connect(("127.0.0.1", port)) {
            return socket;
        }
        std::thread::yield_now();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A link of the library.
struct Stream {
    runtime: Runtime,
    stream: BoxedStream,
    picture: Vec<u8>,
}

impl Stream {
    fn new(address: &Address, keys: &Keys, picture: &[u8]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let options = ConnectOptions {
            tls: keys.client_options(),
            ..ConnectOptions::default()
        };
        let link = runtime.block_on(connect(address, &options));
        Self {
            stream: link.unwrap().stream,
            runtime,
            picture: picture.to_vec(),
        }
    }
}

impl Way for Stream {
    fn hand_over(&mut self) {
        self.runtime.block_on(async {
            self.stream.write_all(&self.picture).await.unwrap();
            self.stream.flush().await.unwrap();
            self.stream.read_exact(&mut [0]).await.unwrap();
        });
    }
}

/// The other processes, gone with this one.
struct Clients(Vec<Child>);

impl Clients {
    fn start(&mut self, role: &str) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        self.0.push(command.env(CLIENT, role).spawn().unwrap());
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        for client in &mut self.0 {
            let _gone = client.kill();
            let _status = client.wait();
        }
    }
}

fn client(role: &str) {
    let words: Vec<&str> = role.split(' ').collect();
    match words[..] {
        ["memory", socket, memory] => use_memory(UnixStream::connect(socket).unwrap(), Path::new(memory)),
        ["unix", socket] => drain(UnixStream::connect(socket).unwrap()),
        ["tcp", address] => drain(nodelay(TcpStream::connect(address).unwrap())),
        ["listen-unix", path] => {
            let _new = std::fs::remove_file(path);
            drain(
                UnixListener::bind(PathBuf::from(path))
                    .unwrap()
                    .accept()
                    .unwrap()
                    .0,
            );
        }
        ["listen-tls", address, folder] => {
            let socket = nodelay(TcpListener::bind(address).unwrap().accept().unwrap().0);
            let connection = ServerConnection::new(Keys::at(Path::new(folder)).bare_server());
            drain(StreamOwned::new(connection.unwrap(), socket));
        }
        ["listen-tcp", address] => drain(nodelay(TcpListener::bind(address).unwrap().accept().unwrap().0)),
        _ => unreachable!(),
    }
}

/// Takes pictures where they are and gives the memory back, until the other side is gone.
fn use_memory(mut socket: UnixStream, memory: &Path) {
    let file = File::options().read(true).write(true).open(memory).unwrap();
    let mut ring = RingReader::new(Region::sealed(file.into()).unwrap());
    let mut record = [0; 8];
    while socket.read_exact(&mut record).is_ok() {
        let number = |at: usize| u32::from_ne_bytes(record[at..at + 4].try_into().unwrap());
        let span = Span {
            offset: number(0),
            len: number(4),
        };
        ring.release(&[span]).unwrap();
        socket.write_all(&[1]).unwrap();
    }
}

/// Reads pictures into memory and acknowledges them, until the other side is gone.
fn drain(mut socket: impl Read + Write) {
    let mut picture = vec![0; FRAME];
    while socket.read_exact(&mut picture).is_ok() {
        socket.write_all(&[1]).unwrap();
        socket.flush().unwrap();
    }
}

fn nodelay(socket: TcpStream) -> TcpStream {
    socket.set_nodelay(true).unwrap();
    socket
}
