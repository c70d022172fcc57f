//! LAYER 5: sessions, made of a connection, a display and what decides between them.

pub mod area;
pub mod client;
mod diagnose;
mod dial;
mod driver;
#[cfg(test)]
#[cfg(unix)]
mod fake_screen;
pub mod files;
mod login;
mod mailbox;
mod painter;
mod refresh_rate;
mod request;
pub mod resume;
pub mod screen;
pub mod server;
mod watch;

/// What our clients call themselves.
const CLIENT_TYPE: &str = "xpra-rs";

pub use diagnose::{Diagnose, diagnose};
pub use dial::{Caller, Opened, dial};
pub use driver::{Handler, drive, now, wall_clock};
pub use login::Login;
pub use mailbox::{Disconnected, Mailbox, Outbox, mailbox};
pub use painter::{Painter, Piece};
pub use refresh_rate::RefreshRate;
pub use request::{Answer, Asker, Request, RequestError, ask};
pub use watch::{Watch, watch};
