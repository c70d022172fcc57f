//! Keyboard, pointer and cursor packets (`session.md` 1.5 and 1.6).

use super::args::{Args, SchemaError};
use crate::codec::{Items, Value, ValueRef};
use crate::display::{Cursor, Key, Modifiers};
use crate::types::{Point, Size};
use bytes::Bytes;
use compact_str::CompactString;

/// A key went down or up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAction {
    /// The window that had the focus.
    pub id: u64,
    /// Which key.
    pub key: Key,
    /// Down or up.
    pub pressed: bool,
    /// Modifiers held.
    pub modifiers: Modifiers,
}

impl KeyAction {
    pub(super) fn parse(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        let id = args.int_or(0);
        let name = args.text_or_empty();
        let pressed = args.bool_or(false);
        let modifiers = modifiers(args.list_or_empty());
        let keysym = small(args.int_or(0));
        let text = args.text_or_empty();
        let keycode = small(args.int_or(0));
        let group = small(args.int_or(0));
        let key = Key {
            name,
            keysym,
            text,
            keycode,
            group,
        };
        Ok(Self {
            id: u64::try_from(id).unwrap_or(0),
            key,
            pressed,
            modifiers,
        })
    }

    /// `keyboard-event`: the details in a dictionary.
    pub(super) fn parse_modern(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        let id = u64::try_from(args.int_or(0)).unwrap_or(0);
        let name = args.text_or_empty();
        let pressed = args.bool_or(false);
        let details = args.value();
        let int = |key: &str| small(details.get(key).and_then(ValueRef::as_int).unwrap_or(0));
        let text = details
            .get("string")
            .and_then(ValueRef::as_text)
            .map(CompactString::from)
            .unwrap_or_default();
        let held = details
            .get("modifiers")
            .and_then(ValueRef::as_list)
            .map(modifiers)
            .unwrap_or_default();
        let key = Key {
            name,
            keysym: int("keyval"),
            text,
            keycode: int("keycode"),
            group: int("group"),
        };
        Ok(Self {
            id,
            key,
            pressed,
            modifiers: held,
        })
    }

    pub(super) fn into_items(self, modern: bool) -> Vec<Value> {
        let Self {
            id,
            key,
            pressed,
            modifiers,
        } = self;
        if modern {
            let mut details = Value::map();
            details.insert("modifiers", modifier_names(modifiers));
            details.insert("keyval", key.keysym);
            details.insert("string", key.text);
            details.insert("keycode", key.keycode);
            details.insert("group", key.group);
            return vec![
                "keyboard-event".into(),
                id.into(),
                key.name.into(),
                pressed.into(),
                details,
            ];
        }
        vec![
            "key-action".into(),
            id.into(),
            key.name.into(),
            pressed.into(),
            modifier_names(modifiers),
            key.keysym.into(),
            key.text.into(),
            key.keycode.into(),
            key.group.into(),
        ]
    }
}

/// The pointer's place and what is held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PointerState {
    /// The window below it.
    pub id: u64,
    /// Position in the server's coordinates as the client believes them.
    pub position: Point,
    /// Position in the window, when the client says.
    pub relative: Option<Point>,
    /// Modifiers held.
    pub modifiers: Modifiers,
    /// Buttons held.
    pub buttons: Vec<u8>,
}

impl PointerState {
    pub(super) fn parse(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        let id = u64::try_from(args.int_or(0)).unwrap_or(0);
        let (position, relative) = position(args)?;
        Ok(Self {
            id,
            position,
            relative,
            modifiers: modifiers(args.list_or_empty()),
            buttons: buttons(args.list_or_empty()),
        })
    }

    /// `pointer-motion`: device, sequence, window, position, properties.
    pub(super) fn parse_modern(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        args.skip();
        args.skip();
        let id = u64::try_from(args.int_or(0)).unwrap_or(0);
        let (position, relative) = position(args)?;
        let (modifiers, buttons) = properties(args.value());
        Ok(Self {
            id,
            position,
            relative,
            modifiers,
            buttons,
        })
    }

    pub(super) fn into_items(self, modern: bool) -> Vec<Value> {
        let at: Value = [self.position.x, self.position.y].into();
        if modern {
            let props = property_map(self.modifiers, &self.buttons);
            return vec![
                "pointer-motion".into(),
                (-1).into(),
                0.into(),
                self.id.into(),
                at,
                props,
            ];
        }
        vec![
            "pointer-position".into(),
            self.id.into(),
            at,
            modifier_names(self.modifiers),
            button_list(&self.buttons),
        ]
    }
}

/// A button went down or up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ButtonAction {
    /// Which button.
    pub button: u8,
    /// Down or up.
    pub pressed: bool,
    /// Where, and what is held.
    pub pointer: PointerState,
}

impl ButtonAction {
    pub(super) fn parse(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        let id = u64::try_from(args.int_or(0)).unwrap_or(0);
        let button = button(args)?;
        let pressed = args.bool_or(false);
        let (position, relative) = position(args)?;
        let modifiers = modifiers(args.list_or_empty());
        let buttons = buttons(args.list_or_empty());
        Ok(Self {
            button,
            pressed,
            pointer: PointerState {
                id,
                position,
                relative,
                modifiers,
                buttons,
            },
        })
    }

    /// `pointer-button`: device, sequence, window, button, pressed, position, properties.
    pub(super) fn parse_modern(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        args.skip();
        args.skip();
        let id = u64::try_from(args.int_or(0)).unwrap_or(0);
        let button = button(args)?;
        let pressed = args.bool_or(false);
        let (position, relative) = position(args)?;
        let (modifiers, buttons) = properties(args.value());
        Ok(Self {
            button,
            pressed,
            pointer: PointerState {
                id,
                position,
                relative,
                modifiers,
                buttons,
            },
        })
    }

    pub(super) fn into_items(self, modern: bool) -> Vec<Value> {
        let Self {
            button,
            pressed,
            pointer,
        } = self;
        let at: Value = [pointer.position.x, pointer.position.y].into();
        if modern {
            let props = property_map(pointer.modifiers, &pointer.buttons);
            return vec![
                "pointer-button".into(),
                (-1).into(),
                0.into(),
                pointer.id.into(),
                button.into(),
                pressed.into(),
                at,
                props,
            ];
        }
        vec![
            "button-action".into(),
            pointer.id.into(),
            button.into(),
            pressed.into(),
            at,
            modifier_names(pointer.modifiers),
            button_list(&pointer.buttons),
        ]
    }
}

/// A wheel turned by a fraction of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WheelMotion {
    /// 4 to 7.
    pub button: u8,
    /// Thousandths of a step.
    pub distance: i64,
    /// Where, and what is held.
    pub pointer: PointerState,
}

impl WheelMotion {
    pub(super) fn parse(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        let id = u64::try_from(args.int_or(0)).unwrap_or(0);
        let button = button(args)?;
        let distance = args.int_or(0);
        let (position, relative) = position(args)?;
        let modifiers = modifiers(args.list_or_empty());
        Ok(Self {
            button,
            distance,
            pointer: PointerState {
                id,
                position,
                relative,
                modifiers,
                buttons: buttons(args.list_or_empty()),
            },
        })
    }
}

/// `cursor`: legacy with everything in one packet, or `cursor-data` and `cursor-default`.
pub(super) fn parse_cursor(args: &mut Args<'_>) -> Result<CursorPacket, SchemaError> {
    if args.left() == 0 {
        return Ok(CursorPacket::Default);
    }
    // very old servers leave the encoding out
    let encoding = if args.next_is_int() {
        CompactString::from("raw")
    } else {
        args.text_or_empty()
    };
    if encoding.is_empty() {
        return Ok(CursorPacket::Default);
    }
    args.skip();
    args.skip();
    let mut cursor = cursor_image(args, &encoding)?;
    cursor.name = args.text_or_empty();
    Ok(CursorPacket::Image(cursor))
}

pub(super) fn parse_cursor_data(args: &mut Args<'_>) -> Result<CursorPacket, SchemaError> {
    let encoding = args.text()?;
    let mut cursor = cursor_image(args, &encoding)?;
    cursor.name = args.text_or_empty();
    Ok(CursorPacket::Image(cursor))
}

fn cursor_image(args: &mut Args<'_>, encoding: &str) -> Result<CursorImage, SchemaError> {
    let size = Size {
        w: args.dimension()?,
        h: args.dimension()?,
    };
    let hot = Point {
        x: args.coordinate()?,
        y: args.coordinate()?,
    };
    let serial = u64::try_from(args.int_or(0)).unwrap_or(0);
    // 6.x `cursor-data` puts the pixels before the name just as the legacy packet does
    let data = args.bytes()?;
    Ok(CursorImage {
        png: encoding == "png",
        size,
        hot,
        serial,
        data,
        name: CompactString::default(),
    })
}

/// What a cursor packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorPacket {
    /// The default cursor of the client.
    Default,
    /// This image.
    Image(CursorImage),
}

/// A cursor image as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorImage {
    /// A PNG file, else premultiplied BGRA.
    pub png: bool,
    /// Size in pixels.
    pub size: Size,
    /// The pixel that points.
    pub hot: Point,
    /// Changes with the shape.
    pub serial: u64,
    /// File or pixels.
    pub data: Bytes,
    /// Theme name, may be empty.
    pub name: CompactString,
}

impl From<Cursor> for CursorPacket {
    fn from(cursor: Cursor) -> Self {
        if cursor.size.is_empty() {
            return Self::Default;
        }
        Self::Image(CursorImage {
            png: false,
            size: cursor.size,
            hot: cursor.hot,
            serial: cursor.serial,
            data: cursor.bgra.into(),
            name: cursor.name.into(),
        })
    }
}

impl CursorPacket {
    pub(super) fn into_items(self) -> Vec<Value> {
        let Self::Image(c) = self else {
            return vec!["cursor".into(), "".into()];
        };
        let size = c.size.w.max(c.size.h);
        vec![
            "cursor".into(),
            if c.png { "png" } else { "raw" }.into(),
            0.into(),
            0.into(),
            c.size.w.into(),
            c.size.h.into(),
            c.hot.x.into(),
            c.hot.y.into(),
            c.serial.into(),
            Value::Bytes(c.data),
            c.name.into(),
            size.into(),
            128.into(),
            128.into(),
        ]
    }
}

/// A position `[x, y]`, with the one in the window behind it from newer clients.
fn position(args: &mut Args<'_>) -> Result<(Point, Option<Point>), SchemaError> {
    let mut list = args.list()?;
    let mut coordinate = || {
        let v = list
            .next()
            .and_then(ValueRef::as_float)
            .filter(|v| v.abs() < f64::from(1 << 20));
        #[expect(clippy::cast_possible_truncation, reason = "bounded by the filter")]
        v.map(|v| v as i32)
    };
    let mut point = || coordinate().zip(coordinate()).map(|(x, y)| Point { x, y });
    point()
        .map(|position| (position, point()))
        .ok_or_else(|| args.wrong("a position"))
}

fn button(args: &mut Args<'_>) -> Result<u8, SchemaError> {
    let button = args.int()?;
    u8::try_from(button)
        .ok()
        .filter(|b| *b > 0)
        .ok_or_else(|| args.wrong("a button from 1 to 255"))
}

fn small(v: i64) -> u32 {
    u32::try_from(v).unwrap_or(0)
}

fn modifiers(list: Items<'_>) -> Modifiers {
    list.take(16)
        .filter_map(ValueRef::as_text)
        .fold(Modifiers::default(), |held, name| {
            Modifiers(held.0 | Modifiers::from_names([&*name]).0)
        })
}

fn buttons(list: Items<'_>) -> Vec<u8> {
    list.take(16)
        .filter_map(ValueRef::as_int)
        .filter_map(|v| u8::try_from(v).ok())
        .collect()
}

fn properties(map: ValueRef<'_>) -> (Modifiers, Vec<u8>) {
    let list = |key: &str| map.get(key).and_then(ValueRef::as_list).unwrap_or_default();
    (modifiers(list("modifiers")), buttons(list("buttons")))
}

fn property_map(held: Modifiers, buttons: &[u8]) -> Value {
    let mut map = Value::map();
    map.insert("modifiers", modifier_names(held));
    map.insert("buttons", button_list(buttons));
    map
}

fn modifier_names(held: Modifiers) -> Value {
    Value::List(held.names().map(Value::from).collect())
}

fn button_list(buttons: &[u8]) -> Value {
    Value::List(buttons.iter().map(|b| Value::from(*b)).collect())
}
