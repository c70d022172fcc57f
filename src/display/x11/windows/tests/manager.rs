//! A window manager that puts windows into frames, as small as can be.

use super::{ID, Stage, eventually, plaid, with};
use crate::display::{NewWindow, WindowEvent, WindowMetadata, Windows as _};
use crate::types::{Point, Rect, Size};
use std::time::Duration;
use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, CONFIGURE_NOTIFY_EVENT, ChangeWindowAttributesAux, ClientMessageEvent, ConfigureNotifyEvent,
    ConfigureWindowAux, ConnectionExt as _, CreateWindowAux, EventMask, PropMode, Window, WindowClass,
};
use x11rb::wrapper::ConnectionExt as _;

/// Where contents are in their frame.
const INSET: (i16, i16) = (5, 20);

impl Stage {
    fn create_window(&self, rect: Rect) -> Window {
        let window = self.other.generate_id().unwrap();
        let (x, y) = (rect.x.try_into().unwrap(), rect.y.try_into().unwrap());
        let (w, h) = (rect.w.try_into().unwrap(), rect.h.try_into().unwrap());
        let aux = CreateWindowAux::new().override_redirect(1).background_pixel(0xff);
        let class = WindowClass::INPUT_OUTPUT;
        self.other
            .create_window(24, window, self.root, x, y, w, h, 0, class, 0, &aux)
            .unwrap();
        window
    }

    /// Becomes window manager; gives the window that proves it.
    fn manage(&self) -> Window {
        let aux = ChangeWindowAttributesAux::new()
            .event_mask(EventMask::SUBSTRUCTURE_REDIRECT | EventMask::SUBSTRUCTURE_NOTIFY);
        self.other
            .change_window_attributes(self.root, &aux)
            .unwrap()
            .check()
            .unwrap();
        let proof = self.create_window(Rect::new(-9, -9, 1, 1));
        let check = self.atom("_NET_SUPPORTING_WM_CHECK");
        for window in [proof, self.root] {
            self.other
                .change_property32(PropMode::REPLACE, window, check, AtomEnum::WINDOW, &[proof])
                .unwrap();
        }
        self.other.sync().unwrap();
        proof
    }

    /// Frames the window that asks to be shown.
    fn frame(&mut self, at: Rect) -> Window {
        self.windows.flush().unwrap();
        let asks = loop {
            if let Event::MapRequest(event) = self.other.wait_for_event().unwrap() {
                break event.window;
            }
        };
        let frame = self.create_window(at);
        self.other.reparent_window(asks, frame, INSET.0, INSET.1).unwrap();
        self.other.map_window(asks).unwrap();
        self.other.map_window(frame).unwrap();
        self.other.sync().unwrap();
        frame
    }
}

#[test]
fn windows_in_frames_know_where_they_are() {
    let Some(mut stage) = Stage::new() else { return };
    let proof = stage.manage();
    stage
        .windows
        .create(ID, &with(WindowMetadata::default()))
        .unwrap();
    let frame = stage.frame(Rect::new(100, 50, 74, 73));
    let events = stage.events();
    assert_eq!(
        events,
        [WindowEvent::Mapped(ID, Rect::new(105, 70, 64, 48))],
        "and the focus is not ours to take"
    );

    // Resized with the frame: a real event, in the frame's coordinates.
    let xid = stage.xid(ID);
    stage
        .other
        .configure_window(xid, &ConfigureWindowAux::new().width(80).height(90))
        .unwrap();
    assert_eq!(
        stage.events(),
        [WindowEvent::Configured(ID, Rect::new(105, 70, 80, 90))]
    );
    // Moved with the frame: the manager says so itself.
    stage
        .other
        .configure_window(frame, &ConfigureWindowAux::new().x(200).y(10))
        .unwrap();
    let told = ConfigureNotifyEvent {
        response_type: CONFIGURE_NOTIFY_EVENT,
        sequence: 0,
        event: xid,
        window: xid,
        above_sibling: x11rb::NONE,
        x: 205,
        y: 30,
        width: 80,
        height: 90,
        border_width: 0,
        override_redirect: false,
    };
    stage
        .other
        .send_event(false, xid, EventMask::STRUCTURE_NOTIFY, told)
        .unwrap();
    assert_eq!(
        stage.events(),
        [WindowEvent::Configured(ID, Rect::new(205, 30, 80, 90))]
    );

    // Iconified and back.
    stage.other.unmap_window(xid).unwrap();
    assert_eq!(stage.events(), [WindowEvent::Unmapped(ID)]);
    stage.other.map_window(xid).unwrap();
    assert_eq!(
        stage.events(),
        [WindowEvent::Mapped(ID, Rect::new(205, 30, 80, 90))]
    );

    // The manager ends without clearing up behind it: now the focus is ours to give.
    assert!(stage.windows.manager.is_some());
    stage.other.destroy_window(proof).unwrap();
    stage.other.unmap_window(xid).unwrap();
    stage.other.map_window(xid).unwrap();
    assert!(stage.events().contains(&WindowEvent::Focus(Some(ID))));
    assert_eq!(stage.windows.manager, None);
}

#[test]
fn menus_are_placed_without_asking() {
    let Some(mut stage) = Stage::new() else { return };
    stage.manage();
    let rect = Rect::new(-7, 33, 64, 48);
    assert_eq!(
        stage.show(
            ID,
            &NewWindow {
                rect,
                override_redirect: true,
                ..with(WindowMetadata::default())
            }
        ),
        rect
    );
}

#[test]
fn close_requests_and_pings() {
    let Some(mut stage) = Stage::new() else { return };
    stage.manage();
    stage
        .windows
        .create(ID, &with(WindowMetadata::default()))
        .unwrap();
    stage.frame(Rect::new(0, 0, 74, 73));
    stage.events();
    let xid = stage.xid(ID);
    let protocols = stage.atom("WM_PROTOCOLS");
    let send = |name: &str| {
        let message = ClientMessageEvent::new(32, xid, protocols, [stage.atom(name), 7, xid, 0, 0]);
        stage
            .other
            .send_event(false, xid, EventMask::NO_EVENT, message)
            .unwrap();
        stage.other.sync().unwrap();
    };
    send("WM_DELETE_WINDOW");
    send("_NET_WM_PING");
    assert_eq!(stage.events(), [WindowEvent::CloseRequested(ID)]);
    let ping = stage.atom("_NET_WM_PING");
    stage.other.sync().unwrap();
    let pong = std::iter::from_fn(|| stage.other.poll_for_event().unwrap()).any(|event| {
        matches!(event, Event::ClientMessage(m) if m.window == stage.root && m.data.as_data32()[..2] == [ping, 7])
    });
    assert!(pong);
    // Nothing else stirs.
    assert_eq!(stage.wait(Duration::from_millis(50)), []);
}

/// Against openbox, where that is installed.
#[test]
fn a_real_manager_moves_and_fills() {
    let Some(mut stage) = Stage::new() else { return };
    let Ok(mut openbox) = stage.server.command("openbox").args(["--sm-disable"]).spawn() else {
        eprintln!("skipped: no openbox");
        return;
    };
    eventually("a manager", || {
        stage.events();
        stage.windows.manager
    });
    let metadata = WindowMetadata {
        title: Some("Contents".into()),
        ..WindowMetadata::default()
    };
    let wanted = Rect::new(100, 90, 300, 200);
    let window = NewWindow {
        rect: wanted,
        override_redirect: false,
        metadata,
    };
    stage.windows.create(ID, &window).unwrap();
    let xid = stage.xid(ID);
    let mut events = Vec::new();
    eventually("mapped and focused", || {
        // While openbox starts it loses requests.
        stage.other.map_window(xid).unwrap();
        events.append(&mut stage.events());
        events.contains(&WindowEvent::Focus(Some(ID))).then_some(())
    });
    // Static gravity: the contents are there, not the frame.
    assert!(events.contains(&WindowEvent::Mapped(ID, wanted)), "{events:?}");
    stage.paint(ID, wanted.size().rect(), plaid);
    let moved = Rect::new(220, 160, 320, 180);
    stage
        .windows
        .move_resize(ID, Some(Point { x: 220, y: 160 }), moved.size())
        .unwrap();
    stage.until("move", |event| {
        (*event == WindowEvent::Configured(ID, moved)).then_some(())
    });
    let fill = |on| WindowMetadata {
        fullscreen: Some(on),
        ..WindowMetadata::default()
    };
    stage.windows.update(ID, &fill(true)).unwrap();
    let screen = WindowEvent::Configured(ID, Rect::new(0, 0, 800, 600));
    stage.until("fullscreen", |event| (*event == screen).then_some(()));
    assert_eq!(
        stage.windows.canvas(ID).unwrap().unwrap().size(),
        Size::new(800, 600)
    );
    stage.windows.update(ID, &fill(false)).unwrap();
    stage.until("back", |event| {
        (*event == WindowEvent::Configured(ID, moved)).then_some(())
    });
    let iconic = |on| WindowMetadata {
        iconic: Some(on),
        ..WindowMetadata::default()
    };
    stage.windows.update(ID, &iconic(true)).unwrap();
    stage.until("iconic", |event| {
        (*event == WindowEvent::Unmapped(ID)).then_some(())
    });
    stage.windows.update(ID, &iconic(false)).unwrap();
    stage.until("shown", |event| {
        (*event == WindowEvent::Mapped(ID, moved)).then_some(())
    });
    openbox.kill().unwrap();
    openbox.wait().unwrap();
    eventually("no manager", || {
        stage.events();
        stage.windows.manager.is_none().then_some(())
    });
}
