//! [`Viewer`]: the thread that owns the windows, paints, and says what the user does.

use super::clipboard::ClipboardBridge;
use super::focus::Focus;
use super::keymap::keymap_capabilities;
use super::shared::{Drawn, SharedPixels};
use super::shortcuts::{Action, Catcher};
use super::shown::Shown;
use super::{ClientOptions, Departure, ServerFacts, ToSession, ToViewer, ViewerSeat, images, weight};
use crate::codec::Dialect;
use crate::display::{DisplayError, NewWindow, WindowEvent, Windows};
use crate::packet::{
    ButtonAction, Draw, DrawAck, KeyAction, Packet, PointerState, WindowCreate, WindowIcon, WindowKind,
    WindowPlace,
};
use crate::picture::{Decoder, Payload};
use crate::session::{Disconnected, now};
use crate::types::{Point, Rect, Size, WindowId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What `damage-sequence` says instead of a time (`session.md` 1.4).
const SKIPPED: i64 = 0;
const FAILED: i64 = -1;
const NO_WINDOW: i64 = -2;

/// The half of a client that has the windows. It blocks its thread in the display.
pub struct Viewer {
    seat: ViewerSeat,
    pub(super) windows: Box<dyn Windows>,
    pub(super) decoder: Decoder,
    options: ClientOptions,
    server: ServerFacts,
    pub(super) shown: BTreeMap<WindowId, Shown>,
    focus: Focus,
    shortcuts: Catcher,
    show_session_info: Box<dyn FnMut() + Send>,
    clipboard: ClipboardBridge,
    pub(super) shared: Option<SharedPixels>,
}

/// What became of a picture.
pub(super) enum Outcome {
    Painted,
    Skipped,
    Failed(String),
    NoWindow,
}

impl Viewer {
    /// A viewer that shows its windows on that display.
    pub fn new(windows: Box<dyn Windows>, options: ClientOptions, seat: ViewerSeat) -> Self {
        Self {
            clipboard: ClipboardBridge::new(options.clipboard),
            shortcuts: Catcher::new(&options.shortcuts, &windows.keymap()),
            show_session_info: Box::new(|| {}),
            seat,
            windows,
            decoder: Decoder::new(),
            options,
            server: ServerFacts {
                dialect: Dialect::G6,
                shadow: false,
                clipboard: false,
            },
            shown: BTreeMap::new(),
            focus: Focus::default(),
            shared: None,
        }
    }

    /// Does that when the user wants to see how the session is doing.
    pub fn on_session_info(mut self, show: impl FnMut() + Send + 'static) -> Self {
        self.show_session_info = Box::new(show);
        self
    }

    /// Runs until the session is gone or the display fails, which the session is told.
    pub fn run(mut self) {
        if let Err(error) = self.serve() {
            self.tell(ToSession::Depart(Departure::Display(error)));
        }
    }

    fn serve(&mut self) -> Result<(), DisplayError> {
        while self.turn(None)? {}
        Ok(())
    }

    /// Waits for the user or the session, no longer than `patience`, and does what they want. False when the
    /// session is gone. Simulations call it in a time of their own.
    pub fn turn(&mut self, patience: Option<Duration>) -> Result<bool, DisplayError> {
        let until = self.focus.deadline();
        let until = until.map(|at| at.saturating_duration_since(now()));
        self.look_at_display(until.into_iter().chain(patience).min())?;
        self.seat.inbox.drain_wake();
        loop {
            match self.seat.inbox.next() {
                Ok(Some(ToViewer::Connected(server))) => self.connected(server),
                Ok(Some(ToViewer::Area(ring))) => {
                    self.shared = Some(SharedPixels::new(ring, &mut *self.windows));
                }
                Ok(Some(ToViewer::Packet(packet, received))) => self.take(packet, received)?,
                Ok(None) => break,
                Err(Disconnected) => return Ok(false),
            }
        }
        if self.focus.is_lost(now()) {
            self.send(Packet::Focus(None));
        }
        self.windows.flush()?;
        Ok(true)
    }

    /// Forwards what the user did, waiting for it or a message for as long.
    fn look_at_display(&mut self, timeout: Option<Duration>) -> Result<(), DisplayError> {
        let mut events = Vec::new();
        self.windows.wait(self.seat.inbox.wake(), timeout, &mut events)?;
        events.into_iter().try_for_each(|event| self.event(event))
    }

    fn connected(&mut self, server: ServerFacts) {
        self.server = server;
        self.clipboard.enable(server.clipboard);
    }

    fn take(&mut self, packet: Packet, received: Instant) -> Result<(), DisplayError> {
        let weight = weight(&packet);
        if let Packet::Draw(draw) = packet {
            self.draw(draw, received)?;
            // input never waits behind a backlog of pictures
            self.look_at_display(Some(Duration::ZERO))?;
        } else {
            let handled = self.packet(packet);
            self.survive(handled)?;
        }
        if self.seat.backlog.remove(weight) {
            self.tell(ToSession::Resume);
        }
        Ok(())
    }

    /// One window the display refuses is no reason to leave; a lost display is.
    fn survive<T>(&self, result: Result<T, DisplayError>) -> Result<Option<T>, DisplayError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error @ DisplayError::Lost { .. }) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "the display refused");
                Ok(None)
            }
        }
    }

    fn packet(&mut self, packet: Packet) -> Result<(), DisplayError> {
        match packet {
            Packet::NewWindow(window) => self.create(window),
            Packet::WindowMetadata(id, value) => match self.shown.get_mut(&id) {
                Some(shown) => {
                    let metadata = shown.read_metadata(id, &value, &self.options.title);
                    self.windows.update(id, &metadata)
                }
                None => Ok(()),
            },
            Packet::WindowMoveResize { id, rect, counter } => {
                self.move_resize(id, Some((rect.x, rect.y)), rect.size(), counter)
            }
            Packet::WindowResized { id, size, counter } => self.move_resize(id, None, size, counter),
            Packet::ConfigureOverrideRedirect(id, rect) => {
                self.move_resize(id, Some((rect.x, rect.y)), rect.size(), 0)
            }
            Packet::RaiseWindow(id) => self.windows.raise(id),
            Packet::LostWindow(id) => {
                self.shown.remove(&id);
                self.focus.forget(id);
                self.windows.destroy(id)
            }
            Packet::WindowIcon(icon) => self.icon(icon),
            Packet::Cursor(packet) => match images::cursor(packet, &mut self.decoder) {
                Some(cursor) => self.windows.set_cursor(&cursor),
                None => Ok(()),
            },
            Packet::Bell { percent, .. } if self.options.bell => self
                .windows
                .bell(u8::try_from(percent.clamp(0, 100)).unwrap_or(100)),
            Packet::Switch(_, enabled) => {
                self.clipboard.enable(enabled && self.server.clipboard);
                Ok(())
            }
            Packet::ClipboardToken(token) => {
                self.clipboard.token(&mut *self.windows, token, now());
                Ok(())
            }
            Packet::ClipboardRequest(request) => {
                let answer = self.clipboard.request(&mut *self.windows, request);
                answer.into_iter().for_each(|packet| self.send(packet));
                Ok(())
            }
            Packet::ClipboardContents(answer) => {
                self.clipboard.contents(&mut *self.windows, &answer);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn create(&mut self, window: WindowCreate) -> Result<(), DisplayError> {
        let WindowCreate { id, rect, kind, .. } = window;
        if kind == WindowKind::Tray {
            return Ok(());
        }
        let mut shown = Shown::new(kind, rect);
        let new = NewWindow {
            rect,
            override_redirect: kind == WindowKind::OverrideRedirect,
            metadata: shown.read_metadata(id, &window.metadata, &self.options.title),
        };
        self.shown.remove(&id);
        self.windows.create(id, &new)?;
        self.shown.insert(id, shown);
        Ok(())
    }

    fn move_resize(
        &mut self,
        id: WindowId,
        position: Option<(i32, i32)>,
        size: Size,
        counter: i64,
    ) -> Result<(), DisplayError> {
        let Some(shown) = self.shown.get_mut(&id) else {
            return Ok(());
        };
        shown.counter = counter;
        let position = position.map(|(x, y)| Point { x, y });
        self.windows.move_resize(id, position, size)
    }

    fn icon(&mut self, icon: WindowIcon) -> Result<(), DisplayError> {
        let (id, size) = (icon.id, icon.size);
        match images::icon(icon, &mut self.decoder) {
            Some(bgra) if self.shown.contains_key(&id) => self.windows.set_icon(id, size, &bgra),
            _ => Ok(()),
        }
    }

    /// Paints a picture, shows it when it is the last of its update, and acknowledges it in any case.
    fn draw(&mut self, draw: Draw, received: Instant) -> Result<(), DisplayError> {
        let outcome = match draw.coded.as_ref().map(|coded| (coded, &coded.data)) {
            Ok((coded, Payload::Shared(spans))) => self.paint_shared(&draw, coded, spans, received)?,
            _ => Some(self.paint(&draw)?),
        };
        if draw.flush == 0 {
            self.present(draw.id)?;
        }
        if let Some(outcome) = outcome {
            self.acknowledge(Drawn::new(&draw, received), outcome);
        }
        Ok(())
    }

    pub(super) fn acknowledge(&self, drawn: Drawn, outcome: Outcome) {
        let (decode_time, message) = match outcome {
            Outcome::Painted => {
                let spent = now().saturating_duration_since(drawn.received).as_micros();
                let spent = i32::try_from(spent).unwrap_or(i32::MAX);
                (i64::from(spent.max(1)), String::new())
            }
            Outcome::Skipped => (SKIPPED, String::new()),
            Outcome::Failed(why) => (FAILED, why),
            Outcome::NoWindow if self.server.dialect == Dialect::G3 => (FAILED, "no such window".to_owned()),
            Outcome::NoWindow => (NO_WINDOW, "no such window".to_owned()),
        };
        self.send(Packet::DrawAck(DrawAck {
            sequence: drawn.sequence,
            id: drawn.id,
            size: drawn.size,
            decode_time,
            message: message.into(),
        }));
    }

    fn paint(&mut self, draw: &Draw) -> Result<Outcome, DisplayError> {
        let Some(shown) = self.shown.get_mut(&draw.id) else {
            return Ok(Outcome::NoWindow);
        };
        let coded = match &draw.coded {
            Ok(coded) => coded,
            Err(name) => return Ok(Outcome::Failed(format!("unknown encoding {name:?}"))),
        };
        if !draw.paint {
            return Ok(Outcome::Skipped);
        }
        let mut canvas = match self.windows.canvas(draw.id) {
            Ok(Some(canvas)) => canvas,
            Ok(None) => return Ok(Outcome::NoWindow),
            Err(error @ DisplayError::Lost { .. }) => return Err(error),
            Err(error) => return Ok(Outcome::Failed(error.to_string())),
        };
        match self.decoder.paint(&mut canvas, draw.rect, coded) {
            Ok(rect) => {
                shown.add(rect);
                Ok(Outcome::Painted)
            }
            Err(error) => {
                tracing::warn!(window = %draw.id, %error, "a picture could not be painted");
                Ok(Outcome::Failed(error.to_string()))
            }
        }
    }

    fn present(&mut self, id: WindowId) -> Result<(), DisplayError> {
        let Some(shown) = self.shown.get_mut(&id).filter(|shown| !shown.painted.is_empty()) else {
            return Ok(());
        };
        let presented = self.windows.present(id, &shown.painted);
        shown.painted.clear();
        self.survive(presented)?;
        let flushed = self.windows.flush();
        self.survive(flushed)?;
        Ok(())
    }

    fn event(&mut self, event: WindowEvent) -> Result<(), DisplayError> {
        if let Some((action, window)) = self.caught(&event) {
            self.act(action, window);
            return Ok(());
        }
        match event {
            WindowEvent::Mapped(id, rect) => self.mapped(id, rect),
            WindowEvent::Configured(id, rect) => self.configured(id, rect),
            WindowEvent::Unmapped(id) => self.unmapped(id),
            WindowEvent::Released => self.shared_drawn(),
            WindowEvent::ScreenResized(size) => {
                let rate = self.options.refresh_rate(self.windows.refresh_rate());
                self.send(Packet::ClientScreen(size, rate));
            }
            WindowEvent::Clipboard(event) => {
                let packet = self.clipboard.event(&mut *self.windows, event, now());
                packet.into_iter().for_each(|packet| self.send(packet));
            }
            event if !self.options.readonly => self.input(event),
            _ => {}
        }
        Ok(())
    }

    /// What a key is for that is not the server's, and where it was typed.
    fn caught(&mut self, event: &WindowEvent) -> Option<(Action, WindowId)> {
        match event {
            WindowEvent::Key {
                window,
                key,
                pressed,
                modifiers,
            } => Some((self.shortcuts.catch(key, *pressed, *modifiers)?, *window)),
            WindowEvent::Focus(_) => {
                self.shortcuts.forget();
                None
            }
            _ => None,
        }
    }

    fn act(&mut self, action: Action, window: WindowId) {
        let refresh = |id| Packet::BufferRefresh { id, quality: 100 };
        match action {
            Action::Quit => self.tell(ToSession::Depart(Departure::Quit)),
            Action::RefreshAllWindows => self.send(refresh(None)),
            Action::RefreshWindow => self.send(refresh(Some(window))),
            Action::ShowSessionInfo => (self.show_session_info)(),
            Action::Void => {}
        }
    }

    fn input(&mut self, event: WindowEvent) {
        match event {
            WindowEvent::Focus(to) => {
                let to = to.filter(|id| self.shown.contains_key(id));
                if let Some(id) = self.focus.moved(to, now()) {
                    self.send(Packet::Focus(Some(id)));
                }
            }
            WindowEvent::Key {
                window,
                key,
                pressed,
                modifiers,
            } => self.send(Packet::Key(KeyAction {
                id: window.0,
                key,
                pressed,
                modifiers,
            })),
            WindowEvent::Motion {
                window,
                position,
                modifiers,
                buttons,
                ..
            } => {
                let position = self.on_server(window, position);
                self.send(Packet::Pointer(PointerState {
                    id: window.0,
                    position,
                    relative: None,
                    modifiers,
                    buttons,
                }));
            }
            WindowEvent::Button {
                window,
                button,
                pressed,
                position,
                modifiers,
                buttons,
                ..
            } => {
                let position = self.on_server(window, position);
                let pointer = PointerState {
                    id: window.0,
                    position,
                    relative: None,
                    modifiers,
                    buttons,
                };
                self.send(Packet::Button(ButtonAction {
                    button,
                    pressed,
                    pointer,
                }));
            }
            WindowEvent::CloseRequested(_) if self.server.shadow && self.shown.len() <= 1 => {
                self.tell(ToSession::Depart(Departure::WindowClosed));
            }
            WindowEvent::CloseRequested(id) => self.send(Packet::CloseWindow(id)),
            WindowEvent::KeymapChanged => self.keymap_changed(),
            _ => {}
        }
    }

    fn mapped(&mut self, id: WindowId, rect: Rect) {
        let place = self.place(rect);
        let Some(shown) = self.shown.get_mut(&id) else {
            return;
        };
        shown.rect = rect;
        if shown.kind == WindowKind::Normal && shown.told.is_none() {
            shown.told = Some((place, shown.counter));
            self.send(Packet::MapWindow(WindowPlace {
                id: id.0,
                rect: place,
                ..WindowPlace::default()
            }));
        }
    }

    fn configured(&mut self, id: WindowId, rect: Rect) {
        let place = self.place(rect);
        let Some(shown) = self.shown.get_mut(&id) else {
            return;
        };
        shown.rect = rect;
        let counter = shown.counter;
        if shown.told.is_none_or(|told| told == (place, counter)) {
            return;
        }
        shown.told = Some((place, counter));
        self.send(Packet::ConfigureWindow(WindowPlace {
            id: id.0,
            rect: place,
            resize_counter: counter,
            ..WindowPlace::default()
        }));
    }

    fn unmapped(&mut self, id: WindowId) {
        let told = self.shown.get_mut(&id).and_then(|shown| shown.told.take());
        if told.is_some() {
            self.send(Packet::UnmapWindow(id));
        }
    }

    /// Where the server is told that a window is: the screens of a shadow server stay at the origin.
    const fn place(&self, rect: Rect) -> Rect {
        if self.server.shadow {
            rect.size().rect()
        } else {
            rect
        }
    }

    /// A position in a window in the server's coordinates, as we told it where the window is (`session.md` 1.5).
    fn on_server(&self, id: WindowId, position: Point) -> Point {
        let origin = self
            .shown
            .get(&id)
            .map_or_else(Rect::default, |shown| self.place(shown.rect));
        Point {
            x: origin.x.saturating_add(position.x),
            y: origin.y.saturating_add(position.y),
        }
    }

    fn keymap_changed(&mut self) {
        let keymap = self.windows.keymap();
        self.shortcuts = Catcher::new(&self.options.shortcuts, &keymap);
        self.send(Packet::LayoutChanged {
            layout: keymap.layout.as_str().into(),
            variant: keymap.variant.as_str().into(),
            options: keymap.options.as_str().into(),
        });
        let caps = keymap_capabilities(self.server.dialect, &keymap, self.options.keyboard_sync);
        self.send(Packet::KeymapChanged(caps));
    }

    fn send(&self, packet: Packet) {
        self.tell(ToSession::Send(packet));
    }

    /// A session that is gone is noticed at the mailbox.
    fn tell(&self, message: ToSession) {
        let _gone = self.seat.session.send(message);
    }
}

impl std::fmt::Debug for Viewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Viewer")
            .field("shown", &self.shown)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
