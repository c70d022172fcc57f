//! The keyboard of an X display as XKB describes it: which keycode, group and modifiers give which keysym.

use super::connection::{Connection, Fault};
use x11rb::protocol::xkb::{self, ConnectionExt as _};
use x11rb::protocol::xproto::ModMask;

/// The bit of Caps Lock.
const LOCK: u8 = 2;

/// No symbol is bound.
const NO_SYMBOL: u32 = 0;

/// The keysym of the key that locks the digits of the keypad.
const NUM_LOCK: u32 = 0xff7f;

/// Modifiers and group in effect, as far as typing depends on them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    /// Modifiers of keys that are held down.
    pub(super) base: u8,
    /// Modifiers that apply to the next key alone.
    pub(super) latched: u8,
    /// Modifiers that are locked.
    pub(super) locked: u8,
    /// The group in effect.
    pub(super) group: u8,
    /// The part of the group that is locked; the rest comes from held keys.
    pub(super) locked_group: u8,
}

impl State {
    /// Asks the display.
    pub(super) fn query(connection: &Connection) -> Result<Self, Fault> {
        let state = connection
            .x()
            .xkb_get_state(xkb::ID::USE_CORE_KBD.into())?
            .reply()?;
        Ok(Self {
            base: bits(state.base_mods),
            latched: bits(state.latched_mods),
            locked: bits(state.locked_mods),
            group: state.group.into(),
            locked_group: state.locked_group.into(),
        })
    }

    /// The modifiers in effect.
    pub(super) const fn mods(self) -> u8 {
        self.base | self.latched | self.locked
    }
}

/// How to type a keysym: which key, and what of the state must differ meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stroke {
    pub(super) keycode: u8,
    /// The group that must be in effect when it is not the present one.
    pub(super) group: Option<u8>,
    /// Modifiers that must be set and are not.
    pub(super) add: u8,
    /// Modifiers that must not be set and are.
    pub(super) remove: u8,
}

/// The whole keyboard.
#[derive(Debug, Default)]
pub(super) struct Keymap {
    first: u8,
    keys: Vec<Key>,
    types: Vec<Type>,
}

/// One key: `width` keysyms for each group.
#[derive(Clone, Debug, Default)]
struct Key {
    types: [u8; 4],
    groups: u8,
    out_of_range: OutOfRange,
    width: usize,
    syms: Vec<u32>,
    mods: u8,
}

/// What a key does for a group it does not have.
#[derive(Clone, Copy, Debug, Default)]
enum OutOfRange {
    #[default]
    Wrap,
    Clamp,
    Redirect(u8),
}

/// Which modifiers a kind of key looks at, and the level each combination gives (level 0 when not listed).
#[derive(Debug, Default)]
struct Type {
    mask: u8,
    levels: Vec<(u8, u8)>,
}

impl Keymap {
    /// Asks the display.
    pub(super) fn query(connection: &Connection) -> Result<Self, Fault> {
        let full = xkb::MapPart::KEY_TYPES | xkb::MapPart::KEY_SYMS | xkb::MapPart::MODIFIER_MAP;
        let none = xkb::MapPart::from(0u16);
        let device = xkb::ID::USE_CORE_KBD.into();
        let vmods = xkb::VMod::from(0u16);
        let reply = connection
            .x()
            .xkb_get_map(
                device, full, none, 0, 0, 0, 0, 0, 0, 0, 0, vmods, 0, 0, 0, 0, 0, 0,
            )?
            .reply()?;
        let mut map = Self {
            first: reply.first_key_sym,
            keys: reply
                .map
                .syms_rtrn
                .unwrap_or_default()
                .iter()
                .map(Key::new)
                .collect(),
            types: reply
                .map
                .types_rtrn
                .unwrap_or_default()
                .iter()
                .map(Type::new)
                .collect(),
        };
        for entry in reply.map.modmap_rtrn.unwrap_or_default() {
            if let Some(key) = map.key_mut(entry.keycode) {
                key.mods |= bits(entry.mods);
            }
        }
        Ok(map)
    }

    /// The cheapest way to type a keysym from `state`; `hint` is the keycode to prefer among equals.
    pub(super) fn stroke(&self, keysym: u32, state: State, hint: u32) -> Option<Stroke> {
        let strokes = self.keys().flat_map(|(keycode, key)| {
            (0..key.groups).filter_map(move |group| self.stroke_of(key, keycode, group, keysym, state))
        });
        strokes.min_by_key(|stroke| {
            // Taking a held modifier away is seen by programs, adding one hardly, so it is dearer.
            let taken = (stroke.remove & state.base).count_ones() * 4;
            let changed = stroke.add.count_ones() + stroke.remove.count_ones() + taken;
            (
                changed + 2 * u32::from(stroke.group.is_some()),
                u32::from(stroke.keycode) != hint,
            )
        })
    }

    /// The keycodes nothing is bound to, highest first: low ones belong to keys that keyboards have.
    pub(super) fn spare(&self) -> Vec<u8> {
        let free = |key: &Key| key.mods == 0 && key.syms.iter().all(|sym| *sym == NO_SYMBOL);
        let mut spare: Vec<u8> = self
            .keys()
            .filter(|(_, key)| free(key))
            .map(|(code, _)| code)
            .collect();
        spare.reverse();
        spare
    }

    /// True when some key types it.
    pub(super) fn has(&self, keysym: u32) -> bool {
        self.keys.iter().any(|key| key.syms.contains(&keysym))
    }

    /// True when the key is bound to these keysyms, without and with Shift.
    pub(super) fn is_bound(&self, keycode: u8, pair: [u32; 2]) -> bool {
        let syms = self.key(keycode).map_or(&[][..], |key| &key.syms);
        syms.starts_with(&pair) || (pair[0] == pair[1] && syms == &pair[..1])
    }

    /// The modifiers a key sets.
    pub(super) fn mods(&self, keycode: u8) -> u8 {
        self.key(keycode).map_or(0, |key| key.mods)
    }

    /// The modifiers the keys with this keysym set.
    pub(super) fn mods_of(&self, keysym: u32) -> u8 {
        self.keys
            .iter()
            .filter(|key| key.syms.contains(&keysym))
            .fold(0, |mods, key| mods | key.mods)
    }

    /// Those modifiers that are switched on and off rather than held.
    pub(super) fn locks(&self) -> u8 {
        LOCK | self.mods_of(NUM_LOCK)
    }

    /// A key that sets this modifier while held, the ordinary one of several.
    pub(super) fn modifier_key(&self, bit: u8) -> Option<u8> {
        let keys = self.keys().filter(|(_, key)| key.mods & bit != 0);
        let ranked = keys.filter_map(|(code, key)| Some((rank(*key.syms.first()?)?, code)));
        ranked.min().map(|(_, code)| code)
    }

    fn stroke_of(&self, key: &Key, keycode: u8, group: u8, keysym: u32, state: State) -> Option<Stroke> {
        let syms = key.syms_of(group);
        let position = u8::try_from(syms.iter().position(|sym| *sym == keysym)?).ok()?;
        let other_group = (key.group(state.group) != group).then_some(group);
        let stroke = |wanted: u8, mask: u8| Stroke {
            keycode,
            group: other_group,
            add: wanted & mask & !state.mods(),
            remove: state.mods() & mask & !wanted,
        };
        let Some(kind) = key
            .types
            .get(usize::from(group))
            .and_then(|kind| self.types.get(usize::from(*kind)))
        else {
            return (position == 0).then(|| stroke(0, 0));
        };
        let gives = |mods: u8| syms.get(usize::from(kind.level(mods))) == Some(&keysym);
        if key.mods != 0 || gives(state.mods()) {
            return Some(stroke(0, 0));
        }
        let combinations = kind
            .levels
            .iter()
            .map(|(mods, _)| *mods)
            .chain([0])
            .filter(|mods| gives(*mods));
        let dear = |mods: &u8| {
            let change = (mods ^ state.mods()) & kind.mask;
            change.count_ones() + 4 * (change & state.base).count_ones()
        };
        combinations.min_by_key(dear).map(|mods| stroke(mods, kind.mask))
    }

    fn keys(&self) -> impl Iterator<Item = (u8, &Key)> {
        (self.first..=u8::MAX).zip(&self.keys)
    }

    fn key(&self, keycode: u8) -> Option<&Key> {
        self.keys.get(usize::from(keycode.checked_sub(self.first)?))
    }

    fn key_mut(&mut self, keycode: u8) -> Option<&mut Key> {
        self.keys.get_mut(usize::from(keycode.checked_sub(self.first)?))
    }
}

impl Key {
    fn new(wire: &xkb::KeySymMap) -> Self {
        Self {
            types: wire.kt_index,
            groups: wire.group_info & 0x0f,
            out_of_range: match wire.group_info >> 6 {
                0 => OutOfRange::Wrap,
                1 => OutOfRange::Clamp,
                _ => OutOfRange::Redirect((wire.group_info >> 4) & 3),
            },
            width: wire.width.into(),
            syms: wire.syms.clone(),
            mods: 0,
        }
    }

    /// The group of this key that applies when `group` is in effect.
    fn group(&self, group: u8) -> u8 {
        let last = self.groups.saturating_sub(1);
        match self.out_of_range {
            _ if group <= last => group,
            OutOfRange::Wrap => group % self.groups.max(1),
            OutOfRange::Clamp => last,
            OutOfRange::Redirect(to) => {
                if to <= last {
                    to
                } else {
                    0
                }
            }
        }
    }

    fn syms_of(&self, group: u8) -> &[u32] {
        let start = usize::from(group) * self.width;
        self.syms.get(start..start + self.width).unwrap_or_default()
    }
}

impl Type {
    fn new(wire: &xkb::KeyType) -> Self {
        let active = wire.map.iter().filter(|entry| entry.active);
        Self {
            mask: bits(wire.mods_mask),
            levels: active.map(|entry| (bits(entry.mods_mask), entry.level)).collect(),
        }
    }

    fn level(&self, mods: u8) -> u8 {
        self.levels
            .iter()
            .find(|(wanted, _)| *wanted == mods & self.mask)
            .map_or(0, |(_, level)| *level)
    }
}

/// Order of preference among the keys that set a modifier while held; `None` for those that lock it.
fn rank(keysym: u32) -> Option<u32> {
    match keysym {
        // Shift_L … Control_R, Meta_L … Hyper_R; Alt and Super before Meta and Hyper.
        0xffe1..=0xffe4 => Some(0),
        0xffe9..=0xffec => Some(1),
        0xffe7 | 0xffe8 | 0xffed | 0xffee => Some(3),
        // Mode_switch, ISO_Level3_Shift, ISO_Level5_Shift.
        0xff7e | 0xfe03 | 0xfe11 => Some(2),
        _ => None,
    }
}

/// The eight real modifiers.
fn bits(mask: ModMask) -> u8 {
    u16::from(mask).to_le_bytes()[0]
}

/// The mask of the eight real modifiers.
pub(super) fn mask(bits: u8) -> ModMask {
    ModMask::from(u16::from(bits))
}
