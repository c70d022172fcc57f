//! Challenges: asked for, answered, out of place.

use super::*;

/// The server's challenge as the client gets it.
pub(super) fn challenged(pair: &mut Pair, salt: &'static [u8]) -> Packet {
    pair.server
        .challenge(salt, "hmac+sha512", "hmac+sha384", "password", pair.now);
    let (client, server) = pair.settle();
    assert_eq!(server, []);
    let [Event::Packet(challenge @ Packet::Challenge { .. })] = &client[..] else {
        panic!("{client:?}");
    };
    challenge.clone()
}

#[test]
fn challenges_are_answered_until_the_server_accepts() {
    for dialect in BOTH {
        let mut pair = Pair::new(dialect);
        assert!(matches!(&pair.settle().1[..], [Event::Hello(_)]));
        for response in [&b"first"[..], &[7; 1000]] {
            let Packet::Challenge {
                salt,
                digest,
                salt_digest,
                prompt,
                ..
            } = challenged(&mut pair, b"salt")
            else {
                unreachable!()
            };
            assert_eq!((&salt[..], &*digest), (&b"salt"[..], "hmac+sha512"));
            assert_eq!((&*salt_digest, &*prompt), ("hmac+sha384", "password"));
            let mut hello = Capabilities::default();
            hello.set("username", "me");
            pair.client.respond(hello, response, &b"pepper"[..], pair.now);
            let (_, server) = pair.settle();
            let [Event::Hello(caps)] = &server[..] else {
                panic!("{server:?}");
            };
            let bytes = |key| caps.get(key).unwrap().as_bytes().unwrap();
            assert_eq!(bytes("challenge_response"), response);
            assert_eq!(bytes("challenge_client_salt"), b"pepper");
            assert!(bytes("challenge_padding").len() >= 32);
            assert!(bytes("challenge_padding").len() + response.len() >= 512);
            assert_eq!(caps.text("username").unwrap(), "me");
            assert!(caps.get("version").is_some());
        }
        pair.server.accept(Capabilities::default(), pair.now);
        let (client, _) = pair.settle();
        assert!(matches!(&client[..], [Event::Hello(_)]), "{client:?}");
        pair.server.send(bell(1));
        assert_eq!(pair.settle().0, [Event::Packet(bell(1))]);
    }
}

#[test]
fn challenges_of_older_servers_lack_their_end() {
    let challenge = records(
        Dialect::G3,
        &["challenge".into(), "salt".into(), "".into(), "hmac".into()],
    );
    let mut pair = Pair::new(Dialect::G3);
    let client = feed(&mut pair.client, &challenge, usize::MAX, pair.now);
    let [Event::Packet(Packet::Challenge { digest, prompt, .. })] = &client[..] else {
        panic!("{client:?}");
    };
    assert_eq!((&**digest, &**prompt), ("hmac", ""));
}

#[test]
fn challenges_have_their_own_clock() {
    let mut pair = Pair::new(Dialect::G6);
    pair.settle();
    pair.pass(15 * SECOND);
    challenged(&mut pair, b"salt");
    // a person thinks about it: the client waits as long as the server does
    assert_eq!(pair.client.deadline(), None);
    assert_eq!(pair.pass(119 * SECOND), (vec![], vec![]));
    pair.client
        .respond(Capabilities::default(), &b"x"[..], &b"y"[..], pair.now);
    assert!(matches!(&pair.settle().1[..], [Event::Hello(_)]));
    // and so may checking it take
    assert_eq!(pair.pass(119 * SECOND), (vec![], vec![]));
    let mut slow = pair;
    slow.server.decide_by(slow.now + 600 * SECOND);
    assert_eq!(slow.server.deadline(), Some(slow.now + 600 * SECOND));

    let mut pair = Pair::new(Dialect::G6);
    pair.settle();
    challenged(&mut pair, b"salt");
    let (client, server) = pair.pass(121 * SECOND);
    assert_eq!(server, [Event::Closed(CloseReason::TimedOut(TimedOut::Login))]);
    assert_eq!(client, [disconnected(reason::LOGIN_TIMEOUT, &[])]);
}

#[test]
fn challenges_come_in_their_place_only() {
    let protocol_error = |events: &[Event]| matches!(events, [Event::Closed(CloseReason::Protocol(_))]);
    let challenge = |dialect| {
        records(
            dialect,
            &["challenge".into(), "salt".into(), "".into(), "hmac".into()],
        )
    };
    for dialect in BOTH {
        // a client has none to make
        let (mut server, now) = new_server();
        assert!(protocol_error(&feed(
            &mut server,
            &challenge(dialect),
            usize::MAX,
            now
        )));
        // nor is there any once connected, or while one waits for its answer
        let mut pair = Pair::established(dialect);
        assert!(protocol_error(&feed(
            &mut pair.client,
            &challenge(dialect),
            usize::MAX,
            pair.now
        )));
        let mut pair = Pair::new(dialect);
        pair.settle();
        challenged(&mut pair, b"salt");
        assert!(protocol_error(&feed(
            &mut pair.client,
            &challenge(dialect),
            usize::MAX,
            pair.now
        )));
        // the answer speaks the dialect of the first hello
        let other = if dialect == Dialect::G3 {
            Dialect::G6
        } else {
            Dialect::G3
        };
        let version = ("version", Value::from("6.5"));
        let (mut server, now) = new_server();
        feed(
            &mut server,
            &hello(dialect, std::slice::from_ref(&version)),
            usize::MAX,
            now,
        );
        server.challenge(&b"salt"[..], "hmac", "hmac", "", now);
        let events = feed(&mut server, &hello(other, &[version]), usize::MAX, now);
        assert!(protocol_error(&events), "{events:?}");
        let mut pair = Pair::new(dialect);
        assert!(protocol_error(&feed(
            &mut pair.client,
            &challenge(other),
            usize::MAX,
            pair.now
        )));
        // the session does not begin before the answer
        let mut pair = Pair::new(dialect);
        pair.settle();
        challenged(&mut pair, b"salt");
        let shutdown = records(dialect, &["shutdown-server".into()]);
        assert!(protocol_error(&feed(
            &mut pair.server,
            &shutdown,
            usize::MAX,
            pair.now
        )));
    }
}

#[test]
fn who_is_not_let_in_yet_has_nothing_to_say() {
    for dialect in BOTH {
        let mut pair = Pair::new(dialect);
        pair.settle();
        pair.client.send(Packet::ShutdownServer);
        assert_eq!(pair.settle(), (vec![], vec![]));
        let again = hello(dialect, &[("version", "6.5".into())]);
        let events = feed(&mut pair.server, &again, usize::MAX, pair.now);
        assert!(
            matches!(&events[..], [Event::Closed(CloseReason::Protocol(_))]),
            "{events:?}"
        );
    }
}

#[test]
fn challenges_have_an_end() {
    for dialect in BOTH {
        let mut pair = Pair::new(dialect);
        pair.settle();
        for _ in 0..32 {
            challenged(&mut pair, b"salt");
            pair.client
                .respond(Capabilities::default(), &b"x"[..], &b"y"[..], pair.now);
            pair.settle();
        }
        pair.server.challenge(&b"salt"[..], "hmac", "hmac", "", pair.now);
        let (client, _) = pair.settle();
        assert_eq!(
            client,
            [disconnected(
                reason::AUTHENTICATION_FAILED,
                &["too many challenges"]
            )]
        );
    }
}
