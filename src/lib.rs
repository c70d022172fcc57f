//! xpra's network stack in Rust, with the server and the client that use it.
//!
//! This page is the map. What a module owns, and the section of the protocol's description it obeys, is said at the
//! head of the module.
//!
//! # Layers
//!
//! ```text
//!  6   bin/xpra-rs        the process: arguments in, exit code out
//!      command            subcommands: options, the environment, text, exit codes
//!      ─────────────────────────────────────────────────────────────────────────
//!  5   session            the tasks and threads, and what decides between
//!                         a connection and a display
//!      ───────────────┬─────────────────────────┬───────────────────────────────
//!  4   transport  web │                         │
//!      discovery auth │  3   protocol  delivery │  screens, windows, pixels
//!      bytes to and   │  2   packet   telemetry │  display picture mmap
//!      from a peer    │  1   codec              │
//!      ───────────────┴─────────────────────────┴───────────────────────────────
//!      address                       types         plain values, no I/O
//!      system                                      what Unix and Windows call differently
//! ```
//!
//! The way of a picture, and of what the client says to it:
//!
//! ```text
//!  server:  display ─ damage ─▶ delivery ─ now ─▶ picture ─▶ packet ─▶ codec ─▶ transport
//!                                  ▲                                               │
//!                                  └────────────────── ack ◀───────────────────┐   ▼
//!  client:  display ◀────────── picture ◀──────── packet ◀──── codec ◀──── transport
//! ```
//!
//! # Modules
//!
//! | module | is |
//! |---|---|
//! | [`system`] | what Unix and Windows call differently and everybody needs |
//! | [`types`] | sizes, rectangles, pixel formats, encodings: values every layer may share |
//! | [`address`] | what users type to connect or to listen, parsed |
//! | [`codec`] | bytes to records to values and back, bounded; rencodeplus, rencode, bencode, YAML; LZ4, zlib, Brotli, … |
//! | [`packet`] | values to typed packets and back, in the names of both dialects |
//! | [`protocol`] | one connection as a state machine: hello, chunks, pings, queue of control packets |
//! | [`delivery`] | when pixels are captured and how much may be on the way; pure arithmetic |
//! | [`picture`] | pixels: what changed, what moved, which encoding, encode and decode |
//! | [`mmap`] | pixels in memory shared by both ends of a connection |
//! | [`display`] | screens to share and windows to show: X11, a test card, none |
//! | [`transport`] | open byte streams: connect and listen; the only code that knows their kinds |
//! | [`auth`] | who may use a session: digests, modules, where a client's passwords come from |
//! | [`web`] | HTTP on a server's ports: files, facts, the way to a WebSocket |
//! | [`discovery`] | sessions of this machine and of the network: where they are, which answer, which one is meant |
//! | [`telemetry`] | a session in numbers: what `info` says, understood; graphs, JSON, Prometheus |
//! | [`session`] | servers, clients and single requests: every task, thread and channel |
//! | [`command`] | the subcommands of `xpra-rs` |
//!
//! # Dependency direction
//!
//! Arrows point down only: which module may name which is the table `MAY_USE` in this file, and a test compares it
//! with the sources. tokio is known to `transport`, `auth`, `web`, `discovery`, `session` and `command` alone, so
//! everything a peer says is understood by code that can be run with nothing but bytes.
//!
//! # Invariants
//!
//! * **Late binding.** What changed waits as rectangles, never as pixels. Pixels are captured and encoded when the
//!   connection can take them, so a slow link shows fewer pictures, not older ones. There is no queue of pictures, but
//!   the rest of the one update that is being sent, between whose pieces what is small may go.
//! * **A bound on every number a peer chooses,** checked before it costs memory or time: lengths, counts, depths,
//!   sizes after decompression ([`codec::Limits`]), picture sizes, pictures in flight.
//! * **A session is not its connection.** When a connection is lost, both ends keep what the session is and what the
//!   other has not confirmed ([`protocol::Ledger`], [`delivery::Unconfirmed`]), and go on over the next
//!   ([`session::resume`]).
//! * **One owner per connection.** One task owns the [`Connection`](protocol::Connection) and both halves of its
//!   stream. What others want of it they send; there are no locks around state.
//! * **One screen thread per server** owns the [`Screen`](display::Screen): it captures, encodes and injects input.
//! * **One viewer thread per client** owns the [`Windows`](display::Windows) and the picture decoder.
//! * **No clock in layers 1 to 3.** `now` is an argument, so time in tests is moved by hand. A clock is read by
//!   `session`, and by `display`, which has to wait for real devices.
//! * **No panic below `bin`.** No indexing, `unwrap`, or truncating cast outside of tests; lints see to it. A peer
//!   can end its own session, never the process.
//!
//! # Where this differs from the usual tree, and why
//!
//! * One binary with subcommands, because xpra has one and scripts call it so.
//! * `display` is a layer of its own: the session works alike for an X server, a test card and nothing at all, which
//!   is what `demo`, `--headless` and the simulation are made of.
//! * WebSocket frames are read and written by code of our own (`transport::websocket`): a frame is delivered as it
//!   arrives, so that a large one costs no memory before its sender has logged in, and what is sent is not copied.
//! * What a connection has to pass before a session begins (TLS, HTTP, SSH, limits for strangers) is one place,
//!   `session::server::door`, because one port takes all of it.
//! * `discovery` stands apart from `transport`: the one is about names in directories, the other about open streams.
//! * `command` is in the library rather than in `bin`, so that option handling and output are tested without a process.
//! * Encoding runs on the screen thread rather than in a pool of workers: changing threads costs more than encoding
//!   what changes on a screen mostly is (text, flat ground, moves), and a picture that is made later is captured
//!   later. What would change this: `benches/glass.rs` showing the thread busy while a core idles, with several
//!   clients or with photographs on a screen of 4K.

pub mod address;
pub mod auth;
pub mod codec;
pub mod command;
pub mod delivery;
pub mod discovery;
pub mod display;
pub mod mmap;
pub mod packet;
pub mod picture;
pub mod protocol;
pub mod session;
pub mod system;
pub mod telemetry;
pub mod transport;
pub mod types;
pub mod web;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// Which modules a module may name, itself apart, from the bottom to the top.
    const MAY_USE: &[(&str, &[&str])] = &[
        ("types", &[]),
        ("address", &[]),
        ("codec", &[]),
        ("telemetry", &["codec"]),
        ("system", &[]),
        ("display", &["system", "types"]),
        ("mmap", &["system", "types"]),
        ("picture", &["types"]),
        ("packet", &["codec", "display", "picture", "types"]),
        ("protocol", &["codec", "packet", "types"]),
        ("delivery", &["picture", "types"]),
        ("transport", &["address", "system"]),
        ("auth", &["address", "system", "transport"]),
        ("web", &["address", "system", "transport"]),
        ("discovery", &["address", "system", "transport"]),
        (
            "session",
            &[
                "address",
                "auth",
                "codec",
                "delivery",
                "display",
                "mmap",
                "packet",
                "picture",
                "protocol",
                "system",
                "telemetry",
                "transport",
                "types",
                "web",
            ],
        ),
        (
            "command",
            &[
                "address",
                "auth",
                "codec",
                "discovery",
                "display",
                "mmap",
                "packet",
                "protocol",
                "session",
                "system",
                "telemetry",
                "transport",
                "types",
                "web",
            ],
        ),
        ("bin", &["command", "discovery"]),
    ];

    /// Where tokio may be named.
    const KNOW_TOKIO: [&str; 7] = [
        "transport",
        "auth",
        "web",
        "discovery",
        "session",
        "command",
        "bin",
    ];

    #[test]
    fn dependencies_point_down() {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut wrong = Vec::new();
        for path in sources(&src).iter().filter(|path| !path.ends_with("lib.rs")) {
            let inside = path.strip_prefix(&src).unwrap();
            let module = inside.iter().next().unwrap().to_str().unwrap();
            let module = module.trim_end_matches(".rs");
            let (_, allowed) = MAY_USE.iter().find(|(name, _)| *name == module).unwrap();
            let text = fs::read_to_string(path).unwrap();
            let own = if module == "bin" { "xpra::" } else { "crate::" };
            for used in text.split(own).skip(1).map(first_word) {
                if used != module && !allowed.contains(&used) {
                    wrong.push(format!("{}: {own}{used}", inside.display()));
                }
            }
            if text.contains("tokio::") && !KNOW_TOKIO.contains(&module) {
                wrong.push(format!("{}: tokio", inside.display()));
            }
        }
        assert!(
            wrong.is_empty(),
            "not in the declared direction:\n{}",
            wrong.join("\n")
        );
    }

    #[test]
    fn the_declared_direction_has_no_way_back() {
        for (position, (module, allowed)) in MAY_USE.iter().enumerate() {
            let below = &MAY_USE[..position];
            let is_below = |name: &&str| below.iter().any(|(lower, _)| lower == name);
            assert!(allowed.iter().all(is_below), "{module} names something above it");
        }
    }

    fn first_word(text: &str) -> &str {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        text.get(..end.unwrap_or(text.len())).unwrap_or_default()
    }

    fn sources(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let found = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
        found
            .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
            .collect()
    }
}
