//! One window of the client.

use super::hints::Hints;
use super::surface::{MAX_SIDE, Sharing, Source, Surface, Target, i16_of, u16_of};
use crate::display::DisplayError;
use crate::types::{PixelFormat, Point, Rect, Size};
use x11rb::connection::Connection as _;
use x11rb::errors::ReplyOrIdError;
use x11rb::protocol::xproto::{
    Colormap, ColormapAlloc, ConfigureWindowAux, ConnectionExt as _, CreateGCAux, CreateWindowAux, Cursor,
    EventMask, Gcontext, Gravity, ImageOrder, Screen, VisualClass, Visualid, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;

/// A kind of pixels windows can have here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    depth: u8,
    visual: Visualid,
    colormap: Colormap,
    gc: Gcontext,
    format: PixelFormat,
}

impl Look {
    /// The look of windows of that depth, 24 or 32; `None` when the screen has none of four bytes in our order.
    pub(super) fn find(
        conn: &RustConnection,
        screen: &Screen,
        depth: u8,
    ) -> Result<Option<Self>, ReplyOrIdError> {
        let setup = conn.setup();
        let four_bytes = setup
            .pixmap_formats
            .iter()
            .any(|format| format.depth == depth && format.bits_per_pixel == 32);
        if setup.image_byte_order != ImageOrder::LSB_FIRST || !four_bytes {
            return Ok(None);
        }
        let visuals = screen
            .allowed_depths
            .iter()
            .filter(|d| d.depth == depth)
            .flat_map(|d| &d.visuals);
        let usable = visuals.filter(|visual| {
            let masks = (visual.red_mask, visual.green_mask, visual.blue_mask);
            visual.class == VisualClass::TRUE_COLOR && masks == (0xff_0000, 0xff00, 0xff)
        });
        let Some(visual) = usable.max_by_key(|visual| visual.visual_id == screen.root_visual) else {
            return Ok(None);
        };
        let [colormap, gc, pixmap] = [conn.generate_id()?, conn.generate_id()?, conn.generate_id()?];
        conn.create_colormap(ColormapAlloc::NONE, colormap, screen.root, visual.visual_id)?;
        conn.create_pixmap(depth, pixmap, screen.root, 1, 1)?; // a gc is made for a depth
        conn.create_gc(gc, pixmap, &CreateGCAux::new().graphics_exposures(0))?;
        conn.free_pixmap(pixmap)?;
        let format = if depth == 32 {
            PixelFormat::Bgra
        } else {
            PixelFormat::Bgrx
        };
        Ok(Some(Self {
            depth,
            visual: visual.visual_id,
            colormap,
            gc,
            format,
        }))
    }

    pub(super) const fn format(&self) -> PixelFormat {
        self.format
    }
}

/// A window and its picture.
#[derive(Debug)]
pub(super) struct ClientWindow {
    pub(super) xid: Window,
    look: Look,
    pub(super) surface: Surface,
    /// The contents on the root window, as far as we know.
    pub(super) rect: Rect,
    pub(super) mapped: bool,
    pub(super) override_redirect: bool,
    /// A window manager put it into a frame: its position is told relative to that.
    pub(super) framed: bool,
    /// The picture keeps the server's size whatever the window's (a whole screen does not follow its window).
    pub(super) fixed: bool,
    /// The number of our last request for a size, as long as its outcome is not known.
    asked: Option<u16>,
}

impl ClientWindow {
    /// Creates a window, not yet shown.
    pub(super) fn create(
        conn: &RustConnection,
        root: Window,
        look: Look,
        surface: Surface,
        params: &Params,
    ) -> Result<Self, ReplyOrIdError> {
        let xid = conn.generate_id()?;
        let size = surface.size();
        let rect = Rect::new(params.position.x, params.position.y, size.w, size.h);
        let mut aux = CreateWindowAux::new()
            .border_pixel(0)
            .bit_gravity(Gravity::NORTH_WEST)
            .override_redirect(u32::from(params.override_redirect))
            .event_mask(events())
            .colormap(look.colormap)
            .cursor(params.cursor);
        // Where the picture is sure to cover the window no background is painted, which would only flicker.
        if params.fixed {
            aux = aux.background_pixel(0);
        }
        conn.create_window(
            look.depth,
            xid,
            root,
            i16_of(rect.x),
            i16_of(rect.y),
            u16_of(rect.w),
            u16_of(rect.h),
            0,
            WindowClass::INPUT_OUTPUT,
            look.visual,
            &aux,
        )?;
        Ok(Self {
            xid,
            look,
            surface,
            rect,
            mapped: false,
            override_redirect: params.override_redirect,
            framed: false,
            fixed: params.fixed,
            asked: None,
        })
    }

    /// Asks for another place or size.
    pub(super) fn configure(
        &mut self,
        conn: &RustConnection,
        position: Option<Point>,
        size: Size,
    ) -> Result<(), ReplyOrIdError> {
        let mut aux = ConfigureWindowAux::new()
            .width(size.w.clamp(1, MAX_SIDE))
            .height(size.h.clamp(1, MAX_SIDE));
        if let Some(position) = position {
            aux = aux
                .x(i32::from(i16_of(position.x)))
                .y(i32::from(i16_of(position.y)));
        }
        let [low, high, ..] = conn
            .configure_window(self.xid, &aux)?
            .sequence_number()
            .to_le_bytes();
        self.asked = Some(u16::from_le_bytes([low, high]));
        Ok(())
    }

    /// Whether an event of that sequence number tells a size from before our last request for one: the picture has
    /// the new size already, and going back to the old one would lose what was painted since.
    pub(super) fn outdated(&mut self, sequence: u16) -> bool {
        let before = self
            .asked
            .is_some_and(|asked| sequence.wrapping_sub(asked) >= 1 << 15);
        if !before {
            self.asked = None;
        }
        before
    }

    /// The window has this size now: so has the picture, unless it is fixed.
    pub(super) fn resized(
        &mut self,
        conn: &RustConnection,
        sharing: Sharing,
        size: Size,
    ) -> Result<(), DisplayError> {
        if self.fixed {
            Ok(())
        } else {
            self.surface.resize(conn, sharing, size)
        }
    }

    /// Shows these parts of the picture.
    pub(super) fn paint(
        &mut self,
        conn: &RustConnection,
        rects: impl Iterator<Item = Rect>,
    ) -> Result<(), ReplyOrIdError> {
        let (target, Some(visible)) = (self.target(), self.visible()) else {
            return Ok(());
        };
        self.surface
            .put(conn, target, rects.filter_map(|rect| rect.intersect(visible)))
    }

    /// Shows pixels of another segment and makes them part of the picture; false when the server cannot.
    pub(super) fn paint_from(
        &mut self,
        conn: &RustConnection,
        source: Source,
    ) -> Result<bool, ReplyOrIdError> {
        let (target, visible) = (self.target(), self.visible());
        self.surface.put_from(conn, target, source, visible)
    }

    const fn target(&self) -> Target {
        Target {
            drawable: self.xid,
            gc: self.look.gc,
            depth: self.look.depth,
        }
    }

    /// The part of the picture that has a place in the window; `None` while that is not mapped: the server would drop
    /// what is drawn, and being shown again exposes everything.
    fn visible(&self) -> Option<Rect> {
        let size = self.surface.size();
        self.mapped
            .then(|| Size::new(size.w.min(self.rect.w), size.h.min(self.rect.h)).rect())
    }

    /// Takes it off the screen for good.
    pub(super) fn destroy(self, conn: &RustConnection) -> Result<(), ReplyOrIdError> {
        conn.destroy_window(self.xid)?;
        self.surface.release(conn);
        Ok(())
    }

    pub(super) const fn hints<'a>(
        &self,
        conn: &'a RustConnection,
        atoms: &'a super::hints::Atoms,
        root: Window,
    ) -> Hints<'a> {
        Hints {
            conn,
            atoms,
            root,
            window: self.xid,
        }
    }
}

/// How to create a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Params {
    pub(super) position: Point,
    pub(super) override_redirect: bool,
    pub(super) fixed: bool,
    pub(super) cursor: Cursor,
}

/// What we want to know about our windows.
fn events() -> EventMask {
    EventMask::EXPOSURE
        | EventMask::STRUCTURE_NOTIFY
        | EventMask::FOCUS_CHANGE
        | EventMask::KEY_PRESS
        | EventMask::KEY_RELEASE
        | EventMask::BUTTON_PRESS
        | EventMask::BUTTON_RELEASE
        | EventMask::POINTER_MOTION
        | EventMask::ENTER_WINDOW
}
