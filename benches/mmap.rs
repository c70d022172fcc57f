//! A picture of 1920x1080 from one process to another, acknowledged: through shared memory, a unix socket and TCP, each
//! beside what the machine can do at most.
//!
//! `limit/...` rows are a plain copy and plain blocking sockets; the others are what sessions use. After criterion's
//! table a second one has percentiles, because what is waited for is single pictures.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "a bench ends at the first thing that is not as expected"
)]

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use xpra::address::{Address, Target};
use xpra::mmap::{Region, RingReader, RingWriter, Span, size_for};
use xpra::transport::{BoxedStream, ConnectOptions, connect};

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
    let mut group = criterion.benchmark_group("mmap/1920x1080");
    group.throughput(Throughput::Bytes(FRAME as u64));
    for (name, path) in paths.all() {
        group.bench_function(BenchmarkId::from_parameter(name), |bench| {
            bench.iter(|| path.hand_over())
        });
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
    println!(
        "{:<16} {:>10} {:>10} {:>10}  (µs)",
        "1920x1080", "p50", "p95", "p99"
    );
    for (name, times) in names.iter().zip(&mut times) {
        times.sort();
        let at = |percent: usize| times[TURNS * percent / 100].as_secs_f64() * 1e6;
        println!("{name:<16} {:>10.0} {:>10.0} {:>10.0}", at(50), at(95), at(99));
    }
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
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        clients.start(&format!("listen-tcp 127.0.0.1:{port}"));
        let (memory, memory_copied) = (memories.pop().unwrap(), memories.pop().unwrap());
        Self {
            copy: Copy::new(&picture),
            raw_unix: Raw::new(raw_unix.accept().unwrap().0, &picture),
            raw_tcp: Raw::new(nodelay(raw_tcp.accept().unwrap().0), &picture),
            memory_copied,
            memory,
            unix: Stream::new(
                &Address::new(Target::Socket(folder.path().join("ours"))),
                &picture,
            ),
            tcp: Stream::new(&format!("tcp://127.0.0.1:{port}/").parse().unwrap(), &picture),
            _clients: clients,
            _folder: folder,
        }
    }

    fn all(&mut self) -> [(&'static str, &mut dyn Way); 7] {
        [
            ("limit/memcpy", &mut self.copy),
            ("mmap/copied", &mut self.memory_copied),
            ("mmap", &mut self.memory),
            ("limit/unix", &mut self.raw_unix),
            ("unix", &mut self.unix),
            ("limit/tcp", &mut self.raw_tcp),
            ("tcp", &mut self.tcp),
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
        self.socket.read_exact(&mut [0]).unwrap();
    }
}

/// A link of the library.
struct Stream {
    runtime: Runtime,
    stream: BoxedStream,
    picture: Vec<u8>,
}

impl Stream {
    fn new(address: &Address, picture: &[u8]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let link = runtime.block_on(connect(address, &ConnectOptions::default()));
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
    }
}

fn nodelay(socket: TcpStream) -> TcpStream {
    socket.set_nodelay(true).unwrap();
    socket
}
