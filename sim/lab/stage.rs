//! [`Stage`]: what all parts of a play share, and the time they live in.

use crate::link::{MILLISECOND, Nanos};
use crate::tcp::{CLIENT, Network};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::io::ReadBuf;

/// Time goes on by no more than this at once, because nobody tells when tokio's timers are due.
const STRIDE: Nanos = 5 * MILLISECOND;

/// The stage, for everybody on it.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Stage>>);

/// The network, the bytes in it, and who has something to do.
pub(crate) struct Stage {
    pub(crate) network: Network,
    /// Bytes sent and not read, by flow and sending end.
    bytes: Vec<[VecDeque<u8>; 2]>,
    /// The client's process hangs, and who waits in it.
    hangs: bool,
    /// It reads nothing.
    deaf: bool,
    hanging: Vec<Waker>,
    /// Something happened that displays may have to know: to the server, to the client.
    pub(crate) stirred: [bool; 2],
    /// Grows with everything that happens.
    pub(crate) steps: u64,
}

impl Shared {
    /// A stage that opens now.
    pub(crate) fn new(network: Network) -> Self {
        Self(Arc::new(Mutex::new(Stage {
            network,
            bytes: Vec::new(),
            hangs: false,
            deaf: false,
            hanging: Vec::new(),
            stirred: [true; 2],
            steps: 0,
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap()
    }

    /// Lets time pass until something concerns a process, no longer than until `limit`.
    pub(crate) async fn advance(&self, limit: Nanos) {
        let (before, now) = {
            let network = &mut self.lock().network;
            let before = network.now();
            (before, network.advance(limit.min(before + STRIDE)))
        };
        tokio::time::advance(Duration::from_nanos(now - before)).await;
    }
}

impl Stage {
    /// The present.
    pub(crate) const fn now(&self) -> Nanos {
        self.network.now()
    }

    /// Lets the client's process hang, or go on.
    pub(crate) fn hang(&mut self, hangs: bool) {
        self.hangs = hangs;
        if !hangs {
            self.hanging.drain(..).for_each(Waker::wake);
            self.stirred[CLIENT] = true;
        }
    }

    /// Lets the client's process read nothing, or read again.
    pub(crate) fn deafen(&mut self, deaf: bool) {
        self.deaf = deaf;
        if !deaf {
            self.hanging.drain(..).for_each(Waker::wake);
        }
    }

    /// Whether the client's process hangs.
    pub(crate) const fn hangs(&self) -> bool {
        self.hangs
    }

    /// Whether that end's process hangs, in which case it is woken when it goes on.
    pub(crate) fn is_hanging(&mut self, end: usize, context: &Context<'_>) -> bool {
        let hangs = self.hangs && end == CLIENT;
        if hangs {
            self.hanging.push(context.waker().clone());
        }
        hangs
    }

    /// Whether that end's process reads nothing now, in which case it is woken when it does again.
    pub(crate) fn is_deaf(&mut self, end: usize, context: &Context<'_>) -> bool {
        let deaf = self.deaf && end == CLIENT;
        if deaf {
            self.hanging.push(context.waker().clone());
        }
        deaf
    }

    /// Reads.
    pub(crate) fn take(&mut self, flow: usize, end: usize, count: usize, buf: &mut ReadBuf<'_>) {
        let bytes = &mut self.pipes(flow)[1 - end];
        let (front, back) = bytes.as_slices();
        let first = count.min(front.len());
        buf.put_slice(&front[..first]);
        buf.put_slice(&back[..count - first]);
        bytes.drain(..count);
        self.network.consume(flow, end, count as u64);
        self.stir(end);
    }

    /// Writes as much as there is room for.
    pub(crate) fn put(
        &mut self,
        flow: usize,
        end: usize,
        bufs: &[IoSlice<'_>],
        waker: &Waker,
    ) -> Option<usize> {
        let offered: usize = bufs.iter().map(|buf| buf.len()).sum();
        let taken = self.network.write(flow, end, offered as u64, waker)?;
        let taken = usize::try_from(taken).unwrap_or(usize::MAX);
        let mut left = taken;
        let bytes = &mut self.pipes(flow)[end];
        for buf in bufs {
            let part = left.min(buf.len());
            bytes.extend(&buf[..part]);
            left -= part;
        }
        if taken > 0 {
            self.stir(end);
        }
        Some(taken)
    }

    fn stir(&mut self, end: usize) {
        self.steps += 1;
        // a client's display hears from its session alone, which says so itself
        self.stirred[end] |= end != CLIENT;
    }

    fn pipes(&mut self, flow: usize) -> &mut [VecDeque<u8>; 2] {
        if self.bytes.len() <= flow {
            self.bytes.resize_with(flow + 1, Default::default);
        }
        &mut self.bytes[flow]
    }
}
