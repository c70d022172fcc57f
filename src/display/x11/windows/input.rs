//! Keyboard, pointer and focus.

use super::X11Windows;
use super::events::Batch;
use super::keyboard::{Keyboard, modifiers};
use crate::display::WindowEvent;
use crate::types::{Point, WindowId};
use std::collections::BTreeSet;
use x11rb::errors::ReplyOrIdError;
use x11rb::protocol::xproto::{
    ButtonPressEvent, ConfigureWindowAux, ConnectionExt as _, FocusInEvent, InputFocus, KeyPressEvent,
    NotifyDetail, NotifyMode, StackMode, Timestamp, Window,
};

/// What we remember of keyboard and pointer between events.
#[derive(Debug, Default)]
pub(super) struct Input {
    focus: Option<WindowId>,
    told_focus: Option<WindowId>,
    buttons: BTreeSet<u8>,
    /// The keys may mean something else than we know.
    pub(super) keyboard_changed: bool,
}

impl Input {
    /// A window is gone.
    pub(super) fn forget(&mut self, id: WindowId) {
        if self.focus == Some(id) {
            self.focus = None;
        }
    }

    /// The held buttons, given the state of an event (it knows the first five, also when a release escaped us).
    fn held(&mut self, state: u16) -> Vec<u8> {
        const FIRST: u32 = 8;
        self.buttons
            .retain(|button| *button > 5 || state & (1 << (FIRST + u32::from(*button) - 1)) != 0);
        self.buttons.iter().copied().collect()
    }
}

impl X11Windows {
    pub(super) fn focus_in(&mut self, event: &FocusInEvent) {
        let grab = [NotifyMode::GRAB, NotifyMode::UNGRAB].contains(&event.mode);
        if !grab && event.detail != NotifyDetail::POINTER {
            self.input.focus = self.ids.get(&event.event).copied();
        }
    }

    pub(super) fn focus_out(&mut self, event: &FocusInEvent) {
        let grab = [NotifyMode::GRAB, NotifyMode::UNGRAB].contains(&event.mode);
        let stays = [NotifyDetail::POINTER, NotifyDetail::INFERIOR].contains(&event.detail);
        if !grab && !stays && self.ids.get(&event.event).copied() == self.input.focus {
            self.input.focus = None;
        }
    }

    /// Told late, so that the focus going from one of our windows to another is not told as lost.
    pub(super) fn tell_focus(&mut self, batch: &mut Batch<'_>) {
        if self.input.focus != self.input.told_focus {
            self.input.told_focus = self.input.focus;
            batch.push(WindowEvent::Focus(self.input.focus));
        }
    }

    pub(super) fn key(
        &mut self,
        event: &KeyPressEvent,
        pressed: bool,
        batch: &mut Batch<'_>,
    ) -> Result<(), ReplyOrIdError> {
        let Some(window) = self.ids.get(&event.event).copied() else {
            return Ok(());
        };
        self.tell_focus(batch);
        self.reload_keyboard(batch)?;
        let state = event.state.into();
        let key = self.keyboard.key(event.detail, state);
        batch.push_input(WindowEvent::Key {
            window,
            key,
            pressed,
            modifiers: modifiers(state),
        });
        Ok(())
    }

    pub(super) fn button(
        &mut self,
        event: &ButtonPressEvent,
        pressed: bool,
        batch: &mut Batch<'_>,
    ) -> Result<(), ReplyOrIdError> {
        let Some(window) = self.ids.get(&event.event).copied() else {
            return Ok(());
        };
        let unfocused = self.input.focus != Some(window);
        if pressed && unfocused && self.manager.is_none() {
            self.click_to_focus(window, event.time)?;
        }
        let state = event.state.into();
        let button = event.detail;
        self.input.held(state);
        if pressed {
            self.input.buttons.insert(button);
        } else {
            self.input.buttons.remove(&button);
        }
        batch.push_input(WindowEvent::Button {
            window,
            button,
            pressed,
            position: Point {
                x: event.event_x.into(),
                y: event.event_y.into(),
            },
            root: Point {
                x: event.root_x.into(),
                y: event.root_y.into(),
            },
            modifiers: modifiers(state),
            buttons: self.input.buttons.iter().copied().collect(),
        });
        Ok(())
    }

    /// The pointer is at that place of a window.
    pub(super) fn moved(
        &mut self,
        xid: Window,
        position: Point,
        root: Point,
        state: u16,
        batch: &mut Batch<'_>,
    ) {
        if let Some(window) = self.ids.get(&xid).copied() {
            let buttons = self.input.held(state);
            let modifiers = modifiers(state);
            batch.push_newest(WindowEvent::Motion {
                window,
                position,
                root,
                modifiers,
                buttons,
            });
        }
    }

    pub(super) fn reload_keyboard(&mut self, batch: &mut Batch<'_>) -> Result<(), ReplyOrIdError> {
        if !std::mem::take(&mut self.input.keyboard_changed) {
            return Ok(());
        }
        let keyboard = Keyboard::load(&self.conn, self.root)?;
        if keyboard.keymap() != self.keyboard.keymap() {
            batch.push(WindowEvent::KeymapChanged);
        }
        self.keyboard = keyboard;
        Ok(())
    }

    /// What a window manager would do about a click.
    fn click_to_focus(&self, id: WindowId, time: Timestamp) -> Result<(), ReplyOrIdError> {
        let Some(window) = self.windows.get(&id).filter(|window| !window.override_redirect) else {
            return Ok(());
        };
        let above = ConfigureWindowAux::new().stack_mode(StackMode::ABOVE);
        self.conn.configure_window(window.xid, &above)?;
        self.focus_on(window.xid, time)
    }

    pub(super) fn focus_on(&self, window: Window, time: Timestamp) -> Result<(), ReplyOrIdError> {
        self.conn
            .set_input_focus(InputFocus::POINTER_ROOT, window, time)?;
        Ok(())
    }
}

pub(super) fn point(x: i16, y: i16) -> Point {
    Point {
        x: x.into(),
        y: y.into(),
    }
}
