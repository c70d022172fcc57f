//! Windows and pictures: creation, metadata, draws and their acknowledgements (`session.md` 1.2 to 1.5).

use super::args::{Args, SchemaError};
use crate::codec::{Value, ValueRef};
use crate::display::{SizeHints, WindowMetadata};
use crate::picture::{Coded, Compression, Move, Payload};
use crate::types::{Encoding, PixelFormat, Rect, Size, Span, WindowId};
use compact_str::CompactString;

/// What kind of window the server created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WindowKind {
    /// A window the window manager handles.
    #[default]
    Normal,
    /// A menu, tooltip and the like: placed by the server.
    OverrideRedirect,
    /// A system tray icon.
    Tray,
}

/// `new-window` and its two sisters.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowCreate {
    /// Which window.
    pub id: WindowId,
    /// Position and size on the server.
    pub rect: Rect,
    /// What kind.
    pub kind: WindowKind,
    /// Metadata as on the wire; [`metadata`] reads it.
    pub metadata: Value,
    /// What another client told the server about it.
    pub properties: Value,
}

impl WindowCreate {
    pub(super) fn parse(args: &mut Args<'_>, kind: WindowKind) -> Result<Self, SchemaError> {
        let id = window_id(args)?;
        let (x, y) = match kind {
            WindowKind::Tray => (0, 0),
            _ => (args.coordinate()?, args.coordinate()?),
        };
        let rect = Rect {
            x,
            y,
            w: args.dimension()?.max(1),
            h: args.dimension()?.max(1),
        };
        let metadata = args.map_or_empty();
        let properties = args.map_or_empty();
        let said = |key: &str| metadata.get(key).and_then(Value::as_bool).unwrap_or(false);
        let kind = match kind {
            WindowKind::Normal if said("override-redirect") => WindowKind::OverrideRedirect,
            WindowKind::Normal if said("tray") => WindowKind::Tray,
            kind => kind,
        };
        Ok(Self {
            id,
            rect,
            kind,
            metadata,
            properties,
        })
    }

    pub(super) fn into_items(self, modern: bool) -> Vec<Value> {
        let Self {
            id,
            rect,
            kind,
            mut metadata,
            properties,
        } = self;
        let name = match kind {
            _ if modern => "window-create",
            WindowKind::Normal => "new-window",
            WindowKind::OverrideRedirect => "new-override-redirect",
            WindowKind::Tray => {
                return vec![
                    "new-tray".into(),
                    id.0.into(),
                    rect.w.into(),
                    rect.h.into(),
                    metadata,
                ];
            }
        };
        match kind {
            WindowKind::OverrideRedirect => metadata.insert("override-redirect", true),
            WindowKind::Tray => metadata.insert("tray", true),
            WindowKind::Normal => {}
        }
        vec![
            name.into(),
            id.0.into(),
            rect.x.into(),
            rect.y.into(),
            rect.w.into(),
            rect.h.into(),
            metadata,
            properties,
        ]
    }
}

/// Reads wire metadata; only the keys present are set.
pub fn metadata(value: &Value) -> WindowMetadata {
    let text = |key: &str| {
        value
            .get(key)
            .and_then(Value::as_text)
            .map(std::borrow::Cow::into_owned)
    };
    let flag = |key: &str| value.get(key).and_then(Value::as_bool);
    let texts = |key: &str| -> Option<Vec<String>> {
        let list = value.get(key)?.as_list()?;
        Some(
            list.iter()
                .filter_map(|v| v.as_text().map(std::borrow::Cow::into_owned))
                .collect(),
        )
    };
    WindowMetadata {
        title: text("title"),
        icon_title: text("icon-title"),
        class_instance: texts("class-instance").and_then(|names| match names.as_slice() {
            [instance, class, ..] => Some((instance.clone(), class.clone())),
            _ => None,
        }),
        role: text("role"),
        window_type: texts("window-type"),
        transient_for: value.get("transient-for").map(|v| {
            v.as_int()
                .and_then(|id| u64::try_from(id).ok())
                .filter(|id| *id > 0)
                .map(WindowId)
        }),
        size_hints: value
            .get("size-constraints")
            .or_else(|| value.get("size-hints"))
            .map(size_hints),
        decorations: value
            .get("decorations")
            .map(|v| v.as_int().is_none_or(|bits| bits != 0)),
        modal: flag("modal"),
        iconic: flag("iconic"),
        fullscreen: flag("fullscreen"),
        maximized: flag("maximized"),
        above: flag("above"),
        below: flag("below"),
        sticky: flag("sticky"),
        skip_taskbar: flag("skip-taskbar"),
        skip_pager: flag("skip-pager"),
        has_alpha: flag("has-alpha"),
        opacity: value.get("opacity").and_then(Value::as_float).map(|v| {
            // 3.1 sends the property's 32-bit value, others a fraction
            if v > 1.0 { v / f64::from(u32::MAX) } else { v }
        }),
        shadow: flag("shadow"),
    }
}

fn size_hints(value: &Value) -> SizeHints {
    let size = |key: &str| -> Option<Size> {
        match value.get(key)?.as_list()? {
            [w, h, ..] => {
                let clamp = |v: &Value| v.as_int().map(|v| u32::try_from(v.clamp(0, 32767)).unwrap_or(0));
                Some(Size {
                    w: clamp(w)?,
                    h: clamp(h)?,
                })
            }
            _ => None,
        }
    };
    let aspect = |key: &str| -> Option<f64> {
        match value.get(key)? {
            Value::List(pair) => match pair.as_slice() {
                [w, h, ..] => Some(w.as_float()? / h.as_float()?).filter(|v| v.is_finite() && *v > 0.0),
                _ => None,
            },
            number => number.as_float(),
        }
    };
    SizeHints {
        minimum: size("minimum-size"),
        maximum: size("maximum-size"),
        base: size("base-size"),
        increment: size("increment"),
        minimum_aspect: aspect("minimum-aspect"),
        maximum_aspect: aspect("maximum-aspect"),
    }
}

/// `draw`: a rectangle of new pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    /// Which window.
    pub id: WindowId,
    /// Where in the window's content.
    pub rect: Rect,
    /// The pixels. `Err` holds an encoding name we do not know: the draw must still be acknowledged.
    pub coded: Result<Coded, CompactString>,
    /// To be acknowledged with.
    pub sequence: u64,
    /// How many more draws belong to the same update; 0 shows it.
    pub flush: u32,
    /// False: decode, but do not show.
    pub paint: bool,
    /// Lossless draws say 100; a remark for statistics and refresh.
    pub speed: Option<u8>,
}

impl Draw {
    pub(super) fn parse(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        let id = window_id(args)?;
        let rect = Rect::new(
            args.coordinate()?,
            args.coordinate()?,
            args.dimension()?,
            args.dimension()?,
        );
        let name = args.text()?;
        let data = args.value();
        let sequence = args.u64()?;
        let stride = u32::try_from(args.int_or(0)).unwrap_or(0);
        let options = args.value();
        let small = |key: &str| {
            options
                .get(key)
                .and_then(ValueRef::as_int)
                .and_then(|v| u8::try_from(v).ok())
        };
        let coded = match Encoding::from_name(&name) {
            None => Err(name),
            Some(encoding) => Ok(Coded {
                encoding,
                data: payload(encoding, data, options).ok_or_else(|| args.wrong("picture data"))?,
                stride,
                format: options
                    .get("rgb_format")
                    .and_then(ValueRef::as_text)
                    .and_then(|f| PixelFormat::from_name(&f)),
                compression: [
                    ("lz4", Compression::Lz4),
                    ("zlib", Compression::Zlib),
                    ("zstd", Compression::Zstd),
                ]
                .into_iter()
                .find_map(|(key, kind)| small(key).filter(|level| *level > 0).map(|level| (kind, level))),
                quality: small("quality").filter(|q| *q <= 100),
                scaled_size: options.get("scaled_size").and_then(read_size),
                has_alpha: options
                    .get("has_alpha")
                    .and_then(ValueRef::as_bool)
                    .unwrap_or(false),
            }),
        };
        let flush = options
            .get("flush")
            .and_then(ValueRef::as_int)
            .and_then(|v| u32::try_from(v).ok())
            .unwrap_or(0);
        let paint = options.get("paint").and_then(ValueRef::as_bool).unwrap_or(true);
        Ok(Self {
            id,
            rect,
            coded,
            sequence,
            flush,
            paint,
            speed: small("speed"),
        })
    }

    pub(super) fn into_items(self, modern: bool) -> Vec<Value> {
        let mut options = Vec::with_capacity(5);
        let mut option = |key: &'static str, value: Value| options.push((Value::from(key), value));
        let (name, data, stride) = match self.coded {
            Err(name) => (Value::Text(name), Value::Bytes(bytes::Bytes::new()), 0),
            Ok(coded) => {
                if let Some(format) = coded.format {
                    option("rgb_format", format.name().into());
                }
                if let Some((kind, level)) = coded.compression {
                    let key = match kind {
                        Compression::Lz4 => "lz4",
                        Compression::Zlib => "zlib",
                        Compression::Zstd => "zstd",
                    };
                    option(key, level.into());
                }
                if let Some(quality) = coded.quality {
                    option("quality", quality.into());
                }
                if let Some(size) = coded.scaled_size {
                    option("scaled_size", [size.w, size.h].into());
                }
                if coded.has_alpha {
                    option("has_alpha", true.into());
                }
                let data = match coded.data {
                    Payload::Bytes(bytes) => Value::Bytes(bytes),
                    Payload::Scroll(moves) => {
                        let list = moves.iter().map(move_items).collect::<Vec<_>>();
                        option("scroll", Value::List(list.clone()));
                        Value::List(list)
                    }
                    Payload::Shared(spans) => {
                        let list = spans.iter().map(|s| [s.offset, s.len].into()).collect::<Vec<_>>();
                        option("chunks", Value::List(list.clone()));
                        Value::List(list)
                    }
                };
                (coded.encoding.name().into(), data, coded.stride)
            }
        };
        if let Some(speed) = self.speed {
            option("speed", speed.into());
        }
        if !self.paint {
            option("paint", false.into());
        }
        option("flush", self.flush.into());
        vec![
            if modern { "window-draw" } else { "draw" }.into(),
            self.id.0.into(),
            self.rect.x.into(),
            self.rect.y.into(),
            self.rect.w.into(),
            self.rect.h.into(),
            name,
            data,
            self.sequence.into(),
            stride.into(),
            Value::Map(options),
        ]
    }
}

/// Pieces of a picture in shared memory: writers make one or two.
const MAX_SPANS: usize = 16;

fn payload(encoding: Encoding, data: ValueRef<'_>, options: ValueRef<'_>) -> Option<Payload> {
    if encoding == Encoding::Mmap {
        let list = options.get("chunks").and_then(ValueRef::as_list);
        let mut list = list.or_else(|| data.as_list())?;
        let spans: Option<Vec<_>> = list.by_ref().take(MAX_SPANS).map(read_span).collect();
        return spans.filter(|_| list.next().is_none()).map(Payload::Shared);
    }
    if encoding != Encoding::Scroll {
        return data.to_bytes().map(Payload::Bytes);
    }
    let list = options
        .get("scroll")
        .and_then(ValueRef::as_list)
        .or_else(|| data.as_list())?;
    list.map(read_move)
        .collect::<Option<Vec<_>>>()
        .map(Payload::Scroll)
}

fn read_span(value: ValueRef<'_>) -> Option<Span> {
    let mut numbers = value.as_list()?.map(|n| u32::try_from(n.as_int()?).ok());
    Some(Span {
        offset: numbers.next()??,
        len: numbers.next()??,
    })
}

fn read_size(value: ValueRef<'_>) -> Option<Size> {
    let mut sides = value.as_list()?.map(|side| {
        let side = u32::try_from(side.as_int()?).ok();
        side.filter(|side| *side < 1 << 15)
    });
    Some(Size {
        w: sides.next()??,
        h: sides.next()??,
    })
}

fn read_move(value: ValueRef<'_>) -> Option<Move> {
    let numbers = value.as_list()?;
    if numbers.len() != 6 {
        return None;
    }
    let mut numbers = numbers.map(ValueRef::as_int);
    let mut number = || numbers.next()??.try_into().ok();
    let [x, y, w, h, dx, dy]: [i32; 6] = [number()?, number()?, number()?, number()?, number()?, number()?];
    let rect = Rect {
        x,
        y,
        w: u32::try_from(w).ok()?,
        h: u32::try_from(h).ok()?,
    };
    Some(Move { rect, dx, dy })
}

fn move_items(m: &Move) -> Value {
    Value::List(vec![
        m.rect.x.into(),
        m.rect.y.into(),
        m.rect.w.into(),
        m.rect.h.into(),
        m.dx.into(),
        m.dy.into(),
    ])
}

/// `damage-sequence`: a draw was painted (`session.md` 1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrawAck {
    /// The draw's sequence.
    pub sequence: u64,
    /// The draw's window.
    pub id: WindowId,
    /// The draw's size.
    pub size: Size,
    /// Microseconds to decode and paint; 0 skipped, -1 failed, -2 unknown window (6.x only).
    pub decode_time: i64,
    /// What went wrong.
    pub message: CompactString,
}

impl DrawAck {
    pub(super) fn parse(args: &mut Args<'_>, reordered: bool) -> Result<Self, SchemaError> {
        // `window-ack` of 6.6 has the sequence after the size
        let mut sequence = 0;
        if !reordered {
            sequence = args.u64()?;
        }
        let id = window_id(args)?;
        let size = Size {
            w: args.dimension()?,
            h: args.dimension()?,
        };
        if reordered {
            sequence = args.u64()?;
        }
        Ok(Self {
            sequence,
            id,
            size,
            decode_time: args.int_or(0),
            message: args.text_or_empty(),
        })
    }

    pub(super) fn into_items(self, modern: bool) -> Vec<Value> {
        let name = if modern {
            "window-draw-ack"
        } else {
            "damage-sequence"
        };
        vec![
            name.into(),
            self.sequence.into(),
            self.id.0.into(),
            self.size.w.into(),
            self.size.h.into(),
            self.decode_time.into(),
            Value::Text(self.message),
        ]
    }
}

/// `window-icon`.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowIcon {
    /// Which window.
    pub id: WindowId,
    /// Size of the icon.
    pub size: Size,
    /// `png`, `premult_argb32`, `BGRA` or `default`.
    pub encoding: CompactString,
    /// The file or pixels.
    pub data: bytes::Bytes,
}

/// `map-window` and `configure-window`: where the client shows a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WindowPlace {
    /// Which window.
    pub id: u64,
    /// Place of the content in the client's root coordinates.
    pub rect: Rect,
    /// Client properties.
    pub properties: Value,
    /// State flags such as `maximized`.
    pub state: Value,
    /// The last `window-resized` or `window-move-resize` counter seen (configure only).
    pub resize_counter: i64,
    /// True when only the state changed (configure only).
    pub skip_geometry: bool,
}

impl WindowPlace {
    pub(super) fn parse_map(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        let (id, rect) = (window_id(args)?.0, rect(args)?);
        Ok(Self {
            id,
            rect,
            properties: args.map_or_empty(),
            state: args.map_or_empty(),
            ..Self::default()
        })
    }

    pub(super) fn parse_configure(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        let (id, rect) = (window_id(args)?.0, rect(args)?);
        Ok(Self {
            id,
            rect,
            properties: args.map_or_empty(),
            resize_counter: args.int_or(0),
            state: args.map_or_empty(),
            skip_geometry: args.bool_or(false),
        })
    }

    /// `window-configure`: everything in one dictionary.
    pub(super) fn parse_modern(args: &mut Args<'_>) -> Result<Self, SchemaError> {
        let id = window_id(args)?.0;
        let config = args.value();
        let geometry = config.get("geometry").and_then(ValueRef::as_list).map(|list| {
            list.filter_map(ValueRef::as_int)
                .filter_map(|v| i32::try_from(v).ok())
                .collect::<Vec<_>>()
        });
        let rect = match geometry.as_deref() {
            Some([x, y, w, h]) => Some(Rect {
                x: *x,
                y: *y,
                w: u32::try_from(*w).map_err(|_| args.wrong("a geometry"))?,
                h: u32::try_from(*h).map_err(|_| args.wrong("a geometry"))?,
            }),
            _ => None,
        };
        Ok(Self {
            id,
            rect: rect.unwrap_or_default(),
            properties: config
                .get("properties")
                .map_or_else(Value::map, ValueRef::to_value),
            state: config.get("state").map_or_else(Value::map, ValueRef::to_value),
            resize_counter: config
                .get("resize-counter")
                .and_then(ValueRef::as_int)
                .unwrap_or(0),
            skip_geometry: rect.is_none(),
        })
    }

    pub(super) fn map_items(self, modern: bool) -> Vec<Value> {
        let name = if modern { "window-map" } else { "map-window" };
        let Rect { x, y, w, h } = self.rect;
        vec![
            name.into(),
            self.id.into(),
            x.into(),
            y.into(),
            w.into(),
            h.into(),
            or_map(self.properties),
            or_map(self.state),
        ]
    }

    pub(super) fn configure_items(self, modern: bool) -> Vec<Value> {
        let Rect { x, y, w, h } = self.rect;
        if modern {
            let mut config = Value::map();
            if !self.skip_geometry {
                config.insert("geometry", vec![Value::from(x), y.into(), w.into(), h.into()]);
            }
            config.insert("resize-counter", self.resize_counter);
            config.insert("properties", or_map(self.properties));
            config.insert("state", or_map(self.state));
            return vec!["window-configure".into(), self.id.into(), config];
        }
        vec![
            "configure-window".into(),
            self.id.into(),
            x.into(),
            y.into(),
            w.into(),
            h.into(),
            or_map(self.properties),
            self.resize_counter.into(),
            or_map(self.state),
            self.skip_geometry.into(),
        ]
    }
}

fn or_map(value: Value) -> Value {
    if matches!(value, Value::Map(_)) {
        value
    } else {
        Value::map()
    }
}

fn rect(args: &mut Args<'_>) -> Result<Rect, SchemaError> {
    Ok(Rect {
        x: args.coordinate()?,
        y: args.coordinate()?,
        w: args.dimension()?,
        h: args.dimension()?,
    })
}

pub(super) fn window_id(args: &mut Args<'_>) -> Result<WindowId, SchemaError> {
    let id = args.u64()?;
    if id < 1 << 48 {
        Ok(WindowId(id))
    } else {
        Err(args.wrong("a window id"))
    }
}
