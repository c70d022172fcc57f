//! [`Load`]: bytes that fill the path to a client for a while, at its wish, so that it can measure what that does to
//! round trips.
//!
//! TCP fills the network's queue, since nobody holds it back; what waits in this host is kept short, so that the echoes
//! of pings, which are sent in between, wait for the network and not for us. Such bytes cost no memory, come no faster than
//! a gigabit a second and the client's limit, to one client at a time, and to none that has pictures as well.

use super::info::tree;
use super::network::tcp;
use crate::codec::Value;
use crate::packet::Packet;
use crate::transport::Probe;
use bytes::Bytes;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// A test that goes on.
#[derive(Debug)]
pub(super) struct Load {
    began: Instant,
    until: Instant,
    /// Bytes handed over so far, and the most a second.
    sent: u64,
    rate: u64,
    /// The rate was what held us back.
    is_limited: bool,
    /// Bytes handed over when half of the time had passed, and segments the kernel had sent again by then: before, TCP tries
    /// how much a path takes, and loses some of it.
    half: Option<(u64, u32)>,
    filler: Bytes,
    /// When there may be room again.
    next: Option<Instant>,
    /// Others have to wait as long as this is there.
    turn: Option<OwnedSemaphorePermit>,
}

impl Load {
    /// How long a client may ask for.
    pub(super) const LONGEST: Duration = Duration::from_secs(10);
    /// The most bytes a second: what a desktop's fastest links carry.
    const FASTEST: u64 = 125_000_000;
    /// Bytes of a packet, at most.
    const PIECE: usize = 64 << 10;
    /// What may wait in this host: what the path takes in this time, and some bytes at least.
    const AHEAD: u64 = 4;
    const LEAST: u64 = 4 << 10;
    /// Time between two looks whether there is room.
    const LOOK: Duration = Duration::from_millis(1);

    /// Begins; `bits` a second are what the client is limited to, 0 is no limit.
    pub(super) fn new(milliseconds: i64, bits: u64, turn: OwnedSemaphorePermit, now: Instant) -> Self {
        let length = Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0));
        let mut filler = vec![0; Self::PIECE];
        // what can be guessed can be compressed on the way, which makes the test wrong, not unsafe
        let _unavailable = getrandom::fill(&mut filler);
        Self {
            began: now,
            until: now + length.min(Self::LONGEST),
            sent: 0,
            rate: match bits / 8 {
                0 if bits == 0 => Self::FASTEST,
                bytes => bytes.clamp(1, Self::FASTEST),
            },
            is_limited: false,
            half: None,
            filler: filler.into(),
            next: None,
            turn: Some(turn),
        }
    }

    /// When [`packet`](Self::packet) wants to be called again, or others may have their turn.
    pub(super) fn at(&self) -> Option<Instant> {
        self.next.or_else(|| self.turn.as_ref().map(|_| self.until))
    }

    /// That time has come; whether anything can be sent is not ours to say. Who does not read holds up nobody.
    pub(super) fn woke(&mut self, now: Instant) {
        self.next = self.next.filter(|at| now < *at);
        self.turn = self.turn.take().filter(|_| now < self.until);
    }

    /// The next packet, when nothing else waits to be sent and there is room; after the last, a report.
    pub(super) fn packet(&mut self, probe: &Probe, now: Instant) -> Option<Packet> {
        self.next = None;
        if now >= self.until {
            return Some(self.report(probe, now));
        }
        if self.half.is_none() && now >= self.began + (self.until - self.began) / 2 {
            let again = probe.kernel_info().map_or(0, |kernel| kernel.retransmits);
            self.half = Some((self.sent, again));
        }
        let elapsed = millis(self.began, now).max(1);
        let allowed = (self.rate.saturating_mul(elapsed) / 1000).saturating_sub(self.sent);
        let ahead = (self.sent / elapsed * Self::AHEAD).max(Self::LEAST);
        let room = ahead.saturating_sub(probe.unsent().unwrap_or(0).into());
        self.is_limited |= allowed == 0;
        let bytes = usize::try_from(room.min(allowed)).map_or(Self::PIECE, |room| room.min(Self::PIECE));
        if bytes == 0 {
            self.next = Some(now + Self::LOOK);
            return None;
        }
        self.sent += bytes as u64;
        Some(Packet::LoadData(self.filler.slice(..bytes)))
    }

    /// What was seen of it from here.
    fn report(&self, probe: &Probe, now: Instant) -> Packet {
        let mut map = tree([
            ("bytes", self.sent.into()),
            ("milliseconds", millis(self.began, now).into()),
        ]);
        if self.is_limited {
            map.insert("limit", self.rate);
        }
        if let (Some(kernel), Some((sent, retransmits))) = (probe.kernel_info(), self.half) {
            let again = kernel.retransmits.saturating_sub(retransmits);
            let half = tree([
                ("bytes", (self.sent - sent).into()),
                ("retransmits", again.into()),
            ]);
            map.insert("second-half", half);
            map.insert("tcp", tcp(&kernel));
        }
        Packet::LoadReport(map)
    }

    /// The report of a test that cannot be made.
    pub(super) fn refusal(why: &str) -> Packet {
        Packet::LoadReport(tree([("error", Value::from(why))]))
    }
}

fn millis(from: Instant, until: Instant) -> u64 {
    u64::try_from(until.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
}
