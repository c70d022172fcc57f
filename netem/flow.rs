//! [`Flow`]: bytes of somebody else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;

use crate::wire::Ends;

/// Where they go.
const SINK: u16 = 14600;

/// A connection from the server's place to the client's, that sends all it can.
#[derive(Debug)]
pub(crate) struct Flow {
    stop: Arc<AtomicBool>,
    arrived: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Flow {
    /// One of so many bytes; of the places' own congestion control when none is named.
    pub(crate) fn start(ends: &Ends, congestion_control: &str, bytes: u64) -> Result<Self> {
        let address = SocketAddr::from((ends.client.address(), SINK));
        let listener = ends.client.inside(move || TcpListener::bind(address))??;
        let mut stream = ends.server.inside(move || TcpStream::connect(address))??;
        if !congestion_control.is_empty() {
            rustix::net::sockopt::set_tcp_congestion(&stream, congestion_control)?;
        }
        let (mut sink, _) = listener.accept()?;
        let arrived = Arc::new(AtomicU64::new(0));
        let total = Arc::clone(&arrived);
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count) = sink.read(&mut buffer)
                && count > 0
            {
                total.fetch_add(count as u64, Ordering::Relaxed);
            }
        });
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        stream.set_write_timeout(Some(Duration::from_millis(100)))?;
        let thread = thread::spawn(move || {
            let (block, mut left) = (vec![0; 1 << 16], bytes);
            while left > 0 && !stopped.load(Ordering::Relaxed) {
                // a full buffer is no end
                left = left.saturating_sub(stream.write(&block).unwrap_or(0) as u64);
            }
            if left > 0 {
                // what was not sent is not wanted any more
                socket2::SockRef::from(&stream)
                    .set_linger(Some(Duration::ZERO))
                    .ok();
            }
        });
        Ok(Self {
            stop,
            arrived,
            thread: Some(thread),
        })
    }

    /// Bytes that arrived.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
