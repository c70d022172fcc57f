//! Changes the size of the screen, where the display allows that.

use super::connection::{Connection, Fault};
use crate::types::Size;
use x11rb::connection::RequestConnection as _;
use x11rb::protocol::randr::{
    self, ConnectionExt as _, GetCrtcInfoReply, GetScreenResourcesCurrentReply, Mode, ModeInfo, SetConfig,
};

/// Pixels per 25.4 mm that we claim a screen has: 96.
const DPI: u64 = 96;

/// The one output that shows the whole screen.
struct Monitor {
    output: randr::Output,
    modes: Vec<Mode>,
    crtc: randr::Crtc,
    config: GetCrtcInfoReply,
}

/// Makes the screen this large if the display can; asking for the impossible changes nothing.
pub(super) fn resize(connection: &Connection, size: Size) -> Result<(), Fault> {
    let (x, root) = (connection.x(), connection.root());
    let (Ok(w), Ok(h)) = (u16::try_from(size.w), u16::try_from(size.h)) else {
        return Ok(());
    };
    if size.is_empty() || x.extension_information(randr::X11_EXTENSION_NAME)?.is_none() {
        return Ok(());
    }
    let range = x.randr_get_screen_size_range(root)?.reply()?;
    if !(range.min_width..=range.max_width).contains(&w)
        || !(range.min_height..=range.max_height).contains(&h)
    {
        tracing::debug!(
            "{size} is not between {}x{} and {}x{}",
            range.min_width,
            range.min_height,
            range.max_width,
            range.max_height
        );
        return Ok(());
    }
    let resources = x.randr_get_screen_resources_current(root)?.reply()?;
    let Some(monitor) = only_monitor(connection, &resources)? else {
        return Ok(());
    };
    if (monitor.config.width, monitor.config.height) == (w, h) {
        return Ok(());
    }
    let existing = resources
        .modes
        .iter()
        .find(|m| (m.width, m.height) == (w, h) && monitor.modes.contains(&m.id));
    let mode = match existing {
        Some(mode) => mode.id,
        None => match add_mode(connection, &monitor, w, h) {
            Ok(mode) => mode,
            Err(Fault::X11Error(e)) => {
                tracing::debug!("no new mode: {:?}", e.error_kind);
                return Ok(());
            }
            Err(e) => return Err(e),
        },
    };
    switch(connection, &monitor, mode, w, h)
}

/// `None` when there is not exactly one: somebody arranged those, and we would only disturb that.
fn only_monitor(
    connection: &Connection,
    resources: &GetScreenResourcesCurrentReply,
) -> Result<Option<Monitor>, Fault> {
    let x = connection.x();
    let mut found = None;
    for output in &resources.outputs {
        let info = x
            .randr_get_output_info(*output, resources.config_timestamp)?
            .reply()?;
        if info.crtc == x11rb::NONE {
            continue;
        }
        if found.is_some() {
            return Ok(None);
        }
        let config = x
            .randr_get_crtc_info(info.crtc, resources.config_timestamp)?
            .reply()?;
        found = Some(Monitor {
            output: *output,
            modes: info.modes,
            crtc: info.crtc,
            config,
        });
    }
    Ok(found)
}

/// A new mode of that size. Its timing is made up: displays that take any have no real screen behind them.
fn add_mode(connection: &Connection, monitor: &Monitor, w: u16, h: u16) -> Result<Mode, Fault> {
    let x = connection.x();
    let name = format!("{w}x{h}");
    let (htotal, vtotal) = (w.saturating_add(160), h.saturating_add(32));
    let info = ModeInfo {
        id: 0,
        width: w,
        height: h,
        dot_clock: u32::from(htotal)
            .saturating_mul(u32::from(vtotal))
            .saturating_mul(60),
        hsync_start: w.saturating_add(48),
        hsync_end: w.saturating_add(80),
        htotal,
        hskew: 0,
        vsync_start: h.saturating_add(3),
        vsync_end: h.saturating_add(8),
        vtotal,
        name_len: u16::try_from(name.len()).unwrap_or_default(),
        mode_flags: randr::ModeFlag::from(0u32),
    };
    let mode = x
        .randr_create_mode(connection.root(), info, name.as_bytes())?
        .reply()?
        .mode;
    x.randr_add_output_mode(monitor.output, mode)?.check()?;
    Ok(mode)
}

/// The output must be off while the screen changes around it: neither may be smaller than the other.
fn switch(connection: &Connection, monitor: &Monitor, mode: Mode, w: u16, h: u16) -> Result<(), Fault> {
    let old = &monitor.config;
    set_mode(connection, monitor, x11rb::NONE)?;
    if set_screen(connection, w, h)? && set_mode(connection, monitor, mode)? {
        return Ok(());
    }
    tracing::debug!("the display refused {w}x{h}");
    set_screen(connection, old.width, old.height)?;
    set_mode(connection, monitor, old.mode)?;
    Ok(())
}

/// False when the display refused.
fn set_screen(connection: &Connection, w: u16, h: u16) -> Result<bool, Fault> {
    let mm = |pixels: u16| {
        u32::try_from(u64::from(pixels) * 254 / (DPI * 10))
            .unwrap_or(1)
            .max(1)
    };
    match connection
        .x()
        .randr_set_screen_size(connection.root(), w, h, mm(w), mm(h))?
        .check()
    {
        Ok(()) => Ok(true),
        Err(e) => refused(e.into()),
    }
}

/// False when the display refused.
fn set_mode(connection: &Connection, monitor: &Monitor, mode: Mode) -> Result<bool, Fault> {
    let outputs = [monitor.output];
    let outputs: &[_] = if mode == x11rb::NONE { &[] } else { &outputs };
    let (now, rotation) = (x11rb::CURRENT_TIME, randr::Rotation::ROTATE0);
    let set = connection
        .x()
        .randr_set_crtc_config(monitor.crtc, now, now, 0, 0, mode, rotation, outputs)?;
    match set.reply() {
        Ok(reply) => Ok(reply.status == SetConfig::SUCCESS),
        Err(e) => refused(e.into()),
    }
}

fn refused(fault: Fault) -> Result<bool, Fault> {
    match fault {
        Fault::X11Error(_) => Ok(false),
        fault => Err(fault),
    }
}
