//! [`Sender`]: one end's outgoing bytes: the socket's buffer, what is on the way, loss and timers.
//!
//! Segments are never reordered by a path, so one that was sent before three that arrived is lost. What `TCP_INFO`
//! tells is kept as the kernel keeps it; `TCP_NOTSENT_LOWAT` decides as there both how much a write takes and when
//! the socket is writable again.

use super::control::{Algorithm, Control, Sample};
use super::segment::{Ack, MSS, What};
use crate::link::{MILLISECOND, Nanos, SECOND};
use std::collections::VecDeque;

/// What the send buffer holds at first and at most (`tcp_wmem`).
const BUFFER: (u64, u64) = (87_040, 4 << 20);
/// Bytes a write puts into the buffer before the limits are looked at again.
const CHUNK: u64 = 44 * MSS;
/// The retransmission timeout: first, least, most.
const TIMEOUT: (Nanos, Nanos, Nanos) = (SECOND, 200 * MILLISECOND, 120 * SECOND);
/// Segments sent later that arrived before one counts as lost.
const DUPLICATES: u64 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Flying,
    Arrived,
    Lost,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    seq: u64,
    len: u64,
    at: Nanos,
    /// Which transmission it was, retransmissions counted.
    turn: u64,
    state: State,
    again: bool,
    /// For the rate: bytes delivered when it was sent, when that was so, when the first of its flight was sent.
    delivered: u64,
    delivered_at: Nanos,
    first_at: Nanos,
    app_limited: bool,
}

/// What the kernel says of a sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) rtt: Nanos,
    pub(crate) rtt_variation: Nanos,
    pub(crate) min_rtt: Option<Nanos>,
    pub(crate) rate: Option<u64>,
    pub(crate) app_limited: bool,
    /// Bytes written and not sent; bytes written and not acknowledged.
    pub(crate) notsent: u64,
    pub(crate) unacked: u64,
    /// Segments.
    pub(crate) flying: u64,
    pub(crate) lost: u64,
    pub(crate) retransmits: u64,
    /// Bytes.
    pub(crate) window: u64,
    pub(crate) pacing: Option<u64>,
}

/// One end's outgoing bytes.
#[derive(Debug)]
pub(crate) struct Sender {
    control: Control,
    written: u64,
    /// Ends where the stream does: that byte stands for the end itself.
    ended: bool,
    next: u64,
    acked: u64,
    edge: u64,
    lowat: u64,
    flight: VecDeque<Sent>,
    pipe: u64,
    lost: u64,
    turn: u64,
    newest: u64,
    recovery: Option<u64>,
    /// It began with a timeout: the window grows meanwhile.
    timed_out: bool,
    retransmits: u64,
    // round trips
    srtt: Option<Nanos>,
    variation: Nanos,
    min_rtt: Nanos,
    // timers
    since: Nanos,
    backoff: u32,
    probed: bool,
    sent_at: Nanos,
    paced: Nanos,
    /// The most bytes a second it may send.
    most: Option<u64>,
    // rate
    delivered: u64,
    delivered_at: Nanos,
    first_at: Nanos,
    app_limited: u64,
    rate: Option<(u64, bool)>,
}

impl Sender {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        Self {
            control: Control::new(algorithm),
            written: 0,
            ended: false,
            next: 0,
            acked: 0,
            edge: 64 << 10,
            lowat: u64::MAX,
            flight: VecDeque::new(),
            pipe: 0,
            lost: 0,
            turn: 0,
            newest: 0,
            recovery: None,
            timed_out: false,
            retransmits: 0,
            srtt: None,
            variation: 0,
            min_rtt: Nanos::MAX,
            since: 0,
            backoff: 0,
            probed: false,
            sent_at: 0,
            paced: 0,
            most: None,
            delivered: 0,
            delivered_at: 0,
            first_at: 0,
            app_limited: 0,
            rate: None,
        }
    }

    /// Takes as many of `bytes` as there is room for.
    pub(crate) fn write(&mut self, bytes: u64) -> u64 {
        if self.notsent() < MSS && self.lost == 0 && self.pipe + MSS <= self.control.window() {
            self.app_limited = (self.delivered + self.pipe).max(1);
        }
        let mut taken = 0;
        while taken < bytes && self.has_room() {
            let part = CHUNK.min(bytes - taken);
            self.written += part;
            taken += part;
        }
        taken
    }

    /// Bytes that are all there from the beginning.
    pub(crate) const fn preload(&mut self, bytes: u64) {
        self.written += bytes;
    }

    fn has_room(&self) -> bool {
        !self.ended && self.unacked() < self.buffer() && self.notsent() < self.lowat
    }

    /// Whether a sleeping writer is woken: not for a little room only.
    pub(crate) fn is_writable(&self) -> bool {
        !self.ended
            && self.unacked() <= self.buffer() / 3 * 2
            && self.notsent().saturating_mul(2) < self.lowat
    }

    /// The stream ends here.
    pub(crate) const fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            self.written += 1;
        }
    }

    /// Whether that byte is the end of the stream.
    pub(crate) const fn is_end(&self, at: u64) -> bool {
        self.ended && at + 1 == self.written
    }

    /// Everything but the end itself.
    pub(crate) const fn written(&self) -> u64 {
        if self.ended {
            self.written - 1
        } else {
            self.written
        }
    }

    /// Writable only while fewer bytes wait to be sent.
    pub(crate) const fn set_lowat(&mut self, bytes: u64) {
        self.lowat = bytes;
    }

    /// Never faster than so many bytes a second.
    pub(crate) const fn set_pace(&mut self, most: u64) {
        self.most = Some(most);
    }

    /// Bytes a second at which to send.
    fn pace(&self) -> Option<u64> {
        self.control.pacing().into_iter().chain(self.most).min()
    }

    fn buffer(&self) -> u64 {
        (2 * self.control.window()).clamp(BUFFER.0, BUFFER.1)
    }

    const fn notsent(&self) -> u64 {
        self.written - self.next
    }

    const fn unacked(&self) -> u64 {
        self.written - self.acked
    }

    /// What to send now.
    pub(crate) fn poll(&mut self, now: Nanos) -> Option<What> {
        if self.pace().is_some() && now < self.paced {
            return None;
        }
        if self.pipe + MSS > self.control.window() && self.pipe > 0 {
            return None;
        }
        if self.lost > 0 {
            return self.retransmit(now);
        }
        let len = MSS
            .min(self.written - self.next)
            .min(self.edge.saturating_sub(self.next));
        if len == 0 {
            self.app_limited = (self.delivered + self.pipe).max(1);
            return None;
        }
        if self.flight.is_empty() {
            self.restart(now);
        }
        let seq = self.next;
        self.next += len;
        let sent = self.stamp(Sent {
            seq,
            len,
            at: now,
            turn: 0,
            state: State::Flying,
            again: false,
            delivered: 0,
            delivered_at: 0,
            first_at: 0,
            app_limited: false,
        });
        self.flight.push_back(sent);
        self.since = now;
        Some(What::Data { seq, len })
    }

    fn restart(&mut self, now: Nanos) {
        let idle = now.saturating_sub(self.sent_at);
        if self.sent_at > 0 {
            self.control.restarts(idle, idle / self.timeout());
        }
    }

    fn retransmit(&mut self, now: Nanos) -> Option<What> {
        let index = self.flight.iter().position(|sent| sent.state == State::Lost)?;
        self.lost -= 1;
        Some(self.send_again(index, now))
    }

    fn send_again(&mut self, index: usize, now: Nanos) -> What {
        let sent = self.flight[index];
        let sent = self.stamp(Sent {
            at: now,
            state: State::Flying,
            again: true,
            ..sent
        });
        self.flight[index] = sent;
        self.retransmits += 1;
        self.since = now;
        let Sent { seq, len, .. } = sent;
        What::Data { seq, len }
    }

    fn stamp(&mut self, sent: Sent) -> Sent {
        if self.pipe == 0 {
            (self.first_at, self.delivered_at) = (sent.at, sent.at);
        }
        self.pipe += sent.len;
        self.turn += 1;
        self.sent_at = sent.at;
        if let Some(pace) = self.pace() {
            self.paced = self.paced.max(sent.at) + (sent.len + 66) * SECOND / pace.max(1);
        }
        Sent {
            turn: self.turn,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_at: self.first_at,
            app_limited: self.app_limited > 0,
            ..sent
        }
    }

    /// An acknowledgement came.
    pub(crate) fn receive(&mut self, ack: Ack, now: Nanos) {
        self.edge = self.edge.max(ack.edge);
        let limited = self.is_limited();
        let (before, flight) = (self.delivered, self.pipe);
        let mut newest: Option<Sent> = None;
        // the kernel's round trip is that of the first segment an acknowledgement is for, which may wait for the second
        let oldest = self.flight.front().filter(|sent| sent.seq + sent.len <= ack.upto);
        let oldest = oldest.filter(|sent| !sent.again).map(|sent| sent.at);
        while let Some(sent) = self.flight.front().copied().filter(|s| s.seq + s.len <= ack.upto) {
            self.flight.pop_front();
            self.arrived(sent, &mut newest);
        }
        if let Some(got) = ack.got
            && let Ok(index) = self.flight.binary_search_by_key(&got, |sent| sent.seq)
        {
            let sent = self.flight[index];
            self.flight[index].state = State::Arrived;
            self.arrived(sent, &mut newest);
        }
        if ack.upto > self.acked {
            self.acked = ack.upto;
            (self.since, self.backoff, self.probed) = (now, 0, false);
        }
        let Some(newest) = newest else { return };
        self.delivered_at = now;
        let rtt = (!newest.again).then(|| now - newest.at);
        if let Some(rtt) = rtt {
            self.min_rtt = self.min_rtt.min(rtt);
            self.measure(oldest.map_or(rtt, |at| now - at));
        }
        if self.recovery.is_some_and(|end| self.acked >= end) {
            (self.recovery, self.timed_out) = (None, false);
        }
        self.detect_losses();
        let rate = self.sample_rate(&newest, now);
        let sample = Sample {
            now,
            acked: self.delivered - before,
            rtt,
            min_rtt: self.min_rtt,
            rate,
            prior: newest.delivered,
            delivered: self.delivered,
            pipe: self.pipe,
            flight,
            limited,
            in_recovery: self.recovery.is_some() && !self.timed_out,
        };
        self.control.acked(&sample);
    }

    /// Whether the window is what keeps more from being sent.
    fn is_limited(&self) -> bool {
        self.pipe + MSS > self.control.window() || (self.notsent() > 0 && self.next < self.edge)
    }

    fn arrived(&mut self, sent: Sent, newest: &mut Option<Sent>) {
        match sent.state {
            State::Arrived => return,
            State::Flying => self.pipe -= sent.len,
            State::Lost => self.lost -= 1,
        }
        self.delivered += sent.len;
        self.newest = self.newest.max(sent.turn);
        if newest.is_none_or(|other| other.turn < sent.turn) {
            *newest = Some(sent);
        }
    }

    fn measure(&mut self, rtt: Nanos) {
        match self.srtt {
            None => (self.srtt, self.variation) = (Some(rtt), rtt / 2),
            Some(srtt) => {
                self.variation = (self.variation * 3 + srtt.abs_diff(rtt)) / 4;
                self.srtt = Some((srtt * 7 + rtt) / 8);
            }
        }
    }

    fn detect_losses(&mut self) {
        let tolerated = if self.recovery.is_some() { 1 } else { DUPLICATES };
        // in order of sequence: what was sent again is the exception that has to be looked past
        let mut found = false;
        for sent in &mut self.flight {
            if sent.turn > self.newest && !sent.again {
                break;
            }
            if sent.state == State::Flying && sent.turn + tolerated <= self.newest {
                sent.state = State::Lost;
                self.pipe -= sent.len;
                self.lost += 1;
                found = true;
            }
        }
        if found && self.recovery.is_none() {
            self.recovery = Some(self.next);
            self.control.lost();
        }
    }

    fn sample_rate(&mut self, newest: &Sent, now: Nanos) -> Option<(u64, bool)> {
        self.first_at = newest.at;
        if self.app_limited > 0 && self.delivered > self.app_limited {
            self.app_limited = 0;
        }
        let interval = (newest.at - newest.first_at).max(now - newest.delivered_at);
        if interval == 0 || interval < self.min_rtt {
            return None;
        }
        let rate = u64::try_from(
            u128::from(self.delivered - newest.delivered) * u128::from(SECOND) / u128::from(interval),
        );
        let sample = (rate.unwrap_or(u64::MAX), newest.app_limited);
        if !sample.1 || self.rate.is_none_or(|(old, _)| sample.0 >= old) {
            self.rate = Some(sample);
        }
        Some(sample)
    }

    fn timeout(&self) -> Nanos {
        let timeout = self
            .srtt
            .map_or(TIMEOUT.0, |srtt| srtt + (4 * self.variation).max(TIMEOUT.1));
        (timeout << self.backoff.min(10)).min(TIMEOUT.2)
    }

    /// A tail is probed before the timeout: the last segment is sent again.
    fn probe_after(&self) -> Option<Nanos> {
        let may = self.recovery.is_none() && !self.probed && self.lost == 0 && self.backoff == 0;
        let alone = if self.flight.len() == 1 {
            TIMEOUT.1
        } else {
            2 * MILLISECOND
        };
        self.srtt
            .filter(|_| may)
            .map(|srtt| (2 * srtt + alone).min(self.timeout()))
    }

    /// When [`timer`](Self::timer) has to be called.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        if !self.flight.is_empty() {
            let timer = self.since + self.probe_after().unwrap_or_else(|| self.timeout());
            let paced = self.pace().is_some() && self.may_send();
            return Some(if paced { timer.min(self.paced) } else { timer });
        }
        if self.notsent() == 0 {
            return None;
        }
        Some(if self.next >= self.edge {
            self.since + self.timeout()
        } else {
            self.paced
        })
    }

    fn may_send(&self) -> bool {
        self.pipe + MSS <= self.control.window()
            && (self.lost > 0 || (self.notsent() > 0 && self.next < self.edge))
    }

    /// Time passed: gives what has to be sent beside what [`poll`](Self::poll) gives.
    pub(crate) fn timer(&mut self, now: Nanos) -> Option<What> {
        if self.flight.is_empty() {
            if self.notsent() == 0 || self.next < self.edge || now < self.since + self.timeout() {
                return None;
            }
            (self.since, self.backoff) = (now, self.backoff + 1);
            return Some(What::Probe);
        }
        if let Some(after) = self.probe_after() {
            if now < self.since + after {
                return None;
            }
            self.probed = true;
            let last = self.flight.iter().rposition(|sent| sent.state == State::Flying)?;
            self.pipe -= self.flight[last].len;
            return Some(self.send_again(last, now));
        }
        if now < self.since + self.timeout() {
            return None;
        }
        for sent in &mut self.flight {
            if sent.state == State::Flying {
                sent.state = State::Lost;
                self.lost += 1;
            }
        }
        (self.pipe, self.since, self.backoff) = (0, now, self.backoff + 1);
        (self.recovery, self.timed_out) = (Some(self.next), true);
        self.control.timed_out();
        None
    }

    /// What `TCP_INFO` would say.
    pub(crate) fn info(&self) -> Info {
        Info {
            rtt: self.srtt.unwrap_or_default(),
            rtt_variation: self.variation,
            min_rtt: (self.min_rtt != Nanos::MAX).then_some(self.min_rtt),
            rate: self.rate.map(|(rate, _)| rate),
            app_limited: self.rate.is_some_and(|(_, limited)| limited),
            notsent: self.notsent(),
            unacked: self.unacked(),
            flying: self.flight.len() as u64,
            lost: self.lost,
            retransmits: self.retransmits,
            window: self.control.window(),
            pacing: self.pace(),
        }
    }
}
