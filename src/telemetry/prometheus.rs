//! The text exposition format 0.0.4 of Prometheus.

use super::metrics::{METRICS, Metric, PERCENTILES, SPREADS, Unit};
use super::sample::{Client, Sample};
use std::fmt::Write as _;

/// All that is known, in base units: bytes and seconds. Each family is told once, with a line for each client.
pub fn exposition(sample: &Sample) -> String {
    let mut out = String::new();
    let server = labels(
        sample
            .server
            .iter()
            .filter(|fact| !matches!(fact.key, "clients" | "observers" | "load"))
            .map(|fact| (fact.key, fact.text.as_str())),
    );
    family(&mut out, "xpra_server_info", "gauge", "What the server is.");
    line(&mut out, "xpra_server_info", &server, 1.0);
    if let Some(uptime) = sample.uptime {
        family(
            &mut out,
            "xpra_uptime_seconds",
            "gauge",
            "How long the server has been running.",
        );
        line(&mut out, "xpra_uptime_seconds", "", uptime);
    }
    family(&mut out, "xpra_clients", "gauge", "Clients that use the session.");
    #[expect(clippy::cast_precision_loss, reason = "a handful of clients")]
    line(&mut out, "xpra_clients", "", sample.clients.len() as f64);
    if sample.clients.is_empty() {
        return out;
    }
    family(
        &mut out,
        "xpra_client_info",
        "gauge",
        "What a client is, and how it is connected.",
    );
    const ABOUT: [&str; 6] = [
        "type",
        "client-version",
        "username",
        "hostname",
        "transport",
        "tls-version",
    ];
    for client in &sample.clients {
        let about = client.facts.iter().filter(|fact| ABOUT.contains(&fact.key));
        let about = about.map(|fact| (fact.key, fact.text.as_str()));
        let labels = labels([("client", client.id.as_str())].into_iter().chain(about));
        line(&mut out, "xpra_client_info", &labels, 1.0);
    }
    for metric in METRICS {
        single(&mut out, metric, &sample.clients);
    }
    for metric in SPREADS {
        summary(&mut out, metric, &sample.clients);
    }
    for (name, help, pick) in [
        (
            "xpra_client_encoded_pictures_total",
            "Pictures by encoding.",
            true,
        ),
        ("xpra_client_encoded_pixels_total", "Pixels by encoding.", false),
    ] {
        encodings(&mut out, name, help, pick, &sample.clients);
    }
    out
}

fn single(out: &mut String, metric: &Metric, clients: &[Client]) {
    let mut known = clients
        .iter()
        .filter_map(|client| Some((client, client.metric(metric.key)?)))
        .peekable();
    if known.peek().is_none() {
        return;
    }
    let total = if metric.is_counter { "_total" } else { "" };
    let name = format!("{}{total}", name(metric));
    let kind = if metric.is_counter { "counter" } else { "gauge" };
    family(out, &name, kind, metric.help);
    for (client, value) in known {
        let value = if metric.unit == Unit::Milliseconds {
            value / 1e3
        } else {
            value
        };
        line(out, &name, &of(client, &[]), value);
    }
}

fn summary(out: &mut String, metric: &Metric, clients: &[Client]) {
    // servers that do not tell how many there were have no summary, but numbers all the same
    let mut known = clients
        .iter()
        .filter_map(|client| Some((client, client.spread(metric.key)?)))
        .peekable();
    if known.peek().is_none() {
        return;
    }
    let name = name(metric);
    family(out, &name, "summary", metric.help);
    for (client, spread) in known {
        for (key, quantile) in PERCENTILES {
            if let Some(value) = spread.get(key) {
                let labels = of(client, &[("quantile", &quantile.to_string())]);
                line(out, &name, &labels, value / 1e3);
            }
        }
        if let (Some(count), Some(sum)) = (spread.get("count"), spread.get("sum")) {
            line(out, &format!("{name}_sum"), &of(client, &[]), sum / 1e3);
            line(out, &format!("{name}_count"), &of(client, &[]), count);
        }
    }
}

fn encodings(out: &mut String, name: &str, help: &str, frames: bool, clients: &[Client]) {
    let windows = clients
        .iter()
        .flat_map(|client| client.windows.iter().map(move |window| (client, window)));
    let mut counts = windows
        .flat_map(|(client, window)| {
            let counts = window.encodings.iter();
            counts.map(move |(encoding, both)| (client, &window.id, encoding, both))
        })
        .peekable();
    if counts.peek().is_none() {
        return;
    }
    family(out, name, "counter", help);
    for (client, window, encoding, both) in counts {
        let labels = of(client, &[("window", window), ("encoding", encoding)]);
        #[expect(clippy::cast_precision_loss, reason = "Prometheus has nothing but floats")]
        line(out, name, &labels, if frames { both.0 } else { both.1 } as f64);
    }
}

fn name(metric: &Metric) -> String {
    let key = metric.key.replace('-', "_");
    format!("xpra_client_{key}{}", metric.unit.suffix())
}

fn of(client: &Client, more: &[(&str, &str)]) -> String {
    labels(
        [("client", client.id.as_str())]
            .into_iter()
            .chain(more.iter().copied()),
    )
}

/// `{name="value",...}`; nothing when there are none.
fn labels<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        text.push(if text.is_empty() { '{' } else { ',' });
        text.push_str(&name.replace('-', "_"));
        text.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    if !text.is_empty() {
        text.push('}');
    }
    text
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    let _infallible = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &str, value: f64) {
    let _infallible = writeln!(out, "{name}{labels} {value}");
}
