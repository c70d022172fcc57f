//! [`Receiver`]: what arrived, in which order, and how much more there is room for.

use super::segment::{Ack, MSS};
use crate::link::{MILLISECOND, Nanos};
use std::collections::BTreeMap;

/// Bytes that may wait for their reader: half of Linux' largest buffer, as the other half is bookkeeping.
const BUFFER: u64 = 3 << 20;

/// How long a segment may go unacknowledged, while no other one follows it.
const DELAY: Nanos = 40 * MILLISECOND;
/// Segments that are acknowledged one by one at first, for the sender's slow start.
const QUICK: u32 = 16;

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
    /// Acknowledgements sent, as far as they have to be counted.
    acks: u32,
    /// Bytes that arrived and were not acknowledged, and when they will be in any case.
    owed: u64,
    due: Option<Nanos>,
}

impl Receiver {
    /// A segment arrives. As in Linux, the second one is acknowledged with the first, unless something is missing.
    pub(crate) fn receive(&mut self, seq: u64, len: u64, now: Nanos) -> Option<Ack> {
        let end = seq + len;
        let is_plain = seq == self.next && self.early.is_empty();
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
        self.owed += len;
        if is_plain && self.owed <= MSS && self.acks >= QUICK {
            self.due.get_or_insert(now + DELAY);
            return None;
        }
        Some(self.ack(Some(seq)))
    }

    /// When an acknowledgement has to be sent that was put off.
    pub(crate) const fn due(&self) -> Option<Nanos> {
        self.due
    }

    /// What to say to the sender.
    pub(crate) fn ack(&mut self, got: Option<u64>) -> Ack {
        (self.owed, self.due) = (0, None);
        self.acks = self.acks.saturating_add(1);
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
