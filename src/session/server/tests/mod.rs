//! The whole server on a real socket, with a screen in memory and hand-made clients.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "colours are cut out of larger numbers, screens are small"
)]

mod files;
mod guarded;
mod limits;
mod loading;
mod login;
mod pictures;
mod requests;
mod resume;
mod watching;
mod world;
