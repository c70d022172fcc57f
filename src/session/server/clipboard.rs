//! The clipboard of one client: text only, both ways (`session.md` 1.5, `endpoints.md`).

use super::line::Line;
use super::session::Session;
use crate::display::{ClipboardEvent, Selection};
use crate::packet::{Capabilities, ClipboardContents, ClipboardRequest, ClipboardToken, Contents, Packet};
use crate::protocol::Connection;
use crate::session::screen::ScreenCommand;
use compact_str::CompactString;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Clipboard {
    greedy: bool,
    /// Text that came with the client's token.
    eager: BTreeMap<Selection, String>,
    next: u32,
    /// Requests sent to the client: our number, and the local request waiting for it.
    asked: BTreeMap<u64, u64>,
    /// Reads of the local selection: our number, and the client's request or `None` for a greedy token.
    reading: BTreeMap<u32, (Selection, Option<u64>)>,
}

impl Clipboard {
    /// The clipboard of a client with these capabilities.
    pub(super) fn new(caps: &Capabilities) -> Self {
        Self {
            greedy: caps.is("clipboard.greedy"),
            ..Self::default()
        }
    }
}

impl Session {
    pub(super) fn token(&mut self, token: ClipboardToken, screen: &mut Line) {
        let Some(clipboard) = &mut self.clipboard else {
            return;
        };
        let Some(selection) = Selection::from_name(&token.selection) else {
            return;
        };
        clipboard.eager.remove(&selection);
        if let Some(text) = token.text {
            clipboard.eager.insert(selection, text);
        }
        if token.claim {
            screen.send(ScreenCommand::ClipboardClaim(screen.client, selection));
        }
    }

    pub(super) fn clipboard_request(
        &mut self,
        request: ClipboardRequest,
        screen: &mut Line,
        connection: &mut Connection,
    ) {
        let ClipboardRequest {
            request,
            selection: name,
            target,
        } = request;
        let answer = |contents| {
            Packet::ClipboardContents(ClipboardContents {
                request,
                selection: name.clone(),
                contents,
            })
        };
        let (Some(clipboard), Some(selection)) = (&mut self.clipboard, Selection::from_name(&name)) else {
            return connection.send(answer(Contents::None));
        };
        match target.as_str() {
            "TARGETS" => {
                let names = [
                    "UTF8_STRING",
                    "TEXT",
                    "STRING",
                    "text/plain;charset=utf-8",
                    "text/plain",
                ];
                connection.send(answer(Contents::Targets(names.map(CompactString::from).to_vec())));
            }
            name if ["UTF8_STRING", "TEXT", "STRING"].contains(&name) || name.starts_with("text/plain") => {
                let (number, forgotten) = clipboard.read(selection, Some(request));
                screen.send(ScreenCommand::ClipboardRead(screen.client, number, selection));
                if let Some((selection, request)) = forgotten {
                    connection.send(contents_packet(request, selection, None));
                }
            }
            _ => connection.send(answer(Contents::None)),
        }
    }

    pub(super) fn clipboard_contents(&mut self, contents: ClipboardContents, screen: &mut Line) {
        let Some(clipboard) = &mut self.clipboard else {
            return;
        };
        let Some(request) = clipboard.asked.remove(&contents.request) else {
            return;
        };
        let text = match contents.contents {
            Contents::Text(text) => Some(text),
            _ => None,
        };
        screen.send(ScreenCommand::ClipboardGive(request, text));
    }

    pub(super) fn clipboard_event(
        &mut self,
        event: ClipboardEvent,
        screen: &mut Line,
        connection: &mut Connection,
    ) {
        let Some(clipboard) = &mut self.clipboard else {
            return;
        };
        match event {
            ClipboardEvent::Owned(selection) if clipboard.greedy && !connection.is_congested() => {
                let (number, forgotten) = clipboard.read(selection, None);
                if let Some((selection, request)) = forgotten {
                    connection.send(contents_packet(request, selection, None));
                }
                screen.send(ScreenCommand::ClipboardRead(screen.client, number, selection));
            }
            // a client that is slow to read asks for what it wants when it comes to that
            ClipboardEvent::Owned(selection) if !connection.is_congested() => {
                connection.send(token_packet(selection, None));
            }
            ClipboardEvent::Owned(_) => {}
            ClipboardEvent::Wanted { request, selection } => {
                if let Some(text) = clipboard.eager.get(&selection) {
                    screen.send(ScreenCommand::ClipboardGive(request, Some(text.clone())));
                    return;
                }
                let (number, forgotten) = clipboard.ask(request);
                if let Some(forgotten) = forgotten {
                    screen.send(ScreenCommand::ClipboardGive(forgotten, None));
                }
                connection.send(Packet::ClipboardRequest(ClipboardRequest {
                    request: number,
                    selection: selection.name().into(),
                    target: "UTF8_STRING".into(),
                }));
            }
            ClipboardEvent::Text {
                request,
                selection,
                text,
            } => {
                let number = u32::try_from(request)
                    .ok()
                    .and_then(|n| clipboard.reading.remove(&n));
                match number {
                    Some((_, Some(request))) => connection.send(contents_packet(request, selection, text)),
                    Some((_, None)) => connection.send(token_packet(selection, text)),
                    None => {}
                }
            }
        }
    }
}

impl Clipboard {
    /// Requests of each kind that may be open; older ones are forgotten.
    const MAX_OPEN: usize = 32;

    /// A number for a read of the local selection, and the client's request that is forgotten for it.
    fn read(&mut self, selection: Selection, request: Option<u64>) -> (u32, Option<(Selection, u64)>) {
        self.next = self.next.wrapping_add(1);
        self.reading.insert(self.next, (selection, request));
        let excess = self.reading.len() > Self::MAX_OPEN;
        let forgotten = excess.then(|| self.reading.pop_first()).flatten();
        let forgotten = forgotten.and_then(|(_, (selection, request))| Some((selection, request?)));
        (self.next, forgotten)
    }

    /// A number for a request to the client, and the local request that is forgotten for it.
    fn ask(&mut self, request: u64) -> (u64, Option<u64>) {
        self.next = self.next.wrapping_add(1);
        self.asked.insert(self.next.into(), request);
        let excess = self.asked.len() > Self::MAX_OPEN;
        let forgotten = excess.then(|| self.asked.pop_first()).flatten();
        (self.next.into(), forgotten.map(|(_, request)| request))
    }
}

fn contents_packet(request: u64, selection: Selection, text: Option<String>) -> Packet {
    Packet::ClipboardContents(ClipboardContents {
        request,
        selection: selection.name().into(),
        contents: text.map_or(Contents::None, Contents::Text),
    })
}

fn token_packet(selection: Selection, text: Option<String>) -> Packet {
    Packet::ClipboardToken(ClipboardToken {
        selection: selection.name().into(),
        text,
        claim: true,
        greedy: false,
    })
}
