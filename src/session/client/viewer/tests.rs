//! What the viewer says when the user does something.

use super::super::ClientSession;
use super::*;
use crate::auth::Handlers;
use crate::codec::Value;
use crate::display::headless::Headless;
use crate::display::{Key, Modifiers};
use crate::packet::Capabilities;
use crate::protocol::ConnectionConfig;
use crate::session::login::Login;

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
