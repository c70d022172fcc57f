//! The peer's texts, given to local programs that ask the selections we own.

use super::{Atoms, MAX_TEXT};
use crate::display::{ClipboardEvent, Selection};
use std::sync::Arc;
use std::time::{Duration, Instant};
use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::errors::ReplyOrIdError;
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ChangeWindowAttributesAux, ConnectionExt as _, EventMask, PropMode,
    SELECTION_NOTIFY_EVENT, SelectionNotifyEvent, SelectionRequestEvent, Timestamp, Window,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// How long the peer may take to answer, and a local program to take the next piece.
const PATIENCE: Duration = Duration::from_secs(5);

/// Requests that may wait for the peer; more are refused.
const MAX_WANTED: usize = 16;

/// Texts that may be on their way in pieces; more are refused.
const MAX_TRANSFERS: usize = 16;

/// Conversions one MULTIPLE request may hold.
const MAX_PARTS: u32 = 32;

/// The largest piece, so that a long text does not hold up other requests.
const MAX_PIECE: usize = 256 << 10;

/// The selections we own and who is being served.
#[derive(Debug)]
pub(super) struct Outgoing {
    atoms: Atoms,
    /// Bytes of a property that surely fit one request.
    piece: usize,
    /// Since when we own the clipboard, the primary selection.
    owned: [Option<Timestamp>; 2],
    next_request: u64,
    wanted: Vec<Wanted>,
    transfers: Vec<Transfer>,
}

/// A local program's request that waits for the peer's text.
#[derive(Debug)]
struct Wanted {
    request: u64,
    reply: SelectionNotifyEvent,
    /// What to convert: target and the property for it.
    parts: Vec<(Atom, Atom)>,
    /// These parts are the value of the reply's property (ICCCM 2.6.2, MULTIPLE).
    multiple: bool,
    deadline: Instant,
}

/// A text on its way in pieces.
#[derive(Debug)]
struct Transfer {
    requestor: Window,
    property: Atom,
    kind: Atom,
    bytes: Arc<[u8]>,
    sent: usize,
    deadline: Instant,
}

impl Outgoing {
    pub(super) fn new(conn: &RustConnection, atoms: Atoms) -> Self {
        let piece = conn.maximum_request_bytes().saturating_sub(64).min(MAX_PIECE);
        Self {
            atoms,
            piece,
            owned: [None; 2],
            next_request: 0,
            wanted: Vec::new(),
            transfers: Vec::new(),
        }
    }

    pub(super) fn owns(&self, selection: Selection) -> bool {
        self.owned_since(selection).is_some()
    }

    /// We own the selection since then, or somebody else does.
    pub(super) fn owner_changed(&mut self, selection: Selection, since: Option<Timestamp>) {
        let [clipboard, primary] = &mut self.owned;
        match selection {
            Selection::Clipboard => *clipboard = since,
            Selection::Primary => *primary = since,
        }
    }

    /// A program asks for a selection. Answers what needs no text at once.
    pub(super) fn requested(
        &mut self,
        conn: &RustConnection,
        now: Instant,
        event: &SelectionRequestEvent,
    ) -> Result<Option<ClipboardEvent>, ReplyOrIdError> {
        // ICCCM 2.2: an obsolete requestor names no property and means the target's name.
        let property = if event.property == x11rb::NONE {
            event.target
        } else {
            event.property
        };
        let reply = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time: event.time,
            requestor: event.requestor,
            selection: event.selection,
            target: event.target,
            property,
        };
        let selection = super::SELECTIONS
            .into_iter()
            .find(|s| self.atoms.of(*s) == event.selection);
        let allowed = |s: &Selection| !is_ours(conn, event.requestor) && self.owned_at(*s, event.time);
        let Some(selection) = selection.filter(allowed) else {
            return refuse(conn, reply).map(|()| None);
        };
        let multiple = event.target == self.atoms.MULTIPLE;
        let parts = if multiple {
            pairs(conn, event.requestor, property)?
        } else {
            vec![(event.target, property)]
        };
        let mut wanted = Wanted {
            request: self.next_request,
            reply,
            parts,
            multiple,
            deadline: now + PATIENCE,
        };
        if !wanted
            .parts
            .iter()
            .any(|(target, _)| self.kind(*target, "").is_some())
        {
            return self.answer(conn, now, &mut wanted, None).map(|()| None);
        }
        if self.wanted.len() >= MAX_WANTED {
            return refuse(conn, reply).map(|()| None);
        }
        self.next_request += 1;
        let request = wanted.request;
        self.wanted.push(wanted);
        Ok(Some(ClipboardEvent::Wanted { request, selection }))
    }

    /// The peer's answer; a request that was given up meanwhile is ignored.
    pub(super) fn give(
        &mut self,
        conn: &RustConnection,
        now: Instant,
        request: u64,
        text: Option<&str>,
    ) -> Result<(), ReplyOrIdError> {
        let Some(index) = self.wanted.iter().position(|wanted| wanted.request == request) else {
            return Ok(());
        };
        let mut wanted = self.wanted.swap_remove(index);
        self.answer(conn, now, &mut wanted, text.filter(|text| text.len() <= MAX_TEXT))
    }

    pub(super) fn sends_to(&self, window: Window) -> bool {
        self.transfers.iter().any(|transfer| transfer.requestor == window)
    }

    /// The requestor took the last piece: sends the next, an empty one at the end (ICCCM 2.7.2).
    pub(super) fn proceed(
        &mut self,
        conn: &RustConnection,
        now: Instant,
        requestor: Window,
        property: Atom,
    ) -> Result<(), ReplyOrIdError> {
        let found = self
            .transfers
            .iter()
            .position(|t| t.requestor == requestor && t.property == property);
        let Some((index, transfer)) = found.and_then(|i| self.transfers.get_mut(i).map(|t| (i, t))) else {
            return Ok(());
        };
        let rest = transfer.bytes.get(transfer.sent..).unwrap_or_default();
        let piece = rest.get(..self.piece).unwrap_or(rest);
        conn.change_property8(PropMode::REPLACE, requestor, property, transfer.kind, piece)?
            .ignore_error();
        transfer.sent += piece.len();
        transfer.deadline = now + PATIENCE;
        if piece.is_empty() {
            self.transfers.swap_remove(index);
            self.stop_watching(conn, requestor)?;
        }
        Ok(())
    }

    /// Refuses what the peer did not answer and forgets programs that take no more pieces.
    pub(super) fn expire(&mut self, conn: &RustConnection, now: Instant) -> Result<(), ReplyOrIdError> {
        let late: Vec<_> = self
            .wanted
            .extract_if(.., |wanted| wanted.deadline <= now)
            .collect();
        for mut wanted in late {
            self.answer(conn, now, &mut wanted, None)?;
        }
        let stuck: Vec<_> = self
            .transfers
            .extract_if(.., |transfer| transfer.deadline <= now)
            .collect();
        for transfer in stuck {
            self.stop_watching(conn, transfer.requestor)?;
        }
        Ok(())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let wanted = self.wanted.iter().map(|wanted| wanted.deadline);
        wanted
            .chain(self.transfers.iter().map(|transfer| transfer.deadline))
            .min()
    }

    /// Writes each part's property and tells the requestor.
    fn answer(
        &mut self,
        conn: &RustConnection,
        now: Instant,
        wanted: &mut Wanted,
        text: Option<&str>,
    ) -> Result<(), ReplyOrIdError> {
        let mut done = false;
        for (target, property) in &mut wanted.parts {
            if self.convert(conn, now, &wanted.reply, *target, *property, text)? {
                done = true;
            } else {
                *target = x11rb::NONE;
            }
        }
        if wanted.multiple {
            let pairs: Vec<Atom> = wanted
                .parts
                .iter()
                .flat_map(|(target, property)| [*target, *property])
                .collect();
            let reply = &wanted.reply;
            conn.change_property32(
                PropMode::REPLACE,
                reply.requestor,
                reply.property,
                self.atoms.ATOM_PAIR,
                &pairs,
            )?
            .ignore_error();
        } else if !done {
            return refuse(conn, wanted.reply);
        }
        notify(conn, wanted.reply)
    }

    /// Writes the property for one target; false when there is no such conversion.
    fn convert(
        &mut self,
        conn: &RustConnection,
        now: Instant,
        reply: &SelectionNotifyEvent,
        target: Atom,
        property: Atom,
        text: Option<&str>,
    ) -> Result<bool, ReplyOrIdError> {
        let atoms = self.atoms;
        let requestor = reply.requestor;
        let write32 = |kind: AtomEnum, values: &[u32]| {
            conn.change_property32(PropMode::REPLACE, requestor, property, kind, values)
                .map(|cookie| cookie.ignore_error())
        };
        if target == atoms.TARGETS {
            let string = AtomEnum::STRING.into();
            write32(
                AtomEnum::ATOM,
                &[
                    atoms.TARGETS,
                    atoms.TIMESTAMP,
                    atoms.MULTIPLE,
                    atoms.UTF8_STRING,
                    atoms.MIME_UTF8,
                    string,
                    atoms.TEXT,
                ],
            )?;
            return Ok(true);
        }
        if target == atoms.TIMESTAMP {
            let selection = super::SELECTIONS
                .into_iter()
                .find(|s| atoms.of(*s) == reply.selection);
            let since = selection.and_then(|selection| self.owned_since(selection));
            write32(AtomEnum::INTEGER, &[since.unwrap_or(reply.time)])?;
            return Ok(true);
        }
        let Some((text, kind)) = text.and_then(|text| Some((text, self.kind(target, text)?))) else {
            return Ok(false);
        };
        let bytes: Arc<[u8]> = if kind == Atom::from(AtomEnum::STRING) {
            text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect()
        } else {
            text.as_bytes().into()
        };
        if bytes.len() <= self.piece {
            conn.change_property8(PropMode::REPLACE, requestor, property, kind, &bytes)?
                .ignore_error();
            return Ok(true);
        }
        self.transfers
            .retain(|old| old.requestor != requestor || old.property != property);
        if self.transfers.len() >= MAX_TRANSFERS {
            return Ok(false);
        }
        let watch = ChangeWindowAttributesAux::new().event_mask(EventMask::PROPERTY_CHANGE);
        conn.change_window_attributes(requestor, &watch)?.ignore_error();
        let lower_bound = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        conn.change_property32(PropMode::REPLACE, requestor, property, atoms.INCR, &[lower_bound])?
            .ignore_error();
        let deadline = now + PATIENCE;
        self.transfers.push(Transfer {
            requestor,
            property,
            kind,
            bytes,
            sent: 0,
            deadline,
        });
        Ok(true)
    }

    /// The type of property `text` becomes for a target; `None` for targets that are no text.
    fn kind(&self, target: Atom, text: &str) -> Option<Atom> {
        let atoms = &self.atoms;
        let string = AtomEnum::STRING.into();
        if target == atoms.TEXT {
            // The owner's choice: what every program understands, if that can say it.
            return Some(if text.is_ascii() {
                string
            } else {
                atoms.UTF8_STRING
            });
        }
        [atoms.UTF8_STRING, atoms.MIME_UTF8, string]
            .contains(&target)
            .then_some(target)
    }

    fn owned_since(&self, selection: Selection) -> Option<Timestamp> {
        let [clipboard, primary] = self.owned;
        match selection {
            Selection::Clipboard => clipboard,
            Selection::Primary => primary,
        }
    }

    /// Whether we owned the selection at that time (ICCCM 2.2: requests about earlier times are refused).
    fn owned_at(&self, selection: Selection, time: Timestamp) -> bool {
        let after = |since: Timestamp| time.wrapping_sub(since) < 1 << 31; // server time wraps every 49 days
        self.owned_since(selection)
            .is_some_and(|since| time == x11rb::CURRENT_TIME || after(since))
    }

    fn stop_watching(&self, conn: &RustConnection, requestor: Window) -> Result<(), ReplyOrIdError> {
        if !self.sends_to(requestor) {
            let nothing = ChangeWindowAttributesAux::new().event_mask(EventMask::NO_EVENT);
            conn.change_window_attributes(requestor, &nothing)?.ignore_error();
        }
        Ok(())
    }
}

/// Whether a window was made by this connection: watching it for its properties would end all other watching.
fn is_ours(conn: &RustConnection, window: Window) -> bool {
    let setup = conn.setup();
    window & !setup.resource_id_mask == setup.resource_id_base
}

/// The conversions of a MULTIPLE request; none when it is malformed.
fn pairs(
    conn: &RustConnection,
    requestor: Window,
    property: Atom,
) -> Result<Vec<(Atom, Atom)>, ReplyOrIdError> {
    let value = conn
        .get_property(false, requestor, property, AtomEnum::ANY, 0, 2 * MAX_PARTS)?
        .reply()?;
    let atoms: Vec<Atom> = value.value32().into_iter().flatten().collect();
    Ok(atoms
        .as_chunks()
        .0
        .iter()
        .map(|[target, property]| (*target, *property))
        .collect())
}

/// Tells the requestor that there is no such conversion.
fn refuse(conn: &RustConnection, reply: SelectionNotifyEvent) -> Result<(), ReplyOrIdError> {
    notify(
        conn,
        SelectionNotifyEvent {
            property: x11rb::NONE,
            ..reply
        },
    )
}

fn notify(conn: &RustConnection, reply: SelectionNotifyEvent) -> Result<(), ReplyOrIdError> {
    conn.send_event(false, reply.requestor, EventMask::NO_EVENT, reply)?
        .ignore_error();
    Ok(())
}
