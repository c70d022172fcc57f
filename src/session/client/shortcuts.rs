//! [`Shortcuts`]: keys that the client itself acts on, written as xpra writes them: `#+F11:show_session_info`.

use crate::display::{Key, Keymap, Modifiers};
use std::collections::BTreeSet;

/// What holds where nobody says otherwise: of xpra's own list what there is here.
const BUILT_IN: [&str; 2] = ["#+F4:quit", "#+F11:show_session_info"];

/// What `auto` stands for among the modifiers of shortcuts.
const AUTO: &str = "Meta+Shift";

/// What is done for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave.
    Quit,
    /// Ask for all pixels again.
    RefreshAllWindows,
    /// Ask for the pixels of the window that has the keyboard again.
    RefreshWindow,
    /// Show how the session is doing.
    ShowSessionInfo,
    /// Nothing: the key is only kept from the server.
    Void,
}

impl Action {
    /// The action of that name; xpra has more than there are here.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "quit" => Self::Quit,
            "refresh_all_windows" => Self::RefreshAllWindows,
            "refresh_window" => Self::RefreshWindow,
            "show_session_info" => Self::ShowSessionInfo,
            "void" => Self::Void,
            _ => return None,
        })
    }
}

/// A modifier as users know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// One of the eight by its number.
    Bit(u8),
    /// The one that has keys of these names, the first that any has.
    Keys(&'static [&'static str]),
}

impl Held {
    fn named(name: &str) -> Result<Self, String> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "shift" => Self::Bit(0),
            "lock" => Self::Bit(1),
            "control" | "ctrl" => Self::Bit(2),
            "mod1" => Self::Bit(3),
            "mod2" => Self::Bit(4),
            "mod3" => Self::Bit(5),
            "mod4" => Self::Bit(6),
            "mod5" => Self::Bit(7),
            "meta" => Self::Keys(&["Meta_L", "Meta_R", "Alt_L", "Alt_R"]),
            "alt" => Self::Keys(&["Alt_L", "Alt_R", "Meta_L", "Meta_R"]),
            "super" => Self::Keys(&["Super_L", "Super_R"]),
            "hyper" => Self::Keys(&["Hyper_L", "Hyper_R"]),
            _ => {
                return Err(format!(
                    "no modifier {name:?}: write Shift, Control, Meta, Alt, Super, Hyper, Lock, or mod1 to mod5"
                ));
            }
        })
    }

    /// The modifiers of a list like `Meta+Shift`; `auto` is that, `none` is none.
    pub fn list(text: &str) -> Result<Vec<Self>, String> {
        match text.trim() {
            "" => Ok(Vec::new()),
            auto if auto.eq_ignore_ascii_case("auto") => Self::list(AUTO),
            none if none.eq_ignore_ascii_case("none") => Ok(Vec::new()),
            list => list.split('+').map(|name| Self::named(name.trim())).collect(),
        }
    }

    /// Its bit on that keyboard; `None` when it has no such key.
    fn bit(self, keymap: &Keymap) -> Option<u8> {
        match self {
            Self::Bit(bit) => Some(1 << bit),
            Self::Keys(names) => names.iter().find_map(|name| with_key(keymap, name)),
        }
    }
}

/// The first modifier that a key of that name sets.
fn with_key(keymap: &Keymap, name: &str) -> Option<u8> {
    let has = |keys: &Vec<String>| keys.iter().any(|key| key == name);
    keymap.modifiers.iter().position(has).map(|bit| 1 << bit)
}

/// A key, what is to be held with it, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortcut {
    /// The modifiers of all shortcuts, `#`, are among those to be held.
    usual: bool,
    held: Vec<Held>,
    /// The name of its keysym.
    key: String,
    /// `None` for what only xpra does: such keys go to the server.
    action: Option<Action>,
}

impl Shortcut {
    /// Reads `[MODIFIER+]*KEY:ACTION`, where an action may have arguments, which mean nothing here.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (keys, action) = text
            .split_once(':')
            .filter(|(keys, action)| !keys.is_empty() && !action.trim().is_empty())
            .ok_or("write KEY:ACTION, such as #+F11:show_session_info")?;
        let name = action.split('(').next().unwrap_or(action).trim();
        let mut words: Vec<&str> = keys.split('+').map(str::trim).collect();
        let key = words.pop().unwrap_or_default().to_owned();
        let all = words.len();
        words.retain(|word| *word != "#");
        Ok(Self {
            usual: words.len() < all,
            held: words.into_iter().map(Held::named).collect::<Result<_, _>>()?,
            key,
            action: Action::named(name),
        })
    }
}

/// The shortcuts of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortcuts {
    list: Vec<(Vec<Held>, String, Action)>,
}

impl Default for Shortcuts {
    fn default() -> Self {
        Self::new(&[], &Held::list(AUTO).unwrap_or_default())
    }
}

impl Shortcuts {
    /// Those listed, the built-in ones when none is; `usual` is what `#` stands for.
    pub fn new(listed: &[Shortcut], usual: &[Held]) -> Self {
        let built_in: Vec<Shortcut> = BUILT_IN
            .iter()
            .filter_map(|text| Shortcut::parse(text).ok())
            .collect();
        let listed = if listed.is_empty() { &built_in } else { listed };
        let read = |shortcut: &Shortcut| {
            let usual = if shortcut.usual { usual } else { &[] };
            let held = usual.iter().chain(&shortcut.held).copied().collect();
            Some((held, shortcut.key.clone(), shortcut.action?))
        };
        Self {
            list: listed.iter().filter_map(read).collect(),
        }
    }
}

/// Keys as they come, and what of them is ours.
#[derive(Debug)]
pub(super) struct Catcher {
    shortcuts: Vec<(u8, String, Action)>,
    /// Modifiers that do not matter: the locks.
    locks: u8,
    /// The codes of keys that are down and were caught.
    down: BTreeSet<u32>,
}

impl Catcher {
    /// On that keyboard.
    pub(super) fn new(shortcuts: &Shortcuts, keymap: &Keymap) -> Self {
        let read = |(held, key, action): &(Vec<Held>, String, Action)| {
            let bits = held
                .iter()
                .try_fold(0, |bits, held| Some(bits | held.bit(keymap)?));
            Some((bits?, key.clone(), *action))
        };
        let lock = 1 << 1;
        Self {
            shortcuts: shortcuts.list.iter().filter_map(read).collect(),
            locks: lock | with_key(keymap, "Num_Lock").unwrap_or_default(),
            down: BTreeSet::new(),
        }
    }

    /// What to do for a key that went down or up; `None` when it is the server's.
    pub(super) fn catch(&mut self, key: &Key, pressed: bool, modifiers: Modifiers) -> Option<Action> {
        if !pressed {
            return self.down.remove(&key.keycode).then_some(Action::Void);
        }
        if self.down.contains(&key.keycode) {
            // held down
            return Some(Action::Void);
        }
        let (_, _, action) = self.shortcuts.iter().find(|(held, name, _)| {
            (modifiers.0 ^ held) & !self.locks == 0 && name.eq_ignore_ascii_case(&key.name)
        })?;
        self.down.insert(key.keycode);
        Some(*action)
    }

    /// The keyboard went elsewhere: releases may not be told.
    pub(super) fn forget(&mut self) {
        self.down.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIFT: u8 = 1;
    const CONTROL: u8 = 4;
    const MOD1: u8 = 8;
    const NUM: u8 = 16;

    fn keymap() -> Keymap {
        let mut keymap = Keymap::default();
        keymap.modifiers[3] = vec!["Alt_L".to_owned(), "Meta_L".to_owned()];
        keymap.modifiers[4] = vec!["Num_Lock".to_owned()];
        keymap
    }

    fn key(name: &str, keycode: u32) -> Key {
        Key {
            name: name.into(),
            keycode,
            ..Key::default()
        }
    }

    fn catcher(listed: &[&str], usual: &str) -> Catcher {
        let listed: Vec<_> = listed.iter().map(|text| Shortcut::parse(text).unwrap()).collect();
        Catcher::new(&Shortcuts::new(&listed, &Held::list(usual).unwrap()), &keymap())
    }

    #[test]
    fn a_caught_key_is_caught_until_it_is_up() {
        let mut catcher = catcher(&[], "auto");
        let (f11, held) = (key("F11", 95), Modifiers(MOD1 | SHIFT | NUM));
        assert_eq!(catcher.catch(&f11, true, Modifiers(SHIFT)), None);
        assert_eq!(catcher.catch(&f11, true, held), Some(Action::ShowSessionInfo));
        assert_eq!(catcher.catch(&f11, true, held), Some(Action::Void));
        // the modifiers may be up before
        assert_eq!(catcher.catch(&f11, false, Modifiers(0)), Some(Action::Void));
        assert_eq!(catcher.catch(&f11, false, held), None);
        assert_eq!(catcher.catch(&key("F4", 70), true, held), Some(Action::Quit));
        catcher.forget();
        assert_eq!(catcher.catch(&key("F4", 70), false, held), None);
    }

    #[test]
    fn listed_ones_replace_the_built_in() {
        let listed = [
            "Control+Menu:toggle_keyboard_grab",
            "#+F7:log('hello')",
            "#+F1:void",
            "Shift+Control+B:refresh_window",
            "#+F2:show_session_info(\"Graphs\")",
        ];
        let mut catcher = catcher(&listed, "Control");
        assert_eq!(catcher.catch(&key("F11", 1), true, Modifiers(MOD1 | SHIFT)), None);
        assert_eq!(catcher.catch(&key("F7", 2), true, Modifiers(CONTROL)), None);
        assert_eq!(catcher.catch(&key("Menu", 3), true, Modifiers(CONTROL)), None);
        assert_eq!(
            catcher.catch(&key("F1", 4), true, Modifiers(CONTROL)),
            Some(Action::Void)
        );
        let both = Modifiers(CONTROL | SHIFT);
        assert_eq!(
            catcher.catch(&key("b", 5), true, both),
            Some(Action::RefreshWindow)
        );
        let action = catcher.catch(&key("F2", 6), true, Modifiers(CONTROL));
        assert_eq!(action, Some(Action::ShowSessionInfo));
    }

    #[test]
    fn a_keyboard_without_the_modifier_has_no_such_shortcut() {
        let mut catcher = catcher(&["Hyper+F1:quit", "F2:quit"], "none");
        assert_eq!(catcher.catch(&key("F1", 1), true, Modifiers(0)), None);
        assert_eq!(
            catcher.catch(&key("F2", 2), true, Modifiers(0)),
            Some(Action::Quit)
        );
    }

    #[test]
    fn what_is_no_shortcut_is_refused() {
        for text in ["", "F11", ":quit", "F11:", "Foo+F11:quit"] {
            assert!(Shortcut::parse(text).is_err(), "{text:?}");
        }
        assert!(Held::list("Meta+Foo").is_err());
        assert_eq!(Held::list("None").unwrap(), []);
    }
}
