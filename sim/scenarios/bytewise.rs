//! Streams keep no borders: whatever arrives byte by byte means the same.

use crate::client::Visit;
use crate::server::Serving;
use crate::world::{millis, play, seconds};
use xpra::codec::Dialect;

#[test]
fn both_ends_read_and_write_single_bytes() {
    play(|world| {
        world.serve(Serving {
            fps: 2,
            grain: 1,
            ..Serving::default()
        });
        let clients = [("old", Dialect::G3), ("new", Dialect::G6)].map(|(name, dialect)| {
            let visit = Visit {
                dialect: Some(dialect),
                grain: 1,
                ..Visit::default()
            };
            let client = world.visit(name, visit);
            world.sim.set_link_latency("server", name, millis(1));
            (dialect, client)
        });
        world.run(seconds(10));
        for (dialect, client) in &clients {
            let seen = client.seen();
            assert!(seen.is_connected(), "{:?}", seen.ends);
            assert_eq!(seen.dialect, Some(*dialect));
            assert!(seen.frames.len() >= 8, "{:?}", seen.frames);
            seen.assert_in_order();
        }
    });
}
