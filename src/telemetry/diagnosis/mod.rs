//! [`judge`]: where latency lives, by what was measured of a path and what the server says of its clients.
//!
//! The application's round trip (a ping and its echo) is made of the network's, which the kernel measures too by the
//! acknowledgements of TCP, and of what the two processes take. Smoothing leaves a mean what it is, so the means of
//! both can be compared although the kernel tells a smoothed value only.

mod limits;
#[cfg(test)]
mod tests;

use self::limits::{AGAIN, BLOATED, BUSY, FAR, GRADES, LOSSY, PICTURES, SLOW, STALLS, UNSTEADY};
use super::sample::{Client, Sample};
use serde_json::{Value as Json, json};

/// What was measured, and what the server told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Without load.
    pub idle: Rounds,
    /// While the server filled the path; `None` without such a test.
    pub load: Option<Load>,
    /// What the server says of itself and its clients; `None` when it says nothing.
    pub sample: Option<Sample>,
    /// Both ends are on this machine: there is no network.
    pub is_local: bool,
    /// Why something was not measured.
    pub missing: Vec<String>,
}

/// Round trips over a while, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rounds {
    /// From each ping to its echo.
    pub pings: Vec<f64>,
    /// Pings without an echo.
    pub unanswered: usize,
    /// The kernel's smoothed round trip, read at each echo; empty when the kernel knows nothing of it.
    pub kernel: Vec<f64>,
    /// The shortest the kernel ever saw.
    pub kernel_least: Option<f64>,
    /// How late this process woke each time it wanted to.
    pub late: Vec<f64>,
}

/// What was seen while the path was filled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Load {
    /// Round trips meanwhile.
    pub rounds: Rounds,
    /// What arrived.
    pub bytes_per_second: f64,
    /// What the server allowed at most, when that was what held it back.
    pub limit: Option<f64>,
    /// What the server's kernel saw, if it tells.
    pub sender: Option<Sender>,
}

/// The kernel of the side that sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sender {
    /// Its smoothed round trip at the end, and the shortest it saw: milliseconds.
    pub rtt: f64,
    /// The shortest.
    pub min_rtt: f64,
    /// Segments it sent while round trips were measured, roughly.
    pub segments: f64,
    /// Segments of those it sent again.
    pub retransmits: f64,
}

/// What latency comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A queue in the network that nobody keeps short.
    Bufferbloat,
    /// A client takes long to decode.
    ClientDecode,
    /// The machine that measures.
    Here,
    /// A network whose delay varies: radio.
    Jitter,
    /// The distance.
    Link,
    /// Segments get lost.
    Loss,
    /// The server, its encoder, or the machine they run on.
    ServerBusy,
}

/// A cause, and why it is thought to be one.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What it is.
    pub cause: Cause,
    /// About what it costs.
    pub milliseconds: f64,
    /// The figures.
    pub evidence: Vec<String>,
}

/// Where latency lives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diagnosis {
    /// What was found, the worst first; empty for a healthy path.
    pub findings: Vec<Finding>,
    /// What load adds to a round trip, and the grade it gets.
    pub grade: Option<(f64, &'static str)>,
    /// Round trips a minute under load, as draft-ietf-ippm-responsiveness counts them, by probes on the connection that
    /// carries the load.
    pub rpm: Option<f64>,
}

impl Cause {
    /// Its name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bufferbloat => "bufferbloat",
            Self::ClientDecode => "client-decode",
            Self::Here => "this-machine",
            Self::Jitter => "jitter",
            Self::Link => "link",
            Self::Loss => "loss",
            Self::ServerBusy => "server-busy",
        }
    }

    /// In plain words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Bufferbloat => "bufferbloat: a queue in the network grows under load",
            Self::ClientDecode => "slow decoding: a client is late with its pictures",
            Self::Here => "this machine is busy: what is measured here is partly its own",
            Self::Jitter => "jitter, as of Wi-Fi: the network delivers in bursts",
            Self::Link => "a long way: the distance itself",
            Self::Loss => "loss: packets get lost on the way",
            Self::ServerBusy => "a busy server: it answers late, not the network",
        }
    }

    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Bufferbloat => {
                "let the router manage its queue (cake or fq_codel, \"SQM\", at 90 % of the line's rate); until then \
                 give --bandwidth-limit to attach or shadow, a tenth below the rate seen here, and pause other transfers"
            }
            Self::ClientDecode => {
                "ask for pictures that are cheap to decode (attach --encoding=rgb or --speed=100), share a smaller \
                 screen, or end what else keeps the client's machine busy"
            }
            Self::Here => "end what keeps this machine busy and measure again",
            Self::Jitter => {
                "use a wire; with Wi-Fi the 5 or 6 GHz band, close to the access point, power saving off"
            }
            Self::Link => {
                "no option brings it nearer: use a server, or a VPN's exit, that is closer, and check for detours"
            }
            Self::Loss => {
                "check the cable, the radio and the port's duplex; congestion control that bears loss helps the server \
                 (sysctl net.ipv4.tcp_congestion_control=bbr)"
            }
            Self::ServerBusy => {
                "see what the server's machine does (top, steal time of virtual machines), give it more of a processor, \
                 and cheaper pictures (shadow --speed=100)"
            }
        }
    }
}

impl Rounds {
    /// Nearest-rank percentile of the round trips of pings, `share` from 0 to 1.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        percentile(&self.pings, share)
    }

    /// The kernel's round trip in the mean, when it knows it.
    pub fn kernel_mean(&self) -> Option<f64> {
        trimmed_mean(&self.kernel)
    }

    /// The shortest round trip of pings and the kernel.
    pub fn least(&self) -> Option<f64> {
        let pings = percentile(&self.pings, 0.0);
        match (pings, self.kernel_least) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// What the network and the two processes add to the shortest round trip in the mean.
    fn excess(&self) -> Option<Excess> {
        let (mean, least) = (trimmed_mean(&self.pings)?, self.least()?);
        let here = trimmed_mean(&self.late).unwrap_or(0.0);
        let kernel = self.kernel_mean();
        Some(Excess {
            all: (mean - least).max(0.0),
            here,
            network: kernel.map(|kernel| (kernel - least).clamp(0.0, (mean - least).max(0.0))),
            server: kernel.map(|kernel| (mean - kernel - here).max(0.0)),
        })
    }

    fn to_json(&self) -> Json {
        let pings = |share| self.percentile(share);
        json!({
            "pings": self.pings.len(),
            "unanswered": self.unanswered,
            "min": self.least(),
            "50p": pings(0.5),
            "90p": pings(0.9),
            "max": pings(1.0),
            "mean": trimmed_mean(&self.pings),
            "tcp-mean": self.kernel_mean(),
            "tcp-min": self.kernel_least,
            "woke-late": trimmed_mean(&self.late),
        })
    }
}

/// Milliseconds beyond the shortest round trip, in the mean.
struct Excess {
    all: f64,
    here: f64,
    /// Known when the kernel is.
    network: Option<f64>,
    server: Option<f64>,
}

/// Finds the causes.
pub fn judge(measured: &Measured) -> Diagnosis {
    let idle = &measured.idle;
    let added = added(measured);
    let mut findings: Vec<_> = [link(idle), unsteady(measured)].into_iter().flatten().collect();
    if let Some(load) = &measured.load {
        findings.extend(queue(idle, load, added));
        findings.extend(loss(idle, load, added));
    }
    let clients = measured.sample.iter().flat_map(|sample| &sample.clients);
    findings.extend(clients.flat_map(of_client));
    findings.sort_by(|a, b| b.milliseconds.total_cmp(&a.milliseconds));
    let rounds = measured.load.as_ref().map(|load| &load.rounds);
    Diagnosis {
        findings,
        grade: added.map(|added| (added, grade(added))),
        rpm: rounds
            .and_then(|rounds| trimmed_mean(&rounds.pings))
            .map(|mean| 60_000.0 / mean.max(0.001)),
    }
}

/// What load adds to the typical round trip.
fn added(measured: &Measured) -> Option<f64> {
    let load = &measured.load.as_ref()?.rounds;
    match load.percentile(0.5) {
        Some(loaded) => Some((loaded - measured.idle.percentile(0.5)?).max(0.0)),
        // no echo came through at all
        None => (load.unanswered > 0).then_some(f64::INFINITY),
    }
}

fn grade(added: f64) -> &'static str {
    let found = GRADES.iter().find(|(limit, _)| added < *limit);
    found.map_or("F", |(_, grade)| *grade)
}

fn link(idle: &Rounds) -> Option<Finding> {
    let least = idle.least().filter(|least| *least >= FAR)?;
    Some(Finding {
        cause: Cause::Link,
        milliseconds: least,
        evidence: vec![format!(
            "the shortest round trip takes {least:.0} ms, also when nothing else is sent"
        )],
    })
}

/// Why round trips of an idle path differ: the network, the server or this machine.
fn unsteady(measured: &Measured) -> Option<Finding> {
    let idle = &measured.idle;
    let excess = idle.excess()?;
    let (low, high) = (idle.percentile(0.1)?, idle.percentile(0.9)?);
    let spread = format!(
        "idle, nine of ten round trips take up to {high:.1} ms, the shortest {:.1} ms",
        idle.least()?
    );
    if excess.here >= BUSY {
        return Some(Finding {
            cause: Cause::Here,
            milliseconds: excess.here,
            evidence: vec![format!(
                "this process woke {:.1} ms late in the mean",
                excess.here
            )],
        });
    }
    // without a network or a kernel that knows it, all is one or the other's
    let (network, server) = match (excess.network, excess.server) {
        _ if measured.is_local => (0.0, (excess.all - excess.here).max(0.0)),
        (Some(network), Some(server)) => (network, server),
        _ => (excess.all, 0.0),
    };
    let is_unsteady = high - low >= UNSTEADY;
    if server >= network && (server >= BUSY || is_unsteady && server >= STALLS) {
        let mut evidence = vec![spread];
        evidence.push(match idle.kernel_mean() {
            Some(kernel) => format!(
                "its kernel acknowledges after {kernel:.1} ms in the mean, the server itself answers {server:.1} ms later"
            ),
            None => format!("there is no network in between, and an answer takes {server:.1} ms in the mean"),
        });
        if let Some(load) = load_average(measured) {
            evidence.push(format!(
                "the load of its machine was {load:.1} in the last minute"
            ));
        }
        return Some(Finding {
            cause: Cause::ServerBusy,
            milliseconds: server,
            evidence,
        });
    }
    if !is_unsteady || network < STALLS {
        return None;
    }
    let mut evidence = vec![spread];
    evidence.push(match idle.kernel_mean() {
        Some(kernel) => format!(
            "TCP's own round trips vary alike ({kernel:.1} ms in the mean): it is the network, not the server"
        ),
        None => "the kernel tells nothing of this transport, so a busy server could look the same".to_owned(),
    });
    Some(Finding {
        cause: Cause::Jitter,
        milliseconds: high - low,
        evidence,
    })
}

/// What makes round trips grow under load: a queue in the network or, when TCP's own do not grow alike, what waits behind
/// segments that got lost, or the server.
fn queue(idle: &Rounds, load: &Load, added: Option<f64>) -> Option<Finding> {
    let added = added.filter(|added| *added >= BLOATED)?;
    let mut evidence = match load.rounds.percentile(0.5) {
        Some(loaded) => vec![format!(
            "a round trip takes {loaded:.0} ms under load, {added:.0} ms more than idle: grade {}",
            grade(added)
        )],
        None => vec!["under load not one ping was answered: grade F".to_owned()],
    };
    let grown = load
        .rounds
        .kernel_mean()
        .zip(idle.kernel_mean())
        .map(|(loaded, idle)| loaded - idle);
    let seen_by_sender = load.sender.map(|sender| sender.rtt - sender.min_rtt);
    let network = [grown, seen_by_sender].into_iter().flatten().reduce(f64::max);
    let expected = if added.is_finite() { added } else { BLOATED };
    let again = load.sender.filter(|sender| sender.retransmits >= AGAIN);
    let cause = match network {
        Some(network) if network < expected / 2.0 && again.is_some() => Cause::Loss,
        // TCP sends no more than a window before it hears of it, which a round trip later it does
        Some(network) if network < expected / 2.0 && added <= idle.percentile(0.5)? => return None,
        Some(network) if network < expected / 2.0 => Cause::ServerBusy,
        _ => Cause::Bufferbloat,
    };
    if let Some(network) = network {
        let meaning = match cause {
            Cause::Bufferbloat => "the queue is in the network",
            Cause::Loss => "the rest is waiting for what was lost",
            _ => "the rest is the server's",
        };
        evidence.push(format!(
            "TCP's own round trips grow by {network:.0} ms: {meaning}"
        ));
    }
    if let Some(sender) = again {
        evidence.push(format!(
            "{:.0} of about {:.0} segments had to be sent again",
            sender.retransmits, sender.segments
        ));
    }
    Some(Finding {
        cause,
        milliseconds: if added.is_finite() { added } else { 1e4 },
        evidence,
    })
}

/// Loss without a queue that overflows.
fn loss(idle: &Rounds, load: &Load, added: Option<f64>) -> Option<Finding> {
    let sender = load.sender.filter(|sender| sender.retransmits >= AGAIN)?;
    let share = sender.retransmits / sender.segments;
    if share < LOSSY || added.is_none_or(|added| added >= BLOATED) {
        return None;
    }
    Some(Finding {
        cause: Cause::Loss,
        milliseconds: (load.rounds.percentile(0.95)? - idle.percentile(0.5)?).max(0.0),
        evidence: vec![format!(
            "{:.1} % of about {:.0} segments had to be sent again, though no long queue could overflow",
            share * 100.0,
            sender.segments
        )],
    })
}

/// What the pictures of a client wait for.
fn of_client(client: &Client) -> Vec<Finding> {
    let id = &client.id;
    let who = client.fact("type").unwrap_or("client");
    let slow = |key: &str, limit: f64, cause: Cause, what: &str| {
        let spread = client.spread(key)?;
        let is_enough = spread.get("count").is_none_or(|count| count >= PICTURES);
        let (time, whom) = match spread.get("80p") {
            Some(time) => (time, "or more for one picture in five"),
            None => (spread.get("avg")?, "in the mean"),
        };
        (is_enough && time >= limit).then(|| Finding {
            cause,
            milliseconds: time,
            evidence: vec![format!("client {id} ({who}): {what} {time:.0} ms {whom}")],
        })
    };
    let decode = slow("decode", SLOW, Cause::ClientDecode, "decoding takes");
    let encode = slow("encode", SLOW, Cause::ServerBusy, "encoding takes");
    let queue = slow(
        "network-queue",
        BLOATED,
        Cause::Bufferbloat,
        "its own path queues for",
    );
    // what is left of a picture's time counts as a queue, also when a client that is short of time acknowledges late
    let queue = queue.filter(|_| decode.is_none());
    [decode, encode, queue].into_iter().flatten().collect()
}

/// Processes that wanted to run on the server's machine; told in thousandths.
fn load_average(measured: &Measured) -> Option<f64> {
    let facts = &measured.sample.as_ref()?.server;
    let fact = facts.iter().find(|fact| fact.key == "load")?;
    let thousandths: f64 = fact.text.split([' ', ',']).next()?.parse().ok()?;
    Some(thousandths / 1e3)
}

impl Diagnosis {
    /// One object: `healthy`, `findings` with `cause`, `milliseconds`, `evidence` and `remedy`, `grade`, `added` and `rpm`,
    /// and below `measured` the figures.
    pub fn to_json(&self, measured: &Measured) -> Json {
        let finding = |finding: &Finding| {
            json!({
                "cause": finding.cause.name(),
                "milliseconds": finding.milliseconds,
                "evidence": finding.evidence,
                "remedy": finding.cause.remedy(),
            })
        };
        json!({
            "healthy": self.findings.is_empty(),
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "grade": self.grade.map(|(_, grade)| grade),
            "added": self.grade.map(|(added, _)| added).filter(|added| added.is_finite()),
            "rpm": self.rpm,
            "measured": {
                "idle": measured.idle.to_json(),
                "load": measured.load.as_ref().map(Load::to_json),
                "session": measured.sample.as_ref().map(Sample::to_json),
            },
            "missing": measured.missing,
        })
    }
}

impl Load {
    fn to_json(&self) -> Json {
        let sender = self.sender.map(|sender| {
            json!({
                "tcp-rtt": sender.rtt,
                "tcp-min-rtt": sender.min_rtt,
                "segments": sender.segments,
                "retransmits": sender.retransmits,
            })
        });
        json!({
            "rounds": self.rounds.to_json(),
            "bytes-per-second": self.bytes_per_second,
            "limit": self.limit,
            "sender": sender,
        })
    }
}

/// The mean without the top twentieth, as draft-ietf-ippm-responsiveness takes it: one hiccup is no rule.
fn trimmed_mean(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let kept = sorted.len() - sorted.len() / 20;
    sorted.truncate(kept);
    let count = u32::try_from(sorted.len()).ok().filter(|count| *count > 0)?;
    Some(sorted.iter().sum::<f64>() / f64::from(count))
}

/// Nearest rank, `share` from 0 to 1.
fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a small number"
    )]
    let index = (last as f64 * share.clamp(0.0, 1.0)).round() as usize;
    sorted.get(index).copied()
}
