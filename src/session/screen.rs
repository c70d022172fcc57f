//! The screen thread: owns the [`Screen`], captures and encodes for every client when that client can take a
//! picture, injects input.
//!
//! One thread, because one X connection answers one question at a time, and because the shortest way from damage
//! to bytes is not to change threads in between. It sleeps until damage, a command or a refresh is due.

use super::driver::now;
use super::mailbox::{Mailbox, Outbox, mailbox};
use super::painter::{Painter, Piece};
use crate::display::{ClipboardEvent, Cursor, DisplayError, Input, Keymap, Screen, ScreenEvent, Selection};
use crate::picture::{self, LinkSpeed};
use crate::types::{Point, Rect, Size};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Names a client of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// What the screen thread is asked to do.
#[derive(Debug)]
pub enum ScreenCommand {
    /// A client wants pictures; everything is dirty for it.
    Attach {
        /// Which client.
        client: ClientId,
        /// What it can decode.
        takes: picture::Client,
        /// Whether it can move rectangles.
        scroll: bool,
        /// Where its messages go. Pieces are sent only when [wanted](Self::Want); the rest is small and rare.
        sink: mpsc::UnboundedSender<ScreenMessage>,
    },
    /// A client left.
    Detach(ClientId),
    /// The client can take a picture now: capture when something is dirty, once.
    Want {
        /// Which client.
        client: ClientId,
        /// What its link carries.
        link: LinkSpeed,
    },
    /// Send these pixels again, losslessly (`None`: all of them).
    Refresh {
        /// Which client.
        client: ClientId,
        /// Which pixels.
        rect: Option<Rect>,
    },
    /// The client changed what it wants.
    Takes {
        /// Which client.
        client: ClientId,
        /// What it can decode and asks for.
        takes: picture::Client,
    },
    /// Input from a client.
    Input(ClientId, Input),
    /// A client's keyboard, applied while that client types.
    Keymap(ClientId, Box<Keymap>),
    /// Make the screen this large, if it can be.
    Resize(Size),
    /// A PNG file of the whole screen.
    Screenshot(oneshot::Sender<Result<(Size, bytes::Bytes), String>>),
    /// A selection has a new owner on a client's side.
    ClipboardClaim(ClientId, Selection),
    /// Read the local selection for a client, who numbers its requests below 2^32.
    ClipboardRead(ClientId, u32, Selection),
    /// The text a local program waits for.
    ClipboardGive(u64, Option<String>),
}

/// What the screen thread tells a client's session.
#[derive(Clone, Debug)]
pub enum ScreenMessage {
    /// Part of a picture.
    Piece(Piece),
    /// There was damage but no pixel differs: the client may want again.
    Nothing,
    /// The cursor's shape.
    Cursor(Cursor),
    /// The pointer's place.
    Pointer(Point),
    /// The screen's new size.
    Resized(Size),
    /// The bell.
    Bell {
        /// 0 to 100.
        percent: u8,
        /// Hertz.
        pitch: u32,
        /// Milliseconds.
        duration: u32,
    },
    /// Something about the clipboard.
    Clipboard(ClipboardEvent),
    /// The display is gone.
    Lost(DisplayError),
}

/// Facts about the screen, for the hello.
#[derive(Clone, Debug)]
pub struct ScreenFacts {
    /// The display's name.
    pub name: String,
    /// Size at the start.
    pub size: Size,
}

/// Starts the thread. It ends when every outbox is gone or the display is lost.
pub fn start(screen: Box<dyn Screen>) -> std::io::Result<(Outbox<ScreenCommand>, ScreenFacts)> {
    let (outbox, worker) = Worker::new(screen)?;
    let facts = worker.facts();
    std::thread::Builder::new()
        .name("screen".into())
        .spawn(move || worker.run())?;
    Ok((outbox, facts))
}

struct Client {
    painter: Painter,
    sink: mpsc::UnboundedSender<ScreenMessage>,
    /// Set while a picture is wanted and none was sent.
    wants: Option<LinkSpeed>,
}

/// The work of the thread. Simulations do it turn by turn, in a time of their own.
pub struct Worker {
    screen: Box<dyn Screen>,
    mailbox: Mailbox<ScreenCommand>,
    clients: BTreeMap<ClientId, Client>,
    events: Vec<ScreenEvent>,
    encoder: picture::Encoder,
    keymaps: BTreeMap<ClientId, Box<Keymap>>,
    /// The client that sent input last.
    driver: Option<ClientId>,
    /// Which client each selection was claimed for.
    claimed: BTreeMap<Selection, ClientId>,
}

impl Worker {
    /// A worker for that screen, and the way to tell it what to do.
    pub fn new(screen: Box<dyn Screen>) -> std::io::Result<(Outbox<ScreenCommand>, Self)> {
        let (outbox, mailbox) = mailbox()?;
        let worker = Self {
            screen,
            mailbox,
            clients: BTreeMap::new(),
            events: Vec::new(),
            encoder: picture::Encoder::new(),
            keymaps: BTreeMap::new(),
            driver: None,
            claimed: BTreeMap::new(),
        };
        Ok((outbox, worker))
    }

    /// Facts about the screen as it is now.
    pub fn facts(&self) -> ScreenFacts {
        ScreenFacts {
            name: self.screen.name(),
            size: self.screen.size(),
        }
    }

    fn run(mut self) {
        if let Err(error) = self.work() {
            tracing::error!(%error, "the shared display failed");
            self.tell(&ScreenMessage::Lost(error));
        }
    }

    fn work(&mut self) -> Result<(), DisplayError> {
        while self.turn(None)? {}
        Ok(())
    }

    /// Waits for something to do, no longer than `patience`, and does it. False when every outbox is gone.
    pub fn turn(&mut self, patience: Option<Duration>) -> Result<bool, DisplayError> {
        let began = now();
        let due = self
            .clients
            .values()
            .filter(|c| c.wants.is_some())
            .filter_map(|c| c.painter.deadline())
            .map(|at| at.saturating_duration_since(began));
        let timeout = due.chain(patience).min();
        let mut events = std::mem::take(&mut self.events);
        self.screen.wait(self.mailbox.wake(), timeout, &mut events)?;
        let now = now();
        for event in events.drain(..) {
            self.event(event, now);
        }
        self.events = events;
        self.mailbox.drain_wake();
        loop {
            match self.mailbox.next() {
                Ok(Some(command)) => self.command(command, now)?,
                Ok(None) => break,
                Err(_) => return Ok(false),
            }
        }
        self.paint()?;
        Ok(true)
    }

    fn event(&mut self, event: ScreenEvent, now: Instant) {
        match event {
            ScreenEvent::Damaged(rect) => self
                .clients
                .values_mut()
                .for_each(|c| c.painter.damage(rect, now)),
            ScreenEvent::Resized(size) => {
                self.clients
                    .values_mut()
                    .for_each(|c| c.painter.resize(size, now));
                self.tell(&ScreenMessage::Resized(size));
            }
            ScreenEvent::Cursor(cursor) => self.tell(&ScreenMessage::Cursor(cursor)),
            ScreenEvent::Pointer(point) => self.tell(&ScreenMessage::Pointer(point)),
            ScreenEvent::Bell {
                percent,
                pitch,
                duration,
            } => {
                self.tell(&ScreenMessage::Bell {
                    percent,
                    pitch,
                    duration,
                });
            }
            ScreenEvent::Clipboard(event) => self.clipboard(event),
        }
    }

    /// Sends a clipboard event to the client it concerns, and news of ownership to all.
    fn clipboard(&self, event: ClipboardEvent) {
        let (client, event) = match event {
            ClipboardEvent::Owned(_) => return self.tell(&ScreenMessage::Clipboard(event)),
            ClipboardEvent::Wanted { selection, .. } => (self.claimed.get(&selection).copied(), event),
            ClipboardEvent::Text {
                request,
                selection,
                text,
            } => {
                let event = ClipboardEvent::Text {
                    request: request & 0xffff_ffff,
                    selection,
                    text,
                };
                (Some(ClientId(request >> 32)), event)
            }
        };
        if let Some(client) = client.and_then(|id| self.clients.get(&id)) {
            let _gone = client.sink.send(ScreenMessage::Clipboard(event));
        }
    }

    /// Makes `client` the one whose keyboard is in force.
    fn drive(&mut self, client: ClientId) -> Result<(), DisplayError> {
        if self.driver != Some(client) {
            self.driver = Some(client);
            soft(self.screen.input(&Input::ReleaseAll))?;
            if let Some(keymap) = self.keymaps.get(&client) {
                soft(self.screen.set_keymap(keymap))?;
            }
        }
        Ok(())
    }

    fn tell(&self, message: &ScreenMessage) {
        for client in self.clients.values() {
            // a client that is gone is detached by its session
            let _gone = client.sink.send(message.clone());
        }
    }

    fn command(&mut self, command: ScreenCommand, now: Instant) -> Result<(), DisplayError> {
        match command {
            ScreenCommand::Attach {
                client,
                takes,
                scroll,
                sink,
            } => {
                let mut painter = Painter::new(self.screen.size(), takes, scroll);
                painter.damage(self.screen.size().rect(), now);
                if let Ok(cursor) = self.screen.cursor() {
                    let _gone = sink.send(ScreenMessage::Cursor(cursor));
                }
                self.clients.insert(
                    client,
                    Client {
                        painter,
                        sink,
                        wants: None,
                    },
                );
            }
            ScreenCommand::Detach(client) => {
                self.clients.remove(&client);
                self.keymaps.remove(&client);
                self.claimed.retain(|_, owner| *owner != client);
                if self.driver == Some(client) {
                    self.driver = None;
                    soft(self.screen.input(&Input::ReleaseAll))?;
                }
            }
            ScreenCommand::Want { client, link } => {
                if let Some(client) = self.clients.get_mut(&client) {
                    client.wants = Some(link);
                }
            }
            ScreenCommand::Refresh { client, rect } => {
                let all = self.screen.size().rect();
                if let Some(client) = self.clients.get_mut(&client) {
                    client.painter.refresh(rect.unwrap_or(all), now);
                }
            }
            ScreenCommand::Takes { client, takes } => {
                if let Some(client) = self.clients.get_mut(&client) {
                    client.painter.set_takes(takes);
                }
            }
            ScreenCommand::Input(client, input) => {
                self.drive(client)?;
                soft(self.screen.input(&input))?;
            }
            ScreenCommand::Keymap(client, keymap) => {
                self.keymaps.insert(client, keymap);
                if self.driver == Some(client) {
                    self.driver = None;
                }
            }
            ScreenCommand::Resize(size) => {
                let before = self.screen.size();
                let after = soft(self.screen.resize(size))?.unwrap_or(before);
                if after != before {
                    self.event(ScreenEvent::Resized(after), now);
                }
            }
            ScreenCommand::Screenshot(reply) => {
                let _gone = reply.send(self.screenshot());
            }
            ScreenCommand::ClipboardClaim(client, selection) => {
                self.claimed.insert(selection, client);
                self.screen.claim(selection);
            }
            ScreenCommand::ClipboardRead(client, request, selection) => {
                self.screen.read(client.0 << 32 | u64::from(request), selection);
            }
            ScreenCommand::ClipboardGive(request, text) => self.screen.give(request, text.as_deref()),
        }
        Ok(())
    }

    fn paint(&mut self) -> Result<(), DisplayError> {
        for client in self.clients.values_mut() {
            let Some(link) = client.wants else { continue };
            if !client.painter.is_due(now()) {
                continue;
            }
            client.wants = None;
            let sink = &client.sink;
            let sent = client
                .painter
                .paint(&mut *self.screen, &mut self.encoder, link, now, |piece| {
                    let _gone = sink.send(ScreenMessage::Piece(piece));
                })?;
            if !sent {
                let _gone = client.sink.send(ScreenMessage::Nothing);
            }
        }
        Ok(())
    }

    fn screenshot(&mut self) -> Result<(Size, bytes::Bytes), String> {
        let size = self.screen.size();
        let images = self.screen.capture(&[size.rect()]).map_err(|e| e.to_string())?;
        let (_, image) = images.first().ok_or("the screen could not be captured")?;
        let how = picture::How {
            encoding: crate::types::Encoding::Png,
            quality: 100,
            speed: 50,
            rgb_formats: [crate::types::PixelFormat::Rgb].into_iter().collect(),
            lz4: false,
        };
        let coded = self.encoder.encode(*image, &how).map_err(|e| e.to_string())?;
        match coded.data {
            picture::Payload::Bytes(file) => Ok((size, file)),
            picture::Payload::Scroll(_) => Err("a screenshot cannot be a scroll".into()),
        }
    }
}

/// Keeps the session alive when the display merely refused something.
fn soft<T>(result: Result<T, DisplayError>) -> Result<Option<T>, DisplayError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error @ DisplayError::Lost { .. }) => Err(error),
        Err(error) => {
            tracing::warn!(%error, "the display refused a request");
            Ok(None)
        }
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let clients: Vec<_> = self.clients.keys().collect();
        f.debug_struct("Worker")
            .field("clients", &clients)
            .finish_non_exhaustive()
    }
}
