//! The whole server on a real socket, with a screen in memory and hand-made clients.

pub(crate) mod fake;
mod limits;
mod login;
mod pictures;
mod requests;
mod world;
