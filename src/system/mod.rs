//! LAYER 0: the operating system: what Unix and Windows call differently and everybody needs.
//!
//! One file for each, of the same names; no other file of the lower layers asks which system it is on.

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod this;

pub use self::this::*;
