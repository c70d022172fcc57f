//! What reading a display, showing pixels on one and painting the test card cost: `cargo bench --bench display`.
//!
//! Displays are private Xvfb servers, each with shared memory (`shared`) and without (`sent`: the pixels go through
//! the socket). Throughput counts 4-byte pixels.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench ends at the first thing that is not as expected"
)]

#[allow(dead_code, reason = "shared with the interop tests, which use other parts")]
#[path = "../netem/display.rs"]
mod display;
#[allow(dead_code, reason = "shared with the interop tests, which use other parts")]
#[path = "../netem/picture.rs"]
mod picture;
#[allow(dead_code, reason = "shared with the interop tests, which use other parts")]
#[path = "../netem/process.rs"]
mod process;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::io::{PipeReader, PipeWriter};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    ChangeGCAux, ConnectionExt as _, CreateGCAux, Gcontext, ImageFormat, Rectangle, SubwindowMode, Window,
};
use x11rb::rust_connection::RustConnection;
use xpra::display::card::TestCard;
use xpra::display::x11::{X11Screen, X11Windows};
use xpra::display::{NewWindow, Screen as _, ScreenEvent, WindowEvent, Windows as _};
use xpra::types::{Rect, Size, WindowId};

use crate::display::Display;

const HD: Size = Size::new(1280, 720);

/// Both ways pixels can go between us and an X server.
const WAYS: [(&str, bool); 2] = [("shared", true), ("sent", false)];

/// How long a window may take to be shown.
const SHOWN_LIMIT: Duration = Duration::from_secs(10);

/// Frames a second of the card's own time.
const CARD_FPS: u32 = 1000;

fn card(c: &mut Criterion) {
    let mut card = TestCard::with_clock(HD, CARD_FPS, 0.3, next_frame);
    let quiet = Quiet::new();
    let mut events = Vec::new();
    let mut paint = || {
        events.clear();
        card.wait(quiet.wake.as_fd(), None, &mut events)
            .expect("a card is always there");
        damage(&events).map(|rect| rect.area()).sum::<u64>()
    };
    let area = paint();
    assert!(area > 0, "each wait paints a frame");
    let mut group = c.benchmark_group("display/card");
    group.throughput(Throughput::Bytes(area * 4));
    group.bench_function("paint", |b| b.iter(&mut paint));
}

/// A time in which the next frame is due whenever one looks.
fn next_frame() -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    static FRAME: AtomicU32 = AtomicU32::new(0);
    *START + Duration::from_secs(1) / CARD_FPS * FRAME.fetch_add(1, Ordering::Relaxed)
}

fn capture(c: &mut Criterion) {
    let cases = [
        ("full", vec![HD.rect()]),
        ("third", vec![Rect::new(100, 100, 700, 395)]),
        (
            "third-in-10",
            (0..10).map(|i| Rect::new(i * 128, 64, 96, 288)).collect(),
        ),
        ("64x64", vec![Rect::new(300, 300, 64, 64)]),
    ];
    for (way, sharing) in WAYS {
        let Some(server) = Server::start(HD, sharing) else {
            return;
        };
        let mut screen = server.open();
        let mut group = c.benchmark_group("display/capture");
        for (name, rects) in &cases {
            group
                .throughput(bytes(rects))
                .bench_function(format!("{way}-{name}"), |b| {
                    b.iter(|| {
                        let images = screen.capture(black_box(rects)).expect("the display is there");
                        assert_eq!(images.len(), rects.len());
                    });
                });
        }
    }
}

/// From the flush of a drawing program to the report of the damage, and to the pixels in our hands.
fn damaged(c: &mut Criterion) {
    let Some(server) = Server::start(HD, true) else {
        return;
    };
    let mut screen = server.open();
    let painter = Painter::new(&server);
    let quiet = Quiet::new();
    let rect = Rect::new(50, 50, 200, 200);
    settle(&mut screen, &quiet);
    let (mut events, mut colour) = (Vec::new(), 0u32);
    let mut turn = || {
        colour = (colour + 1) & 0x00ff_ffff;
        let start = Instant::now();
        painter.fill(rect, colour);
        events.clear();
        while damage(&events).next().is_none() {
            screen
                .wait(quiet.wake.as_fd(), None, &mut events)
                .expect("the display is there");
        }
        let reported = start.elapsed();
        let images = screen.capture(&[rect]).expect("the display is there");
        let captured = start.elapsed();
        assert_eq!(images[0].1.row(0)[..3], colour.to_le_bytes()[..3]);
        (reported, captured)
    };
    let mut group = c.benchmark_group("display/damage");
    time(&mut group, "reported", || turn().0);
    group.throughput(bytes(&[rect]));
    time(&mut group, "captured", || turn().1);
}

/// Takes what a new screen reports: from then on it reports what is drawn, and only that.
fn settle(screen: &mut X11Screen, quiet: &Quiet) {
    let mut events = Vec::new();
    loop {
        screen.capture(&[HD.rect()]).expect("the display is there");
        screen
            .wait(quiet.wake.as_fd(), Some(Duration::from_millis(100)), &mut events)
            .expect("the display is there");
        if events.is_empty() {
            return;
        }
        events.clear();
    }
}

/// Of a picture that is painted already: how long handing it over takes us, and when it can be seen on the screen.
fn present(c: &mut Criterion) {
    let cases = [
        ("third", vec![Rect::new(100, 100, 768, 360)]),
        (
            "third-in-12",
            (0..12)
                .map(|i| Rect::new(i % 4 * 300, i / 4 * 200, 160, 144))
                .collect(),
        ),
        ("full", vec![HD.rect()]),
    ];
    for (way, sharing) in WAYS {
        let Some(mut stage) = Stage::start(sharing) else {
            return;
        };
        let mut group = c.benchmark_group("display/hand-over");
        for (name, rects) in &cases {
            time(&mut group, &format!("{way}-{name}"), || stage.turn(rects).0);
        }
        group.finish();
        let mut group = c.benchmark_group("display/present");
        for (name, rects) in &cases {
            group.throughput(bytes(rects));
            time(&mut group, &format!("{way}-{name}"), || stage.turn(rects).1);
        }
    }
}

/// Measures what `turn` says it took.
fn time(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, mut turn: impl FnMut() -> Duration) {
    group.bench_function(name, |b| b.iter_custom(|turns| (0..turns).map(|_| turn()).sum()));
}

fn bytes(rects: &[Rect]) -> Throughput {
    Throughput::Bytes(rects.iter().map(|rect| rect.area() * 4).sum())
}

fn damage(events: &[ScreenEvent]) -> impl Iterator<Item = &Rect> {
    events.iter().filter_map(|event| match event {
        ScreenEvent::Damaged(rect) => Some(rect),
        _ => None,
    })
}

/// A `wake` that never is.
struct Quiet {
    wake: PipeReader,
    _open: PipeWriter,
}

impl Quiet {
    fn new() -> Self {
        let (wake, _open) = std::io::pipe().expect("two descriptors are free");
        Self { wake, _open }
    }
}

/// A private X server.
struct Server {
    display: Display,
    /// Where its log is.
    _logs: TempDir,
}

impl Server {
    /// `None`, with a word why, where there is no Xvfb.
    fn start(size: Size, sharing: bool) -> Option<Self> {
        if !Path::new("/usr/bin/Xvfb").exists() {
            eprintln!("skipped: Xvfb is not installed");
            return None;
        }
        let mut command = process::command("Xvfb");
        command
            .args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0"])
            .arg(format!("{size}x24"));
        if !sharing {
            command.args(["-extension", "MIT-SHM"]);
        }
        let logs = tempfile::tempdir().expect("a folder for the log");
        let display = Display::run("Xvfb", command, logs.path()).expect("Xvfb starts");
        Some(Self { display, _logs: logs })
    }

    fn open(&self) -> X11Screen {
        X11Screen::open(Some(&self.display.name())).expect("the server accepts us")
    }

    fn connect(&self) -> RustConnection {
        self.display.connect().expect("the server accepts us").0
    }
}

/// Another program that draws on the screen.
struct Painter {
    x: RustConnection,
    root: Window,
    gc: Gcontext,
}

impl Painter {
    fn new(server: &Server) -> Self {
        let (x, root) = (server.connect(), server.display.root());
        let gc = x.generate_id().expect("an id");
        let aux = CreateGCAux::new().subwindow_mode(SubwindowMode::INCLUDE_INFERIORS);
        x.create_gc(gc, root, &aux)
            .expect("connected")
            .check()
            .expect("created");
        Self { x, root, gc }
    }

    fn fill(&self, rect: Rect, colour: u32) {
        let (x, y, width, height) = on_wire(rect);
        self.x
            .change_gc(self.gc, &ChangeGCAux::new().foreground(colour))
            .expect("connected");
        self.x
            .poly_fill_rectangle(self.root, self.gc, &[Rectangle { x, y, width, height }])
            .expect("connected");
        self.x.flush().expect("connected");
    }
}

/// A window of ours that fills most of a screen, and another program that looks at the screen.
struct Stage {
    windows: X11Windows,
    watcher: RustConnection,
    shade: u8,
    server: Server,
}

impl Stage {
    const WINDOW: WindowId = WindowId(1);

    fn start(sharing: bool) -> Option<Self> {
        let server = Server::start(Size::new(1920, 1080), sharing)?;
        let windows = X11Windows::open(Some(&server.display.name())).expect("the server accepts us");
        let mut stage = Self {
            windows,
            watcher: server.connect(),
            shade: 0,
            server,
        };
        stage.show();
        Some(stage)
    }

    fn show(&mut self) {
        let window = NewWindow {
            rect: HD.rect(),
            ..NewWindow::default()
        };
        self.windows.create(Self::WINDOW, &window).expect("created");
        let quiet = Quiet::new();
        let (end, mut events) = (Instant::now() + SHOWN_LIMIT, Vec::new());
        let mapped = WindowEvent::Mapped(Self::WINDOW, HD.rect());
        while !events.contains(&mapped) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the window was not shown: {events:?}");
            self.windows
                .wait(quiet.wake.as_fd(), Some(left), &mut events)
                .expect("the display is there");
        }
    }

    /// Paints `rects` in another shade and presents them: how long the calls took, and until it was on the screen.
    fn turn(&mut self, rects: &[Rect]) -> (Duration, Duration) {
        self.shade = self.shade.wrapping_add(1);
        let canvas = self.windows.canvas(Self::WINDOW).expect("the display is there");
        let mut canvas = canvas.expect("the window is there");
        for rect in rects {
            let (left, top, ..) = on_wire(*rect);
            let (left, top) = (u32::from(left.unsigned_abs()), u32::from(top.unsigned_abs()));
            for y in top..top + rect.h {
                canvas.span(left, y, rect.w).fill(self.shade);
            }
        }
        let start = Instant::now();
        self.windows.present(Self::WINDOW, rects).expect("presented");
        self.windows.flush().expect("the display is there");
        let handed_over = start.elapsed();
        while self.last_pixel(rects) != [self.shade; 3] {}
        (handed_over, start.elapsed())
    }

    /// The pixel drawn last, as it is on the screen.
    fn last_pixel(&self, rects: &[Rect]) -> [u8; 3] {
        let (x, y, w, h) = on_wire(*rects.last().expect("something is painted"));
        let (x, y) = (x.saturating_add_unsigned(w - 1), y.saturating_add_unsigned(h - 1));
        let image = self
            .watcher
            .get_image(ImageFormat::Z_PIXMAP, self.server.display.root(), x, y, 1, 1, !0)
            .expect("connected")
            .reply()
            .expect("on the screen");
        [image.data[0], image.data[1], image.data[2]]
    }
}

fn on_wire(rect: Rect) -> (i16, i16, u16, u16) {
    (
        rect.x.try_into().expect("on the screen"),
        rect.y.try_into().expect("on the screen"),
        rect.w.try_into().expect("on the screen"),
        rect.h.try_into().expect("on the screen"),
    )
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500));
    targets = card, capture, damaged, present
}
criterion_main!(benches);
