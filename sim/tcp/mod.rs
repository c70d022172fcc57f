//! Connections over a shared link, with the kernels at both ends: what a byte stream is without its bytes.
//!
//! A [`Network`] is two [`Bottleneck`]s and the flows that share them. Of each flow both ends have a socket buffer,
//! `TCP_NOTSENT_LOWAT`, a congestion window (Reno, CUBIC, BBR), SACK-like loss detection, tail probes, timeouts, a
//! receive window; everything segment by segment, in simulated time, as a plain data structure. It stands for Linux
//! as far as a sender of pictures can tell; it has no reordering, no ECN and no Nagle.

mod bbr;
mod control;
mod receiver;
mod segment;
mod sender;
#[cfg(test)]
mod tests;

pub(crate) use self::control::Algorithm;
pub(crate) use self::segment::MSS;
pub(crate) use self::sender::Info;

use self::receiver::Receiver;
use self::segment::{Segment, What};
use self::sender::Sender;
use crate::link::{Bottleneck, Nanos, SECOND, Shape};
use std::collections::VecDeque;
use std::task::Waker;

/// The ends of a path: the server and the client. What an end sends goes through the way of the same number.
pub(crate) const SERVER: usize = 0;
pub(crate) const CLIENT: usize = 1;

/// A link and its flows.
#[derive(Debug)]
pub(crate) struct Network {
    now: Nanos,
    ways: [Bottleneck<Segment>; 2],
    flows: Vec<Flow>,
    /// Flows that reached the server and were not taken by it.
    arrivals: VecDeque<usize>,
    accepting: Option<Waker>,
    /// Somebody was woken.
    woken: bool,
}

/// A connection.
#[derive(Debug)]
struct Flow {
    ends: [End; 2],
    opening: Opening,
    /// The server knows of it.
    arrived: bool,
    /// Nothing of it passes any more: the client has another address.
    dark: bool,
    /// Nobody writes and reads it but the flow itself.
    automatic: bool,
    /// It sends nothing any more.
    stopped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    /// The client asked so often, and asks again then.
    Asking {
        times: u32,
        again: Nanos,
    },
    Done,
}

#[derive(Debug)]
struct End {
    sender: Sender,
    receiver: Receiver,
    reset: bool,
    /// Its process is gone.
    gone: bool,
    reading: Option<Waker>,
    writing: Option<Waker>,
}

/// What reading may find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readable {
    /// So many bytes, 0 when there is nothing yet.
    Bytes(u64),
    End,
    Reset,
}

impl Network {
    /// A link of those two directions, the server's sending first.
    pub(crate) fn new(ways: [Shape; 2], seed: u64) -> Self {
        let [down, up] = ways;
        Self {
            now: 0,
            ways: [Bottleneck::new(down, seed), Bottleneck::new(up, !seed)],
            flows: Vec::new(),
            arrivals: VecDeque::new(),
            accepting: None,
            woken: false,
        }
    }

    /// A new connection, which the client asks for now.
    pub(crate) fn connect(&mut self, algorithm: Algorithm) -> usize {
        let flow = self.add(algorithm);
        self.ask(flow, 0);
        flow
    }

    /// A flow of `bytes` from that end, beside all others, from now on.
    pub(crate) fn transfer(&mut self, from: usize, algorithm: Algorithm, bytes: u64) -> usize {
        let flow = self.add(algorithm);
        self.flows[flow].opening = Opening::Done;
        self.flows[flow].automatic = true;
        self.flows[flow].ends[from].sender.preload(bytes);
        self.pump(flow, from);
        flow
    }

    fn add(&mut self, algorithm: Algorithm) -> usize {
        let end = || End {
            sender: Sender::new(algorithm),
            receiver: Receiver::default(),
            reset: false,
            gone: false,
            reading: None,
            writing: None,
        };
        self.flows.push(Flow {
            ends: [end(), end()],
            opening: Opening::Asking { times: 0, again: 0 },
            arrived: false,
            dark: false,
            automatic: false,
            stopped: false,
        });
        self.flows.len() - 1
    }

    fn ask(&mut self, flow: usize, times: u32) {
        let again = self.now + (SECOND << times.min(6));
        let times = times + 1;
        self.flows[flow].opening = Opening::Asking { times, again };
        self.send(
            CLIENT,
            Segment {
                flow,
                what: What::Syn,
            },
        );
    }

    /// It sends nothing any more.
    pub(crate) fn stop(&mut self, flow: usize) {
        self.flows[flow].stopped = true;
    }

    /// Nothing of it passes any more.
    pub(crate) fn darken(&mut self, flow: usize) {
        self.flows[flow].dark = true;
    }

    /// The flows that reached the server.
    pub(crate) fn served(&self) -> Vec<usize> {
        let flows = self.flows.iter().enumerate();
        let served = flows.filter(|(_, flow)| flow.arrived && !flow.automatic);
        served.map(|(flow, _)| flow).collect()
    }

    /// Somebody on the way ends it for both ends.
    pub(crate) fn cut(&mut self, flow: usize) {
        for end in [SERVER, CLIENT] {
            let this = &mut self.flows[flow].ends[end];
            this.reset = true;
            self.woken |= wake(&mut this.reading) | wake(&mut this.writing);
        }
    }

    /// A flow that reached the server.
    pub(crate) fn accept(&mut self, waker: &Waker) -> Option<usize> {
        let flow = self.arrivals.pop_front();
        if flow.is_none() {
            self.accepting = Some(waker.clone());
        }
        flow
    }

    /// Whether the connection stands.
    pub(crate) fn is_open(&mut self, flow: usize, waker: &Waker) -> bool {
        let flow = &mut self.flows[flow];
        flow.ends[CLIENT].reading = Some(waker.clone());
        flow.opening == Opening::Done
    }

    /// Writes as many of `bytes` as there is room for; `None` after a reset. Whoever could write nothing is woken.
    pub(crate) fn write(&mut self, flow: usize, end: usize, bytes: u64, waker: &Waker) -> Option<u64> {
        let this = &mut self.flows[flow].ends[end];
        if this.reset {
            return None;
        }
        let taken = this.sender.write(bytes);
        if taken == 0 {
            this.writing = Some(waker.clone());
        }
        self.pump(flow, end);
        Some(taken)
    }

    /// What can be read. Whoever finds nothing is woken when there is something.
    pub(crate) fn readable(&mut self, flow: usize, end: usize, waker: &Waker) -> Readable {
        let [this, peer] = self.pair(flow, end);
        let at = this.receiver.total();
        let bytes = this.receiver.readable().min(peer.sender.written() - at);
        if bytes > 0 {
            return Readable::Bytes(bytes);
        }
        if this.receiver.readable() > 0 && peer.sender.is_end(at) {
            return Readable::End;
        }
        if this.reset {
            return Readable::Reset;
        }
        this.reading = Some(waker.clone());
        Readable::Bytes(0)
    }

    /// Bytes were read.
    pub(crate) fn consume(&mut self, flow: usize, end: usize, bytes: u64) {
        if self.flows[flow].ends[end].receiver.consume(bytes) {
            self.acknowledge(flow, end);
        }
    }

    /// Says what arrived at that end.
    fn acknowledge(&mut self, flow: usize, end: usize) {
        let ack = self.flows[flow].ends[end].receiver.ack(None);
        self.send(
            end,
            Segment {
                flow,
                what: What::Ack(ack),
            },
        );
    }

    /// That end sends no more.
    pub(crate) fn end(&mut self, flow: usize, end: usize) {
        self.flows[flow].ends[end].sender.end();
        self.pump(flow, end);
    }

    /// That end's process is gone.
    pub(crate) fn abandon(&mut self, flow: usize, end: usize) {
        self.flows[flow].ends[end].gone = true;
        self.end(flow, end);
    }

    /// Sets `TCP_NOTSENT_LOWAT`.
    pub(crate) fn set_lowat(&mut self, flow: usize, end: usize, bytes: u64) {
        self.flows[flow].ends[end].sender.set_lowat(bytes);
    }

    /// Sets `SO_MAX_PACING_RATE`.
    pub(crate) fn set_pace(&mut self, flow: usize, end: usize, most: u64) {
        self.flows[flow].ends[end].sender.set_pace(most);
    }

    /// What the kernel of that end says.
    pub(crate) fn info(&self, flow: usize, end: usize) -> Info {
        self.flows[flow].ends[end].sender.info()
    }

    /// Bytes written by that end, and read by the other.
    pub(crate) fn carried(&self, flow: usize, end: usize) -> [u64; 2] {
        let Flow { ends, .. } = &self.flows[flow];
        [ends[end].sender.written(), ends[1 - end].receiver.total()]
    }

    /// One direction of the link.
    pub(crate) const fn way(&mut self, end: usize) -> &mut Bottleneck<Segment> {
        &mut self.ways[end]
    }

    /// The present.
    pub(crate) const fn now(&self) -> Nanos {
        self.now
    }

    /// When something happens next.
    pub(crate) fn next(&self) -> Option<Nanos> {
        let ways = self.ways.iter().filter_map(Bottleneck::next);
        let flows = self.flows.iter().filter_map(Flow::deadline);
        ways.chain(flows).min().map(|at| at.max(self.now))
    }

    /// Lets time pass until something concerns a process, no longer than until `limit`; gives the present then.
    pub(crate) fn advance(&mut self, limit: Nanos) -> Nanos {
        while !self.woken {
            let Some(at) = self.next().filter(|at| *at <= limit) else {
                self.now = limit;
                break;
            };
            self.now = at;
            for way in [SERVER, CLIENT] {
                while let Some((_, segment)) = self.ways[way].poll(at) {
                    self.receive(1 - way, segment);
                }
            }
            for flow in 0..self.flows.len() {
                if self.flows[flow].deadline().is_some_and(|due| due <= at) {
                    self.timer(flow);
                }
            }
        }
        self.woken = false;
        self.now
    }

    fn timer(&mut self, flow: usize) {
        if let Opening::Asking { times, again } = self.flows[flow].opening
            && again <= self.now
        {
            return self.ask(flow, times);
        }
        for end in [SERVER, CLIENT] {
            let due = self.flows[flow].ends[end].receiver.due();
            if due.is_some_and(|due| due <= self.now) {
                self.acknowledge(flow, end);
            }
            let sender = &mut self.flows[flow].ends[end].sender;
            if sender.deadline().is_some_and(|due| due <= self.now) {
                if let Some(what) = sender.timer(self.now) {
                    self.send(end, Segment { flow, what });
                }
                self.pump(flow, end);
            }
        }
    }

    /// A segment reaches that end.
    fn receive(&mut self, end: usize, segment: Segment) {
        let Segment { flow, what } = segment;
        let now = self.now;
        if self.flows[flow].dark {
            return;
        }
        let Flow {
            ends,
            opening,
            arrived,
            automatic,
            ..
        } = &mut self.flows[flow];
        let this = &mut ends[end];
        match what {
            What::Syn => {
                // a repeated one is only answered again
                if !std::mem::replace(arrived, true) {
                    self.arrivals.push_back(flow);
                    self.woken |= wake(&mut self.accepting);
                }
                self.send(
                    end,
                    Segment {
                        flow,
                        what: What::SynAck,
                    },
                );
            }
            What::SynAck => {
                *opening = Opening::Done;
                self.woken |= wake(&mut this.reading);
            }
            What::Data { .. } if this.gone => self.send(
                end,
                Segment {
                    flow,
                    what: What::Reset,
                },
            ),
            What::Data { seq, len } => {
                let ack = this.receiver.receive(seq, len, now);
                if *automatic {
                    this.receiver.consume(this.receiver.readable());
                } else if this.receiver.readable() > 0 {
                    self.woken |= wake(&mut this.reading);
                }
                if let Some(ack) = ack {
                    self.send(
                        end,
                        Segment {
                            flow,
                            what: What::Ack(ack),
                        },
                    );
                }
            }
            What::Ack(ack) => {
                this.sender.receive(ack, now);
                self.pump(flow, end);
            }
            What::Probe => self.acknowledge(flow, end),
            What::Reset => {
                this.reset = true;
                self.woken |= wake(&mut this.reading) | wake(&mut this.writing);
            }
        }
    }

    /// Sends what that end may send, and wakes its writer when there is room.
    fn pump(&mut self, flow: usize, end: usize) {
        if self.flows[flow].opening != Opening::Done && end == CLIENT {
            return;
        }
        while !self.flows[flow].stopped
            && let Some(what) = self.flows[flow].ends[end].sender.poll(self.now)
        {
            self.send(end, Segment { flow, what });
            // what is sent says what arrived
            if self.flows[flow].ends[end].receiver.due().is_some() {
                self.acknowledge(flow, end);
            }
        }
        let this = &mut self.flows[flow].ends[end];
        if this.writing.is_some() && this.sender.is_writable() {
            self.woken |= wake(&mut this.writing);
        }
    }

    fn send(&mut self, end: usize, segment: Segment) {
        if !self.flows[segment.flow].dark {
            // a full queue is what congestion control is about
            let _dropped = self.ways[end].offer(self.now, segment.bytes(), segment);
        }
    }

    fn pair(&mut self, flow: usize, end: usize) -> [&mut End; 2] {
        let [server, client] = &mut self.flows[flow].ends;
        if end == SERVER {
            [server, client]
        } else {
            [client, server]
        }
    }
}

impl Flow {
    fn deadline(&self) -> Option<Nanos> {
        if let Opening::Asking { again, .. } = self.opening {
            return Some(again);
        }
        let live = self.ends.iter().filter(|end| !end.reset && !self.stopped);
        let deadlines = |end: &End| end.sender.deadline().into_iter().chain(end.receiver.due());
        live.flat_map(deadlines).min()
    }
}

fn wake(waker: &mut Option<Waker>) -> bool {
    waker.take().map(Waker::wake).is_some()
}
