use super::*;
use crate::codec::Value;
use std::time::Duration;

fn tree<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Map(pairs.into_iter().map(|(k, v)| (Value::from(k), v)).collect())
}

fn bytes(direction: &str, bytes: u64) -> Value {
    tree([(direction, tree([("bytecount", bytes.into())]))])
}

/// As 3.1 tells of its only client.
fn xpra3(sent: u64) -> Value {
    let client = tree([
        ("uuid", "u".into()),
        ("hostname", "a\"b\\c\nd".into()),
        ("elapsed_time", 10.into()),
        ("connection", bytes("output", sent)),
        (
            "damage",
            tree([
                ("frame-total-latency", 12_365_219.into()),
                ("in_latency", tree([("avg", 11.into()), ("90p", 12.into())])),
            ]),
        ),
        (
            "window",
            tree([(
                "1",
                tree([
                    ("dimensions", vec![800, 600].into()),
                    ("total_frames", tree([("jpeg", 3.into())])),
                    ("total_pixels", tree([("jpeg", 999.into())])),
                ]),
            )]),
        ),
    ]);
    tree([("client", client), ("version", "3.1.3".into())])
}

fn read(info: &Value, seconds: u64) -> Sample {
    Sample::read(info, Duration::from_secs(seconds), "me")
}

#[test]
fn what_3_1_tells_is_understood_and_its_mistakes_are_not() {
    let sample = read(&xpra3(1000), 0);
    let client = &sample.clients[0];
    assert_eq!(client.metric("sent"), Some(1000.0));
    assert_eq!(client.spread("encode").unwrap().get("90p"), Some(12.0));
    assert_eq!(
        client.spread("picture-latency"),
        None,
        "longer than the connection is old"
    );
    let missing: Vec<_> = client.missing().map(|metric| metric.key).collect();
    assert!(missing.contains(&"picture-latency") && missing.contains(&"tcp-rtt"));
    assert_eq!(client.fact("hostname"), Some("a\"b\\cd"), "no control characters");
    let window = &client.windows[0];
    assert_eq!(
        (window.size, window.encodings["jpeg"]),
        (Some((800, 600)), (3, 999))
    );
}

#[test]
fn clients_are_found_where_each_generation_has_them_and_the_observer_is_left_out() {
    let one = |uuid: &str, sent: u64| {
        tree([
            ("uuid", uuid.into()),
            ("window", tree([("connection", bytes("output", sent))])),
        ])
    };
    let several = tree([(
        "client",
        tree([("0", one("a", 1)), ("1", one("me", 2)), ("2", one("b", 3))]),
    )]);
    let sample = read(&several, 0);
    let sent: Vec<_> = sample.clients.iter().map(|c| c.metric("sent")).collect();
    assert_eq!(sent, [Some(1.0), Some(3.0)]);
    assert_eq!(read(&Value::map(), 0).clients, []);
    assert_eq!(read(&Value::from("nonsense"), 0).clients, []);
}

#[test]
fn rates_are_differences_unless_the_server_tells_them() {
    let mut history = History::new(3);
    let rate = |history: &mut History, sent, at| {
        history.push(read(&xpra3(sent), at));
        history.last().unwrap().clients[0].metric("send-rate")
    };
    assert_eq!(rate(&mut history, 1000, 0), None);
    assert_eq!(rate(&mut history, 5000, 2), Some(2000.0));
    assert_eq!(rate(&mut history, 6000, 2), None, "the same moment");
    assert_eq!(rate(&mut history, 100, 3), None, "another connection");
    assert_eq!(history.len(), 3);
    assert_eq!(history.span(), (2.0, 3.0));
    let series = history.series("1", Reading::Metric("sent"), 0.0);
    assert_eq!(series, [(2.0, 5000.0), (2.0, 6000.0), (3.0, 100.0)]);
}

#[test]
fn means_are_of_the_time_between_two_samples() {
    let told = |count: i64, sum: i64| {
        let wait = tree([("avg", 7.into()), ("count", count.into()), ("sum", sum.into())]);
        let network = tree([("path", tree([("wait", wait)]))]);
        tree([("client", tree([("uuid", "u".into()), ("network", network)]))])
    };
    let reading = Reading::Spread("wait", "recent");
    let mut history = History::new(9);
    for (second, (count, sum)) in [(10, 100), (14, 120), (14, 120), (3, 9)].into_iter().enumerate() {
        history.push(read(&told(count, sum), second as u64));
    }
    assert_eq!(
        history.series("1", reading, 0.0),
        [(1.0, 5.0)],
        "nothing new, and another connection"
    );
    // one that is not counted
    history.push(read(&xpra3(0), 9));
    let client = &history.last().unwrap().clients[0];
    assert_eq!(Reading::Spread("encode", "recent").of(client), Some(11.0));
}

#[test]
fn scales_end_at_round_numbers_of_what_is_shown() {
    let end = |unit: Unit, most: f64| unit.show(unit.end_of_scale(most));
    assert_eq!(end(Unit::Bytes, 60_000.0), "100 KiB");
    assert_eq!(end(Unit::Bytes, 0.0), "1 B");
    assert_eq!(end(Unit::BytesPerSecond, 1_200_000.0), "10 Mbit/s");
    assert_eq!(end(Unit::Milliseconds, 123.0), "200 ms");
}

#[test]
fn thousands_of_windows_are_counted_and_some_shown() {
    let windows = (1..5000).map(|id: i64| (Value::from(id.to_string()), Value::map()));
    let client = tree([("uuid", "u".into()), ("window", Value::Map(windows.collect()))]);
    let sample = read(&tree([("client", client)]), 0);
    assert_eq!(sample.clients[0].window_count, 4999);
    assert!(sample.clients[0].windows.len() < 100);
}

#[test]
fn graphs_name_what_there_is() {
    for line in GRAPHS.iter().flat_map(|graph| graph.lines) {
        let table = match line.reading {
            Reading::Metric(_) => METRICS,
            Reading::Spread(..) => SPREADS,
        };
        let key = line.reading.path()[1];
        assert!(table.iter().any(|metric| metric.key == key), "{key}");
    }
    let mut keys: Vec<_> = METRICS.iter().chain(SPREADS).map(|metric| metric.key).collect();
    keys.sort_unstable();
    let all = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), all, "a key is there twice");
}

#[test]
fn values_for_people() {
    let shown = [
        Unit::BytesPerSecond.show(1_562_500.0),
        Unit::BytesPerSecond.show(0.0),
        Unit::Bytes.show(65536.0),
        Unit::Milliseconds.show(0.042),
        Unit::Milliseconds.show(123.4),
        Unit::Milliseconds.show(25_000.0),
        Unit::Count.show(12.0),
        Unit::Count.show(1_234_567.0),
    ];
    let expected = [
        "12.5 Mbit/s",
        "0 bit/s",
        "64 KiB",
        "0.04 ms",
        "123 ms",
        "25 s",
        "12",
        "1.23 M",
    ];
    assert_eq!(shown, expected);
    assert_eq!([0.0, 1.0, 1.1, 4.2, 70.0].map(nice), [1.0, 1.0, 2.0, 5.0, 100.0]);
}

#[test]
fn the_exposition_has_each_family_once_and_escapes() {
    let text = exposition(&read(&xpra3(1000), 0));
    assert!(
        text.contains("xpra_client_sent_bytes_total{client=\"1\"} 1000\n"),
        "{text}"
    );
    assert!(text.contains("hostname=\"a\\\"b\\\\cd\""), "{text}");
    assert!(text.contains("xpra_client_encode_seconds{client=\"1\",quantile=\"0.9\"} 0.012\n"));
    assert!(
        text.contains("xpra_client_encoded_pixels_total{client=\"1\",window=\"1\",encoding=\"jpeg\"} 999\n")
    );
    let mut families: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let all = families.len();
    families.sort_unstable();
    families.dedup();
    assert_eq!(families.len(), all);
    assert!(text.ends_with('\n'));
}

#[test]
fn a_picture_is_xml_with_all_graphs() {
    let mut history = History::new(10);
    (0..5).for_each(|i| history.push(read(&xpra3(i * 1000), i)));
    let text = svg(&history, "1", "a < b & c");
    assert_eq!(text.matches("class=\"g\"").count(), GRAPHS.len());
    assert!(
        text.contains("a &lt; b &amp; c") && text.contains("not told") && text.contains("out 8 kbit/s"),
        "{text}"
    );
    assert!(!text.contains("NaN"));
}
