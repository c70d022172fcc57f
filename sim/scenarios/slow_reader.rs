//! Clients that do not read cost the server next to nothing, and other clients nothing at all.

use crate::client::{Client, Visit};
use crate::server::Serving;
use crate::trace::hash;
use crate::world::{millis, play, seconds};
use compact_str::CompactString;
use xpra::codec::Value;
use xpra::packet::Packet;

#[test]
fn pictures_stop_until_they_are_read() {
    play(|world| {
        world.serve(Serving {
            fps: 5,
            ..Serving::default()
        });
        let slow = world.visit("slow", Visit::default());
        let other = world.visit("other", Visit::default());
        world.run(seconds(2));
        slow.valve().set_reading(false);
        world.run(seconds(30));
        // the window, which had no reason to grow, and the picture that closed it
        let on_the_way = in_flight(&world.info("info"), "slow");
        assert!(on_the_way < 32 << 10, "{on_the_way} bytes are on the way");

        slow.valve().set_reading(true);
        world.run(seconds(2));
        assert!(slow.seen().is_connected());
        slow.seen().assert_in_order();
        let (now, seen) = (world.now(), slow.seen());
        let last_second = seen.frames(now - seconds(1), now);
        assert!(
            last_second.iter().all(|f| f.latency() < millis(60)),
            "{last_second:?}"
        );
        assert!(last_second.len() >= 4);
        assert_smooth(&other, 33);
    });
}

/// Pings are answered; who sends many and reads no answer has to wait.
#[test]
fn questions_are_not_read_faster_than_answers() {
    play(|world| {
        world.serve(Serving {
            fps: 5,
            ..Serving::default()
        });
        let flood = world.visit("flood", Visit::default());
        let other = world.visit("other", Visit::default());
        world.run(seconds(2));
        flood.valve().set_reading(false);
        for time in 0..4000 {
            // random enough not to be compressed
            let source = (0..20).map(|i| format!("{:x}", hash(&(time, i))));
            let source = source.collect::<CompactString>();
            flood.send(Packet::Ping { time, source });
        }
        world.run(seconds(10));
        let valve = world.server.valve("flood");
        let (read, written) = (valve.read(), valve.written());
        world.run(seconds(10));
        assert!(read < 512 << 10, "{read} bytes were read");
        assert_eq!((valve.read(), valve.written()), (read, written));
        assert_smooth(&other, 22);
    });
}

/// Bytes of pictures that a client did not acknowledge, as the server tells.
fn in_flight(info: &Value, name: &str) -> i64 {
    let clients = info.get("client").unwrap().as_map().unwrap();
    let named = |client: &&Value| client.get("hostname").and_then(Value::as_text).as_deref() == Some(name);
    let client = clients.iter().map(|(_, client)| client).find(named).unwrap();
    let damage = client.get("damage").unwrap();
    damage.get("bytes-in-flight").and_then(Value::as_int).unwrap()
}

/// Not a second without pictures, none of them late, from the second second on.
fn assert_smooth(client: &Client, until: u64) {
    let seen = client.seen();
    seen.assert_in_order();
    for second in 2..until {
        let frames = seen.frames(seconds(second), seconds(second + 1));
        assert!(frames.len() >= 3, "second {second}: {frames:?}");
        assert!(
            frames.iter().all(|f| f.latency() < millis(60)),
            "second {second}: {frames:?}"
        );
    }
}
