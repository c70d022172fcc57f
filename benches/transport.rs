//! What TLS on a link costs, beside a bare tokio-rustls with the same keys and ciphers in the same run: echoes of
//! blocks on one connection, and handshakes (both over loopback TCP). And what looking at a peer's first bytes costs:
//! connections to a port for several protocols, beside those to one for xpra's alone.
//!
//! At the end the ratio of the medians of interleaved rounds is printed, or what is added.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench: a panic is a failed run"
)]

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use criterion::{Criterion, Throughput, criterion_group};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use xpra::address::{Address, Bind, DEFAULT_MIN_PORT, TransportKind};
use xpra::transport::tls::{CaCerts, ClientTls, ClientTlsOptions, ServerTls, ServerTlsOptions, VerifyMode};
use xpra::transport::{BoxedStream, ConnectOptions, Link, ListenOptions, Listener, Spoken, connect, listen};

/// How often ours and the other take turns.
const ROUNDS: usize = 15;

/// As long as the hello of a request that only wants to know whether somebody is there, in a record.
const FIRST_RECORD: [u8; 208] = {
    let mut record = [0; 208];
    record[0] = b'P';
    record[1] = 0x10;
    record[7] = 200;
    record
};

const BLOCKS: [(&str, usize); 2] = [("64KiB", 64 << 10), ("1MiB", 1 << 20)];

/// An authority and a certificate of it for this machine.
struct Keys {
    directory: tempfile::TempDir,
    authority: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Keys {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(vec!["authority".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let both = certificate.pem() + &key.serialize_pem();
        std::fs::write(directory.path().join("ca.pem"), authority.pem()).unwrap();
        std::fs::write(directory.path().join("cert.pem"), both).unwrap();
        Self {
            directory,
            authority: authority.der().clone(),
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap(),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

async fn listener() -> Listener {
    let bind = Bind::parse(TransportKind::Tcp, "127.0.0.1:0", DEFAULT_MIN_PORT).unwrap();
    listen(&bind, &ListenOptions::default()).await.unwrap().remove(0)
}

/// An implementation of TLS whose server echoes what it gets.
trait Tls {
    const NAME: &str;
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Opens a connection: TCP and TLS.
    async fn open(&self) -> Self::Stream;
}

/// Ours.
struct Ours {
    client: ClientTls,
    tcp: Address,
}

impl Ours {
    async fn start(keys: &Keys) -> Self {
        let options = ServerTlsOptions {
            cert: Some(keys.file("cert.pem")),
            client_verify_mode: VerifyMode::None,
            ..ServerTlsOptions::default()
        };
        #[expect(clippy::disallowed_methods, reason = "certificates have real dates")]
        let server = ServerTls::new(&options, SystemTime::now()).unwrap();
        let listener = listener().await;
        let tcp = listener.to_string().parse().unwrap();
        tokio::spawn(async move {
            loop {
                let link = listener.accept().await.unwrap();
                let server = server.clone();
                tokio::spawn(async move { echo(server.accept(link).await?.stream).await });
            }
        });
        let options = ClientTlsOptions {
            ca_certs: CaCerts::Path(keys.file("ca.pem")),
            ..ClientTlsOptions::default()
        };
        Self {
            client: ClientTls::new(&options).unwrap(),
            tcp,
        }
    }
}

impl Tls for Ours {
    const NAME: &str = "ours";
    type Stream = BoxedStream;

    async fn open(&self) -> BoxedStream {
        let link: Link = connect(&self.tcp, &ConnectOptions::default()).await.unwrap();
        self.client.connect(link, "127.0.0.1", 1).await.unwrap().stream
    }
}

/// tokio-rustls and nothing else.
struct Bare {
    connector: TlsConnector,
    port: u16,
}

impl Bare {
    async fn start(keys: &Keys) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![keys.certificate.clone()], keys.key.clone_key())
            .unwrap();
        server.send_tls13_tickets = 0;
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let mut roots = RootCertStore::empty();
        roots.add(keys.authority.clone()).unwrap();
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.resumption = rustls::client::Resumption::disabled();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move { echo(acceptor.accept(stream).await?).await });
            }
        });
        Self {
            connector: TlsConnector::from(Arc::new(client)),
            port,
        }
    }
}

impl Tls for Bare {
    const NAME: &str = "bare";
    type Stream = tokio_rustls::client::TlsStream<TcpStream>;

    async fn open(&self) -> Self::Stream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        self.connector.connect(name, stream).await.unwrap()
    }
}

/// Sends back what comes, until the end.
async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            return stream.shutdown().await;
        }
        stream.write_all(buffer.get(..length).unwrap_or_default()).await?;
        stream.flush().await?;
    }
}

/// One block there and back again.
async fn round_trip(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), block: &[u8], back: &mut [u8]) {
    let (mut reader, mut writer) = split(stream);
    let send = async {
        writer.write_all(block).await?;
        writer.flush().await
    };
    let (sent, received) = tokio::join!(send, reader.read_exact(back));
    sent.unwrap();
    received.unwrap();
}

/// A connection opened and proven with a byte.
async fn handshake(tls: &impl Tls) {
    let mut stream = tls.open().await;
    round_trip(&mut stream, &[1], &mut [0]).await;
}

/// A port that echoes, after a look at what is spoken if it `detects`.
async fn echoing(detects: bool) -> Address {
    let listener = listener().await;
    let address = listener.to_string().parse().unwrap();
    tokio::spawn(async move {
        loop {
            let mut link = listener.accept().await.unwrap();
            tokio::spawn(async move {
                if detects {
                    assert_eq!(Spoken::of(&mut link).await?, Spoken::Xpra);
                }
                echo(link.stream).await
            });
        }
    });
    address
}

/// From nothing to the answer to the first record.
async fn first_exchange(address: &Address) {
    let mut link = connect(address, &ConnectOptions::default()).await.unwrap();
    let mut back = FIRST_RECORD;
    round_trip(&mut link.stream, &FIRST_RECORD, &mut back).await;
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn throughput<T: Tls>(c: &mut Criterion, runtime: &Runtime, tls: &T) {
    for (name, size) in BLOCKS {
        let mut stream = runtime.block_on(tls.open());
        let (block, mut back) = (vec![7; size], vec![0; size]);
        let mut group = c.benchmark_group("transport/tls-throughput");
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("{}/{name}", T::NAME), |b| {
            b.iter(|| runtime.block_on(round_trip(&mut stream, &block, &mut back)));
        });
        group.finish();
    }
}

fn handshakes<T: Tls>(c: &mut Criterion, runtime: &Runtime, tls: &T) {
    let mut group = c.benchmark_group("transport/tls-handshake");
    group.bench_function(T::NAME, |b| b.iter(|| runtime.block_on(handshake(tls))));
    group.finish();
}

fn tls(c: &mut Criterion) {
    let (runtime, keys) = (runtime(), Keys::new());
    let (ours, bare) = runtime.block_on(async { (Ours::start(&keys).await, Bare::start(&keys).await) });
    throughput(c, &runtime, &ours);
    throughput(c, &runtime, &bare);
    handshakes(c, &runtime, &ours);
    handshakes(c, &runtime, &bare);
}

fn detect(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("transport/detect");
    for (name, detects) in [("plain", false), ("detecting", true)] {
        let address = runtime.block_on(echoing(detects));
        group.bench_function(name, |b| b.iter(|| runtime.block_on(first_exchange(&address))));
    }
    group.finish();
}

/// What a look at the first bytes adds to the first exchange.
fn detection() {
    let runtime = runtime();
    let (plain, detecting) = runtime.block_on(async { (echoing(false).await, echoing(true).await) });
    let (mut plain_times, mut detecting_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        plain_times.push(timed(100, || runtime.block_on(first_exchange(&plain))));
        detecting_times.push(timed(100, || runtime.block_on(first_exchange(&detecting))));
    }
    let (plain_time, detecting_time) = (median(plain_times), median(detecting_times));
    println!(
        "transport/detect: plain {plain_time:.1?}, detecting {detecting_time:.1?}: {:.1} us added",
        (detecting_time.as_secs_f64() - plain_time.as_secs_f64()) * 1e6
    );
}

/// How long something takes: the median of rounds, which alternate between ours and the other.
fn comparison() {
    let (runtime, keys) = (runtime(), Keys::new());
    let (ours, bare) = runtime.block_on(async { (Ours::start(&keys).await, Bare::start(&keys).await) });
    for (name, size) in BLOCKS {
        let (mut near, mut far) = runtime.block_on(async { (ours.open().await, bare.open().await) });
        let (block, mut back) = (vec![7; size], vec![0; size]);
        let count = (64 << 20) / size;
        let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            our_times.push(timed(count, || {
                runtime.block_on(round_trip(&mut near, &block, &mut back));
            }));
            their_times.push(timed(count, || {
                runtime.block_on(round_trip(&mut far, &block, &mut back));
            }));
        }
        let (our_time, their_time) = (median(our_times), median(their_times));
        let rate = |time: Duration| size as f64 / time.as_secs_f64() / 1e6;
        println!(
            "transport/tls-throughput/{name}: ours {:.0} MB/s, bare {:.0} MB/s: {:.0} %",
            rate(our_time),
            rate(their_time),
            100.0 * rate(our_time) / rate(their_time)
        );
    }
    let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        our_times.push(timed(100, || runtime.block_on(handshake(&ours))));
        their_times.push(timed(100, || runtime.block_on(handshake(&bare))));
    }
    let (our_time, their_time) = (median(our_times), median(their_times));
    println!(
        "transport/tls-handshake: ours {our_time:.0?}, bare {their_time:.0?}: {:.0} %",
        100.0 * their_time.as_secs_f64() / our_time.as_secs_f64()
    );
    let options = ClientTlsOptions::default();
    let prepare = (0..ROUNDS).map(|_| timed(1, || drop(ClientTls::new(&options).unwrap())));
    println!(
        "transport/tls-client: reading this machine's authorities {:.1?}",
        median(prepare.collect())
    );
}

/// The time of one of `count` calls.
fn timed(count: usize, mut call: impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..count).for_each(|_| call());
    start.elapsed() / u32::try_from(count).unwrap()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    *times.get(times.len() / 2).expect("some rounds")
}

criterion_group!(benches, tls, detect);

fn main() {
    benches();
    // `cargo test --benches` only wants to know that it runs
    if !std::env::args().any(|argument| argument == "--test") {
        comparison();
        detection();
    }
    Criterion::default().configure_from_args().final_summary();
}
