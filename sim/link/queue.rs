//! [`Bottleneck`]: queue, serializer and line of one direction.

use super::codel::Codel;
use super::{Nanos, Rate, Rng};
use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;

/// What a direction is like.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// How fast packets leave the queue.
    pub(crate) rate: Rate,
    /// From the last bit sent to the last bit received.
    pub(crate) delay: Nanos,
    /// Added to it: an even chance of everything up to this. Packets do not overtake each other.
    pub(crate) jitter: Nanos,
    /// Packets of a million that get lost on the line.
    pub(crate) loss: u32,
    /// Bytes that may wait; the packet being sent does not count.
    pub(crate) queue: u64,
    /// What happens when many wait.
    pub(crate) aqm: Aqm,
    /// Times in which nothing leaves the line.
    pub(crate) outages: Vec<Range<Nanos>>,
}

/// How a queue is kept short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Aqm {
    /// What does not fit is dropped.
    #[default]
    DropTail,
    /// Drops also at the head, by time waited.
    Codel,
}

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// What became of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Packets and bytes that came out.
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Dropped for want of room.
    pub(crate) full: u64,
    /// Dropped by CoDel.
    pub(crate) codel: u64,
    /// Lost on the line.
    pub(crate) lost: u64,
    /// Most bytes that ever waited.
    pub(crate) peak: u64,
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            packets,
            full,
            codel,
            lost,
            peak,
            ..
        } = self;
        write!(
            f,
            "link: {packets} packets, {full} dropped for want of room, {codel} by CoDel, {lost} lost, at most {} kB waited",
            peak / 1000
        )
    }
}

/// One direction of a link, for packets of any kind.
#[derive(Debug)]
pub(crate) struct Bottleneck<T> {
    shape: Shape,
    rng: Rng,
    waiting: VecDeque<Waiting<T>>,
    backlog: u64,
    /// When the serializer is free.
    free: Nanos,
    /// Sent, and when it arrives.
    line: VecDeque<(Nanos, u64, T)>,
    last: Nanos,
    codel: Codel,
    counters: Counters,
}

#[derive(Debug)]
struct Waiting<T> {
    since: Nanos,
    bytes: u64,
    packet: T,
}

impl<T> Bottleneck<T> {
    /// An empty one.
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        Self {
            shape,
            rng: Rng::new(seed),
            waiting: VecDeque::new(),
            backlog: 0,
            free: 0,
            line: VecDeque::new(),
            last: 0,
            codel: Codel::default(),
            counters: Counters::default(),
        }
    }

    /// A packet arrives at the queue.
    pub(crate) fn offer(&mut self, now: Nanos, bytes: u64, packet: T) -> Result<(), Refused> {
        self.send(now);
        // an idle serializer takes it at once, however small the queue
        let waits = self.free > now || !self.waiting.is_empty();
        if waits && self.backlog + bytes > self.shape.queue {
            self.counters.full += 1;
            return Err(Refused);
        }
        self.backlog += bytes;
        let since = now;
        self.waiting.push_back(Waiting { since, bytes, packet });
        self.send(now);
        self.counters.peak = self.counters.peak.max(self.backlog);
        Ok(())
    }

    /// The next packet that has arrived at the other end by `now`, and when it did.
    pub(crate) fn poll(&mut self, now: Nanos) -> Option<(Nanos, T)> {
        self.send(now);
        let (at, ..) = self.line.front()?;
        if *at > now {
            return None;
        }
        let (at, bytes, packet) = self.line.pop_front()?;
        self.counters.packets += 1;
        self.counters.bytes += bytes;
        Some((at, packet))
    }

    /// When [`poll`](Self::poll) should be called; it may have nothing then, but never has something sooner.
    pub(crate) fn next(&self) -> Option<Nanos> {
        let sent = self.line.front().map(|(at, ..)| *at);
        let begins = || self.waiting.front().map(|first| self.free.max(first.since));
        sent.or_else(begins)
    }

    /// Bytes that wait.
    pub(crate) fn backlog(&mut self, now: Nanos) -> u64 {
        self.send(now);
        self.backlog
    }

    /// How long a packet that arrives now will wait.
    pub(crate) fn wait(&mut self, now: Nanos) -> Nanos {
        self.send(now);
        let free = self.free.max(now);
        self.shape.rate.finish(free, self.backlog) - now
    }

    /// Nothing leaves the line in that time.
    pub(crate) fn break_line(&mut self, outage: Range<Nanos>) {
        self.shape.outages.push(outage);
    }

    /// What became of the packets so far.
    pub(crate) const fn counters(&self) -> Counters {
        self.counters
    }

    /// What it is like.
    pub(crate) const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// To make it another one from now on.
    pub(crate) const fn shape_mut(&mut self) -> &mut Shape {
        &mut self.shape
    }

    /// Sends what waits and whose turn has come by `now`.
    fn send(&mut self, now: Nanos) {
        while let Some(first) = self.waiting.front() {
            let begin = self.free.max(first.since);
            if begin > now {
                return;
            }
            let Some(Waiting { since, bytes, packet }) = self.waiting.pop_front() else {
                return;
            };
            self.backlog -= bytes;
            if self.shape.aqm == Aqm::Codel && self.codel.drops(begin - since, begin, self.backlog) {
                self.counters.codel += 1;
                continue;
            }
            self.free = self.shape.rate.finish(begin, bytes);
            if self.is_lost() {
                self.counters.lost += 1;
                continue;
            }
            let jitter = self.rng.below(self.shape.jitter + 1);
            let at = self.free.saturating_add(self.shape.delay + jitter).max(self.last);
            self.last = at;
            self.line.push_back((at, bytes, packet));
        }
    }

    /// Whether the packet just sent gets lost.
    fn is_lost(&mut self) -> bool {
        self.shape
            .outages
            .iter()
            .any(|outage| outage.contains(&self.free))
            || self.rng.chance(self.shape.loss)
    }
}
