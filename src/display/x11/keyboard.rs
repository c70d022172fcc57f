//! Types on an X display what a client typed, whatever the layouts of the two.
//!
//! The client names keysyms; [`Keymap`] tells which key of this display gives each. Modifiers the client holds are
//! held here by real keys, so programs see them; where this layout needs others for the same keysym they are
//! locked for the moment of the press. Keysyms no key gives are bound to spare keycodes.

#[cfg(test)]
mod tests;

use super::connection::{Connection, Fault};
use super::keymap::{Keymap, State, Stroke, mask};
use super::keysyms;
use crate::display::{self, Key, Modifiers};
use x11rb::errors::ConnectionError;
use x11rb::protocol::xkb::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{
    AutoRepeatMode, ChangeKeyboardControlAux, ConnectionExt as _, KEY_PRESS_EVENT, KEY_RELEASE_EVENT,
};
use x11rb::protocol::xtest::ConnectionExt as _;

/// Shift, Lock and Control: the bits that mean the same everywhere.
const FIXED: u8 = 0b111;

/// Keysyms that set the other modifiers, for clients that do not say.
const USUAL: [&[u32]; 8] = [
    &[],
    &[],
    &[],
    &[0xffe9, 0xffea, 0xffe7],
    &[0xff7f],
    &[],
    &[0xffeb, 0xffec, 0xffed],
    &[0xfe03, 0xff7e],
];

/// The client's modifiers that make a shortcut of a letter.
const SHORTCUT: u8 = 0b0100_1100;

/// So many keys may be down at once; a peer that holds more gets no further ones.
const MOST_HELD: usize = 64;

/// What we keep of a client's keymap: more than 248 keys with four groups of eight levels have.
const MOST_ENTRIES: usize = 8192;

/// Keys that may set one modifier.
const MOST_NAMES: usize = 16;

/// The keyboard of a display, as far as we press its keys.
#[derive(Debug)]
pub(super) struct Keyboard {
    keymap: Keymap,
    outdated: bool,
    /// Keycodes we may bind, least recently used first, and what we bound them to.
    spare: Vec<(u8, Option<[u32; 2]>)>,
    held: Vec<Held>,
    /// For each of the client's modifier bits, the bits here.
    meaning: [u8; 8],
    client: display::Keymap,
    /// The client's modifiers after the last event, to skip events that change nothing.
    synced: Option<Modifiers>,
    /// One bit for each keycode: whether it repeats when we do not hold it.
    repeats: [u8; 32],
}

/// A key we hold down.
#[derive(Debug)]
struct Held {
    by: Holder,
    keycode: u8,
}

/// Why we hold a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// The client holds its key of that code.
    Keycode(u32),
    /// The client, which gives no codes, holds the key of that keysym.
    Keysym(u32),
    /// The client said in passing that this modifier is held.
    Modifier(u8),
}

impl Keyboard {
    /// Learns the display's keyboard.
    pub(super) fn new(connection: &Connection) -> Result<Self, Fault> {
        let mut keyboard = Self {
            keymap: Keymap::default(),
            outdated: true,
            spare: Vec::new(),
            held: Vec::new(),
            meaning: [0; 8],
            client: display::Keymap::default(),
            synced: None,
            repeats: connection.x().get_keyboard_control()?.reply()?.auto_repeats,
        };
        keyboard.update(connection)?;
        Ok(keyboard)
    }

    /// Learns the client's keyboard.
    pub(super) fn set_client(&mut self, client: &display::Keymap) {
        self.client = client.clone();
        self.client.keys.truncate(MOST_ENTRIES);
        self.client
            .modifiers
            .iter_mut()
            .for_each(|names| names.truncate(MOST_NAMES));
        self.synced = None;
        self.meaning = self.meanings();
    }

    /// The display's keyboard changed. It is learned again when next needed.
    pub(super) const fn changed(&mut self) {
        self.outdated = true;
    }

    /// The client pressed a key, or its key repeats.
    pub(super) fn press(
        &mut self,
        connection: &Connection,
        key: &Key,
        modifiers: Modifiers,
    ) -> Result<(), Fault> {
        self.update(connection)?;
        let Some(mut keysym) = self.keysym(key) else {
            tracing::debug!("no such key: {}", key.name);
            return Ok(());
        };
        let by = Holder::of(key, keysym);
        if self
            .held
            .iter()
            .any(|held| held.by == by && self.keymap.mods(held.keycode) != 0)
        {
            // Modifiers do not repeat.
            return Ok(());
        }
        // A repeat types once more, by another stroke when the modifiers changed meanwhile.
        self.release_all_by(connection, by)?;
        let state = self.sync(connection, modifiers)?;
        if modifiers.0 & SHORTCUT != 0 {
            keysym = self.shortcut(key, keysym);
        }
        let Some(stroke) = self.stroke(connection, keysym, state, key.keycode)? else {
            tracing::debug!("no key for {}", key.name);
            return Ok(());
        };
        let passing =
            |held: &&mut Held| matches!(held.by, Holder::Modifier(_)) && held.keycode == stroke.keycode;
        if let Some(held) = self.held.iter_mut().find(passing) {
            // What was held in passing is now held by its key.
            held.by = by;
        } else if self.held.len() < MOST_HELD {
            self.strike(connection, stroke, state)?;
            self.held.push(Held {
                by,
                keycode: stroke.keycode,
            });
        }
        Ok(())
    }

    /// The client released a key. Modifiers wait for the next event: here they are those before the release, and
    /// pressing a missing one now could leave it held for long.
    pub(super) fn release(&mut self, connection: &Connection, key: &Key) -> Result<(), Fault> {
        let by = Holder::of(key, self.keysym(key).unwrap_or_default());
        self.release_all_by(connection, by)
    }

    /// Holds the modifiers the client holds.
    pub(super) fn follow(&mut self, connection: &Connection, modifiers: Modifiers) -> Result<(), Fault> {
        if self.synced != Some(modifiers) {
            self.update(connection)?;
            self.sync(connection, modifiers)?;
        }
        Ok(())
    }

    /// Lets go of everything.
    pub(super) fn release_all(&mut self, connection: &Connection) -> Result<(), Fault> {
        self.synced = None;
        while let Some(held) = self.held.pop() {
            self.let_go(connection, held.keycode)?;
        }
        Ok(())
    }

    /// Lets go of everything and leaves the display's keyboard as it was found.
    pub(super) fn restore(&mut self, connection: &Connection) -> Result<(), Fault> {
        self.release_all(connection)?;
        for (keycode, bound) in std::mem::take(&mut self.spare) {
            if bound.is_some() {
                connection
                    .x()
                    .change_keyboard_mapping(1, keycode, 1, &[x11rb::NO_SYMBOL])?;
            }
        }
        Ok(())
    }

    /// Learns the display's keyboard again when it changed.
    fn update(&mut self, connection: &Connection) -> Result<(), Fault> {
        if !std::mem::take(&mut self.outdated) {
            return Ok(());
        }
        self.keymap = Keymap::query(connection)?;
        // What we bound may have been overwritten by another layout.
        let keymap = &self.keymap;
        self.spare
            .retain(|(keycode, pair)| pair.is_some_and(|pair| keymap.is_bound(*keycode, pair)));
        self.spare
            .splice(..0, keymap.spare().into_iter().map(|keycode| (keycode, None)));
        self.meaning = self.meanings();
        self.synced = None;
        Ok(())
    }

    /// The keysym a key event stands for: its name, its number, its text, else what the client's keymap says.
    fn keysym(&self, key: &Key) -> Option<u32> {
        let mut text = key.text.chars();
        let character = text.next().filter(|_| text.next().is_none());
        keysyms::keysym(&key.name)
            .or_else(|| keysyms::name(key.keysym).map(|_| key.keysym))
            .or_else(|| character.and_then(keysyms::of_char))
            .or_else(|| {
                let mut entries = self
                    .client
                    .keys
                    .iter()
                    .filter(|entry| entry.keycode == key.keycode);
                entries
                    .find(|entry| entry.group == key.group && entry.level == 0)
                    .map(|entry| entry.keysym)
            })
            .filter(|keysym| *keysym != 0)
    }

    /// Shortcuts are bound to Latin letters: where the client's key has one in another group and this display has
    /// no key for the letter as typed, that is meant.
    fn shortcut(&self, key: &Key, keysym: u32) -> u32 {
        if key.keycode == 0 || self.keymap.has(keysym) {
            return keysym;
        }
        let same_key = self
            .client
            .keys
            .iter()
            .filter(|entry| entry.keycode == key.keycode && entry.level == 0);
        let latin = same_key
            .map(|entry| entry.keysym)
            .find(|keysym| (0x20..0x7f).contains(keysym));
        latin.filter(|keysym| self.keymap.has(*keysym)).unwrap_or(keysym)
    }

    /// How to type a keysym, after binding it to a spare key when there is no other way.
    fn stroke(
        &mut self,
        connection: &Connection,
        keysym: u32,
        state: State,
        hint: u32,
    ) -> Result<Option<Stroke>, Fault> {
        let find = |keymap: &Keymap| synonyms(keysym).find_map(|keysym| keymap.stroke(keysym, state, hint));
        let mut stroke = find(&self.keymap);
        if stroke.is_none() && can_be_bound(keysym) {
            self.bind(connection, keysym)?;
            stroke = find(&self.keymap);
        }
        // A spare key that is used moves to the end of the queue for its next keysym.
        let used = |(keycode, _): &(u8, _)| stroke.is_some_and(|stroke| stroke.keycode == *keycode);
        if let Some(i) = self.spare.iter().position(used) {
            let used = self.spare.remove(i);
            self.spare.push(used);
        }
        Ok(stroke)
    }

    /// Binds a keysym to the spare key that was not used for longest. Programs look a keycode up when they come to
    /// its event, so what a key was bound to must stay for a while.
    fn bind(&mut self, connection: &Connection, keysym: u32) -> Result<(), Fault> {
        let held = |keycode: u8| self.held.iter().any(|held| held.keycode == keycode);
        if let Some((keycode, bound)) = self.spare.iter_mut().find(|(keycode, _)| !held(*keycode)) {
            let pair = both_cases(keysym);
            *bound = Some(pair);
            connection.x().change_keyboard_mapping(1, *keycode, 2, &pair)?;
            self.outdated = true;
            self.update(connection)?;
        }
        Ok(())
    }

    /// Presses a key with modifiers and group as the stroke needs them, and puts them back.
    fn strike(&self, connection: &Connection, stroke: Stroke, state: State) -> Result<(), Fault> {
        let released: Vec<u8> = self.held_with(stroke.remove & state.base).collect();
        for keycode in &released {
            fake_key(connection, *keycode, false)?;
        }
        let locks = (stroke.add | (stroke.remove & state.locked), stroke.add);
        let group = stroke.group.map(|group| {
            let held = state.group.wrapping_sub(state.locked_group);
            group.wrapping_sub(held) & 3
        });
        let latches = stroke.remove & state.latched;
        let changes = locks.0 | latches != 0 || group.is_some();
        if changes {
            lock(connection, locks, group, latches)?;
        }
        if self.held.iter().any(|held| held.keycode == stroke.keycode) {
            fake_key(connection, stroke.keycode, false)?;
        }
        self.set_repeat(connection, stroke.keycode, false)?;
        fake_key(connection, stroke.keycode, true)?;
        if changes {
            lock(
                connection,
                (locks.0, locks.0 & state.locked),
                group.map(|_| state.locked_group),
                0,
            )?;
        }
        for keycode in released {
            fake_key(connection, keycode, true)?;
        }
        Ok(())
    }

    /// Brings the modifiers we hold, and the locks, in line with the client's; returns the state then.
    fn sync(&mut self, connection: &Connection, modifiers: Modifiers) -> Result<State, Fault> {
        let state = State::query(connection)?;
        self.synced = Some(modifiers);
        let wanted = (0..8).filter(|bit| modifiers.0 & 1 << bit != 0);
        let wanted = wanted.fold(0, |bits, bit| bits | self.meaning_of(bit));
        let locks = self.keymap.locks();
        let wrong_locks = (state.locked ^ wanted) & locks & self.synced_locks();
        let have = self
            .held
            .iter()
            .fold(0, |bits, held| bits | self.keymap.mods(held.keycode))
            & !locks;
        let wanted_held = wanted & !locks;
        let missing: Vec<u8> = single_bits(wanted_held & !have).collect();
        let stuck = have & !wanted_held;
        if wrong_locks == 0 && missing.is_empty() && stuck == 0 {
            return Ok(state);
        }
        if wrong_locks != 0 {
            lock(connection, (wrong_locks, wanted), None, 0)?;
        }
        if stuck != 0 {
            let (stuck, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.held)
                .into_iter()
                .partition(|h| self.keymap.mods(h.keycode) & stuck != 0);
            self.held = kept;
            for held in stuck {
                self.let_go(connection, held.keycode)?;
            }
        }
        for bit in missing {
            if let Some(keycode) = self.keymap.modifier_key(bit) {
                fake_key(connection, keycode, true)?;
                self.held.push(Held {
                    by: Holder::Modifier(bit),
                    keycode,
                });
            }
        }
        State::query(connection)
    }

    /// The locks a client can tell us about: those that one of its modifiers stands for.
    fn synced_locks(&self) -> u8 {
        (0..8).fold(0, |bits, bit| bits | self.meaning_of(bit))
    }

    fn release_all_by(&mut self, connection: &Connection, by: Holder) -> Result<(), Fault> {
        while let Some(i) = self.held.iter().position(|held| held.by == by) {
            let held = self.held.swap_remove(i);
            self.let_go(connection, held.keycode)?;
        }
        Ok(())
    }

    /// Releases a key that has just left `held`, unless it is held for another reason too.
    fn let_go(&self, connection: &Connection, keycode: u8) -> Result<(), Fault> {
        if self.held.iter().all(|held| held.keycode != keycode) {
            fake_key(connection, keycode, false)?;
            self.set_repeat(connection, keycode, true)?;
        }
        Ok(())
    }

    /// The client repeats the keys it holds, so the display must not; keys that never repeat stay so.
    fn set_repeat(&self, connection: &Connection, keycode: u8, on: bool) -> Result<(), Fault> {
        let byte = self
            .repeats
            .get(usize::from(keycode / 8))
            .copied()
            .unwrap_or_default();
        if byte & 1 << (keycode % 8) == 0 || self.keymap.mods(keycode) != 0 {
            return Ok(());
        }
        let mode = if on {
            AutoRepeatMode::ON
        } else {
            AutoRepeatMode::OFF
        };
        let aux = ChangeKeyboardControlAux::new()
            .key(u32::from(keycode))
            .auto_repeat_mode(mode);
        connection.x().change_keyboard_control(&aux)?;
        Ok(())
    }

    /// The keys we hold that set any of these modifiers.
    fn held_with(&self, mods: u8) -> impl Iterator<Item = u8> {
        self.held
            .iter()
            .map(|held| held.keycode)
            .filter(move |keycode| self.keymap.mods(*keycode) & mods != 0)
    }

    fn meaning_of(&self, bit: usize) -> u8 {
        self.meaning.get(bit).copied().unwrap_or_default()
    }

    /// What each of the client's modifier bits is called here.
    fn meanings(&self) -> [u8; 8] {
        std::array::from_fn(|bit| {
            if FIXED & 1 << bit != 0 {
                return 1 << bit;
            }
            let said = self.client.modifiers.get(bit).into_iter().flatten();
            let said = said.filter_map(|name| keysyms::keysym(name));
            let said = said.fold(0, |bits, keysym| bits | self.keymap.mods_of(keysym));
            let usual = USUAL.get(bit).copied().unwrap_or_default().iter();
            let bits = if said == 0 {
                usual.fold(0, |b, k| b | self.keymap.mods_of(*k))
            } else {
                said
            };
            // Keys of one name may set more than one modifier; one is enough, and never a fixed one.
            single_bits(bits & !FIXED).next().unwrap_or(0)
        })
    }
}

impl Holder {
    const fn of(key: &Key, keysym: u32) -> Self {
        if key.keycode == 0 {
            Self::Keysym(keysym)
        } else {
            Self::Keycode(key.keycode)
        }
    }
}

/// A character may have an old keysym and a Unicode one; layouts use either.
fn synonyms(keysym: u32) -> impl Iterator<Item = u32> {
    let character = keysyms::character(keysym).filter(|c| !c.is_ascii());
    let old = character.and_then(keysyms::of_char);
    let unicode = character.map(|c| 0x0100_0000 + u32::from(c));
    [Some(keysym), old, unicode].into_iter().flatten()
}

/// The lower and upper case of a letter, which share a key; anything else has the keysym with and without Shift.
fn both_cases(keysym: u32) -> [u32; 2] {
    let single = |mut chars: Box<dyn Iterator<Item = char>>| {
        let first = chars.next()?;
        chars.next().is_none().then_some(first).and_then(keysyms::of_char)
    };
    let pair = keysyms::character(keysym).and_then(|c| {
        Some([
            single(Box::new(c.to_lowercase()))?,
            single(Box::new(c.to_uppercase()))?,
        ])
    });
    pair.filter(|pair| synonyms(keysym).any(|keysym| pair.contains(&keysym)))
        .unwrap_or([keysym; 2])
}

/// Keys that only change the keyboard's state do nothing useful from a spare keycode, and those the server acts on
/// itself (switching terminals, breaking grabs) must not come in this way.
const fn can_be_bound(keysym: u32) -> bool {
    !matches!(keysym, 0 | 0xff_ffff | 0xfe00..=0xfe1f | 0xfed0..=0xfeff | 0xff7e | 0xff7f | 0xffe1..=0xffee | 0x1008_fe00..=0x1008_feff)
}

fn single_bits(bits: u8) -> impl Iterator<Item = u8> {
    (0..8).map(|bit| 1 << bit).filter(move |bit| bits & bit != 0)
}

/// Sets `(affected, set)` locked modifiers and the locked group, and clears latches.
fn lock(
    connection: &Connection,
    (affected, set): (u8, u8),
    group: Option<u8>,
    latches: u8,
) -> Result<(), ConnectionError> {
    let device = xkb::ID::USE_CORE_KBD.into();
    let (change_group, group) = (group.is_some(), group.unwrap_or_default().into());
    connection.x().xkb_latch_lock_state(
        device,
        mask(affected),
        mask(set),
        change_group,
        group,
        mask(latches),
        false,
        0,
    )?;
    Ok(())
}

fn fake_key(connection: &Connection, keycode: u8, pressed: bool) -> Result<(), ConnectionError> {
    let kind = if pressed {
        KEY_PRESS_EVENT
    } else {
        KEY_RELEASE_EVENT
    };
    connection
        .x()
        .xtest_fake_input(kind, keycode, x11rb::CURRENT_TIME, x11rb::NONE, 0, 0, 0)?;
    Ok(())
}
