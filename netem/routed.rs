//! A session over `sch_netem` where this kernel may have none: the one of a guest.

use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xpra::types::Size;

use crate::display::{Display, Shown};
use crate::grid::{CARD, sees};
use crate::link::{Rate, SECOND};
use crate::peer::Peer;
use crate::picture::Picture;
use crate::place::{Kind, Place};
use crate::process::Process;
use crate::profile::Profile;
use crate::wire::{Ends, Medium, SERVER};
use crate::{skip, with};

const SCREEN: Size = Size::new(640, 480);
const LIMIT: Duration = Duration::from_secs(40);
const PORT: u16 = 14500;
const ROUND_TRIP: Duration = Duration::from_millis(40);
/// By when it is told that its rate has changed, which it did after a second.
const CHANGED: Duration = Duration::from_secs(3);

#[test]
fn session_over_netem_of_a_guest() -> Result<()> {
    with(&[Peer::Ours], |room| {
        let mut profile = Profile::named("bloat-10m")?.remove(0);
        profile.ways[0].rate = Rate::steps(vec![(0, 10_000_000), (SECOND, 5_000_000)]);
        if let Some(missing) = Medium::Guest.lacks(&profile)? {
            return skip(&missing);
        }
        if let Err(error) = Place::new(Ipv4Addr::LOCALHOST, Kind::Bare) {
            eprintln!("skipped: no link can be played here: {error:#}");
            return Ok(());
        }
        let mut ends = Ends::new(Medium::Guest, "cubic")?;
        let source = Display::start(SCREEN, &room.logs())?;
        let screen = Display::start(SCREEN, &room.logs())?;
        let shown = Shown::open(&source, "card", 60, 40, &Picture::card(CARD, 1))?;
        let mut command = room.command(Peer::Ours, Some(&source))?;
        command
            .args(["shadow", &source.name(), "--daemon=no"])
            .arg(format!("--bind-tcp={SERVER}:{PORT}"))
            .args(Peer::Ours.quiet(room));
        let log = room.logs().join("server.log");
        let mut server = Process::start("server", ends.server.enclose(&command), &log)?;
        server.wait_for_log("xpra is ready.", LIMIT)?;

        let link = ends.begin(&profile, PORT)?;
        let connect = || {
            let began = Instant::now();
            TcpStream::connect((SERVER, PORT)).map(|_| began.elapsed())
        };
        let took = ends.client.inside(connect)?.context("connecting")?;
        ensure!(
            took >= ROUND_TRIP,
            "the link is shorter than it should be: {took:?}"
        );

        let mut command = room.command(Peer::Ours, Some(&screen))?;
        command.args(["attach", &format!("tcp://{SERVER}:{PORT}/")]);
        let log = room.logs().join("client.log");
        let _client = Process::start("client", ends.client.enclose(&command), &log)?;
        sees(&screen, 1)?;
        shown.show(&Picture::card(CARD, 2))?;
        sees(&screen, 2)?;

        thread::sleep(CHANGED.saturating_sub(link.began().elapsed()));
        let (looks, said) = link.finish();
        let bytes = looks.last().map_or(0, |look| look.bytes);
        ensure!(bytes > 10_000, "only {bytes} bytes took that way: {said}");
        ensure!(said.contains("netem") && said.contains("rate 5Mbit"), "{said}");
        Ok(())
    })
}
