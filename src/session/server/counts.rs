//! [`Counts`]: what was sent to one client, and how long it took.

use crate::delivery::{Ack, Window};
use crate::packet::DrawAck;
use crate::types::Latencies;
use crate::types::{Encoding, Size};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

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
    /// acknowledgement: milliseconds. Like all that follow they are of whole pictures, whose last draw ends them.
    pub(super) wait: Latencies,
    pub(super) encode: Latencies,
    pub(super) out: Latencies,
    pub(super) total: Latencies,
    /// From damage to its being shown, as far as that can be known from here: the acknowledgement's way back is taken
    /// for half of the shortest round trip.
    pub(super) shown: Latencies,
    pub(super) decode: Latencies,
    /// The rest of a picture's way: from its encoding to the kernel's having it, and of what follows what the link
    /// needs for its bytes, what an empty path needs for the first of them, and what is left, which is waiting.
    pub(super) host_queue: Latencies,
    pub(super) transmission: Latencies,
    pub(super) propagation: Latencies,
    pub(super) network_queue: Latencies,
    /// The times of pictures that were not acknowledged yet, by the sequence of their last draw.
    pending: BTreeMap<u64, Times>,
    /// Bytes acknowledged of a picture whose last draw is not.
    partial: usize,
}

/// When a picture was what.
#[derive(Clone, Copy, Debug)]
struct Times {
    damaged: Instant,
    encoded: Instant,
    /// With the kernel, as far as it is.
    written: Option<Instant>,
}

impl Counts {
    /// Pictures whose times are remembered until their acknowledgement.
    const MAX_PENDING: usize = 1024;

    pub(super) fn drawn(&mut self, encoding: Encoding, size: Size, bytes: usize) {
        self.draws += 1;
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
        self.out.add(milliseconds(captured, now));
        let unwritten = self.pending.values_mut().rev();
        for times in unwritten.take_while(|times| times.written.is_none()) {
            times.written = Some(now);
        }
    }

    /// The last draw of a picture was handed to the connection.
    pub(super) fn timed(&mut self, sequence: u64, damaged: Instant, captured: Instant, encoded: Instant) {
        self.wait.add(milliseconds(damaged, captured));
        self.encode.add(milliseconds(captured, encoded));
        if self.pending.len() >= Self::MAX_PENDING {
            self.pending.pop_first();
        }
        let times = Times {
            damaged,
            encoded,
            written: None,
        };
        self.pending.insert(sequence, times);
    }

    /// `acked` is what the window, which has learnt of it, said.
    pub(super) fn acknowledged(&mut self, ack: &DrawAck, acked: Ack, window: &Window, now: Instant) {
        let bytes = self.partial + acked.bytes;
        let Some(times) = self.pending.remove(&ack.sequence) else {
            self.partial = bytes;
            return;
        };
        self.partial = 0;
        let decode = u32::try_from(ack.decode_time).map_or(0.0, |micros| f64::from(micros) / 1e3);
        if decode > 0.0 {
            self.decode.add(decode);
        }
        let total = milliseconds(times.damaged, now);
        self.total.add(total);
        // overtaken by its own acknowledgement: it was with the kernel, and we have not looked yet
        let written = times.written.unwrap_or(times.encoded);
        self.host_queue.add(milliseconds(times.encoded, written));
        let mut rest = (milliseconds(written, now) - decode).max(0.0);
        let mut part = |milliseconds: f64| {
            let part = milliseconds.min(rest);
            rest -= part;
            part
        };
        let base = window.base().unwrap_or(Duration::ZERO).as_secs_f64() * 1e3;
        let own = window.own(bytes).as_secs_f64() * 1e3;
        self.shown.add(total - part(base / 2.0));
        self.propagation.add(part(base / 2.0));
        self.transmission.add(part(own));
        self.network_queue.add(rest);
    }
}

fn milliseconds(from: Instant, until: Instant) -> f64 {
    until.saturating_duration_since(from).as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::LinkSpeed;
    use crate::types::WindowId;

    #[test]
    fn a_picture_that_stood_in_a_queue_says_so() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        // a megabyte a second
        let mut window = Window::new(LinkSpeed::mbit(8), start);
        let mut counts = Counts::default();
        let ack = |sequence, decode_time| DrawAck {
            sequence,
            id: WindowId(1),
            size: Size::new(1, 1),
            decode_time,
            message: "".into(),
        };
        let mut picture =
            |sequence, [damaged, captured, encoded, written, acknowledged]: [u64; 5], decode| {
                counts.timed(sequence, at(damaged), at(captured), at(encoded));
                window.sent(sequence, 1000, at(encoded));
                counts.sent(at(captured), at(written));
                let time = Duration::from_micros(decode);
                let acked = window.acknowledged(sequence, time, at(acknowledged)).unwrap();
                let ack = ack(sequence, i64::try_from(decode).unwrap());
                counts.acknowledged(&ack, acked, &window, at(acknowledged));
            };
        // an empty path of 40 ms
        picture(1, [0, 0, 0, 0, 41], 0);
        picture(2, [100, 104, 106, 109, 209], 5000);
        let parts = [
            (&counts.wait, 4.0),
            (&counts.encode, 2.0),
            (&counts.host_queue, 3.0),
            (&counts.propagation, 20.0),
            (&counts.transmission, 1.0),
            (&counts.network_queue, 54.0),
            (&counts.decode, 5.0),
        ];
        for (index, (part, expected)) in parts.into_iter().enumerate() {
            let part = part.last().unwrap();
            assert!(
                (part - expected).abs() < 1e-6,
                "part {index}: {part}, not {expected}"
            );
        }
        assert_eq!(counts.total.last(), Some(109.0));
        assert_eq!(counts.shown.last(), Some(89.0));
        assert_eq!(counts.network_queue.smallest(), Some(0.0));
    }
}
