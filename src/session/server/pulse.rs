//! [`Pulse`]: whether a peer that does not answer is busy or gone.

use crate::protocol::Connection;
use crate::transport::Probe;
use std::time::{Duration, Instant};

/// Looks whether the peer's kernel goes on taking what is sent.
#[derive(Debug)]
pub(super) struct Pulse {
    next: Instant,
    /// Most bytes it was seen to have taken.
    taken: u64,
}

impl Pulse {
    /// As often as pings are sent, so that there is something to take.
    const INTERVAL: Duration = Duration::from_secs(5);
    /// How long a peer may be busy. A proxy's kernel takes what is sent to a machine that is gone.
    const PATIENCE: Duration = Duration::from_secs(600);

    pub(super) fn new(now: Instant) -> Self {
        Self {
            next: now + Self::INTERVAL,
            taken: 0,
        }
    }

    /// When [`feel`](Self::feel) wants to be called.
    pub(super) const fn at(&self) -> Instant {
        self.next
    }

    pub(super) fn feel(&mut self, connection: &mut Connection, probe: &Probe, began: Instant, now: Instant) {
        if now < self.next {
            return;
        }
        self.next = now + Self::INTERVAL;
        let Some(left) = probe.unacked() else { return };
        let taken = connection.stats().bytes_out.saturating_sub(left.into());
        if taken <= self.taken {
            return;
        }
        self.taken = taken;
        let answered = connection.keepalive().last_echo().unwrap_or(began);
        if now.saturating_duration_since(answered) < Self::PATIENCE {
            connection.peer_is_alive(now);
        }
    }
}
