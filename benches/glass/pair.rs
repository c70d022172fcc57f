//! A server and a client to measure, each with its display.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use xpra::types::{Point, Size};

use crate::display::Display;
use crate::peer::{Mode, Peer, Room, Server, Via, attach, free_port};
use crate::process::Process;
use crate::source::Source;
use crate::start::{first_picture, vnc_server, vnc_viewer};
use crate::usage::Usage;

/// Room for the measured window on displays that hold more than it.
const DISPLAY: Size = Size::new(1920, 1080);

/// How long the first picture may take.
const ATTACH_LIMIT: Duration = Duration::from_secs(30);

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// TigerVNC: the X server is the server.
    Vnc,
    /// Some xpra.
    Xpra(Peer, Mode),
}

impl Contender {
    /// Those a name of the command line stands for.
    pub(crate) fn named(name: &str) -> Result<Vec<Self>> {
        let (peer, mode) = name.split_once('-').unwrap_or((name, ""));
        let peer = match peer {
            "vnc" => return Ok(vec![Self::Vnc]),
            "ours" => Peer::Ours,
            "xpra3" => Peer::Xpra3,
            "xpra6" => Peer::Xpra6,
            _ => bail!("unknown peer {name}"),
        };
        Ok(match mode {
            "" if peer == Peer::Ours => vec![Self::Xpra(peer, Mode::Shadow)],
            "" => vec![Self::Xpra(peer, Mode::Seamless), Self::Xpra(peer, Mode::Shadow)],
            "shadow" => vec![Self::Xpra(peer, Mode::Shadow)],
            "seamless" => vec![Self::Xpra(peer, Mode::Seamless)],
            _ => bail!("unknown peer {name}"),
        })
    }

    /// An error when something it needs is missing.
    pub(crate) fn installed(self) -> Result<()> {
        let needed = match self {
            Self::Vnc => ["/usr/bin/Xvnc", "/usr/bin/xtigervncviewer"]
                .map(Path::new)
                .iter()
                .all(|path| path.exists()),
            Self::Xpra(peer, _) => peer.program().is_some(),
        };
        ensure!(needed, "{self} is not installed");
        ensure!(Path::new("/usr/bin/Xvfb").exists(), "Xvfb is not installed");
        Ok(())
    }

    /// True when it can be reached that way.
    pub(crate) fn has(self, via: Via) -> bool {
        via != Via::Mmap || self != Self::Vnc
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Vnc => "TigerVNC",
            Self::Xpra(Peer::Ours, Mode::Shadow) => "xpra-rs shadow",
            Self::Xpra(Peer::Ours, Mode::Seamless) => "xpra-rs seamless",
            Self::Xpra(Peer::Xpra3, Mode::Shadow) => "xpra 3 shadow",
            Self::Xpra(Peer::Xpra3, Mode::Seamless) => "xpra 3 seamless",
            Self::Xpra(Peer::Xpra6, Mode::Shadow) => "xpra 6 shadow",
            Self::Xpra(Peer::Xpra6, Mode::Seamless) => "xpra 6 seamless",
        })
    }
}

/// A running pair. The parts are dropped in this order.
#[derive(Debug)]
pub(crate) struct Pair {
    /// Just before the client was.
    pub(crate) client_started: Instant,
    client: Process,
    server: Option<Server>,
    pub(crate) source: Source,
    pub(crate) screen: Display,
    display: Display,
    room: Room,
}

impl Pair {
    /// Starts both displays, the source, the server and the client.
    pub(crate) fn start(contender: Contender, via: Via, size: Size) -> Result<Self> {
        let room = Room::new()?;
        let started = match contender {
            Contender::Vnc => Self::start_vnc(&room, via, size),
            Contender::Xpra(peer, mode) => Self::start_xpra(&room, peer, mode, via, size),
        };
        let (display, source, server, screen, client_started, client) =
            started.inspect_err(|_| room.print_logs())?;
        Ok(Self {
            client_started,
            client,
            server,
            source,
            screen,
            display,
            room,
        })
    }

    fn start_vnc(room: &Room, via: Via, size: Size) -> Result<Parts> {
        let port = free_port()?;
        let socket = room.path("vnc");
        let mut command = vnc_server(size);
        let address = match via {
            Via::Ssl | Via::Ws | Via::Wss | Via::Aes => bail!("TigerVNC does not speak {via:?}"),
            Via::Tcp => {
                command.args(["-localhost", "-rfbport"]).arg(port.to_string());
                format!("127.0.0.1::{port}")
            }
            Via::Unix | Via::Mmap => {
                command.args(["-rfbport", "-1", "-rfbunixpath"]).arg(&socket);
                socket.display().to_string()
            }
        };
        let display = Display::run("Xvnc", command, &room.logs())?;
        let source = Source::open(&display, size)?;
        let screen = Display::start(screen_size(size), &room.logs())?;
        let viewer = vnc_viewer(room, &screen, &address);
        let begin = Instant::now();
        let client = Process::start("xtigervncviewer", viewer, &room.logs().join("viewer.log"))?;
        Ok((display, source, None, screen, begin, client))
    }

    fn start_xpra(room: &Room, peer: Peer, mode: Mode, via: Via, size: Size) -> Result<Parts> {
        let whole = if mode == Mode::Shadow {
            size
        } else {
            screen_size(size)
        };
        let display = Display::start(whole, &room.logs())?;
        let server = Server::start(room, peer, mode, &display)?;
        let source = Source::open(&display, size)?;
        let screen = Display::start(screen_size(size), &room.logs())?;
        let begin = Instant::now();
        let client = attach(room, peer, &server, via, &screen)?;
        Ok((display, source, Some(server), screen, begin, client))
    }

    /// Waits for the first picture; where the source's window is on the client's screen.
    pub(crate) fn attached(&mut self) -> Result<Point> {
        first_picture(&self.screen, &mut self.client, &self.room, ATTACH_LIMIT)
    }

    /// What server, client, source's X server and client's X server have taken. TigerVNC's server is an X server and
    /// counted as the server.
    pub(crate) fn usage(&self) -> Result<[Usage; 4]> {
        let display = Usage::of(self.display.server().id())?;
        let (server, display) = match &self.server {
            Some(server) => (Usage::of(server.id())?, display),
            None => (display, Usage::default()),
        };
        Ok([
            server,
            Usage::of(self.client.id())?,
            display,
            Usage::of(self.screen.server().id())?,
        ])
    }
}

type Parts = (Display, Source, Option<Server>, Display, Instant, Process);

/// A screen that holds a window of `size`.
fn screen_size(size: Size) -> Size {
    Size::new(size.w.max(DISPLAY.w), size.h.max(DISPLAY.h))
}
