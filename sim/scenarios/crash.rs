//! Servers die and come back.

use crate::client::Visit;
use crate::server::{SERVER, Serving};
use crate::world::{millis, play, seconds};
use xpra::protocol::CloseReason;

/// The process dies, its kernel closes what it had open.
#[test]
fn a_killed_server() {
    play(|world| {
        world.serve(Serving::default());
        let client = world.visit("client", Visit::default());
        world.run(seconds(2));
        world.sim.crash(SERVER);
        world.run(millis(100));
        let (_, reason) = client.seen().end();
        assert!(is_lost(&reason), "{reason:?}");

        world.sim.bounce(SERVER);
        let next = world.visit("next", Visit::default());
        world.run(seconds(2));
        assert!(next.seen().is_connected());
        assert!(next.seen().frames.len() >= 15);
    });
}

/// The machine loses its power: nobody says anything until it is back and knows no connection.
#[test]
fn a_server_without_power() {
    play(|world| {
        world.serve(Serving::default());
        let client = world.visit("client", Visit::default());
        world.run(seconds(2));
        world.sim.partition(SERVER, "client");
        world.sim.crash(SERVER);
        world.run(seconds(10));
        assert!(client.seen().is_connected());
        world.sim.repair(SERVER, "client");
        world.sim.bounce(SERVER);
        // the next ping tells
        world.run(seconds(6));
        let (at, reason) = client.seen().end();
        assert!(is_lost(&reason), "{reason:?}");
        assert!((seconds(12)..seconds(18)).contains(&at), "{at:?}");
        let next = world.visit("next", Visit::default());
        world.run(seconds(2));
        assert!(next.seen().is_connected());
    });
}

fn is_lost(reason: &CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::Io(_) | CloseReason::PeerClosed { silent: false, .. }
    )
}
