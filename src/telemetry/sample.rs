//! [`Sample`]: what `info` said at one moment.

use super::metrics::{METRICS, Metric, PERCENTILES, SPREADS};
use crate::codec::Value;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// A server and its clients at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Since watching began.
    pub at: Duration,
    /// About the server.
    pub server: Vec<Fact>,
    /// How long it has been running.
    pub uptime: Option<f64>,
    /// Those who use the session.
    pub clients: Vec<Client>,
}

/// Something that is not a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its name in JSON.
    pub key: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What it is.
    pub text: String,
}

/// Somebody who uses the session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Client {
    /// Unique as long as it stays.
    pub id: String,
    /// About it and its connection.
    pub facts: Vec<Fact>,
    metrics: BTreeMap<&'static str, f64>,
    spreads: BTreeMap<&'static str, Spread>,
    /// Its windows, or as many as are shown.
    pub windows: Vec<Window>,
    /// How many windows there are.
    pub window_count: usize,
}

/// How samples are spread: `cur`, `min`, `max`, `avg` and percentiles as in `info`, in milliseconds; of all there ever
/// were `count` and `sum`; and `recent`, the mean since the sample before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread(BTreeMap<&'static str, f64>);

/// A window of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// As the wire numbers it.
    pub id: String,
    /// Width and height.
    pub size: Option<(i64, i64)>,
    /// How its pixels are coded, as far as that is settled.
    pub encoding: Option<String>,
    /// Pictures and pixels by encoding.
    pub encodings: BTreeMap<String, (i64, i64)>,
}

/// Windows of a client that are read: a seamless session may have thousands.
const MAX_WINDOWS: usize = 64;
/// Clients and encodings, and letters of a text.
const MAX_ITEMS: usize = 64;
const MAX_TEXT: usize = 200;

/// The numbers of a spread.
const NUMBERS: [&str; 6] = ["cur", "min", "max", "avg", "count", "sum"];

/// Key, title and paths below the root.
const SERVER_FACTS: &[(&str, &str, &[&str])] = &[
    ("software", "Server", &["server.build.software", "server.type"]),
    (
        "version",
        "Protocol version",
        &[
            "server.version",
            "version",
            "server.build.version",
            "build.version",
        ],
    ),
    ("mode", "Mode", &["server.mode", "session-type"]),
    ("session", "Session", &["session.name", "session_name"]),
    (
        "display",
        "Display",
        &["display.name", "server.display", "display"],
    ),
    ("hostname", "Host", &["hostname", "server.hostname"]),
    ("clients", "Clients", &["clients"]),
    ("observers", "Observers", &["clients.observers"]),
    ("load", "Load", &["load"]),
];

/// The same below a client.
const CLIENT_FACTS: &[(&str, &str, &[&str])] = &[
    ("type", "Client", &["type", "client_type"]),
    ("client-version", "Client version", &["version"]),
    ("username", "User", &["username", "user"]),
    ("hostname", "Client host", &["hostname"]),
    (
        "transport",
        "Transport",
        &["network.transport", "connection.type"],
    ),
    ("peer", "Peer", &["connection.endpoint", "connection.remote"]),
    ("local", "Local", &["connection.local"]),
    ("private", "Encrypted", &["connection.private"]),
    (
        "tls-version",
        "TLS",
        &["connection.ssl.version", "connection.socket.ssl.version"],
    ),
    (
        "tls-cipher",
        "TLS cipher",
        &["connection.ssl.cipher", "connection.socket.ssl.cipher"],
    ),
    ("tls-alpn", "TLS ALPN", &["connection.ssl.alpn"]),
    (
        "tls-peer",
        "TLS client certificate",
        &["connection.ssl.peer-subject"],
    ),
    ("encoder", "Packet encoder", &["connection.encoder"]),
    ("compressor", "Compressor", &["connection.compressor"]),
    ("cipher", "AES cipher", &["connection.output.cipher"]),
    ("shared-memory", "Shared memory", &["mmap.enabled"]),
    (
        "shared-memory-file",
        "Shared memory file",
        &["mmap.filename", "mmap.write.file"],
    ),
    ("app-limited", "TCP limited by us", &["network.tcp.app-limited"]),
    ("connected", "Connected, s", &["elapsed_time", "connection_time"]),
    ("idle", "Idle, s", &["idle_time"]),
    ("encodings", "Encodings", &["encoding.core", "encodings.core"]),
];

impl Sample {
    /// Reads a tree of `info`, nested. The client with the uuid `observer` is who asks, and left out.
    pub fn read(info: &Value, at: Duration, observer: &str) -> Self {
        let clients = clients(info).into_iter().filter(|(_, tree)| {
            let uuid = find(tree, "uuid").and_then(Value::as_text);
            observer.is_empty() || uuid.as_deref() != Some(observer)
        });
        Self {
            at,
            server: facts(info, SERVER_FACTS),
            uptime: number(info, &["elapsed_time", "server.elapsed_time"]),
            clients: clients
                .take(MAX_ITEMS)
                .map(|(id, tree)| Client::read(id, tree))
                .collect(),
        }
    }

    /// The client of that id.
    pub fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == id)
    }

    /// One object: `time` in seconds since watching began, `server`, `uptime` in seconds, and `clients`, each with its
    /// facts, `metrics` (bytes, bytes a second, milliseconds), `latencies` (milliseconds), `windows`, and `missing`:
    /// what this server does not tell.
    pub fn to_json(&self) -> Json {
        json!({
            "time": self.at.as_secs_f64(),
            "uptime": self.uptime,
            "server": Json::Object(object(&self.server)),
            "clients": self.clients.iter().map(Client::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Client {
    fn read(id: String, tree: &Value) -> Self {
        // milliseconds: a latency of more than the connection's age is a mistake (3.1 makes it before the first one)
        let age = number(tree, &["elapsed_time"]).map_or(f64::INFINITY, |seconds| (seconds + 1.0) * 1e3);
        let metrics = METRICS
            .iter()
            .filter_map(|metric| Some((metric.key, number(tree, metric.paths)?)));
        let spreads = SPREADS
            .iter()
            .filter_map(|metric| Some((metric.key, Spread::read(tree, metric.paths, age)?)));
        let windows = windows(tree);
        let mut client = Self {
            id,
            facts: facts(tree, CLIENT_FACTS),
            metrics: metrics.collect(),
            spreads: spreads.collect(),
            window_count: windows.len(),
            windows: windows.into_iter().take(MAX_WINDOWS).collect(),
        };
        // that limit is told in bits
        if let Some(bits) = client.metric("bandwidth-limit") {
            client.set("bandwidth-limit", bits / 8.0);
        }
        client
    }

    /// The value of a [metric](METRICS).
    pub fn metric(&self, key: &str) -> Option<f64> {
        self.metrics.get(key).copied()
    }

    pub(super) fn set(&mut self, key: &'static str, value: f64) {
        self.metrics.insert(key, value);
    }

    /// A [spread](SPREADS).
    pub fn spread(&self, key: &str) -> Option<&Spread> {
        self.spreads.get(key)
    }

    pub(super) fn spreads_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Spread)> {
        self.spreads.iter_mut().map(|(key, spread)| (*key, spread))
    }

    /// What a fact says, by its key.
    pub fn fact(&self, key: &str) -> Option<&str> {
        let fact = self.facts.iter().find(|fact| fact.key == key)?;
        Some(&fact.text)
    }

    /// What this server does not tell of the client.
    pub fn missing(&self) -> impl Iterator<Item = &'static Metric> + '_ {
        let metrics = METRICS.iter().filter(|metric| self.metric(metric.key).is_none());
        let spreads = SPREADS.iter().filter(|metric| self.spread(metric.key).is_none());
        metrics.chain(spreads)
    }

    fn to_json(&self) -> Json {
        let mut map = Map::new();
        map.insert("id".to_owned(), self.id.as_str().into());
        map.extend(object(&self.facts));
        map.insert("metrics".to_owned(), json!(self.metrics));
        let spreads = self
            .spreads
            .iter()
            .map(|(key, spread)| ((*key).to_owned(), json!(spread.0)));
        map.insert("latencies".to_owned(), Json::Object(spreads.collect()));
        map.insert("window-count".to_owned(), self.window_count.into());
        let windows = self.windows.iter().map(Window::to_json);
        map.insert("windows".to_owned(), windows.collect());
        map.insert(
            "missing".to_owned(),
            self.missing().map(|metric| metric.key).collect(),
        );
        Json::Object(map)
    }
}

impl Spread {
    fn read(tree: &Value, paths: &[&str], most: f64) -> Option<Self> {
        let found = paths.iter().find_map(|path| find(tree, path))?;
        let sane = |value: f64| (0.0..=most).contains(&value).then_some(value);
        let numbers: BTreeMap<_, _> = match found {
            Value::Map(_) => {
                let keys = NUMBERS.into_iter().chain(PERCENTILES.map(|(key, _)| key));
                keys.filter_map(|key| {
                    let value = found.get(key)?.as_float()?;
                    let is_total = matches!(key, "count" | "sum");
                    Some((key, if is_total { Some(value) } else { sane(value) }?))
                })
                .collect()
            }
            // xpra tells the mean of some alone
            value => [("avg", sane(value.as_float()?)?)].into(),
        };
        (!numbers.is_empty()).then_some(Self(numbers))
    }

    pub(super) fn set(&mut self, which: &'static str, value: f64) {
        self.0.insert(which, value);
    }

    /// One of the numbers.
    pub fn get(&self, which: &str) -> Option<f64> {
        self.0.get(which).copied()
    }
}

impl Window {
    fn read(id: String, tree: &Value) -> Self {
        let pair = |value: &Value| match value.as_list()? {
            [w, h, ..] => Some((w.as_int()?, h.as_int()?)),
            _ => None,
        };
        let mut encodings = BTreeMap::<String, (i64, i64)>::new();
        for (path, is_frames) in [("total_frames", true), ("total_pixels", false)] {
            let counts = find(tree, path).and_then(Value::as_map).unwrap_or_default();
            for (name, count) in counts.iter().take(MAX_ITEMS) {
                let entry = encodings.entry(text(name)).or_default();
                let count = count.as_int().unwrap_or(0);
                if is_frames {
                    entry.0 = count;
                } else {
                    entry.1 = count;
                }
            }
        }
        let size = ["size", "dimensions"];
        Self {
            id,
            size: size.into_iter().find_map(|path| pair(find(tree, path)?)),
            encoding: find(tree, "encoding")
                .filter(|value| value.as_map().is_none() || value.get("").is_some())
                .map(text),
            encodings,
        }
    }

    fn to_json(&self) -> Json {
        let encodings = self.encodings.iter().map(|(name, (frames, pixels))| {
            let counts = json!({"frames": frames, "pixels": pixels});
            (name.clone(), counts)
        });
        json!({
            "id": self.id,
            "size": self.size.map(|(w, h)| [w, h]),
            "encoding": self.encoding,
            "encodings": Json::Object(encodings.collect()),
        })
    }
}

/// Where the clients are: `client.*` for the only one of 3.1 and of ours, else `client.N.*`.
fn clients(info: &Value) -> Vec<(String, &Value)> {
    let Some(tree) = info.get("client") else {
        return Vec::new();
    };
    if tree.get("connection").is_some() || tree.get("uuid").is_some() {
        let id = tree.get("id").or_else(|| tree.get("counter"));
        return vec![(id.map_or_else(|| "1".to_owned(), text), tree)];
    }
    let numbered = tree.as_map().unwrap_or_default().iter();
    let maps = numbered.filter(|(_, value)| value.as_map().is_some_and(|map| !map.is_empty()));
    maps.map(|(key, value)| {
        let id = value.get("id").or_else(|| value.get("counter"));
        (text(id.unwrap_or(key)), value)
    })
    .collect()
}

/// `window.WID` up to 6.5, `window.windows.WID` in 6.6.
fn windows(client: &Value) -> Vec<Window> {
    let tree = find(client, "window.windows").or_else(|| client.get("window"));
    let maps = tree.and_then(Value::as_map).unwrap_or_default().iter();
    let numbered = maps.filter_map(|(key, value)| {
        let id = text(key);
        let is_window = id.bytes().all(|byte| byte.is_ascii_digit()) && value.as_map().is_some();
        is_window.then(|| Window::read(id, value))
    });
    numbered.collect()
}

fn facts(tree: &Value, table: &'static [(&str, &str, &[&str])]) -> Vec<Fact> {
    let known = table.iter().filter_map(|(key, title, paths)| {
        let value = paths.iter().find_map(|path| find(tree, path))?;
        let text = text(value);
        (!text.is_empty()).then_some(Fact { key, title, text })
    });
    known.collect()
}

fn object(facts: &[Fact]) -> Map<String, Json> {
    let pairs = facts
        .iter()
        .map(|fact| (fact.key.to_owned(), fact.text.as_str().into()));
    pairs.collect()
}

fn number(tree: &Value, paths: &[&str]) -> Option<f64> {
    let mut found = paths.iter().filter_map(|path| find(tree, path));
    found.find_map(Value::as_float).filter(|value| value.is_finite())
}

/// The value at a dotted path; in 6.6 a client's statistics are below `window`.
fn find<'a>(tree: &'a Value, path: &str) -> Option<&'a Value> {
    let descend = |tree: &'a Value| path.split('.').try_fold(tree, |tree, key| tree.get(key));
    descend(tree).or_else(|| descend(tree.get("window")?))
}

/// A value in one line; of a dictionary, the value it has itself.
fn text(value: &Value) -> String {
    let text = match value {
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Int(v) => v.to_string(),
        Value::Float(v) => v.to_string(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().take(MAX_ITEMS).map(text).collect();
            items.join(" ")
        }
        Value::Map(_) => value.get("").map_or_else(String::new, text),
        value => value.as_text().unwrap_or_default().into_owned(),
    };
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(MAX_TEXT).collect()
}
