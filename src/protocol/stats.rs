//! [`Stats`]: what a connection counts.

use compact_str::CompactString;
use std::collections::BTreeMap;

/// Counters of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes received.
    pub bytes_in: u64,
    /// Packets received.
    pub packets_in: u64,
    /// Bytes handed to the stream.
    pub bytes_out: u64,
    /// Packets encoded.
    pub packets_out: u64,
    /// Packets received by type.
    pub received: BTreeMap<CompactString, u64>,
    /// Packets encoded by type.
    pub sent: BTreeMap<CompactString, u64>,
}

/// What of a connection waits to be sent: the lane of packets that overtake pictures, and what is encoded already, a
/// picture included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// Packets that are not encoded yet.
    pub packets: usize,
    /// Bytes that the stream has not taken yet.
    pub encoded_bytes: usize,
}

impl Stats {
    /// Types counted one by one; a peer that invents more is counted in the totals only.
    const MAX_TYPES: usize = 256;

    pub(super) fn count(types: &mut BTreeMap<CompactString, u64>, name: Option<&[u8]>) {
        let Some(name) = name.and_then(|name| std::str::from_utf8(name).ok()) else {
            return;
        };
        if let Some(count) = types.get_mut(name) {
            *count += 1;
        } else if types.len() < Self::MAX_TYPES && name.len() < 64 {
            types.insert(name.into(), 1);
        }
    }
}
