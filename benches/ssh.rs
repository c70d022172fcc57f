//! Bulk through SSH links: ours at both ends, russh alone, and OpenSSH's programs with the same cipher.
//!
//! Each sends the same bytes one way over loopback. The goals: at least 90 % of russh alone, which everything of ours
//! is layered on, and no less than OpenSSH, which users have otherwise.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark ends at the first thing that is not as expected"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use russh::server::{Auth, ChannelOpenHandle, Msg, Session};
use russh::{Channel, ChannelId, Preferred, cipher};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use xpra::address::{Bind, TransportKind};
use xpra::transport::ssh::{Backend, SshOptions, SshServer, SshServerOptions, serve};
use xpra::transport::{ConnectOptions, Link, ListenOptions, connect, listen};

const SIZE: usize = 64 << 20;
const BLOCK: usize = 256 << 10;

/// What sshd runs.
const ENDLESS: &str = "cat /dev/zero";

fn bulk(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let place = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("ssh/bulk");
    group.throughput(Throughput::Bytes(SIZE as u64));
    group
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(8));
    let (client, server) = runtime.block_on(ours(&place));
    let (mut client, mut server) = (client.stream, server.stream);
    group.bench_function("xpra-rs", |bencher| {
        bencher.iter(|| runtime.block_on(send(&mut server, &mut client)))
    });
    let (mut client, mut server) = runtime.block_on(bare());
    group.bench_function("russh", |bencher| {
        bencher.iter(|| runtime.block_on(send(&mut server, &mut client)))
    });
    if let Some(sshd) = Sshd::start(&place) {
        let mut link = runtime.block_on(through_sshd(&place, &sshd));
        group.bench_function("xpra-rs from sshd", |bencher| {
            bencher.iter(|| runtime.block_on(receive(&mut link.stream, SIZE)));
        });
        drop(link);
        let mut child = {
            let _entered = runtime.enter();
            sshd.pipe(&place)
        };
        let mut output = child.stdout.take().unwrap();
        runtime.block_on(receive(&mut output, 1));
        group.bench_function("openssh", |bencher| {
            bencher.iter(|| runtime.block_on(receive(&mut output, SIZE)))
        });
    }
    group.finish();
    // russh closes its channels in a task
    let _entered = runtime.enter();
    drop((client, server));
}

/// Writes at one end what is read at the other.
async fn send(from: &mut (impl AsyncWrite + Unpin), to: &mut (impl AsyncRead + Unpin)) {
    let block = vec![7; BLOCK];
    let write = async {
        for _ in 0..SIZE / BLOCK {
            from.write_all(&block).await.unwrap();
        }
        from.flush().await.unwrap();
    };
    tokio::join!(write, receive(to, SIZE));
}

async fn receive(from: &mut (impl AsyncRead + Unpin), size: usize) {
    let mut buffer = vec![0; BLOCK];
    let mut received = 0;
    while received < size {
        let n = from.read(&mut buffer).await.unwrap();
        assert!(n > 0, "the end after {received} bytes");
        received += n;
    }
}

/// A link of our client and our server.
async fn ours(place: &TempDir) -> (Link, Link) {
    let options = SshServerOptions {
        key_directory: place.path().join("keys"),
        allow_none: true,
        ..SshServerOptions::default()
    };
    let server = Arc::new(SshServer::new(options).unwrap());
    let bind = Bind::parse(TransportKind::Ssh, "127.0.0.1:0", 0).unwrap();
    let listener = listen(&bind, &ListenOptions::default()).await.unwrap().remove(0);
    let url = format!(
        "ssh://me@127.0.0.1:{}/?strict-host-check=no",
        listener.address().unwrap().port()
    );
    let options = ConnectOptions {
        ssh: SshOptions {
            backend: Backend::Builtin,
            ..SshOptions::default()
        },
        ..ConnectOptions::default()
    };
    let address = url.parse().unwrap();
    let serving =
        tokio::spawn(async move { serve(listener.accept().await.unwrap(), &server).await.unwrap() });
    (connect(&address, &options).await.unwrap(), serving.await.unwrap())
}

fn preferred() -> Preferred {
    Preferred {
        cipher: (&[cipher::AES_256_GCM]).into(),
        ..Preferred::DEFAULT
    }
}

struct Trusting;

impl russh::client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

struct Serving(tokio::sync::mpsc::Sender<Channel<Msg>>);

impl russh::server::Handler for Serving {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        self.0.send(channel).await.ok();
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_success(channel)
    }
}

/// A channel of russh's own at both ends, with the same cipher and the same window.
async fn bare() -> (impl AsyncRead + Unpin, impl AsyncWrite + Unpin) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (opened, mut channels) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let key = russh::keys::PrivateKey::random(
            &mut russh::keys::key::safe_rng(),
            russh::keys::Algorithm::Ed25519,
        );
        let config = russh::server::Config {
            keys: vec![key.unwrap()],
            window_size: 4 << 20,
            preferred: preferred(),
            ..russh::server::Config::default()
        };
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let session = russh::server::run_stream(Arc::new(config), stream, Serving(opened))
            .await
            .unwrap();
        let _ended = session.await;
    });
    let config = russh::client::Config {
        window_size: 4 << 20,
        preferred: preferred(),
        ..russh::client::Config::default()
    };
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut session = russh::client::connect_stream(Arc::new(config), stream, Trusting)
        .await
        .unwrap();
    assert!(session.authenticate_none("me").await.unwrap().success());
    let channel = session.channel_open_session().await.unwrap();
    // neither end is ever dropped: the process ends first
    std::mem::forget(session);
    (
        channel.into_stream(),
        channels.recv().await.unwrap().into_stream(),
    )
}

/// OpenSSH's server.
struct Sshd {
    process: Child,
    port: u16,
}

impl Sshd {
    fn start(place: &TempDir) -> Option<Self> {
        if !Path::new("/usr/sbin/sshd").exists() || !Path::new("/usr/bin/ssh").exists() {
            eprintln!("skipped: openssh is not installed");
            return None;
        }
        let at = place.path();
        for key in ["id", "host"] {
            let keygen = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(at.join(key))
                .status();
            assert!(keygen.unwrap().success());
        }
        fs::copy(at.join("id.pub"), at.join("authorized_keys")).unwrap();
        fs::set_permissions(at.join("authorized_keys"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(at.join("zeroes"), format!("#!/bin/sh\nexec {ENDLESS}\n")).unwrap();
        fs::set_permissions(at.join("zeroes"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all("/run/sshd").ok();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let text = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nAuthorizedKeysFile {at}/authorized_keys\n\
             StrictModes no\nUsePAM no\nPidFile none\nCiphers aes256-gcm@openssh.com\n",
            at = at.display()
        );
        fs::write(at.join("config"), text).unwrap();
        let process = Command::new("/usr/sbin/sshd")
            .arg("-Df")
            .arg(at.join("config"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let is_up = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        while !is_up() {
            std::thread::yield_now();
        }
        Some(Self { process, port })
    }

    /// The system's ssh, out of whose standard output bytes come without end.
    fn pipe(&self, place: &TempDir) -> tokio::process::Child {
        let at = place.path();
        tokio::process::Command::new("ssh")
            .args([
                "-F",
                "none",
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
                "-q",
            ])
            .args(["-c", "aes256-gcm@openssh.com", "-p", &self.port.to_string(), "-i"])
            .arg(at.join("id"))
            .args(["127.0.0.1", ENDLESS])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

async fn through_sshd(place: &TempDir, sshd: &Sshd) -> Link {
    let zeroes = place.path().join("zeroes").display().to_string();
    let id = place.path().join("id").display().to_string();
    let url = format!("ssh://127.0.0.1:{}/?strict-host-check=no&key={id}", sshd.port);
    let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
    let options = ConnectOptions {
        ssh: SshOptions {
            backend: Backend::Builtin,
            remote_xpra: vec![zeroes],
            username: Some(user.trim().to_owned()),
            ..SshOptions::default()
        },
        ..ConnectOptions::default()
    };
    connect(&url.parse().unwrap(), &options).await.unwrap()
}

criterion_group!(benches, bulk);
criterion_main!(benches);
