//! One suite that every transport passes, alone or layered on another: what the layers above rely on.
//!
//! What was written is on its way once it was flushed, not before: layers hold bytes back while those below are full.

use std::io::IoSlice;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::tls::tests::acquainted;
use super::*;
use crate::address::DEFAULT_MIN_PORT;
use crate::system;

/// What a transport promises beyond carrying bytes.
struct Facts {
    kind: TransportKind,
    is_local: bool,
    has_credentials: bool,
    has_tls: bool,
}

/// Both ends of a new link.
async fn pair(listener: &Listener, address: &Address) -> (Link, Link) {
    let options = ConnectOptions::default();
    let server = async { upgraded(listener.accept().await.unwrap()).await };
    let (client, server) = tokio::join!(connect(address, &options), server);
    (client.unwrap(), server)
}

/// The accepted link with what the layers above put on it.
async fn upgraded(link: Link) -> Link {
    match link.info.kind {
        TransportKind::Ws => websocket::accept(link).await,
        _ => link,
    }
}

/// Runs all checks, each on the ends of a link of its own that `pair` makes. What the system can tell about a link
/// differs, and a new link is asked for it: what it tells must be true.
async fn suite(pair: impl AsyncFn() -> (Link, Link), target: &str, facts: Facts) {
    let ends = pair().await;
    checks(&pair, ends.0.info.probe.unsent().is_some()).await;
    peer_facts(ends, &facts, target);
}

/// What links over other links pass too: the queue the system could tell about is that of the link below.
pub(super) async fn layered(pair: impl AsyncFn() -> (Link, Link)) {
    checks(&pair, false).await;
}

async fn checks(pair: &impl AsyncFn() -> (Link, Link), counts_queue: bool) {
    let limit = Duration::from_secs(60);
    let checks = async {
        echo(pair().await).await;
        half_close(pair().await).await;
        large(pair().await).await;
        backpressure(pair().await, counts_queue).await;
        vectored(pair().await).await;
        drop_mid_record(pair().await, counts_queue).await;
        reader_learns_late(pair().await).await;
    };
    timeout(limit, checks).await.expect("a check hangs");
}

async fn send(link: &mut Link, bytes: &[u8]) -> io::Result<()> {
    link.stream.write_all(bytes).await?;
    link.stream.flush().await
}

async fn echo((mut client, mut server): (Link, Link)) {
    for size in [1, 8, 1000, 65536] {
        let sent: Vec<u8> = (0..=250).cycle().take(size).collect();
        let mut received = vec![0; size];
        send(&mut client, &sent).await.unwrap();
        server.stream.read_exact(&mut received).await.unwrap();
        assert!(received == sent);
        send(&mut server, &received).await.unwrap();
        received.fill(0);
        client.stream.read_exact(&mut received).await.unwrap();
        assert!(received == sent);
    }
}

/// One end may be done sending while the other still answers.
async fn half_close((mut client, mut server): (Link, Link)) {
    send(&mut client, b"question").await.unwrap();
    client.stream.shutdown().await.unwrap();
    let mut question = String::new();
    server.stream.read_to_string(&mut question).await.unwrap();
    assert_eq!(question, "question");
    send(&mut server, b"answer").await.unwrap();
    drop(server);
    let mut answer = String::new();
    client.stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "answer");
}

async fn large((mut client, mut server): (Link, Link)) {
    const SIZE: usize = 64 << 20;
    let block: Vec<u8> = (0..1 << 20)
        .map(|i: u32| (i.wrapping_mul(0x9e37_79b9) >> 24) as u8)
        .collect();
    let expected = block.clone();
    let writer = tokio::spawn(async move {
        for _ in 0..SIZE / block.len() {
            client.stream.write_all(&block).await.unwrap();
        }
        client.stream.flush().await.unwrap();
        client
    });
    let mut buffer = bytes::BytesMut::with_capacity(256 << 10);
    let mut received = 0;
    while received < SIZE {
        buffer.clear();
        assert!(server.stream.read_buf(&mut buffer).await.unwrap() > 0);
        let start = received % expected.len();
        let until_end = buffer.len().min(expected.len() - start);
        assert!(buffer[..until_end] == expected[start..start + until_end]);
        assert!(buffer[until_end..] == expected[..buffer.len() - until_end]);
        received += buffer.len();
    }
    assert_eq!(received, SIZE);
    drop(writer.await.unwrap());
    assert_eq!(server.stream.read_buf(&mut buffer).await.unwrap(), 0);
}

/// A peer that does not read stops the writer, and the probe says how much waits.
async fn backpressure((mut client, mut server): (Link, Link), counts_queue: bool) {
    let block = vec![7; 64 << 10];
    let mut written = 0usize;
    while let Ok(result) = timeout(Duration::from_millis(200), client.stream.write(&block)).await {
        written += result.unwrap();
        assert!(written < 256 << 20, "the kernel takes everything");
    }
    if counts_queue {
        let waiting = client.info.probe.unsent().expect("a socket");
        assert!(waiting > 0);
        assert!(client.info.probe.unacked().expect("a socket") >= waiting);
    }
    let mut sink = vec![0; 1 << 20];
    let mut received = 0;
    let drained = async {
        while received < written {
            received += server.stream.read(&mut sink).await.unwrap();
        }
    };
    // A layer may hold what it took from the last write.
    let (flushed, ()) = tokio::join!(client.stream.flush(), drained);
    flushed.unwrap();
    assert_eq!(received, written);
    // The way is free again.
    send(&mut client, b"more").await.unwrap();
    server.stream.read_exact(&mut sink[..4]).await.unwrap();
    if !counts_queue {
        return;
    }
    let mut unsent = client.info.probe.unsent();
    for _ in 0..100 {
        if unsent.is_none_or(|unsent| unsent == 0) {
            break;
        }
        sleep(Duration::from_millis(10)).await;
        unsent = client.info.probe.unsent();
    }
    assert_eq!(unsent.unwrap_or(0), 0);
}

/// Vectored writes survive boxing: one write takes all slices.
async fn vectored((mut client, mut server): (Link, Link)) {
    assert!(client.stream.is_write_vectored());
    let slices = [
        IoSlice::new(b"head"),
        IoSlice::new(b""),
        IoSlice::new(b"body"),
        IoSlice::new(b"tail"),
    ];
    assert_eq!(client.stream.write_vectored(&slices).await.unwrap(), 12);
    let mut received = [0; 12];
    server.stream.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"headbodytail");
    // More slices than the kernel takes at once are a partial write, not an error.
    let many = vec![IoSlice::new(b"x"); 3000];
    let taken = client.stream.write_vectored(&many).await.unwrap();
    assert!((1..=3000).contains(&taken), "{taken}");
    server.stream.read_exact(&mut vec![0; taken]).await.unwrap();
}

/// A peer that vanishes half way through leaves what it sent, then the end, and never a hang.
async fn drop_mid_record((mut client, mut server): (Link, Link), counts_queue: bool) {
    send(&mut client, b"P\0\0\0\0\0\x10\0only this").await.unwrap();
    let probe = client.info.probe.clone();
    drop(client);
    if counts_queue {
        assert_eq!(probe.unsent(), None, "the probe keeps the link open");
    }
    let mut received = Vec::new();
    server.stream.read_to_end(&mut received).await.unwrap();
    assert_eq!(received.len(), 17);
    // Writing to it fails, sooner or later, and does not kill the process.
    let mut result = Ok(());
    for _ in 0..100 {
        result = send(&mut server, &[0; 4096]).await;
        if result.is_err() {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert!(result.is_err());
}

/// A read that waits is woken by bytes, again and again: no wake-up is lost after a short read.
async fn reader_learns_late((mut client, mut server): (Link, Link)) {
    let mut buffer = [0; 64];
    for round in 0..200u8 {
        let sent = [round; 3];
        // The read is polled first, so that it waits.
        let (seen, written) = tokio::join!(biased; server.stream.read(&mut buffer), send(&mut client, &sent));
        written.unwrap();
        let mut seen = seen.unwrap();
        while seen < 3 {
            seen += server.stream.read(&mut buffer[seen..]).await.unwrap();
        }
        assert_eq!(buffer[..3], sent);
    }
}

fn peer_facts((client, server): (Link, Link), facts: &Facts, target: &str) {
    for link in [&client, &server] {
        assert_eq!(link.info.kind, facts.kind);
        assert_eq!(link.info.is_local, facts.is_local);
        assert_eq!(link.info.credentials.is_some(), facts.has_credentials, "{link:?}");
        if let Some(credentials) = link.info.credentials {
            assert_eq!(credentials.pid.cast_unsigned(), std::process::id());
            assert_eq!(credentials.uid, system::user_id());
        }
        assert!(!link.info.local.is_empty() && !link.info.peer.is_empty());
        assert_eq!(link.info.tls.is_some(), facts.has_tls);
        let is_vsock = facts.kind == TransportKind::Vsock;
        assert_eq!(link.info.is_private, facts.has_tls || facts.is_local || is_vsock);
        let probe = &link.info.probe;
        assert_eq!(probe.unsent().is_some(), probe.unacked().is_some());
        let has_no_tcp = matches!(
            facts.kind,
            TransportKind::Socket | TransportKind::Vsock | TransportKind::NamedPipe
        );
        assert!(!(has_no_tcp && probe.kernel_info().is_some()));
    }
    assert_eq!(client.info.target, target);
    assert_eq!(client.info.peer, server.info.local);
    let tcp = client.info.probe.kernel_info();
    assert!(
        tcp.is_none_or(|tcp| tcp.rtt > Duration::ZERO && tcp.segment_size > 0 && tcp.congestion_window > 0)
    );
}

async fn tcp_listener(kind: TransportKind, value: &str) -> Option<Listener> {
    let bind = Bind::parse(kind, value, DEFAULT_MIN_PORT).unwrap();
    match listen(&bind, &ListenOptions::default()).await {
        Ok(mut listeners) => listeners.pop(),
        Err(error) => {
            eprintln!("skipped: {error}");
            None
        }
    }
}

async fn tcp_suite(kind: TransportKind, value: &str) {
    let Some(listener) = tcp_listener(kind, value).await else {
        return;
    };
    let target = listener.to_string() + "/";
    let facts = Facts {
        kind,
        is_local: true,
        has_credentials: false,
        has_tls: false,
    };
    let address = target.parse().unwrap();
    suite(async || pair(&listener, &address).await, &target, facts).await;
}

/// The client's end as [`connect`] makes it, the server's as whoever accepts makes it: TLS on top of TCP.
async fn tls_suite(protocol: &str) {
    let (server, tls) = acquainted(protocol);
    let listener = tcp_listener(TransportKind::Tcp, "127.0.0.1:0").await.unwrap();
    let target = format!("ssl://{}/", listener.local());
    let address: Address = target.parse().unwrap();
    let options = ConnectOptions {
        tls,
        ..ConnectOptions::default()
    };
    let pair = async || {
        let accept = async {
            let mut link = listener.accept().await.unwrap();
            link.info.kind = TransportKind::Ssl;
            server.accept(link).await.unwrap()
        };
        let (client, server) = tokio::join!(connect(&address, &options), accept);
        (client.unwrap(), server)
    };
    let facts = Facts {
        kind: TransportKind::Ssl,
        is_local: true,
        has_credentials: false,
        has_tls: true,
    };
    suite(pair, &target, facts).await;
}

#[tokio::test]
async fn tls_1_3_over_tcp() {
    tls_suite("TLSv1_3").await;
}

#[tokio::test]
async fn tls_1_2_over_tcp() {
    tls_suite("TLSv1_2").await;
}

#[tokio::test]
async fn tcp_over_ipv4() {
    tcp_suite(TransportKind::Tcp, "127.0.0.1:0").await;
}

#[tokio::test]
async fn tcp_over_ipv6() {
    tcp_suite(TransportKind::Tcp, "[::1]:0").await;
}

#[tokio::test]
async fn websocket_over_tcp() {
    tcp_suite(TransportKind::Ws, "127.0.0.1:0").await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unix_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let bind = Bind::parse(TransportKind::Socket, path.to_str().unwrap(), DEFAULT_MIN_PORT).unwrap();
    let listeners = listen(&bind, &ListenOptions::default()).await.unwrap();
    let facts = Facts {
        kind: TransportKind::Socket,
        is_local: true,
        has_credentials: true,
        has_tls: false,
    };
    let address = Address::new(Target::Socket(path));
    suite(
        async || pair(&listeners[0], &address).await,
        &address.to_string(),
        facts,
    )
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn unix_abstract() {
    let name = format!("xpra-rs-conformance-{}", std::process::id());
    let bind = Bind::parse(TransportKind::Socket, &format!("@{name}"), DEFAULT_MIN_PORT).unwrap();
    let listeners = listen(&bind, &ListenOptions::default()).await.unwrap();
    let facts = Facts {
        kind: TransportKind::Socket,
        is_local: true,
        has_credentials: true,
        has_tls: false,
    };
    let target = format!("@{name}");
    let address = target.parse().unwrap();
    suite(async || pair(&listeners[0], &address).await, &target, facts).await;
}

#[cfg(windows)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_pipe() {
    let name = format!("conformance-{}", std::process::id());
    let bind = Bind::parse(TransportKind::NamedPipe, &name, DEFAULT_MIN_PORT).unwrap();
    let listeners = listen(&bind, &ListenOptions::default()).await.unwrap();
    assert!(!listeners[0].is_exposed());
    let facts = Facts {
        kind: TransportKind::NamedPipe,
        is_local: true,
        has_credentials: false,
        has_tls: false,
    };
    let target = format!("named-pipe://{name}");
    let address = target.parse().unwrap();
    suite(async || pair(&listeners[0], &address).await, &target, facts).await;
}

/// In a guest: this machine's kernel may have no vsock, and its `/dev/vsock` leads to somebody else.
#[cfg(unix)]
#[test]
fn vsock() {
    if std::env::var_os(IN_GUEST).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        return runtime.unwrap().block_on(vsock_suite());
    }
    let guest = std::process::Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/netem/guest"))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "transport::conformance::vsock", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&guest.stdout) + String::from_utf8_lossy(&guest.stderr);
    if guest.status.code() == Some(125) && std::env::var_os("CI").is_none() {
        eprintln!("skipped: {said}");
        return;
    }
    assert!(guest.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

/// Set inside of a guest.
#[cfg(unix)]
const IN_GUEST: &str = "XPRA_RS_GUEST";

#[cfg(unix)]
async fn vsock_suite() {
    let bind = Bind::parse(TransportKind::Vsock, "auto:14500", DEFAULT_MIN_PORT).unwrap();
    let listener = listen(&bind, &ListenOptions::default()).await.unwrap().remove(0);
    assert_eq!(listener.to_string(), "vsock://any:14500");
    assert!(listener.is_exposed());
    let facts = Facts {
        kind: TransportKind::Vsock,
        is_local: false,
        has_credentials: false,
        has_tls: false,
    };
    let address: Address = "vsock:local:14500".parse().unwrap();
    suite(async || pair(&listener, &address).await, "vsock://1:14500", facts).await;
    vsock_facts(&listener, &address).await;
    vsock_failures().await;
}

#[cfg(unix)]
async fn vsock_facts(listener: &Listener, address: &Address) {
    let (client, server) = pair(listener, address).await;
    assert_eq!(client.info.target, "vsock://1:14500");
    assert_eq!(client.info.peer, "1:14500");
    assert_eq!(server.info.target, "vsock://any:14500");
    assert_eq!(server.info.local, "1:14500");
    // The kernel does not tell the connecting end which of the machine's context ids it goes out as.
    let port = client.info.local.strip_prefix("any:").unwrap();
    assert_eq!(server.info.peer, format!("1:{port}"));
    assert!(server.info.is_private);
    let taken = Bind::parse(TransportKind::Vsock, "auto:14500", DEFAULT_MIN_PORT).unwrap();
    assert!(listen(&taken, &ListenOptions::default()).await.is_err());
    let any = Bind::parse(TransportKind::Vsock, "local:any", DEFAULT_MIN_PORT).unwrap();
    let any = listen(&any, &ListenOptions::default()).await.unwrap().remove(0);
    assert!(!any.is_exposed() && any.local().starts_with("1:"), "{any}");
    pair(&any, &any.to_string().parse().unwrap()).await;
}

/// Nobody there, no such machine, not our context id: each in words, none later than the bound.
#[cfg(unix)]
async fn vsock_failures() {
    let options = ConnectOptions {
        vsock_timeout: Duration::from_secs(2),
        ..ConnectOptions::default()
    };
    let start = std::time::Instant::now();
    for (address, words) in [
        (
            "vsock:local:9",
            "nobody listens on port 9 of context id 1 (tried for 2 s)",
        ),
        ("vsock:77:9", "no machine has the context id 77"),
    ] {
        let failure = connect(&address.parse().unwrap(), &options).await.unwrap_err();
        assert!(failure.to_string().contains(words), "{failure}");
    }
    assert!(start.elapsed() < Duration::from_secs(10));
    let bind = Bind::parse(TransportKind::Vsock, "77:14500", DEFAULT_MIN_PORT).unwrap();
    let failure = listen(&bind, &ListenOptions::default()).await.unwrap_err();
    assert!(failure.to_string().contains("write auto:14500"), "{failure}");
}
