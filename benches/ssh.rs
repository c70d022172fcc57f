//! Bulk through SSH links: ours at both ends, russh alone, and OpenSSH's programs with the same cipher.
//!
//! Each sends the same bytes one way over loopback. The goals: at least 90 % of russh alone, which everything of ours
//! is layered on, and no less than OpenSSH, which users have otherwise.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark ends at the first thing that is not as expected"
)]

#[allow(dead_code, reason = "shared by all benches, each uses a part")]
mod ways;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use xpra::transport::ssh::{Backend, SshOptions};
use xpra::transport::{ConnectOptions, Link, connect};

use crate::ways::bare;
use crate::ways::ours::Ours;
use crate::ways::pair::Way as _;

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
    let mut group = criterion.benchmark_group("transport/ssh-bulk");
    group.throughput(Throughput::Bytes(SIZE as u64));
    group
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(8));
    let ours = runtime.block_on(async { Ours::ssh(place.path()).await.open().await });
    let bare = runtime.block_on(async { bare::Ssh::new().await.open().await });
    for (name, mut pair) in [("xpra-rs", ours), ("limit-russh", bare)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(send(&mut pair.server, &mut pair.client)))
        });
        // russh closes its channels in a task
        runtime.block_on(async { drop(pair) });
    }
    if let Some(sshd) = Sshd::start(&place) {
        let mut link = runtime.block_on(through_sshd(&place, &sshd));
        group.bench_function("xpra-rs-from-sshd", |bencher| {
            bencher.iter(|| runtime.block_on(receive(&mut link.stream, SIZE)));
        });
        drop(link);
        let mut child = {
            let _entered = runtime.enter();
            sshd.pipe(&place)
        };
        let mut output = child.stdout.take().unwrap();
        runtime.block_on(receive(&mut output, 1));
        group.bench_function("limit-openssh", |bencher| {
            bencher.iter(|| runtime.block_on(receive(&mut output, SIZE)))
        });
    }
    group.finish();
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
