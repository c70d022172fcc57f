//! A connection: no bytes and no order of calls harm it, and what it holds is bounded.

use bytes::Bytes;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use xpra::codec::{Coding, Dialect, Encoder, Value};
use xpra::packet::{Capabilities, Names, Packet};
use xpra::protocol::{Connection, ConnectionConfig, Encryption, Event, network_capabilities};

#[derive(Clone, Debug)]
enum Step {
    /// Bytes that mean nothing.
    Noise(Vec<u8>),
    /// A hello of either dialect.
    Hello(bool),
    /// Many pings.
    Pings(u16),
    /// The owner accepts.
    Accept,
    /// The owner wants proof.
    Challenge,
    /// The stream takes what there is.
    Write,
    /// Time passes.
    Wait(u16),
    /// The owner says goodbye.
    Close,
    /// The peer is gone.
    End,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Step::Noise),
        any::<bool>().prop_map(Step::Hello),
        any::<u16>().prop_map(Step::Pings),
        Just(Step::Accept),
        Just(Step::Challenge),
        Just(Step::Write),
        any::<u16>().prop_map(Step::Wait),
        Just(Step::Close),
        Just(Step::End),
    ]
}

fn wire(coding: Coding, packet: Packet) -> Vec<u8> {
    let mut out = VecDeque::new();
    let items = packet.into_items(&Names::default());
    Encoder::new(coding).encode(&items, false, &mut out).unwrap();
    out.iter().flatten().copied().collect()
}

fn encryption() -> Option<Encryption> {
    Encryption::new(None, "key", |bytes| {
        bytes.fill(7);
        true
    })
}

/// What a client that wants to be encrypted to says.
fn tokens() -> Value {
    let mut tokens = Value::map();
    tokens.insert("cipher", "AES");
    tokens.insert("iv", "0123456789abcdef");
    tokens.insert("key_salt", "0123456789abcdef");
    tokens.insert("key_stretch_iterations", 1000);
    tokens
}

fn feed(connection: &mut Connection, bytes: &[u8], now: Instant) -> bool {
    let mut closed = false;
    for piece in bytes.chunks(4096) {
        if !connection.wants_read() {
            return closed;
        }
        connection.read_buf().extend_from_slice(piece);
        connection.received(piece.len());
        while let Some(event) = connection.poll_event(now) {
            assert!(!closed, "an event after the last");
            closed = matches!(event, Event::Closed(_));
        }
    }
    closed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_harms_a_server(steps in prop::collection::vec(step(), 1..24), encrypts: bool) {
        let mut now = Instant::now();
        let config = ConnectionConfig {
            encryption: encrypts.then(encryption).flatten(),
            ..ConnectionConfig::default()
        };
        let mut connection = Connection::server(&config, now);
        let mut closed = false;
        for step in steps {
            let bytes = match step {
                Step::Noise(bytes) => bytes,
                Step::Hello(older) => {
                    let (dialect, coding) = if older {
                        (Dialect::G3, Coding::Rencode)
                    } else {
                        (Dialect::G6, Coding::Rencodeplus)
                    };
                    let mut caps = Capabilities::default();
                    network_capabilities(&mut caps, dialect);
                    if encrypts {
                        caps.set("encryption", tokens());
                    }
                    wire(coding, Packet::Hello(caps))
                }
                Step::Pings(n) => {
                    let ping = wire(Coding::Rencodeplus, Packet::Ping { time: 1, source: "x".into() });
                    ping.repeat(usize::from(n) / 8)
                }
                Step::Accept => {
                    connection.accept(Capabilities::default(), now);
                    Vec::new()
                }
                Step::Challenge => {
                    connection.challenge(&b"salt"[..], "hmac", "hmac", "", now);
                    Vec::new()
                }
                Step::Write => {
                    let n = connection.transmit().drain(..).map(|bytes: Bytes| bytes.len()).sum();
                    connection.transmitted(n);
                    Vec::new()
                }
                Step::Wait(milliseconds) => {
                    now += Duration::from_millis(milliseconds.into());
                    connection.handle_timeout(now);
                    Vec::new()
                }
                Step::Close => {
                    connection.close("done", "");
                    Vec::new()
                }
                Step::End => {
                    connection.received_eof();
                    Vec::new()
                }
            };
            closed |= feed(&mut connection, &bytes, now);
            let held: usize = connection.transmit().iter().map(Bytes::len).sum();
            prop_assert!(held < 1 << 20, "{held} bytes wait to be written");
        }
        // the end is told once, whatever happened
        connection.received_eof();
        let mut told = usize::from(closed);
        while let Some(event) = connection.poll_event(now) {
            told += usize::from(matches!(event, Event::Closed(_)));
        }
        prop_assert_eq!(told, 1);
        prop_assert!(connection.is_ending());
    }
}
