//! What is sent over a simulated path.

/// Bytes of payload in a full segment: a packet of 1500 bytes without the headers of IP and TCP with time stamps.
pub(crate) const MSS: u64 = 1448;

/// Bytes a segment has beside its payload, Ethernet's included.
pub(crate) const HEADERS: u64 = 66;

/// A packet of some flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Which flow.
    pub(crate) flow: usize,
    pub(crate) what: What,
}

/// What is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Somebody wants to connect.
    Syn,
    /// Somebody may.
    SynAck,
    Data {
        seq: u64,
        len: u64,
    },
    Ack(Ack),
    /// Is there room again?
    Probe,
    /// There is no such connection.
    Reset,
}

/// What arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    /// Everything before it.
    pub(crate) upto: u64,
    /// And the segment that begins here.
    pub(crate) got: Option<u64>,
    /// Nothing from here on may be sent.
    pub(crate) edge: u64,
}

impl Segment {
    /// Bytes on the wire.
    pub(crate) const fn bytes(&self) -> u64 {
        match self.what {
            What::Data { len, .. } => HEADERS + len,
            _ => HEADERS,
        }
    }
}
