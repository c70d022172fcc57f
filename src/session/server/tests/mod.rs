//! The whole server on a real socket, with a screen in memory and hand-made clients.

mod limits;
mod login;
mod pictures;
mod requests;
mod world;
