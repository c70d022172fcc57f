//! Clients that acknowledge what they did not get, twice, never, or with times that cannot be: they get no more for it,
//! and nobody else gets less.

use crate::client::{Client, Lie, Visit};
use crate::server::Serving;
use crate::world::{millis, play, seconds};

#[test]
fn lies_about_pictures_gain_nothing_and_cost_nobody() {
    play(|world| {
        world.serve(Serving::default());
        let honest = world.visit("honest", Visit::default());
        let lies = [
            ("early", Lie::Early),
            ("twice", Lie::Twice),
            ("never", Lie::Never),
            ("hours", Lie::Took(i64::MAX)),
            ("failed", Lie::Took(i64::MIN)),
        ];
        let liars = lies.map(|(name, lie)| {
            let lie = Some(lie);
            let visit = Visit {
                lie,
                ..Visit::default()
            };
            (name, world.visit(name, visit))
        });
        world.run(seconds(20));
        let written = |name| world.server.valve(name).written();
        let most = written("honest") * 3 / 2;
        for (name, liar) in &liars {
            assert!(liar.seen().is_connected(), "{name}: {:?}", liar.seen().ends);
            assert!(written(name) <= most, "{name}: {} of {most}", written(name));
        }
        let late = |client: &Client, from| {
            let frames = client.seen().frames(seconds(from), seconds(from + 1));
            let late = frames.iter().filter(|frame| frame.latency() > millis(60));
            (frames.len(), late.count())
        };
        for second in 1..20 {
            let (shown, late) = late(&honest, second);
            assert!(
                shown >= 9 && late == 0,
                "second {second}: {shown} pictures, {late} late"
            );
        }
        // who says nothing is sent no more than the window holds, whoever says too much is sent no less
        let (_, never) = &liars[2];
        let shown = never.seen().frames.len();
        assert!(shown < 100, "{shown} pictures without a word");
        let (_, twice) = &liars[1];
        assert!(late(twice, 19).0 >= 9);
    });
}
