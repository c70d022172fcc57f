//! What the viewer says when the user does something.

use super::super::{ClientSession, Shortcut, Shortcuts};
use super::*;
use crate::auth::Handlers;
use crate::codec::Value;
use crate::display::headless::Headless;
use crate::display::{Key, Modifiers};
use crate::mmap::{MIN_SIZE, Region, RingReader, RingWriter, Span};
use crate::packet::Capabilities;
use crate::picture::Coded;
use crate::protocol::ConnectionConfig;
use crate::session::login::Login;
use crate::types::{Encoding, PixelFormat};

const ID: WindowId = WindowId(3);
const RECT: Rect = Rect::new(100, 200, 300, 400);

/// A viewer with one window, and what it tells the session.
fn viewer(options: ClientOptions, shadow: bool, kind: WindowKind) -> (Viewer, ClientSession) {
    let login = Login::new(ConnectionConfig::default(), Handlers::default(), |_| {
        Capabilities::default()
    });
    let (session, seat, _) = ClientSession::new(&options, login).unwrap();
    let windows = Headless::new(Size::new(1000, 1000));
    let mut viewer = Viewer::new(Box::new(windows), options, seat);
    viewer.connected(ServerFacts {
        dialect: Dialect::G6,
        shadow,
        clipboard: true,
    });
    let window = WindowCreate {
        id: ID,
        rect: RECT,
        kind,
        metadata: Value::map(),
        properties: Value::map(),
    };
    viewer.packet(Packet::NewWindow(window)).unwrap();
    (viewer, session)
}

fn sent(session: &mut ClientSession) -> Vec<Packet> {
    let messages = std::iter::from_fn(|| session.inbox.try_recv().ok());
    messages
        .filter_map(|message| match message {
            ToSession::Send(packet) => Some(packet),
            _ => None,
        })
        .collect()
}

fn motion() -> WindowEvent {
    WindowEvent::Motion {
        window: ID,
        position: Point { x: 5, y: 6 },
        root: Point { x: 0, y: 0 },
        modifiers: Modifiers::default(),
        buttons: vec![1],
    }
}

fn key() -> WindowEvent {
    WindowEvent::Key {
        window: ID,
        key: Key::default(),
        pressed: true,
        modifiers: Modifiers::default(),
    }
}

#[test]
fn shortcuts_are_acted_on_also_by_who_only_looks() {
    let options = ClientOptions {
        readonly: true,
        shortcuts: Shortcuts::new(
            &["F11:show_session_info", "F5:refresh_window", "F4:quit"]
                .map(|text| Shortcut::parse(text).unwrap()),
            &[],
        ),
        ..ClientOptions::default()
    };
    let (viewer, mut session) = viewer(options, true, WindowKind::Normal);
    let (show, shown) = std::sync::mpsc::channel();
    let mut viewer = viewer.on_session_info(move || show.send(()).unwrap());
    for (keycode, name) in (1..).zip(["F11", "F5", "F4", "a"]) {
        for pressed in [true, false] {
            let key = Key {
                name: name.into(),
                keycode,
                ..Key::default()
            };
            let modifiers = Modifiers::default();
            viewer
                .event(WindowEvent::Key {
                    window: ID,
                    key,
                    pressed,
                    modifiers,
                })
                .unwrap();
        }
    }
    assert_eq!(shown.try_iter().count(), 1);
    let id = Some(ID);
    let told: Vec<_> = std::iter::from_fn(|| session.inbox.try_recv().ok()).collect();
    assert!(
        matches!(
            &told[..],
            [
                ToSession::Send(Packet::BufferRefresh { id: asked, .. }),
                ToSession::Depart(Departure::Quit)
            ] if *asked == id
        ),
        "{told:?}"
    );
}

#[test]
fn pointers_are_where_the_server_was_told_the_window_is() {
    for (shadow, x, y) in [(false, 105, 206), (true, 5, 6)] {
        let (mut viewer, mut session) = viewer(ClientOptions::default(), shadow, WindowKind::Normal);
        viewer.event(WindowEvent::Mapped(ID, RECT)).unwrap();
        viewer.event(motion()).unwrap();
        let sent = sent(&mut session);
        assert!(matches!(sent[0], Packet::MapWindow(_)));
        let Packet::Pointer(pointer) = &sent[1] else {
            panic!()
        };
        assert_eq!((pointer.position, pointer.id), (Point { x, y }, 3));
        assert_eq!(pointer.buttons, [1]);
    }
}

#[test]
fn a_window_is_mapped_again_after_it_was_hidden() {
    let (mut viewer, mut session) = viewer(ClientOptions::default(), false, WindowKind::Normal);
    for event in [
        // not shown yet: nothing to configure or hide
        WindowEvent::Configured(ID, RECT),
        WindowEvent::Unmapped(ID),
        WindowEvent::Mapped(ID, RECT),
        WindowEvent::Mapped(ID, RECT),
        WindowEvent::Configured(ID, RECT),
        WindowEvent::Configured(ID, Rect::new(1, 2, 300, 400)),
        WindowEvent::Unmapped(ID),
        WindowEvent::Mapped(ID, RECT),
    ] {
        viewer.event(event).unwrap();
    }
    let sent = sent(&mut session);
    assert!(matches!(
        sent.as_slice(),
        [
            Packet::MapWindow(_),
            Packet::ConfigureWindow(_),
            Packet::UnmapWindow(ID),
            Packet::MapWindow(_)
        ]
    ));
}

#[test]
fn menus_are_placed_by_the_server_alone() {
    let (mut viewer, mut session) = viewer(ClientOptions::default(), false, WindowKind::OverrideRedirect);
    viewer.event(WindowEvent::Mapped(ID, RECT)).unwrap();
    viewer
        .event(WindowEvent::Configured(ID, Rect::new(1, 2, 3, 4)))
        .unwrap();
    viewer.event(WindowEvent::Unmapped(ID)).unwrap();
    assert_eq!(sent(&mut session), []);
}

#[test]
fn who_only_looks_sends_no_input() {
    let options = ClientOptions {
        readonly: true,
        ..ClientOptions::default()
    };
    let (mut viewer, mut session) = viewer(options, false, WindowKind::Normal);
    for event in [
        WindowEvent::Focus(Some(ID)),
        key(),
        motion(),
        WindowEvent::CloseRequested(ID),
        WindowEvent::KeymapChanged,
    ] {
        viewer.event(event).unwrap();
    }
    assert_eq!(sent(&mut session), []);
}

#[test]
fn closing_the_only_shared_screen_leaves() {
    for (shadow, leaves) in [(true, true), (false, false)] {
        let (mut viewer, mut session) = viewer(ClientOptions::default(), shadow, WindowKind::Normal);
        viewer.event(WindowEvent::CloseRequested(ID)).unwrap();
        match session.inbox.try_recv() {
            Ok(ToSession::Depart(Departure::WindowClosed)) => assert!(leaves),
            Ok(ToSession::Send(Packet::CloseWindow(ID))) => assert!(!leaves),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn keys_go_out_as_they_come() {
    let (mut viewer, mut session) = viewer(ClientOptions::default(), false, WindowKind::Normal);
    viewer.event(key()).unwrap();
    viewer.event(key()).unwrap();
    assert_eq!(sent(&mut session).len(), 2);
}

/// A picture in shared memory at the window's corner.
fn shared(sequence: u64, spans: Vec<Span>, size: Size, stride: u32, format: Option<PixelFormat>) -> Draw {
    Draw {
        id: ID,
        rect: size.rect(),
        coded: Ok(Coded {
            encoding: Encoding::Mmap,
            data: Payload::Shared(spans),
            stride,
            format,
            compression: None,
            quality: None,
            scaled_size: None,
            has_alpha: false,
        }),
        sequence,
        flush: 0,
        paint: true,
        speed: None,
    }
}

#[test]
fn pictures_in_shared_memory_are_painted_released_and_acknowledged() {
    let (mut viewer, mut session) = viewer(ClientOptions::default(), false, WindowKind::Normal);
    let region = Region::anonymous(MIN_SIZE).unwrap();
    let copy = region.file().try_clone_to_owned().unwrap();
    let mut ring = RingWriter::new(Region::sealed(copy).unwrap()).unwrap();
    viewer.shared = Some(SharedPixels::new(RingReader::new(region), &mut *viewer.windows));
    let bgrx = Some(PixelFormat::Bgrx);
    let size = Size::new(3, 2);
    let span = ring.reserve(32).unwrap();
    let pixels: Vec<u8> = (1..=32).collect();
    ring.write(span.offset, &pixels).unwrap();
    let outside = Span {
        offset: MIN_SIZE - 4,
        len: 8,
    };
    let decode_time = |viewer: &mut Viewer, session: &mut ClientSession, draw: Draw| {
        viewer.draw(draw, now()).unwrap();
        match sent(session).as_slice() {
            [Packet::DrawAck(ack)] => ack.decode_time,
            other => panic!("{other:?}"),
        }
    };
    let mut ack = |draw| decode_time(&mut viewer, &mut session, draw);
    assert!(ack(shared(1, vec![span], size, 16, bgrx)) > 0);
    // rows that do not fit, spans that do not, formats that are unknown
    assert_eq!(ack(shared(2, vec![span], size, 8, bgrx)), FAILED);
    assert_eq!(ack(shared(3, vec![span], Size::new(3, 3), 16, bgrx)), FAILED);
    assert_eq!(ack(shared(4, vec![outside], size, 16, bgrx)), FAILED);
    assert_eq!(ack(shared(5, vec![], size, 16, bgrx)), FAILED);
    assert_eq!(ack(shared(6, vec![span], size, 16, None)), FAILED);
    assert_eq!(
        ack(shared(7, vec![span], Size::new(60000, 60000), 0, bgrx)),
        FAILED
    );
    // converted on the way
    assert!(ack(shared(8, vec![span], size, 12, Some(PixelFormat::Rgb))) > 0);
    let mut elsewhere = shared(9, vec![span], size, 16, bgrx);
    elsewhere.id = WindowId(99);
    assert_eq!(ack(elsewhere), NO_WINDOW);
    let mut canvas = viewer.windows.canvas(ID).unwrap().unwrap();
    assert_eq!(canvas.span(0, 0, 2)[..3], [3, 2, 1]);
    // everything is released: the whole ring can be had again
    assert!(ring.reserve(u64::from(MIN_SIZE) - 100).is_ok());
}
