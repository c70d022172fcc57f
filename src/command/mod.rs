//! The sub-commands of `xpra-rs`: options in, text and exit code out.

pub mod list;
