//! [`Stage`]: a source, a server and a client, the latter two in places of their own with a link between.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use xpra::types::{Point, Size};

use crate::display::Display;
use crate::lab::Noise;
use crate::peer::{Peer, Room, Via};
use crate::place::Place;
use crate::process::Process;
use crate::profile::Profile;
use crate::start::{vnc_server, vnc_viewer};
use crate::subject::Subject;
use crate::wire::{Ends, Medium, SERVER, Wire};

/// What is shared, unless it is noise.
pub(crate) const WINDOW: Size = Size::new(1280, 720);
/// The client's screen: viewers put a frame around what they show.
pub(crate) const SCREEN: Size = Size::new(1600, 900);
/// How long a server may take to be ready, and the first picture to come.
pub(crate) const READY: Duration = Duration::from_secs(40);
/// The session's port.
const PORT: u16 = 14500;

/// Where the client moves to.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 3);

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Xpra(Peer),
    Vnc,
}

/// What is measured beside the profile.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) contender: Contender,
    /// As in addresses: tcp, ssl, ws, ...
    pub(crate) transport: String,
    pub(crate) congestion_control: String,
    pub(crate) server_arguments: Vec<String>,
    pub(crate) client_arguments: Vec<String>,
    pub(crate) medium: Medium,
    /// What is drawn; text, a pattern and a film when left out.
    pub(crate) noise: Option<Noise>,
}

/// Everything that runs. The parts are dropped in this order.
pub(crate) struct Stage {
    client: Option<Process>,
    _server: Option<Process>,
    pub(crate) subject: Arc<Subject>,
    pub(crate) screen: Display,
    _display: Display,
    pub(crate) ends: Ends,
    room: Room,
    choice: Choice,
}

impl Stage {
    /// Starts all but the client.
    pub(crate) fn new(choice: &Choice) -> Result<Self> {
        let room = Room::new()?;
        let ends = Ends::new(choice.medium, &choice.congestion_control)?;
        let started = match choice.contender {
            Contender::Vnc => start_vnc(&room, &ends.server, choice),
            Contender::Xpra(peer) => start_xpra(&room, &ends.server, peer, choice),
        };
        let (display, server) = started.inspect_err(|_| room.print_logs())?;
        let subject = Arc::new(Subject::open(&display, choice.noise)?);
        let screen = Display::start(SCREEN, &room.logs())?;
        Ok(Self {
            client: None,
            _server: server,
            subject,
            screen,
            _display: display,
            ends,
            room,
            choice: choice.clone(),
        })
    }

    /// Makes the link what the profile says.
    pub(crate) fn begin(&mut self, profile: &Profile) -> Result<Wire> {
        self.ends.begin(profile, PORT)
    }

    /// Starts a client, in place of the one there is.
    pub(crate) fn attach(&mut self) -> Result<()> {
        if let Some(old) = self.client.take() {
            old.kill();
        }
        let choice = &self.choice;
        let command = match choice.contender {
            Contender::Vnc => vnc_viewer(&self.room, &self.screen, &format!("{SERVER}::{PORT}")),
            Contender::Xpra(peer) => {
                let mut command = self.room.command(peer, Some(&self.screen))?;
                // who the other one is is not what is measured
                let (trust, own): (_, &[&str]) = match peer {
                    Peer::Ours => ("?strict-host-check=no", &["--ssh=builtin"]),
                    _ => ("", &[]),
                };
                command
                    .arg("attach")
                    .arg(format!("{}://{SERVER}:{PORT}/{trust}", choice.transport))
                    .args(own)
                    .args(
                        peer.client_options(Via::Tcp)
                            .iter()
                            .filter(|option| **option != "--reconnect=no"),
                    )
                    .args(peer.quiet(&self.room));
                command
            }
        };
        let mut command = self.ends.client.enclose(&command);
        if let Some(noise) = choice.noise {
            let names: Vec<_> = noise.encodings().iter().map(|encoding| encoding.name()).collect();
            command.arg(format!("--encodings={}", names.join(",")));
        }
        command.args(&choice.client_arguments);
        let log = self.room.logs().join("client.log");
        self.client = Some(Process::start("client", command, &log)?);
        Ok(())
    }

    /// Waits for the first picture: where the source's window is on the client's screen.
    pub(crate) fn attached(&mut self) -> Result<Point> {
        let client = self.client.as_mut().context("there is no client")?;
        self.subject.find(&self.screen, client, &self.room)
    }

    /// Has the server send so many bytes to the client; false when it cannot.
    pub(crate) fn send_file(&self, bytes: u64) -> Result<bool> {
        let Contender::Xpra(peer) = self.choice.contender else {
            return Ok(false);
        };
        let path = self.room.path("file");
        // nothing that could be compressed on the way
        let mut contents = vec![0; usize::try_from(bytes)?];
        getrandom::fill(&mut contents)?;
        std::fs::write(&path, contents)?;
        let mut command = self.room.command(peer, None)?;
        command
            .arg("control")
            .args(peer.quiet(&self.room))
            .args([&self.url(), "send-file"])
            .arg(path)
            .arg("no");
        let output = self.ends.server.enclose(&command).output()?;
        ensure!(
            output.status.success(),
            "send-file: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(true)
    }

    /// The server, from where it is.
    fn url(&self) -> String {
        format!("{}://{SERVER}:{PORT}/", self.choice.transport)
    }

    /// What `info` prints of the session, asked for where the server is.
    pub(crate) fn info(&self) -> Result<String> {
        let url = self.url();
        let mut command = self.room.command(Peer::Ours, None)?;
        command.args(["info", &url]).args(Peer::Ours.quiet(&self.room));
        let output = self.ends.server.enclose(&command).output()?;
        ensure!(
            output.status.success(),
            "info: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Lets the client's process hang, or go on.
    pub(crate) fn hang(&self, hangs: bool) -> Result<()> {
        let client = self.client.as_ref().context("there is no client")?;
        client.signaller()(if hangs { Signal::STOP } else { Signal::CONT });
        Ok(())
    }

    /// Whether the client still runs.
    pub(crate) fn is_attached(&mut self) -> bool {
        self.client.as_mut().is_some_and(Process::is_running)
    }

    /// The client's machine gets another address. Ours finds out by itself, users of others attach again.
    pub(crate) fn roam(&mut self) -> Result<()> {
        self.ends.client.move_to(ELSEWHERE)?;
        if self.choice.contender == Contender::Xpra(Peer::Ours) {
            return Ok(());
        }
        self.attach()
    }
}

/// TigerVNC: the X server is the server.
fn start_vnc(room: &Room, place: &Place, choice: &Choice) -> Result<(Display, Option<Process>)> {
    ensure!(choice.transport == "tcp", "TigerVNC is measured over tcp only");
    let mut command = vnc_server(WINDOW);
    command
        .args(["-rfbport", &PORT.to_string()])
        .args(&choice.server_arguments);
    Ok((Display::run("Xvnc", place.enclose(&command), &room.logs())?, None))
}

fn start_xpra(room: &Room, place: &Place, peer: Peer, choice: &Choice) -> Result<(Display, Option<Process>)> {
    let display = Display::start(Subject::size(choice.noise), &room.logs())?;
    let mut command = room.command(peer, Some(&display))?;
    let guard = if choice.transport == "ssh" {
        ",auth=none"
    } else {
        ""
    };
    command
        .args(["shadow", &display.name(), "--daemon=no"])
        .arg(format!(
            "--bind-{}={}:{PORT}{guard}",
            choice.transport,
            place.address()
        ))
        .args(peer.server_options())
        .args(peer.quiet(room))
        .args(&choice.server_arguments);
    let log = room.logs().join("server.log");
    let mut server = Process::start("server", place.enclose(&command), &log)?;
    server.wait_for_log("xpra is ready.", READY)?;
    Ok((display, Some(server)))
}
