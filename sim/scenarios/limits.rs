//! What options say a connection may take, on links that could carry more and on links that cannot.

use crate::lab::{Played, Setup, play};
use crate::link::{MILLISECOND, Nanos, Rate, SECOND};
use crate::profile::Profile;
use crate::tcp::{Algorithm, SERVER};

/// Ten seconds of a link of 10 Mbit/s that is offered twice as much.
fn setup(name: &str) -> Setup {
    let mut profile = Profile::named(name).unwrap().remove(0);
    profile.seconds = 10;
    Setup::new(profile, 1, Algorithm::Cubic)
}

/// Most bytes that were read in any second from `from` on.
fn most_in_a_second(played: &Played, from: Nanos) -> u64 {
    let looks = played.read.iter().filter(|(at, _)| *at >= from);
    let before = |until: Nanos| {
        let mut looks = played.read.iter().rev();
        looks
            .find(|(at, _)| at + SECOND <= until)
            .map_or(0, |(_, read)| *read)
    };
    looks.map(|(at, read)| read - before(*at)).max().unwrap_or(0)
}

/// Whoever sets it, and however much one picture is.
#[test]
fn no_second_carries_more_than_the_limit() {
    // the server's limit, the client's, what holds
    for (server, client, limit) in [
        (4_000_000, 0, 4_000_000),
        (0, 4_000_000, 4_000_000),
        (1_000_000, 4_000_000, 1_000_000),
        (8_000_000, 300_000, 300_000),
    ] {
        let mut setup = setup("bloat-10m");
        setup.server.bandwidth_limit = server;
        setup.client.bandwidth_limit = client;
        // a picture takes the limit 250 ms, so there are large ones for the low limits and small ones for the high
        setup.profile.offered = limit / 4 * u64::from(setup.profile.fps);
        let played = play(&setup);
        assert!(played.is_right, "{limit}");
        // a piece of a picture is sent ahead of the bits it takes; keys, bells and pings are not pictures
        let most = most_in_a_second(&played, 0) * 8;
        let spare = (16 << 10) * 8 + limit / 20;
        assert!(most <= limit + spare, "{most} where {limit} are allowed");
        let outcome = &played.outcome;
        let least = limit as f64 / 1e6 * 0.85;
        assert!(outcome.goodput >= least, "{} of {limit}", outcome.goodput);
        // a picture waits for the one before, and takes 250 ms itself
        let p95 = outcome.percentile(95);
        assert!(p95 <= 40.0 + 250.0 + 100.0, "{limit}: {p95} ms");
        assert!(
            outcome.key().unwrap() <= 40.0 + 60.0,
            "{limit}: {:?}",
            outcome.key()
        );
    }
}

/// A limit of next to nothing: what is no picture still passes at once.
#[test]
fn one_bit_a_second() {
    let mut setup = setup("bloat-10m");
    setup.server.bandwidth_limit = 1;
    let outcome = play(&setup).outcome;
    assert!(outcome.frames.len() <= 1, "{}", outcome.frames.len());
    assert!(outcome.key().unwrap() <= 40.0 + 60.0, "{:?}", outcome.key());
}

/// A limit that the link cannot carry changes nothing.
#[test]
fn a_limit_above_the_link_is_none() {
    let mut setup = setup("bloat-10m");
    let free = play(&setup).outcome;
    setup.server.bandwidth_limit = 50_000_000;
    let limited = play(&setup).outcome;
    assert!(
        limited.goodput >= free.goodput * 0.98,
        "{} {}",
        limited.goodput,
        free.goodput
    );
    assert!(limited.percentile(95) <= free.percentile(95) + 2.0);
}

/// With detection pictures on a slow link are made worse so that there are enough of them; without they stay as good,
/// and there are fewer. They are on time either way, and what a limit says counts either way.
#[test]
fn without_detection_pictures_stay_good() {
    let shown = |server: bool, client: bool, limit: u64| {
        let mut setup = setup("step-video");
        setup.profile.seconds = 5;
        setup.profile.settle = 2;
        setup.profile.ways[SERVER].rate = Rate::constant(1_000_000);
        setup.server.bandwidth_detection = server;
        setup.client.bandwidth_detection = client;
        setup.server.bandwidth_limit = limit;
        let played = play(&setup);
        let pictures = played.outcome.shown();
        let p95 = played.outcome.percentile(95);
        let own = 1e3 / pictures.max(1.0);
        let round = setup.profile.ways.iter().map(|way| way.delay).sum::<Nanos>() / MILLISECOND;
        assert!(
            p95 <= round as f64 + 2.0 * own + 60.0,
            "{server} {client} {limit}: {p95} ms"
        );
        pictures
    };
    let seen = shown(true, true, 0);
    let unseen = shown(true, false, 0);
    assert!(unseen < seen * 0.5, "{unseen} and {seen} pictures a second");
    let limited = shown(false, true, 1_000_000);
    assert!(limited > unseen * 1.5, "{limited} and {unseen} pictures a second");
}

/// A screen that shows 20 pictures a second gets hardly more, and none of them late.
#[test]
fn a_refresh_rate_bounds_the_pictures() {
    for (server, client) in [("20", "auto"), ("auto", "20"), ("10-20", "auto")] {
        let mut setup = setup("lan");
        setup.server.refresh_rate = server.parse().unwrap();
        setup.client.refresh_rate = client.parse().unwrap();
        let played = play(&setup);
        let shown = played.outcome.shown();
        assert!(
            played.is_right && (19.0..=21.5).contains(&shown),
            "{server} {client}: {shown}"
        );
        // as late as its turn
        let p95 = played.outcome.percentile(95);
        assert!(p95 <= 20.0, "{server} {client}: {p95} ms");
    }
}
