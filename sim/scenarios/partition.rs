//! A network that carries nothing any more is noticed by both ends, and by nobody else.

use crate::client::Visit;
use crate::server::Serving;
use crate::world::{play, seconds};
use xpra::protocol::{CloseReason, TimedOut};

#[test]
fn silence_ends_one_session_and_no_other() {
    play(|world| {
        world.serve(Serving {
            fps: 4,
            ..Serving::default()
        });
        let lost = world.visit("lost", Visit::default());
        let other = world.visit("other", Visit::default());
        world.run(seconds(7));
        assert!(lost.seen().is_connected());
        world.sim.partition("server", "lost");

        // the first ping without an echo is sent within 5 seconds, and patience lasts 60
        world.run(seconds(59));
        assert!(lost.seen().is_connected());
        world.run(seconds(7));
        let (at, reason) = lost.seen().end();
        assert_eq!(reason, CloseReason::TimedOut(TimedOut::Ping));
        assert!((seconds(67)..seconds(72)).contains(&at), "{at:?}");
        world.run(seconds(3));
        let info = world.info("info");
        let clients = info.get("clients").unwrap();
        assert_eq!(
            clients.get("").and_then(|v| v.as_int()),
            Some(1),
            "the server noticed, too"
        );

        assert!(other.seen().is_connected());
        other.seen().assert_in_order();
        for second in 1..75 {
            let frames = other.seen().frames(seconds(second), seconds(second + 1));
            assert!((3..=5).contains(&frames.len()), "second {second}: {frames:?}");
        }
    });
}
