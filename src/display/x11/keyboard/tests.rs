use crate::display::x11::keysyms;
use crate::display::x11::screen::X11Screen;
use crate::display::x11::test_server::{TestServer, eventually};
use crate::display::{Input, Key, Keymap, KeymapEntry, Modifiers, Screen as _};
use compact_str::CompactString;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::ConnectionExt as _;
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::wrapper::ConnectionExt as _;

const SHIFT: u8 = 1;
const LOCK: u8 = 2;
const CONTROL: u8 = 4;

/// A key event as a program on the display sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    pressed: bool,
    name: String,
    state: u32,
    text: String,
}

/// A display with a layout, and xev in front: it interprets keys through Xlib, not through our code.
struct Desk {
    screen: X11Screen,
    seen: Receiver<Seen>,
    xev: Child,
    server: TestServer,
}

impl Desk {
    fn new(layout: &str) -> Option<Self> {
        let server = TestServer::start("400x300x24", &[])?;
        set_layout(&server, layout)?;
        let screen = X11Screen::open(Some(&server.display)).unwrap();
        let mut command = server.command("xev");
        command
            .args(["-geometry", "400x300+0+0", "-event", "keyboard"])
            .env("LC_ALL", "C.UTF-8");
        let Ok(mut xev) = command.stdout(Stdio::piped()).spawn() else {
            eprintln!("skipped: no xev");
            return None;
        };
        let lines = BufReader::new(xev.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let (send, seen) = channel();
        std::thread::spawn(move || parse_events(lines, |event| send.send(event).is_ok()));
        let mut desk = Self {
            screen,
            seen,
            xev,
            server,
        };
        // Before its window is there, keys are lost: type until one arrives.
        eventually("xev", || {
            desk.press("space", 65, 0);
            desk.release("space", 65, 0);
            desk.seen.recv_timeout(Duration::from_millis(100)).ok()
        });
        desk.seen();
        Some(desk)
    }

    fn key(&mut self, name: &str, keycode: u32, pressed: bool, modifiers: u8) {
        let key = Key {
            name: name.into(),
            keycode,
            ..Key::default()
        };
        self.screen
            .input(&Input::Key {
                key,
                pressed,
                modifiers: Modifiers(modifiers),
            })
            .unwrap();
    }

    fn press(&mut self, name: &str, keycode: u32, modifiers: u8) {
        self.key(name, keycode, true, modifiers);
    }

    fn release(&mut self, name: &str, keycode: u32, modifiers: u8) {
        self.key(name, keycode, false, modifiers);
    }

    /// Types like somebody with a US keyboard that has the other characters on AltGr without saying so.
    fn type_text(&mut self, text: &str) {
        for (keycode, c) in (100..).zip(text.chars()) {
            let shifted = c.is_ascii_uppercase() || r#"~!@#$%^&*()_+{}|:"<>?"#.contains(c);
            let name = keysyms::name(keysyms::of_char(c).unwrap()).unwrap();
            let held = if shifted { SHIFT } else { 0 };
            if shifted {
                self.press("Shift_L", 50, 0);
            }
            self.press(&name, keycode, held);
            self.release(&name, keycode, held);
            if shifted {
                self.release("Shift_L", 50, SHIFT);
            }
        }
    }

    /// Everything seen until now.
    fn seen(&mut self) -> Vec<Seen> {
        let mut all = Vec::new();
        while let Ok(event) = self.seen.recv_timeout(Duration::from_millis(200)) {
            all.push(event);
        }
        all
    }

    /// The keys pressed until now but for modifiers.
    fn typed(&mut self) -> Vec<String> {
        let is_modifier = |name: &str| {
            name.starts_with("Shift_") || name.starts_with("ISO_Level") || name.starts_with("Control_")
        };
        let pressed = self
            .seen()
            .into_iter()
            .filter(|event| event.pressed && !is_modifier(&event.name));
        pressed.map(|event| event.name).collect()
    }

    /// Modifiers in effect on the display.
    fn modifiers(&self) -> u16 {
        let x = self.server.connect();
        let root = x.setup().roots[0].root;
        u16::from(x.query_pointer(root).unwrap().reply().unwrap().mask) & 0xff
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.xev.kill().unwrap();
        self.xev.wait().unwrap();
    }
}

fn set_layout(server: &TestServer, layout: &str) -> Option<()> {
    let done = server
        .command("setxkbmap")
        .arg(layout)
        .stderr(Stdio::null())
        .status();
    if !done.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no setxkbmap {layout}");
        return None;
    }
    Some(())
}

/// Reads xev's paragraphs: the kind, then `state 0x1, keycode 38 (keysym 0x41, A)`, then what XLookupString gives.
fn parse_events(lines: impl Iterator<Item = String>, mut found: impl FnMut(Seen) -> bool) {
    let between =
        |line: &str, start: &str, end: &str| Some(line.split_once(start)?.1.split_once(end)?.0.to_owned());
    let mut event = None;
    for line in lines {
        if let Some(kind) = line
            .strip_prefix("Key")
            .and_then(|line| line.split_once(" event"))
        {
            let pressed = kind.0 == "Press";
            event = (pressed || kind.0 == "Release").then(|| Seen {
                pressed,
                name: String::new(),
                state: 0,
                text: String::new(),
            });
        }
        let Some(current) = &mut event else { continue };
        if let Some(keysym) = between(&line, "(keysym 0x", ",") {
            let keysym = u32::from_str_radix(&keysym, 16).unwrap();
            current.name = keysyms::name(keysym).unwrap_or_default().into_owned();
            let state = between(&line, "state 0x", ",").unwrap();
            current.state = u32::from_str_radix(&state, 16).unwrap();
        } else if line.contains("XLookupString gives") {
            current.text = between(&line, "\"", "\"").unwrap_or_default();
            if !event.take().is_some_and(&mut found) {
                return;
            }
        }
    }
}

fn names(text: &str) -> Vec<String> {
    text.chars()
        .map(|c| keysyms::name(keysyms::of_char(c).unwrap()).unwrap().into_owned())
        .collect()
}

const SAMPLE: &str = "aZ{}@€é ñ Ж'\"1!~\\<zyq§ßф.,;AÉ|";

#[test]
fn a_us_client_types_on_any_layout() {
    for layout in ["us", "de", "fr", "ru", "us,ru", "de(nodeadkeys)", "us(intl)"] {
        let Some(mut desk) = Desk::new(layout) else {
            continue;
        };
        desk.type_text(SAMPLE);
        assert_eq!(desk.typed(), names(SAMPLE), "{layout}");
        assert_eq!(desk.modifiers(), 0, "{layout}");
        desk.type_text(SAMPLE);
        assert_eq!(desk.typed(), names(SAMPLE), "{layout} again");
    }
}

#[test]
fn more_characters_than_there_are_spare_keys() {
    let Some(mut desk) = Desk::new("us") else { return };
    let alphabet: String = ('а'..='я').chain('А'..='Я').chain('α'..='ρ').collect();
    for part in alphabet.chars().collect::<Vec<_>>().chunks(12) {
        let part = String::from_iter(part);
        desk.type_text(&part);
        assert_eq!(desk.typed(), names(&part));
    }
}

#[test]
fn keys_without_characters_and_dead_keys() {
    let Some(mut desk) = Desk::new("us") else { return };
    let keys = [
        "Return",
        "Left",
        "F5",
        "BackSpace",
        "dead_acute",
        "XF86AudioMute",
        "KP_4",
        "KP_Home",
        "Hangul",
    ];
    for (keycode, name) in (1..).zip(keys) {
        desk.press(name, keycode, 0);
        desk.release(name, keycode, 0);
    }
    // The number pad's digits need Num Lock for a moment.
    assert_eq!(desk.typed(), keys);
    assert_eq!(desk.modifiers(), 0);
    for nonsense in [
        "",
        "no such key",
        "XF86Switch_VT_1",
        "ISO_Next_Group",
        "VoidSymbol",
    ] {
        desk.press(nonsense, 0, 0);
    }
    assert_eq!(desk.typed(), [""; 0]);
}

#[test]
fn keysym_and_text_help_where_the_name_does_not() {
    let Some(mut desk) = Desk::new("us") else { return };
    let key = |name: &str, keysym, text: &str| Key {
        name: name.into(),
        keysym,
        text: CompactString::from(text),
        ..Key::default()
    };
    for key in [
        key("?", 0x61, ""),
        key("", 0, "b"),
        key("", 0, "bc"),
        key("U0063", 0, "x"),
    ] {
        for pressed in [true, false] {
            let (key, modifiers) = (key.clone(), Modifiers::default());
            desk.screen
                .input(&Input::Key {
                    key,
                    pressed,
                    modifiers,
                })
                .unwrap();
        }
    }
    assert_eq!(desk.typed(), ["a", "b", "c"]);
}

#[test]
fn a_held_key_repeats_as_often_as_the_client_says() {
    let Some(mut desk) = Desk::new("us") else { return };
    desk.press("a", 38, 0);
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(desk.typed(), ["a"], "the display repeated by itself");
    for _ in 0..3 {
        desk.press("a", 38, 0);
    }
    assert_eq!(desk.typed(), ["a"; 3]);
    desk.release("a", 38, 0);
    assert!(desk.seen().iter().all(|event| !event.pressed));
    // Somebody else's keys repeat as before.
    let x = desk.server.connect();
    x.xtest_fake_input(2, 38, 0, 0, 0, 0, 0).unwrap();
    x.sync().unwrap();
    std::thread::sleep(Duration::from_millis(1200));
    x.xtest_fake_input(3, 38, 0, 0, 0, 0, 0).unwrap();
    x.sync().unwrap();
    assert!(desk.typed().len() > 2);
}

#[test]
fn a_key_is_released_by_its_keycode() {
    let Some(mut desk) = Desk::new("us") else { return };
    desk.press("Shift_L", 50, 0);
    desk.press("A", 38, SHIFT);
    desk.release("Shift_L", 50, SHIFT);
    desk.release("a", 38, 0);
    let released: Vec<_> = desk
        .seen()
        .into_iter()
        .filter(|e| !e.pressed)
        .map(|e| e.name)
        .collect();
    assert_eq!(released, ["Shift_L", "a"]);
}

#[test]
fn modifiers_follow_the_client() {
    let Some(mut desk) = Desk::new("us") else { return };
    let motion = |desk: &mut Desk, bits| {
        let position = crate::types::Point { x: 5, y: 5 };
        desk.screen
            .input(&Input::Motion {
                position,
                modifiers: Modifiers(bits),
            })
            .unwrap();
        desk.modifiers()
    };
    // Pressed elsewhere, seen here: shift and control, then mod4, then nothing.
    assert_eq!(motion(&mut desk, SHIFT | CONTROL), 5);
    assert_eq!(motion(&mut desk, 0x40), 0x40);
    assert_eq!(motion(&mut desk, 0), 0);
    // A modifier whose release was lost.
    desk.press("Control_L", 37, 0);
    assert_eq!(desk.modifiers(), 4);
    desk.press("a", 38, 0);
    assert_eq!(desk.modifiers(), 0);
    desk.release("a", 38, 0);
    // A modifier whose press was lost, then its own release.
    desk.press("c", 54, CONTROL);
    desk.release("c", 54, CONTROL);
    let seen = desk.seen();
    assert!(
        seen.iter().any(|e| e.pressed && e.name == "c" && e.state == 4),
        "{seen:?}"
    );
    desk.press("Control_L", 37, CONTROL);
    desk.release("Control_L", 37, CONTROL);
    assert_eq!(desk.modifiers(), 0);
    // Locks.
    desk.press("Caps_Lock", 66, 0);
    desk.release("Caps_Lock", 66, LOCK);
    assert_eq!(desk.modifiers(), 2);
    desk.seen();
    desk.press("A", 38, LOCK);
    desk.release("A", 38, LOCK);
    assert_eq!(desk.typed(), ["A"]);
    assert_eq!(motion(&mut desk, 0), 0);
    // Num Lock, which the client has on another bit than the display.
    let mut keymap = Keymap::default();
    keymap.modifiers[5] = vec!["Num_Lock".to_owned()];
    desk.screen.set_keymap(&keymap).unwrap();
    assert_eq!(motion(&mut desk, 1 << 5), 0x10);
    assert_eq!(motion(&mut desk, 0), 0);
}

#[test]
fn release_all_leaves_nothing_held() {
    let Some(mut desk) = Desk::new("de") else { return };
    for (keycode, name) in (1..200).zip([
        "Shift_L",
        "Control_L",
        "ISO_Level3_Shift",
        "a",
        "at",
        "Cyrillic_de",
    ]) {
        desk.press(name, keycode, 0);
    }
    desk.screen.input(&Input::ReleaseAll).unwrap();
    let seen = desk.seen();
    let count = |pressed| seen.iter().filter(|event| event.pressed == pressed).count();
    assert_eq!(count(true), count(false), "{seen:?}");
    assert_eq!(desk.modifiers(), 0);
}

#[test]
fn shortcuts_of_a_cyrillic_client_mean_latin_letters() {
    let Some(mut desk) = Desk::new("us") else { return };
    let entry = |keysym, name: &str, group| KeymapEntry {
        keysym,
        name: name.to_owned(),
        keycode: 54,
        group,
        level: 0,
    };
    let keys = vec![entry(0x6d3, "Cyrillic_es", 0), entry(0x63, "c", 1)];
    desk.screen
        .set_keymap(&Keymap {
            keys,
            ..Keymap::default()
        })
        .unwrap();
    desk.press("Control_L", 37, 0);
    desk.press("Cyrillic_es", 54, CONTROL);
    desk.release("Cyrillic_es", 54, CONTROL);
    desk.release("Control_L", 37, CONTROL);
    desk.press("Cyrillic_es", 54, 0);
    desk.release("Cyrillic_es", 54, 0);
    assert_eq!(desk.typed(), ["c", "Cyrillic_es"]);
}

#[test]
fn another_layout_is_noticed() {
    let Some(mut desk) = Desk::new("us") else { return };
    desk.type_text("yzЖ");
    assert_eq!(desk.typed(), names("yzЖ"));
    set_layout(&desk.server, "de").unwrap();
    let (ours, _theirs) = rustix::pipe::pipe().unwrap();
    let mut events = Vec::new();
    use std::os::fd::AsFd as _;
    desk.screen
        .wait(ours.as_fd(), Some(Duration::from_millis(300)), &mut events)
        .unwrap();
    desk.type_text("yzЖ@");
    assert_eq!(desk.typed(), names("yzЖ@"));
}

#[test]
fn the_keyboard_is_left_as_found() {
    let Some(mut desk) = Desk::new("us") else { return };
    let mapping = |desk: &Desk| {
        let x = desk.server.connect();
        let (first, last) = (x.setup().min_keycode, x.setup().max_keycode);
        let map = x
            .get_keyboard_mapping(first, last - first + 1)
            .unwrap()
            .reply()
            .unwrap();
        let syms = map
            .keysyms
            .chunks(map.keysyms_per_keycode.into())
            .map(|syms| syms[0])
            .collect::<Vec<_>>();
        (
            syms,
            x.get_keyboard_control().unwrap().reply().unwrap().auto_repeats,
        )
    };
    let before = mapping(&desk);
    desk.type_text("абв€");
    desk.press("x", 53, 0);
    assert_ne!(mapping(&desk), before);
    // Only the screen goes away: its display stays.
    let display = desk.server.display.clone();
    desk.screen = X11Screen::open(Some(&display)).unwrap();
    assert_eq!(mapping(&desk), before);
}
