//! Real openssl at the other end.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Runs openssl to its end. False, said aloud, when there is none: where `.ci/run` installs it there has to be one.
pub(super) fn run(directory: &Path, arguments: &[&str]) -> bool {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(directory)
        .output();
    match output {
        Ok(output) => {
            assert!(
                output.status.success(),
                "{arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            true
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "openssl: {error}");
            eprintln!("skipped: openssl: {error}");
            false
        }
    }
}

/// Our server, which echoes one line to each client, and where it listens.
async fn echo(options: &ServerTlsOptions) -> String {
    let server = ServerTls::new(options, now()).unwrap();
    let (listener, _) = listener().await;
    let local = listener.local().to_owned();
    tokio::spawn(async move {
        while let Ok(link) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                let mut link = server.accept(link).await?;
                let mut line = [0; 6];
                link.stream.read_exact(&mut line).await?;
                let facts = link.info.tls.unwrap();
                let peer = facts.peer_subject.as_deref().unwrap_or("nobody");
                let answer = format!(
                    "{}|{}|{peer}|{}\n",
                    facts.version,
                    facts.cipher,
                    facts.alpn.is_some()
                );
                link.stream.write_all(answer.as_bytes()).await?;
                link.stream.shutdown().await
            });
        }
    });
    local
}

/// What `openssl s_client` with those arguments gets from our server.
async fn s_client(local: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new("openssl");
    command
        .args([
            "s_client",
            "-quiet",
            "-no_ign_eof",
            "-verify_quiet",
            "-connect",
            local,
        ])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let run = move || {
        let mut child = command.spawn()?;
        let mut input = child.stdin.take().unwrap();
        // it may have been refused already
        input.write_all(b"hello\n").unwrap_or_default();
        let output = child.wait_with_output();
        drop(input);
        output
    };
    tokio::task::spawn_blocking(run).await.unwrap().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn s_client_with_every_version() {
    let directory = tempfile::tempdir().unwrap();
    if !run(directory.path(), &["version"]) {
        return;
    }
    let mut made = params(&["localhost"]);
    made.is_ca = IsCa::ExplicitNoCa;
    let cert = self_signed(&made).save(directory.path(), "cert.pem");
    let name = cert.to_str().unwrap();
    let local = echo(&server_options(cert.clone())).await;
    let strict = [
        "-CAfile",
        name,
        "-verify_return_error",
        "-x509_strict",
        "-verify_hostname",
        "localhost",
    ];
    let with = |more: &[&'static str]| [&strict[..], more].concat();

    let output = s_client(&local, &with(&["-tls1_3"])).await;
    assert!(text(&output).starts_with("TLSv1.3|TLS13_"), "{output:?}");
    let output = s_client(&local, &with(&["-tls1_2"])).await;
    assert!(
        text(&output).starts_with("TLSv1.2|TLS_ECDHE_ECDSA_"),
        "{output:?}"
    );
    let output = s_client(&local, &with(&["-alpn", "xpra"])).await;
    assert!(text(&output).ends_with("|nobody|false\n"), "{output:?}");
    let output = s_client(&local, &with(&["-alpn", "h2,http/1.1"])).await;
    assert!(text(&output).ends_with("|nobody|true\n"), "{output:?}");
    let output = s_client(&local, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]).await;
    assert!(text(&output).is_empty() && !output.status.success(), "{output:?}");

    for (protocol, works, fails) in [
        ("TLSv1_2", "-tls1_2", "-tls1_3"),
        ("TLSv1_3", "-tls1_3", "-tls1_2"),
    ] {
        let mut options = server_options(cert.clone());
        protocol.clone_into(&mut options.policy.protocol);
        let local = echo(&options).await;
        let output = s_client(&local, &[works]).await;
        assert!(
            text(&output).starts_with(&protocol.replace('_', ".")),
            "{output:?}"
        );
        let output = s_client(&local, &[fails]).await;
        assert!(text(&output).is_empty() && !output.status.success(), "{output:?}");
    }
}

#[tokio::test]
async fn s_client_takes_the_certificate_that_is_made_here() {
    let directory = tempfile::tempdir().unwrap();
    if !run(directory.path(), &["version"]) {
        return;
    }
    let options = ServerTlsOptions {
        places: Places {
            search: Vec::new(),
            keep: Some(directory.path().to_owned()),
            hostname: "host.example".to_owned(),
        },
        ..ServerTlsOptions::default()
    };
    let local = echo(&options).await;
    let cert = directory.path().join("ssl-cert.pem");
    for check in [
        ["-verify_hostname", "localhost"],
        ["-verify_hostname", "host.example"],
        ["-verify_ip", "127.0.0.1"],
        ["-verify_ip", "::1"],
    ] {
        let mut arguments = vec![
            "-CAfile",
            cert.to_str().unwrap(),
            "-verify_return_error",
            "-x509_strict",
        ];
        arguments.extend(check);
        let output = s_client(&local, &arguments).await;
        assert!(text(&output).starts_with("TLSv1.3|"), "{check:?} {output:?}");
    }
}

#[tokio::test]
async fn s_client_shows_a_certificate() {
    let directory = tempfile::tempdir().unwrap();
    if !run(directory.path(), &["version"]) {
        return;
    }
    let authority = authority("of clients");
    let ca = directory.path().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    let known = signed(&params(&["me"]), &authority).save(directory.path(), "known.pem");
    let unknown = self_signed(&params(&["me"])).save(directory.path(), "unknown.pem");
    let cert = self_signed(&params(&["localhost"])).save(directory.path(), "cert.pem");
    let options = ServerTlsOptions {
        ca_certs: CaCerts::Path(ca),
        client_verify_mode: VerifyMode::Required,
        ..server_options(cert)
    };
    let local = echo(&options).await;
    for version in ["-tls1_2", "-tls1_3"] {
        let shows = async |cert: &Path| s_client(&local, &[version, "-cert", cert.to_str().unwrap()]).await;
        let output = shows(&known).await;
        assert!(text(&output).contains("|CN=me|"), "{output:?}");
        let output = shows(&unknown).await;
        assert!(text(&output).is_empty(), "{output:?}");
        let output = s_client(&local, &[version]).await;
        assert!(text(&output).is_empty(), "{output:?}");
    }
}

/// A running `openssl s_server`, which prints what it gets and sends what it is given.
struct Server {
    child: Child,
    input: ChildStdin,
    address: String,
}

impl Server {
    fn start(cert: &Path, arguments: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut child = Command::new("openssl")
            .args([
                "s_server",
                "-accept",
                &format!("127.0.0.1:{port}"),
                "-cert",
                cert.to_str().unwrap(),
            ])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(output.any(|line| line.unwrap().starts_with("ACCEPT")));
        // it must not stop for want of a reader
        std::thread::spawn(move || output.map_while(io::Result::ok).for_each(drop));
        Self {
            input: child.stdin.take().unwrap(),
            child,
            address: format!("ssl://127.0.0.1:{port}/"),
        }
    }

    /// Connects, and gets a line that the server was given.
    async fn greet(&mut self, tls: &ClientTlsOptions) -> Result<TlsFacts, String> {
        let options = ConnectOptions {
            tls: tls.clone(),
            ..ConnectOptions::default()
        };
        let address: Address = self.address.parse().unwrap();
        let mut link = connect(&address, &options)
            .await
            .map_err(|error| error.to_string())?;
        link.stream.write_all(b"hello\n").await.unwrap();
        link.stream.flush().await.unwrap();
        self.input.write_all(b"welcome\n").unwrap();
        let mut line = [0; 8];
        link.stream
            .read_exact(&mut line)
            .await
            .map_err(|error| error.to_string())?;
        assert_eq!(&line, b"welcome\n");
        Ok((*link.info.tls.unwrap()).clone())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

#[tokio::test]
async fn s_server_with_every_version() {
    let directory = tempfile::tempdir().unwrap();
    if !run(directory.path(), &["version"]) {
        return;
    }
    let pair = self_signed(&params(&["127.0.0.1"]));
    let cert = pair.save(directory.path(), "cert.pem");
    let tls = ClientTlsOptions {
        ca_certs: CaCerts::Path(cert.clone()),
        ..ClientTlsOptions::default()
    };
    for (argument, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let mut server = Server::start(&cert, &[argument]);
        let facts = server.greet(&tls).await.unwrap();
        assert_eq!(facts.version, version);
        assert!(facts.is_verified);
        let error = server.greet(&ClientTlsOptions::default()).await.unwrap_err();
        assert!(error.contains("self-signed"), "{error}");
    }
    let mut old = Server::start(&cert, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    let error = old.greet(&tls).await.unwrap_err();
    assert!(error.contains("no version of TLS in common"), "{error}");
}

#[tokio::test]
async fn s_server_wants_a_certificate() {
    let directory = tempfile::tempdir().unwrap();
    if !run(directory.path(), &["version"]) {
        return;
    }
    let authority = authority("of clients");
    let ca = directory.path().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    let own = signed(&params(&["me"]), &authority).save(directory.path(), "own.pem");
    let cert = self_signed(&params(&["127.0.0.1"])).save(directory.path(), "cert.pem");
    for version in ["-tls1_2", "-tls1_3"] {
        let arguments = [
            version,
            "-Verify",
            "2",
            "-verify_return_error",
            "-CAfile",
            ca.to_str().unwrap(),
        ];
        let mut server = Server::start(&cert, &arguments);
        let mut tls = ClientTlsOptions {
            ca_certs: CaCerts::Path(cert.clone()),
            cert: Some(own.clone()),
            ..ClientTlsOptions::default()
        };
        server.greet(&tls).await.unwrap();
        tls.cert = None;
        let error = server.greet(&tls).await.unwrap_err();
        assert!(error.contains("--ssl-cert"), "{error}");
    }
}
