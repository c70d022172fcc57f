//! The `key=value` options of URLs and bind values, and percent coding.

use std::fmt;

use super::error::Problem;

/// Options of a URL that say how to connect.
const CONNECTION_OPTIONS: &[&str] = &[
    "auth",
    "fast-open",
    "key",
    "keepalive",
    "nodelay",
    "proxy",
    "proxy-host",
    "proxy-key",
    "proxy-password",
    "proxy-port",
    "proxy-rdns",
    "proxy-type",
    "proxy-username",
    "quiet",
    "retry",
    "strict-host-check",
    "timeout",
    "encryption",
    "encryption-keyfile",
    "keydata",
    "keyfile",
    "challenge-handlers",
    "compressors",
    "packet-encoders",
    "mmap",
    "uuid",
    "display",
    "start-new-session",
];

/// Client options that a URL may set even when a web page made the user click it (`endpoints.md` a.5).
const SAFE_OPTIONS: &[&str] = &[
    "auto-refresh-delay",
    "av-sync",
    "bell",
    "border",
    "clipboard",
    "clipboard-direction",
    "compression-level",
    "cursors",
    "desktop-fullscreen",
    "desktop-scaling",
    "dpi",
    "encoding",
    "encodings",
    "headerbar",
    "key-shortcut",
    "keyboard-sync",
    "lock",
    "max-size",
    "middle-click",
    "min-quality",
    "min-size",
    "min-speed",
    "modal-windows",
    "mousewheel",
    "notifications",
    "opengl",
    "password",
    "pings",
    "pointer",
    "quality",
    "readonly",
    "reconnect",
    "refresh-rate",
    "session-name",
    "sharing",
    "shortcut-modifiers",
    "speed",
    "splash",
    "swap-keys",
    "title",
    "tray",
    "username",
    "video-scaling",
    "windows",
];

/// Options in the order given; a key may occur several times.
///
/// Keys are kept in lower case with `-` for `_`, since both spellings are in use (`proxy_host`, `proxy-host`).
/// `Debug` hides the values of keys that carry secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Options(Vec<(String, String)>);

impl Options {
    /// No options.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds `key`, after any of the same name.
    pub fn push(&mut self, key: &str, value: &str) {
        self.0.push((
            key.trim().to_ascii_lowercase().replace('_', "-"),
            value.to_owned(),
        ));
    }

    /// The first value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// All values of `key`, in order.
    pub fn all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter(move |(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// The value of `key` as a yes or no; `None` when absent or neither (`endpoints.md` a.1).
    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)?.to_ascii_lowercase().as_str() {
            "yes" | "true" | "1" | "on" => Some(true),
            "no" | "false" | "0" | "off" => Some(false),
            _ => None,
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// True when there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds those of `other`, after the present ones.
    pub(super) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Takes out the keys `keep` refuses, and returns them.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) -> Vec<String> {
        let removed = self.0.extract_if(.., |(key, _)| !keep(key));
        removed.map(|(key, _)| key).collect()
    }

    /// Parses a URL's query: `key=value&key=value`, percent-coded; a bare key means yes.
    pub(super) fn from_query(query: &str) -> Self {
        let mut options = Self::new();
        for item in query.split('&').filter(|item| !item.is_empty()) {
            let (key, value) = item.split_once('=').unwrap_or((item, "yes"));
            options.push(&decode(key), &decode(value));
        }
        options
    }

    /// Parses `key=value,key=value`, where parentheses protect commas (`endpoints.md` a.2).
    pub(super) fn from_list(text: &str) -> Result<Self, Problem> {
        let mut options = Self::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (item, tail) = split_top_level(rest);
            match item.split_once('=') {
                Some((key, value)) if !key.trim().is_empty() => options.push(key, value),
                _ if item.is_empty() => {}
                _ => return Err(Problem::Option(item.to_owned())),
            }
            rest = tail;
        }
        Ok(options)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = |key: &str| {
            ["auth", "keydata", "password"]
                .iter()
                .any(|part| key.contains(part))
        };
        f.debug_map()
            .entries(
                self.iter()
                    .map(|(key, value)| (key, if secret(key) { ".." } else { value })),
            )
            .finish()
    }
}

/// True for an option that a URL may have.
pub(super) fn is_known(key: &str) -> bool {
    CONNECTION_OPTIONS.contains(&key) || SAFE_OPTIONS.contains(&key) || key.starts_with("ssl-")
}

/// True for an option that a URL from anywhere may have.
pub fn is_safe(key: &str) -> bool {
    SAFE_OPTIONS.contains(&key)
}

/// Splits at the first comma outside parentheses; the second part is empty when there is none.
pub(super) fn split_top_level(text: &str) -> (&str, &str) {
    let mut depth = 0u32;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth = depth.saturating_add(1),
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                return text
                    .split_at_checked(at)
                    .map_or((text, ""), |(a, b)| (a, b.trim_start_matches(',')));
            }
            _ => {}
        }
    }
    (text, "")
}

/// Replaces each `%XX` by its byte. A `%` that is not followed by two digits stays, as does what would not be UTF-8:
/// passwords are typed by people.
pub(super) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high * 16 + low, tail),
                _ => (b'%', rest.get(1..).unwrap_or_default()),
            },
            _ => (*first, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// Writes controls, spaces, bytes beyond ASCII that are not text, and those of `special` as `%XX`.
pub(super) fn encode(bytes: &[u8], special: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match u8::try_from(character) {
                Ok(byte) if byte <= b' ' || byte == 0x7f || special.contains(&byte) => {
                    escape(&mut text, byte)
                }
                _ => text.push(character),
            }
        }
        chunk.invalid().iter().for_each(|byte| escape(&mut text, *byte));
    }
    text
}

fn escape(text: &mut String, byte: u8) {
    use fmt::Write as _;
    // Writing to a String cannot fail.
    write!(text, "%{byte:02X}").unwrap_or_default();
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
