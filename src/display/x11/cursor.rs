//! The shape of the display's cursor.

use super::connection::{Connection, Fault};
use crate::display::Cursor;
use crate::types::{Point, Size};
use x11rb::errors::ReplyError;
use x11rb::protocol::xfixes::ConnectionExt as _;

/// The cursor as it is now; the default one when there is none (no pointer device).
pub(super) fn query(connection: &Connection) -> Result<Cursor, Fault> {
    let reply = match connection.x().xfixes_get_cursor_image_and_name()?.reply() {
        Ok(reply) => reply,
        Err(ReplyError::X11Error(_)) => return Ok(Cursor::default()),
        Err(e) => return Err(e.into()),
    };
    Ok(Cursor {
        serial: reply.cursor_serial.into(),
        name: String::from_utf8_lossy(&reply.name).into_owned(),
        size: Size::new(reply.width.into(), reply.height.into()),
        hot: Point {
            x: reply.xhot.into(),
            y: reply.yhot.into(),
        },
        // The words are premultiplied ARGB: blue comes first in memory.
        bgra: reply
            .cursor_image
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect(),
    })
}
