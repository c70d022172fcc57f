//! The screen thread: owns the [`Screen`], captures and encodes for every client when that client can take a
//! picture, injects input.
//!
//! One thread, because one X connection answers one question at a time, and because the shortest way from damage
//! to bytes is not to change threads in between. It sleeps until damage, a command or a refresh is due.

use super::area::Area;
use super::driver::now;
use super::mailbox::{Mailbox, Outbox, mailbox};
use super::painter::{Painter, Piece};
use crate::display::{ClipboardEvent, Cursor, DisplayError, Input, Keymap, Screen, ScreenEvent, Selection};
use crate::mmap::RingWriter;
use crate::picture::{self, LinkUse};
use crate::types::{PixelFormat, Point, Size};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// Names a client of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// What the screen thread is asked to do.
#[derive(Debug)]
pub enum ScreenCommand {
    /// A client wants pictures; everything is dirty for it that it does not have already.
    Attach {
        /// Which client.
        client: ClientId,
        /// What it can decode.
        takes: picture::Client,
        /// Whether it can move rectangles.
        scroll: bool,
        /// Memory shared with it.
        area: Option<RingWriter>,
        /// What it has, when it was here before.
        painter: Option<oneshot::Receiver<Painter>>,
        /// Where its messages go. Pieces are sent only when [wanted](Self::Want); the rest is small and rare.
        sink: mpsc::UnboundedSender<ScreenMessage>,
    },
    /// A client left.
    Detach {
        /// Which client.
        client: ClientId,
        /// The last piece it is known to have, and where to leave its painter for when it comes back.
        keep: Option<(u64, oneshot::Sender<Painter>)>,
    },
    /// The client can take a picture now: capture when something is dirty, once.
    Want {
        /// Which client.
        client: ClientId,
        /// What its link carries.
        link: LinkUse,
        /// How long after the first damage.
        settle: Duration,
        /// The last piece it is known to have.
        confirmed: u64,
        /// Answer with [`ScreenMessage::Calm`] while nothing is dirty.
        report: bool,
    },
    /// What a client has is unknown: send everything again, losslessly.
    Refresh {
        /// Which client.
        client: ClientId,
        /// How long to wait before.
        after: Duration,
    },
    /// Answer with [`ScreenMessage::Reached`] once everything before is done.
    Reach(mpsc::UnboundedSender<ScreenMessage>),
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
    /// Nothing is dirty; what is wanted comes when something is.
    Calm,
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
    /// A [`ScreenCommand::Reach`] was reached.
    Reached,
}

/// Facts about the screen.
#[derive(Clone, Debug)]
pub struct ScreenFacts {
    /// The display's name.
    pub name: String,
    size: watch::Receiver<Size>,
}

impl ScreenFacts {
    /// Its present size.
    pub fn size(&self) -> Size {
        *self.size.borrow()
    }
}

/// A running screen thread.
#[derive(Debug)]
pub struct Started {
    /// Its inbox.
    pub outbox: Outbox<ScreenCommand>,
    /// What it is about.
    pub facts: ScreenFacts,
    /// Resolves when the display is lost.
    pub lost: oneshot::Receiver<DisplayError>,
}

/// Starts the thread. It ends when every outbox is gone or the display is lost.
pub fn start(screen: Box<dyn Screen>) -> std::io::Result<Started> {
    let (started, worker) = Worker::new(screen)?;
    std::thread::Builder::new()
        .name("screen".into())
        .spawn(move || worker.run())?;
    Ok(started)
}

struct Client {
    painter: Painter,
    sink: mpsc::UnboundedSender<ScreenMessage>,
    /// Set while a picture is wanted and none was sent.
    wants: Option<Wish>,
    /// It wants to know that there is nothing.
    reports: bool,
}

/// A picture that a client wants.
#[derive(Clone, Copy)]
struct Wish {
    link: LinkUse,
    /// How long after the first damage.
    settle: Duration,
}

/// The work of the thread. Simulations do it turn by turn, in a time of their own.
pub struct Worker {
    screen: Box<dyn Screen>,
    mailbox: Mailbox<ScreenCommand>,
    /// As the clients know it.
    size: watch::Sender<Size>,
    /// Told once, when the display is lost.
    lost: Option<oneshot::Sender<DisplayError>>,
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
    /// A worker for that screen, and how to reach it.
    pub fn new(screen: Box<dyn Screen>) -> std::io::Result<(Started, Self)> {
        let (outbox, mailbox) = mailbox()?;
        let (size, watched) = watch::channel(screen.size());
        let (report, lost) = oneshot::channel();
        let facts = ScreenFacts {
            name: screen.name(),
            size: watched,
        };
        let worker = Self {
            screen,
            mailbox,
            size,
            lost: Some(report),
            clients: BTreeMap::new(),
            events: Vec::new(),
            encoder: picture::Encoder::new(),
            keymaps: BTreeMap::new(),
            driver: None,
            claimed: BTreeMap::new(),
        };
        Ok((Started { outbox, facts, lost }, worker))
    }

    fn run(mut self) {
        if let Err(error) = self.work() {
            tracing::error!(%error, "the shared display failed");
            if let Some(lost) = self.lost.take() {
                let _ended = lost.send(error);
            }
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
            .filter_map(|c| c.painter.due(c.wants?.settle))
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
            // a display reports also what we asked for ourselves
            ScreenEvent::Resized(size) if size == *self.size.borrow() => {}
            ScreenEvent::Resized(size) => {
                self.size.send_replace(size);
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
    fn clipboard(&mut self, event: ClipboardEvent) {
        let (client, event) = match event {
            ClipboardEvent::Owned(_) => return self.tell(&ScreenMessage::Clipboard(event)),
            ClipboardEvent::Wanted { request, selection } => {
                let owner = self.claimed.get(&selection).copied();
                if owner.is_none_or(|id| !self.clients.contains_key(&id)) {
                    return self.screen.give(request, None);
                }
                (owner, event)
            }
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
                area,
                painter,
                sink,
            } => {
                let size = self.screen.size();
                let format = takes.rgb_formats.best_for(PixelFormat::Bgrx);
                // it was left by an earlier command
                let kept = painter.and_then(|mut kept| kept.try_recv().ok());
                let mut painter = kept.unwrap_or_else(|| Painter::new(size, takes.clone(), scroll));
                if let Some(ring) = area {
                    painter.set_area(Area::new(ring, format, &mut *self.screen));
                }
                painter.resume(size, takes, now);
                // it may have changed since the client was told
                let _gone = sink.send(ScreenMessage::Resized(size));
                if let Ok(cursor) = self.screen.cursor() {
                    let _gone = sink.send(ScreenMessage::Cursor(cursor));
                }
                self.clients.insert(
                    client,
                    Client {
                        painter,
                        sink,
                        wants: None,
                        reports: false,
                    },
                );
            }
            ScreenCommand::Detach { client, keep } => {
                if let Some(Client { mut painter, .. }) = self.clients.remove(&client) {
                    painter.leave_area(&mut *self.screen);
                    if let Some((confirmed, keeper)) = keep {
                        painter.lose(confirmed);
                        let _gone = keeper.send(painter);
                    }
                }
                self.keymaps.remove(&client);
                self.claimed.retain(|_, owner| *owner != client);
                if self.driver == Some(client) {
                    self.driver = None;
                    soft(self.screen.input(&Input::ReleaseAll))?;
                }
            }
            ScreenCommand::Want {
                client,
                link,
                settle,
                confirmed,
                report,
            } => {
                if let Some(client) = self.clients.get_mut(&client) {
                    client.painter.confirm(confirmed);
                    client.wants = Some(Wish { link, settle });
                    client.reports = report;
                }
            }
            ScreenCommand::Refresh { client, after } => {
                let all = self.screen.size().rect();
                if let Some(client) = self.clients.get_mut(&client) {
                    client.painter.refresh(all, now + after);
                }
            }
            ScreenCommand::Reach(sink) => {
                let _gone = sink.send(ScreenMessage::Reached);
            }
            ScreenCommand::Takes { client, takes } => {
                if let Some(client) = self.clients.get_mut(&client) {
                    client.painter.set_takes(takes);
                }
            }
            // who does not type or point holds nothing down
            ScreenCommand::Input(client, Input::ReleaseAll) if self.driver != Some(client) => {}
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
                if let Some(size) = soft(self.screen.resize(size))? {
                    self.event(ScreenEvent::Resized(size), now);
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
            let Some(Wish { link, settle }) = client.wants else {
                continue;
            };
            if client.painter.due(settle).is_none_or(|due| due > now()) {
                if !client.painter.is_dirty() && std::mem::take(&mut client.reports) {
                    let _gone = client.sink.send(ScreenMessage::Calm);
                }
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
            shrink: 1,
            speed: 50,
            rgb_formats: [PixelFormat::Rgb].into_iter().collect(),
            lz4: false,
        };
        let coded = self.encoder.encode(*image, &how).map_err(|e| e.to_string())?;
        match coded.data {
            picture::Payload::Bytes(file) => Ok((size, file)),
            picture::Payload::Scroll(_) | picture::Payload::Shared(_) => {
                Err("a screenshot is always a file".into())
            }
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
