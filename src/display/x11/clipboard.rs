//! The text clipboard of an X11 display, the same on both sides of a session.
//!
//! A hidden window owns the selections on behalf of the peer (ICCCM 2). Nothing here waits: the answers of other
//! programs arrive as events, which the owner of the connection offers to [`X11Clipboard::handle`], and programs
//! that never answer are given up by [`X11Clipboard::expire`]. What came of it all is taken with
//! [`X11Clipboard::drain`]. Only text passes, and at most 16 MiB of it.

mod incoming;
mod outgoing;
#[cfg(test)]
mod tests;

use self::incoming::Incoming;
use self::outgoing::Outgoing;
use crate::display::{ClipboardEvent, DisplayError, Selection};
use std::time::Instant;
use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::errors::ReplyOrIdError;
use x11rb::protocol::Event;
use x11rb::protocol::xfixes::{self, ConnectionExt as _, SelectionEventMask};
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ConnectionExt as _, CreateWindowAux, EventMask, PropMode, Property, PropertyNotifyEvent,
    Timestamp, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// The longest text that is passed on, in bytes.
pub(super) const MAX_TEXT: usize = 16 << 20;

x11rb::atom_manager! {
    /// What clipboards are spoken in.
    pub(super) Atoms: AtomsCookie {
        ATOM_PAIR,
        CLIPBOARD,
        INCR,
        MULTIPLE,
        TARGETS,
        TEXT,
        TIMESTAMP,
        UTF8_STRING,
        MIME_UTF8: b"text/plain;charset=utf-8",
        XPRA_CLAIM_CLIPBOARD,
        XPRA_CLAIM_PRIMARY,
        XPRA_TEXT,
    }
}

impl Atoms {
    /// The atom of a selection.
    fn of(&self, selection: Selection) -> Atom {
        match selection {
            Selection::Clipboard => self.CLIPBOARD,
            Selection::Primary => AtomEnum::PRIMARY.into(),
        }
    }

    /// The property of our window whose changes tell us the time to claim a selection at.
    fn claim_of(&self, selection: Selection) -> Atom {
        match selection {
            Selection::Clipboard => self.XPRA_CLAIM_CLIPBOARD,
            Selection::Primary => self.XPRA_CLAIM_PRIMARY,
        }
    }
}

/// Both selections.
const SELECTIONS: [Selection; 2] = [Selection::Clipboard, Selection::Primary];

/// The text clipboard of one display.
#[derive(Debug)]
pub struct X11Clipboard {
    atoms: Atoms,
    root: Window,
    /// Hidden; owns what we claim.
    window: Window,
    incoming: Incoming,
    outgoing: Outgoing,
    events: Vec<ClipboardEvent>,
}

impl X11Clipboard {
    /// Watches the selections of the display behind `conn`; `root` is the root window of its screen.
    pub fn new(conn: &RustConnection, root: Window) -> Result<Self, DisplayError> {
        if conn
            .extension_information(xfixes::X11_EXTENSION_NAME)
            .map_err(request_failed)?
            .is_none()
        {
            return Err(DisplayError::Request(format!(
                "no {}",
                xfixes::X11_EXTENSION_NAME
            )));
        }
        Self::open(conn, root).map_err(request_failed)
    }

    fn open(conn: &RustConnection, root: Window) -> Result<Self, ReplyOrIdError> {
        let version = conn.xfixes_query_version(5, 0)?;
        let atoms = Atoms::new(conn)?;
        let window = create_hidden_window(conn, root)?;
        version.reply()?;
        let atoms = atoms.reply()?;
        for selection in SELECTIONS {
            let changes = SelectionEventMask::SET_SELECTION_OWNER;
            conn.xfixes_select_selection_input(window, atoms.of(selection), changes)?;
        }
        conn.flush()?;
        let outgoing = Outgoing::new(conn, atoms);
        Ok(Self {
            atoms,
            root,
            window,
            incoming: Incoming::new(atoms),
            outgoing,
            events: Vec::new(),
        })
    }

    /// Becomes owner of the selection on behalf of the peer.
    pub fn claim(&mut self, conn: &RustConnection, selection: Selection) {
        // ICCCM 2.1: the time of a claim must be that of an event; changing nothing of a property makes one.
        let touched = conn.change_property8(
            PropMode::APPEND,
            self.window,
            self.atoms.claim_of(selection),
            AtomEnum::STRING,
            &[],
        );
        settle(conn, touched);
    }

    /// Asks the local owner for its text; the answer comes as [`ClipboardEvent::Text`].
    pub fn read(&mut self, conn: &RustConnection, now: Instant, request: u64, selection: Selection) {
        let asked = if self.outgoing.owns(selection) {
            // Asking ourselves would only ask the peer for what it wants to know.
            Ok(false)
        } else {
            self.incoming.start(conn, self.root, now, request, selection)
        };
        if !matches!(asked, Ok(true)) {
            self.events.push(ClipboardEvent::Text {
                request,
                selection,
                text: None,
            });
        }
        settle(conn, asked);
    }

    /// Answers a [`ClipboardEvent::Wanted`].
    pub fn give(&mut self, conn: &RustConnection, now: Instant, request: u64, text: Option<&str>) {
        let given = self.outgoing.give(conn, now, request, text);
        settle(conn, given);
    }

    /// Looks at an event of the connection; false when it was none of the clipboard's.
    pub fn handle(&mut self, conn: &RustConnection, now: Instant, event: &Event) -> bool {
        let handled = match event {
            Event::XfixesSelectionNotify(event) if event.window == self.window => {
                self.owner_changed(event);
                Ok(())
            }
            Event::SelectionClear(event) if event.owner == self.window => Ok(()),
            Event::SelectionRequest(event) if event.owner == self.window => self
                .outgoing
                .requested(conn, now, event)
                .map(|wanted| self.events.extend(wanted)),
            Event::SelectionNotify(event) if self.incoming.has_window(event.requestor) => self
                .incoming
                .answered(conn, now, event)
                .map(|text| self.events.extend(text)),
            Event::PropertyNotify(event) => return self.property_changed(conn, now, event),
            _ => return false,
        };
        settle(conn, handled);
        true
    }

    /// Gives up on programs that should have answered by `now`.
    pub fn expire(&mut self, conn: &RustConnection, now: Instant) {
        self.events.extend(self.incoming.expire(conn, now));
        let refused = self.outgoing.expire(conn, now);
        settle(conn, refused);
    }

    /// What came of it since the last call. Drain before blocking: some calls have their answer at once.
    pub fn drain(&mut self) -> impl Iterator<Item = ClipboardEvent> {
        self.events.drain(..)
    }

    /// When [`expire`](Self::expire) next has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        [self.incoming.deadline(), self.outgoing.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn owner_changed(&mut self, event: &xfixes::SelectionNotifyEvent) {
        let Some(selection) = SELECTIONS
            .into_iter()
            .find(|s| self.atoms.of(*s) == event.selection)
        else {
            return;
        };
        let ours = event.owner == self.window;
        self.outgoing
            .owner_changed(selection, ours.then_some(event.selection_timestamp));
        if !ours && event.owner != x11rb::NONE {
            self.events.push(ClipboardEvent::Owned(selection));
        }
    }

    fn property_changed(&mut self, conn: &RustConnection, now: Instant, event: &PropertyNotifyEvent) -> bool {
        let handled = if event.window == self.window {
            self.time_to_claim(conn, event.atom, event.time)
        } else if self.incoming.has_window(event.window) {
            if event.state != Property::NEW_VALUE {
                return true;
            }
            self.incoming
                .continued(conn, now, event.window)
                .map(|text| self.events.extend(text))
        } else if self.outgoing.sends_to(event.window) {
            if event.state != Property::DELETE {
                return true;
            }
            self.outgoing.proceed(conn, now, event.window, event.atom)
        } else {
            return false;
        };
        settle(conn, handled);
        true
    }

    fn time_to_claim(
        &self,
        conn: &RustConnection,
        property: Atom,
        time: Timestamp,
    ) -> Result<(), ReplyOrIdError> {
        for selection in SELECTIONS {
            if property == self.atoms.claim_of(selection) {
                conn.set_selection_owner(self.window, self.atoms.of(selection), time)?;
            }
        }
        Ok(())
    }
}

/// A window nobody sees, whose properties we watch.
fn create_hidden_window(conn: &RustConnection, root: Window) -> Result<Window, ReplyOrIdError> {
    let window = conn.generate_id()?;
    let aux = CreateWindowAux::new()
        .override_redirect(1)
        .event_mask(EventMask::PROPERTY_CHANGE);
    conn.create_window(
        0,
        window,
        root,
        -10,
        -10,
        1,
        1,
        0,
        WindowClass::INPUT_ONLY,
        x11rb::COPY_FROM_PARENT,
        &aux,
    )?;
    Ok(window)
}

/// Sends what is buffered. Failures are no news here: a program that went away gets no answer, and a lost
/// connection shows itself to whoever waits for its events.
fn settle<T, E: Into<ReplyOrIdError>>(conn: &RustConnection, outcome: Result<T, E>) {
    let outcome: Result<(), ReplyOrIdError> = outcome.map_err(Into::into).and_then(|_| Ok(conn.flush()?));
    if let Err(error) = outcome {
        tracing::debug!(%error, "clipboard request failed");
    }
}

fn request_failed(error: impl Into<ReplyOrIdError>) -> DisplayError {
    DisplayError::Request(error.into().to_string())
}
