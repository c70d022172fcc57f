use super::*;

const DELAY: Nanos = 20 * MILLISECOND;

fn shape(rate: Rate, queue: u64) -> Shape {
    Shape {
        rate,
        delay: DELAY,
        jitter: 0,
        loss: 0,
        queue,
        aqm: Aqm::DropTail,
        outages: Vec::new(),
    }
}

/// Everything that comes out, and when.
fn drain<T>(link: &mut Bottleneck<T>) -> Vec<(Nanos, T)> {
    std::iter::from_fn(|| {
        while let Some(at) = link.next() {
            if let Some(out) = link.poll(at) {
                return Some(out);
            }
        }
        None
    })
    .collect()
}

#[test]
fn a_packet_takes_its_serialization_and_the_delay() {
    let mut link = Bottleneck::new(shape(Rate::constant(10_000_000), 1 << 20), 1);
    link.offer(5 * MILLISECOND, 1250, ()).unwrap();
    // 10000 bits at 10 Mbit/s are a millisecond
    assert_eq!(drain(&mut link), [(26 * MILLISECOND, ())]);
}

#[test]
fn the_queue_delays_by_what_is_in_it_and_holds_exactly_its_bytes() {
    let mut link = Bottleneck::new(shape(Rate::constant(10_000_000), 1_250_000), 1);
    // one is being sent, 1000 wait
    let taken = (0..2000).filter(|i| link.offer(0, 1250, *i).is_ok()).count();
    assert_eq!(taken, 1001);
    assert_eq!(link.backlog(0), 1_250_000);
    assert_eq!(link.wait(0), 1001 * MILLISECOND);
    assert_eq!(link.counters().full, 999);
    let out = drain(&mut link);
    assert_eq!(out.len(), 1001);
    assert!(
        out.iter()
            .zip(1..)
            .all(|((at, _), i)| *at == DELAY + i * MILLISECOND)
    );
    assert_eq!(link.counters().peak, 1_250_000);
}

#[test]
fn rates_step_in_the_middle_of_a_packet() {
    let rate = Rate::steps(vec![
        (0, 10_000_000),
        (SECOND, 1_000_000),
        (2 * SECOND, 0),
        (3 * SECOND, 10_000_000),
    ]);
    assert_eq!(rate.finish(0, 1250), MILLISECOND);
    // half of it before, half of it ten times slower
    let half = MILLISECOND / 2;
    assert_eq!(rate.finish(SECOND - half, 1250), SECOND + 10 * half);
    // begun before the line stood still, ended after
    assert_eq!(rate.finish(2 * SECOND - half, 125), 3 * SECOND + half / 10);
    assert_eq!(Rate::constant(0).finish(7, 1), Nanos::MAX);
    assert_eq!(Rate::Unlimited.finish(7, 1 << 40), 7);
}

#[test]
fn a_trace_repeats() {
    let rate = Rate::trace(&[8_000_000, 4_000_000], 100 * MILLISECOND);
    let at = |millis: u64| rate.at(millis * MILLISECOND).unwrap();
    assert_eq!(
        [0, 99, 100, 199, 200, 350].map(at),
        [8_000_000, 8_000_000, 4_000_000, 4_000_000, 8_000_000, 4_000_000]
    );
    // 0.8 + 0.4 megabits each 200 ms
    assert_eq!(rate.finish(0, 150_000), 200 * MILLISECOND);
    assert_eq!(rate.finish(0, 1_500_000), 2 * SECOND);
}

#[test]
fn losses_are_as_many_as_asked_for_and_the_same_again() {
    let lossy = Shape {
        loss: 10_000,
        ..shape(Rate::Unlimited, u64::MAX)
    };
    let run = |seed| {
        let mut link = Bottleneck::new(lossy.clone(), seed);
        (0..100_000).for_each(|i| link.offer(i, 100, i).unwrap());
        (drain(&mut link), link.counters().lost)
    };
    let (first, lost) = run(7);
    // three standard deviations
    assert!((910..1090).contains(&lost), "{lost}");
    assert_eq!(run(7).0, first);
    assert_ne!(run(8).0, first);
}

#[test]
fn jitter_is_even_and_keeps_order() {
    let jumpy = Shape {
        jitter: 10 * MILLISECOND,
        ..shape(Rate::Unlimited, u64::MAX)
    };
    let mut link = Bottleneck::new(jumpy, 3);
    // so far apart that none waits for another
    (0..1000).for_each(|i| link.offer(i * 20 * MILLISECOND, 100, i).unwrap());
    let out = drain(&mut link);
    let late: Vec<_> = out
        .iter()
        .map(|(at, i)| at - i * 20 * MILLISECOND - DELAY)
        .collect();
    assert!(late.iter().all(|late| *late <= 10 * MILLISECOND));
    let mean = late.iter().sum::<u64>() / 1000;
    assert!((47..53).contains(&(mean / 100_000)), "{mean}");
    let mut close = Bottleneck::new(link.shape().clone(), 3);
    (0..1000).for_each(|i| close.offer(i * MILLISECOND, 100, i).unwrap());
    assert!(drain(&mut close).is_sorted());
}

#[test]
fn nothing_passes_an_outage() {
    let broken = Shape {
        outages: std::iter::once(SECOND..2 * SECOND).collect(),
        ..shape(Rate::Unlimited, u64::MAX)
    };
    let mut link = Bottleneck::new(broken, 1);
    (0..30).for_each(|i| link.offer(i * SECOND / 10, 100, i).unwrap());
    let out: Vec<_> = drain(&mut link).into_iter().map(|(_, i)| i).collect();
    assert_eq!(out, (0..10).chain(20..30).collect::<Vec<_>>());
}

#[test]
fn codel_holds_a_standing_queue_down() {
    let managed = Shape {
        aqm: Aqm::Codel,
        ..shape(Rate::constant(10_000_000), 1 << 20)
    };
    let mut link = Bottleneck::new(managed, 1);
    // 5 % more than fits, for 20 s
    let gap = 950_000;
    let mut waits = Vec::new();
    for i in 0..20 * SECOND / gap {
        link.offer(i * gap, 1250, ()).unwrap();
        waits.push(link.wait(i * gap));
    }
    let dropped = link.counters().codel;
    // what does not fit has to be dropped, and nothing else
    assert!((900..1100).contains(&dropped), "{dropped}");
    let worst = waits[waits.len() / 2..].iter().max().unwrap();
    assert!(*worst < 40 * MILLISECOND, "{worst}");
}
