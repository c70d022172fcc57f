//! WebSockets over any other link: RFC 6455 as far as a byte stream needs it (`wire.md` 1.8, `endpoints.md` c.3).
//!
//! [`Decoder`] knows the format and [`Endpoint`] the rules, both without I/O; [`WebSocket`] is the byte stream,
//! [`upgrade`] a client's way to it. A server's way is HTTP, which is `web`'s.
//!
//! Own code rather than a library: those collect messages, so a frame of 256 MiB costs as much memory before its first
//! byte is seen, and they join header and payload in a buffer, so each picture is copied once more. Here frames are
//! delivered as they arrive, and a server's header and the caller's slices reach the socket in one vectored write.

mod client;
mod decoder;
mod endpoint;
mod frame;
mod stream;
#[cfg(test)]
mod tests;
mod utf8;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

pub use self::client::{UpgradeError, upgrade};
pub use self::decoder::{Decoder, Event, Masks, Piece, Rules};
pub use self::endpoint::{Endpoint, Role};
pub use self::frame::{Control, FrameError, Kind};
pub use self::stream::WebSocket;
#[cfg(test)]
pub(super) use self::tests::accept;

/// The sub-protocol of xpra. Servers split the list at commas without trimming, so nothing else may be asked for
/// (`endpoints.md` trap 9).
pub const PROTOCOL: &str = "binary";

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key` (RFC 6455 section 4.2.2).
pub fn accept_key(key: &[u8]) -> String {
    use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64.encode(context.finish())
}
