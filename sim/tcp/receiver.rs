//! [`Receiver`]: what arrived, in which order, and how much more there is room for.

use super::segment::Ack;
use std::collections::BTreeMap;

/// Bytes that may wait for their reader: half of Linux' largest buffer, as the other half is bookkeeping.
const BUFFER: u64 = 3 << 20;

/// One end's incoming bytes.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    /// Everything before it arrived.
    next: u64,
    read: u64,
    /// Ranges that arrived before what belongs in front of them.
    early: BTreeMap<u64, u64>,
    /// The window last told was closed.
    closed: bool,
}

impl Receiver {
    /// A segment arrives.
    pub(crate) fn receive(&mut self, seq: u64, len: u64) -> Ack {
        let end = seq + len;
        if seq <= self.next {
            self.next = self.next.max(end);
            while let Some(first) = self.early.first_entry()
                && *first.key() <= self.next
            {
                self.next = self.next.max(first.remove());
            }
        } else {
            self.early.insert(seq, end);
        }
        self.ack(Some(seq))
    }

    /// What to say to the sender.
    pub(crate) fn ack(&mut self, got: Option<u64>) -> Ack {
        let room = BUFFER.saturating_sub(self.next - self.read);
        self.closed = room == 0;
        Ack {
            upto: self.next,
            got,
            edge: self.next + room,
        }
    }

    /// Bytes that can be read.
    pub(crate) const fn readable(&self) -> u64 {
        self.next - self.read
    }

    /// Bytes that were read so far.
    pub(crate) const fn total(&self) -> u64 {
        self.read
    }

    /// Bytes were read; true when the sender should be told that there is room again.
    pub(crate) const fn consume(&mut self, bytes: u64) -> bool {
        self.read += bytes;
        self.closed && self.readable() < BUFFER / 2
    }
}
