//! What `info` tells of a client under `network`: bandwidth, lanes, the window, TCP, and where the time of its pictures
//! goes. Latencies are milliseconds with fractions, rates bytes a second.

use super::info::{SessionView, tree};
use crate::codec::Value;
use crate::protocol::Connection;
use crate::transport::{KernelInfo, LinkInfo};
use crate::types::Latencies;
use std::time::{Duration, Instant};

/// The tree.
pub(super) fn network(
    link: &LinkInfo,
    kernel: Option<&KernelInfo>,
    connection: &Connection,
    session: &SessionView<'_>,
    now: Instant,
) -> Value {
    let (stats, counts, window) = (connection.stats(), session.counts, session.window);
    let rates = session.bandwidth.rates(now);
    let direction =
        |bytes: u64, rate: u64| tree([("bytes", bytes.into()), ("bytes-per-second", rate.into())]);
    let mut map = tree([
        ("transport", link.kind.to_string().into()),
        ("input", direction(stats.bytes_in, rates.input)),
        ("output", direction(stats.bytes_out, rates.output)),
        ("shared-memory", tree([("bytes", counts.shared.into())])),
        ("lanes", lanes(link, connection, session)),
        ("picture-latency", spread(&counts.shown)),
        (
            "path",
            tree([
                ("wait", spread(&counts.wait)),
                ("encode", spread(&counts.encode)),
                ("host-queue", spread(&counts.host_queue)),
                ("network-queue", spread(&counts.network_queue)),
                ("transmission", spread(&counts.transmission)),
                ("propagation", spread(&counts.propagation)),
                ("decode", spread(&counts.decode)),
            ]),
        ),
        (
            "ping-latency",
            tree([
                ("client", spread(connection.keepalive().latencies())),
                ("server", spread(connection.peer_latency())),
            ]),
        ),
        (
            "delivery",
            tree([
                ("window", window.sizes().0.into()),
                ("in-flight", window.sizes().1.into()),
                ("unacknowledged", window.pending().into()),
                ("rate", window.rate().0.into()),
            ]),
        ),
    ]);
    if let Some(base) = window.base() {
        map.insert("base-latency", fraction(base));
    }
    if let Some(kernel) = kernel {
        map.insert("tcp", tcp(kernel));
    }
    map
}

/// What waits, by lane: what overtakes pictures, pictures, and what the kernel has of both.
fn lanes(link: &LinkInfo, connection: &Connection, session: &SessionView<'_>) -> Value {
    let queued = connection.queued();
    let mut lanes = tree([
        ("control", tree([("packets", queued.packets.into())])),
        (
            "picture",
            tree([
                // nothing is captured before it can be sent
                ("wanted", session.wanting.into()),
                ("encoded-bytes", queued.encoded_bytes.into()),
            ]),
        ),
    ]);
    let mut kernel = Value::map();
    for (key, bytes) in [
        ("unsent-bytes", link.probe.unsent()),
        ("unacknowledged-bytes", link.probe.unacked()),
    ] {
        bytes.into_iter().for_each(|bytes| kernel.insert(key, bytes));
    }
    lanes.insert("kernel", kernel);
    lanes
}

/// `TCP_INFO`; segments are what the kernel counts in.
pub(super) fn tcp(kernel: &KernelInfo) -> Value {
    let mut map = tree([
        ("rtt", fraction(kernel.rtt)),
        ("rttvar", fraction(kernel.rtt_variation)),
        ("cwnd", kernel.congestion_window.into()),
        ("mss", kernel.segment_size.into()),
        ("unacked", kernel.unacked.into()),
        ("lost", kernel.lost.into()),
        ("retransmits", kernel.retransmits.into()),
        ("notsent", kernel.notsent.into()),
        ("app-limited", kernel.app_limited.into()),
    ]);
    // all ones is "as fast as can be"
    if kernel.pacing_rate != u64::MAX {
        map.insert("pacing-rate", kernel.pacing_rate);
    }
    if let Some(rtt) = kernel.min_rtt {
        map.insert("min-rtt", fraction(rtt));
    }
    if let Some(rate) = kernel.delivery_rate {
        map.insert("delivery-rate", rate);
    }
    map
}

/// Milliseconds.
fn fraction(time: Duration) -> Value {
    rounded(time.as_secs_f64() * 1e3)
}

/// Nobody knows nanoseconds.
fn rounded(milliseconds: f64) -> Value {
    Value::Float((milliseconds * 1e3).round() / 1e3)
}

/// How samples are spread; `count` and `sum` are of all there ever were, the rest of the newest.
fn spread(samples: &Latencies) -> Value {
    let mut map = super::info::statistics(samples, rounded);
    let (count, sum) = samples.ever();
    if count > 0 {
        map.insert("count", count);
        map.insert("sum", rounded(sum));
    }
    map
}
