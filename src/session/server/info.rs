//! The tree that `info` prints (`session.md` d, `endpoints.md` k): every value measured, none invented.

use super::Facts;
use super::bandwidth::Bandwidth;
use super::counts::Counts;
use super::network::network;
use crate::codec::Value;
use crate::delivery::Window;
use crate::packet::Capabilities;
use crate::picture::Client;
use crate::protocol::Connection;
use crate::session::screen::ClientId;
use crate::session::wall_clock;
use crate::transport::tls::TlsFacts;
use crate::transport::{KernelInfo, LinkInfo};
use crate::types::{Latencies, Size};
use std::time::{Duration, Instant};

/// What one client reported.
#[derive(Clone, Debug)]
pub struct ClientFacts {
    tree: Value,
    batch: Value,
    out_latency: Value,
}

/// The parts of a session that `info` shows.
pub(super) struct SessionView<'a> {
    pub(super) caps: &'a Capabilities,
    pub(super) window: &'a Window,
    pub(super) counts: &'a Counts,
    pub(super) takes: Option<&'a Client>,
    pub(super) screen: Size,
    pub(super) mapped: bool,
    pub(super) bandwidth_limit: u64,
    /// Pictures are made for what the path is seen to carry.
    pub(super) detects: bool,
    /// Pictures a second at most.
    pub(super) refresh_rate: Option<u32>,
    pub(super) last_input: Instant,
    pub(super) bandwidth: &'a Bandwidth,
    /// It waits for a picture.
    pub(super) wanting: bool,
    /// The memory shared with the client.
    pub(super) area: Option<&'a Value>,
}

impl ClientFacts {
    pub(super) fn gather(
        id: ClientId,
        began: Instant,
        link: &LinkInfo,
        connection: &Connection,
        session: &SessionView<'_>,
        now: Instant,
    ) -> Self {
        let batch = tree([("delay", latencies(&session.counts.wait))]);
        let out_latency = latencies(&session.counts.out);
        let keepalive = connection.keepalive();
        let seconds = |since: Instant| Value::from(now.saturating_duration_since(since).as_secs());
        let text = |key: &str| Value::from(session.caps.text(key).unwrap_or_default());
        let kernel = link.probe.kernel_info();
        let mut map = Value::map();
        // the names of the first generations, which users grep for
        map.insert("latency", with_smallest(session.window.latencies()));
        map.insert(
            "connection",
            connection_tree(link, kernel.as_ref(), connection, session),
        );
        map.insert(
            "network",
            network(link, kernel.as_ref(), connection, session, now),
        );
        map.insert("damage", damage(session, &out_latency));
        map.insert("batch", batch.clone());
        map.insert("bandwidth-limit", bandwidth(session));
        map.insert("encoding", encoding(session));
        map.insert(
            "encodings",
            tree([("lz4", session.takes.is_some_and(|t| t.lz4).into())]),
        );
        map.insert(
            "last-ping-echo",
            keepalive.last_echo().map_or_else(|| Value::from(-1), seconds),
        );
        map.insert("window", tree([("1", window(session))]));
        map.insert("id", id.0);
        map.insert("connection_time", seconds(began));
        map.insert("elapsed_time", seconds(began));
        map.insert("idle_time", seconds(session.last_input));
        map.insert("uuid", text("uuid"));
        map.insert(
            "type",
            session
                .caps
                .text("client_type")
                .or_else(|| session.caps.text("client-type"))
                .unwrap_or_default(),
        );
        map.insert("version", text("version"));
        map.insert("hostname", text("hostname"));
        map.insert("username", text("username"));
        map.insert("mmap", shared_memory(session));
        if let Some(rate) = session.refresh_rate {
            map.insert("vertical-refresh", rate);
        }
        map.insert("share", session.caps.is("share"));
        map.insert("lock", session.caps.is("lock"));
        Self {
            tree: map,
            batch,
            out_latency,
        }
    }
}

/// How many there are who are no users, or not at the moment.
pub(super) struct Others {
    /// Who only watch.
    pub(super) observers: usize,
    /// Whose connection was lost, and who may come back.
    pub(super) held: usize,
    /// Who have not logged in.
    pub(super) strangers: usize,
}

/// The whole tree.
pub(super) fn server(
    facts: &Facts,
    name: &str,
    clients: &[ClientFacts],
    others: Others,
    now: Instant,
) -> Value {
    let config = &facts.config;
    let mut map = Value::map();
    let uptime = now.saturating_duration_since(facts.started).as_secs();
    let mut server = tree([
        ("type", "xpra-rs".into()),
        ("mode", "shadow".into()),
        ("version", crate::protocol::VERSION_G6.into()),
        ("uuid", config.uuid.as_str().into()),
        ("pid", std::process::id().into()),
        ("idle-timeout", config.idle_timeout.as_secs().into()),
    ]);
    server.insert(
        "build",
        tree([("software", concat!("xpra-rs ", env!("CARGO_PKG_VERSION")).into())]),
    );
    server.insert("readonly", config.readonly);
    map.insert("server", server);
    map.insert("version", crate::protocol::VERSION_G6);
    map.insert(
        "session",
        tree([("name", name.into()), ("uuid", config.uuid.as_str().into())]),
    );
    map.insert("session_name", name);
    map.insert("session-type", "shadow");
    map.insert("display", facts.screen.name.as_str());
    map.insert("hostname", config.hostname.as_str());
    map.insert("username", config.username.as_str());
    map.insert("elapsed_time", uptime);
    map.insert("load", load());
    map.insert(
        "network",
        tree([
            ("bandwidth-limit", config.bandwidth_limit.into()),
            ("bandwidth-detection", config.bandwidth_detection.into()),
            (
                "sharing",
                config.sharing.map_or_else(|| "auto".into(), Value::from),
            ),
            ("lock", config.lock.map_or_else(|| "auto".into(), Value::from)),
            (
                "sockets",
                facts
                    .doors
                    .iter()
                    .map(|(name, _)| Value::from(name.as_str()))
                    .collect::<Vec<_>>()
                    .into(),
            ),
            ("doors", doors(facts)),
        ]),
    );
    map.insert(
        "clients",
        tree([
            ("", clients.len().into()),
            ("observers", others.observers.into()),
            ("held", others.held.into()),
            ("unauthenticated", others.strangers.into()),
        ]),
    );
    // the graphs of clients look for these at the top (`session.md` 4.4)
    if let [client] = clients {
        map.insert("batch", client.batch.clone());
        map.insert("damage", tree([("out_latency", client.out_latency.clone())]));
    }
    let client = match clients {
        [] => Value::map(),
        [one] => one.tree.clone(),
        several => Value::Map(
            several
                .iter()
                .enumerate()
                .map(|(i, c)| (i.to_string().into(), c.tree.clone()))
                .collect(),
        ),
    };
    map.insert("client", client);
    map
}

/// How the server can be reached, and what has to be passed there.
fn doors(facts: &Facts) -> Value {
    let mut map = Value::map();
    for (name, door) in &facts.doors {
        let modules: Vec<Value> = door.auth.names().map(Value::from).collect();
        let mut about = tree([
            ("authentication", modules.into()),
            ("encryption", door.encryption.is_some().into()),
            ("readonly", door.is_readonly().into()),
            ("http", door.site.is_some().into()),
            ("ssh", door.ssh.is_some().into()),
        ]);
        if let Some(tls) = &door.tls {
            let certificate = tls.certificate();
            let names: Vec<Value> = certificate
                .names
                .iter()
                .map(|name| name.as_str().into())
                .collect();
            about.insert(
                "ssl",
                tree([
                    ("subject", certificate.subject.as_str().into()),
                    ("names", names.into()),
                    ("fingerprint", certificate.fingerprint.to_string().into()),
                    ("days-left", certificate.days_left(wall_clock()).into()),
                ]),
            );
        }
        map.insert(name.as_str(), about);
    }
    map
}

/// The TLS of a connection.
fn tls(facts: &TlsFacts) -> Value {
    let optional = |text: &Option<String>| Value::from(text.as_deref().unwrap_or_default());
    tree([
        ("version", facts.version.as_str().into()),
        ("cipher", facts.cipher.as_str().into()),
        ("alpn", optional(&facts.alpn)),
        ("peer", optional(&facts.peer)),
        ("peer-subject", optional(&facts.peer_subject)),
        ("verified", facts.is_verified.into()),
    ])
}

fn connection_tree(
    link: &LinkInfo,
    kernel: Option<&KernelInfo>,
    connection: &Connection,
    session: &SessionView<'_>,
) -> Value {
    let stats = connection.stats();
    let counts = |types: &std::collections::BTreeMap<compact_str::CompactString, u64>| {
        Value::Map(
            types
                .iter()
                .map(|(name, n)| (name.clone().into(), (*n).into()))
                .collect(),
        )
    };
    let mut map = tree([
        ("type", link.kind.to_string().into()),
        ("endpoint", link.peer.as_str().into()),
        ("local", link.local.as_str().into()),
        ("target", link.target.as_str().into()),
        ("active", true.into()),
    ]);
    if let Some(facts) = &link.tls {
        map.insert("ssl", tls(facts));
    }
    map.insert("private", link.is_private);
    if let Some(username) = &link.username {
        map.insert("username", username.as_str());
    }
    let (compressor, level) = connection
        .encoder()
        .compression()
        .map_or(("none", 0), |(compressor, level)| (compressor.name(), level));
    map.insert("compressor", compressor);
    map.insert("compression_level", level);
    map.insert("encoder", connection.encoder().coding().name());
    map.insert(
        "input",
        tree([
            ("bytecount", stats.bytes_in.into()),
            ("packetcount", stats.packets_in.into()),
            ("count", counts(&stats.received)),
        ]),
    );
    map.insert(
        "output",
        tree([
            ("bytecount", stats.bytes_out.into()),
            ("packetcount", stats.packets_out.into()),
            ("count", counts(&stats.sent)),
        ]),
    );
    map.insert("mmap_bytecount", session.counts.shared);
    map.insert("latency", with_smallest(session.window.latencies()));
    map.insert(
        "client",
        tree([("ping_latency", latencies(connection.keepalive().latencies()))]),
    );
    map.insert(
        "server",
        tree([("ping_latency", latencies(connection.peer_latency()))]),
    );
    let mut socket = Value::map();
    if let Some(unsent) = link.probe.unsent() {
        socket.insert("notsent", unsent);
    }
    if let Some(tcp) = kernel {
        let micros = |d: Duration| Value::from(u64::try_from(d.as_micros()).unwrap_or(u64::MAX));
        let mut info = tree([
            ("rtt", micros(tcp.rtt)),
            ("rttvar", micros(tcp.rtt_variation)),
            ("retransmits", tcp.retransmits.into()),
            ("lost", tcp.lost.into()),
            ("unacked", tcp.unacked.into()),
            ("notsent_bytes", tcp.notsent.into()),
            ("snd_cwnd", tcp.congestion_window.into()),
            ("snd_mss", tcp.segment_size.into()),
        ]);
        tcp.min_rtt
            .into_iter()
            .for_each(|rtt| info.insert("min_rtt", micros(rtt)));
        tcp.delivery_rate
            .into_iter()
            .for_each(|rate| info.insert("delivery_rate", rate));
        socket.insert("tcp_info", info);
    }
    if let Some(peer) = &link.credentials {
        socket.insert(
            "peercred",
            tree([
                ("pid", peer.pid.into()),
                ("uid", peer.uid.into()),
                ("gid", peer.gid.into()),
            ]),
        );
    }
    map.insert("socket", socket);
    map
}

fn damage(session: &SessionView<'_>, out_latency: &Value) -> Value {
    let counts = session.counts;
    let (_, in_flight) = session.window.sizes();
    tree([
        ("packets_sent", counts.draws.into()),
        ("in_latency", latencies(&counts.encode)),
        ("out_latency", out_latency.clone()),
        ("frame-total-latency", latencies(&counts.total)),
        ("client-latency", latencies(session.window.latencies())),
        ("decode-latency", latencies(&counts.decode)),
        // nothing encoded ever waits in a queue of ours
        ("packet_queue", tree([("size", tree([("current", 0.into())]))])),
        ("ack-pending", session.window.pending().into()),
        ("bytes-in-flight", in_flight.into()),
    ])
}

fn shared_memory(session: &SessionView<'_>) -> Value {
    let off = || tree([("enabled", false.into())]);
    let mut map = session.area.cloned().unwrap_or_else(off);
    map.insert("bytes", session.counts.shared);
    map.insert("copied", session.counts.copied);
    map
}

fn bandwidth(session: &SessionView<'_>) -> Value {
    tree([
        ("setting", session.bandwidth_limit.into()),
        ("actual", session.bandwidth_limit.into()),
        ("detection", session.detects.into()),
        ("estimate", session.window.rate().0.saturating_mul(8).into()),
    ])
}

fn encoding(session: &SessionView<'_>) -> Value {
    let counts = session.counts;
    let mut map = tree([
        ("decode_errors", counts.errors.into()),
        ("pixels", counts.pixels.into()),
        ("bytes", counts.bytes.into()),
    ]);
    if let Some(takes) = session.takes {
        map.insert(
            "quality",
            tree([
                ("min", takes.min_quality.into()),
                ("max", takes.max_quality.into()),
            ]),
        );
        map.insert("speed", tree([("cur", takes.speed.into())]));
        map.insert(
            "core",
            Value::List(takes.encodings.iter().map(|e| e.name().into()).collect()),
        );
        map.insert(
            "rgb_formats",
            Value::List(takes.rgb_formats.iter().map(|f| f.name().into()).collect()),
        );
    }
    map
}

fn window(session: &SessionView<'_>) -> Value {
    let (size, in_flight) = session.window.sizes();
    let frames = &session.counts.frames;
    let column = |pick: fn(&(u64, u64)) -> u64| {
        Value::Map(
            frames
                .iter()
                .map(|(name, both)| ((*name).into(), pick(both).into()))
                .collect(),
        )
    };
    let base = session
        .window
        .base()
        .map_or(-1, |base| i64::try_from(base.as_micros()).unwrap_or(-1));
    tree([
        ("size", [session.screen.w, session.screen.h].into()),
        ("mapped", session.mapped.into()),
        ("total_frames", column(|both| both.0)),
        ("total_pixels", column(|both| both.1)),
        (
            "delivery",
            tree([
                ("window", size.into()),
                ("in-flight", in_flight.into()),
                ("base-rtt-us", base.into()),
                ("competing", session.window.is_competing().into()),
            ]),
        ),
    ])
}

/// `cur`, `min`, `max`, `avg` and percentiles of samples, whole milliseconds (`session.md` 4.2).
fn latencies(samples: &Latencies) -> Value {
    statistics(samples, whole)
}

/// The same, each value as `write` writes milliseconds.
pub(super) fn statistics(samples: &Latencies, write: fn(f64) -> Value) -> Value {
    let mut sorted: Vec<f64> = samples.samples().collect();
    sorted.sort_by(f64::total_cmp);
    let (Some(first), Some(last), Some(current)) = (sorted.first(), sorted.last(), samples.last()) else {
        return Value::map();
    };
    #[expect(clippy::cast_precision_loss, reason = "at most a few hundred samples")]
    let average = sorted.iter().sum::<f64>() / sorted.len() as f64;
    let at = |percent: usize| sorted.get(sorted.len() * percent / 100).copied().unwrap_or(*last);
    let values = [
        ("cur", current),
        ("min", *first),
        ("max", *last),
        ("avg", average),
        ("50p", at(50)),
        ("80p", at(80)),
        ("90p", at(90)),
        ("95p", at(95)),
        ("99p", at(99)),
    ];
    tree(values.map(|(key, v)| (key, write(v))))
}

/// The same with the smallest value ever seen, which xpra shows instead of the others.
fn with_smallest(samples: &Latencies) -> Value {
    let mut map = latencies(samples);
    if let Some(smallest) = samples.smallest() {
        map.insert("absmin", whole(smallest));
    }
    map
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds; the cast saturates")]
fn whole(v: f64) -> Value {
    Value::Int(v as i64)
}

/// Load averages times 1000.
fn load() -> Value {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let loads = text
        .split_whitespace()
        .take(3)
        .filter_map(|v| v.parse::<f64>().ok());
    Value::List(loads.map(|v| whole(v * 1000.0)).collect())
}

pub(super) fn tree<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Map(
        pairs
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
    )
}

/// Nested dictionaries as flat dotted keys, for clients that do not ask for nested ones.
pub(super) fn flatten(value: &Value) -> Value {
    let mut flat = Vec::new();
    flatten_into("", value, &mut flat);
    Value::Map(flat)
}

fn flatten_into(prefix: &str, value: &Value, flat: &mut Vec<(Value, Value)>) {
    for (key, value) in value.as_map().unwrap_or_default() {
        let key = key.as_text().unwrap_or_default();
        let path = match (prefix, &*key) {
            ("", key) => key.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, key) => format!("{prefix}.{key}"),
        };
        match value {
            Value::Map(_) => flatten_into(&path, value, flat),
            value => flat.push((path.into(), value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_have_all_their_keys() {
        let mut samples = Latencies::default();
        assert_eq!(with_smallest(&samples), Value::map());
        (1..=10).for_each(|v| samples.add(f64::from(v)));
        let map = with_smallest(&samples);
        let keys = ["cur", "min", "max", "avg", "50p", "80p", "90p", "absmin"];
        let values: Vec<_> = keys
            .iter()
            .map(|k| map.get(k).and_then(Value::as_int).unwrap())
            .collect();
        assert_eq!(values, [10, 1, 10, 5, 6, 9, 10, 1]);
    }

    #[test]
    fn flat_keys_have_dots() {
        let nested = tree([("a", tree([("b", 1.into()), ("", 2.into())])), ("c", 3.into())]);
        let expected = Value::Map(vec![
            ("a.b".into(), 1.into()),
            ("a".into(), 2.into()),
            ("c".into(), 3.into()),
        ]);
        assert_eq!(flatten(&nested), expected);
    }
}
