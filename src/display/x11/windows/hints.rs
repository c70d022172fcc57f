//! What a window tells the window manager (ICCCM 4, EWMH, Motif), from the metadata of the wire (session.md 1.2).

use crate::display::{SizeHints, WindowMetadata};
use crate::types::{Point, Size};
use x11rb::errors::ReplyOrIdError;
use x11rb::properties::{AspectRatio, WmHints, WmHintsState, WmSizeHints, WmSizeHintsSpecification};
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ClientMessageEvent, ConnectionExt as _, EventMask, Gravity, PropMode, Window,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// The longest text of a property, in bytes.
const MAX_TEXT: usize = 4096;

/// The largest icon either way; window managers show far smaller ones.
const MAX_ICON: u32 = 256;

x11rb::atom_manager! {
    /// The words of window managers.
    pub(super) Atoms: AtomsCookie {
        UTF8_STRING,
        WM_CHANGE_STATE,
        WM_CLIENT_MACHINE,
        WM_DELETE_WINDOW,
        WM_PROTOCOLS,
        WM_WINDOW_ROLE,
        _MOTIF_WM_HINTS,
        _NET_SUPPORTING_WM_CHECK,
        _NET_WM_ICON,
        _NET_WM_ICON_NAME,
        _NET_WM_NAME,
        _NET_WM_PID,
        _NET_WM_PING,
        _NET_WM_STATE,
        _NET_WM_STATE_ABOVE,
        _NET_WM_STATE_BELOW,
        _NET_WM_STATE_FULLSCREEN,
        _NET_WM_STATE_MAXIMIZED_HORZ,
        _NET_WM_STATE_MAXIMIZED_VERT,
        _NET_WM_STATE_MODAL,
        _NET_WM_STATE_SKIP_PAGER,
        _NET_WM_STATE_SKIP_TASKBAR,
        _NET_WM_STATE_STICKY,
        _NET_WM_WINDOW_OPACITY,
        _NET_WM_WINDOW_TYPE,
        _NET_WM_WINDOW_TYPE_COMBO,
        _NET_WM_WINDOW_TYPE_DESKTOP,
        _NET_WM_WINDOW_TYPE_DIALOG,
        _NET_WM_WINDOW_TYPE_DND,
        _NET_WM_WINDOW_TYPE_DOCK,
        _NET_WM_WINDOW_TYPE_DROPDOWN_MENU,
        _NET_WM_WINDOW_TYPE_MENU,
        _NET_WM_WINDOW_TYPE_NORMAL,
        _NET_WM_WINDOW_TYPE_NOTIFICATION,
        _NET_WM_WINDOW_TYPE_POPUP_MENU,
        _NET_WM_WINDOW_TYPE_SPLASH,
        _NET_WM_WINDOW_TYPE_TOOLBAR,
        _NET_WM_WINDOW_TYPE_TOOLTIP,
        _NET_WM_WINDOW_TYPE_UTILITY,
    }
}

impl Atoms {
    /// The atom of a window type; the server's own words are not interned, atoms stay for ever.
    fn window_type(&self, name: &str) -> Option<Atom> {
        Some(match name {
            "COMBO" => self._NET_WM_WINDOW_TYPE_COMBO,
            "DESKTOP" => self._NET_WM_WINDOW_TYPE_DESKTOP,
            "DIALOG" => self._NET_WM_WINDOW_TYPE_DIALOG,
            "DND" => self._NET_WM_WINDOW_TYPE_DND,
            "DOCK" => self._NET_WM_WINDOW_TYPE_DOCK,
            "DROPDOWN_MENU" => self._NET_WM_WINDOW_TYPE_DROPDOWN_MENU,
            "MENU" => self._NET_WM_WINDOW_TYPE_MENU,
            "NORMAL" => self._NET_WM_WINDOW_TYPE_NORMAL,
            "NOTIFICATION" => self._NET_WM_WINDOW_TYPE_NOTIFICATION,
            "POPUP_MENU" => self._NET_WM_WINDOW_TYPE_POPUP_MENU,
            "SPLASH" => self._NET_WM_WINDOW_TYPE_SPLASH,
            "TOOLBAR" => self._NET_WM_WINDOW_TYPE_TOOLBAR,
            "TOOLTIP" => self._NET_WM_WINDOW_TYPE_TOOLTIP,
            "UTILITY" => self._NET_WM_WINDOW_TYPE_UTILITY,
            _ => return None,
        })
    }

    /// The states the metadata speaks of, with their atoms (two for maximised).
    fn states(&self, metadata: &WindowMetadata) -> [(Option<bool>, [Atom; 2]); 8] {
        [
            (metadata.modal, [self._NET_WM_STATE_MODAL, x11rb::NONE]),
            (metadata.fullscreen, [self._NET_WM_STATE_FULLSCREEN, x11rb::NONE]),
            (
                metadata.maximized,
                [
                    self._NET_WM_STATE_MAXIMIZED_HORZ,
                    self._NET_WM_STATE_MAXIMIZED_VERT,
                ],
            ),
            (metadata.above, [self._NET_WM_STATE_ABOVE, x11rb::NONE]),
            (metadata.below, [self._NET_WM_STATE_BELOW, x11rb::NONE]),
            (metadata.sticky, [self._NET_WM_STATE_STICKY, x11rb::NONE]),
            (
                metadata.skip_taskbar,
                [self._NET_WM_STATE_SKIP_TASKBAR, x11rb::NONE],
            ),
            (metadata.skip_pager, [self._NET_WM_STATE_SKIP_PAGER, x11rb::NONE]),
        ]
    }
}

/// The properties of one window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hints<'a> {
    pub(super) conn: &'a RustConnection,
    pub(super) atoms: &'a Atoms,
    pub(super) root: Window,
    pub(super) window: Window,
}

impl Hints<'_> {
    /// What every window of ours says, before it is shown for the first time.
    pub(super) fn introduce(
        &self,
        metadata: &WindowMetadata,
        position: Option<Point>,
        transient_for: Option<Window>,
    ) -> Result<(), ReplyOrIdError> {
        let atoms = self.atoms;
        let protocols = [atoms.WM_DELETE_WINDOW, atoms._NET_WM_PING];
        self.set32(atoms.WM_PROTOCOLS, AtomEnum::ATOM, &protocols)?;
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        self.set32(atoms._NET_WM_PID, AtomEnum::CARDINAL, &[pid.unsigned_abs()])?;
        let host = rustix::system::uname();
        self.set_text(
            atoms.WM_CLIENT_MACHINE,
            AtomEnum::STRING.into(),
            host.nodename().to_bytes(),
        )?;
        let initial_state = if metadata.iconic == Some(true) {
            WmHintsState::Iconic
        } else {
            WmHintsState::Normal
        };
        WmHints {
            input: Some(true),
            initial_state: Some(initial_state),
            ..WmHints::default()
        }
        .set(self.conn, self.window)?;
        self.set_size_hints(metadata.size_hints.unwrap_or_default(), position)?;
        let states = atoms
            .states(metadata)
            .into_iter()
            .filter(|(on, _)| *on == Some(true));
        let states: Vec<Atom> = states
            .flat_map(|(_, atoms)| atoms)
            .filter(|atom| *atom != x11rb::NONE)
            .collect();
        self.set32(atoms._NET_WM_STATE, AtomEnum::ATOM, &states)?;
        self.describe(metadata, transient_for)
    }

    /// Changes what the metadata names of a window that was shown before. `transient_for` is the window the
    /// metadata means.
    pub(super) fn change(
        &self,
        metadata: &WindowMetadata,
        transient_for: Option<Window>,
    ) -> Result<(), ReplyOrIdError> {
        if let Some(hints) = metadata.size_hints {
            self.set_size_hints(hints, None)?;
        }
        for (on, [first, second]) in self.atoms.states(metadata) {
            if let Some(on) = on {
                const APPLICATION: u32 = 1;
                let message = [u32::from(on), first, second, APPLICATION, 0];
                self.ask_manager(self.atoms._NET_WM_STATE, message)?;
            }
        }
        match metadata.iconic {
            Some(true) => {
                const ICONIC: u32 = 3; // ICCCM 4.1.4
                self.ask_manager(self.atoms.WM_CHANGE_STATE, [ICONIC, 0, 0, 0, 0])?;
            }
            Some(false) => {
                self.conn.map_window(self.window)?;
            }
            None => {}
        }
        self.describe(metadata, transient_for)
    }

    /// Shows an icon (straight BGRA, packed rows); false when it is no usable one.
    pub(super) fn set_icon(&self, size: Size, bgra: &[u8]) -> Result<bool, ReplyOrIdError> {
        let usable = !size.is_empty() && size.w <= MAX_ICON && size.h <= MAX_ICON;
        if !usable || bgra.len() as u64 != size.area() * 4 {
            return Ok(false);
        }
        let pixels = bgra.as_chunks().0.iter().map(|pixel| u32::from_le_bytes(*pixel));
        let icon: Vec<u32> = [size.w, size.h].into_iter().chain(pixels).collect();
        self.set32(self.atoms._NET_WM_ICON, AtomEnum::CARDINAL, &icon)?;
        Ok(true)
    }

    /// Answers a window manager's question whether we are alive.
    pub(super) fn pong(&self, ping: &ClientMessageEvent) -> Result<(), ReplyOrIdError> {
        let answer = ClientMessageEvent {
            window: self.root,
            ..*ping
        };
        self.conn.send_event(false, self.root, manager_events(), answer)?;
        Ok(())
    }

    /// Everything that is set the same way before and after the window was shown.
    fn describe(
        &self,
        metadata: &WindowMetadata,
        transient_for: Option<Window>,
    ) -> Result<(), ReplyOrIdError> {
        let atoms = self.atoms;
        if let Some(title) = &metadata.title {
            self.set_name(AtomEnum::WM_NAME, atoms._NET_WM_NAME, title)?;
        }
        if let Some(title) = &metadata.icon_title {
            self.set_name(AtomEnum::WM_ICON_NAME, atoms._NET_WM_ICON_NAME, title)?;
        }
        if let Some((instance, class)) = &metadata.class_instance {
            let both = [latin1(instance), vec![0], latin1(class), vec![0]].concat();
            self.set_text(AtomEnum::WM_CLASS.into(), AtomEnum::STRING.into(), &both)?;
        }
        if let Some(role) = &metadata.role {
            self.set_text(atoms.WM_WINDOW_ROLE, AtomEnum::STRING.into(), &latin1(role))?;
        }
        if let Some(types) = &metadata.window_type {
            let types: Vec<Atom> = types
                .iter()
                .take(16)
                .filter_map(|name| atoms.window_type(name))
                .collect();
            self.set32(atoms._NET_WM_WINDOW_TYPE, AtomEnum::ATOM, &types)?;
        }
        match (metadata.transient_for, transient_for) {
            (Some(_), Some(parent)) => self.set32(AtomEnum::WM_TRANSIENT_FOR, AtomEnum::WINDOW, &[parent])?,
            (Some(_), None) => self.remove(AtomEnum::WM_TRANSIENT_FOR.into())?,
            (None, _) => {}
        }
        if let Some(decorations) = metadata.decorations {
            const ONLY_DECORATIONS: u32 = 2;
            let hints = [ONLY_DECORATIONS, 0, u32::from(decorations), 0, 0];
            self.set32(atoms._MOTIF_WM_HINTS, atoms._MOTIF_WM_HINTS, &hints)?;
        }
        match metadata.opacity {
            Some(opacity) if opacity < 1.0 => self.set32(
                atoms._NET_WM_WINDOW_OPACITY,
                AtomEnum::CARDINAL,
                &[fraction(opacity, u32::MAX)],
            ),
            Some(_) => self.remove(atoms._NET_WM_WINDOW_OPACITY),
            None => Ok(()),
        }
    }

    fn set_size_hints(&self, hints: SizeHints, position: Option<Point>) -> Result<(), ReplyOrIdError> {
        /// A ratio is written as a fraction of this.
        const UNIT: u32 = 1 << 16;
        let pair = |size: Option<Size>| size.map(|size| (side(size.w), side(size.h)));
        let ratio = |ratio: f64| {
            AspectRatio::new(
                i32::try_from(fraction(ratio / 256.0, 256 * UNIT))
                    .unwrap_or(1)
                    .max(1),
                UNIT as i32,
            )
        };
        let aspect = match (hints.minimum_aspect, hints.maximum_aspect) {
            (None, None) => None,
            (least, most) => Some((ratio(least.unwrap_or(0.0)), ratio(most.unwrap_or(256.0)))),
        };
        WmSizeHints {
            position: position.map(|at| (WmSizeHintsSpecification::ProgramSpecified, at.x, at.y)),
            size: None,
            min_size: pair(hints.minimum),
            max_size: pair(hints.maximum),
            size_increment: pair(hints.increment),
            aspect,
            base_size: pair(hints.base),
            // Positions mean the contents, not the frame around them.
            win_gravity: Some(Gravity::STATIC),
        }
        .set_normal_hints(self.conn, self.window)?;
        Ok(())
    }

    fn set_name(&self, old: AtomEnum, new: Atom, text: &str) -> Result<(), ReplyOrIdError> {
        self.set_text(new, self.atoms.UTF8_STRING, text.as_bytes())?;
        if text.is_ascii() {
            self.set_text(old.into(), AtomEnum::STRING.into(), text.as_bytes())
        } else {
            self.set_text(old.into(), self.atoms.UTF8_STRING, text.as_bytes())
        }
    }

    fn set_text(&self, property: Atom, kind: Atom, text: &[u8]) -> Result<(), ReplyOrIdError> {
        let text = text.get(..MAX_TEXT).unwrap_or(text);
        self.conn
            .change_property8(PropMode::REPLACE, self.window, property, kind, text)?;
        Ok(())
    }

    fn set32(
        &self,
        property: impl Into<Atom>,
        kind: impl Into<Atom>,
        values: &[u32],
    ) -> Result<(), ReplyOrIdError> {
        self.conn.change_property32(
            PropMode::REPLACE,
            self.window,
            property.into(),
            kind.into(),
            values,
        )?;
        Ok(())
    }

    fn remove(&self, property: Atom) -> Result<(), ReplyOrIdError> {
        self.conn.delete_property(self.window, property)?;
        Ok(())
    }

    fn ask_manager(&self, kind: Atom, data: [u32; 5]) -> Result<(), ReplyOrIdError> {
        let message = ClientMessageEvent::new(32, self.window, kind, data);
        self.conn
            .send_event(false, self.root, manager_events(), message)?;
        Ok(())
    }
}

/// Who is meant by messages to the root window (EWMH 1.3).
fn manager_events() -> EventMask {
    EventMask::SUBSTRUCTURE_REDIRECT | EventMask::SUBSTRUCTURE_NOTIFY
}

fn side(length: u32) -> i32 {
    i32::try_from(length.clamp(1, 0x7fff)).unwrap_or(1)
}

/// `part` (0 to 1, anything else is brought there) of `whole`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the product is 0 to whole; NaN gives 0"
)]
fn fraction(part: f64, whole: u32) -> u32 {
    (part.clamp(0.0, 1.0) * f64::from(whole)) as u32
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .filter(|c| *c != '\0')
        .take(MAX_TEXT / 4)
        .map(|c| u8::try_from(c).unwrap_or(b'?'))
        .collect()
}
