//! How many pictures a second the screen shows.

use x11rb::connection::RequestConnection as _;
use x11rb::errors::ReplyError;
use x11rb::protocol::randr::{self, ConnectionExt as _, ModeFlag, ModeInfo};
use x11rb::protocol::xproto::Window;
use x11rb::rust_connection::RustConnection;

/// That of the fastest monitor; `None` when the display does not say, as those without a real screen.
pub(super) fn refresh_rate(conn: &RustConnection, root: Window) -> Result<Option<u32>, ReplyError> {
    if conn.extension_information(randr::X11_EXTENSION_NAME)?.is_none() {
        return Ok(None);
    }
    // "current": the other request looks for monitors, which takes long
    let resources = conn.randr_get_screen_resources_current(root)?.reply()?;
    let mut fastest = None;
    for crtc in &resources.crtcs {
        let crtc = conn
            .randr_get_crtc_info(*crtc, resources.config_timestamp)?
            .reply()?;
        let mode = resources.modes.iter().find(|mode| mode.id == crtc.mode);
        fastest = fastest.max(mode.and_then(of_mode));
    }
    Ok(fastest)
}

fn of_mode(mode: &ModeInfo) -> Option<u32> {
    let mut lines = f64::from(mode.vtotal);
    if mode.mode_flags.contains(ModeFlag::DOUBLE_SCAN) {
        lines *= 2.0;
    }
    if mode.mode_flags.contains(ModeFlag::INTERLACE) {
        lines /= 2.0;
    }
    let rate = (f64::from(mode.dot_clock) / (f64::from(mode.htotal) * lines)).round();
    (1.0..=10_000.0).contains(&rate).then_some(rate).map(|rate| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "in the range of u32"
        )]
        let whole = rate as u32;
        whole
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        let mode = |dot_clock, htotal, vtotal, mode_flags| {
            of_mode(&ModeInfo {
                dot_clock,
                htotal,
                vtotal,
                mode_flags,
                ..ModeInfo::default()
            })
        };
        let plain = ModeFlag::from(0u32);
        assert_eq!(mode(148_500_000, 2200, 1125, plain), Some(60));
        assert_eq!(mode(325_080_000, 2000, 1129, plain), Some(144));
        assert_eq!(mode(74_250_000, 2200, 1125, ModeFlag::INTERLACE), Some(60));
        assert_eq!(mode(148_500_000, 2200, 1125, ModeFlag::DOUBLE_SCAN), Some(30));
        // as Xvfb has them
        assert_eq!(mode(0, 0, 0, plain), None);
    }
}
