//! LAYER 5: sessions, made of a connection, a display and what decides between them.

mod driver;
mod mailbox;

pub use driver::{Handler, drive, now};
pub use mailbox::{Disconnected, Mailbox, Outbox, mailbox};
