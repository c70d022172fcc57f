//! A real X11 display, both sides.

mod capture;
mod clipboard;
mod connection;
mod cursor;
mod damage;
mod find;
mod input;
mod keyboard;
mod keymap;
pub mod keysyms;
mod resize;
mod screen;
mod shm;
#[cfg(test)]
mod test_server;
mod windows;

pub use self::clipboard::X11Clipboard;
pub use self::find::guess_display;
pub use self::screen::X11Screen;
pub use self::windows::X11Windows;

use super::{DisplayError, Screen, Windows};

/// Windows on that display, or on that of the environment.
pub fn open_windows(display: Option<&str>) -> Result<Box<dyn Windows>, DisplayError> {
    Ok(Box::new(X11Windows::open(display)?))
}

/// That display, or that of the environment, to share it.
pub fn open_screen(display: Option<&str>) -> Result<Box<dyn Screen>, DisplayError> {
    Ok(Box::new(X11Screen::open(display)?))
}
