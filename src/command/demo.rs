//! `demo`: a server and a client in one process over each transport, with a moving test card for a display, and what
//! was measured in a table. Needs neither a display nor another program.

use super::exit::{ExitCode, Failure};
use crate::address::{Address, Bind, TransportKind};
use crate::auth::Handlers;
use crate::display::Windows;
use crate::display::card::{Clock, TestCard, read_frame_number};
use crate::display::headless::Headless;
use crate::display::x11::open_windows;
use crate::protocol::{CloseReason, Connection, ConnectionConfig};
use crate::session::client::{
    ClientOptions, ClientSession, Departure, Desktop, Identity, ToSession, Viewer, client_hello,
};
use crate::session::server::{self, ServerConfig};
use crate::session::{Login, Opened, dial, now};
use crate::system::{DirBuilderExt, cpu_time};
use crate::transport::{ConnectOptions, ListenOptions, connect, listen};
use crate::types::{Image, Rect, Size, WindowId};
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Show a moving test card over each transport, and measure.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Seconds to measure each transport
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// Pictures a second the card makes
    #[arg(long, value_name = "N", default_value_t = FPS, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub fps: u32,
    /// Size of the card
    #[arg(long, value_name = "WxH", default_value_t = SIZE, value_parser = size)]
    pub size: Size,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The part of the card that moves.
pub(super) const MOVING: f64 = 0.3;

/// Its size and pictures a second, unless something else is asked for.
pub(super) const SIZE: Size = Size::new(1280, 720);
pub(super) const FPS: u32 = 60;

fn size(text: &str) -> Result<Size, String> {
    let sides = text
        .split_once('x')
        .and_then(|(w, h)| Some(Size::new(w.parse().ok()?, h.parse().ok()?)));
    sides
        .filter(|s| (320..=16384).contains(&s.w) && (200..=16384).contains(&s.h))
        .ok_or_else(|| format!("'{text}' is no size from 320x200 up, such as 1280x720"))
}

/// Measures each transport and prints the table; then shows the card when there is a display to show it on.
pub async fn run(args: &DemoArgs, display: Option<&str>, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let folder = Folder::new()?;
    let mut rows = Vec::new();
    for (name, kind, place) in places(&folder) {
        let row = measure(args, name, kind, &place).await?;
        if !args.json {
            if rows.is_empty() {
                write!(out, "{}", Row::heading(args))?;
            }
            writeln!(out, "{row}")?;
            out.flush()?;
        }
        rows.push(row);
    }
    if args.json {
        let list: Vec<_> = rows.iter().map(Row::json).collect();
        writeln!(
            out,
            "{}",
            json!({"size": args.size.to_string(), "fps": args.fps, "transports": list})
        )?;
    }
    if let Some(display) = display {
        show(args, display).await?;
    }
    Ok(ExitCode::Ok)
}

/// What to measure: TCP, and what this system has for its own machine.
fn places(folder: &Folder) -> Vec<(&'static str, TransportKind, String)> {
    let tcp = ("tcp", TransportKind::Tcp, "127.0.0.1:0".to_owned());
    let unique = format!("xpra-rs-demo-{}", std::process::id());
    if cfg!(windows) {
        return vec![tcp, ("pipe", TransportKind::NamedPipe, unique)];
    }
    let path = folder.0.join("socket").display().to_string();
    vec![
        tcp,
        ("unix", TransportKind::Socket, path),
        ("abstract", TransportKind::Socket, format!("@{unique}")),
    ]
}

/// A server in a thread of its own; it ends when this is dropped.
struct Server {
    address: Address,
    clock: Clock,
    _stop: oneshot::Sender<()>,
}

impl Server {
    async fn start(args: &DemoArgs, kind: TransportKind, place: &str) -> Result<Self, Failure> {
        let card = TestCard::new(args.size, args.fps, MOVING);
        let clock = card.clock();
        let bind = Bind::parse(kind, place, 0)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let (told, address) = oneshot::channel();
        std::thread::Builder::new().name("server".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let listeners = match listen(&bind, &ListenOptions::default()).await {
                    Ok(listeners) => listeners,
                    Err(error) => return drop(told.send(Err(Failure::from(error)))),
                };
                let address = listeners.first().map(ToString::to_string).unwrap_or_default();
                let config = ServerConfig {
                    uuid: "demo".into(),
                    hostname: "demo".into(),
                    ..ServerConfig::default()
                };
                let listeners = listeners
                    .into_iter()
                    .map(|listener| (listener, Arc::default()))
                    .collect();
                let _gone = told.send(Ok(address));
                let shutdown = async { drop(stopped.await) };
                if let Err(error) = server::run(listeners, Box::new(card), config, shutdown).await {
                    tracing::error!(%error, "the demo's server failed");
                }
            });
        })?;
        let lost = || Failure::new(ExitCode::InternalError, "the demo's server did not start");
        let address = address.await.map_err(|_| lost())??;
        Ok(Self {
            address: address.parse()?,
            clock,
            _stop: stop,
        })
    }
}

/// What the client's window saw.
#[derive(Debug, Default)]
struct Seen {
    first: Option<Instant>,
    last: Option<u32>,
    /// The first frame.
    oldest: Option<u32>,
    /// Milliseconds from the making of a frame to its presentation, one for each frame seen.
    latencies: Vec<f64>,
}

impl Seen {
    fn presented(&mut self, image: &Image<'_>, clock: &Clock, at: Instant) {
        self.first.get_or_insert(at);
        let Some(frame) = read_frame_number(image).filter(|frame| self.last != Some(*frame)) else {
            return;
        };
        self.last = Some(frame);
        self.oldest.get_or_insert(frame);
        if let Some(made) = clock.frame_time(frame) {
            self.latencies
                .push(at.saturating_duration_since(made).as_secs_f64() * 1e3);
        }
    }
}

async fn measure(
    args: &DemoArgs,
    name: &'static str,
    kind: TransportKind,
    place: &str,
) -> Result<Row, Failure> {
    let server = Server::start(args, kind, place).await?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let windows = {
        let (seen, clock) = (Arc::clone(&seen), server.clock.clone());
        Headless::new(args.size).on_present(move |_: WindowId, _: &[Rect], image| {
            seen.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .presented(&image, &clock, now());
        })
    };
    let (began, cpu) = (now(), cpu_time());
    let connection = attach(
        &server.address,
        Box::new(windows),
        Duration::from_secs(args.seconds),
    )
    .await?;
    let (elapsed, cpu) = (
        now().saturating_duration_since(began),
        cpu_time().saturating_sub(cpu),
    );
    let latest = server.clock.latest().map(|(frame, _)| frame);
    let mut seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    seen.latencies.sort_by(f64::total_cmp);
    let first = seen.first.ok_or_else(|| {
        Failure::new(
            ExitCode::NoData,
            format!("no picture arrived over {name}: please report this"),
        )
    })?;
    Ok(Row {
        name,
        first: first.saturating_duration_since(began),
        shown: seen.latencies.len(),
        made: latest
            .zip(seen.oldest)
            .map_or(0, |(latest, oldest)| latest.saturating_sub(oldest) + 1),
        per_second: seen.latencies.len() as f64 / elapsed.as_secs_f64(),
        p50: percentile(&seen.latencies, 50),
        p95: percentile(&seen.latencies, 95),
        megabits: connection.stats().bytes_in as f64 * 8.0 / 1e6 / elapsed.as_secs_f64(),
        cpu: cpu.as_secs_f64() / elapsed.as_secs_f64() * 100.0,
    })
}

/// Attaches windows to a server and leaves after that time, or when the window is closed.
async fn attach(address: &Address, windows: Box<dyn Windows>, time: Duration) -> Result<Connection, Failure> {
    let options = ClientOptions::default();
    let desktop = Desktop {
        size: windows.screen_size(),
        keymap: windows.keymap(),
        refresh_rate: windows.refresh_rate(),
    };
    let identity = Identity::new("demo", "demo", "demo", "demo");
    let (asked, screen) = (options.clone(), desktop.clone());
    let hello = move |dialect| client_hello(dialect, &identity, &screen, &asked);
    let login = Login::new(ConnectionConfig::default(), Handlers::default(), hello);
    let (mut session, seat, to_session) = ClientSession::new(&options, login)?;
    let viewer = Viewer::new(windows, options.clone(), seat);
    let viewer = std::thread::Builder::new()
        .name("viewer".into())
        .spawn(move || viewer.run())?;
    let timer = tokio::spawn(async move {
        tokio::time::sleep(time).await;
        let _gone = to_session.send(ToSession::Depart(Departure::WindowClosed));
    });
    let options = ConnectOptions::default();
    let open = async || connect(address, &options).await.map(Opened::from);
    let ended = dial(open, &mut session).await;
    timer.abort();
    drop(session);
    let _panicked = viewer.join();
    match ended? {
        (CloseReason::Local { .. }, connection) => Ok(connection),
        (reason, _) => Err(Failure::new(
            ExitCode::ConnectionLost,
            format!("the demo's session ended: {reason}"),
        )),
    }
}

/// Shows the card in a window.
async fn show(args: &DemoArgs, display: &str) -> Result<(), Failure> {
    let windows = match open_windows(Some(display)) {
        Ok(windows) => windows,
        Err(error) => {
            tracing::warn!("the card is not shown: {error}");
            return Ok(());
        }
    };
    let server = Server::start(args, TransportKind::Tcp, "127.0.0.1:0").await?;
    eprintln!("showing the card: close the window to end sooner");
    attach(&server.address, windows, Duration::from_secs(args.seconds))
        .await
        .map(drop)
}

/// What one transport did.
struct Row {
    name: &'static str,
    first: Duration,
    shown: usize,
    made: u32,
    per_second: f64,
    p50: f64,
    p95: f64,
    megabits: f64,
    cpu: f64,
}

impl Row {
    fn heading(args: &DemoArgs) -> String {
        let DemoArgs {
            size, fps, seconds, ..
        } = args;
        format!(
            "test card {size}, {:.0} % moving at {fps} frames/s, {seconds} s each; CPU is of one core, both ends and \
             the card\n\n\
             | transport | hello to picture | shown / made | frames/s | latency p50 | latency p95 | Mbit/s | CPU |\n\
             |-----------|------------------|--------------|----------|-------------|-------------|--------|-----|\n",
            MOVING * 100.0,
        )
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "transport": self.name,
            "first_picture_ms": self.first.as_secs_f64() * 1e3,
            "frames_shown": self.shown,
            "frames_made": self.made,
            "frames_per_second": self.per_second,
            "latency_p50_ms": self.p50,
            "latency_p95_ms": self.p95,
            "megabits_per_second": self.megabits,
            "cpu_percent": self.cpu,
        })
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "| {:9} | {:13.1} ms | {:12} | {:8.1} | {:8.2} ms | {:8.2} ms | {:6.0} | {:2.0} % |",
            self.name,
            self.first.as_secs_f64() * 1e3,
            format!("{} / {}", self.shown, self.made),
            self.per_second,
            self.p50,
            self.p95,
            self.megabits,
            self.cpu
        )
    }
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// A private folder that goes with the demo.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("xpra-rs-demo-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create::<&Path>(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left_behind = std::fs::remove_dir_all(&self.0);
    }
}
