//! Reads pixels of the root window.

use super::connection::{Connection, Fault};
use super::shm::Segment;
use crate::display::SharedFile;
use crate::types::{Image, PixelFormat, Rect, Size};
use std::ops::Range;
use x11rb::errors::ReplyError;
use x11rb::protocol::shm::ConnectionExt as _;
use x11rb::protocol::xproto::{ConnectionExt as _, ImageFormat};

/// Bytes of a pixel.
const BYTES: usize = 4;

/// Where captured pixels go: shared memory when the server can write there, else copies sent through the socket.
#[derive(Debug)]
pub(super) enum Capture {
    Shared(Segment),
    Sent(Vec<Vec<u8>>),
}

impl Capture {
    /// Room for a screen of this size.
    pub(super) fn new(connection: &Connection, size: Size) -> Result<Self, Fault> {
        let len = usize::try_from(size.area())
            .unwrap_or(usize::MAX)
            .saturating_mul(BYTES);
        Ok(Segment::new(connection, len)?.map_or_else(|| Self::Sent(Vec::new()), Self::Shared))
    }

    /// Makes room for another size.
    pub(super) fn resize(&mut self, connection: &Connection, size: Size) -> Result<(), Fault> {
        match std::mem::replace(self, Self::Sent(Vec::new())) {
            Self::Shared(segment) => {
                segment.detach(connection)?;
                *self = Self::new(connection, size)?;
                Ok(())
            }
            Self::Sent(_) => Ok(()),
        }
    }

    /// Reads rectangles: all requests leave before the first answer is awaited. A rectangle that is not on the
    /// screen, or finds no room because others overlap, gives no image.
    pub(super) fn read(
        &mut self,
        connection: &Connection,
        rects: &[Rect],
    ) -> Result<Vec<(Rect, Image<'_>)>, Fault> {
        match self {
            Self::Shared(segment) => {
                let places = read_shared(connection, segment, rects)?;
                let images = places
                    .into_iter()
                    .filter_map(|(rect, place)| Some((rect, image(segment.bytes().get(place)?, rect)?)));
                Ok(images.collect())
            }
            Self::Sent(buffers) => {
                *buffers = read_sent(connection, rects)?;
                let images = rects.iter().zip(&*buffers);
                Ok(images
                    .filter_map(|(rect, data)| Some((*rect, image(data, *rect)?)))
                    .collect())
            }
        }
    }
}

fn image(data: &[u8], rect: Rect) -> Option<Image<'_>> {
    Image::new(
        data,
        rect.size(),
        rect.size().w as usize * BYTES,
        PixelFormat::Bgrx,
    )
}

/// Where in the segment each rectangle's pixels are now.
fn read_shared(
    connection: &Connection,
    segment: &Segment,
    rects: &[Rect],
) -> Result<Vec<(Rect, Range<usize>)>, Fault> {
    let mut asked = Vec::with_capacity(rects.len());
    let mut start = 0;
    for rect in rects {
        let len = usize::try_from(rect.area())
            .unwrap_or(usize::MAX)
            .saturating_mul(BYTES);
        let end = start + len.min(usize::MAX - start);
        if let (Some((x, y, w, h)), Ok(offset)) = (wire(*rect), u32::try_from(start))
            && end <= segment.bytes().len()
        {
            let (root, format) = (connection.root(), ImageFormat::Z_PIXMAP.into());
            let cookie =
                connection
                    .x()
                    .shm_get_image(root, x, y, w, h, u32::MAX, format, segment.id(), offset)?;
            asked.push((*rect, start..end, cookie));
            start = end;
        }
    }
    let mut places = Vec::with_capacity(asked.len());
    for (rect, place, cookie) in asked {
        if on_screen(cookie.reply())?.is_some() {
            places.push((rect, place));
        }
    }
    Ok(places)
}

/// Has rectangles written into a file the server was given, at these offsets; says which were on the screen.
pub(super) fn write_to(
    connection: &Connection,
    file: SharedFile,
    places: &[(Rect, u32)],
) -> Result<Vec<bool>, Fault> {
    let (root, format) = (connection.root(), ImageFormat::Z_PIXMAP.into());
    let mut asked = Vec::with_capacity(places.len());
    for (rect, offset) in places {
        let cookie = wire(*rect).map(|(x, y, w, h)| {
            connection
                .x()
                .shm_get_image(root, x, y, w, h, u32::MAX, format, file.0, *offset)
        });
        asked.push(cookie.transpose()?);
    }
    let mut done = Vec::with_capacity(asked.len());
    for cookie in asked {
        let reply = cookie
            .map(|cookie| on_screen(cookie.reply()))
            .transpose()?
            .flatten();
        done.push(reply.is_some());
    }
    Ok(done)
}

/// The pixels of each rectangle, empty when there are none.
fn read_sent(connection: &Connection, rects: &[Rect]) -> Result<Vec<Vec<u8>>, Fault> {
    let mut asked = Vec::with_capacity(rects.len());
    for rect in rects {
        let cookie = wire(*rect).map(|(x, y, w, h)| {
            connection
                .x()
                .get_image(ImageFormat::Z_PIXMAP, connection.root(), x, y, w, h, u32::MAX)
        });
        asked.push(cookie.transpose()?);
    }
    let mut buffers = Vec::with_capacity(asked.len());
    for cookie in asked {
        let reply = cookie
            .map(|cookie| on_screen(cookie.reply()))
            .transpose()?
            .flatten();
        buffers.push(reply.map(|reply| reply.data).unwrap_or_default());
    }
    Ok(buffers)
}

/// The server refuses to read outside of the screen: that is no image, not a failure.
fn on_screen<T>(reply: Result<T, ReplyError>) -> Result<Option<T>, Fault> {
    match reply {
        Ok(reply) => Ok(Some(reply)),
        Err(ReplyError::X11Error(e)) => {
            tracing::debug!("capture refused: {:?}", e.error_kind);
            Ok(None)
        }
        Err(e) => Err(e.into()),
    }
}

/// The rectangle as requests carry it; `None` when it cannot be on a screen.
fn wire(rect: Rect) -> Option<(i16, i16, u16, u16)> {
    let whole = (
        rect.x.try_into().ok()?,
        rect.y.try_into().ok()?,
        rect.w.try_into().ok()?,
        rect.h.try_into().ok()?,
    );
    (!rect.is_empty()).then_some(whole)
}
