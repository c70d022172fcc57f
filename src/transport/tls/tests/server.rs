//! What a server offers: versions, the protocol inside, its certificate, and how bytes go through.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::*;

#[tokio::test]
async fn the_protocol_inside_is_agreed_on_or_left_open() {
    let (server, mut options) = acquainted("TLS");
    let offers = async |kind: TransportKind, alpn: Option<&[&str]>| {
        let (near, far) = tokio::io::duplex(1 << 16);
        let accept = server.accept(link(far));
        let facts = match alpn {
            None => {
                let mut near = link(near);
                near.info.kind = kind;
                let client = ClientTls::new(&options).unwrap();
                let (client, server) = tokio::join!(client.connect(near, "localhost", 1), accept);
                client.unwrap();
                server.unwrap().info.tls.unwrap()
            }
            Some(names) => {
                let mut config = plain_config();
                config.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
                let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
                let name = "localhost".try_into().unwrap();
                let (client, server) = tokio::join!(connector.connect(name, near), accept);
                client.unwrap();
                server.unwrap().info.tls.unwrap()
            }
        };
        facts.alpn.clone()
    };
    assert_eq!(offers(TransportKind::Ssl, None).await, None);
    assert_eq!(
        offers(TransportKind::Wss, None).await.as_deref(),
        Some("http/1.1")
    );
    let browser = Some(&["h2", "http/1.1"][..]);
    assert_eq!(
        offers(TransportKind::Wss, browser).await.as_deref(),
        Some("http/1.1")
    );
    assert_eq!(offers(TransportKind::Ssl, Some(&["xpra"])).await, None);
    options.policy.protocol = "TLSv1_2".to_owned();
    let (client, server) = shake(&server, &options).await;
    let (client, server) = (
        client.unwrap().info.tls.unwrap(),
        server.unwrap().info.tls.unwrap(),
    );
    assert_eq!(
        (client.version.as_str(), server.version.as_str()),
        ("TLSv1.2", "TLSv1.2")
    );
    assert!(!server.is_verified && server.peer.is_none());
}

/// A client of rustls that looks at no certificate.
pub(super) fn plain_config() -> rustls::ClientConfig {
    let options = ClientTlsOptions {
        server_verify_mode: VerifyMode::None,
        ..ClientTlsOptions::default()
    };
    ClientTls::new(&options)
        .unwrap()
        .config("localhost", 1, "x", TransportKind::Ssl)
        .unwrap()
}

#[tokio::test]
async fn a_certificate_is_exchanged_while_the_server_runs() {
    let directory = tempfile::tempdir().unwrap();
    let first = self_signed(&params(&["localhost"]));
    let cert = first.save(directory.path(), "cert.pem");
    let server = ServerTls::new(&server_options(cert.clone()), now()).unwrap();
    let clone = server.clone();
    let old = server.certificate();

    fs::write(&cert, "nonsense").unwrap();
    let error = server.reload().unwrap_err();
    assert!(error.to_string().contains("cert.pem"), "{error}");
    assert_eq!(clone.certificate(), old);

    self_signed(&params(&["localhost"])).save(directory.path(), "cert.pem");
    server.reload().unwrap();
    let new = clone.certificate();
    assert_ne!(new.fingerprint, old.fingerprint);
    let options = ClientTlsOptions {
        server_verify_mode: VerifyMode::None,
        ..ClientTlsOptions::default()
    };
    let (client, _) = shake(&clone, &options).await;
    assert_eq!(
        client.unwrap().info.tls.unwrap().peer,
        Some(new.fingerprint.to_string())
    );
}

#[tokio::test]
async fn clients_show_certificates() {
    let directory = tempfile::tempdir().unwrap();
    let (own, authority) = (self_signed(&params(&["localhost"])), authority("of clients"));
    let ca = directory.path().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    let known = signed(&params(&["me"]), &authority).save(directory.path(), "known.pem");
    let unknown = self_signed(&params(&["me"]));
    let named = unknown.cert.clone();
    let unknown = unknown.save(directory.path(), "unknown.pem");
    let mut options = server_options(own.save(directory.path(), "cert.pem"));
    options.ca_certs = CaCerts::Path(ca);
    let outcome = async |options: &ServerTlsOptions, cert: Option<&PathBuf>| {
        let server = ServerTls::new(options, now()).unwrap();
        let client = ClientTlsOptions {
            server_verify_mode: VerifyMode::None,
            cert: cert.cloned(),
            ..ClientTlsOptions::default()
        };
        let (client, server) = shake(&server, &client).await;
        let facts = server.map(|link| link.info.tls.unwrap());
        // a client learns it with the first bytes at the latest
        let learned = match client {
            Ok(mut link) => link.stream.read_u8().await.unwrap_err().to_string(),
            Err(error) => error.to_string(),
        };
        (facts, learned)
    };
    for mode in [VerifyMode::Required, VerifyMode::Optional] {
        options.client_verify_mode = mode;
        let (facts, _) = outcome(&options, Some(&known)).await;
        let facts = facts.unwrap();
        assert!(facts.is_verified);
        assert_eq!(facts.peer_subject.as_deref(), Some("CN=me"));
        let (facts, learned) = outcome(&options, Some(&unknown)).await;
        facts.unwrap_err();
        assert!(learned.contains("wants a certificate"), "{learned}");
    }
    let (facts, _) = outcome(&options, None).await;
    assert_eq!(facts.unwrap().peer, None);
    options.client_verify_mode = VerifyMode::Required;
    let (facts, learned) = outcome(&options, None).await;
    assert!(facts.unwrap_err().to_string().contains("no certificate"));
    assert!(learned.contains("wants a certificate"), "{learned}");
    // one that is named itself needs nobody else
    options.ca_data = Some(named.clone());
    assert!(outcome(&options, Some(&unknown)).await.0.is_ok());
    assert!(outcome(&options, Some(&known)).await.0.is_ok());
    // and vouches for nobody else
    let alone = directory.path().join("alone.pem");
    fs::write(&alone, named).unwrap();
    options.ca_data = None;
    options.ca_certs = CaCerts::Path(alone);
    assert!(outcome(&options, Some(&unknown)).await.0.is_ok());
    assert!(outcome(&options, Some(&known)).await.0.is_err());
    assert!(outcome(&options, None).await.0.is_err());
}

/// Counts the writes that reach it, and keeps the bytes.
#[derive(Clone, Debug, Default)]
struct Recorded(Arc<Mutex<Vec<u8>>>);

struct Recorder<S>(S, Recorded);

impl<S: AsyncRead + Unpin> AsyncRead for Recorder<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorder<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let result = Pin::new(&mut self.0).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = &result {
            self.1.0.lock().unwrap().extend(&buf[..*written]);
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The lengths of the records of application data.
fn records(mut bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let [kind, 3, 3, high, low, rest @ ..] = bytes {
        let length = usize::from(*high) << 8 | usize::from(*low);
        assert_eq!(*kind, 0x17);
        lengths.push(length);
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty());
    lengths
}

#[tokio::test]
async fn slices_are_sealed_together_without_being_joined() {
    let (server, options) = acquainted("TLSv1_3");
    let (near, far) = tokio::io::duplex(1 << 20);
    let recorded = Recorded::default();
    let near = link(Recorder(near, recorded.clone()));
    let client = ClientTls::new(&options).unwrap();
    let (client, server) = tokio::join!(client.connect(near, "localhost", 1), server.accept(link(far)));
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    assert!(client.stream.is_write_vectored() && server.stream.is_write_vectored());

    recorded.0.lock().unwrap().clear();
    let body = vec![7; 10_000];
    let slices = [
        IoSlice::new(b"P\0\0\0\0\0\0\0"),
        IoSlice::new(&body),
        IoSlice::new(b"end"),
    ];
    assert_eq!(client.stream.write_vectored(&slices).await.unwrap(), 10_011);
    client.stream.flush().await.unwrap();
    // one record: the kind of content and the tag are the rest
    assert_eq!(records(&recorded.0.lock().unwrap()), [10_011 + 1 + 16]);
    let mut received = vec![0; 10_011];
    server.stream.read_exact(&mut received).await.unwrap();
    assert!(received.starts_with(b"P\0") && received.ends_with(b"end"));

    // nothing but what was asked for ever comes from the server: no tickets
    let mut buffer = [0; 16];
    server.stream.write_all(b"x").await.unwrap();
    server.stream.flush().await.unwrap();
    assert_eq!(client.stream.read(&mut buffer).await.unwrap(), 1);
}

#[tokio::test]
async fn leaving_without_a_word_is_the_end_and_not_an_error() {
    for protocol in ["TLSv1_3", "TLSv1_2"] {
        let (server, options) = acquainted(protocol);
        let (client, accepted) = shake(&server, &options).await;
        let (mut client, mut accepted) = (client.unwrap(), accepted.unwrap());
        client.stream.write_all(b"bye").await.unwrap();
        client.stream.flush().await.unwrap();
        drop(client);
        let mut text = Vec::new();
        accepted.stream.read_to_end(&mut text).await.unwrap();
        assert_eq!(text, b"bye");
        assert_eq!(accepted.stream.read(&mut [0; 8]).await.unwrap(), 0);
    }
}
