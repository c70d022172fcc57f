//! Peers that mean harm, or something else than TLS.

use std::io;

use rcgen::{CustomExtension, SanType};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

/// What a server says to a peer that sends that and leaves.
async fn served(bytes: &[u8]) -> (io::Error, Vec<u8>) {
    let (server, _) = acquainted("TLS");
    let (mut peer, far) = duplex(1 << 20);
    peer.write_all(bytes).await.unwrap();
    peer.shutdown().await.unwrap();
    let error = server.accept(link(far)).await.unwrap_err();
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer).await.unwrap();
    (error, answer)
}

/// A hello of a client.
async fn client_hello() -> Vec<u8> {
    let (near, mut far) = duplex(1 << 16);
    let client = ClientTls::new(&ClientTlsOptions::default()).unwrap();
    let mut hello = vec![0; 1 << 16];
    tokio::select! {
        _ = client.connect(link(near), "localhost", 1) => panic!("nobody answered"),
        length = far.read(&mut hello) => hello.truncate(length.unwrap()),
    }
    hello
}

#[tokio::test]
async fn what_is_no_tls_is_told_apart_at_once() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"P\0\0\0\0\0\0\x10rencodeplus hello",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        &[0x16; 5000],
        &[0xff; 5000],
    ] {
        let (error, answer) = served(bytes).await;
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        // an alert, so that the other end knows as well
        assert_eq!(answer[..3], [0x15, 3, 3], "{error}");
    }
}

#[tokio::test]
async fn a_handshake_that_breaks_off_anywhere_ends() {
    let hello = client_hello().await;
    for length in (0..hello.len()).step_by(7).chain([hello.len()]) {
        let (error, _) = served(&hello[..length]).await;
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{length}: {error}");
    }
    let mut longer = hello.clone();
    longer.extend([0; 100]);
    assert_eq!(served(&longer).await.0.kind(), io::ErrorKind::InvalidData);
    // each byte of it wrong once
    for position in (0..hello.len()).step_by(5) {
        let mut wrong = hello.clone();
        wrong[position] ^= 0xff;
        let (_error, _) = served(&wrong).await;
    }
}

#[tokio::test]
async fn a_server_that_is_none_is_told_apart() {
    for (bytes, expected) in [
        (
            &b"disconnect: invalid protocol for this port\n"[..],
            "does not speak TLS",
        ),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"),
        (b"", "closed the connection"),
        (&[0x16, 3, 3, 0, 4], "closed the connection"),
        (&[0x16, 3, 3, 0x40, 0x10, 2], "closed the connection"),
    ] {
        let (near, mut far) = duplex(1 << 16);
        far.write_all(bytes).await.unwrap();
        far.shutdown().await.unwrap();
        let client = ClientTls::new(&ClientTlsOptions::default()).unwrap();
        let error = client.connect(link(near), "localhost", 1).await.unwrap_err();
        assert!(matches!(error, TlsError::Handshake { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// What a client says about a server that shows that certificate.
async fn verdict(pair: &Pair) -> TlsError {
    let (near, far) = duplex(1 << 20);
    let config = unchecked_server(&pair.cert, &pair.key, &rustls::version::TLS13);
    let client = ClientTls::new(&ClientTlsOptions::default()).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    let (client, _) = tokio::join!(client.connect(link(near), "localhost", 1), acceptor.accept(far));
    client.unwrap_err()
}

#[tokio::test]
async fn giant_certificates_cost_little_and_end_the_handshake() {
    // more than a message of the handshake may have
    let mut giant = params(&["localhost"]);
    giant
        .custom_extensions
        .push(CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0; 200_000]));
    let error = verdict(&self_signed(&giant)).await;
    assert!(matches!(error, TlsError::Handshake { .. }), "{error}");

    // as many names as there is room for, each of which the user might be shown
    let mut names = params(&["localhost"]);
    names.subject_alt_names = (0..4000)
        .map(|i| SanType::DnsName(format!("n{i}.example").try_into().unwrap()))
        .collect();
    let error = verdict(&self_signed(&names)).await;
    let TlsError::Untrusted(untrusted) = error else {
        panic!("{error}")
    };
    assert_eq!(untrusted.certificate.names.len(), 20);
    assert!(untrusted.question().len() < 2000);

    let mut long = params(&["localhost"]);
    long.distinguished_name
        .push(DnType::OrganizationName, "\u{7}".repeat(30_000));
    let error = verdict(&self_signed(&long)).await;
    assert!(
        error.to_string().len() < 1000 && !error.to_string().contains('\u{7}'),
        "{error}"
    );
}
