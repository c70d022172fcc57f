//! xpra's network stack in Rust, with the server and the client that use it.

pub mod codec;
pub mod packet;
pub mod display;
pub mod picture;
pub mod transport;
pub mod address;
pub mod discovery;
pub mod types;
