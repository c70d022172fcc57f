use std::time::Duration;

use tokio::io::duplex;
use tokio::net::TcpListener;

use super::*;
use crate::address::{Address, Remote};
use crate::transport::{ConnectError, ConnectOptions, TransportKind, connect};

fn remote(host: &str, path: &str) -> Remote {
    Remote {
        kind: TransportKind::Ws,
        host: host.to_owned(),
        port: 14500,
        path: path.to_owned(),
    }
}

/// How asking goes when `answer` makes the answer out of the request.
async fn ask(answer: impl FnOnce(&str) -> Vec<u8>) -> Result<Vec<u8>, UpgradeError> {
    let (client, mut server) = duplex(1 << 16);
    let remote = remote("localhost", "");
    let (link, ()) = tokio::join!(upgrade(client, &remote), async {
        let request = head(&mut server).await;
        server.write_all(&answer(&request)).await.unwrap();
        drop(server);
    });
    let mut received = Vec::new();
    link?.read_to_end(&mut received).await.unwrap();
    Ok(received)
}

#[tokio::test]
async fn the_request_is_that_of_xpra() {
    let mut request = String::new();
    ask(|asked| {
        request = asked.to_owned();
        granted(asked).into_bytes()
    })
    .await
    .unwrap();
    let (key, rest): (Vec<_>, Vec<_>) = request
        .lines()
        .partition(|line| line.starts_with("Sec-WebSocket-Key: "));
    assert_eq!(key[0].len(), "Sec-WebSocket-Key: ".len() + 24);
    let expected = [
        "GET / HTTP/1.1",
        "Host: localhost:14500",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: binary",
        "",
    ];
    assert_eq!(rest, expected);
}

#[tokio::test]
async fn hosts_and_paths_are_written_so_that_they_mean_themselves() {
    for (host, path, line, header) in [
        (
            "a",
            "/x y?z#ü%41",
            "GET /x%20y%3Fz%23%C3%BC%2541 HTTP/1.1",
            "Host: a:14500",
        ),
        ("::1", "a\r\nb", "GET /a%0D%0Ab HTTP/1.1", "Host: [::1]:14500"),
        ("fe80::1%eth0", "10", "GET /10 HTTP/1.1", "Host: [fe80::1]:14500"),
    ] {
        let (client, mut server) = duplex(1 << 16);
        let remote = remote(host, path);
        let (_, request) = tokio::join!(upgrade(client, &remote), async {
            let request = head(&mut server).await;
            drop(server);
            request
        });
        let lines: Vec<_> = request.lines().collect();
        assert_eq!(lines[..2], [line, header]);
    }
}

#[tokio::test]
async fn frames_may_come_with_the_answer() {
    let frames = b"\r\n\x82\x02hi\x82\x00\x82\x01!\x88\x02\x03\xe8";
    let received = ask(|request| [granted(request).as_bytes(), frames].concat()).await;
    assert_eq!(received.unwrap(), b"hi!");
}

#[tokio::test]
async fn other_answers_are_told_apart() {
    let refused = |status, reason: &str, location: Option<&str>| UpgradeError::Refused {
        status,
        reason: reason.to_owned(),
        location: location.map(str::to_owned),
    };
    let invalid = UpgradeError::Invalid;
    let plain: [(&str, UpgradeError); 5] = [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", refused(403, "Forbidden", None)),
        (
            "HTTP/1.1 301 Moved\r\nlocation: https://x/\r\n\r\n",
            refused(301, "Moved", Some("https://x/")),
        ),
        (
            "disconnect: invalid\x1b[m\r\n",
            UpgradeError::NotHttp("disconnect: invalid\u{fffd}[m".to_owned()),
        ),
        ("", UpgradeError::Closed),
        ("HTTP/1.1 101", UpgradeError::NotHttp("HTTP/1.1 101".to_owned())),
    ];
    for (answer, error) in plain {
        assert_eq!(ask(|_| answer.into()).await, Err(error), "{answer}");
    }
    for (from, to, error) in [
        (
            "Protocol: binary",
            "Protocol: base64",
            invalid("it does not speak xpra's sub-protocol 'binary'"),
        ),
        (
            "Accept: ",
            "Accept: x",
            invalid("it does not prove that it read the request"),
        ),
        (
            "Upgrade: websocket",
            "Upgrade: h2c",
            invalid("it upgrades to something else"),
        ),
        (
            "Connection",
            "Sec-WebSocket-Extensions: permessage-deflate\r\nConnection",
            invalid("it uses extensions nobody asked for"),
        ),
    ] {
        let answered = ask(|request| granted(request).replace(from, to).into()).await;
        assert_eq!(answered, Err(error));
    }
    let endless = ask(|_| ["HTTP/1.1 101 x\r\nA: ", &"a".repeat(20_000)].concat().into()).await;
    assert_eq!(endless, Err(invalid("its headers never end")));
    let many = ask(|_| ["HTTP/1.1 101 x\r\n", &"a: b\r\n".repeat(100)].concat().into()).await;
    assert_eq!(many, Err(invalid("it has too many headers")));
    let said = refused(403, "Forbidden", None).to_string();
    assert_eq!(said, "this is an HTTP server but no WebSocket: 403 Forbidden");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: Address = format!("ws://{}/", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let options = ConnectOptions {
        attempt_timeout: Duration::from_millis(50),
        ..ConnectOptions::default()
    };
    let error = connect(&address, &options).await.unwrap_err();
    let expected = ConnectError::WebSocket {
        target: address.to_string(),
        reason: UpgradeError::TimedOut,
    };
    assert_eq!(error, expected);
}
