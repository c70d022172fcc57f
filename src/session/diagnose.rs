//! [`diagnose`]: a connection that measures the path to a server: round trips without load, then while the server fills
//! the path (`load-test`, which only our own servers offer).
//!
//! Pings go through the same stream as everything else, so an echo waits behind the load wherever that waits; the kernel
//! is asked for TCP's own round trip at each echo. What both mean is for [`judge`](crate::telemetry::judge) to say.

#[cfg(test)]
mod tests;

use super::dial::{Caller, Opened, dial};
use super::driver::Handler;
use super::login::Login;
use super::request::{Asker, RequestError, TIMEOUT, observer};
use crate::auth::Answer as Proof;
use crate::auth::client::ClientAuthError;
use crate::codec::{Dialect, Value};
use crate::packet::Packet;
use crate::protocol::{CloseReason, Connection, Event, Keepalive, TimedOut, reason};
use crate::telemetry::{Load, Measured, Sample, Sender};
use crate::transport::Probe;
use compact_str::CompactString;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};

/// How a path is to be measured.
#[derive(Clone, Debug)]
pub struct Diagnose {
    /// Who measures, so that it can be told from the clients in what the server says.
    pub uuid: String,
    /// Fill the path, if the server does that.
    pub load: bool,
}

/// Pings that do not count: what login left in queues and estimates.
const SETTLE: Duration = Duration::from_millis(500);
/// How long round trips are measured without load.
const IDLE: Duration = Duration::from_secs(2);
/// The path is filled for so long, and some round trips more: a sender of TCP needs them to find its rate.
const LOAD: Duration = Duration::from_secs(4);
const LOAD_ROUNDS: f64 = 10.0;
const LONGEST_LOAD: Duration = Duration::from_secs(8);
/// Between two pings, without and with load: no more are on the way than [`Keepalive`] remembers.
const INTERVAL: Duration = Duration::from_millis(50);
const INTERVAL_LOADED: Duration = Duration::from_millis(100);
/// How long echoes, and what the server says of itself, may be overdue before we go on without.
const PATIENCE: Duration = Duration::from_secs(5);

/// Measures.
///
/// `open` gives a fresh stream to the server, and a second one when it turns out that the server speaks only the dialect
/// of 3.1. An error of `open` is handed through.
pub async fn diagnose<S, E>(
    open: impl AsyncFnMut() -> Result<Opened<S>, E>,
    asker: Asker,
    how: Diagnose,
) -> Result<Result<Measured, RequestError>, E>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let hello = observer(&how.uuid, &asker.username, "xpra-rs diagnose");
    let mut meter = Meter {
        // it has pings of its own
        login: asker.login(None, hello),
        how,
        probe: Probe::default(),
        stage: Stage::Login,
        until: None,
        pings: Pings::default(),
        offered: None,
        half: None,
        measured: Measured::default(),
        outcome: None,
    };
    let (end, _) = dial(open, &mut meter).await?;
    Ok(meter.outcome(end))
}

/// What is being done; each but the last ends at [`Meter::until`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Login,
    Settling,
    Idle,
    /// What the server knows of its clients, before they suffer from us.
    Asking,
    Loaded,
    /// Echoes are under way that the load holds up.
    Draining,
    Done,
}

/// The clock of our pings.
#[derive(Debug, Default)]
struct Pings {
    clock: Option<Keepalive>,
    /// When the next ping is due.
    next: Option<Instant>,
    interval: Duration,
}

struct Meter {
    login: Login,
    how: Diagnose,
    probe: Probe,
    stage: Stage,
    until: Option<Instant>,
    pings: Pings,
    /// For how long the server fills a path.
    offered: Option<Duration>,
    /// When half of the load was over, and the bytes received until then: what follows is measured.
    half: Option<(Instant, u64)>,
    measured: Measured,
    outcome: Option<Result<(), RequestError>>,
}

impl Pings {
    fn start(interval: Duration, now: Instant) -> Self {
        Self {
            // none of them is waited for longer than the stages take
            clock: Some(Keepalive::new(None, Duration::MAX, now)),
            next: Some(now),
            interval,
        }
    }

    /// Sends the ping that is due; by how much that was late.
    fn send(&mut self, connection: &mut Connection, now: Instant) -> Option<Duration> {
        let due = self.next.filter(|next| now >= *next)?;
        self.next = Some(now + self.interval);
        let time = self.clock.as_mut()?.sent(now);
        connection.send(Packet::Ping {
            time,
            source: CompactString::default(),
        });
        Some(now.saturating_duration_since(due))
    }

    /// When the ping of that time stamp was sent.
    fn echo(&mut self, time: i64, now: Instant) -> Option<Instant> {
        self.clock.as_mut()?.echo(time, now)
    }

    fn unanswered(&self) -> usize {
        self.clock.as_ref().map_or(0, Keepalive::unanswered)
    }
}

impl Meter {
    fn enter(&mut self, stage: Stage, lasts: Duration, now: Instant) {
        self.stage = stage;
        self.until = Some(now + lasts);
    }

    /// The stage is over, by time or because nothing more is to come.
    fn next(&mut self, connection: &mut Connection, now: Instant) {
        match self.stage {
            Stage::Login | Stage::Done => {}
            Stage::Settling => {
                self.enter(Stage::Idle, IDLE, now);
                self.pings = Pings::start(INTERVAL, now);
            }
            Stage::Idle => {
                self.pings.next = None;
                connection.send(Packet::InfoRequest {
                    categories: Vec::new(),
                });
                self.enter(Stage::Asking, PATIENCE, now);
            }
            // it may be busy, but it has to be there
            Stage::Asking if self.measured.idle.pings.is_empty() => {
                self.finish(connection, Err(RequestError::NoReply));
            }
            Stage::Asking => {
                self.measured.idle.unanswered = self.pings.unanswered();
                if self.measured.sample.is_none() {
                    self.lacks("what the server knows of its clients: it does not say (info)");
                }
                self.load(connection, now);
            }
            Stage::Loaded => {
                self.lacks("the end of the load test: the server did not report it");
                self.enter(Stage::Draining, PATIENCE, now);
            }
            Stage::Draining => {
                if let Some(load) = &mut self.measured.load {
                    load.rounds.unanswered = self.pings.unanswered();
                }
                self.finish(connection, Ok(()));
            }
        }
    }

    /// Has the path filled, or tells why not.
    fn load(&mut self, connection: &mut Connection, now: Instant) {
        let Some(offered) = self.offered.filter(|_| self.how.load) else {
            self.lacks(match self.how.load {
                true => "round trips under load: this server cannot fill the path (load-test), those of xpra-rs can",
                false => "round trips under load: not wanted",
            });
            return self.finish(connection, Ok(()));
        };
        let typical = self.measured.idle.percentile(0.5).unwrap_or(0.0).clamp(0.0, 1e4);
        let rounds = Duration::from_secs_f64(typical * LOAD_ROUNDS / 1e3);
        let length = (LOAD + rounds).min(LONGEST_LOAD).min(offered);
        connection.send(Packet::LoadTest(
            i64::try_from(length.as_millis()).unwrap_or(i64::MAX),
        ));
        self.pings = Pings::start(INTERVAL_LOADED, now);
        self.half = Some((now + length / 2, 0));
        self.measured.load = Some(Load::default());
        self.enter(Stage::Loaded, length + TIMEOUT, now);
    }

    fn echoed(&mut self, time: i64, connection: &mut Connection, now: Instant) {
        let Some(sent) = self.pings.echo(time, now) else {
            return;
        };
        let rounds = match (self.stage, &mut self.measured.load, self.half) {
            (Stage::Idle | Stage::Asking, ..) => &mut self.measured.idle,
            // until it is full, a path is as good as empty
            (Stage::Loaded | Stage::Draining, Some(load), Some((half, _))) if sent >= half => {
                &mut load.rounds
            }
            _ => return,
        };
        rounds
            .pings
            .push(milliseconds(now.saturating_duration_since(sent)));
        if let Some(kernel) = self.probe.kernel_info() {
            rounds.kernel.push(milliseconds(kernel.rtt));
            rounds.kernel_least = kernel.min_rtt.map(milliseconds);
        }
        if self.stage == Stage::Draining && self.pings.unanswered() == 0 {
            self.next(connection, now);
        }
    }

    /// Bytes of the load came; what came before half of it was over is noted.
    fn loaded(&mut self, connection: &Connection, now: Instant) {
        if let Some((half, before)) = &mut self.half
            && now < *half
        {
            *before = connection.stats().bytes_in;
        }
    }

    fn reported(&mut self, report: &Value, connection: &mut Connection, now: Instant) {
        let (Some(load), Some((half, before))) = (&mut self.measured.load, self.half) else {
            return;
        };
        if let Some(error) = report.get("error").and_then(Value::as_text) {
            self.measured.load = None;
            self.lacks(&format!("round trips under load: {error}"));
            return self.finish(connection, Ok(()));
        }
        #[expect(clippy::cast_precision_loss, reason = "bytes of a few seconds")]
        let bytes = connection.stats().bytes_in.saturating_sub(before) as f64;
        load.bytes_per_second = bytes / now.saturating_duration_since(half).as_secs_f64().max(0.001);
        load.limit = report.get("limit").and_then(Value::as_float);
        load.sender = sender(report);
        self.pings.next = None;
        self.enter(Stage::Draining, PATIENCE, now);
        if self.pings.unanswered() == 0 {
            self.next(connection, now);
        }
    }

    fn lacks(&mut self, what: &str) {
        self.measured.missing.push(what.to_owned());
    }

    fn finish(&mut self, connection: &mut Connection, outcome: Result<(), RequestError>) {
        self.outcome.get_or_insert(outcome);
        self.stage = Stage::Done;
        self.until = None;
        self.pings.next = None;
        connection.close(reason::CLIENT_EXIT, "");
    }

    fn outcome(self, end: CloseReason) -> Result<Measured, RequestError> {
        match (self.outcome, end) {
            (Some(outcome), _) => outcome.map(|()| self.measured),
            (None, CloseReason::TimedOut(TimedOut::Login)) => Err(RequestError::NoReply),
            (None, reason) => Err(RequestError::Ended {
                reason,
                connected: self.stage != Stage::Login,
            }),
        }
    }
}

/// What the sender's kernel saw of a load.
fn sender(report: &Value) -> Option<Sender> {
    let number = |tree: &Value, key: &str| {
        let value = tree.get(key)?.as_float()?;
        (value.is_finite() && value >= 0.0).then_some(value)
    };
    let (tcp, half) = (report.get("tcp")?, report.get("second-half")?);
    Some(Sender {
        rtt: number(tcp, "rtt")?,
        min_rtt: number(tcp, "min-rtt")?,
        segments: number(half, "bytes")? / number(tcp, "mss")?.max(1.0),
        retransmits: number(half, "retransmits")?,
    })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Caller for Meter {
    fn begin(&mut self, dialect: Dialect, is_private: bool, now: Instant) -> Connection {
        self.login.begin(dialect, is_private, now)
    }

    fn opened(&mut self, probe: Probe) {
        self.probe = probe;
    }
}

impl Handler for Meter {
    type Message = Result<Proof, ClientAuthError>;

    fn event(&mut self, connection: &mut Connection, event: Event, now: Instant) {
        match event {
            Event::Hello(caps) => {
                let seconds = caps.get("load-test").and_then(Value::as_u64);
                self.offered = seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs);
                self.enter(Stage::Settling, SETTLE, now);
                self.pings = Pings::start(INTERVAL, now);
            }
            Event::Packet(packet @ Packet::Challenge { .. }) => {
                if let Err(error) = self.login.challenged(connection, &packet, now) {
                    self.finish(connection, Err(error.into()));
                }
            }
            Event::Packet(Packet::PingEcho { time, .. }) => self.echoed(time, connection, now),
            Event::Packet(Packet::InfoResponse(info)) if self.stage == Stage::Asking => {
                if info.get("error").is_none() && !info.is_falsy() {
                    self.measured.sample = Some(Sample::read(&info, Duration::ZERO, &self.how.uuid));
                }
                self.next(connection, now);
            }
            Event::Packet(Packet::LoadData(_)) => self.loaded(connection, now),
            Event::Packet(Packet::LoadReport(report)) if self.stage == Stage::Loaded => {
                self.reported(&report, connection, now);
            }
            Event::Silent | Event::Heard | Event::Packet(_) | Event::Closed(_) => {}
        }
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Self::Message> {
        self.login.poll_answer(context)
    }

    fn message(&mut self, connection: &mut Connection, message: Self::Message, now: Instant) {
        match message {
            Ok(answer) => self.login.respond(connection, &answer, now),
            Err(error) => self.finish(connection, Err(error.into())),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.until.into_iter().chain(self.pings.next).min()
    }

    fn timeout(&mut self, connection: &mut Connection, now: Instant) {
        if let Some(late) = self.pings.send(connection, now)
            && self.stage == Stage::Idle
        {
            self.measured.idle.late.push(milliseconds(late));
        }
        if self.until.is_some_and(|until| now >= until) {
            self.next(connection, now);
        }
    }
}
