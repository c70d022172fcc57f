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
