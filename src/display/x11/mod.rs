//! A real X11 display, both sides.

mod connection;
pub mod keysyms;
