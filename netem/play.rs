//! [`play`]: a profile on real kernels, from the client's start to the last picture.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::flow::Flow;
use crate::link::SECOND;
use crate::outcome::{Graph, Outcome};
use crate::probe::Shown;
use crate::profile::{Event, Profile, What};
use crate::source::Sent;
use crate::stage::{Choice, Stage};
use crate::wire::Look;

/// How long the last picture may take.
const DRAIN: Duration = Duration::from_secs(3);

/// Plays it.
pub(crate) fn play(profile: &Profile, choice: &Choice) -> Result<Outcome> {
    let mut stage = Stage::new(choice)?;
    let before = load();
    let link = stage.begin(profile)?;
    let began = link.began();
    stage.attach()?;
    let origin = stage.attached()?;
    let first = began.elapsed();
    let probe = stage.subject.probe(&stage.screen, origin)?;

    let (subject, fps) = (Arc::clone(&stage.subject), profile.fps);
    let left = Duration::from_secs(profile.seconds).saturating_sub(first);
    // numbers have 16 bits
    let frames = u32::try_from(left.as_millis())?.saturating_mul(fps) / 1000;
    let drawing = thread::spawn(move || subject.draw(1..=frames.min(0xffff), fps));
    let mut notes = act(&mut stage, &profile.events, began, left + first)?;
    let sent = drawing.join().map_err(|_| anyhow!("the source panicked"))??;

    thread::sleep(DRAIN);
    let shown = probe.finish()?;
    let (looks, counters) = link.finish();
    notes.push(counters);
    notes.push(format!(
        "load of the machine before and after: {before}, {}",
        load()
    ));
    let mut outcome = evaluate(profile, began, &sent, &shown, &looks);
    outcome.first = Some(millis(first));
    outcome.notes = notes;
    Ok(outcome)
}

/// Makes happen what is to happen; says what else did.
fn act(stage: &mut Stage, events: &[Event], began: Instant, long: Duration) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let mut cues: Vec<(u64, What, bool, u64)> = Vec::new();
    for event in events {
        cues.push((event.at, event.what, true, event.bytes));
        cues.push((event.until, event.what, false, 0));
    }
    cues.sort_by_key(|(at, ..)| *at);
    let mut flow = None;
    for (at, what, begins, bytes) in cues {
        wait(stage, began + Duration::from_nanos(at), &mut notes, began)?;
        match (what, begins) {
            (What::Upload, true) => flow = Some(Flow::start(&stage.ends, "cubic", u64::MAX)?),
            (What::Upload, false) => drop(flow.take()),
            (What::Transfer, true) if stage.send_file(bytes)? => {}
            (What::Transfer, true) => flow = Some(Flow::start(&stage.ends, "", bytes)?),
            (What::Freeze | What::Stall, hangs) => stage.hang(hangs)?,
            (What::Roam, true) => stage.roam()?,
            // the link does that itself, and transfers and new addresses stay
            (What::Outage, _) | (What::Transfer | What::Roam, false) => {}
        }
    }
    wait(stage, began + long, &mut notes, began)?;
    Ok(notes)
}

/// Lets time pass; a user whose client ended attaches again.
fn wait(stage: &mut Stage, until: Instant, notes: &mut Vec<String>, began: Instant) -> Result<()> {
    while let left = until.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        thread::sleep(left.min(Duration::from_millis(100)));
        if !stage.is_attached() {
            notes.push(format!(
                "{:.1} s: the client ended and was started again",
                began.elapsed().as_secs_f64()
            ));
            stage.attach()?;
        }
    }
    Ok(())
}

fn evaluate(profile: &Profile, began: Instant, sent: &[Sent], shown: &[Shown], looks: &[Look]) -> Outcome {
    let since = |at: Instant| at.saturating_duration_since(began).as_secs_f64();
    let drawn: BTreeMap<u32, f64> = sent
        .iter()
        .map(|sent| (sent.number, since(sent.flushed)))
        .collect();
    let seen: Vec<(f64, f64)> = shown
        .iter()
        .filter_map(|shown| Some((since(shown.at), *drawn.get(&shown.number)?)))
        .collect();
    let frames: Vec<_> = seen.iter().map(|(at, drawn)| (*at, (at - drawn) * 1e3)).collect();
    let (begin, end) = (profile.settle as f64, profile.seconds as f64);
    let seconds = |nanos: u64| nanos as f64 / SECOND as f64;
    let inside: Vec<_> = looks
        .iter()
        .filter(|look| (begin..end).contains(&seconds(look.at)))
        .collect();
    let ages: Vec<(f64, f64)> = looks
        .iter()
        .map(|look| (seconds(look.at), age(seconds(look.at), &drawn, shown, began)))
        .collect();
    let (mut goodput, mut used) = (0.0, None);
    if let (Some(from), Some(until)) = (inside.first(), inside.last())
        && until.at > from.at
    {
        goodput = (until.payload - from.payload) as f64 * 8e-6 / seconds(until.at - from.at);
        let capacity = profile.ways[0].rate.capacity(from.at..until.at);
        used = capacity.map(|bits| (until.bytes - from.bytes) as f64 * 8.0 / bits.max(1.0));
    }
    let calm = profile.events.iter().map(|event| event.until.max(event.at)).max();
    let back = calm.map(seconds).and_then(|calm| {
        let fresh = seen.iter().find(|(_, drawn)| *drawn >= calm);
        fresh.map(|(at, _)| at - calm)
    });
    let last = sent.last().and_then(|last| {
        let shown = shown.iter().find(|shown| shown.number == last.number)?;
        Some((since(shown.at) - since(last.flushed)) * 1e3)
    });
    let rates = looks.iter().zip(looks.iter().skip(2));
    let rates = rates.map(|(a, b)| {
        (
            seconds(b.at),
            (b.payload - a.payload) as f64 * 8e-6 / seconds(b.at - a.at),
        )
    });
    let waits = looks
        .iter()
        .map(|look| (seconds(look.at), seconds(look.wait) * 1e3));
    Outcome {
        title: profile.name.clone(),
        first: None,
        keys: Vec::new(),
        span: (begin, end),
        ages: ages
            .iter()
            .filter(|(at, _)| (begin..end).contains(at))
            .map(|(_, age)| *age)
            .collect(),
        goodput,
        used,
        bytes: looks.last().map_or(0, |look| look.payload),
        back,
        last,
        graphs: vec![
            Graph {
                name: "picture age",
                unit: "ms",
                points: ages,
            },
            Graph {
                name: "router queue",
                unit: "ms",
                points: waits.collect(),
            },
            Graph {
                name: "rate",
                unit: "Mbit/s",
                points: rates.collect(),
            },
        ],
        frames,
        notes: Vec::new(),
    }
}

/// Milliseconds since the first picture was drawn that the window does not show at that time.
fn age(at: f64, drawn: &BTreeMap<u32, f64>, shown: &[Shown], began: Instant) -> f64 {
    let count = shown.partition_point(|shown| shown.at.saturating_duration_since(began).as_secs_f64() <= at);
    let number = count.checked_sub(1).map_or(0, |last| shown[last].number);
    let next = drawn.range(number + 1..).next();
    next.map_or(0.0, |(_, drawn)| (at - drawn).max(0.0) * 1e3)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The load of the machine: processes that want to run, in the mean of the last minute.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
