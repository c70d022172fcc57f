//! What a client that shows windows says about itself (`session.md` 1.7, `wire.md` 5.5).
//!
//! 3.1 reads flat dotted keys, 6.x a dictionary per subsystem; each dialect gets the form it reads, and both where
//! 6.x still reads the old one.

use super::ClientOptions;
use super::keymap::keymap_pairs;
use crate::codec::{Dialect, Value};
use crate::display::Keymap;
use crate::packet::{Capabilities, DPI, screens};
use crate::session::CLIENT_TYPE;
use crate::types::{Encoding, PixelFormat, Size};

/// Milliseconds until a held key repeats, and between repeats.
const KEY_REPEAT: [u32; 2] = [500, 30];

/// Milliseconds after which a server sends again without loss what it sent with some.
const AUTO_REFRESH: u32 = 150;

/// Pixels of the rgb encodings, the one that needs no conversion first.
const RGB_FORMATS: [PixelFormat; 6] = [
    PixelFormat::Bgrx,
    PixelFormat::Bgra,
    PixelFormat::Rgbx,
    PixelFormat::Rgba,
    PixelFormat::Rgb,
    PixelFormat::Bgr,
];

/// The window metadata [`metadata`](crate::packet::metadata) reads.
const METADATA: [&str; 25] = [
    "title",
    "icon-title",
    "client-machine",
    "class-instance",
    "role",
    "window-type",
    "transient-for",
    "size-hints",
    "size-constraints",
    "decorations",
    "modal",
    "iconic",
    "fullscreen",
    "maximized",
    "above",
    "below",
    "sticky",
    "skip-taskbar",
    "skip-pager",
    "has-alpha",
    "opacity",
    "shadow",
    "override-redirect",
    "tray",
    "set-initial-position",
];

/// Who the client is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Tells one seat from another: a server drops the older of two connections of the same.
    pub uuid: String,
    /// The machine.
    pub hostname: String,
    /// The user.
    pub username: String,
}

impl Identity {
    /// The user of a display on a machine; the same three give the same uuid.
    pub fn new(machine_id: &str, hostname: &str, username: &str, display: &str) -> Self {
        // FNV-1a: spreads well and is the same in every build, which is all it has to be
        let seat = [machine_id, hostname, username, display].join("\0");
        let hash = seat
            .bytes()
            .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash: u128, byte| {
                (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
            });
        Self {
            uuid: format!("{hash:032x}"),
            hostname: hostname.to_owned(),
            username: username.to_owned(),
        }
    }
}

/// The display the windows will be shown on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desktop {
    /// Size of its screen.
    pub size: Size,
    /// Its keyboard; without keys, the client does not type.
    pub keymap: Keymap,
    /// Pictures a second its screen shows, when that is known.
    pub refresh_rate: Option<u32>,
}

/// The capabilities of a client that shows windows; the connection adds those of the wire.
pub fn client_hello(
    dialect: Dialect,
    identity: &Identity,
    desktop: &Desktop,
    options: &ClientOptions,
) -> Capabilities {
    let mut caps = Capabilities::default();
    caps.set("client_type", CLIENT_TYPE)
        .set("platform", "linux2")
        .set("platform.name", "Linux")
        .set("uuid", identity.uuid.as_str())
        .set("hostname", identity.hostname.as_str())
        .set("username", identity.username.as_str())
        .set("user", identity.username.as_str())
        .set("name", identity.username.as_str())
        .set("ui_client", true)
        .set("windows", true)
        .set("share", options.sharing)
        .set("lock", options.lock)
        .set("steal", options.steal)
        .set("bell", options.bell)
        .set("notifications", false)
        .set("system_tray", false)
        .set("setting-change", true)
        .set("control_commands", ["name"])
        .set("metadata.supported", METADATA)
        .set("bandwidth-limit", options.bandwidth_limit)
        // 6.x leaves it off all the same, unless its own option says yes
        .set("bandwidth-detection", options.bandwidth_detection);
    if !options.session_name.is_empty() {
        caps.set("session-name", options.session_name.as_str());
    }
    let mut section = Sections {
        caps: &mut caps,
        dialect,
    };
    section.add("mouse", &[("show", true.into())]);
    section.add("pointer", &[("enabled", true.into())]);
    section.add(
        "window",
        &[("min-size", [1, 1].into()), ("max-size", [32767, 32767].into())],
    );
    section.add(
        "clipboard",
        &[
            ("enabled", options.clipboard.is_on().into()),
            ("selections", ["CLIPBOARD", "PRIMARY"].into()),
            (
                "preferred-targets",
                ["UTF8_STRING", "TEXT", "STRING", "text/plain"].into(),
            ),
            ("greedy", false.into()),
            ("want_targets", false.into()),
            ("notifications", false.into()),
            ("set_enabled", true.into()),
            ("contents-slice-fix", true.into()),
        ],
    );
    options.files.describe(&mut caps);
    display(&mut caps, desktop, options);
    cursors(&mut caps, dialect, options);
    encodings(&mut caps, dialect, options);
    keyboard(&mut caps, dialect, &desktop.keymap, options);
    caps
}

/// Writes a subsystem's capabilities in the form of the dialect.
struct Sections<'a> {
    caps: &'a mut Capabilities,
    dialect: Dialect,
}

impl Sections<'_> {
    fn add(&mut self, name: &str, pairs: &[(&str, Value)]) {
        let on = pairs.iter().find(|(key, _)| *key == "enabled");
        let on = on.is_none_or(|(_, value)| *value == Value::Bool(true));
        match self.dialect {
            Dialect::G6 if on && !pairs.is_empty() => {
                let mut section = Value::map();
                pairs
                    .iter()
                    .for_each(|(key, value)| section.insert(*key, value.clone()));
                self.caps.set(name, section);
            }
            Dialect::G6 => {
                self.caps.set(name, on);
            }
            Dialect::G3 => {
                self.caps.set(name, on);
                for (key, value) in pairs {
                    self.caps.set(&format!("{name}.{key}"), value.clone());
                }
            }
        }
    }
}

fn display(caps: &mut Capabilities, desktop: &Desktop, options: &ClientOptions) {
    let size = desktop.size;
    caps.set("desktop_size", [size.w, size.h])
        .set("desktop_mode_size", [size.w, size.h])
        .set("screen_sizes", screens(size))
        .set("desktop-fullscreen", options.desktop_fullscreen)
        .set("randr_notify", true)
        .set("dpi", DPI)
        .set("dpi.x", DPI)
        .set("dpi.y", DPI)
        .set("vrefresh", options.refresh_rate(desktop.refresh_rate));
}

fn cursors(caps: &mut Capabilities, dialect: Dialect, options: &ClientOptions) {
    caps.set("cursors", options.cursors);
    // never png: servers put premultiplied pixels into a file that has no word for that
    caps.set("encodings.cursor", ["raw"]);
    if dialect == Dialect::G6 && options.cursors {
        let mut cursor = Value::map();
        cursor.insert("encodings", ["raw"]);
        caps.set("cursor", cursor);
    }
}

fn encodings(caps: &mut Capabilities, dialect: Dialect, options: &ClientOptions) {
    let scrolls = options.encodings.contains(&Encoding::Scroll);
    // 6.5 loses every picture it would send as a scroll, so there the name is kept back; a server that reads
    // `encoding.scrolling` as 3.1 does still learns of it
    let named = options
        .encodings
        .iter()
        .filter(|e| dialect == Dialect::G3 || **e != Encoding::Scroll);
    let core: Vec<Value> = named.map(|e| e.name().into()).collect();
    // what a user may choose has one name for both sizes of raw pixels
    let rgb = |e: &Encoding| matches!(e, Encoding::Rgb24 | Encoding::Rgb32);
    let mut choices = core.clone();
    if options.encodings.iter().any(rgb) {
        choices.push("rgb".into());
    }
    let (core, choices) = (Value::List(core), Value::List(choices));
    let formats = Value::List(RGB_FORMATS.iter().map(|f| f.name().into()).collect());
    let icons: Value = ["premult_argb32", "png"].into();
    caps.set("encodings", choices.clone())
        .set("encodings.core", core.clone())
        .set("encodings.rgb_formats", formats.clone())
        .set("encodings.window-icon", icons.clone())
        .set("auto_refresh_delay", AUTO_REFRESH);
    let setting = match options.encoding {
        Some(encoding) if rgb(&encoding) => "rgb",
        Some(encoding) => encoding.name(),
        None => "auto",
    };
    // servers encode lossy pictures only from pixels the client lists for that encoding
    let mut sources = Value::map();
    for encoding in [Encoding::Jpeg, Encoding::Webp] {
        let yuv = ["YUV420P", "YUV422P", "YUV444P"].into_iter();
        let all = RGB_FORMATS.iter().map(|f| f.name()).chain(yuv);
        sources.insert(encoding.name(), Value::List(all.map(Value::from).collect()));
    }
    let mut pairs: Vec<(&str, Value)> = vec![
        ("full_csc_modes", sources),
        ("rgb_formats", formats),
        ("rgb_lz4", true.into()),
        ("transparency", true.into()),
        ("flush", true.into()),
        ("scrolling", scrolls.into()),
        // ours alone: others stretch some encodings and say nothing of it
        ("scaled_size", true.into()),
        ("eos", true.into()),
        ("client_options", true.into()),
    ];
    let wanted = [
        ("quality", options.quality),
        ("min-quality", options.min_quality),
        ("speed", options.speed),
        ("min-speed", options.min_speed),
    ];
    pairs.extend(
        wanted
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?.into()))),
    );
    match dialect {
        // 3.1 has the setting where 6.x has the dictionary
        Dialect::G3 => {
            caps.set("encoding", setting);
            if let Some(quality) = options.quality {
                caps.set("quality", quality);
            }
            for (key, value) in pairs {
                caps.set(&format!("encoding.{key}"), value);
            }
        }
        Dialect::G6 => {
            let mut encoding = Value::map();
            encoding.insert("setting", setting);
            encoding.insert("options", choices);
            encoding.insert("core", core);
            encoding.insert("window-icon", icons);
            pairs
                .into_iter()
                .for_each(|(key, value)| encoding.insert(key, value));
            caps.set("encoding", encoding);
        }
    }
}

fn keyboard(caps: &mut Capabilities, dialect: Dialect, keymap: &Keymap, options: &ClientOptions) {
    let types = !keymap.keys.is_empty() && !options.readonly;
    caps.set("keyboard", types);
    if !types {
        return;
    }
    caps.set("keyboard_sync", options.keyboard_sync)
        .set("key_repeat", KEY_REPEAT)
        .set("modifiers", Value::List(Vec::new()));
    for (key, value) in keymap_pairs(dialect, keymap, options.keyboard_sync) {
        caps.set(&key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::KeymapEntry;
    use crate::session::RefreshRate;

    fn hello(dialect: Dialect, options: &ClientOptions) -> Capabilities {
        let mut keymap = Keymap {
            layout: "de".into(),
            keys: vec![KeymapEntry {
                keysym: 0x61,
                name: "a".into(),
                keycode: 38,
                group: 0,
                level: 0,
            }],
            ..Keymap::default()
        };
        keymap.modifiers[0] = vec!["Shift_L".into(), "Shift_R".into()];
        let desktop = Desktop {
            size: Size::new(1920, 1080),
            keymap,
            refresh_rate: Some(75),
        };
        client_hello(
            dialect,
            &Identity::new("m", "host", "me", ":0"),
            &desktop,
            options,
        )
    }

    #[test]
    fn both_dialects_say_what_their_servers_look_for() {
        for dialect in [Dialect::G3, Dialect::G6] {
            let caps = hello(dialect, &ClientOptions::default());
            assert!(caps.is("windows") && caps.is("ui_client") && caps.is("keyboard") && caps.is("pointer"));
            assert!(caps.is("clipboard") && caps.is("cursors") && caps.is("steal") && !caps.is("share"));
            assert_eq!(caps.pair("desktop_size"), Some((1920, 1080)));
            let scroll_is_named = caps.texts("encodings.core").contains(&"scroll".into());
            assert_eq!(scroll_is_named, dialect == Dialect::G3);
            assert!(caps.is("encoding.scrolling"));
            assert_eq!(caps.texts("encoding.rgb_formats")[0], "BGRX");
            assert!(caps.is("encoding.flush"));
            assert_eq!(caps.texts("clipboard.selections").len(), 2);
            assert_eq!(caps.text("uuid").unwrap().len(), 32);
            assert_eq!(caps.int("vrefresh"), Some(75), "as the screen says");
            assert!(caps.is("bandwidth-detection"));
        }
    }

    #[test]
    fn the_keymap_is_flat_or_nested() {
        let options = ClientOptions::default();
        let old = hello(Dialect::G3, &options);
        assert_eq!(old.text("xkbmap_layout").as_deref(), Some("de"));
        assert_eq!(old.text("xkbmap_mod_meanings.Shift_R").as_deref(), Some("shift"));
        assert_eq!(old.text("encoding").as_deref(), Some("auto"));
        assert!(old.get("keymap").is_none());
        let new = hello(Dialect::G6, &options);
        assert_eq!(new.text("keymap.layout").as_deref(), Some("de"));
        assert_eq!(new.get("keymap.keycodes").unwrap().as_list().unwrap().len(), 1);
        assert_eq!(new.text("encoding.setting").as_deref(), Some("auto"));
    }

    #[test]
    fn options_reach_the_hello() {
        let options = ClientOptions {
            readonly: true,
            clipboard: super::super::Direction::None,
            encodings: vec![Encoding::Rgb32],
            encoding: Some(Encoding::Rgb32),
            min_quality: Some(30),
            bandwidth_detection: false,
            refresh_rate: RefreshRate::Within(30, 50),
            ..ClientOptions::default()
        };
        for dialect in [Dialect::G3, Dialect::G6] {
            let caps = hello(dialect, &options);
            assert!(!caps.is("keyboard") && !caps.is("clipboard"));
            assert_eq!(caps.texts("encodings.core"), ["rgb32"]);
            assert_eq!(caps.texts("encodings"), ["rgb32", "rgb"]);
            let setting = caps.text("encoding.setting").or_else(|| caps.text("encoding"));
            assert_eq!(setting.as_deref(), Some("rgb"));
            assert_eq!(caps.int("encoding.min-quality"), Some(30));
            assert_eq!(caps.bool("bandwidth-detection"), Some(false));
            assert_eq!(caps.int("vrefresh"), Some(50));
            assert!(!caps.is("encoding.scrolling"));
        }
    }

    #[test]
    fn a_seat_keeps_its_uuid() {
        let uuid = |display| Identity::new("m", "h", "u", display).uuid;
        assert_eq!(uuid(":0"), uuid(":0"));
        assert_ne!(uuid(":0"), uuid(":1"));
    }
}
