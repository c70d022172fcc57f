//! Clients of both generations get in, see the screen, and leave in peace.

use crate::client::Visit;
use crate::server::Serving;
use crate::world::{play, seconds};
use xpra::codec::Dialect;
use xpra::protocol::{CloseReason, reason};
use xpra::session::{Answer, Request};

#[test]
fn both_dialects() {
    play(|world| {
        world.serve(Serving::default());
        let clients = [("old", Dialect::G3), ("new", Dialect::G6)].map(|(name, dialect)| {
            let visit = Visit {
                dialect: Some(dialect),
                ..Visit::default()
            };
            (dialect, world.visit(name, visit))
        });
        world.run(seconds(3));
        for (dialect, client) in &clients {
            assert_eq!(client.seen().dialect, Some(*dialect));
            assert!(client.seen().frames.len() >= 25, "{:?}", client.seen());
            client.seen().assert_in_order();
            client.leave();
        }
        world.run(seconds(1));
        for (_, client) in &clients {
            let expected = CloseReason::Local {
                reason: reason::CLIENT_EXIT,
                details: String::new(),
            };
            assert_eq!(client.seen().end().1, expected);
        }
    });
}

#[test]
fn the_older_dialect_after_a_refusal() {
    play(|world| {
        world.serve(Serving {
            is_old: true,
            ..Serving::default()
        });
        let client = world.visit("client", Visit::default());
        world.run(seconds(2));
        assert_eq!(client.seen().dialect, Some(Dialect::G3));
        assert!(matches!(client.seen().end().1, CloseReason::Refused(_)));
        assert!(client.seen().frames.len() >= 15);
        let Ok(Answer::Version(_)) = world.ask("asker", Request::Version) else {
            panic!("no version");
        };
    });
}

#[test]
fn requests_beside_a_session() {
    play(|world| {
        world.serve(Serving::default());
        let client = world.visit("client", Visit::default());
        world.run(seconds(1));
        let Ok(Answer::Info(info)) = world.ask(
            "info",
            Request::Info {
                subsystems: Vec::new(),
            },
        ) else {
            panic!("no information");
        };
        let clients = info.get("clients").unwrap();
        assert_eq!(clients.get("").and_then(|v| v.as_int()), Some(1));
        let Ok(Answer::Screenshot { data, .. }) = world.ask("screenshot", Request::Screenshot) else {
            panic!("no screenshot");
        };
        assert!(data.starts_with(b"\x89PNG"));
        assert_eq!(world.ask("test", Request::ConnectTest), Ok(Answer::Connected));
        assert!(client.seen().is_connected());
        let stopped = world.ask("stop", Request::Stop);
        assert!(matches!(stopped, Ok(Answer::Goodbye { .. })), "{stopped:?}");
        world.run(seconds(1));
        let CloseReason::Disconnected { reason, .. } = client.seen().end().1 else {
            panic!("{:?}", client.seen().end());
        };
        assert_eq!(reason, reason::SERVER_SHUTDOWN);
    });
}
