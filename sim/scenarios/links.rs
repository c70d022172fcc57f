//! Sessions on the named links: what holds whatever the numbers of the scoreboard are.

use crate::lab::{Played, Setup, play};
use crate::profile::Profile;
use crate::tcp::Algorithm;

fn setup(name: &str, seed: u64) -> Setup {
    let mut profile = Profile::named(name).unwrap().remove(0);
    // enough for what is looked at here
    profile.seconds = profile.seconds.min(8);
    Setup::new(profile, seed, Algorithm::Cubic)
}

/// Whoever mistypes a link is told in a line what there is.
#[test]
fn an_unknown_profile_is_one_line() {
    let error = format!("{:#}", Profile::named("bloat").unwrap_err());
    assert!(
        error.starts_with("no profile bloat: there are bloat-10m, "),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1);
}

/// Damage that comes in parts, in any order, twice and late: the client has the whole picture in the end.
#[test]
fn damage_in_any_order() {
    for seed in 1..=3 {
        let played = play(&Setup {
            scrambled: true,
            ..setup("wifi", seed)
        });
        assert!(played.is_right, "seed {seed}: {:?}", played.outcome.last);
    }
}

#[test]
fn a_seed_tells_everything() {
    let [first, again, other] = [1, 1, 2].map(|seed| play(&setup("wifi", seed)));
    let course = |played: &Played| (played.hash, played.outcome.bytes);
    assert_eq!(course(&first), course(&again));
    assert_ne!(first.hash, other.hash);
}

/// Whatever the kernel does with its window, pictures are late by no more than what the window is to allow.
#[test]
fn every_congestion_control() {
    for algorithm in [Algorithm::Reno, Algorithm::Cubic, Algorithm::Bbr] {
        let played = play(&Setup {
            algorithm,
            ..setup("bloat-10m", 1)
        });
        let p95 = played.outcome.percentile(95);
        assert!(played.is_right && p95 < 300.0, "{algorithm:?}: {p95}");
    }
}
