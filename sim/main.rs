//! Simulations: real servers and clients in worlds of one thread, whose network and clock are not this machine's.
//!
//! Hub, sessions, screen worker, viewer, driver, protocol and codecs are those of the library; only sockets and the
//! two display threads are replaced. There are two kinds of worlds. Those of `scenarios` are turmoil's: hosts that
//! crash, networks that stall and part, but no bandwidth. Each is played twice and must take the same course to the
//! last byte; `XPRA_SIM_SEED` chooses another one. Those of `lab` are links with a rate and a queue between two
//! kernels, for latency; `cargo sim` plays them one by one, `scoreboard` compares them all with what is written.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a scenario ends at the first thing that is not as expected"
)]

mod client;
mod cores;
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with the tools, which use other parts"
)]
mod lab;
#[allow(dead_code, reason = "shared with the tool, which uses other parts")]
mod link;
#[allow(dead_code, reason = "shared with the tool, which uses other parts")]
#[path = "../netem/outcome.rs"]
mod outcome;
#[allow(dead_code, reason = "shared with the tool, which uses other parts")]
#[path = "../netem/profile.rs"]
mod profile;
#[allow(dead_code, reason = "shared with the tool, which uses other parts")]
mod scoreboard;
mod server;
mod tap;
#[allow(dead_code, reason = "shared with the tool, which uses other parts")]
mod tcp;
mod trace;
mod world;

mod scenarios {
    mod bytewise;
    mod clock;
    mod crash;
    mod handshake;
    mod hold;
    mod latency;
    mod liars;
    mod limits;
    mod links;
    mod mix;
    mod partition;
    mod resume;
    mod silence;
    mod slow_reader;
    mod steps;
}
