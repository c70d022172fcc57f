//! A session goes on over another connection.

use crate::client::{Client, Visit};
use crate::server::Serving;
use crate::world::{World, millis, play, seconds};
use std::collections::BTreeMap;
use xpra::packet::Packet;
use xpra::protocol::CloseReason;
use xpra::session::client::ClientOptions;

fn visit() -> Visit {
    let options = ClientOptions {
        quality: Some(100),
        ..Visit::default().options
    };
    Visit {
        options,
        resumes: true,
        ..Visit::default()
    }
}

/// A server, and a client whose session has run for three seconds.
fn begin(world: &mut World) -> Client {
    world.serve(Serving::default());
    let client = world.visit("client", visit());
    world.run(seconds(3));
    assert!(client.seen().is_connected());
    client
}

/// How many clients the server has.
fn clients(world: &mut World, asker: &'static str) -> Option<i64> {
    let info = world.info(asker);
    info.get("clients")?.get("")?.as_int()
}

#[test]
fn a_connection_that_breaks() {
    play(|world| {
        let client = begin(world);
        let before = client.seen().draws.len();
        world.server.valve("client").close();
        world.run(millis(500));
        let ends = client.seen().ends.len();
        assert_eq!(ends, 1);
        // pictures go on, and are numbered on
        let frames = client.seen().frames(seconds(3), seconds(4));
        assert!(frames.len() >= 3, "{frames:?}");
        let seen = client.seen();
        assert!(seen.draws.is_sorted() && seen.draws.len() > before);
        drop(seen);
        assert_eq!(clients(world, "info"), Some(1));
        client.leave();
        world.run(seconds(1));
        let (_, end) = client.seen().ends.last().unwrap().clone();
        assert!(matches!(end, CloseReason::Local { .. }), "{end}");
        assert_eq!(clients(world, "late"), Some(0));
    });
}

#[test]
fn a_network_that_comes_back() {
    play(|world| {
        let client = begin(world);
        world.sim.partition("server", "client");
        world.run(seconds(20));
        client.send(Packet::Quality("quality", 71));
        assert_eq!(client.seen().ends.len(), 0, "the old connection may be alive");
        world.sim.repair("server", "client");
        let back = world.now();
        // in every state that the next connection goes through
        for at in 0..300 {
            client.send(Packet::Quality("quality", 1 + at % 70));
            world.run(millis(2));
        }
        // both ends have counted the same
        for quality in 1..=70 {
            client.send(Packet::Quality("quality", quality));
            world.run(millis(50));
        }
        client.send(Packet::Quality("quality", 77));
        world.run(seconds(2));
        let ends: Vec<_> = client.seen().ends.iter().map(|(_, end)| end.clone()).collect();
        assert_eq!(ends, [CloseReason::Abandoned]);
        let frames = client.seen().frames(back, back + millis(600));
        assert!(!frames.is_empty(), "{:?}", client.seen().frames.last());
        // what was said meanwhile arrived
        let info = world.info("info");
        let text = format!("{info:?}");
        assert!(text.contains("77"), "{text}");
    });
}

/// Whatever was on its way when a connection ended, what is shown afterwards is the server's screen, to the last pixel:
/// as somebody sees it who was never away.
#[test]
fn many_connections_that_break() {
    play(|world| {
        world.serve(Serving {
            fps: 25,
            ..Serving::default()
        });
        let witness = world.visit("witness", visit());
        let client = world.visit("client", visit());
        world.run(seconds(2));
        // in steps of 7 ms against pictures that come every 40 ms, and by the network's own chance
        for cut in 0..20 {
            world.run(millis(400 + cut * 7 % 40));
            if cut % 4 > 0 {
                world.server.valve("client").close();
                continue;
            }
            world.sim.partition("server", "client");
            world.run(millis(2500));
            world.sim.repair("server", "client");
        }
        world.run(seconds(2));
        assert!(client.seen().ends.len() >= 20, "{}", client.seen().ends.len());
        assert_eq!(witness.seen().ends, []);
        let truth: BTreeMap<_, _> = witness.seen().frames.iter().map(|f| (f.number, f.hash)).collect();
        let frames = client.seen().frames.clone();
        let known = frames.iter().filter_map(|f| Some((f, truth.get(&f.number)?)));
        let (right, wrong): (Vec<_>, Vec<_>) = known.partition(|(frame, truth)| frame.hash == **truth);
        assert!(right.len() > 100, "{}", right.len());
        assert!(wrong.is_empty(), "{} of {}: {wrong:?}", wrong.len(), right.len());
    });
}
