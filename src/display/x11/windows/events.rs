//! From X11 events to [`WindowEvent`]s.

use super::X11Windows;
use super::input::point;
use super::refresh_rate::refresh_rate;
use crate::display::WindowEvent;
use crate::types::{Point, Rect, Size, WindowId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};
use x11rb::connection::Connection as _;
use x11rb::errors::{ConnectionError, ReplyOrIdError};
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ChangeWindowAttributesAux, ClientMessageEvent, ConfigureNotifyEvent, ConnectionExt as _,
    EventMask, ExposeEvent, Mapping, NotifyMode, Window,
};

/// Events looked at before the caller gets a turn.
const MAX_EVENTS: usize = 4096;

/// The events of one call of `wait`. Of movements only the newest of each window is kept, but none is moved across
/// a key or a button.
pub(super) struct Batch<'a> {
    events: &'a mut Vec<WindowEvent>,
    /// Nothing before this index may be replaced.
    fence: usize,
}

impl Batch<'_> {
    pub(super) fn push(&mut self, event: WindowEvent) {
        self.events.push(event);
    }

    /// Adds a key or a button.
    pub(super) fn push_input(&mut self, event: WindowEvent) {
        self.events.push(event);
        self.fence = self.events.len();
    }

    /// Adds a movement or a place.
    pub(super) fn push_newest(&mut self, event: WindowEvent) {
        let older = self
            .events
            .iter()
            .skip(self.fence)
            .position(|old| supersedes(&event, old));
        if let Some(older) = older {
            self.events.remove(self.fence + older);
        }
        self.events.push(event);
    }
}

/// Whether `old` is no longer of interest when `new` follows.
fn supersedes(new: &WindowEvent, old: &WindowEvent) -> bool {
    match (new, old) {
        (WindowEvent::Configured(new, _), WindowEvent::Configured(old, _)) => new == old,
        (WindowEvent::Motion { window: new, .. }, WindowEvent::Motion { window: old, .. }) => new == old,
        _ => false,
    }
}

impl X11Windows {
    pub(super) fn wait_for_events(
        &mut self,
        wake: BorrowedFd<'_>,
        timeout: Option<Duration>,
        events: &mut Vec<WindowEvent>,
    ) -> Result<(), ReplyOrIdError> {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let before = events.len();
        let mut woken = false;
        loop {
            self.collect(events)?;
            self.conn.flush()?;
            let now = Instant::now();
            if woken || events.len() > before || end.is_some_and(|end| end <= now) {
                return Ok(());
            }
            let until = [end, self.clipboard.deadline()].into_iter().flatten().min();
            let timeout =
                until.and_then(|until| Timespec::try_from(until.saturating_duration_since(now)).ok());
            let display = self.conn.stream().as_fd();
            let mut fds = [
                PollFd::new(&wake, PollFlags::IN),
                PollFd::from_borrowed_fd(display, PollFlags::IN),
            ];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(ConnectionError::IoError(error.into()).into()),
            }
            let [wake, _] = fds;
            woken = !wake.revents().is_empty();
        }
    }

    /// A drawing request was completed, or failed; false for other events.
    pub(super) fn drawn(&mut self, event: &Event) -> bool {
        match event {
            Event::ShmCompletion(event) if self.area == Some(event.shmseg) => {
                let mut windows = self.windows.values_mut();
                windows.any(|window| window.surface.drawn(event.drawable));
                if self.lent > 0 {
                    self.lent -= 1;
                    self.released += 1;
                }
                true
            }
            Event::ShmCompletion(event) => {
                let id = self.ids.get(&event.drawable);
                if let Some(window) = id.and_then(|id| self.windows.get_mut(id)) {
                    window.surface.completed(event.shmseg);
                }
                true
            }
            Event::Error(error) => {
                tracing::debug!(?error, "a display request failed");
                if error.extension_name.as_deref() == Some(x11rb::protocol::shm::X11_EXTENSION_NAME) {
                    self.windows
                        .values_mut()
                        .for_each(|window| window.surface.failed());
                    self.released += std::mem::take(&mut self.lent);
                }
                true
            }
            _ => false,
        }
    }

    /// Learns whether a window manager runs (EWMH `_NET_SUPPORTING_WM_CHECK`): its window must name itself, as
    /// the root window's property outlives a manager that crashed.
    pub(super) fn find_manager(&mut self) -> Result<(), ReplyOrIdError> {
        let named = self.manager_named_by(self.root)?;
        self.manager = match named {
            Some(window) if self.manager_named_by(window)? == Some(window) => Some(window),
            _ => None,
        };
        if let Some(window) = self.manager {
            let aux = ChangeWindowAttributesAux::new().event_mask(EventMask::STRUCTURE_NOTIFY);
            self.conn.change_window_attributes(window, &aux)?.ignore_error();
        }
        Ok(())
    }

    fn manager_named_by(&self, window: Window) -> Result<Option<Window>, ReplyOrIdError> {
        let property = self.atoms._NET_SUPPORTING_WM_CHECK;
        let reply = self
            .conn
            .get_property(false, window, property, AtomEnum::WINDOW, 0, 1)?
            .reply_unchecked()?;
        Ok(reply
            .and_then(|reply| reply.value32()?.next())
            .filter(|window| *window != x11rb::NONE))
    }

    /// Looks at everything the display has said.
    fn collect(&mut self, events: &mut Vec<WindowEvent>) -> Result<(), ReplyOrIdError> {
        let fence = events.len();
        let mut batch = Batch { events, fence };
        for _ in 0..MAX_EVENTS {
            let event = match self.backlog.pop_front() {
                Some(event) => event,
                None => match self.conn.poll_for_event()? {
                    Some(event) => event,
                    None => break,
                },
            };
            self.dispatch(&event, &mut batch)?;
        }
        for _ in 0..std::mem::take(&mut self.released) {
            batch.push(WindowEvent::Released);
        }
        self.tell_focus(&mut batch);
        self.reload_keyboard(&mut batch)?;
        if self.clipboard.deadline().is_some() {
            self.clipboard.expire(&self.conn, Instant::now());
        }
        batch
            .events
            .extend(self.clipboard.drain().map(WindowEvent::Clipboard));
        Ok(())
    }

    fn dispatch(&mut self, event: &Event, batch: &mut Batch<'_>) -> Result<(), ReplyOrIdError> {
        if self.drawn(event) {
            return Ok(());
        }
        match event {
            Event::Expose(event) => self.exposed(event)?,
            Event::MapNotify(event) => self.mapped(event.window, batch)?,
            Event::UnmapNotify(event) => self.unmapped(event.window, batch),
            Event::ConfigureNotify(event) => self.configured(event, batch)?,
            Event::ReparentNotify(event) => {
                let framed = event.parent != self.root;
                if let Some((_, window)) = self.window_mut(event.window) {
                    window.framed = framed;
                }
            }
            Event::DestroyNotify(event) if self.manager == Some(event.window) => self.find_manager()?,
            Event::PropertyNotify(event) if event.window == self.root => {
                if event.atom == self.atoms._NET_SUPPORTING_WM_CHECK {
                    self.find_manager()?;
                }
            }
            Event::FocusIn(event) => self.focus_in(event),
            Event::FocusOut(event) => self.focus_out(event),
            Event::KeyPress(event) => self.key(event, true, batch)?,
            Event::KeyRelease(event) => self.key(event, false, batch)?,
            Event::ButtonPress(event) => self.button(event, true, batch)?,
            Event::ButtonRelease(event) => self.button(event, false, batch)?,
            Event::MotionNotify(event) => {
                let (at, root) = (
                    point(event.event_x, event.event_y),
                    point(event.root_x, event.root_y),
                );
                self.moved(event.event, at, root, event.state.into(), batch);
            }
            Event::EnterNotify(event) if event.mode == NotifyMode::NORMAL => {
                let (at, root) = (
                    point(event.event_x, event.event_y),
                    point(event.root_x, event.root_y),
                );
                self.moved(event.event, at, root, event.state.into(), batch);
            }
            Event::ClientMessage(event) => self.message(event, batch)?,
            Event::MappingNotify(event) if event.request == Mapping::POINTER => {}
            // All XKB events have one number, so the generated parser takes them for the first of them.
            Event::MappingNotify(_) | Event::XkbNewKeyboardNotify(_) | Event::XkbMapNotify(_) => {
                self.input.keyboard_changed = true;
            }
            Event::RandrScreenChangeNotify(_) => self.screen_changed(batch)?,
            event => {
                self.clipboard.handle(&self.conn, Instant::now(), event);
            }
        }
        Ok(())
    }

    fn exposed(&mut self, event: &ExposeEvent) -> Result<(), ReplyOrIdError> {
        let rect = Rect::new(
            event.x.into(),
            event.y.into(),
            event.width.into(),
            event.height.into(),
        );
        match self
            .ids
            .get(&event.window)
            .and_then(|id| self.windows.get_mut(id))
        {
            Some(window) => window.paint(&self.conn, std::iter::once(rect)),
            None => Ok(()),
        }
    }

    fn mapped(&mut self, xid: Window, batch: &mut Batch<'_>) -> Result<(), ReplyOrIdError> {
        let unmanaged = self.manager.is_none();
        let Some((id, window)) = self.window_mut(xid) else {
            return Ok(());
        };
        window.mapped = true;
        let ours_to_focus = unmanaged && !window.override_redirect;
        let (framed, mut rect) = (window.framed, window.rect);
        if framed && let Some(at) = self.translate(xid)? {
            rect = Rect::new(at.x, at.y, rect.w, rect.h);
            self.windows.entry(id).and_modify(|window| window.rect = rect);
        }
        batch.push(WindowEvent::Mapped(id, rect));
        if ours_to_focus {
            self.focus_on(xid, x11rb::CURRENT_TIME)
        } else {
            Ok(())
        }
    }

    fn unmapped(&mut self, xid: Window, batch: &mut Batch<'_>) {
        if let Some((id, window)) = self.window_mut(xid)
            && window.mapped
        {
            window.mapped = false;
            batch.push(WindowEvent::Unmapped(id));
        }
    }

    fn configured(
        &mut self,
        event: &ConfigureNotifyEvent,
        batch: &mut Batch<'_>,
    ) -> Result<(), ReplyOrIdError> {
        const SENT: u8 = 0x80;
        let Some((id, window)) = self.window_mut(event.window) else {
            return Ok(());
        };
        if window.outdated(event.sequence) {
            return Ok(());
        }
        let size = Size::new(event.width.into(), event.height.into());
        let mut rect = Rect::new(event.x.into(), event.y.into(), size.w, size.h);
        // ICCCM 4.1.5: only what the manager sends itself is in root coordinates.
        if window.framed && event.response_type & SENT == 0 {
            let at = self.translate(event.window)?.unwrap_or_default();
            rect = Rect::new(at.x, at.y, size.w, size.h);
        }
        if self
            .windows
            .get(&id)
            .is_some_and(|window| window.rect.size() != size)
        {
            self.wait_for_pixels(id)?;
        }
        let Some(window) = self.windows.get_mut(&id) else {
            return Ok(());
        };
        if let Err(error) = window.resized(&self.conn, self.sharing, size) {
            tracing::warn!(%id, %error, "the picture keeps its size");
        }
        let old = std::mem::replace(&mut window.rect, rect);
        if window.mapped && old != rect {
            batch.push_newest(WindowEvent::Configured(id, rect));
        }
        Ok(())
    }

    fn message(&mut self, event: &ClientMessageEvent, batch: &mut Batch<'_>) -> Result<(), ReplyOrIdError> {
        let Some(id) = self.ids.get(&event.window).copied() else {
            return Ok(());
        };
        if event.type_ != self.atoms.WM_PROTOCOLS || event.format != 32 {
            return Ok(());
        }
        let [protocol, ..] = event.data.as_data32();
        if protocol == self.atoms.WM_DELETE_WINDOW {
            batch.push(WindowEvent::CloseRequested(id));
        } else if protocol == self.atoms._NET_WM_PING
            && let Some(window) = self.windows.get(&id)
        {
            self.hints(window).pong(event)?;
        }
        Ok(())
    }

    fn screen_changed(&mut self, batch: &mut Batch<'_>) -> Result<(), ReplyOrIdError> {
        let root = self.conn.get_geometry(self.root)?.reply()?;
        let size = Size::new(root.width.into(), root.height.into());
        let rate = refresh_rate(&self.conn, self.root).unwrap_or_default();
        if (size, rate) != (self.screen_size, self.refresh_rate) {
            (self.screen_size, self.refresh_rate) = (size, rate);
            batch.push(WindowEvent::ScreenResized(size));
        }
        Ok(())
    }

    /// Where a window's contents are on the root window; `None` when it is gone.
    fn translate(&self, window: Window) -> Result<Option<Point>, ReplyOrIdError> {
        let reply = self
            .conn
            .translate_coordinates(window, self.root, 0, 0)?
            .reply_unchecked()?;
        Ok(reply.map(|reply| Point {
            x: reply.dst_x.into(),
            y: reply.dst_y.into(),
        }))
    }

    fn window_mut(&mut self, xid: Window) -> Option<(WindowId, &mut super::ClientWindow)> {
        let id = *self.ids.get(&xid)?;
        Some((id, self.windows.get_mut(&id)?))
    }
}
