//! What there is to know about a client, and where each generation of servers says it.

use super::graphs::nice;
use serde_json::Value as Json;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Bytes a second; shown to people as bits.
    BytesPerSecond,
    /// Things.
    Count,
    /// Milliseconds.
    Milliseconds,
}

/// A number of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name in JSON; the name in Prometheus follows from it.
    pub key: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// It never falls as long as the client stays.
    pub is_counter: bool,
    /// A sentence about it.
    pub help: &'static str,
    /// Where it is below a client's part of `info`, the best first.
    pub(super) paths: &'static [&'static str],
}

/// The percentiles that servers tell.
pub const PERCENTILES: [(&str, f64); 5] = [
    ("50p", 0.5),
    ("80p", 0.8),
    ("90p", 0.9),
    ("95p", 0.95),
    ("99p", 0.99),
];

const fn counter(
    key: &'static str,
    title: &'static str,
    unit: Unit,
    help: &'static str,
    paths: &'static [&'static str],
) -> Metric {
    Metric {
        is_counter: true,
        ..gauge(key, title, unit, help, paths)
    }
}

const fn gauge(
    key: &'static str,
    title: &'static str,
    unit: Unit,
    help: &'static str,
    paths: &'static [&'static str],
) -> Metric {
    Metric {
        key,
        title,
        unit,
        is_counter: false,
        help,
        paths,
    }
}

/// The single numbers.
pub const METRICS: &[Metric] = &[
    counter(
        "received",
        "received",
        Unit::Bytes,
        "Bytes received from the client.",
        &["network.input.bytes", "connection.input.bytecount"],
    ),
    counter(
        "sent",
        "sent",
        Unit::Bytes,
        "Bytes sent to the client.",
        &["network.output.bytes", "connection.output.bytecount"],
    ),
    counter(
        "shared-memory",
        "by shared memory",
        Unit::Bytes,
        "Bytes of pixels handed over in shared memory.",
        &["network.shared-memory.bytes", "connection.mmap_bytecount"],
    ),
    gauge(
        "receive-rate",
        "in",
        Unit::BytesPerSecond,
        "Bytes a second received from the client in the last second.",
        &["network.input.bytes-per-second"],
    ),
    gauge(
        "send-rate",
        "out",
        Unit::BytesPerSecond,
        "Bytes a second sent to the client in the last second.",
        &["network.output.bytes-per-second"],
    ),
    gauge(
        "link-rate",
        "rate of the link",
        Unit::BytesPerSecond,
        "Bytes a second the path to the client is thought to carry.",
        &["network.delivery.rate"],
    ),
    gauge(
        "window",
        "window",
        Unit::Bytes,
        "Bytes of pictures that may be on the way.",
        &["network.delivery.window"],
    ),
    gauge(
        "in-flight",
        "in flight",
        Unit::Bytes,
        "Bytes of pictures that are on the way.",
        &["network.delivery.in-flight"],
    ),
    gauge(
        "unacknowledged-pictures",
        "pictures unacknowledged",
        Unit::Count,
        "Pictures sent and not acknowledged yet.",
        &["network.delivery.unacknowledged", "damage.ack-pending"],
    ),
    gauge(
        "base-latency",
        "base latency",
        Unit::Milliseconds,
        "Shortest time from sending a picture to its acknowledgement seen lately.",
        &["network.base-latency", "connection.latency.absmin"],
    ),
    counter(
        "draws",
        "draws",
        Unit::Count,
        "Draw packets sent to the client.",
        &["damage.packets_sent"],
    ),
    counter(
        "drawn-pixels",
        "pixels drawn",
        Unit::Count,
        "Pixels sent to the client.",
        &["encoding.pixels"],
    ),
    counter(
        "decode-errors",
        "decode errors",
        Unit::Count,
        "Pictures the client could not decode.",
        &["encoding.decode_errors"],
    ),
    gauge(
        "control-queue",
        "control packets queued",
        Unit::Count,
        "Packets other than pictures that wait to be encoded.",
        &["network.lanes.control.packets", "damage.packet_queue.size.cur"],
    ),
    gauge(
        "encoded-queue",
        "encoded and queued",
        Unit::Bytes,
        "Bytes encoded that the kernel has not taken yet.",
        &["network.lanes.picture.encoded-bytes"],
    ),
    gauge(
        "kernel-unsent",
        "unsent in the kernel",
        Unit::Bytes,
        "Bytes the kernel has taken and not sent yet.",
        &[
            "network.lanes.kernel.unsent-bytes",
            "connection.tcp-notsent.bytes.cur",
        ],
    ),
    gauge(
        "kernel-unacknowledged",
        "unacknowledged in the kernel",
        Unit::Bytes,
        "Bytes the kernel has taken and the other end has not acknowledged.",
        &["network.lanes.kernel.unacknowledged-bytes"],
    ),
    gauge(
        "tcp-rtt",
        "TCP round trip",
        Unit::Milliseconds,
        "The kernel's smoothed round trip time.",
        &["network.tcp.rtt"],
    ),
    gauge(
        "tcp-rttvar",
        "TCP round trip deviation",
        Unit::Milliseconds,
        "Mean deviation of the kernel's round trip time.",
        &["network.tcp.rttvar"],
    ),
    gauge(
        "tcp-min-rtt",
        "TCP shortest round trip",
        Unit::Milliseconds,
        "The kernel's shortest round trip time.",
        &["network.tcp.min-rtt"],
    ),
    gauge(
        "tcp-cwnd-segments",
        "TCP congestion window, segments",
        Unit::Count,
        "The kernel's congestion window, in segments.",
        &["network.tcp.cwnd"],
    ),
    gauge(
        "tcp-mss",
        "TCP segment",
        Unit::Bytes,
        "Bytes of a segment.",
        &["network.tcp.mss", "connection.socket.options.TCP.TCP_MAXSEG"],
    ),
    gauge(
        "tcp-delivery-rate",
        "TCP delivery rate",
        Unit::BytesPerSecond,
        "Bytes a second the kernel saw acknowledged lately.",
        &["network.tcp.delivery-rate"],
    ),
    gauge(
        "tcp-pacing-rate",
        "TCP pacing rate",
        Unit::BytesPerSecond,
        "Bytes a second at which the kernel paces.",
        &["network.tcp.pacing-rate"],
    ),
    counter(
        "tcp-retransmits",
        "TCP segments retransmitted",
        Unit::Count,
        "Segments sent again.",
        &["network.tcp.retransmits"],
    ),
    gauge(
        "tcp-lost",
        "TCP segments lost",
        Unit::Count,
        "Segments thought lost now.",
        &["network.tcp.lost"],
    ),
    gauge(
        "bandwidth-limit",
        "bandwidth limit",
        Unit::BytesPerSecond,
        "Bytes a second the client is limited to; 0 is no limit.",
        &["bandwidth-limit.actual", "bandwidth.actual"],
    ),
];

/// What varies from picture to picture, or from ping to ping: milliseconds.
pub const SPREADS: &[Metric] = &[
    gauge(
        "picture-latency",
        "picture latency",
        Unit::Milliseconds,
        "From damage to its being shown: to the picture's acknowledgement, less half of the shortest round trip.",
        &["network.picture-latency", "damage.frame-total-latency"],
    ),
    gauge(
        "wait",
        "wait",
        Unit::Milliseconds,
        "From damage to the capture of its pixels.",
        &["network.path.wait", "batch.delay"],
    ),
    gauge(
        "encode",
        "encode",
        Unit::Milliseconds,
        "From capture to the encoded picture.",
        &["network.path.encode", "damage.in_latency"],
    ),
    gauge(
        "host-queue",
        "host queue",
        Unit::Milliseconds,
        "From the encoded picture to the kernel's having taken it.",
        &["network.path.host-queue"],
    ),
    gauge(
        "network-queue",
        "network queue",
        Unit::Milliseconds,
        "Time in queues between the two ends: what is left when all other parts are taken away.",
        &["network.path.network-queue"],
    ),
    gauge(
        "transmission",
        "transmission",
        Unit::Milliseconds,
        "What the link needs for the bytes of a picture.",
        &["network.path.transmission"],
    ),
    gauge(
        "propagation",
        "propagation",
        Unit::Milliseconds,
        "What an empty path needs for the smallest picture: half of the shortest round trip.",
        &["network.path.propagation"],
    ),
    gauge(
        "decode",
        "decode",
        Unit::Milliseconds,
        "What the client needed to decode and paint.",
        &["network.path.decode"],
    ),
    gauge(
        "encode-and-send",
        "encode and send",
        Unit::Milliseconds,
        "From capture to the kernel's having taken the picture.",
        &["damage.out_latency"],
    ),
    gauge(
        "client-ping",
        "client latency",
        Unit::Milliseconds,
        "Round trip of the server's pings to the client.",
        &["network.ping-latency.client", "connection.client.ping_latency"],
    ),
    gauge(
        "server-ping",
        "server latency",
        Unit::Milliseconds,
        "Round trip of the client's pings to the server, as it told.",
        &["network.ping-latency.server", "connection.server.ping_latency"],
    ),
];

/// The name of each metric's unit, by its key.
pub fn units_json() -> Json {
    let units = METRICS
        .iter()
        .map(|metric| (metric.key.to_owned(), metric.unit.name().into()));
    Json::Object(units.collect())
}

impl Unit {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes-per-second",
            Self::Count => "count",
            Self::Milliseconds => "milliseconds",
        }
    }

    /// The end of a name in Prometheus, whose base units are bytes and seconds.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Bytes => "_bytes",
            Self::BytesPerSecond => "_bytes_per_second",
            Self::Count => "",
            Self::Milliseconds => "_seconds",
        }
    }

    /// Where a scale may end that has to reach `most`.
    pub fn end_of_scale(self, most: f64) -> f64 {
        match self {
            Self::Bytes if most >= 1.0 => {
                let step = 1024f64.powf((most.ln() / 1024f64.ln()).floor());
                nice(most / step) * step
            }
            Self::BytesPerSecond => nice(most * 8.0) / 8.0,
            _ => nice(most),
        }
    }

    /// A value for people: `1.5 Mbit/s`, `12.5 ms`, `64 KiB`, `1.2 M`.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Bytes => scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"]),
            Self::BytesPerSecond => scaled(
                value * 8.0,
                1000.0,
                &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"],
            ),
            Self::Count if value.abs() < 1e4 => short(value),
            Self::Count => scaled(value, 1000.0, &["", "k", "M", "G", "T"]),
            Self::Milliseconds if value.abs() >= 1e4 => scaled(value / 1e3, 1e9, &["s"]),
            Self::Milliseconds => format!("{} ms", short(value)),
        }
    }
}

fn scaled(value: f64, step: f64, names: &[&str]) -> String {
    let mut value = value;
    let mut names = names.iter();
    let mut name = names.next().unwrap_or(&"");
    while value.abs() >= step
        && let Some(next) = names.next()
    {
        value /= step;
        name = next;
    }
    format!("{} {name}", short(value)).trim_end().to_owned()
}

/// Three digits, no more.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}
