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
        for _ in 0..100 {
            plain_times.push(timed(|| runtime.block_on(first_exchange(&plain))));
            detecting_times.push(timed(|| runtime.block_on(first_exchange(&detecting))));
        }
    }
    let ([plain_time, _], [detecting_time, _]) = (median(plain_times), median(detecting_times));
    println!(
        "transport/detect: plain {plain_time:.1?}, detecting {detecting_time:.1?}: {:.1} us added",
        (detecting_time.as_secs_f64() - plain_time.as_secs_f64()) * 1e6
    );
}

/// Ours beside the other, in wall time and in processor time of both ends (which other work on the machine disturbs
/// less): medians of rounds that alternate.
fn comparison() {
    let (runtime, keys) = (runtime(), Keys::new());
    let (ours, bare) = runtime.block_on(async { (Ours::start(&keys).await, Bare::start(&keys).await) });
    for (name, size) in BLOCKS {
        let (mut near, mut far) = runtime.block_on(async { (ours.open().await, bare.open().await) });
        let (block, mut back) = (vec![7; size], vec![0; size]);
        let mut rounds = Rounds::default();
        for _ in 0..50 {
            for _ in 0..(8 << 20) / size {
                rounds.ours(|| runtime.block_on(round_trip(&mut near, &block, &mut back)));
                rounds.bare(|| runtime.block_on(round_trip(&mut far, &block, &mut back)));
            }
        }
        rounds.print(&format!("transport/tls-throughput/{name}"));
    }
    let mut rounds = Rounds::default();
    for _ in 0..1500 {
        rounds.ours(|| runtime.block_on(handshake(&ours)));
        rounds.bare(|| runtime.block_on(handshake(&bare)));
    }
    rounds.print("transport/tls-handshake");
    let mut rounds = Rounds::default();
    let options = ClientTlsOptions::default();
    for _ in 0..20 {
        rounds.ours(|| drop(ClientTls::new(&options).unwrap()));
    }
    let [wall, cpu] = median(rounds.ours);
    println!("transport/tls-client: this machine's authorities are read in {wall:.1?}, processor {cpu:.1?}");
}

/// Wall time and processor time of each round.
#[derive(Default)]
struct Rounds {
    ours: Vec<[Duration; 2]>,
    bare: Vec<[Duration; 2]>,
}

impl Rounds {
    fn ours(&mut self, call: impl FnOnce()) {
        self.ours.push(timed(call));
    }

    fn bare(&mut self, call: impl FnOnce()) {
        self.bare.push(timed(call));
    }

    fn print(self, what: &str) {
        let ([our_wall, our_cpu], [wall, cpu]) = (median(self.ours), median(self.bare));
        let percent = |ours: Duration, bare: Duration| 100.0 * bare.as_secs_f64() / ours.as_secs_f64();
        println!(
            "{what}: wall {our_wall:.1?} to {wall:.1?} ({:.0} %), processor {our_cpu:.1?} to {cpu:.1?} ({:.0} %)",
            percent(our_wall, wall),
            percent(our_cpu, cpu)
        );
    }
}

fn timed(call: impl FnOnce()) -> [Duration; 2] {
    let (start, busy) = (Instant::now(), processor_time());
    call();
    [start.elapsed(), processor_time().saturating_sub(busy)]
}

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap()
}

/// The medians of both.
fn median(times: Vec<[Duration; 2]>) -> [Duration; 2] {
    [0, 1].map(|kind| {
        let mut times: Vec<_> = times.iter().filter_map(|time| time.get(kind)).copied().collect();
        times.sort();
        *times.get(times.len() / 2).expect("some rounds")
    })
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
