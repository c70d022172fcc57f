use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::time::timeout;

use super::*;

const XPRA: Role = Role::Server { is_browser: false };

fn pair(capacity: usize) -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    let (client, server) = duplex(capacity);
    (
        WebSocket::new(client, Role::Client, Bytes::new()),
        WebSocket::new(server, XPRA, Bytes::new()),
    )
}

/// A server's end and the bare other end.
fn bare(role: Role) -> (DuplexStream, WebSocket<DuplexStream>) {
    let (peer, server) = duplex(1 << 16);
    (peer, WebSocket::new(server, role, Bytes::new()))
}

async fn written(peer: &mut DuplexStream, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    peer.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn any_bytes_through_pipes_of_any_width() {
    let sent: Vec<u8> = (0..200_000u32).map(|i| (i * 7 % 251) as u8).collect();
    for capacity in [1, 3, 7, 100, 70_000] {
        let (mut client, mut server) = pair(capacity);
        {
            let (from, to) = (&mut client, &mut server);
            let size = sent.len().min(capacity * 5000);
            let sending = async {
                from.write_all(&sent[..size]).await.unwrap();
                from.shutdown().await.unwrap();
            };
            let mut received = Vec::new();
            let (_, n) = tokio::join!(sending, to.read_to_end(&mut received));
            assert_eq!(n.unwrap(), size);
            assert!(received == sent[..size]);
            // And back, after the other direction was closed.
            let sending = async {
                to.write_all(&sent[..size]).await.unwrap();
                to.shutdown().await.unwrap();
            };
            received.clear();
            let (_, n) = tokio::join!(sending, from.read_to_end(&mut received));
            assert_eq!(n.unwrap(), size);
            assert!(received == sent[..size]);
        }
    }
}

/// Takes at most so many bytes with each call, and notes what it was given.
#[derive(Debug)]
struct Narrow {
    calls: Vec<Vec<u8>>,
    limit: usize,
}

impl AsyncRead for Narrow {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Narrow {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken: Vec<u8> = bufs
            .iter()
            .flat_map(|buf| buf.iter().copied())
            .take(self.limit)
            .collect();
        let n = taken.len();
        self.calls.push(taken);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn one_write_is_one_frame_and_one_call() {
    let stream = Narrow {
        calls: Vec::new(),
        limit: usize::MAX,
    };
    let mut server = WebSocket::new(stream, XPRA, Bytes::new());
    let slices = [IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(b"body")];
    assert_eq!(server.write_vectored(&slices).await.unwrap(), 8);
    assert_eq!(server.write(b"").await.unwrap(), 0);
    server.write_all(&[7; 300]).await.unwrap();
    let long = [b"\x82\x7e\x01\x2c".as_slice(), &[7; 300]].concat();
    assert_eq!(server.stream().calls, [b"\x82\x08headbody".to_vec(), long]);
}

#[tokio::test]
async fn partial_writes_go_on_within_their_frame() {
    for limit in 1..16 {
        let stream = Narrow {
            calls: Vec::new(),
            limit,
        };
        let mut server = WebSocket::new(stream, XPRA, Bytes::new());
        server.write_all(b"0123456789").await.unwrap();
        server.write_all(b"ab").await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(
            server.stream().calls.concat(),
            b"\x82\x0a0123456789\x82\x02ab\x88\x02\x03\xe8",
            "{limit}"
        );
    }
}

#[tokio::test]
async fn payload_is_read_before_its_frame_is_complete() {
    let (mut peer, mut server) = bare(XPRA);
    peer.write_all(b"\x82\x7f\0\0\0\x10\0\0\0\0first").await.unwrap();
    let mut buffer = [0; 64];
    assert_eq!(server.read(&mut buffer).await.unwrap(), 5);
    drop(peer);
    let error = server.read(&mut buffer).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn an_end_without_goodbye_between_frames_is_an_end() {
    let (mut peer, mut server) = bare(XPRA);
    peer.write_all(b"\x82\x02hi\x81\x02ho").await.unwrap();
    drop(peer);
    let mut received = String::new();
    server.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "hiho");
}

#[tokio::test]
async fn pings_are_answered_by_reading() {
    let (mut peer, mut server) = bare(XPRA);
    peer.write_all(b"\x89\x02hi\x8a\x00\x82\x01x").await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'x');
    assert_eq!(written(&mut peer, 4).await, b"\x8a\x02hi");
}

#[tokio::test]
async fn a_peer_that_pings_and_does_not_read_costs_nothing() {
    let (mut peer, server) = duplex(64);
    let mut server = WebSocket::new(server, XPRA, Bytes::new());
    let flood = tokio::spawn(async move {
        for i in 0..2000u32 {
            let ping = [b"\x89\x7d".as_slice(), &i.to_be_bytes(), &[0; 121]].concat();
            peer.write_all(&ping).await.unwrap();
        }
        peer.write_all(b"\x82\x01x").await.unwrap();
        peer
    });
    assert_eq!(server.read_u8().await.unwrap(), b'x');
    assert!(server.waiting() <= 4096 + 127, "{}", server.waiting());
    // Once it reads, it gets the answer to its last ping too.
    let mut peer = flood.await.unwrap();
    let mut answers = Vec::new();
    let reading = async {
        while let Ok(Ok(n)) = timeout(Duration::from_millis(200), peer.read_buf(&mut answers)).await {
            assert!(n > 0);
        }
    };
    let (flushed, ()) = tokio::join!(server.flush(), reading);
    flushed.unwrap();
    let last = answers.chunks(127).last().unwrap();
    assert_eq!(
        last[..6],
        [b"\x8a\x7d".as_slice(), &1999u32.to_be_bytes()].concat()
    );
}

#[tokio::test]
async fn answers_do_not_steal_the_writers_wakeup() {
    let (mut peer, server) = duplex(64);
    let server = WebSocket::new(server, XPRA, Bytes::new());
    let (mut reader, mut writer) = tokio::io::split(server);
    let writing = tokio::spawn(async move {
        writer.write_all(&[1; 1000]).await.unwrap();
        writer.flush().await.unwrap();
        writer
    });
    let reading = tokio::spawn(async move { reader.read_u8().await });
    // The writer waits, and the reader has something to answer.
    tokio::task::yield_now().await;
    peer.write_all(b"\x89\x02hi").await.unwrap();
    tokio::task::yield_now().await;
    let frame = written(&mut peer, 1004).await;
    assert_eq!(frame[..4], *b"\x82\x7e\x03\xe8");
    assert_eq!(written(&mut peer, 4).await, b"\x8a\x02hi");
    drop(writing.await.unwrap());
    drop(peer);
    assert_eq!(
        reading.await.unwrap().unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );
}

#[tokio::test]
async fn closing_is_answered_when_this_end_is_done_as_well() {
    let (mut peer, mut server) = bare(XPRA);
    peer.write_all(b"\x88\x04\x0f\xa0ok\x82\x01x").await.unwrap();
    let mut nothing = Vec::new();
    assert_eq!(server.read_to_end(&mut nothing).await.unwrap(), 0);
    server.write_all(b"last").await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(
        server.write(b"more").await.unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    let mut received = Vec::new();
    peer.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"\x82\x04last\x88\x02\x0f\xa0");
}

#[tokio::test]
async fn who_breaks_the_rules_is_told_and_read_no_more() {
    let (mut peer, mut server) = bare(Role::Server { is_browser: true });
    peer.write_all(b"\x82\x81\0\0\0\0x\x82\x01x").await.unwrap();
    let mut buffer = [0; 64];
    assert_eq!(server.read(&mut buffer).await.unwrap(), 1);
    let error = server.read(&mut buffer).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(error.to_string(), FrameError::Unmasked.to_string());
    assert!(server.read(&mut buffer).await.is_err());
    assert!(server.write(b"x").await.is_err());
    server.shutdown().await.unwrap();
    let mut received = Vec::new();
    peer.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"\x88\x02\x03\xea");
}

#[tokio::test]
async fn clients_mask_with_ever_new_keys() {
    let (stream, mut peer) = duplex(1 << 16);
    let mut client = WebSocket::new(stream, Role::Client, Bytes::new());
    let mut keys = Vec::new();
    for _ in 0..3 {
        client.write_all(b"abc").await.unwrap();
        let frame = written(&mut peer, 9).await;
        assert_eq!(frame[..2], *b"\x82\x83");
        let plain: Vec<_> = frame[6..]
            .iter()
            .zip(&frame[2..])
            .map(|(byte, key)| byte ^ key)
            .collect();
        assert_eq!(plain, b"abc");
        keys.push(frame[2..6].to_vec());
    }
    keys.dedup();
    assert_eq!(keys.len(), 3);
    // A server that masks is none.
    peer.write_all(b"\x82\x81\0\0\0\0x").await.unwrap();
    assert_eq!(client.read_u8().await.unwrap_err().kind(), ErrorKind::InvalidData);
}

#[tokio::test]
async fn refusals_in_plain_text_are_handed_to_clients() {
    let text = b"disconnect: connection failed, no\n";
    let (mut peer, mut client) = bare(Role::Client);
    peer.write_all(&[b"\x82\x01x".as_slice(), text].concat())
        .await
        .unwrap();
    drop(peer);
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, [b"x".as_slice(), text].concat());
    let (mut peer, mut server) = bare(XPRA);
    peer.write_all(text).await.unwrap();
    let error = server.read_to_end(&mut received).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}
