//! [`play`]: a profile, from the first connection to the last picture.

use super::client::{Attached, Seen};
use super::fault::Fault;
use super::noise::Noise;
use super::source::{Drawing, Source, Watch};
use super::stage::Shared;
use super::stream::SimStream;
use crate::link::{MILLISECOND, Nanos, Rng, SECOND};
use crate::outcome::{Graph, Outcome};
use crate::profile::{Event, Expect, Profile, What};
use crate::tcp::{Algorithm, CLIENT, Network, SERVER};
use std::fs::{self, File};
use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::iter;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};
use xpra::packet::Packet;
use xpra::session::client::ClientOptions;
use xpra::session::files::FileRules;
use xpra::session::screen::Worker;
use xpra::session::server::{self, Arrival, ServerConfig};
use xpra::transport::{Link, LinkInfo, TransportKind};
use xpra::types::Encoding;

/// How often the graphs and ages get a point.
const LOOK: Nanos = 50 * MILLISECOND;
/// How often a key is pressed; together with no picture rate.
const KEYS: Nanos = 97 * MILLISECOND;
/// How long the last picture may take.
const DRAIN: Nanos = 10 * SECOND;
/// What the file that is sent is called, and the folder it is saved in.
const FILE: &str = "file";
const SAVED: &str = "saved";
/// How long after it was asked for a file is being read, by a thread of its own.
const READING: Nanos = SECOND;
/// Rounds in which nothing happens, after which nothing will until time goes on.
const QUIET: u32 = 2;

/// What is played.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) profile: Profile,
    pub(crate) seed: u64,
    /// Of both ends' kernels.
    pub(crate) algorithm: Algorithm,
    /// Damage comes in parts, in any order, some twice, some late.
    pub(crate) scrambled: bool,
    /// What the server is told.
    pub(crate) server: ServerConfig,
    /// What the client is told.
    pub(crate) client: ClientOptions,
    /// What else happens.
    pub(crate) faults: Vec<(Nanos, Fault)>,
}

impl Setup {
    /// A profile as it is.
    pub(crate) fn new(profile: Profile, seed: u64, algorithm: Algorithm) -> Self {
        Self {
            profile,
            seed,
            algorithm,
            scrambled: false,
            server: ServerConfig {
                sharing: Some(true),
                ..ServerConfig::default()
            },
            client: ClientOptions {
                sharing: true,
                ..ClientOptions::default()
            },
            faults: Vec::new(),
        }
    }

    /// What plays it again.
    pub(crate) fn command(&self) -> String {
        let Self {
            profile,
            seed,
            algorithm,
            scrambled,
            ..
        } = self;
        let cc = format!("{algorithm:?}").to_lowercase();
        let scramble = if *scrambled { " --scramble" } else { "" };
        format!(
            "cargo sim -- --profile {} --seed {seed} --cc {cc}{scramble}",
            profile.name
        )
    }
}

/// An outcome, and what tells whether another one took the same course.
pub(crate) struct Played {
    pub(crate) outcome: Outcome,
    pub(crate) hash: u64,
    /// The client's window at last is the screen at last.
    pub(crate) is_right: bool,
    /// What was typed in each session, and what of all that reached the screen, by numbers that count on.
    pub(crate) typed: (Vec<Range<u32>>, Vec<u32>),
    /// Most bytes that were with a kernel or on their way.
    pub(crate) most_in_flight: u64,
    /// Bytes that clients had read by then.
    pub(crate) read: Vec<(Nanos, u64)>,
    /// So is the file that was sent, if any was.
    pub(crate) is_there: bool,
}

impl Played {
    /// What is not as expected, one sentence each.
    pub(crate) fn wrong(&self, expect: &Expect) -> Vec<String> {
        let mut wrong = self.outcome.misses(expect);
        wrong.extend((!self.is_there).then(|| "the file did not come".to_owned()));
        wrong.extend((!self.is_right).then(|| "the last picture is not what the screen shows".to_owned()));
        wrong
    }
}

/// Plays it.
pub(crate) fn play(setup: &Setup) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        // so that the end of one job is the end of all before
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(LocalSet::new().run_until(async {
        let mut play = Play::new(setup);
        play.run().await;
        play.finish()
    }))
}

struct Play {
    setup: Setup,
    /// The server's process; none while it is dead.
    serving: Vec<JoinHandle<()>>,
    drawing: Drawing,
    shared: Shared,
    noise: Noise,
    watch: Watch,
    worker: Worker,
    client: Attached,
    seen: Arc<Mutex<Seen>>,
    /// From which picture on the client's window is kept, to be compared.
    keep: u32,
    begin: Nanos,
    end: Nanos,
    /// Events to come, the next one last.
    events: Vec<(Nanos, Cue)>,
    next_look: Nanos,
    next_key: Nanos,
    /// The numbers of keys that were pressed, by session.
    keys: Vec<Range<u32>>,
    looks: Looks,
    /// The connections of this session that ended.
    ended: Vec<usize>,
    /// Where files are: those to send, and in another folder those that were saved.
    folder: TempDir,
    /// The file that is sent: its bytes, when it was asked for and when it was there.
    file: Option<(u64, Nanos, Option<Nanos>)>,
    /// Until when threads may be at work that time has to wait for.
    reading: Nanos,
}

#[derive(Clone, Copy, Debug)]
enum Cue {
    Begin(What, u64),
    Hang(bool),
    Stop(usize),
    Fault(Fault),
}

/// What was seen regularly.
#[derive(Default)]
struct Looks {
    queue: Vec<(f64, f64)>,
    window: Vec<(f64, f64)>,
    flight: Vec<(f64, f64)>,
    rate: Vec<(f64, f64)>,
    age: Vec<(f64, f64)>,
    /// Bytes read by clients, and bytes that passed the link, at each look.
    totals: Vec<(Nanos, u64, u64)>,
}

impl Play {
    fn new(setup: &Setup) -> Self {
        let mut rng = Rng::new(setup.seed);
        let profile = &setup.profile;
        let network = Network::new(profile.ways.clone(), rng.next());
        let shared = Shared::new(network);
        let end = profile.seconds * SECOND;
        // pictures and connections keep no time together
        let begin = rng.below(SECOND / u64::from(profile.fps));
        let seed = rng.next();
        let noise = Noise::new(profile, seed);
        let drawing = Drawing {
            noise,
            fps: profile.fps,
            begin,
            end,
            scrambled: setup.scrambled,
            seed,
        };
        let last = u32::try_from(end.saturating_sub(drawing.begin) / (SECOND / u64::from(profile.fps)));
        let folder = tempfile::tempdir().unwrap();
        let saved = folder.path().join(SAVED);
        fs::create_dir(&saved).unwrap();
        let mut setup = setup.clone();
        setup.server.files = file_rules(folder.path());
        setup.client.files = file_rules(&saved);
        let (source, watch) = Source::new(drawing.clone(), shared.clone());
        let (worker, serving) = serve(&shared, source, &setup);
        let seen = Arc::default();
        let keep = last.unwrap_or(u32::MAX).saturating_sub(2);
        let client = Attached::new(&shared, &setup, noise, &seen, keep);
        Self {
            events: cues(&setup.profile.events, &setup.faults),
            setup,
            serving,
            drawing,
            keys: iter::once(1..1).collect(),
            shared,
            noise,
            watch,
            worker,
            client,
            seen,
            keep,
            begin: profile.settle * SECOND,
            end,
            next_look: 0,
            next_key: SECOND,
            looks: Looks::default(),
            ended: Vec::new(),
            folder,
            file: None,
            reading: 0,
        }
    }

    async fn run(&mut self) {
        loop {
            self.settle().await;
            let now = self.shared.lock().now();
            if now >= self.next_look {
                self.next_look += LOOK;
                self.look(now);
            }
            if now >= self.next_key {
                self.next_key += KEYS;
                self.press(now);
                continue;
            }
            while self.events.last().is_some_and(|(at, _)| *at <= now) {
                let (_, cue) = self.events.pop().unwrap();
                self.cue(cue);
            }
            if self.client.is_over() && !self.shared.lock().hangs() {
                self.attach_again().await;
            }
            if self.is_done(now) {
                return;
            }
            let wanted = self.watch.wanted();
            let next = self.events.last().map(|(at, _)| *at);
            let limit = wanted.into_iter().chain(next).chain([self.next_look]);
            let limit = limit.fold(self.next_key, Nanos::min);
            self.shared.advance(limit.max(now + 1)).await;
        }
    }

    fn is_done(&self, now: Nanos) -> bool {
        // what the ends of the picture say is not enough where damage comes in parts
        now >= self.end
            && (now >= self.end + DRAIN || self.is_right(&self.seen.lock().unwrap()) && self.is_all_typed())
    }

    /// Whether the last key reached the screen. Nobody numbers them where nothing goes wrong.
    fn is_all_typed(&self) -> bool {
        let last = self.keys.last().filter(|keys| !keys.is_empty());
        let last = last
            .map(|keys| keys.end - 1)
            .filter(|_| !self.setup.faults.is_empty());
        last.is_none_or(|last| self.watch.typed().last() == Some(&last))
    }

    /// Whether the client's window is the screen.
    fn is_right(&self, seen: &Seen) -> bool {
        !seen.pixels.is_empty() && same(&seen.pixels, &self.watch.pixels())
    }

    /// Lets everybody do what there is to do now.
    async fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < QUIET {
            let (before, stirred, hangs) = {
                let mut stage = self.shared.lock();
                (stage.steps, std::mem::take(&mut stage.stirred), stage.hangs())
            };
            // its mailbox is filled by timers too
            self.worker.turn(Some(Duration::from_secs(3600))).unwrap();
            if stirred[CLIENT] && !hangs {
                self.client.turn();
            }
            tokio::task::yield_now().await;
            if self.reading > self.shared.lock().now() {
                tokio::task::spawn_blocking(|| ()).await.unwrap();
            }
            quiet = if self.shared.lock().steps == before {
                quiet + 1
            } else {
                0
            };
        }
    }

    fn cue(&mut self, cue: Cue) {
        match cue {
            Cue::Begin(What::Upload, until) => {
                let flow = self
                    .shared
                    .lock()
                    .network
                    .transfer(SERVER, Algorithm::Cubic, u64::MAX / 4);
                self.push(until, Cue::Stop(flow));
            }
            Cue::Begin(What::Transfer, bytes) => {
                let path = self.folder.path().join(FILE);
                File::create(&path).unwrap().set_len(bytes).unwrap();
                self.client.fetch(&path);
                let now = self.shared.lock().now();
                self.file = Some((bytes, now, None));
                self.reading = now + READING;
            }
            Cue::Begin(What::Freeze | What::Stall, until) => {
                self.shared.lock().hang(true);
                self.push(until, Cue::Hang(false));
            }
            Cue::Begin(What::Roam, _) => {
                let flows = self.client.flows();
                flows
                    .into_iter()
                    .for_each(|flow| self.shared.lock().network.darken(flow));
                self.client.moved();
            }
            // the link does that itself
            Cue::Begin(What::Outage, _) => {}
            Cue::Hang(hangs) => self.shared.lock().hang(hangs),
            Cue::Stop(flow) => self.shared.lock().network.stop(flow),
            Cue::Fault(fault) => self.fault(fault),
        }
    }

    fn fault(&mut self, fault: Fault) {
        let shared = self.shared.clone();
        let mut stage = shared.lock();
        let network = &mut stage.network;
        match fault {
            // whoever has not logged in yet has nothing to go on with, and finds out by its own patience
            Fault::Address if !self.client.is_in() => {}
            Fault::Address => {
                let flows = self.client.flows();
                flows.into_iter().for_each(|flow| network.darken(flow));
                self.client.moved();
            }
            Fault::Clock(time) => {
                let (source, load, latency) = (Default::default(), [0; 3], time);
                self.client.send(Packet::PingEcho {
                    time,
                    load,
                    latency,
                    source,
                });
                let source = Default::default();
                self.client.send(Packet::Ping { time, source });
            }
            Fault::ClientDies { silently } => {
                if silently {
                    let flows = self.client.flows();
                    flows.into_iter().for_each(|flow| network.darken(flow));
                }
                self.client.kill();
            }
            Fault::Deaf(deaf) => stage.deafen(deaf),
            Fault::Delay(delay) => [SERVER, CLIENT]
                .into_iter()
                .for_each(|way| network.way(way).shape_mut().delay = delay),
            Fault::Hang(hangs) => stage.hang(hangs),
            Fault::Loss(loss) => [SERVER, CLIENT]
                .into_iter()
                .for_each(|way| network.way(way).shape_mut().loss = loss),
            Fault::Partition { way, until } => {
                let now = network.now();
                network.way(way).break_line(now..until);
            }
            Fault::Reset => self.client.flow().into_iter().for_each(|flow| network.cut(flow)),
            Fault::ServerDies { silently } => {
                self.serving.drain(..).for_each(|task| task.abort());
                for flow in network.served() {
                    match silently {
                        true => network.darken(flow),
                        false => network.cut(flow),
                    }
                }
            }
            Fault::ServerStarts if !self.serving.is_empty() => {}
            Fault::ServerStarts => {
                drop(stage);
                let source = Source::again(self.drawing.clone(), shared.clone(), &self.watch);
                (self.worker, self.serving) = serve(&shared, source, &self.setup);
            }
        }
    }

    /// Presses a key, while pictures are drawn and there is somebody to do it.
    fn press(&mut self, now: Nanos) {
        let is_there = now < self.end && !self.shared.lock().hangs() && !self.client.is_over();
        if self.setup.faults.is_empty() && is_there {
            return self.client.press(now, 0);
        }
        // where sessions end, keys belong to one
        if is_there && self.client.is_in() {
            let keys = self.keys.last_mut().unwrap();
            self.client.press(now, keys.end);
            keys.end += 1;
        }
    }

    fn push(&mut self, at: Nanos, cue: Cue) {
        let index = self.events.partition_point(|(other, _)| *other > at);
        self.events.insert(index, (at, cue));
    }

    /// A user who lost the session attaches once more.
    async fn attach_again(&mut self) {
        let next = Attached::new(&self.shared, &self.setup, self.noise, &self.seen, self.keep);
        let old = std::mem::replace(&mut self.client, next);
        let next = self.keys.last().unwrap().end;
        self.keys.push(next..next);
        self.ended.extend(old.flows());
        let why = old.end().await;
        let now = self.shared.lock().now();
        self.seen.lock().unwrap().ends.push((now, why));
    }

    fn look(&mut self, now: Nanos) {
        if let Some((bytes, _, there @ None)) = &mut self.file {
            let saved = fs::metadata(self.folder.path().join(SAVED).join(FILE));
            *there = saved.is_ok_and(|saved| saved.len() == *bytes).then_some(now);
        }
        let mut stage = self.shared.lock();
        let network = &mut stage.network;
        let at = seconds(now);
        let looks = &mut self.looks;
        looks.queue.push((at, millis(network.way(SERVER).wait(now))));
        if let Some(flow) = self.client.flow() {
            let [written, read] = network.carried(flow, SERVER);
            let window = network.info(flow, SERVER).window;
            looks.window.push((at, window as f64 / 1e3));
            looks.flight.push((at, (written - read) as f64 / 1e3));
        }
        let flows = self.ended.iter().copied().chain(self.client.flows());
        let read: u64 = flows.map(|flow| network.carried(flow, SERVER)[1]).sum();
        let passed = network.way(SERVER).counters().bytes;
        if let Some((before, bytes, _)) = looks.totals.iter().rev().nth(1) {
            let rate = read.saturating_sub(*bytes) as f64 * 8e3 / (now - before) as f64;
            looks.rate.push((at, rate));
        }
        looks.totals.push((now, read, passed));
        let shown = self
            .seen
            .lock()
            .unwrap()
            .shown
            .last()
            .map_or(0, |(number, _)| *number);
        // a picture is as old as what came after it and is not there
        let next = self.watch.drawn(shown + 1).filter(|drawn| *drawn <= now);
        looks.age.push((at, millis(next.map_or(0, |drawn| now - drawn))));
    }

    fn finish(self) -> Played {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        let counters = self.shared.lock().network.way(SERVER).counters();
        let most = (self.looks.flight.iter()).fold(0.0, |most: f64, (_, kilobytes)| most.max(*kilobytes));
        let most_in_flight = crate::link::whole(most * 1e3);
        let read = self
            .looks
            .totals
            .iter()
            .map(|(at, read, _)| (*at, *read))
            .collect();
        let mut hasher = DefaultHasher::new();
        (
            &seen.shown,
            &seen.rung,
            &seen.ends,
            &self.looks.totals,
            counters.packets,
        )
            .hash(&mut hasher);
        let mut outcome = self.outcome(&seen);
        let ends = seen.ends.iter();
        outcome.notes = ends
            .map(|(at, why)| format!("{:.1} s: {why}", seconds(*at)))
            .collect();
        outcome.notes.push(counters.to_string());
        if let Some((bytes, asked, Some(there))) = self.file {
            let (size, taken) = (bytes as f64 / 1e6, seconds(there - asked));
            let note = format!("{size} MB were there {taken:.1} s after they were asked for");
            outcome.notes.push(note);
        }
        Played {
            outcome,
            hash: hasher.finish(),
            is_right: self.is_right(&seen),
            typed: (self.keys, self.watch.typed()),
            most_in_flight,
            read,
            is_there: self.file.is_none_or(|(.., there)| there.is_some()),
        }
    }

    fn outcome(&self, seen: &Seen) -> Outcome {
        let Self {
            setup,
            watch,
            looks,
            begin,
            end,
            ..
        } = self;
        let profile = &setup.profile;
        let frames = seen.shown.iter().map(|(number, at)| {
            let drawn = watch.drawn(*number).unwrap_or(*at);
            (seconds(*at), millis(at - drawn))
        });
        let frames: Vec<_> = frames.collect();
        let at = |moment: Nanos| {
            let first = looks.totals.iter().find(|(at, ..)| *at >= moment);
            *first.or_else(|| looks.totals.last()).unwrap()
        };
        let (from, until) = (at(*begin), at(*end));
        let capacity = profile.ways[SERVER].rate.capacity(from.0..until.0);
        let calm = profile.events.iter().map(|event| event.until.max(event.at)).max();
        let back = calm.and_then(|calm| {
            let fresh = |(number, _): &&(u32, Nanos)| watch.drawn(*number).is_some_and(|drawn| drawn >= calm);
            seen.shown.iter().find(fresh).map(|(_, at)| seconds(at - calm))
        });
        let latest = watch.latest();
        let last = seen.shown.last().filter(|(number, _)| *number == latest);
        let span = (seconds(*begin), seconds(*end));
        let inside = |(at, _): &&(f64, f64)| (span.0..span.1).contains(at);
        Outcome {
            title: format!("{} (seed {}, {:?})", profile.name, setup.seed, setup.algorithm),
            first: frames.first().map(|(at, _)| at * 1e3),
            span,
            keys: (seen.rung.iter())
                .filter(|(at, _)| (*begin..*end).contains(at))
                .map(|(_, taken)| millis(*taken))
                .collect(),
            ages: looks.age.iter().filter(inside).map(|(_, age)| *age).collect(),
            goodput: (until.1 - from.1) as f64 * 8e-6 / seconds(until.0 - from.0),
            used: capacity.map(|bits| (until.2 - from.2) as f64 * 8.0 / bits.max(1.0)),
            bytes: at(Nanos::MAX).1,
            back,
            last: last.map(|(number, at)| millis(at - watch.drawn(*number).unwrap_or(*at))),
            graphs: looks.graphs(),
            frames,
            notes: Vec::new(),
        }
    }
}

impl Looks {
    fn graphs(&self) -> Vec<Graph> {
        let graph = |name, unit, points: &[(f64, f64)]| {
            let points = points.to_vec();
            Graph { name, unit, points }
        };
        vec![
            graph("picture age", "ms", &self.age),
            graph("router queue", "ms", &self.queue),
            graph("congestion window", "kB", &self.window),
            graph("on the way", "kB", &self.flight),
            graph("rate", "Mbit/s", &self.rate),
        ]
    }
}

/// Shares a screen.
fn serve(shared: &Shared, source: Source, setup: &Setup) -> (Worker, Vec<JoinHandle<()>>) {
    let (screen, worker) = Worker::new(Box::new(source)).unwrap();
    let (links, arrivals) = mpsc::channel(16);
    let place = vec![("sim".to_owned(), Arc::default())];
    let config = setup.server.clone();
    let accepting = tokio::task::spawn_local(accept(shared.clone(), links));
    let serving = tokio::task::spawn_local(async move {
        server::serve(arrivals, place, screen, config, std::future::pending()).await;
    });
    (worker, vec![accepting, serving])
}

/// Files of any size are exchanged.
fn file_rules(folder: &Path) -> FileRules {
    FileRules {
        allowed: true,
        limit: 1 << 40,
        folder: folder.to_owned(),
    }
}

/// What happens and when, the first last.
fn cues(events: &[Event], faults: &[(Nanos, Fault)]) -> Vec<(Nanos, Cue)> {
    let cue = |event: &Event| {
        let what = event.what;
        let argument = if what == What::Transfer {
            event.bytes
        } else {
            event.until
        };
        (event.at, Cue::Begin(what, argument))
    };
    let mut cues: Vec<_> = events.iter().map(cue).collect();
    cues.extend(faults.iter().map(|(at, fault)| (*at, Cue::Fault(*fault))));
    // those of one moment in their order
    cues.reverse();
    cues.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    cues
}

/// Hands arriving connections to the server.
async fn accept(shared: Shared, links: mpsc::Sender<Arrival>) {
    let door = Arc::default();
    loop {
        let flow = poll_fn(|context| match shared.lock().network.accept(context.waker()) {
            Some(flow) => Poll::Ready(flow),
            None => Poll::Pending,
        })
        .await;
        let stream = SimStream::new(shared.clone(), flow, SERVER);
        let info = LinkInfo {
            target: "sim".to_owned(),
            local: "server".to_owned(),
            probe: stream.probe(),
            ..LinkInfo::new(TransportKind::Tcp, format!("client {flow}"))
        };
        let link = Link::new(stream, info);
        let door = Arc::clone(&door);
        if links.send(Arrival { link, door }).await.is_err() {
            return;
        }
    }
}

/// Whether two pictures are the same, the byte beside the colours apart.
fn same(one: &[u8], other: &[u8]) -> bool {
    let colours = |bytes: &[u8]| {
        bytes
            .chunks_exact(4)
            .map(|pixel| [pixel[0], pixel[1], pixel[2]])
            .collect::<Vec<_>>()
    };
    colours(one) == colours(other)
}

fn seconds(time: Nanos) -> f64 {
    time as f64 / SECOND as f64
}

fn millis(time: Nanos) -> f64 {
    time as f64 / MILLISECOND as f64
}
