//! A network that stalls for a while: the session goes on as if nothing had happened.

use crate::client::Visit;
use crate::server::Serving;
use crate::world::{millis, play, seconds};

#[test]
fn nothing_is_lost_and_nothing_piles_up() {
    play(|world| {
        world.serve(Serving::default());
        let client = world.visit("client", Visit::default());
        world.run(seconds(3));
        let (shown, written) = (client.seen().frames.len(), world.server.valve("client").written());
        world.sim.hold("server", "client");
        world.run(seconds(50));
        assert_eq!(client.seen().frames.len(), shown);
        // the window, which had no reason to grow, and the picture that closed it
        let more = world.server.valve("client").written() - written;
        assert!(more < 32 << 10, "{more} bytes more are on the way");

        world.sim.release("server", "client");
        world.run(seconds(2));
        assert!(client.seen().is_connected());
        client.seen().assert_in_order();
        let (now, seen) = (world.now(), client.seen());
        let last_second = seen.frames(now - seconds(1), now);
        assert!(last_second.len() >= 9, "{last_second:?}");
        assert!(
            last_second.iter().all(|f| f.latency() < millis(60)),
            "{last_second:?}"
        );
    });
}
