use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::*;

#[tokio::test]
async fn what_is_too_much() {
    let site = site(None);
    let long = fetch(&site, "/", &format!("A: {}\r\n", "x".repeat(20_000))).await;
    assert_eq!(status(&long), 431);
    let many = fetch(&site, "/", &"a: b\r\n".repeat(100)).await;
    assert_eq!(status(&many), 431);
    let path = fetch(&site, &format!("/{}", "x".repeat(70_000)), "").await;
    assert!(matches!(status(&path), 414 | 431), "{path}");
}

#[tokio::test]
async fn what_makes_no_sense() {
    let site = site(None);
    for request in [
        "\0\0\0\0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ] {
        assert_eq!(status(&ask(&site, request).await), 400, "{request:?}");
    }
}

/// Who sends a byte now and then is let go of, and so is who sends nothing.
#[tokio::test(start_paused = true)]
async fn slow_requests_end() {
    let site = site(None);
    for (sent, then) in [
        ("", ""),
        ("GET / HT", "T"),
        ("GET /Status HTTP/1.1\r\nHost: h\r\n\r\n", ""),
    ] {
        let (mut peer, served) = open(&site, Port::default());
        peer.write_all(sent.as_bytes()).await.unwrap();
        let slowly = async {
            loop {
                sleep(Duration::from_secs(5)).await;
                let _gone = peer.write_all(then.as_bytes()).await;
            }
        };
        tokio::select! {
            outcome = timeout(Duration::from_secs(25), served) => {
                let outcome = outcome.unwrap_or_else(|_| panic!("no end: {sent:?}"));
                assert!(matches!(outcome.unwrap(), Outcome::Left));
            }
            () = slowly => {}
        }
    }
}

/// Who asks for much and reads nothing costs a buffer, and not for ever.
#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_let_go_of() {
    let folder = folder(&[("big", "0123456789".repeat(100_000).as_str())]);
    let (mut peer, served) = open(&site(Some(folder.path())), Port::default());
    peer.write_all(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n")
        .await
        .unwrap();
    let outcome = timeout(Duration::from_secs(61), served).await.expect("an end");
    assert!(matches!(outcome.unwrap(), Outcome::Left));
}

#[tokio::test]
async fn bodies_are_not_read() {
    let (mut peer, served) = open(&site(None), Port::default());
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n";
    peer.write_all(head.as_bytes()).await.unwrap();
    let mut sent = 0;
    while sent < 10 << 20 && peer.write_all(&[b'x'; 1 << 14]).await.is_ok() {
        sent += 1 << 14;
    }
    assert!(sent < 1 << 20, "{sent} bytes were taken");
    assert!(matches!(served.await.unwrap(), Outcome::Left));
}
