//! Connections whose both ends are here: those of the library, and the bare ones beside which they are measured.

use std::any::Any;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use xpra::transport::{BoxedStream, Stream};

/// Both ends of a connection.
pub(crate) struct Pair {
    pub(crate) client: BoxedStream,
    pub(crate) server: BoxedStream,
    /// What must last as long as they do.
    _kept: Option<Box<dyn Any>>,
}

/// A pair that is about to be.
pub(crate) type Opening<'a> = Pin<Box<dyn Future<Output = Pair> + 'a>>;

/// A way to connect: a server that listens, and how to reach it.
pub(crate) trait Way {
    /// Opens a connection.
    fn open(&self) -> Opening<'_>;
}

impl Pair {
    pub(crate) fn new(client: impl Stream + 'static, server: impl Stream + 'static) -> Self {
        Self {
            client: Box::new(client),
            server: Box::new(server),
            _kept: None,
        }
    }

    /// This pair, and something that is dropped with it.
    pub(crate) fn with(self, kept: impl Any) -> Self {
        Self {
            _kept: Some(Box::new(kept)),
            ..self
        }
    }

    /// Sends the block from the server to the client, into a buffer of that size.
    pub(crate) async fn send(&mut self, block: &[u8], buffer: &mut [u8]) {
        let Self { client, server, .. } = self;
        let write = async {
            server.write_all(block).await.unwrap();
            server.flush().await.unwrap();
        };
        let ((), read) = tokio::join!(write, client.read_exact(buffer));
        read.unwrap();
    }

    /// Sends the block from the client to the server and back again.
    pub(crate) async fn round_trip(&mut self, block: &[u8], buffer: &mut [u8]) {
        for _ in 0..2 {
            self.send(block, buffer).await;
            std::mem::swap(&mut self.client, &mut self.server);
        }
    }
}

/// Whether two processes here could use vsock.
pub(crate) fn has_vsock_loopback() -> bool {
    Path::new("/sys/module/vsock_loopback").exists()
}
