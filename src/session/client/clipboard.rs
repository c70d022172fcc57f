//! The clipboard between our display and the server's: tokens say who owns a selection, texts go when asked for.

use crate::display::{Clipboard, ClipboardEvent, Selection};
use crate::packet::{ClipboardContents, ClipboardRequest, ClipboardToken, Contents, Packet};
use compact_str::CompactString;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Which way texts may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    #[default]
    Both,
    /// Only from the server to us.
    ToClient,
    /// Only from us to the server.
    ToServer,
    /// Not at all.
    None,
}

impl Direction {
    /// Whether there is a clipboard at all.
    pub const fn is_on(self) -> bool {
        !matches!(self, Self::None)
    }

    const fn to_client(self) -> bool {
        matches!(self, Self::Both | Self::ToClient)
    }

    const fn to_server(self) -> bool {
        matches!(self, Self::Both | Self::ToServer)
    }
}

/// Targets we serve: all of them text.
const TEXT_TARGETS: [&str; 5] = [
    "UTF8_STRING",
    "TEXT",
    "STRING",
    "text/plain",
    "text/plain;charset=utf-8",
];
/// Largest text sent or kept.
const MAX_TEXT: usize = 8 << 20;
/// Requests to the server, or of the server, that may be open at a time.
const MAX_OPEN: usize = 32;
/// A local program that takes a selection this soon after the server's token may have answered to the token.
const ECHO: Duration = Duration::from_millis(500);
/// So often in a row it may also be the user: beyond, a clipboard manager at each end passes the selection to and fro
/// and would do so for ever.
const MAX_ECHOES: u8 = 8;

/// Carries texts between a display's clipboard and packets.
#[derive(Debug)]
pub(super) struct ClipboardBridge {
    direction: Direction,
    /// The server may switch it off for a while.
    enabled: bool,
    clipboard: Shared,
    primary: Shared,
    next_request: u64,
    /// Requests to the server: our number and the display's.
    asked: VecDeque<(u64, u64)>,
    /// Requests of the server that the display has not answered.
    reading: usize,
}

/// One selection.
#[derive(Debug, Default)]
struct Shared {
    /// When the server said that it owns it, as long as it does.
    token: Option<Instant>,
    /// The text that came with the token.
    text: Option<String>,
    /// How often in a row the selection was taken right after a token.
    echoes: u8,
}

impl ClipboardBridge {
    pub(super) const fn new(direction: Direction) -> Self {
        Self {
            direction,
            enabled: true,
            clipboard: Shared {
                token: None,
                text: None,
                echoes: 0,
            },
            primary: Shared {
                token: None,
                text: None,
                echoes: 0,
            },
            next_request: 1,
            asked: VecDeque::new(),
            reading: 0,
        }
    }

    /// The server switches its clipboard on or off.
    pub(super) const fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// Something happened on the display; may have something to send.
    pub(super) fn event(
        &mut self,
        display: &mut dyn Clipboard,
        event: ClipboardEvent,
        now: Instant,
    ) -> Option<Packet> {
        match event {
            ClipboardEvent::Owned(selection) => self.owned(selection, now),
            ClipboardEvent::Wanted { request, selection } => self.wanted(display, request, selection),
            ClipboardEvent::Text {
                request,
                selection,
                text,
            } => {
                self.reading = self.reading.saturating_sub(1);
                let text = text.filter(|text| text.len() <= MAX_TEXT);
                Some(contents(
                    request,
                    selection.name().into(),
                    text.map_or(Contents::None, Contents::Text),
                ))
            }
        }
    }

    fn owned(&mut self, selection: Selection, now: Instant) -> Option<Packet> {
        let shared = self.shared(selection);
        let echo = shared
            .token
            .is_some_and(|at| now.saturating_duration_since(at) < ECHO);
        let echoes = if echo { shared.echoes.saturating_add(1) } else { 0 };
        *shared = Shared {
            echoes,
            ..Shared::default()
        };
        if echoes > MAX_ECHOES || !self.enabled || !self.direction.to_server() {
            return None;
        }
        Some(Packet::ClipboardToken(ClipboardToken {
            selection: selection.name().into(),
            text: None,
            claim: true,
            greedy: false,
        }))
    }

    fn wanted(&mut self, display: &mut dyn Clipboard, request: u64, selection: Selection) -> Option<Packet> {
        let allowed = self.enabled && self.direction.to_client();
        let shared = self.shared(selection);
        if !allowed || shared.token.is_none() || shared.text.is_some() {
            display.give(request, shared.text.as_deref());
            return None;
        }
        if self.asked.len() >= MAX_OPEN
            && let Some((_, forgotten)) = self.asked.pop_front()
        {
            display.give(forgotten, None);
        }
        let ours = self.next_request;
        self.next_request += 1;
        self.asked.push_back((ours, request));
        Some(Packet::ClipboardRequest(ClipboardRequest {
            request: ours,
            selection: selection.name().into(),
            target: "UTF8_STRING".into(),
        }))
    }

    /// The server owns a selection.
    pub(super) fn token(&mut self, display: &mut dyn Clipboard, token: ClipboardToken, now: Instant) {
        let Some(selection) = Selection::from_name(&token.selection) else {
            return;
        };
        if !self.enabled || !self.direction.to_client() || !token.claim {
            return;
        }
        let shared = self.shared(selection);
        shared.token = Some(now);
        shared.text = token.text.filter(|text| text.len() <= MAX_TEXT);
        display.claim(selection);
    }

    /// The server wants our text; may have the answer at once.
    pub(super) fn request(
        &mut self,
        display: &mut dyn Clipboard,
        request: ClipboardRequest,
    ) -> Option<Packet> {
        let ClipboardRequest {
            request,
            selection,
            target,
        } = request;
        let allowed = self.enabled && self.direction.to_server() && self.reading < MAX_OPEN;
        let answer = match Selection::from_name(&selection) {
            Some(_) if allowed && target == "TARGETS" => {
                Contents::Targets(TEXT_TARGETS.map(CompactString::from).into())
            }
            Some(known) if allowed && TEXT_TARGETS.contains(&target.as_str()) => {
                self.reading += 1;
                display.read(request, known);
                return None;
            }
            _ => Contents::None,
        };
        Some(contents(request, selection, answer))
    }

    /// The server's answer to a request of ours.
    pub(super) fn contents(&mut self, display: &mut dyn Clipboard, answer: &ClipboardContents) {
        let Some(index) = self.asked.iter().position(|(ours, _)| *ours == answer.request) else {
            return;
        };
        if let Some((_, local)) = self.asked.remove(index) {
            let text = match &answer.contents {
                Contents::Text(text) if text.len() <= MAX_TEXT => Some(text.as_str()),
                _ => None,
            };
            display.give(local, text);
        }
    }

    const fn shared(&mut self, selection: Selection) -> &mut Shared {
        match selection {
            Selection::Clipboard => &mut self.clipboard,
            Selection::Primary => &mut self.primary,
        }
    }
}

fn contents(request: u64, selection: CompactString, contents: Contents) -> Packet {
    Packet::ClipboardContents(ClipboardContents {
        request,
        selection,
        contents,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Calls(Vec<String>);

    impl Clipboard for Calls {
        fn claim(&mut self, selection: Selection) {
            self.0.push(format!("claim {}", selection.name()));
        }
        fn read(&mut self, request: u64, selection: Selection) {
            self.0.push(format!("read {request} {}", selection.name()));
        }
        fn give(&mut self, request: u64, text: Option<&str>) {
            self.0.push(format!("give {request} {text:?}"));
        }
    }

    fn token(text: Option<&str>) -> ClipboardToken {
        ClipboardToken {
            selection: "CLIPBOARD".into(),
            text: text.map(str::to_owned),
            claim: true,
            greedy: false,
        }
    }

    const WANTED: ClipboardEvent = ClipboardEvent::Wanted {
        request: 9,
        selection: Selection::Clipboard,
    };
    const OWNED: ClipboardEvent = ClipboardEvent::Owned(Selection::Clipboard);

    #[test]
    fn a_local_program_pastes_from_the_server() {
        let (mut bridge, mut display) = (ClipboardBridge::new(Direction::Both), Calls::default());
        let now = Instant::now();
        bridge.token(&mut display, token(None), now);
        let Some(Packet::ClipboardRequest(asked)) = bridge.event(&mut display, WANTED, now) else {
            panic!("no request");
        };
        let answer = ClipboardContents {
            request: asked.request,
            selection: "CLIPBOARD".into(),
            contents: Contents::Text("text".into()),
        };
        bridge.contents(&mut display, &answer);
        // an answer nobody waits for
        bridge.contents(&mut display, &answer);
        assert_eq!(display.0, ["claim CLIPBOARD", "give 9 Some(\"text\")"]);
    }

    #[test]
    fn an_eager_token_needs_no_request() {
        let (mut bridge, mut display) = (ClipboardBridge::new(Direction::Both), Calls::default());
        bridge.token(&mut display, token(Some("eager")), Instant::now());
        assert_eq!(bridge.event(&mut display, WANTED, Instant::now()), None);
        assert_eq!(display.0[1], "give 9 Some(\"eager\")");
    }

    #[test]
    fn the_server_pastes_from_a_local_program() {
        let (mut bridge, mut display) = (ClipboardBridge::new(Direction::Both), Calls::default());
        let ask = |target: &str| ClipboardRequest {
            request: 4,
            selection: "CLIPBOARD".into(),
            target: target.into(),
        };
        let sent = bridge.event(&mut display, OWNED, Instant::now());
        assert!(matches!(sent, Some(Packet::ClipboardToken(t)) if t.claim && t.text.is_none()));
        let targets = bridge.request(&mut display, ask("TARGETS"));
        assert!(
            matches!(targets, Some(Packet::ClipboardContents(c)) if matches!(c.contents, Contents::Targets(_)))
        );
        assert_eq!(bridge.request(&mut display, ask("UTF8_STRING")), None);
        assert_eq!(display.0, ["read 4 CLIPBOARD"]);
        let text = ClipboardEvent::Text {
            request: 4,
            selection: Selection::Clipboard,
            text: Some("ours".into()),
        };
        let sent = bridge.event(&mut display, text, Instant::now());
        assert_eq!(
            sent,
            Some(contents(4, "CLIPBOARD".into(), Contents::Text("ours".into())))
        );
        let sent = bridge.request(&mut display, ask("image/png"));
        assert_eq!(sent, Some(contents(4, "CLIPBOARD".into(), Contents::None)));
    }

    #[test]
    fn clipboard_managers_at_both_ends_do_not_play_ping_pong() {
        let (mut bridge, mut display) = (ClipboardBridge::new(Direction::Both), Calls::default());
        let now = Instant::now();
        for round in 0..100 {
            bridge.token(&mut display, token(None), now);
            let passed = bridge.event(&mut display, OWNED, now + ECHO / 2).is_some();
            assert_eq!(passed, round < MAX_ECHOES);
        }
        // what the user copies later is his own
        bridge.token(&mut display, token(None), now);
        assert!(bridge.event(&mut display, OWNED, now + ECHO).is_some());
    }

    #[test]
    fn a_closed_direction_gives_nothing_away() {
        let mut display = Calls::default();
        let ask = ClipboardRequest {
            request: 4,
            selection: "PRIMARY".into(),
            target: "STRING".into(),
        };
        let mut inward = ClipboardBridge::new(Direction::ToClient);
        assert_eq!(inward.event(&mut display, OWNED, Instant::now()), None);
        let refused = Some(contents(4, "PRIMARY".into(), Contents::None));
        assert_eq!(inward.request(&mut display, ask), refused);
        let mut outward = ClipboardBridge::new(Direction::ToServer);
        outward.token(&mut display, token(Some("x")), Instant::now());
        assert_eq!(outward.event(&mut display, WANTED, Instant::now()), None);
        assert_eq!(display.0, ["give 9 None"]);
    }

    #[test]
    fn a_server_cannot_pile_up_requests() {
        let (mut bridge, mut display) = (ClipboardBridge::new(Direction::Both), Calls::default());
        let refused = (0..100).filter_map(|request| {
            bridge.request(
                &mut display,
                ClipboardRequest {
                    request,
                    selection: "PRIMARY".into(),
                    target: "STRING".into(),
                },
            )
        });
        assert_eq!(refused.count(), 100 - MAX_OPEN);
    }
}
