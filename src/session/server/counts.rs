//! [`Counts`]: what was sent to one client, and how long it took.

use crate::packet::DrawAck;
use crate::types::Latencies;
use crate::types::{Encoding, Size};
use std::collections::BTreeMap;
use std::time::Instant;

/// Statistics of pictures.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) draws: u64,
    pub(super) pixels: u64,
    pub(super) bytes: u64,
    pub(super) errors: u64,
    /// Bytes handed over in shared memory, and those of them that this process copied there.
    pub(super) shared: u64,
    pub(super) copied: u64,
    pub(super) frames: BTreeMap<&'static str, (u64, u64)>,
    /// From damage to its capture, from there to the packet and to the kernel's having it, from damage to
    /// acknowledgement: milliseconds.
    pub(super) wait: Latencies,
    pub(super) encode: Latencies,
    pub(super) out: Latencies,
    pub(super) total: Latencies,
    pub(super) decode: Latencies,
    /// When the damage behind a draw came, by sequence.
    pending: BTreeMap<u64, Instant>,
}

impl Counts {
    /// Draws whose times are remembered until their acknowledgement.
    const MAX_PENDING: usize = 1024;

    pub(super) fn drawn(&mut self, sequence: u64, encoding: Encoding, size: Size, bytes: usize) {
        self.draws = sequence;
        self.pixels += size.area();
        self.bytes += bytes as u64;
        let frames = self.frames.entry(encoding.name()).or_default();
        frames.0 += 1;
        frames.1 += size.area();
    }

    /// Pixels were handed over in shared memory.
    pub(super) const fn shared(&mut self, bytes: u64, copied: u64) {
        self.shared += bytes;
        self.copied += copied;
    }

    /// What was captured at that time is with the kernel.
    pub(super) fn sent(&mut self, captured: Instant, now: Instant) {
        self.out
            .add(now.saturating_duration_since(captured).as_secs_f64() * 1e3);
    }

    pub(super) fn timed(&mut self, sequence: u64, damaged: Instant, captured: Instant, encoded: Instant) {
        let milliseconds = |a: Instant, b: Instant| b.saturating_duration_since(a).as_secs_f64() * 1e3;
        self.wait.add(milliseconds(damaged, captured));
        self.encode.add(milliseconds(captured, encoded));
        if self.pending.len() >= Self::MAX_PENDING {
            self.pending.pop_first();
        }
        self.pending.insert(sequence, damaged);
    }

    pub(super) fn acknowledged(&mut self, ack: &DrawAck, now: Instant) {
        if let Some(damaged) = self.pending.remove(&ack.sequence) {
            self.total
                .add(now.saturating_duration_since(damaged).as_secs_f64() * 1e3);
        }
        if let Ok(micros @ 1..) = u32::try_from(ack.decode_time) {
            self.decode.add(f64::from(micros) / 1e3);
        }
    }
}
