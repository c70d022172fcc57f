//! A real X11 display, both sides.

pub mod keysyms;
