//! LAYER 4: who may use a session. Digests and challenges, the modules of `--auth` and its kin, and where a client's
//! passwords come from (`wire.md` 5.2, `endpoints.md` h).
//!
//! A server makes a [`Chain`] for each of its sockets and sends every connection through it with a [`Login`], or with
//! [`check_password`] where a protocol brings a password of its own. A client answers with its [`Handlers`].

mod chain;
pub mod client;
pub mod digest;
mod error;
mod login;
mod module;
mod modules;
mod settings;
#[cfg(test)]
mod tests;
mod ticket;

pub use self::chain::{Chain, Context};
pub use self::client::{ClientAuthError, Handlers};
pub use self::error::AuthError;
pub use self::login::{Answer, Challenge, Grant, Login, Offered, Refusal, Step, Verdict, check_password};
pub use self::module::{Account, Peer};
pub use self::ticket::{Proof, Ticket, TicketId, TicketRequest};
