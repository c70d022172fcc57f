//! WebSocket frames: however they are cut they mean the same, and no bytes harm whoever reads them.

use proptest::prelude::*;
use xpra::transport::websocket::{Decoder, Endpoint, Event, FrameError, Kind, Masks, Role, Rules};

/// A frame as it is on the wire.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![4 => 0..3u8, 2 => 8..11u8, 1 => any::<u8>()];
    let payload = prop::collection::vec(any::<u8>(), 0..300);
    let mask = prop::option::of(any::<[u8; 4]>());
    (opcode, any::<bool>(), mask, payload).prop_map(|(opcode, is_final, mask, mut payload)| {
        if opcode & 8 != 0 {
            payload.truncate(125);
        }
        let mut frame = vec![opcode | if is_final || opcode & 8 != 0 { 0x80 } else { 0 }];
        let masked = if mask.is_some() { 0x80 } else { 0 };
        match u8::try_from(payload.len()) {
            Ok(length @ 0..=125) => frame.push(masked | length),
            _ => {
                frame.push(masked | 126);
                frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        for key in mask.iter().flatten() {
            frame.push(*key);
        }
        let keys = mask.unwrap_or_default().into_iter().cycle();
        frame.extend(payload.iter().zip(keys).map(|(byte, key)| byte ^ key));
        frame
    })
}

/// Valid frames and nonsense.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![6 => frame(), 1 => prop::collection::vec(any::<u8>(), 0..40)];
    prop::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
}

/// What was said, however it was cut: messages as far as they came, and control frames.
#[derive(Clone, Debug, Default, PartialEq)]
struct Heard {
    messages: Vec<(Kind, Vec<u8>, bool)>,
    controls: Vec<Event>,
    error: Option<FrameError>,
}

impl Heard {
    fn event(&mut self, event: Event, bytes: &[u8]) {
        let Event::Data(piece) = event else {
            self.controls.push(event);
            return;
        };
        let payload = bytes.get(piece.payload).unwrap();
        match self
            .messages
            .last_mut()
            .filter(|(_, _, is_complete)| !is_complete)
        {
            Some((kind, message, is_complete)) => {
                assert_eq!(*kind, piece.kind);
                message.extend_from_slice(payload);
                *is_complete = piece.is_last;
            }
            None => self.messages.push((piece.kind, payload.to_vec(), piece.is_last)),
        }
    }

    /// An unfinished message may have been begun, or not yet.
    fn settled(mut self) -> Self {
        self.messages
            .retain(|(_, message, is_complete)| *is_complete || !message.is_empty());
        self
    }
}

fn hear(rules: Rules, pieces: impl Iterator<Item = Vec<u8>>) -> Heard {
    let mut decoder = Decoder::new(rules);
    let mut heard = Heard::default();
    for mut bytes in pieces {
        let mut at = 0;
        while at < bytes.len() {
            match decoder.decode(bytes.get_mut(at..).unwrap()) {
                Ok((used, event)) => {
                    if let Some(event) = event {
                        heard.event(event, bytes.get(at..at + used).unwrap());
                    }
                    assert!(used > 0, "no progress");
                    at += used;
                }
                Err(error) => {
                    heard.error = Some(error);
                    return heard.settled();
                }
            }
        }
    }
    heard.settled()
}

fn rules() -> impl Strategy<Value = Rules> {
    let masks = prop_oneof![3 => Just(Masks::Allowed), 1 => Just(Masks::Refused), 1 => Just(Masks::Required)];
    (masks, any::<bool>()).prop_map(|(masks, checks_text)| Rules { masks, checks_text })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn cut_anywhere_is_the_same(rules in rules(), stream in stream(), cuts in prop::collection::vec(1..50usize, 1..9)) {
        let whole = hear(rules, [stream.clone()].into_iter());
        let mut rest = stream.as_slice();
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, left) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece.to_vec());
            rest = left;
        }
        let mut cut = hear(rules, pieces.into_iter());
        if whole.error == Some(FrameError::Text) {
            // wrong text is noticed with its piece: the good beginning of that may have been told before
            let complete = |heard: &mut Heard| heard.messages.retain(|(_, _, is_complete)| *is_complete);
            let mut whole = whole.clone();
            complete(&mut whole);
            complete(&mut cut);
            prop_assert_eq!(whole, cut);
        } else {
            prop_assert_eq!(whole, cut);
        }
    }

    #[test]
    fn what_waits_to_be_sent_is_bounded(
        is_client in any::<bool>(),
        is_browser in any::<bool>(),
        stream in stream(),
        times in 1..200usize,
        sent in 0..100usize,
    ) {
        let role = if is_client { Role::Client } else { Role::Server { is_browser } };
        let mut endpoint = Endpoint::new(role, true);
        for _ in 0..times {
            let mut bytes = stream.clone();
            let mut at = 0;
            while at < bytes.len() {
                match endpoint.receive(bytes.get_mut(at..).unwrap()) {
                    Ok((used, _)) => at += used,
                    Err(error) => {
                        prop_assert!(endpoint.has_closed());
                        prop_assert_eq!(endpoint.error(), Some(error));
                        at = bytes.len();
                    }
                }
            }
            endpoint.sent(sent);
            prop_assert!(endpoint.out().len() < 4096 + 300);
        }
        endpoint.close();
        let mut rounds = 0;
        while !endpoint.out().is_empty() {
            endpoint.sent(endpoint.out().len());
            rounds += 1;
        }
        prop_assert!(rounds <= 2);
        prop_assert!(endpoint.send(Kind::Binary, b"more").is_err());
    }
}
