//! A real X11 display, both sides.

mod clipboard;
pub mod keysyms;
#[cfg(test)]
mod test_server;
mod windows;

pub use self::clipboard::X11Clipboard;
pub use self::windows::X11Windows;
