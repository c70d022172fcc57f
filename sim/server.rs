//! The server of a world: the library's own, on a simulated host, sharing a test card.

use crate::tap::Valve;
use crate::trace::time;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use turmoil::net::{TcpListener, TcpStream};
use xpra::codec::{Dialect, Header};
use xpra::display::card::{Clock, TestCard};
use xpra::session::now;
use xpra::session::screen::Worker;
use xpra::session::server::{self, Arrival, ServerConfig};
use xpra::transport::{Link, LinkInfo, TransportKind};
use xpra::types::Size;

/// What it is called and where it listens.
pub(crate) const SERVER: &str = "server";
pub(crate) const PORT: u16 = 14500;

/// The screen it shares: just large enough for a frame number and something that moves.
pub(crate) const SCREEN: Size = Size::new(192, 40);

/// How often the threads of displays, which are tasks here, look for something to do.
pub(crate) const TURN: Duration = Duration::from_millis(1);

/// What kind of server.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) config: ServerConfig,
    /// Pictures its screen shows in a second.
    pub(crate) fps: u32,
    /// Refuses the dialect of 6.x, as 3.1 does.
    pub(crate) is_old: bool,
    /// Bytes it reads or writes at a time.
    pub(crate) grain: usize,
}

impl Default for Serving {
    fn default() -> Self {
        Self {
            config: ServerConfig {
                sharing: Some(true),
                ..ServerConfig::default()
            },
            fps: 10,
            is_old: false,
            grain: usize::MAX,
        }
    }
}

/// What the rest of the world may know of the server's inside.
#[derive(Clone, Default)]
pub(crate) struct Inside(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The ends of connections, by the name of the peer.
    valves: BTreeMap<String, Valve>,
    /// When pictures were painted: in the host's own time, with one moment of it in the world's.
    painted: Option<(Clock, Instant, Duration)>,
}

impl Inside {
    /// The server's end of the newest connection of that peer.
    pub(crate) fn valve(&self, peer: &str) -> Valve {
        self.0.lock().unwrap().valves[peer].clone()
    }

    /// When the server's screen showed that picture.
    pub(crate) fn painted(&self, frame: u32) -> Option<Duration> {
        let state = self.0.lock().unwrap();
        let (clock, began, at) = state.painted.as_ref()?;
        Some(*at + clock.frame_time(frame)?.saturating_duration_since(*began))
    }
}

/// The host's software.
pub(crate) async fn run(serving: Serving, inside: Inside) -> turmoil::Result {
    let card = TestCard::with_clock(SCREEN, serving.fps, 0.3, now);
    inside.0.lock().unwrap().painted = Some((card.clock(), now(), time()));
    let (screen, mut worker) = Worker::new(Box::new(card))?;
    tokio::task::spawn_local(async move {
        while let Ok(true) = worker.turn(Some(Duration::ZERO)) {
            tokio::time::sleep(TURN).await;
        }
    });
    let (links, arrivals) = mpsc::channel(16);
    let listener = TcpListener::bind(("0.0.0.0", PORT)).await?;
    tokio::task::spawn_local(accept(listener, links, serving.clone(), inside.clone()));
    let place = format!("tcp://{SERVER}:{PORT}");
    server::serve(
        arrivals,
        vec![(place, Arc::default())],
        screen,
        serving.config,
        std::future::pending(),
    )
    .await;
    // the end of a process closes what it left open
    let valves = std::mem::take(&mut inside.0.lock().unwrap().valves);
    valves.values().for_each(Valve::close);
    tokio::time::sleep(TURN).await;
    Ok(())
}

async fn accept(
    listener: TcpListener,
    links: mpsc::Sender<Arrival>,
    serving: Serving,
    inside: Inside,
) -> turmoil::Result {
    let door = Arc::default();
    loop {
        let (mut stream, address) = listener.accept().await?;
        if serving.is_old && is_new(&mut stream).await? {
            tokio::task::spawn_local(refuse(stream));
            continue;
        }
        let peer = turmoil::reverse_lookup(address.ip()).unwrap();
        let valve = Valve::new(serving.grain);
        let info = LinkInfo {
            target: format!("tcp://{SERVER}:{PORT}"),
            local: stream.local_addr()?.to_string(),
            ..LinkInfo::new(TransportKind::Tcp, peer.as_str())
        };
        inside.0.lock().unwrap().valves.insert(peer, valve.clone());
        let link = Link::new(valve.tap(stream), info);
        let door = Arc::clone(&door);
        links.send(Arrival { link, door }).await?;
    }
}

/// Whether the peer opens in the dialect of 6.x.
async fn is_new(stream: &mut TcpStream) -> std::io::Result<bool> {
    let mut head = [0; Header::SIZE];
    stream.peek(&mut head).await?;
    Ok(Header::parse(head).is_some_and(|header| header.flags.dialect() == Dialect::G6))
}

/// Answers as 3.1 does to what it cannot read.
async fn refuse(mut stream: TcpStream) -> std::io::Result<()> {
    let text = b"disconnect: connection failed, failed to parse bencode packet\n";
    stream.write_all(text).await?;
    // whoever closes with bytes unread resets the connection, and the peer may miss the text
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}
