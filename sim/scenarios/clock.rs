//! Clocks that are set while a session runs. Ours cannot matter, since nothing reads them (`play` lets 20 years pass
//! between the two courses of each scenario); those of peers show in their pings.

use crate::client::Visit;
use crate::server::Serving;
use crate::world::{play, seconds};
use compact_str::CompactString;
use xpra::packet::Packet;

/// A day in milliseconds.
const DAY: i64 = 24 * 3600 * 1000;

#[test]
fn the_stamps_of_a_peer_leap() {
    play(|world| {
        world.serve(Serving {
            fps: 4,
            ..Serving::default()
        });
        let client = world.visit("client", Visit::default());
        let stamps = [0, DAY, 1, -DAY, i64::MAX, i64::MIN, DAY];
        for time in stamps {
            world.run(seconds(1));
            client.send(Packet::Ping {
                time,
                source: CompactString::default(),
            });
            // the echo of a ping that nobody sent
            client.send(Packet::PingEcho {
                time,
                load: [0; 3],
                latency: time,
                source: CompactString::default(),
            });
        }
        world.run(seconds(70));
        assert!(client.seen().is_connected());
        client.seen().assert_in_order();
        client.leave();
        world.run(seconds(1));
        let echoes = client.seen().stats.received["ping_echo"];
        let own = 77 / 5;
        assert!(
            (own..=own + 1).contains(&(echoes - stamps.len() as u64)),
            "{echoes}"
        );
    });
}
