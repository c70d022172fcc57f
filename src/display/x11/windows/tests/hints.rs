use super::{ID, Stage, with};
use crate::display::{Cursor, NewWindow, SizeHints, WindowMetadata, Windows as _};
use crate::types::{Point, Rect, Size, WindowId};
use x11rb::connection::Connection as _;
use x11rb::properties::{WmClass, WmHints, WmHintsState, WmSizeHints};
use x11rb::protocol::Event;
use x11rb::protocol::xfixes::ConnectionExt as _;
use x11rb::protocol::xproto::{
    AtomEnum, ChangeWindowAttributesAux, ClientMessageEvent, ConnectionExt as _, EventMask, Gravity, Window,
};
use x11rb::wrapper::ConnectionExt as _;

fn everything() -> WindowMetadata {
    WindowMetadata {
        title: Some("Títle \u{20ac}".into()),
        icon_title: Some("icon".into()),
        class_instance: Some(("xterm".into(), "XTerm".into())),
        role: Some("main".into()),
        window_type: Some(vec!["DIALOG".into(), "NO-SUCH".into(), "NORMAL".into()]),
        size_hints: Some(SizeHints {
            minimum: Some(Size::new(20, 10)),
            maximum: Some(Size::new(u32::MAX, 0)),
            base: Some(Size::new(4, 5)),
            increment: Some(Size::new(6, 13)),
            minimum_aspect: Some(0.5),
            maximum_aspect: Some(f64::NAN),
        }),
        decorations: Some(false),
        modal: Some(true),
        maximized: Some(true),
        above: Some(false),
        skip_pager: Some(true),
        opacity: Some(0.5),
        ..WindowMetadata::default()
    }
}

#[test]
fn metadata_becomes_properties() {
    let Some(mut stage) = Stage::new() else { return };
    stage.show(ID, &with(everything()));
    let xid = stage.xid(ID);
    let utf8 = stage.atom("UTF8_STRING");
    assert_eq!(
        stage.property(xid, "_NET_WM_NAME"),
        (utf8, "Títle \u{20ac}".into())
    );
    assert_eq!(stage.property(xid, "WM_NAME").1, "Títle \u{20ac}".as_bytes());
    assert_eq!(
        stage.property(xid, "WM_ICON_NAME"),
        (AtomEnum::STRING.into(), "icon".into())
    );
    assert_eq!(stage.property(xid, "WM_WINDOW_ROLE").1, b"main");
    let class = WmClass::get(&stage.other, xid).unwrap().reply().unwrap().unwrap();
    assert_eq!((class.instance(), class.class()), (&b"xterm"[..], &b"XTerm"[..]));
    let atoms = |names: &[&str]| names.iter().map(|name| stage.atom(name)).collect::<Vec<_>>();
    let types = atoms(&["_NET_WM_WINDOW_TYPE_DIALOG", "_NET_WM_WINDOW_TYPE_NORMAL"]);
    let states = atoms(&[
        "_NET_WM_STATE_MODAL",
        "_NET_WM_STATE_MAXIMIZED_HORZ",
        "_NET_WM_STATE_MAXIMIZED_VERT",
        "_NET_WM_STATE_SKIP_PAGER",
    ]);
    assert_eq!(stage.property32(xid, "_NET_WM_WINDOW_TYPE"), types);
    assert_eq!(stage.property32(xid, "_NET_WM_STATE"), states);
    assert_eq!(stage.property32(xid, "_NET_WM_PID"), [std::process::id()]);
    assert_eq!(stage.property32(xid, "_MOTIF_WM_HINTS"), [2, 0, 0, 0, 0]);
    assert_eq!(stage.property32(xid, "_NET_WM_WINDOW_OPACITY"), [u32::MAX / 2]);
    assert!(!stage.property(xid, "WM_CLIENT_MACHINE").1.is_empty());

    let hints = WmSizeHints::get_normal_hints(&stage.other, xid)
        .unwrap()
        .reply()
        .unwrap()
        .unwrap();
    assert_eq!(hints.min_size, Some((20, 10)));
    assert_eq!(hints.max_size, Some((0x7fff, 1)));
    assert_eq!(
        (hints.base_size, hints.size_increment),
        (Some((4, 5)), Some((6, 13)))
    );
    assert_eq!(hints.win_gravity, Some(Gravity::STATIC));
    assert_eq!(hints.position.map(|(_, x, y)| (x, y)), Some((30, 40)));
    let (least, most) = hints.aspect.unwrap();
    assert_eq!((least.numerator * 2, most.numerator), (least.denominator, 1));
    let hints = WmHints::get(&stage.other, xid).unwrap().reply().unwrap().unwrap();
    assert_eq!(hints.input, Some(true));
    assert!(matches!(hints.initial_state, Some(WmHintsState::Normal)));

    let child = WindowMetadata {
        transient_for: Some(Some(ID)),
        ..WindowMetadata::default()
    };
    stage.show(
        WindowId(2),
        &NewWindow {
            rect: Rect::new(0, 0, 9, 9),
            metadata: child,
            ..with(everything())
        },
    );
    let dialog = stage.xid(WindowId(2));
    assert_eq!(stage.property32(dialog, "WM_TRANSIENT_FOR"), [xid]);
    for nobody in [None, Some(WindowId(77))] {
        let metadata = WindowMetadata {
            transient_for: Some(nobody),
            ..WindowMetadata::default()
        };
        stage.windows.update(WindowId(2), &metadata).unwrap();
        assert_eq!(stage.property32(dialog, "WM_TRANSIENT_FOR"), [0u32; 0]);
    }
    // An update changes what it names and nothing else.
    let title = WindowMetadata {
        title: Some("x".repeat(9999)),
        ..WindowMetadata::default()
    };
    stage.windows.update(ID, &title).unwrap();
    assert_eq!(stage.property(xid, "_NET_WM_NAME").1.len(), 4096);
    assert_eq!(stage.property(xid, "WM_WINDOW_ROLE").1, b"main");
    let solid = WindowMetadata {
        opacity: Some(1.0),
        decorations: Some(true),
        ..WindowMetadata::default()
    };
    stage.windows.update(ID, &solid).unwrap();
    assert_eq!(stage.property32(xid, "_NET_WM_WINDOW_OPACITY"), [0u32; 0]);
    assert_eq!(stage.property32(xid, "_MOTIF_WM_HINTS"), [2, 0, 1, 0, 0]);
    stage.windows.update(WindowId(77), &solid).unwrap();
}

#[test]
fn icons() {
    let Some(mut stage) = Stage::new() else { return };
    stage.show(ID, &with(WindowMetadata::default()));
    stage
        .windows
        .set_icon(ID, Size::new(2, 1), &[1, 2, 3, 4, 5, 6, 7, 8])
        .unwrap();
    for (size, bytes) in [
        (Size::new(2, 2), 8),
        (Size::new(0, 0), 0),
        (Size::new(1 << 31, 1 << 31), 0),
    ] {
        stage.windows.set_icon(ID, size, &vec![0; bytes]).unwrap();
    }
    let xid = stage.xid(ID);
    assert_eq!(
        stage.property32(xid, "_NET_WM_ICON"),
        [2, 1, 0x0403_0201, 0x0807_0605]
    );
}

/// The messages a window manager got about a window.
fn requests(stage: &mut Stage, about: Window) -> Vec<ClientMessageEvent> {
    stage.windows.conn.sync().unwrap();
    stage.other.sync().unwrap();
    let events = std::iter::from_fn(|| stage.other.poll_for_event().unwrap());
    events
        .filter_map(|event| match event {
            Event::ClientMessage(message) if message.window == about => Some(message),
            _ => None,
        })
        .collect()
}

#[test]
fn states_are_asked_of_the_manager() {
    let Some(mut stage) = Stage::new() else { return };
    let aux = ChangeWindowAttributesAux::new().event_mask(EventMask::SUBSTRUCTURE_NOTIFY);
    stage.other.change_window_attributes(stage.root, &aux).unwrap();
    stage.show(ID, &with(WindowMetadata::default()));
    let xid = stage.xid(ID);
    assert_eq!(requests(&mut stage, xid).len(), 0);
    let metadata = WindowMetadata {
        fullscreen: Some(true),
        maximized: Some(false),
        iconic: Some(true),
        ..WindowMetadata::default()
    };
    stage.windows.update(ID, &metadata).unwrap();
    let messages = requests(&mut stage, xid);
    let data: Vec<_> = messages.iter().map(|m| (m.type_, m.data.as_data32())).collect();
    let [state, change] = [stage.atom("_NET_WM_STATE"), stage.atom("WM_CHANGE_STATE")];
    let [horz, vert] = [
        stage.atom("_NET_WM_STATE_MAXIMIZED_HORZ"),
        stage.atom("_NET_WM_STATE_MAXIMIZED_VERT"),
    ];
    let expected = [
        (state, [1, stage.atom("_NET_WM_STATE_FULLSCREEN"), 0, 1, 0]),
        (state, [0, horz, vert, 1, 0]),
        (change, [3, 0, 0, 0, 0]),
    ];
    assert_eq!(data, expected);
}

#[test]
fn cursors() {
    let Some(mut stage) = Stage::new() else { return };
    stage.show(ID, &with(WindowMetadata::default()));
    stage.fake(6, 0, 40, 50);
    let shape = |stage: &mut Stage| {
        stage.windows.conn.sync().unwrap();
        stage.other.xfixes_query_version(5, 0).unwrap().reply().unwrap();
        stage.other.xfixes_get_cursor_image().unwrap().reply().unwrap()
    };
    let default = shape(&mut stage);
    let size = Size::new(3, 2);
    let bgra: Vec<u8> = (0..24u8).map(|i| if i % 4 == 3 { 0xff } else { i }).collect();
    let cursor = Cursor {
        serial: 5,
        name: String::new(),
        size,
        hot: Point { x: 1, y: 99 },
        bgra,
    };
    stage.windows.set_cursor(&cursor).unwrap();
    let image = shape(&mut stage);
    assert_eq!((image.width, image.height, image.xhot, image.yhot), (3, 2, 1, 1));
    assert_eq!(image.cursor_image[1], 0xff06_0504);
    // A broken one and none at all are the default; known ones come back; many are bounded.
    for broken in [
        Cursor {
            bgra: vec![0; 7],
            serial: 6,
            ..cursor.clone()
        },
        Cursor {
            size: Size::new(u32::MAX, u32::MAX),
            serial: 7,
            ..cursor.clone()
        },
        Cursor::default(),
    ] {
        stage.windows.set_cursor(&cursor).unwrap();
        stage.windows.set_cursor(&broken).unwrap();
        assert_eq!(shape(&mut stage).cursor_image, default.cursor_image);
    }
    for serial in 100..300 {
        stage
            .windows
            .set_cursor(&Cursor {
                serial,
                ..cursor.clone()
            })
            .unwrap();
    }
    assert_eq!(shape(&mut stage).width, 3);
    // A new window has the present cursor.
    stage.show(WindowId(2), &with(WindowMetadata::default()));
    assert_eq!(shape(&mut stage).width, 3);
    stage.windows.bell(255).unwrap();
    stage.events();
}
