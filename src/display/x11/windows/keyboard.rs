//! The client's keyboard: what a keycode means under which modifiers (XKB), and the keymap the server is told.

use crate::display::x11::keysyms;
use crate::display::{Key, Keymap, KeymapEntry, Modifiers};
use compact_str::{CompactString, ToCompactString as _, format_compact};
use x11rb::connection::RequestConnection as _;
use x11rb::errors::ReplyOrIdError;
use x11rb::protocol::xkb::{
    self, BoolCtrl, ConnectionExt as _, EventType, ID, KeySymMap, KeyType, MapPart, PerClientFlag,
    SelectEventsAux,
};
use x11rb::protocol::xproto::{AtomEnum, ConnectionExt as _, Keycode, Keysym, Window};
use x11rb::rust_connection::RustConnection;

/// Bits of the state of a key event.
const LOCK: u16 = 1 << 1;
const CONTROL: u16 = 1 << 2;

/// The core keyboard, as XKB requests name it.
fn core_keyboard() -> xkb::DeviceSpec {
    ID::USE_CORE_KBD.into()
}

/// Makes this connection one that speaks XKB: repeated keys come as presses alone, the states of key events have
/// the group, and changes of the keyboard are told. False when the server has no XKB.
pub(super) fn enable(conn: &RustConnection) -> Result<bool, ReplyOrIdError> {
    if conn.extension_information(xkb::X11_EXTENSION_NAME)?.is_none()
        || !conn.xkb_use_extension(1, 0)?.reply()?.supported
    {
        return Ok(false);
    }
    let repeat = PerClientFlag::DETECTABLE_AUTO_REPEAT;
    let none = BoolCtrl::from(0u16);
    conn.xkb_per_client_flags(core_keyboard(), repeat, repeat, none, none, none)?
        .reply()?;
    let changes = EventType::NEW_KEYBOARD_NOTIFY | EventType::MAP_NOTIFY;
    let parts = MapPart::KEY_TYPES | MapPart::KEY_SYMS | MapPart::MODIFIER_MAP;
    let nothing = EventType::from(0u16);
    conn.xkb_select_events(
        core_keyboard(),
        nothing,
        changes,
        parts,
        parts,
        &SelectEventsAux::new(),
    )?;
    Ok(true)
}

/// What the keys mean at present.
#[derive(Debug)]
pub(super) struct Keyboard {
    first: Keycode,
    keys: Vec<KeySymMap>,
    types: Vec<KeyType>,
    keymap: Keymap,
}

impl Keyboard {
    pub(super) fn load(conn: &RustConnection, root: Window) -> Result<Self, ReplyOrIdError> {
        let names = conn.intern_atom(false, b"_XKB_RULES_NAMES")?;
        let modifiers = conn.get_modifier_mapping()?;
        let wanted = MapPart::KEY_TYPES | MapPart::KEY_SYMS;
        let none = MapPart::from(0u16);
        let no_modifiers = xkb::VMod::from(0u16);
        let map = conn
            .xkb_get_map(
                core_keyboard(),
                wanted,
                none,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                no_modifiers,
                0,
                0,
                0,
                0,
                0,
                0,
            )?
            .reply()?;
        let names = names.reply()?.atom;
        let names = conn
            .get_property(false, root, names, AtomEnum::STRING, 0, 1024)?
            .reply()?
            .value;
        let mut keyboard = Self {
            first: map.first_key_sym,
            keys: map.map.syms_rtrn.unwrap_or_default(),
            types: map.map.types_rtrn.unwrap_or_default(),
            keymap: Keymap::default(),
        };
        let modifiers = modifiers.reply()?;
        let per_modifier = usize::from(modifiers.keycodes_per_modifier()).max(1);
        let mut by_modifier = modifiers.keycodes.chunks(per_modifier);
        let meanings = std::array::from_fn(|_| keyboard.meanings(by_modifier.next().unwrap_or_default()));
        keyboard.keymap = Keymap {
            keys: keyboard.entries().collect(),
            modifiers: meanings,
            ..named(&names)
        };
        Ok(keyboard)
    }

    /// For the hello.
    pub(super) const fn keymap(&self) -> &Keymap {
        &self.keymap
    }

    /// The key of an event with that code and state.
    pub(super) fn key(&self, keycode: Keycode, state: u16) -> Key {
        let group = u32::from(state >> 13) & 3;
        let keysym = self.keysym(keycode, group, state);
        let character = keysyms::character(keysym).filter(|c| state & CONTROL == 0 && !c.is_control());
        Key {
            name: name(keysym),
            keysym,
            text: character.map(|c| c.to_compact_string()).unwrap_or_default(),
            keycode: keycode.into(),
            group,
        }
    }

    /// The keysym of a key (XKB protocol 12.1): the key's type says which modifiers choose which level.
    fn keysym(&self, keycode: Keycode, group: u32, state: u16) -> Keysym {
        let Some(key) = self.entry(keycode) else {
            return 0;
        };
        let Some(group) = group_of(key, group) else {
            return 0;
        };
        let kind = key
            .kt_index
            .get(group)
            .and_then(|index| self.types.get(usize::from(*index)));
        let mask = kind.map_or(0, |kind| u16::from(kind.mods_mask));
        let held = state & mask;
        let level = kind.and_then(|kind| {
            let matches = |entry: &&xkb::KTMapEntry| entry.active && u16::from(entry.mods_mask) == held;
            kind.map
                .iter()
                .find(matches)
                .map(|entry| usize::from(entry.level))
        });
        let keysym = key
            .syms
            .get(group * usize::from(key.width) + level.unwrap_or(0))
            .copied()
            .unwrap_or(0);
        if state & LOCK != 0 && mask & LOCK == 0 {
            upper(keysym)
        } else {
            keysym
        }
    }

    fn entry(&self, keycode: Keycode) -> Option<&KeySymMap> {
        self.keys.get(usize::from(keycode.checked_sub(self.first)?))
    }

    fn entries(&self) -> impl Iterator<Item = KeymapEntry> {
        (u32::from(self.first)..)
            .zip(&self.keys)
            .flat_map(|(keycode, key)| {
                let groups = key.syms.chunks(usize::from(key.width).max(1));
                (0..).zip(groups).flat_map(move |(group, levels)| {
                    (0..)
                        .zip(levels)
                        .filter(|(_, keysym)| **keysym != 0)
                        .map(move |(level, keysym)| KeymapEntry {
                            keysym: *keysym,
                            name: name(*keysym).into(),
                            keycode,
                            group,
                            level,
                        })
                })
            })
    }

    /// The first keysym of each key.
    fn meanings(&self, keycodes: &[Keycode]) -> Vec<String> {
        let mut names = Vec::new();
        for keycode in keycodes {
            let keysym = self
                .entry(*keycode)
                .and_then(|key| key.syms.iter().find(|keysym| **keysym != 0));
            if let Some(name) = keysym.map(|keysym| name(*keysym).into())
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }
}

/// The modifiers in the state of an event.
pub(super) fn modifiers(state: u16) -> Modifiers {
    let [bits, _] = state.to_le_bytes();
    Modifiers(bits)
}

/// The group a key has for the keyboard's effective group (XKB protocol 12.1.1).
fn group_of(key: &KeySymMap, group: u32) -> Option<usize> {
    const CLAMP: u8 = 0x40;
    const REDIRECT: u8 = 0x80;
    let count = u32::from(key.group_info & 0x0f);
    let group = match key.group_info & 0xc0 {
        _ if group < count => group,
        _ if count == 0 => return None,
        CLAMP => count - 1,
        REDIRECT => Some(u32::from(key.group_info >> 4) & 3)
            .filter(|group| *group < count)
            .unwrap_or(0),
        _ => group % count,
    };
    usize::try_from(group).ok()
}

fn upper(keysym: Keysym) -> Keysym {
    let mut upper = keysyms::character(keysym)
        .into_iter()
        .flat_map(char::to_uppercase);
    match (upper.next(), upper.next()) {
        (Some(one), None) => keysyms::of_char(one).unwrap_or(keysym),
        _ => keysym,
    }
}

fn name(keysym: Keysym) -> CompactString {
    match keysym {
        0 => CompactString::const_new("NoSymbol"),
        _ => keysyms::name(keysym).map_or_else(|| format_compact!("0x{keysym:x}"), CompactString::from),
    }
}

/// The keymap's names from the property setxkbmap leaves on the root window.
fn named(property: &[u8]) -> Keymap {
    let mut names = property
        .split(|byte| *byte == 0)
        .map(|name| String::from_utf8_lossy(name).into_owned());
    let mut next = || names.next().unwrap_or_default();
    Keymap {
        rules: next(),
        model: next(),
        layout: next(),
        variant: next(),
        options: next(),
        ..Keymap::default()
    }
}
