//! A picture takes as long as the way to the client, and nothing else takes time.

use crate::client::Visit;
use crate::server::Serving;
use crate::world::{millis, play, seconds};

/// What the grain of simulated time adds: a display's turn at each end, and the network's own.
const GRAIN: u64 = 4;

#[test]
fn it_is_that_of_the_link() {
    play(|world| {
        world.serve(Serving::default());
        let links = [
            ("near", 1),
            ("town", 10),
            ("country", 40),
            ("far", 120),
            ("moon", 400),
        ];
        let clients = links.map(|(name, way)| {
            let client = world.visit(name, Visit::default());
            world.sim.set_link_latency("server", name, millis(way));
            (name, way, client)
        });
        world.run(seconds(15));
        for (name, way, client) in &clients {
            let frames = client.seen().frames(seconds(10), seconds(15));
            assert!(frames.len() >= 49, "{name}: {} pictures", frames.len());
            for frame in frames {
                let latency = frame.latency();
                let expected = millis(*way)..=millis(way + GRAIN);
                assert!(expected.contains(&latency), "{name}: {latency:?} of {frame:?}");
            }
        }
    });
}

#[test]
fn it_comes_back_to_that_of_a_better_link() {
    play(|world| {
        world.serve(Serving::default());
        let client = world.visit("client", Visit::default());
        for way in [100, 5] {
            world.sim.set_link_latency("server", "client", millis(way));
            world.run(seconds(3));
            let (last_second, now) = (world.now() - seconds(1), world.now());
            let frames = client.seen().frames(last_second, now);
            assert!(frames.len() >= 9, "{} pictures", frames.len());
            assert!(
                frames.iter().all(|f| f.latency() <= millis(way + GRAIN)),
                "{frames:?}"
            );
        }
        client.seen().assert_in_order();
    });
}
