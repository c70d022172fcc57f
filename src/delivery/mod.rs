//! LAYER 3: when pixels are captured and how much may be on the way.
//!
//! Late binding: what is dirty waits as rectangles ([`Damage`]), and is captured and encoded only when the
//! connection can take it ([`Window`]). Nothing encoded waits but the rest of an update. Pure arithmetic: `now` is an
//! argument.

mod bulk;
mod damage;
mod rate;
mod recent;
mod rtt;
mod share;
mod unconfirmed;
mod window;

pub use bulk::Bulk;
pub use damage::Damage;
pub use unconfirmed::Unconfirmed;
pub use window::{Ack, Network, Window};
