use super::{ID, Stage, X11Windows, eventually};
use crate::display::x11::X11Screen;
use crate::display::{
    Clipboard as _, ClipboardEvent, Key, Modifiers, NewWindow, Screen as _, Selection, WindowEvent,
    Windows as _,
};
use crate::types::{Point, Rect, Size, WindowId};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};
use x11rb::protocol::xproto::{
    BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, ConnectionExt as _, GrabMode, InputFocus, KEY_PRESS_EVENT,
    KEY_RELEASE_EVENT, MOTION_NOTIFY_EVENT,
};
use x11rb::wrapper::ConnectionExt as _;

const A: u8 = 38;
const E: u8 = 26;
const Y: u8 = 29;
const SEMICOLON: u8 = 47;
const KEYPAD_7: u8 = 79;
const SHIFT: u8 = 50;
const CONTROL: u8 = 37;
const CAPS: u8 = 66;
const NUM_LOCK: u8 = 77;
const ALT_GR: u8 = 108;
const RETURN: u8 = 36;

impl Stage {
    fn focused() -> Option<Self> {
        let mut stage = Self::new()?;
        stage.show_at(ID, Rect::new(10, 20, 400, 300));
        let mut events = stage.events();
        while !events.contains(&WindowEvent::Focus(Some(ID))) {
            events = stage.wait(Duration::from_secs(5));
            assert!(!events.is_empty(), "no focus");
        }
        Some(stage)
    }

    fn set_layout(&mut self, layout: &str) {
        let set = self
            .server
            .command("setxkbmap")
            .args(["-layout", layout])
            .status()
            .unwrap();
        assert!(set.success());
    }

    fn press(&self, keycode: u8) {
        self.fake(KEY_PRESS_EVENT, keycode, 0, 0);
    }

    fn release(&self, keycode: u8) {
        self.fake(KEY_RELEASE_EVENT, keycode, 0, 0);
    }

    /// Taps `key` while `held`; gives what came of its press.
    fn tap(&mut self, held: &[u8], key: u8) -> (Key, Modifiers) {
        held.iter().for_each(|keycode| self.press(*keycode));
        self.press(key);
        self.release(key);
        held.iter().for_each(|keycode| self.release(*keycode));
        let events = self.events();
        let mut presses = events.into_iter().filter_map(|event| match event {
            WindowEvent::Key {
                window: ID,
                key,
                pressed: true,
                modifiers,
            } => Some((key, modifiers)),
            WindowEvent::Key { .. } | WindowEvent::KeymapChanged => None,
            other => panic!("{other:?}"),
        });
        presses.next_back().unwrap()
    }

    fn name_and_text(&mut self, held: &[u8], key: u8) -> (String, String) {
        let (key, _) = self.tap(held, key);
        (key.name.to_string(), key.text.to_string())
    }
}

fn pair(name: &str, text: &str) -> (String, String) {
    (name.to_owned(), text.to_owned())
}

#[test]
fn keys_have_names_and_texts() {
    let Some(mut stage) = Stage::focused() else { return };
    stage.set_layout("us");
    assert_eq!(stage.name_and_text(&[], A), pair("a", "a"));
    assert_eq!(stage.name_and_text(&[SHIFT], A), pair("A", "A"));
    assert_eq!(stage.name_and_text(&[], Y), pair("y", "y"));
    assert_eq!(stage.name_and_text(&[SHIFT], SEMICOLON), pair("colon", ":"));
    assert_eq!(stage.name_and_text(&[], RETURN), pair("Return", ""));
    assert_eq!(stage.name_and_text(&[CONTROL], A), pair("a", ""));
    let (key, modifiers) = stage.tap(&[SHIFT, CONTROL], A);
    assert_eq!(modifiers.names().collect::<Vec<_>>(), ["shift", "control"]);
    assert_eq!((key.keysym, key.keycode, key.group), (0x41, 38, 0));
    assert_eq!(stage.name_and_text(&[SHIFT], SHIFT).0, "Shift_L");

    assert_eq!(stage.name_and_text(&[], KEYPAD_7), pair("KP_Home", ""));
    stage.tap(&[], NUM_LOCK);
    assert_eq!(stage.name_and_text(&[], KEYPAD_7), pair("KP_7", "7"));
    stage.tap(&[], NUM_LOCK);
    stage.tap(&[], CAPS);
    assert_eq!(stage.name_and_text(&[], A), pair("A", "A"));
    assert_eq!(stage.name_and_text(&[SHIFT], A), pair("a", "a"));
    assert_eq!(stage.name_and_text(&[], SEMICOLON), pair("semicolon", ";"));
    stage.tap(&[], CAPS);

    stage.set_layout("de");
    assert_eq!(stage.name_and_text(&[], Y), pair("z", "z"));
    assert_eq!(stage.name_and_text(&[], SEMICOLON), pair("odiaeresis", "ö"));
    assert_eq!(stage.name_and_text(&[SHIFT], SEMICOLON), pair("Odiaeresis", "Ö"));
    assert_eq!(stage.name_and_text(&[ALT_GR], E), pair("EuroSign", "\u{20ac}"));
    assert_eq!(stage.name_and_text(&[], 21).0, "dead_acute");
    stage.tap(&[], CAPS);
    assert_eq!(stage.name_and_text(&[], SEMICOLON), pair("Odiaeresis", "Ö"));
    stage.tap(&[], CAPS);
}

/// A second group chosen with XKB (`setxkbmap -layout us,de` and a switch).
#[test]
fn groups_choose_layouts() {
    use x11rb::protocol::xkb::{ConnectionExt as _, Group, ID as Device};
    use x11rb::protocol::xproto::ModMask;
    let Some(mut stage) = Stage::focused() else { return };
    stage.set_layout("us,de");
    assert_eq!(stage.name_and_text(&[], Y), pair("y", "y"));
    let conn = &stage.other;
    conn.xkb_use_extension(1, 0).unwrap().reply().unwrap();
    let none = ModMask::from(0u16);
    let device = Device::USE_CORE_KBD.into();
    conn.xkb_latch_lock_state(device, none, none, true, Group::M2, none, false, 0)
        .unwrap();
    conn.sync().unwrap();
    let (key, _) = stage.tap(&[], Y);
    assert_eq!((key.name.as_str(), key.group), ("z", 1));
    // A key with one group only.
    assert_eq!(stage.name_and_text(&[], RETURN).0, "Return");
}

#[test]
fn keymaps_are_told() {
    let Some(mut stage) = Stage::focused() else { return };
    stage.set_layout("us");
    stage.events();
    let us = stage.windows.keymap();
    assert_eq!((us.layout.as_str(), us.rules.as_str()), ("us", "evdev"));
    let set = stage
        .server
        .command("setxkbmap")
        .args([
            "-layout",
            "de",
            "-variant",
            "nodeadkeys",
            "-option",
            "ctrl:nocaps",
        ])
        .status();
    assert!(set.unwrap().success());
    stage.until("keymap", |event| {
        matches!(event, WindowEvent::KeymapChanged).then_some(())
    });
    let de = eventually("the final keymap", || {
        stage.wait(Duration::from_millis(20));
        Some(stage.windows.keymap()).filter(|keymap| keymap.options == "ctrl:nocaps")
    });
    assert_eq!((de.layout.as_str(), de.variant.as_str()), ("de", "nodeadkeys"));
    let entry = |keycode: u8, level| {
        let mut keys = de.keys.iter();
        keys.find(|k| k.keycode == u32::from(keycode) && k.level == level && k.group == 0)
            .unwrap()
    };
    assert_eq!(
        (
            entry(Y, 0).name.as_str(),
            entry(Y, 1).name.as_str(),
            entry(Y, 0).keysym
        ),
        ("z", "Z", 0x7a)
    );
    assert_eq!(entry(E, 2).name, "EuroSign");
    assert!(de.keys.len() > 300, "{}", de.keys.len());
    let [shift, lock, control, alt, num, _, superr, level3] = &de.modifiers;
    assert_eq!(shift[..], ["Shift_L", "Shift_R"]);
    assert_eq!(lock.len(), 0, "{lock:?}");
    assert!(control.contains(&"Control_L".to_owned()));
    assert!(alt.contains(&"Alt_L".to_owned()) && num.contains(&"Num_Lock".to_owned()));
    assert!(superr.contains(&"Super_L".to_owned()) && level3.contains(&"ISO_Level3_Shift".to_owned()));
}

#[test]
fn held_keys_repeat_as_presses() {
    let Some(mut stage) = Stage::focused() else { return };
    stage.press(A);
    let mut presses = 0;
    stage.until("repeats", |event| {
        match event {
            WindowEvent::Key { pressed: true, .. } => presses += 1,
            WindowEvent::Key { .. } => panic!("a release between repeats"),
            _ => {}
        }
        (presses == 4).then_some(())
    });
    stage.release(A);
    stage.until("release", |event| {
        matches!(event, WindowEvent::Key { pressed: false, .. }).then_some(())
    });
}

#[test]
fn pointer_and_buttons() {
    let Some(mut stage) = Stage::focused() else { return };
    stage.fake(MOTION_NOTIFY_EVENT, 0, 50, 60);
    stage.events();
    for x in 51..90 {
        stage.fake(MOTION_NOTIFY_EVENT, 0, x, 61);
    }
    stage.fake(BUTTON_PRESS_EVENT, 1, 0, 0);
    for x in 91..95 {
        stage.fake(MOTION_NOTIFY_EVENT, 0, x, 62);
    }
    stage.fake(BUTTON_PRESS_EVENT, 3, 0, 0);
    stage.fake(BUTTON_RELEASE_EVENT, 1, 0, 0);
    stage.fake(BUTTON_RELEASE_EVENT, 3, 0, 0);
    stage.fake(BUTTON_PRESS_EVENT, 4, 0, 0);
    stage.fake(BUTTON_RELEASE_EVENT, 4, 0, 0);
    stage.fake(MOTION_NOTIFY_EVENT, 0, 96, 62);
    let at = |x, y| (Point { x: x - 10, y: y - 20 }, Point { x, y });
    let motion = |x, y, buttons: &[u8]| {
        let (position, root) = at(x, y);
        let (modifiers, buttons) = (Modifiers(0), buttons.to_vec());
        WindowEvent::Motion {
            window: ID,
            position,
            root,
            modifiers,
            buttons,
        }
    };
    let button = |button, pressed, x, y, buttons: &[u8]| {
        let (position, root) = at(x, y);
        let (modifiers, buttons) = (Modifiers(0), buttons.to_vec());
        WindowEvent::Button {
            window: ID,
            button,
            pressed,
            position,
            root,
            modifiers,
            buttons,
        }
    };
    let expected = [
        motion(89, 61, &[]),
        button(1, true, 89, 61, &[1]),
        motion(94, 62, &[1]),
        button(3, true, 94, 62, &[1, 3]),
        button(1, false, 94, 62, &[3]),
        button(3, false, 94, 62, &[]),
        button(4, true, 94, 62, &[4]),
        button(4, false, 94, 62, &[]),
        motion(96, 62, &[]),
    ];
    assert_eq!(stage.events(), expected);
}

#[test]
fn focus_goes_and_comes() {
    let Some(mut stage) = Stage::focused() else { return };
    let two = WindowId(2);
    stage.show_at(two, Rect::new(500, 20, 100, 100));
    assert_eq!(
        stage.events(),
        [WindowEvent::Focus(Some(two))],
        "the newest, told once"
    );
    // A click focuses where no window manager does it.
    stage.fake(MOTION_NOTIFY_EVENT, 0, 50, 60);
    stage.fake(BUTTON_PRESS_EVENT, 1, 0, 0);
    stage.fake(BUTTON_RELEASE_EVENT, 1, 0, 0);
    assert!(stage.events().contains(&WindowEvent::Focus(Some(ID))));
    // A grab is no loss.
    let grab = stage.other.grab_keyboard(
        false,
        stage.root,
        x11rb::CURRENT_TIME,
        GrabMode::ASYNC,
        GrabMode::ASYNC,
    );
    grab.unwrap().reply().unwrap();
    assert_eq!(stage.events(), []);
    stage.other.ungrab_keyboard(x11rb::CURRENT_TIME).unwrap();
    assert_eq!(stage.events(), []);
    stage
        .other
        .set_input_focus(InputFocus::NONE, x11rb::NONE, x11rb::CURRENT_TIME)
        .unwrap();
    assert_eq!(stage.events(), [WindowEvent::Focus(None)]);
    stage
        .other
        .set_input_focus(InputFocus::NONE, stage.xid(two), x11rb::CURRENT_TIME)
        .unwrap();
    assert_eq!(stage.events(), [WindowEvent::Focus(Some(two))]);
    stage.windows.destroy(two).unwrap();
    assert_eq!(stage.events(), [WindowEvent::Focus(None)]);
    // Menus take no focus.
    let menu = NewWindow {
        rect: Rect::new(0, 0, 50, 50),
        override_redirect: true,
        ..NewWindow::default()
    };
    stage.show(two, &menu);
    assert_eq!(stage.events(), []);
}

/// Both ends of the clipboard through the trait, and a program that never answers.
#[test]
fn clipboard_events_come_with_the_others() {
    let Some(mut stage) = Stage::new() else { return };
    let Ok(mut other) = X11Windows::open(Some(&stage.server.display)) else {
        panic!()
    };
    let events = |windows: &mut X11Windows| {
        let (wake, _keep) = std::io::pipe().unwrap();
        let mut events = Vec::new();
        windows
            .wait(wake.as_fd(), Some(Duration::from_millis(10)), &mut events)
            .unwrap();
        events.pop()
    };
    let selection = Selection::Clipboard;
    other.claim(selection);
    eventually("claim", || {
        events(&mut other);
        events(&mut stage.windows).filter(|e| *e == WindowEvent::Clipboard(ClipboardEvent::Owned(selection)))
    });
    stage.windows.read(4, selection);
    let request = eventually("request", || match events(&mut other) {
        Some(WindowEvent::Clipboard(ClipboardEvent::Wanted { request, .. })) => Some(request),
        _ => None,
    });
    other.give(request, Some("text"));
    let got = |text: Option<&str>| {
        let text = text.map(str::to_owned);
        WindowEvent::Clipboard(ClipboardEvent::Text {
            request: 4,
            selection,
            text,
        })
    };
    stage.until("text", |event| (*event == got(Some("text"))).then_some(()));
    stage.windows.read(4, selection);
    let start = Instant::now();
    assert_eq!(stage.wait(Duration::from_secs(9)), [got(None)]);
    let waited = start.elapsed();
    assert!(
        waited > Duration::from_millis(1900) && waited < Duration::from_secs(4),
        "{waited:?}"
    );
}

#[test]
fn the_screen_is_resized() {
    let Some(mut stage) = Stage::new() else { return };
    assert_eq!(stage.windows.screen_size(), Size::new(800, 600));
    let mut screen = X11Screen::open(Some(&stage.server.display)).unwrap();
    assert_eq!(screen.resize(Size::new(640, 480)).unwrap(), Size::new(640, 480));
    let size = stage.until("resize", |event| match event {
        WindowEvent::ScreenResized(size) => Some(*size),
        _ => None,
    });
    assert_eq!(size, Size::new(640, 480));
    assert_eq!(stage.windows.screen_size(), size);
}

#[test]
fn waiting_ends_in_time_and_by_the_wake() {
    let Some(mut stage) = Stage::new() else { return };
    stage.events();
    let start = Instant::now();
    assert_eq!(stage.wait(Duration::from_millis(30)), []);
    let waited = start.elapsed();
    assert!(
        waited >= Duration::from_millis(30) && waited < Duration::from_millis(500),
        "{waited:?}"
    );
    let (wake, mut caller) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut caller, b"!").unwrap();
    stage.windows.wait(wake.as_fd(), None, &mut Vec::new()).unwrap();
    // The server goes away: an error, not a hang.
    let Stage {
        mut windows, server, ..
    } = stage;
    drop(server);
    let (wake, _keep) = std::io::pipe().unwrap();
    let lost = windows.wait(wake.as_fd(), None, &mut Vec::new());
    assert!(
        matches!(lost, Err(crate::display::DisplayError::Lost { .. })),
        "{lost:?}"
    );
    assert!(matches!(
        X11Windows::open(Some(":9876")),
        Err(crate::display::DisplayError::Open { .. })
    ));
}
