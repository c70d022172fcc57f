//! A session outlives its connections: windows stay, what was typed arrives, nobody logs in again.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, ensure};
use xpra::types::Size;

use crate::display::Display;
use crate::input::{terminal, window};
use crate::peer::{Mode, Peer, Server, free_port};
use crate::process::{Process, until};
use crate::with;

const SCREEN: Size = Size::new(640, 480);
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn windows_and_words_survive_the_connection() -> Result<()> {
    with(&[Peer::Ours], |room| {
        let source = Display::start(SCREEN, &room.logs())?;
        let screen = Display::start(SCREEN, &room.logs())?;
        let (typed, password) = (room.path("typed"), room.path("password"));
        fs::write(&password, "once")?;
        let port = free_port()?;
        let options = [
            format!("--bind-tcp=127.0.0.1:{port}"),
            format!(
                "--tcp-auth=file:filename={},verify-username=no",
                password.display()
            ),
        ];
        let _server = Server::start_with(room, Peer::Ours, Mode::Shadow, &source, &options)?;
        let _terminal = terminal(room, &source, &format!("cat > {}", typed.display()))?;
        let shell = window(&source, |window| window.title == "terminal")?;
        source.focus(shell.id)?;

        let relay = Relay::new(port)?;
        let mut command = room.command(Peer::Ours, Some(&screen))?;
        let url = format!("tcp://me:once@127.0.0.1:{}/", relay.port);
        // memory is of one connection
        command.args(["attach", &url, "--mmap=no"]);
        command.args(Peer::Ours.quiet(room));
        let mut client = Process::start("client", command, &room.logs().join("client.log"))?;
        let shown = window(&screen, |window| window.rect.size() == SCREEN)?;
        screen.focus(shown.id)?;
        let reads = |text: &str| {
            let read = until(LIMIT, || {
                let read = fs::read_to_string(&typed).unwrap_or_default();
                Ok(read.ends_with(text).then_some(()))
            })?;
            read.with_context(|| format!("read {:?}", fs::read_to_string(&typed)))
        };
        // a line may be typed before the window has the focus
        let first = until(LIMIT, || {
            screen.type_text("first\n")?;
            Ok(reads("first\n").ok())
        })?;
        first.context("nothing is typed")?;
        // who logged in need not do so again, and could not
        fs::write(&password, "never")?;

        relay.set(Mood::Closed);
        relay.cut();
        screen.type_text("second\n")?;
        thread::sleep(Duration::from_secs(1));
        ensure!(client.is_running(), "the client ended");
        relay.set(Mood::Open);
        reads("first\nsecond\n")?;

        // nothing passes any more, and nobody says so; new connections are fine
        relay.hold();
        screen.type_text("third\n")?;
        let silent = Instant::now();
        reads("first\nsecond\nthird\n")?;
        println!("back after {:?} of silence", silent.elapsed());

        let still = window(&screen, |window| window.rect.size() == SCREEN)?;
        ensure!(still.id == shown.id, "the window is another one");
        let (ours, theirs) = (still.rect, source.capture()?);
        let same = until(LIMIT, || {
            let picture = screen.capture()?;
            let place = |at: u32, by: i32| at.saturating_add_signed(by);
            let is_same = (0..SCREEN.w - 1).step_by(7).all(|x| {
                (0..SCREEN.h - 1).step_by(5).all(|y| {
                    let (cx, cy) = (place(x, ours.x), place(y, ours.y));
                    cx >= SCREEN.w || cy >= SCREEN.h || picture.pixel(cx, cy) == theirs.pixel(x, y)
                })
            });
            Ok(is_same.then_some(()))
        })?;
        same.context("the client shows something else")
    })
}

/// What happens to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Open,
    Closed,
}

/// A network between a client and a server.
struct Relay {
    port: u16,
    is_open: Arc<AtomicBool>,
    ways: Arc<Mutex<Vec<Arc<Way>>>>,
}

/// A connection through it.
struct Way {
    ends: [TcpStream; 2],
    is_held: AtomicBool,
}

impl Relay {
    fn new(target: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let relay = Self {
            port: listener.local_addr()?.port(),
            is_open: Arc::new(AtomicBool::new(true)),
            ways: Arc::default(),
        };
        let (is_open, ways) = (Arc::clone(&relay.is_open), Arc::clone(&relay.ways));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !is_open.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else {
                    continue;
                };
                let way = Arc::new(Way {
                    ends: [client, server],
                    is_held: AtomicBool::new(false),
                });
                for from in [0, 1] {
                    let way = Arc::clone(&way);
                    thread::spawn(move || way.carry(from));
                }
                ways.lock().unwrap().push(way);
            }
        });
        Ok(relay)
    }

    fn set(&self, mood: Mood) {
        self.is_open.store(mood == Mood::Open, Ordering::Relaxed);
    }

    /// Ends all connections.
    fn cut(&self) {
        for end in self.ways.lock().unwrap().iter().flat_map(|way| &way.ends) {
            let _gone = end.shutdown(Shutdown::Both);
        }
    }

    /// Carries nothing more over the connections there are.
    fn hold(&self) {
        for way in &*self.ways.lock().unwrap() {
            way.is_held.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.set(Mood::Closed);
        self.cut();
    }
}

impl Way {
    fn carry(&self, from: usize) {
        let (mut source, mut target) = (&self.ends[from], &self.ends[1 - from]);
        let mut buffer = [0; 1 << 14];
        while let Ok(count @ 1..) = source.read(&mut buffer) {
            if !self.is_held.load(Ordering::Relaxed) && target.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        // an end that is held is not even told of the other's
        if !self.is_held.load(Ordering::Relaxed) {
            let _gone = target.shutdown(Shutdown::Both);
        }
    }
}
