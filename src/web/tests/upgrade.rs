use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What xpra's clients send.
fn request(more: &str) -> String {
    format!(
        "GET /10 HTTP/1.1\r\nHost: h:14500\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: binary\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

/// Sends a request that is granted: the peer's end after the answer, and what was made of it.
async fn granted(port: Port, request: &str) -> (String, DuplexStream, Box<Upgrade>) {
    let (mut peer, served) = open(&site(None), port);
    peer.write_all(request.as_bytes()).await.unwrap();
    let Outcome::Upgraded(upgrade) = served.await.unwrap() else {
        panic!("not granted: {request}");
    };
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        answer.push(char::from(peer.read_u8().await.unwrap()));
    }
    (answer, peer, upgrade)
}

#[tokio::test]
async fn the_request_of_an_xpra_client() {
    let (answer, mut peer, upgrade) = granted(Port::default(), &request("")).await;
    assert!(
        answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{answer}"
    );
    assert_eq!(header(&answer, "sec-websocket-accept"), Some(ACCEPT));
    assert_eq!(header(&answer, "sec-websocket-protocol"), Some("binary"));
    // 3.1.3 compares the value as it stands.
    assert_eq!(header(&answer, "upgrade"), Some("websocket"));
    assert_eq!(header(&answer, "connection"), Some("Upgrade"));
    let (mut link, asked) = upgrade.into_link();
    assert_eq!((asked.path.as_str(), asked.origin), ("/10", None));
    assert_eq!(link.info.kind, TransportKind::Ws);
    // xpra does not mask.
    peer.write_all(b"\x82\x05hello").await.unwrap();
    let mut hello = [0; 5];
    link.stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");
    link.stream.write_all(b"world").await.unwrap();
    let mut frame = [0; 7];
    peer.read_exact(&mut frame).await.unwrap();
    assert_eq!(&frame, b"\x82\x05world");
}

#[tokio::test]
async fn browsers_have_to_mask() {
    let more = "Origin: http://h:14500\r\nX-Token: secret\r\n";
    let (_, mut peer, upgrade) = granted(Port::default(), &request(more)).await;
    let (mut link, asked) = upgrade.into_link();
    assert_eq!(asked.origin.as_deref(), Some("http://h:14500"));
    assert_eq!(asked.headers["x-token"], "secret");
    peer.write_all(b"\x82\x01x").await.unwrap();
    let error = link.stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn frames_may_come_with_the_request() {
    let (_, peer, upgrade) = granted(Port::default(), &(request("") + "\r\n\u{2}\u{1}x")).await;
    drop(peer);
    // An odd first frame: the rules are the WebSocket's.
    assert_eq!(&upgrade.early[..], b"\r\n\x02\x01x");
    let (mut link, _) = upgrade.into_link();
    assert_eq!(link.stream.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn over_tls_it_is_wss() {
    let (_peer, stream) = duplex(64);
    let upgrade = Upgrade {
        stream: Box::new(stream),
        early: Default::default(),
        info: LinkInfo {
            tls: Some(Arc::default()),
            ..info()
        },
        asked: Asked {
            path: "/".to_owned(),
            origin: None,
            headers: Default::default(),
        },
    };
    assert_eq!(upgrade.into_link().0.info.kind, TransportKind::Wss);
}

#[tokio::test]
async fn variations() {
    for (from, to, expected) in [
        ("Version: 13", "Version: 8", 101),
        ("Version: 13", "Version: 7", 101),
        ("Version: 13", "Version: 12", 426),
        ("Sec-WebSocket-Version: 13\r\n", "", 426),
        ("Protocol: binary", "Protocol: foo, binary", 101),
        (
            "Protocol: binary",
            "Protocol: foo\r\nSec-WebSocket-Protocol: binary",
            101,
        ),
        ("Protocol: binary", "Protocol: base64", 403),
        ("Protocol: binary", "Protocol: xpra", 403),
        ("Sec-WebSocket-Protocol: binary\r\n", "", 403),
        ("Upgrade: websocket", "Upgrade: WebSocket", 101),
        ("Upgrade: websocket", "Upgrade: h2c, websocket", 101),
        ("Upgrade: websocket", "Upgrade: h2c", 404),
        ("Connection: Upgrade", "Connection: keep-alive, upgrade", 101),
        ("Connection: Upgrade", "Connection: close", 400),
        (KEY, "dGhlIHNhbXBsZQ==", 400),
        (KEY, "not base64", 400),
        ("GET", "POST", 400),
        ("HTTP/1.1", "HTTP/1.0", 400),
        ("Host: h:14500\r\n", "", 400),
        ("Host: h:14500", "Host: h:14500\r\nOrigin: https://evil", 403),
        ("Host: h:14500", "Host: h:14500\r\nOrigin: http://h:14500", 101),
    ] {
        let (mut peer, served) = open(&site(None), Port::default());
        peer.write_all(request("").replace(from, to).as_bytes())
            .await
            .unwrap();
        let mut line = String::new();
        while !line.ends_with("\r\n") {
            line.push(char::from(peer.read_u8().await.unwrap()));
        }
        assert_eq!(status(&line), expected, "{from} -> {to}");
        drop(peer);
        let outcome = served.await.unwrap();
        assert_eq!(
            matches!(outcome, Outcome::Upgraded(_)),
            expected == 101,
            "{from} -> {to}"
        );
    }
}

#[tokio::test]
async fn versions_are_named_to_those_that_lack_them() {
    let old = request("")
        .replace("Version: 13", "Version: 6")
        .replace("Upgrade\r\n", "Upgrade, close\r\n");
    let answer = ask(&site(None), &old).await;
    assert_eq!(
        (status(&answer), header(&answer, "sec-websocket-version")),
        (426, Some("13, 8, 7"))
    );
}

#[tokio::test]
async fn ports_differ() {
    let of = |websockets| Port {
        websockets,
        ..Port::default()
    };
    let close = request("").replace("Upgrade\r\n", "Upgrade, close\r\n");
    assert_eq!(
        status(&ask_at(&site(None), of(WebSockets::Off), &close).await),
        403
    );
    let other = request("").replace("Sec-WebSocket-Protocol: binary\r\n", "");
    let (answer, _, _) = granted(of(WebSockets::Any), &other).await;
    assert_eq!(header(&answer, "sec-websocket-protocol"), None);
}

#[tokio::test]
async fn a_page_before_the_websocket() {
    let (mut peer, served) = open(&site(None), Port::default());
    let both = "GET /Status HTTP/1.1\r\nHost: h\r\n\r\n".to_owned() + &request("");
    peer.write_all(both.as_bytes()).await.unwrap();
    assert!(matches!(served.await.unwrap(), Outcome::Upgraded(_)));
}
