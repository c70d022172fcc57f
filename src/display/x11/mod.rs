//! A real X11 display, both sides.

mod clipboard;
#[cfg(test)]
mod test_server;

pub use self::clipboard::X11Clipboard;
