//! The picture of one window in memory the X server can read (MIT-SHM 1.2, memfd), or copied to it where it cannot.

use crate::display::{DisplayError, FilePixels};
use crate::types::{Canvas, PixelFormat, Rect, Size};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use std::os::fd::OwnedFd;
use std::ptr::NonNull;
use x11rb::connection::{Connection as _, RequestConnection as _};
use x11rb::errors::ReplyOrIdError;
use x11rb::protocol::shm::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{ConnectionExt as _, Drawable, Gcontext, ImageFormat, Pixmap};
use x11rb::rust_connection::RustConnection;

/// The largest picture either way, in pixels.
pub(super) const MAX_SIDE: u32 = 16384;

/// Where a picture is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) drawable: Drawable,
    pub(super) gc: Gcontext,
    pub(super) depth: u8,
}

/// What of the memory of pictures the server can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Nothing: it is sent the pixels.
    None,
    /// It draws from it.
    Read,
    /// It also draws into it, as into a pixmap of this screen's root window.
    Pixmaps(Drawable),
}

/// A picture of four bytes a pixel.
#[derive(Debug)]
pub(super) struct Surface {
    size: Size,
    /// What the memory has room for: mostly more than `size`, so that a window being resized seldom needs other
    /// memory. Rows never touched cost none.
    capacity: Size,
    format: PixelFormat,
    memory: Mapping,
    segment: Option<shm::Seg>,
    /// The same memory as something the server can draw into.
    pixmap: Option<Pixmap>,
    /// Drawing requests whose completion the server has not told yet.
    in_flight: u32,
}

impl Surface {
    /// A black picture, shared with the server as far as that agrees.
    pub(super) fn new(
        conn: &RustConnection,
        sharing: Sharing,
        size: Size,
        format: PixelFormat,
    ) -> Result<Self, DisplayError> {
        if size.is_empty() || size.w > MAX_SIDE || size.h > MAX_SIDE {
            return Err(DisplayError::Request(format!("no window can have {size} pixels")));
        }
        let capacity = Size::new(size.w.next_multiple_of(64), size.h.next_multiple_of(256));
        let length = capacity.w as usize * capacity.h as usize * 4;
        let (file, memory) = Mapping::new(length)
            .map_err(|error| DisplayError::Request(format!("no memory for {size} pixels: {error}")))?;
        let read_only = !matches!(sharing, Sharing::Pixmaps(_));
        let segment = match sharing {
            Sharing::None => None,
            Sharing::Read | Sharing::Pixmaps(_) => attach(conn, file, read_only).ok(),
        };
        let pixmap = match (sharing, segment) {
            (Sharing::Pixmaps(root), Some(segment)) => pixmap(conn, root, capacity, format, segment).ok(),
            _ => None,
        };
        Ok(Self {
            size,
            capacity,
            format,
            memory,
            segment,
            pixmap,
            in_flight: 0,
        })
    }

    /// Takes another size. What is in both stays, at the top left; the rest is black.
    /// The server must not be drawing any more.
    pub(super) fn resize(
        &mut self,
        conn: &RustConnection,
        sharing: Sharing,
        size: Size,
    ) -> Result<(), DisplayError> {
        if size == self.size {
            return Ok(());
        }
        if size.is_empty() || size.w > self.capacity.w || size.h > self.capacity.h {
            let mut larger = Self::new(conn, sharing, size, self.format)?;
            larger.copy_from(self);
            std::mem::swap(self, &mut larger);
            larger.release(conn);
            return Ok(());
        }
        let old = std::mem::replace(&mut self.size, size);
        self.clear(Rect::new(
            i32_of(old.w),
            0,
            size.w.saturating_sub(old.w),
            size.h.min(old.h),
        ));
        self.clear(Rect::new(0, i32_of(old.h), size.w, size.h.saturating_sub(old.h)));
        Ok(())
    }

    /// Draws the pixels of `rects`, which must lie within the size.
    pub(super) fn put(
        &mut self,
        conn: &RustConnection,
        target: Target,
        rects: impl Iterator<Item = Rect>,
    ) -> Result<(), ReplyOrIdError> {
        let mut rects = rects.peekable();
        while let Some(rect) = rects.next() {
            match self.segment {
                // The server draws in order: the last one's completion is everybody's.
                Some(segment) => self.put_shared(conn, target, segment, rect, rects.peek().is_none())?,
                None => self.put_copied(conn, target, rect)?,
            }
        }
        Ok(())
    }

    /// Has the server draw what lies in another segment: `part` of the picture that begins at `rect`'s corner. Its
    /// completion is told as [drawn](Self::drawn). False when the server cannot.
    pub(super) fn put_from(
        &mut self,
        conn: &RustConnection,
        target: Target,
        source: Source,
        visible: Option<Rect>,
    ) -> Result<bool, ReplyOrIdError> {
        let Some(pixmap) = self.pixmap.filter(|_| source.pixels.format == self.format) else {
            return Ok(false);
        };
        let Some(inside) = source.rect.intersect(self.size.rect()) else {
            return Ok(false);
        };
        let here = Target {
            drawable: pixmap,
            ..target
        };
        // the window first: it is what somebody waits for
        let shown = visible.and_then(|visible| inside.intersect(visible));
        if let Some(part) = shown {
            source.put(conn, target, part, false)?;
        }
        source.put(conn, here, inside, true)?;
        self.in_flight += 1;
        Ok(true)
    }

    /// The server has drawn into this pixmap; false when it is not ours.
    pub(super) fn drawn(&mut self, pixmap: Pixmap) -> bool {
        let ours = self.pixmap == Some(pixmap);
        if ours {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        ours
    }

    /// Lets the server forget the memory.
    pub(super) fn release(self, conn: &RustConnection) {
        if let Some(pixmap) = self.pixmap
            && let Ok(cookie) = conn.free_pixmap(pixmap)
        {
            cookie.ignore_error();
        }
        if let Some(segment) = self.segment
            && let Ok(cookie) = conn.shm_detach(segment)
        {
            cookie.ignore_error();
        }
    }

    /// The server finished a drawing request from this segment; false when it is not ours.
    pub(super) fn completed(&mut self, segment: shm::Seg) -> bool {
        let ours = self.segment == Some(segment);
        if ours {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        ours
    }

    /// A drawing request failed: nothing may be waited for any more.
    pub(super) const fn failed(&mut self) {
        self.in_flight = 0;
    }

    /// Whether the server may still read the pixels.
    pub(super) const fn in_flight(&self) -> bool {
        self.in_flight > 0
    }

    /// The picture to paint into.
    pub(super) fn canvas(&mut self) -> Option<Canvas<'_>> {
        let stride = self.stride();
        Canvas::new(self.memory.bytes_mut(), self.size, stride, self.format)
    }

    pub(super) const fn size(&self) -> Size {
        self.size
    }

    /// Bytes it may come to use.
    pub(super) const fn memory(&self) -> u64 {
        self.capacity.area() * 4
    }

    fn put_shared(
        &mut self,
        conn: &RustConnection,
        target: Target,
        segment: shm::Seg,
        rect: Rect,
        last: bool,
    ) -> Result<(), ReplyOrIdError> {
        let (x, y) = (u16_of(rect.x), u16_of(rect.y));
        conn.shm_put_image(
            target.drawable,
            target.gc,
            u16_of(self.capacity.w),
            u16_of(self.size.h),
            x,
            y,
            u16_of(rect.w),
            u16_of(rect.h),
            i16_of(rect.x),
            i16_of(rect.y),
            target.depth,
            ImageFormat::Z_PIXMAP.into(),
            last,
            segment,
            0,
        )?;
        self.in_flight += u32::from(last);
        Ok(())
    }

    /// Sends the pixels themselves, as many rows at a time as a request can hold.
    fn put_copied(&self, conn: &RustConnection, target: Target, rect: Rect) -> Result<(), ReplyOrIdError> {
        const HEADER: usize = 32;
        let row = rect.w as usize * 4;
        let rows = (conn.maximum_request_bytes().saturating_sub(HEADER) / row).clamp(1, rect.h as usize);
        let mut packed = Vec::with_capacity(rows * row);
        let mut y = rect.y;
        let mut left = rect.h;
        while left > 0 {
            let h = left.min(u32::try_from(rows).unwrap_or(left));
            packed.clear();
            for line in (y..).take(h as usize) {
                packed.extend_from_slice(self.span(Rect { y: line, ..rect }));
            }
            conn.put_image(
                ImageFormat::Z_PIXMAP,
                target.drawable,
                target.gc,
                u16_of(rect.w),
                u16_of(h),
                i16_of(rect.x),
                i16_of(y),
                0,
                target.depth,
                &packed,
            )?;
            y = y.saturating_add_unsigned(h);
            left -= h;
        }
        Ok(())
    }

    /// The first row of `rect`; empty when that does not lie within the memory.
    fn span(&self, rect: Rect) -> &[u8] {
        self.range(rect)
            .and_then(|range| self.memory.bytes().get(range))
            .unwrap_or_default()
    }

    fn range(&self, row: Rect) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(row.y).ok()? * self.stride() + usize::try_from(row.x).ok()? * 4;
        Some(start..start + row.w as usize * 4)
    }

    fn copy_from(&mut self, other: &Self) {
        let common = Size::new(self.size.w.min(other.size.w), self.size.h.min(other.size.h));
        for y in (0..).take(common.h as usize) {
            let row = Rect::new(0, y, common.w, 1);
            if let Some(to) = self
                .range(row)
                .and_then(|range| self.memory.bytes_mut().get_mut(range))
            {
                to.copy_from_slice(other.span(row));
            }
        }
    }

    /// Makes black what of `rect` another size left there.
    fn clear(&mut self, rect: Rect) {
        for y in (rect.y..).take(rect.h as usize) {
            let row = Rect { y, h: 1, ..rect };
            if let Some(pixels) = self
                .range(row)
                .and_then(|range| self.memory.bytes_mut().get_mut(range))
            {
                pixels.fill(0);
            }
        }
    }

    const fn stride(&self) -> usize {
        self.capacity.w as usize * 4
    }
}

/// Pixels of a segment that is not a picture's, and where in the picture they go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) segment: shm::Seg,
    pub(super) pixels: FilePixels,
    pub(super) rect: Rect,
}

impl Source {
    fn put(
        &self,
        conn: &RustConnection,
        target: Target,
        part: Rect,
        last: bool,
    ) -> Result<(), ReplyOrIdError> {
        conn.shm_put_image(
            target.drawable,
            target.gc,
            u16_of(self.pixels.stride / 4),
            u16_of(self.rect.h),
            u16_of(part.x - self.rect.x),
            u16_of(part.y - self.rect.y),
            u16_of(part.w),
            u16_of(part.h),
            i16_of(part.x),
            i16_of(part.y),
            target.depth,
            ImageFormat::Z_PIXMAP.into(),
            last,
            self.segment,
            self.pixels.offset,
        )?;
        Ok(())
    }
}

/// Hands memory to the server.
pub(super) fn attach(
    conn: &RustConnection,
    file: OwnedFd,
    read_only: bool,
) -> Result<shm::Seg, ReplyOrIdError> {
    let segment = conn.generate_id()?;
    conn.shm_attach_fd(segment, file, read_only)?.check()?;
    Ok(segment)
}

fn pixmap(
    conn: &RustConnection,
    root: Drawable,
    size: Size,
    format: PixelFormat,
    segment: shm::Seg,
) -> Result<Pixmap, ReplyOrIdError> {
    let depth = if format == PixelFormat::Bgra { 32 } else { 24 };
    let pixmap = conn.generate_id()?;
    let (w, h) = (u16_of(size.w), u16_of(size.h));
    conn.shm_create_pixmap(pixmap, root, w, h, depth, segment, 0)?
        .check()?;
    Ok(pixmap)
}

/// How the server behind `conn` uses memory it is given by descriptor.
pub(super) fn sharing(conn: &RustConnection, root: Drawable) -> Result<Sharing, ReplyOrIdError> {
    Ok(match can_share(conn)? {
        false => Sharing::None,
        true if conn.shm_query_version()?.reply()?.shared_pixmaps => Sharing::Pixmaps(root),
        true => Sharing::Read,
    })
}

/// Whether the server behind `conn` draws from memory it is given by descriptor.
fn can_share(conn: &RustConnection) -> Result<bool, ReplyOrIdError> {
    let local = rustix::net::getpeername(conn.stream())
        .is_ok_and(|peer| peer.is_some_and(|peer| peer.address_family() == rustix::net::AddressFamily::UNIX));
    if !local || conn.extension_information(shm::X11_EXTENSION_NAME)?.is_none() {
        return Ok(false);
    }
    let version = conn.shm_query_version()?.reply()?;
    if (version.major_version, version.minor_version) < (1, 2) {
        return Ok(false);
    }
    // A socket may be local and yet lead far away.
    let Ok((file, _)) = Mapping::new(4096) else {
        return Ok(false);
    };
    let Ok(segment) = attach(conn, file, true) else {
        return Ok(false);
    };
    conn.shm_detach(segment)?;
    Ok(true)
}

/// Memory with a descriptor, mapped for as long as this lives.
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

impl Mapping {
    /// `length` zeros; pages are taken when they are first written.
    fn new(length: usize) -> rustix::io::Result<(OwnedFd, Self)> {
        let file = rustix::fs::memfd_create("xpra-window", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&file, length as u64)?;
        // Nobody can take the pages away under us or the server.
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        // SAFETY: a new mapping at an address the kernel chooses touches no memory of ours. The length is not
        // zero (mmap would fail, which is handled).
        #[expect(unsafe_code, reason = "mapping the memory shared with the X server")]
        let start = unsafe {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            rustix::mm::mmap(std::ptr::null_mut(), length, access, MapFlags::SHARED, &file, 0)?
        };
        let start = NonNull::new(start.cast()).ok_or(rustix::io::Errno::NOMEM)?;
        Ok((file, Self { start, length }))
    }

    const fn bytes(&self) -> &[u8] {
        // SAFETY: `start` is a live mapping of `length` bytes (unmapped only by drop) that is sealed against
        // shrinking, so every page is there. The descriptor was given to the server alone, which writes only
        // while `put_from` is under way, and nobody looks at the bytes before its completion was told; our own
        // writes go through `&mut self`.
        #[expect(unsafe_code, reason = "the memory is not Rust's")]
        unsafe {
            std::slice::from_raw_parts(self.start.as_ptr(), self.length)
        }
    }

    const fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `bytes`, and `&mut self` makes this the only reference. That the server may read along
        // is no concern of this process: it may see half a picture.
        #[expect(unsafe_code, reason = "the memory is not Rust's")]
        unsafe {
            std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length)
        }
    }
}

// SAFETY: the mapping belongs to the process, not to a thread, and is reached only through this value.
#[expect(unsafe_code, reason = "a pointer to memory only this value knows")]
unsafe impl Send for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `start` and `length` are what mmap gave; every reference into it borrows this value.
        #[expect(unsafe_code, reason = "undoing the mapping")]
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.length) };
        if let Err(error) = unmapped {
            tracing::warn!(%error, "cannot unmap a window's memory");
        }
    }
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mapping({} bytes)", self.length)
    }
}

/// A coordinate as X11 writes it; what does not fit is far outside any picture.
pub(super) fn i16_of(value: i32) -> i16 {
    i16::try_from(value).unwrap_or(if value < 0 { i16::MIN } else { i16::MAX })
}

fn i32_of(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// A length or position from 0 on as X11 writes it.
pub(super) fn u16_of(value: impl TryInto<u16>) -> u16 {
    value.try_into().unwrap_or(u16::MAX)
}
