//! Texts we ask local owners for.

use super::{Atoms, MAX_TEXT, create_hidden_window};
use crate::display::{ClipboardEvent, Selection};
use std::time::{Duration, Instant};
use x11rb::CURRENT_TIME;
use x11rb::errors::ReplyOrIdError;
use x11rb::protocol::xproto::{Atom, AtomEnum, ConnectionExt as _, SelectionNotifyEvent, Window};
use x11rb::rust_connection::RustConnection;

/// How long an owner may be silent.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long all of a text may take, however often the owner shows signs of life.
const ENDURANCE: Duration = Duration::from_secs(30);

/// Questions open at a time; more are answered with "no text".
const MAX_READS: usize = 16;

/// The questions that are open.
#[derive(Debug)]
pub(super) struct Incoming {
    atoms: Atoms,
    reads: Vec<Read>,
}

/// One question. It has a window of its own, so that answers that come too late meet nobody.
#[derive(Debug)]
struct Read {
    window: Window,
    request: u64,
    selection: Selection,
    /// Targets to ask for if the owner has not the present one, best last.
    alternatives: Vec<Atom>,
    /// The pieces so far, once the owner said it sends pieces (ICCCM 2.7.2).
    pieces: Option<Vec<u8>>,
    end: Instant,
    deadline: Instant,
}

/// What one property of an answer told.
enum Progress {
    /// There is more to come.
    Waiting,
    /// The owner has no such thing, or what came is no text.
    Refused,
    /// This is the text.
    Done(String),
}

impl Incoming {
    pub(super) const fn new(atoms: Atoms) -> Self {
        Self {
            atoms,
            reads: Vec::new(),
        }
    }

    /// Asks the owner of `selection`; false when too many questions are open already.
    pub(super) fn start(
        &mut self,
        conn: &RustConnection,
        root: Window,
        now: Instant,
        request: u64,
        selection: Selection,
    ) -> Result<bool, ReplyOrIdError> {
        if self.reads.len() >= MAX_READS {
            return Ok(false);
        }
        let mut read = Read {
            window: create_hidden_window(conn, root)?,
            request,
            selection,
            alternatives: vec![
                AtomEnum::STRING.into(),
                self.atoms.MIME_UTF8,
                self.atoms.UTF8_STRING,
            ],
            pieces: None,
            end: now + ENDURANCE,
            deadline: now + PATIENCE,
        };
        read.ask(conn, &self.atoms)?;
        self.reads.push(read);
        Ok(true)
    }

    /// The owner answered: with all of the text, with the news that pieces follow, or with a refusal.
    pub(super) fn answered(
        &mut self,
        conn: &RustConnection,
        now: Instant,
        event: &SelectionNotifyEvent,
    ) -> Result<Option<ClipboardEvent>, ReplyOrIdError> {
        self.advance(conn, now, event.requestor, |read, atoms| match event.property {
            x11rb::NONE => Ok(Progress::Refused),
            property => read.first(conn, atoms, property),
        })
    }

    /// A property of `window` has a new value: the next piece, if pieces are expected.
    pub(super) fn continued(
        &mut self,
        conn: &RustConnection,
        now: Instant,
        window: Window,
    ) -> Result<Option<ClipboardEvent>, ReplyOrIdError> {
        self.advance(conn, now, window, |read, atoms| read.next(conn, atoms))
    }

    /// Ends the questions whose owners took too long.
    pub(super) fn expire(&mut self, conn: &RustConnection, now: Instant) -> Vec<ClipboardEvent> {
        let late = self.reads.extract_if(.., |read| read.deadline <= now);
        late.map(|read| read.finish(conn, None)).collect()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.reads.iter().map(|read| read.deadline).min()
    }

    pub(super) fn has_window(&self, window: Window) -> bool {
        self.reads.iter().any(|read| read.window == window)
    }

    /// Moves the question of `window` on by `step`, to the next target or to its end.
    fn advance(
        &mut self,
        conn: &RustConnection,
        now: Instant,
        window: Window,
        step: impl FnOnce(&mut Read, &Atoms) -> Result<Progress, ReplyOrIdError>,
    ) -> Result<Option<ClipboardEvent>, ReplyOrIdError> {
        let Some(index) = self.reads.iter().position(|read| read.window == window) else {
            return Ok(None);
        };
        let mut read = self.reads.swap_remove(index);
        let text = match step(&mut read, &self.atoms) {
            Ok(Progress::Waiting) => {
                read.deadline = read.end.min(now + PATIENCE);
                self.reads.push(read);
                return Ok(None);
            }
            Ok(Progress::Refused) if read.pieces.is_none() && read.ask(conn, &self.atoms)? => {
                self.reads.push(read);
                return Ok(None);
            }
            Ok(Progress::Refused) | Err(_) => None,
            Ok(Progress::Done(text)) => Some(text),
        };
        Ok(Some(read.finish(conn, text)))
    }
}

impl Read {
    /// Asks for the best target left; false when there is none.
    fn ask(&mut self, conn: &RustConnection, atoms: &Atoms) -> Result<bool, ReplyOrIdError> {
        let Some(target) = self.alternatives.pop() else {
            return Ok(false);
        };
        let selection = atoms.of(self.selection);
        conn.convert_selection(self.window, selection, target, atoms.XPRA_TEXT, CURRENT_TIME)?;
        Ok(true)
    }

    fn first(
        &mut self,
        conn: &RustConnection,
        atoms: &Atoms,
        property: Atom,
    ) -> Result<Progress, ReplyOrIdError> {
        let Some(part) = self.take(conn, property)? else {
            return Ok(Progress::Refused);
        };
        if part.kind == atoms.INCR {
            self.pieces = Some(Vec::new());
            return Ok(Progress::Waiting);
        }
        Ok(Progress::Done(part.text()))
    }

    fn next(&mut self, conn: &RustConnection, atoms: &Atoms) -> Result<Progress, ReplyOrIdError> {
        if self.pieces.is_none() {
            return Ok(Progress::Waiting);
        }
        let Some(mut part) = self.take(conn, atoms.XPRA_TEXT)? else {
            return Ok(Progress::Refused);
        };
        let pieces = self.pieces.get_or_insert_default();
        if pieces.len() + part.bytes.len() > MAX_TEXT {
            return Ok(Progress::Refused);
        }
        if part.bytes.is_empty() {
            part.bytes = std::mem::take(pieces);
            return Ok(Progress::Done(part.text()));
        }
        pieces.append(&mut part.bytes);
        Ok(Progress::Waiting)
    }

    /// The property's value, which is deleted: that is how the owner learns it may go on. `None` when it is too
    /// long or no text.
    fn take(&self, conn: &RustConnection, property: Atom) -> Result<Option<Part>, ReplyOrIdError> {
        const MAX_WORDS: u32 = (16 << 20) / 4 + 1; // one more than MAX_TEXT needs
        let value = conn
            .get_property(true, self.window, property, AtomEnum::ANY, 0, MAX_WORDS)?
            .reply()?;
        let usable = value.bytes_after == 0 && value.value.len() <= MAX_TEXT && value.type_ != x11rb::NONE;
        Ok(usable.then_some(Part {
            kind: value.type_,
            bytes: value.value,
        }))
    }

    fn finish(self, conn: &RustConnection, text: Option<String>) -> ClipboardEvent {
        if let Ok(cookie) = conn.destroy_window(self.window) {
            cookie.ignore_error();
        }
        ClipboardEvent::Text {
            request: self.request,
            selection: self.selection,
            text,
        }
    }
}

/// The value of a property.
struct Part {
    kind: Atom,
    bytes: Vec<u8>,
}

impl Part {
    fn text(self) -> String {
        if self.kind == Atom::from(AtomEnum::STRING) {
            return self.bytes.iter().map(|byte| char::from(*byte)).collect(); // ISO Latin-1
        }
        String::from_utf8(self.bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}
