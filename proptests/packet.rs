//! Packets: whatever the arguments, reading them is an error or a packet that can be written and read again.

use crate::strategies;
use proptest::prelude::*;
use xpra::codec::{Coding, Limits, Tape, Value};
use xpra::packet::{Names, Packet, SchemaError, Side};

/// Types with arguments worth reading, in both spellings.
const TYPES: &[&str] = &[
    "bell",
    "buffer-refresh",
    "button-action",
    "challenge",
    "clipboard-contents",
    "clipboard-request",
    "clipboard-token",
    "configure-display",
    "configure-window",
    "cursor",
    "cursor-data",
    "damage-sequence",
    "desktop_size",
    "disconnect",
    "draw",
    "encodings",
    "focus",
    "hello",
    "info-request",
    "key-action",
    "keyboard-event",
    "keymap-changed",
    "lost-window",
    "map-window",
    "new-override-redirect",
    "new-tray",
    "new-window",
    "notify_show",
    "ping",
    "ping_echo",
    "pointer-button",
    "pointer-motion",
    "pointer-position",
    "screenshot",
    "setting-change",
    "wheel-motion",
    "window-ack",
    "window-configure",
    "window-create",
    "window-draw",
    "window-icon",
    "window-metadata",
    "window-move-resize",
    "window-resized",
];

fn read(items: &Value, sender: Side) -> Result<Packet, SchemaError> {
    let mut body = Vec::new();
    Coding::Rencodeplus.encode(items, &mut body).unwrap();
    let mut tape = Tape::new();
    let value = tape
        .decode(Coding::Rencodeplus, body.into(), &Limits::after_hello())
        .unwrap();
    Packet::parse(value.as_list().unwrap(), sender)
}

fn written(packet: Packet) -> Value {
    Value::List(packet.into_items(&Names::default()))
}

/// Arguments of the kinds packets have, so that some pass.
fn argument() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (-3_i64..2000).prop_map(Value::Int),
        1 => any::<i64>().prop_map(Value::Int),
        1 => any::<bool>().prop_map(Value::Bool),
        2 => "[a-zA-Z0-9/+]{0,12}".prop_map(Value::from),
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(|data| Value::Bytes(data.into())),
        1 => prop::collection::vec((-5_i64..500).prop_map(Value::Int), 0..7).prop_map(Value::List),
        2 => strategies::value(Coding::Rencodeplus),
    ]
}

proptest! {
    #[test]
    fn what_was_read_can_be_written_and_read(
        name in prop::sample::select(TYPES),
        arguments in prop::collection::vec(argument(), 0..14),
        server in any::<bool>(),
    ) {
        let sender = if server { Side::Server } else { Side::Client };
        let mut items = vec![Value::from(name)];
        items.extend(arguments);
        if let Ok(packet) = read(&Value::List(items), sender) {
            // the first writing may drop what the packet type does not keep, later ones nothing
            let once = read(&written(packet), sender);
            prop_assert!(once.is_ok(), "{once:?}");
            let text = format!("{once:?}");
            let twice = read(&written(once.unwrap()), sender);
            prop_assert_eq!(text, format!("{twice:?}"));
        }
    }
}
