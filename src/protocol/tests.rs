//! Two connections back to back, with a clock moved by hand.

mod challenge;
mod encryption;

use super::reason;
use super::*;
use crate::codec::{Coding, Dialect, Encoder, Value};
use crate::packet::{Capabilities, Packet};
use compact_str::CompactString;
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const BOTH: [Dialect; 2] = [Dialect::G3, Dialect::G6];

/// A client, a server, and the network between them.
struct Pair {
    client: Connection,
    server: Connection,
    now: Instant,
    /// Bytes delivered at a time.
    piece: usize,
}

impl Pair {
    fn new(dialect: Dialect) -> Self {
        let config = ConnectionConfig::default();
        Self::with(dialect, &config, &config)
    }

    fn with(dialect: Dialect, client: &ConnectionConfig, server: &ConnectionConfig) -> Self {
        let now = Instant::now();
        Self {
            client: Connection::client(client, dialect, Capabilities::default(), now),
            server: Connection::server(server, now),
            now,
            piece: usize::MAX,
        }
    }

    /// A pair that has said hello.
    fn established(dialect: Dialect) -> Self {
        let mut pair = Self::new(dialect);
        let (client, server) = pair.settle();
        assert!(client.is_empty());
        assert!(matches!(&server[..], [Event::Hello(_)]), "{server:?}");
        pair.server.accept(Capabilities::default(), pair.now);
        let (client, server) = pair.settle();
        assert!(matches!(&client[..], [Event::Hello(_)]), "{client:?}");
        assert!(server.is_empty());
        pair
    }

    /// Delivers what there is until there is nothing more; gives what the client and the server were told.
    fn settle(&mut self) -> (Vec<Event>, Vec<Event>) {
        let (mut client, mut server) = (Vec::new(), Vec::new());
        loop {
            let before = (self.client.stats().bytes_in, self.server.stats().bytes_in);
            let sent = take(&mut self.client);
            server.extend(feed(&mut self.server, &sent, self.piece, self.now));
            let sent = take(&mut self.server);
            client.extend(feed(&mut self.client, &sent, self.piece, self.now));
            if before == (self.client.stats().bytes_in, self.server.stats().bytes_in) {
                return (client, server);
            }
        }
    }

    /// Lets time pass, waking both ends when they asked for it.
    fn pass(&mut self, time: Duration) -> (Vec<Event>, Vec<Event>) {
        let end = self.now + time;
        let (mut client, mut server) = self.settle();
        loop {
            let deadlines = [self.client.deadline(), self.server.deadline()];
            let Some(next) = deadlines.into_iter().flatten().min().filter(|at| *at <= end) else {
                self.now = end;
                return (client, server);
            };
            self.now = self.now.max(next);
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
            let (more_client, more_server) = self.settle();
            client.extend(more_client);
            server.extend(more_server);
        }
    }
}

/// What a connection has to write, all at once.
fn take(connection: &mut Connection) -> Vec<u8> {
    let mut taken = Vec::new();
    loop {
        let out: Vec<_> = connection.transmit().drain(..).collect();
        if out.is_empty() {
            connection.transmitted(taken.len());
            return taken;
        }
        taken.extend(out.iter().flatten());
    }
}

/// Gives bytes to a connection and takes its events.
fn feed(connection: &mut Connection, bytes: &[u8], piece: usize, now: Instant) -> Vec<Event> {
    let mut events = Vec::new();
    for bytes in bytes.chunks(piece) {
        connection.read_buf().extend_from_slice(bytes);
        connection.received(bytes.len());
        events.extend(std::iter::from_fn(|| connection.poll_event(now)));
    }
    events.extend(std::iter::from_fn(|| connection.poll_event(now)));
    events
}

/// The records of a packet made by hand.
fn records(dialect: Dialect, items: &[Value]) -> Vec<u8> {
    let coding = match dialect {
        Dialect::G3 => Coding::Rencode,
        Dialect::G6 => Coding::Rencodeplus,
    };
    let mut out = std::collections::VecDeque::new();
    Encoder::new(coding).encode(items, false, &mut out).unwrap();
    out.iter().flatten().copied().collect()
}

fn hello(dialect: Dialect, capabilities: &[(&str, Value)]) -> Vec<u8> {
    let mut map = Value::map();
    map.insert("encoders", vec!["rencodeplus", "rencode"]);
    for (key, value) in capabilities {
        map.insert(*key, value.clone());
    }
    records(dialect, &["hello".into(), map])
}

fn new_server() -> (Connection, Instant) {
    let now = Instant::now();
    (Connection::server(&ConnectionConfig::default(), now), now)
}

fn disconnected(reason: &str, details: &[&str]) -> Event {
    Event::Closed(CloseReason::Disconnected {
        reason: reason.into(),
        details: details
            .iter()
            .map(|detail| CompactString::from(*detail))
            .collect(),
    })
}

fn bell(id: u64) -> Packet {
    Packet::Bell {
        id,
        percent: 100,
        pitch: 440,
        duration: 10,
    }
}

#[test]
fn hellos_meet_in_both_dialects() {
    for dialect in BOTH {
        for piece in [usize::MAX, 7, 1] {
            let mut pair = Pair::new(dialect);
            pair.piece = piece;
            let (_, server) = pair.settle();
            let [Event::Hello(caps)] = &server[..] else {
                panic!("{server:?}");
            };
            assert_eq!(pair.server.dialect(), dialect);
            let version = if dialect == Dialect::G3 {
                VERSION_G3
            } else {
                VERSION_G6
            };
            assert_eq!(caps.text("version").unwrap(), version);
            let mut answer = Capabilities::default();
            answer.set("display", ":7");
            pair.server.accept(answer, pair.now);
            let (client, _) = pair.settle();
            let [Event::Hello(caps)] = &client[..] else {
                panic!("{client:?}");
            };
            assert_eq!(caps.text("display").unwrap(), ":7");
            assert_eq!(pair.client.dialect(), dialect);
        }
    }
}

#[test]
fn packets_arrive_in_order_however_the_bytes_come() {
    for dialect in BOTH {
        for piece in [usize::MAX, 1] {
            let mut pair = Pair::established(dialect);
            pair.piece = piece;
            let large = Packet::Screenshot {
                size: crate::types::Size::new(1, 1),
                encoding: "png".into(),
                rowstride: -1,
                data: vec![5; 100_000].into(),
            };
            let packets = [bell(1), large, bell(2), Packet::StartupComplete];
            packets.iter().for_each(|packet| pair.server.send(packet.clone()));
            pair.client.send(Packet::ShutdownServer);
            let (client, server) = pair.settle();
            assert_eq!(client, packets.map(Event::Packet));
            assert_eq!(server, [Event::Packet(Packet::ShutdownServer)]);
        }
    }
}

#[test]
fn a_refusal_is_shown_and_the_other_dialect_may_follow() {
    let text = b"disconnect: connection failed, failed to parse bencode packet\n";
    let shown = "disconnect: connection failed, failed to parse bencode packet";
    for piece in [usize::MAX, 1] {
        let mut pair = Pair::new(Dialect::G6);
        let events = feed(&mut pair.client, text, piece, pair.now);
        assert_eq!(events, [Event::Closed(CloseReason::Refused(shown.into()))]);
        assert!(pair.client.is_closed() && !pair.client.wants_read());
        Pair::established(Dialect::G3);
    }
}

#[test]
fn a_refusal_without_an_end_is_shown_at_the_end_of_the_stream() {
    let mut pair = Pair::new(Dialect::G6);
    let text = b"disconnect: not\x1b[31m today";
    assert_eq!(feed(&mut pair.client, text, 3, pair.now), []);
    pair.client.received_eof();
    let reason = CloseReason::Refused("disconnect: not[31m today".into());
    assert_eq!(pair.client.poll_event(pair.now), Some(Event::Closed(reason)));
    assert_eq!(pair.client.poll_event(pair.now), None);
}

#[test]
fn an_endless_refusal_is_cut() {
    let mut pair = Pair::new(Dialect::G6);
    let events = feed(&mut pair.client, &[b'x'; 100_000], 1000, pair.now);
    let [Event::Closed(CloseReason::Refused(text))] = &events[..] else {
        panic!("{events:?}");
    };
    assert!(text.len() <= 8192, "{}", text.len());
}

#[test]
fn silence_before_the_hello_ends_at_the_login_timeout() {
    let (mut server, now) = new_server();
    assert_eq!(server.deadline(), Some(now + 20 * SECOND));
    server.handle_timeout(now + 19 * SECOND);
    assert_eq!(server.poll_event(now), None);
    server.handle_timeout(now + 20 * SECOND);
    let closed = Event::Closed(CloseReason::TimedOut(TimedOut::Login));
    assert_eq!(server.poll_event(now), Some(closed.clone()));
    assert!(!server.is_closed());
    assert_eq!(take(&mut server), b"disconnect: login timeout\n");
    assert!(server.is_closed());

    let mut pair = Pair::new(Dialect::G6);
    take(&mut pair.client);
    pair.client.handle_timeout(pair.now + 20 * SECOND);
    assert_eq!(pair.client.poll_event(pair.now), Some(closed));
    assert_eq!(take(&mut pair.client), b"");
}

#[test]
fn an_undecided_server_times_out_too() {
    let mut pair = Pair::new(Dialect::G6);
    pair.settle();
    let (client, server) = pair.pass(21 * SECOND);
    assert_eq!(server, [Event::Closed(CloseReason::TimedOut(TimedOut::Login))]);
    assert!(
        matches!(&client[..], [Event::Silent, Event::Closed(_)]),
        "{client:?}"
    );
}

#[test]
fn pings_are_echoed_and_measure() {
    for dialect in BOTH {
        let mut pair = Pair::established(dialect);
        assert_eq!(pair.pass(600 * SECOND), (Vec::new(), Vec::new()));
        for end in [&pair.client, &pair.server] {
            assert!(end.keepalive().latencies().samples().len() >= 119);
            assert_eq!(end.keepalive().latencies().last(), Some(0.0));
            assert_eq!(end.peer_latency().last(), Some(0.0));
        }
    }
}

#[test]
fn the_latency_is_the_round_trip() {
    let mut pair = Pair::established(Dialect::G6);
    let at = |milliseconds| pair.now + Duration::from_millis(milliseconds);
    pair.server.handle_timeout(at(5000));
    let ping = take(&mut pair.server);
    feed(&mut pair.client, &ping, usize::MAX, at(5030));
    let echo = take(&mut pair.client);
    feed(&mut pair.server, &echo, usize::MAX, at(5080));
    let latencies = pair.server.keepalive().latencies();
    assert_eq!(latencies.samples().collect::<Vec<_>>(), [80.0]);
}

#[test]
fn the_source_of_a_ping_comes_back() {
    let mut pair = Pair::established(Dialect::G6);
    let ping = records(Dialect::G6, &["ping".into(), 77.into(), 0.into(), "proxy".into()]);
    assert_eq!(feed(&mut pair.server, &ping, usize::MAX, pair.now), []);
    let echo = take(&mut pair.server);
    let mut decoder = crate::codec::Decoder::new(crate::codec::Limits::after_hello());
    decoder.read_buf().extend_from_slice(&echo);
    let mut items = decoder.poll().unwrap().unwrap().items;
    assert_eq!(items.next().unwrap().as_text().unwrap(), "ping_echo");
    assert_eq!(items.next().unwrap().as_int(), Some(77));
    assert_eq!(items.nth(4).unwrap().as_text().unwrap(), "proxy");
}

#[test]
fn a_peer_that_does_not_echo_is_gone() {
    for dialect in BOTH {
        let mut pair = Pair::established(dialect);
        let mut mute = |at: Duration| {
            pair.server.handle_timeout(pair.now + at);
            pair.server.poll_event(pair.now + at)
        };
        // as often as its timers say, or it would count as having slept itself
        for seconds in (5..65).step_by(5).chain([64]) {
            let news = (seconds == 10).then_some(Event::Silent);
            assert_eq!(mute(seconds * SECOND), news);
        }
        let closed = Event::Closed(CloseReason::TimedOut(TimedOut::Ping));
        assert_eq!(mute(65 * SECOND), Some(closed));
        let sent = take(&mut pair.server);
        let client = feed(&mut pair.client, &sent, usize::MAX, pair.now);
        assert_eq!(client, [disconnected(reason::CLIENT_PING_TIMEOUT, &[])]);
        assert!(pair.server.is_closed());
    }
}

#[test]
fn goodbyes_have_their_reason_both_ways() {
    for dialect in BOTH {
        let mut pair = Pair::established(dialect);
        pair.server.send(bell(1));
        pair.server.close(reason::SERVER_SHUTDOWN, "maintenance");
        // too late
        pair.server.send(bell(2));
        pair.server.close(reason::SERVER_ERROR, "");
        let (client, server) = pair.settle();
        let goodbye = disconnected(reason::SERVER_SHUTDOWN, &["maintenance"]);
        assert_eq!(client, [Event::Packet(bell(1)), goodbye]);
        let local = CloseReason::Local {
            reason: reason::SERVER_SHUTDOWN,
            details: "maintenance".into(),
        };
        assert_eq!(server, [Event::Closed(local)]);
        assert!(pair.server.is_closed() && pair.client.is_closed());

        let mut pair = Pair::established(dialect);
        pair.client.close(reason::CLIENT_EXIT, "");
        let (_, server) = pair.settle();
        assert_eq!(server, [disconnected(reason::CLIENT_EXIT, &[])]);
        // nothing is sent to a peer that has left
        pair.server.send(bell(1));
        assert_eq!(take(&mut pair.server), b"");
    }
}

#[test]
fn a_server_may_refuse_instead_of_saying_hello() {
    for dialect in BOTH {
        let mut pair = Pair::new(dialect);
        pair.settle();
        pair.server
            .close(reason::SESSION_BUSY, "this session is already active");
        let (client, _) = pair.settle();
        let busy = disconnected(reason::SESSION_BUSY, &["this session is already active"]);
        assert_eq!(client, [busy]);
    }
}

#[test]
fn a_malformed_record_ends_its_connection_with_a_reason() {
    for dialect in BOTH {
        for junk in [
            &b"junk that is no record\n"[..],
            // a record of bencode that is none
            b"P\x00\x00\x00\x00\x00\x00\x03xyz",
            // larger than any limit
            b"P\x10\x00\x00\xff\xff\xff\xff",
            // zlib that does not inflate
            b"P\x10\x01\x00\x00\x00\x00\x04abcd",
        ] {
            let mut pair = Pair::established(dialect);
            let events = feed(&mut pair.server, junk, usize::MAX, pair.now);
            let [Event::Closed(CloseReason::Protocol(what))] = &events[..] else {
                panic!("{events:?}");
            };
            assert!(!what.is_empty());
            let (client, _) = pair.settle();
            let [Event::Closed(CloseReason::Disconnected { reason, .. })] = &client[..] else {
                panic!("{client:?}");
            };
            assert_eq!(reason, reason::PROTOCOL_ERROR);
            assert!(pair.server.is_closed());
        }
    }
}

#[test]
fn a_packet_of_the_wrong_shape_ends_its_connection() {
    for dialect in BOTH {
        let mut pair = Pair::established(dialect);
        let packet = records(dialect, &["close-window".into(), "one".into()]);
        let events = feed(&mut pair.server, &packet, usize::MAX, pair.now);
        assert!(
            matches!(&events[..], [Event::Closed(CloseReason::Protocol(what))] if what.contains("close-window")),
            "{events:?}"
        );
        // what nobody knows is none of our business
        let mut pair = Pair::established(dialect);
        let packet = records(dialect, &["from-the-future".into(), 1.into()]);
        let events = feed(&mut pair.server, &packet, usize::MAX, pair.now);
        assert_eq!(events, [Event::Packet(Packet::Unknown("from-the-future".into()))]);
    }
}

#[test]
fn strangers_are_told_in_plain_text() {
    for (said, answer) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &b"HTTP/1.1 400 "[..]),
        (b"SSH-2.0-OpenSSH_9\r\n", b"disconnect: connection failed, "),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
            b"disconnect: connection failed, ",
        ),
    ] {
        let (mut server, now) = new_server();
        let events = feed(&mut server, said, usize::MAX, now);
        assert!(
            matches!(&events[..], [Event::Closed(CloseReason::Protocol(_))]),
            "{events:?}"
        );
        let told = take(&mut server);
        assert!(told.starts_with(answer), "{}", String::from_utf8_lossy(&told));
        assert!(server.is_closed());
    }
}

#[test]
fn other_packets_do_not_come_before_the_hello() {
    for dialect in BOTH {
        let (mut server, now) = new_server();
        let events = feed(
            &mut server,
            &records(dialect, &["ping".into(), 1.into()]),
            usize::MAX,
            now,
        );
        assert!(
            matches!(&events[..], [Event::Closed(CloseReason::Protocol(_))]),
            "{events:?}"
        );
    }
}

#[test]
fn versions_are_checked_except_by_who_asks_for_them() {
    for (dialect, version, fits) in [
        (Dialect::G3, "3.1.3".into(), true),
        (Dialect::G3, "0.14.10".into(), true),
        (Dialect::G3, "0.13".into(), false),
        (Dialect::G3, "".into(), false),
        (Dialect::G6, "7".into(), true),
        (Dialect::G6, vec![6, 5].into(), true),
        (Dialect::G6, "2.5.3".into(), false),
        (Dialect::G6, "six".into(), false),
        (Dialect::G6, Value::map(), false),
    ] {
        let (mut server, now) = new_server();
        let said = hello(dialect, &[("version", version.clone())]);
        let events = feed(&mut server, &said, usize::MAX, now);
        if fits {
            assert!(matches!(&events[..], [Event::Hello(_)]), "{version:?} {events:?}");
            continue;
        }
        let [Event::Closed(CloseReason::Local { reason, details })] = &events[..] else {
            panic!("{version:?} {events:?}");
        };
        assert_eq!(*reason, reason::VERSION_ERROR);
        assert!(details.contains("at least"), "{details}");
        assert!(!take(&mut server).is_empty());

        let (mut server, now) = new_server();
        let said = hello(dialect, &[("version", version), ("request", "version".into())]);
        let events = feed(&mut server, &said, usize::MAX, now);
        assert!(matches!(&events[..], [Event::Hello(_)]), "{events:?}");
    }
}

/// A process that did not run for a while finds several pings.
#[test]
fn pings_that_come_together_are_answered_in_their_order() {
    let mut pair = Pair::established(Dialect::G6);
    let pings: Vec<u8> = [1, 2, 3]
        .into_iter()
        .flat_map(|time: i64| records(Dialect::G6, &["ping".into(), time.into()]))
        .collect();
    feed(&mut pair.server, &pings, usize::MAX, pair.now);
    let echoes = take(&mut pair.server);
    let told = feed(&mut pair.client, &echoes, usize::MAX, pair.now);
    let times: Vec<_> = told
        .iter()
        .map(|event| match event {
            Event::Packet(Packet::PingEcho { time, .. }) => *time,
            event => panic!("{event:?}"),
        })
        .collect();
    assert_eq!(times, [1, 2, 3]);
}

#[test]
fn a_flood_of_pings_is_not_read_faster_than_it_is_answered() {
    for dialect in BOTH {
        let mut pair = Pair::established(dialect);
        let ping = records(dialect, &["ping".into(), 1.into()]);
        let flood = 10_000;
        let (mut sent, mut echoes, mut most) = (0, 0, 0);
        let before = pair.server.stats().packets_out;
        while echoes < flood {
            // the peer writes as long as it is read, and reads little
            let mut writes = 0;
            while sent < flood && pair.server.wants_read() && writes < 5000 {
                assert_eq!(feed(&mut pair.server, &ping, usize::MAX, pair.now), []);
                (sent, writes) = (sent + 1, writes + 1);
            }
            most = most.max(writes);
            let held: usize = pair.server.transmit().iter().map(bytes::Bytes::len).sum();
            assert!(held < 2 * (64 << 10), "{held} bytes are held");
            pair.server.transmit().clear();
            echoes = pair.server.stats().packets_out - before;
        }
        assert!(most < 5000, "{most} pings were read without an answer taken");
        assert_eq!(echoes, flood);
        assert!(pair.server.wants_read());
    }
}

#[test]
fn the_end_of_the_stream_says_whether_anything_was_lost() {
    let closed = |silent, truncated| Event::Closed(CloseReason::PeerClosed { silent, truncated });
    let mut pair = Pair::new(Dialect::G6);
    pair.client.received_eof();
    assert_eq!(pair.client.poll_event(pair.now), Some(closed(true, false)));

    let mut pair = Pair::established(Dialect::G6);
    pair.client.received_eof();
    assert_eq!(pair.client.poll_event(pair.now), Some(closed(false, false)));

    let mut pair = Pair::established(Dialect::G6);
    let bytes = records(Dialect::G6, &["startup-complete".into()]);
    feed(&mut pair.client, &bytes[..10], usize::MAX, pair.now);
    pair.client.received_eof();
    assert_eq!(pair.client.poll_event(pair.now), Some(closed(false, true)));
    // and it stays so
    pair.client.failed(&std::io::ErrorKind::ConnectionReset.into());
    assert_eq!(pair.client.poll_event(pair.now), None);
    assert!(pair.client.is_closed());
}

#[test]
fn answers_to_requests_need_no_session() {
    for dialect in BOTH {
        let mut pair = Pair::new(dialect);
        pair.settle();
        let picture = Packet::Screenshot {
            size: crate::types::Size::new(1, 1),
            encoding: "png".into(),
            rowstride: 0,
            data: bytes::Bytes::from_static(b"png"),
        };
        pair.server.answer(picture.clone());
        let (client, _) = pair.settle();
        assert_eq!(client, [Event::Packet(picture)]);
        pair.client.close(reason::DONE, "");
        let (_, server) = pair.settle();
        assert_eq!(server, [disconnected(reason::DONE, &[])]);
    }
}

#[test]
fn reasons_that_are_errors() {
    for text in [
        reason::PROTOCOL_ERROR,
        reason::CLIENT_PING_TIMEOUT,
        reason::AUTHENTICATION_FAILED,
    ] {
        assert!(reason::is_error(text), "{text}");
    }
    for text in [
        reason::IDLE_TIMEOUT,
        reason::DONE,
        reason::NEW_CLIENT,
        reason::SERVER_SHUTDOWN,
    ] {
        assert!(!reason::is_error(text), "{text}");
    }
}
