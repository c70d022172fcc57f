//! Made-up measurements, each with one cause.

use super::*;
use crate::codec::Value;
use std::time::Duration;

/// Forty round trips that begin at `least`; `more` is added to those whose number it is told.
fn rounds(least: f64, more: impl Fn(usize) -> f64) -> Vec<f64> {
    (0..40).map(|i| least + 0.05 * (i % 5) as f64 + more(i)).collect()
}

/// What the kernel tells of such round trips: smoothed, as it does.
fn smoothed(rounds: &[f64]) -> Vec<f64> {
    let mut value = rounds[0];
    let smooth = rounds.iter().map(|round| {
        value += (round - value) / 8.0;
        value
    });
    smooth.collect()
}

fn idle(pings: Vec<f64>, network: &[f64]) -> Rounds {
    Rounds {
        pings,
        kernel: smoothed(network),
        kernel_least: network.iter().copied().reduce(f64::min),
        late: vec![0.1; 40],
        unanswered: 0,
    }
}

/// A path on which load adds that much, in the network.
fn path(least: f64, added: f64, retransmits: f64) -> Measured {
    let (quiet, full) = (rounds(least, |_| 0.0), rounds(least + added, |_| 0.0));
    Measured {
        idle: idle(quiet.clone(), &quiet),
        load: Some(Load {
            rounds: idle(full.clone(), &full),
            bytes_per_second: 1.25e6,
            limit: None,
            sender: Some(Sender {
                rtt: least + added,
                min_rtt: least,
                segments: 5000.0,
                retransmits,
            }),
        }),
        ..Measured::default()
    }
}

fn causes(measured: &Measured) -> Vec<Cause> {
    let found = judge(measured).findings;
    assert!(
        found.iter().all(|finding| !finding.evidence.is_empty()),
        "{found:?}"
    );
    found.iter().map(|finding| finding.cause).collect()
}

#[test]
fn a_healthy_path_has_no_cause_and_a_good_grade() {
    let measured = path(0.3, 2.0, 0.0);
    let diagnosis = judge(&measured);
    assert_eq!(diagnosis.findings, []);
    assert_eq!(diagnosis.grade.unwrap().1, "A+");
    // 60000 / 2.4 ms
    assert!(
        (20_000.0..30_000.0).contains(&diagnosis.rpm.unwrap()),
        "{diagnosis:?}"
    );
    assert_eq!(diagnosis.to_json(&measured)["healthy"], true);
}

#[test]
fn distance_is_named_with_its_round_trip() {
    assert_eq!(causes(&path(300.0, 3.0, 0.0)), [Cause::Link]);
    assert_eq!(causes(&path(60.0, 3.0, 0.0)), []);
}

#[test]
fn a_queue_gets_its_grade() {
    for (added, grade) in [
        (4.0, "A+"),
        (29.0, "A"),
        (59.0, "B"),
        (61.0, "C"),
        (300.0, "D"),
        (900.0, "F"),
    ] {
        let diagnosis = judge(&path(20.0, added, 0.0));
        assert_eq!(diagnosis.grade.unwrap().1, grade, "{added}");
        let bloated = diagnosis
            .findings
            .iter()
            .any(|finding| finding.cause == Cause::Bufferbloat);
        assert_eq!(bloated, added >= 60.0, "{added}");
    }
    // what overflows is the queue
    assert_eq!(causes(&path(20.0, 300.0, 200.0)), [Cause::Bufferbloat]);
}

#[test]
fn nothing_but_silence_under_load_is_an_f() {
    let mut measured = path(20.0, 300.0, 0.0);
    let load = measured.load.as_mut().unwrap();
    load.rounds.pings.clear();
    load.rounds.unanswered = 30;
    let diagnosis = judge(&measured);
    assert_eq!(diagnosis.grade.unwrap().1, "F");
    assert_eq!(diagnosis.findings[0].cause, Cause::Bufferbloat);
    assert!(diagnosis.to_json(&measured)["added"].is_null());
}

#[test]
fn what_waits_in_the_server_under_load_is_no_bufferbloat() {
    let mut measured = path(20.0, 0.0, 0.0);
    measured.load.as_mut().unwrap().rounds.pings = rounds(200.0, |_| 0.0);
    assert_eq!(causes(&measured), [Cause::ServerBusy]);
    // nor is what waits for TCP's window on a long way
    let mut far = path(300.0, 0.0, 0.0);
    far.load.as_mut().unwrap().rounds.pings = rounds(400.0, |_| 0.0);
    assert_eq!(causes(&far), [Cause::Link]);
    // and what waits for what was lost
    measured
        .load
        .as_mut()
        .unwrap()
        .sender
        .as_mut()
        .unwrap()
        .retransmits = 200.0;
    assert_eq!(causes(&measured), [Cause::Loss]);
}

#[test]
fn loss_is_named_where_no_queue_overflows() {
    assert_eq!(causes(&path(20.0, 5.0, 100.0)), [Cause::Loss]);
    assert_eq!(causes(&path(20.0, 5.0, 10.0)), []);
    // 4 of 40
    let mut measured = path(20.0, 5.0, 4.0);
    measured.load.as_mut().unwrap().sender.as_mut().unwrap().segments = 40.0;
    assert_eq!(causes(&measured), []);
}

#[test]
fn stalls_of_the_network_and_of_the_server_are_told_apart() {
    let mut measured = path(5.0, 2.0, 0.0);
    // one in four waits for up to 80 ms
    let stall = |i: usize| if i.is_multiple_of(4) { 40.0 + i as f64 } else { 0.0 };
    let stalled = rounds(5.0, stall);
    measured.idle = idle(stalled.clone(), &stalled);
    assert_eq!(causes(&measured), [Cause::Jitter]);
    // the same, but the kernel at the other end was never late by more than its own timer
    measured.idle = idle(stalled, &rounds(5.0, |i| stall(i).min(4.0)));
    assert_eq!(causes(&measured), [Cause::ServerBusy]);
    let stopped = rounds(5.0, |i| (i * 30 % 240) as f64);
    measured.idle = idle(
        stopped.clone(),
        &rounds(5.0, |i| ((i * 30 % 240) as f64).min(40.0)),
    );
    assert_eq!(causes(&measured), [Cause::ServerBusy]);
    // a transport whose kernel says nothing
    measured.idle.kernel.clear();
    assert_eq!(causes(&measured), [Cause::Jitter]);
    assert!(judge(&measured).findings[0].evidence[1].contains("could look the same"));
    measured.is_local = true;
    assert_eq!(causes(&measured), [Cause::ServerBusy]);
    // this machine itself
    measured.idle.late = vec![60.0; 40];
    assert_eq!(causes(&measured), [Cause::Here]);
}

#[test]
fn clients_that_are_slow_are_named() {
    let spread = |typical: f64, count: i64| {
        let mut map = Value::map();
        map.insert("50p", Value::Float(1.0));
        map.insert("80p", Value::Float(typical));
        map.insert("count", count);
        map
    };
    let with_parts = |names: &[&'static str], typical: f64, count: i64| {
        let (mut info, mut client, mut network, mut parts) =
            (Value::map(), Value::map(), Value::map(), Value::map());
        for name in names {
            parts.insert(*name, spread(typical, count));
        }
        network.insert("path", parts);
        client.insert("network", network);
        client.insert("uuid", "a");
        client.insert("id", 7);
        info.insert("client", client);
        Measured {
            sample: Some(Sample::read(&info, Duration::ZERO, "")),
            ..path(5.0, 2.0, 0.0)
        }
    };
    let with = |part: &'static str, typical, count| with_parts(&[part], typical, count);
    let measured = with("decode", 90.0, 20);
    assert_eq!(causes(&measured), [Cause::ClientDecode]);
    let finding = &judge(&measured).findings[0];
    assert!(finding.evidence[0].contains("client 7") && finding.evidence[0].contains("90 ms"));
    assert_eq!(causes(&with("decode", 90.0, 2)), []);
    assert_eq!(causes(&with("decode", 9.0, 20)), []);
    assert_eq!(causes(&with("encode", 90.0, 20)), [Cause::ServerBusy]);
    assert_eq!(causes(&with("network-queue", 90.0, 20)), [Cause::Bufferbloat]);
    // such a client acknowledges late, which looks like a queue from afar
    let both = with_parts(&["decode", "network-queue"], 90.0, 20);
    assert_eq!(causes(&both), [Cause::ClientDecode]);
}

#[test]
fn the_worst_comes_first_and_nothing_measured_is_nothing_found() {
    assert_eq!(
        causes(&path(150.0, 400.0, 0.0)),
        [Cause::Bufferbloat, Cause::Link]
    );
    let nothing = judge(&Measured::default());
    assert_eq!(nothing, Diagnosis::default());
}
