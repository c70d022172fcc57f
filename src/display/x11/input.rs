//! Injects a client's input through XTEST.

use super::connection::{Connection, Fault};
use super::keyboard::Keyboard;
use crate::display::Input;
use crate::types::{Point, Size};
use x11rb::connection::Connection as _;
use x11rb::errors::ConnectionError;
use x11rb::protocol::xproto::{BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, MOTION_NOTIFY_EVENT};
use x11rb::protocol::xtest::ConnectionExt as _;
use x11rb::wrapper::ConnectionExt as _;

/// Injects input and remembers what is held down by it.
#[derive(Debug)]
pub(super) struct Injector {
    /// The keys.
    pub(super) keyboard: Keyboard,
    /// One bit for each pointer button.
    buttons: u32,
}

impl Injector {
    pub(super) fn new(connection: &Connection) -> Result<Self, Fault> {
        Ok(Self {
            keyboard: Keyboard::new(connection)?,
            buttons: 0,
        })
    }

    /// Injects one piece of input, and has it sent at once: somebody waits to see the effect.
    pub(super) fn inject(
        &mut self,
        connection: &Connection,
        input: &Input,
        screen: Size,
    ) -> Result<(), Fault> {
        match input {
            Input::Key {
                key,
                pressed: true,
                modifiers,
            } => {
                self.keyboard.press(connection, key, *modifiers)?;
            }
            Input::Key {
                key, pressed: false, ..
            } => {
                self.keyboard.release(connection, key)?;
            }
            Input::Motion { position, modifiers } => {
                self.keyboard.follow(connection, *modifiers)?;
                fake_motion(connection, *position, screen)?;
            }
            Input::Button {
                button,
                pressed,
                position,
                modifiers,
            } => {
                self.keyboard.follow(connection, *modifiers)?;
                if let Some(position) = position {
                    fake_motion(connection, *position, screen)?;
                }
                self.button(connection, *button, *pressed)?;
            }
            Input::ReleaseAll => self.release_all(connection)?,
        }
        Ok(connection.x().flush()?)
    }

    /// Leaves the display as it was found; returns when it is so.
    pub(super) fn restore(&mut self, connection: &Connection) -> Result<(), Fault> {
        self.release_all(connection)?;
        self.keyboard.restore(connection)?;
        Ok(connection.x().sync()?)
    }

    fn button(&mut self, connection: &Connection, button: u8, pressed: bool) -> Result<(), Fault> {
        let Some(bit) = 1u32.checked_shl(button.into()).filter(|_| button > 0) else {
            return Ok(());
        };
        // A press without its release, or the other way round, is repaired rather than passed on.
        if (self.buttons & bit != 0) == pressed {
            if !pressed {
                return Ok(());
            }
            fake_button(connection, button, false)?;
        }
        self.buttons = if pressed {
            self.buttons | bit
        } else {
            self.buttons & !bit
        };
        Ok(fake_button(connection, button, pressed)?)
    }

    fn release_all(&mut self, connection: &Connection) -> Result<(), Fault> {
        for button in 1..32 {
            self.button(connection, button, false)?;
        }
        self.keyboard.release_all(connection)
    }
}

fn fake_motion(connection: &Connection, position: Point, screen: Size) -> Result<(), ConnectionError> {
    let within = |at: i32, size: u32| {
        let last = i32::try_from(size).unwrap_or(i32::MAX).saturating_sub(1).max(0);
        i16::try_from(at.clamp(0, last)).unwrap_or(i16::MAX)
    };
    let (x, y) = (within(position.x, screen.w), within(position.y, screen.h));
    let (now, root) = (x11rb::CURRENT_TIME, connection.root());
    connection
        .x()
        .xtest_fake_input(MOTION_NOTIFY_EVENT, 0, now, root, x, y, 0)?;
    Ok(())
}

fn fake_button(connection: &Connection, button: u8, pressed: bool) -> Result<(), ConnectionError> {
    let kind = if pressed {
        BUTTON_PRESS_EVENT
    } else {
        BUTTON_RELEASE_EVENT
    };
    connection
        .x()
        .xtest_fake_input(kind, button, x11rb::CURRENT_TIME, x11rb::NONE, 0, 0, 0)?;
    Ok(())
}
