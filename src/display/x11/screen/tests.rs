use super::*;
use crate::display::Modifiers;
use crate::display::x11::test_server::{TestServer, eventually};
use std::os::fd::{AsFd as _, OwnedFd};
use x11rb::protocol::xproto::{
    CloseDown, CreateGCAux, CreateWindowAux, Gcontext, Rectangle, Window, WindowClass,
};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

const SIZE: Size = Size::new(640, 480);

/// A screen on its own server, with a program that draws there.
struct World {
    screen: X11Screen,
    painter: Painter,
    /// Never written: nothing wakes the screen but its events.
    wake: (OwnedFd, OwnedFd),
    _server: TestServer,
}

struct Painter {
    x: RustConnection,
    root: Window,
    gc: Gcontext,
}

impl World {
    fn new() -> Option<Self> {
        let server = TestServer::start("640x480x24", &["+extension", "RANDR"])?;
        let x = server.connect();
        let root = x.setup().roots[0].root;
        let gc = x.generate_id().unwrap();
        // Root window drawing must reach over its children to be seen wherever it goes.
        let aux = CreateGCAux::new().subwindow_mode(xproto::SubwindowMode::INCLUDE_INFERIORS);
        x.create_gc(gc, root, &aux).unwrap();
        x.set_close_down_mode(CloseDown::DESTROY_ALL).unwrap();
        x.sync().unwrap();
        let screen = X11Screen::open(Some(&server.display)).unwrap();
        Some(Self {
            screen,
            painter: Painter { x, root, gc },
            wake: rustix::pipe::pipe().unwrap(),
            _server: server,
        })
    }

    /// All events until none comes for a while.
    fn events(&mut self) -> Vec<ScreenEvent> {
        let mut events = Vec::new();
        loop {
            let before = events.len();
            let start = Instant::now();
            let pause = Duration::from_millis(50);
            Screen::wait(&mut self.screen, self.wake.0.as_fd(), Some(pause), &mut events).unwrap();
            if events.len() == before && start.elapsed() >= pause {
                return events;
            }
        }
    }

    /// Captures everything, and nothing is reported until something changes.
    fn settle(&mut self) {
        self.events();
        self.screen.capture(&[SIZE.rect()]).unwrap();
        assert_eq!(self.events(), []);
    }

    fn damaged(&mut self) -> Vec<Rect> {
        let rect = |event| match event {
            ScreenEvent::Damaged(rect) => Some(rect),
            _ => None,
        };
        self.events().into_iter().filter_map(rect).collect()
    }

    /// The first event `pick` likes.
    fn event<T>(&mut self, what: &str, pick: impl Fn(&ScreenEvent) -> Option<T>) -> T {
        eventually(what, || self.events().iter().find_map(&pick))
    }
}

impl Painter {
    fn fill(&self, window: Window, rect: Rect, colour: u32) {
        let gc = xproto::ChangeGCAux::new().foreground(colour);
        self.x.change_gc(self.gc, &gc).unwrap();
        let rect = Rectangle {
            x: rect.x.try_into().unwrap(),
            y: rect.y.try_into().unwrap(),
            width: rect.w.try_into().unwrap(),
            height: rect.h.try_into().unwrap(),
        };
        self.x.poly_fill_rectangle(window, self.gc, &[rect]).unwrap();
        self.x.flush().unwrap();
    }

    fn window(&self, rect: Rect) -> Window {
        let id = self.x.generate_id().unwrap();
        let aux = CreateWindowAux::new()
            .override_redirect(1)
            .background_pixel(0x00ff_ffff);
        let (x, y) = (rect.x.try_into().unwrap(), rect.y.try_into().unwrap());
        let (w, h) = (rect.w.try_into().unwrap(), rect.h.try_into().unwrap());
        self.x
            .create_window(
                0,
                id,
                self.root,
                x,
                y,
                w,
                h,
                0,
                WindowClass::INPUT_OUTPUT,
                0,
                &aux,
            )
            .unwrap();
        self.x.map_window(id).unwrap();
        self.x.sync().unwrap();
        id
    }
}

/// The words of an image without the unused byte.
fn colours(image: &Image<'_>) -> Vec<u32> {
    let pixels = image.rows().flat_map(|row| row.chunks_exact(4));
    pixels
        .map(|p| u32::from_le_bytes([p[0], p[1], p[2], 0]))
        .collect()
}

/// A fixed sequence of numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(limit)).unwrap()
    }
}

#[test]
fn what_is_drawn_is_reported_and_captured_exactly() {
    let Some(mut world) = World::new() else { return };
    let window = world.painter.window(Rect::new(100, 50, 200, 100));
    world.settle();
    world.painter.fill(window, Rect::new(10, 20, 30, 40), 0x0012_3456);
    let drawn = Rect::new(110, 70, 30, 40);
    assert_eq!(world.damaged(), [drawn]);
    let beside = Rect::new(100, 50, 5, 5);
    let images = world.screen.capture(&[drawn, beside]).unwrap();
    assert_eq!(images.len(), 2);
    assert_eq!((images[0].0, images[1].0), (drawn, beside));
    assert!(colours(&images[0].1).iter().all(|c| *c == 0x0012_3456));
    assert!(colours(&images[1].1).iter().all(|c| *c == 0x00ff_ffff));
}

#[test]
fn captured_areas_are_reported_again_and_others_stay_quiet() {
    let Some(mut world) = World::new() else { return };
    let rect = Rect::new(10, 10, 50, 50);
    world.settle();
    world.painter.fill(world.painter.root, rect, 1);
    assert_eq!(world.damaged(), [rect]);
    world.painter.fill(world.painter.root, rect, 2);
    assert_eq!(world.damaged(), []);
    assert_eq!(colours(&world.screen.capture(&[rect]).unwrap()[0].1)[0], 2);
    world.painter.fill(world.painter.root, rect, 3);
    assert_eq!(world.damaged(), [rect]);
}

#[test]
fn no_update_is_lost_among_many() {
    let Some(mut world) = World::new() else { return };
    let root = world.painter.root;
    world.painter.fill(root, SIZE.rect(), 0);
    world.settle();
    let mut expected = vec![0; 640 * 480];
    let mut seen = expected.clone();
    let mut numbers = Numbers(7);
    let mut paint = |world: &World, colour: u32| {
        let (x, y) = (numbers.below(600), numbers.below(440));
        let rect = Rect::new(
            i32::try_from(x).unwrap(),
            i32::try_from(y).unwrap(),
            1 + numbers.below(40),
            1 + numbers.below(40),
        );
        world.painter.fill(root, rect, colour);
        for row in y..y + rect.h {
            let start = (row * 640 + x) as usize;
            expected[start..start + rect.w as usize].fill(colour);
        }
    };
    let update = |world: &mut World, seen: &mut Vec<u32>, timeout: u64| {
        let mut events = Vec::new();
        let timeout = Some(Duration::from_millis(timeout));
        Screen::wait(&mut world.screen, world.wake.0.as_fd(), timeout, &mut events).unwrap();
        for event in &events {
            // One at a time: the contract is about rectangles that do not overlap.
            let ScreenEvent::Damaged(rect) = event else {
                continue;
            };
            for (rect, image) in world.screen.capture(&[*rect]).unwrap() {
                for (y, row) in (rect.y..).zip(colours(&image).chunks(rect.w as usize)) {
                    let start = usize::try_from(y * 640 + rect.x).unwrap();
                    seen[start..start + row.len()].copy_from_slice(row);
                }
            }
        }
        !events.is_empty()
    };
    for i in 1..=500 {
        paint(&world, i);
        if i % 3 == 0 {
            update(&mut world, &mut seen, 0);
        }
    }
    world.painter.x.sync().unwrap();
    while update(&mut world, &mut seen, 200) {}
    assert!(
        seen == expected,
        "{} pixels differ",
        seen.iter().zip(&expected).filter(|(a, b)| a != b).count()
    );
}

#[test]
fn an_idle_screen_sleeps() {
    let Some(mut world) = World::new() else { return };
    world.settle();
    let (mut events, pause) = (Vec::new(), Duration::from_millis(400));
    let start = Instant::now();
    Screen::wait(&mut world.screen, world.wake.0.as_fd(), Some(pause), &mut events).unwrap();
    assert_eq!(events, []);
    assert!(start.elapsed() >= pause, "woke up for nothing");
    rustix::io::write(&world.wake.1, b"!").unwrap();
    Screen::wait(&mut world.screen, world.wake.0.as_fd(), None, &mut events).unwrap();
    assert_eq!(events, []);
}

#[test]
fn rectangles_off_the_screen_give_no_image() {
    let Some(mut world) = World::new() else { return };
    let inside = Rect::new(600, 440, 40, 40);
    let rects = [
        Rect::new(600, 440, 41, 40),
        Rect::new(-1, 0, 5, 5),
        inside,
        Rect::new(0, 0, 70_000, 1),
        Rect::default(),
    ];
    let images = world.screen.capture(&rects).unwrap();
    assert_eq!(images.iter().map(|i| i.0).collect::<Vec<_>>(), [inside]);
}

#[test]
fn without_shared_memory_the_pixels_are_the_same() {
    let Some(mut world) = World::new() else { return };
    world
        .painter
        .fill(world.painter.root, Rect::new(5, 5, 100, 100), 0x00ab_cdef);
    world.painter.x.sync().unwrap();
    let rects = [
        Rect::new(0, 0, 50, 50),
        Rect::new(639, 479, 2, 2),
        Rect::new(100, 100, 20, 20),
    ];
    assert!(matches!(world.screen.capture, Capture::Shared(_)));
    let all = |images: Vec<(Rect, Image<'_>)>| {
        images
            .iter()
            .map(|(rect, image)| (*rect, colours(image)))
            .collect::<Vec<_>>()
    };
    let shared = all(world.screen.capture(&rects).unwrap());
    world.screen.capture = Capture::Sent(Vec::new());
    assert_eq!(all(world.screen.capture(&rects).unwrap()), shared);
    assert_eq!(shared.len(), 2);
}

#[test]
fn the_cursor_is_reported_when_it_changes() {
    let Some(mut world) = World::new() else { return };
    let motion = Input::Motion {
        position: Point { x: 320, y: 240 },
        modifiers: Modifiers::default(),
    };
    world.screen.input(&motion).unwrap();
    world.events();
    let before = world.screen.cursor().unwrap();
    let x = &world.painter.x;
    let (font, cursor) = (x.generate_id().unwrap(), x.generate_id().unwrap());
    x.open_font(font, b"cursor").unwrap();
    // The glyph of an I-beam and its mask, red on white.
    x.create_glyph_cursor(
        cursor,
        font,
        font,
        152,
        153,
        u16::MAX,
        0,
        0,
        u16::MAX,
        u16::MAX,
        u16::MAX,
    )
    .unwrap();
    let aux = ChangeWindowAttributesAux::new().cursor(cursor);
    x.change_window_attributes(world.painter.root, &aux).unwrap();
    x.sync().unwrap();
    let shape = world.event("cursor", |event| match event {
        ScreenEvent::Cursor(cursor) => Some(cursor.clone()),
        _ => None,
    });
    assert_ne!(shape.serial, before.serial);
    assert_eq!(shape.bgra.len() as u64, shape.size.area() * 4);
    assert!(
        shape.bgra.chunks_exact(4).any(|pixel| pixel == [0, 0, 255, 255]),
        "no red pixel"
    );
    assert_eq!(world.screen.cursor().unwrap(), shape);
}

#[test]
fn the_pointer_is_reported_wherever_it_comes_from() {
    let Some(mut world) = World::new() else { return };
    world.events();
    let moved = |event: &ScreenEvent| match event {
        ScreenEvent::Pointer(at) => Some(*at),
        _ => None,
    };
    let position = Point { x: 12, y: 34 };
    world
        .screen
        .input(&Input::Motion {
            position,
            modifiers: Modifiers::default(),
        })
        .unwrap();
    assert_eq!(world.event("our motion", moved), position);
    let far = Input::Motion {
        position: Point { x: 9999, y: -5 },
        modifiers: Modifiers::default(),
    };
    world.screen.input(&far).unwrap();
    assert_eq!(world.event("clamped motion", moved), Point { x: 639, y: 0 });
    let (x, root) = (&world.painter.x, world.painter.root);
    x.xtest_fake_input(xproto::MOTION_NOTIFY_EVENT, 0, 0, root, 200, 300, 0)
        .unwrap();
    x.sync().unwrap();
    assert_eq!(world.event("another's motion", moved), Point { x: 200, y: 300 });
}

#[test]
fn buttons_reach_programs_and_are_released() {
    let Some(mut world) = World::new() else { return };
    let window = world.painter.window(Rect::new(0, 0, 100, 100));
    let mask = EventMask::BUTTON_PRESS | EventMask::BUTTON_RELEASE;
    let aux = ChangeWindowAttributesAux::new().event_mask(mask);
    world.painter.x.change_window_attributes(window, &aux).unwrap();
    world.painter.x.sync().unwrap();
    let button = |button, pressed| Input::Button {
        button,
        pressed,
        position: Some(Point { x: 50, y: 60 }),
        modifiers: Modifiers::default(),
    };
    for input in [
        button(1, true),
        button(4, true),
        button(4, false),
        button(0, true),
        button(3, false),
    ] {
        world.screen.input(&input).unwrap();
    }
    world.screen.input(&Input::ReleaseAll).unwrap();
    let mut seen = Vec::new();
    eventually("four button events", || {
        while let Some(event) = world.painter.x.poll_for_event().unwrap() {
            match event {
                Event::ButtonPress(e) => seen.push((e.detail, true, e.event_x, e.event_y)),
                Event::ButtonRelease(e) => seen.push((e.detail, false, e.event_x, e.event_y)),
                _ => {}
            }
        }
        (seen.len() >= 4).then_some(())
    });
    assert_eq!(
        seen,
        [
            (1, true, 50, 60),
            (4, true, 50, 60),
            (4, false, 50, 60),
            (1, false, 50, 60)
        ]
    );
}

#[test]
fn the_bell_is_heard() {
    let Some(mut world) = World::new() else { return };
    world.painter.x.bell(0).unwrap();
    world.painter.x.flush().unwrap();
    let percent = world.event("bell", |event| match event {
        ScreenEvent::Bell { percent, .. } => Some(*percent),
        _ => None,
    });
    assert!((1..=100).contains(&percent));
}

#[test]
fn the_screen_takes_sizes_it_can_have() {
    let Some(mut world) = World::new() else { return };
    world.events();
    assert_eq!(world.screen.resize(Size::new(9000, 9000)).unwrap(), SIZE);
    assert_eq!(world.screen.resize(Size::new(0, 0)).unwrap(), SIZE);
    let smaller = world.screen.resize(Size::new(500, 300)).unwrap();
    if smaller == SIZE {
        eprintln!("skipped: this Xvfb cannot resize");
        return;
    }
    assert_eq!(smaller, Size::new(500, 300));
    assert!(world.events().contains(&ScreenEvent::Resized(smaller)));
    assert!(world.screen.capture(&[SIZE.rect()]).unwrap().is_empty());
    assert_eq!(world.screen.capture(&[smaller.rect()]).unwrap().len(), 1);
    assert_eq!(world.screen.resize(SIZE).unwrap(), SIZE);
    assert!(world.events().contains(&ScreenEvent::Resized(SIZE)));
    assert_eq!(world.screen.capture(&[SIZE.rect()]).unwrap().len(), 1);
}

#[test]
fn a_display_that_goes_away_is_an_error() {
    let Some(mut world) = World::new() else { return };
    world.events();
    drop(world._server);
    let mut events = Vec::new();
    let end = Screen::wait(&mut world.screen, world.wake.0.as_fd(), None, &mut events);
    assert!(matches!(end, Err(DisplayError::Lost { .. })), "{end:?}");
    let nowhere = X11Screen::open(Some(":9999")).unwrap_err();
    assert!(matches!(nowhere, DisplayError::Open { .. }), "{nowhere}");
}

#[test]
fn the_display_writes_captures_into_a_file() {
    let Some(mut world) = World::new() else {
        return;
    };
    let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, 1 << 20).unwrap();
    let shared = world.screen.share(file.as_fd()).unwrap().unwrap();
    world.settle();
    let (root, painter) = (world.painter.root, &world.painter);
    painter.fill(root, Rect::new(10, 20, 30, 2), 0x12_3456);
    assert_eq!(world.damaged(), [Rect::new(10, 20, 30, 2)]);
    let places = [
        (Rect::new(10, 20, 30, 2), 8),
        (Rect::new(630, 20, 30, 2), 1024),
        (Rect::new(39, 21, 2, 1), 2048),
    ];
    assert_eq!(
        world.screen.capture_shared(shared, &places).unwrap(),
        [true, false, true]
    );
    let mut pixels = [0; 240];
    rustix::io::pread(&file, &mut pixels, 8).unwrap();
    assert!(
        pixels
            .chunks_exact(4)
            .all(|pixel| pixel[..3] == [0x56, 0x34, 0x12])
    );
    rustix::io::pread(&file, &mut pixels[..8], 2048).unwrap();
    assert_eq!((pixels[0], pixels[4]), (0x56, 0));
    // captured is captured: the same damage is told again
    world.painter.fill(root, Rect::new(10, 20, 30, 2), 0x65_4321);
    assert_eq!(world.damaged(), [Rect::new(10, 20, 30, 2)]);
    // a file that became shorter, and one that is gone
    rustix::fs::ftruncate(&file, 0).unwrap();
    world.screen.capture_shared(shared, &places).unwrap();
    world.screen.unshare(shared);
    assert_eq!(
        world.screen.capture_shared(shared, &places).unwrap(),
        [false, false, false]
    );
    assert_eq!(world.screen.capture(&[SIZE.rect()]).unwrap().len(), 1);
}
