mod client;
mod frames;
mod stream;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::transport::Link;

/// A server that grants every request.
pub(in crate::transport) async fn accept(mut link: Link) -> Link {
    let request = head(&mut link.stream).await;
    let granted = granted(&request);
    link.stream.write_all(granted.as_bytes()).await.unwrap();
    let stream = WebSocket::new(link.stream, Role::Server { is_browser: false }, Bytes::new());
    Link::new(stream, link.info)
}

/// Reads a request, and nothing after it.
async fn head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// What xpra 3.1.3 answers to that request.
fn granted(request: &str) -> String {
    let key = request.split("Sec-WebSocket-Key: ").nth(1).unwrap();
    let accept = accept_key(key.split("\r\n").next().unwrap().as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nServer: Xpra-WebSocket-Server Python/3.11.2\r\n\
         Date: Thu, 26 Nov 2026 09:00:00 GMT\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: binary\r\n\r\n"
    )
}
