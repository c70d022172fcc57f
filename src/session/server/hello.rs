//! The server's hello, and what the client's hello says about pictures (`session.md` 1.7, 1.8).

use super::Facts;
use crate::codec::{Dialect, Value};
use crate::display::{Keymap, KeymapEntry};
use crate::packet::{Capabilities, WindowCreate, WindowKind};
use crate::picture::{Budget, Client, Content, LinkSpeed, choose};
use crate::session::CLIENT_TYPE;
use crate::types::{Encoding, PixelFormat, Size, WindowId};
use compact_str::CompactString;
use std::time::Instant;

/// The one window of a shared screen.
pub(super) const SCREEN_WINDOW: WindowId = WindowId(1);

/// Everything but the wire's own capabilities, which `Connection` adds.
pub(super) fn server_hello(
    facts: &Facts,
    name: &str,
    size: Size,
    readonly: bool,
    now: Instant,
) -> Capabilities {
    let config = &facts.config;
    let mut caps = Capabilities::default();
    let names = || Value::List(sent_encodings(&[]).iter().map(|e| e.name().into()).collect());
    let side: Value = [size.w, size.h].into();
    let uptime = now.saturating_duration_since(facts.started).as_secs();
    caps.set("shadow", true)
        .set("windows", true)
        .set("window", on(true))
        .set("server_type", "xpra-rs shadow")
        .set("session-type", "shadow")
        .set("session_name", name)
        .set("session-name", name)
        .set("uuid", config.uuid.as_str())
        .set("hostname", config.hostname.as_str())
        .set("username", config.username.as_str())
        .set("platform", "linux")
        .set("display", facts.screen.name.as_str())
        .set("build.software", concat!("xpra-rs ", env!("CARGO_PKG_VERSION")))
        .set("elapsed_time", uptime)
        .set("desktop_size", side.clone())
        .set("actual_desktop_size", side.clone())
        .set("max_desktop_size", side)
        .set("resize_screen", config.resize_display)
        .set("randr_notify", true)
        .set("encodings", names())
        .set("encodings.core", names())
        .set("encodings.allowed", names())
        .set("encoding", "auto")
        .set("cursors", config.cursors)
        .set("bell", config.bell)
        .set("notifications", false)
        .set("pointer", true)
        .set("keyboard", !readonly)
        .set("readonly-server", readonly)
        .set("readonly", readonly)
        .set("wheel.precise", false)
        .set("window_refresh_config", true)
        .set("window.configure.skip-geometry", true)
        .set("window.configure.pointer", true)
        .set("info-request", true)
        .set("setting-change", true)
        .set("server-events", false)
        .set("client-shutdown", true)
        .set("sharing", config.sharing != Some(false))
        .set("sharing-toggle", config.sharing.is_none())
        .set("lock", config.lock != Some(false))
        .set("lock-toggle", config.lock.is_none())
        .set("bandwidth-limit-change", true)
        .set("remote-logging", false)
        .set("clipboard", clipboard(config.clipboard && !readonly));
    config.file_rules(readonly).describe(&mut caps);
    caps
}

fn on(enabled: bool) -> Value {
    let mut map = Value::map();
    map.insert("enabled", enabled);
    map
}

/// 3.1 reads a truth and flat keys, 6.x a dictionary; a dictionary is true to both.
fn clipboard(enabled: bool) -> Value {
    if !enabled {
        return false.into();
    }
    let mut map = on(true);
    map.insert("selections", ["CLIPBOARD", "PRIMARY"]);
    map.insert("direction", "both");
    map.insert("enable-selections", true);
    map.insert("contents-slice-fix", true);
    map.insert(
        "preferred-targets",
        ["UTF8_STRING", "TEXT", "STRING", "text/plain"],
    );
    map
}

/// The window a shared screen is shown in.
pub(super) fn screen_window(facts: &Facts, name: &str, size: Size) -> WindowCreate {
    let title = if name.is_empty() {
        format!("{} on {}", facts.screen.name, facts.config.hostname)
    } else {
        name.to_owned()
    };
    let mut metadata = Value::map();
    metadata.insert("title", title);
    metadata.insert("class-instance", ["xpra-shadow", "Xpra-Shadow"]);
    metadata.insert("client-machine", facts.config.hostname.as_str());
    metadata.insert("window-type", ["NORMAL"]);
    metadata.insert("size-constraints", size_constraints(size));
    metadata.insert("size-hints", size_constraints(size));
    metadata.insert("shadow", true);
    metadata.insert("has-alpha", false);
    metadata.insert("depth", 24);
    WindowCreate {
        id: SCREEN_WINDOW,
        rect: size.rect(),
        kind: WindowKind::Normal,
        metadata,
        properties: Value::map(),
    }
}

/// A screen's window has the screen's size.
pub(super) fn size_constraints(size: Size) -> Value {
    let mut map = Value::map();
    for key in ["minimum-size", "maximum-size", "base-size"] {
        map.insert(key, [size.w, size.h]);
    }
    map
}

/// The answer to an `id` request (`session.md` e).
pub(super) fn id(facts: &Facts, name: &str) -> Capabilities {
    let mut caps = Capabilities::default();
    caps.set("session-type", "shadow")
        .set("session-name", name)
        .set("uuid", facts.config.uuid.as_str())
        .set("platform", "linux")
        .set("pid", std::process::id())
        .set("display", facts.screen.name.as_str());
    caps
}

/// Encodings we send, in our order, restricted to `allowed` unless that is empty.
fn sent_encodings(allowed: &[Encoding]) -> Vec<Encoding> {
    let all = [
        Encoding::Rgb32,
        Encoding::Rgb24,
        Encoding::Png,
        Encoding::PngP,
        Encoding::PngL,
        Encoding::Webp,
        Encoding::Jpeg,
        Encoding::Scroll,
    ];
    all.into_iter()
        .filter(|e| allowed.is_empty() || allowed.contains(e))
        .collect()
}

/// What a client's hello says about pictures.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pictures {
    pub(super) takes: Client,
    pub(super) scroll: bool,
}

/// Reads what a client can decode; `None` when it shares no encoding with us.
pub(super) fn pictures(facts: &Facts, caps: &Capabilities, dialect: Dialect) -> Option<Pictures> {
    let config = &facts.config;
    let first = |keys: &[&str]| -> Vec<CompactString> {
        keys.iter()
            .map(|key| caps.texts(key))
            .find(|list| !list.is_empty())
            .unwrap_or_default()
    };
    let listed = first(&["encodings.core", "encoding.core", "encodings", "encoding.options"]);
    let ours = sent_encodings(&config.encodings);
    let mut encodings: Vec<Encoding> = Vec::new();
    for name in &listed {
        // "rgb" and "png" stand for their families in some clients' lists
        let family: &[Encoding] = match name.as_str() {
            "rgb" => &[Encoding::Rgb32, Encoding::Rgb24],
            _ => &[],
        };
        let named = Encoding::from_name(name);
        for encoding in family.iter().copied().chain(named) {
            if ours.contains(&encoding) && !encodings.contains(&encoding) {
                encodings.push(encoding);
            }
        }
    }
    // our own client does not list it to a server that may be a 6.5, which cannot encode it
    let flagged = caps.is("encoding.scrolling") && ours.contains(&Encoding::Scroll);
    let scroll = flagged || encodings.contains(&Encoding::Scroll);
    encodings.retain(|e| *e != Encoding::Scroll);
    if encodings.is_empty() {
        return None;
    }
    let mut formats = first(&["encodings.rgb_formats", "encoding.rgb_formats"]);
    if formats.is_empty() {
        // nothing said: 3.1 and 6.x read these whatever they list
        formats = ["RGB", "RGBX"].map(CompactString::from).to_vec();
    }
    let asked = |keys: &[&str]| {
        let value = keys.iter().find_map(|key| caps.int(key));
        value
            .and_then(|v| u8::try_from(v).ok())
            .filter(|v| (1..=100).contains(v))
    };
    let quality = asked(&["encoding.quality", "encodings.quality", "quality"]);
    let least = asked(&["encoding.min-quality", "encodings.min-quality", "min-quality"]);
    let lz4 = caps.is("lz4") || caps.texts("compressors").iter().any(|c| c == "lz4");
    let speed = asked(&["encoding.speed", "encodings.speed", "speed"]);
    let takes = Client {
        encodings,
        rgb_formats: formats
            .iter()
            .filter_map(|name| PixelFormat::from_name(name))
            .collect(),
        lz4: lz4 || dialect == Dialect::G6,
        min_quality: quality.or(least).unwrap_or(config.min_quality),
        max_quality: quality.unwrap_or(config.quality).max(least.unwrap_or(1)),
        speed: speed.unwrap_or(config.speed),
        lossless_only: quality == Some(100),
        stretches: caps.is("encoding.scaled_size"),
    };
    // listed, but in no format we make
    choose(
        Content::Flat,
        Size::new(64, 64),
        Budget::new(LinkSpeed::LOCAL, [], 0, 1000),
        &takes,
    )?;
    Some(Pictures { takes, scroll })
}

/// Whether pictures may be made worse for what the path is seen to carry, as far as the client is concerned.
pub(super) fn detects(caps: &Capabilities, dialect: Dialect) -> bool {
    // 6.x says no unless its user says yes: that is no wish of anybody's
    let may_mean_it = dialect == Dialect::G3 || caps.text("client_type").as_deref() == Some(CLIENT_TYPE);
    caps.bool("bandwidth-detection").unwrap_or(true) || !may_mean_it
}

/// Pictures a second the client's screen shows, if it says so.
pub(super) fn refresh_rate(caps: &Capabilities) -> Option<u32> {
    let keys = ["vrefresh", "refresh-rate", "display.refresh-rate"];
    let rate = keys.iter().find_map(|key| caps.int(key))?;
    u32::try_from(rate).ok()
}

/// The client's keyboard, from its hello or a `keymap-changed` packet; `None` when it says nothing.
pub(super) fn keymap(caps: &Capabilities) -> Option<Keymap> {
    let text = |keys: &[&str]| {
        keys.iter()
            .find_map(|key| caps.text(key))
            .map(std::borrow::Cow::into_owned)
            .unwrap_or_default()
    };
    let entries = ["xkbmap_keycodes", "keymap.keycodes", "keycodes"]
        .iter()
        .find_map(|key| caps.get(key).and_then(Value::as_list))
        .unwrap_or_default();
    let keymap = Keymap {
        layout: text(&["xkbmap_layout", "keymap.layout", "layout"]),
        variant: text(&["xkbmap_variant", "keymap.variant", "variant"]),
        options: text(&["xkbmap_options", "keymap.options", "options"]),
        model: text(&["keymap.query_struct.model", "query_struct.model"]),
        rules: text(&["keymap.query_struct.rules", "query_struct.rules"]),
        keys: entries.iter().take(4096).filter_map(keymap_entry).collect(),
        modifiers: Default::default(),
    };
    (keymap != Keymap::default()).then_some(keymap)
}

fn keymap_entry(value: &Value) -> Option<KeymapEntry> {
    let [keysym, name, keycode, group, level, ..] = value.as_list()? else {
        return None;
    };
    let number = |v: &Value| v.as_int().and_then(|v| u32::try_from(v).ok());
    Some(KeymapEntry {
        keysym: number(keysym)?,
        name: name.as_text()?.into_owned(),
        keycode: number(keycode)?,
        group: number(group)?,
        level: number(level)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detection_is_refused_only_by_who_means_it() {
        let hello = |kind: &str, detection: Option<bool>| {
            let mut caps = Capabilities::default();
            caps.set("client_type", kind);
            detection.into_iter().for_each(|on| {
                caps.set("bandwidth-detection", on);
            });
            caps
        };
        for (kind, dialect, said, detects) in [
            ("Python/GTK3", Dialect::G3, Some(true), true),
            ("Python/GTK3", Dialect::G3, Some(false), false),
            // what 6.x says unasked
            ("Python/GTK3", Dialect::G6, Some(false), true),
            ("HTML5", Dialect::G6, None, true),
            (CLIENT_TYPE, Dialect::G6, Some(true), true),
            (CLIENT_TYPE, Dialect::G6, Some(false), false),
        ] {
            assert_eq!(
                super::detects(&hello(kind, said), dialect),
                detects,
                "{kind} {said:?}"
            );
        }
    }
}
