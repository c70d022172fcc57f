//! Cursor shapes of the server, as cursors of our display.

use crate::display::Cursor;
use crate::display::x11::windows::surface::{i16_of, u16_of};
use std::collections::VecDeque;
use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::errors::ReplyOrIdError;
use x11rb::protocol::render::{self, ConnectionExt as _, PictType, Pictformat};
use x11rb::protocol::xproto::{self, ConnectionExt as _, CreateGCAux, ImageFormat, Screen};
use x11rb::resource_manager::Database;
use x11rb::rust_connection::RustConnection;

/// The largest shape either way.
const MAX_SIDE: u32 = 256;

/// Shapes kept for when they come again.
const MAX_SHAPES: usize = 64;

/// The shapes known to the display.
#[derive(Debug)]
pub(super) struct Cursors {
    root: xproto::Window,
    /// The format of a shape's pixels; without it every shape is the default one.
    argb: Option<Pictformat>,
    default: xproto::Cursor,
    current: xproto::Cursor,
    /// Serial number and cursor, oldest use first.
    shapes: VecDeque<(u64, xproto::Cursor)>,
}

impl Cursors {
    pub(super) fn new(
        conn: &RustConnection,
        screen: &Screen,
        number: usize,
        resources: &Database,
    ) -> Result<Self, ReplyOrIdError> {
        let argb = if conn.extension_information(render::X11_EXTENSION_NAME)?.is_some() {
            find_argb(&conn.render_query_pict_formats()?.reply()?.formats)
        } else {
            None
        };
        let theme = x11rb::cursor::Handle::new(conn, number, resources)?.reply()?;
        let default = theme.load_cursor(conn, "left_ptr")?;
        Ok(Self {
            root: screen.root,
            argb,
            default,
            current: default,
            shapes: VecDeque::new(),
        })
    }

    /// The cursor over our windows now.
    pub(super) const fn current(&self) -> xproto::Cursor {
        self.current
    }

    /// Makes `cursor` the current one; false when it is so already.
    pub(super) fn select(&mut self, conn: &RustConnection, cursor: &Cursor) -> Result<bool, ReplyOrIdError> {
        let selected = self.find_or_create(conn, cursor)?.unwrap_or(self.default);
        Ok(std::mem::replace(&mut self.current, selected) != selected)
    }

    /// The display's cursor for a shape; `None` for the default shape and for shapes that cannot be shown.
    fn find_or_create(
        &mut self,
        conn: &RustConnection,
        cursor: &Cursor,
    ) -> Result<Option<xproto::Cursor>, ReplyOrIdError> {
        let Some(argb) = self.argb else {
            return Ok(None);
        };
        if cursor.size.is_empty()
            || cursor.size.w > MAX_SIDE
            || cursor.size.h > MAX_SIDE
            || cursor.bgra.len() as u64 != cursor.size.area() * 4
        {
            return Ok(None);
        }
        let known = self
            .shapes
            .iter()
            .position(|(serial, _)| *serial == cursor.serial);
        let shape = match known.and_then(|index| self.shapes.remove(index)) {
            Some(shape) => shape,
            None => (cursor.serial, create(conn, self.root, argb, cursor)?),
        };
        if self.shapes.len() >= MAX_SHAPES
            && let Some((_, old)) = self.shapes.pop_front()
        {
            conn.free_cursor(old)?; // windows that still show it keep it
        }
        self.shapes.push_back(shape);
        Ok(Some(shape.1))
    }
}

fn create(
    conn: &RustConnection,
    root: xproto::Window,
    argb: Pictformat,
    cursor: &Cursor,
) -> Result<xproto::Cursor, ReplyOrIdError> {
    let (w, h) = (u16_of(cursor.size.w), u16_of(cursor.size.h));
    let [pixmap, gc, picture, id] = [
        conn.generate_id()?,
        conn.generate_id()?,
        conn.generate_id()?,
        conn.generate_id()?,
    ];
    conn.create_pixmap(32, pixmap, root, w, h)?;
    conn.create_gc(gc, pixmap, &CreateGCAux::new())?;
    conn.put_image(ImageFormat::Z_PIXMAP, pixmap, gc, w, h, 0, 0, 0, 32, &cursor.bgra)?;
    conn.render_create_picture(picture, pixmap, argb, &render::CreatePictureAux::new())?;
    let hot = |position: i32, length: u16| u16_of(i16_of(position).max(0)).min(length.saturating_sub(1));
    conn.render_create_cursor(id, picture, hot(cursor.hot.x, w), hot(cursor.hot.y, h))?;
    conn.render_free_picture(picture)?;
    conn.free_gc(gc)?;
    conn.free_pixmap(pixmap)?;
    Ok(id)
}

/// The format of four bytes: blue, green, red, alpha.
fn find_argb(formats: &[render::Pictforminfo]) -> Option<Pictformat> {
    let fits = |format: &&render::Pictforminfo| {
        let d = &format.direct;
        format.type_ == PictType::DIRECT
            && format.depth == 32
            && [d.blue_shift, d.green_shift, d.red_shift, d.alpha_shift] == [0, 8, 16, 24]
            && [d.blue_mask, d.green_mask, d.red_mask, d.alpha_mask] == [0xff; 4]
    };
    formats.iter().find(fits).map(|format| format.id)
}
