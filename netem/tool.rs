//! `cargo netem`: plays the links of `profiles.toml` with real programs on real kernels, and reports.
//!
//! A bench and not a test: it takes minutes and its numbers are of this machine. The interop tests are the test
//! target of the same folder, `cargo test --test netem`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a tool for developers ends at the first thing that is not as expected"
)]

mod calibrate;
mod chart;
mod comparison;
#[path = "../sim/cores.rs"]
mod cores;
#[allow(dead_code, reason = "shared with the interop tests, which use other parts")]
mod display;
mod emulator;
mod flow;
mod guest;
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with the simulation, which uses other parts"
)]
#[path = "../sim/lab/mod.rs"]
mod lab;
#[allow(dead_code, reason = "shared with the simulation, which uses other parts")]
#[path = "../sim/link/mod.rs"]
mod link;
mod media;
mod meter;
#[allow(dead_code, reason = "shared with the simulation, which uses other parts")]
mod outcome;
#[allow(dead_code, reason = "shared with the interop tests, which use other parts")]
mod peer;
#[allow(dead_code, reason = "shared with the interop tests, which use other parts")]
mod picture;
mod place;
mod play;
#[path = "../benches/glass/probe.rs"]
mod probe;
#[allow(dead_code, reason = "shared with the interop tests, which use other parts")]
mod process;
#[allow(dead_code, reason = "shared with the simulation, which uses other parts")]
mod profile;
mod report;
mod router;
#[allow(dead_code, reason = "shared with the glass bench, which uses other parts")]
#[path = "../benches/glass/source.rs"]
mod source;
mod stage;
#[path = "../benches/glass/start.rs"]
mod start;
mod subject;
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with the simulation, which uses other parts"
)]
#[path = "../sim/tcp/mod.rs"]
mod tcp;
mod wire;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Parser;

use crate::lab::Noise;
use crate::peer::Peer;
use crate::place::{Kind, Place};
use crate::profile::Profile;
use crate::stage::{Choice, Contender};
use crate::wire::Medium;

/// Plays sessions on emulated links between real kernels.
#[derive(Debug, Parser)]
#[command(name = "cargo netem --")]
struct Options {
    /// A link of netem/profiles.toml, or all.
    #[arg(long)]
    profile: Option<String>,
    /// Compare the picture latency that a server tells with an outside tap, over these ways or links of
    /// netem/profiles.toml; without names over all ways on one machine and one slow link.
    #[arg(long, value_name = "WAYS", value_delimiter = ',', num_args = 0..=1, default_missing_value = "all")]
    meter: Option<Vec<String>>,
    /// Play links of netem/profiles.toml in simulated time and on this machine's kernels, with the same pictures, and compare;
    /// without names all of them.
    #[arg(long, value_name = "LINKS", value_delimiter = ',', num_args = 0..=1, default_missing_value = "all")]
    calibrate: Option<Vec<String>>,
    /// Play one flow and its echoes over links of netem/profiles.toml, in simulated time and by all this kernel has, and compare;
    /// without names over all of them.
    #[arg(long, value_name = "LINKS", value_delimiter = ',', num_args = 0..=1, default_missing_value = "all")]
    media: Option<Vec<String>>,
    /// How the client reaches the server: tcp, ssl, ws, ssh, ...
    #[arg(long, default_value = "tcp")]
    transport: String,
    /// Who is measured: ours, xpra (6), xpra3, vnc.
    #[arg(long, default_value = "ours", value_parser = parse_peer)]
    peer: Contender,
    /// Congestion control of both kernels: cubic, bbr, reno.
    #[arg(long, default_value = "cubic")]
    cc: String,
    /// What plays the link: netem, guest (netem of User Mode Linux) or tun; what cannot play it is replaced. Left out, netem
    /// where the kernel has it and it can do the profile, else tun.
    #[arg(long, value_parser = parse_medium)]
    link: Option<Medium>,
    /// Draw what the simulation draws, which no encoder shrinks, instead of text, a pattern and a film.
    #[arg(long)]
    noise: bool,
    /// How often each link is played; all are reported.
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Where to write the report with its graphs.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// One more argument for the server, as often as needed.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    server_arg: Vec<String>,
    /// One more argument for the client, as often as needed.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    client_arg: Vec<String>,
    /// What cargo says when it runs benches.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(ways) = &options.meter {
        return meter::measure(ways, options.rounds, options.out.as_deref());
    }
    if let Some(names) = &options.media {
        return media::compare(&Profile::of(names)?, &options.cc, options.out.as_deref());
    }
    let Some(names) = (options.calibrate.clone()).or_else(|| Some(vec![options.profile.clone()?])) else {
        println!("netem: cargo netem -- --profile NAME, --calibrate, --media, --meter, or --help");
        return Ok(());
    };
    let profiles = Profile::of(&names)?;
    if let Some(missing) = missing(options.peer) {
        println!("skipped: {missing}");
        return Ok(());
    }
    let choice = Choice {
        contender: options.peer,
        transport: options.transport.clone(),
        congestion_control: options.cc.clone(),
        server_arguments: options.server_arg.clone(),
        client_arguments: options.client_arg.clone(),
        medium: Medium::Tun,
        noise: None,
    };
    if options.calibrate.is_some() {
        return calibrate::compare(
            &profiles,
            &choice,
            options.link,
            options.rounds,
            options.out.as_deref(),
        );
    }
    let mut outcomes = Vec::new();
    for profile in (0..options.rounds).flat_map(|_| &profiles) {
        eprintln!(
            "{}, {:?} over {}, {}",
            profile.name, options.peer, options.transport, options.cc
        );
        let medium = Medium::choose(options.link, profile)?;
        let choice = Choice {
            medium,
            noise: options.noise.then(|| Noise::new(profile, 1)),
            ..choice.clone()
        };
        match play::play(profile, &choice) {
            Ok(mut outcome) => {
                let peer = peer_name(options.peer);
                outcome.title = format!("{} {peer} {} {}", profile.name, options.transport, options.cc);
                outcome.notes.push(format!("played by {medium}"));
                let wrong = outcome.misses(&profile.expect);
                outcomes.push((profile.clone(), outcome, wrong));
            }
            Err(error) => println!("FAILED {}: {error:#}", profile.name),
        }
    }
    println!("{}", report::table(&outcomes));
    for (_, outcome, _) in &outcomes {
        outcome
            .notes
            .iter()
            .for_each(|note| println!("- {}: {note}", outcome.title));
    }
    if let Some(folder) = &options.out {
        let what = format!("{}.", comparison::machine());
        println!(
            "the report is {}",
            report::write(folder, &what, &outcomes)?.display()
        );
    }
    Ok(())
}

/// What this machine lacks, if anything.
fn missing(contender: Contender) -> Option<String> {
    let programs = match contender {
        Contender::Vnc => vec!["/usr/bin/Xvnc".into(), "/usr/bin/xtigervncviewer".into()],
        Contender::Xpra(peer) => vec![peer.program().unwrap_or_else(|| format!("{peer:?}").into())],
    };
    let tools = ["/usr/bin/Xvfb", "/usr/bin/nsenter"].map(PathBuf::from);
    let absent = programs
        .into_iter()
        .chain(tools)
        .find(|path| !Path::new(path).exists());
    if let Some(absent) = absent {
        return Some(format!("{} is missing", absent.display()));
    }
    let trial = Place::new(std::net::Ipv4Addr::LOCALHOST, Kind::Bare);
    trial
        .err()
        .map(|error| format!("no network namespace of our own: {error:#}"))
}

fn parse_peer(text: &str) -> Result<Contender, String> {
    match text {
        "ours" => Ok(Contender::Xpra(Peer::Ours)),
        "xpra" | "xpra6" => Ok(Contender::Xpra(Peer::Xpra6)),
        "xpra3" => Ok(Contender::Xpra(Peer::Xpra3)),
        "vnc" => Ok(Contender::Vnc),
        _ => Err("ours, xpra, xpra3 or vnc".to_owned()),
    }
}

fn parse_medium(text: &str) -> Result<Medium, String> {
    match text {
        "netem" => Ok(Medium::Netem),
        "guest" => Ok(Medium::Guest),
        "tun" => Ok(Medium::Tun),
        _ => Err("netem, guest or tun".to_owned()),
    }
}

const fn peer_name(contender: Contender) -> &'static str {
    match contender {
        Contender::Vnc => "TigerVNC",
        Contender::Xpra(Peer::Ours) => "xpra-rs",
        Contender::Xpra(Peer::Xpra3) => "xpra 3",
        Contender::Xpra(Peer::Xpra6) => "xpra 6",
    }
}
