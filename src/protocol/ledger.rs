//! [`Ledger`]: what must not be lost when a session goes on over another connection.

use super::connection::weight;
use crate::packet::{FileAck, Packet};
use std::collections::VecDeque;

/// The packets of a session that the peer has not confirmed, and how many of its own arrived.
///
/// Both ends count the packets of a session from the server's hello on, over all of its connections, and
/// [confirm](Packet::Received) them now and then. A new connection begins with the counts; each end sends again what
/// the other has not got. Pictures and what belongs to one connection (hellos, pings, goodbyes) are not counted: a
/// picture is made anew rather than sent again, and chunks of files are read anew.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Packets sent, the oldest first.
    sent: VecDeque<Packet>,
    /// How many were sent before those.
    confirmed: u64,
    /// What they cost in memory.
    weight: usize,
    received: u64,
    /// What was received since the peer was last told.
    untold: usize,
}

impl Ledger {
    /// Weight of what may be unconfirmed: 8 MiB.
    const MAX: usize = 32 << 10;
    /// Weight of received packets after which the peer is told.
    const TELL: usize = 32;

    /// Whether a packet is counted.
    const fn counts(packet: &Packet) -> bool {
        !matches!(
            packet,
            Packet::FileAck(FileAck {
                ok: true,
                number: 1..,
                ..
            }) | Packet::FileChunk(_)
                | Packet::Challenge { .. }
                | Packet::Disconnect { .. }
                | Packet::Draw(_)
                | Packet::DrawAck(_)
                | Packet::Hello(_)
                | Packet::Ping { .. }
                | Packet::PingEcho { .. }
                | Packet::Received(_)
                | Packet::SetDeflate(_)
        )
    }

    /// Notes a packet that is sent, or would be if there were a connection. False when there is too much that the
    /// peer has not confirmed.
    pub fn sent(&mut self, packet: &Packet) -> bool {
        if Self::counts(packet) {
            self.weight += weight(packet);
            self.sent.push_back(packet.clone());
        }
        self.weight <= Self::MAX
    }

    /// Counts a packet that came; gives the count when the peer should hear of it.
    pub fn heard(&mut self, packet: &Packet) -> Option<u64> {
        if Self::counts(packet) {
            self.received += 1;
            self.untold += weight(packet);
        }
        (self.untold >= Self::TELL).then(|| {
            self.untold = 0;
            self.received
        })
    }

    /// How many packets of the peer arrived.
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// The peer has so many of ours. False when that cannot be.
    pub fn confirm(&mut self, count: u64) -> bool {
        let Some(more) = count.checked_sub(self.confirmed) else {
            // an old count that came late
            return true;
        };
        let Some(more) = usize::try_from(more).ok().filter(|more| *more <= self.sent.len()) else {
            return false;
        };
        let gone: usize = self.sent.drain(..more).map(|packet| weight(&packet)).sum();
        self.weight = self.weight.saturating_sub(gone);
        self.confirmed = count;
        true
    }

    /// What the unconfirmed packets cost in memory, in units of 256 bytes.
    pub const fn weight(&self) -> usize {
        self.weight
    }

    /// What a new connection sends first.
    pub fn unconfirmed(&self) -> impl Iterator<Item = &Packet> {
        self.sent.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::WindowId;

    fn raise(id: u64) -> Packet {
        Packet::RaiseWindow(WindowId(id))
    }

    #[test]
    fn what_did_not_arrive_is_sent_again() {
        let (mut ours, mut theirs) = (Ledger::default(), Ledger::default());
        for id in 0..10 {
            assert!(ours.sent(&raise(id)) && ours.sent(&Packet::Received(0)));
            // the last three are lost
            if id < 7 {
                assert_eq!(theirs.heard(&raise(id)), None);
            }
        }
        assert!(ours.confirm(theirs.received()));
        let again: Vec<_> = ours.unconfirmed().cloned().collect();
        assert_eq!(again, [raise(7), raise(8), raise(9)]);
        assert!(ours.confirm(3), "late news are no news");
        assert!(!ours.confirm(11), "more than was sent");
        assert!(ours.confirm(10));
        assert_eq!(ours.unconfirmed().count(), 0);
    }

    #[test]
    fn the_peer_is_told_now_and_then() {
        let mut ledger = Ledger::default();
        let told: Vec<_> = (0..100).filter_map(|id| ledger.heard(&raise(id))).collect();
        assert_eq!(told, [32, 64, 96]);
    }

    #[test]
    fn a_peer_that_confirms_nothing_costs_no_more_than_a_little_memory() {
        let mut ledger = Ledger::default();
        let kept = (0..u64::MAX).take_while(|id| ledger.sent(&raise(*id))).count();
        assert_eq!(kept, Ledger::MAX);
    }
}
