//! The named links of `profiles.toml`, for simulated and for real kernels.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::link::{Aqm, Nanos, Rate, SECOND, Shape};

/// A named link, what is offered on it, and what is expected.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) about: String,
    /// From server to client, and back.
    pub(crate) ways: [Shape; 2],
    pub(crate) seconds: u64,
    /// Seconds that do not count.
    pub(crate) settle: u64,
    pub(crate) fps: u32,
    /// Bits a second of pixels that change.
    pub(crate) offered: u64,
    pub(crate) draws: Draws,
    pub(crate) events: Vec<Event>,
    pub(crate) expect: Expect,
}

/// What a source draws.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Draws {
    /// What no encoder shrinks, for a client that takes it as it is.
    #[default]
    Noise,
    /// What takes less where something may be lost.
    Film,
    /// Text that scrolls beside a pattern that moves.
    Page,
}

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) what: What,
    pub(crate) at: Nanos,
    pub(crate) until: Nanos,
    pub(crate) bytes: u64,
}

/// What happens.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    Upload,
    Transfer,
    Outage,
    Freeze,
    Stall,
    Roam,
}

/// Bounds: milliseconds, pictures a second, shares, seconds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    pub(crate) first: Option<f64>,
    pub(crate) p50: Option<f64>,
    pub(crate) p95: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) shown: Option<f64>,
    pub(crate) used: Option<f64>,
    pub(crate) back: Option<f64>,
    pub(crate) key: Option<f64>,
}

/// A profile as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    about: String,
    rate: String,
    back: Option<String>,
    delay: String,
    queue: String,
    aqm: Option<String>,
    jitter: Option<String>,
    #[serde(default)]
    loss: f64,
    #[serde(default)]
    steps: Vec<(String, String)>,
    trace: Option<PathBuf>,
    #[serde(default = "usual_seconds")]
    seconds: u64,
    #[serde(default = "usual_settle")]
    settle: u64,
    offer: Offer,
    #[serde(default)]
    event: Vec<WrittenEvent>,
    #[serde(default)]
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Offer {
    fps: u32,
    rate: String,
    #[serde(default)]
    draws: Draws,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEvent {
    what: What,
    at: String,
    #[serde(default, rename = "for")]
    time: Option<String>,
    #[serde(default)]
    bytes: u64,
}

const fn usual_seconds() -> u64 {
    25
}

const fn usual_settle() -> u64 {
    3
}

impl Profile {
    /// All of them, in the order of the file.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("netem");
        let file = folder.join("profiles.toml");
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let table: toml::Table = text
            .parse()
            .with_context(|| format!("reading {}", file.display()))?;
        let read = |(name, value): (String, toml::Value)| {
            let written: Result<Written, _> = value.try_into();
            let profile = written
                .map_err(Into::into)
                .and_then(|written| written.read(&name, &folder));
            profile.with_context(|| format!("profile {name}"))
        };
        table.into_iter().map(read).collect()
    }

    /// Those, or all.
    pub(crate) fn of(names: &[String]) -> Result<Vec<Self>> {
        let profiles = names.iter().map(|name| Self::named(name));
        Ok(profiles.collect::<Result<Vec<_>>>()?.concat())
    }

    /// That one, or all.
    pub(crate) fn named(name: &str) -> Result<Vec<Self>> {
        let mut all = Self::all()?;
        if name != "all" {
            let names: Vec<_> = all.iter().map(|profile| profile.name.clone()).collect();
            all.retain(|profile| profile.name == name);
            ensure!(
                !all.is_empty(),
                "no profile {name}: there are {}",
                names.join(", ")
            );
        }
        Ok(all)
    }
}

impl Written {
    fn read(self, name: &str, folder: &Path) -> Result<Profile> {
        let nominal = bits(&self.rate)?;
        let down = match (&self.trace, self.steps.as_slice()) {
            (Some(file), _) => trace(&folder.join(file))?,
            (None, []) => constant(nominal),
            (None, steps) => {
                let steps = steps.iter().map(|(at, rate)| Ok((time(at)?, bits(rate)?)));
                Rate::steps(steps.collect::<Result<_>>()?)
            }
        };
        let back = self.back.as_deref().map_or(Ok(nominal), bits)?;
        let events: Vec<_> = self.event.iter().map(WrittenEvent::read).collect::<Result<_>>()?;
        let dark = events
            .iter()
            .filter(|event| matches!(event.what, What::Outage | What::Freeze));
        let outages: Vec<_> = dark.map(|event| event.at..event.until).collect();
        let shape = |rate: Rate, nominal: u64| -> Result<Shape> {
            Ok(Shape {
                rate,
                delay: time(&self.delay)?,
                jitter: self.jitter.as_deref().map_or(Ok(0), time)?,
                loss: crate::link::whole(self.loss * 1e6).try_into()?,
                queue: queue(&self.queue, nominal)?,
                aqm: match self.aqm.as_deref() {
                    None => Aqm::DropTail,
                    Some("codel") => Aqm::Codel,
                    Some(other) => bail!("unknown aqm {other}"),
                },
                outages: outages.clone(),
            })
        };
        Ok(Profile {
            name: name.to_owned(),
            ways: [shape(down, nominal)?, shape(constant(back), back)?],
            about: self.about,
            seconds: self.seconds,
            settle: self.settle,
            fps: self.offer.fps,
            offered: bits(&self.offer.rate)?,
            draws: self.offer.draws,
            events,
            expect: self.expect,
        })
    }
}

impl WrittenEvent {
    fn read(&self) -> Result<Event> {
        let at = time(&self.at)?;
        let long = self.time.as_deref().map_or(Ok(0), time)?;
        Ok(Event {
            what: self.what,
            at,
            until: at + long,
            bytes: self.bytes,
        })
    }
}

fn constant(bits: u64) -> Rate {
    if bits == 0 {
        Rate::Unlimited
    } else {
        Rate::constant(bits)
    }
}

/// A recording: a line `step TIME`, then a number of megabits a second on each line.
fn trace(file: &Path) -> Result<Rate> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let step = lines.next().and_then(|line| line.strip_prefix("step "));
    let step = time(step.with_context(|| format!("{} does not begin with a step", file.display()))?)?;
    let samples = lines.map(|line| Ok(crate::link::whole(line.parse::<f64>()? * 1e6)));
    Ok(Rate::trace(&samples.collect::<Result<Vec<_>>>()?, step))
}

fn queue(text: &str, rate: u64) -> Result<u64> {
    if text.ends_with('s') {
        let nanos = u128::from(time(text)?);
        return Ok(u64::try_from(nanos * u128::from(rate) / 8 / u128::from(SECOND))?);
    }
    number(
        text,
        &[("k", 1000), ("m", 1_000_000), ("g", 1_000_000_000), ("", 1)],
    )
}

fn bits(text: &str) -> Result<u64> {
    number(
        text,
        &[
            ("kbit", 1000),
            ("mbit", 1_000_000),
            ("gbit", 1_000_000_000),
            ("", 1),
        ],
    )
}

fn time(text: &str) -> Result<Nanos> {
    number(text, &[("ms", 1_000_000), ("us", 1000), ("ns", 1), ("s", SECOND)])
}

/// A whole number with one of the units.
fn number(text: &str, units: &[(&str, u64)]) -> Result<u64> {
    let found = units
        .iter()
        .find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<u64>().ok()? * factor));
    found.with_context(|| format!("{text:?} is no number with a unit"))
}
