//! Encrypted connections: agreeing, and all the ways not to.

use super::challenge::challenged;
use super::*;
use crate::codec::{CipherMode, Decoder, Limits};
use crate::packet::Side;
use crate::protocol::encryption::KeyExchange;
use crate::types::Size;

fn fill(bytes: &mut [u8]) -> bool {
    getrandom::fill(bytes).is_ok()
}

fn encrypted(mode: Option<CipherMode>, secret: &str) -> ConnectionConfig {
    ConnectionConfig {
        encryption: Encryption::new(mode, secret, fill),
        ..ConnectionConfig::default()
    }
}

fn ended(events: &[Event]) -> &str {
    match events {
        [Event::Closed(CloseReason::Encryption(what))] => what,
        _ => panic!("{events:?}"),
    }
}

/// The header bytes that say flags, for each record of a stream.
fn flags_of(wire: &[u8], pad_to: usize) -> Vec<u8> {
    let mut flags = Vec::new();
    let mut rest = wire;
    while let Some((header, payload)) = rest.split_first_chunk::<8>() {
        let size = u32::from_be_bytes(*header.last_chunk().unwrap()) as usize;
        let padding = if header[1] & 2 != 0 && pad_to > 0 {
            pad_to - size % pad_to
        } else {
            0
        };
        flags.push(header[1]);
        rest = &payload[size + padding..];
    }
    flags
}

/// One side's packets as they are on the wire are encrypted, all but a first hello.
fn assert_encrypted(wire: &[u8], mode: CipherMode, dialect: Dialect) {
    let pad_to = match (mode, dialect) {
        (CipherMode::Cbc, Dialect::G3) => 32,
        (CipherMode::Cbc, Dialect::G6) => 16,
        (CipherMode::Ctr, _) => 0,
    };
    assert!(flags_of(wire, pad_to).iter().all(|flags| flags & 2 != 0));
    assert!(!wire.windows(6).any(|bytes| bytes == b"secret"));
}

fn large() -> Packet {
    Packet::Screenshot {
        size: Size::new(1, 1),
        encoding: "png".into(),
        rowstride: -1,
        data: b"secret".repeat(20_000).into(),
    }
}

#[test]
fn sessions_are_encrypted_with_and_without_challenges() {
    for dialect in BOTH {
        for asked in [CipherMode::Cbc, CipherMode::Ctr] {
            // the flat form has but one mode
            let mode = if dialect == Dialect::G3 {
                CipherMode::Cbc
            } else {
                asked
            };
            for wanted in [None, Some(asked)] {
                for challenges in [0, 1, 3] {
                    for piece in [usize::MAX, 1000] {
                        let client = encrypted(Some(asked), "key");
                        let mut pair = Pair::with(dialect, &client, &encrypted(wanted, "key"));
                        pair.piece = piece;
                        let (_, server) = pair.settle();
                        assert!(matches!(&server[..], [Event::Hello(_)]), "{server:?}");
                        for _ in 0..challenges {
                            challenged(&mut pair, b"salt");
                            pair.client
                                .respond(Capabilities::default(), &b"secret"[..], &b"y"[..], pair.now);
                            let wire = take(&mut pair.client);
                            assert_encrypted(&wire, mode, dialect);
                            let server = feed(&mut pair.server, &wire, piece, pair.now);
                            assert!(matches!(&server[..], [Event::Hello(_)]), "{server:?}");
                        }
                        pair.server.accept(Capabilities::default(), pair.now);
                        pair.server.send(large());
                        pair.server.send(bell(1));
                        let wire = take(&mut pair.server);
                        assert_encrypted(&wire, mode, dialect);
                        let client = feed(&mut pair.client, &wire, piece, pair.now);
                        assert!(matches!(&client[0], Event::Hello(_)), "{client:?}");
                        assert_eq!(client[1..], [large(), bell(1)].map(Event::Packet));
                        pair.client.send(Packet::ShutdownServer);
                        let wire = take(&mut pair.client);
                        assert_encrypted(&wire, mode, dialect);
                        let server = feed(&mut pair.server, &wire, piece, pair.now);
                        assert_eq!(server, [Event::Packet(Packet::ShutdownServer)]);
                        assert_eq!(pair.pass(60 * SECOND), (vec![], vec![]));
                        pair.server.close(reason::SERVER_EXIT, "secret");
                        assert_eq!(pair.settle().0, [disconnected(reason::SERVER_EXIT, &["secret"])]);
                    }
                }
            }
        }
    }
}

#[test]
fn requests_are_answered_encrypted() {
    for dialect in BOTH {
        let config = encrypted(None, "key");
        let mut pair = Pair::with(dialect, &config, &config);
        pair.settle();
        let mut caps = Capabilities::default();
        caps.set("uuid", "secret");
        pair.server.answer(Packet::Hello(caps));
        let wire = take(&mut pair.server);
        assert_encrypted(&wire, CipherMode::Cbc, dialect);
        let client = feed(&mut pair.client, &wire, usize::MAX, pair.now);
        assert!(matches!(&client[..], [Event::Hello(caps)] if caps.text("uuid").unwrap() == "secret"));
        pair.client.close(reason::DONE, "");
        assert_eq!(pair.settle().1, [disconnected(reason::DONE, &[])]);

        // a packet alone brings no keys to answer with
        let mut pair = Pair::with(dialect, &config, &config);
        pair.settle();
        pair.server.answer(large());
        let (client, _) = pair.settle();
        assert_eq!(client, [Event::Packet(large())]);
        pair.client.close(reason::DONE, "");
        assert_eq!(take(&mut pair.client), b"");
        let plain = records(dialect, &["shutdown-server".into()]);
        ended(&feed(&mut pair.server, &plain, usize::MAX, pair.now));
    }
}

#[test]
fn an_answer_without_tokens_is_the_last_word() {
    for dialect in BOTH {
        let config = encrypted(None, "key");
        let mut pair = Pair::with(dialect, &config, &config);
        let (_, server) = pair.settle();
        let [Event::Hello(caps)] = &server[..] else {
            panic!("{server:?}");
        };
        let encryption = config.encryption.clone().unwrap();
        let mut exchange = KeyExchange::new(encryption, Side::Server, dialect);
        let mut encoder = Encoder::new(Coding::Rencode);
        if dialect == Dialect::G6 {
            encoder.set_coding(Coding::Rencodeplus);
        }
        encoder.set_encryptor(exchange.follow(caps, dialect).unwrap());
        let mut answer = Value::map();
        answer.insert("version", "6.5");
        let mut out = std::collections::VecDeque::new();
        encoder
            .encode(&["hello".into(), answer], false, &mut out)
            .unwrap();
        let wire: Vec<u8> = out.iter().flatten().copied().collect();
        let client = feed(&mut pair.client, &wire, usize::MAX, pair.now);
        assert!(matches!(&client[..], [Event::Hello(_)]), "{client:?}");
        pair.client.send(bell(1));
        assert_eq!(take(&mut pair.client), b"");
        let client = feed(&mut pair.client, b"", usize::MAX, pair.now);
        assert!(ended(&client).contains("missing encryption tokens"));
    }
}

#[test]
fn another_key_is_told_from_a_broken_peer() {
    for dialect in BOTH {
        for mode in [CipherMode::Cbc, CipherMode::Ctr] {
            let ends = || (encrypted(Some(mode), "right"), encrypted(Some(mode), "wrong"));
            let (client, server) = ends();
            let mut pair = Pair::with(dialect, &client, &server);
            pair.settle();
            pair.server.accept(Capabilities::default(), pair.now);
            let (events, _) = pair.settle();
            assert!(ended(&events).contains("same key"), "{events:?}");
            // nothing can be said that would be understood, so nothing is
            assert_eq!(take(&mut pair.client), b"");
            assert!(pair.client.is_closed());

            let (client, server) = ends();
            let mut pair = Pair::with(dialect, &client, &server);
            pair.settle();
            pair.server.challenge(&b"salt"[..], "hmac", "hmac", "", pair.now);
            assert!(ended(&pair.settle().0).contains("same key"));
        }
    }
}

#[test]
fn a_client_that_changes_its_key_is_noticed_by_the_server() {
    for dialect in BOTH {
        for mode in [CipherMode::Cbc, CipherMode::Ctr] {
            // two clients, one of which listens to the other's challenge
            let config = encrypted(Some(mode), "key");
            let mut pair = Pair::with(dialect, &config, &config);
            let mut other = Pair::with(dialect, &config, &config);
            pair.settle();
            other.settle();
            challenged(&mut pair, b"salt");
            challenged(&mut other, b"salt");
            other
                .client
                .respond(Capabilities::default(), &b"x"[..], &b"y"[..], pair.now);
            let wire = take(&mut other.client);
            let events = feed(&mut pair.server, &wire, usize::MAX, pair.now);
            assert!(ended(&events).contains("same key"), "{events:?}");
            let told = disconnected(reason::ENCRYPTION_ERROR, &[ended(&events)]);
            assert_eq!(pair.settle().0, [told]);
        }
    }
}

#[test]
fn nobody_is_talked_out_of_encryption() {
    for dialect in BOTH {
        let (plain, config) = (ConnectionConfig::default(), encrypted(None, "key"));
        // a client that does not encrypt is told so as a packet it can read
        let mut pair = Pair::with(dialect, &plain, &config);
        let (client, server) = pair.settle();
        let why = ended(&server);
        assert!(why.contains("missing encryption tokens"), "{why}");
        assert_eq!(client, [disconnected(reason::ENCRYPTION_ERROR, &[why])]);

        // one that does, where it is not done, as text
        let mut pair = Pair::with(dialect, &config, &plain);
        let (client, server) = pair.settle();
        assert!(ended(&server).contains("does not support encryption"));
        let [Event::Closed(CloseReason::Refused(text))] = &client[..] else {
            panic!("{client:?}");
        };
        assert!(text.contains(reason::ENCRYPTION_ERROR), "{text}");

        // a server that ignores what it is asked for
        let mut pair = Pair::with(dialect, &config, &plain);
        take(&mut pair.client);
        let asked = hello(dialect, &[("version", "6.5".into())]);
        feed(&mut pair.server, &asked, usize::MAX, pair.now);
        pair.server.accept(Capabilities::default(), pair.now);
        let wire = take(&mut pair.server);
        let events = feed(&mut pair.client, &wire, usize::MAX, pair.now);
        assert!(ended(&events).contains("not encrypted"));
        assert_eq!(take(&mut pair.client), b"");

        // and nothing in plain is believed in the middle
        let mut pair = Pair::with(dialect, &config, &config);
        pair.settle();
        pair.server.accept(Capabilities::default(), pair.now);
        pair.settle();
        let bell = records(dialect, &["shutdown-server".into()]);
        assert!(ended(&feed(&mut pair.server, &bell, usize::MAX, pair.now)).contains("not encrypted"));
        let goodbye = records(dialect, &["disconnect".into(), "done".into()]);
        assert!(ended(&feed(&mut pair.client, &goodbye, usize::MAX, pair.now)).contains("not encrypted"));
    }
}

#[test]
fn nothing_is_sent_before_it_can_be_encrypted() {
    for dialect in BOTH {
        let config = encrypted(None, "key");
        let mut pair = Pair::with(dialect, &config, &config);
        pair.client.send(Packet::ShutdownServer);
        pair.client.close(reason::CLIENT_EXIT, "");
        let wire = take(&mut pair.client);
        let mut decoder = Decoder::new(Limits::after_hello());
        decoder.read_buf().extend_from_slice(&wire);
        let packet = decoder.poll().unwrap().unwrap();
        assert_eq!(packet.items.clone().next().unwrap().as_text().unwrap(), "hello");
        assert!(decoder.poll().unwrap().is_none());
        assert!(pair.client.is_closed());
    }
}

/// The tokens of a client in the form of its dialect, with these changes.
fn tokens(dialect: Dialect, changes: &[(&str, Value)]) -> Vec<u8> {
    let salt = Value::from(bytes::Bytes::from_static(&[1; 64]));
    let iterations = if dialect == Dialect::G3 { 1000 } else { 10_000 };
    let mut tokens = vec![
        ("cipher", Value::from("AES")),
        ("iv", "0123456789abcdef".into()),
        ("key_salt", salt),
        ("key_stretch_iterations", iterations.into()),
    ];
    for (key, value) in changes {
        tokens.retain(|(name, _)| name != key);
        if *value != Value::Null {
            tokens.push((key, value.clone()));
        }
    }
    let mut map = Value::map();
    let mut flat = vec![("version".to_owned(), Value::from("6.5"))];
    for (key, value) in tokens {
        map.insert(key, value.clone());
        let key = if key == "cipher" {
            key.into()
        } else {
            format!("cipher.{key}")
        };
        flat.push((key, value));
    }
    let nested = [("version", "6.5".into()), ("encryption", map)];
    let flat: Vec<_> = flat
        .iter()
        .map(|(key, value)| (key.as_str(), value.clone()))
        .collect();
    hello(dialect, if dialect == Dialect::G3 { &flat } else { &nested })
}

fn answered(dialect: Dialect, changes: &[(&str, Value)], wanted: Option<CipherMode>) -> Vec<Event> {
    let now = Instant::now();
    let mut server = Connection::server(&encrypted(wanted, "key"), now);
    let events = feed(&mut server, &tokens(dialect, changes), usize::MAX, now);
    if let [Event::Closed(CloseReason::Encryption(what))] = &events[..] {
        let told = String::from_utf8(take(&mut server)).unwrap();
        assert_eq!(told, format!("disconnect: encryption error, {what}\n"));
    }
    events
}

#[test]
fn what_a_peer_asks_for_has_bounds() {
    let bytes = |n: usize| Value::from(bytes::Bytes::from(vec![7; n]));
    for dialect in BOTH {
        let (least, most) = match dialect {
            Dialect::G3 => (100, 10_000),
            Dialect::G6 => (1000, 100_000),
        };
        for fine in [
            ("key_salt", bytes(16)),
            ("key_stretch_iterations", least.into()),
            ("key_stretch_iterations", most.into()),
            ("key_size", 16.into()),
            ("key_hash", "SHA224".into()),
            ("key_hash", "SHA512".into()),
            ("mode", "CTR".into()),
            ("mode", "cbc".into()),
            ("padding", "legacy".into()),
            ("stream", false.into()),
        ] {
            let events = answered(dialect, std::slice::from_ref(&fine), None);
            assert!(matches!(&events[..], [Event::Hello(_)]), "{fine:?} {events:?}");
        }
        for (key, value, word) in [
            ("cipher", "Blowfish".into(), "Blowfish"),
            ("iv", "short".into(), "vector"),
            ("iv", Value::Null, "vector"),
            ("iv", bytes(17), "vector"),
            ("key_salt", bytes(15), "salt"),
            ("key_salt", bytes(1025), "salt"),
            ("key_salt", Value::Null, "salt"),
            ("key_stretch_iterations", (least - 1).into(), "iterations"),
            ("key_stretch_iterations", (most + 1).into(), "iterations"),
            ("key_stretch_iterations", i64::MAX.into(), "iterations"),
            ("key_stretch_iterations", (-1).into(), "iterations"),
            ("key_stretch_iterations", Value::Null, "iterations"),
            ("key_stretch", "scrypt".into(), "scrypt"),
            ("key_size", 0.into(), "key size"),
            ("key_size", 64.into(), "key size"),
            ("key_hash", "MD5".into(), "MD5"),
            ("mode", "GCM".into(), "AES-GCM"),
            ("mode", "CFB".into(), "AES-CFB"),
            ("padding", "zeros".into(), "zeros"),
        ] {
            let events = answered(dialect, &[(key, value)], None);
            assert!(ended(&events).contains(word), "{key} {events:?}");
        }
        // what a peer says is not repeated at length
        let events = answered(dialect, &[("mode", "G".repeat(10_000).into())], None);
        assert!(ended(&events).len() < 200);
    }
}

#[test]
fn a_server_may_insist_on_a_mode() {
    let ask = |dialect, asked: &str, wanted| {
        let events = answered(dialect, &[("mode", asked.into())], Some(wanted));
        matches!(&events[..], [Event::Hello(_)])
    };
    assert!(ask(Dialect::G6, "CTR", CipherMode::Ctr));
    assert!(ask(Dialect::G6, "CBC", CipherMode::Cbc));
    assert!(!ask(Dialect::G6, "CBC", CipherMode::Ctr));
    assert!(!ask(Dialect::G6, "CTR", CipherMode::Cbc));
    // 3.1 has no other
    assert!(ask(Dialect::G3, "CBC", CipherMode::Ctr));
}

#[test]
fn servers_write_to_each_client_as_it_wants() {
    for dialect in BOTH {
        for (padding, stream) in [("legacy", true), ("PKCS#7", true), ("PKCS#7", false)] {
            let now = Instant::now();
            let mut server = Connection::server(&encrypted(None, "key"), now);
            let changes = [("padding", padding.into()), ("stream", stream.into())];
            feed(&mut server, &tokens(dialect, &changes), usize::MAX, now);
            server.accept(Capabilities::default(), now);
            let wire = take(&mut server);

            use crate::codec::*;
            let iterations = if dialect == Dialect::G3 { 1000 } else { 10_000 };
            let iterations = std::num::NonZeroU32::new(iterations).unwrap();
            let key = Key::derive(b"key", &[1; 64], KeyHash::Sha1, iterations, KeySize::Bits256);
            let config = CipherConfig {
                mode: CipherMode::Cbc,
                pad_to: if dialect == Dialect::G3 {
                    PadTo::Bytes32
                } else {
                    PadTo::Bytes16
                },
                padding: Padding::from_name(padding).unwrap(),
                iv: *b"0123456789abcdef",
                stream,
            };
            let mut decoder = Decoder::new(Limits::after_hello());
            decoder.set_decryptor(Decryptor::new(&key, config).unwrap());
            decoder.read_buf().extend_from_slice(&wire);
            let packet = decoder.poll().unwrap().unwrap();
            let Packet::Hello(caps) = Packet::parse(packet.items, Side::Server).unwrap() else {
                panic!()
            };
            let prefix = if dialect == Dialect::G3 {
                "cipher"
            } else {
                "encryption"
            };
            let get = |key: &str| caps.get(&format!("{prefix}.{key}")).cloned();
            let cipher = if dialect == Dialect::G3 {
                caps.get("cipher").cloned()
            } else {
                get("cipher")
            };
            assert_eq!(cipher.unwrap().as_text().unwrap(), "AES");
            assert_eq!(get("key_salt").unwrap().as_bytes().unwrap().len(), 64);
            assert_eq!(get("padding").unwrap().as_text().unwrap(), "PKCS#7");
            assert_eq!(get("stream").unwrap().as_bool(), Some(stream));
            let iv = get("iv").unwrap();
            let iv = iv.as_text().unwrap();
            assert!(iv.len() == 16 && iv.bytes().all(|b| b.is_ascii_graphic()), "{iv}");
        }
    }
}

#[test]
fn each_hello_has_keys_of_its_own() {
    let config = encrypted(None, "key");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let mut pair = Pair::with(Dialect::G6, &config, &config);
        for _ in 0..3 {
            let (_, server) = pair.settle();
            let [Event::Hello(caps)] = &server[..] else {
                panic!()
            };
            let Packet::Challenge { capabilities, .. } = challenged(&mut pair, b"salt") else {
                panic!()
            };
            for caps in [caps, &Capabilities::from_value(capabilities)] {
                for key in ["encryption.iv", "encryption.key_salt"] {
                    assert!(seen.insert(caps.get(key).unwrap().as_bytes().unwrap().to_vec()));
                }
            }
            pair.client
                .respond(Capabilities::default(), &b"x"[..], &b"y"[..], pair.now);
        }
    }
}

#[test]
fn without_randomness_nobody_connects() {
    let config = ConnectionConfig {
        encryption: Encryption::new(None, "key", |_| false),
        ..ConnectionConfig::default()
    };
    let now = Instant::now();
    let mut client = Connection::client(&config, Dialect::G6, Capabilities::default(), now);
    assert_eq!(take(&mut client), b"");
    assert!(client.is_closed());
    ended(&feed(&mut client, b"", usize::MAX, now));

    let mut pair = Pair::with(Dialect::G6, &encrypted(None, "key"), &config);
    assert!(matches!(&pair.settle().1[..], [Event::Hello(_)]));
    pair.server.accept(Capabilities::default(), now);
    let (client, server) = pair.settle();
    let told = disconnected(reason::ENCRYPTION_ERROR, &[ended(&server)]);
    assert_eq!(client, [told]);
}

#[test]
fn an_encrypted_record_without_a_key_is_refused() {
    for dialect in BOTH {
        let (mut server, now) = new_server();
        let mut said = hello(dialect, &[("version", "6.5".into())]);
        said[1] |= 2;
        let events = feed(&mut server, &said, usize::MAX, now);
        assert_eq!(ended(&events), "the packet is encrypted");
        assert!(take(&mut server).starts_with(b"disconnect: encryption error, "));
    }
}

#[test]
fn secrets_are_neither_empty_nor_shown() {
    assert!(Encryption::new(None, "", fill).is_none());
    for (content, secret) in [
        (&b"key\n"[..], &b"key"[..]),
        (b"\r\n\nk\ney\r\n", b"k\ney"),
        (b" key ", b" key "),
        (b"\n", b""),
        (b"", b""),
    ] {
        assert_eq!(Encryption::trimmed(content), secret);
    }
    let config = encrypted(None, "swordfish");
    let pair = Pair::with(Dialect::G6, &config, &config);
    let shown = format!("{config:?} {:?}", pair.client);
    assert!(shown.contains("Encryption") && !shown.contains("swordfish"));
}
